//! What careless other code in a program does, and the safe ways do not offer.
//!
//! # Safety
//!
//! Unsafe is needed to call the C library's functions for it. Each is passed plain numbers, or a pointer to a
//! buffer of the length that goes with it; none of them touches memory of this program beyond that.
#![expect(unsafe_code, reason = "calls of the C library that have no safe form")]

use std::ffi::{c_int, c_long, c_ulong, c_void};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

unsafe extern "C" {
    fn fork() -> c_int;
    fn dup(fd: c_int) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn signal(signal: c_int, handler: usize) -> usize;
    fn recv(socket: c_int, buffer: *mut c_void, len: usize, flags: c_int) -> isize;
    fn setrlimit(resource: c_int, limits: *const u64) -> c_int;
    fn write(fd: c_int, buffer: *const c_void, len: usize) -> isize;
    fn getpid() -> c_int;
    fn getppid() -> c_int;
    fn setgid(group: u32) -> c_int;
    fn sched_setaffinity(pid: c_int, len: usize, mask: *const u64) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn siginterrupt(signal: c_int, interrupts: c_int) -> c_int;
    fn clock_nanosleep(
        clock: c_int,
        flags: c_int,
        until: *const [c_long; 2],
        rest: *mut [c_long; 2],
    ) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int;
    fn gettid() -> c_int;
    fn timer_create(clock: c_int, event: *const c_void, timer: *mut *mut c_void) -> c_int;
    fn timer_settime(
        timer: *mut c_void,
        flags: c_int,
        new: *const [c_long; 4],
        old: *mut [c_long; 4],
    ) -> c_int;
    fn timer_getoverrun(timer: *mut c_void) -> c_int;
}

const SIGINT: c_int = 2;
const SIGALRM: c_int = 14;
const SIGTERM: c_int = 15;
const SIGCHLD: c_int = 17;
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;
const WNOHANG: c_int = 1;
const MSG_PEEK: c_int = 2;

/// Duplicates a descriptor as C code does that has never heard of close-on-exec; gives the number.
pub fn dup_inheritable(fd: impl AsFd) -> i32 {
    // SAFETY: dup takes a plain number.
    unsafe { dup(fd.as_fd().as_raw_fd()) }
}

/// Forks, as a library may do that knows nothing of where it is; both go on from here.
pub fn fork_and_go_on() {
    // SAFETY: both processes go on as one would; whoever calls this sees to the rest.
    unsafe { fork() };
}

/// Makes a terminal of 24 lines: what reads from its screen, and what programs write to.
///
/// # Panics
///
/// There are no terminals here.
pub fn terminal() -> (File, File) {
    const O_NOCTTY: i32 = 0o400;
    const TIOCSPTLCK: c_ulong = 0x4004_5431;
    const TIOCGPTN: c_ulong = 0x8004_5430;
    const TIOCSWINSZ: c_ulong = 0x5414;
    let open = |path: &str| {
        OpenOptions::new().read(true).write(true).custom_flags(O_NOCTTY).open(path).expect("a terminal")
    };
    let screen = open("/dev/ptmx");
    let ask = |request, argument: *mut c_void| {
        // SAFETY: the descriptor is open, and each request reads or fills what its argument points to.
        let result = unsafe { ioctl(screen.as_raw_fd(), request, argument) };
        assert_eq!(result, 0, "a terminal answers");
    };
    let (mut lock, mut number, mut size): (c_int, c_int, [u16; 4]) = (0, 0, [24, 100, 0, 0]);
    ask(TIOCSPTLCK, (&raw mut lock).cast());
    ask(TIOCGPTN, (&raw mut number).cast());
    ask(TIOCSWINSZ, (&raw mut size).cast());
    let terminal = open(&format!("/dev/pts/{number}"));
    (screen, terminal)
}

/// Closes a descriptor that nothing of Rust's owns, such as one of [`dup_inheritable`]'s.
pub fn close_number(number: i32) {
    // SAFETY: close takes a plain number; the caller says that nobody owns it.
    unsafe { close(number) };
}

/// Waits for any child there is, as code does that believes all children to be its own; gives its number.
pub fn steal_status() -> Option<u32> {
    // SAFETY: a null pointer asks for no status.
    let pid = unsafe { waitpid(-1, std::ptr::null_mut(), WNOHANG) };
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}

/// Ignores SIGCHLD: the kernel then forgets the status of every child.
pub fn ignore_children() {
    // SAFETY: SIG_IGN runs no code.
    unsafe { signal(SIGCHLD, SIG_IGN) };
}

/// Is ended by ctrl-C, which a program that a shell has started in the background ignores, and all that it starts.
pub fn heed_interrupts() {
    // SAFETY: SIG_DFL runs no code.
    unsafe { signal(SIGINT, SIG_DFL) };
}

/// Ignores the signals by which a program is asked to end.
pub fn ignore_termination() {
    for number in [SIGINT, SIGTERM] {
        // SAFETY: SIG_IGN runs no code.
        unsafe { signal(number, SIG_IGN) };
    }
}

/// Waits for something to read from the socket with this number, and reads it without taking it.
pub fn peek(number: i32) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 16];
    // SAFETY: the pointer leads to as many bytes as the length says.
    let len = unsafe { recv(number, buffer.as_mut_ptr().cast(), buffer.len(), MSG_PEEK) };
    buffer.truncate(usize::try_from(len).unwrap_or(0));
    buffer
}

/// The parent as the system sees it.
pub fn system_parent() -> u32 {
    // SAFETY: getppid has no conditions.
    unsafe { getppid() }.cast_unsigned()
}

/// A function that lies in a shared library: the C library.
///
/// It takes nothing and is called by nobody; only its address matters.
pub fn foreign_function() -> fn(()) -> () {
    let address = getpid as *const ();
    // SAFETY: a function with no parameters that are passed in memory, and a result that is ignored, is called in
    // the same way as this type's; and it is not called.
    unsafe { std::mem::transmute::<*const (), fn(())>(address) }
}

/// Sets a variable of this process' environment.
///
/// For processes in which no other thread looks at it meanwhile, as those of one test are.
pub fn set_variable(name: &str, value: &str) {
    // SAFETY: the body of an isolated test has this process to itself; the library's own threads read no variable
    // but when a start asks for it, which happens on the calling thread.
    unsafe { std::env::set_var(name, value) };
}

/// Lowers both limits of open descriptors.
pub fn set_hard_descriptor_limit(limit: u64) {
    const RLIMIT_NOFILE: c_int = 7;
    let both = [limit, limit];
    // SAFETY: the pointer leads to a soft and a hard limit, 64 bits each.
    unsafe { setrlimit(RLIMIT_NOFILE, both.as_ptr()) };
}

/// Writes to the descriptor with this number, whoever owns it.
pub fn write_number(number: i32, bytes: &[u8]) {
    // SAFETY: the pointer leads to as many bytes as the length says.
    let written = unsafe { write(number, bytes.as_ptr().cast(), bytes.len()) };
    assert_eq!(usize::try_from(written), Ok(bytes.len()));
}

/// Makes another group this process'; tells whether that was allowed.
pub fn change_group(group: u32) -> bool {
    // SAFETY: setgid takes a plain number.
    unsafe { setgid(group) == 0 }
}

/// Lets the calling thread run on the processors of `mask` only, of the first 64.
pub fn set_own_affinity(mask: u64) {
    // SAFETY: the pointer leads to as many bytes as the length says.
    let result = unsafe { sched_setaffinity(0, size_of::<u64>(), &raw const mask) };
    assert_eq!(result, 0);
}

/// Forbids this thread and all that comes of it to make processes by `clone3`, as containers do; with `descriptor`
/// also by `clone` with a descriptor.
pub fn filter_clone(descriptor: bool) {
    const CLONE3: u32 = 435;
    const CLONE: u32 = if cfg!(target_arch = "x86_64") { 56 } else { 220 };
    const CLONE_PIDFD: u32 = 0x1000;
    const ERROR: u32 = 0x0005_0000;
    let refused = if descriptor { CLONE_PIDFD } else { 0 };
    filter(&[
        Instruction(LOAD, 0, 0, 0), // the call's number
        Instruction(EQUAL, 4, 0, CLONE3),
        Instruction(EQUAL, 0, 2, CLONE),
        Instruction(LOAD, 0, 0, argument(0)),
        Instruction(ANY_OF, 2, 0, refused),
        Instruction(END, 0, 0, ALLOW),
        Instruction(END, 0, 0, ERROR | 38), // ENOSYS
        Instruction(END, 0, 0, ERROR | 1),  // EPERM
    ]);
}

/// Kills this process, or one that comes of it, where it asks the kernel to wait until a moment of the wall clock.
pub fn forbid_waits_by_wall_clock() {
    const FUTEX: u32 = if cfg!(target_arch = "x86_64") { 202 } else { 98 };
    const FUTEX_WAITV: u32 = 449;
    const CLOCK_NANOSLEEP: u32 = if cfg!(target_arch = "x86_64") { 230 } else { 115 };
    const TIMERFD_CREATE: u32 = if cfg!(target_arch = "x86_64") { 283 } else { 85 };
    const FUTEX_CLOCK_REALTIME: u32 = 256;
    const TIMER_ABSTIME: u32 = 1;
    const CLOCK_REALTIME: u32 = 0;
    const KILL: u32 = 0x8000_0000;
    filter(&[
        Instruction(LOAD, 0, 0, 0), // the call's number
        Instruction(EQUAL, 4, 0, FUTEX),
        Instruction(EQUAL, 7, 0, FUTEX_WAITV),
        Instruction(EQUAL, 8, 0, CLOCK_NANOSLEEP),
        Instruction(EQUAL, 9, 0, TIMERFD_CREATE),
        Instruction(END, 0, 0, ALLOW),
        Instruction(LOAD, 0, 0, argument(1)), // of futex: what is to be done
        Instruction(ANY_OF, 0, 8, FUTEX_CLOCK_REALTIME),
        Instruction(LOAD, 0, 0, argument(3)), // until when; the C library joins threads without a time
        Instruction(EQUAL, 6, 7, 0),
        Instruction(LOAD, 0, 0, argument(4)), // of futex_waitv: the clock
        Instruction(EQUAL, 5, 4, CLOCK_REALTIME),
        Instruction(LOAD, 0, 0, argument(1)), // of clock_nanosleep: whether until a moment
        Instruction(ANY_OF, 0, 2, TIMER_ABSTIME),
        Instruction(LOAD, 0, 0, argument(0)), // the clock
        Instruction(EQUAL, 1, 0, CLOCK_REALTIME),
        Instruction(END, 0, 0, ALLOW),
        Instruction(END, 0, 0, KILL),
    ]);
}

/// Waits until a moment of the wall clock that has passed.
pub fn wait_by_wall_clock() {
    const CLOCK_REALTIME: c_int = 0;
    const TIMER_ABSTIME: c_int = 1;
    let passed = [0, 0];
    // SAFETY: the pointer leads to a moment, and of what is left nothing is asked.
    unsafe { clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &raw const passed, std::ptr::null_mut()) };
}

/// An instruction of a filter of system calls: what, how many to skip if so, if not, and a number.
#[repr(C)]
struct Instruction(u16, u8, u8, u32);

const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const ANY_OF: u16 = 0x45;
const END: u16 = 0x06;
const ALLOW: u32 = 0x7fff_0000;

/// Where the lower half of a system call's argument stands for a filter.
const fn argument(at: u32) -> u32 {
    16 + 8 * at
}

/// Has this thread, and all that comes of it, filtered from now on.
fn filter(instructions: &[Instruction]) {
    #[repr(C)]
    struct Program(u16, *const Instruction);

    const PR_SET_NO_NEW_PRIVS: c_int = 38;
    const PR_SET_SECCOMP: c_int = 22;
    const FILTER: c_int = 2;
    let program = Program(instructions.len() as u16, instructions.as_ptr());
    // SAFETY: takes plain numbers.
    assert_eq!(unsafe { prctl(PR_SET_NO_NEW_PRIVS, 1usize, 0usize, 0usize, 0usize) }, 0);
    // SAFETY: the pointer leads to a program of as many instructions as it says, which the kernel copies.
    assert_eq!(unsafe { prctl(PR_SET_SECCOMP, FILTER, &raw const program, 0usize, 0usize) }, 0);
}

/// Interrupts the calling thread by a signal again and again; calls that are interrupted are not begun again by
/// themselves. Once in a process.
///
/// One to the process would go to its first thread, which in a test does nothing but wait for the one that works.
pub fn interrupt_every(time: Duration) {
    const CLOCK_MONOTONIC: c_int = 1;
    const SIGEV_THREAD_ID: c_int = 4;
    #[repr(C)]
    struct Event {
        value: usize,
        signal: c_int,
        how: c_int,
        thread: c_int,
        rest: [c_int; 11],
    }

    extern "C" fn count(_: c_int) {
        // Relaxed: the timer is not changed after it was started, and the rest is only counted.
        let timer = TIMER.load(Ordering::Relaxed);
        // SAFETY: the timer that this signal is of.
        let merged = unsafe { timer_getoverrun(timer) };
        INTERRUPTS.fetch_add(1, Ordering::Relaxed);
        MERGED.fetch_add(u64::try_from(merged).unwrap_or(0), Ordering::Relaxed);
    }
    let handler: extern "C" fn(c_int) = count;
    // SAFETY: the handler does nothing that a handler may not.
    unsafe { signal(SIGALRM, handler as usize) };
    // SAFETY: takes plain numbers.
    unsafe { siginterrupt(SIGALRM, 1) };
    // SAFETY: it has no conditions.
    let thread = unsafe { gettid() };
    let event = Event { value: 0, signal: SIGALRM, how: SIGEV_THREAD_ID, thread, rest: [0; 11] };
    let mut timer = std::ptr::null_mut();
    // SAFETY: the pointers lead to what the call reads, and to where it writes.
    let result = unsafe { timer_create(CLOCK_MONOTONIC, (&raw const event).cast(), &raw mut timer) };
    assert_eq!(result, 0, "there is a timer");
    // Relaxed: the handler runs in this thread.
    TIMER.store(timer, Ordering::Relaxed);
    let [seconds, rest] = [time.as_secs() as c_long, c_long::from(time.subsec_nanos())];
    let every = [seconds, rest, seconds, rest];
    // SAFETY: the timer was just made, the pointer leads to the times, and the old ones are not asked for.
    let result = unsafe { timer_settime(timer, 0, &raw const every, std::ptr::null_mut()) };
    assert_eq!(result, 0, "the timer runs");
}

static TIMER: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
static MERGED: AtomicU64 = AtomicU64::new(0);

/// How often [`interrupt_every`] has interrupted this process, and how many more signals the kernel has merged with
/// those, since one was still to be delivered.
pub fn interrupts() -> (u64, u64) {
    (INTERRUPTS.load(Ordering::Relaxed), MERGED.load(Ordering::Relaxed))
}
