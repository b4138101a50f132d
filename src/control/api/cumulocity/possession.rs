//! Proof that whoever trusts a CA certificate holds its key (C8Y-POP-01 to
//! C8Y-POP-03).

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::ca::authority::Scope;

use super::super::frame::body::Json;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::problem::Problem;
use super::Api;
use super::certificate::TrustedCertificate;
use super::certificates::Asked;

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

async fn code(asked: Asked) -> Result<Response, Problem> {
    let view = asked.authority().challenge(&asked.caller, &asked.tenant, &asked.fingerprint).await;
    asked.answer(view)
}

async fn prove(asked: Asked, Json(signed): Json<SignedCode>) -> Result<Response, Problem> {
    let signed = signed.proof_of_possession_signed_verification_code;
    let view = asked.authority().answer_challenge(&asked.caller, &asked.tenant, &asked.fingerprint, &signed).await;
    asked.answer(view)
}

async fn confirm(asked: Asked) -> Result<Response, Problem> {
    let view = asked.authority().confirm_anchor(&asked.caller, &asked.tenant, &asked.fingerprint).await;
    asked.answer(view)
}
