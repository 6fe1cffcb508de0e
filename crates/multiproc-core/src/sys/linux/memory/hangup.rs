use crate::sys::fd::with_descriptors;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Makes a pipe that carries no bytes: the kernel counts the copies of its write end, in processes and in
/// flight, and the read end hangs up when the last is gone.
///
/// # Errors
///
/// What `pipe2` reports; one for want of descriptors says what to do.
pub fn count_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    with_descriptors(|| Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?))
}

/// Waits until one of these read ends hangs up, and returns which have; `None` waits for ever.
///
/// # Errors
///
/// What `poll` reports.
pub fn hung_up(ends: &[BorrowedFd<'_>], timeout: Option<std::time::Duration>) -> io::Result<Vec<usize>> {
    let deadline = crate::Deadline::from(timeout);
    // No event is asked for: a hang-up is always reported, and a byte that somebody wrote is not one.
    let mut polled: Vec<PollFd<'_>> =
        ends.iter().map(|end| PollFd::from_borrowed_fd(*end, PollFlags::empty())).collect();
    loop {
        // A time beyond the kernel's range is for ever.
        let left = deadline.remaining().and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut polled, left.as_ref()) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    let gone = PollFlags::HUP | PollFlags::ERR;
    Ok((0..polled.len()).filter(|&index| polled[index].revents().intersects(gone)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::time::Duration;

    #[test]
    fn the_last_copy_hangs_up() {
        let (first, writer) = count_pipe().unwrap();
        let (second, _other) = count_pipe().unwrap();
        let copy = writer.try_clone().unwrap();
        let look = || hung_up(&[second.as_fd(), first.as_fd()], Some(Duration::ZERO)).unwrap();
        drop(writer);
        assert!(look().is_empty());
        drop(copy);
        assert_eq!(look(), [1]);
        assert_eq!(hung_up(&[first.as_fd()], None).unwrap(), [0]);
    }
}
