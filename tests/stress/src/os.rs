//! Processes that are forked, stepped and killed: `fork`, `ptrace`, `waitpid`.
//!
//! # Safety
//!
//! Unsafe is needed to call the C library. Every call is passed plain numbers, or pointers to live variables of the
//! types that it wants. `fork` asks for more: a child of a program with several threads may do nearly nothing.
//! This program never starts a thread, and [`assert_single_threaded`] makes sure.
#![expect(unsafe_code, reason = "calls of the C library that have no safe form")]

use std::ffi::{c_int, c_long, c_uint, c_ulong};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A set of signals; the C library's has 1024 bits.
#[repr(C)]
struct Signals([u64; 16]);

/// A set of cores, as large as the C library's.
#[derive(Clone, Copy)]
#[repr(C)]
struct Cores([u64; 16]);

#[repr(C)]
struct Timespec {
    seconds: c_long,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn fork() -> c_int;
    fn _exit(code: c_int) -> !;
    fn getpid() -> c_int;
    fn getppid() -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn ptrace(request: c_uint, ...) -> c_long;
    fn signal(signal: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn siginterrupt(signal: c_int, interrupts: c_int) -> c_int;
    fn setitimer(which: c_int, new: *const [c_long; 4], old: *mut [c_long; 4]) -> c_int;
    fn setpriority(which: c_int, who: c_uint, priority: c_int) -> c_int;
    fn sched_getaffinity(pid: c_int, size: usize, cores: *mut Cores) -> c_int;
    fn sched_setaffinity(pid: c_int, size: usize, cores: *const Cores) -> c_int;
    fn sigprocmask(how: c_int, set: *const Signals, old: *mut Signals) -> c_int;
    fn sigtimedwait(set: *const Signals, info: *mut u8, timeout: *const Timespec) -> c_int;
}

const SIGKILL: c_int = 9;
const SIGALRM: c_int = 14;
const SIGCHLD: c_int = 17;
/// The signal of a finished step.
pub(crate) const SIGTRAP: i32 = 5;
/// The signal by which a traced process waits for the driver.
pub(crate) const SIGSTOP: i32 = 19;

const WNOHANG: c_int = 1;
const PTRACE_TRACEME: c_uint = 0;
const PTRACE_PEEKTEXT: c_uint = 1;
const PTRACE_PEEKUSER: c_uint = 3;
const PTRACE_POKETEXT: c_uint = 4;
const PTRACE_POKEUSER: c_uint = 6;
const PTRACE_CONT: c_uint = 7;
const PTRACE_SINGLESTEP: c_uint = 9;
const PTRACE_DETACH: c_uint = 17;
const PR_SET_PDEATHSIG: c_int = 1;

static CHILD_SIGNAL: Signals = {
    let mut bits = [0; 16];
    bits[0] = 1 << (SIGCHLD - 1);
    Signals(bits)
};

/// The number of a child that has not been reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pid(c_int);

/// In the place of the code of one that was reaped before.
const REAPED: i32 = -1;

/// What has become of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A traced one stands still; for this signal.
    Stopped(i32),
    /// It ended with this code, and is reaped.
    Exited(i32),
    /// It was killed by this signal, and is reaped.
    Killed(i32),
}

/// Makes sure that a child may do everything, and keeps the signal of a child's change for [`wait`].
///
/// # Panics
///
/// The program has threads.
pub(crate) fn assert_single_threaded() {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    assert_eq!(threads, 1, "a program with threads cannot fork");
    // Asked before anybody stays on one.
    cores();
    const SIG_BLOCK: c_int = 0;
    // SAFETY: the set lives, and no old one is asked for.
    unsafe { sigprocmask(SIG_BLOCK, &raw const CHILD_SIGNAL, std::ptr::null_mut()) };
}

/// Asks to come before other programs, so that a busy machine does not look like a hang; it may be refused.
pub(crate) fn come_first() {
    const PRIO_PROCESS: c_int = 0;
    // SAFETY: takes plain numbers.
    unsafe { setpriority(PRIO_PROCESS, 0, -15) };
}

/// Lets the calling child come after its parent, which steps and kills others meanwhile.
pub(crate) fn come_second() {
    const PRIO_PROCESS: c_int = 0;
    for priority in [-5, 5] {
        // SAFETY: takes plain numbers.
        if unsafe { setpriority(PRIO_PROCESS, 0, priority) } == 0 {
            return;
        }
    }
}

/// The cores that this program may run on, as it was started.
fn cores() -> &'static Cores {
    static CORES: OnceLock<Cores> = OnceLock::new();
    CORES.get_or_init(|| {
        let mut cores = Cores([0; 16]);
        // SAFETY: there is room for the set.
        unsafe { sched_getaffinity(0, size_of::<Cores>(), &raw mut cores) };
        cores
    })
}

/// Keeps the calling process and its children on one of its cores, as long as they do not [`roam`]: who is stepped
/// and who steps it are never at work at the same time, and a change between two on one core is faster.
pub(crate) fn stay(lane: usize) {
    let all = cores();
    let numbers: Vec<usize> = (0..1024).filter(|core| all.0[core / 64] >> (core % 64) & 1 == 1).collect();
    let Some(core) = numbers.get(lane % numbers.len().max(1)) else { return };
    let mut one = Cores([0; 16]);
    one.0[core / 64] = 1 << (core % 64);
    // SAFETY: the set lives. If it is refused, it is only slower.
    unsafe { sched_setaffinity(0, size_of::<Cores>(), &raw const one) };
}

/// Lets the calling process run on any core again.
pub(crate) fn roam() {
    let all = cores();
    // SAFETY: the set lives. If it is refused, it is only slower.
    unsafe { sched_setaffinity(0, size_of::<Cores>(), std::ptr::from_ref(all)) };
}

/// Runs `body` in a copy of this process, which ends with 0, or with 101 if it panics, and dies with its parent.
pub(crate) fn spawn(body: impl FnOnce()) -> Pid {
    // SAFETY: getpid has no conditions.
    let parent = unsafe { getpid() };
    // SAFETY: there is one thread (see above), so the child has all that its parent had.
    let pid = unsafe { fork() };
    assert!(pid >= 0, "cannot fork: {}", std::io::Error::last_os_error());
    if pid > 0 {
        return Pid(pid);
    }
    // SAFETY: takes plain numbers.
    unsafe { prctl(PR_SET_PDEATHSIG, c_ulong::from(SIGKILL.unsigned_abs())) };
    // SAFETY: getppid has no conditions.
    let is_orphan = unsafe { getppid() } != parent;
    let code = if is_orphan || catch_unwind(AssertUnwindSafe(body)).is_err() { 101 } else { 0 };
    // SAFETY: takes a plain number; what the copy of the parent would do at its end is not the child's to do.
    unsafe { _exit(code) }
}

/// Ends the calling process at once, without giving anything back.
pub(crate) fn leave() {
    // SAFETY: takes a plain number.
    unsafe { _exit(0) }
}

/// Lets the parent trace the calling process, and stops it.
pub(crate) fn be_traced() {
    // SAFETY: the request takes no pointers.
    unsafe { ptrace(PTRACE_TRACEME, 0, 0usize, 0usize) };
    // SAFETY: getpid has no conditions.
    let me = unsafe { getpid() };
    // SAFETY: takes plain numbers.
    unsafe { kill(me, SIGSTOP) };
}

/// Lets a stopped child do one instruction.
pub(crate) fn step(pid: Pid) {
    // SAFETY: the request takes plain numbers.
    let result = unsafe { ptrace(PTRACE_SINGLESTEP, pid.0, 0usize, 0usize) };
    assert!(result == 0, "cannot step: {}", std::io::Error::last_os_error());
}

/// Where the instruction pointer stands in `struct user`.
const POINTER: usize = 16 * 8;

/// The address of a stopped child's next instruction; only where traps can be set, else `None`.
pub(crate) fn position(pid: Pid) -> Option<u64> {
    if !cfg!(target_arch = "x86_64") {
        return None;
    }
    // SAFETY: the request takes plain numbers, and the C library gives the word that it reads.
    let at = unsafe { ptrace(PTRACE_PEEKUSER, pid.0, POINTER, 0usize) };
    Some(at.cast_unsigned())
}

/// An instruction of a stopped child in the place of which there is one that stops it again.
#[derive(Debug)]
#[must_use = "without `take` the child does not get further"]
pub(crate) struct Trap {
    pid: Pid,
    address: u64,
    /// What was there before.
    code: c_long,
}

impl Trap {
    /// Sets one; `None` if the code cannot be changed.
    pub(crate) fn set(pid: Pid, address: u64) -> Option<Trap> {
        /// `int3`.
        const STOP: c_long = 0xcc;
        // SAFETY: the request takes plain numbers; the address is the child's.
        let code = unsafe { ptrace(PTRACE_PEEKTEXT, pid.0, address, 0usize) };
        // SAFETY: as above; the child's copy of its code is its own.
        let result = unsafe { ptrace(PTRACE_POKETEXT, pid.0, address, code & !0xff | STOP) };
        (result == 0).then_some(Trap { pid, address, code })
    }

    /// Tells whether the child stands behind it.
    pub(crate) fn is_sprung(&self) -> bool {
        position(self.pid) == Some(self.address + 1)
    }

    /// Takes it away again, and has the child stand before the instruction if it has sprung the trap.
    pub(crate) fn take(self) {
        if self.is_sprung() {
            // SAFETY: the request takes plain numbers; the address is that of an instruction of the child.
            unsafe { ptrace(PTRACE_POKEUSER, self.pid.0, POINTER, self.address) };
        }
        // SAFETY: the request takes plain numbers; the code is that which was there.
        unsafe { ptrace(PTRACE_POKETEXT, self.pid.0, self.address, self.code) };
    }
}

/// Lets a stopped child run.
pub(crate) fn run(pid: Pid) {
    // SAFETY: the request takes plain numbers.
    let result = unsafe { ptrace(PTRACE_CONT, pid.0, 0usize, 0usize) };
    assert!(result == 0, "cannot run: {}", std::io::Error::last_os_error());
}

/// Lets a stopped child go on untraced.
pub(crate) fn detach(pid: Pid) {
    // SAFETY: the request takes plain numbers.
    unsafe { ptrace(PTRACE_DETACH, pid.0, 0usize, 0usize) };
}

/// Kills a child at once.
pub(crate) fn kill_now(pid: Pid) {
    const PRIO_PROCESS: c_int = 0;
    // SAFETY: takes plain numbers. One that waits for a core could not die before it has one.
    unsafe { setpriority(PRIO_PROCESS, pid.0.unsigned_abs(), -20) };
    // SAFETY: takes plain numbers; the child is not reaped, so the number is its own.
    unsafe { kill(pid.0, SIGKILL) };
}

/// Starts the clock that interrupts [`wait_a_tick`].
pub(crate) fn start_ticking() {
    const ITIMER_REAL: c_int = 0;
    const MICROSECONDS: c_long = 400;
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: the handler does nothing.
    unsafe { signal(SIGALRM, nothing) };
    // SAFETY: takes plain numbers; calls are not begun again after this signal.
    unsafe { siginterrupt(SIGALRM, 1) };
    // Again and again, so that it does not matter if one comes just before the call that it is to interrupt.
    let every = [0, MICROSECONDS, 0, MICROSECONDS];
    // SAFETY: the times live, and the old ones are not asked for.
    unsafe { setitimer(ITIMER_REAL, &raw const every, std::ptr::null_mut()) };
}

/// Tells what has become of a child since it was asked last.
pub(crate) fn poll(pid: Pid) -> Option<Change> {
    ask(pid, WNOHANG)
}

/// Waits until a child changes, at most for a tick: the fastest way if it is about to.
pub(crate) fn wait_a_tick(pid: Pid) -> Option<Change> {
    ask(pid, 0)
}

fn ask(pid: Pid, options: c_int) -> Option<Change> {
    let mut status: c_int = 0;
    // SAFETY: the status is a live variable.
    let result = unsafe { waitpid(pid.0, &raw mut status, options) };
    if result < 0 {
        let error = std::io::Error::last_os_error();
        // One that was reaped when its end was a surprise is not lost a second time.
        return (error.kind() != std::io::ErrorKind::Interrupted).then_some(Change::Exited(REAPED));
    }
    if result <= 0 {
        return None;
    }
    Some(match (status & 0x7f, status >> 8 & 0xff) {
        (0, code) => Change::Exited(code),
        (0x7f, signal) => Change::Stopped(signal),
        (signal, _) => Change::Killed(signal),
    })
}

/// Waits until a child changes, at most for `limit`.
pub(crate) fn wait(pid: Pid, limit: Duration) -> Option<Change> {
    let started = Instant::now();
    loop {
        if let Some(change) = poll(pid) {
            return Some(change);
        }
        let left = limit.checked_sub(started.elapsed())?;
        wait_for_any(left);
    }
}

/// Sleeps until some child changes, or for `limit`.
pub(crate) fn wait_for_any(limit: Duration) {
    let limit = Timespec { seconds: limit.as_secs() as c_long, nanoseconds: limit.subsec_nanos().into() };
    // SAFETY: set and time live, and no information is asked for.
    unsafe { sigtimedwait(&raw const CHILD_SIGNAL, std::ptr::null_mut(), &raw const limit) };
}

/// Tells whether a process sleeps on a word; a process that is being stepped counts as one that runs.
pub(crate) fn sleeps_on_word(pid: Pid) -> bool {
    const FUTEX: &str = if cfg!(target_arch = "x86_64") { "202" } else { "98" };
    const FUTEX_WAITV: &str = "449";
    let call = std::fs::read_to_string(format!("/proc/{}/syscall", pid.0)).unwrap_or_default();
    call.split(' ').next().is_some_and(|number| number == FUTEX || number == FUTEX_WAITV)
}

/// Kills a child, and waits until it is gone.
pub(crate) fn kill_and_reap(pid: Pid) {
    kill_now(pid);
    while !matches!(wait(pid, Duration::from_secs(10)), Some(Change::Killed(_) | Change::Exited(_)) | None) {}
}
