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
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::broker::Handle;
use crate::ca::armour::base64_lines;
use crate::ca::pkcs7::certificates_only;
use crate::ca::record::KeyUse;
use crate::ca::request::Request;

use super::frame::body::{Path, Raw};
use super::frame::document::Routes;
use super::frame::face::Face;
use super::frame::operation::Operation;
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

const ABOUT: &str = "Enrolment over secure transport (RFC 7030, RFC 8951): certificates for devices, the first by a \
                     one-time token or an account, the next by the one before. A label names the tenant; without one \
                     it is that of the host, of the certificate, or of the listener.";

/// Where the operations are, with and without a label.
const PATHS: [[&str; 6]; 2] = [
    ["/cacerts", "/csrattrs", "/simpleenroll", "/simplereenroll", "/serverkeygen", "/fullcmc"],
    [
        "/{label}/cacerts",
        "/{label}/csrattrs",
        "/{label}/simpleenroll",
        "/{label}/simplereenroll",
        "/{label}/serverkeygen",
        "/{label}/fullcmc",
    ],
];

/// What the operations are called.
const NAMES: [[&str; 6]; 2] = [
    ["cacerts", "csrattrs", "simpleenroll", "simplereenroll", "serverkeygen", "fullcmc"],
    ["cacertsOf", "csrattrsOf", "simpleenrollOf", "simplereenrollOf", "serverkeygenOf", "fullcmcOf"],
];

/// The routes, with and without a label.
pub(super) fn routes(broker: Handle) -> Router {
    let routes = Routes::new().about("est", "Certificates for devices.");
    let routes = PATHS.into_iter().zip(NAMES).fold(routes, |routes, (paths, names)| add(routes, paths, names));
    let about = ["EST", BASE, ABOUT];
    routes.finish_as(Face::Est, "/openapi.json", about).with_state(Est { broker })
}

fn add(routes: Routes<Est>, paths: [&'static str; 6], names: [&'static str; 6]) -> Routes<Est> {
    let [cacerts, csrattrs, first, next, keys, cmc] = paths;
    let [cacerts_id, csrattrs_id, first_id, next_id, keys_id, cmc_id] = names;
    let unknown = (StatusCode::NOT_FOUND, "There is no such tenant, or nothing tells which one is meant.");
    let enrolment = |path, id, summary| {
        let refusals = [
            unknown,
            (StatusCode::UNAUTHORIZED, "Nobody vouches for the request."),
            (StatusCode::FORBIDDEN, "Who vouches does not vouch for this name."),
            (StatusCode::CONFLICT, "It was asked for already, or the tenant's state does not allow it."),
        ];
        Operation::new(Method::POST, path, id, summary)
            .takes_text(&[REQUEST], "PKCS#10, as base64 of DER; DER and PEM are read as well.")
            .gives_text(StatusCode::OK, "application/pkcs7-mime", "The certificate, in PKCS#7 as base64.")
            .refuses(&refusals)
    };
    let not_served = |path, id, summary| {
        Operation::new(Method::POST, path, id, summary).refuses(&[(StatusCode::NOT_FOUND, "Not served here.")])
    };
    routes
        .add(
            Operation::new(Method::GET, cacerts, cacerts_id, "The CA that signs devices' certificates")
                .gives_text(StatusCode::OK, "application/pkcs7-mime", "It, in PKCS#7 as base64.")
                .refuses(&[unknown]),
            authorities,
        )
        .add(
            Operation::new(Method::GET, csrattrs, csrattrs_id, "What a request has to contain")
                .gives_text(StatusCode::OK, ATTRIBUTES, "CsrAttrs, DER as base64.")
                .gives_nothing("Any key will do.")
                .refuses(&[unknown]),
            attributes,
        )
        .add(enrolment(first, first_id, "A certificate for a request"), enrol)
        // Whoever vouches for a first certificate vouches for the next.
        .add(enrolment(next, next_id, "The next certificate, by the one before"), enrol)
        .add(not_served(keys, keys_id, "Keys are not made here"), no_keys)
        .add(not_served(cmc, cmc_id, "Full CMC is not read here"), no_cmc)
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
