//! Rules: who may, or may not, do what where.
//!
//! What lives here: a rule as configuration or an ACL file state it, and
//! whether it is about a client. What does not: reading either (`config`,
//! `acl_file`). Invariant: a condition on something that was not proved is not
//! met.

use std::sync::Arc;

use super::{Attributes, pattern};
use crate::identity::switch::{Action, Effect, Variable};

/// What a client must be for a rule to be about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One of the variable's values is like this; `*` stands for any text.
    Like(Variable, String),
    /// It has this name, to the letter.
    Is(Variable, String),
    /// Neither certificate nor account was proved.
    Anonymous,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclRule {
    /// What it is called where it decides: its name, or file and line.
    pub name: Arc<str>,
    /// Whether it allows or denies.
    pub effect: Effect,
    /// What it is about.
    pub action: Action,
    /// All of them must be met.
    pub who: Vec<Condition>,
    /// The topics, as patterns.
    pub topics: Vec<String>,
    /// Whether `%` in the topics stands for variables.
    pub variables: bool,
}

impl AclRule {
    /// Whether the rule is about this client.
    #[must_use]
    pub fn applies_to(&self, who: &Attributes<'_>) -> bool {
        self.who.iter().all(|condition| match condition {
            Condition::Like(variable, like) => who.values(*variable).any(|value| glob(like, value)),
            Condition::Is(variable, name) => who.values(*variable).any(|value| value == name),
            Condition::Anonymous => who.user().is_none(),
        })
    }

    /// Its topics for this client.
    pub(super) fn filters(&self, who: &Attributes<'_>) -> Vec<String> {
        if !self.variables {
            return self.topics.clone();
        }
        let fill = match self.effect {
            Effect::Allow => pattern::allowed,
            Effect::Deny => pattern::denied,
        };
        self.topics.iter().flat_map(|topic| fill(topic, who)).collect()
    }

    pub(super) fn is_personal(&self) -> bool {
        !self.who.is_empty() || (self.variables && self.topics.iter().any(|topic| pattern::is_personal(topic)))
    }
}

/// Whether `text` is like `pattern`, in which `*` stands for any text.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*');
    let last = parts.next_back().unwrap_or_default();
    for part in parts {
        match text.find(part).and_then(|at| text.get(at + part.len()..)) {
            Some(behind) => text = behind,
            None => return false,
        }
    }
    text.ends_with(last)
}
