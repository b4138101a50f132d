//! Files that are sent as a part of a form, or as they are.
//!
//! Invariant: no more is read than the bound of the route says.

use std::error::Error;
use std::iter;

use axum::body::{Body, Bytes};
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::header;
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
    let refused =
        |error: &MultipartError| if is_too_long(error) { too_large(most) } else { unreadable(error.body_text()) };
    while let Some(field) = form.next_field().await.map_err(|error| refused(&error))? {
        if field.name() == Some("file") || field.file_name().is_some() {
            let bytes = field.bytes().await.map_err(|error| refused(&error))?;
            return Ok(File { bytes, media: "text/csv".to_owned() });
        }
    }
    Err(Problem::in_field(Kind::Missing, "file", "the form has no part named file"))
}

/// axum looks only so deep, and says of a body with a bound of ours that it cannot be read.
fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), |&error| error.source()).any(|error| error.is::<LengthLimitError>())
}

fn too_large(most: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("the file is longer than {most} bytes")).but("send it in several pieces")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 400;

    fn read_now(media: &str, body: Vec<u8>) -> Result<File, Problem> {
        let request = Request::builder().header(header::CONTENT_TYPE, media).body(Body::from(body)).unwrap();
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(read(request, MOST))
    }

    /// A form with a part before the file and one behind it.
    fn form(file: &[u8]) -> Vec<u8> {
        let part = |name: &str, more: &str, bytes: &[u8]| {
            let head = format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n");
            [head.as_bytes(), bytes, b"\r\n"].concat()
        };
        let parts = [part("note", "", b"x"), part("file", "; filename=\"a.csv\"", file), part("more", "", b"y")];
        [parts.concat(), b"--cut--\r\n".to_vec()].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_form_gives_its_file_and_nothing_else_of_it(file in prop::collection::vec(any::<u8>(), 0..40)) {
            let found = read_now("multipart/form-data; boundary=cut", form(&file));
            prop_assert_eq!(found.unwrap().bytes.to_vec(), file);
        }

        /// A byte set, a part taken out, a part doubled: never a panic, never more than the bound.
        #[test]
        fn a_form_that_is_broken_is_refused_or_read_within_the_bound(
            changes in prop::collection::vec((0..3_u8, any::<prop::sample::Index>(), 0..30_usize, any::<u8>()), 0..5),
            media in prop::sample::select(vec!["multipart/form-data; boundary=cut", "multipart/form-data", "multipart/form-data; boundary=\"\"", "text/csv", ""]),
        ) {
            let mut body = form(b"ID;NAME\n1;2\n");
            for (kind, at, length, byte) in changes {
                let start = at.index(body.len().max(1)).min(body.len());
                let end = (start + length).min(body.len());
                match kind {
                    0 if start < body.len() => body[start] = byte,
                    1 => drop(body.drain(start..end)),
                    _ => {
                        let part = body[start..end].to_vec();
                        body.splice(start..start, part);
                    }
                }
            }
            if let Ok(file) = read_now(media, body) {
                prop_assert!(file.bytes.len() <= MOST);
            }
        }
    }

    #[test]
    fn a_file_that_is_longer_than_its_bound_is_refused_however_it_comes() {
        for (media, body) in [("multipart/form-data; boundary=cut", form(&[b'x'; 401])), ("text/csv", vec![b'x'; 401])]
        {
            assert_eq!(read_now(media, body).unwrap_err().kind, Kind::TooLarge, "{media}");
        }
        let empty = read_now("multipart/form-data; boundary=cut", b"--cut--\r\n".to_vec()).unwrap_err();
        assert_eq!((empty.kind, empty.field.as_deref()), (Kind::Missing, Some("file")));
    }
}
