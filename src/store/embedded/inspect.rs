//! What `certus store check` and `compact` do.
//!
//! What lives here: reading every record of the index once, and comparing what
//! records say of each other. What does not: the log, which is read at every
//! open. Invariant: a check changes nothing.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::engine::{META, first_of, kind, number_of};
use super::open::INDEX;
use super::tables::{self, Broken};
use super::{EmbeddedStore, keeper};
use crate::store::record::{Head, Malformed, Outline, read_message, unsealed};
use crate::store::{StoreError, Table};

/// So many findings are told in words; all are counted.
const TOLD: usize = 20;

/// What a store holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Queues.
    pub queues: u64,
    /// Entries on disk, finished ones of begun runs included.
    pub entries: u64,
    /// Messages that several entries share.
    pub shared_messages: u64,
    /// Rows by table.
    pub rows: BTreeMap<Table, u64>,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// How many things are wrong.
    pub faults: u64,
    /// The first of them.
    pub told: Vec<String>,
}

#[derive(Default)]
struct Inspection {
    report: Report,
    /// Entries by session: what its head says, what its runs hold.
    queues: BTreeMap<u64, (u64, u64)>,
    /// By shared message: whether it is there, its sharers as it says, those found.
    bodies: BTreeMap<u64, (bool, u64, u64)>,
}

impl EmbeddedStore {
    /// Reads every record of the index. Memory grows with the number of
    /// queues and shared messages.
    ///
    /// # Errors
    /// When the medium fails; the file that is damaged is named.
    pub fn check(&self) -> Result<Report, StoreError> {
        let report = self.with_engine(|engine| {
            let mut inspection = Inspection::default();
            for row in engine.view().range((Bound::Unbounded, Bound::Unbounded)) {
                let (key, value) = row?;
                if key.first() != Some(&META) {
                    inspection.report.bytes += (key.len() + value.len()) as u64;
                }
                if let Err(error) = inspection.record(&key, &value) {
                    inspection.fault(format!("the record under {}: {error}", key.escape_ascii()));
                }
            }
            Ok(inspection.compared())
        });
        report.map_err(|error| match tables::find_broken(&self.directory.join(INDEX)) {
            Some(Broken { file, what }) => StoreError::Io(format!("{}: {what}", file.display())),
            None => error,
        })
    }

    /// Gives back the space of what was deleted; answers the bytes of the
    /// index before and after. Needs space for a copy of what is kept.
    ///
    /// # Errors
    /// When there is no space for that, or the medium fails.
    pub fn compact(&self) -> Result<(u64, u64), StoreError> {
        self.with_engine(|engine| {
            let before = engine.disk_space();
            engine.compact(|| self.commits.is_closing(), || self.commits.pause(keeper::SOON))?;
            Ok((before, engine.disk_space()))
        })
    }
}

impl Inspection {
    fn fault(&mut self, what: String) {
        self.report.faults += 1;
        if self.report.told.len() < TOLD {
            self.report.told.push(what);
        }
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let number = || number_of(key).ok_or(Malformed::Field("key"));
        match key.first().copied() {
            Some(kind::HEAD) => {
                let head = Head::from_bytes(key, value)?;
                self.report.queues += 1;
                self.queues.entry(number()?).or_default().0 = head.entries;
            }
            Some(kind::RUN) => {
                let outline = Outline::of(key, value)?;
                first_of(key).ok_or(Malformed::Field("key"))?;
                self.report.entries += outline.entries;
                self.queues.entry(number()?).or_default().1 += outline.entries;
                for body in outline.bodies {
                    self.bodies.entry(body).or_default().2 += 1;
                }
            }
            Some(kind::BODY) => {
                let mut from = unsealed(key, value)?;
                read_message(&mut from)?;
                self.report.shared_messages += 1;
                self.bodies.entry(number()?).or_default().0 = true;
            }
            Some(kind::SHARES) => self.bodies.entry(number()?).or_default().1 = unsealed(key, value)?.number()?,
            Some(kind::ROW) => {
                unsealed(key, value)?;
                let code = *key.get(1).ok_or(Malformed::Field("key"))?;
                let table = Table::from_code(code).ok_or(Malformed::NewerTable(code))?;
                *self.report.rows.entry(table).or_default() += 1;
            }
            Some(META) => drop(unsealed(key, value)?.number()?),
            _ => return Err(Malformed::Field("kind of record")),
        }
        Ok(())
    }

    fn compared(mut self) -> Report {
        for (session, (said, found)) in std::mem::take(&mut self.queues) {
            if said != found {
                self.fault(format!("queue {session}: its head says {said} entries, its runs hold {found}"));
            }
        }
        for (body, (is_there, said, found)) in std::mem::take(&mut self.bodies) {
            match (is_there, found) {
                (false, 0) => self.fault(format!("shared message {body} is counted and not there")),
                (false, _) => self.fault(format!("shared message {body} is missing; {found} entries wait for it")),
                _ if said != found => {
                    self.fault(format!("shared message {body}: counted for {said} entries, found in {found}"));
                }
                _ => {}
            }
        }
        self.report
    }
}
