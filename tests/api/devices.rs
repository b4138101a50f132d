//! Devices: the list in pieces, changes that hold for what was read, and what
//! they do to live connections.

use serde_json::{Value, json};

use crate::control_plane::Plane;

const ALL: &str = "/api/v1/tenants/lab/devices";

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|device| device["id"].as_str().unwrap()).collect()
}

#[test]
fn a_device_is_registered_described_and_forgotten() {
    let plane = Plane::start();
    let new = json!({ "id": "pump-7", "type": "pump", "name": "Pump", "properties": { "hall": 3 } });
    let made = plane.admin.post(ALL, &new).is(201);
    let (place, tag) = (made.field("location").to_owned(), made.field("etag").to_owned());
    assert_eq!(plane.admin.post(ALL, &new).problem().1, "already_exists");
    let found = plane.admin.get(&place).is(200);
    assert_eq!(found.field("etag"), tag);
    let device = found.json();
    assert_eq!((device["type"].clone(), device["properties"]["hall"].clone()), (json!("pump"), json!(3)));
    assert_eq!((device["origin"].clone(), device["connections"].clone()), (json!("api"), json!(0)));
    assert_eq!((device["first_connected_at"].clone(), device["enabled"].clone()), (Value::Null, json!(true)));

    let with = |tag: &str| plane.admin.with("If-Match", tag);
    let changed = with(&tag).patch(&place, &json!({ "name": "Old pump", "type": null })).is(200);
    assert_eq!((changed.json()["name"].clone(), changed.json()["type"].clone()), (json!("Old pump"), Value::Null));
    assert_eq!(changed.json()["properties"]["hall"], 3, "what is absent stays");
    assert_ne!(changed.field("etag"), tag);
    assert_eq!(with(&tag).patch(&place, &json!({ "enabled": false })).problem().0, 412);
    assert_eq!(with(&tag).delete(&place).problem().0, 412);
    assert_eq!(plane.admin.get(&place).json()["enabled"], true, "a change that came too late changes nothing");
    with(changed.field("etag")).delete(&place).is(204);
    assert_eq!(plane.admin.get(&place).problem().0, 404);
    let lines = plane.admin.get("/api/v1/audit?object=pump-7").json();
    let actions: Vec<_> = lines["items"].as_array().unwrap().iter().map(|line| line["action"].clone()).collect();
    assert_eq!(actions, ["device.register", "device.change", "device.forget"]);
}

#[test]
fn what_cannot_be_a_device_is_refused_by_its_field_and_changes_nothing() {
    let plane = Plane::with(|settings| settings.net.max_devices = 1);
    for (body, field) in [
        (json!({ "id": "a/b" }), "id"),
        (json!({ "id": "" }), "id"),
        (json!({ "id": "x", "name": "n".repeat(1025) }), "name"),
        (json!({ "id": "x", "properties": { "p": "p".repeat(17_000) } }), "properties"),
    ] {
        assert_eq!(plane.admin.post(ALL, &body).problem(), (400, "invalid".into(), Some(field.into())), "{field}");
    }
    let odd = plane.admin.post(ALL, &json!({ "id": "50%?é" })).is(201);
    let place = odd.field("location").to_owned();
    assert_eq!(plane.admin.get(&place).is(200).json()["id"], "50%?é", "{place}");
    plane.admin.delete(&place).is(204);
    assert_eq!(plane.admin.post(ALL, &json!({ "id": "x", "properties": [1] })).problem().0, 400);
    assert_eq!(names(&plane.admin.get(ALL).json()), <[&str; 0]>::default());
    plane.admin.post(ALL, &json!({ "id": "one" })).is(201);
    assert_eq!(plane.admin.post(ALL, &json!({ "id": "two" })).problem().1, "limit_reached");
    assert_eq!(plane.admin.patch(&format!("{ALL}/two"), &json!({})).problem().0, 404);
    assert_eq!(plane.admin.get("/api/v1/tenants/none/devices").problem().1, "no_tenant");
    assert_eq!(plane.admin.get(&format!("{ALL}?anchor=mine")).problem().2.as_deref(), Some("anchor"));
    assert_eq!(plane.admin.get(&format!("{ALL}?after=%C2%A7")).problem().2.as_deref(), Some("after"));
    plane.tenant("acme");
    assert_eq!(plane.token("acme", &["admin"]).get(ALL).problem().0, 403);
    assert_eq!(plane.token("lab", &["auditor"]).delete(&format!("{ALL}/one")).problem().0, 403);
}

#[test]
fn the_pieces_of_a_filtered_list_hold_each_device_once() {
    let plane = Plane::start();
    for number in 10..35 {
        let kind = if number % 2 == 0 { "even" } else { "odd" };
        plane.admin.post(ALL, &json!({ "id": format!("d{number}"), "type": kind })).is(201);
    }
    plane.admin.post(ALL, &json!({ "id": "e1", "type": "even" })).is(201);
    plane.admin.patch(&format!("{ALL}/d12"), &json!({ "enabled": false })).is(200);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let piece = plane.admin.get(&format!("{ALL}?limit=5&begins=d&type=even&enabled=true{after}")).is(200).json();
        seen.extend(names(&piece).into_iter().map(str::to_owned));
        match piece["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let wanted: Vec<String> =
        (10..35).filter(|number| number % 2 == 0 && *number != 12).map(|number| format!("d{number}")).collect();
    assert_eq!(seen, wanted);
    assert_eq!(names(&plane.admin.get(&format!("{ALL}?enabled=false")).json()), ["d12"]);
    assert_eq!(names(&plane.admin.get(&format!("{ALL}?seen=true")).json()), <[&str; 0]>::default());
}

#[test]
fn a_certificate_is_explained_and_nothing_of_other_tenants_is_told() {
    let plane = Plane::start();
    let path = "/api/v1/explain";
    let issued = plane
        .admin
        .post("/api/v1/tenants/lab/certificates", &json!({ "csr": crate::control_plane::request("pump-7") }));
    let pem = issued.is(201).json()["certificate"].clone();
    let told = plane.admin.post(path, &json!({ "certificates": pem, "client_id": "pump-7" })).is(200).json();
    assert_eq!((told["accepted"].clone(), told["tenant"].clone()), (json!(true), json!("lab")), "{told}");
    assert_eq!(told["registration"], Value::Null, "to be asked about makes no device known");
    assert!(told["steps"].as_array().unwrap().iter().all(|step| step["passed"] == true));
    plane.admin.post(ALL, &json!({ "id": "pump-7" })).is(201);
    plane.admin.patch(&format!("{ALL}/pump-7"), &json!({ "enabled": false })).is(200);
    let told = plane.admin.post(path, &json!({ "certificates": pem })).is(200).json();
    assert_eq!(
        (told["reason"].clone(), told["registration"]["enabled"].clone()),
        (json!("device_disabled"), json!(false))
    );
    let later = json!({ "certificates": pem, "at": "2099-01-01T00:00:00Z" });
    assert_eq!(plane.admin.post(path, &later).json()["reason"], "expired");

    plane.tenant("acme");
    let acme = plane.token("acme", &["auditor"]);
    let told = acme.post(path, &json!({ "certificates": pem })).is(200);
    assert_eq!(told.json()["reason"], "tenant_conflict");
    // Its issuer is named in the certificate, which the caller has.
    assert!(!told.json()["text"].as_str().unwrap().contains("lab"), "{told:?}");
    assert_eq!(acme.post(path, &json!({ "certificates": pem, "tenant": "lab" })).problem().0, 403);
    assert_eq!(plane.admin.post(path, &json!({ "certificates": "none" })).problem().2.as_deref(), Some("certificates"));
    assert_eq!(plane.admin.post(path, &json!({ "certificates": pem, "tenant": "none" })).problem().0, 404);
    assert_eq!(
        plane.admin.post(path, &json!({ "certificates": pem, "at": "soon" })).problem().2.as_deref(),
        Some("at")
    );
    assert_eq!(plane.admin.get("/api/v1/refusals").json()["items"], json!([]), "nothing is recorded");
}
