//! Would a broker take this configuration?

use axum::extract::State;
use axum::http::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::ca::authority::Scope;
use crate::config;

use super::super::frame::body::{Json, Raw};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::problem::{Kind, Problem};
use super::Api;

/// What is wrong with a configuration.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ConfigurationVerdict)]
struct Verdict {
    /// Whether a start or a reload would take it.
    good: bool,
    /// Everything that is wrong, in the order of the file.
    problems: Vec<String>,
    /// What is no mistake, but should be known.
    notes: Vec<String>,
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    routes.about("configuration", "The configuration file.").add(
        Operation::new(Method::POST, "/config/check", "checkConfiguration", "Check a configuration without taking it")
            .needs(Scope::ConfigRead)
            .takes_text(&["application/toml", "text/plain"], "The whole text of a config.toml.")
            .gives::<Verdict>(StatusCode::OK, "Every mistake that was found, or none."),
        check,
    )
}

/// The files that it names are looked for where the broker runs; so it is for
/// those who run the whole broker.
async fn check(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Raw { bytes, media }: Raw,
) -> Result<Json<Verdict>, Problem> {
    caller.needs_everywhere(Scope::ConfigRead)?;
    if let Some(media) = media.filter(|media| !matches!(media.as_str(), "application/toml" | "text/plain")) {
        return Err(
            Problem::new(Kind::MediaType, format!("a body of type {media} is not read here")).but("send text/plain")
        );
    }
    let text = String::from_utf8(bytes.to_vec())
        .map_err(|_| Problem::new(Kind::Syntax, "the body is no UTF-8").but("send the text of config.toml"))?;
    let checked = api.tasks.blocking("config check", move || config::check_text(&text)).await;
    let checked = checked.ok_or_else(|| Problem::new(Kind::Internal, "the check ended early"))?;
    Ok(Json(match checked {
        Ok(notes) => Verdict { good: true, problems: Vec::new(), notes },
        Err(problems) => {
            let problems = problems.0.iter().map(ToString::to_string).collect();
            Verdict { good: false, problems, notes: Vec::new() }
        }
    }))
}
