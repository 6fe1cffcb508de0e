//! What becomes of what a backend tells.

use super::work::{After, Chunk, Code, Given, Part, Work};
use super::{Engine, MAX_TRIES, SURE};
use crate::TaskError;
use crate::backend::{EnvelopeId, Event, Failure, Letter, Results};
use crate::death::{Cause, WorkerStatus};
use std::sync::Arc;

impl Engine {
    /// Does what follows from events.
    pub(super) fn handle(&mut self, events: &mut Vec<Event>, after: &mut After) {
        for event in events.drain(..) {
            match event {
                Event::Results(results) => self.results(results, after),
                Event::Failed { id, element, failure } => self.failed(id, element, failure, after),
                Event::Undecodable(id) => {
                    if let Some(chunk) = self.chunks.remove(&id) {
                        for element in (chunk.part.from..chunk.part.to).rev() {
                            self.queue.push_first(Part::whole(chunk.part.work.single(element)));
                        }
                    }
                }
                Event::GivenBack { id, first, count } => self.given_back(id, first, count, after),
                Event::Lost { id, begun, opened, death } => self.lost(id, begun, opened, &death, after),
                Event::Impossible(why) => self.impossible = why,
                Event::Changed => {
                    self.ids = self.backend.workers().into_iter().map(|worker| worker.id).collect();
                    self.size.update(&*self.backend, self.ids.len());
                }
            }
        }
    }

    fn results(&mut self, results: Results, after: &mut After) {
        let Results { id, first, count, known, bytes, fds, nanos } = results;
        let Some(chunk) = self.chunks.get_mut(&id) else { return };
        let new = count - known;
        let is_over = chunk.note(first + known, first + count);
        let Part { work, from, .. } = &chunk.part;
        self.paces.learn(work.code.key, new, nanos);
        self.recorder.done(new, nanos, bytes.len(), &work.options);
        let given = Given { first: work.base + u64::from(from + first), count, known, bytes, fds, nanos };
        work.sink.results(given, after);
        if is_over
            && let Some(chunk) = self.chunks.remove(&id)
            // Nothing else of it is anywhere: of several elements each part has a share.
            && let Some(work) = Arc::into_inner(chunk.part.work)
        {
            self.spares.push(work.bytes);
        }
    }

    fn failed(&mut self, id: EnvelopeId, element: u32, failure: Failure, after: &mut After) {
        let Some(chunk) = self.chunks.get_mut(&id) else { return };
        let is_over = chunk.note(element, element + 1);
        let Part { work, from, .. } = &chunk.part;
        let work = Arc::clone(work);
        let (number, element) = (work.base + u64::from(from + element), from + element);
        if is_over {
            self.chunks.remove(&id);
        }
        let log = |what: &str, why: &str| tracing::error!(target: "multiproc::pool", why, "cannot {what} of a task");
        let error = match failure {
            Failure::Panicked(panic) => TaskError::Panicked {
                message: panic.message,
                location: panic.location,
                backtrace: panic.backtrace,
            },
            Failure::NotDecoded(why) => {
                log("decode the arguments", &why);
                TaskError::Decode
            }
            Failure::NotEncoded(why) => {
                log("encode the result", &why);
                TaskError::Encode
            }
            Failure::Ended(error @ (TaskError::WorkerDied { .. } | TaskError::TimedOut)) => {
                self.ended(&work, element, error, after);
                return;
            }
            Failure::Ended(error) => error,
        };
        self.recorder.failed();
        let may_retry = matches!(error, TaskError::Panicked { .. });
        let retries = work.options.as_ref().map_or(0, |options| options.retries);
        if may_retry && work.attempts < retries {
            let mut again = work.single(element);
            again.attempts += 1;
            self.queue.push(Part::whole(again));
        } else {
            work.sink.failed(number, error, after);
        }
    }

    /// None of these was begun.
    fn given_back(&mut self, id: EnvelopeId, first: u32, count: u32, after: &mut After) {
        let Some(chunk) = self.chunks.get_mut(&id) else { return };
        let end = (first + count).min(chunk.part.len());
        let is_over = chunk.note(first, end);
        if let Some((element, TaskError::Cancelled)) = chunk.ended {
            // It was cancelled as one that runs, and never will.
            chunk.asked.insert(element);
        }
        let asked = chunk.asked.range(first..end).copied().collect::<Vec<u32>>();
        let Part { work, from, .. } = chunk.part.clone();
        if is_over {
            self.chunks.remove(&id);
        }
        let mut until = end;
        for element in asked.into_iter().rev() {
            let (work, number) = (Arc::clone(&work), work.base + u64::from(from + element));
            self.queue.push_first(Part {
                work: Arc::clone(&work),
                from: from + element + 1,
                to: from + until,
            });
            work.sink.failed(number, TaskError::Cancelled, after);
            until = element;
        }
        self.queue.push_first(Part { work, from: from + first, to: from + until });
    }

    /// Of what a dead worker had, one element had been begun; the others go to others.
    fn lost(&mut self, id: EnvelopeId, begun: u32, opened: bool, death: &WorkerStatus, after: &mut After) {
        let Some(Chunk { part, answered, ended, .. }) = self.chunks.remove(&id) else { return };
        let begun = begun.clamp(answered, part.len());
        let rest = Part { from: part.from + begun, ..part.clone() };
        if begun > answered {
            self.queue.push_first(rest);
            // Those before the last one were run, too, and their results are lost where the worker's memory is.
            for element in answered..begun - 1 {
                self.blame(&part, element, None, death, after);
            }
            self.blame(&part, begun - 1, ended, death, after);
            return;
        }
        if !opened {
            self.queue.push_first(rest);
            return;
        }
        // It died before it began this one, which may be what it died of: while it was decoded.
        if rest.len() == 0 {
            return;
        }
        for element in (rest.from + 1..rest.to).rev() {
            self.queue.push_first(Part { work: Arc::clone(&part.work), from: element, to: element + 1 });
        }
        let mut first = part.work.single(rest.from);
        // Who is killed by somebody else hardly died of it.
        first.tries += if death.cause() == Cause::Killed { 1 } else { SURE };
        if first.tries >= MAX_TRIES {
            let message = format!("workers ended before they could begin it, several times: {death}");
            first.sink.failed(first.base, TaskError::NoWorker { message }, after);
        } else {
            self.queue.push_first(Part::whole(first));
        }
    }

    fn blame(
        &mut self,
        part: &Part,
        element: u32,
        ended: Option<(u32, TaskError)>,
        death: &WorkerStatus,
        after: &mut After,
    ) {
        let error = match ended {
            Some((_, error)) => error,
            None => TaskError::WorkerDied { status: *death },
        };
        self.ended(&part.work, part.from + element, error, after);
    }

    /// An element cost a worker: it is tried again, or given up.
    fn ended(&mut self, work: &Arc<Work>, element: u32, error: TaskError, after: &mut After) {
        self.recorder.failed();
        let mut again = work.single(element);
        again.attempts += 1;
        again.kills += 1;
        let retries = work.options.as_ref().map_or(0, |options| options.retries);
        let is_final = error == TaskError::Cancelled || again.attempts > retries;
        let is_deadly = again.kills >= self.max_kills;
        if is_final || is_deadly {
            if is_deadly && error != TaskError::Cancelled {
                let Code { runner, function, .. } = &*work.code;
                let arguments = work.arguments(element, element + 1);
                self.backend.bury(Letter { runner, function, arguments, error: &error });
            }
            work.sink.failed(work.base + u64::from(element), error, after);
        } else {
            self.queue.push(Part::whole(again));
        }
    }
}
