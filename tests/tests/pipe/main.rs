//! Connections between processes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests may panic as tests do, and say what they skip"
)]

/// Messages of all sizes, from several threads.
mod messages;

/// Time-outs, and waiting for many.
mod waiting;

/// Messages that hold handles.
mod handles;

/// The end of the other side: orderly, in the middle of a message, by a kill.
mod ends;

/// Bytes without a type, halves, closing, and very long messages.
mod bytes;

/// Listeners and those who connect to them.
mod listeners;

/// Attacks.
mod security;

/// CPython at the other end.
mod python;

/// Every handle through every transport.
mod transports;

/// What is awaited.
mod asynchronous;

/// Two thousand kills amid large messages.
mod kills;
