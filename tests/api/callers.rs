//! Who is let in, and how far.

use serde_json::json;

use crate::control_plane::Plane;

#[test]
fn who_is_not_known_is_told_the_ways_in_and_nothing_else() {
    let plane = Plane::start();
    for client in [
        plane.anyone.clone(),
        plane.anyone.bearer("certus_0000_nothing"),
        plane.anyone.basic("lab/nobody", "wrong"),
        plane.anyone.with("Authorization", "Digest x"),
        plane.anyone.with("Authorization", "Basic §§"),
    ] {
        let answer = client.get("/api/v1/tenants");
        assert_eq!(answer.problem().0, 401);
        assert_eq!(answer.all("www-authenticate").len(), 2, "{answer:?}");
        assert!(!answer.text.contains("lab"), "{answer:?}");
    }
}

#[test]
fn a_caller_of_one_tenant_reaches_no_other() {
    let plane = Plane::start();
    plane.tenant("acme");
    let acme = plane.token("acme", &["admin"]);
    let seen = acme.get("/api/v1/tenants").is(200).json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "{seen}");
    for path in [
        "/api/v1/tenants/lab",
        "/api/v1/tenants/lab/anchors",
        "/api/v1/tenants/lab/revocations",
        "/api/v1/connections?tenant=lab",
    ] {
        assert_eq!(acme.get(path).problem().0, 403, "{path}");
    }
    for path in ["/api/v1/accounts", "/api/v1/tokens"] {
        assert_eq!(acme.get(path).problem().0, 403, "{path}");
    }
    assert_eq!(acme.post("/api/v1/tenants", &json!({ "id": "other", "profile": "open" })).problem().0, 403);
    assert_eq!(acme.send("POST", "/api/v1/config/check", Some(("text/plain", b""))).problem().0, 403);
}

#[test]
fn who_may_only_read_changes_nothing_and_nobody_grants_what_they_lack() {
    let plane = Plane::start();
    let auditor = plane.token("", &["auditor"]);
    auditor.get("/api/v1/audit").is(200);
    let refused = auditor.post("/api/v1/tenants", &json!({ "id": "x", "profile": "open" }));
    assert_eq!(refused.problem().0, 403);
    assert_eq!(auditor.delete("/api/v1/tenants/lab").problem().0, 403);
    let clerk = plane.token("", &["accounts:write"]);
    let refused = clerk.post("/api/v1/tokens", &json!({ "name": "mine", "scopes": ["admin"] }));
    assert_eq!(refused.problem(), (403, "forbidden".into(), Some("scopes".into())));
}

#[test]
fn an_account_logs_in_by_its_password_until_it_is_switched_off() {
    let plane = Plane::start();
    let new = json!({ "name": "ada", "password": "correct horse", "role": "application", "scopes": ["auditor"] });
    let made = plane.admin.post("/api/v1/tenants/lab/accounts", &new).is(201);
    assert!(!made.text.contains("horse") && !made.text.contains("argon2"), "{made:?}");
    let seen = plane.admin.get(made.field("location")).is(200);
    assert_eq!((seen.field("etag"), seen.json()["name"].clone()), (made.field("etag"), json!("ada")));
    assert!(!seen.text.contains("argon2"), "{seen:?}");
    assert_eq!(plane.admin.get("/api/v1/tenants/lab/accounts/nobody").problem().0, 404);
    let ada = plane.anyone.basic("lab/ada", "correct horse");
    ada.get("/api/v1/tenants/lab").is(200);
    // The listener's own tenant needs no name.
    plane.anyone.basic("ada", "correct horse").get("/api/v1/tenants/lab").is(200);
    plane.anyone.basic("lab/ada", "battery staple").get("/api/v1/tenants/lab").is(401);
    plane.admin.patch("/api/v1/tenants/lab/accounts/ada", &json!({ "enabled": false })).is(200);
    ada.get("/api/v1/tenants/lab").is(401);
    let short = json!({ "name": "bob", "password": "short", "role": "device" });
    let refused = plane.admin.post("/api/v1/tenants/lab/accounts", &short);
    assert_eq!(refused.problem(), (400, "invalid".into(), Some("password".into())));
}

/// AUTH-14, with one count for MQTT and HTTPS.
#[test]
fn many_wrong_passwords_close_the_door_for_the_right_one_too() {
    let plane = Plane::start();
    let new = json!({ "name": "eve", "password": "correct horse", "role": "application", "scopes": ["auditor"] });
    plane.admin.post("/api/v1/accounts", &new).is(201);
    for _ in 0..10 {
        plane.anyone.basic("eve", "wrong").get("/api/v1/audit").is(401);
    }
    let refused = plane.anyone.basic("eve", "correct horse").get("/api/v1/audit");
    assert_eq!(refused.problem().0, 429);
    assert!(!refused.all("retry-after").is_empty(), "{refused:?}");
    // A token is no password.
    plane.admin.get("/api/v1/audit").is(200);
}

#[test]
fn a_token_ends_when_it_is_deleted() {
    let plane = Plane::start();
    let made = plane.admin.post("/api/v1/tokens", &json!({ "name": "ci", "scopes": ["auditor"] })).is(201);
    let place = made.field("location").to_owned();
    let ci = plane.anyone.bearer(made.json()["token"].as_str().unwrap());
    ci.get("/api/v1/tokens").is(200);
    assert!(!ci.get("/api/v1/tokens").text.contains(made.json()["token"].as_str().unwrap()));
    plane.admin.delete(&place).is(204);
    ci.get("/api/v1/tokens").is(401);
    assert_eq!(plane.admin.delete(&place).problem().0, 404);
}
