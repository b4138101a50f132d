//! The rights that come with a profile or a role.
//!
//! What lives here: spec.md section 9 as tables. What does not: rules beyond
//! it (`rule`). Invariant: what stands here is granted to every client of the
//! profile, and never denies anything.

use super::pattern::{self, Pattern};
use super::{Attributes, Grant, Groups, Lists, Origin, Rights};
use crate::identity::switch::{Profile, Role};

/// The rights of `who` before any rule.
pub(super) fn rights_of(profile: Profile, who: &Attributes<'_>) -> Rights {
    let role = |role| Origin::Role(role);
    match who.role {
        Some(Role::Operator) => of_profile(Profile::Open, who, &role(Role::Operator)),
        Some(Role::Application) if profile == Profile::Mindconnect => of_application(who),
        Some(Role::Application | Role::Device) | None => of_profile(profile, who, &Origin::Profile(profile)),
    }
}

/// The groups of shared subscriptions that a profile's clients may join.
pub(super) fn groups(profile: Profile, who: &Attributes<'_>) -> Groups {
    match profile {
        Profile::Open | Profile::Mindconnect => Groups::All,
        Profile::Cumulocity => Groups::None,
        Profile::Centiloc => Groups::WithPrefix(who.tenant.into()),
    }
}

fn list(patterns: impl IntoIterator<Item = Pattern>, origin: &Origin) -> Lists {
    let grant = |pattern| Grant { pattern, origin: origin.clone() };
    Lists { denied: Vec::new(), allowed: patterns.into_iter().map(grant).collect() }
}

fn of_text(text: &str, who: &Attributes<'_>) -> Vec<Pattern> {
    pattern::allowed(text, who).into_iter().map(|filter| Pattern::Filter(filter.into_boxed_str())).collect()
}

/// ACL-02: whoever collects what the agents say, and commands them.
fn of_application(who: &Attributes<'_>) -> Rights {
    let origin = Origin::Role(Role::Application);
    Rights {
        publish: list(of_text("tc/%t/+/i/#", who), &origin),
        subscribe: list(of_text("tc/%t/#", who), &origin),
        groups: Groups::All,
    }
}

fn of_profile(profile: Profile, who: &Attributes<'_>, origin: &Origin) -> Rights {
    let (publish, subscribe) = match profile {
        // ACL-05
        Profile::Open => (vec![Pattern::AllButDollar], vec![Pattern::Everything]),
        // ACL-02
        Profile::Mindconnect => (of_text("tc/%t/%c/o/#", who), of_text("tc/%t/%c/i/#", who)),
        // ACL-03
        Profile::Cumulocity => (vec![Pattern::OneOf(UPSTREAM)], vec![Pattern::OneOf(DOWNSTREAM)]),
        // ACL-04, CEN-MQTT-05
        Profile::Centiloc => (Vec::new(), of_text("centiloc/%t/#", who)),
    };
    Rights { publish: list(publish, origin), subscribe: list(subscribe, origin), groups: groups(profile, who) }
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
