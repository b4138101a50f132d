//! Where the sealing key comes from.
//!
//! What lives here: the four places, their order, and the forms in which a key
//! may be written. What does not: sealing (`seal`). Invariant: a place that
//! was named and holds no good key is an error; only where nothing was named a
//! new key is made, once.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{KEY, SealError, SealingKey};
use crate::ca::Error;
use crate::ca::armour::from_base64;
use crate::ca::files::{self, Readers};

/// The environment variable that may hold the key.
pub const VARIABLE: &str = "CERTUS_SEALING_KEY";
/// The systemd credential that may hold the key (`LoadCredential=`).
pub const CREDENTIAL: &str = "certus-sealing-key";
/// The file that is made at the first start.
const FILE: &str = "sealing.key";
/// A key in any form is shorter, bytes.
const LONGEST: u64 = 4 * 1024;
/// What others may not do with the file: the group may read it, since
/// Kubernetes hands secrets out that way.
const EXPOSED: u32 = 0o027;

/// Where a key came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file that the configuration names.
    File(PathBuf),
    /// [`VARIABLE`]
    Environment,
    /// The systemd credential.
    Credential(PathBuf),
    /// The file of an earlier start.
    State(PathBuf),
    /// The same, made just now.
    Made(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Credential(path) | Self::State(path) | Self::Made(path) => path.display().fmt(f),
            Self::Environment => f.write_str(VARIABLE),
        }
    }
}

/// The places where a key may be, in their order.
#[derive(Debug)]
pub struct Sources {
    /// The file that the configuration names.
    pub file: Option<PathBuf>,
    /// What [`VARIABLE`] holds.
    pub variable: Option<OsString>,
    /// Where systemd puts credentials.
    pub credentials: Option<PathBuf>,
    /// Where the broker keeps its state.
    pub state_dir: PathBuf,
}

impl Sources {
    /// The configured file, the environment of this process, and the state
    /// directory.
    #[must_use]
    pub fn of_this_process(file: Option<PathBuf>, state_dir: PathBuf) -> Self {
        Self {
            file,
            variable: std::env::var_os(VARIABLE),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            state_dir,
        }
    }

    /// Loads the key from the first place that has one; makes one in the state
    /// directory if none has.
    ///
    /// # Errors
    /// The key cannot be read, is none, may be read by others, or cannot be
    /// written.
    pub fn load(&self) -> Result<(SealingKey, Origin), SealError> {
        let origin = self.named().unwrap_or_else(|| Origin::State(self.state_dir.join(FILE)));
        let bytes = match &origin {
            Origin::Environment => Zeroizing::new(self.variable.clone().unwrap_or_default().into_encoded_bytes()),
            Origin::State(path) if !path.exists() => return make(path),
            Origin::File(path) | Origin::State(path) | Origin::Credential(path) | Origin::Made(path) => read(path)?,
        };
        Ok((understand(&bytes, &origin)?, origin))
    }

    fn named(&self) -> Option<Origin> {
        let credential = || self.credentials.as_ref().map(|directory| directory.join(CREDENTIAL));
        let file = self.file.clone().map(Origin::File);
        let variable = || self.variable.is_some().then_some(Origin::Environment);
        file.or_else(variable).or_else(|| credential().filter(|path| path.exists()).map(Origin::Credential))
    }
}

fn make(path: &Path) -> Result<(SealingKey, Origin), SealError> {
    let mut bytes = Zeroizing::new([0_u8; KEY]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| SealError::Provider)?;
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY + 1));
    for byte in bytes.iter() {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default()));
    }
    text.push('\n');
    let directory = path.parent().unwrap_or(path);
    let made = fs::create_dir_all(directory)
        .map_err(|source| Error::Write { path: directory.to_owned(), source })
        .and_then(|()| files::create(path, &text, Readers::Owner))
        .and_then(|()| files::sync(directory));
    match made {
        Ok(()) => Ok((SealingKey::new(&bytes)?, Origin::Made(path.to_owned()))),
        // Another process was faster: its key counts.
        Err(Error::Exists(_)) => {
            let origin = Origin::State(path.to_owned());
            Ok((understand(&read(path)?, &origin)?, origin))
        }
        Err(error) => Err(SealError::Write(error)),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let error = |source: io::Error| SealError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(error)?;
    let mode = file.metadata().map_err(error)?.permissions().mode() & 0o7777;
    if mode & EXPOSED != 0 {
        return Err(SealError::Exposed { path: path.to_owned(), mode });
    }
    // With room for all of it, so that it is not copied and left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST).unwrap_or_default() + 1));
    file.take(LONGEST).read_to_end(&mut bytes).map_err(error)?;
    Ok(bytes)
}

/// A key is 32 bytes as they are, or as 64 hexadecimal digits, or in base64.
fn understand(bytes: &[u8], origin: &Origin) -> Result<SealingKey, SealError> {
    let error = |reason| SealError::Key { origin: origin.clone(), reason };
    if let Ok(raw) = <&[u8; KEY]>::try_from(bytes) {
        // Half as many hexadecimal digits as it should have, most likely.
        if raw.iter().all(u8::is_ascii_graphic) {
            return Err(error("it is a text of 32 characters, which holds fewer than 32 bytes"));
        }
        return SealingKey::new(raw);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| error("it has neither 32 bytes nor is it a text"))?.trim();
    if text.is_empty() {
        return Err(error("it is empty"));
    }
    let decoded =
        from_hex(text).or_else(|| from_base64(text)).ok_or_else(|| error("it is neither hexadecimal nor base64"))?;
    let key = <&[u8; KEY]>::try_from(decoded.as_slice()).map_err(|_| error("it does not have 32 bytes"))?;
    SealingKey::new(key)
}

fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.as_bytes();
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    for pair in digits.chunks(2) {
        let &[high, low] = pair else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(high)? << 4 | digit(low)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(state_dir: &Path) -> Sources {
        Sources { file: None, variable: None, credentials: None, state_dir: state_dir.to_owned() }
    }

    fn write(path: &Path, bytes: &[u8], mode: u32) {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_first_start_makes_a_key_for_its_owner_alone_and_a_second_one_finds_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let (made, origin) = sources(&state).load().unwrap();
        assert_eq!(origin, Origin::Made(state.join("sealing.key")));
        assert_eq!(fs::metadata(state.join("sealing.key")).unwrap().permissions().mode() & 0o777, 0o600);
        let (found, origin) = sources(&state).load().unwrap();
        assert_eq!((found.id(), origin), (made.id(), Origin::State(state.join("sealing.key"))));
    }

    #[test]
    fn what_was_named_comes_before_what_was_made() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        write(&at("file"), &[1; KEY], 0o400);
        write(&at(CREDENTIAL), "02".repeat(KEY).as_bytes(), 0o440);
        let id = |fill: u8| SealingKey::new(&[fill; KEY]).unwrap().id();
        let mut sources = sources(directory.path());
        sources.credentials = Some(directory.path().to_owned());
        assert_eq!(sources.load().unwrap().0.id(), id(2));
        sources.variable = Some("AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\n".into());
        assert_eq!(sources.load().unwrap().0.id(), id(3));
        sources.file = Some(at("file"));
        assert_eq!(sources.load().unwrap().0.id(), id(1));
        assert!(!at("sealing.key").exists(), "nothing is made beside a key that was named");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sealing.key");
        for (mode, good) in
            [(0o600, true), (0o400, true), (0o440, true), (0o644, false), (0o620, false), (0o604, false)]
        {
            let _ = fs::remove_file(&path);
            write(&path, &[1; KEY], mode);
            let loaded = sources(directory.path()).load();
            assert_eq!(loaded.is_ok(), good, "{mode:o}: {loaded:?}");
        }
    }

    #[test]
    fn what_is_no_key_says_what_would_be_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut sources = sources(directory.path());
        for text in ["", "\n", "0011", &"0".repeat(32), &"0".repeat(63), &"x".repeat(64), "AwM="] {
            sources.variable = Some(text.into());
            let error = sources.load().unwrap_err().to_string();
            assert!(error.contains(VARIABLE) && error.contains("openssl rand -hex 32"), "{error}");
        }
        sources.file = Some(directory.path().join("none"));
        assert!(sources.load().unwrap_err().to_string().contains("none: it cannot be read"));
    }
}
