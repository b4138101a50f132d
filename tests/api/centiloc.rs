//! The face of Centiloc beside its documented commands, which stand in the
//! acceptance scenarios.

use serde_json::json;

use crate::control_plane::Plane;

const REQUESTS: &str = "/api/usermqtt/v1/certificateRequests";

/// CEN-CSR-03: a stranger filled the list of what waits, and no company could hand in a request.
#[test]
fn who_does_not_log_in_hands_in_so_many_requests_a_minute() {
    let plane = Plane::with(|settings| settings.https.as_mut().unwrap().max_certificate_requests_per_minute = 3);
    for _ in 0..3 {
        plane.anyone.post(REQUESTS, &json!({ "csr": "none" })).is(400);
    }
    let refused = plane.anyone.post(REQUESTS, &json!({ "csr": "none" })).is(429);
    assert!(refused.field("retry-after").parse::<u64>().unwrap() >= 1, "{refused:?}");
    assert!(refused.text.contains("certificate requests a minute"), "{refused:?}");
    plane.anyone.get(&format!("{REQUESTS}/unknown")).is(404);
}
