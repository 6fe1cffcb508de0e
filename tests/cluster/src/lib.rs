//! What the tests of the pool over several hosts share: a server of their own, agents, and flags that hosts can see.
//!
//! Without `nats-server` (Debian: `apt-get install nats-server`) the tests say so and pass; `cargo xtask ci cluster` finds
//! or installs it.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::print_stdout,
    reason = "a helper that fails must fail its test, and says how"
)]

mod agent;
mod flag;
mod proxy;
mod server;
mod spy;

pub use agent::{Agent, LEASE, wait_for_agents};
pub use flag::Flag;
pub use proxy::Wire;
pub use server::Server;
pub use spy::{Overheard, Spy};

use multiproc::cluster::{Nats, NatsBuilder};
use multiproc::{Pool, PoolBuilder};

/// The key of all tests.
pub const KEY: &str = "the key of the tests";

/// Describes a pool at that address.
pub fn pool_at(url: &str) -> PoolBuilder {
    Pool::builder().backend(nats_at(url))
}

/// Describes a connection with the tests' key and lease.
pub fn builder_at(url: &str) -> NatsBuilder {
    Nats::builder(url).key(KEY).lease(LEASE)
}

/// Connects so.
pub fn nats_at(url: &str) -> Nats {
    builder_at(url).connect().unwrap()
}
