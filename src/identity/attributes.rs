//! What a certificate says about its holder, for rules.
//!
//! What lives here: the variables that a proved certificate sets, and the
//! rights of a client with them. What does not: what they mean (`policy`). Invariant: only a certificate that
//! was judged good is read here.

use std::sync::Arc;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use super::account::Account;
use super::name;
use super::path::Verdict;
use super::policy::{Attributes, Rights};
use super::principal::Principal;
use super::switch::Variable;
use super::trust::Tenant;
use crate::mqtt::ClientId;

/// The rights of a client; `leaf` is its certificate with the verdict on it.
pub(super) fn rights_of(
    tenant: &Tenant,
    principal: &Principal,
    account: Option<&Account>,
    client_id: &ClientId,
    leaf: Option<(&Verdict, &[u8])>,
) -> Arc<Rights> {
    rights_with(tenant, principal, account, client_id, &asked_for(tenant, leaf))
}

/// What the leaf says, as far as the tenant's rights ask for it.
#[must_use]
pub fn asked_for(tenant: &Tenant, leaf: Option<(&Verdict, &[u8])>) -> Vec<(Variable, String)> {
    match leaf.filter(|_| tenant.rights.are_personal()) {
        Some((verdict, der)) => of_certificate(der, verdict),
        None => Vec::new(),
    }
}

/// The rights of a client whose certificate said `certificate`, such as one
/// that is away.
#[must_use]
pub fn rights_with(
    tenant: &Tenant,
    principal: &Principal,
    account: Option<&Account>,
    client_id: &ClientId,
    certificate: &[(Variable, String)],
) -> Arc<Rights> {
    tenant.rights.of(&Attributes {
        tenant: tenant.id.as_str(),
        client_id: client_id.as_str(),
        common_name: principal.common_name(),
        account: account.map(|account| account.name.as_str()),
        role: account.map(|account| account.role),
        certificate,
    })
}

/// The variables that the leaf `der` sets, on which `verdict` was passed.
#[must_use]
pub fn of_certificate(der: &[u8], verdict: &Verdict) -> Vec<(Variable, String)> {
    let facts = &verdict.facts;
    let mut found = vec![
        (Variable::Issuer, facts.issuer.clone()),
        (Variable::Anchor, verdict.anchor.name.to_string()),
        (Variable::Serial, facts.serial.to_string()),
        (Variable::Fingerprint, facts.fingerprint.to_string()),
    ];
    let Ok((_, x509)) = X509Certificate::from_der(der) else { return found };
    for attribute in x509.subject().iter_attributes() {
        let variable = match attribute.attr_type().to_id_string().as_str() {
            "2.5.4.10" => Variable::Organization,
            "2.5.4.11" => Variable::OrganizationalUnit,
            _ => continue,
        };
        found.extend(name::text(attribute.attr_value()).map(|value| (variable, value)));
    }
    for extension in x509.iter_extensions() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            found.extend(names.general_names.iter().filter_map(alternative_name));
        }
    }
    found
}

fn alternative_name(name: &GeneralName<'_>) -> Option<(Variable, String)> {
    match name {
        GeneralName::DNSName(name) => Some((Variable::Dns, (*name).to_owned())),
        GeneralName::RFC822Name(name) => Some((Variable::Email, (*name).to_owned())),
        GeneralName::URI(name) => Some((Variable::Uri, (*name).to_owned())),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| (Variable::Ip, address)),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string())).ok()
}
