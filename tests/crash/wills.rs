//! Clients that are connected in the moment of the kill, and what they leave.

use super::chance::Chance;
use super::ledger::Track;
use super::wire::{Hello, Link, Trouble, broken};

pub struct Mortal {
    name: String,
    v5: bool,
    /// The wills: one number a connection.
    pub track: Track,
}

impl Mortal {
    pub fn new(name: &str, chance: &mut Chance) -> Self {
        let qos = if chance.once_in(2) { 1 } else { 2 };
        Self { name: name.to_owned(), v5: chance.once_in(2), track: Track::new(format!("w/{name}"), qos, false) }
    }

    /// Connects with a will, and lives until the broker is killed.
    pub fn live(&mut self, port: u16) -> Result<(), Trouble> {
        let number = self.track.begin();
        let will = (self.track.topic.as_str(), number.to_string(), self.track.qos);
        let hello = Hello { id: &self.name, v5: self.v5, lasting: true, will: Some(will) };
        match Link::open(port, &hello) {
            Ok((mut link, _)) => {
                self.track.acknowledge(number);
                let came = link.next()?;
                broken(format!("{}: {came:?}", self.name))
            }
            Err(trouble) => {
                // Nobody knows whether the broker had it.
                let _ = self.track.open.insert(number);
                Err(trouble)
            }
        }
    }
}
