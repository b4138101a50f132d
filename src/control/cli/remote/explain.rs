//! The half of `certus explain` that asks a running broker.
//!
//! What lives here: whether there is one to ask, the question, and its answer.
//! What does not: arguments, and the judgement without a broker (`explain`).

use serde_json::{Value, json};

use super::super::{Outcome, say};
use super::client::{Client, Content};
use super::show;
use super::{Api, Done, put, text};

/// What is asked.
pub(in crate::control::cli) struct Question<'q> {
    pub(in crate::control::cli) pem: &'q [u8],
    pub(in crate::control::cli) client_id: Option<&'q str>,
    pub(in crate::control::cli) tenant: Option<&'q str>,
    /// As RFC 3339 has it.
    pub(in crate::control::cli) at: Option<String>,
}

impl Api {
    /// Whether somebody said by whom a broker is asked.
    pub(in crate::control::cli) fn has_token(&self) -> bool {
        self.token_file.is_some() || std::env::var_os(super::TOKEN).is_some()
    }

    /// Where the broker would be.
    pub(in crate::control::cli) fn url(&self) -> &str {
        &self.url
    }

    /// Asks the broker; `None` when there is none.
    pub(in crate::control::cli) fn explain(&self, question: &Question<'_>) -> Option<Outcome> {
        let mut is_there = true;
        let asked = super::run(self, async |client| {
            is_there = client.is_there().await;
            if is_there { ask(client, self, question).await } else { Ok(()) }
        });
        is_there.then_some(asked)
    }

    /// Shows an answer; whoever would be refused is a failure.
    pub(in crate::control::cli) fn show_explained(&self, told: &Value, by: &str) -> Outcome {
        match self.is_json() {
            true => say(format_args!("{told:#}")),
            false => {
                say(format_args!("by      {}", show::harmless(by)));
                text(told, "text").trim_end().lines().for_each(|line| say(show::harmless(line)));
            }
        }
        match told.get("accepted") == Some(&Value::Bool(true)) {
            true => Outcome::Done,
            false => Outcome::Failed(String::new()),
        }
    }
}

async fn ask(client: &Client, api: &Api, question: &Question<'_>) -> Done {
    let pem = String::from_utf8_lossy(question.pem);
    let mut body = json!({ "certificates": pem });
    put(&mut body, "client_id", question.client_id);
    put(&mut body, "tenant", question.tenant);
    put(&mut body, "at", question.at.clone());
    let told = client.post(&["explain"], Content::Json(body)).await?;
    match api.show_explained(&told, &format!("the running broker, {}", api.url())) {
        Outcome::Done => Ok(()),
        refused => Err(refused),
    }
}
