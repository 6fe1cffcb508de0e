//! Processes, from the first hello to trees that are killed.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests may panic as tests do, and children print to be heard"
)]

/// The variable by which the library marks a child.
const MARKER: &str = concat!(
    "MULTIPROC_BOOT_",
    env!("CARGO_PKG_VERSION_MAJOR"),
    "_",
    env!("CARGO_PKG_VERSION_MINOR"),
    "_",
    env!("CARGO_PKG_VERSION_PATCH")
);

/// Arguments and results of every kind and size.
mod values;

/// Shared memory inside arguments and results, through the facade.
mod shared;

/// A child that panics, where it should not.
mod panics;

/// Exit codes and signals.
mod exits;

/// Who is called what, and who is whose parent.
mod names;

/// Waiting for the end, and letting go of the handle.
mod waiting;

/// Standard descriptors, environment, directory and limits.
mod surroundings;

/// The exact set of descriptors that a child has.
mod descriptors;

/// A thousand starts at once, beside code that does everything wrong.
mod storms;

/// Trees of processes whose root is killed.
mod trees;

/// What becomes of children when their parent exits.
mod exit;

/// The fork server dies.
mod server;

/// Start-up messages that are damaged.
mod boot;
/// The child dies while it starts.
mod startup;

/// Children by plain fork.
mod forked;

/// Code that runs before `main`.
mod constructors;

/// Programs in odd states: moved, deleted, with closed descriptors, before `main`, forked.
mod places;
