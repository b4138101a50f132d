//! The operations, as far as they are not those of another test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::control_plane::{Plane, authority, request};

#[test]
fn a_tenant_of_the_configuration_is_switched_off_and_on_but_not_deleted() {
    let plane = Plane::start();
    let lab = "/api/v1/tenants/lab";
    assert_eq!(plane.admin.delete(lab).problem(), (409, "configured".into(), None));
    let off = plane.admin.patch(lab, &json!({ "enabled": false })).is(200).json();
    assert_eq!((off["enabled"].clone(), off["configured"].clone()), (json!(false), json!(true)));
    assert_eq!(plane.admin.patch(lab, &json!({ "domain": "x.example" })).problem().0, 409);
    plane.tenant("acme");
    let acme = "/api/v1/tenants/acme";
    plane.admin.patch(acme, &json!({ "domain": "acme.example" })).is(200);
    assert_eq!(plane.admin.get(acme).json()["domain"], "acme.example");
    assert_eq!(plane.admin.patch(acme, &json!({ "domain": null })).is(200).json()["domain"], Value::Null);
    plane.admin.delete(acme).is(204);
    assert_eq!(plane.admin.get(acme).problem().1, "no_tenant");
}

#[test]
fn anchors_are_taken_up_to_the_bound_once_each_and_those_of_the_file_are_read_only() {
    let plane = Plane::start();
    let path = "/api/v1/tenants/lab/anchors";
    let pem = authority("Plant 7");
    let upload = |name: &str, pem: &str| json!({ "name": name, "certificate": pem });
    let made = plane.admin.post(path, &upload("first", &pem)).is(201);
    assert_eq!(made.json()["proved"], false);
    assert_eq!(made.json()["certificate"]["subject"], "CN=Plant 7");
    assert_eq!(plane.admin.post(path, &upload("again", &pem)).problem().1, "already_exists");
    // One line, with the two characters \n, as people copy it out of an answer.
    let flat = authority("Plant 8").replace('\n', "\\n");
    plane.admin.post(path, &upload("second", &flat)).is(201);
    assert_eq!(plane.admin.post(path, &upload("third", &authority("Plant 9"))).problem().1, "limit_reached");
    assert_eq!(plane.admin.post(path, &upload("none", "hello")).problem().1, "invalid_certificate");
    let all = plane.admin.get(path).json();
    let of_file = all["items"].as_array().unwrap().iter().find(|anchor| anchor["configured"].is_string()).unwrap();
    let of_file = format!("{path}/{}", of_file["id"].as_str().unwrap());
    assert_eq!(plane.admin.delete(&of_file).problem().1, "configured");
    let first = made.field("location").to_owned();
    assert!(
        plane.admin.get(&format!("{first}/registration-code")).is(200).json()["registration_code"]
            .as_str()
            .unwrap()
            .len()
            >= 16
    );
    assert_eq!(plane.admin.post(&format!("{first}/verify"), &json!({ "certificate": pem })).problem().0, 422);
    assert_eq!(plane.admin.get(&format!("{first}/cut-off")).is(200).json()["items"], json!([]));
    let renamed = plane.admin.patch(&first, &json!({ "name": "kiln", "status": "renew_only" })).is(200).json();
    assert_eq!((renamed["name"].clone(), renamed["status"].clone()), (json!("kiln"), json!("renew_only")));
    plane.admin.delete(&first).is(204);
    assert_eq!(plane.admin.get(&first).problem().0, 404);
}

#[test]
fn a_device_gets_a_certificate_for_its_own_request_and_loses_it() {
    let plane = Plane::start();
    let path = "/api/v1/tenants/lab/certificates";
    let made = plane.admin.post(path, &json!({ "csr": request("pump-7") })).is(201);
    let issued = made.json();
    assert_eq!(issued["common_name"], "pump-7");
    assert!(issued["certificate"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let place = made.field("location").to_owned();
    assert_eq!(plane.admin.get(&place).is(200).json()["serial"], issued["serial"]);
    assert_eq!(plane.admin.get(&format!("{path}?common_name=pump-7")).json()["items"].as_array().unwrap().len(), 1);
    plane.admin.post(&format!("{place}/revoke"), &json!({ "reason": "superseded" })).is(204);
    assert!(plane.admin.get(&place).json()["revoked_at"].is_string());
    assert_eq!(plane.admin.get(path).json()["items"], json!([]));
    assert_eq!(plane.admin.post(path, &json!({ "csr": "nothing" })).problem().2.as_deref(), Some("csr"));
    let invited =
        plane.admin.post("/api/v1/tenants/lab/enrolment-tokens", &json!({ "device": "pump-8" })).is(201).json();
    assert!(invited["token"].as_str().unwrap().len() > 20, "{invited}");
}

#[test]
fn what_is_taken_back_by_name_is_listed_and_can_be_given_back() {
    let plane = Plane::start();
    let path = "/api/v1/tenants/lab/revocations";
    for (target, value) in
        [("serial", "01:AB"), ("fingerprint", &"0f".repeat(32)), ("common_name", "pump-7"), ("device", "pump-8")]
    {
        let made =
            plane.admin.post(path, &json!({ "target": target, "value": value, "reason": "keyCompromise" })).is(201);
        assert_eq!(made.json()["reason"], "keyCompromise");
    }
    assert_eq!(plane.admin.post(path, &json!({ "target": "key", "value": "zz" })).problem().0, 400);
    let strange = plane.admin.post(path, &json!({ "target": "serial", "value": "1", "reason": "boredom" }));
    assert_eq!(strange.problem().2.as_deref(), Some("reason"));
    let all = plane.admin.get(path).is(200).json();
    assert_eq!(all["items"].as_array().unwrap().len(), 4, "{all}");
    plane.admin.delete(&format!("{path}?target=common_name&value=pump-7")).is(204);
    assert_eq!(plane.admin.delete(&format!("{path}?target=common_name&value=pump-7")).problem().0, 404);
    // As people write it, which is not as the list has it.
    plane.admin.delete(&format!("{path}?target=serial&value=0x1AB")).is(204);
    plane.admin.delete(&format!("{path}?target=fingerprint&value={}", "0F".repeat(32))).is(204);
    assert_eq!(plane.admin.delete(&format!("{path}?target=serial&value=zz")).problem().2.as_deref(), Some("value"));
    assert_eq!(plane.admin.delete(&format!("{path}?target=colour&value=x")).problem().0, 400);
    let anchors = plane.admin.get("/api/v1/tenants/lab/anchors").json();
    let lists = format!("/api/v1/tenants/lab/anchors/{}/crls", anchors["items"][0]["id"].as_str().unwrap());
    assert_eq!(plane.admin.get(&lists).is(200).json()["items"], json!([]));
    let refused = plane.admin.send("POST", &lists, Some(("application/pkix-crl", b"no list")));
    assert!((400..500).contains(&refused.problem().0), "{refused:?}");
}

#[test]
fn every_change_is_in_the_audit_with_who_and_which_request_and_no_secret() {
    let plane = Plane::start();
    let made = plane.admin.post("/api/v1/tenants", &json!({ "id": "acme", "profile": "open" })).is(201);
    let secret = "a very secret password";
    let account = json!({ "name": "ada", "password": secret, "role": "device" });
    plane.admin.post("/api/v1/tenants/acme/accounts", &account).is(201);
    let token = plane.admin.post("/api/v1/tokens", &json!({ "name": "ci", "scopes": ["auditor"] })).is(201).json();
    let lines = plane.admin.get("/api/v1/audit?tenant=acme&action=tenant.").is(200).json();
    let line = &lines["items"][0];
    assert_eq!((line["action"].clone(), line["object"].clone()), (json!("tenant.create"), json!("acme")));
    assert_eq!(line["request"], made.field("x-request-id"));
    assert!(line["who"].as_str().unwrap().starts_with("token tests ("), "{line}");
    assert_eq!(line["address"], "127.0.0.1");
    let all = plane.admin.get("/api/v1/audit?limit=500").is(200).text;
    assert!(!all.contains(secret) && !all.contains("argon2") && !all.contains(token["token"].as_str().unwrap()));
    assert_eq!(plane.admin.get("/api/v1/audit?since=soon").problem().2.as_deref(), Some("since"));
}

#[test]
fn a_live_connection_is_seen_and_ended() {
    let plane = Plane::start();
    let mut client = TcpStream::connect(plane.plain).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05pump1").unwrap();
    let mut connack = [0; 4];
    client.read_exact(&mut connack).unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    let seen = plane.admin.get("/api/v1/connections?tenant=lab&client_id=pump1").is(200).json();
    let one = &seen["items"][0];
    assert_eq!((one["listener"].clone(), one["protocol_level"].clone()), (json!("plain"), json!(4)));
    plane.tenant("acme");
    let place = format!("/api/v1/connections/{}", one["id"]);
    assert_eq!(plane.token("acme", &["admin"]).delete(&place).problem().0, 404, "another tenant's");
    assert_eq!(plane.admin.delete(&format!("{place}?why={}", "x".repeat(201))).problem().2.as_deref(), Some("why"));
    plane.admin.delete(&format!("{place}?why=spare")).is(204);
    let line = plane.admin.get("/api/v1/audit?action=connection.end").json()["items"][0].clone();
    assert_eq!((line["object"].clone(), line["tenant"].clone()), (json!("pump1"), json!("lab")));
    assert_eq!(
        (line["before"]["connection"].clone(), line["after"]["why"].clone()),
        (one["id"].clone(), json!("spare"))
    );
    assert_eq!(client.read(&mut [0; 16]).unwrap_or(0), 0, "the stream ends");
    assert_eq!(plane.admin.delete("/api/v1/connections/none").problem().0, 404);
}

#[test]
fn a_refusal_is_listed_and_told_to_who_follows() {
    let plane = Plane::start();
    let follower = plane.admin.follow("/api/v1/refusals/tail?tenant=lab");
    // MQTT 3.1.1 without a ClientId and without Clean Session.
    let mut client = TcpStream::connect(plane.plain).unwrap();
    client.write_all(b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x3c\x00\x00").unwrap();
    let told = follower.next_event("refusal");
    let refusal: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((refusal["stage"].clone(), refusal["tenant"].clone()), (json!("connect"), json!("lab")), "{refusal}");
    assert!(refusal["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()));
    let reason = refusal["reason"].as_str().unwrap();
    let listed = plane.admin.get(&format!("/api/v1/refusals?reason={reason}&stage=connect")).is(200).json();
    assert_eq!(listed["items"][0]["id"], refusal["id"]);
    assert_eq!(plane.admin.get("/api/v1/refusals?stage=handshake").json()["items"], json!([]));
    assert_eq!(plane.admin.get("/api/v1/refusals?reason=mood").problem().2.as_deref(), Some("reason"));
    plane.tenant("acme");
    assert_eq!(plane.token("acme", &["admin"]).get("/api/v1/refusals").is(200).json()["items"], json!([]));
}

#[test]
fn no_more_follow_refusals_than_may() {
    let plane = Plane::start();
    let followers: Vec<_> = (0..16).map(|_| plane.admin.follow("/api/v1/refusals/tail")).collect();
    assert_eq!(plane.admin.get("/api/v1/refusals/tail").problem().0, 503);
    drop(followers);
}

#[test]
fn a_configuration_is_checked_whole_without_being_taken() {
    let plane = Plane::start();
    let check =
        |text: &str| plane.admin.send("POST", "/api/v1/config/check", Some(("application/toml", text.as_bytes())));
    assert_eq!(check("").is(200).json()["good"], true);
    let bad = check("[limits]\nbacklog = \"many\"\n[mystery]\nx = 1\n").is(200).json();
    assert_eq!((bad["good"].clone(), bad["problems"].as_array().unwrap().len()), (json!(false), 2), "{bad}");
    assert_eq!(plane.admin.send("POST", "/api/v1/config/check", Some(("text/xml", b""))).problem().0, 415);
}

#[test]
fn a_decision_is_tested_as_the_data_plane_would_make_it() {
    let plane = Plane::start();
    plane.admin.post("/api/v1/tenants", &json!({ "id": "mc", "profile": "mindconnect" })).is(201);
    let test = "/api/v1/tenants/mc/rights/test";
    let ask = |action: &str, topic: &str| {
        let question = json!({ "action": action, "topic": topic, "client_id": "mc_press", "common_name": "press" });
        plane.admin.post(test, &question).is(200).json()
    };
    let own = ask("publish", "tc/mc/mc_press/o/mc_v3/ts");
    assert!(own["allowed"] == true && own["by"].is_string(), "{own}");
    let foreign = ask("publish", "tc/mc/mc_other/o/mc_v3/ts");
    assert!(foreign["allowed"] == false && foreign["reason"].is_string(), "{foreign}");
    assert_eq!(ask("subscribe", "tc/mc/mc_press/i/#")["allowed"], true);
    assert_eq!(ask("subscribe", "#")["allowed"], false);
    let bad = plane.admin.post(test, &json!({ "action": "publish", "topic": "a/#" })).problem();
    assert_eq!((bad.0, bad.2.as_deref()), (400, Some("topic")));
    let nobody = json!({ "action": "publish", "topic": "a", "account": "nobody" });
    assert_eq!(plane.admin.post(test, &nobody).problem().2.as_deref(), Some("account"));
    assert_eq!(plane.admin.post("/api/v1/tenants/none/rights/test", &nobody).problem().0, 404);
}

#[test]
fn a_key_is_made_told_once_and_kept_nowhere() {
    let plane = Plane::start();
    let path = "/api/v1/tenants/lab/certificates";
    let once = plane.admin.with("Idempotency-Key", "one");
    let asked = json!({ "common_name": "pump-7", "key_type": "ed25519" });
    let made = once.post(path, &asked).is(201);
    let key = made.json()["private_key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"), "{key}");
    let again = once.post(path, &asked).is(201);
    assert_ne!(again.json()["id"], made.json()["id"], "an answer with a key is not remembered, so it is done again");
    let place = made.field("location").to_owned();
    let secret = key.lines().nth(1).unwrap();
    for path in [place.as_str(), path, "/api/v1/audit?limit=500"] {
        let told = plane.admin.get(path).is(200).text;
        assert!(!told.contains(secret) && !told.contains("private_key"), "{told}");
    }
    for (body, field) in [
        (json!({}), "csr"),
        (json!({ "csr": request("a"), "common_name": "a" }), "csr"),
        (json!({ "csr": request("a"), "key_type": "p256" }), "csr"),
        (json!({ "common_name": "a", "key_type": "dsa" }), "key_type"),
        (json!({ "common_name": "" }), "common_name"),
    ] {
        assert_eq!(plane.admin.post(path, &body).problem().2.as_deref(), Some(field), "{body}");
    }
    let reader = plane.token("lab", &["auditor"]);
    assert_eq!(reader.post(path, &asked).problem().0, 403);
}

#[test]
fn a_certificate_is_renewed_with_its_names_over_the_old_key_or_a_new_one() {
    let plane = Plane::start();
    let path = "/api/v1/tenants/lab/certificates";
    let old = plane.admin.post(path, &json!({ "csr": request("pump-7") })).is(201).json();
    let renew = format!("{path}/{}/renew", old["id"].as_str().unwrap());
    let subject_of = |issued: &Value| {
        let pem = issued["certificate"].as_str().unwrap().as_bytes().to_vec();
        let der = certus::identity::pem::certificates(&pem).unwrap().remove(0).to_vec();
        certus::identity::certificate::CertificateFacts::of_der(&der).unwrap().subject.clone()
    };
    let same = plane.admin.post(&renew, &json!({})).is(201).json();
    assert_eq!((same["common_name"].clone(), same["private_key"].clone()), (json!("pump-7"), Value::Null));
    assert_eq!(subject_of(&same), subject_of(&old));
    assert_ne!(same["serial"], old["serial"]);
    assert_eq!(plane.admin.post(&renew, &json!({ "csr": request("pump-8") })).problem().2.as_deref(), Some("CN"));
    plane.admin.post(&renew, &json!({ "csr": request("pump-7") })).is(201);
    let fresh = plane.admin.post(&renew, &json!({ "key_type": "p256", "revoke_old": true })).is(201).json();
    assert!(fresh["private_key"].is_string());
    let gone = plane.admin.get(&format!("{path}/{}", old["id"].as_str().unwrap())).is(200).json();
    assert!(gone["revoked_at"].is_string(), "{gone}");
    assert_eq!(plane.admin.post(&renew, &json!({})).problem().0, 409);
    assert_eq!(plane.admin.post(&format!("{path}/none/renew"), &json!({})).problem().0, 404);
    let revoked = plane.admin.get("/api/v1/tenants/lab/revocations").json();
    assert_eq!(revoked["items"][0]["reason"], "superseded");
}

#[test]
fn where_the_lists_of_an_uploaded_anchor_are_is_said_by_who_runs_the_broker() {
    let plane = Plane::start();
    let path = "/api/v1/tenants/lab/anchors";
    let made = plane.admin.post(path, &json!({ "name": "a", "certificate": authority("Plant 7") })).is(201);
    assert!(made.json()["pem"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    let place = made.field("location").to_owned();
    let crl = |addresses: Value| json!({ "crl": addresses, "crl_refresh_seconds": 60, "stale_crl": "hard" });
    // Nobody answers there; it is asked, told of in the log, and changes nothing.
    let set = plane.admin.patch(&place, &crl(json!(["http://127.0.0.1:1/ca.crl"]))).is(200).json();
    assert_eq!(set["crl"], json!(["http://127.0.0.1:1/ca.crl"]));
    assert_eq!((set["crl_refresh_seconds"].clone(), set["stale_crl"].clone()), (json!(60), json!("hard")));
    for bad in ["file:///etc/passwd", "https://h/x", "ldap://h/x", "", "http://h/ x"] {
        let refused = plane.admin.patch(&place, &crl(json!([bad]))).problem();
        assert_eq!(refused, (400, "invalid".into(), Some("crl".into())), "{bad}");
    }
    let many: Vec<String> = (0..17).map(|number| format!("http://127.0.0.1:1/{number}")).collect();
    assert_eq!(plane.admin.patch(&place, &crl(json!(many))).problem().1, "limit_reached");
    let late = json!({ "crl_refresh_seconds": 0 });
    assert_eq!(plane.admin.patch(&place, &late).problem().2.as_deref(), Some("crl_refresh_seconds"));
    let of_lab = plane.token("lab", &["admin"]);
    assert_eq!(of_lab.patch(&place, &crl(json!(["http://127.0.0.1:1/x"]))).problem().0, 403);
    assert_eq!(plane.admin.get(&place).json()["crl"], set["crl"], "what was refused changed nothing");
    of_lab.patch(&place, &crl(json!([]))).is(200);
    assert_eq!(plane.admin.get(&place).json()["crl"], json!([]));
}
