//! The floor under the fork server: the least that a process can do which forks on request.
//!
//! ```text
//! caller                 zygote                   child
//! number -> socket       clone(CLONE_PARENT)  ->  its id, trivial(number) -> socket; _exit
//! waits for the child
//! ```
//!
//! # Safety
//!
//! Unsafe is needed for `fork`, `clone3`, `waitpid` and `_exit`. The zygote is forked before this program starts
//! a thread and never starts one, so a copy of it finds no lock held by a thread that is missing. Its children use
//! the stack, one socket and `_exit`.
#![expect(unsafe_code, reason = "fork, clone3, waitpid and _exit have no safe form")]

use crate::Result;
use crate::measure::trivial;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

const REPLY: usize = 12;

/// A process that forks on request.
#[derive(Debug)]
pub(crate) struct Zygote {
    id: libc::pid_t,
    socket: UnixStream,
}

impl Zygote {
    /// Forks it. There must be no thread but this one.
    pub(crate) fn start() -> Result<Zygote> {
        let (ours, theirs) = UnixStream::pair()?;
        let threads = std::fs::read_dir("/proc/self/task")?.count();
        if threads != 1 {
            return Err(format!("the zygote would be forked from a process of {threads} threads").into());
        }
        // SAFETY: this is the only thread, as was just seen, so the copy is whole.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error().into()),
            0 => {
                drop(ours);
                serve(theirs)
            }
            id => Ok(Zygote { id, socket: ours }),
        }
    }

    /// Has a new process call the function, and waits for its end.
    pub(crate) fn call(&self, number: u64) -> Result<u64> {
        (&self.socket).write_all(&number.to_ne_bytes())?;
        let mut reply = [0; REPLY];
        (&self.socket).read_exact(&mut reply)?;
        let [a, b, c, d, result @ ..] = reply;
        wait(i32::from_ne_bytes([a, b, c, d]))?;
        Ok(u64::from_ne_bytes(result))
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // It ends with its socket; a zygote that cannot be waited for is not worth an error at the end.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let _ = wait(self.id);
    }
}

fn wait(id: libc::pid_t) -> Result {
    let mut status = 0;
    // SAFETY: the pointer leads to a local.
    let waited = unsafe { libc::waitpid(id, &raw mut status, 0) };
    match (waited == id, status) {
        (true, 0) => Ok(()),
        (true, status) => Err(format!("a child of the zygote ended with the status {status}").into()),
        (false, _) => Err(io::Error::last_os_error().into()),
    }
}

fn serve(socket: UnixStream) -> ! {
    let mut request = [0; 8];
    while (&socket).read_exact(&mut request).is_ok() {
        match clone_sibling() {
            0 => {
                let mut reply = [0; REPLY];
                reply[..4].copy_from_slice(&std::process::id().to_ne_bytes());
                reply[4..].copy_from_slice(&trivial(u64::from_ne_bytes(request)).to_ne_bytes());
                let sent = (&socket).write_all(&reply).is_ok();
                leave(i32::from(!sent));
            }
            -1 => leave(1),
            _ => {}
        }
    }
    leave(0)
}

/// Forks a child whose parent is the caller's parent.
fn clone_sibling() -> libc::c_long {
    // SAFETY: clone_args is plain data for which zero is a value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = libc::CLONE_PARENT as u64;
    // SAFETY: the arguments have the size that is passed; without CLONE_VM and a stack the copy goes on here as
    // after fork, and the zygote has one thread.
    unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) }
}

fn leave(code: i32) -> ! {
    // SAFETY: _exit has no conditions.
    unsafe { libc::_exit(code) }
}
