//! What keeps a request within its bounds.
//!
//! What lives here: the rate of an address, the time of an answer, and the end
//! of a handler that panics. What does not: the bounds of connections (`net`)
//! and of bodies (`body`). Invariant: one request's trouble is that request's.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Extension;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::broker::Guest;
use crate::telemetry::metrics::Counter;

use super::super::https::Entrance;
use super::problem::{Kind, Problem};

/// Lets a request through, or answers in its place.
pub(in crate::control::api) async fn guard(
    Extension(Entrance { door, .. }): Extension<Entrance>,
    Extension(guest): Extension<Arc<Guest>>,
    request: Request,
    next: Next,
) -> Response {
    if !door.may_ask(guest.address()) {
        Counter::HttpRequestsShed.one();
        let problem = Problem::new(Kind::TooMany, "too many requests came from this address within a second");
        return problem.after(Duration::from_secs(1)).into_response();
    }
    let limit = door.settings().request_timeout;
    match tokio::time::timeout(limit, unpanicked(next.run(request))).await {
        Ok(Some(response)) => response,
        Ok(None) => Problem::new(Kind::Internal, "the broker made a mistake")
            .but("report it with the name of this request")
            .into_response(),
        Err(_) => {
            Problem::new(Kind::TimedOut, format!("no answer came within {} ms", limit.as_millis())).into_response()
        }
    }
}

/// What `answering` comes to; `None` when it panicked, which is counted and
/// logged.
async fn unpanicked<T>(answering: impl Future<Output = T>) -> Option<T> {
    let mut answering = pin!(answering);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(cx))) {
        Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => {
            report(panic.as_ref());
            Poll::Ready(None)
        }
    })
    .await
}

fn report(panic: &(dyn Any + Send)) {
    Counter::Panics.one();
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("(no text)"), "a request panicked and was ended; this is a bug");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_request_and_is_counted() {
        let before = Counter::Panics.total();
        assert_eq!(unpanicked(async { panic!("on purpose") }).await, None::<()>);
        assert_eq!(unpanicked(async { 7 }).await, Some(7));
        assert!(Counter::Panics.total() > before);
    }
}
