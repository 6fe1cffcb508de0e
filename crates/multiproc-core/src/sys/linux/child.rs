//! Children: starting them, and learning how they ended.
//!
//! # Safety
//!
//! Unsafe is needed for `posix_spawn` with its attribute and action objects, for `clone`, `fork`, and one ioctl.
//! The C library's objects are initialised before use and destroyed once, by an owner type; every pointer that is
//! passed points to a local or to a `CString` that outlives the call. `clone` and `fork` return twice, so they
//! stay `unsafe` for their callers, who must hold to what each says.
#![expect(unsafe_code, reason = "posix_spawn, clone, fork and the pidfd ioctl have no safe form")]

pub use rustix::process::Pid;
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions};
use std::ffi::{CStr, CString, c_char, c_int, c_ulong, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// The number under which an executed child finds its end of the start-up socket.
pub const BOOT_FD: RawFd = 3;

/// What to execute.
#[derive(Debug)]
pub struct Exec<'a> {
    /// Path of the executable.
    pub path: &'a CStr,
    /// Its arguments, the first one its name.
    pub args: &'a [CString],
    /// Its environment, `NAME=value` each.
    pub env: &'a [CString],
    /// Its standard input, output and error.
    pub stdio: [BorrowedFd<'a>; 3],
    /// What it finds as [`BOOT_FD`].
    pub boot: BorrowedFd<'a>,
}

/// Executes a program as a child that has exactly four descriptors: the standard ones and [`BOOT_FD`].
///
/// Where [`spawn_closes`] says no it also has those that this program lets others inherit, and must close them.
///
/// All descriptors of `exec` must have numbers above [`BOOT_FD`] (see [`super::fd::dup_high`]). The child's signal
/// mask is empty. Costs the same whatever the size of the calling process.
///
/// # Errors
///
/// The program cannot be executed, or the system can make no more processes.
pub fn spawn(exec: &Exec<'_>) -> io::Result<Pid> {
    let mut actions = Actions::new()?;
    for (number, fd) in (0..).zip(exec.stdio) {
        actions.dup2(fd, number)?;
    }
    actions.dup2(exec.boot, BOOT_FD)?;
    actions.close_from(BOOT_FD + 1)?;
    let attributes = Attributes::with_empty_mask()?;

    let pointers = |strings: &[CString]| -> Vec<*mut c_char> {
        strings.iter().map(|s| s.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect()
    };
    let (args, env) = (pointers(exec.args), pointers(exec.env));
    let mut pid = 0;
    // SAFETY:
    // - the path and every entry of both lists are C strings that outlive the call; the lists end with null;
    // - actions and attributes are initialised;
    // - posix_spawn does not write through the lists, whatever its signature says.
    check(unsafe {
        libc::posix_spawn(
            &mut pid,
            exec.path.as_ptr(),
            &actions.0,
            &attributes.0,
            args.as_ptr(),
            env.as_ptr(),
        )
    })?;
    Pid::from_raw(pid).ok_or_else(|| io::Error::other("the system gave the child no number"))
}

fn check(error: c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Actions> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: it points to room for the object, which the call initialises.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: initialised by the call above, which succeeded.
        Ok(Actions(unsafe { actions.assume_init() }))
    }

    fn dup2(&mut self, fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
        debug_assert!(fd.as_raw_fd() > BOOT_FD, "an earlier dup2 would overwrite it");
        // SAFETY: the object is initialised.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, fd.as_raw_fd(), number) })
    }

    fn close_from(&mut self, lowest: RawFd) -> io::Result<()> {
        match add_close_from() {
            // SAFETY: the object is initialised, and the function is the one of this type.
            Some(add) => check(unsafe { add(&mut self.0, lowest) }),
            None => Ok(()),
        }
    }
}

/// Tells whether [`spawn`] itself closes what the child must not have; else the child has to, first thing.
pub fn spawn_closes() -> bool {
    add_close_from().is_some()
}

type AddCloseFrom = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, c_int) -> c_int;

/// The action that closes all descriptors from a number on: glibc has it since 2.34, other C libraries do not.
///
/// To name it would keep the program from being linked against an older one.
#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
fn add_close_from() -> Option<AddCloseFrom> {
    use std::sync::OnceLock;
    static FOUND: OnceLock<Option<AddCloseFrom>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: the name is a C string; nothing is loaded for this.
        let found =
            unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"posix_spawn_file_actions_addclosefrom_np".as_ptr()) };
        // SAFETY: the C library's function of this name is of this type; null is `None`.
        unsafe { std::mem::transmute::<*mut c_void, Option<AddCloseFrom>>(found) }
    })
}

#[cfg(not(all(target_env = "gnu", not(target_feature = "crt-static"))))]
fn add_close_from() -> Option<AddCloseFrom> {
    None
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised, and destroyed only here.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn with_empty_mask() -> io::Result<Attributes> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: it points to room for the object, which the call initialises.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: initialised by the call above, which succeeded.
        let mut attributes = Attributes(unsafe { attributes.assume_init() });
        let mut mask = MaybeUninit::uninit();
        // SAFETY: it points to room for a set, which the call initialises.
        unsafe { libc::sigemptyset(mask.as_mut_ptr()) };
        // SAFETY: both objects are initialised.
        check(unsafe { libc::posix_spawnattr_setsigmask(&mut attributes.0, mask.as_ptr()) })?;
        // SAFETY: the object is initialised.
        check(unsafe {
            libc::posix_spawnattr_setflags(&mut attributes.0, libc::POSIX_SPAWN_SETSIGMASK as libc::c_short)
        })?;
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised, and destroyed only here.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

/// Closes every descriptor from `lowest` on.
///
/// # Safety
///
/// Nothing in this process may own or use one of them any more.
pub unsafe fn close_from(lowest: RawFd) {
    // SAFETY: close_range takes plain numbers; the caller answers for their owners.
    let result = unsafe { libc::syscall(libc::SYS_close_range, lowest, c_int::MAX, 0) };
    if result == 0 {
        return;
    }
    // A kernel before 5.9, or a filter: one by one.
    let highest = super::fd::descriptor_limit().unwrap_or(1 << 16).min(1 << 20);
    for fd in lowest..i32::try_from(highest).unwrap_or(i32::MAX) {
        // SAFETY: close takes a plain number; the caller answers for its owner.
        unsafe { libc::close(fd) };
    }
}

/// Takes ownership of the descriptor with the number `fd` if it is an open stream socket, and closes it on exec.
///
/// # Safety
///
/// Nothing else in this process may own it.
pub unsafe fn adopt_socket(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: the number is only asked about.
    if fd <= 2 || unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
        return None;
    }
    // SAFETY: it is open, and the caller says that nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    if rustix::net::sockopt::socket_type(&fd) != Ok(rustix::net::SocketType::STREAM) {
        std::mem::forget(fd); // not what was meant: left as it was
        return None;
    }
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(fd)
}

/// Who one is after a process was duplicated.
#[derive(Debug)]
pub enum Duplicated {
    /// The original: its copy's number, and a descriptor of it.
    Parent(Pid, OwnedFd),
    /// The copy.
    Child,
}

/// What the C library and the kernel know of the calling thread, which a copy of it must learn anew.
#[derive(Debug)]
pub struct ThreadRecord {
    /// Where the C library keeps the thread's id.
    id: *mut c_int,
    robust_list: *mut c_void,
    robust_len: usize,
}

impl ThreadRecord {
    /// Finds the record of the calling thread; `None` where the kernel or the C library does not show it.
    ///
    /// glibc has the kernel clear its cached thread id at the thread's end, so the kernel knows the place. Other C
    /// libraries give another place there, which does not hold the id.
    pub fn of_this_thread() -> Option<ThreadRecord> {
        let mut id: *mut c_int = std::ptr::null_mut();
        // SAFETY: the kernel writes one pointer to where it is told, which is a local.
        let found = unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut id) };
        if found != 0 || id.is_null() || !id.is_aligned() {
            return None;
        }
        // SAFETY: the C library gave the kernel this place to write to, so it is one, and stays while the thread does.
        if unsafe { id.read_volatile() } != rustix::thread::gettid().as_raw_nonzero().get() {
            return None;
        }
        let (mut robust_list, mut robust_len) = (std::ptr::null_mut(), 0);
        // SAFETY: the kernel writes a pointer and a length to where it is told, which are locals.
        let found =
            unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut robust_list, &raw mut robust_len) };
        (found == 0).then_some(ThreadRecord { id, robust_list, robust_len })
    }
}

/// Duplicates this process as a *sibling*: its parent is the parent of the caller.
///
/// With a `record` the copy's thread is all that a thread of its own is: the C library's cached id and the robust
/// list are put right, as the C library's own fork does.
///
/// # Safety
///
/// - The caller must be the only thread of its process, and `record` its own.
/// - Without a record the C library in the copy still believes that it is the original's thread (its cached thread
///   id): the copy must do its work on a thread that it starts itself, and use no lock that knows its owner before
///   that.
///
/// # Errors
///
/// The system can make no more processes, or a filter refuses this one.
pub unsafe fn clone_sibling(record: Option<&ThreadRecord>) -> io::Result<Duplicated> {
    let mut pidfd: RawFd = -1;
    let mut flags = libc::CLONE_PARENT | libc::CLONE_PIDFD;
    let mut id = std::ptr::null_mut();
    if let Some(record) = record {
        flags |= libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
        id = record.id;
    }
    let no_stack = std::ptr::null_mut::<c_void>();
    // The old call, since containers filter the new one, whose flags a filter cannot see. Architectures disagree on
    // the order of the last two arguments; the one that is not the copy's id is not looked at without CLONE_SETTLS.
    // SAFETY:
    // - `pidfd` outlives the call;
    // - without CLONE_VM and without a stack of its own the copy goes on here with a copy of everything, as
    //   after fork; the caller is the only thread, so no lock is held by one that is missing in the copy;
    // - the kernel writes the copy's id to the copy of where the C library keeps it, which is an int.
    let result =
        unsafe { libc::syscall(libc::SYS_clone, flags as c_ulong, no_stack, &raw mut pidfd, id, id) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            super::thread::forget();
            if let Some(record) = record {
                // SAFETY: the list is the one that the C library registered for this thread, of which this is a copy.
                unsafe { libc::syscall(libc::SYS_set_robust_list, record.robust_list, record.robust_len) };
            }
            Ok(Duplicated::Child)
        }
        pid => {
            let pid = i32::try_from(pid)
                .ok()
                .and_then(Pid::from_raw)
                .ok_or_else(|| io::Error::other("no process number"))?;
            // SAFETY: the kernel has just made this descriptor for us (CLONE_PIDFD), closed on exec.
            Ok(Duplicated::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
        }
    }
}

/// Forks.
///
/// # Safety
///
/// In the child only the calling thread exists: locks that other threads held stay locked for ever, so nothing may
/// be used there that needs one. See fork(2).
///
/// # Errors
///
/// The system can make no more processes.
pub unsafe fn fork() -> io::Result<Duplicated> {
    // SAFETY: the caller answers for what the child does.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Duplicated::Child),
        pid => {
            let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("no process number"))?;
            match super::fd::with_descriptors(|| open_child(pid)) {
                Ok(pidfd) => Ok(Duplicated::Parent(pid, pidfd)),
                Err(error) => {
                    // Nobody could wait for it: it must not run.
                    kill_and_reap(pid);
                    Err(error)
                }
            }
        }
    }
}

/// Opens a descriptor of the child `pid`, which must not have been waited for.
///
/// # Errors
///
/// Somebody else waited for it meanwhile and it is gone, or no descriptor is left.
pub fn open_child(pid: Pid) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Kills the child `pid`, which must not have been waited for, and waits for it.
pub fn kill_and_reap(pid: Pid) {
    // Both fail only where it is gone already.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    let _ = rustix::io::retry_on_intr(|| {
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
    });
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It left with this code.
    Exited(i32),
    /// A signal ended it.
    Signaled {
        /// The signal's number.
        signal: i32,
        /// Whether it left a core file.
        core_dumped: bool,
    },
    /// Somebody else took the status, and the kernel does not tell again.
    Unknown,
}

/// Waits for the child behind `pidfd` and removes what is left of it; `None` if it is still running and `block` is false.
///
/// A status that somebody else's wait took away is asked for once more where the kernel keeps it (Linux 6.15 on),
/// else it is [`End::Unknown`].
///
/// # Errors
///
/// The system's.
pub fn reap(pidfd: impl AsFd, block: bool) -> io::Result<Option<End>> {
    let mut options = WaitIdOptions::EXITED;
    if !block {
        options |= WaitIdOptions::NOHANG;
    }
    let pidfd = pidfd.as_fd();
    match rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd), options)) {
        Ok(Some(status)) => Ok(Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => End::Exited(code),
            (None, Some(signal)) => End::Signaled { signal, core_dumped: status.dumped() },
            (None, None) => End::Unknown,
        })),
        Ok(None) => Ok(None),
        Err(rustix::io::Errno::CHILD) => {
            // Not ours to wait for any more: either somebody reaped it, or it was adopted while it runs.
            let ended = super::fd::poll_one(
                pidfd,
                super::fd::Interest::Read,
                if block { crate::Deadline::NEVER } else { crate::Deadline::now() },
            )?;
            Ok(ended.then(|| exit_info(pidfd).unwrap_or(End::Unknown)))
        }
        Err(error) => Err(error.into()),
    }
}

/// The most bytes that a child had in memory at one time, once it has ended and before it is waited for.
///
/// `None` while it runs, after the wait, or where that cannot be told.
pub fn peak_memory(pidfd: impl AsFd) -> Option<u64> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers lead to room for what the kernel writes there; the C library's form has no room for the
    // second.
    let result = unsafe {
        libc::syscall(
            libc::SYS_waitid,
            libc::P_PIDFD,
            pidfd.as_fd().as_raw_fd(),
            info.as_mut_ptr(),
            libc::WEXITED | libc::WNOWAIT | libc::WNOHANG,
            usage.as_mut_ptr(),
        )
    };
    // SAFETY: all zeros, or what the kernel wrote.
    let usage = unsafe { usage.assume_init() };
    let kibibytes = u64::try_from(usage.ru_maxrss).ok().filter(|_| result == 0)?;
    (kibibytes > 0).then_some(kibibytes << 10)
}

/// The kernel's `struct pidfd_info`, as far as its first version goes.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const _: () = assert!(size_of::<PidfdInfo>() == 64);

/// Asks the kernel how a process ended that was already waited for.
fn exit_info(pidfd: BorrowedFd<'_>) -> Option<End> {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    /// `_IOWR(0xFF, 11, struct pidfd_info)`
    const PIDFD_GET_INFO: libc::Ioctl =
        (3 << 30 | (size_of::<PidfdInfo>() as u32) << 16 | 0xFF << 8 | 11) as libc::Ioctl;
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request's number holds the size of what the pointer leads to, and the kernel writes no more.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    if result == -1 || info.mask & PIDFD_INFO_EXIT == 0 {
        return None;
    }
    // The same packing as waitpid's status: the low 7 bits the signal, bit 7 the core, the next 8 the code.
    let (signal, code) = (info.exit_code & 0x7f, info.exit_code >> 8 & 0xff);
    Some(if signal == 0 {
        End::Exited(code)
    } else {
        End::Signaled { signal, core_dumped: info.exit_code & 0x80 != 0 }
    })
}

/// A number in memory that a process shares with others: what one says before it dies, the other reads after that.
#[derive(Debug)]
pub struct SharedWord(memmap2::MmapRaw);

impl SharedWord {
    /// Makes one, and the descriptor by which others [`open`](Self::open) it.
    ///
    /// # Errors
    ///
    /// The system's: no memory or no descriptor left.
    pub fn create() -> io::Result<(SharedWord, OwnedFd)> {
        let fd = super::memory::create_memfd("multiproc-word")?;
        super::memory::allocate(&fd, size_of::<AtomicU64>() as u64)?;
        Ok((SharedWord::open(&fd)?, fd))
    }

    /// Opens the one behind `fd`.
    ///
    /// # Errors
    ///
    /// The system's; `InvalidData` where it holds no number.
    pub fn open(fd: impl AsFd) -> io::Result<SharedWord> {
        let map = memmap2::MmapRaw::map_raw(fd.as_fd().as_raw_fd())?;
        if map.len() < size_of::<AtomicU64>() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a shared number that is too short"));
        }
        Ok(SharedWord(map))
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY:
        // - the mapping is as long as the number at least, and begins on a page, so it is aligned;
        // - every bit pattern is a number; others reach it only as an atomic, too;
        // - it is mapped as long as `self` lives, which the reference does not outlive.
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().cast()) }
    }

    /// Writes the number, unless a higher one is there.
    pub fn raise(&self, number: u64) {
        // Relaxed: the number is all that is told, and who reads it looks until it is there or can no more come.
        self.word().fetch_max(number, Ordering::Relaxed);
    }

    /// Reads the number.
    pub fn load(&self) -> u64 {
        // Relaxed: see `raise`.
        self.word().load(Ordering::Relaxed)
    }
}
