//! The code that knows the types: what a chunk's function is, how it is called.

use super::desk::Desk;
use crate::backend::wire::AnswerKind;
use multiproc_core::Message;
use multiproc_core::codec;
use multiproc_process::{Func, FuncWith, catch, discard};
use multiproc_queue::link::Taken;
use std::any::Any;
use std::os::fd::OwnedFd;

/// A chunk under way, with all that the code needs which knows its types.
pub(crate) struct Running {
    pub(crate) desk: Desk,
    /// What `init` has made of its arguments.
    pub(crate) state: Option<Box<dyn Any>>,
    /// The record, and where in it the function and the arguments are.
    pub(crate) record: Taken,
    pub(crate) function: std::ops::Range<usize>,
    pub(crate) arguments: usize,
    pub(crate) fds: Vec<OwnedFd>,
    pub(crate) count: u32,
}

/// Code that knows the types of some function; it gives back what it was given.
pub(crate) type Runner = Func<Box<Running>, Box<Running>>;

/// Makes a worker's state.
pub(crate) fn init<A: Message, S: 'static>(mut running: Box<Running>) -> Box<Running> {
    let made = catch(|| {
        let init = codec::decode::<Func<A, S>>(&running.record.first()[running.function.clone()], Vec::new());
        let args = codec::decode::<A>(
            &running.record.first()[running.arguments..],
            std::mem::take(&mut running.fds),
        );
        match (init, args) {
            (Ok(init), Ok(args)) => Ok(init.call(args)),
            (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
        }
    });
    let failed = match made {
        Ok(Ok(state)) => {
            running.state = Some(Box::new(state));
            return running;
        }
        Ok(Err(why)) => why,
        Err(panic) => format!("it panicked at {}: {}", panic.location, panic.message),
    };
    running.desk.answer(0, AnswerKind::NotReady, failed.as_bytes());
    running
}

/// Runs a chunk of a `fn(A) -> R`.
pub(crate) fn run<A: Message, R: Message>(mut running: Box<Running>) -> Box<Running> {
    match codec::decode::<Func<A, R>>(&running.record.first()[running.function.clone()], Vec::new()) {
        Ok(function) => each(&mut running, |_, argument: A| function.call(argument)),
        Err(error) => refuse(&mut running, &error.to_string()),
    }
    running
}

/// Runs a chunk of a `fn(&mut S, A) -> R`.
pub(crate) fn run_with<S: 'static, A: Message, R: Message>(mut running: Box<Running>) -> Box<Running> {
    match codec::decode::<FuncWith<S, A, R>>(&running.record.first()[running.function.clone()], Vec::new()) {
        Ok(function) => {
            let Some(mut state) = running.state.take() else {
                refuse(&mut running, "the worker has no state: the pool was built without `init`");
                return running;
            };
            match state.downcast_mut::<S>() {
                Some(state) => each(&mut running, |_, argument: A| function.call(state, argument)),
                None => refuse(&mut running, "the worker's state is of another type"),
            }
            running.state = Some(state);
        }
        Err(error) => refuse(&mut running, &error.to_string()),
    }
    running
}

#[cold]
fn refuse(running: &mut Running, why: &str) {
    for element in 0..running.count {
        running.desk.fail(element, AnswerKind::NotDecoded, why.as_bytes());
    }
}

#[cold]
fn task_span(element: u32) -> tracing::span::EnteredSpan {
    tracing::trace_span!(target: "multiproc::pool", "task", element).entered()
}

fn each<A: Message, R: Message>(running: &mut Running, mut call: impl FnMut(u32, A) -> R) {
    let Running { desk, record, arguments, fds, count, .. } = running;
    // One that is alone is begun with its argument, which may take long: it is neither taken back meanwhile, nor
    // without a deadline.
    let is_alone = *count == 1;
    if is_alone && !desk.begin(0) {
        return;
    }
    let bytes = &record.first()[*arguments..];
    let mut items: Vec<A> = Vec::new();
    let decoded = catch(|| {
        if fds.is_empty() {
            codec::unpack_each(bytes, *count as usize, &mut items)
        } else {
            codec::decode(bytes, std::mem::take(fds)).map(|item| items.push(item))
        }
    });
    let failed = match decoded {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some((AnswerKind::NotDecoded, error.to_string().into_bytes())),
        Err(panic) => {
            let panic = codec::encode(&panic).map(|encoded| encoded.bytes).unwrap_or_default();
            Some((AnswerKind::Panicked, panic))
        }
    };
    desk.decoded();
    if let Some((kind, body)) = failed {
        discard(items);
        if *count == 1 {
            desk.fail(0, kind, &body);
        } else {
            // The others must not suffer: the pool sends them one by one.
            desk.answer(0, AnswerKind::Undecodable, &[]);
        }
        return;
    }
    let mut items = items.into_iter();
    let mut next = 0;
    // Once for all: for tasks of some nanoseconds even the question would be too much.
    let is_traced = tracing::span_enabled!(target: "multiproc::pool", tracing::Level::TRACE);
    loop {
        let is_over = catch(|| {
            for item in items.by_ref() {
                if !is_alone && !desk.begin(next) {
                    return;
                }
                let element = next;
                next += 1;
                // Two calls, of which the usual one has nothing to drop.
                let value = if is_traced {
                    let _span = task_span(element);
                    call(element, item)
                } else {
                    call(element, item)
                };
                desk.give(element, &value);
            }
        });
        match is_over {
            Ok(()) => break,
            Err(panic) => desk.panicked(next.saturating_sub(1), &panic),
        }
    }
    // What was taken back is somebody else's; a destructor that panics harms nobody.
    discard(items);
}
