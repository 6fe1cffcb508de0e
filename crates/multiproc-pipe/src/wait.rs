use multiproc_core::Deadline;
use multiproc_core::sys::fd::{self, Interest};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Waits until one of several objects is ready, and gives the places of those that are.
///
/// Everything with a descriptor can take part: connections (a message or the end of the stream), processes (their
/// end), listeners, sockets, files; queues and events by the descriptor that their `readiness` makes. `None` waits for
/// ever; an empty answer is the time-out.
///
/// # Errors
///
/// The system's: more objects than the process may have descriptors.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let (a, b) = multiproc_pipe::pipe::<u8, u8>()?;
/// let (c, _d) = multiproc_pipe::pipe::<u8, u8>()?;
/// assert!(multiproc_pipe::wait(&[&a, &c], Some(Duration::ZERO))?.is_empty());
/// b.send(1).unwrap();
/// assert_eq!(multiproc_pipe::wait(&[&a, &c], None)?, [0]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn wait(objects: &[&dyn AsFd], timeout: Option<Duration>) -> io::Result<Vec<usize>> {
    let fds: Vec<_> = objects.iter().map(|object| (object.as_fd(), Interest::Read)).collect();
    let ready = fd::poll(&fds, Deadline::from(timeout))?;
    Ok(ready.into_iter().enumerate().filter_map(|(place, ready)| ready.then_some(place)).collect())
}
