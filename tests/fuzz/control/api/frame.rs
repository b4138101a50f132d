//! Logins, as a field of the request.

#[allow(dead_code)]
#[path = "../../../../src/control/api/frame/authorization.rs"]
mod authorization;
#[allow(dead_code)]
#[path = "../../../../src/control/api/frame/problem.rs"]
pub(super) mod problem;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use base64ct::{Base64, Encoding};

use authorization::{Authorization, Login};

fn read(field: &[u8]) -> Option<Authorization> {
    let mut fields = HeaderMap::new();
    fields.insert(AUTHORIZATION, HeaderValue::from_bytes(field).ok()?);
    Authorization::read(&fields)
}

/// As any client writes it.
fn written(user: &str, password: &str) -> Vec<u8> {
    format!("Basic {}", Base64::encode_string(format!("{user}:{password}").as_bytes())).into_bytes()
}

fn login(field: &[u8]) -> Option<Login> {
    read(field).and_then(Authorization::login)
}

/// The bytes are the field, and name and password of one that is written.
pub fn logins(input: &[u8]) {
    match read(input) {
        Some(Authorization::Bearer(token)) => {
            assert_eq!(*token, token.trim(), "no blank belongs to it");
            assert!(input.windows(token.len()).any(|part| part == token.as_bytes()) || token.is_empty());
        }
        Some(Authorization::Basic(Some(found))) => {
            assert!(!found.user.contains(':') && found.user.len() + found.password.len() <= 768);
            let again = login(&written(&found.user, &found.password)).expect("what was read once is read again");
            assert_eq!((again.user, again.password), (found.user, found.password));
        }
        Some(Authorization::Basic(None) | Authorization::Unknown) | None => {}
    }
    let Ok(text) = str::from_utf8(input) else { return };
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let found = login(&written(user, password)).map(|found| (found.user, found.password.to_string()));
    let is_short = user.len() + password.len() <= 768;
    assert_eq!(found, is_short.then(|| (user.to_owned(), password.to_owned())), "as it was written");
}
