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

thread_local! {
    /// `Some` while this thread runs a function whose panic is wanted.
    static CAUGHT: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// Runs `f`, and gives its panic, if there is one, with location and backtrace.
///
/// The panic is still printed by whatever hook was there before.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Panic> {
    prepare();
    let outer = CAUGHT.replace(Some(Panic::default()));
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    let caught = CAUGHT.replace(outer);
    result.map_err(|payload| {
        let message = message_of(&*payload);
        discard(payload);
        Panic { message, ..caught.unwrap_or_default() }
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
pub(crate) fn discard<T>(value: T) -> bool {
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
    let wanted = CAUGHT.with(|caught| caught.try_borrow().is_ok_and(|caught| caught.is_some()));
    if !wanted {
        return;
    }
    let panic = Panic {
        message: message_of(info.payload()),
        location: info.location().map(ToString::to_string).unwrap_or_default(),
        backtrace: Backtrace::force_capture().to_string(),
    };
    if thread::current().name().is_none() {
        // std has no name for the thread that a child calls its function on; the process has one.
        let line = format!("\nprocess '{}':", crate::info::me().identity.name);
        let _ = io::stderr().write_all(line.as_bytes());
    }
    if cfg!(panic = "abort") {
        // Nothing will be caught: this is the last that anybody hears of it.
        crate::child::report_last_panic(&panic);
    }
    CAUGHT.with(|caught| {
        if let Ok(mut caught) = caught.try_borrow_mut() {
            *caught = Some(panic);
        }
    });
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
