//! This process: who it is, and how it ends.
//!
//! # Safety
//!
//! Unsafe is needed for calls of the C library that take pointers or change process-wide state: `atexit`,
//! `signal`, signal masks, `_exit` and the pointer `environ`. Each is used with valid arguments; `environ`, which
//! any other thread could be reading, is changed only after a look that there is no other thread.
#![expect(unsafe_code, reason = "atexit, signal, _exit and environ have no safe form")]

use rustix::process::{Pid, Signal};
use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The number of the calling process.
pub fn id() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get().cast_unsigned()
}

/// Ends the process at once: no exit handlers, no destructors, no flush.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no conditions.
    unsafe { libc::_exit(code) }
}

/// Ends the process without exit handlers and destructors, once the standard output of Rust and of C is written.
pub fn exit_flushed(code: i32) -> ! {
    let _ = io::Write::flush(&mut io::stdout());
    // SAFETY: null means all streams.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    exit_now(code)
}

/// Kills the calling process with SIGKILL.
pub fn kill_self() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    exit_now(128 + 9)
}

/// Calls `handler` when the process exits, before the handlers that were registered earlier.
///
/// # Errors
///
/// No memory left.
pub fn at_exit(handler: extern "C" fn()) -> io::Result<()> {
    // SAFETY: the handler is a function that lives as long as the program.
    match unsafe { libc::atexit(handler) } {
        0 => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            "no memory is left for an exit handler: free some",
        )),
    }
}

/// Asks the kernel to kill this process when the thread that forked it ends.
///
/// # Errors
///
/// The system's.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Ignores SIGPIPE, as std does before `main`: a write to a closed pipe is an error instead.
pub fn ignore_sigpipe() {
    // SAFETY: SIG_IGN runs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// The signal mask before [`block_terminal_signals`].
#[derive(Clone, Copy)]
pub struct TerminalSignals(libc::sigset_t);

impl std::fmt::Debug for TerminalSignals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TerminalSignals").finish_non_exhaustive()
    }
}

/// Holds back the signals that a terminal sends to its whole foreground group.
///
/// They are blocked and not ignored: a copy of this process then loses none that is meant for it, however early.
pub fn block_terminal_signals() -> TerminalSignals {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: it points to room for a set, which the call initialises.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
        // SAFETY: the set is initialised, the signal exists.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    let mut old = std::mem::MaybeUninit::uninit();
    // SAFETY: the set is initialised; the other pointer leads to room for the old one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), old.as_mut_ptr()) };
    // SAFETY: the call above has filled it in: it fails only for an unknown first argument.
    TerminalSignals(unsafe { old.assume_init() })
}

/// Puts back what [`block_terminal_signals`] changed; signals that came meanwhile are delivered.
pub fn restore_terminal_signals(saved: &TerminalSignals) {
    // SAFETY: the set is one that the same call gave; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &saved.0, std::ptr::null_mut()) };
}

/// Keeps all signals from being handled on the calling thread.
pub fn block_signals() {
    let mut all = std::mem::MaybeUninit::uninit();
    // SAFETY: it points to room for a set, which the call initialises.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the set is initialised; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut()) };
}

/// Opens `/dev/null` in place of each standard descriptor that is closed, as std does before `main`.
pub fn open_missing_stdio() {
    for number in 0..3 {
        // SAFETY: the number is only asked about; EBADF is the answer looked for.
        let open = unsafe { libc::fcntl(number, libc::F_GETFD) } != -1;
        if !open {
            // The lowest free number is this one, since the loop runs upwards.
            let Ok(null) = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())
            else {
                continue;
            };
            std::mem::forget(null);
        }
    }
}

/// Makes `fd` the standard descriptor `number` (0, 1 or 2).
///
/// # Errors
///
/// The system's.
pub fn set_stdio(number: i32, fd: impl AsFd) -> io::Result<()> {
    debug_assert!((0..3).contains(&number));
    match number {
        0 => rustix::stdio::dup2_stdin(fd)?,
        1 => rustix::stdio::dup2_stdout(fd)?,
        _ => rustix::stdio::dup2_stderr(fd)?,
    }
    Ok(())
}

/// Goes to the directory that `fd` refers to.
///
/// # Errors
///
/// The system's.
pub fn change_directory(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::process::fchdir(fd)?)
}

/// Limits the memory that this process may allocate: its private writable pages (`RLIMIT_DATA`).
///
/// # Errors
///
/// The system's: above the hard limit.
pub fn limit_memory(bytes: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    Ok(setrlimit(Resource::Data, Rlimit { current: Some(bytes), maximum: Some(bytes) })?)
}

/// Runs the calling thread, and those that it starts, on the given processors only.
///
/// # Errors
///
/// `InvalidInput` where there is none of them here.
pub fn set_affinity(cpus: &[usize]) -> io::Result<()> {
    Ok(rustix::thread::sched_setaffinity(None, &cpu_set(cpus)?)?)
}

/// Checks that `cpus` names processors of this machine.
///
/// Which of them a process may use is for the kernel to say when it comes to that: not the processors that this one
/// runs on now, but those of its control group count.
///
/// # Errors
///
/// `InvalidInput`: the list is empty, or names a processor that there is not.
pub fn check_affinity(cpus: &[usize]) -> io::Result<()> {
    if cpus.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an empty list of processors: name at least one",
        ));
    }
    cpu_set(cpus)?;
    let highest = std::fs::read_to_string("/sys/devices/system/cpu/possible").ok();
    let highest: Option<usize> = highest.and_then(|list| list.trim().rsplit([',', '-']).next()?.parse().ok());
    match cpus.iter().find(|cpu| highest.is_some_and(|highest| **cpu > highest)) {
        Some(cpu) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("there is no processor {cpu} for this program: name one of those that it may use"),
        )),
        None => Ok(()),
    }
}

/// The processors that a thread may run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity(rustix::thread::CpuSet);

impl Affinity {
    /// Reads that of the calling thread; `None` where it cannot be told, as on more than 1,024 processors.
    pub fn own() -> Option<Affinity> {
        rustix::thread::sched_getaffinity(None).ok().map(Affinity)
    }

    /// Reads that of the first thread of the process with the number `id`.
    pub fn of_process(id: u32) -> Option<Affinity> {
        let id = Pid::from_raw(i32::try_from(id).ok()?)?;
        rustix::thread::sched_getaffinity(Some(id)).ok().map(Affinity)
    }

    /// Gives it to the calling thread.
    ///
    /// # Errors
    ///
    /// The system's: this process may use none of them any more.
    pub fn apply(&self) -> io::Result<()> {
        Ok(rustix::thread::sched_setaffinity(None, &self.0)?)
    }

    /// Lists the processors.
    pub fn cpus(&self) -> Vec<usize> {
        (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| self.0.is_set(*cpu)).collect()
    }
}

/// Whose rights a process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    users: [rustix::process::Uid; 2],
    groups: [rustix::process::Gid; 2],
    more_groups: Vec<rustix::process::Gid>,
}

impl Credentials {
    /// Reads those of the calling thread: real and effective user and group, and the further groups.
    pub fn own() -> Credentials {
        use rustix::process::{getegid, geteuid, getgid, getgroups, getuid};
        Credentials {
            users: [getuid(), geteuid()],
            groups: [getgid(), getegid()],
            more_groups: getgroups().unwrap_or_default(),
        }
    }
}

fn cpu_set(cpus: &[usize]) -> io::Result<rustix::thread::CpuSet> {
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus {
        if *cpu >= rustix::thread::CpuSet::MAX_CPU {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("there is no processor {cpu} for this program: name one of those that it may use"),
            ));
        }
        set.set(*cpu);
    }
    Ok(set)
}

/// The stack size of the main thread: the soft limit, within what can reasonably be mapped.
pub fn main_stack_size() -> usize {
    const USUAL: u64 = 8 << 20;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Stack).current.unwrap_or(USUAL);
    usize::try_from(limit.clamp(1 << 20, 256 << 20)).unwrap_or(USUAL as usize)
}

/// The number of threads of this process; 0 where that cannot be told.
pub fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count())
}

/// Names the calling thread, as ps and top show it: its first 15 bytes, up to a NUL.
pub fn set_thread_name(name: &str) {
    let bytes = name.bytes().take(15).take_while(|byte| *byte != 0).collect::<Vec<u8>>();
    if let Ok(name) = CString::new(bytes) {
        // A name is a comfort: without /proc or with a filter it goes without.
        let _ = rustix::thread::set_name(&name);
    }
}

/// The children of this process whose main thread has this name, zombies included; looks at every process there is.
pub fn children_named(name: &str) -> Vec<Pid> {
    let own = id().to_string();
    let is_one = |stat: &str| {
        // id (name) state parent …
        let (before, after) = stat.rsplit_once(") ")?;
        let (_, found) = before.split_once(" (")?;
        Some(found == name && after.split(' ').nth(1)? == own)
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        is_one(&stat)?.then_some(pid)
    });
    found.collect()
}

/// Tells whether this program runs with more rights than who started it, so that the environment is not to be trusted.
pub fn is_elevated() -> bool {
    // SAFETY: getauxval has no conditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Sends `signal` to the process that `pidfd` refers to; one that has ended is left in peace.
///
/// # Errors
///
/// `PermissionDenied` where it runs as another user.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(signal).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("there is no signal {signal}: use a number that `kill -l` lists"),
        )
    })?;
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes this process the leader of a process group of its own, in which its children will be.
///
/// # Errors
///
/// The system's: it leads a session.
pub fn lead_group() -> io::Result<()> {
    Ok(rustix::process::setpgid(None, None)?)
}

/// Sends `signal` to all processes of the group that `leader` leads; nothing happens where there is none.
///
/// The leader must not have been waited for: its number could be another's by then.
///
/// # Errors
///
/// `PermissionDenied` where all of them run as another user.
pub fn signal_group(leader: u32, signal: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(signal).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("there is no signal {signal}: use a number that `kill -l` lists"),
        )
    })?;
    let Some(leader) = i32::try_from(leader).ok().and_then(Pid::from_raw) else { return Ok(()) };
    match rustix::process::kill_process_group(leader, signal) {
        Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// How many bytes of a process are in memory now; `None` where that cannot be told.
pub fn resident(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

/// Tells whether a process has a handler for `signal`; false where that cannot be told.
pub fn catches(id: u32, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).contains(&signal) && caught >> (signal - 1) & 1 == 1
}

/// How often the kernel has killed a process of this one's control group for want of memory; `None` where that cannot
/// be told.
pub fn oom_kills() -> Option<u64> {
    let group = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = group.lines().find_map(|line| line.strip_prefix("0::"))?;
    let events = std::fs::read_to_string(format!("/sys/fs/cgroup{path}/memory.events")).ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// Opens a descriptor of the process with the number `pid`.
///
/// # Errors
///
/// `NotFound`-like (ESRCH) where there is none; no descriptor left.
pub fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// Replaces the whole environment of this process by entries `NAME=value`.
///
/// # Errors
///
/// `ResourceBusy` where this process has more than one thread: another could be reading the environment.
pub fn replace_environment(entries: Vec<CString>) -> io::Result<()> {
    if thread_count() != 1 {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "the environment cannot change under other threads: start no thread before `main`",
        ));
    }
    let mut pointers: Vec<*const c_char> =
        entries.into_iter().map(|entry| entry.into_raw().cast_const()).collect();
    pointers.push(std::ptr::null());
    // The C library keeps pointers into the block for as long as it likes, so it is never freed.
    let block = Vec::leak(pointers).as_ptr();
    // SAFETY: this is the only thread; the block ends with null and lives for ever.
    unsafe { environ = block };
    Ok(())
}
