//! What holds for every operation.

use serde_json::json;

use crate::control_plane::Plane;

#[test]
fn what_cannot_be_read_is_refused_by_name_and_changes_nothing() {
    let plane = Plane::start();
    let tenants = "/api/v1/tenants";
    let long = vec![b' '; 1_000_000];
    for (body, media, expected) in [
        (&b"{"[..], "application/json", (400, "syntax", None)),
        (b"", "application/json", (400, "missing", None)),
        (b"[]", "application/json", (400, "syntax", None)),
        (b"{}", "application/json", (400, "missing", Some("id"))),
        (br#"{"id":"x","profile":"closed"}"#, "application/json", (400, "invalid", Some("profile"))),
        (br#"{"id":7,"profile":"open"}"#, "application/json", (400, "invalid", Some("id"))),
        (br#"{"id":"a b","profile":"open"}"#, "application/json", (400, "invalid", Some("id"))),
        (b"{}", "text/xml", (415, "media_type", None)),
        (&long, "application/json", (413, "too_large", None)),
    ] {
        let refused = plane.admin.send("POST", tenants, Some((media, body))).problem();
        let (status, code, field) = expected;
        assert_eq!(refused, (status, code.to_owned(), field.map(str::to_owned)), "{media} {}", body.len());
    }
    for (query, field) in [("limit=0", "limit"), ("limit=x", "limit"), ("after=%C2%A7", "after")] {
        let refused = plane.admin.get(&format!("{tenants}?{query}")).problem();
        assert_eq!((refused.0, refused.2.as_deref()), (400, Some(field)), "{query}");
    }
    assert_eq!(plane.admin.get("/api/v1/tenants/%FF").problem().0, 400);
    let seen = plane.admin.get(tenants).is(200).json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "{seen}");
}

#[test]
fn an_unknown_path_or_method_is_told_in_the_shape_of_its_face() {
    let plane = Plane::start();
    assert_eq!(plane.anyone.get("/nothing").problem().1, "no_route");
    assert_eq!(plane.anyone.get("/api/v1/nothing").problem().1, "no_route");
    let refused = plane.anyone.delete("/api/v1/tenants");
    assert_eq!(refused.problem().1, "method");
    assert!(refused.field("allow").contains("POST"), "{refused:?}");
    let mindconnect = plane.anyone.get("/api/mindconnectmqtt/v3/nothing").is(404);
    assert_eq!(mindconnect.json()["errors"][0]["code"], "mdsp.core.generic.noMatch");
    assert_eq!(mindconnect.json()["errors"][0]["logref"], mindconnect.field("x-request-id"));
    let cumulocity = plane.anyone.get("/tenant/nothing").is(404);
    assert_eq!(cumulocity.field("content-type"), "application/vnd.com.nsn.cumulocity.error+json");
    assert_eq!(plane.anyone.get("/api/usermqtt/v1/nothing").is(404).json()["error"], "no_route");
}

#[test]
fn a_request_with_a_key_is_done_once_for_its_caller_and_no_other_request() {
    let plane = Plane::start();
    let once = plane.admin.with("Idempotency-Key", "k1");
    let new = json!({ "name": "ci", "scopes": ["auditor"] });
    let first = once.post("/api/v1/tokens", &new).is(201);
    let again = once.post("/api/v1/tokens", &new).is(201);
    assert_eq!(first.json(), again.json());
    assert_eq!(again.field("idempotency-replayed"), "true");
    let other = once.post("/api/v1/tokens", &json!({ "name": "other", "scopes": ["auditor"] }));
    assert_eq!(other.problem(), (422, "key_reused".into(), Some("Idempotency-Key".into())));
    // Another caller has keys of its own, and a caller who is gone has none.
    let clerk = plane.token("", &["auditor", "accounts:write"]).with("Idempotency-Key", "k1");
    let theirs = clerk.post("/api/v1/tokens", &new).is(201);
    assert_ne!(first.json()["token"], theirs.json()["token"]);
    plane.anyone.bearer("certus_x_y").with("Idempotency-Key", "k1").post("/api/v1/tokens", &new).is(401);
    // What came to nothing may come again.
    let once = plane.admin.with("Idempotency-Key", "k2");
    once.post("/api/v1/tenants", &json!({ "id": "lab", "profile": "open" })).is(409);
    assert!(
        once.post("/api/v1/tenants", &json!({ "id": "lab", "profile": "open" }))
            .is(409)
            .all("idempotency-replayed")
            .is_empty()
    );
}

#[test]
fn a_change_is_made_only_to_the_revision_that_was_read() {
    let plane = Plane::start();
    plane.tenant("acme");
    let path = "/api/v1/tenants/acme";
    let read = plane.admin.get(path).is(200);
    let tag = read.field("etag");
    let off = json!({ "enabled": false });
    let changed = plane.admin.with("If-Match", tag).patch(path, &off).is(200);
    assert_ne!(changed.field("etag"), tag);
    assert_eq!(plane.admin.with("If-Match", tag).patch(path, &off).problem().0, 412);
    assert_eq!(plane.admin.with("If-Match", "\"strange\"").patch(path, &off).problem().0, 412);
    plane.admin.with("If-Match", "*").patch(path, &off).is(200);
}

#[test]
fn a_list_comes_whole_in_pieces() {
    let plane = Plane::start();
    for id in ["d", "b", "c", "a"] {
        plane.tenant(id);
    }
    let (mut seen, mut path) = (Vec::new(), "/api/v1/tenants?limit=2".to_owned());
    for _ in 0..9 {
        let piece = plane.admin.get(&path).is(200).json();
        let items = piece["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = piece["next"].as_str() else { break };
        path = format!("/api/v1/tenants?limit=2&after={next}");
    }
    assert_eq!(seen, ["a", "b", "c", "d", "lab"]);
}

#[test]
fn every_answer_says_that_nothing_else_may_be_loaded() {
    let plane = Plane::start();
    for path in ["/healthz", "/api/v1/status", "/api/docs/", "/nothing", "/api/v1/tenants"] {
        let answer = plane.anyone.get(path);
        let policy = answer.field("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.field("x-content-type-options"), "nosniff");
        assert_eq!(answer.field("x-request-id").len(), 20);
    }
}

#[test]
fn an_address_asks_as_often_as_it_may_and_is_told_when_to_come_back() {
    let plane = Plane::with(|settings| {
        if let Some(https) = &mut settings.https {
            https.max_request_rate_per_address = 3;
        }
    });
    let statuses: Vec<u16> = (0..30).map(|_| plane.anyone.get("/api/v1/status").status).collect();
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    let refused = (0..30).map(|_| plane.anyone.get("/api/v1/status")).find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.field("retry-after"), "1");
}
