//! One line, one count and one name for each request.
//!
//! What lives here: the name of a request, its line in the log, its count, and
//! the header fields that every answer has. What does not: what is answered.
//! Invariant: no line holds a body, a query, a header field or a secret; a
//! route is counted by its pattern, never by what a client made of it.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, Response};
use axum::middleware::Next;

use crate::broker::{Guest, Handle};
use crate::telemetry::requests;

/// The name of a request, in the log and in every error's body.
#[derive(Clone, Debug)]
pub(in crate::control::api) struct RequestId(pub(in crate::control::api) Arc<str>);

impl Default for RequestId {
    fn default() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Twenty digits, as MindConnect has them; they hide how many there were.
        Self(format!("{:016x}{:04x}", SEED.hash_one(number), number & 0xffff).into())
    }
}

/// Who asked, once that is known; for the line in the log.
#[derive(Clone, Debug, Default)]
pub(in crate::control::api) struct Asker(pub(in crate::control::api) Arc<OnceLock<Arc<str>>>);

const FIELDS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Names a request, lets it be answered, and writes it down.
pub(in crate::control::api) async fn note(
    State(broker): State<Handle>,
    Extension(guest): Extension<Arc<Guest>>,
    mut request: Request,
    next: Next,
) -> Response<axum::body::Body> {
    let (id, asker, begun) = (RequestId::default(), Asker::default(), broker.clock().now());
    let method = request.method().clone();
    let pattern = request.extensions().get::<MatchedPath>().map(|path| Arc::<str>::from(path.as_str()));
    // A path that nothing matches is the client's own invention.
    let route = pattern.unwrap_or_else(|| Arc::from("(none)"));
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(asker.clone());
    let mut response = next.run(request).await;
    let took = broker.clock().now().saturating_duration_since(begun);
    let status = response.status().as_u16();
    requests::count(method.as_str(), &route, status, took);
    tracing::info!(
        target: "certus::access",
        %method,
        route = &*route,
        status,
        milliseconds = took.as_millis() as u64,
        address = %guest.address(),
        caller = asker.0.get().map_or("-", |name| name),
        logref = &*id.0,
        "request"
    );
    let fields = response.headers_mut();
    for (name, value) in FIELDS {
        fields.entry(name).or_insert(value);
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        fields.insert(HeaderName::from_static("x-request-id"), value);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_requests_have_one_name() {
        let names: HashSet<_> = (0..10_000).map(|_| RequestId::default().0).collect();
        assert_eq!(names.len(), 10_000);
        assert!(names.iter().all(|name| name.len() == 20));
    }
}
