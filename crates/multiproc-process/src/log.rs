//! The library's events on standard error.
//!
//! A line for each, in one piece, so that those of several processes do not mix:
//!
//! ```text
//! [INFO/Process-1] child process calling its function
//! [DEBUG/MainProcess] process ended name="Process-1" id=4711 status=exit code 0
//! ```
//!
//! Fields whose names begin with `process.` are about the very process that speaks: subscribers get them, here the
//! line's head and text say them already.

use crate::{info, registry};
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Level, Metadata, Subscriber};

/// The most that is told, by [`number`]; nothing at 0.
static MOST: AtomicU8 = AtomicU8::new(0);

/// The program has chosen who gets `tracing` events before it asked for them on standard error.
///
/// # Examples
///
/// ```
/// use multiproc_process::{Level, log_to_stderr};
///
/// if let Err(error) = log_to_stderr(Level::INFO) {
///     eprintln!("{error}"); // the program has a subscriber of its own
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error(
    "the events of multiproc cannot go to standard error: this program has set a `tracing` subscriber, which gets them (targets `multiproc::*`)"
)]
pub struct LogError(());

/// Tells on standard error what this library does, up to `level`, here and in the children that are started from now
/// on, their children included. Off until it is called; called again, it sets another level.
///
/// Each line has the level and the name of the process, as in Python. At [`Level::INFO`] a child says when it calls its
/// function, when it shuts down, and with which code it exits, and the program when it shuts down; at [`Level::DEBUG`]
/// the parent's side comes, too.
///
/// The events are those of the crate `tracing`, under targets that begin with `multiproc::`. A program that has a
/// subscriber of its own gets them there and needs no call of this. Children have none unless they set it, since
/// `main` does not run in them.
///
/// # Errors
///
/// This process has set a global subscriber.
///
/// # Examples
///
/// ```
/// use multiproc_process::{Level, Process, log_to_stderr};
///
/// log_to_stderr(Level::INFO)?;
/// Process::spawn((), |()| println!("working"))?.join()?;
/// // [INFO/Process-1] child process calling its function
/// // [INFO/Process-1] process shutting down
/// // [INFO/Process-1] process exiting with exitcode 0
/// // [INFO/MainProcess] process shutting down
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn log_to_stderr(level: Level) -> Result<(), LogError> {
    begin(number(level))
}

/// The level that children are given; 0 is off.
pub(crate) fn level() -> u8 {
    MOST.load(Ordering::Relaxed)
}

/// Does in a child what its parent does.
pub(crate) fn inherit(level: u8) {
    if level > 0 {
        // A constructor of the program may have set a subscriber, which gets the events then.
        let _ = begin(level);
    }
}

fn begin(most: u8) -> Result<(), LogError> {
    static IS_OURS: OnceLock<bool> = OnceLock::new();
    if !IS_OURS.get_or_init(|| set_global_default(Lines).is_ok()) {
        return Err(LogError(()));
    }
    MOST.store(most, Ordering::Relaxed);
    // The last lines come at exit, also of a process without children; without the handler just those are missing.
    let _ = registry::finish_at_exit();
    Ok(())
}

/// The higher, the more is told.
fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Writes events as lines.
struct Lines;

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let rest = metadata.target().strip_prefix("multiproc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl Subscriber for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Of the others not even the level is looked at.
        if metadata.is_event() && is_ours(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && is_ours(metadata) && number(*metadata.level()) <= level()
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let line = format!("[{}/{}] {text}\n", event.metadata().level(), info::me().identity.name);
        // Nobody to tell where there is no standard error.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // Spans are not enabled, so this is not called.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What an event says.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name if name.starts_with("process.") => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.message, self.fields)
    }
}
