//! What callers of the API may do.
//!
//! What lives here: scopes, the roles that bundle them, and the names that the
//! three platforms have for them. What does not: who has which (`accounts`,
//! `tokens`). Invariant: what is not granted is denied.

use std::fmt;
use std::str::FromStr;

/// Writes the scopes with their names.
macro_rules! scopes {
    ($($(#[$doc:meta])* $scope:ident = $name:literal,)*) => {
        /// One thing that a caller may do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Scope { $($(#[$doc])* $scope,)* }

        impl Scope {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$scope,)*];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$scope => $name,)* }
            }
        }
    };
}

scopes! {
    /// Sees tenants.
    TenantsRead = "tenants:read",
    /// Makes, changes and deletes tenants; switches a subscription.
    TenantsWrite = "tenants:write",
    /// Sees trust anchors.
    AnchorsRead = "anchors:read",
    /// Uploads, proves, changes and deletes trust anchors.
    AnchorsWrite = "anchors:write",
    /// Sees issued certificates and certificate requests.
    CertificatesRead = "certificates:read",
    /// Issues and revokes certificates, decides about requests.
    CertificatesWrite = "certificates:write",
    /// Sees revocations.
    RevocationsRead = "revocations:read",
    /// Revokes, and takes revocations back where that is allowed.
    RevocationsWrite = "revocations:write",
    /// Sees devices.
    DevicesRead = "devices:read",
    /// Registers, changes and removes devices.
    DevicesWrite = "devices:write",
    /// Sees connections.
    ConnectionsRead = "connections:read",
    /// Ends connections.
    ConnectionsWrite = "connections:write",
    /// Sees accounts and tokens.
    AccountsRead = "accounts:read",
    /// Makes, changes and deletes accounts and tokens.
    AccountsWrite = "accounts:write",
    /// Sees rights, and tests decisions.
    RightsRead = "rights:read",
    /// Sees refusals.
    RefusalsRead = "refusals:read",
    /// Sees the audit.
    AuditRead = "audit:read",
    /// Sees options of tenants.
    OptionsRead = "options:read",
    /// Changes options of tenants.
    OptionsWrite = "options:write",
    /// Checks configurations.
    ConfigRead = "config:read",
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u32);

/// A name that stands for no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope; use admin, operator, auditor, or scopes such as {example}", example = Scope::AnchorsRead)]
pub struct UnknownScope(pub String);

impl Scopes {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Scope::ALL.iter().copied().collect()
    }

    /// Everything that only reads.
    #[must_use]
    pub fn reading() -> Self {
        Scope::ALL.iter().copied().filter(|scope| scope.as_str().ends_with(":read")).collect()
    }

    /// Whether `scope` is among them.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among them: nobody grants what they lack.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// One by one.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.contains(*scope))
    }

    /// Reads names: scopes, roles, and those of the platforms.
    ///
    /// # Errors
    /// The first that is none.
    pub fn read<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, UnknownScope> {
        names.into_iter().try_fold(Self::NONE, |all, name| Ok(all.and(name.parse()?)))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u8))
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<Self, UnknownScope> {
        use Scope::{
            AnchorsRead, AnchorsWrite, CertificatesRead, CertificatesWrite, ConnectionsRead, ConnectionsWrite,
            DevicesRead, DevicesWrite, RefusalsRead, RevocationsRead, RevocationsWrite, TenantsRead, TenantsWrite,
        };
        let some = |scopes: &[Scope]| scopes.iter().copied().collect();
        Ok(match name {
            "admin" | "ROLE_TENANT_ADMIN" => Self::all(),
            "auditor" => Self::reading(),
            "operator" => Self::reading().and(some(&[
                CertificatesWrite,
                RevocationsWrite,
                DevicesWrite,
                ConnectionsWrite,
                TenantsWrite,
            ])),
            "mcmqtt.admin" => some(&[AnchorsRead, AnchorsWrite, CertificatesRead, CertificatesWrite]),
            "mcmqtt.ca.read" | "ROLE_TENANT_MANAGEMENT_READ" => some(&[AnchorsRead]),
            "mcmqtt.ca.write" => some(&[AnchorsRead, AnchorsWrite]),
            "ROLE_TENANT_MANAGEMENT_ADMIN" => {
                some(&[AnchorsRead, AnchorsWrite, RevocationsRead, RevocationsWrite, TenantsRead])
            }
            "mcmqtt.agent.read" => some(&[CertificatesRead]),
            "mcmqtt.agent.write" => some(&[CertificatesRead, CertificatesWrite]),
            "ROLE_DEVICE_CONTROL_ADMIN" => some(&[DevicesRead, DevicesWrite, ConnectionsRead, ConnectionsWrite]),
            "ROLE_DEVICE_CONTROL_READ" => some(&[DevicesRead, ConnectionsRead, RefusalsRead]),
            _ => some(&[*Scope::ALL
                .iter()
                .find(|scope| scope.as_str() == name)
                .ok_or_else(|| UnknownScope(name.to_owned()))?]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_has_one_bit_and_one_name() {
        for scope in Scope::ALL {
            let alone: Scopes = scope.as_str().parse().unwrap();
            assert_eq!(alone.iter().collect::<Vec<_>>(), [*scope]);
        }
    }

    #[test]
    fn an_auditor_changes_nothing_and_a_stranger_is_named() {
        assert!(Scopes::reading().iter().all(|scope| scope.as_str().ends_with(":read")));
        assert!(Scopes::all().covers(Scopes::reading()) && !Scopes::reading().covers(Scopes::all()));
        assert_eq!(Scopes::read(["admin", "king"]), Err(UnknownScope("king".into())));
    }
}
