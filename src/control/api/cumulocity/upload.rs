//! Files that are sent as a part of a form, or as they are.
//!
//! Invariant: no more is read than the bound of the route says.

use axum::body::{Body, Bytes};
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::super::frame::problem::{Kind, Problem};

/// A file and how it came.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) bytes: Bytes,
    /// Its media type as it is, or `text/csv` for what stood in a form.
    pub(super) media: String,
}

/// What keeps axum's own bound away from a route that has that of [`read`].
pub(super) fn own_bound() -> DefaultBodyLimit {
    DefaultBodyLimit::disable()
}

/// Reads a file of `most` bytes at most: the part `file` of a form, or the
/// body itself.
pub(super) async fn read(request: Request, most: usize) -> Result<File, Problem> {
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let media = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media == "multipart/form-data" {
        return part(request, most).await;
    }
    match Limited::new(request.into_body(), most).collect().await {
        Ok(body) => Ok(File { bytes: body.to_bytes(), media }),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large(most)),
        Err(_) => Err(Problem::new(Kind::Syntax, "the body ended before its length")),
    }
}

async fn part(request: Request, most: usize) -> Result<File, Problem> {
    let unreadable = |what: String| Problem::new(Kind::Syntax, format!("the form cannot be read: {what}"));
    let request = request.map(|body| Body::new(Limited::new(body, most)));
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|rejection| unreadable(rejection.body_text()))?;
    let refused = |error: &MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(most),
        _ => unreadable(error.body_text()),
    };
    while let Some(field) = form.next_field().await.map_err(|error| refused(&error))? {
        if field.name() == Some("file") || field.file_name().is_some() {
            let bytes = field.bytes().await.map_err(|error| refused(&error))?;
            return Ok(File { bytes, media: "text/csv".to_owned() });
        }
    }
    Err(Problem::in_field(Kind::Missing, "file", "the form has no part named file"))
}

fn too_large(most: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("the file is longer than {most} bytes")).but("send it in several pieces")
}
