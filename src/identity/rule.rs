//! The rule that binds a ClientId to a certificate's CN.
//!
//! What lives here: AUTH-03 to AUTH-06, the ClientId grammar of Cumulocity
//! (C8Y-ID-01) and the ClientId that an empty one becomes (MQTT-CON-05). What
//! does not: where the CN comes from (`certificate`). Invariant: a ClientId is
//! accepted or refused, never changed; only an empty one is filled in.

use super::switch::IdentityRule;
use crate::mqtt::{ClientId, TenantId};

/// The longest ClientId in bytes (AUTH-11).
pub const MAX_CLIENT_ID: usize = 256;

/// A ClientId that the rule takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The ClientId.
    pub client_id: ClientId,
    /// Under what the session is kept: the device identifier where several
    /// ClientIds mean one device, else the ClientId.
    pub session_key: ClientId,
    /// Whether the client left the choice to the server.
    pub assigned: bool,
}

impl Accepted {
    fn as_asked(client_id: &str, session_key: &str) -> Self {
        let client_id = ClientId::new(client_id);
        let session_key =
            if session_key == client_id.as_str() { client_id.clone() } else { ClientId::new(session_key) };
        Self { client_id, session_key, assigned: false }
    }

    /// A ClientId that the server chose.
    #[must_use]
    pub fn assigned(client_id: &str) -> Self {
        Self { assigned: true, ..Self::as_asked(client_id, client_id) }
    }
}

/// Which rule a ClientId breaks, and what would have been taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is not well formed, too long, or lacks the prefix: CONNACK 2.
    #[error("the ClientId is not acceptable; expected {expected}")]
    ClientId {
        /// The accepted form, in words.
        expected: String,
    },
    /// It is another device's: CONNACK 5.
    #[error("the ClientId does not belong to the certificate; expected {expected}")]
    CommonName {
        /// The accepted form, in words.
        expected: String,
    },
}

impl Mismatch {
    /// The accepted form, in words.
    #[must_use]
    pub fn expected(&self) -> &str {
        match self {
            Self::ClientId { expected } | Self::CommonName { expected } => expected,
        }
    }
}

/// The parts of a ClientId in the grammar of Cumulocity:
/// `[d:]identifier[:template]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceClientId<'a> {
    /// The device.
    pub identifier: &'a str,
    /// The template collection used where a topic names none.
    pub template: Option<&'a str>,
}

impl<'a> DeviceClientId<'a> {
    /// Reads `client_id`; `None` if it breaks the grammar (C8Y-ID-01).
    #[must_use]
    pub fn parse(client_id: &'a str) -> Option<Self> {
        let mut parts = client_id.split(':');
        let (first, second, third) = (parts.next()?, parts.next(), parts.next());
        if parts.next().is_some() {
            return None;
        }
        let (identifier, template) = match (first, second, third) {
            ("d", Some(identifier), template) => (identifier, template),
            (identifier, template, None) => (identifier, template),
            _ => return None,
        };
        if identifier.is_empty() || template.is_some_and(str::is_empty) {
            return None;
        }
        Some(Self { identifier, template })
    }
}

/// A tenant's identity rule with what it needs to know.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The rule's name.
    pub kind: IdentityRule,
    /// Whether `tenant_cn` also takes the bare CN.
    pub allow_bare_cn: bool,
    /// The tenant whose rule this is.
    pub tenant: TenantId,
}

impl Rule {
    /// Checks the ClientId of a client whose certificate holds `common_name`.
    /// An empty ClientId asks the server to choose; `None` in the answer means
    /// that any will do.
    ///
    /// # Errors
    /// Says which form would have been accepted.
    pub fn check(&self, common_name: &str, asked: &str) -> Result<Option<Accepted>, Mismatch> {
        if asked.len() > MAX_CLIENT_ID {
            return Err(too_long());
        }
        if asked.is_empty() {
            return self.choose(common_name);
        }
        match self.kind {
            IdentityRule::Any => Ok(Some(Accepted::as_asked(asked, asked))),
            IdentityRule::ExactCn => exact_cn(common_name, asked),
            IdentityRule::TenantCn => self.tenant_cn(common_name, asked),
            IdentityRule::DeviceIdCn => device_id_cn(common_name, asked),
            IdentityRule::CnPrefix => cn_prefix(common_name, asked),
        }
    }

    /// Checks the ClientId of a client without a certificate: only its form.
    /// `None` in the answer means that it was left empty.
    ///
    /// # Errors
    /// Says which form would have been accepted.
    pub fn check_form(&self, asked: &str) -> Result<Option<Accepted>, Mismatch> {
        if asked.len() > MAX_CLIENT_ID {
            return Err(too_long());
        }
        if asked.is_empty() {
            return Ok(None);
        }
        if self.kind != IdentityRule::DeviceIdCn {
            return Ok(Some(Accepted::as_asked(asked, asked)));
        }
        let parts = DeviceClientId::parse(asked).ok_or_else(bad_grammar)?;
        Ok(Some(Accepted::as_asked(asked, parts.identifier)))
    }

    /// The form that `common_name` may take, in words.
    #[must_use]
    pub fn expected(&self, common_name: &str) -> String {
        match self.kind {
            IdentityRule::Any => "any ClientId".to_owned(),
            IdentityRule::ExactCn => quoted(common_name),
            IdentityRule::TenantCn if self.allow_bare_cn => {
                format!("{} or {}", quoted(&self.with_tenant(common_name)), quoted(common_name))
            }
            IdentityRule::TenantCn => quoted(&self.with_tenant(common_name)),
            IdentityRule::DeviceIdCn => device_forms(common_name),
            IdentityRule::CnPrefix => format!("a ClientId that begins with {}", quoted(common_name)),
        }
    }

    /// What an empty ClientId becomes (MQTT-CON-05).
    fn choose(&self, common_name: &str) -> Result<Option<Accepted>, Mismatch> {
        match self.kind {
            IdentityRule::Any => Ok(None),
            IdentityRule::ExactCn | IdentityRule::DeviceIdCn => Ok(Some(Accepted::assigned(common_name))),
            IdentityRule::TenantCn => Ok(Some(Accepted::assigned(&self.with_tenant(common_name)))),
            // Many ClientIds belong to one certificate: none of them is the one.
            IdentityRule::CnPrefix => Err(Mismatch::ClientId { expected: self.expected(common_name) }),
        }
    }

    fn with_tenant(&self, common_name: &str) -> String {
        let tenant = self.tenant.as_str();
        if self.starts_with_tenant(common_name) { common_name.to_owned() } else { format!("{tenant}_{common_name}") }
    }

    fn starts_with_tenant(&self, text: &str) -> bool {
        text.strip_prefix(self.tenant.as_str()).is_some_and(|rest| rest.starts_with('_'))
    }

    /// AUTH-03.
    fn tenant_cn(&self, common_name: &str, asked: &str) -> Result<Option<Accepted>, Mismatch> {
        let prefixed = asked
            .strip_prefix(self.tenant.as_str())
            .and_then(|rest| rest.strip_prefix('_'))
            .is_some_and(|rest| rest == common_name);
        let bare = asked == common_name && (self.allow_bare_cn || self.starts_with_tenant(common_name));
        if prefixed || bare {
            return Ok(Some(Accepted::as_asked(asked, asked)));
        }
        Err(Mismatch::CommonName { expected: self.expected(common_name) })
    }
}

/// AUTH-06.
fn exact_cn(common_name: &str, asked: &str) -> Result<Option<Accepted>, Mismatch> {
    if asked == common_name {
        return Ok(Some(Accepted::as_asked(asked, asked)));
    }
    Err(Mismatch::CommonName { expected: quoted(common_name) })
}

/// AUTH-04: `x`, `d:x` and `d:x:t` are one device.
fn device_id_cn(common_name: &str, asked: &str) -> Result<Option<Accepted>, Mismatch> {
    let parts = DeviceClientId::parse(asked).ok_or_else(bad_grammar)?;
    if parts.identifier == common_name {
        return Ok(Some(Accepted::as_asked(asked, parts.identifier)));
    }
    // `x:pump` that is not a template of device `x` names a type, and only `d` is known.
    if asked.contains(':') && !asked.starts_with("d:") {
        return Err(bad_grammar());
    }
    Err(Mismatch::CommonName { expected: device_forms(common_name) })
}

/// AUTH-05.
fn cn_prefix(common_name: &str, asked: &str) -> Result<Option<Accepted>, Mismatch> {
    if asked.starts_with(common_name) {
        return Ok(Some(Accepted::as_asked(asked, asked)));
    }
    Err(Mismatch::ClientId { expected: format!("a ClientId that begins with {}", quoted(common_name)) })
}

fn device_forms(common_name: &str) -> String {
    let name = common_name.escape_debug();
    format!("\"{name}\", \"d:{name}\" or \"d:{name}:<template>\"")
}

fn bad_grammar() -> Mismatch {
    Mismatch::ClientId { expected: "[d:]<device identifier>[:<template>]".to_owned() }
}

fn too_long() -> Mismatch {
    Mismatch::ClientId { expected: format!("at most {MAX_CLIENT_ID} bytes") }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: IdentityRule) -> Rule {
        Rule { kind, allow_bare_cn: true, tenant: TenantId::new("acme7") }
    }

    fn accepts(rule: &Rule, common_name: &str, asked: &str) -> bool {
        rule.check(common_name, asked).is_ok()
    }

    #[test]
    fn exact_cn_takes_the_cn_byte_for_byte() {
        let rule = rule(IdentityRule::ExactCn);
        assert!(accepts(&rule, "press-12", "press-12"));
        for other in ["Press-12", "press-12 ", "press-1", "press-123"] {
            assert!(matches!(rule.check("press-12", other), Err(Mismatch::CommonName { .. })), "{other}");
        }
    }

    #[test]
    fn tenant_cn_takes_tenant_and_cn_or_the_bare_cn_when_that_is_allowed() {
        let mut rule = rule(IdentityRule::TenantCn);
        assert!(accepts(&rule, "press-12", "acme7_press-12"));
        assert!(accepts(&rule, "press-12", "press-12"));
        rule.allow_bare_cn = false;
        assert!(!accepts(&rule, "press-12", "press-12"));
        assert!(accepts(&rule, "acme7_press-12", "acme7_press-12"));
        assert!(!accepts(&rule, "press-12", "acme8_press-12"));
    }

    #[test]
    fn the_three_client_ids_of_one_device_share_a_session() {
        let rule = rule(IdentityRule::DeviceIdCn);
        for asked in ["pump", "d:pump", "d:pump:gw", "pump:gw"] {
            let accepted = rule.check("pump", asked).unwrap().unwrap();
            assert_eq!((accepted.client_id.as_str(), accepted.session_key.as_str()), (asked, "pump"));
        }
        assert!(matches!(rule.check("pump", "d:other"), Err(Mismatch::CommonName { .. })));
    }

    /// C8Y-ID-01: other types, empty identifiers and a fourth part.
    #[test]
    fn a_client_id_outside_the_grammar_is_refused_with_code_2() {
        let rule = rule(IdentityRule::DeviceIdCn);
        for bad in ["g:pump:t", "x:pump", "d:", ":pump", "d::t", "d:pump:t:x", "d:pump:"] {
            assert!(matches!(rule.check("pump", bad), Err(Mismatch::ClientId { .. })), "{bad}");
        }
    }

    #[test]
    fn one_certificate_serves_many_client_ids_under_cn_prefix() {
        let rule = rule(IdentityRule::CnPrefix);
        assert!(accepts(&rule, "acme", "acme"));
        assert!(accepts(&rule, "acme", "acme-warehouse-1"));
        assert!(matches!(rule.check("acme", "zz-1"), Err(Mismatch::ClientId { .. })));
    }

    /// MQTT-CON-05.
    #[test]
    fn an_empty_client_id_takes_the_form_that_the_rule_expects() {
        for (kind, expected) in [
            (IdentityRule::ExactCn, Some("press")),
            (IdentityRule::TenantCn, Some("acme7_press")),
            (IdentityRule::DeviceIdCn, Some("press")),
            (IdentityRule::Any, None),
        ] {
            let accepted = rule(kind).check("press", "").unwrap();
            assert_eq!(accepted.as_ref().map(|accepted| accepted.client_id.as_str()), expected, "{kind}");
        }
        assert!(rule(IdentityRule::CnPrefix).check("acme", "").is_err());
    }

    #[test]
    fn a_client_id_of_more_than_256_bytes_is_refused_under_every_rule() {
        for &kind in IdentityRule::ALL {
            let long = "a".repeat(MAX_CLIENT_ID + 1);
            assert!(matches!(rule(kind).check(&long, &long), Err(Mismatch::ClientId { .. })), "{kind}");
            assert!(matches!(rule(kind).check_form(&long), Err(Mismatch::ClientId { .. })), "{kind}");
        }
    }
}
