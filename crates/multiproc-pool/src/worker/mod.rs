//! The worker's side: takes chunks one after the other until the pool closes its ring.

mod desk;
mod run;

pub(crate) use run::{Runner, Running, init, run, run_with};

use crate::backend::Knocker;
use crate::backend::wire::{AnswerKind, TaskHead, WorkerArgs};
use desk::Desk;
use multiproc_core::sys::{barrier, clock, process};
use multiproc_core::{Deadline, codec};
use multiproc_queue::link::{LinkError, Taken};
use multiproc_shm::Shared;
use std::cell::Cell;
use std::sync::atomic::Ordering;

use crate::backend::marks::Marks;

thread_local! {
    /// What this thread's worker shares with its pool.
    static MARKS: Cell<Option<Shared<Marks>>> = const { Cell::new(None) };
}

/// Tells whether the task that calls this has been asked to stop: its time is up, or it was cancelled.
///
/// Long tasks that look now and then can end in order, before the worker is killed. Always false outside of a task.
///
/// ```
/// use multiproc_pool::{Pool, TaskError, TaskOptions, is_stopping};
/// use std::time::Duration;
///
/// let pool = Pool::new(1)?;
/// let brief = TaskOptions::new().timeout(Duration::from_millis(20)).grace(Duration::from_secs(20));
/// let turns = pool.with(brief).apply((), |()| {
///     let mut turns = 1u64;
///     while !is_stopping() {
///         turns += 1;
///     }
///     turns
/// });
/// assert!(turns.unwrap() > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_stopping() -> bool {
    MARKS.with(|cell| {
        let marks = cell.take();
        let is_stopping = marks.as_ref().is_some_and(|marks| {
            // Relaxed: it orders nothing.
            let stop = marks.stop.load(Ordering::Relaxed);
            stop != 0 && stop == marks.begun.load(Ordering::Relaxed)
        });
        cell.set(marks);
        is_stopping
    })
}

/// The function that a worker process runs.
pub(crate) fn process(mut args: WorkerArgs) {
    // Its children are in its group, and end with it when it is killed. Where it leads a session it leads a group.
    let _ = process::lead_group();
    args.has_barriers = args.has_barriers && barrier::register();
    work(args);
}

/// Does what there is to do.
///
/// # Panics
///
/// The pool's memory holds what no pool writes; the pool learns why from the panic.
pub(crate) fn work(args: WorkerArgs) {
    let WorkerArgs { tasks, results, marks, board, bell, has_barriers } = args;
    MARKS.set(Some(marks.clone()));
    let knocker = Knocker::new(board, bell.into_inner());
    let desk = Desk::new(results, marks, knocker, has_barriers);
    let mut running = Box::new(Running {
        desk,
        state: None,
        record: Taken::default(),
        function: 0..0,
        arguments: 0,
        fds: Vec::new(),
        count: 0,
    });
    let mut last: (Vec<u8>, Option<Runner>) = (Vec::new(), None);
    loop {
        if tasks.is_empty() {
            running.desk.announce();
        }
        let waited = clock::nanos();
        running.record.clear();
        match tasks.take(1, Deadline::NEVER, &mut running.record) {
            Ok(()) => {}
            Err(LinkError::Busy) => continue,
            Err(LinkError::Closed) => break,
            Err(error) => panic!("a task cannot be taken: {error:?}"),
        }
        running.desk.idled(clock::nanos() - waited);
        let fds = running.record.take_fds();
        let Some((head, rest)) = TaskHead::read(running.record.first()) else { panic!("a task has no head") };
        let runner_len = head.runner_len as usize;
        let Some((code, rest)) = rest.split_at_checked(runner_len) else { panic!("a task has no code") };
        if rest.len() < head.function_len as usize {
            panic!("a task has no function");
        }
        if last.1.is_none() || last.0 != code {
            last = (code.to_vec(), codec::decode::<Runner>(code, Vec::new()).ok());
        }
        let function = TaskHead::LEN + runner_len;
        let arguments = function + head.function_len as usize;
        running.desk.open(&head, tasks.is_empty());
        (running.function, running.arguments, running.count) = (function..arguments, arguments, head.count);
        running.fds = match fds {
            Ok(fds) => fds,
            Err(error) => {
                let why = format!("its handles did not arrive: {error}");
                running.desk.fail(0, AnswerKind::NotDecoded, why.as_bytes());
                continue;
            }
        };
        let Some(runner) = &last.1 else { panic!("a task's code is not in this program") };
        running = runner.call(running);
        if head.count == 0 {
            // That was the worker's state, or there is none to be made.
            if running.state.is_none() && head.flags == 0 {
                break;
            }
            running.desk.answer(0, AnswerKind::Ready, &[]);
            running.desk.announce();
        }
    }
    MARKS.set(None);
}

/// Has nothing to make: a worker without state is ready at once.
pub(crate) fn ready(running: Box<Running>) -> Box<Running> {
    running
}
