//! Rights in mosquitto's ACL file syntax.
//!
//! What lives here: `user`, `topic` and `pattern` lines (ACL-05). What does
//! not: what a rule does (`policy`). Invariant: a file is read whole or not at
//! all. Two things differ from mosquitto: a denial also keeps a client from a
//! subscription that would reach what is denied, and a subscription that is not
//! allowed is refused at once, not passed and then starved.

use std::sync::Arc;

use super::policy::{AclRule, Condition, PatternError, check_filter, check_pattern};
use super::switch::{Action, Effect, Variable};

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AclFileError {
    /// It begins with another word.
    #[error("{0:?} begins no line of an ACL file; write user, topic or pattern")]
    Keyword(String),
    /// `user` without a name.
    #[error("no name follows; write `user NAME`")]
    NoUser,
    /// No topic behind `topic` or `pattern`.
    #[error("no topic follows; write `topic read a/b/#`, for instance")]
    NoTopic,
    /// Two words of which the first is no access.
    #[error("{0:?} is no access; write read, write, readwrite or deny before the topic")]
    Access(String),
    /// The topic is no filter.
    #[error("the topic {topic:?} {error}; write a topic filter, such as a/+/c or a/#")]
    Topic {
        /// As it stands there.
        topic: String,
        /// What is wrong with it.
        error: PatternError,
    },
}

/// An error with its line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub error: AclFileError,
}

/// Reads a file whose rules shall be known by `name`.
///
/// # Errors
/// All mistakes, each with its line.
pub fn read(name: &str, text: &str) -> Result<Vec<AclRule>, Vec<LineError>> {
    let (mut rules, mut errors, mut user) = (Vec::new(), Vec::new(), None);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let read = match keyword {
            "user" if rest.is_empty() => Err(AclFileError::NoUser),
            "user" => {
                user = Some(rest.to_owned());
                continue;
            }
            // Without a user line above it, it is for clients that proved to be nobody.
            "topic" => topic(rest, false).map(|rule| {
                let who = user.clone().map_or(Condition::Anonymous, |user| Condition::Is(Variable::User, user));
                AclRule { who: vec![who], ..rule }
            }),
            "pattern" => topic(rest, true),
            other => Err(AclFileError::Keyword(other.to_owned())),
        };
        match read {
            Ok(rule) => rules.push(AclRule { name: Arc::from(format!("{name}:{}: {line}", index + 1)), ..rule }),
            Err(error) => errors.push(LineError { line: index + 1, error }),
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

/// `[read|write|readwrite|deny] FILTER`; a filter may hold blanks only behind
/// an access.
fn topic(text: &str, variables: bool) -> Result<AclRule, AclFileError> {
    let (effect, action, topic) = match text.split_once(char::is_whitespace) {
        Some((access, topic)) => {
            let (effect, action) = access_of(access).ok_or_else(|| AclFileError::Access(access.to_owned()))?;
            (effect, action, topic.trim())
        }
        None if text.is_empty() || access_of(text).is_some() => return Err(AclFileError::NoTopic),
        None => (Effect::Allow, Action::Both, text),
    };
    let check = if variables { check_pattern } else { check_filter };
    check(topic).map_err(|error| AclFileError::Topic { topic: topic.to_owned(), error })?;
    Ok(AclRule { name: Arc::from(""), effect, action, who: Vec::new(), topics: vec![topic.to_owned()], variables })
}

fn access_of(word: &str) -> Option<(Effect, Action)> {
    match word {
        "read" => Some((Effect::Allow, Action::Subscribe)),
        "write" => Some((Effect::Allow, Action::Publish)),
        "readwrite" => Some((Effect::Allow, Action::Both)),
        "deny" => Some((Effect::Deny, Action::Both)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::policy::{Attributes, Rights};
    use crate::identity::switch::Profile;
    use crate::identity::tenant::Acl;
    use crate::mqtt::{TopicFilter, TopicName};

    const FILE: &str = "# everybody without a name\ntopic read public/#\n\nuser bob\ntopic a/#\ntopic deny a/secret/#\n\
                        topic write two words\nuser ann lee\ntopic read b\npattern readwrite home/%u/%c\n";

    fn rights(client_id: &str, account: Option<&str>) -> Rights {
        let acl = Acl { rules: read("acl", FILE).unwrap(), profile_rights: false, ..Acl::default() };
        let who = Attributes { tenant: "t", client_id, common_name: None, account, role: None, certificate: &[] };
        Rights::compile(Profile::Open, &acl, &who)
    }

    fn publish(rights: &Rights, topic: &str) -> bool {
        rights.publish(TopicName::new(topic).unwrap()).is_ok()
    }

    fn subscribe(rights: &Rights, filter: &str) -> bool {
        rights.subscribe(&TopicFilter::new(filter).unwrap()).is_ok()
    }

    /// ACL-05
    #[test]
    fn a_file_of_mosquitto_gives_the_rights_that_it_says() {
        let bob = rights("c1", Some("bob"));
        assert!(publish(&bob, "a/x") && subscribe(&bob, "a/x/#") && publish(&bob, "two words"));
        assert!(!subscribe(&bob, "two words") && !publish(&bob, "b") && !publish(&bob, "public/x"));
        assert!(!publish(&bob, "a/secret/x") && !subscribe(&bob, "a/secret/x"), "a denial goes before a grant");
        assert!(!subscribe(&bob, "a/#"), "nor may a wildcard reach what is denied");
        assert!(publish(&bob, "home/bob/c1") && !publish(&bob, "home/bob/c2"));
        assert!(subscribe(&rights("c", Some("ann lee")), "b") && !publish(&rights("c", Some("ann lee")), "b"));
        let nobody = rights("c1", None);
        assert!(subscribe(&nobody, "public/#") && !publish(&nobody, "public/x") && !publish(&nobody, "home//c1"));
    }

    #[test]
    fn the_rule_that_decides_is_named_with_file_and_line() {
        let bob = rights("c1", Some("bob"));
        let by = |topic| bob.decide_publish(TopicName::new(topic).unwrap()).by.map(ToString::to_string);
        assert_eq!(by("a/x").as_deref(), Some("acl:5: topic a/#"));
        assert_eq!(by("a/secret/x").as_deref(), Some("acl:6: topic deny a/secret/#"));
        assert_eq!(by("nowhere"), None);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text =
            "user\ntopics a\ntopic\ntopic read\ntopic rw a\ntopic a/#/b\npattern read a/%x\ntopic read $share/g/a\n";
        let errors = read("acl", text).unwrap_err();
        assert_eq!(errors.iter().map(|wrong| wrong.line).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(errors.iter().all(|wrong| wrong.error.to_string().len() > 20));
    }
}
