//! Who asks the control plane to do something.

use std::sync::Arc;

use super::access::{Scope, Scopes};
use super::fault::{Fault, Kind};

/// A caller, as far as it proved itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What audit lines call it: `account t1/admin`, `token ci (4f…)`,
    /// `device pump-1`, `the broker`.
    pub name: Arc<str>,
    /// The tenant that it is bound to; none for those who run the whole broker.
    pub tenant: Option<Arc<str>>,
    /// What it may do.
    pub scopes: Scopes,
    /// From where.
    pub address: Option<Arc<str>>,
    /// The request that it makes.
    pub request: Option<Arc<str>>,
}

impl Caller {
    /// The broker itself, which may do everything.
    #[must_use]
    pub fn broker() -> Self {
        Self { name: Arc::from("the broker"), tenant: None, scopes: Scopes::all(), address: None, request: None }
    }

    /// Lets the caller pass if it may do `scope` in `tenant`.
    ///
    /// # Errors
    /// It may not, or it belongs to another tenant.
    pub fn needs(&self, scope: Scope, tenant: &str) -> Result<(), Fault> {
        if self.tenant.as_deref().is_some_and(|own| own != tenant) {
            let detail = format!("{} belongs to another tenant than {tenant}", self.name);
            return Err(Fault::new(Kind::Forbidden, detail));
        }
        self.needs_scope(scope)
    }

    /// Lets the caller pass if it may do `scope` anywhere.
    ///
    /// # Errors
    /// It may not, or is bound to one tenant.
    pub fn needs_everywhere(&self, scope: Scope) -> Result<(), Fault> {
        if let Some(tenant) = &self.tenant {
            let detail =
                format!("{} is bound to tenant {tenant}; this is for those who run the whole broker", self.name);
            return Err(Fault::new(Kind::Forbidden, detail));
        }
        self.needs_scope(scope)
    }

    /// Lets the caller pass if it has `scope`, wherever that may be.
    ///
    /// # Errors
    /// It has not.
    pub fn needs_scope(&self, scope: Scope) -> Result<(), Fault> {
        if self.scopes.contains(scope) {
            return Ok(());
        }
        Err(Fault::new(Kind::Forbidden, format!("{} lacks the scope {scope}", self.name))
            .but("use a token or an account that has it"))
    }
}
