//! The operating-system seam: every call to the kernel or the C library goes through here.
//!
//! One folder per system, chosen once; each wrapper owns or borrows its descriptors, turns errors into
//! [`std::io::Error`] and retries interrupted calls. Nothing above this module names `rustix` or `libc`.

#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod imp;

#[cfg(not(target_os = "linux"))]
compile_error!(
    "multiproc supports Linux; another system needs a sibling of crates/multiproc-core/src/sys/linux"
);

pub use imp::*;
