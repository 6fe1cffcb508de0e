//! The one thread of a pool: what nobody waits for, and what takes time.

use super::core::SUPERVISES;
use super::{After, Core, Ending};
use crate::TaskError;
use crate::backend::Shutdown;
use multiproc_core::Deadline;
use multiproc_process::{catch, discard};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A pause after an error that can pass: more descriptors than may be watched.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) fn start(core: Arc<Core>) -> io::Result<()> {
    thread::Builder::new().name("multiproc-pool".to_owned()).spawn(move || {
        SUPERVISES.set(std::ptr::from_ref(&*core).addr());
        let over = Over(&core);
        run(&core);
        drop(over);
        call_back(&core);
    })?;
    Ok(())
}

/// Says that the pool has ended, however its supervisor does.
struct Over<'a>(&'a Core);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // Nobody may wait for what will never come.
            let mut after = After::default();
            let mut engine = self.0.engine.lock();
            self.0.inbox.lock().is_closed = true;
            self.0.take_in(&mut engine);
            engine.abandon(&TaskError::Closed, &mut after);
            engine.backend.shut_down(Shutdown::Now, None);
        }
        *self.0.end.is_over.lock() = true;
        self.0.end.came.notify_all();
    }
}

fn run(core: &Core) {
    loop {
        let seen = core.door.seen();
        let mut after = After::default();
        let (next, is_over) = {
            let mut engine = core.engine.lock();
            core.take_in(&mut engine);
            engine.work(&mut after);
            engine.attend(&mut after);
            let is_over = match *core.end.ending.lock() {
                None => false,
                Some(ending) => end(&mut engine, core, ending, &mut after),
            };
            // Under the same lock: who sets an earlier time after this finds that it must ring.
            engine.wakes_at = engine.next_attention();
            (engine.wakes_at, is_over)
        };
        core.conclude(after);
        call_back(core);
        if is_over {
            return;
        }
        let deadline = next.map_or(Deadline::NEVER, Deadline::at);
        if let Err(error) = core.door.wait(seen, !core.is_collected(), deadline) {
            tracing::error!(target: "multiproc::pool", %error, "the pool cannot watch its workers");
            thread::sleep(PAUSE);
        }
    }
}

/// Goes on with the end of the pool; tells whether that was all.
fn end(engine: &mut super::Engine, core: &Core, ending: Ending, after: &mut After) -> bool {
    // Once more: the inbox is closed by now.
    core.take_in(engine);
    let how = match ending {
        Ending::Kill => {
            engine.is_over = true;
            engine.abandon(&TaskError::Cancelled, after);
            Shutdown::Now
        }
        Ending::CancelQueued => {
            engine.cancel_queued(after);
            Shutdown::Drained
        }
        Ending::Drain => Shutdown::Drained,
    };
    if !engine.is_idle() {
        engine.hand_out(after);
        return false;
    }
    engine.is_over = true;
    // Workers that leave in order may have children that they wait for: whoever terminates meanwhile is heard.
    let step = (how == Shutdown::Drained).then(|| Instant::now() + Duration::from_millis(50));
    let is_gone = engine.backend.try_shut_down(how, step);
    if is_gone {
        engine.ids.clear();
    }
    is_gone
}

/// Calls what waits for that, without any lock; a panic harms nobody.
pub(super) fn call_back(core: &Core) {
    loop {
        let callbacks = std::mem::take(&mut *core.callbacks.lock());
        if callbacks.is_empty() {
            return;
        }
        for callback in callbacks {
            if let Err(panic) = catch(callback) {
                tracing::error!(target: "multiproc::pool", why = panic.message, place = panic.location, "a callback panicked");
                discard(panic);
            }
        }
    }
}
