//! The worker's side: takes tasks one after the other until the pool hangs up.

use super::wire::{Answer, AnswerKind, Task, WorkerArgs};
use multiproc_core::Deadline;
use multiproc_core::codec::Encoded;
use multiproc_pipe::frame::{FrameError, Reader};
use multiproc_pipe::parcel;
use multiproc_process::CallError;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

/// The function that a worker process runs.
///
/// # Panics
///
/// A task cannot be received; the pool learns why from the panic.
pub(super) fn run(args: WorkerArgs) {
    let WorkerArgs { socket, marks } = args;
    let mut reader = Reader::new();
    loop {
        let mut parcel = match parcel::recv(&mut reader, &socket, Deadline::NEVER) {
            Ok(parcel) => parcel,
            // The pool's word that there is no more to do.
            Err(FrameError::Eof) => return,
            Err(error) => panic!("a task cannot be received: {error}"),
        };
        let Task { place, call } = match parcel.take_head() {
            Ok(task) => task,
            Err(error) => panic!("a task cannot be read: {error}"),
        };
        let nothing = Encoded::default();
        // TAKE-BACK: SeqCst, partner of `Worker::take_back`. Each side writes its own word and then reads the other's,
        // which takes one order of all four: either we see that the task was taken back, or the pool sees it begun.
        marks.begun.store(place, Ordering::SeqCst);
        let sent = if marks.taken_back.load(Ordering::SeqCst) >= place {
            drop(parcel);
            answer(&socket, place, AnswerKind::Skipped, &nothing)
        } else {
            let fds = parcel.take_fds();
            let outcome = call.call(parcel.body(), fds);
            drop(parcel);
            let sent = match &outcome {
                Ok(returned) => {
                    answer(&socket, place, AnswerKind::Returned, &returned.encoded).or_else(|error| {
                        let why = format!("the result cannot be sent: {error}");
                        answer(&socket, place, AnswerKind::NotEncoded(why), &nothing)
                    })
                }
                Err(CallError::Panicked(panic)) => {
                    answer(&socket, place, AnswerKind::Panicked(panic.clone()), &nothing).or_else(|_| {
                        let short = AnswerKind::NotEncoded(
                            "it panicked, and the panic is too large to be sent".to_owned(),
                        );
                        answer(&socket, place, short, &nothing)
                    })
                }
                Err(CallError::Encode(error)) => {
                    answer(&socket, place, AnswerKind::NotEncoded(error.to_string()), &nothing)
                }
                Err(error) => answer(&socket, place, AnswerKind::NotDecoded(error.to_string()), &nothing),
            };
            // A destructor that panics after the result was sent has been reported by the panic hook; it harms nobody.
            let _ = outcome.map(multiproc_process::Returned::discard);
            sent
        };
        if sent.is_err() {
            return;
        }
    }
}

fn answer(socket: &impl AsFd, place: u64, outcome: AnswerKind, body: &Encoded) -> io::Result<()> {
    parcel::send(socket, &Answer { place, outcome }, body, true)
}
