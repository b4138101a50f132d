//! The HTTPS listener: REST, and MQTT over WebSocket.
//!
//! What lives here: the loop that takes connections from their door and speaks
//! HTTP on them, and the way from a WebSocket's request to MQTT. What does not:
//! bounds and TLS (`net`), the routes. Invariant: whatever a client does costs
//! its own connection, and every connection ends within the time to stop.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;

use crate::broker::{Guest, Handle, HttpsDoor, HttpsStream, WebSocketRequest};
use crate::shutdown::Tasks;

use super::spelling::Spelled;

/// How long what is under way may take once the broker stops.
const GOODBYE: Duration = Duration::from_millis(500);

/// What every route finds of the listener.
#[derive(Clone)]
pub(super) struct Entrance {
    pub(super) door: Arc<HttpsDoor>,
    tasks: Tasks,
}

/// Serves HTTPS for `broker`, if it has a door, until `tasks` is told to stop.
pub fn serve(broker: &Handle, tasks: &Tasks) {
    let Some(door) = broker.https() else { return };
    let entrance = Entrance { door, tasks: tasks.clone() };
    let routes = super::routes(broker.clone(), tasks.clone()).layer(Extension(entrance.clone()));
    tasks.spawn("https listener", accept(entrance, routes));
}

async fn accept(Entrance { door, tasks }: Entrance, routes: Router) {
    let mut stop = tasks.stop_signal();
    loop {
        let accepted = tokio::select! {
            () = stop.stopped() => return,
            accepted = door.accept() => accepted,
        };
        match accepted {
            Ok(None) => {}
            Ok(Some(knock)) => {
                let (door, routes, stopping) = (Arc::clone(&door), routes.clone(), tasks.clone());
                tasks.spawn("https connection", async move {
                    let mut stop = stopping.stop_signal();
                    let shaken = tokio::select! {
                        () = stop.stopped() => None,
                        shaken = door.shake(knock) => shaken,
                    };
                    if let Some((stream, guest)) = shaken {
                        answer(stream, Arc::new(guest), &door, routes, stopping).await;
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, mostly: give the closing of others time.
                tracing::warn!(%error, "an HTTPS connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn answer(stream: HttpsStream, guest: Arc<Guest>, door: &HttpsDoor, routes: Router, tasks: Tasks) {
    let settings = door.settings();
    let mut http = http1::Builder::new();
    // There are clients that compare names of fields letter by letter.
    http.title_case_headers(true);
    http.timer(TokioTimer::new()).header_read_timeout(settings.head_timeout).max_buf_size(settings.max_head_bytes);
    let service = TowerToHyperService::new(routes.layer(Extension(guest)));
    let connection = http.serve_connection(TokioIo::new(Spelled(stream)), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut stop = tasks.stop_signal();
    // What a client does wrong is its own business: errors of the stream end
    // the stream.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.stopped() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GOODBYE, connection).await;
}

/// `GET /mqtt`: the connection leaves HTTP and becomes one of MQTT's.
pub(super) async fn websocket(
    Extension(entrance): Extension<Entrance>,
    Extension(guest): Extension<Arc<Guest>>,
    mut request: Request,
) -> Response {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let asked = WebSocketRequest {
        method: request.method().as_str(),
        path,
        is_http_1_1: request.version() == Version::HTTP_11,
        fields: request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
    };
    let agreed = match entrance.door.judge(&asked) {
        Ok(agreed) => agreed,
        Err(refused) => {
            let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST);
            let mut response = (status, format!("{}\n", refused.text)).into_response();
            for (name, value) in refused.fields {
                if let Ok(name) = name.parse::<HeaderName>() {
                    response.headers_mut().insert(name, HeaderValue::from_static(value));
                }
            }
            return response;
        }
    };
    let Some(upgrade) = upgrade else { return StatusCode::BAD_REQUEST.into_response() };
    let Entrance { door, tasks } = entrance;
    tasks.spawn("https upgrade", async move {
        // The error is a client that went away before it had its answer.
        let Ok(upgraded) = upgrade.await else { return };
        if let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Spelled<HttpsStream>>>() {
            door.serve_mqtt(io.into_inner().0, read_buf.into(), &guest).await;
        }
    });
    let fields = [
        (header::UPGRADE, "websocket"),
        (header::CONNECTION, "Upgrade"),
        (header::SEC_WEBSOCKET_ACCEPT, agreed.accept.as_str()),
        (header::SEC_WEBSOCKET_PROTOCOL, agreed.protocol),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, fields, Body::empty()).into_response()
}
