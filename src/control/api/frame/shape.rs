//! How the documents describe the bodies of problems, face by face.
//!
//! What lives here: one schema a face. What does not: making the bodies
//! (`face`). Invariant: what a face answers fits its schema.

use serde_json::{Value, json};

use super::cumulocity;
use super::face::Face;

impl Face {
    /// The media type of its problems.
    pub(super) const fn media(self) -> &'static str {
        match self {
            Self::Native => "application/problem+json",
            Self::Mindconnect | Self::Centiloc => "application/json",
            Self::Cumulocity => cumulocity::MEDIA,
            Self::Est => "text/plain",
        }
    }

    /// The schema of its problems.
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Native => native(),
            Self::Mindconnect => mindconnect(),
            Self::Cumulocity => cumulocity_problem(),
            Self::Centiloc => centiloc(),
            Self::Est => json!({ "type": "string", "description": "Why a request was not done, for people." }),
        }
    }
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

/// RFC 9457, with what we add.
fn native() -> Value {
    json!({
        "type": "object",
        "description": "Why a request was not done (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "logref"],
        "properties": {
            "type": text("A name for the kind of problem."),
            "title": text("The status in words."),
            "status": { "type": "integer" },
            "detail": text("What is wrong."),
            "code": text("The kind of problem, short and stable."),
            "field": text("The property or parameter that it is about."),
            "remedy": text("What would work."),
            "logref": text("The name of the request in the log."),
        },
    })
}

/// MC-API-03
fn mindconnect() -> Value {
    json!({
        "type": "object",
        "description": "Why a request was not done.",
        "required": ["errors"],
        "properties": {
            "errors": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["code", "logref", "message"],
                    "properties": {
                        "code": text("The kind of problem."),
                        "logref": text("The name of the request in the log."),
                        "message": text("What is wrong, and what would help."),
                    },
                },
            },
        },
    })
}

/// C8Y-API-02
fn cumulocity_problem() -> Value {
    json!({
        "type": "object",
        "description": "Why a request was not done.",
        "required": ["error", "message", "info"],
        "properties": {
            "error": text("What it is about, and the kind of problem."),
            "message": text("What is wrong, and what would help."),
            "info": text("Where to read on."),
            "details": { "type": "object", "properties": { "exceptionMessage": text("The reason, where `message` is a fixed text.") } },
        },
    })
}

/// CEN-CSR-03
fn centiloc() -> Value {
    json!({
        "type": "object",
        "description": "Why a request was not done.",
        "required": ["error", "message", "logref"],
        "properties": {
            "error": text("The kind of problem."),
            "message": text("What is wrong, and what would help."),
            "logref": text("The name of the request in the log."),
            "field": text("The field of the certificate request, or the property, that it is about."),
        },
    })
}
