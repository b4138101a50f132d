//! One route with all that is told about it.
//!
//! What lives here: the description of an operation, from which its route and
//! its part of the OpenAPI document are made. What does not: the document
//! (`document`), the handlers. Invariant: nothing is served that is not
//! described, because both come from the same line.

use axum::http::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::openapi::path::ParameterIn;
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::document::Schemas;
use super::paging::Listed;

/// An operation.
pub(in crate::control::api) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    id: &'static str,
    summary: &'static str,
    /// What the caller needs, if it needs anything.
    scope: Option<String>,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<(StatusCode, Value)>,
    pub(super) schemas: Schemas,
}

impl Operation {
    /// An operation under its path; what stands in braces is a parameter.
    pub(in crate::control::api) fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        let parameters = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters = parameters
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        let (scope, body, answers, schemas) = (None, None, Vec::new(), Schemas::default());
        Self { method, path, id, summary, scope, parameters, body, answers, schemas }
    }

    /// What the caller has to be allowed.
    pub(in crate::control::api) fn needs(mut self, scope: impl ToString) -> Self {
        self.scope = Some(scope.to_string());
        self
    }

    /// With the parameters of `T` in the query.
    pub(in crate::control::api) fn query<T: IntoParams>(mut self) -> Self {
        let parameters = T::into_params(|| Some(ParameterIn::Query));
        self.parameters.extend(parameters.iter().filter_map(|parameter| serde_json::to_value(parameter).ok()));
        self
    }

    /// With a field of the head.
    pub(in crate::control::api) fn header(mut self, name: &str, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "header", "required": false, "description": description, "schema": { "type": "string" },
        }));
        self
    }

    /// With a JSON body.
    pub(in crate::control::api) fn takes<T: ToSchema>(mut self) -> Self {
        let schema = self.schemas.reference::<T>();
        self.body = Some(json!({ "required": true, "content": { "application/json": { "schema": schema } } }));
        self
    }

    /// With a body that is no JSON, in any of these types.
    pub(in crate::control::api) fn takes_text(mut self, media: &[&str], description: &str) -> Self {
        let schema = json!({ "schema": { "type": "string" } });
        let content: serde_json::Map<String, Value> =
            media.iter().map(|media| ((*media).to_owned(), schema.clone())).collect();
        self.body = Some(json!({ "required": true, "description": description, "content": content }));
        self
    }

    /// Answers with a JSON body.
    pub(in crate::control::api) fn gives<T: ToSchema>(mut self, status: StatusCode, description: &str) -> Self {
        let schema = self.schemas.reference::<T>();
        let content = json!({ "application/json": { "schema": schema } });
        self.answers.push((status, json!({ "description": description, "content": content })));
        self
    }

    /// Answers with a piece of a list.
    pub(in crate::control::api) fn lists<T: ToSchema>(mut self, description: &str) -> Self {
        // A schema with a parameter is called the same whatever the parameter
        // is, and refers to it without bringing it.
        self.schemas.reference::<T>();
        let name = format!("{}List", T::name());
        let schema = self.schemas.take(name, Listed::<T>::schema());
        let content = json!({ "application/json": { "schema": schema } });
        self.answers.push((StatusCode::OK, json!({ "description": description, "content": content })));
        self
    }

    /// Answers with a body that is no JSON.
    pub(in crate::control::api) fn gives_text(mut self, status: StatusCode, media: &str, description: &str) -> Self {
        let content = json!({ media: { "schema": { "type": "string" } } });
        self.answers.push((status, json!({ "description": description, "content": content })));
        self
    }

    /// With a body that is no JSON, in place of the JSON body.
    pub(in crate::control::api) fn takes_text_too(mut self, media: &[&str]) -> Self {
        let content = self.body.as_mut().and_then(|body| body.get_mut("content")).and_then(Value::as_object_mut);
        if let Some(content) = content {
            content.extend(media.iter().map(|media| ((*media).to_owned(), json!({ "schema": { "type": "string" } }))));
        }
        self
    }

    /// Answers with bytes that are no JSON.
    pub(in crate::control::api) fn gives_bytes(mut self, media: &str, description: &str) -> Self {
        let content = json!({ media: { "schema": { "type": "string", "format": "binary" } } });
        self.answers.push((StatusCode::OK, json!({ "description": description, "content": content })));
        self
    }

    /// Answers 200 without a body.
    pub(in crate::control::api) fn gives_empty(mut self, description: &str) -> Self {
        self.answers.push((StatusCode::OK, json!({ "description": description })));
        self
    }

    /// Answers without a body.
    pub(in crate::control::api) fn gives_nothing(mut self, description: &str) -> Self {
        self.answers.push((StatusCode::NO_CONTENT, json!({ "description": description })));
        self
    }

    /// May refuse with these, beside what every operation may refuse with.
    pub(in crate::control::api) fn refuses(mut self, statuses: &[(StatusCode, &str)]) -> Self {
        for (status, description) in statuses {
            self.answers.push((*status, refusal(description)));
        }
        self
    }

    /// Its part of the document.
    pub(super) fn describe(&self, tag: &str) -> Value {
        let mut answers = serde_json::Map::new();
        for (status, description) in self.usual_refusals() {
            answers.insert(status.as_u16().to_string(), refusal(description));
        }
        for (status, answer) in &self.answers {
            answers.insert(status.as_u16().to_string(), answer.clone());
        }
        let mut described = json!({
            "operationId": self.id,
            "tags": [tag],
            "summary": self.summary,
            "parameters": self.parameters,
            "responses": answers,
        });
        let Some(described_fields) = described.as_object_mut() else { return described };
        if let Some(body) = &self.body {
            described_fields.insert("requestBody".into(), body.clone());
        }
        let security = match &self.scope {
            Some(scope) => {
                described_fields.insert("description".into(), format!("Needs `{scope}`.").into());
                json!([{ "bearer": [] }, { "basic": [] }])
            }
            None => json!([]),
        };
        described_fields.insert("security".into(), security);
        described
    }

    /// What any operation of its kind may be refused with.
    fn usual_refusals(&self) -> Vec<(StatusCode, &'static str)> {
        let mut usual = vec![
            (StatusCode::TOO_MANY_REQUESTS, "Too many requests came from this address, or too many wrong passwords."),
            (StatusCode::INTERNAL_SERVER_ERROR, "A mistake of the broker."),
            (StatusCode::SERVICE_UNAVAILABLE, "The broker cannot do it now; the same may work later."),
        ];
        if self.scope.is_some() {
            usual.push((StatusCode::UNAUTHORIZED, "The caller is not known."));
            usual.push((StatusCode::FORBIDDEN, "The caller may not do this."));
        }
        if self.path.contains('{') {
            usual.push((StatusCode::NOT_FOUND, "There is no such thing, or it belongs to somebody else."));
        }
        if !self.parameters.is_empty() || self.body.is_some() {
            usual.push((StatusCode::BAD_REQUEST, "A parameter or the body cannot be read."));
        }
        if self.body.is_some() {
            usual.push((StatusCode::PAYLOAD_TOO_LARGE, "The body is too long."));
            usual.push((StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is of a type that is not read here."));
        }
        if self.method == Method::POST && self.body.is_some() {
            usual.push((StatusCode::UNPROCESSABLE_ENTITY, "The Idempotency-Key came with another request."));
        }
        usual
    }
}

fn refusal(description: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    json!({ "description": description, "content": { "application/problem+json": { "schema": schema } } })
}

impl Schemas {
    /// A reference to the schema of `T`, which is remembered with all that it
    /// refers to.
    fn reference<T: ToSchema + PartialSchema>(&mut self) -> Value {
        let mut found = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut found);
        for (name, schema) in found {
            self.take(name, schema);
        }
        json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
    }

    /// Remembers a schema, and gives a reference to it.
    fn take(&mut self, name: String, schema: impl Serialize) -> Value {
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        if let Ok(schema) = serde_json::to_value(schema) {
            self.insert(name, schema);
        }
        reference
    }
}
