//! Access tokens of a short life: signed, and kept by nobody.
//!
//! What lives here: JSON Web Tokens (RFC 7519) of one fixed kind, HS256, for
//! client credentials (MC-API-02) and devices (C8Y-JWT-01). What does not: the
//! tokens that are kept (`tokens`). Invariant: the header is compared with the
//! only one that is ever written, so no token chooses how it is checked.
//!
//! The form is two dozen lines for one header, one algorithm and a few claims;
//! a library would bring the choice that this must not have.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use super::access::Scopes;
use super::caller::Caller;
use super::fault::{Fault, Kind};
use super::{Authority, random};
use crate::ca::record::{KeyRow, KeyUse, LogoutRow};
use crate::mqtt::TenantId;

/// `{"alg":"HS256","typ":"JWT"}`
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
/// When it was given, in milliseconds since 1970: a logout ends what was given
/// before it, and a second is too coarse for that.
const MILLIS: &str = "ims";
/// The longest that is read.
const LONGEST: usize = 4096;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whom it was given to: `device/pump-1`, `account/admin`.
    pub subject: String,
    /// The tenant; empty for the whole broker.
    pub tenant: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The host name by which the broker was asked: `iss` and `aud`, which
    /// clients read (thin-edge.io takes its platform's name from there). It
    /// proves nothing, since any name is served, and is not compared.
    pub issuer: String,
}

/// How far a clock may have been set back before a token that was given by it
/// is not good yet, seconds.
const LEEWAY: u64 = 60;

impl Authority {
    /// Gives a token that lasts for `lasts`.
    ///
    /// # Errors
    /// The key that signs tokens cannot be made or opened.
    pub async fn access_token(&self, claims: &Claims, lasts: Duration) -> Result<Zeroizing<String>, Fault> {
        let key = self.token_key().await?;
        let millis = self.moment_of(claims);
        let now = millis / 1000;
        let body = serde_json::json!({
            "iss": claims.issuer, "aud": claims.issuer,
            "sub": claims.subject, "ten": claims.tenant, "scope": claims.scopes.join(" "),
            "iat": now, "nbf": now, "exp": now.saturating_add(lasts.as_secs()), "jti": random::hex(8)?,
            MILLIS: millis,
        });
        let signed = format!("{HEADER}.{}", Base64UrlUnpadded::encode_string(body.to_string().as_bytes()));
        let tag = hmac::sign(&key, signed.as_bytes());
        Ok(Zeroizing::new(format!("{signed}.{}", Base64UrlUnpadded::encode_string(tag.as_ref()))))
    }

    /// Who presents this token, if it is one and holds.
    #[must_use]
    pub fn access(&self, token: &str) -> Option<Caller> {
        let (signed, tag) = token.rsplit_once('.').filter(|_| token.len() <= LONGEST)?;
        let body = signed.strip_prefix(HEADER)?.strip_prefix('.')?;
        let row = self.state().keys.get(&["", KeyUse::Tokens.as_str()]).cloned()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.keys.open(&row).ok()?);
        hmac::verify(&key, signed.as_bytes(), &Base64UrlUnpadded::decode_vec(tag).ok()?).ok()?;
        let claims: serde_json::Value = serde_json::from_slice(&Base64UrlUnpadded::decode_vec(body).ok()?).ok()?;
        let text = |name: &str| claims.get(name)?.as_str();
        let time = |name: &str| claims.get(name)?.as_u64();
        let (subject, tenant) = (text("sub")?, text("ten")?);
        let given = time(MILLIS).unwrap_or(time("iat")?.saturating_mul(1000));
        let ended = self.state().logouts.get(&[tenant, subject]).is_some_and(|row| row.before_millis() >= given);
        let now = self.clock.unix_seconds();
        let is_early = time("nbf").is_some_and(|from| from > now.saturating_add(LEEWAY));
        if ended || is_early || time("exp")? <= now || !self.is_still_there(tenant, subject) {
            return None;
        }
        Some(Caller {
            name: Arc::from(subject.replacen('/', " ", 1)),
            tenant: Some(tenant).filter(|tenant| !tenant.is_empty()).map(Arc::from),
            scopes: Scopes::read(text("scope")?.split_ascii_whitespace()).ok()?,
            address: None,
            request: None,
        })
    }

    /// Now, and behind the last logout of whom the token is for: one that is
    /// given in the same millisecond is good.
    fn moment_of(&self, claims: &Claims) -> u64 {
        let state = self.state();
        let logout = state.logouts.get(&[&claims.tenant, &claims.subject]);
        let now = self.clock.unix_millis();
        logout.map_or(now, |row| row.before_millis().saturating_add(1).max(now))
    }

    /// Ends all access tokens that the subject was given until now.
    ///
    /// # Errors
    /// The store takes nothing.
    pub async fn end_access(&self, caller: &Caller, tenant: &str, subject: &str) -> Result<(), Fault> {
        self.change(caller, "access.end", |draft| {
            draft.concerns(tenant);
            draft.put(LogoutRow {
                tenant: tenant.to_owned(),
                subject: subject.to_owned(),
                before: draft.now / 1000,
                millis: Some(draft.now),
            });
            Ok(())
        })
        .await
    }

    /// Whether an account that a token was given to may still be used.
    fn is_still_there(&self, tenant: &str, subject: &str) -> bool {
        match subject.split_once('/') {
            Some(("account", name)) => self.find_account(tenant, name).is_some_and(|account| account.enabled),
            Some(("token", id)) => self.state().tokens.get(&[id]).is_some(),
            Some(("device", id)) => {
                self.devices.of(&TenantId::new(tenant)).find(id).is_some_and(|device| device.enabled)
            }
            _ => true,
        }
    }

    async fn token_key(&self) -> Result<hmac::Key, Fault> {
        let known = self.state().keys.get(&["", KeyUse::Tokens.as_str()]).cloned();
        let row = match known {
            Some(row) => row,
            None => self.make_token_key().await?,
        };
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &self.keys.open(&row)?))
    }

    async fn make_token_key(&self) -> Result<Arc<KeyRow>, Fault> {
        self.change(&Caller::broker(), "key.create", |draft| {
            if let Some(row) = draft.state.keys.get(&["", KeyUse::Tokens.as_str()]) {
                return Ok(Arc::clone(row)); // somebody was faster
            }
            let mut secret = Zeroizing::new([0_u8; 32]);
            aws_lc_rs::rand::fill(secret.as_mut_slice())
                .map_err(|_| Fault::new(Kind::Internal, "there are no random numbers"))?;
            let sealed = self.keys.seal(secret.as_slice(), "", KeyUse::Tokens)?;
            Ok(draft.put(KeyRow {
                tenant: String::new(),
                used_for: KeyUse::Tokens,
                sealed,
                certificate: Vec::new(),
                created_at: draft.now,
            }))
        })
        .await
    }
}
