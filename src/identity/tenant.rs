//! Tenants as they are configured: a profile, its switches, its anchors.
//!
//! What lives here: the table of spec.md section 2 as data. What does not:
//! what a switch does (the room that reads it), reading configuration
//! (`config`). Invariant: a profile is nothing but a set of switch values;
//! no code asks for the profile where a switch would do.

use std::time::Duration;

use super::account::{Account, BootstrapPassword};
use super::crl::CrlSettings;
use super::policy::AclRule;
use super::revocation::Revocation;
use super::switch::{
    AnchorInChain, AnchorKind, AnchorState, Anonymous, AutoRegister, CleanSessionPolicy, ClientCert, IdentityRule,
    KeyPolicy, MqttLevels, OnForbiddenPublish, OnForbiddenSubscribe, Password, PlainListener, Profile, QueueOverflow,
    RejectAt, Retain, StaleCrl, V1, WebSocket,
};
use crate::mqtt::TenantId;

/// Every switch of a tenant, with the name that it has in configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Whether the handshake asks for a client certificate.
    pub client_cert: ClientCert,
    /// When user name and password are checked.
    pub password: Password,
    /// Where neither certificate nor password is needed.
    pub anonymous: Anonymous,
    /// How the ClientId is checked against the CN.
    pub identity_rule: IdentityRule,
    /// How many anchors may be uploaded or configured; 0 means no limit.
    /// The tenant's own platform CA and those of operators do not count.
    pub max_anchors: usize,
    /// Certificates from leaf to anchor, both counted: 1 to 10.
    pub max_chain_length: usize,
    /// Whether the client must send the anchor itself.
    pub anchor_in_chain: AnchorInChain,
    /// Whether a CA that is not self-signed may be an anchor.
    pub anchor_may_be_intermediate: bool,
    /// Whether a device may present a certificate that is itself an anchor.
    pub anchor_may_be_leaf: bool,
    /// Device certificates of version 1.
    pub x509_v1_leaf: V1,
    /// Anchors of version 1, self-signed only.
    pub x509_v1_anchor: V1,
    /// The keys that a client certificate may hold.
    pub key_policy: KeyPolicy,
    /// Whether an anchor is unusable until possession of its key is proved.
    pub pop_required: bool,
    /// Whether a first connection makes the device known.
    pub auto_register: AutoRegister,
    /// Whether certificate requests are approved without an operator
    /// (CEN-CSR-04): whoever knows the tenant's name gets in.
    pub auto_approve: bool,
    /// What becomes of a wish for a lasting session.
    pub clean_session_policy: CleanSessionPolicy,
    /// How long a lasting session outlives its connection.
    pub session_expiry: Duration,
    /// The longest packet in bytes, fixed header included.
    pub max_packet: u32,
    /// What becomes of the RETAIN flag of clients' publications.
    pub retain: Retain,
    /// The answer to a forbidden publication.
    pub on_forbidden_publish: OnForbiddenPublish,
    /// The answer to a forbidden subscription.
    pub on_forbidden_subscribe: OnForbiddenSubscribe,
    /// The protocol versions that are served.
    pub mqtt_levels: MqttLevels,
    /// Who may come in without TLS.
    pub plain_listener: PlainListener,
    /// Who may come in over WebSocket.
    pub websocket: WebSocket,
    /// Where a bad certificate is refused.
    pub reject_at: RejectAt,
    /// Whether SmartREST is spoken.
    pub smartrest: bool,
    /// Whether `tenant_cn` also takes the bare CN (AUTH-03).
    pub allow_bare_cn: bool,
    /// Whether CertificateRequest names the anchors (TLS-05).
    pub send_ca_names: bool,
    /// Whether a connection ends with its certificate (TRUST-12).
    pub disconnect_on_expiry: bool,
    /// Whether a password may stand in for a certificate that failed
    /// (AUTH-10); needs `reject_at = "connack"`.
    pub cert_fallback_to_password: bool,
    /// Which message goes when a session queue is full.
    pub queue_overflow: QueueOverflow,
    /// Rights beyond those of the profile.
    pub acl: Acl,
}

/// Rights beside those of the profile: topic filters in which `%t` is the
/// tenant, `%c` the ClientId and `%n` the CN, and rules. A pattern whose
/// variable is not set grants nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Whether the rights of profile and role are granted too.
    pub profile_rights: bool,
    /// Rules, from the configuration and the ACL file.
    pub rules: Vec<AclRule>,
    /// May also be published to.
    pub extra_publish: Vec<String>,
    /// May also be subscribed to.
    pub extra_subscribe: Vec<String>,
}

impl Default for Acl {
    fn default() -> Self {
        Self { profile_rights: true, rules: Vec::new(), extra_publish: Vec::new(), extra_subscribe: Vec::new() }
    }
}

impl Profile {
    /// The profile's column in the table of switches.
    #[must_use]
    pub fn switches(self) -> Switches {
        match self {
            Self::Open => open(),
            Self::Mindconnect => mindconnect(),
            Self::Cumulocity => cumulocity(),
            Self::Centiloc => centiloc(),
        }
    }
}

fn open() -> Switches {
    Switches {
        client_cert: ClientCert::Required,
        password: Password::WithoutCert,
        anonymous: Anonymous::PlainOnly,
        identity_rule: IdentityRule::ExactCn,
        max_anchors: 2,
        max_chain_length: 10,
        anchor_in_chain: AnchorInChain::Either,
        anchor_may_be_intermediate: true,
        anchor_may_be_leaf: true,
        x509_v1_leaf: V1::Allow,
        x509_v1_anchor: V1::Refuse,
        key_policy: KeyPolicy::RsaEcEd25519,
        pop_required: false,
        auto_register: AutoRegister::Yes,
        auto_approve: false,
        clean_session_policy: CleanSessionPolicy::Honour,
        session_expiry: Duration::from_secs(7 * 24 * 3600),
        max_packet: 1_048_576,
        retain: Retain::Store,
        on_forbidden_publish: OnForbiddenPublish::Drop,
        on_forbidden_subscribe: OnForbiddenSubscribe::Suback80,
        mqtt_levels: MqttLevels::FROM_3,
        plain_listener: PlainListener::Loopback,
        websocket: WebSocket::On,
        reject_at: RejectAt::Tls,
        smartrest: false,
        allow_bare_cn: true,
        send_ca_names: true,
        disconnect_on_expiry: true,
        cert_fallback_to_password: false,
        queue_overflow: QueueOverflow::DropOldest,
        acl: Acl::default(),
    }
}

fn mindconnect() -> Switches {
    Switches {
        password: Password::Ignored,
        anonymous: Anonymous::No,
        identity_rule: IdentityRule::TenantCn,
        max_chain_length: 2,
        anchor_may_be_intermediate: false,
        anchor_may_be_leaf: false,
        x509_v1_anchor: V1::Allow,
        key_policy: KeyPolicy::RsaEc,
        pop_required: true,
        session_expiry: Duration::from_secs(3600),
        max_packet: 131_072,
        on_forbidden_publish: OnForbiddenPublish::Close,
        mqtt_levels: MqttLevels::FROM_4,
        plain_listener: PlainListener::Off,
        websocket: WebSocket::Off,
        ..open()
    }
}

fn cumulocity() -> Switches {
    Switches {
        client_cert: ClientCert::Optional,
        anonymous: Anonymous::No,
        identity_rule: IdentityRule::DeviceIdCn,
        max_anchors: 0,
        max_chain_length: 2,
        key_policy: KeyPolicy::RsaEc,
        auto_register: AutoRegister::PerAnchor,
        session_expiry: Duration::from_secs(24 * 3600),
        max_packet: 16_184,
        retain: Retain::Ignore,
        on_forbidden_publish: OnForbiddenPublish::Connack5Close,
        plain_listener: PlainListener::PasswordOnly,
        websocket: WebSocket::PasswordOnly,
        smartrest: true,
        ..open()
    }
}

fn centiloc() -> Switches {
    Switches {
        password: Password::Always,
        anonymous: Anonymous::No,
        identity_rule: IdentityRule::CnPrefix,
        max_chain_length: 2,
        anchor_may_be_intermediate: false,
        anchor_may_be_leaf: false,
        x509_v1_leaf: V1::Refuse,
        key_policy: KeyPolicy::Ec,
        auto_register: AutoRegister::No,
        session_expiry: Duration::from_secs(2 * 3600),
        max_packet: 262_144,
        retain: Retain::Ignore,
        on_forbidden_publish: OnForbiddenPublish::Close,
        mqtt_levels: MqttLevels::FROM_4,
        plain_listener: PlainListener::Off,
        websocket: WebSocket::Off,
        ..open()
    }
}

/// A tenant as configuration or API describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSettings {
    /// Its name.
    pub id: TenantId,
    /// The profile that the switches started from; rights follow it.
    pub profile: Profile,
    /// Whether its clients may come in: a tenant without an active
    /// subscription answers CONNACK 5.
    pub enabled: bool,
    /// The profile's switches with the tenant's own values in them.
    pub switches: Switches,
    /// The TLS server name under which clients mean this tenant.
    pub domain: Option<String>,
    /// The certificates that its clients' chains may end in.
    pub anchors: Vec<AnchorSettings>,
    /// What was taken back (TRUST-10). The configuration file holds none.
    pub revocations: Vec<Revocation>,
    /// The names that are proved by a password.
    pub accounts: Vec<Account>,
    /// With what devices ask for credentials of their own, if they may.
    pub bootstrap: Option<BootstrapPassword>,
}

impl TenantSettings {
    /// A tenant with nothing but its profile.
    #[must_use]
    pub fn new(id: TenantId, profile: Profile) -> Self {
        Self {
            id,
            profile,
            enabled: true,
            switches: profile.switches(),
            domain: None,
            anchors: Vec::new(),
            revocations: Vec::new(),
            accounts: Vec::new(),
            bootstrap: None,
        }
    }
}

/// A trust anchor as configuration or API describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorSettings {
    /// What people call it; unique in the tenant.
    pub name: String,
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Where it came from, for messages: a file name as a rule.
    pub source: String,
    /// Where it came from, and whom it may sign for.
    pub kind: AnchorKind,
    /// What it is good for.
    pub state: AnchorState,
    /// Whether possession of its key was proved; configured anchors are.
    pub proved: bool,
    /// Whether a first connection through it makes the device known.
    pub auto_registration: bool,
    /// What becomes of its certificates when a revocation list is stale.
    pub stale_crl: StaleCrl,
    /// The revocation lists of the anchor and of CAs below it, one an issuer.
    pub crls: Vec<CrlSettings>,
}

impl AnchorKind {
    /// Whether it takes one of the places that `max_anchors` counts.
    #[must_use]
    pub const fn counts(self) -> bool {
        matches!(self, Self::Uploaded | Self::Configured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::Version;

    #[test]
    fn five_is_served_wherever_four_is() {
        for profile in Profile::ALL {
            let levels = profile.switches().mqtt_levels;
            assert_eq!(levels.contains(Version::V4), levels.contains(Version::V5), "{profile}");
        }
    }

    #[test]
    fn only_open_lets_anybody_in_without_proof_and_only_from_this_machine() {
        for profile in Profile::ALL {
            let switches = profile.switches();
            let open = *profile == Profile::Open;
            assert_eq!(switches.anonymous == Anonymous::PlainOnly, open, "{profile}");
            assert_eq!(switches.plain_listener == PlainListener::Loopback, open, "{profile}");
        }
    }
}
