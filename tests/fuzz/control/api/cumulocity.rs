//! Files that come in forms, and the lists of devices in them.

#[allow(dead_code)]
#[path = "../../../../src/control/api/cumulocity/device_table.rs"]
mod device_table;
#[allow(dead_code)]
#[path = "../../../../src/control/api/cumulocity/upload.rs"]
mod upload;

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use hyper::body::Frame;

use super::frame::problem::{Kind, Problem};
use device_table::{Entry, Proof, Row};

/// The bound of the route.
const MOST: usize = 2048;
const MEDIA: [&str; 6] = [
    "multipart/form-data; boundary=cut",
    "multipart/form-data; boundary=\"c u t\"",
    "Multipart/Form-Data;charset=utf-8;boundary=cut",
    "multipart/form-data",
    "text/csv; charset=utf-8",
    "",
];

/// A body that comes in pieces.
struct Pieces(std::vec::IntoIter<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }
}

fn uploaded(media: &str, body: &[u8], piece: usize) -> Result<Bytes, Problem> {
    let pieces: Vec<Bytes> = body.chunks(piece).map(Bytes::copy_from_slice).collect();
    let request = Request::builder().header(CONTENT_TYPE, media).body(Body::new(Pieces(pieces.into_iter())));
    crate::net::at_once(upload::read(request.expect("a request"), MOST)).map(|file| file.bytes)
}

/// A form as curl writes it, with a part before the file and one behind it.
fn form(file: &[u8]) -> Vec<u8> {
    let note = b"--cut\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nx\r\n";
    let head = b"--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"list.csv\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n";
    let rest = b"\r\n--cut\r\nContent-Disposition: form-data; name=\"more\"\r\n\r\ny\r\n--cut--\r\n";
    [&note[..], head, file, rest].concat()
}

/// The first byte says of what type the body is, the second how it is cut.
pub fn multipart(input: &[u8]) {
    let [media, piece, body @ ..] = input else { return };
    let (media, piece) = (MEDIA[usize::from(*media) % MEDIA.len()], 1 + usize::from(*piece));
    let found = uploaded(media, body, piece);
    match &found {
        Ok(file) => {
            assert!(file.len() <= MOST, "more than the bound");
            assert!(file.is_empty() || body.windows(file.len()).any(|part| part == file), "it stood in the body");
        }
        Err(problem) => assert!(!problem.message.is_empty()),
    }
    if body.len() <= MOST {
        assert_eq!(uploaded(media, body, usize::MAX), found, "how a body is cut changes nothing");
    } else if !media.to_ascii_lowercase().starts_with("multipart") {
        assert_eq!(found.map_err(|problem| problem.kind), Err(Kind::TooLarge));
    }
    let whole = form(body);
    if whole.len() <= MOST && !body.windows(5).any(|part| part == b"--cut") {
        assert_eq!(uploaded(MEDIA[0], &whole, piece), Ok(Bytes::copy_from_slice(body)), "as it was written");
    }
}

fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

/// A list as a spreadsheet writes it gives what was put in.
fn written(text: &str) {
    let (separator, rest) = match text.chars().next() {
        Some(first) => ([',', ';', '\t'][first as usize % 3], &text[first.len_utf8()..]),
        None => return,
    };
    let devices: Vec<[&str; 2]> =
        rest.split('|').map(|line| line.split_once('=').unwrap_or((line, ""))).map(|(id, name)| [id, name]).collect();
    let rows = devices.iter().map(|[id, name]| [id, "CERTIFICATES", name].map(quoted).join(&separator.to_string()));
    let head = ["ID", "AUTH_TYPE", "NAME"].join(&separator.to_string());
    let list = std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\r\n");
    let found = device_table::read(list.as_bytes()).expect("a list");
    assert_eq!(found.len(), devices.len(), "{list:?}");
    for (Row { id, entry, .. }, [wanted, name]) in found.into_iter().zip(devices) {
        assert_eq!(id, wanted.trim());
        assert_eq!(entry.is_err(), id.is_empty(), "{entry:?}");
        let Ok(Entry { device, .. }) = entry else { continue };
        assert_eq!((device.id, device.name.unwrap_or_default()), (id, name.trim().to_owned()));
    }
}

/// Each row comes out once, whole, with its secrets left out.
pub fn devices(input: &[u8]) {
    match device_table::read(input) {
        Ok(rows) => {
            let lines = input.iter().filter(|&&byte| matches!(byte, b'\n' | b'\r')).count() + 1;
            assert!(rows.len() <= lines.min(10_000));
            rows.iter().for_each(judge);
        }
        Err(problem) => assert!(problem.field.as_deref() == Some("file") && problem.message.len() > 10),
    }
    if let Ok(text) = str::from_utf8(input)
        && text.matches('|').count() < 10_000
    {
        written(text);
    }
}

fn judge(row: &Row) {
    let entry = match &row.entry {
        Ok(entry) => entry,
        Err(reason) => return assert!(!reason.is_empty()),
    };
    assert!(!row.id.is_empty() && row.id == entry.device.id && row.line.contains(&row.id));
    if let Proof::Password(password) = &entry.proof {
        assert!(!password.is_empty() && row.line.contains("***"), "{row:?}");
    }
    if let Some(properties) = &entry.device.properties {
        let read: serde_json::Value = serde_json::from_str(properties).expect("JSON that is read again");
        assert!(read.as_object().is_some_and(|object| !object.is_empty()));
    }
}
