//! What a client may publish and subscribe to.
//!
//! What lives here: rights, asked without allocating, and the proof types that
//! nothing else can mint. What does not: the rights of the profiles
//! (`profile`), rules (`rule`), patterns (`pattern`), the answer to a forbidden
//! packet (`session`). Invariant: rights see only proved attributes; a denial
//! goes before every grant, and what no rule speaks of is denied. Below `$SYS`
//! the broker alone publishes, whatever a rule says.

mod pattern;
mod profile;
mod rule;
#[cfg(test)]
mod tests;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

pub use pattern::{PatternError, check_filter, check_pattern, covers, overlaps};
pub use rule::{AclRule, Condition, glob};

use super::switch::{Action, Effect, Profile, Role, Variable};
use super::tenant::Acl;
use crate::mqtt::{TopicFilter, TopicName};
use pattern::Pattern;

/// The act of publishing, as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {}

/// The act of subscribing, as a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribe {}

/// Proof that the rights were asked and said yes. Only this file makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit<Act>(PhantomData<Act>);

/// Whether `topic` lies where the broker alone publishes: what it tells about
/// itself must be its own words.
#[must_use]
pub fn is_the_brokers(topic: &str) -> bool {
    topic.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Permit<Publish> {
    /// The right of the broker itself, below `$SYS` and nowhere else.
    #[must_use]
    pub fn of_the_broker(topic: TopicName<'_>) -> Option<Self> {
        is_the_brokers(topic.as_str()).then_some(Self(PhantomData))
    }
}

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
    /// The account's name, when a password was proved.
    pub account: Option<&'a str>,
    /// The account's role.
    pub role: Option<Role>,
    /// What else the certificate says.
    pub certificate: &'a [(Variable, String)],
}

impl<'a> Attributes<'a> {
    /// The values of a variable; none when it is not set.
    pub fn values(&self, variable: Variable) -> impl Iterator<Item = &'a str> + use<'a> {
        let one = match variable {
            Variable::Tenant => Some(self.tenant),
            Variable::ClientId => Some(self.client_id),
            Variable::CommonName => self.common_name,
            Variable::User => self.user(),
            Variable::Role => self.role.map(Role::as_str),
            _ => None,
        };
        let many = self.certificate.iter().filter(move |(name, _)| *name == variable);
        one.into_iter().chain(many.map(|(_, value)| value.as_str()))
    }

    /// `%u`: the account, or else the CN, as mosquitto has it with
    /// `use_identity_as_username`.
    #[must_use]
    pub const fn user(&self) -> Option<&'a str> {
        match self.account {
            Some(account) => Some(account),
            None => self.common_name,
        }
    }
}

/// Where a right comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The tenant's profile.
    Profile(Profile),
    /// The account's role.
    Role(Role),
    /// `acl.extra_publish` or `acl.extra_subscribe`.
    Extra,
    /// A rule, by its file and line or by its name.
    Rule(Arc<str>),
    /// `$SYS` is the broker's own.
    Sys,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(profile) => write!(f, "the profile {profile}"),
            Self::Role(role) => write!(f, "the role {role}"),
            Self::Extra => f.write_str("extra_publish and extra_subscribe"),
            Self::Rule(name) => f.write_str(name),
            Self::Sys => f.write_str("the broker, which alone publishes below $SYS"),
        }
    }
}

/// An answer with the rule that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'r> {
    /// Whether it is allowed.
    pub outcome: Result<(), Denied>,
    /// What said so; `None` when nothing allows it.
    pub by: Option<&'r Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    pattern: Pattern,
    origin: Origin,
}

/// What is allowed and denied of one action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lists {
    denied: Vec<Grant>,
    allowed: Vec<Grant>,
}

impl Lists {
    fn add(&mut self, effect: Effect, pattern: Pattern, origin: Origin) {
        let list = match effect {
            Effect::Allow => &mut self.allowed,
            Effect::Deny => &mut self.denied,
        };
        list.push(Grant { pattern, origin });
    }
}

/// The rights of one connection, ready to be asked without allocating.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    publish: Lists,
    subscribe: Lists,
    groups: Groups,
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
    /// [`Denied::Publish`] when a rule denies it, or none allows it.
    pub fn publish(&self, topic: TopicName<'_>) -> Result<Permit<Publish>, Denied> {
        self.decide_publish(topic).outcome.map(|()| Permit(PhantomData))
    }

    /// Asks whether `filter` may be subscribed to: every topic that it matches
    /// must be allowed, and none denied.
    ///
    /// # Errors
    /// [`Denied::Subscribe`] when no pattern covers the filter,
    /// [`Denied::Group`] when the share name is not allowed.
    pub fn subscribe(&self, filter: &TopicFilter) -> Result<Permit<Subscribe>, Denied> {
        self.decide_subscribe(filter).outcome.map(|()| Permit(PhantomData))
    }

    /// [`Self::publish`] with the rule that decides.
    #[must_use]
    pub fn decide_publish(&self, topic: TopicName<'_>) -> Decision<'_> {
        let topic = topic.as_str();
        if is_the_brokers(topic) {
            return Decision { outcome: Err(Denied::Publish), by: Some(&Origin::Sys) };
        }
        if let Some(grant) = self.publish.denied.iter().find(|grant| grant.pattern.matches_topic(topic)) {
            return Decision { outcome: Err(Denied::Publish), by: Some(&grant.origin) };
        }
        match self.publish.allowed.iter().find(|grant| grant.pattern.matches_topic(topic)) {
            Some(grant) => Decision { outcome: Ok(()), by: Some(&grant.origin) },
            None => Decision { outcome: Err(Denied::Publish), by: None },
        }
    }

    /// [`Self::subscribe`] with the rule that decides.
    #[must_use]
    pub fn decide_subscribe(&self, filter: &TopicFilter) -> Decision<'_> {
        let group_allowed = match (filter.share(), &self.groups) {
            (None, _) | (Some(_), Groups::All) => true,
            (Some(_), Groups::None) => false,
            (Some(group), Groups::WithPrefix(prefix)) => group.starts_with(&**prefix),
        };
        if !group_allowed {
            return Decision { outcome: Err(Denied::Group), by: None };
        }
        let path = filter.path();
        if let Some(grant) = self.subscribe.denied.iter().find(|grant| grant.pattern.touches_filter(path)) {
            return Decision { outcome: Err(Denied::Subscribe), by: Some(&grant.origin) };
        }
        match self.subscribe.allowed.iter().find(|grant| grant.pattern.covers_filter(path)) {
            Some(grant) => Decision { outcome: Ok(()), by: Some(&grant.origin) },
            None => Decision { outcome: Err(Denied::Subscribe), by: None },
        }
    }

    /// The rights of `who` under `profile` and `acl`.
    #[must_use]
    pub fn compile(profile: Profile, acl: &Acl, who: &Attributes<'_>) -> Self {
        let mut rights = match acl.profile_rights {
            true => profile::rights_of(profile, who),
            false => {
                Self { publish: Lists::default(), subscribe: Lists::default(), groups: profile::groups(profile, who) }
            }
        };
        let extra = [(Action::Publish, &acl.extra_publish), (Action::Subscribe, &acl.extra_subscribe)];
        for (action, pattern) in extra.iter().flat_map(|(action, list)| list.iter().map(move |one| (*action, one))) {
            for filter in pattern::allowed(pattern, who) {
                rights.add(Effect::Allow, action, filter, &Origin::Extra);
            }
        }
        for rule in acl.rules.iter().filter(|rule| rule.applies_to(who)) {
            let origin = Origin::Rule(Arc::clone(&rule.name));
            for filter in rule.filters(who) {
                rights.add(rule.effect, rule.action, filter, &origin);
            }
        }
        rights
    }

    fn add(&mut self, effect: Effect, action: Action, filter: String, origin: &Origin) {
        let pattern = Pattern::Filter(filter.into_boxed_str());
        if action != Action::Subscribe {
            self.publish.add(effect, pattern.clone(), origin.clone());
        }
        if action != Action::Publish {
            self.subscribe.add(effect, pattern, origin.clone());
        }
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
        let extra = acl.extra_publish.iter().chain(&acl.extra_subscribe);
        let personal = extra.clone().any(|pattern| pattern::is_personal(pattern))
            || acl.rules.iter().any(AclRule::is_personal)
            || (profile == Profile::Mindconnect && acl.profile_rights);
        let shared = (!personal).then(|| {
            let nobody =
                Attributes { tenant, client_id: "", common_name: None, account: None, role: None, certificate: &[] };
            Arc::new(Rights::compile(profile, acl, &nobody))
        });
        Self { profile, acl: acl.clone(), shared }
    }

    /// The rights of one client.
    #[must_use]
    pub fn of(&self, who: &Attributes<'_>) -> Arc<Rights> {
        match &self.shared {
            Some(shared) if matches!(who.role, None | Some(Role::Device)) => Arc::clone(shared),
            _ => Arc::new(Rights::compile(self.profile, &self.acl, who)),
        }
    }

    /// Whether anything depends on the client, so that its certificate has to
    /// be read for it.
    #[must_use]
    pub const fn are_personal(&self) -> bool {
        self.shared.is_none()
    }
}
