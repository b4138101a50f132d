//! Certificates that the broker makes for agents (MC-AGT).

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ca::armour::certificate_pem;
use crate::ca::authority::{Authority, Caller, CertificateFilter, NewAgent, Scope};
use crate::ca::keypair::{KeyType, PrivateKey};
use crate::ca::record::{CertificateRow, CertificateUse};

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::problem::{Kind, Problem};
use super::page::{Page, Wanted, shaped};
use super::{Api, BASE, tenant_of, wanted};

/// An agent's certificate.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AgentCertificate {
    /// A ULID.
    id: String,
    /// The name that was given.
    name: String,
    /// The tenant, an underscore, and the name.
    agent_name: String,
    /// Who asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// 32 hexadecimal digits.
    agent_id: String,
    /// The ClientId to connect with; also the CN of the certificate.
    client_id: String,
    /// The private key, PEM: in the answer that makes it and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
    /// The certificate, PEM.
    public_key: String,
    /// `READY`, or `EXPIRED` once its time is over.
    status: &'static str,
}

impl AgentCertificate {
    fn new(row: &CertificateRow, now: u64) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            agent_name: row.common_name.clone(),
            owner: row.owner.clone(),
            agent_id: row.agent_id.clone().unwrap_or_default(),
            client_id: row.client_id.clone().unwrap_or_default(),
            private_key: None,
            public_key: certificate_pem(&row.der),
            status: status(row, now),
        }
    }
}

fn status(row: &CertificateRow, now: u64) -> &'static str {
    match row {
        CertificateRow { revoked_at: Some(_), .. } => "REVOKED",
        row if row.not_after < now => "EXPIRED",
        _ => "READY",
    }
}

/// An agent that is to have a certificate.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Create {
    /// Its name: letters, digits, dots, underscores and hyphens.
    #[schema(required, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    name: Option<String>,
    /// Who asks for it.
    #[schema(max_length = 255)]
    owner: Option<String>,
    /// The kind of the key: `rsa2048` unless this says otherwise; also
    /// `rsa3072`, `rsa4096`, `p256`, `p384`, `ed25519`.
    #[schema(example = "rsa2048")]
    key_type: Option<String>,
}

const ALL: &str = "/agentCertificates";
const ONE: &str = "/agentCertificates/{id}";
/// Properties that a list can be sorted by.
const SORTS: [&str; 4] = ["id", "name", "clientId", "status"];
/// Agents of one tenant that a list shows at most.
const MOST: usize = 100_000;
/// Certificates that are held whole at once.
const PIECE: usize = 1000;
/// The longest owner.
const OWNER: usize = 255;

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let write = |method, path, id, summary| Operation::new(method, path, id, summary).needs(Scope::CertificatesWrite);
    let read = |path, id, summary| Operation::new(Method::GET, path, id, summary).needs(Scope::CertificatesRead);
    routes
        .about("agentCertificates", "Key pairs and certificates that the broker makes for agents.")
        .add(
            write(Method::POST, ALL, "createAgentCertificate", "Make a key pair and a certificate for an agent")
                .takes::<Create>()
                .gives::<AgentCertificate>(StatusCode::CREATED, "The key is told this once and not kept.")
                .refuses(&[(StatusCode::CONFLICT, "The name is in use.")]),
            create,
        )
        .add(
            read(ALL, "listAgentCertificates", "List the agents' certificates")
                .query::<Wanted>()
                .gives::<Page<AgentCertificate>>(StatusCode::OK, "A page, without keys."),
            list,
        )
        .add(
            read(ONE, "getAgentCertificate", "One agent's certificate")
                .gives::<AgentCertificate>(StatusCode::OK, "It, without its key."),
            one,
        )
        .add(
            write(Method::DELETE, ONE, "deleteAgentCertificate", "Take an agent's certificate back")
                .gives_nothing("The agent is disconnected and refused from now on."),
            delete,
        )
}

async fn create(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Json(asked): Json<Create>,
) -> Result<Response, Problem> {
    let tenant = tenant_of(&caller)?;
    caller.needs(Scope::CertificatesWrite, &tenant)?;
    let name = wanted("name", asked.name)?;
    if asked.owner.as_ref().is_some_and(|owner| owner.chars().count() > OWNER || owner.chars().any(char::is_control)) {
        let message = format!("owner has more than {OWNER} characters, or control characters");
        return Err(Problem::in_field(Kind::Invalid, "owner", message));
    }
    let kind: KeyType = match asked.key_type {
        None => KeyType::Rsa2048,
        Some(name) => name.parse().map_err(|error: crate::ca::keypair::UnknownKeyType| {
            Problem::in_field(Kind::Invalid, "keyType", error.to_string())
        })?,
    };
    let key = make_key(&api, kind).await?;
    let new = NewAgent { name, owner: asked.owner };
    let row = api.broker.authority().create_agent(&caller, &tenant, new, key.public_key()).await?;
    let location = format!("{BASE}{ALL}/{}", row.id);
    let private_key = Some(key.to_pem().to_string());
    let body = AgentCertificate { private_key, ..AgentCertificate::new(&row, 0) };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(body)).into_response())
}

async fn make_key(api: &Api, kind: KeyType) -> Result<PrivateKey, Problem> {
    let busy = || Problem::new(Kind::Unavailable, "no key pair could be made");
    let _alone = api.workbench.acquire().await.map_err(|_| busy())?;
    let made = api.tasks.blocking("key pair", move || PrivateKey::generate(kind)).await.ok_or_else(busy)?;
    made.map_err(|error| Problem::new(Kind::Internal, error.to_string()))
}

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Query(query): Query<Wanted>,
) -> Result<Response, Problem> {
    let tenant = tenant_of(&caller)?;
    let (broker, place) = (api.broker.clone(), tenant.clone());
    // All of them are read, for their number and their order: nothing for a thread that others wait for.
    let page = api.tasks.blocking("agents", move || cut(broker.authority(), &caller, &place, &query)).await;
    let page = page.ok_or_else(|| Problem::new(Kind::Unavailable, "the list could not be read"))??;
    Ok(Json(shaped(&api.broker, &tenant, page)).into_response())
}

/// As much of an agent's certificate as tells its place in a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    id: String,
    name: String,
    client_id: String,
    status: &'static str,
}

impl Place {
    fn new(row: CertificateRow, now: u64) -> Self {
        let status = status(&row, now);
        Self { id: row.id, name: row.name, client_id: row.client_id.unwrap_or_default(), status }
    }
}

/// The page that is wanted of all agents; of the others only their places are
/// held.
fn cut(
    authority: &Authority,
    caller: &Caller,
    tenant: &str,
    wanted: &Wanted,
) -> Result<Page<AgentCertificate>, Problem> {
    let filter = CertificateFilter { used_for: Some(CertificateUse::Agent), ..CertificateFilter::default() };
    let now = authority.clock().unix_millis();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let left = PIECE.min(MOST - all.len());
        let (rows, next) = authority.certificates(caller, tenant, &filter, after.as_deref(), left)?;
        all.extend(rows.into_iter().map(|row| Place::new(row, now)));
        after = next.filter(|_| all.len() < MOST);
        if after.is_none() {
            break;
        }
    }
    wanted.cut(all, &SORTS)?.try_map(|place| {
        let row = authority.certificate(caller, tenant, &place.id)?;
        Ok(AgentCertificate::new(&row, now))
    })
}

async fn one(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(id): Path<String>,
) -> Result<Json<AgentCertificate>, Problem> {
    let authority = api.broker.authority();
    let row = authority.certificate(&caller, &tenant_of(&caller)?, &id)?;
    let is_agent = row.used_for == CertificateUse::Agent && row.revoked_at.is_none();
    let row = Some(row).filter(|_| is_agent);
    let row = row.ok_or_else(|| crate::ca::authority::Fault::not_found("agent certificate", &id))?;
    Ok(Json(AgentCertificate::new(&row, authority.clock().unix_millis())))
}

async fn delete(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let tenant = tenant_of(&caller)?;
    api.broker.authority().revoke_certificate(&caller, &tenant, &id, "cessationOfOperation").await?;
    Ok(StatusCode::NO_CONTENT)
}
