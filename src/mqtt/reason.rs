//! Reason codes. Source: MQTT 5.0 section 2.4.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// The result of an operation, as MQTT 5.0 numbers it. The older
        /// versions' CONNACK codes are derived from it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $($(#[$doc])* $name = $code,)*
        }

        impl ReasonCode {
            /// Every reason code there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Reads a code; `None` if the standard knows no such code.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name that the standard gives it.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// Success, normal disconnection, or granted QoS 0.
    Success = 0x00, "success";
    /// Granted QoS 1.
    GrantedQos1 = 0x01, "granted QoS 1";
    /// Granted QoS 2.
    GrantedQos2 = 0x02, "granted QoS 2";
    /// The client leaves, but its will is to be published.
    DisconnectWithWill = 0x04, "disconnect with will message";
    /// Taken over, but nobody subscribes.
    NoMatchingSubscribers = 0x10, "no matching subscribers";
    /// There was nothing to unsubscribe.
    NoSubscriptionExisted = 0x11, "no subscription existed";
    /// The authentication goes on.
    ContinueAuthentication = 0x18, "continue authentication";
    /// The client asks to authenticate again.
    ReAuthenticate = 0x19, "re-authenticate";
    /// Refused, and no more is said.
    UnspecifiedError = 0x80, "unspecified error";
    /// The packet is not well formed.
    MalformedPacket = 0x81, "malformed packet";
    /// The packet was not allowed in this place.
    ProtocolError = 0x82, "protocol error";
    /// Valid, but not accepted by this server.
    ImplementationSpecificError = 0x83, "implementation specific error";
    /// The level byte names no version that is served.
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version";
    /// The client identifier is not allowed.
    ClientIdentifierNotValid = 0x85, "client identifier not valid";
    /// User name or password is wrong.
    BadUserNameOrPassword = 0x86, "bad user name or password";
    /// The client has no right to do this.
    NotAuthorized = 0x87, "not authorized";
    /// Come back later.
    ServerUnavailable = 0x88, "server unavailable";
    /// Come back later, there is too much to do.
    ServerBusy = 0x89, "server busy";
    /// Barred by an administrator.
    Banned = 0x8A, "banned";
    /// The server stops.
    ServerShuttingDown = 0x8B, "server shutting down";
    /// The authentication method is not served, or changed midway.
    BadAuthenticationMethod = 0x8C, "bad authentication method";
    /// Nothing was heard for one and a half keep-alive times.
    KeepAliveTimeout = 0x8D, "keep alive timeout";
    /// Another connection uses this client identifier now.
    SessionTakenOver = 0x8E, "session taken over";
    /// The filter is well formed, but not accepted.
    TopicFilterInvalid = 0x8F, "topic filter invalid";
    /// The topic is well formed, but not accepted.
    TopicNameInvalid = 0x90, "topic name invalid";
    /// The packet identifier is in use.
    PacketIdentifierInUse = 0x91, "packet identifier in use";
    /// The packet identifier is not known.
    PacketIdentifierNotFound = 0x92, "packet identifier not found";
    /// More unfinished publications than were announced.
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded";
    /// The topic alias is out of range, or unknown.
    TopicAliasInvalid = 0x94, "topic alias invalid";
    /// Longer than was announced.
    PacketTooLarge = 0x95, "packet too large";
    /// Sent faster than is allowed.
    MessageRateTooHigh = 0x96, "message rate too high";
    /// A limit of the server is reached.
    QuotaExceeded = 0x97, "quota exceeded";
    /// An administrator, or a change of trust, ended the connection.
    AdministrativeAction = 0x98, "administrative action";
    /// The payload is not of the announced format.
    PayloadFormatInvalid = 0x99, "payload format invalid";
    /// Retained messages are not served.
    RetainNotSupported = 0x9A, "retain not supported";
    /// This quality of service is not served.
    QosNotSupported = 0x9B, "QoS not supported";
    /// Use another server for now.
    UseAnotherServer = 0x9C, "use another server";
    /// Use another server from now on.
    ServerMoved = 0x9D, "server moved";
    /// Shared subscriptions are not served.
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported";
    /// Connections come faster than is allowed.
    ConnectionRateExceeded = 0x9F, "connection rate exceeded";
    /// The connection lasted as long as it may.
    MaximumConnectTime = 0xA0, "maximum connect time";
    /// Subscription identifiers are not served.
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported";
    /// Wildcards are not served.
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported";
}

impl ReasonCode {
    /// The value on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether the operation failed.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// The SUBACK code that grants `qos`.
    #[must_use]
    pub const fn granted(qos: super::Qos) -> Self {
        match qos {
            super::Qos::AtMostOnce => Self::Success,
            super::Qos::AtLeastOnce => Self::GrantedQos1,
            super::Qos::ExactlyOnce => Self::GrantedQos2,
        }
    }

    /// The CONNACK return code of MQTT 3.1 and 3.1.1 (section 3.2.2.3) that
    /// comes nearest.
    #[must_use]
    pub const fn connack_v3(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::ServerUnavailable
            | Self::ServerBusy
            | Self::ServerShuttingDown
            | Self::QuotaExceeded
            | Self::ConnectionRateExceeded
            | Self::UseAnotherServer
            | Self::ServerMoved
            | Self::UnspecifiedError => 3,
            Self::BadUserNameOrPassword => 4,
            _ => 5,
        }
    }
}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (0x{:02X})", self.text(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_as_itself() {
        for &reason in ReasonCode::ALL {
            assert_eq!(ReasonCode::from_code(reason.code()), Some(reason));
        }
        assert_eq!(ReasonCode::from_code(0x03), None);
    }

    #[test]
    fn every_failure_has_a_connack_code_of_the_older_versions() {
        for &reason in ReasonCode::ALL.iter().filter(|reason| reason.is_error()) {
            assert!((1..=5).contains(&reason.connack_v3()), "{reason}");
        }
    }
}
