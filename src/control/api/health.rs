//! `/healthz`, `/readyz`, `/metrics` (OPS-01).
//!
//! What lives here: the routes and how their answers look. What does not: the
//! counting (`telemetry::metrics`, `broker::Handle`). Invariant: they are
//! answered whatever the broker is doing; a broker that stops says so.

use std::fmt::Write;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::broker::Handle;
use crate::telemetry::metrics;
use crate::telemetry::requests;
use crate::telemetry::resident::resident;

/// The routes, for one broker.
pub(super) fn routes(broker: Handle) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(numbers))
        .fallback(unknown)
        .with_state(broker)
}

/// Whoever answers is alive.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

async fn ready(State(broker): State<Handle>) -> Response {
    let reasons = broker.readiness().reasons;
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let listeners = broker.listening();
    let listeners: Vec<_> = listeners
        .iter()
        .map(|(name, address)| serde_json::json!({ "name": name, "address": address.to_string() }))
        .collect();
    let body = serde_json::json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "listeners": listeners,
        "uptime_seconds": broker.uptime().as_secs(),
    });
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn numbers(State(broker): State<Handle>) -> Response {
    let mut text = metrics::exposition();
    labelled(&mut text, &broker);
    requests::exposition(&mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn unknown() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n")
}

/// The numbers that carry names which are known only at run time.
fn labelled(text: &mut String, broker: &Handle) {
    family(text, "certus_refusals_total", "counter", "Connections refused or ended, by reason");
    for (reason, count) in broker.refusals() {
        let _ = writeln!(text, "certus_refusals_total{{reason=\"{reason}\"}} {count}");
    }
    family(text, "certus_clients", "gauge", "Connected clients by tenant and listener");
    for (tenant, listener, count) in broker.clients() {
        let (tenant, listener) = (escaped(tenant.as_str()), escaped(&listener));
        let _ = writeln!(text, "certus_clients{{tenant=\"{tenant}\",listener=\"{listener}\"}} {count}");
    }
    family(
        text,
        "certus_bound",
        "gauge",
        "Bounds that hold, by the key that sets them; times in seconds, 0 may mean none",
    );
    for (key, bound) in broker.bounds() {
        let _ = writeln!(text, "certus_bound{{key=\"{key}\"}} {bound}");
    }
    family(text, "certus_queued_bytes", "gauge", "Bytes that all queues hold together, shared ones counted once");
    let _ = writeln!(text, "certus_queued_bytes {}", broker.queued_bytes());
    family(text, "certus_lag_seconds", "gauge", "How late a client's turn comes");
    let _ = writeln!(text, "certus_lag_seconds {}", broker.lag().as_secs_f64());
    family(text, "certus_ready", "gauge", "1 when clients can come and be served");
    let _ = writeln!(text, "certus_ready {}", u8::from(broker.readiness().reasons.is_empty()));
    family(text, "certus_uptime_seconds", "gauge", "Seconds since the start");
    let _ = writeln!(text, "certus_uptime_seconds {}", broker.uptime().as_secs());
    family(text, "certus_build_info", "gauge", "The version that runs");
    let _ = writeln!(text, "certus_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    if let Some(resident) = resident() {
        family(text, "process_resident_memory_bytes", "gauge", "Resident memory");
        let _ = writeln!(text, "process_resident_memory_bytes {}", resident.now);
    }
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A label's value as Prometheus reads it.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_end_its_quotes() {
        assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}
