//! A disk that forgets: what was written and not synced is lost in a crash, or
//! torn, or kept in any order.
//!
//! What lives here: the double behind the log, the history of what was asked of
//! it, and the images that a crash may leave. What does not: which images are
//! right (`crash`).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use certus::store::{Disk, LogFile};

/// What a disk loses in pieces of.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub enum Event {
    Create(String, Vec<u8>),
    Write(String, u64, Vec<u8>),
    Sync(String),
    Remove(String),
}

/// How often, and with what, a call fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failing {
    /// Writes from this one on, counted from 0, fail...
    pub write: Option<u64>,
    /// ...so often...
    pub times: u64,
    /// ...because the disk is full, else because it is broken.
    pub full: bool,
    /// This sync fails.
    pub sync: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    aside: Vec<(String, Vec<u8>)>,
    history: Vec<Event>,
    writes: u64,
    syncs: u64,
    failing: Failing,
    free: Option<u64>,
    read_only: bool,
}

/// Clones share one disk.
#[derive(Clone, Debug, Default)]
pub struct ForgetfulDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct File {
    disk: ForgetfulDisk,
    name: String,
}

/// What becomes of the writes that were not synced.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// All of them are lost.
    Unsynced,
    /// None is.
    Nothing,
    /// The last one ends in its middle.
    Torn,
    /// Each sector by chance, by this seed.
    Sectors(u64),
}

impl ForgetfulDisk {
    pub fn failing(failing: Failing) -> Self {
        let disk = Self::default();
        disk.0.lock().unwrap().failing = failing;
        disk
    }

    pub fn set_free(&self, bytes: u64) {
        self.0.lock().unwrap().free = Some(bytes);
    }

    pub fn set_read_only(&self, read_only: bool) {
        self.0.lock().unwrap().read_only = read_only;
    }

    pub fn history(&self) -> Vec<Event> {
        self.0.lock().unwrap().history.clone()
    }

    pub fn aside(&self) -> Vec<(String, Vec<u8>)> {
        self.0.lock().unwrap().aside.clone()
    }

    /// Changes one byte of the file that holds the most.
    pub fn flip(&self, at: usize) {
        let mut state = self.0.lock().unwrap();
        let file = state.files.values_mut().max_by_key(|bytes| bytes.len()).unwrap();
        file[at] ^= 0x40;
    }

    /// Where the groups of the largest file begin.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().files.values().max_by_key(|bytes| bytes.len()).unwrap().clone()
    }

    /// A disk after a crash behind `events`.
    pub fn crashed(events: &[Event], loss: Loss) -> Self {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut unsynced: Vec<(String, u64, Vec<u8>)> = Vec::new();
        for event in events {
            match event {
                // Names and beginnings are durable when the call answers.
                Event::Create(name, beginning) => drop(files.insert(name.clone(), beginning.clone())),
                Event::Write(name, offset, bytes) => unsynced.push((name.clone(), *offset, bytes.clone())),
                Event::Sync(synced) => {
                    for (name, offset, bytes) in unsynced.extract_if(.., |(name, ..)| name == synced) {
                        put(&mut files, &name, offset, &bytes);
                    }
                }
                Event::Remove(name) => {
                    files.remove(name);
                    unsynced.retain(|(other, ..)| other != name);
                }
            }
        }
        let count = unsynced.len();
        for (index, (name, offset, bytes)) in unsynced.into_iter().enumerate() {
            match loss {
                Loss::Unsynced => {}
                Loss::Nothing => put(&mut files, &name, offset, &bytes),
                Loss::Torn if index + 1 < count => put(&mut files, &name, offset, &bytes),
                Loss::Torn => put(&mut files, &name, offset, &bytes[..bytes.len() / 2]),
                Loss::Sectors(seed) => {
                    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
                    for (sector, piece) in bytes.chunks(SECTOR).enumerate() {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        if random >> 63 == 1 {
                            put(&mut files, &name, offset + (sector * SECTOR) as u64, piece);
                        }
                    }
                }
            }
        }
        Self(Arc::new(Mutex::new(State { files, ..State::default() })))
    }
}

fn put(files: &mut BTreeMap<String, Vec<u8>>, name: &str, offset: u64, bytes: &[u8]) {
    let Some(file) = files.get_mut(name) else { return };
    let (begin, end) = (offset as usize, offset as usize + bytes.len());
    if file.len() < end {
        file.resize(end, 0);
    }
    file[begin..end].copy_from_slice(bytes);
}

fn absent(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, name.to_owned())
}

impl Disk for ForgetfulDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.lock().unwrap().files.get(name).cloned().ok_or_else(|| absent(name))
    }

    fn create(&self, name: &str, beginning: &[u8]) -> io::Result<Box<dyn LogFile>> {
        let mut state = self.0.lock().unwrap();
        assert!(!state.files.contains_key(name), "{name} is there already");
        state.files.insert(name.to_owned(), beginning.to_vec());
        state.history.push(Event::Create(name.to_owned(), beginning.to_vec()));
        Ok(Box::new(File { disk: self.clone(), name: name.to_owned() }))
    }

    fn prepare(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.history.push(Event::Remove(name.to_owned()));
        state.files.remove(name).map(drop).ok_or_else(|| absent(name))
    }

    fn set_aside(&self, name: &str, bytes: &[u8]) -> io::Result<String> {
        self.0.lock().unwrap().aside.push((name.to_owned(), bytes.to_vec()));
        Ok(format!("aside/{name}"))
    }

    fn free(&self) -> io::Result<u64> {
        let state = self.0.lock().unwrap();
        if state.read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(state.free.unwrap_or(u64::MAX)) }
    }
}

impl LogFile for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        if state.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let (number, failing) = (state.writes, state.failing);
        state.writes += 1;
        let fails = failing.write.is_some_and(|first| (first..first + failing.times).contains(&number));
        // A write that fails may have done a part of its work.
        let done = if fails { bytes.len() / 3 } else { bytes.len() };
        state.history.push(Event::Write(self.name.clone(), offset, bytes[..done].to_vec()));
        put(&mut state.files, &self.name, offset, &bytes[..done]);
        match (fails, failing.full) {
            (false, _) => Ok(()),
            (true, true) => Err(io::ErrorKind::StorageFull.into()),
            (true, false) => Err(io::Error::other("the medium is broken")),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let number = state.syncs;
        state.syncs += 1;
        if state.failing.sync == Some(number) {
            return Err(io::Error::other("the medium is broken"));
        }
        state.history.push(Event::Sync(self.name.clone()));
        Ok(())
    }
}
