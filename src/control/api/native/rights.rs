//! Rights: testing a decision.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::broker::{Answer, Question};
use crate::ca::authority::Scope;

use super::super::frame::body::{Json, Path};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::problem::{Kind, Problem};
use super::Api;

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Act {
    /// It publishes.
    Publish,
    /// It subscribes.
    Subscribe,
}

/// A client, and what it wants to do.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct Decide {
    /// What it wants to do.
    action: Act,
    /// The topic, or the filter.
    #[schema(min_length = 1, example = "plant/temperature")]
    topic: String,
    /// Its ClientId; the CN when it is absent.
    client_id: Option<String>,
    /// The CN that its certificate proves.
    common_name: Option<String>,
    /// The account whose password it proves.
    account: Option<String>,
    /// What else its certificate proves: `ou`, `o`, `dns`, `email`, `uri`,
    /// `ip`, `issuer`, `anchor`, `serial`, `fingerprint`.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// The decision.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Decided {
    /// Whether it may.
    allowed: bool,
    /// The rule that decides; absent when none does, which denies.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let operation = Operation::new(Method::POST, "/tenants/{tenant}/rights/test", "testRight", "Test a decision")
        .needs(Scope::RightsRead)
        .takes::<Decide>()
        .gives::<Decided>(StatusCode::OK, "What the broker would decide now, and by which rule.");
    routes.about("rights", "What clients may publish and subscribe to.").add(operation, test)
}

async fn test(
    State(Api { broker, .. }): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Json(asked): Json<Decide>,
) -> Result<Json<Decided>, Problem> {
    caller.needs(Scope::RightsRead, &tenant)?;
    // Whether the tenant is there, in the words of all other operations.
    broker.authority().accounts(&crate::ca::authority::Caller::broker(), &tenant)?;
    let question = Question {
        tenant,
        client_id: asked.client_id.or_else(|| asked.common_name.clone()).unwrap_or_default(),
        common_name: asked.common_name,
        account: asked.account,
        attributes: asked.attributes.into_iter().collect(),
        publishes: asked.action == Act::Publish,
        topic: asked.topic,
    };
    let decided = broker.decide(&question);
    let Answer { allowed, by, reason } =
        decided.map_err(|(field, reason)| Problem::in_field(Kind::Invalid, field, reason))?;
    Ok(Json(Decided { allowed, by, reason }))
}
