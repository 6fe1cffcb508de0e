//! Connections and listeners that are awaited, by tokio's readiness of descriptors: no thread for any of them.
//!
//! # Safety
//!
//! Unsafe is needed to register a descriptor with tokio, which must stay open and be the same as long as it is. What is
//! registered here owns its descriptor, alone or with others, and never gives it away.
#![expect(unsafe_code, reason = "tokio cannot know that a descriptor stays open")]

mod connection;
mod listener;

pub use connection::AsyncConnection;
pub use listener::AsyncListener;

use multiproc_core::sys::fd;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits until an object with a descriptor is ready: the awaited form of [`wait`](crate::wait()) for one.
///
/// For whatever has no awaited form of its own: processes (readable when they have ended), event descriptors,
/// sockets. It takes a descriptor for as long as it waits. Files cannot be waited for: they are always ready, and an
/// error here.
///
/// # Errors
///
/// The system's: no descriptor is left, the object cannot be waited for.
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
/// # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
/// let (a, b) = multiproc_pipe::pipe::<u8, u8>()?;
/// b.send(1).unwrap();
/// multiproc_pipe::ready(&a).await?;
/// assert_eq!(a.try_recv().unwrap(), 1);
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn ready(object: impl AsFd) -> io::Result<()> {
    // A descriptor of its own: the same number can be registered once only.
    let fd = fd::with_descriptors(|| fd::dup_high(&object))?;
    let fd = register(fd, Interest::READABLE)?;
    fd.readable().await?.retain_ready();
    Ok(())
}

/// Tries until it works, and waits in between until the descriptor is ready.
async fn attempt<T>(
    fd: &AsyncFd<Arc<OwnedFd>>,
    interest: Interest,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        let mut guard = fd.ready(interest).await?;
        match attempt() {
            // Only now is it known to be not ready.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
            result => return result,
        }
    }
}

/// What owns a descriptor that is the same as long as it lives.
trait Owner: AsRawFd {}

impl Owner for OwnedFd {}
impl Owner for Arc<OwnedFd> {}

/// Registers a descriptor with the runtime.
fn register<T: Owner>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: an `Owner` holds a descriptor that is open, and stays open and the same for as long as the `Owner` lives,
    // which the `AsyncFd` takes in.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}
