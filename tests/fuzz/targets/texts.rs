//! The files that people write: configuration, rights, accounts.

use std::fs;

use certus::config::{Place, Sources, load};
use certus::identity::account::{self, Edit};
use certus::identity::acl_file;
use certus::identity::policy::{Attributes, Rights};
use certus::identity::switch::Profile;
use certus::identity::tenant::Acl;
use certus::mqtt::{TopicFilter, TopicName};

/// A mistake lies in a line that is there, and says what it is.
fn explained(text: &str, line: usize, error: &str) {
    assert!(line >= 1 && line <= text.lines().count(), "line {line} of {text:?}");
    assert!(error.len() > 10, "{error:?}");
}

/// What is granted to subscribe to may be subscribed to by its own name, and
/// is denied nowhere inside.
pub fn acl(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let rules = match acl_file::read("acl", text) {
        Ok(rules) => rules,
        Err(errors) => {
            assert!(!errors.is_empty());
            return errors.iter().for_each(|wrong| explained(text, wrong.line, &wrong.error.to_string()));
        }
    };
    assert!(rules.len() <= text.lines().count());
    let acl = Acl { rules, profile_rights: false, ..Acl::default() };
    let who = Attributes {
        tenant: "t",
        client_id: "c/+",
        common_name: None,
        account: Some("ann"),
        role: None,
        certificate: &[],
    };
    let rights = Rights::compile(Profile::Open, &acl, &who);
    for topic in ["a", "a/b", "home/ann/x", "$SYS/x", "a//b"] {
        let allowed = rights.publish(TopicName::new(topic).expect("a topic")).is_ok();
        assert!(!allowed || !acl.rules.is_empty(), "nobody allowed {topic}");
    }
    for filter in ["#", "a/#", "a/+", "$share/g/a"] {
        let filter = TopicFilter::new(filter).expect("a filter");
        assert!(rights.subscribe(&filter).is_err() || !acl.rules.is_empty(), "nobody allowed {filter}");
    }
}

pub fn accounts(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let accounts = match account::read(text) {
        Ok(accounts) => accounts,
        Err(errors) => {
            assert!(!errors.is_empty());
            return errors.iter().for_each(|wrong| explained(text, wrong.line, &wrong.error.to_string()));
        }
    };
    for account in &accounts {
        let same = account::edited(text, &Edit::Set(account));
        assert_eq!(account::read(&same).as_ref(), Ok(&accounts), "{same:?}");
        let without = account::read(&account::edited(text, &Edit::Remove(&account.name))).expect("one line less");
        assert_eq!(without.len(), accounts.len() - 1);
        assert!(!without.contains(account));
    }
}

thread_local! {
    /// Where every input is written to; it goes with the thread.
    static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder");
}

pub fn config(input: &[u8]) {
    // A configuration may name files: none but those that a test knows.
    if input.contains(&b'/') && input.windows(4).any(|part| matches!(part, b"/dev" | b"/pro" | b"/sys")) {
        return;
    }
    let file = FOLDER.with(|folder| folder.path().join("config.toml"));
    fs::write(&file, input).expect("a file");
    let made = |plan: &certus::config::Plan| Ok(vec![plan.certs_dir.join("device-ca.pem")]);
    match load(&Sources::new().with_file(&file), made) {
        Ok(config) => assert!(!format!("{config:?}").is_empty()),
        Err(problems) => {
            assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                assert!(problem.to_string().len() > 10);
                let Place::File { line, .. } = &problem.place else { continue };
                let lines = String::from_utf8_lossy(input).lines().count() + 1;
                assert!(*line <= lines, "{problem} of {lines} lines");
            }
        }
    }
}
