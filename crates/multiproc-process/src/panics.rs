//! What a panic said, where it was, and how it came there.

use serde::{Deserialize, Serialize};
use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;
use std::thread;

/// A panic, as it travels to another process.
///
/// # Examples
///
/// ```
/// use multiproc_core::codec;
/// use multiproc_process::{CallError, Remote};
///
/// let remote = Remote::new(|()| -> () { panic!("oh") })?;
/// let Err(CallError::Panicked(panic)) = remote.call(&codec::encode(&())?.bytes, Vec::new()) else { unreachable!() };
/// assert_eq!(panic.message, "oh");
/// println!("{} {}", panic.location, panic.backtrace);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Panic {
    /// What it said.
    pub message: String,
    /// `file:line:column`, empty where a hook of the user's own was in the way.
    pub location: String,
    /// The stack, symbolised as far as the build allows.
    pub backtrace: String,
}

/// What the hook has seen of the last panic on a thread.
enum Caught {
    /// Nobody will ask.
    Unwanted,
    Nothing,
    /// The stack is symbolised only when it is told to somebody: that takes long, and most panics that a function
    /// catches itself are told to nobody.
    Panic {
        location: String,
        backtrace: Backtrace,
    },
}

impl Caught {
    /// What there is to tell, with the message that the panic itself carries.
    fn told(self, message: String) -> Panic {
        match self {
            Caught::Unwanted | Caught::Nothing => Panic { message, ..Panic::default() },
            Caught::Panic { location, backtrace } => {
                Panic { message, location, backtrace: backtrace.to_string() }
            }
        }
    }
}

thread_local! {
    /// Not `Unwanted` while this thread runs a function whose panic is wanted.
    static CAUGHT: RefCell<Caught> = const { RefCell::new(Caught::Unwanted) };
}

/// Runs `f`, and gives its panic, if there is one, with location and backtrace.
///
/// The panic is still printed by whatever hook was there before. For crates that call functions themselves, as the
/// pool does.
///
/// # Errors
///
/// The panic.
pub fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Panic> {
    prepare();
    let outer = CAUGHT.replace(Caught::Nothing);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    let caught = CAUGHT.replace(outer);
    result.map_err(|payload| {
        let message = message_of(&*payload);
        discard(payload);
        caught.told(message)
    })
}

/// Does what [`catch`] does only once.
pub(crate) fn prepare() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            record(info);
            previous(info);
        }));
    });
}

/// Drops a value whose destructor may panic; tells whether it did.
pub fn discard<T>(value: T) -> bool {
    match panic::catch_unwind(AssertUnwindSafe(|| drop(value))) {
        Ok(()) => false,
        // Its own destructor could panic again: better leaked.
        Err(payload) => {
            std::mem::forget(payload);
            true
        }
    }
}

fn record(info: &PanicHookInfo<'_>) {
    // At the end of a thread there is nothing left to look into.
    let wanted = CAUGHT
        .try_with(|caught| caught.try_borrow().is_ok_and(|caught| !matches!(*caught, Caught::Unwanted)));
    if !wanted.unwrap_or(false) {
        return;
    }
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let caught = Caught::Panic { location, backtrace: Backtrace::force_capture() };
    if thread::current().name().is_none() {
        // std has no name for the thread that a child calls its function on; the process has one.
        let line = format!("\nprocess '{}':", crate::info::me().identity.name);
        let _ = io::stderr().write_all(line.as_bytes());
    }
    if cfg!(panic = "abort") {
        // Nothing will be caught: this is the last that anybody hears of it.
        crate::child::report_last_panic(caught.told(message_of(info.payload())));
        return;
    }
    let _ = CAUGHT.try_with(|place| place.try_borrow_mut().map(|mut place| *place = caught));
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is no text".to_owned()
    }
}
