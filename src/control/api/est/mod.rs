//! `/.well-known/est`: enrolment over secure transport (RFC 7030, with the
//! clarifications of RFC 8951).
//!
//! What lives here: its paths and the forms of its messages. What does not: who
//! vouches for a request (`asker`), what a certificate contains (`ca`).
//! Invariant: a label names a tenant, and nothing that is asked under it
//! reaches another one.

mod asker;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::broker::Handle;
use crate::ca::armour::base64_lines;
use crate::ca::pkcs7::certificates_only;
use crate::ca::record::KeyUse;
use crate::ca::request::Request;

use super::frame::body::{Path, Raw};
use super::frame::problem::{Kind, Problem};
use asker::{Asker, Place};

/// Where it lives.
pub(super) const BASE: &str = "/.well-known/est";

const CERTIFICATES: &str = "application/pkcs7-mime; smime-type=certs-only";
const ATTRIBUTES: &str = "application/csrattrs";
const REQUEST: &str = "application/pkcs10";

/// What its handlers are given.
#[derive(Clone)]
struct Est {
    broker: Handle,
}

impl FromRef<Est> for Handle {
    fn from_ref(est: &Est) -> Self {
        est.broker.clone()
    }
}

/// The tenant that a path names, if it names one.
#[derive(Deserialize)]
struct Label {
    label: Option<String>,
}

/// The routes, with and without a label.
pub(super) fn routes(broker: Handle) -> Router {
    let both = |routes: Router<Est>, operation: &str, handler: axum::routing::MethodRouter<Est>| {
        routes.route(&format!("/{operation}"), handler.clone()).route(&format!("/{{label}}/{operation}"), handler)
    };
    let routes = both(Router::new(), "cacerts", get(authorities));
    let routes = both(routes, "csrattrs", get(attributes));
    let routes = both(routes, "simpleenroll", post(enrol));
    // Whoever vouches for a first certificate vouches for the next.
    let routes = both(routes, "simplereenroll", post(enrol));
    let routes = both(routes, "serverkeygen", post(no_keys));
    both(routes, "fullcmc", post(no_cmc)).with_state(Est { broker })
}

/// RFC 7030 section 4.1: whom to trust for certificates of devices.
async fn authorities(
    State(est): State<Est>,
    Path(Label { label }): Path<Label>,
    place: Place,
) -> Result<Response, Problem> {
    let tenant = place.tenant(&est.broker, label, None)?;
    let issuer = est.broker.authority().issuer(&tenant, KeyUse::Issuer).await?;
    Ok(encoded(CERTIFICATES, &certificates_only(&[&issuer])))
}

/// RFC 7030 section 4.5: what a request has to contain.
async fn attributes(
    State(est): State<Est>,
    Path(Label { label }): Path<Label>,
    place: Place,
) -> Result<Response, Problem> {
    let tenant = place.tenant(&est.broker, label, None)?;
    Ok(match est.broker.authority().request_attributes(&tenant)? {
        Some(attributes) => encoded(ATTRIBUTES, &attributes),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// RFC 7030 section 4.2: a certificate for a request.
async fn enrol(
    State(est): State<Est>,
    Path(Label { label }): Path<Label>,
    place: Place,
    asker: Asker,
    Raw { bytes, media }: Raw,
) -> Result<Response, Problem> {
    if media.as_deref().is_some_and(|media| media != REQUEST) {
        let message = format!("a body of type {} is no certificate request", media.unwrap_or_default());
        return Err(Problem::new(Kind::MediaType, message).but(format!("send it with Content-Type: {REQUEST}")));
    }
    let tenant = place.tenant(&est.broker, label, asker.tenant())?;
    let request = Request::read(&bytes)
        .map_err(|objection| Problem::in_field(Kind::Invalid, objection.field, objection.reason))?;
    let issued = est.broker.authority().enrol(asker.voucher(), &tenant, &request).await?;
    Ok(encoded(CERTIFICATES, &certificates_only(&[&issued.der])))
}

/// RFC 7030 section 4.4
async fn no_keys() -> Problem {
    Problem::new(Kind::NoRoute, "keys are not made here: a device's private key never leaves it")
        .but("make a key and a request on the device, and send the request to simpleenroll")
}

/// RFC 7030 section 4.3
async fn no_cmc() -> Problem {
    Problem::new(Kind::NoRoute, "full CMC requests are not read here").but("use simpleenroll or simplereenroll")
}

/// RFC 8951 section 3.1: base64, and a field that says so for older clients.
fn encoded(media: &'static str, der: &[u8]) -> Response {
    let mut fields = HeaderMap::new();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    fields.insert(HeaderName::from_static("content-transfer-encoding"), HeaderValue::from_static("base64"));
    (StatusCode::OK, fields, base64_lines(der)).into_response()
}
