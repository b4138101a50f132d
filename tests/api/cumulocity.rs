//! The face of Cumulocity: who may what, and what its document says. The
//! documented commands stand in the acceptance scenarios.

use std::collections::BTreeSet;

use certus::identity::account::{Account, BootstrapPassword};
use certus::identity::password;
use certus::identity::switch::{Profile, Role};
use certus::identity::tenant::TenantSettings;
use certus::mqtt::TenantId;
use serde_json::{Value, json};

use crate::control_plane::{Plane, authority};
use crate::https_client::{Answer, Client};

const ALL: &str = "/tenant/tenants/t2250/trusted-certificates";
const PASSWORD: &str = "a long password";

/// A broker with the tenant `t2250` and its account `admin`; its anchor comes
/// from a file.
fn plane() -> Plane {
    Plane::with(|settings| {
        let mut tenant = TenantSettings::new(TenantId::new("t2250"), Profile::Cumulocity);
        tenant.domain = Some("factory.broker.lan".to_owned());
        let hash = password::hash(PASSWORD.as_bytes()).unwrap();
        tenant.accounts.push(Account {
            name: "admin".to_owned(),
            hash,
            role: Role::Operator,
            enabled: true,
            grant: Vec::new(),
        });
        tenant.bootstrap = Some(BootstrapPassword("change-me-soon".to_owned()));
        // The file's anchor moves here: it cannot be that of two tenants.
        tenant.anchors.append(&mut settings.tenants[0].anchors);
        settings.tenants.push(tenant);
    })
}

fn shown(client: &Client) -> Client {
    client.with("Accept", "application/json")
}

/// The status and the name of an error in its shape.
fn error(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.field("content-type"), "application/vnd.com.nsn.cumulocity.error+json", "{answer:?}");
    let body = answer.json();
    assert!(body["message"].is_string() && body["info"].is_string(), "{body}");
    (answer.status, body["error"].as_str().unwrap().to_owned())
}

fn upload(name: &str) -> Value {
    json!({ "status": "ENABLED", "name": name, "certInPemFormat": authority(name) })
}

#[test]
fn roles_open_what_they_are_named_for() {
    let plane = plane();
    let admin = shown(&plane.token("t2250", &["ROLE_TENANT_MANAGEMENT_ADMIN"]));
    let reader = shown(&plane.token("t2250", &["ROLE_TENANT_MANAGEMENT_READ"]));
    let devices = shown(&plane.token("t2250", &["ROLE_DEVICE_CONTROL_ADMIN"]));
    let forbidden = (403, "security/Forbidden".to_owned());
    let made = admin.post(ALL, &upload("plant")).is(201);
    let one = format!("{ALL}/{}", made.json()["fingerprint"].as_str().unwrap());
    assert_eq!(made.field("location"), format!("https://any.example{one}"));
    assert_eq!(reader.get(ALL).is(200).json()["certificates"].as_array().unwrap().len(), 2);
    reader.get(&one).is(200);
    assert_eq!(error(&reader.post(ALL, &upload("other"))), forbidden);
    assert_eq!(error(&reader.delete(&one)), forbidden);
    assert_eq!(error(&devices.get(ALL)), forbidden);
    let id = json!({ "id": "pump-1" });
    devices.post("/devicecontrol/newDeviceRequests", &id).is(201);
    assert_eq!(error(&admin.post("/devicecontrol/newDeviceRequests", &id)), forbidden);
    assert_eq!(error(&devices.get("/tenant/options")), forbidden);
    let list = ("text/csv", &b"ID,AUTH_TYPE\nx,CERTIFICATES\n"[..]);
    assert_eq!(error(&reader.send("POST", "/devicecontrol/bulkNewDeviceRequests", Some(list))), forbidden);
    devices.send("POST", "/devicecontrol/bulkNewDeviceRequests", Some(list)).is(201);
}

#[test]
fn a_name_without_a_tenant_means_the_tenant_of_the_site() {
    let plane = plane();
    let name = |client: &Client| client.get("/tenant/currentTenant").is(200).json()["name"].clone();
    assert_eq!(name(&plane.anyone.basic("admin", PASSWORD)), "t2250");
    assert_eq!(name(&plane.anyone.basic("t2250/admin", PASSWORD)), "t2250");
    for (user, given) in [("lab/admin", PASSWORD), ("management/admin", PASSWORD), ("admin", "another one")] {
        let answer = plane.anyone.basic(user, given).get("/tenant/currentTenant");
        assert_eq!(error(&answer), (401, "security/Unauthorized".into()), "{user}");
        assert!(answer.field("www-authenticate").starts_with("Basic"));
    }
}

#[test]
fn what_the_configuration_file_makes_is_shown_and_not_changed() {
    let plane = plane();
    let admin = shown(&plane.token("t2250", &["ROLE_TENANT_ADMIN"]));
    let of_file = admin.get(ALL).is(200).json()["certificates"][0].clone();
    assert_eq!((&of_file["name"], &of_file["status"]), (&json!("device-ca"), &json!("ENABLED")));
    let one = format!("{ALL}/{}", of_file["fingerprint"].as_str().unwrap().to_uppercase());
    let change = json!({ "status": "DISABLED" }).to_string();
    let refused = admin.send("PUT", &one, Some(("application/json", change.as_bytes())));
    assert_eq!(error(&refused), (409, "tenants/Conflict".into()));
    assert!(refused.json()["message"].as_str().unwrap().contains("device-ca.pem"), "{refused:?}");
    assert_eq!(error(&admin.delete(&one)).0, 409);
}

#[test]
fn whoever_runs_the_broker_confirms_possession_and_registers_anywhere() {
    let plane = plane();
    let (operator, admin) = (shown(&plane.admin), shown(&plane.token("t2250", &["ROLE_TENANT_ADMIN"])));
    let made = admin.post(ALL, &upload("plant")).is(201).json();
    assert_eq!(made["proofOfPossessionValid"], false);
    let place = format!("{ALL}-pop/{}/confirmed", made["fingerprint"].as_str().unwrap());
    assert_eq!(error(&admin.post(&place, &json!({}))).0, 403);
    assert_eq!(operator.post(&place, &json!({})).is(200).json()["proofOfPossessionValid"], true);
    let list = ("text/csv", &b"ID,AUTH_TYPE,TENANT\na,CERTIFICATES,lab\nb,CERTIFICATES,\nc,CERTIFICATES,nowhere\n"[..]);
    let bulk = "/devicecontrol/bulkNewDeviceRequests";
    let outcome = operator.send("POST", bulk, Some(list)).is(201).json();
    assert_eq!((&outcome["numberOfCreated"], &outcome["numberOfFailed"]), (&json!(2), &json!(1)));
    let outcome = admin.send("POST", bulk, Some(list)).is(201).json();
    assert_eq!((&outcome["numberOfSuccessful"], &outcome["numberOfFailed"]), (&json!(1), &json!(2)));
    assert_eq!(error(&plane.token("lab", &["admin"]).get(ALL)), (403, "security/Forbidden".into()));
    assert_eq!(
        error(&operator.get("/tenant/tenants/nowhere/trusted-certificates")),
        (404, "security/Not Found".into())
    );
}

#[test]
fn wrong_bootstrap_passwords_close_the_door_for_their_address() {
    let plane = plane();
    let ask = |password: &str| {
        let client = plane.anyone.basic("management/devicebootstrap", password);
        client.post("/devicecontrol/deviceCredentials", &json!({ "id": "pump-1" }))
    };
    assert_eq!(error(&ask("change-me-soon")).0, 404);
    for _ in 0..10 {
        assert_eq!(error(&ask("a wrong one")).0, 401);
    }
    assert_eq!(error(&ask("change-me-soon")).0, 429);
}

fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|inner| references(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[test]
fn every_operation_of_the_document_is_served_and_tells_strangers_so_in_its_shape() {
    let plane = plane();
    let document = plane.anyone.get("/tenant/openapi.json").is(200).json();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in found {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{reference}");
    }
    let mut count = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            count += 1;
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let errors = answer["content"].get("application/vnd.com.nsn.cumulocity.error+json");
                assert_eq!(errors.is_some(), status.as_str() >= "400", "{method} {path} {status}");
            }
            let path = path.replace(['{', '}'], "");
            let answer = plane.anyone.send(&method.to_uppercase(), &path, Some(("application/json", b"{}")));
            assert_eq!(error(&answer), (401, "security/Unauthorized".into()), "{method} {path}");
        }
    }
    assert!(count >= 20, "{count}");
    for (method, path, status) in [("GET", "/tenant/none", 404), ("GET", "/user/none", 404), ("PATCH", ALL, 405)] {
        assert_eq!(error(&plane.admin.send(method, path, None)).0, status, "{path}");
    }
}
