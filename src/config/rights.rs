//! `[tenant.switches.acl]`: rights beside those of the profile.
//!
//! What lives here: patterns, rules, and the ACL file. What does not: what a
//! rule does (`identity::policy`), the file's syntax (`identity::acl_file`).
//! Invariant: no right is taken from a file or a rule that has a mistake in it.

use std::path::Path;
use std::sync::Arc;

use crate::identity::acl_file;
use crate::identity::policy::{AclRule, Condition, check_pattern};
use crate::identity::switch::{Action, Effect, Profile, Variable};
use crate::identity::tenant::Acl;

use super::document::{Given, Reader};
use super::error::{Complaint, Place};
use super::values::{path, text, texts, truth, word};

pub(super) fn acl(switches: &Reader<'_>, profile: Profile) -> Acl {
    let table = switches.table("acl");
    let mut rules: Vec<AclRule> =
        table.tables("rule").unwrap_or_default().into_iter().enumerate().filter_map(rule).collect();
    let file = table.read("file", None, |given| path(given).map(Some));
    if let Some(file) = &file {
        rules.extend(of_file(&table, file));
    }
    // Of open nothing would be left to grant: there the rules are all that holds.
    let narrows = profile == Profile::Open && (file.is_some() || rules.iter().any(|rule| rule.effect == Effect::Allow));
    let acl = Acl {
        profile_rights: table.read("profile_rights", !narrows, truth),
        rules,
        extra_publish: table.read("extra_publish", Vec::new(), patterns),
        extra_subscribe: table.read("extra_subscribe", Vec::new(), patterns),
    };
    table.close();
    acl
}

fn of_file(table: &Reader<'_>, file: &Path) -> Vec<AclRule> {
    let name = file.display().to_string();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let remedy = "name a readable file in mosquitto's ACL syntax, or leave the key out";
            table.complain("file", Complaint::new(format!("{name} cannot be read ({error})"), remedy));
            return Vec::new();
        }
    };
    acl_file::read(&name, &text).unwrap_or_else(|errors| {
        for wrong in errors {
            let told = wrong.error.to_string();
            let (reason, remedy) = told.split_once("; ").unwrap_or((&told, "write user, topic or pattern lines"));
            let place = Place::File { name: name.clone(), line: wrong.line };
            table.scope.report(place, "", Complaint::new(reason, remedy));
        }
        Vec::new()
    })
}

fn rule((index, table): (usize, Reader<'_>)) -> Option<AclRule> {
    let name = table.read("name", format!("rule {}", index + 1), text);
    let effect = table.read("effect", Effect::Allow, word);
    let action = table.read("action", Action::Both, word);
    let topics = table.read("topics", Vec::new(), patterns);
    if topics.is_empty() {
        table.complain("topics", Complaint::new("the rule is about no topic", "write topics = [\"a/%c/#\"]"));
    }
    let who = who(&table);
    table.close();
    let rule = AclRule { name: Arc::from(name), effect, action, who, topics, variables: true };
    (!rule.topics.is_empty()).then_some(rule)
}

/// What a client must be; `*` stands for any text.
fn who(rule: &Reader<'_>) -> Vec<Condition> {
    let table = rule.table("who");
    let conditions = Variable::ALL.iter().filter_map(|variable| {
        let like = table.read(variable.as_str(), None, |given| text(given).map(Some))?;
        Some(Condition::Like(*variable, like))
    });
    let conditions = conditions.collect();
    table.close();
    conditions
}

/// Topic filters in which variables stand for what was proved.
fn patterns(given: Given<'_>) -> Result<Vec<String>, Complaint> {
    let patterns = texts(given)?;
    for pattern in &patterns {
        if let Err(error) = check_pattern(pattern) {
            let told = format!("{pattern:?} {error}");
            let (reason, remedy) =
                told.split_once("; ").unwrap_or((&told, "write a topic filter, such as \"tc/%t/%c/#\""));
            return Err(Complaint::new(reason, remedy));
        }
    }
    Ok(patterns)
}
