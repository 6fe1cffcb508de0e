use multiproc::{Event, Mutex, Pool, Process, Queue, Semaphore, Shared, ShmSafe, StartMethod};
use multiproc_tests::{Limit, eventually, on_both};
use multiproc_top::{Lock, Snapshot, Watcher};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

#[derive(ShmSafe)]
#[repr(C)]
struct Desk {
    ledger: Mutex<u64>,
    seats: Semaphore,
    stop: Event,
    reserved: u32,
}

impl Desk {
    fn new() -> Shared<Desk> {
        let desk = Desk { ledger: Mutex::new(0), seats: Semaphore::new(3), stop: Event::new(), reserved: 0 };
        Shared::new(desk).unwrap()
    }
}

fn own() -> u32 {
    std::process::id()
}

/// The lock of that path in what this process has.
fn lock(seen: &Snapshot, path: &str) -> Lock {
    let locks = seen.locks.iter().filter(|lock| lock.used_by.contains(&own()));
    locks.into_iter().find(|lock| lock.path == path).unwrap().clone()
}

#[test]
fn processes_have_names_and_parents() {
    on_both(Limit::default(), |_: StartMethod| {
        let (go, stop) = (Shared::new(Event::new()).unwrap(), Shared::new(Event::new()).unwrap());
        let child = Process::builder()
            .name("inner")
            .spawn((go.clone(), stop.clone()), |(go, stop)| {
                go.set();
                stop.wait();
            })
            .unwrap();
        go.wait();
        let mut watcher = Watcher::new();
        watcher.look();
        let seen = watcher.look();
        let find = |id: u32| seen.processes.iter().find(|process| process.id == id).unwrap();
        let (parent, inner) = (find(own()), find(child.id()));
        assert_eq!(
            (inner.name.as_str(), inner.parent, inner.program),
            ("inner", Some(own()), parent.program)
        );
        assert!(inner.memory > 0 && inner.threads > 0 && inner.cpu.is_some());
        stop.set();
        child.join().unwrap();
        assert!(!watcher.look().processes.iter().any(|process| process.id == inner.id));
    });
}

#[test]
fn a_process_without_shared_memory_is_seen() {
    on_both(Limit::default(), |_: StartMethod| {
        let child = Process::builder()
            .daemon(true)
            .spawn((), |()| -> () {
                loop {
                    std::thread::park();
                }
            })
            .unwrap();
        let mut watcher = Watcher::new();
        eventually(SOON, "the child is seen", || {
            watcher.look().processes.iter().any(|process| process.id == child.id())
        });
        assert!(watcher.look().processes.iter().any(|process| process.id == own()), "its parent");
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn a_queue_shows_depth_rates_and_who_waits() {
    on_both(Limit::default(), |_: StartMethod| {
        let queue = Queue::<String>::bounded(3).unwrap();
        let child = Process::spawn(queue.clone(), |queue| {
            for number in 0..4 {
                queue.put(format!("{number}")).unwrap();
            }
        })
        .unwrap();
        let mut watcher = Watcher::new();
        let mut queue_seen = || {
            let seen = watcher.look();
            let mut queues = seen.queues.into_iter().filter(|seen| seen.used_by.contains(&own()));
            queues.find(|seen| seen.flavour == "queue").unwrap()
        };
        eventually(SOON, "the producer waits for room", || queue_seen().producers_waiting == Some(1));
        let seen = queue_seen();
        assert_eq!((seen.len, seen.capacity, seen.message.as_str()), (3, Some(3), "alloc::string::String"));
        assert_eq!((seen.consumers_waiting, seen.put_per_second), (Some(0), Some(0.0)));
        assert!(seen.may_producers_wait && seen.bytes > 0 && seen.memory > seen.bytes);
        assert!(seen.used_by.contains(&child.id()));
        for number in 0..4 {
            assert_eq!(queue.get().unwrap(), format!("{number}"));
        }
        child.join().unwrap();
        let seen = queue_seen();
        assert!(seen.len == 0 && seen.taken_per_second.unwrap() > 0.0, "{seen:?}");
        assert!(seen.bytes_per_second.unwrap() > 0.0, "{seen:?}");
    });
}

#[test]
fn locks_show_who_holds_them_and_how_many_wait() {
    on_both(Limit::default(), |_: StartMethod| {
        let desk = Desk::new();
        let holder = Process::builder()
            .name("holder")
            .spawn(desk.clone(), |desk| {
                let _seat = desk.seats.acquire();
                let _entries = desk.ledger.lock().unwrap();
                desk.stop.wait();
            })
            .unwrap();
        let mut watcher = Watcher::new();
        eventually(SOON, "the holder holds it", || lock(&watcher.look(), "ledger").state == "held");
        let waiters: Vec<Process<()>> = (0..2)
            .map(|_| Process::spawn(desk.clone(), |desk| *desk.ledger.lock().unwrap() += 1).unwrap())
            .collect();
        eventually(SOON, "two wait", || lock(&watcher.look(), "ledger").waiters == Some(2));
        let seen = watcher.look();
        let ledger = lock(&seen, "ledger");
        assert_eq!((ledger.kind.as_str(), ledger.holders.len()), ("mutex", 1));
        assert_eq!((ledger.holders[0].process, ledger.holders[0].is_dead), (holder.id(), false));
        assert!(ledger.value.ends_with("Desk"), "{}", ledger.value);
        let seats = lock(&seen, "seats");
        assert_eq!((seats.state.as_str(), seats.holders[0].process), ("2 of 3 left", holder.id()));
        assert_eq!(lock(&seen, "stop").state, "not set");
        // Between two sleeps nobody is seen to wait.
        eventually(SOON, "the holder waits", || lock(&watcher.look(), "stop").waiters == Some(1));
        desk.stop.set();
        holder.join().unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(lock(&watcher.look(), "ledger").state, "free");
    });
}

#[test]
fn the_holder_that_was_killed_is_told() {
    on_both(Limit::default(), |_: StartMethod| {
        let desk = Desk::new();
        let holder = Process::spawn(desk.clone(), |desk| {
            let _seat = desk.seats.acquire();
            let _entries = desk.ledger.lock().unwrap();
            desk.stop.wait();
        })
        .unwrap();
        let mut watcher = Watcher::new();
        eventually(SOON, "the holder holds it", || lock(&watcher.look(), "ledger").state == "held");
        holder.kill().unwrap();
        holder.wait().unwrap();
        let seen = watcher.look();
        assert_eq!(lock(&seen, "ledger").state, "owner died");
        let seats = lock(&seen, "seats");
        assert_eq!((seats.state.as_str(), seats.holders[0].is_dead), ("2 of 3 left", true));
        assert!(desk.ledger.lock().is_err_and(|error| error.is_owner_dead()));
    });
}

#[test]
fn a_pool_shows_its_workers() {
    on_both(Limit::default(), |_: StartMethod| {
        let (begun, stop) = (Queue::<u32>::unbounded().unwrap(), Shared::new(Event::new()).unwrap());
        let pool = Pool::builder().workers(2).name("thumbnails").build().unwrap();
        pool.map(0..100u32, |number| number).unwrap();
        let task = pool.apply_async((begun.clone(), stop.clone()), |(begun, stop)| {
            begun.put(std::process::id()).unwrap();
            stop.wait();
        });
        let worker = begun.get().unwrap();
        let mut watcher = Watcher::new();
        let mut pool_seen = || {
            let mut pools = watcher.look().pools.into_iter();
            pools.find(|pool| pool.owner == own() && pool.name == "thumbnails").unwrap()
        };
        let seen = pool_seen();
        assert_eq!((seen.done, seen.under_way, seen.failed, seen.restarts), (100, 1, 0, 0), "{seen:?}");
        let state = |id: u32, pool: &multiproc_top::Pool| {
            pool.workers.iter().find(|worker| worker.id == id).map(|worker| worker.state)
        };
        assert_eq!((seen.workers.len(), state(worker, &seen)), (2, Some("busy")), "{seen:?}");
        assert_eq!(seen.workers.iter().map(|worker| worker.done).sum::<u64>(), 100);
        stop.set();
        task.get().unwrap();
        eventually(SOON, "it is idle", || {
            let seen = pool_seen();
            seen.done == 101 && seen.under_way == 0 && state(worker, &seen) == Some("idle")
        });
        assert!(pool.apply((), |()| -> () { std::process::abort() }).is_err());
        eventually(SOON, "the dead one is replaced", || {
            let seen = pool_seen();
            seen.restarts == 1 && seen.workers.iter().filter(|worker| worker.state == "idle").count() == 2
        });
    });
}
