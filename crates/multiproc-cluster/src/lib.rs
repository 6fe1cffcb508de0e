//! The pool over several hosts, on NATS JetStream.

mod agent;
mod caller;
mod error;
mod key;
mod letters;
mod link;
mod names;
mod nats;
mod room;
mod seal;
mod settings;
mod wire;

pub use agent::{AgentOptions, serve};
pub use error::ClusterError;
pub use letters::DeadLetter;
pub use nats::{Nats, NatsBuilder};
pub use settings::Storage;
