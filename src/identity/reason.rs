//! The fixed list of reasons for a refusal.
//!
//! What lives here: the reasons of spec.md SEC-02 and what the broker adds to
//! them, each with the TLS alert, the CONNACK code and the remedy that go with
//! it. What does not: the record of one refusal (`refusal`). Invariant: every
//! reason has all of these, so no refusal is left without an explanation.

use super::switch::Profile;
use crate::mqtt::ReasonCode;

/// A TLS alert that a client may see. Source: RFC 8446 section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alert {
    /// `bad_certificate`
    BadCertificate = 42,
    /// `unsupported_certificate`
    UnsupportedCertificate = 43,
    /// `certificate_revoked`
    CertificateRevoked = 44,
    /// `certificate_expired`: also for one that is not valid yet.
    CertificateExpired = 45,
    /// `certificate_unknown`
    CertificateUnknown = 46,
    /// `unknown_ca`
    UnknownCa = 48,
    /// `decrypt_error`: a signature that does not verify.
    DecryptError = 51,
    /// `certificate_required`
    CertificateRequired = 116,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $code:ident, $alert:expr, $remedy:literal;)*) => {
        /// Why a connection was refused or ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in logs, audit lines, metrics and the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What a person can do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)*
                }
            }

            /// What CONNACK or DISCONNECT says (AUTH-11); the older versions'
            /// code is [`ReasonCode::connack_v3`] of it.
            #[must_use]
            pub const fn connack(self) -> ReasonCode {
                match self {
                    $(Self::$name => ReasonCode::$code,)*
                }
            }

            const fn plain_alert(self) -> Option<Alert> {
                match self {
                    $(Self::$name => $alert,)*
                }
            }
        }
    };
}

reasons! {
    // The certificate and its chain.
    /// The certificate is no X.509 in DER.
    Encoding = "encoding", NotAuthorized, Some(Alert::BadCertificate),
        "make the certificate again; `openssl x509 -in FILE -noout -text` shows what is in it";
    /// No usable anchor signed the chain.
    UnknownIssuer = "unknown_issuer", NotAuthorized, Some(Alert::UnknownCa),
        "add the issuing CA to the tenant's anchors, or let the client send its intermediate certificates too";
    /// The anchor exists, but is switched off.
    AnchorDisabled = "anchor_disabled", NotAuthorized, Some(Alert::UnknownCa),
        "enable the anchor, or give the device a certificate of an enabled one";
    /// The anchor exists, but possession of its key was not proved.
    AnchorUnproved = "anchor_unproved", NotAuthorized, Some(Alert::UnknownCa),
        "prove possession of the anchor's key with a verification certificate";
    /// The anchor is good for renewing certificates only.
    AnchorRenewOnly = "anchor_renew_only", NotAuthorized, Some(Alert::UnknownCa),
        "renew the device's certificate over EST; the new one comes from an anchor that is enabled";
    /// The anchor has to be sent, and was not.
    MissingAnchor = "missing_anchor", NotAuthorized, Some(Alert::UnknownCa),
        "let the client send the whole chain with the CA, or set anchor_in_chain = \"either\"";
    /// More certificates than `max_chain_length`, or than are read at all.
    ChainTooLong = "chain_too_long", NotAuthorized, Some(Alert::BadCertificate),
        "raise max_chain_length, or sign the device directly with the anchor";
    /// The search among the certificates that were sent came to its bound.
    ChainTooComplex = "chain_too_complex", NotAuthorized, Some(Alert::BadCertificate),
        "let the client send only the certificates between itself and the anchor";
    /// A path length constraint is broken (TRUST-07).
    PathLength = "pathlen", NotAuthorized, Some(Alert::BadCertificate),
        "make the CA again with a larger pathlen, or use fewer intermediates";
    /// An issuer in the chain may not sign certificates.
    NotCa = "not_ca", NotAuthorized, Some(Alert::BadCertificate),
        "issue the intermediate with basicConstraints CA:TRUE and key usage keyCertSign";
    /// The device's certificate is a CA and no anchor that may be a leaf.
    CaLeaf = "ca_leaf", NotAuthorized, Some(Alert::BadCertificate),
        "issue the device certificate with CA:FALSE, or trust this very certificate where anchor_may_be_leaf is on";
    /// A certificate of the path is past its end.
    Expired = "expired", NotAuthorized, Some(Alert::CertificateExpired),
        "renew the certificate; check the clocks of device and broker";
    /// A certificate of the path is not valid yet.
    NotYetValid = "not_yet_valid", NotAuthorized, Some(Alert::CertificateExpired),
        "wait until the certificate is valid; check the clocks of device, CA and broker";
    /// The certificate was taken back.
    Revoked = "revoked", NotAuthorized, Some(Alert::CertificateRevoked),
        "give the device a new certificate";
    /// The issuer's revocation list should have been replaced by a newer one.
    CrlStale = "crl_stale", NotAuthorized, Some(Alert::BadCertificate),
        "fetch or upload a newer revocation list of the CA, or set stale_crl = \"soft\" for its anchor";
    /// The key is too short.
    WeakKey = "weak_key", NotAuthorized, Some(Alert::BadCertificate),
        "make a key of at least RSA 2048 or EC P-256 and a new certificate for it";
    /// The tenant does not take keys of this kind.
    KeyType = "key_type", NotAuthorized, Some(Alert::BadCertificate),
        "make a key of a kind that key_policy names, EC P-256 for instance";
    /// Signed with MD5 or SHA-1.
    WeakSignature = "weak_signature", NotAuthorized, Some(Alert::BadCertificate),
        "sign the certificate with SHA-256 or stronger (`openssl x509 -sha256`)";
    /// Signed in a way that the broker cannot check.
    SignatureAlgorithm = "signature_algorithm", NotAuthorized, Some(Alert::BadCertificate),
        "sign with ECDSA, Ed25519, RSA PKCS#1 or RSA-PSS whose salt is as long as its hash";
    /// The extended key usage lacks clientAuth.
    ExtendedKeyUsage = "eku", NotAuthorized, Some(Alert::UnsupportedCertificate),
        "issue the certificate with extendedKeyUsage clientAuth, or without extendedKeyUsage";
    /// A critical extension that the broker does not know.
    CriticalExtension = "critical_extension", NotAuthorized, Some(Alert::BadCertificate),
        "issue the certificate without this extension, or not marked critical";
    /// A certificate of version 1 where none is taken.
    X509Version = "x509_version", NotAuthorized, Some(Alert::BadCertificate),
        "issue the certificate as version 3 (`openssl x509 -req -extfile`), or set x509_v1_leaf = \"allow\"";
    /// The client did not prove that it holds the certificate's key.
    WrongKey = "wrong_key", NotAuthorized, Some(Alert::DecryptError),
        "give the client the private key that belongs to its certificate";
    /// No certificate where one is required.
    NoCertificate = "no_certificate", NotAuthorized, Some(Alert::CertificateRequired),
        "configure certificate and key in the client, and CA files that let it choose this certificate";
    /// The handshake failed for a reason that is not the certificate's.
    Tls = "tls", NotAuthorized, None,
        "let the client speak TLS 1.2 or 1.3 to this port and trust the broker's CA";
    // Who the client is.
    /// No CN, an empty one, or two.
    CnMissing = "cn_missing", NotAuthorized, Some(Alert::BadCertificate),
        "issue the certificate with exactly one CN in its subject";
    /// The ClientId is not the certificate's.
    CnMismatch = "cn_mismatch", NotAuthorized, None,
        "use the expected ClientId, or a certificate whose CN fits";
    /// The ClientId is not well formed, too long, empty or lacks its prefix.
    ClientId = "client_id", ClientIdentifierNotValid, None,
        "use a ClientId of the expected form";
    /// 24 or more characters in MQTT 3.1, in profile cumulocity.
    LongClientId = "long_client_id", NotAuthorized, None,
        "use a ClientId of at most 23 characters, or MQTT 3.1.1";
    /// The ClientId's session belongs to somebody else.
    PrincipalConflict = "principal_conflict", ClientIdentifierNotValid, None,
        "use another ClientId, or end the session of its present owner";
    /// Certificate and user name name different tenants.
    TenantConflict = "tenant_conflict", NotAuthorized, None,
        "leave the user name empty, or use that of the certificate's tenant";
    /// Certificate and account were not given together (CEN-ACC-01).
    GrantConflict = "grant_conflict", NotAuthorized, None,
        "use the user name and password that came with this certificate, or hand in a request for another";
    /// Nothing names a tenant that exists.
    NoTenant = "no_tenant", NotAuthorized, Some(Alert::CertificateUnknown),
        "set default_tenant on the listener, or use a certificate or server name of a tenant";
    /// The device is not known, and a first connection does not make it so.
    NotRegistered = "not_registered", NotAuthorized, None,
        "register the device, or switch auto registration on for its anchor";
    /// The device is known, and switched off.
    DeviceDisabled = "device_disabled", NotAuthorized, None,
        "enable the device";
    /// The tenant knows as many devices as it may.
    TooManyDevices = "too_many_devices", NotAuthorized, None,
        "remove devices that are gone, or raise limits.max_devices";
    /// The tenant has no active subscription.
    SubscriptionInactive = "subscription_inactive", NotAuthorized, None,
        "activate the tenant's subscription";
    /// User name or password is wrong.
    BadPassword = "bad_password", BadUserNameOrPassword, None,
        "check user name (<tenant>/<user>) and password";
    /// The password is empty.
    EmptyPassword = "empty_password", NotAuthorized, None,
        "configure the password in the client";
    /// Neither certificate nor user name where one of them is needed.
    NoCredentials = "no_credentials", NotAuthorized, None,
        "configure a client certificate on the TLS port, or user name and password";
    /// The account exists, but is switched off.
    AccountDisabled = "account_disabled", NotAuthorized, None,
        "enable the account";
    /// Too many wrong passwords from this address.
    LockedOut = "locked_out", ServerUnavailable, None,
        "wait half a minute and use the right password";
    // What the client asked for.
    /// The protocol level is not served here.
    ProtocolLevel = "protocol_level", UnsupportedProtocolVersion, None,
        "use a protocol version of mqtt_levels, 3.1.1 for instance";
    /// The first packet was not a good CONNECT.
    ProtocolError = "protocol_error", ProtocolError, None,
        "check that the client speaks MQTT to this port";
    /// Enhanced authentication, which is not served [MQTT-4.12.0-1].
    AuthenticationMethod = "authentication_method", BadAuthenticationMethod, None,
        "connect without an authentication method";
    /// The client's maximum packet size leaves no room for CONNACK
    /// [MQTT-3.1.2-24].
    PacketSize = "packet_size", PacketTooLarge, None,
        "let the client take packets of 512 bytes or more";
    /// A lasting session where none is granted.
    CleanSessionPolicy = "clean_session_policy", NotAuthorized, None,
        "connect with clean session, or change clean_session_policy";
    /// The will's topic may not be published to.
    WillForbidden = "will_forbidden", NotAuthorized, None,
        "choose a will topic that the client may publish to, or widen acl.extra_publish";
    /// The tenant does not take clients over this transport.
    TransportForbidden = "transport_forbidden", NotAuthorized, None,
        "use the TLS port, or change plain_listener or websocket";
    /// A balancer that has to say where its clients are did not.
    ProxyHeader = "proxy_header", ProtocolError, None,
        "let the balancer send PROXY protocol version 2, or take its address out of proxy_protocol";
    /// The HTTP request does not open a WebSocket for MQTT.
    WebSocketRequest = "websocket_request", ProtocolError, None,
        "let the client open ws(s)://HOST:PORT/mqtt with the subprotocol mqtt";
    // What a client that is in may not do.
    /// A publication to a topic without the right to it.
    PublishForbidden = "publish_forbidden", NotAuthorized, None,
        "grant the topic in the tenant's acl; `certus acl test` names the rule that decides";
    /// A subscription to a filter without the right to all that it matches.
    SubscribeForbidden = "subscribe_forbidden", NotAuthorized, None,
        "grant the filter in the tenant's acl, or subscribe to less; `certus acl test` names the rule that decides";
    // The broker's own state.
    /// The peer was too slow.
    Timeout = "timeout", UnspecifiedError, None,
        "check the network; handshake and CONNECT have to arrive in time";
    /// Too many handshakes at once.
    TooManyHandshakes = "too_many_handshakes", ServerBusy, None,
        "let clients wait a random time before they reconnect, or raise max_handshakes";
    /// Too many connections.
    TooManyConnections = "too_many_connections", ServerBusy, None,
        "raise max_connections, or max_connections_per_address";
    /// Too many connections from one address within a second.
    ConnectRate = "connect_rate", ConnectionRateExceeded, None,
        "let clients wait longer before they reconnect, or raise max_connect_rate_per_address";
    /// Resident memory stands above its mark.
    MemoryFull = "memory_full", ServerBusy, None,
        "raise max_memory, lower the bounds in [queues], or give the machine more memory";
    /// The broker is too late with what it has to do.
    Overloaded = "overloaded", ServerBusy, None,
        "give the broker more cores, let clients wait longer before they reconnect, or raise max_lag";
    /// The broker cannot serve now.
    Unavailable = "unavailable", ServerUnavailable, None,
        "look at the broker's log";
    /// The broker stops.
    ShuttingDown = "shutting_down", ServerShuttingDown, None,
        "connect again when the broker is back";
}

impl Reason {
    /// The alert that ends the handshake; `None` if the reason does not show
    /// before CONNECT. In profile cumulocity a certificate whose issuer is not
    /// held is `certificate_unknown`, which its agents read so (TLS-06).
    #[must_use]
    pub const fn alert(self, profile: Option<Profile>) -> Option<Alert> {
        match (self.plain_alert(), profile) {
            (Some(Alert::UnknownCa), Some(Profile::Cumulocity)) => Some(Alert::CertificateUnknown),
            (alert, _) => alert,
        }
    }

    /// The reason's place in [`Reason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_an_own_snake_case_name_a_remedy_and_a_failing_code() {
        let mut names = std::collections::BTreeSet::new();
        for (index, &reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert!(names.insert(reason.as_str()), "{reason}");
            assert!(
                reason.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            );
            assert!(reason.remedy().len() > 10, "{reason}");
            assert!(reason.connack().is_error(), "{reason}");
            assert!((1..=5).contains(&reason.connack().connack_v3()), "{reason}");
        }
    }

    /// SEC-02
    #[test]
    fn the_list_of_the_specification_is_part_of_ours() {
        for name in [
            "unknown_issuer",
            "chain_too_long",
            "pathlen",
            "expired",
            "not_yet_valid",
            "revoked",
            "weak_key",
            "key_type",
            "not_ca",
            "cn_mismatch",
            "cn_missing",
            "not_registered",
            "subscription_inactive",
            "bad_password",
            "no_certificate",
            "protocol_level",
            "client_id",
        ] {
            assert!(Reason::ALL.iter().any(|reason| reason.as_str() == name), "{name}");
        }
    }

    /// AUTH-11
    #[test]
    fn the_connack_codes_are_those_of_the_table() {
        for (reason, code) in [
            (Reason::ProtocolLevel, 1),
            (Reason::ClientId, 2),
            (Reason::PrincipalConflict, 2),
            (Reason::Unavailable, 3),
            (Reason::LockedOut, 3),
            (Reason::TooManyConnections, 3),
            (Reason::BadPassword, 4),
            (Reason::EmptyPassword, 5),
            (Reason::CnMismatch, 5),
            (Reason::CnMissing, 5),
            (Reason::NotRegistered, 5),
            (Reason::SubscriptionInactive, 5),
            (Reason::GrantConflict, 5),
            (Reason::LongClientId, 5),
            (Reason::UnknownIssuer, 5),
            (Reason::WillForbidden, 5),
        ] {
            assert_eq!(reason.connack().connack_v3(), code, "{reason}");
        }
    }

    /// TLS-06
    #[test]
    fn an_unknown_issuer_is_46_in_cumulocity_and_48_elsewhere() {
        assert_eq!(Reason::UnknownIssuer.alert(Some(Profile::Cumulocity)), Some(Alert::CertificateUnknown));
        assert_eq!(Reason::UnknownIssuer.alert(Some(Profile::Open)), Some(Alert::UnknownCa));
        assert_eq!(Reason::UnknownIssuer.alert(None), Some(Alert::UnknownCa));
        assert_eq!(Reason::Expired.alert(Some(Profile::Cumulocity)), Some(Alert::CertificateExpired));
        assert_eq!(Reason::Revoked.alert(None), Some(Alert::CertificateRevoked));
    }
}
