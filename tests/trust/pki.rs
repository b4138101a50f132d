//! The certificates of `kinds.sh`, made once per change of the script.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use certus::clock::Clock;
use certus::identity::certificate::Certificate;
use certus::identity::pem;
use certus::identity::revocation::{Revocation, RevocationTarget};
use certus::identity::server_certificate::ServerCertificate;
use certus::identity::switch::{AnchorKind, AnchorState, Profile, RevocationReason, StaleCrl};
use certus::identity::tenant::{AnchorSettings, Switches, TenantSettings};
use certus::identity::trust::TrustSnapshot;
use certus::mqtt::TenantId;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

const SCRIPT: &str = include_str!("kinds.sh");

fn directory() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let hash = SCRIPT
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let parent = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(&parent).unwrap();
        // One process makes them, the others wait.
        let lock = File::create(parent.join("trust-kinds.lock")).unwrap();
        lock.lock().unwrap();
        let made = parent.join(format!("trust-kinds-{hash:016x}"));
        if !made.exists() {
            let begun = tempfile::tempdir_in(&parent).unwrap();
            let script = begun.path().join("kinds.sh");
            fs::write(&script, SCRIPT).unwrap();
            let output = Command::new("bash").arg("-x").arg(&script).current_dir(begun.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            fs::rename(begun.keep(), &made).unwrap();
        }
        made
    })
}

pub fn path(name: &str) -> PathBuf {
    directory().join(name)
}

pub fn der(name: &str) -> CertificateDer<'static> {
    let text = fs::read(path(&format!("{name}.pem"))).unwrap();
    pem::certificates(&text).unwrap().remove(0)
}

pub fn chain(names: &[&str]) -> Vec<CertificateDer<'static>> {
    names.iter().map(|name| der(name)).collect()
}

pub fn key(name: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(path(&format!("{name}.key"))).unwrap()
}

/// An hour into the life of all certificates: when they were made, plus that.
pub fn noon() -> SystemTime {
    let made = Certificate::read(der("server")).unwrap().facts().not_before;
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(made).unwrap() + 3600)
}

pub fn days_later(days: u64) -> SystemTime {
    noon() + Duration::from_secs(days * 86_400)
}

/// A clock that shows `time`.
pub fn clock_at(time: SystemTime) -> Clock {
    let clock = Clock::system();
    let seconds =
        |time: SystemTime| i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    clock.shift_to(seconds(time) - seconds(clock.wall()));
    clock
}

pub fn server_certificate() -> ServerCertificate {
    ServerCertificate::load(&path("server.pem"), &path("server.key"), noon()).unwrap()
}

pub fn anchor(name: &str) -> AnchorSettings {
    AnchorSettings {
        name: name.to_owned(),
        der: der(name).to_vec(),
        source: format!("{name}.pem"),
        kind: AnchorKind::Configured,
        state: AnchorState::Enabled,
        proved: true,
        auto_registration: true,
        stale_crl: StaleCrl::Soft,
        crls: Vec::new(),
    }
}

pub fn revocation(target: RevocationTarget) -> Revocation {
    Revocation { target, since: 1_790_000_000, reason: RevocationReason::KeyCompromise }
}

pub fn tenant(id: &str, profile: Profile, anchors: &[&str]) -> TenantSettings {
    let mut settings = TenantSettings::new(TenantId::new(id), profile);
    settings.anchors = anchors.iter().map(|name| anchor(name)).collect();
    settings
}

pub fn with(mut settings: TenantSettings, change: impl FnOnce(&mut Switches)) -> TenantSettings {
    change(&mut settings.switches);
    settings
}

pub fn snapshot(tenants: &[TenantSettings]) -> Arc<TrustSnapshot> {
    Arc::new(TrustSnapshot::build(tenants).unwrap())
}
