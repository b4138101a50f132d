//! Problems in the words of Cumulocity (C8Y-API-02, C8Y-TC-07).
//!
//! What lives here: the pairs of status and error name that its clients know.
//! What does not: which problem it is. Invariant: what is told of a login says
//! nothing of accounts.

use axum::http::StatusCode;
use serde_json::json;

use crate::ca::authority::Kind as Refused;

use super::face::Words;
use super::problem::{Kind, Problem};

pub(in crate::control::api) const MEDIA: &str = "application/vnd.com.nsn.cumulocity.error+json";

/// What a path is about: errors are named by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control::api) enum Family {
    /// Trusted certificates.
    Certificates,
    /// The list of revoked serial numbers.
    RevocationList,
    /// Options of the tenant.
    Options,
    /// The tenant itself.
    Tenants,
    /// Tokens for devices with a certificate.
    DeviceCertificates,
    /// Registration of devices.
    Devices,
    /// Users.
    Users,
    /// None of these.
    General,
}

const PATHS: [(&str, Family); 6] = [
    ("/tenant/trusted-certificates/settings", Family::RevocationList),
    ("/tenant/options", Family::Options),
    ("/tenant/tenants/", Family::Certificates),
    ("/tenant", Family::Tenants),
    ("/devicecontrol/deviceAccessToken", Family::DeviceCertificates),
    ("/devicecontrol", Family::Devices),
];

impl Family {
    /// The family of a path.
    pub(super) fn of(path: &str) -> Self {
        let known = PATHS.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, family)| *family);
        known.unwrap_or(if path.starts_with("/user") { Self::Users } else { Self::General })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Certificates | Self::RevocationList | Self::Tenants => "tenants",
            Self::Options => "options",
            Self::DeviceCertificates => "Device Certificates",
            Self::Devices => "devicecontrol",
            Self::Users => "user",
            Self::General => "general",
        }
    }
}

/// The problem as its clients know it.
pub(super) fn words(problem: &Problem, family: Family) -> Words {
    let is_list = family == Family::RevocationList;
    let (status, name) = match problem.kind {
        Kind::Refused(Refused::Unauthorized) => return unauthorized(problem, family),
        Kind::Refused(Refused::Forbidden) => {
            return said(StatusCode::FORBIDDEN, "security/Forbidden".into(), "Access is denied.".into(), problem);
        }
        Kind::Refused(Refused::NoTenant) => {
            return said(StatusCode::NOT_FOUND, "security/Not Found".into(), problem.line(), problem);
        }
        Kind::Refused(Refused::NotFound) if family == Family::Certificates => {
            return said(StatusCode::NOT_FOUND, "certificate/Not Found".into(), problem.line(), problem);
        }
        Kind::Refused(Refused::ProofFailed) => (StatusCode::BAD_REQUEST, "Bad Request"),
        Kind::Refused(Refused::Missing | Refused::Invalid) | Kind::Missing | Kind::Invalid if !is_list => {
            (StatusCode::UNPROCESSABLE_ENTITY, "Invalid Data")
        }
        Kind::Refused(Refused::LimitReached | Refused::ProofExpired | Refused::WrongState) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "Unprocessable Entity")
        }
        kind => (kind.status(), kind.status().canonical_reason().unwrap_or("Error")),
    };
    said(status, format!("{}/{name}", family.name()), problem.line(), problem)
}

fn unauthorized(problem: &Problem, family: Family) -> Words {
    let message = match family {
        Family::DeviceCertificates => "Invalid certificate chain!",
        _ => "Invalid credentials! : Bad credentials",
    };
    said(StatusCode::UNAUTHORIZED, "security/Unauthorized".into(), message.into(), problem)
}

/// Clients compare `message`; what helps people stands beside it, except of a
/// login.
fn said(status: StatusCode, error: String, message: String, problem: &Problem) -> Words {
    let mut body = json!({ "error": error, "message": message, "info": "/api/docs/" });
    let line = problem.line();
    let is_told = line == message || message.contains("credentials");
    if let Some(body) = body.as_object_mut().filter(|_| !is_told) {
        body.insert("details".into(), json!({ "exceptionMessage": line }));
    }
    Words { status, media: MEDIA, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(kind: Kind, path: &str) -> (u16, String) {
        let Words { status, body, .. } = words(&Problem::new(kind, "said"), Family::of(path));
        (status.as_u16(), body["error"].as_str().unwrap().to_owned())
    }

    #[test]
    fn the_pairs_are_those_that_clients_know() {
        let certificates = "/tenant/tenants/t2250/trusted-certificates/00";
        for (kind, path, status, error) in [
            (Kind::Refused(Refused::Unauthorized), certificates, 401, "security/Unauthorized"),
            (Kind::Refused(Refused::Forbidden), certificates, 403, "security/Forbidden"),
            (Kind::Refused(Refused::NoTenant), certificates, 404, "security/Not Found"),
            (Kind::Refused(Refused::NotFound), certificates, 404, "certificate/Not Found"),
            (Kind::Refused(Refused::ProofFailed), certificates, 400, "tenants/Bad Request"),
            (Kind::Refused(Refused::ProofExpired), certificates, 422, "tenants/Unprocessable Entity"),
            (Kind::Refused(Refused::InvalidCertificate), certificates, 422, "tenants/Unprocessable Entity"),
            (Kind::Refused(Refused::LimitReached), certificates, 422, "tenants/Unprocessable Entity"),
            (Kind::Refused(Refused::AlreadyExists), certificates, 409, "tenants/Conflict"),
            (Kind::Missing, certificates, 422, "tenants/Invalid Data"),
            (Kind::Syntax, certificates, 400, "tenants/Bad Request"),
            (Kind::Invalid, "/tenant/trusted-certificates/settings/crl", 400, "tenants/Bad Request"),
            (Kind::Refused(Refused::Invalid), "/tenant/options/a/b", 422, "options/Invalid Data"),
            (Kind::Refused(Refused::NotFound), "/devicecontrol/newDeviceRequests/x", 404, "devicecontrol/Not Found"),
            (Kind::Syntax, "/devicecontrol/deviceAccessToken", 400, "Device Certificates/Bad Request"),
            (Kind::NoRoute, "/user/nothing", 404, "user/Not Found"),
        ] {
            assert_eq!(pair(kind, path), (status, error.to_owned()), "{kind:?} at {path}");
        }
    }

    #[test]
    fn a_login_is_told_nothing_and_a_chain_its_reason() {
        let problem = Problem::new(Kind::Refused(Refused::Unauthorized), "the issuer is unknown");
        let login = words(&problem, Family::Tenants).body;
        assert_eq!((&login["message"], login.get("details")), (&"Invalid credentials! : Bad credentials".into(), None));
        let chain = words(&problem, Family::DeviceCertificates).body;
        assert_eq!(chain["message"], "Invalid certificate chain!");
        assert_eq!(chain["details"]["exceptionMessage"], "the issuer is unknown");
    }
}
