//! What the tests of threads share.
//!
//! Everything in the memory column works between threads of one process as it does between processes, and there the
//! sanitizers see it: `cargo xtask sanitize`. The tests of this package have [`Plain`] memory beside what they test,
//! without any synchronisation of its own. If a lock, an event or a queue does not order what it must, ThreadSanitizer
//! reports the plain memory.

mod crew;
mod plain;

pub use crew::together;
pub use plain::Plain;
