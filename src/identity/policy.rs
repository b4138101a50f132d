//! What a client may publish and subscribe to.
//!
//! What lives here: the rights of each profile (spec.md section 9), extra
//! patterns, and the proof types that nothing else can mint. What does not:
//! the answer to a forbidden packet (`session`). Invariant: rights see only
//! proved attributes; a pattern whose variable is not set, or could change
//! the pattern's meaning, grants nothing.

use std::marker::PhantomData;
use std::sync::Arc;

use super::switch::{Profile, Role};
use super::tenant::Acl;
use crate::mqtt::{TopicError, TopicFilter, TopicName, matches};

/// The act of publishing, as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {}

/// The act of subscribing, as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribe {}

/// Proof that the rights were asked and said yes. Only this file makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit<Act>(PhantomData<Act>);

/// Why a topic or filter is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No pattern lets the client publish there.
    #[error("no right to publish to this topic")]
    Publish,
    /// No pattern covers everything that the filter would match.
    #[error("no right to subscribe to this filter")]
    Subscribe,
    /// The share name is not one that the client may use.
    #[error("no right to this shared subscription group")]
    Group,
}

/// The proved attributes of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// The tenant, `%t`.
    pub tenant: &'a str,
    /// The ClientId, `%c`.
    pub client_id: &'a str,
    /// The subject CN, `%n`, when a certificate was proved.
    pub common_name: Option<&'a str>,
    /// The role of the account whose password was proved.
    pub role: Option<Role>,
}

/// The rights of one connection, ready to be asked without allocating.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    publish: Vec<Pattern>,
    subscribe: Vec<Pattern>,
    groups: Groups,
}

/// What a pattern allows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// Whatever does not begin with `$`.
    AllButDollar,
    /// Everything, `$` included.
    Everything,
    /// What this filter covers.
    Filter(Box<str>),
    /// What one of these filters covers.
    OneOf(&'static [&'static str]),
}

/// Which shared subscription groups may be joined.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Groups {
    All,
    None,
    WithPrefix(Box<str>),
}

impl Rights {
    /// Asks whether a message may be published to `topic`.
    ///
    /// # Errors
    /// [`Denied::Publish`] when no pattern allows it.
    pub fn publish(&self, topic: TopicName<'_>) -> Result<Permit<Publish>, Denied> {
        let topic = topic.as_str();
        if self.publish.iter().any(|pattern| pattern.allows_topic(topic)) {
            return Ok(Permit(PhantomData));
        }
        Err(Denied::Publish)
    }

    /// Asks whether `filter` may be subscribed to: every topic that it matches
    /// must be allowed.
    ///
    /// # Errors
    /// [`Denied::Subscribe`] when no pattern covers the filter,
    /// [`Denied::Group`] when the share name is not allowed.
    pub fn subscribe(&self, filter: &TopicFilter) -> Result<Permit<Subscribe>, Denied> {
        let group_allowed = match (filter.share(), &self.groups) {
            (None, _) | (Some(_), Groups::All) => true,
            (Some(_), Groups::None) => false,
            (Some(group), Groups::WithPrefix(prefix)) => group.starts_with(&**prefix),
        };
        if !group_allowed {
            return Err(Denied::Group);
        }
        if self.subscribe.iter().any(|pattern| pattern.allows_filter(filter.path())) {
            return Ok(Permit(PhantomData));
        }
        Err(Denied::Subscribe)
    }

    /// The rights of `who` under `profile`, widened by `acl`.
    #[must_use]
    pub fn compile(profile: Profile, acl: &Acl, who: Attributes<'_>) -> Self {
        let mut rights = match who.role {
            Some(Role::Operator) => Self::of_profile(Profile::Open, who),
            Some(Role::Application) if profile == Profile::Mindconnect => Self::of_application(who),
            Some(Role::Application | Role::Device) | None => Self::of_profile(profile, who),
        };
        rights.publish.extend(acl.extra_publish.iter().filter_map(|pattern| Pattern::of_text(pattern, who)));
        rights.subscribe.extend(acl.extra_subscribe.iter().filter_map(|pattern| Pattern::of_text(pattern, who)));
        rights
    }

    /// ACL-02: whoever collects what the agents say, and commands them.
    fn of_application(who: Attributes<'_>) -> Self {
        let of_text = |pattern: &str| Pattern::of_text(pattern, who).into_iter().collect();
        Self { publish: of_text("tc/%t/+/i/#"), subscribe: of_text("tc/%t/#"), groups: Groups::All }
    }

    fn of_profile(profile: Profile, who: Attributes<'_>) -> Self {
        let of_text = |pattern: &str| Pattern::of_text(pattern, who).into_iter().collect();
        match profile {
            // ACL-05
            Profile::Open => {
                Self { publish: vec![Pattern::AllButDollar], subscribe: vec![Pattern::Everything], groups: Groups::All }
            }
            // ACL-02
            Profile::Mindconnect => {
                Self { publish: of_text("tc/%t/%c/o/#"), subscribe: of_text("tc/%t/%c/i/#"), groups: Groups::All }
            }
            // ACL-03
            Profile::Cumulocity => Self {
                publish: vec![Pattern::OneOf(UPSTREAM)],
                subscribe: vec![Pattern::OneOf(DOWNSTREAM)],
                groups: Groups::None,
            },
            // ACL-04, CEN-MQTT-05
            Profile::Centiloc => Self {
                publish: Vec::new(),
                subscribe: of_text("centiloc/%t/#"),
                groups: Groups::WithPrefix(who.tenant.into()),
            },
        }
    }
}

/// C8Y-TOP-01, upwards: what a device may publish to.
const UPSTREAM: &[&str] = &[
    "s/us/#",
    "t/us/#",
    "q/us/#",
    "c/us/#",
    "s/uat",
    "s/ucr",
    "s/ut/+",
    "s/uc/#",
    "t/uc/#",
    "q/uc/#",
    "c/uc/#",
    "s/ud/#",
    "t/ud/#",
    "q/ud/#",
    "c/ud/#",
    "s/ul/#",
    "t/ul/#",
    "q/ul/#",
    "c/ul/#",
    "measurement/measurements/create",
    "measurement/measurements/createBulk",
    "event/events/create",
    "event/events/createBulk",
    "event/events/update/+",
    "event/events/delete/+",
    "alarm/alarms/create",
    "alarm/alarms/createBulk",
    "alarm/alarms/update/+",
    "inventory/managedObjects/update/+",
];

/// C8Y-TOP-01 and C8Y-TOP-04, downwards: what a device may subscribe to,
/// the whole list of a thin-edge bridge among it.
const DOWNSTREAM: &[&str] = &[
    "s/ds",
    "s/e",
    "s/dat",
    "s/dcr",
    "s/dt",
    "s/dc/#",
    "t/dc/#",
    "q/dc/#",
    "c/dc/#",
    "s/dd",
    "s/dl/#",
    "s/ol/#",
    "devicecontrol/notifications",
    "notification/operations",
    "error",
];

impl Pattern {
    /// A configured pattern with its variables filled in; `None` when that
    /// cannot be done safely.
    fn of_text(pattern: &str, who: Attributes<'_>) -> Option<Self> {
        let filled = fill(pattern, who)?;
        let filter = TopicFilter::new(&filled).ok()?;
        filter.share().is_none().then(|| Self::Filter(filled.into_boxed_str()))
    }

    fn allows_topic(&self, topic: &str) -> bool {
        match self {
            Self::AllButDollar => !topic.starts_with('$'),
            Self::Everything => true,
            Self::Filter(filter) => matches(filter, topic),
            Self::OneOf(filters) => filters.iter().any(|filter| matches(filter, topic)),
        }
    }

    fn allows_filter(&self, path: &str) -> bool {
        match self {
            Self::AllButDollar => !path.starts_with('$'),
            Self::Everything => true,
            Self::Filter(filter) => covers(filter, path),
            Self::OneOf(filters) => filters.iter().any(|filter| covers(filter, path)),
        }
    }
}

/// Puts the attributes in the place of `%t`, `%c` and `%n`. A value that is
/// absent, empty, or holds a separator or wildcard would grant what nobody
/// meant: no pattern then.
fn fill(pattern: &str, who: Attributes<'_>) -> Option<String> {
    let mut filled = String::with_capacity(pattern.len() + who.client_id.len());
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        filled.push_str(before);
        let mut chars = after.chars();
        let value = match chars.next()? {
            't' => who.tenant,
            'c' => who.client_id,
            'n' => who.common_name?,
            _ => return None,
        };
        if value.is_empty() || value.contains(['/', '+', '#', '\0']) {
            return None;
        }
        filled.push_str(value);
        rest = chars.as_str();
    }
    filled.push_str(rest);
    Some(filled)
}

/// Whether every topic that the filter `path` matches is matched by
/// `pattern` too.
#[must_use]
pub fn covers(pattern: &str, path: &str) -> bool {
    if path.starts_with('$') && pattern.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = path.split('/');
    for allowed in pattern.split('/') {
        match (allowed, levels.next()) {
            ("#", _) => return true,
            (_, None | Some("#")) => return false,
            ("+", Some(_)) => {}
            (allowed, Some(level)) if allowed == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Why a configured pattern can never grant anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A `%` without one of the three letters.
    #[error("knows only the variables %t (tenant), %c (ClientId) and %n (CN)")]
    UnknownVariable,
    /// It is no topic filter.
    #[error("{0}")]
    Filter(#[from] TopicError),
    /// Rights are about topics, not about groups.
    #[error("must not be a shared subscription; write the part behind the group")]
    Shared,
}

/// Checks an extra pattern before any client is there.
///
/// # Errors
/// Says what the pattern lacks.
pub fn check_pattern(pattern: &str) -> Result<(), PatternError> {
    let stand_in = Attributes { tenant: "t", client_id: "c", common_name: Some("n"), role: None };
    let filled = fill(pattern, stand_in).ok_or(PatternError::UnknownVariable)?;
    match TopicFilter::new(&filled)?.share() {
        Some(_) => Err(PatternError::Shared),
        None => Ok(()),
    }
}

/// A tenant's rights before the client is known. Where no right depends on
/// the client, all connections share one [`Rights`].
#[derive(Clone, Debug)]
pub struct TenantRights {
    profile: Profile,
    acl: Acl,
    shared: Option<Arc<Rights>>,
}

impl TenantRights {
    /// Prepares the rights of `tenant`.
    #[must_use]
    pub fn new(profile: Profile, acl: &Acl, tenant: &str) -> Self {
        let personal = acl.extra_publish.iter().chain(&acl.extra_subscribe).any(|pattern| is_personal(pattern));
        let shared = (profile != Profile::Mindconnect && !personal).then(|| {
            let nobody = Attributes { tenant, client_id: "", common_name: None, role: None };
            Arc::new(Rights::compile(profile, acl, nobody))
        });
        Self { profile, acl: acl.clone(), shared }
    }

    /// The rights of one client.
    #[must_use]
    pub fn of(&self, who: Attributes<'_>) -> Arc<Rights> {
        match &self.shared {
            Some(shared) if matches!(who.role, None | Some(Role::Device)) => Arc::clone(shared),
            _ => Arc::new(Rights::compile(self.profile, &self.acl, who)),
        }
    }
}

fn is_personal(pattern: &str) -> bool {
    pattern.contains("%c") || pattern.contains("%n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUMP: Attributes<'_> =
        Attributes { tenant: "acme", client_id: "acme_pump", common_name: Some("pump"), role: None };

    fn rights(profile: Profile) -> Rights {
        Rights::compile(profile, &Acl::default(), PUMP)
    }

    fn may_publish(rights: &Rights, topic: &str) -> bool {
        TopicName::new(topic).is_ok_and(|topic| rights.publish(topic).is_ok())
    }

    fn may_subscribe(rights: &Rights, filter: &str) -> bool {
        rights.subscribe(&TopicFilter::new(filter).unwrap()).is_ok()
    }

    /// ACL-05
    #[test]
    fn open_allows_every_topic_but_publishing_to_dollar() {
        let rights = rights(Profile::Open);
        assert!(may_publish(&rights, "a/b") && may_subscribe(&rights, "#") && may_subscribe(&rights, "$SYS/#"));
        assert!(!may_publish(&rights, "$SYS/x"));
    }

    /// ACL-02
    #[test]
    fn a_mindconnect_agent_stays_below_its_own_client_id() {
        let rights = rights(Profile::Mindconnect);
        assert!(may_publish(&rights, "tc/acme/acme_pump/o/mc_v3/ts"));
        assert!(may_subscribe(&rights, "tc/acme/acme_pump/i/cmd_v3/c"));
        assert!(may_subscribe(&rights, "tc/acme/acme_pump/i/#"));
        for foreign in ["tc/acme/+/i/#", "tc/acme/acme_other/i/x", "#", "tc/acme/acme_pump/#", "tc/acme/acme_pump/o/#"]
        {
            assert!(!may_subscribe(&rights, foreign), "{foreign}");
        }
        assert!(!may_publish(&rights, "tc/acme/acme_pump/i/x"));
    }

    /// ACL-03: upstream topics are for publishing, downstream topics for
    /// subscribing; the bridge list of C8Y-TOP-04 is granted whole.
    #[test]
    fn cumulocity_keeps_up_and_down_apart() {
        let rights = rights(Profile::Cumulocity);
        for up in ["s/us", "s/us/child", "t/us", "q/us/child", "c/us", "s/ud", "s/uc/x", "s/ut/x", "s/ucr", "s/uat"] {
            assert!(may_publish(&rights, up), "{up}");
            assert!(!may_subscribe(&rights, up), "{up}");
        }
        for down in ["s/dt", "s/ds", "s/e", "s/dc/#", "s/dat", "s/dl", "s/ol/x", "devicecontrol/notifications", "error"]
        {
            assert!(may_subscribe(&rights, down), "{down}");
            assert!(!may_publish(&rights, down), "{down}");
        }
        for wide in ["#", "s/#", "s/+", "+/us", "$share/g/s/ds"] {
            assert!(!may_subscribe(&rights, wide), "{wide}");
        }
    }

    /// ACL-04, CEN-MQTT-05, CEN-MQTT-07
    #[test]
    fn a_centiloc_client_only_listens_and_only_to_its_own_tenant() {
        let rights = rights(Profile::Centiloc);
        for own in ["centiloc/acme", "centiloc/acme/#", "centiloc/acme/+/item/v1/update", "$share/acme-g/centiloc/acme"]
        {
            assert!(may_subscribe(&rights, own), "{own}");
        }
        for foreign in ["centiloc/bravo", "centiloc/+", "#", "centiloc/#", "$share/bravo-g/centiloc/acme"] {
            assert!(!may_subscribe(&rights, foreign), "{foreign}");
        }
        assert!(!may_publish(&rights, "centiloc/acme"));
    }

    #[test]
    fn a_variable_that_is_not_set_or_holds_a_wildcard_grants_nothing() {
        let acl = Acl { extra_publish: vec!["by/%n/#".into(), "of/%c".into()], extra_subscribe: Vec::new() };
        let own = Rights::compile(Profile::Centiloc, &acl, PUMP);
        assert!(may_publish(&own, "by/pump/x") && may_publish(&own, "of/acme_pump"));
        for (client_id, common_name) in [("+", None), ("a/b", Some("#")), ("", Some(""))] {
            let who = Attributes { tenant: "acme", client_id, common_name, role: None };
            let rights = Rights::compile(Profile::Centiloc, &acl, who);
            assert!(!may_publish(&rights, "by/pump/x") && !may_publish(&rights, "of/acme_pump"), "{client_id:?}");
            assert!(!may_publish(&rights, "of/a/b") && !may_publish(&rights, "by/x"), "{client_id:?}");
        }
    }

    #[test]
    fn a_pattern_is_checked_before_it_is_used() {
        assert_eq!(check_pattern("a/%t/%c/%n/#"), Ok(()));
        assert_eq!(check_pattern("a/%u"), Err(PatternError::UnknownVariable));
        assert_eq!(check_pattern("a/#/b"), Err(PatternError::Filter(TopicError::MisplacedWildcard)));
        assert_eq!(check_pattern("$share/g/a"), Err(PatternError::Shared));
    }

    #[test]
    fn rights_that_do_not_depend_on_the_client_are_shared() {
        let tenant = TenantRights::new(Profile::Open, &Acl::default(), "lab");
        assert!(Arc::ptr_eq(&tenant.of(PUMP), &tenant.of(PUMP)));
        let tenant = TenantRights::new(Profile::Mindconnect, &Acl::default(), "acme");
        assert!(may_publish(&tenant.of(PUMP), "tc/acme/acme_pump/o/x"));
    }

    proptest::proptest! {
        /// What a covered filter matches, the pattern matches.
        #[test]
        fn covering_means_matching_at_least_as_much(
            pattern in "(\\+|a|b)(/(\\+|a|b)){0,3}(/#)?",
            path in "(\\+|a|b)(/(\\+|a|b)){0,3}(/#)?",
            topic in "(a|b)(/(a|b)){0,4}",
        ) {
            if covers(&pattern, &path) && matches(&path, &topic) {
                proptest::prop_assert!(matches(&pattern, &topic));
            }
        }
    }
}
