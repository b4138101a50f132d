//! `[[tenant]]`: who may connect, and by which rules.
//!
//! What lives here: tenants, their switches, and the names of their anchors.
//! What does not: the certificates behind the names (`anchors`), what a switch
//! does (`identity`). Invariant: a switch that is not written has the value of
//! the tenant's profile.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::control::settings::{ListPlace, NoticeWays};
use crate::identity::account::BootstrapPassword;
use crate::identity::switch::{AnchorKind, AnchorState, MqttLevels, Profile, RejectAt, StaleCrl};
use crate::identity::tenant::{Switches, TenantSettings};
use crate::mqtt::{TenantId, Version};

use super::document::{Given, Reader};
use super::error::{Complaint, Place};
use super::values::{duration, size, text, texts, truth, whole, word};

/// The tenant of a broker whose configuration names none.
pub(super) const DEFAULT_TENANT: &str = "lab";

/// Its anchor: the device CA of the development PKI.
pub(super) const DEFAULT_ANCHOR: &str = "device-ca.pem";

/// A packet must hold a small CONNECT, and MQTT ends at 256 MiB
/// [MQTT-1.5.5]: 268,435,455 bytes behind a fixed header of five.
const PACKET: RangeInclusive<u32> = 128..=268_435_460;

/// From no time at all to what a 32-bit number of seconds holds.
const EXPIRY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(u32::MAX as u64);

/// How often revocation lists are fetched, unless told otherwise.
const HOUR: Duration = Duration::from_secs(3600);

/// A list of a week ago is of little use; nobody needs one more than every second.
const REFRESH: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);

/// Addresses of one anchor: as many lists as an anchor may have.
const MOST_LISTS: usize = 16;

/// An anchor whose certificate has not been read.
#[derive(Clone, Debug)]
pub(super) struct AnchorEntry {
    pub(super) name: Option<String>,
    pub(super) file: PathBuf,
    pub(super) kind: AnchorKind,
    pub(super) state: AnchorState,
    pub(super) auto_registration: bool,
    pub(super) stale_crl: StaleCrl,
    /// Where its revocation lists are, and how often they are fetched.
    pub(super) lists: (Vec<ListPlace>, Duration),
    pub(super) place: Place,
}

/// A file that a tenant names, and where.
#[derive(Clone, Debug)]
pub(super) struct FileEntry {
    pub(super) file: PathBuf,
    pub(super) place: Place,
}

/// A tenant whose anchors and files have not been read.
#[derive(Clone, Debug)]
pub(super) struct TenantEntry {
    pub(super) settings: TenantSettings,
    pub(super) accounts: Option<FileEntry>,
    pub(super) anchors: Vec<AnchorEntry>,
    /// Where its notices go, if not where all go.
    pub(super) notices: NoticeWays,
    pub(super) place: Place,
}

pub(super) fn tenants(top: &Reader<'_>) -> Vec<TenantEntry> {
    let Some(tables) = top.tables("tenant") else { return vec![lab()] };
    let tenants: Vec<TenantEntry> = tables.into_iter().filter_map(tenant).collect();
    let (mut ids, mut domains) = (BTreeSet::new(), BTreeSet::new());
    for entry in &tenants {
        if !ids.insert(&entry.settings.id) {
            let complaint =
                Complaint::new(format!("tenant {} is listed twice", entry.settings.id), "give it its own id");
            top.scope.report(entry.place.clone(), "tenant.id", complaint);
        }
        if let Some(domain) = &entry.settings.domain
            && !domains.insert(domain)
        {
            let complaint = Complaint::new(format!("{domain:?} belongs to another tenant"), "give each its own domain");
            top.scope.report(entry.place.clone(), "tenant.domain", complaint);
        }
    }
    tenants
}

fn lab() -> TenantEntry {
    let anchor = AnchorEntry {
        name: None,
        file: PathBuf::from(DEFAULT_ANCHOR),
        kind: AnchorKind::Configured,
        state: AnchorState::Enabled,
        auto_registration: true,
        stale_crl: StaleCrl::Soft,
        lists: (Vec::new(), HOUR),
        place: Place::Default,
    };
    let settings = TenantSettings::new(TenantId::new(DEFAULT_TENANT), Profile::Open);
    TenantEntry {
        settings,
        accounts: None,
        anchors: vec![anchor],
        notices: NoticeWays::default(),
        place: Place::Default,
    }
}

fn tenant(table: Reader<'_>) -> Option<TenantEntry> {
    let id = table.read("id", None, |given| tenant_id(given).map(Some));
    if id.is_none() && table.find("id").is_none() {
        table.complain("id", Complaint::new("it is missing", "write id = \"NAME\""));
    }
    let profile = table.read("profile", Profile::Open, word);
    let domain = table.read("domain", None, |given| domain(given).map(Some));
    let bootstrap = table.read("bootstrap_password", None, |given| bootstrap(given).map(Some));
    let switches = switches(&table, profile);
    let anchors = table.tables("anchor").unwrap_or_default().into_iter().filter_map(anchor).collect();
    let accounts = accounts(&table);
    let notices = super::notices::ways(&table);
    let place = table.place_of("id");
    table.close();
    Some(TenantEntry {
        accounts,
        settings: TenantSettings { switches, domain, bootstrap, ..TenantSettings::new(id?, profile) },
        anchors,
        notices,
        place,
    })
}

fn accounts(tenant: &Reader<'_>) -> Option<FileEntry> {
    let table = tenant.table("accounts");
    let file = file(&table);
    table.close();
    file
}

fn file(table: &Reader<'_>) -> Option<FileEntry> {
    let file = table.read("file", None, |given| super::values::path(given).map(Some))?;
    Some(FileEntry { file, place: table.place_of("file") })
}

fn anchor(table: Reader<'_>) -> Option<AnchorEntry> {
    let file = table.read("file", None, |given| super::values::path(given).map(Some));
    if file.is_none() && table.find("file").is_none() {
        table.complain("file", Complaint::new("it is missing", "name the CA certificate, in PEM form"));
    }
    let name = table.read("name", None, |given| text(given).map(Some));
    let state = table.read("status", AnchorState::Enabled, word);
    let auto_registration = table.read("auto_registration", true, truth);
    let platform = table.read("platform", false, truth);
    let kind = if platform { AnchorKind::Operator } else { AnchorKind::Configured };
    let stale_crl = table.read("stale_crl", StaleCrl::Soft, word);
    let places = table.read("crl", Vec::new(), list_places);
    let lists = (places, table.read("crl_refresh", HOUR, duration(REFRESH)));
    let place = table.place_of("file");
    table.close();
    Some(AnchorEntry { name, file: file?, kind, state, auto_registration, stale_crl, lists, place })
}

fn list_places(given: Given<'_>) -> Result<Vec<ListPlace>, Complaint> {
    let remedy = "write addresses such as \"http://pki.example/ca.crl\" or \"file:///etc/pki/ca.crl\"";
    let texts = texts(given)?;
    if texts.len() > MOST_LISTS {
        return Err(Complaint::new(
            format!("{} addresses are too many", texts.len()),
            format!("write {MOST_LISTS} at most"),
        ));
    }
    let place = |text: String| {
        text.parse().map_err(|why: &str| Complaint::new(format!("{text:?} is no place of a list: {why}"), remedy))
    };
    texts.into_iter().map(place).collect()
}

fn tenant_id(given: Given<'_>) -> Result<TenantId, Complaint> {
    let name = text(given)?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.len() <= 64 && name.chars().all(good) {
        return Ok(TenantId::new(&name));
    }
    let remedy = "use 1 to 64 letters, digits, hyphens, underscores and dots; it stands in user names and topics";
    Err(Complaint::new(format!("{name:?} cannot name a tenant"), remedy))
}

fn domain(given: Given<'_>) -> Result<String, Complaint> {
    let name = text(given)?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if name.contains('.') && name.len() <= 253 && name.chars().all(good) && !name.starts_with('.') {
        return Ok(name.to_ascii_lowercase());
    }
    Err(Complaint::new(format!("{name:?} is not a host name"), "write a full name, such as \"factory.broker.lan\""))
}

fn bootstrap(given: Given<'_>) -> Result<BootstrapPassword, Complaint> {
    // The password itself stands in no message.
    let password = given.text().map(str::to_owned).unwrap_or_default();
    if (8..=512).contains(&password.len()) {
        return Ok(BootstrapPassword(password));
    }
    Err(Complaint::new("it is no text of 8 to 512 bytes", "write a longer one in quotes"))
}

fn switches(tenant: &Reader<'_>, profile: Profile) -> Switches {
    let s = tenant.table("switches");
    let p = profile.switches();
    let switches = Switches {
        client_cert: s.read("client_cert", p.client_cert, word),
        password: s.read("password", p.password, word),
        anonymous: s.read("anonymous", p.anonymous, word),
        identity_rule: s.read("identity_rule", p.identity_rule, word),
        max_anchors: s.read("max_anchors", p.max_anchors, whole(0..=10_000)),
        max_chain_length: s.read("max_chain_length", p.max_chain_length, whole(1..=10)),
        anchor_in_chain: s.read("anchor_in_chain", p.anchor_in_chain, word),
        anchor_may_be_intermediate: s.read("anchor_may_be_intermediate", p.anchor_may_be_intermediate, truth),
        anchor_may_be_leaf: s.read("anchor_may_be_leaf", p.anchor_may_be_leaf, truth),
        x509_v1_leaf: s.read("x509_v1_leaf", p.x509_v1_leaf, word),
        x509_v1_anchor: s.read("x509_v1_anchor", p.x509_v1_anchor, word),
        key_policy: s.read("key_policy", p.key_policy, word),
        pop_required: s.read("pop_required", p.pop_required, truth),
        auto_register: s.read("auto_register", p.auto_register, word),
        auto_approve: s.read("auto_approve", p.auto_approve, truth),
        clean_session_policy: s.read("clean_session_policy", p.clean_session_policy, word),
        session_expiry: s.read("session_expiry", p.session_expiry, duration(EXPIRY)),
        max_packet: s.read("max_packet", p.max_packet, size(PACKET)),
        retain: s.read("retain", p.retain, word),
        on_forbidden_publish: s.read("on_forbidden_publish", p.on_forbidden_publish, word),
        on_forbidden_subscribe: s.read("on_forbidden_subscribe", p.on_forbidden_subscribe, word),
        mqtt_levels: s.read("mqtt_levels", p.mqtt_levels, levels),
        plain_listener: s.read("plain_listener", p.plain_listener, word),
        websocket: s.read("websocket", p.websocket, word),
        reject_at: s.read("reject_at", p.reject_at, word),
        smartrest: s.read("smartrest", p.smartrest, truth),
        allow_bare_cn: s.read("allow_bare_cn", p.allow_bare_cn, truth),
        send_ca_names: s.read("send_ca_names", p.send_ca_names, truth),
        disconnect_on_expiry: s.read("disconnect_on_expiry", p.disconnect_on_expiry, truth),
        cert_fallback_to_password: s.read("cert_fallback_to_password", p.cert_fallback_to_password, truth),
        queue_overflow: s.read("queue_overflow", p.queue_overflow, word),
        acl: super::rights::acl(&s, profile),
    };
    if switches.cert_fallback_to_password && switches.reject_at != RejectAt::Connack {
        let reason = "a certificate that failed ends the handshake before a password is heard";
        s.complain("cert_fallback_to_password", Complaint::new(reason, "set reject_at = \"connack\" beside it"));
    }
    s.close();
    switches
}

fn levels(given: Given<'_>) -> Result<MqttLevels, Complaint> {
    let remedy = "write a list of 3 (for MQTT 3.1), 4 (3.1.1) and 5 (5.0), such as [4, 5]";
    let complain = || Complaint::new(format!("{} does not name the versions to serve", given.shown()), remedy);
    let items = given.items().filter(|items| !items.is_empty()).ok_or_else(complain)?;
    items.into_iter().try_fold(MqttLevels::NONE, |levels, item| match item.whole() {
        Some(3) => Ok(levels.with(Version::V3)),
        Some(4) => Ok(levels.with(Version::V4)),
        Some(5) => Ok(levels.with(Version::V5)),
        _ => Err(complain()),
    })
}
