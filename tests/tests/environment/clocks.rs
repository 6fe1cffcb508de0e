//! # Safety
//!
//! Unsafe is needed to stand in the place of the C library's `clock_gettime`, which the standard library calls: it does
//! what that one does, by the same system call, and adds to what it tells of the wall clock. Its caller's pointer is
//! passed on, and written to as the call allows.
#![expect(unsafe_code, reason = "a wall clock that jumps, without the right to set the machine's")]

use crate::behind;
use crate::limits::in_another_world;
use multiproc::{
    Barrier, BoundedSemaphore, Condvar, Event, Mutex, Pool, Process, Queue, RwLock, Shared, TaskError,
    TaskOptions, channel, one_way, pipe,
};
use multiproc_tests::{Limit, isolated_for, isolated_in_role, raw};
use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

const HOUR: c_long = 3600;
/// How long the wall clock stays where it is.
const JUMP: c_long = 3_000_000;

static JUMPS: AtomicBool = AtomicBool::new(false);

#[repr(C)]
struct Time {
    seconds: c_long,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn syscall(number: c_long, clock: c_int, time: *mut Time) -> c_long;
}

/// What all of this program asks for the time, in the place of the C library's: its wall clock jumps an hour forth and
/// two back, many times a second.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    const CLOCK_GETTIME: c_long = if cfg!(target_arch = "x86_64") { 228 } else { 113 };
    const REALTIME: c_int = 0;
    // SAFETY: the caller's pointer is for what this call writes.
    let result = unsafe { syscall(CLOCK_GETTIME, clock, time) };
    // Relaxed: it only says whether the clock is to jump.
    if result == 0 && clock == REALTIME && JUMPS.load(Ordering::Relaxed) {
        // SAFETY: the call has just written there.
        let now = unsafe { &mut *time };
        now.seconds += [0, HOUR, -HOUR][(now.nanoseconds / JUMP % 3) as usize];
    }
    result as c_int
}

/// From now on the wall clock jumps in this process, and who waits by it ends it.
fn jump() {
    JUMPS.store(true, Ordering::Relaxed);
    raw::forbid_waits_by_wall_clock();
}

/// What a partner does with everything, an hour earlier or later than the other end.
type All = (Queue<u64>, Queue<u64>, Shared<Mutex<u64>>, Shared<Event>);

fn echo((there, back, lock, event): All) {
    jump();
    event.set();
    while let Ok(number) = there.get_timeout(Duration::from_secs(20)) {
        *lock.lock_timeout(Duration::from_secs(20)).unwrap() += 1;
        back.put_timeout(number + 1, Duration::from_secs(20)).unwrap();
    }
}

#[test]
fn a_wall_clock_that_jumps_moves_no_wait() {
    isolated_for(Limit(Duration::from_secs(120)), || {
        const LONG: Duration = Duration::from_millis(150);
        const AMPLE: Duration = Duration::from_secs(20);
        jump();
        // A clock that does not jump would prove nothing.
        let (began, wall) = (Instant::now(), SystemTime::now());
        while SystemTime::now().duration_since(wall).is_ok_and(|since| since < AMPLE * 60) {
            assert!(began.elapsed() < AMPLE, "the wall clock does not jump");
        }
        // Nor would one by which nobody is caught.
        let caught = Process::spawn((), |()| {
            jump();
            raw::wait_by_wall_clock();
        });
        const SIGSYS: i32 = 31;
        assert_eq!(caught.unwrap().wait().unwrap().signal(), Some(SIGSYS));

        let (event, lock) = (Shared::new(Event::new()).unwrap(), Shared::new(Mutex::new(0_u64)).unwrap());
        let (guarded, condition) = (Mutex::new(()), Condvar::new());
        let (semaphore, barrier, shelf) = (BoundedSemaphore::new(1), Barrier::new(2), RwLock::new(0));
        let (empty, full) = (Queue::<u8>::bounded(1).unwrap(), Queue::<u8>::bounded(1).unwrap());
        full.put(1).unwrap();
        let (ours, _theirs) = pipe::<(), ()>().unwrap();
        let (reader, _writer) = one_way::<u8>().unwrap();
        let (_sender, receiver) = channel::<u8>(1).unwrap();
        let child = Process::builder().daemon(true).spawn((), |()| -> () {
            jump();
            loop {
                std::thread::park();
            }
        });
        let child = child.unwrap();
        let pool = Pool::new(1).unwrap();
        let idle = |()| -> () {
            loop {
                std::thread::park();
            }
        };
        let held = lock.lock().unwrap();
        let permit = semaphore.acquire();
        let written = shelf.write().unwrap();
        let waits: [(&str, &dyn Fn()); 13] = [
            ("event", &|| assert!(!event.wait_timeout(LONG))),
            ("mutex", &|| {
                std::thread::scope(|scope| {
                    scope.spawn(|| assert!(lock.lock_timeout(LONG).unwrap_err().is_timeout()));
                });
            }),
            ("rwlock", &|| {
                std::thread::scope(|scope| {
                    scope.spawn(|| assert!(shelf.read_timeout(LONG).is_err()));
                });
            }),
            ("semaphore", &|| assert!(semaphore.acquire_timeout(LONG).is_none())),
            ("condition", &|| {
                drop(condition.wait_timeout(guarded.lock().unwrap(), LONG));
            }),
            ("barrier", &|| assert!(barrier.wait_timeout(LONG).unwrap_err().is_timeout())),
            ("get", &|| assert!(empty.get_timeout(LONG).unwrap_err().is_timeout())),
            ("put", &|| assert!(full.put_timeout(2, LONG).unwrap_err().is_timeout())),
            ("pipe", &|| assert!(ours.recv_timeout(LONG).unwrap_err().is_timeout())),
            ("one way", &|| assert!(reader.recv_timeout(LONG).unwrap_err().is_timeout())),
            ("channel", &|| assert!(receiver.recv_timeout(LONG).unwrap_err().is_timeout())),
            ("process", &|| assert!(child.wait_timeout(LONG).unwrap().is_none())),
            ("task", &|| {
                let brief = pool.with(TaskOptions::new().timeout(LONG));
                assert_eq!(brief.apply((), idle), Err(TaskError::TimedOut));
            }),
        ];
        for (what, wait) in waits {
            let began = Instant::now();
            wait();
            let took = began.elapsed();
            assert!(took >= LONG, "{what}: {took:?}");
            assert!(took < AMPLE, "{what}: {took:?}");
        }
        drop((held, permit, written));

        // And what comes in time comes, whichever hour it is at the other end.
        let all: All = (Queue::bounded(1).unwrap(), Queue::bounded(1).unwrap(), lock.clone(), event.clone());
        let partner = Process::builder().daemon(true).spawn(all.clone(), echo).unwrap();
        assert!(all.3.wait_timeout(AMPLE));
        for number in 0..500 {
            all.0.put_timeout(number, AMPLE).unwrap();
            assert_eq!(all.1.get_timeout(AMPLE).unwrap(), number + 1);
        }
        assert_eq!(*lock.lock().unwrap(), 500);
        all.0.close();
        partner.join().unwrap();
        assert_eq!(pool.map(0..100_u64, |number| number + 1).unwrap().len(), 100);
        pool.terminate();
        drop(pool);
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

/// Dies with the lock.
fn die_with(lock: Shared<Mutex<u32>>) {
    let _guard = lock.lock();
    std::process::abort();
}

/// The name of what both time namespaces see.
const NAME: &str = "clocks-of-two-worlds";

#[test]
fn a_time_namespace_is_a_world_of_its_own() {
    let role = || {
        // What is made here works here, days after the others' start.
        let lock = Shared::new(Mutex::new(5)).unwrap();
        for _ in 0..5 {
            Process::spawn(lock.clone(), die_with).unwrap().join().unwrap_err();
            let guard = match lock.lock() {
                Err(error) if error.is_owner_dead() => error.into_guard(),
                other => panic!("the death was not told: {other:?}"),
            };
            assert_eq!(*guard, 5);
        }
        let queue = Queue::<u8>::bounded(1).unwrap();
        let began = Instant::now();
        assert!(queue.get_timeout(Duration::from_millis(100)).unwrap_err().is_timeout());
        assert!(began.elapsed() >= Duration::from_millis(100) && began.elapsed() < Duration::from_secs(10));
        let pool = Pool::new(2).unwrap();
        assert_eq!(pool.map(0..100_u64, |number| number + 1).unwrap().len(), 100);
        drop(pool);
        // What was made elsewhere is refused: its live owner would look like another thread that bears the number.
        let error = Shared::<Mutex<u32>>::open_named(NAME).unwrap_err();
        assert!(error.is_other_namespace(), "{error}");
        println!("reached the end");
    };
    isolated_in_role(Limit::default(), role, || {
        let lock = Shared::create_named(NAME, Mutex::new(1_u32)).unwrap();
        let guard = lock.lock().unwrap();
        let days = ["unshare", "--time", "--monotonic", "1000000", "--boottime", "1000000", "--fork"];
        in_another_world(behind(&days).output(), "a time namespace");
        drop(guard);
        Shared::<Mutex<u32>>::unlink(NAME).unwrap();
    });
}
