//! The worker's side: takes tasks one after the other until the pool hangs up.

use super::wire::{Answer, AnswerKind, IDLE, Task, WorkerArgs};
use multiproc_core::Deadline;
use multiproc_core::codec::Encoded;
use multiproc_pipe::frame::Reader;
use multiproc_pipe::parcel;
use multiproc_process::CallError;
use std::sync::atomic::Ordering;

/// The function that a worker process runs.
pub(super) fn run(args: WorkerArgs) {
    let WorkerArgs { socket, running } = args;
    let mut reader = Reader::new();
    loop {
        // The end of the stream is the pool's word that there is no more to do. Anything else that goes wrong with
        // the stream ends the worker as well: the pool sees it and gives its tasks to another.
        let Ok(mut parcel) = parcel::recv(&mut reader, &socket, Deadline::NEVER) else { return };
        let Ok(Task { id, call }) = parcel.take_head() else { return };
        // RUNNING: Relaxed, here and below. The pool reads the mark after this process has ended; what a dead
        // process has written is in memory in the order of its program.
        running.store(id, Ordering::Relaxed);
        let fds = parcel.take_fds();
        let outcome = call.call(parcel.body(), fds);
        drop(parcel);
        let nothing = Encoded::default();
        let sent = match &outcome {
            Ok(returned) => answer(&socket, id, AnswerKind::Returned, &returned.encoded).or_else(|error| {
                answer(
                    &socket,
                    id,
                    AnswerKind::NotEncoded(format!("the result cannot be sent: {error}")),
                    &nothing,
                )
            }),
            Err(CallError::Panicked(panic)) => {
                answer(&socket, id, AnswerKind::Panicked(panic.clone()), &nothing)
            }
            Err(CallError::Encode(error)) => {
                answer(&socket, id, AnswerKind::NotEncoded(error.to_string()), &nothing)
            }
            Err(error) => answer(&socket, id, AnswerKind::NotDecoded(error.to_string()), &nothing),
        };
        // A destructor that panics after the result was sent has been reported by the panic hook; it harms nobody.
        let _ = outcome.map(multiproc_process::Returned::discard);
        running.store(IDLE, Ordering::Relaxed);
        if sent.is_err() {
            return;
        }
    }
}

fn answer(
    socket: &impl std::os::fd::AsFd,
    id: u64,
    outcome: AnswerKind,
    body: &Encoded,
) -> std::io::Result<()> {
    parcel::send(socket, &Answer { id, outcome }, body, true)
}
