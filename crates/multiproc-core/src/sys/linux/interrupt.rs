//! Ctrl-C and other wishes to end, told to a thread.
//!
//! # Safety
//!
//! The handler does one thing that is allowed in a handler: it writes to a descriptor that is never closed.
#![expect(unsafe_code, reason = "sigaction has no safe form")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;

/// Tells of each signal.
#[derive(Debug)]
pub struct Interrupts {
    reader: OwnedFd,
}

static WRITER: OnceLock<OwnedFd> = OnceLock::new();

/// Handles SIGINT from now on; `None` if that was done before.
///
/// # Errors
///
/// The system's: no descriptor left.
pub fn listen() -> io::Result<Option<Interrupts>> {
    listen_to(&[libc::SIGINT])
}

/// Handles SIGINT and SIGTERM from now on; `None` if one of them was handled here before.
///
/// # Errors
///
/// As [`listen`].
pub fn listen_to_all() -> io::Result<Option<Interrupts>> {
    listen_to(&[libc::SIGINT, libc::SIGTERM])
}

fn listen_to(signals: &[libc::c_int]) -> io::Result<Option<Interrupts>> {
    if WRITER.get().is_some() {
        return Ok(None);
    }
    let (reader, writer) = super::fd::with_descriptors(super::fd::pipe)?;
    super::fd::set_nonblocking(&writer)?;
    if WRITER.set(writer).is_err() {
        return Ok(None);
    }
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeros are a valid action.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = on_interrupt as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    for signal in signals {
        // SAFETY: the action is valid and its handler a function that lives as long as the program; the old one is not
        // asked for.
        if unsafe { libc::sigaction(*signal, action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(Some(Interrupts { reader }))
}

extern "C" fn on_interrupt(_: libc::c_int) {
    if let Some(writer) = WRITER.get() {
        // SAFETY: it points to one byte; a full pipe has told enough.
        unsafe { libc::write(writer.as_raw_fd(), [1u8].as_ptr().cast(), 1) };
    }
}

impl Interrupts {
    /// Waits for the next one.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn wait(&self) -> io::Result<()> {
        super::fd::poll_one(&self.reader, super::fd::Interest::Read, crate::Deadline::NEVER)?;
        super::fd::read(&self.reader, &mut [0; 1])?;
        Ok(())
    }
}
