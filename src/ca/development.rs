//! The development PKI: what a first start makes so that a second terminal can
//! connect with a certificate.
//!
//! What lives here: which files belong together, and making those that are
//! wanted and absent. What does not: their contents (`issue`). Invariant: a
//! group of files is made whole or not at all, and once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Error;
use super::files;
use super::issue::NewCa;

/// The device certificates of a first start.
const SAMPLES: [&str; 2] = ["sensor-1", "dashboard-1"];

/// The server's CA and certificate.
const SERVER: [&str; 4] = ["server-ca.key", "server.key", "server.pem", "server-ca.pem"];

/// The device CA and the sample devices.
const DEVICES: [&str; 6] =
    ["device-ca.key", "sensor-1.key", "sensor-1.pem", "dashboard-1.key", "dashboard-1.pem", "device-ca.pem"];

/// Which halves of the development PKI a configuration refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Whether the server uses `server.pem` and `server.key`.
    pub server: bool,
    /// Whether `device-ca.pem` is an anchor.
    pub devices: bool,
    /// Names for the server's certificate.
    pub server_names: &'a [String],
}

/// What a start has made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made(pub Vec<PathBuf>);

/// How much of a group is there.
enum Found {
    Nothing,
    Enough,
}

/// Makes what is wanted and absent in `directory`.
///
/// # Errors
/// A group is partly there, or the directory cannot be written.
pub fn ensure(directory: &Path, wanted: &Wanted<'_>, now: SystemTime) -> Result<Made, Error> {
    let make_server = wanted.server && matches!(server(directory)?, Found::Nothing);
    let make_devices = wanted.devices && matches!(devices(directory)?, Found::Nothing);
    if !make_server && !make_devices {
        return Ok(Made::default());
    }
    fs::create_dir_all(directory).map_err(|source| Error::Write { path: directory.to_owned(), source })?;
    let mut made = Made::default();
    if make_server {
        // The CA's key comes first: of two starts at once, one fails here, with
        // nothing written.
        let ca = NewCa::begin(directory, "server-ca", "Certus development server CA", now)?;
        ca.server(directory, wanted.server_names, now)?;
        ca.finish()?;
        made.0.extend(SERVER.map(|name| directory.join(name)));
    }
    if make_devices {
        let ca = NewCa::begin(directory, "device-ca", "Certus development device CA", now)?;
        SAMPLES.iter().try_for_each(|name| ca.device(directory, name, now).map(drop))?;
        ca.finish()?;
        made.0.extend(DEVICES.map(|name| directory.join(name)));
    }
    files::sync(directory)?;
    Ok(made)
}

/// The files that [`ensure`] would make.
///
/// # Errors
/// A group is partly there.
pub fn pending(directory: &Path, wanted: &Wanted<'_>) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    if wanted.server && matches!(server(directory)?, Found::Nothing) {
        files.extend(SERVER.map(|name| directory.join(name)));
    }
    if wanted.devices && matches!(devices(directory)?, Found::Nothing) {
        files.extend(DEVICES.map(|name| directory.join(name)));
    }
    Ok(files)
}

/// The server's half. Whoever brings a certificate and a key of his own under
/// these names needs no CA of ours; the CA's key may be kept elsewhere.
fn server(directory: &Path) -> Result<Found, Error> {
    let has = |name: &str| directory.join(name).exists();
    let is_whole = has("server.pem") && has("server.key");
    let is_foreign = !has("server-ca.pem") && !has("server-ca.key");
    judge(directory, &SERVER, is_whole && (has("server-ca.pem") || is_foreign))
}

/// The devices' half. The CA's key and whole pairs of samples may be moved
/// away; half a pair is a mistake.
fn devices(directory: &Path) -> Result<Found, Error> {
    let has = |name: &str, kind: &str| directory.join(format!("{name}.{kind}")).exists();
    let pairs_are_whole = SAMPLES.iter().all(|name| has(name, "pem") == has(name, "key"));
    judge(directory, &DEVICES, has("device-ca", "pem") && pairs_are_whole)
}

fn judge(directory: &Path, group: &[&str], is_enough: bool) -> Result<Found, Error> {
    let (present, missing): (Vec<String>, Vec<String>) =
        group.iter().map(|name| (*name).to_owned()).partition(|name| directory.join(name).exists());
    match (is_enough, present.is_empty()) {
        (true, _) => Ok(Found::Enough),
        (false, true) => Ok(Found::Nothing),
        (false, false) => Err(Error::Partial { directory: directory.to_owned(), present, missing }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use x509_parser::prelude::*;

    use super::*;
    use crate::ca::{new_device, new_server};
    use crate::clock::Clock;

    fn made(names: &[String]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let wanted = Wanted { server: true, devices: true, server_names: names };
        let made = ensure(directory.path(), &wanted, Clock::system().wall()).unwrap();
        assert_eq!(made.0.len(), 10);
        directory
    }

    fn again(directory: &Path) -> Result<Made, Error> {
        let wanted = Wanted { server: true, devices: true, server_names: &[] };
        ensure(directory, &wanted, Clock::system().wall())
    }

    fn der(path: &Path) -> Vec<u8> {
        parse_x509_pem(&fs::read(path).unwrap()).unwrap().1.contents
    }

    fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
        entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
    }

    #[test]
    fn a_first_start_makes_ten_files_and_a_second_one_none() {
        let directory = made(&[]);
        let before = contents(directory.path());
        assert_eq!(before.len(), 10, "{:?}", before.keys());
        assert_eq!(again(directory.path()).unwrap(), Made::default());
        assert_eq!(contents(directory.path()), before);
    }

    #[test]
    fn keys_are_for_their_owner_alone() {
        let directory = made(&[]);
        for entry in fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let is_key = entry.path().extension().unwrap() == "key";
            assert!(!is_key || mode == 0o600, "{:?} has mode {mode:o}", entry.path());
        }
    }

    #[test]
    fn the_server_certificate_names_what_was_configured_and_loopback() {
        let directory = made(&[String::from("broker.lan"), String::from("192.0.2.7")]);
        let der = der(&directory.path().join("server.pem"));
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
        let has = |wanted: &GeneralName<'_>| names.contains(wanted);
        assert!(has(&GeneralName::DNSName("broker.lan")) && has(&GeneralName::DNSName("localhost")));
        assert!(has(&GeneralName::IPAddress(&[192, 0, 2, 7])) && has(&GeneralName::IPAddress(&[127, 0, 0, 1])));
        assert!(has(&GeneralName::IPAddress(&std::net::Ipv6Addr::LOCALHOST.octets())));
        let usage = certificate.extended_key_usage().unwrap().unwrap().value.clone();
        assert!(usage.server_auth && !usage.client_auth);
    }

    #[test]
    fn a_device_certificate_is_of_version_3_and_signed_by_the_device_ca() {
        let directory = made(&[]);
        let pair = new_device(directory.path(), "pump-7", Clock::system().wall()).unwrap();
        let (ca, device) = (der(&directory.path().join("device-ca.pem")), der(&pair.certificate));
        let (ca, device) = (X509Certificate::from_der(&ca).unwrap().1, X509Certificate::from_der(&device).unwrap().1);
        assert_eq!(device.version(), X509Version::V3);
        assert_eq!(device.subject().to_string(), "CN=pump-7");
        assert_eq!(device.issuer(), ca.subject());
        assert!(ca.basic_constraints().unwrap().unwrap().value.ca);
        assert!(!device.basic_constraints().unwrap().unwrap().value.ca);
        assert!(device.extended_key_usage().unwrap().unwrap().value.client_auth);
        assert!(device.validity().not_after <= ca.validity().not_after);
        assert!(device.serial.to_bytes_be().len() == 16);
    }

    #[test]
    fn a_certificate_is_never_overwritten() {
        let directory = made(&[]);
        let before = contents(directory.path());
        let now = Clock::system().wall();
        assert!(matches!(new_device(directory.path(), "sensor-1", now), Err(Error::Exists(_))));
        assert!(matches!(new_server(directory.path(), &[], now), Err(Error::Exists(_))));
        assert_eq!(contents(directory.path()), before);
    }

    #[test]
    fn names_that_leave_the_directory_or_are_taken_are_refused() {
        let directory = made(&[]);
        let too_long = "x".repeat(65);
        for name in ["", "../x", "a/b", ".x", "server", "device-ca", "a b", &too_long] {
            let refused = new_device(directory.path(), name, Clock::system().wall());
            assert!(matches!(refused, Err(Error::Name { .. })), "{name:?}");
        }
    }

    #[test]
    fn a_directory_that_is_partly_there_names_what_is_missing() {
        for lost in ["server.key", "server.pem", "server-ca.pem", "device-ca.pem", "sensor-1.key", "dashboard-1.pem"] {
            let directory = made(&[]);
            fs::remove_file(directory.path().join(lost)).unwrap();
            let before = contents(directory.path());
            let error = again(directory.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("but {lost} is missing")), "{error}");
            assert_eq!(contents(directory.path()), before);
        }
    }

    #[test]
    fn the_keys_of_both_cas_and_the_samples_may_be_taken_away() {
        let directory = made(&[]);
        for name in ["server-ca.key", "device-ca.key", "sensor-1.key", "sensor-1.pem"] {
            fs::remove_file(directory.path().join(name)).unwrap();
        }
        assert_eq!(again(directory.path()).unwrap(), Made::default());
        let error = new_device(directory.path(), "pump-7", Clock::system().wall()).unwrap_err().to_string();
        assert!(error.contains("device-ca.key") && error.contains("bring the CA's private key back"), "{error}");
    }

    #[test]
    fn a_server_certificate_from_elsewhere_needs_no_ca_of_ours() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("server.pem"), "mine").unwrap();
        fs::write(directory.path().join("server.key"), "mine").unwrap();
        assert_eq!(again(directory.path()).unwrap().0.len(), 6);
    }

    #[test]
    fn a_key_of_another_ca_issues_nothing() {
        let directory = made(&[]);
        fs::copy(directory.path().join("server-ca.key"), directory.path().join("device-ca.key")).unwrap();
        let refused = new_device(directory.path(), "pump-7", Clock::system().wall());
        assert!(matches!(refused, Err(Error::Mismatch { .. })), "{refused:?}");
    }
}
