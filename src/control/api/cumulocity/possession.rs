//! Proof that whoever trusts a CA certificate holds its key (C8Y-POP-01 to
//! C8Y-POP-03).

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::ca::authority::{AnchorView, Fault, Scope};

use super::super::frame::body::{Json, Path};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::problem::Problem;
use super::Api;
use super::certificate::TrustedCertificate;
use super::certificates::unknown;
use super::site::{Site, Wanted, check_tenant};

const CODE: &str = "/tenant/tenants/{tenant}/trusted-certificates-pop/{fingerprint}/verification-code";
const PROOF: &str = "/tenant/tenants/{tenant}/trusted-certificates-pop/{fingerprint}/pop";
const CONFIRMED: &str = "/tenant/tenants/{tenant}/trusted-certificates-pop/{fingerprint}/confirmed";

/// The proof.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SignedCode {
    /// The signature over the code by the certificate's key, with SHA-256, in
    /// base64.
    proof_of_possession_signed_verification_code: String,
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let write = |path, id, summary, done| {
        Operation::new(Method::POST, path, id, summary)
            .needs(Scope::AnchorsWrite)
            .gives::<TrustedCertificate>(StatusCode::OK, done)
            .refuses(&[(
                StatusCode::CONFLICT,
                "The configuration file makes it, or another tenant has proved possession.",
            )])
    };
    let late = [(StatusCode::UNPROCESSABLE_ENTITY, "The code has ended, or the body lacks something.")];
    routes
        .about("proof-of-possession", "Proof that the tenant holds the key of a trusted certificate.")
        .add(write(CODE, "makeVerificationCode", "Ask for a new code to sign", "The code is in it."), code)
        .add(
            write(PROOF, "proveTrustedCertificate", "Prove possession by the signed code", "It is proved.")
                .takes::<SignedCode>()
                .refuses(&late),
            prove,
        )
        .add(
            write(
                CONFIRMED,
                "confirmTrustedCertificate",
                "Take possession as proved; for operators",
                "It counts as proved.",
            ),
            confirm,
        )
}

type Named = Path<(String, String)>;

async fn code(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    site: Site,
    wanted: Wanted,
    Path((tenant, fingerprint)): Named,
) -> Result<Response, Problem> {
    check_tenant(api.broker.authority(), &tenant)?;
    let view = api.broker.authority().challenge(&caller, &tenant, &fingerprint).await;
    answer(&site, wanted, &fingerprint, view)
}

async fn prove(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    site: Site,
    wanted: Wanted,
    Path((tenant, fingerprint)): Named,
    Json(signed): Json<SignedCode>,
) -> Result<Response, Problem> {
    check_tenant(api.broker.authority(), &tenant)?;
    let signed = signed.proof_of_possession_signed_verification_code;
    let view = api.broker.authority().answer_challenge(&caller, &tenant, &fingerprint, &signed).await;
    answer(&site, wanted, &fingerprint, view)
}

async fn confirm(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    site: Site,
    wanted: Wanted,
    Path((tenant, fingerprint)): Named,
) -> Result<Response, Problem> {
    check_tenant(api.broker.authority(), &tenant)?;
    let view = api.broker.authority().confirm_anchor(&caller, &tenant, &fingerprint).await;
    answer(&site, wanted, &fingerprint, view)
}

fn answer(
    site: &Site,
    wanted: Wanted,
    fingerprint: &str,
    view: Result<AnchorView, Fault>,
) -> Result<Response, Problem> {
    let view = view.map_err(unknown(fingerprint))?;
    Ok(wanted.answer(StatusCode::OK, TrustedCertificate::new(site, &view)))
}
