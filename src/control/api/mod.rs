//! HTTP: what people and machines ask the broker.
//!
//! What lives here: the listeners (`admin`, `https`) and their routes by file.
//! What does not: MQTT's listeners (`net`), what the operations do (`ca`).
//! Invariant: a route only translates: what it changes is changed, checked and
//! audited by the part that owns it.

mod admin;
mod centiloc;
mod cumulocity;
mod est;
mod frame;
mod health;
mod https;
mod mindconnect;
mod native;
mod pages;
mod public;
mod spelling;

pub use admin::Admin;
pub use https::serve;
pub(super) use native::explained;

use axum::Router;
use axum::extract::OriginalUri;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::any;

use crate::broker::Handle;
use crate::shutdown::Tasks;

use frame::access::note;
use frame::face::{Face, render};
use frame::guard::guard;
use frame::problem::{Kind, Problem};

/// Where the faces of the platforms live: what is not there is told in their
/// shape, too (MC-API-05).
const PLATFORMS: [(&str, Face); 3] =
    [("/tenant", Face::Cumulocity), ("/user", Face::Cumulocity), ("/devicecontrol", Face::Cumulocity)];

/// All that the HTTPS listener serves.
fn routes(broker: Handle, tasks: Tasks) -> Router {
    // A WebSocket is no request that has to end, and answers in its own words.
    let stream = Router::new().route("/mqtt", any(https::websocket));
    let native = Router::new().nest(native::BASE, native::routes(broker.clone(), tasks.clone()));
    let mindconnect =
        Router::new().nest(mindconnect::BASE, mindconnect::routes(broker.clone(), tasks).fallback(no_route));
    let mindconnect = mindconnect.merge(mindconnect::login_routes(broker.clone()));
    let centiloc = Router::new().nest(centiloc::BASE, centiloc::routes(broker.clone()).fallback(no_route));
    // What belongs to no face is told in our own shape.
    let ours = native.merge(public::routes(broker.clone())).merge(pages::routes()).fallback(no_route);
    let est = Router::new().nest(est::BASE, est::routes(broker.clone()).fallback(no_route));
    let own = stream
        .merge(faced(ours, Face::Native))
        .merge(faced(mindconnect, Face::Mindconnect))
        .merge(faced(centiloc, Face::Centiloc))
        .merge(faced(est, Face::Est))
        .merge(faced(cumulocity::routes(broker.clone()), Face::Cumulocity));
    let all = PLATFORMS.into_iter().fold(own, |all, (base, face)| {
        all.merge(faced(Router::new().nest(base, Router::new().fallback(no_route)), face))
    });
    all.layer(from_fn_with_state(broker, note))
}

/// Puts routes into the frame of their face.
fn faced(routes: Router, face: Face) -> Router {
    let routes = routes.method_not_allowed_fallback(no_method);
    routes.layer(from_fn(guard)).layer(from_fn_with_state(face, render))
}

async fn no_route(OriginalUri(uri): OriginalUri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(Kind::NoRoute, format!("there is nothing at {path}")).but("see /api/docs/ for what there is")
}

async fn no_method(method: Method, OriginalUri(uri): OriginalUri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(Kind::Method, format!("{path} does not know {method}")).but("the field Allow names what it knows")
}
