//! rustls without buffers of its own.
//!
//! What lives here: what goes in and out of one TLS connection, between bytes
//! that somebody else read and bytes that somebody else writes. What does not:
//! the socket ([`super::Transport`]), the course of a handshake (`accept`).
//! Invariant: what rustls has to say itself is in `owed`, in order, before
//! anything that is encrypted later.
//!
//! With its buffered interface rustls keeps 4 KiB a connection for ever, a third
//! of an idle one, and copies every record that comes once more.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{CommonState, Error, InvalidMessage, ServerConfig};

use super::out::Out;
use crate::telemetry::metrics::Counter;

/// Plaintext of a record at most.
const RECORD: usize = 16 * 1024;
/// What a record takes beside its plaintext, in TLS 1.2 and 1.3, generously.
const AROUND_A_RECORD: usize = 48;
/// A record or a handshake message that is not whole yet, bytes at most.
const MOST_KEPT: usize = 64 * 1024;

/// See the module.
pub(super) struct Session {
    tls: UnbufferedServerConnection,
    /// The beginning of a record, or of a handshake message, that came.
    rest: Vec<u8>,
    /// What rustls has to say, already encrypted where it must be.
    pub(super) owed: Vec<u8>,
    /// Plaintext that came with the end of the handshake.
    pub(super) early: Vec<u8>,
    /// After an error nothing is heard or said any more.
    failed: bool,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The handshake waits for more.
    Shaking,
    /// Both sides may speak.
    Open,
    /// The peer has said goodbye.
    Closed,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("rest", &self.rest.len())
            .field("owed", &self.owed.len())
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let tls = UnbufferedServerConnection::new(config)?;
        Ok(Self { tls, rest: Vec::new(), owed: Vec::new(), early: Vec::new(), failed: false })
    }

    /// What is known of the peer and of what was agreed.
    pub(super) fn common(&self) -> &CommonState {
        &self.tls
    }

    /// Puts what is left of the last read in front of `cipher`, before room for
    /// the next bytes, and says how much it is.
    pub(super) fn begin(&self, cipher: &mut Vec<u8>, room: usize) -> usize {
        let kept = self.rest.len();
        if cipher.len() < kept + room {
            cipher.resize(kept + room, 0);
        }
        if let Some(front) = cipher.get_mut(..kept) {
            front.copy_from_slice(&self.rest);
        }
        kept
    }

    /// Takes in `cipher`, as [`Session::begin`] prepared it, and appends what it
    /// says to `into`. What is no whole record yet is kept.
    ///
    /// # Errors
    /// The peer broke the protocol, or is refused; the alert is in `owed`.
    pub(super) fn hear(&mut self, cipher: &mut [u8], into: &mut Vec<u8>) -> Result<Phase, Error> {
        let heard = self.hear_all(cipher, into);
        self.failed = heard.is_err();
        let (phase, used) = heard?;
        self.rest = cipher.get(used..).unwrap_or_default().to_vec();
        let is_shaking = phase == Phase::Open && self.tls.is_handshaking();
        Ok(if is_shaking { Phase::Shaking } else { phase })
    }

    fn hear_all(&mut self, cipher: &mut [u8], into: &mut Vec<u8>) -> Result<(Phase, usize), Error> {
        let mut at = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.tls.process_tls_records(cipher.get_mut(at..).unwrap_or_default());
            let mut used = discard;
            let done = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        into.extend_from_slice(record.payload);
                        used += record.discard;
                    }
                    None
                }
                Ok(ConnectionState::EncodeTlsData(said)) => {
                    encode(said, &mut self.owed)?;
                    None
                }
                Ok(ConnectionState::TransmitTlsData(said)) => {
                    said.done();
                    None
                }
                Ok(ConnectionState::WriteTraffic(_)) => Some(Phase::Open),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(Phase::Closed),
                Ok(ConnectionState::BlockedHandshake) => Some(Phase::Shaking),
                Ok(_) => return Err(Error::General("early data was not offered".to_owned())),
                Err(error) => {
                    // The alert that says why is taken out before anything is looked at.
                    let rest = cipher.get_mut(at + discard..).unwrap_or_default();
                    if let Ok(ConnectionState::EncodeTlsData(said)) = self.tls.process_tls_records(rest).state {
                        encode(said, &mut self.owed)?;
                    }
                    return Err(error);
                }
            };
            at += used;
            if let Some(phase) = done {
                // With its own buffers rustls has the same bound.
                let is_much = cipher.len().saturating_sub(at) > MOST_KEPT;
                let error = Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge);
                return if is_much { Err(error) } else { Ok((phase, at)) };
            }
        }
    }

    /// Encrypts `bytes` behind what is owed, and appends both to `out`.
    ///
    /// # Errors
    /// Nothing can be said any more.
    pub(super) fn say(&mut self, bytes: &[u8], out: &mut Out) -> io::Result<()> {
        let room = bytes.len() + bytes.len().div_ceil(RECORD) * AROUND_A_RECORD;
        self.speak(out, room, |traffic, into| traffic.encrypt(bytes, into))?;
        Counter::TlsRecordsSent.add(bytes.len().div_ceil(RECORD) as u64);
        Ok(())
    }

    /// Appends the goodbye to `out`, behind what is owed.
    pub(super) fn say_goodbye(&mut self, out: &mut Out) {
        // Who is gone already needs none.
        let _ = self.speak(out, AROUND_A_RECORD, |traffic, into| traffic.queue_close_notify(into));
    }

    fn speak(
        &mut self,
        out: &mut Out,
        mut room: usize,
        write: impl Fn(&mut Traffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        while !self.failed {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut self.rest);
            match state.map_err(io::Error::other)? {
                ConnectionState::EncodeTlsData(said) => encode(said, &mut self.owed).map_err(io::Error::other)?,
                ConnectionState::TransmitTlsData(said) => said.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    out.extend(&std::mem::take(&mut self.owed));
                    match write(&mut traffic, out.room(room)) {
                        Ok(count) => {
                            out.wrote(count);
                            return Ok(());
                        }
                        Err(EncryptError::InsufficientSize(wanted)) if wanted.required_size > room => {
                            room = wanted.required_size;
                        }
                        Err(error) => return Err(io::Error::other(error)),
                    }
                }
                _ => break,
            }
            self.rest.drain(..discard);
        }
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

type Traffic<'c> = rustls::unbuffered::WriteTraffic<'c, rustls::server::ServerConnectionData>;

fn encode(mut said: EncodeTlsData<'_, rustls::server::ServerConnectionData>, into: &mut Vec<u8>) -> Result<(), Error> {
    let from = into.len();
    let mut room = 0;
    loop {
        into.resize(from + room, 0);
        match said.encode(into.get_mut(from..).unwrap_or_default()) {
            Ok(_) => return Ok(()),
            Err(EncodeError::InsufficientSize(wanted)) if wanted.required_size > room => room = wanted.required_size,
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
}
