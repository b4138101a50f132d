//! Changes that only hold for what was read (RFC 9110 §13).
//!
//! What lives here: `ETag` of a revision, and `If-Match`. What does not: the
//! comparison, which the owner of the thing makes under its lock. Invariant: a
//! tag stands for one revision, and a change without one is made whatever the
//! revision is.

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};

use super::problem::{Kind, Problem};

/// The revision that a request is made for, if it names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control::api) struct IfMatch(pub(in crate::control::api) Option<u64>);

/// The tag of a revision.
pub(in crate::control::api) fn etag(revision: u64) -> [(HeaderName, HeaderValue); 1] {
    let tag = HeaderValue::from_str(&format!("\"{revision}\""));
    [(ETAG, tag.unwrap_or(HeaderValue::from_static("\"0\"")))]
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let revision = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|tag| tag.parse().ok());
        // A tag that is none of ours matches nothing.
        revision.map(|revision| Self(Some(revision))).ok_or_else(|| {
            Problem::in_field(Kind::Stale, "If-Match", "If-Match is no tag of this resource").but("take it from ETag")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(value: &str) -> Result<IfMatch, Problem> {
        let request = axum::http::Request::builder().header(IF_MATCH, value).body(()).unwrap();
        IfMatch::from_request_parts(&mut request.into_parts().0, &()).await
    }

    #[tokio::test]
    async fn a_tag_is_read_as_it_was_given() {
        let [(_, tag)] = etag(7);
        assert_eq!(of(tag.to_str().unwrap()).await, Ok(IfMatch(Some(7))));
        assert_eq!(of("*").await, Ok(IfMatch(None)));
        for strange in ["7", "W/\"7\"", "\"x\"", ""] {
            assert_eq!(of(strange).await.unwrap_err().kind, Kind::Stale, "{strange}");
        }
    }
}
