//! The tenant's list of revoked serial numbers (C8Y-CRL-01).
//!
//! Invariant: the list only grows. It counts while the option
//! `configuration/crl.offline.check.enabled` is true.

use axum::Extension;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::ca::authority::{NewRevocation, RevocationReason, Scope};
use crate::ca::record::RevocationKind;

use super::super::frame::body;
use super::super::frame::document::Routes;
use super::super::frame::moment::read_moment;
use super::super::frame::operation::Operation;
use super::super::frame::problem::{Kind, Problem};
use super::super::https::Entrance;
use super::Api;
use super::site::InTenant;
use super::upload::{self, File};

const PLACE: &str = "/tenant/trusted-certificates/settings/crl";
/// Rows of one upload at most.
const ROWS: usize = 5000;

/// Serial numbers that are to be revoked.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct RevokedSerials {
    /// The entries.
    crls: Vec<RevokedSerial>,
}

/// A serial number that is to be revoked.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RevokedSerial {
    /// The number, in hexadecimal digits.
    #[schema(example = "1000")]
    serial_number_in_hex: String,
    /// Since when; now if it is absent or lies ahead.
    #[schema(format = DateTime)]
    revocation_date: Option<String>,
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    routes
        .about("revocation", "The tenant's list of revoked serial numbers.")
        .add(
            Operation::new(Method::GET, PLACE, "getRevocationList", "Fetch the list, signed by the tenant's own CA")
                .needs(Scope::RevocationsRead)
                .gives_bytes("application/pkix-crl", "The list, DER."),
            fetch,
        )
        .add(
            Operation::new(Method::PUT, PLACE, "addToRevocationList", "Add serial numbers to the list")
                .needs(Scope::RevocationsWrite)
                .takes::<RevokedSerials>()
                .takes_text_too(&["text/csv", "multipart/form-data"])
                .gives_nothing("They are on the list, for good."),
            extend.layer(upload::own_bound()),
        )
}

async fn fetch(State(api): State<Api>, InTenant { caller, tenant }: InTenant) -> Result<Response, Problem> {
    let list = api.broker.authority().listed_revocations(&caller, &tenant).await?;
    Ok(([(header::CONTENT_TYPE, "application/pkix-crl")], list).into_response())
}

async fn extend(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    Extension(entrance): Extension<Entrance>,
    request: Request,
) -> Result<StatusCode, Problem> {
    caller.needs(Scope::RevocationsWrite, &tenant)?;
    let File { bytes, media } = upload::read(request, entrance.door.settings().max_csv_bytes).await?;
    let entries = match media.as_str() {
        "text/csv" | "application/csv" | "text/plain" => rows(&bytes)?,
        "" | "application/json" => body::read::<RevokedSerials>(&bytes)?.crls,
        other if other.ends_with("+json") => body::read::<RevokedSerials>(&bytes)?.crls,
        other => {
            let problem = Problem::new(Kind::MediaType, format!("a body of type {other} is not read here"));
            return Err(problem.but("send application/json or text/csv"));
        }
    };
    if entries.len() > ROWS {
        let message = format!("the list has {} rows, more than {ROWS}", entries.len());
        return Err(Problem::in_field(Kind::Invalid, "crls", message).but("send it in several pieces"));
    }
    let new = entries.into_iter().map(RevokedSerial::revocation).collect::<Result<Vec<_>, _>>()?;
    api.broker.authority().revoke(&caller, &tenant, new).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl RevokedSerial {
    fn revocation(self) -> Result<NewRevocation, Problem> {
        let date = self.revocation_date.filter(|date| !date.is_empty());
        let since = date.map(|date| read_moment("revocationDate", &date)).transpose()?;
        Ok(NewRevocation {
            kind: RevocationKind::Serial,
            value: self.serial_number_in_hex,
            anchor: None,
            since,
            reason: RevocationReason::Unspecified,
            note: None,
            listed: true,
        })
    }
}

/// `SERIAL NO.,REVOCATION DATE` and rows below.
fn rows(bytes: &[u8]) -> Result<Vec<RevokedSerial>, Problem> {
    let invalid = |error: csv::Error| Problem::in_field(Kind::Invalid, "file", format!("the file is no CSV: {error}"));
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let mut all = Vec::new();
    for (number, record) in reader.records().enumerate() {
        let record = record.map_err(invalid)?;
        let field = |index: usize| record.get(index).filter(|field| !field.is_empty()).map(str::to_owned);
        let is_header = number == 0 && field(0).is_some_and(|name| name.to_ascii_uppercase().starts_with("SERIAL"));
        if is_header || record.iter().all(str::is_empty) {
            continue;
        }
        if all.len() > ROWS {
            break; // told by its count
        }
        all.push(RevokedSerial { serial_number_in_hex: field(0).unwrap_or_default(), revocation_date: field(1) });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_with_or_without_its_head_and_its_dates() {
        for head in ["SERIAL NO.,REVOCATION DATE\r\n", ""] {
            let text = format!("{head}1000,2026-11-20T09:00:00.000Z\r\n1001,\r\n1002\r\n\r\n");
            let read = rows(text.as_bytes()).unwrap();
            let serials: Vec<&str> = read.iter().map(|entry| entry.serial_number_in_hex.as_str()).collect();
            assert_eq!(serials, ["1000", "1001", "1002"]);
            let new: Vec<_> = read.into_iter().map(|entry| entry.revocation().unwrap().since).collect();
            assert_eq!(new, [Some(1_795_165_200_000), None, None]);
        }
    }

    #[test]
    fn a_date_that_is_none_is_named() {
        let entry = RevokedSerial { serial_number_in_hex: "1000".into(), revocation_date: Some("yesterday".into()) };
        assert_eq!(entry.revocation().unwrap_err().field.as_deref(), Some("revocationDate"));
    }
}
