//! How a proxy travels depends on where it goes; this tells it.
//!
//! Between a client and the proxy's own server it is a number: the server counts who holds what. On any other way it is
//! a descriptor, which the kernel counts. serde has no way to tell a value where it goes, so the thread knows.

use crate::client::Link;
use crate::server::Entry;
use crate::server::Session;
use crate::wire::Id;
use std::cell::RefCell;
use std::sync::Arc;

/// What is being encoded or decoded on this thread.
#[derive(Debug, Default)]
pub(crate) enum Mode {
    /// Nothing that goes to or comes from a manager.
    #[default]
    Outside,
    /// A call, in a client.
    Asking(Arc<Link>),
    /// A result, in a client, which holds these references already.
    Answered(Arc<Link>, Vec<Id>),
    /// A call, in the server.
    Serving(Option<Arc<Session>>),
    /// Its result, in the server. Proxies that were encoded are kept until they are the client's.
    Granting(Vec<Arc<Entry>>),
}

thread_local! {
    static MODE: RefCell<Mode> = const { RefCell::new(Mode::Outside) };
}

/// Puts back what was before, also when there is a panic.
#[derive(Debug)]
pub(crate) struct Entered(Option<Mode>);

impl Entered {
    /// Goes over to another mode until it is dropped.
    pub(crate) fn new(mode: Mode) -> Entered {
        Entered(Some(replace(mode)))
    }

    /// Leaves early, and gives the mode with what has come of it.
    pub(crate) fn leave(mut self) -> Mode {
        self.0.take().map_or(Mode::Outside, replace)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            replace(before);
        }
    }
}

fn replace(mode: Mode) -> Mode {
    MODE.with(|cell| cell.replace(mode))
}

/// Looks at the mode.
pub(crate) fn with<T>(look: impl FnOnce(&mut Mode) -> T) -> T {
    MODE.with(|cell| look(&mut cell.borrow_mut()))
}

/// Runs the user's own code: what it encodes goes elsewhere. What is encoded after it is its result.
pub(crate) struct Outside(Option<Mode>);

impl Outside {
    pub(crate) fn enter() -> Outside {
        Outside(Some(replace(Mode::Outside)))
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        replace(match self.0.take() {
            Some(Mode::Serving(_)) => Mode::Granting(Vec::new()),
            mode => mode.unwrap_or_default(),
        });
    }
}
