//! What the standard asks of a server, seen from outside.
//!
//! What lives here: conversations over TCP with a whole broker, by chapter.
//! What does not: single packets (`codec` and its neighbours), clients that we
//! did not write (`tests/clients`). Invariant: no test depends on how long
//! something takes, but on what comes and in which order; where the standard
//! itself speaks of seconds, one second is waited for at most.

mod client;
mod connect;
mod ending;
mod host;
mod limits;
mod older;
mod publish;
mod quality;
mod restart;
mod retained;
mod shared;
mod statements_3_1_1;
mod subscribe;
mod sys;
mod will;
