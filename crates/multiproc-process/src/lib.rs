//! Start any Rust function in another process.
//!
//! # Hello
//!
//! ```
//! use multiproc_process::Process;
//!
//! fn work((name, times): (String, usize)) -> String {
//!     format!("hello {name}, from process {}", std::process::id()).repeat(times)
//! }
//!
//! let child = Process::spawn(("world".to_owned(), 1), work)?;
//! assert!(child.join()?.starts_with("hello world"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! There is nothing to set up: no call at the top of `main`, no attribute, no guard. The child is this same
//! executable, which notices before `main` that it is a child, calls the function, and ends. The same code works in
//! a binary, under `cargo test`, in benches, examples, doctests, and inside a library.
//!
//! # Arguments and results
//!
//! One argument, one result, both of any serde type that owns its data; several values travel as a tuple. Handles
//! (connections, shared memory, files, …) may be anywhere inside them. A function that does not return says so by its
//! type: `|q| -> () { loop { … } }`. A closure may not capture; pass what it needs as an argument.
//!
//! # How a process ends
//!
//! | the function | `join` | `exit_code` |
//! |---|---|---|
//! | returns | `Ok(value)` | 0 |
//! | panics | `JoinError::Panicked` with message, location, backtrace | 101 |
//! | calls `std::process::exit(n)` | `JoinError::Exited { code: n }` | n |
//! | is ended by signal n | `JoinError::Signaled { signal: n, .. }` | -n |
//! | overflows its stack | `JoinError::Signaled { signal: 11, .. }` | -11 |
//!
//! # Start methods
//!
//! [`StartMethod::Spawn`] executes the program anew; [`StartMethod::ForkServer`] clones a helper that has been
//! started once, in a fraction of the time. In both the child begins with statics as in a new program. Plain fork is
//! there for those who know its rules: [`Builder::spawn_forked`].
//!
//! # Seeing inside
//!
//! [`log_to_stderr`] tells when a process calls its function, shuts down, and exits with which code, children included.
//! The same goes to the program's own `tracing` subscriber, if it has one; it gets spans, too, around each start
//! (`start`) and, in the child, around the function (`call`, with the process' name as `process.name`).
//!
//! # Differences from Python
//!
//! - A panic exits with 101 instead of 1, and reaches the parent as an error instead of text on stderr alone.
//! - A function's return value is its result, not its exit code.
//! - A daemon may have children; they end with it.
//! - A handle that is dropped detaches its process; nothing is reaped behind anybody's back, and no child of other
//!   code is ever waited for.
//!
//! # What happens when a process dies here
//!
//! - *A child*: its handle tells how. Nothing of it is left: no zombie, no descriptor.
//! - *The parent, by exit*: daemons get SIGTERM (and SIGKILL two seconds later), the others are waited for.
//! - *The parent, by SIGKILL*: daemons, and the children of daemons, die with it at once. Others go on.
//! - *The fork server*: its children do not notice, and the next start makes a new one.

mod builder;
mod child;
mod error;
mod executable;
mod fork;
mod forked;
mod forkserver;
mod function;
mod hook;
mod info;
mod lock;
mod log;
mod panics;
#[doc(hidden)]
pub mod peek;
mod process;
mod registry;
mod spawner;
mod start;
mod status;
mod stdio;

pub use builder::{Builder, StartMethod, default_start_method, set_default_start_method};
pub use error::{JoinError, SpawnError};
pub use executable::set_executable;
pub use function::{CallError, ForeignFunction, Func, FuncWith, Remote, Returned};
pub use hook::init;
pub use info::{ProcessInfo, cpu_count, current_process, parent_process};
pub use log::{LogError, log_to_stderr};
pub use panics::Panic;
#[doc(hidden)]
pub use panics::{catch, discard};
pub use process::Process;
pub use registry::active_children;
pub use status::ExitStatus;
pub use stdio::Stdio;
pub use tracing::Level;
