//! The page on which the API can be read and tried.
//!
//! What lives here: one page with its script and its style, embedded. What
//! does not: the documents that it reads. Invariant: nothing is fetched from
//! anywhere else, and no script runs but ours.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;

const PAGE: &str = include_str!("docs.html");
const SCRIPT: &str = include_str!("docs.js");
const STYLE: &str = include_str!("docs.css");
/// A browser that is told of none asks for one elsewhere.
const ICON: &str = include_str!("icon.svg");

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The routes.
pub(super) fn routes() -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/api/docs/") }))
        .route("/api/docs", get(|| async { Redirect::permanent("/api/docs/") }))
        .route("/api/docs/", get(|| page("text/html; charset=utf-8", PAGE)))
        .route("/api/docs/docs.js", get(|| page("text/javascript; charset=utf-8", SCRIPT)))
        .route("/api/docs/docs.css", get(|| page("text/css; charset=utf-8", STYLE)))
        .route("/api/docs/icon.svg", get(|| page("image/svg+xml", ICON)))
}

async fn page(media: &'static str, text: &'static str) -> impl IntoResponse {
    let media = HeaderValue::from_static(media);
    ([(header::CONTENT_TYPE, media), (header::CONTENT_SECURITY_POLICY, POLICY)], text)
}
