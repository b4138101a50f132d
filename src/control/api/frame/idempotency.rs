//! Requests that may be sent twice and are done once.
//!
//! What lives here: answers by `Idempotency-Key`, for a day. What does not:
//! which routes take a key (all that POST). Invariant: the same key with
//! another request is refused, never answered; the table is bounded, and what
//! does not fit is done without being remembered. Answers live in memory only,
//! because some hold a secret that is told once: a restart forgets them. What
//! holds a private key is not remembered at all.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::broker::Handle;

use super::body::Raw;
use super::caller::CalledBy;
use super::problem::{Carried, Kind, Problem};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// How long an answer is remembered.
const LASTS: Duration = Duration::from_secs(24 * 3600);
/// Answers at most.
const MOST: usize = 4096;
/// The longest body of an answer that is remembered.
const LONGEST: usize = 256 * 1024;
/// The longest key.
const LONGEST_KEY: usize = 128;

/// The answers that were given.
pub(in crate::control::api) struct Answered {
    entries: Mutex<HashMap<u64, Entry>>,
    hasher: RandomState,
}

impl Default for Answered {
    fn default() -> Self {
        Self { entries: Mutex::default(), hasher: RandomState::new() }
    }
}

struct Entry {
    request: u64,
    since: Instant,
    /// Absent while the request is under way.
    answer: Option<Answer>,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    fields: HeaderMap,
    body: Bytes,
}

/// What a key is good for.
enum Found {
    /// Nothing is known of it.
    New,
    /// There is no room to remember it.
    NoRoom,
    /// The answer of the first time.
    Same(Answer),
    /// The first time is still under way.
    UnderWay,
    /// It was another request.
    Other,
}

/// Marks an answer that is told once and remembered by nobody: it holds a
/// private key.
#[derive(Clone, Copy, Debug)]
pub(in crate::control::api) struct Unrepeatable;

/// What the middleware needs.
#[derive(Clone)]
pub(in crate::control::api) struct Once {
    pub(in crate::control::api) broker: Handle,
    pub(in crate::control::api) answered: Arc<Answered>,
}

impl FromRef<Once> for Handle {
    fn from_ref(once: &Once) -> Self {
        once.broker.clone()
    }
}

/// Answers a request that was answered before as it was then.
pub(in crate::control::api) async fn once(State(once): State<Once>, request: Request, next: Next) -> Response {
    let Some(key) = request.headers().get(KEY).filter(|_| request.method() == Method::POST).cloned() else {
        return next.run(request).await;
    };
    if key.is_empty() || key.len() > LONGEST_KEY {
        let problem = format!("Idempotency-Key has {} bytes; write 1 to {LONGEST_KEY}", key.len());
        return Problem::in_field(Kind::Parameter, "Idempotency-Key", problem).into_response();
    }
    let (mut parts, body) = request.into_parts();
    // Whoever may no longer log in is not answered as before either.
    let caller = match CalledBy::from_request_parts(&mut parts, &once).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    parts.extensions.insert(caller.clone());
    let mut again = Request::new(body);
    *again.headers_mut() = parts.headers.clone();
    *again.extensions_mut() = parts.extensions.clone();
    let bytes = match Raw::from_request(again, &()).await {
        Ok(Raw { bytes, .. }) => bytes,
        Err(problem) => return problem.into_response(),
    };
    let Once { broker, answered } = once;
    // Every caller has keys of its own.
    let CalledBy(caller) = caller;
    let asked = (&caller.name, &caller.tenant, parts.method.as_str(), parts.uri.to_string(), key.as_bytes());
    let name = answered.hasher.hash_one(asked);
    let content = answered.hasher.hash_one((parts.headers.get(header::CONTENT_TYPE), &bytes));
    let held = match answered.find(name, content, broker.clock().now()) {
        Found::New => Some(UnderWay { answered: Arc::clone(&answered), name, done: false }),
        Found::NoRoom => None,
        Found::Same(answer) => return answer.again(),
        Found::UnderWay => {
            let problem = Problem::new(Kind::Unavailable, "the request with this Idempotency-Key is under way");
            return problem.after(Duration::from_secs(1)).into_response();
        }
        Found::Other => {
            let text = "this Idempotency-Key came with another request before";
            return Problem::in_field(Kind::KeyReused, "Idempotency-Key", text).but("use a new key").into_response();
        }
    };
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    match held {
        Some(held) => held.keep(response).await,
        None => response,
    }
}

/// A key whose request is under way; it is free again if nothing comes of it.
struct UnderWay {
    answered: Arc<Answered>,
    name: u64,
    done: bool,
}

impl UnderWay {
    /// Remembers the answer, unless the next time may bring another one.
    async fn keep(mut self, response: Response) -> Response {
        let status = response.status();
        let is_final = status.is_success()
            && response.extensions().get::<Carried>().is_none()
            && response.extensions().get::<Unrepeatable>().is_none();
        let length = response.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let is_short = length.is_none_or(|length: usize| length <= LONGEST);
        if !is_final || !is_short {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(bytes) = axum::body::to_bytes(body, LONGEST).await else {
            return Problem::new(Kind::Internal, "the answer could not be read").into_response();
        };
        let answer = Answer { status, fields: parts.headers.clone(), body: bytes.clone() };
        if let Some(entry) = self.answered.entries().get_mut(&self.name) {
            entry.answer = Some(answer);
        }
        self.done = true;
        Response::from_parts(parts, Body::from(bytes))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.done {
            self.answered.entries().remove(&self.name);
        }
    }
}

impl Answer {
    fn again(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        *response.headers_mut() = self.fields;
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

impl Answered {
    fn entries(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks a key up, and claims it when it is new.
    fn find(&self, name: u64, request: u64, now: Instant) -> Found {
        let mut entries = self.entries();
        if entries.len() >= MOST {
            entries.retain(|_, entry| now.saturating_duration_since(entry.since) < LASTS);
        }
        let is_full = entries.len() >= MOST;
        let known = entries.get(&name).filter(|entry| now.saturating_duration_since(entry.since) < LASTS);
        match known {
            Some(entry) if entry.request != request => Found::Other,
            Some(Entry { answer: Some(answer), .. }) => Found::Same(answer.clone()),
            Some(_) => Found::UnderWay,
            None if is_full => Found::NoRoom,
            None => {
                entries.insert(name, Entry { request, since: now, answer: None });
                Found::New
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_key_is_claimed_once_and_ends_after_a_day() {
        let (answered, now) = (Answered::default(), Clock::system().now());
        assert!(matches!(answered.find(1, 7, now), Found::New));
        assert!(matches!(answered.find(1, 7, now), Found::UnderWay));
        assert!(matches!(answered.find(1, 8, now), Found::Other));
        assert!(matches!(answered.find(1, 8, now + LASTS), Found::New));
    }

    #[test]
    fn the_table_is_bounded_and_makes_room_of_what_is_over() {
        let (answered, now) = (Answered::default(), Clock::system().now());
        for name in 0..MOST as u64 {
            assert!(matches!(answered.find(name, 0, now), Found::New));
        }
        assert!(matches!(answered.find(u64::MAX, 0, now), Found::NoRoom));
        assert!(matches!(answered.find(u64::MAX, 0, now + LASTS), Found::New));
    }

    #[tokio::test]
    async fn a_request_that_came_to_nothing_may_come_again() {
        let (answered, now) = (Arc::new(Answered::default()), Clock::system().now());
        assert!(matches!(answered.find(1, 7, now), Found::New));
        let held = UnderWay { answered: Arc::clone(&answered), name: 1, done: false };
        let _ = held.keep(StatusCode::CONFLICT.into_response()).await;
        assert!(matches!(answered.find(1, 7, now), Found::New));
        let held = UnderWay { answered: Arc::clone(&answered), name: 1, done: false };
        let _ = held.keep((StatusCode::CREATED, axum::Extension(Unrepeatable), "a key").into_response()).await;
        assert!(matches!(answered.find(1, 7, now), Found::New));
        let held = UnderWay { answered: Arc::clone(&answered), name: 1, done: false };
        let _ = held.keep((StatusCode::CREATED, "made").into_response()).await;
        let Found::Same(answer) = answered.find(1, 7, now) else { panic!("it is not remembered") };
        assert_eq!((answer.status, &*answer.body), (StatusCode::CREATED, b"made".as_slice()));
    }
}
