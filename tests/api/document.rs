//! The OpenAPI document, and the page that shows it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::control_plane::Plane;

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

const DOCUMENTS: [&str; 5] = [
    "/api/v1/openapi.json",
    "/api/mindconnectmqtt/v3/openapi.json",
    "/tenant/openapi.json",
    "/api/usermqtt/v1/openapi.json",
    "/.well-known/est/openapi.json",
];

#[test]
fn each_document_names_what_it_refers_to_and_each_operation_once() {
    let plane = Plane::start();
    for place in DOCUMENTS {
        check(&plane.anyone.get(place).is(200).json());
    }
}

fn check(document: &Value) {
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = BTreeSet::new();
    references(document, &mut found);
    for reference in found {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{reference}");
    }
    let (mut ids, mut count) = (BTreeSet::new(), 0);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            count += 1;
            ids.insert(operation["operationId"].as_str().unwrap());
            assert!(operation["summary"].as_str().is_some_and(|summary| summary.len() > 5), "{method} {path}");
            assert!(operation["responses"].as_object().unwrap().len() >= 4, "{method} {path}");
            let parameters = operation["parameters"].as_array().unwrap();
            let named = path.matches('{').count();
            assert_eq!(parameters.iter().filter(|parameter| parameter["in"] == "path").count(), named, "{path}");
        }
    }
    assert_eq!(ids.len(), count);
}

/// What is described exists: with good credentials no operation is unknown.
#[test]
fn every_operation_of_the_document_is_served_and_needs_what_it_says() {
    let plane = Plane::start();
    let document = plane.anyone.get("/api/v1/openapi.json").is(200).json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let path = format!("/api/v1{}", path.replace(['{', '}'], ""));
            let method = method.to_uppercase();
            let answer = plane.anyone.send(&method, &path, Some(("application/json", b"{}")));
            let is_public = operation["security"].as_array().unwrap().is_empty();
            assert_eq!(answer.status, if is_public { 200 } else { 401 }, "{method} {path}: {answer:?}");
        }
    }
}

/// Errors are described as they are told: each platform has its own.
#[test]
fn each_document_describes_the_problems_of_its_own_face() {
    let plane = Plane::start();
    let page = plane.anyone.get("/api/docs/").is(200);
    let problems = [
        ("/api/v1/tokens", "application/problem+json"),
        ("/api/mindconnectmqtt/v3/caCertificates", "application/json"),
        ("/tenant/options", "application/vnd.com.nsn.cumulocity.error+json"),
        ("/api/usermqtt/v1/certificateRequests", "application/json"),
        ("/.well-known/est/nobody/cacerts", "text/plain"),
    ];
    for (place, (asked, media)) in DOCUMENTS.into_iter().zip(problems) {
        assert!(page.text.contains(place), "the page offers {place}");
        let document = plane.anyone.get(place).is(200).json();
        let answer = plane.anyone.get(asked);
        assert!(answer.status >= 400 && answer.field("content-type").starts_with(media), "{asked}: {answer:?}");
        let problem = &document["components"]["schemas"]["Problem"];
        if media != "text/plain" {
            let body: Value = serde_json::from_str(&answer.text).unwrap();
            for required in problem["required"].as_array().unwrap() {
                assert!(body.get(required.as_str().unwrap()).is_some(), "{asked}: {required} in {body}");
            }
        }
        for operation in
            document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
        {
            for (status, answer) in
                operation["responses"].as_object().unwrap().iter().filter(|(status, _)| *status >= &"4".to_owned())
            {
                assert!(answer["content"].get(media).is_some(), "{place}: {status} of {}", operation["operationId"]);
            }
        }
    }
}

#[test]
fn the_page_brings_everything_that_it_needs() {
    let plane = Plane::start();
    let page = plane.anyone.get("/api/docs/").is(200);
    assert!(page.field("content-type").starts_with("text/html"));
    for name in ["docs.js", "docs.css"] {
        assert!(page.text.contains(name));
        plane.anyone.get(&format!("/api/docs/{name}")).is(200);
    }
    assert!(!page.text.contains("http://") && !page.text.contains("https://") && !page.text.contains("style="));
}
