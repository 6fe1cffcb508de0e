use crate::helpers::{SOON, limit, manager, objects, waiting};
use multiproc::{Connection, EventProxy, Manager, Process, Proxy, RemoteManager, pipe};
use multiproc_core::sys::process::{kill_self, open_pidfd, send_signal};
use multiproc_tests::{eventually, on_both, on_fork_server, proc};
use std::thread;
use std::time::{Duration, Instant};

const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;
const SIGCONT: i32 = 18;

/// Says that it is there, and does nothing for ever.
fn hang(ready: &Connection<(), ()>) -> ! {
    ready.send(()).unwrap();
    loop {
        thread::park();
    }
}

#[test]
fn what_the_dead_had_is_free() {
    on_both(limit(60), |_| {
        let manager = manager();
        let (lock, again) = (manager.lock().unwrap(), manager.reentrant_lock().unwrap());
        let (seats, changed) = (manager.semaphore(3).unwrap(), manager.condition().unwrap());
        let barrier = manager.barrier(3).unwrap();
        let (ours, theirs) = pipe().unwrap();
        let all = (lock.clone(), again.clone(), seats.clone(), changed.clone(), manager.handle(), theirs);
        let child = Process::spawn(all, |(lock, again, seats, changed, manager, ready)| -> () {
            let _locks = (lock.lock().unwrap(), again.lock().unwrap(), again.lock().unwrap());
            let _permits = (seats.acquire().unwrap(), seats.acquire().unwrap());
            let _condition = changed.lock().unwrap();
            let _objects = (manager.value(1).unwrap(), manager.list([1]).unwrap());
            hang(&ready)
        })
        .unwrap();
        ours.recv().unwrap();
        let at_barrier = barrier.clone();
        let broken = thread::spawn(move || at_barrier.wait().unwrap_err().is_broken());
        let dies_there = Process::spawn(barrier.clone(), |barrier| drop(barrier.wait())).unwrap();
        waiting(&manager, 2);
        objects(&manager, 7);
        assert!(lock.try_lock().unwrap().is_none() && seats.available().unwrap() == 1);
        let killed = Instant::now();
        child.kill().unwrap();
        dies_there.kill().unwrap();
        assert!(lock.lock().unwrap().is_inherited());
        assert!(again.lock().unwrap().is_inherited());
        assert!(changed.lock().unwrap().is_inherited());
        let permits: Vec<_> = (0..3).map(|_| seats.acquire().unwrap()).collect();
        assert!(broken.join().unwrap());
        objects(&manager, 5);
        assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
        assert!(!lock.lock().unwrap().is_inherited(), "told once");
        drop(permits);
        assert!(child.wait().is_ok() && dies_there.wait().is_ok());
    });
}

#[test]
fn a_lock_of_the_dead_is_free_when_what_they_asked_for_with_it_is_done() {
    on_both(limit(60), |_| {
        let manager = manager();
        let (lock, steps) = (manager.lock().unwrap(), manager.create((), |()| 0u32).unwrap());
        let done = manager.event().unwrap();
        let child = Process::spawn((lock.clone(), steps.clone(), done.clone()), |(lock, steps, done)| {
            let _guard = lock.lock().unwrap();
            steps.call(done, slow_step).unwrap();
        })
        .unwrap();
        eventually(SOON, "it takes its step", || manager.stats().unwrap().running == 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(lock.lock().unwrap().is_inherited());
        assert!(done.is_set().unwrap());
    });
}

/// Takes a while, in the server.
fn slow_step(steps: &mut u32, done: EventProxy) {
    *steps += 1;
    // tidy: sleep because a call that takes long is what is tested
    thread::sleep(Duration::from_millis(200));
    done.set().unwrap();
}

#[test]
fn what_the_dead_waited_for_is_not_taken() {
    on_both(limit(60), |_| {
        let manager = manager();
        let (queue, lock) = (manager.queue::<u32>(0).unwrap(), manager.lock().unwrap());
        let changed = manager.condition().unwrap();
        let guard = lock.lock().unwrap();
        let children: Vec<_> = [
            Process::spawn(queue.clone(), |queue| drop(queue.get())).unwrap(),
            Process::spawn(lock.clone(), |lock| drop(lock.lock())).unwrap(),
            Process::spawn(changed.clone(), |changed| drop(changed.lock().unwrap().wait())).unwrap(),
        ]
        .into();
        waiting(&manager, 3);
        children.iter().for_each(|child| child.kill().unwrap());
        waiting(&manager, 0);
        queue.put(5).unwrap();
        assert_eq!(queue.get().unwrap(), 5);
        drop(guard);
        assert!(!lock.try_lock().unwrap().unwrap().is_inherited());
        // A notification is not lost on one who is gone.
        let waiter = changed.clone();
        let notified = thread::spawn(move || waiter.lock().unwrap().wait_timeout(SOON).unwrap());
        waiting(&manager, 1);
        changed.notify_one().unwrap();
        assert!(notified.join().unwrap());
        children.iter().for_each(|child| assert!(child.wait().is_ok()));
    });
}

#[test]
fn a_dead_server_is_an_error_that_tells_what_was_sent() {
    on_both(limit(60), |_| {
        let manager = manager();
        let value = manager.create((), |()| 0u32).unwrap();
        value.call((), |value, ()| *value += 1).unwrap();
        let error = value
            .call((), |_, ()| -> () {
                kill_self();
            })
            .unwrap_err();
        assert!(error.is_disconnected() && error.may_have_run(), "{error}");
        let error = value.call((), |value, ()| *value).unwrap_err();
        assert!(error.is_disconnected() && !error.may_have_run(), "{error}");
        assert!(manager.create((), |()| 0u32).unwrap_err().is_disconnected());
        eventually(SOON, "it is known to be dead", || !manager.is_alive());
        assert!(manager.shutdown().is_err());
        drop(value);
    });
}

#[test]
fn a_server_that_dies_lets_go_of_who_waits() {
    on_both(limit(60), |_| {
        let manager = manager();
        let queue = manager.queue::<u32>(0).unwrap();
        let waiter = queue.clone();
        let waits = thread::spawn(move || waiter.get().unwrap_err());
        let child = Process::spawn(queue.clone(), |queue| {
            let error = queue.get().unwrap_err();
            error.call_error().is_some_and(|error| error.is_disconnected() && error.may_have_run())
        });
        waiting(&manager, 2);
        let killed = Instant::now();
        send_signal(open_pidfd(manager.id()).unwrap(), SIGKILL).unwrap();
        assert!(waits.join().unwrap().call_error().unwrap().is_disconnected());
        assert!(child.unwrap().join().unwrap());
        assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    });
}

#[test]
fn a_dropped_manager_ends_its_server() {
    on_both(limit(60), |_| {
        let manager = manager();
        let server = open_pidfd(manager.id()).unwrap();
        let value = manager.value(1).unwrap();
        // Calls under way are not waited for.
        let busy = manager.create((), |()| ()).unwrap();
        let calling = thread::spawn(move || {
            busy.call((), |(), ()| {
                // tidy: sleep because the call is to take long
                thread::sleep(Duration::from_secs(50));
            })
        });
        eventually(SOON * 5, "it runs", || manager.stats().unwrap().running == 1);
        let dropped = Instant::now();
        drop(manager);
        assert!(dropped.elapsed() < SOON * 2, "{:?}", dropped.elapsed());
        assert!(multiproc::wait(&[&server], Some(Duration::ZERO)).unwrap() == [0]);
        assert!(calling.join().unwrap().unwrap_err().may_have_run());
        assert!(value.get().unwrap_err().is_disconnected());
    });
}

#[test]
fn a_server_dies_with_its_owner() {
    on_fork_server(limit(60), || {
        for _ in 0..20 {
            let (ours, theirs) = pipe::<(), (u32, Proxy<u32>)>().unwrap();
            let owner = Process::spawn(theirs, |theirs| -> () {
                let manager = Manager::start().unwrap();
                theirs.send((manager.id(), manager.create((), |()| 1u32).unwrap())).unwrap();
                // What is sent is there for who reads it.
                kill_self();
            });
            let (server, value) = ours.recv().unwrap();
            let gone = || proc::entry(server).is_none_or(|entry| entry.state == 'Z');
            eventually(SOON, "the server has died", gone);
            let error = value.call((), |value, ()| *value).unwrap_err();
            assert!(error.is_disconnected() && !error.may_have_run(), "{error}");
            owner.unwrap().wait().unwrap();
        }
    });
}

#[test]
fn who_gave_up_has_taken_nothing() {
    on_both(limit(60), |_| {
        let manager = manager();
        let (lock, queue) = (manager.lock().unwrap(), manager.queue::<u32>(0).unwrap());
        queue.put(1).unwrap();
        let server = open_pidfd(manager.id()).unwrap();
        send_signal(&server, SIGSTOP).unwrap();
        eventually(SOON, "all its threads are stopped", || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", manager.id())).unwrap();
            let state = |task: std::io::Result<std::fs::DirEntry>| {
                std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default()
            };
            tasks.map(state).all(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
        });
        let short = Duration::from_millis(20);
        let error = lock.lock_timeout(short).unwrap_err();
        assert!(error.is_timeout() && error.may_have_run(), "{error}");
        let error = queue.get_timeout(short).unwrap_err();
        assert!(error.call_error().unwrap().is_timeout());
        send_signal(&server, SIGCONT).unwrap();
        // What the server did after all is undone.
        assert!(lock.lock_timeout(SOON).unwrap().is_some());
        assert_eq!(queue.get_timeout(SOON).unwrap(), 1);
    });
}

#[test]
fn who_dies_does_not_take_what_others_have() {
    on_fork_server(limit(60), || {
        let manager = manager();
        let (ours, theirs) = pipe::<(), Proxy<u32>>().unwrap();
        let child =
            Process::spawn((manager.handle(), theirs), |(manager, theirs): (RemoteManager, _)| -> () {
                let value = manager.create((), |()| 3u32).unwrap();
                theirs.send(value).unwrap();
                // It had it first, and dies with it.
                theirs.recv().unwrap();
                kill_self();
            });
        let value = ours.recv().unwrap();
        assert_eq!(value.call((), |value, ()| *value).unwrap(), 3);
        ours.send(()).unwrap();
        child.unwrap().wait().unwrap();
        eventually(SOON, "it is gone", || manager.stats().unwrap().clients == 1);
        assert_eq!(value.call((), |value, ()| *value).unwrap(), 3);
        drop(value);
        objects(&manager, 0);
    });
}
