//! What can still be read of an index that is damaged.
//!
//! What lives here: reading around what cannot be read, into a new index, and
//! setting right what records say of each other. What does not: the log, which
//! the next open folds in. Invariant: the damaged index is kept as it was, and
//! the new one takes its place when it is whole.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::disk::{Directory, Disk};
use super::engine::{APPLIED, Changes, EPOCH, Engine, META, View, first_of, key_of, kind, number_of};
use super::lock::Lock;
use super::log::Headers;
use super::open::{INDEX, OpenError, check_format, log_of};
use super::{EmbeddedStore, Settings, journal, tables};
use crate::store::record::{Head, Outline, read_message, unsealed};
use crate::store::{StoreError, Table};

/// The new index while it is filled, and when it is whole.
const DRAFT: &str = "index.new";
pub(super) const SALVAGED: &str = "index.salvaged";
/// What the engine may change of the old one.
const COPY: &str = "index.old";
/// Where the old index is kept.
const ASIDE: &str = "damaged";
/// Records of one commit.
const SLICE: usize = 1024;
/// How often a stretch that cannot be read is halved to find what lies around
/// the damage.
const HALVINGS: u32 = 10;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// Records that were read.
    pub records: u64,
    /// Stretches of the index that could not be read; it is not known how many
    /// records they held.
    pub holes: u64,
    /// Records that were read and are damaged, or of no use without others.
    pub damaged: u64,
    /// Whether the old index could be opened at all.
    pub opened: bool,
    /// Where the old index lies now.
    pub kept_as: PathBuf,
}

impl EmbeddedStore {
    /// Makes a new index of what can be read of the one in `directory`; what
    /// the log holds is added by the next open.
    ///
    /// # Errors
    /// See [`OpenError`]; the index is then as it was.
    pub fn salvage(directory: &Path, settings: Settings) -> Result<Salvaged, OpenError> {
        let broken = |error| OpenError::Directory { path: directory.to_owned(), error };
        let _lock = Lock::take(directory)?;
        check_format(directory)?;
        let disk = Directory::open(&log_of(directory)).map_err(broken)?;
        let headers = Headers::of(&disk).map_err(|error| error.of(directory))?;
        let [draft, copy] = [DRAFT, COPY].map(|name| directory.join(name));
        for left in [&draft, &copy] {
            remove(left).map_err(broken)?;
        }
        link_tree(&directory.join(INDEX), &copy).map_err(broken)?;
        let salvaged = fill(&copy, &draft, &disk, &headers, &settings)?;
        remove(&copy).map_err(broken)?;
        let kept_as = take_place(directory, &draft).map_err(broken)?;
        Ok(Salvaged { kept_as, ..salvaged })
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A second name for every file that is never written again, a copy of all
/// others.
fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let is_final = from.file_name().is_some_and(|name| name == "tables");
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_tree(&entry.path(), &target)?;
        } else if is_final {
            fs::hard_link(entry.path(), target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Puts the new index into the place of the old one. Between the two moves a
/// start finds the new one by its name.
fn take_place(directory: &Path, draft: &Path) -> io::Result<PathBuf> {
    let (index, salvaged) = (directory.join(INDEX), directory.join(SALVAGED));
    fs::rename(draft, &salvaged)?;
    let aside = directory.join(ASIDE);
    fs::create_dir_all(&aside)?;
    let number = fs::read_dir(&aside)?.count();
    let kept_as = aside.join(format!("{INDEX}-{number}"));
    fs::rename(&index, &kept_as)?;
    fs::rename(&salvaged, &index)?;
    fs::File::open(directory)?.sync_all()?;
    Ok(kept_as)
}

fn fill(
    copy: &Path,
    draft: &Path,
    disk: &dyn Disk,
    headers: &Headers,
    settings: &Settings,
) -> Result<Salvaged, OpenError> {
    let wrong = |error: StoreError| OpenError::Engine { path: copy.to_owned(), error: error.to_string() };
    let into = Engine::open(draft, settings).map_err(wrong)?;
    let mut salvage = Salvage::new(&into);
    let old = open_old(copy, disk, headers, settings);
    if let Some(old) = &old {
        salvage.all(&old.view()).map_err(wrong)?;
    }
    // What the log holds is read again from its beginning where nobody knows
    // better.
    let begins = headers.begins.unwrap_or(1).saturating_sub(1);
    salvage.finish(headers.epoch.into(), begins).map_err(wrong)?;
    let Salvage { records, holes, damaged, .. } = salvage;
    into.checkpoint().map_err(wrong)?;
    Ok(Salvaged { records, holes, damaged, opened: old.is_some(), kept_as: PathBuf::new() })
}

/// The old index, with its lists taken as they are if they do not fit.
fn open_old(copy: &Path, disk: &dyn Disk, headers: &Headers, settings: &Settings) -> Option<Engine> {
    journal::mend(copy, disk, headers.begins).ok()?;
    fs::write(copy.join("version"), b"FJL\x03").ok()?;
    fs::write(copy.join("lock"), b"").ok()?;
    if tables::look(copy).ok()? != tables::Found::Sound {
        tables::trees(copy).ok()?.iter().for_each(|tree| drop(tables::trust_latest_list(tree)));
    }
    catch_unwind(AssertUnwindSafe(|| Engine::open(copy, settings))).ok()?.ok()
}

struct Salvage<'a> {
    into: &'a Engine,
    changes: Changes,
    /// Queues by session: the head that was found, and what runs there are.
    heads: BTreeMap<u64, (Option<Head>, Runs)>,
    /// Shared messages: whether it is there, and how many entries name it.
    bodies: BTreeMap<u64, (bool, u64)>,
    epoch: u64,
    applied: Option<u64>,
    records: u64,
    holes: u64,
    /// Where the last of them ends.
    hole_ends: Vec<u8>,
    damaged: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Runs {
    lowest: Option<u64>,
    end: u64,
    entries: u64,
    weight: u64,
}

/// How far a stretch could be read.
enum Reached {
    Nothing,
    Key(Vec<u8>),
    TheEnd,
}

type Record = (fjall::Slice, fjall::Slice);

impl<'a> Salvage<'a> {
    fn new(into: &'a Engine) -> Self {
        let (heads, bodies) = (BTreeMap::new(), BTreeMap::new());
        let (changes, applied) = (Changes::default(), None);
        Self {
            into,
            changes,
            heads,
            bodies,
            epoch: 0,
            applied,
            records: 0,
            holes: 0,
            hole_ends: Vec::new(),
            damaged: 0,
        }
    }

    fn all(&mut self, view: &View<'_>) -> Result<(), StoreError> {
        let whole = |kind: u8| (vec![kind], vec![kind + 1]);
        let tables = Table::ALL.iter().map(|table| (vec![kind::ROW, table.code()], vec![kind::ROW, table.code() + 1]));
        let kinds = [META, kind::HEAD, kind::RUN, kind::BODY].map(whole);
        for (from, to) in kinds.into_iter().chain(tables) {
            self.stretch(view, from, to, HALVINGS)?;
        }
        Ok(())
    }

    /// Takes the records from `from` up to `to`, from both ends as far as they
    /// can be read, and then what lies between by halves.
    fn stretch(&mut self, view: &View<'_>, from: Vec<u8>, to: Vec<u8>, halvings: u32) -> Result<(), StoreError> {
        let (mut low, mut high) = (from, to);
        match self.read(view, &low, &high, false)? {
            Reached::TheEnd => return Ok(()),
            Reached::Key(key) => low = [key.as_slice(), &[0]].concat(),
            Reached::Nothing => {}
        }
        match self.read(view, &low, &high, true)? {
            Reached::TheEnd => return Ok(()),
            Reached::Key(key) => high = key,
            Reached::Nothing => {}
        }
        let middle = middle(&low, &high);
        if halvings == 0 || middle <= low || middle >= high {
            // Halves of one stretch lie side by side.
            self.holes += u64::from(self.hole_ends != low);
            self.hole_ends = high;
            return Ok(());
        }
        self.stretch(view, low, middle.clone(), halvings - 1)?;
        self.stretch(view, middle, high, halvings - 1)
    }

    /// Takes what can be read from one end; answers how far that was. The
    /// engine takes some damage for a mistake of its own.
    fn read(&mut self, view: &View<'_>, from: &[u8], to: &[u8], backwards: bool) -> Result<Reached, StoreError> {
        let (mut reached, mut failed) = (Reached::Nothing, Ok(()));
        let range = (Bound::Included(from.to_vec()), Bound::Excluded(to.to_vec()));
        let read = catch_unwind(AssertUnwindSafe(|| {
            let mut rows = view.range(range);
            while let Some(row) = if backwards { rows.next_back() } else { rows.next() } {
                let Ok(row) = row else { return false };
                reached = Reached::Key(row.0.to_vec());
                failed = self.take(row);
                if failed.is_err() {
                    return false;
                }
            }
            true
        }));
        failed?;
        Ok(if read.unwrap_or(false) { Reached::TheEnd } else { reached })
    }

    fn take(&mut self, (key, value): Record) -> Result<(), StoreError> {
        self.records += 1;
        if self.understand(&key, &value).is_none() {
            self.damaged += 1;
            return Ok(());
        }
        if ![Some(&META), Some(&kind::HEAD)].contains(&key.first()) {
            self.put(key.to_vec(), value.to_vec())?;
        }
        Ok(())
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        self.changes.put(key, value);
        if self.changes.puts.len() >= SLICE { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.into.wait_until_ready();
        self.into.commit(std::mem::take(&mut self.changes))
    }

    /// `None` when the record is not what was written.
    fn understand(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match *key.first()? {
            META if key == EPOCH => self.epoch = unsealed(key, value).ok()?.number().ok()?,
            META if key == APPLIED => self.applied = Some(unsealed(key, value).ok()?.number().ok()?),
            META => {}
            kind::HEAD => {
                let head = Head::from_bytes(key, value).ok()?;
                self.heads.entry(number_of(key)?).or_default().0 = Some(head);
            }
            kind::RUN => {
                let (outline, first) = (Outline::of(key, value).ok()?, first_of(key)?);
                let runs = &mut self.heads.entry(number_of(key)?).or_default().1;
                // Read from both ends, so not in order.
                runs.lowest = Some(runs.lowest.map_or(first, |lowest| lowest.min(first)));
                runs.end = runs.end.max(first.saturating_add(outline.entries));
                runs.entries += outline.entries;
                runs.weight += outline.weight;
                for body in outline.bodies {
                    self.bodies.entry(body).or_default().1 += 1;
                }
            }
            kind::BODY => {
                read_message(&mut unsealed(key, value).ok()?).ok()?;
                self.bodies.entry(number_of(key)?).or_default().0 = true;
            }
            _ => drop(unsealed(key, value).ok()?),
        }
        Some(())
    }

    /// Writes what records say of each other, as it is now.
    fn finish(&mut self, epoch: u64, applied: u64) -> Result<(), StoreError> {
        for (session, (head, runs)) in std::mem::take(&mut self.heads) {
            let key = key_of(kind::HEAD, session);
            let lowest = runs.lowest.unwrap_or(0);
            let mut head = head.unwrap_or_else(|| {
                self.damaged += 1;
                Head { wanted: lowest, unused: runs.end, ..Head::default() }
            });
            (head.entries, head.weight) = (runs.entries, runs.weight);
            head.lowest_run = runs.lowest.unwrap_or(head.wanted);
            head.unused = head.unused.max(runs.end);
            let value = head.to_bytes(&key);
            self.put(key, value)?;
        }
        for (body, (is_there, sharers)) in std::mem::take(&mut self.bodies) {
            match (is_there, sharers) {
                (true, 0) => self.changes.deletes.push(key_of(kind::BODY, body)),
                (true, sharers) => self.changes.put_number(&key_of(kind::SHARES, body), sharers),
                (false, _) => self.damaged += 1,
            }
        }
        self.changes.put_number(EPOCH, self.epoch.max(epoch));
        self.changes.put_number(APPLIED, self.applied.unwrap_or(applied));
        self.write()
    }
}

/// A key between the two, by the first sixteen bytes behind what they have in
/// common.
fn middle(low: &[u8], high: &[u8]) -> Vec<u8> {
    let common = low.iter().zip(high).take_while(|(low, high)| low == high).count();
    let number = |key: &[u8]| {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(key.iter().skip(common)).for_each(|(to, from)| *to = *from);
        u128::from_be_bytes(bytes)
    };
    let (from, to) = (number(low), number(high));
    let half = from + (to.saturating_sub(from)) / 2;
    [low.get(..common).unwrap_or_default(), half.to_be_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::middle;

    #[test]
    fn a_key_between_two_is_found_whatever_they_have_in_common() {
        for (low, high) in [("a", "c"), ("a", "b"), ("kk1", "kk2"), ("", "z"), ("abc", "abd\0")] {
            let middle = middle(low.as_bytes(), high.as_bytes());
            assert!(low.as_bytes() < middle.as_slice() && middle.as_slice() < high.as_bytes(), "{low} {high}");
        }
        assert!(middle(b"a", b"a\0").as_slice() >= b"a\0".as_slice(), "there is none between");
    }
}
