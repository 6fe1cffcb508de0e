//! Children by plain fork, which begin with copies of their parent's guards.
//!
//! # Safety
//!
//! A forked child may use nothing that needs a lock which another thread could have held. The functions here use
//! shared memory, system calls, and the allocator, which glibc repairs in the child.
#![expect(unsafe_code, reason = "calls spawn_forked")]

use crate::{assert_soon, with_children};
use multiproc::{Barrier, Event, Mutex, Process, ReentrantMutex, RwLock, Semaphore, Shared};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn fork<A, R: Serialize + DeserializeOwned + 'static>(args: A, f: fn(A) -> R) -> Process<R> {
    // SAFETY: see the head of this file.
    unsafe { Process::builder().spawn_forked(args, f) }.unwrap()
}

#[test]
fn a_child_is_not_its_parent() {
    with_children(|| {
        let mutex = Shared::new(Mutex::new(0u64)).unwrap();
        // The parent has learnt its numbers.
        *mutex.lock().unwrap() += 1;
        let guard = mutex.lock().unwrap();
        let child = fork(&mutex, |mutex| {
            let error = mutex.try_lock().map(drop).unwrap_err();
            (error.is_would_block(), error.is_deadlock())
        });
        assert_eq!(child.join().unwrap(), (true, false));
        drop(guard);
        let child = fork(&mutex, |mutex| {
            *mutex.lock().unwrap() += 1;
            std::mem::forget(mutex.lock().unwrap());
        });
        child.join().unwrap();
        // It died with the lock under a number of its own.
        assert_eq!(*assert_soon("the child's lock", || mutex.lock().unwrap_err().into_guard()), 2);
    });
}

#[test]
fn copies_of_guards_release_nothing() {
    with_children(|| {
        let mutex = Shared::new(Mutex::new(0u64)).unwrap();
        let reentrant = Shared::new(ReentrantMutex::new(0u64)).unwrap();
        let table = Shared::new([const { RwLock::new(0u64) }; 2]).unwrap();
        let gate = Shared::new(Semaphore::new(1)).unwrap();
        let hold = || {
            (
                mutex.lock().unwrap(),
                reentrant.lock().unwrap(),
                table[0].read().unwrap(),
                table[1].write().unwrap(),
                gate.acquire(),
            )
        };
        let elsewhere = || {
            let all = (mutex.clone(), reentrant.clone(), table.clone(), gate.clone());
            let child = Process::spawn(all, |(mutex, reentrant, table, gate)| {
                let locked = (mutex.try_lock().is_err(), reentrant.try_lock().is_err());
                let shared = (table[0].try_write().is_err(), table[1].try_read().is_err());
                (locked, shared, gate.try_acquire().is_none())
            });
            child.unwrap().join().unwrap()
        };
        let all = hold();
        let child = fork(&all, |all| {
            // SAFETY: what is read is forgotten by nobody else in this process.
            let copies = unsafe { std::ptr::read(all) };
            drop(copies);
        });
        child.join().unwrap();
        assert_eq!(elsewhere(), ((true, true), (true, true), true));
        drop(all);
        assert_eq!(elsewhere(), ((false, false), (false, false), false));
    });
}

#[test]
fn forked_children_use_everything() {
    with_children(|| {
        let barrier = Shared::new(Barrier::new(2)).unwrap();
        let event = Shared::new(Event::new()).unwrap();
        let gate = Shared::new(Semaphore::new(1)).unwrap();
        let permit = gate.acquire();
        let child = fork((&barrier, &event, &gate), |(barrier, event, gate)| {
            event.set();
            let met = barrier.wait().is_ok();
            std::mem::forget(gate.acquire());
            met
        });
        event.wait();
        assert!(barrier.wait().is_ok());
        drop(permit);
        assert!(child.join().unwrap());
        drop(assert_soon("the child's permit", || gate.acquire()));
    });
}
