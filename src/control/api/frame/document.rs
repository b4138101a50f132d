//! The OpenAPI document of a face, made with its routes.
//!
//! What lives here: [`Routes`], which collects operations into a router and a
//! document (OpenAPI 3.1). What does not: the operations. Invariant: the
//! document that is served describes the routes that are served.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, get, on};
use serde_json::{Value, json};

use super::face::Face;
use super::operation::Operation;

/// Schemas by their names.
#[derive(Clone, Debug, Default)]
pub(in crate::control::api) struct Schemas {
    by_name: BTreeMap<String, Value>,
    /// Names that two different schemas have: a bug, which a test looks for.
    clashes: Vec<String>,
}

impl Schemas {
    /// Remembers a schema.
    pub(super) fn insert(&mut self, name: String, schema: Value) {
        if self.by_name.get(&name).is_some_and(|known| *known != schema) {
            self.clashes.push(name.clone());
        }
        self.by_name.insert(name, schema);
    }

    fn extend(&mut self, other: Self) {
        self.clashes.extend(other.clashes);
        other.by_name.into_iter().for_each(|(name, schema)| self.insert(name, schema));
    }
}

/// Routes with what is told about them.
pub(in crate::control::api) struct Routes<S> {
    router: Router<S>,
    paths: BTreeMap<String, serde_json::Map<String, Value>>,
    tags: Vec<Value>,
    tag: &'static str,
    schemas: Schemas,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet.
    pub(in crate::control::api) fn new() -> Self {
        let (router, schemas) = (Router::new(), Schemas::default());
        Self { router, paths: BTreeMap::new(), tags: Vec::new(), tag: "", schemas }
    }

    /// What follows is about `tag`.
    pub(in crate::control::api) fn about(mut self, tag: &'static str, description: &str) -> Self {
        self.tag = tag;
        self.tags.push(json!({ "name": tag, "description": description }));
        self
    }

    /// One more.
    pub(in crate::control::api) fn add<H, T>(mut self, operation: Operation, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let described = operation.describe(self.tag);
        let method = operation.method.as_str().to_ascii_lowercase();
        self.paths.entry(operation.path.to_owned()).or_default().insert(method, described);
        self.schemas.extend(operation.schemas);
        let filter = MethodFilter::try_from(operation.method).unwrap_or(MethodFilter::GET);
        self.router = self.router.route(operation.path, on(filter, handler));
        self
    }

    /// Names that two different schemas have.
    #[cfg(test)]
    pub(in crate::control::api) fn clashes(&self) -> &[String] {
        &self.schemas.clashes
    }

    /// The router of our own API, which serves its document as well.
    pub(in crate::control::api) fn finish(self, title: &str, base: &str, description: &str) -> Router<S> {
        self.finish_as(Face::Native, "/openapi.json", [title, base, description])
    }

    /// The router of a platform's face. Its document, which lies at `place`,
    /// tells errors in the face's shape; `about` is its title, the paths'
    /// common beginning, and a description.
    pub(in crate::control::api) fn finish_as(self, face: Face, place: &str, about: [&str; 3]) -> Router<S> {
        let [title, base, description] = about;
        let mut document = self.document(title, base, description);
        if let Some(problem) = document.pointer_mut("/components/schemas/Problem") {
            *problem = face.schema();
        }
        // No description holds a media type.
        let document = document.to_string().replace(Face::Native.media(), face.media());
        let document: Arc<str> = document.into();
        let serve = move || {
            let text = document.to_string();
            async move { ([(header::CONTENT_TYPE, "application/json")], text).into_response() }
        };
        self.router.route(place, get(serve))
    }

    fn document(&self, title: &str, base: &str, description: &str) -> Value {
        let mut schemas = self.schemas.by_name.clone();
        schemas.insert("Problem".into(), Value::Null);
        json!({
            "openapi": "3.1.0",
            "info": { "title": title, "version": env!("CARGO_PKG_VERSION"), "description": description },
            "servers": [{ "url": base }],
            "tags": self.tags,
            "paths": self.paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "bearer": { "type": "http", "scheme": "bearer" },
                    "basic": { "type": "http", "scheme": "basic" },
                },
            },
        })
    }
}
