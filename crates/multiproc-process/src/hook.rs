//! The start-up hook: how a child leaves the way to `main` without any line in `main`.
//!
//! # Safety
//!
//! Unsafe is needed to place a function in `.init_array`, to call the functions that come after it there, and to
//! take over the one descriptor that the parent left for us.
//!
//! - A function in `.init_array` runs before `main`, on the only thread, with the C library ready (it runs its own
//!   set-up first) and std usable: std needs no set-up of its own but for the arguments, which it collects by such
//!   an entry too, of an earlier priority. In an ordinary start the hook looks at one variable and returns.
//! - The linker bounds the array by `__init_array_start` and `__init_array_end`; its entries are functions that
//!   would have been called in just this way, each once, had the hook returned.
//! - The descriptor's number is given by the parent, which put it there by exec; nothing else can own it yet.
#![expect(unsafe_code, reason = "an entry of .init_array, the entries after it, and an inherited descriptor")]

use crate::child;
use crate::error::NotReady;
use multiproc_core::sys::child::{BOOT_FD, adopt_socket, close_from, spawn_closes};
use multiproc_core::sys::image::image;
use multiproc_core::sys::process;
use std::env;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The variable that marks a child; its value is the number of its boot socket.
///
/// The version is in it because a program may hold this library twice: the child is for the one that started it.
pub(crate) const MARKER: &str = concat!(
    "MULTIPROC_BOOT_", // also in `peek.rs`
    env!("CARGO_PKG_VERSION_MAJOR"),
    "_",
    env!("CARGO_PKG_VERSION_MINOR"),
    "_",
    env!("CARGO_PKG_VERSION_PATCH")
);

/// Behind the number: the child must close all other descriptors itself.
const CLOSE: &str = "+close";

/// The marker as a child finds it in its environment.
pub(crate) fn marker() -> String {
    format!("{MARKER}={BOOT_FD}{}", if spawn_closes() { "" } else { CLOSE })
}

/// The hook, or `init`, has run.
static READY: AtomicBool = AtomicBool::new(false);
/// This is a child that has not begun.
static BOOTING: AtomicBool = AtomicBool::new(false);

/// Becomes the child that this process was started to be, or returns at once.
///
/// Needed only where the feature `hook` is off: then it must stand at the top of `main`. With the feature it does
/// nothing.
///
/// # Examples
///
/// ```
/// multiproc_process::init(); // at the top of `main`, where the feature `hook` is off
/// let child = multiproc_process::Process::spawn(20, |n| n + 1)?;
/// assert_eq!(child.join()?, 21);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn init() {
    // Relaxed: hook, init and spawn are ordered by being before main, at its top, and in it.
    if !READY.swap(true, Ordering::Relaxed)
        && let Some(socket) = take_socket()
    {
        BOOTING.store(true, Ordering::Relaxed);
        child::run(socket);
    }
}

/// Lets user code start processes: this child has begun.
pub(crate) fn booted() {
    // Relaxed: the thread that runs user code is started after this.
    BOOTING.store(false, Ordering::Relaxed);
}

/// Tells whether processes can be started here and now.
pub(crate) fn check() -> Result<(), NotReady> {
    static LINKED_IN: OnceLock<bool> = OnceLock::new();
    if !LINKED_IN.get_or_init(|| image().is_ok_and(|image| image.contains(init as *const () as usize))) {
        return Err(NotReady::SharedLibrary);
    }
    if !READY.load(Ordering::Relaxed) {
        return Err(NotReady::NoHook);
    }
    if BOOTING.load(Ordering::Relaxed) {
        return Err(NotReady::Booting);
    }
    Ok(())
}

/// The boot socket, if this process was started as a child; the marker is gone afterwards.
fn take_socket() -> Option<OwnedFd> {
    let number = env::var_os(MARKER)?;
    // A program with more rights than its caller takes no orders from the caller's environment.
    if process::is_elevated() {
        return None;
    }
    // SAFETY: before main, or at its top, on the only thread: nobody reads the environment meanwhile.
    unsafe { env::remove_var(MARKER) };
    let number = number.to_str().unwrap_or_default();
    let (number, close) = number.strip_suffix(CLOSE).map_or((number, false), |number| (number, true));
    let number: Option<i32> = number.parse().ok();
    // SAFETY: nothing else owns a descriptor that the parent left for us.
    let socket =
        number.filter(|number| *number == BOOT_FD).and_then(|number| unsafe { adopt_socket(number) });
    if socket.is_none() {
        // To go on would run `main` in what somebody believes to be a child.
        let _ = writeln!(
            io::stderr(),
            "multiproc: the environment says that this is a child process ({MARKER}), but there is no socket to its \
             parent: unset the variable"
        );
        process::exit_now(70);
    }
    if close {
        // SAFETY: nothing has been opened here yet but what exec left behind.
        unsafe { close_from(BOOT_FD + 1) };
    }
    socket
}

#[cfg(feature = "hook")]
mod constructor {
    use super::{BOOTING, READY, child, take_socket};
    use std::ffi::{c_char, c_int};
    use std::sync::atomic::Ordering;

    /// What glibc calls the entries with; other C libraries pass nothing.
    type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

    #[used]
    #[unsafe(link_section = ".init_array")]
    static HOOK: Constructor = hook;

    extern "C" fn hook(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) {
        READY.store(true, Ordering::Relaxed);
        if let Some(socket) = take_socket() {
            BOOTING.store(true, Ordering::Relaxed);
            for constructor in later_constructors() {
                if cfg!(target_env = "gnu") {
                    constructor(argc, argv, envp);
                } else {
                    constructor(0, std::ptr::null(), std::ptr::null());
                }
            }
            child::run(socket);
        }
    }

    unsafe extern "C" {
        static __init_array_start: usize;
        static __init_array_end: usize;
    }

    /// The entries of the executable's init array that come after the hook.
    fn later_constructors() -> impl Iterator<Item = Constructor> {
        let (start, end) = (&raw const __init_array_start, &raw const __init_array_end);
        let len = (end.addr() - start.addr()) / size_of::<usize>();
        // SAFETY: the linker's symbols bound an aligned, initialised array of addresses that nobody writes.
        let entries: &[usize] = unsafe { std::slice::from_raw_parts(start, len) };
        let own = hook as *const () as usize;
        entries
            .iter()
            .copied()
            .skip_while(move |entry| *entry != own)
            .skip(1)
            // 0 and -1 are fillers.
            .filter(|entry| *entry != 0 && *entry != usize::MAX)
            .map(|entry| {
                let entry: *const () = std::ptr::with_exposed_provenance(entry);
                // SAFETY: an entry of the init array is the address of a function that is called in this way.
                unsafe { std::mem::transmute::<*const (), Constructor>(entry) }
            })
    }
}
