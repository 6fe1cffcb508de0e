//! Ctrl-C, for pools that ask for it.

use crate::engine::{Core, Ending};
use multiproc_core::Deadline;
use multiproc_core::sys::interrupt;
use parking_lot::Mutex;
use std::io::{self, Write};
use std::sync::{Arc, Weak};
use std::thread;

/// The pools that ask for it.
static POOLS: Mutex<Vec<Weak<Core>>> = Mutex::new(Vec::new());

/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: i32 = 128 + 2;

/// Handles ctrl-C for this pool, too.
pub(crate) fn handle(core: &Arc<Core>) -> io::Result<()> {
    let mut pools = POOLS.lock();
    pools.retain(|pool| pool.strong_count() > 0);
    let is_first = pools.is_empty();
    pools.push(Arc::downgrade(core));
    drop(pools);
    if !is_first {
        return Ok(());
    }
    let Some(signals) = interrupt::listen()? else { return Ok(()) };
    thread::Builder::new().name("multiproc-ctrl-c".to_owned()).spawn(move || {
        let mut count = 0;
        while signals.wait().is_ok() {
            let pools: Vec<Arc<Core>> = POOLS.lock().iter().filter_map(Weak::upgrade).collect();
            count += 1;
            if pools.is_empty() || count > 1 {
                pools.iter().for_each(|pool| pool.finish(Ending::Kill));
                for pool in &pools {
                    pool.join(Deadline::NEVER);
                }
                std::process::exit(INTERRUPTED);
            }
            let _ = io::stderr().write_all(
                b"multiproc: interrupted: finishing what has been begun; once more to end it at once\n",
            );
            pools.iter().for_each(|pool| pool.finish(Ending::CancelQueued));
        }
    })?;
    Ok(())
}
