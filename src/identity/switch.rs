//! The words that a tenant's switches are set to.
//!
//! What lives here: one enum per switch that knows more than yes and no, with
//! the names that configuration and API use. What does not: which profile
//! sets which value (`tenant`). Invariant: every value reads back from its
//! own name.

use crate::mqtt::Version;

/// A name that no value of a switch has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is not one of {}", .allowed.join(", "))]
pub struct UnknownValue {
    /// What stood there.
    pub given: String,
    /// What may stand there.
    pub allowed: &'static [&'static str],
}

macro_rules! words {
    ($($(#[$doc:meta])* $type:ident { $($(#[$value_doc:meta])* $value:ident = $name:literal,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub enum $type {
                $($(#[$value_doc])* $value,)*
            }

            impl $type {
                /// Every value, in the order of the documentation.
                pub const ALL: &'static [Self] = &[$(Self::$value,)*];
                /// The names of all values.
                pub const NAMES: &'static [&'static str] = &[$($name,)*];

                /// The name in configuration and API.
                #[must_use]
                pub const fn as_str(self) -> &'static str {
                    match self {
                        $(Self::$value => $name,)*
                    }
                }
            }

            impl std::str::FromStr for $type {
                type Err = UnknownValue;

                fn from_str(text: &str) -> Result<Self, UnknownValue> {
                    match text {
                        $($name => Ok(Self::$value),)*
                        _ => Err(UnknownValue { given: text.to_owned(), allowed: Self::NAMES }),
                    }
                }
            }

            impl std::fmt::Display for $type {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(self.as_str())
                }
            }
        )*

        #[cfg(test)]
        #[test]
        fn every_value_reads_back_from_its_name() {
            $(for value in $type::ALL {
                assert_eq!(value.as_str().parse(), Ok(*value));
            })*
        }
    };
}

words! {
    /// Whom the HTTPS listener asks for a certificate.
    AskForCertificates {
        /// Whoever is no browser, as soon as an anchor is enabled.
        Tools = "tools",
        /// Nobody.
        Never = "never",
    }
    /// A named set of switch values.
    Profile {
        /// The design card taken literally: the CN is the ClientId.
        Open = "open",
        /// Siemens MindConnect MQTT.
        Mindconnect = "mindconnect",
        /// Cumulocity device integration.
        Cumulocity = "cumulocity",
        /// Centiloc User-MQTT.
        Centiloc = "centiloc",
    }
    /// `client_cert`: whether the handshake asks for a client certificate.
    ClientCert {
        /// Without one the handshake ends.
        Required = "required",
        /// Without one user name and password decide.
        Optional = "optional",
        /// It is not asked for.
        Off = "off",
    }
    /// `password`: when user name and password are checked.
    Password {
        /// Never; they are read over.
        Ignored = "ignored",
        /// When no client certificate was presented.
        WithoutCert = "without_cert",
        /// Always, also beside a certificate.
        Always = "always",
    }
    /// The role of an account: what it is for.
    Role {
        /// A device: it has the rights of the tenant's profile, and needs a
        /// certificate wherever the tenant's clients do.
        Device = "device",
        /// A program that works with the devices (ACL-07).
        Application = "application",
        /// Whoever runs the tenant; may publish and subscribe to all of it.
        Operator = "operator",
    }
    /// Whether a rule allows or denies.
    Effect {
        /// It allows.
        Allow = "allow",
        /// It denies, whatever others allow.
        Deny = "deny",
    }
    /// What a rule is about.
    Action {
        /// Publishing.
        Publish = "publish",
        /// Subscribing.
        Subscribe = "subscribe",
        /// Both.
        Both = "both",
    }
    /// What was proved of a client, as rules name it.
    Variable {
        /// The tenant, `%t`.
        Tenant = "tenant",
        /// The ClientId, `%c`.
        ClientId = "client_id",
        /// The subject CN, `%n`.
        CommonName = "cn",
        /// The account, or else the CN, `%u`.
        User = "user",
        /// The account's role.
        Role = "role",
        /// An organizational unit of the subject.
        OrganizationalUnit = "ou",
        /// An organization of the subject.
        Organization = "o",
        /// A DNS name among the subject's alternative names.
        Dns = "dns",
        /// An e-mail address among them.
        Email = "email",
        /// A URI among them.
        Uri = "uri",
        /// An IP address among them.
        Ip = "ip",
        /// The issuer, as `CN=Plant 7 Root, O=Borealis`.
        Issuer = "issuer",
        /// The name of the anchor that the chain ends in.
        Anchor = "anchor",
        /// The serial number, in hexadecimal digits.
        Serial = "serial",
        /// SHA-256 of the certificate, in hexadecimal digits.
        Fingerprint = "fingerprint",
    }
    /// Where an anchor came from, and whom it may sign for.
    AnchorKind {
        /// Somebody of the tenant uploaded it.
        Uploaded = "uploaded",
        /// It stands in the configuration.
        Configured = "configured",
        /// The tenant's own platform CA, kept by the broker. It does not count
        /// against `max_anchors`.
        Issuer = "issuer",
        /// It signs for many tenants: the leaf's CN is the tenant. It does not
        /// count against `max_anchors`.
        Operator = "operator",
    }
    /// The `status` of an anchor: what chains that end in it are good for.
    AnchorState {
        /// For everything.
        Enabled = "enabled",
        /// For nothing.
        Disabled = "disabled",
        /// For renewing a certificate, and nothing else.
        RenewOnly = "renew_only",
    }
    /// `stale_crl`: what becomes of a certificate whose issuer's revocation
    /// list should have been replaced by a newer one.
    StaleCrl {
        /// It is judged by the old list, which is counted and told.
        Soft = "soft",
        /// It is refused.
        Hard = "hard",
    }
    /// Why something was taken back. Source: RFC 5280 section 5.3.1.
    RevocationReason {
        /// Nobody said why.
        Unspecified = "unspecified",
        /// Somebody else may hold the private key.
        KeyCompromise = "keyCompromise",
        /// Somebody else may hold the CA's private key.
        CaCompromise = "cACompromise",
        /// The holder has another name or place now.
        AffiliationChanged = "affiliationChanged",
        /// Another certificate took its place.
        Superseded = "superseded",
        /// The holder does not need it any more.
        CessationOfOperation = "cessationOfOperation",
        /// For the time being.
        CertificateHold = "certificateHold",
        /// A certificate on hold is good again.
        RemoveFromCrl = "removeFromCRL",
        /// The holder may not do any more what it was issued for.
        PrivilegeWithdrawn = "privilegeWithdrawn",
        /// Somebody else may hold an attribute authority's key.
        AaCompromise = "aACompromise",
    }
    /// `anonymous`: where a client needs neither certificate nor password.
    Anonymous {
        /// Nowhere.
        No = "no",
        /// On listeners without TLS, where the tenant's `plain_listener`
        /// lets it in.
        PlainOnly = "plain_only",
    }
    /// `identity_rule`: how the ClientId is checked against the CN.
    IdentityRule {
        /// They are equal (AUTH-06).
        ExactCn = "exact_cn",
        /// `<tenant>_<CN>` (AUTH-03).
        TenantCn = "tenant_cn",
        /// The device identifier in `d:<id>:<template>` is the CN (AUTH-04).
        DeviceIdCn = "device_id_cn",
        /// The ClientId begins with the CN (AUTH-05).
        CnPrefix = "cn_prefix",
        /// The ClientId is free.
        Any = "any",
    }
    /// `anchor_in_chain`: whether the client must send the anchor itself.
    AnchorInChain {
        /// It may.
        Either = "either",
        /// It must (TRUST-06).
        Required = "required",
    }
    /// `x509_v1_leaf` and `x509_v1_anchor`: certificates of version 1. An
    /// anchor of version 1 must be self-signed.
    V1 {
        /// Accepted.
        Allow = "allow",
        /// Refused.
        Refuse = "refuse",
    }
    /// `key_policy`: the keys that a client certificate may hold.
    KeyPolicy {
        /// RSA of 2048 bits or more, or a curve of 256 bits or more.
        RsaEc = "rsa_ec",
        /// A curve of 256 bits or more.
        Ec = "ec",
        /// `rsa_ec` and Ed25519.
        RsaEcEd25519 = "rsa_ec_ed25519",
    }
    /// `auto_register`: whether a first connection makes the device known.
    AutoRegister {
        /// It does.
        Yes = "yes",
        /// It does if the anchor's flag says so.
        PerAnchor = "per_anchor",
        /// The device must have been registered before.
        No = "no",
    }
    /// `clean_session_policy`: what becomes of a wish for a lasting session.
    CleanSessionPolicy {
        /// It is granted.
        Honour = "honour",
        /// The session is clean all the same.
        ForceClean = "force_clean",
        /// The connection is refused.
        RejectPersistent = "reject_persistent",
    }
    /// `retain`: what becomes of the RETAIN flag of clients' publications.
    Retain {
        /// The message is kept for later subscribers.
        Store = "store",
        /// The flag is read over.
        Ignore = "ignore",
    }
    /// `on_forbidden_publish` (ACL-06).
    OnForbiddenPublish {
        /// Close the connection.
        Close = "close",
        /// A second CONNACK with code 5, then close (AUTH-12).
        Connack5Close = "connack5_close",
        /// Acknowledge and discard; MQTT 5.0 clients read 0x87.
        Drop = "drop",
    }
    /// `on_forbidden_subscribe` (ACL-06).
    OnForbiddenSubscribe {
        /// That filter alone is refused, 0x80 or 0x87.
        Suback80 = "suback_80",
        /// Close the connection.
        Close = "close",
    }
    /// `plain_listener`: who may come in without TLS.
    PlainListener {
        /// Nobody.
        Off = "off",
        /// Whoever has a password.
        PasswordOnly = "password_only",
        /// As `on`, but only from this machine.
        Loopback = "loopback",
        /// Everybody whom `anonymous` and `password` let in.
        On = "on",
    }
    /// `websocket`: who may come in over WebSocket.
    WebSocket {
        /// Nobody.
        Off = "off",
        /// Whoever has a password; certificates are refused (MQTT-WS-02).
        PasswordOnly = "password_only",
        /// As over TCP.
        On = "on",
    }
    /// `reject_at`: where a bad certificate is refused.
    RejectAt {
        /// By an alert in the handshake (TLS-06).
        Tls = "tls",
        /// By CONNACK 5 after the handshake (TLS-07).
        Connack = "connack",
    }
    /// `queue_overflow`: which message goes when a session queue is full.
    QueueOverflow {
        /// The oldest (MQTT-SES-04).
        DropOldest = "drop_oldest",
        /// The one that has just come.
        DropNewest = "drop_newest",
    }
}

/// `mqtt_levels`: the protocol versions that a tenant serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MqttLevels {
    v3: bool,
    v4: bool,
    v5: bool,
}

impl MqttLevels {
    /// No version at all; a start for `with`.
    pub const NONE: Self = Self { v3: false, v4: false, v5: false };
    /// 3.1.1 and 5.0.
    pub const FROM_4: Self = Self { v3: false, v4: true, v5: true };
    /// 3.1, 3.1.1 and 5.0.
    pub const FROM_3: Self = Self { v3: true, v4: true, v5: true };

    /// This set and `version`.
    #[must_use]
    pub const fn with(mut self, version: Version) -> Self {
        match version {
            Version::V3 => self.v3 = true,
            Version::V4 => self.v4 = true,
            Version::V5 => self.v5 = true,
        }
        self
    }

    /// Whether `version` is served.
    #[must_use]
    pub const fn contains(self, version: Version) -> bool {
        match version {
            Version::V3 => self.v3,
            Version::V4 => self.v4,
            Version::V5 => self.v5,
        }
    }

    /// The versions of the set, oldest first.
    pub fn iter(self) -> impl Iterator<Item = Version> {
        [Version::V3, Version::V4, Version::V5].into_iter().filter(move |version| self.contains(*version))
    }
}
