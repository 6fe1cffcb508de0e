use crate::builder::Builder;
use crate::registry::Child;
use crate::spawner;
use crate::start::Reply;
use crate::stdio::Pipes;
use crate::{ExitStatus, JoinError, SpawnError, child};
use multiproc_core::codec;
use multiproc_core::sys::fd::{self, Interest};
use multiproc_core::{Deadline, Message};
use multiproc_pipe::frame::{FrameError, Reader};
use multiproc_pipe::parcel::{self, Parcel};
use std::fmt;
use std::io::{self, PipeReader, PipeWriter};
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(feature = "tokio")]
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// A child process that runs a function and gives its result, an `R`.
///
/// # Examples
///
/// ```
/// use multiproc_process::Process;
///
/// let child = Process::spawn((20, 22), |(a, b): (u32, u32)| a + b)?;
/// assert_eq!(child.join()?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Caveats
///
/// - Dropping the handle detaches the process: it goes on, is never left a zombie, and is still waited for when
///   this process exits, unless it is a daemon.
/// - A result that is in the parent's hands counts, whatever happens to the child afterwards: [`join`](Self::join)
///   gives it, [`wait`](Self::wait) shows the crash.
/// - A standard input that is a pipe stays open while its end is here, in the handle or taken. [`join`](Self::join)
///   closes the one in the handle, the waits do not: before those, take it and drop it, or a child that reads to
///   the end waits for ever. Nobody reads the other two pipes but you: a child that writes more than they hold (64
///   KiB) waits too.
/// - The handle is good in the process that started the child. A fork of that process can neither wait nor join.
pub struct Process<R = ()> {
    child: Arc<Child>,
    socket: OwnedFd,
    reader: Reader,
    pipes: Pipes,
    result: PhantomData<fn() -> R>,
}

impl Process<()> {
    /// Begins the description of a process: its name, whether it is a daemon, its environment, limits, and so on.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<R: Message> Process<R> {
    /// Starts a process that calls `f` with `args`, which may be any message; several values travel as a tuple.
    ///
    /// `f` is a function, a method, or a closure that captures nothing. A closure that captures is an error of the
    /// compiler ("expected fn pointer, found closure"): pass what it needs as an argument.
    ///
    /// ```compile_fail,E0308
    /// let greeting = String::from("hello");
    /// multiproc_process::Process::spawn((), |()| println!("{greeting}"));
    /// ```
    ///
    /// # Errors
    ///
    /// The arguments cannot be encoded, the function lies in a shared library, or the system makes no more processes.
    pub fn spawn<A: Message>(args: A, f: fn(A) -> R) -> Result<Process<R>, SpawnError> {
        Builder::new().spawn(args, f)
    }

    /// Waits for the end of the process and gives what its function returned.
    ///
    /// Of the standard descriptors that are pipes and were not taken, the input is closed first, and what comes through
    /// the others is read and thrown away, or the process could wait for a reader that cannot come any more.
    ///
    /// # Errors
    ///
    /// It panicked, exited, or was ended by a signal before it gave a result, or the result could not be passed; see
    /// [`JoinError`].
    pub fn join(mut self) -> Result<R, JoinError> {
        self.let_go();
        // Its end first, which has to be waited for anyway: to be woken by its words as well costs both sides time.
        let status = self.child.wait(Deadline::NEVER).ok().flatten();
        match self.receive()? {
            Some((Reply::Returned, mut parcel)) => {
                let fds = parcel.take_fds();
                codec::decode(parcel.body(), fds).map_err(|error| {
                    child::complain(&format!("decode the result of {}: {error}", self.child.name));
                    self.undecodable(&error.to_string())
                })
            }
            Some((Reply::Panicked(panic), _)) => Err(JoinError::Panicked {
                message: panic.message,
                location: panic.location,
                backtrace: panic.backtrace,
            }),
            Some((Reply::NotDecoded(why), _)) => Err(self.undecodable(&why)),
            Some((Reply::NotEncoded(message), _)) => Err(JoinError::Encode { message }),
            Some((Reply::NotStarted(message), _)) => Err(JoinError::NotStarted { message }),
            Some((Reply::HasThreads, _)) | None => Err(match status.and_then(|status| status.signed()) {
                None => JoinError::Lost,
                Some(code @ 0..) => JoinError::Exited { code },
                Some(signal) => JoinError::Signaled {
                    signal: -signal,
                    core_dumped: status.is_some_and(|status| status.core_dumped()),
                },
            }),
        }
    }

    /// Lets the child come to its end, whatever it reads or writes.
    fn let_go(&mut self) {
        // A child that reads its input to the end would wait for us.
        self.pipes.stdin = None;
        discard(self.pipes.stdout.take());
        discard(self.pipes.stderr.take());
    }

    fn undecodable(&self, why: &str) -> JoinError {
        tracing::error!(target: "multiproc::process", name = self.child.name, why, "cannot decode what was passed");
        JoinError::Decode
    }

    /// The last word of the child, once it has ended or said it; `None` if it ended without one.
    fn receive(&mut self) -> Result<Option<(Reply, Parcel)>, JoinError> {
        let lost = |why: &dyn fmt::Display| {
            tracing::error!(target: "multiproc::process", %why, "cannot receive what a child said last");
            Err(JoinError::NotReceived { message: why.to_string() })
        };
        loop {
            let ready = fd::poll(
                &[(self.socket.as_fd(), Interest::Read), (self.child.pidfd.as_fd(), Interest::Read)],
                Deadline::NEVER,
            );
            let ended = !matches!(ready.as_deref(), Ok([_, false]));
            // Descriptors that find no room on arrival are gone: where there is none, now is the time to raise the
            // limit. A result without any goes through all the same.
            drop(fd::with_descriptors(|| fd::dup_high(&self.socket)));
            // What a child has sent before its end is in the socket by then, so one look is enough. The end of the
            // stream is not waited for: a fork of the child may hold the other end open.
            match parcel::recv(&mut self.reader, &self.socket, Deadline::now()) {
                Ok(mut parcel) => match parcel.take_head() {
                    Ok(reply) => return Ok(Some((reply, parcel))),
                    Err(error) => return lost(&error),
                },
                Err(FrameError::TimedOut) if !ended => {}
                // It died before it had said all.
                Err(FrameError::Eof | FrameError::Torn { .. } | FrameError::TimedOut) => return Ok(None),
                Err(error) => return lost(&error),
            }
        }
    }
}

/// Reads what nobody else will, until it ends.
#[cfg(feature = "tokio")]
impl<R> Process<R> {
    /// Waits for the end of the process, as [`wait`](Process::wait) does, in a tokio runtime.
    ///
    /// To await its result, await the process itself.
    ///
    /// # Errors
    ///
    /// The system's.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in one whose input and output are not enabled.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped before its end.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_process::{ExitStatus, Process};
    ///
    /// async fn watch(child: &Process<()>) -> std::io::Result<ExitStatus> {
    ///     child.exited().await
    /// }
    /// ```
    pub async fn exited(&self) -> io::Result<ExitStatus> {
        multiproc_pipe::ready(self).await?;
        self.wait()
    }
}

/// Awaits the result, as [`join`](Process::join) waits for it, in a tokio runtime.
///
/// Dropped before its end the future detaches the process, as dropping the process does; to go on waiting later, await
/// [`exited`](Process::exited) and then call `join`.
#[cfg(feature = "tokio")]
impl<R: Message> IntoFuture for Process<R> {
    type Output = Result<R, JoinError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<R, JoinError>> + Send>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            self.let_go();
            // Where it cannot be awaited the wait in `join` is the ordinary one.
            let _ = multiproc_pipe::ready(&self).await;
            self.join()
        })
    }
}

fn discard(output: Option<PipeReader>) {
    let Some(mut output) = output else { return };
    let reader = thread::Builder::new().name("multiproc-discard".to_owned());
    // Without a thread the pipe is closed, and the process gets an error from its writing.
    let _ = reader.spawn(move || io::copy(&mut output, &mut io::sink()));
}

impl<R> Process<R> {
    pub(crate) fn new(child: Arc<Child>, socket: OwnedFd, pipes: Pipes) -> Process<R> {
        Process { child, socket, reader: Reader::new(), pipes, result: PhantomData }
    }

    /// Waits for the end of the process and tells how it ended; the result stays where it is.
    ///
    /// # Errors
    ///
    /// The system's; `InvalidInput` in a fork of the process that started it.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        match self.child.wait(Deadline::NEVER)? {
            Some(status) => Ok(status),
            None => unreachable!("a deadline that never comes has passed"),
        }
    }

    /// Tells how the process ended, `None` while it runs.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_process::{ExitStatus, Process};
    /// use std::time::{Duration, Instant};
    ///
    /// let child = Process::builder().daemon(true).spawn((), |()| -> () { loop { std::thread::park() } })?;
    /// assert!(child.try_wait()?.is_none() && child.is_alive() && child.is_daemon());
    /// assert!(child.wait_timeout(Duration::from_millis(1))?.is_none());
    /// assert_eq!(child.exit_code(), None);
    /// child.terminate()?;
    /// let status = child.wait_deadline(Instant::now() + Duration::from_secs(60))?.unwrap();
    /// assert_eq!((status.signed(), child.exit_code()), (Some(-15), Some(-15)));
    /// child.interrupt()?; // it has ended: nothing happens
    /// assert!(!status.core_dumped() && !status.is_unknown() && ExitStatus::unknown().is_unknown());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits up to `timeout` for the end of the process; `None` if it runs still.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        self.child.wait(Deadline::after(timeout))
    }

    /// Waits until `deadline` for the end of the process; `None` if it runs still.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        self.child.wait(Deadline::at(deadline))
    }

    /// Tells whether the process is running still.
    pub fn is_alive(&self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The exit code in Python's signs: 0 after a return, `n` after `exit(n)`, 101 after a panic, `-n` after signal
    /// `n`; `None` while it runs, or where nobody knows.
    pub fn exit_code(&self) -> Option<i32> {
        self.child.try_wait().ok().flatten().and_then(|status| status.signed())
    }

    /// Sends SIGINT, as ctrl-C does; nothing happens once it has ended.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn interrupt(&self) -> io::Result<()> {
        self.child.signal(SIGINT)
    }

    /// Sends SIGTERM, which ends it unless it has a handler; nothing happens once it has ended.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn terminate(&self) -> io::Result<()> {
        self.child.signal(SIGTERM)
    }

    /// Sends SIGKILL, which ends it wherever it is; nothing happens once it has ended.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn kill(&self) -> io::Result<()> {
        self.child.signal(SIGKILL)
    }

    /// Its number, as the system counts processes.
    pub fn id(&self) -> u32 {
        self.child.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.child.name
    }

    /// Tells whether it is a daemon.
    pub fn is_daemon(&self) -> bool {
        self.child.daemon
    }

    /// Takes our end of its standard input, if that is a pipe.
    pub fn take_stdin(&mut self) -> Option<PipeWriter> {
        self.pipes.stdin.take()
    }

    /// Takes our end of its standard output, if that is a pipe.
    pub fn take_stdout(&mut self) -> Option<PipeReader> {
        self.pipes.stdout.take()
    }

    /// Takes our end of its standard error, if that is a pipe.
    pub fn take_stderr(&mut self) -> Option<PipeReader> {
        self.pipes.stderr.take()
    }
}

impl<R> Drop for Process<R> {
    fn drop(&mut self) {
        if self.child.is_own()
            && let Ok(None) = self.child.try_wait()
        {
            spawner::bury(Arc::clone(&self.child));
        }
    }
}

impl<R> AsFd for Process<R> {
    /// A descriptor that is readable when the process has ended (a pidfd).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }
}

impl<R> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("daemon", &self.is_daemon())
            .field("status", &self.child.try_wait().ok().flatten())
            .finish_non_exhaustive()
    }
}
