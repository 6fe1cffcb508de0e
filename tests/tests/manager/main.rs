//! Managers: state in a server process, and the processes that share it.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

/// Calls: results, panics, time-outs, order, calls within calls.
mod calls;

/// What the ready-made objects do, between processes.
mod objects;

/// Proxies through everything that carries messages, and how long objects live.
mod travel;

/// Clients, servers and owners that die.
mod deaths;

/// Managers with an address: names, keys, builds.
mod remote;

/// Attacks.
mod hostile;

/// Kills by the thousand.
mod storms;

/// What several files need.
mod helpers;
