//! What the tests of real processes share.
//!
//! [`isolated`] and its relatives run a test's body in a fresh process of the test binary. The test itself is the
//! watchdog: when the time is up it tells what was hanging and kills every descendant, so that a hang is a failure
//! and not a machine that is busy for ever. When the body is done, children, zombies, descriptors and names in
//! `/dev/shm` are counted, and must be as before.
//!
//! Descendants are found by a variable in their environment, which they inherit whatever becomes of their parents.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a helper that fails must fail its test, and says how"
)]

mod bytes;
mod guard;
mod isolate;
pub mod proc;
pub mod raw;
mod report;

pub use bytes::Bytes;
pub use isolate::{
    Limit, isolated, isolated_for, isolated_in_role, on_both, on_both_fresh, on_fork_server, role_command,
};
pub use proc::eventually;
pub use report::skip;
