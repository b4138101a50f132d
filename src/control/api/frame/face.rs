//! The shapes in which the faces tell problems.
//!
//! What lives here: one renderer a face over the one internal error. What does
//! not: which problem it is. Invariant: every answer of 400 and more that we
//! make has a body in its face's shape, with the name of its line in the log.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::{Value, json};

use crate::ca::authority::Kind as Refused;

use super::access::RequestId;
use super::cumulocity::{Family, words as cumulocity};
use super::problem::{Carried, Kind, Problem};

/// Whose API it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control::api) enum Face {
    /// Our own: RFC 9457.
    Native,
    /// Siemens MindConnect (MC-API-03).
    Mindconnect,
    /// Cumulocity (C8Y-API-02).
    Cumulocity,
    /// Centiloc (CEN-CSR-03).
    Centiloc,
    /// EST: text for people (RFC 7030 section 4.2.3).
    Est,
}

/// Puts a problem that a handler left into the words of its face.
pub(in crate::control::api) async fn render(State(face): State<Face>, request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let family = Family::of(request.uri().path());
    let is_head = request.method() == Method::HEAD;
    let mut response = next.run(request).await;
    let Some(Carried(problem)) = response.extensions_mut().remove::<Carried>() else { return response };
    let Words { status, media, body } = face.words(&problem, &id.0, family);
    *response.status_mut() = status;
    let text = match body {
        Value::String(text) => text,
        body => body.to_string(),
    };
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    if let Some(wait) = problem.retry_after {
        fields.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    if status == StatusCode::UNAUTHORIZED {
        face.challenge(fields);
    }
    *response.body_mut() = if is_head { Body::empty() } else { Body::from(text) };
    response
}

/// A wait as `Retry-After` says it: whoever comes back then does not come too early.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

pub(super) struct Words {
    pub(super) status: StatusCode,
    pub(super) media: &'static str,
    pub(super) body: Value,
}

impl Face {
    fn words(self, problem: &Problem, logref: &str, family: Family) -> Words {
        match self {
            Self::Native => native(problem, logref),
            Self::Mindconnect => mindconnect(problem, logref),
            Self::Cumulocity => cumulocity(problem, family),
            Self::Centiloc => centiloc(problem, logref),
            Self::Est => est(problem, logref),
        }
    }

    fn challenge(self, fields: &mut axum::http::HeaderMap) {
        let ways: &[&'static str] = match self {
            Self::Native => &["Bearer realm=\"certus\"", "Basic realm=\"certus\", charset=\"UTF-8\""],
            Self::Mindconnect => &["Bearer"],
            Self::Cumulocity | Self::Centiloc | Self::Est => &["Basic realm=\"certus\", charset=\"UTF-8\""],
        };
        fields.remove(header::WWW_AUTHENTICATE);
        for way in ways {
            fields.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(way));
        }
    }
}

fn native(problem: &Problem, logref: &str) -> Words {
    let (status, code) = (problem.kind.status(), problem.kind.name());
    let mut body = json!({
        "type": format!("urn:certus:problem:{code}"),
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": problem.message,
        "code": code,
        "logref": logref,
    });
    put(&mut body, "field", problem.field.as_deref());
    put(&mut body, "remedy", problem.remedy.as_deref());
    Words { status, media: "application/problem+json", body }
}

fn put(body: &mut Value, name: &str, value: Option<&str>) {
    if let (Some(body), Some(value)) = (body.as_object_mut(), value) {
        body.insert(name.to_owned(), Value::from(value));
    }
}

fn mindconnect(problem: &Problem, logref: &str) -> Words {
    let code = match problem.kind {
        Kind::Refused(kind) => return mindconnect_refused(problem, kind, logref),
        Kind::Missing => "generic.missingRequestBodyProperty",
        Kind::Invalid | Kind::Syntax | Kind::KeyReused => "generic.invalidRequestBodyProperty",
        Kind::Parameter => "generic.invalidParameter",
        Kind::NoRoute => "generic.noMatch",
        Kind::Method => "generic.methodNotAllowed",
        Kind::TooLarge => "generic.payloadTooLarge",
        Kind::MediaType => "generic.unsupportedMediaType",
        Kind::Stale => "generic.preconditionFailed",
        Kind::TooMany => "generic.tooManyRequests",
        Kind::Unavailable | Kind::TimedOut => "generic.serviceUnavailable",
        Kind::Internal => "generic.internalServerError",
    };
    mindconnect_words(problem.kind.status(), code, problem, logref)
}

/// MC-API-03: the codes of this service.
fn mindconnect_refused(problem: &Problem, kind: Refused, logref: &str) -> Words {
    let (status, code) = match kind {
        Refused::Missing => (400, "generic.missingRequestBodyProperty"),
        Refused::Invalid => (400, "generic.invalidRequestBodyProperty"),
        Refused::InvalidCertificate => (400, "mindconnectmqtt.invalidCertificate"),
        Refused::ProofFailed | Refused::ProofExpired => (400, "mindconnectmqtt.verificationFailed"),
        Refused::Unauthorized => (401, "generic.unauthorized"),
        Refused::Forbidden => (403, "generic.forbidden"),
        Refused::NotFound | Refused::NoTenant => (404, "generic.noMatch"),
        Refused::AlreadyExists => (409, "mindconnectmqtt.certificateAlreadyExists"),
        Refused::NameTaken => (409, "mindconnectmqtt.nameAlreadyExists"),
        Refused::OwnedByOther => (409, "mindconnectmqtt.certificateOwnedByOtherTenant"),
        Refused::LimitReached => (409, "mindconnectmqtt.certificateLimitExceeded"),
        Refused::Configured => (409, "mindconnectmqtt.readOnly"),
        Refused::WrongState => (409, "mindconnectmqtt.wrongState"),
        Refused::Stale => (412, "generic.preconditionFailed"),
        Refused::Unavailable => (503, "generic.serviceUnavailable"),
        Refused::Internal => (500, "generic.internalServerError"),
    };
    mindconnect_words(StatusCode::from_u16(status).unwrap_or_default(), code, problem, logref)
}

fn mindconnect_words(status: StatusCode, code: &str, problem: &Problem, logref: &str) -> Words {
    let body = json!({
        "errors": [{ "code": format!("mdsp.core.{code}"), "logref": logref, "message": problem.line() }],
    });
    Words { status, media: "application/json", body }
}

fn centiloc(problem: &Problem, logref: &str) -> Words {
    let (status, error) = match problem.kind {
        // CEN-CSR-03
        Kind::Refused(Refused::InvalidCertificate) => (StatusCode::BAD_REQUEST, "invalid_csr"),
        kind => (kind.status(), kind.name()),
    };
    let mut body = json!({ "error": error, "message": problem.line(), "logref": logref });
    put(&mut body, "field", problem.field.as_deref());
    Words { status, media: "application/json", body }
}

fn est(problem: &Problem, logref: &str) -> Words {
    let status = match problem.kind {
        // What cannot be used is the client's mistake, whichever part it is.
        Kind::Refused(Refused::InvalidCertificate) => StatusCode::BAD_REQUEST,
        kind => kind.status(),
    };
    let field = problem.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
    let text = format!("{field}{}\nlogref {logref}\n", problem.line());
    Words { status, media: "text/plain; charset=utf-8", body: Value::String(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_come_back_too_early() {
        for (wait, said) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (19_999, 20)] {
            assert_eq!(whole_seconds(Duration::from_millis(wait)), said, "{wait} ms");
        }
    }

    #[test]
    fn a_limit_has_the_status_of_each_platform() {
        let problem = Problem::new(Kind::Refused(Refused::LimitReached), "the limit 2 is reached");
        let status = |face: Face| face.words(&problem, "r", Family::Certificates).status.as_u16();
        assert_eq!([Face::Native, Face::Mindconnect, Face::Cumulocity].map(status), [409, 409, 422]);
    }

    fn problem() -> Problem {
        Problem::in_field(Kind::Missing, "name", "name is missing").but("give it a name")
    }

    #[test]
    fn each_face_tells_the_same_problem_in_its_own_shape() {
        let native = Face::Native.words(&problem(), "r1", Family::General);
        assert_eq!(native.media, "application/problem+json");
        assert_eq!((&native.body["field"], &native.body["logref"]), (&Value::from("name"), &Value::from("r1")));
        let mindconnect = Face::Mindconnect.words(&problem(), "r1", Family::General);
        let error = &mindconnect.body["errors"][0];
        assert_eq!(error["code"], "mdsp.core.generic.missingRequestBodyProperty");
        assert_eq!(error["message"], "name is missing; give it a name");
        let cumulocity = Face::Cumulocity.words(&problem(), "r1", Family::General);
        assert_eq!(cumulocity.media, "application/vnd.com.nsn.cumulocity.error+json");
        assert_eq!(cumulocity.body["error"], "general/Invalid Data");
        assert_eq!(Face::Centiloc.words(&problem(), "r1", Family::General).body["error"], "missing");
        assert_eq!(
            Face::Est.words(&problem(), "r1", Family::General).body,
            "name: name is missing; give it a name\nlogref r1\n"
        );
    }
}
