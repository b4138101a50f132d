//! The face of MindConnect beside its documented commands, which stand in the
//! acceptance scenarios.

use serde_json::json;

use certus::identity::switch::Profile;
use certus::identity::tenant::TenantSettings;
use certus::mqtt::TenantId;

use crate::control_plane::Plane;

const AGENTS: &str = "/api/mindconnectmqtt/v3/agentCertificates";

fn plane() -> Plane {
    Plane::with(|settings| {
        settings.tenants.push(TenantSettings::new(TenantId::new("acme7"), Profile::Mindconnect));
    })
}

/// MC-API-04: the order and the pages are those of all, whichever entries are shown.
#[test]
fn agents_are_listed_in_pages_sorted_and_as_a_bare_list_where_the_tenant_wants_it() {
    let plane = plane();
    let admin = plane.token("acme7", &["admin"]);
    for name in ["b", "C", "a"] {
        admin.post(AGENTS, &json!({ "name": name, "keyType": "p256" })).is(201);
    }
    let page = admin.get(&format!("{AGENTS}?size=2&sort=name,desc")).is(200).json();
    let names: Vec<_> = page["content"].as_array().unwrap().iter().map(|agent| agent["name"].clone()).collect();
    assert_eq!(names, ["C", "b"]);
    assert_eq!((&page["totalElements"], &page["totalPages"], &page["last"]), (&json!(3), &json!(2), &json!(false)));
    let last = admin.get(&format!("{AGENTS}?size=2&sort=name,desc&page=1")).is(200).json();
    assert_eq!((&last["content"][0]["clientId"], &last["last"]), (&json!("acme7_a"), &json!(true)));
    assert!(last["content"][0]["publicKey"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE"));
    let option = json!({ "category": "mc", "key": "list_shape", "value": "array" });
    admin.with("Accept", "application/json").post("/tenant/options", &option).is(200);
    assert_eq!(admin.get(AGENTS).is(200).json().as_array().map(Vec::len), Some(3));
}
