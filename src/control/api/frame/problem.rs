//! Why a request was not done.
//!
//! What lives here: the one internal error of all faces. What does not: bodies
//! and status codes, which each face has of its own (`face`). Invariant: a
//! problem names the thing, the reason and the remedy, and holds no secret.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::ca::authority::{Fault, Kind as Refused};

/// What kind of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::control::api) enum Kind {
    /// The operation was refused by its owner.
    Refused(Refused),
    /// The body is no JSON, or not what its type says.
    Syntax,
    /// Something is missing.
    Missing,
    /// Something in the body cannot be used.
    Invalid,
    /// Something in the path or the query cannot be used.
    Parameter,
    /// There is nothing at this path.
    NoRoute,
    /// The path knows other methods.
    Method,
    /// The body is too long.
    TooLarge,
    /// The body is of a type that is not read here.
    MediaType,
    /// An idempotency key came back with another request.
    KeyReused,
    /// Somebody changed it since it was read.
    Stale,
    /// Too many requests.
    TooMany,
    /// The broker cannot do it now.
    Unavailable,
    /// It took too long.
    TimedOut,
    /// A bug of ours.
    Internal,
}

/// A problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control::api) struct Problem {
    pub(in crate::control::api) kind: Kind,
    /// What is wrong.
    pub(in crate::control::api) message: String,
    /// The property or parameter that it is about.
    pub(in crate::control::api) field: Option<String>,
    /// What would work.
    pub(in crate::control::api) remedy: Option<String>,
    /// When it may be tried again.
    pub(in crate::control::api) retry_after: Option<Duration>,
}

/// A problem on its way through a response, to be put into words by a face.
#[derive(Clone)]
pub(super) struct Carried(pub(super) Arc<Problem>);

impl Problem {
    /// A problem that is about no field.
    pub(in crate::control::api) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), field: None, remedy: None, retry_after: None }
    }

    /// A problem with a property or a parameter.
    pub(in crate::control::api) fn in_field(kind: Kind, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(kind, message) }
    }

    /// There is no such thing.
    pub(in crate::control::api) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused(Refused::NotFound), message)
    }

    /// With what would work.
    pub(in crate::control::api) fn but(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// With the time after which it may work.
    pub(in crate::control::api) fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// All that is to be said, in one line.
    pub(super) fn line(&self) -> String {
        match &self.remedy {
            Some(remedy) => format!("{}; {remedy}", self.message),
            None => self.message.clone(),
        }
    }
}

impl Kind {
    /// The status in a face that has no opinion of its own.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Refused(kind) => refused_status(kind),
            Self::Syntax | Self::Missing | Self::Invalid | Self::Parameter => StatusCode::BAD_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Stale => StatusCode::PRECONDITION_FAILED,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Refused(kind) => refused_name(kind),
            Self::Syntax => "syntax",
            Self::Missing => "missing",
            Self::Invalid => "invalid",
            Self::Parameter => "parameter",
            Self::NoRoute => "no_route",
            Self::Method => "method",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::KeyReused => "key_reused",
            Self::Stale => "stale",
            Self::TooMany => "too_many_requests",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Internal => "internal",
        }
    }
}

const fn refused_status(kind: Refused) -> StatusCode {
    match kind {
        Refused::Missing | Refused::Invalid => StatusCode::BAD_REQUEST,
        Refused::InvalidCertificate | Refused::ProofFailed | Refused::ProofExpired => StatusCode::UNPROCESSABLE_ENTITY,
        Refused::Unauthorized => StatusCode::UNAUTHORIZED,
        Refused::Forbidden => StatusCode::FORBIDDEN,
        Refused::NotFound | Refused::NoTenant => StatusCode::NOT_FOUND,
        Refused::AlreadyExists
        | Refused::NameTaken
        | Refused::OwnedByOther
        | Refused::LimitReached
        | Refused::Configured
        | Refused::WrongState => StatusCode::CONFLICT,
        Refused::Stale => StatusCode::PRECONDITION_FAILED,
        Refused::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Refused::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn refused_name(kind: Refused) -> &'static str {
    match kind {
        Refused::Missing => "missing",
        Refused::Invalid => "invalid",
        Refused::InvalidCertificate => "invalid_certificate",
        Refused::ProofFailed => "proof_failed",
        Refused::ProofExpired => "proof_expired",
        Refused::Unauthorized => "unauthorized",
        Refused::Forbidden => "forbidden",
        Refused::NotFound => "not_found",
        Refused::NoTenant => "no_tenant",
        Refused::AlreadyExists => "already_exists",
        Refused::NameTaken => "name_taken",
        Refused::OwnedByOther => "owned_by_other",
        Refused::LimitReached => "limit_reached",
        Refused::Configured => "configured",
        Refused::WrongState => "wrong_state",
        Refused::Stale => "stale",
        Refused::Unavailable => "unavailable",
        Refused::Internal => "internal",
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let Fault { kind, field, detail, remedy } = fault;
        if kind == Refused::Internal {
            tracing::error!(%detail, "an operation failed; this is a bug, or damage of the store");
        }
        Self {
            kind: Kind::Refused(kind),
            message: detail,
            field: field.map(str::to_owned),
            remedy,
            retry_after: (kind == Refused::Unavailable).then_some(Duration::from_secs(1)),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(Carried(Arc::new(self)));
        response
    }
}
