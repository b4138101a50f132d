//! Bodies and queries as typed values.
//!
//! What lives here: reading within a bound, and problems that name the
//! property. What does not: what the values mean. Invariant: nothing is read
//! beyond the bound, and what cannot be read is answered in the face's shape.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::broker::HttpsSettings;

use super::super::https::Entrance;
use super::problem::{Kind, Problem};

/// A JSON body, as a request brings it and as an answer takes it away.
#[derive(Clone, Debug)]
pub(in crate::control::api) struct Json<T>(pub(in crate::control::api) T);

/// The query.
#[derive(Clone, Debug)]
pub(in crate::control::api) struct Query<T>(pub(in crate::control::api) T);

/// What stands in the path.
#[derive(Clone, Debug)]
pub(in crate::control::api) struct Path<T>(pub(in crate::control::api) T);

/// The bytes of a body with their type.
#[derive(Clone, Debug)]
pub(in crate::control::api) struct Raw {
    pub(in crate::control::api) bytes: Bytes,
    /// The media type without its parameters, in lower case.
    pub(in crate::control::api) media: Option<String>,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let Raw { bytes, media } = raw(request).await?;
        if let Some(media) = media.filter(|media| media != "application/json" && !media.ends_with("+json")) {
            let message = format!("a body of type {media} is not read here");
            return Err(Problem::new(Kind::MediaType, message).but("send application/json"));
        }
        read(&bytes).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        raw(request).await
    }
}

/// Reads JSON; a problem names the property.
pub(in crate::control::api) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    match bytes.trim_ascii_start().first() {
        None => return Err(Problem::new(Kind::Missing, "the body is empty").but("send a JSON object")),
        // A list would be read as an object's values in the order of their declaration.
        Some(b'[') => return Err(Problem::new(Kind::Syntax, "the body is a list").but("send a JSON object")),
        Some(_) => {}
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| problem(&error))?;
    reader.end().map_err(|error| Problem::new(Kind::Syntax, format!("the body is no JSON: {error}")))?;
    Ok(read)
}

fn problem(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    // The place in the text would be that of the end of the value.
    let text = inner.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    if !inner.is_data() {
        return Problem::new(Kind::Syntax, format!("the body is no JSON: {text}"));
    }
    let path = error.path().to_string();
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let field = if path == "." { name.to_owned() } else { format!("{path}.{name}") };
        return Problem::in_field(Kind::Missing, field.clone(), format!("{field} is missing"));
    }
    let field = if path == "." { "body".to_owned() } else { path };
    Problem::in_field(Kind::Invalid, field.clone(), format!("{field}: {message}"))
}

/// A certificate revocation list, which may be longer than other bodies.
#[derive(Clone, Debug)]
pub(in crate::control::api) struct RawList(pub(in crate::control::api) Bytes);

impl<S: Send + Sync> FromRequest<S> for RawList {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let most = bound(&request, |settings| settings.max_crl_bytes);
        Ok(Self(raw_within(request, most).await?.bytes))
    }
}

/// What comes beyond a bound is read and forgotten, so far: a client that is
/// still writing when the connection ends never reads why.
const DISCARDED: usize = 1024 * 1024;
/// Nothing is known of the listener in tests of handlers alone.
const UNKNOWN: usize = 64 * 1024;

fn bound(request: &Request, of: impl FnOnce(&HttpsSettings) -> usize) -> usize {
    request.extensions().get::<Entrance>().map_or(UNKNOWN, |entrance| of(&entrance.door.settings()))
}

async fn raw(request: Request) -> Result<Raw, Problem> {
    let most = bound(&request, |settings| settings.max_body_bytes);
    raw_within(request, most).await
}

async fn raw_within(request: Request, most: usize) -> Result<Raw, Problem> {
    let media = media_of(request.headers())?;
    let too_large = || Problem::new(Kind::TooLarge, format!("the body is longer than {most} bytes"));
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|announced: usize| announced > most + DISCARDED) {
        return Err(too_large());
    }
    let (mut body, mut bytes, mut length) = (request.into_body(), Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Kind::Syntax, "the body ended before its length"))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= most {
            bytes.extend_from_slice(&data);
        } else if length > most + DISCARDED {
            break;
        }
    }
    if length > most { Err(too_large()) } else { Ok(Raw { bytes: bytes.into(), media }) }
}

fn media_of(fields: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = fields.get(CONTENT_TYPE) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Problem::new(Kind::MediaType, "Content-Type is no text"))?;
    let media = text.split(';').next().unwrap_or_default().trim();
    Ok(Some(media.to_ascii_lowercase()).filter(|media| !media.is_empty()))
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, text)| text).to_owned();
            let field = text.split_once(": ").map_or("query", |(field, _)| field).to_owned();
            Problem::in_field(Kind::Parameter, field, text)
        })
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|rejection| {
            Problem::in_field(Kind::Parameter, "path", format!("the path cannot be read: {}", rejection.body_text()))
        })
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                let json = HeaderValue::from_static("application/json");
                (StatusCode::OK, [(header::CONTENT_TYPE, json)], body).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "an answer could not be written as JSON; this is a bug");
                Problem::new(Kind::Internal, "the answer could not be written").into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Sample {
        #[allow(dead_code)] // only its reading is of interest
        name: String,
        #[allow(dead_code)]
        inner: Option<Vec<u8>>,
    }

    fn refused(text: &str) -> (Kind, Option<String>) {
        let problem = read::<Sample>(text.as_bytes()).unwrap_err();
        (problem.kind, problem.field)
    }

    #[test]
    fn a_body_that_cannot_be_read_is_refused_by_its_property() {
        assert!(read::<Sample>(br#"{"name":"x","unknown":1}"#).is_ok());
        assert_eq!(refused(r#"{"inner":[]}"#), (Kind::Missing, Some("name".into())));
        assert_eq!(refused(r#"{"name":7}"#), (Kind::Invalid, Some("name".into())));
        assert_eq!(refused(r#"{"name":"x","inner":[1,"a"]}"#), (Kind::Invalid, Some("inner[1]".into())));
        assert_eq!(refused(r#"["x",null]"#), (Kind::Syntax, None));
        assert_eq!(refused("7"), (Kind::Invalid, Some("body".into())));
        assert_eq!(refused(r#"{"name":"x"} {}"#), (Kind::Syntax, None));
        assert_eq!(refused(r#"{"name":"#), (Kind::Syntax, None));
        assert_eq!(refused(" \n"), (Kind::Missing, None));
    }
}
