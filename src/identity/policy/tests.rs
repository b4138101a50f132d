//! Rights as clients meet them.

use crate::identity::switch::{Action, Effect, Profile, Variable};
use crate::identity::tenant::Acl;
use crate::mqtt::{TopicError, TopicFilter, TopicName, matches};

use super::*;

const PUMP: Attributes<'_> = Attributes {
    tenant: "acme",
    client_id: "acme_pump",
    common_name: Some("pump"),
    account: None,
    role: None,
    certificate: &[],
};

fn rights(profile: Profile) -> Rights {
    Rights::compile(profile, &Acl::default(), &PUMP)
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
    assert!(Permit::of_the_broker(TopicName::new("$SYS/x").unwrap()).is_some());
    assert!(Permit::of_the_broker(TopicName::new("$SYSTEM/x").unwrap()).is_none());
}

/// ACL-02
#[test]
fn a_mindconnect_agent_stays_below_its_own_client_id() {
    let rights = rights(Profile::Mindconnect);
    assert!(may_publish(&rights, "tc/acme/acme_pump/o/mc_v3/ts"));
    assert!(may_subscribe(&rights, "tc/acme/acme_pump/i/cmd_v3/c"));
    assert!(may_subscribe(&rights, "tc/acme/acme_pump/i/#"));
    for foreign in ["tc/acme/+/i/#", "tc/acme/acme_other/i/x", "#", "tc/acme/acme_pump/#", "tc/acme/acme_pump/o/#"] {
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
    for down in ["s/dt", "s/ds", "s/e", "s/dc/#", "s/dat", "s/dl", "s/ol/x", "devicecontrol/notifications", "error"] {
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
    for own in ["centiloc/acme", "centiloc/acme/#", "centiloc/acme/+/item/v1/update", "$share/acme-g/centiloc/acme"] {
        assert!(may_subscribe(&rights, own), "{own}");
    }
    for foreign in ["centiloc/bravo", "centiloc/+", "#", "centiloc/#", "$share/bravo-g/centiloc/acme"] {
        assert!(!may_subscribe(&rights, foreign), "{foreign}");
    }
    assert!(!may_publish(&rights, "centiloc/acme"));
}

#[test]
fn a_variable_that_is_not_set_or_holds_a_wildcard_grants_nothing() {
    let acl = Acl { extra_publish: vec!["by/%n/#".into(), "of/%c".into()], ..Acl::default() };
    let own = Rights::compile(Profile::Centiloc, &acl, &PUMP);
    assert!(may_publish(&own, "by/pump/x") && may_publish(&own, "of/acme_pump"));
    for (client_id, common_name) in [("+", None), ("a/b", Some("#")), ("", Some(""))] {
        let who = Attributes { tenant: "acme", client_id, common_name, account: None, role: None, certificate: &[] };
        let rights = Rights::compile(Profile::Centiloc, &acl, &who);
        assert!(!may_publish(&rights, "by/pump/x") && !may_publish(&rights, "of/acme_pump"), "{client_id:?}");
        assert!(!may_publish(&rights, "of/a/b") && !may_publish(&rights, "by/x"), "{client_id:?}");
    }
}

#[test]
fn a_pattern_is_checked_before_it_is_used() {
    assert_eq!(check_pattern("a/%t/%c/%n/#"), Ok(()));
    assert_eq!(check_pattern("a/%x"), Err(PatternError::UnknownVariable));
    assert_eq!(check_pattern("a/#/b"), Err(PatternError::Filter(TopicError::MisplacedWildcard)));
    assert_eq!(check_pattern("$share/g/a"), Err(PatternError::Shared));
}

#[test]
fn rights_that_do_not_depend_on_the_client_are_shared() {
    let tenant = TenantRights::new(Profile::Open, &Acl::default(), "lab");
    assert!(Arc::ptr_eq(&tenant.of(&PUMP), &tenant.of(&PUMP)));
    let tenant = TenantRights::new(Profile::Mindconnect, &Acl::default(), "acme");
    assert!(may_publish(&tenant.of(&PUMP), "tc/acme/acme_pump/o/x"));
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

fn allow(topic: &str, who: Vec<Condition>) -> AclRule {
    let topics = vec![topic.to_owned()];
    AclRule { name: "r".into(), effect: Effect::Allow, action: Action::Both, who, topics, variables: true }
}

fn by(rules: Vec<AclRule>, who: &Attributes<'_>) -> Rights {
    Rights::compile(Profile::Open, &Acl { rules, profile_rights: false, ..Acl::default() }, who)
}

#[test]
fn rules_see_every_value_that_the_certificate_proves_and_no_other() {
    let certificate =
        [("hall-1", Variable::OrganizationalUnit), ("hall-2", Variable::OrganizationalUnit), ("x.lan", Variable::Dns)]
            .map(|(value, variable)| (variable, value.to_owned()));
    let who = Attributes { certificate: &certificate, ..PUMP };
    let like = |variable, like: &str| vec![Condition::Like(variable, like.to_owned())];
    let rights = by(
        vec![
            allow("h/%{ou}/%n", Vec::new()),
            allow("lan", like(Variable::Dns, "*.lan")),
            allow("wan", like(Variable::Dns, "*.wan")),
            allow("mail/%{email}", Vec::new()),
            allow("mailers", like(Variable::Email, "*")),
        ],
        &who,
    );
    for topic in ["h/hall-1/pump", "h/hall-2/pump", "lan"] {
        assert!(may_publish(&rights, topic), "{topic}");
    }
    for topic in ["h/hall-3/pump", "wan", "mail/", "mail/%{email}", "mailers"] {
        assert!(!may_publish(&rights, topic), "{topic}");
    }
    assert!(!may_publish(&by(vec![allow("h/%{ou}/%n", Vec::new())], &PUMP), "h/hall-1/pump"));
}

#[test]
fn nobody_gets_around_a_denial_by_its_own_name() {
    let deny = AclRule { effect: Effect::Deny, ..allow("dev/%c/secret", Vec::new()) };
    let rules = vec![allow("#", Vec::new()), deny];
    assert!(!may_publish(&by(rules.clone(), &PUMP), "dev/acme_pump/secret"));
    assert!(may_publish(&by(rules.clone(), &PUMP), "dev/acme_pump/open"));
    let sly = by(rules, &Attributes { client_id: "a/b", ..PUMP });
    assert!(!may_publish(&sly, "dev/a/b/secret") && !may_publish(&sly, "dev/x") && may_publish(&sly, "other"));
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, text, like) in [
        ("*", "", true),
        ("a*", "abc", true),
        ("*.lan", "x.lan", true),
        ("*.lan", "x.lan.evil", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c-b", false),
        ("ab*ba", "aba", false),
        ("press", "press2", false),
    ] {
        assert_eq!(glob(pattern, text), like, "{pattern} {text}");
    }
}

proptest::proptest! {
    /// What two filters both match shows that they overlap.
    #[test]
    fn overlapping_means_that_one_topic_is_matched_by_both(
        one in "(\\+|a|b)(/(\\+|a|b)){0,3}(/#)?",
        other in "(\\+|a|b)(/(\\+|a|b)){0,3}(/#)?",
        topic in "(a|b)(/(a|b)){0,4}",
    ) {
        if matches(&one, &topic) && matches(&other, &topic) {
            proptest::prop_assert!(overlaps(&one, &other));
        }
    }
}
