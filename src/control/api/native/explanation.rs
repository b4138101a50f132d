//! Why would this certificate be refused?

use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::broker::{Explanation, Inquiry};
use crate::ca::authority::Scope;
use crate::mqtt::TenantId;

use super::super::frame::body::Json;
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::moment::{moment, read_moment};
use super::super::frame::operation::Operation;
use super::super::frame::problem::{Kind, Problem};
use super::Api;
use super::certificate::Certificate;
use super::connections::place;

/// What a client would come with.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct Explain {
    /// The certificates that it would send, its own first: PEM.
    certificates: String,
    /// The ClientId that it would use; without it, the one that the broker
    /// would give.
    client_id: Option<String>,
    /// The tenant that it should end up in. A caller of a tenant asks about
    /// its own.
    tenant: Option<String>,
    /// Another time than now.
    #[schema(format = DateTime)]
    at: Option<String>,
}

/// One step of the judgement.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ExplainedStep {
    /// What was looked at.
    name: String,
    /// Whether it passed.
    passed: bool,
    /// Why it did not: one of the reasons that refusals have.
    reason: Option<String>,
    /// What was found.
    text: String,
}

/// A certificate that was needed and is not there.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct MissingIssuer {
    /// Its subject.
    subject: String,
    /// Its subject key identifier, as the certificate below it names its
    /// issuer's.
    key_id: Option<String>,
}

/// What is kept of the device that the certificate names.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Registration {
    /// The device.
    device: String,
    /// Whether it may connect.
    enabled: bool,
    /// When it became known.
    #[schema(format = DateTime)]
    registered_at: String,
    /// When it connected first.
    #[schema(format = DateTime)]
    first_connected_at: Option<String>,
}

/// What would become of the client.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Explained {
    /// Whether it would be let in.
    accepted: bool,
    /// Why not.
    reason: Option<String>,
    /// What would help.
    remedy: Option<String>,
    /// The tenant that the chain leads to.
    tenant: Option<String>,
    /// The name of the anchor that it ends in, or would.
    anchor: Option<String>,
    /// The ClientIds that would be accepted, in words.
    expected_client_id: Option<String>,
    /// The device's certificate.
    certificate: Option<Certificate>,
    /// The issuer that is not there, when that is the reason.
    missing_issuer: Option<MissingIssuer>,
    /// What is kept of the device; absent when it is not known.
    registration: Option<Registration>,
    /// Every step up to the one that failed.
    steps: Vec<ExplainedStep>,
    /// The same for people.
    text: String,
    /// Counts the changes of trust since the broker's start; absent where no
    /// broker runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_version: Option<u64>,
}

/// What a running broker would answer, for who has made the explanation
/// without one.
pub(in crate::control) fn explained(explanation: Explanation) -> serde_json::Value {
    serde_json::to_value(Explained::new(explanation, None)).unwrap_or_default()
}

impl Explained {
    fn new(Explanation { report, device }: Explanation, trust_version: Option<u64>) -> Self {
        let (text, reason) = (report.to_string(), report.reason());
        let step = |step: &crate::broker::Step| ExplainedStep {
            name: step.name.to_owned(),
            passed: step.outcome.is_ok(),
            reason: step.outcome.err().map(|reason| reason.as_str().to_owned()),
            text: step.text.clone(),
        };
        Self {
            accepted: reason.is_none(),
            reason: reason.map(|reason| reason.as_str().to_owned()),
            remedy: reason.map(|reason| reason.remedy().to_owned()),
            tenant: report.tenant.map(|tenant| tenant.to_string()),
            anchor: report.anchor.map(|anchor| anchor.name.to_string()),
            expected_client_id: report.expected,
            certificate: report.certificate.map(|facts| Certificate::from(&*facts)),
            missing_issuer: report
                .missing
                .map(|missing| MissingIssuer { subject: missing.subject, key_id: missing.key_id }),
            registration: device.map(|(device, row)| Registration {
                device,
                enabled: row.enabled,
                registered_at: moment(row.registered),
                first_connected_at: row.first_seen.map(moment),
            }),
            steps: report.steps.iter().map(step).collect(),
            text,
            trust_version,
        }
    }
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let operation = Operation::new(Method::POST, "/explain", "explain", "Judge a certificate as the broker would")
        .needs(Scope::RefusalsRead)
        .takes::<Explain>()
        .gives::<Explained>(StatusCode::OK, "What would become of its holder now, step by step. Nothing is recorded.")
        .refuses(&[(StatusCode::NOT_FOUND, "There is no such tenant.")]);
    routes.about("explain", "Why a certificate would be refused.").add(operation, explain)
}

async fn explain(
    State(Api { broker, tasks, .. }): State<Api>,
    CalledBy(caller): CalledBy,
    Json(asked): Json<Explain>,
) -> Result<Json<Explained>, Problem> {
    let tenant = place(&caller, Scope::RefusalsRead, asked.tenant)?;
    if let Some(tenant) = &tenant {
        // Whether the tenant is there, in the words of all other operations.
        broker.authority().accounts(&crate::ca::authority::Caller::broker(), tenant.as_str())?;
    }
    let at = match &asked.at {
        Some(text) => SystemTime::UNIX_EPOCH + Duration::from_millis(read_moment("at", text)?),
        None => broker.clock().wall(),
    };
    let only = caller.tenant.as_deref().map(TenantId::new);
    let judge = move || {
        let (pem, client_id) = (asked.certificates.as_bytes(), asked.client_id.as_deref());
        let told = broker.explain(&Inquiry { pem, client_id, tenant: tenant.as_ref(), at })?;
        let told = match &only {
            Some(only) => told.for_tenant(only),
            None => told,
        };
        Ok(Explained::new(told, Some(broker.trust_version())))
    };
    let told = tasks.blocking("explanation", judge).await;
    let told = told.ok_or_else(|| Problem::new(Kind::Unavailable, "the certificate could not be judged"))?;
    told.map(Json).map_err(|error: crate::broker::PemError| {
        Problem::in_field(Kind::Invalid, "certificates", format!("certificates: {error}"))
    })
}
