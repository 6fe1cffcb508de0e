//! SIGTERM and ctrl-C, told to all agents of this process.

use multiproc_core::sys::interrupt;
use parking_lot::Mutex;
use std::io;
use std::thread;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

static AGENTS: Mutex<Vec<UnboundedSender<()>>> = Mutex::new(Vec::new());

/// Tells of each signal from now on.
pub(super) fn listen() -> io::Result<UnboundedReceiver<()>> {
    let (tell, told) = unbounded_channel();
    AGENTS.lock().push(tell);
    if let Some(signals) = interrupt::listen_to_all()? {
        thread::Builder::new().name("multiproc-signals".to_owned()).spawn(move || {
            while signals.wait().is_ok() {
                let mut agents = AGENTS.lock();
                agents.retain(|agent| agent.send(()).is_ok());
                if agents.is_empty() {
                    // There is nobody who would end in order.
                    std::process::exit(128 + 15);
                }
            }
        })?;
    }
    Ok(told)
}
