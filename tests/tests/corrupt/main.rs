//! Memory, sockets and messages in which a broken program left anything: an answer or an error that is documented;
//! never a signal, a hang, or more memory than there is something to put into.
//!
//! Each test tries many *images*: something sound, some words of which are overwritten at random, and which is then
//! attached to and used. `MULTIPROC_IMAGES=n` says how many of each kind, a few hundred if nobody says; with
//! `--nocapture` each kind tells its figures in a line.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]
#![expect(clippy::print_stdout, reason = "figures")]

/// How much memory was asked for at once.
mod heap;

/// Random damage, and what comes of it.
mod image;

/// Queues: their words, records, links, leases.
mod queue;

/// What waits beside a queue's memory: packets with handles.
mod depot;

/// Channels, with locks and without.
mod channel;

/// Everything that users lock and wait for.
mod primitives;

/// Values, slices and bytes: headers, lengths, seals, messages.
mod values;
