//! Why the control plane did not do what it was asked.
//!
//! What lives here: one vocabulary of faults, told apart by what the caller
//! can do about them. What does not: status codes and bodies, which each API
//! has of its own (`control/api`). Invariant: a fault names the thing, the
//! reason and the remedy, and holds no secret.

use crate::identity::trust::TrustError;
use crate::store::StoreError;

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something is missing in the request.
    Missing,
    /// Something in the request cannot be used.
    Invalid,
    /// What was sent is no usable certificate, request or list.
    InvalidCertificate,
    /// A proof of possession does not hold.
    ProofFailed,
    /// A proof came too late, or was never asked for.
    ProofExpired,
    /// The credentials are not good.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing, or it is another tenant's.
    NotFound,
    /// The tenant is not there.
    NoTenant,
    /// It is there already.
    AlreadyExists,
    /// Its name is taken.
    NameTaken,
    /// Another tenant owns it.
    OwnedByOther,
    /// There are as many as there may be.
    LimitReached,
    /// The configuration file makes it, and only the file changes it.
    Configured,
    /// It is not in the state that this needs.
    WrongState,
    /// Somebody changed it since it was read.
    Stale,
    /// The store took nothing; the same may work later.
    Unavailable,
    /// A bug of ours.
    Internal,
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}{}", .remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default())]
pub struct Fault {
    /// Its kind.
    pub kind: Kind,
    /// The field of the request that it is about, if it is about one.
    pub field: Option<&'static str>,
    /// What is wrong.
    pub detail: String,
    /// What would work.
    pub remedy: Option<String>,
}

impl Fault {
    /// A fault that is about no field.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, field: None, detail: detail.into(), remedy: None }
    }

    /// A fault in a field of the request.
    pub fn in_field(kind: Kind, field: &'static str, detail: impl Into<String>) -> Self {
        Self { field: Some(field), ..Self::new(kind, detail) }
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(what: &str, name: &str) -> Self {
        Self::new(Kind::NotFound, format!("{what} {name} does not exist"))
    }

    /// With what would work.
    #[must_use]
    pub fn but(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Why tenants make no snapshot.
    pub(super) fn of_trust(errors: &[TrustError]) -> Self {
        let Some(first) = errors.first() else { return Self::new(Kind::Internal, "trust cannot be published") };
        let kind = match first {
            TrustError::Anchor(_) => Kind::InvalidCertificate,
            TrustError::TooManyAnchors { .. } => Kind::LimitReached,
            TrustError::SharedAnchor { .. } => Kind::OwnedByOther,
            TrustError::TwoTenants(_) => Kind::AlreadyExists,
            TrustError::TwoAnchors { .. } | TrustError::SharedDomain { .. } => Kind::NameTaken,
        };
        Self::new(kind, errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::KeyTooLong(_) => Self::new(Kind::Invalid, error.to_string()),
            _ => Self::new(Kind::Unavailable, error.to_string()),
        }
    }
}

impl From<crate::ca::record::RecordError> for Fault {
    fn from(error: crate::ca::record::RecordError) -> Self {
        Self::new(Kind::Internal, error.to_string())
    }
}
