//! The operating-system seam: every call to the kernel or the C library goes through here.
//!
//! One folder per system, chosen once; each wrapper owns or borrows its descriptors, turns errors into
//! [`std::io::Error`] and retries interrupted calls. Nothing above this module names `rustix` or `libc`.
//!
//! On a system without such a folder the crate does not compile, and says why. Who writes one begins with
//! `RUSTFLAGS="--cfg multiproc_port"`, which takes the refusal away: what needs no system is there then, the codec,
//! deadlines and names, and the errors of the compiler are the list of what is to be written.

#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod imp;

#[cfg(not(any(target_os = "linux", multiproc_port)))]
compile_error!(
    "multiproc supports Linux; another system needs a sibling of crates/multiproc-core/src/sys/linux, \
     see crates/multiproc-core/src/sys/mod.rs"
);

#[cfg(target_os = "linux")]
pub use imp::*;

/// What a handle is to the system, closed when it is dropped.
#[cfg(unix)]
pub use std::os::fd::OwnedFd;
#[cfg(windows)]
pub use std::os::windows::io::OwnedHandle as OwnedFd;
