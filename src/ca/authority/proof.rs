//! Proof that whoever uploaded an anchor holds its key.
//!
//! What lives here: the codes, and the two ways of signing one. What does not:
//! what a proof has to look like (`ca::possession`). Invariant: a code is
//! random, belongs to one upload, and ends; a failed attempt changes nothing.

use std::time::Duration;

use super::Authority;
use super::access::Scope;
use super::anchors::{AnchorView, find, uploaded};
use super::caller::Caller;
use super::draft::Draft;
use super::fault::{Fault, Kind};
use crate::ca::keypair::KeyError;
use crate::ca::possession;
use crate::ca::record::{AnchorRow, Proof};
use crate::identity::certificate::Certificate;

/// How long a registration code may wait for its certificate.
const REGISTRATION: Duration = Duration::from_secs(30 * 86_400);
/// How long a challenge may wait for its signature, at least (C8Y-POP-01).
const CHALLENGE: Duration = Duration::from_secs(7 * 86_400);
const DAY: u64 = 86_400_000;

impl Authority {
    /// The code that a certificate has to carry as its CN to prove possession
    /// of the anchor's key (MC-POP-01): the same until it is used or ends.
    ///
    /// # Errors
    /// The anchor is not there, or was not uploaded.
    pub async fn registration_code(&self, caller: &Caller, tenant: &str, id: &str) -> Result<Proof, Fault> {
        caller.needs(Scope::AnchorsRead, tenant)?;
        let now = self.clock.unix_millis();
        let row = uploaded(&self.state(), tenant, id)?;
        if let Some(proof) = row.registration.as_ref().filter(|proof| proof.until > now) {
            return Ok(proof.clone());
        }
        self.change(caller, "anchor.registration_code", |draft| {
            draft.concerns(tenant);
            let mut row = uploaded(draft.state, tenant, id)?.as_ref().clone();
            if let Some(proof) = row.registration.as_ref().filter(|proof| proof.until > draft.now) {
                return Ok(proof.clone()); // somebody was faster
            }
            let proof = Proof {
                code: possession::registration_code().map_err(no_random)?,
                until: draft.now + millis(REGISTRATION),
            };
            row.registration = Some(proof.clone());
            draft.put(row);
            Ok(proof)
        })
        .await
    }

    /// Proves possession by a certificate that the anchor's key signed over the
    /// registration code (MC-POP-03, MC-POP-04).
    ///
    /// # Errors
    /// The proof does not hold, or another tenant was first.
    pub async fn verify_anchor(
        &self,
        caller: &Caller,
        tenant: &str,
        id: &str,
        certificate: &[u8],
    ) -> Result<AnchorView, Fault> {
        caller.needs(Scope::AnchorsWrite, tenant)?;
        let now = i64::try_from(self.clock.unix_seconds()).unwrap_or(i64::MAX);
        self.change(caller, "anchor.verify", |draft| {
            draft.concerns(tenant);
            let row = uploaded(draft.state, tenant, id)?;
            let code = row.registration.as_ref().filter(|code| code.until > draft.now);
            let Some(code) = code else {
                return Err(Fault::new(Kind::ProofFailed, "no registration code is open for this CA certificate")
                    .but("ask for the registration code, then sign it"));
            };
            possession::check_verification_certificate(&certificate_of(&row)?, &code.code, certificate, now)
                .map_err(|error| Fault::new(Kind::ProofFailed, error.to_string()))?;
            prove(draft, &row)
        })
        .await?;
        find(&self.state(), tenant, id)
    }

    /// A fresh code whose signature proves possession (C8Y-POP-01).
    ///
    /// # Errors
    /// The anchor is not there, or was not uploaded.
    pub async fn challenge(&self, caller: &Caller, tenant: &str, id: &str) -> Result<AnchorView, Fault> {
        caller.needs(Scope::AnchorsWrite, tenant)?;
        self.change(caller, "anchor.challenge", |draft| {
            draft.concerns(tenant);
            let mut row = uploaded(draft.state, tenant, id)?.as_ref().clone();
            row.challenge = Some(fresh_challenge(draft.now)?);
            draft.put(row);
            Ok(())
        })
        .await?;
        find(&self.state(), tenant, id)
    }

    /// Proves possession by a signature over the challenge (C8Y-POP-02).
    ///
    /// # Errors
    /// The signature is wrong, or the challenge has ended.
    pub async fn answer_challenge(
        &self,
        caller: &Caller,
        tenant: &str,
        id: &str,
        signed: &str,
    ) -> Result<AnchorView, Fault> {
        caller.needs(Scope::AnchorsWrite, tenant)?;
        self.change(caller, "anchor.answer_challenge", |draft| {
            draft.concerns(tenant);
            let row = uploaded(draft.state, tenant, id)?;
            let code = row.challenge.as_ref().filter(|code| code.until > draft.now);
            let Some(code) = code else {
                return Err(Fault::new(Kind::ProofExpired, "the verification code has ended").but("ask for a new one"));
            };
            possession::check_signed_code(&certificate_of(&row)?, &code.code, signed)
                .map_err(|error| Fault::new(Kind::ProofFailed, error.to_string()))?;
            prove(draft, &row)
        })
        .await?;
        find(&self.state(), tenant, id)
    }

    /// Takes possession as proved without a proof: for those who run the whole
    /// broker (C8Y-POP-03).
    ///
    /// # Errors
    /// The caller is bound to a tenant, or the anchor is not there.
    pub async fn confirm_anchor(&self, caller: &Caller, tenant: &str, id: &str) -> Result<AnchorView, Fault> {
        caller.needs_everywhere(Scope::AnchorsWrite)?;
        self.change(caller, "anchor.confirm", |draft| {
            draft.concerns(tenant);
            let row = uploaded(draft.state, tenant, id)?;
            prove(draft, &row)
        })
        .await?;
        find(&self.state(), tenant, id)
    }
}

/// Marks an anchor as proved; whoever proves possession owns it (TRUST-09).
fn prove(draft: &mut Draft<'_>, row: &AnchorRow) -> Result<(), Fault> {
    let owner = draft
        .state
        .anchors
        .iter()
        .find(|other| other.der == row.der && other.tenant != row.tenant && other.proved_at.is_some());
    if owner.is_some() {
        return Err(Fault::new(Kind::OwnedByOther, "another tenant has proved possession of this CA certificate"));
    }
    if row.proved_at.is_some() {
        return Ok(()); // proved before: the same answer again (MC-POP-05)
    }
    // A registration code proves once. It is kept, so that the same proof can be repeated, and proves nothing more.
    draft.put(AnchorRow { proved_at: Some(draft.now), challenge: None, revision: row.revision + 1, ..row.clone() });
    Ok(())
}

fn certificate_of(row: &AnchorRow) -> Result<Certificate<'_>, Fault> {
    let read = Certificate::read(row.der.as_slice().into());
    read.map_err(|error| Fault::new(Kind::Internal, format!("the stored certificate: {error}")))
}

fn no_random(error: KeyError) -> Fault {
    Fault::new(Kind::Internal, error.to_string())
}

/// A challenge that ends at midnight UTC.
pub(super) fn fresh_challenge(now: u64) -> Result<Proof, Fault> {
    let until = now.saturating_add(millis(CHALLENGE)).div_ceil(DAY).saturating_mul(DAY);
    Ok(Proof { code: possession::verification_code().map_err(no_random)?, until })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
