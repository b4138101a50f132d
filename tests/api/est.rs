//! EST (RFC 7030): who is given a certificate, and in which form refusals are told.
//!
//! The conversation of a device with curl and openssl, and with certificates
//! of its own, is tests/scenarios/est.py.

use base64ct::{Base64, Encoding};
use serde_json::json;

use crate::control_plane::{Plane, request};
use crate::https_client::{Answer, Client};

const PKCS10: &str = "application/pkcs10";

fn enrol(client: &Client, path: &str, csr: &str) -> Answer {
    client.send("POST", &format!("/.well-known/est/{path}"), Some((PKCS10, csr.as_bytes())))
}

fn invited(plane: &Plane, tenant: &str, device: &str) -> Client {
    let made = plane.admin.post(&format!("/api/v1/tenants/{tenant}/enrolment-tokens"), &json!({ "device": device }));
    plane.anyone.basic(device, made.is(201).json()["token"].as_str().unwrap())
}

fn refusal(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.field("content-type"), "text/plain; charset=utf-8", "{answer:?}");
    assert!(answer.text.contains(answer.field("x-request-id")), "{answer:?}");
    (answer.status, &answer.text)
}

#[test]
fn a_one_time_token_is_good_for_one_certificate_of_one_device_of_one_tenant() {
    let plane = Plane::start();
    plane.tenant("acme");
    let device = invited(&plane, "lab", "d1");
    assert_eq!(refusal(&enrol(&device, "simpleenroll", &request("d2"))).0, 403);
    assert_eq!(refusal(&enrol(&device, "acme/simpleenroll", &request("d1"))).0, 401);
    assert_eq!(refusal(&enrol(&device, "nobody/simpleenroll", &request("d1"))).0, 401);
    let given = enrol(&device, "simpleenroll", &request("d1")).is(200);
    assert_eq!(given.field("content-type"), "application/pkcs7-mime; smime-type=certs-only");
    assert_eq!(given.field("content-transfer-encoding"), "base64");
    let der = Base64::decode_vec(&given.text.split_whitespace().collect::<String>()).unwrap();
    assert_eq!(der.first(), Some(&0x30));
    let again = enrol(&device, "simpleenroll", &request("d1"));
    assert!(refusal(&again).1.contains("unknown, used or ended"), "{again:?}");
    assert_eq!(again.field("www-authenticate"), "Basic realm=\"certus\", charset=\"UTF-8\"");
    let listed = plane.admin.get("/api/v1/tenants/lab/certificates").is(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
}

#[test]
fn a_label_and_a_login_have_to_mean_the_same_tenant() {
    let plane = Plane::start();
    plane.tenant("acme");
    let acme = plane.token("acme", &["certificates:write"]);
    enrol(&acme, "simpleenroll", &request("a1")).is(200);
    enrol(&acme, "acme/simpleenroll", &request("a1")).is(200);
    assert_eq!(refusal(&enrol(&acme, "lab/simpleenroll", &request("a1"))).0, 403);
    assert_eq!(refusal(&enrol(&plane.token("acme", &["auditor"]), "simpleenroll", &request("a1"))).0, 403);
    let listed = plane.admin.get("/api/v1/tenants/lab/certificates").is(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 0, "{listed}");
}

#[test]
fn what_is_no_request_is_refused_in_words() {
    let plane = Plane::start();
    let device = invited(&plane, "lab", "d1");
    for bad in
        ["", "nonsense", "MIIB", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
    {
        assert_eq!(refusal(&enrol(&device, "simpleenroll", bad)).0, 400, "{bad:?}");
    }
    let wrong = device.send("POST", "/.well-known/est/simpleenroll", Some(("text/html", b"x")));
    assert!(refusal(&wrong).0 == 415 && wrong.text.contains(PKCS10), "{wrong:?}");
    for gone in ["serverkeygen", "fullcmc", "lab/serverkeygen", "nothing"] {
        assert_eq!(refusal(&enrol(&device, gone, "x")).0, 404, "{gone}");
    }
    assert_eq!(refusal(&plane.anyone.get("/.well-known/est/simpleenroll")).0, 405);
    assert_eq!(refusal(&plane.anyone.get("/.well-known/est/nobody/cacerts")).0, 404);
    // None of that has used the token up.
    enrol(&device, "simpleenroll", &request("d1")).is(200);
}

#[test]
fn the_ca_of_a_tenant_is_told_to_everybody_and_is_that_tenants_own() {
    let plane = Plane::start();
    plane.tenant("acme");
    let lab = plane.anyone.get("/.well-known/est/cacerts").is(200);
    assert_eq!(plane.anyone.get("/.well-known/est/lab/cacerts").is(200).text, lab.text);
    assert_ne!(plane.anyone.get("/.well-known/est/acme/cacerts").is(200).text, lab.text);
    plane.anyone.get("/.well-known/est/csrattrs").is(204);
}
