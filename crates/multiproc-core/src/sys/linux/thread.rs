//! What the kernel does for a thread that dies: it looks at one word and wakes who sleeps on it.
//!
//! Every thread has a *robust list head* in its own memory, registered by the C library. At the thread's death,
//! however it comes, the kernel reads the head's `list_op_pending`. If the word that it points at holds the dying
//! thread's number in its lower 30 bits, the kernel stores "owner died" (bit 30, and bit 31 as it was) and wakes one
//! sleeper if bit 31 was set; if it holds no number, the kernel wakes one sleeper and leaves it alone. That is all
//! that is used here: no list, and nothing but words in shared memory. (Linux: `kernel/futex/core.c`,
//! `Documentation/locking/robust-futex-ABI.rst`.)
//!
//! # Safety
//!
//! Unsafe is needed to ask for the head and to write its pending field. The head is the calling thread's own, lives
//! as long as the thread, and its other reader is the kernel after the thread's end; the C library writes it only on
//! this thread, while it is inside calls of its own. What the field points at is never dereferenced by this process.
#![expect(unsafe_code, reason = "writes a field of the robust list head that the kernel reads")]

use super::futex::Futex;
use std::cell::Cell;
use std::mem::offset_of;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

/// The registered head, `struct robust_list_head` of `linux/futex.h`.
#[repr(C)]
struct Head {
    list: usize,
    offset: isize,
    pending: usize,
}

/// How many words a thread can hold at once and have each of them looked at if it dies.
const HELD: usize = 16;

/// What this thread knows about itself; no number means that it has not asked yet.
struct Me {
    id: Cell<u64>,
    /// Null where there is none (a filter, another C library): the bounded sleep and [`is_alive`] are left.
    head: Cell<*mut Head>,
    /// The head's field; of this thread's own if there is no head.
    pending: Cell<*mut usize>,
    /// What the kernel adds to a pending address to come to its word.
    offset: Cell<isize>,
    nobody: Cell<usize>,
    /// The words that it holds for longer than a call, oldest first; beyond their number none is noted.
    held: [Cell<usize>; HELD],
    count: Cell<usize>,
}

thread_local! {
    static ME: Me = const {
        Me {
            id: Cell::new(0),
            head: Cell::new(std::ptr::null_mut()),
            pending: Cell::new(std::ptr::null_mut()),
            offset: Cell::new(0),
            nobody: Cell::new(0),
            held: [const { Cell::new(0) }; HELD],
            count: Cell::new(0),
        }
    };
}

/// The lower bits of an [`id`], which are the number that the kernel knows the thread by.
pub const NUMBER: u64 = (1 << 30) - 1;

/// Who the calling thread is: its number in the lower half, and what tells it from others that bore or will bear
/// this number in the upper one. Never 0.
///
/// It means something to the processes of one PID namespace.
#[inline]
pub fn id() -> u64 {
    ME.with(|me| match me.id.get() {
        0 => learn(me),
        id => id,
    })
}

#[cold]
fn learn(me: &Me) -> u64 {
    static AT_FORK: Once = Once::new();
    AT_FORK.call_once(|| {
        // SAFETY: the handler is a function that lives as long as the program, and touches a thread-local without
        // a destructor. Without memory for it a forked child would use its parent's number: it is told apart by
        // the moment of its start, and cannot take a lock.
        unsafe { libc::pthread_atfork(None, None, Some(forget_thread)) };
    });
    let number = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    let head = head(me.head.get());
    me.head.set(head);
    if head.is_null() {
        me.pending.set(me.nobody.as_ptr());
        me.offset.set(0);
    } else {
        me.pending.set(head.wrapping_byte_add(offset_of!(Head, pending)).cast());
        // SAFETY: the C library set the field when it registered the head, and does not change it.
        me.offset.set(unsafe { head.wrapping_byte_add(offset_of!(Head, offset)).cast::<isize>().read() });
    }
    let id = u64::from(number) | u64::from(start(number).unwrap_or(0)) << 32;
    me.id.set(id);
    id
}

/// The registered head; where a raw clone has lost the registration, `known` is registered again.
fn head(known: *mut Head) -> *mut Head {
    let mut head: *mut Head = std::ptr::null_mut();
    let mut len: usize = 0;
    // SAFETY: both point to room for what the call writes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_get_robust_list,
            0,
            std::ptr::from_mut(&mut head),
            std::ptr::from_mut(&mut len),
        )
    };
    if result == 0 && !head.is_null() {
        return head;
    }
    if !known.is_null() {
        // SAFETY: it was the head of the thread that this one is the copy of, at the same address.
        unsafe { libc::syscall(libc::SYS_set_robust_list, known, size_of::<Head>()) };
    }
    known
}

extern "C" fn forget_thread() {
    forget();
}

static PROCESS: AtomicU64 = AtomicU64::new(0);

/// Who the calling process is, as [`id`] tells it of a thread.
#[inline]
pub fn process_id() -> u64 {
    match PROCESS.load(Ordering::Relaxed) {
        0 => {
            // Also what makes a forked child forget.
            id();
            let number = super::process::id();
            let id = u64::from(number) | u64::from(start(number).unwrap_or(0)) << 32;
            PROCESS.store(id, Ordering::Relaxed);
            id
        }
        id => id,
    }
}

/// Forgets who the thread was; a child that was made without the C library's `fork` calls it first of all.
///
/// Nothing that its parent held is its own.
pub fn forget() {
    PROCESS.store(0, Ordering::Relaxed);
    ME.with(|me| {
        if me.id.replace(0) != 0 {
            me.count.set(0);
            // SAFETY: the field is this thread's own, as its original's was (see above).
            unsafe { me.pending.get().write_volatile(0) };
        }
    });
}

/// Makes the kernel look at a word if this thread dies, and returns the address that it would have looked at.
///
/// The store is not moved over those before and after it. No fence of the processor is needed: the reader is the
/// kernel once this thread has ended, which sees them in the order of the program.
#[inline]
pub fn watch(word: Futex<'_>) -> usize {
    begin(word).1
}

/// Does the same as [`watch`], and tells the thread's [`id`] as well: what it knows of itself is looked up once.
#[inline]
pub fn begin(word: Futex<'_>) -> (u64, usize) {
    with_me(|me| {
        let before = me.pending();
        me.set_pending(word.address());
        (me.id.get(), before)
    })
}

/// Puts back what [`watch`] returned.
#[inline]
pub fn watch_again(address: usize) {
    with_me(|me| me.set_pending(address));
}

/// Notes a word that this thread goes on holding, and which is watched already.
#[inline]
pub fn hold(word: Futex<'_>) {
    ME.with(|me| {
        let count = me.count.get();
        if let Some(place) = me.held.get(count) {
            place.set(word.address());
            me.count.set(count + 1);
        }
    });
}

/// Takes the note of a held word back, and has the one that was noted before it watched.
#[inline]
pub fn let_go(word: Futex<'_>) {
    with_me(|me| {
        let count = me.count.get();
        let is_last = count > 0 && me.held.get(count - 1).is_some_and(|last| last.get() == word.address());
        if is_last {
            me.count.set(count - 1);
        } else {
            forget_held(me, word.address());
        }
        me.set_pending(me.count.get().checked_sub(1).and_then(|last| me.held.get(last)).map_or(0, Cell::get));
    });
}

#[cold]
fn forget_held(me: &Me, address: usize) {
    let held = &me.held[..me.count.get().min(HELD)];
    if let Some(place) = held.iter().rposition(|place| place.get() == address) {
        for at in place + 1..held.len() {
            held[at - 1].set(held[at].get());
        }
        me.count.set(held.len() - 1);
    }
}

impl Me {
    /// The word that the kernel would look at. Only a thread that has learned who it is may ask.
    #[inline]
    fn pending(&self) -> usize {
        // SAFETY: the field is this thread's own (see above).
        let entry = unsafe { self.pending.get().read_volatile() };
        if entry == 0 { 0 } else { entry.wrapping_add_signed(self.offset.get()) }
    }

    /// Makes the kernel look at another. Only a thread that has learned who it is may do that.
    #[inline]
    fn set_pending(&self, address: usize) {
        let entry = if address == 0 { 0 } else { address.wrapping_sub(self.offset.get().cast_unsigned()) };
        // WATCH: SeqCst, for the compiler alone: partner of the kernel's look after this thread's death.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: the field is this thread's own (see above).
        unsafe { self.pending.get().write_volatile(entry) };
        // WATCH: SeqCst, as above.
        compiler_fence(Ordering::SeqCst);
    }
}

#[inline]
fn with_me<R>(f: impl FnOnce(&Me) -> R) -> R {
    ME.with(|me| {
        if me.id.get() == 0 {
            learn(me);
        }
        f(me)
    })
}

/// Tells whether the thread that had this [`id`] still runs; in doubt, that it does.
pub fn is_alive(id: u64) -> bool {
    still_runs(id, |stat| !stat.has_ended)
}

/// Tells whether the process that had this [`process_id`] still runs; in doubt, that it does.
pub fn process_is_alive(id: u64) -> bool {
    // Its first thread may have ended before the others.
    still_runs(id, |stat| !stat.has_ended || stat.threads > 1)
}

fn still_runs(id: u64, runs: impl FnOnce(&Stat) -> bool) -> bool {
    let (number, known) = ((id & NUMBER) as u32, (id >> 32) as u32);
    exists(number)
        && match stat(number) {
            Some(stat) => runs(&stat) && (known == 0 || stat.start == known),
            // Nothing is told here, or it was there a moment ago and is gone now.
            None => exists(number),
        }
}

/// Tells whether a thread bears this number, be it a zombie.
fn exists(number: u32) -> bool {
    let Ok(signed) = i32::try_from(number) else { return true };
    // SAFETY: signal 0 is sent to nobody.
    let result = unsafe { libc::syscall(libc::SYS_tkill, signed, 0) };
    result == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// The flag of a thread that is on its way out, `linux/sched.h`.
const PF_EXITING: u64 = 4;

/// What the kernel tells of a thread.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// It runs no code of its program any more.
    has_ended: bool,
    /// How many threads its process has.
    threads: u32,
    /// When it started, in ticks, and never 0.
    start: u32,
}

/// When the thread of this number started, or `None` if it cannot be told.
fn start(number: u32) -> Option<u32> {
    Some(stat(number)?.start)
}

fn stat(number: u32) -> Option<Stat> {
    parse(&std::fs::read_to_string(format!("/proc/{number}/task/{number}/stat")).ok()?)
}

/// Fields 3, 9, 20 and 22 of `/proc/PID/stat`; the second one is a name that may hold anything.
fn parse(stat: &str) -> Option<Stat> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let is_zombie = matches!(fields.next()?, "Z" | "X" | "x");
    let flags: u64 = fields.nth(5)?.parse().ok()?;
    let threads = fields.nth(10)?.parse().ok()?;
    // 2^32 ticks of 10 ms are more than a year. Odd, so that none is 0.
    let start = fields.nth(1)?.parse::<u64>().ok()? as u32 | 1;
    // Those that the death has woken look before it is a zombie.
    Some(Stat { has_ended: is_zombie || flags & PF_EXITING != 0, threads, start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_thread_is_alive_until_it_ends() {
        let (ids, receive) = channel();
        let (done, wait) = channel::<()>();
        let thread = std::thread::spawn(move || {
            ids.send(id()).unwrap();
            let _ = wait.recv();
        });
        let other = receive.recv().unwrap();
        assert!(is_alive(other) && is_alive(id()) && other != id());
        // Another thread that bears the number.
        assert!(!is_alive(other ^ (8 << 32)));
        drop(done);
        thread.join().unwrap();
        // `join` returns when the kernel has cleared the thread's number, a moment before it is gone.
        while is_alive(other) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn names_with_brackets_and_zombies_are_read() {
        let line = "7 (a) R (b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 2";
        let read = Stat { has_ended: false, threads: 1, start: 123_457 };
        assert_eq!(parse(line), Some(read));
        assert!(parse(&line.replace(") S", ") Z")).unwrap().has_ended);
        assert!(parse(&line.replace("4194560", "4194564")).unwrap().has_ended);
        assert_eq!(parse("7 (a"), None);
    }

    #[test]
    fn what_is_held_is_watched_again_in_any_order() {
        use std::sync::atomic::AtomicU32;
        let words = [const { AtomicU32::new(0) }; 3];
        let address = |at: usize| Futex::from(&words[at]).address();
        let before = with_me(Me::pending);
        for word in &words {
            assert_ne!(watch(word.into()), Futex::from(word).address());
            hold(word.into());
        }
        let_go((&words[1]).into());
        assert_eq!(with_me(Me::pending), address(2));
        let_go((&words[2]).into());
        assert_eq!(with_me(Me::pending), address(0));
        let_go((&words[0]).into());
        assert_eq!((before, with_me(Me::pending)), (0, 0));
    }
}
