use crate::helpers::{SOON, limit, manager, waiting};
use multiproc::{ConditionProxy, DictProxy, Process, ValueProxy};
use multiproc_tests::on_both;
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(20);

#[test]
fn dicts_and_lists() {
    on_both(limit(60), |_| {
        let manager = manager();
        let dict = manager.dict::<String, Vec<u32>>().unwrap();
        dict.extend([("a".to_owned(), vec![1]), ("b".to_owned(), vec![])]).unwrap();
        Process::spawn(dict.clone(), |dict: DictProxy<String, Vec<u32>>| {
            dict.update("a".into(), 2, |list, n| list.push(n)).unwrap().unwrap();
            assert!(dict.update("z".into(), 2, |list, n| list.push(n)).unwrap().is_none());
            dict.update_or_insert("c".into(), vec![7], 8, |list, n| list.push(n)).unwrap();
        })
        .unwrap()
        .join()
        .unwrap();
        assert_eq!(dict.get("a").unwrap().unwrap(), [1, 2]);
        assert_eq!(dict.get_many(["c".to_owned(), "x".to_owned()]).unwrap(), [Some(vec![7, 8]), None]);
        assert_eq!(dict.get_or_insert("d".into(), vec![9]).unwrap(), [9]);
        assert_eq!((dict.len().unwrap(), dict.contains_key("b").unwrap()), (4, true));
        assert_eq!(dict.remove_many(["b".to_owned(), "q".to_owned()]).unwrap(), 1);
        let mut keys = dict.keys().unwrap();
        keys.sort();
        assert_eq!(keys, ["a", "c", "d"]);
        assert!(dict.pop_item().unwrap().is_some() && dict.values().unwrap().len() == 2);
        dict.clear().unwrap();
        assert!(dict.is_empty().unwrap() && dict.iter().unwrap().next().is_none());

        let list = manager.list([3u32, 1]).unwrap();
        list.extend([2, 2]).unwrap();
        list.sort().unwrap();
        assert_eq!(list.to_vec().unwrap(), [1, 2, 2, 3]);
        assert_eq!((list.position(2).unwrap(), list.count(2).unwrap()), (Some(1), 2));
        assert!(list.insert(0, 9).unwrap() && !list.insert(99, 9).unwrap());
        assert_eq!((list.remove(0).unwrap(), list.remove(99).unwrap()), (Some(9), None));
        assert_eq!((list.get(7).unwrap(), list.set(0, 5).unwrap()), (None, Some(1)));
        assert_eq!((list.slice(1..=2).unwrap(), list.slice(9..).unwrap()), (vec![2, 2], vec![]));
        assert_eq!(
            (list.drain(..2).unwrap(), list.pop().unwrap(), list.len().unwrap()),
            (vec![5, 2], Some(3), 1)
        );
        let array = manager.array([0u8; 4]).unwrap();
        assert!(array.set_slice(1, vec![1, 2]).unwrap() && !array.set_slice(3, vec![1, 2]).unwrap());
        assert_eq!(array.update(2, 5, |cell, n| *cell + n).unwrap(), Some(7));
        assert_eq!((array.to_vec().unwrap(), array.len().unwrap()), (vec![0, 1, 2, 0], 4));
        let value = manager.value(1).unwrap();
        assert_eq!(value.compare_exchange(2, 3).unwrap(), Err(1));
        assert_eq!((value.compare_exchange(1, 3).unwrap(), value.replace(4).unwrap()), (Ok(1), 3));
    });
}

#[test]
fn queues_wait_and_keep_their_order() {
    on_both(limit(60), |_| {
        let manager = manager();
        let queue = manager.queue::<u32>(2).unwrap();
        queue.put_many([1, 2]).unwrap();
        assert!(queue.is_full().unwrap());
        assert!(queue.try_put(3).unwrap_err().is_full());
        let error = queue.put_timeout(3, SHORT).unwrap_err();
        assert!(error.is_full() && error.into_inner() == 3);
        let putter = queue.clone();
        let putting = thread::spawn(move || putter.put_many(3..9).map_err(|error| error.to_string()));
        waiting(&manager, 1);
        let got: Vec<u32> = (0..8).map(|_| queue.get().unwrap()).collect();
        assert!(got.into_iter().eq(1..9));
        putting.join().unwrap().unwrap();
        assert!(queue.try_get().unwrap_err().is_empty());
        assert!(queue.get_timeout(SHORT).unwrap_err().is_empty());
        assert!(!queue.join_timeout(SHORT).unwrap());
        (0..8).for_each(|_| queue.task_done().unwrap());
        queue.join().unwrap();
        assert!(queue.task_done().unwrap_err().is_misuse());
        let getter = queue.clone();
        let getting = thread::spawn(move || getter.get().unwrap_err().is_closed());
        waiting(&manager, 1);
        queue.close().unwrap();
        assert!(getting.join().unwrap() && queue.put(1).unwrap_err().is_closed());
        let sorted = manager.priority_queue().unwrap();
        sorted.put_many([5, 3, 4]).unwrap();
        assert_eq!(sorted.get_many(9).unwrap(), [3, 4, 5]);
    });
}

#[test]
fn locks_are_had_by_one() {
    on_both(limit(60), |_| {
        let manager = manager();
        let (lock, total) = (manager.lock().unwrap(), manager.value(0u32).unwrap());
        let children: Vec<_> = (0..3)
            .map(|_| {
                Process::spawn((lock.clone(), total.clone()), |(lock, total)| {
                    for _ in 0..20 {
                        let guard = lock.lock().unwrap();
                        assert!(!guard.is_inherited());
                        total.set(total.get().unwrap() + 1).unwrap();
                    }
                })
                .unwrap()
            })
            .collect();
        children.into_iter().for_each(|child| child.join().unwrap());
        assert_eq!(total.get().unwrap(), 60);
        let guard = lock.lock().unwrap();
        let asked = Instant::now();
        assert!(lock.lock_timeout(SHORT).unwrap().is_none() && !lock.try_acquire().unwrap());
        assert!(asked.elapsed() >= SHORT && asked.elapsed() < SOON);
        drop(guard);
        assert!(lock.acquire_timeout(SHORT).unwrap() && lock.is_locked().unwrap());
        // Anybody may release it, as in Python.
        Process::spawn(lock.clone(), |lock| lock.release().unwrap()).unwrap().join().unwrap();
        assert!(lock.release().unwrap_err().is_misuse());

        let again = manager.reentrant_lock().unwrap();
        let guards = (again.lock().unwrap(), again.try_lock().unwrap().unwrap());
        let other = again.clone();
        let refused = thread::spawn(move || other.try_lock().unwrap().is_none() && other.release().is_err());
        assert!(refused.join().unwrap());
        drop(guards);
        let other = again.clone();
        assert!(thread::spawn(move || other.try_lock().unwrap().is_some()).join().unwrap());
    });
}

#[test]
fn semaphores_count() {
    on_both(limit(60), |_| {
        let manager = manager();
        let seats = manager.bounded_semaphore(2).unwrap();
        let (first, second) = (seats.acquire().unwrap(), seats.acquire().unwrap());
        assert!(seats.acquire_timeout(SHORT).unwrap().is_none());
        let waiter = seats.clone();
        let waited = thread::spawn(move || drop(waiter.acquire().unwrap()));
        waiting(&manager, 1);
        drop(first);
        waited.join().unwrap();
        second.forget().unwrap();
        assert_eq!(seats.available().unwrap(), 1);
        seats.release().unwrap();
        assert!(seats.release().unwrap_err().is_misuse());
        assert_eq!(seats.available().unwrap(), 2);
    });
}

#[test]
fn events_and_barriers_let_go() {
    on_both(limit(60), |_| {
        let manager = manager();
        let event = manager.event().unwrap();
        assert!(!event.wait_timeout(SHORT).unwrap());
        let waiters: Vec<_> =
            (0..3).map(|_| Process::spawn(event.clone(), |event| event.wait().unwrap()).unwrap()).collect();
        waiting(&manager, 3);
        event.set().unwrap();
        event.clear().unwrap();
        // Set but for a moment, and seen by all who waited.
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert!(!event.is_set().unwrap());

        let barrier = manager.barrier(3).unwrap();
        for _ in 0..3 {
            let children: Vec<_> = (0..2)
                .map(|_| Process::spawn(barrier.clone(), |barrier| barrier.wait().unwrap()).unwrap())
                .collect();
            let mut places = vec![barrier.wait().unwrap()];
            places.extend(children.into_iter().map(|child| child.join().unwrap()));
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2]);
        }
        assert!(barrier.wait_timeout(SHORT).unwrap_err().is_broken() && barrier.is_broken().unwrap());
        barrier.reset().unwrap();
        let waiter = barrier.clone();
        let waited = thread::spawn(move || waiter.wait().unwrap_err().is_broken());
        waiting(&manager, 1);
        barrier.abort().unwrap();
        assert!(waited.join().unwrap());
        assert_eq!((barrier.waiting().unwrap(), barrier.parties().unwrap()), (0, 3));
    });
}

/// Takes what there is to take, one at a time.
fn consume((stock, changed): (ValueProxy<u32>, ConditionProxy)) {
    let mut guard = changed.lock().unwrap();
    guard.wait_until(|| Ok::<_, multiproc::CallError>(stock.get()? > 0)).unwrap();
    stock.update((), |stock, ()| *stock -= 1).unwrap();
}

#[test]
fn conditions_notify() {
    on_both(limit(60), |_| {
        let manager = manager();
        let (stock, changed) = (manager.value(0u32).unwrap(), manager.condition().unwrap());
        let consumers: Vec<_> =
            (0..3).map(|_| Process::spawn((stock.clone(), changed.clone()), consume).unwrap()).collect();
        waiting(&manager, 3);
        for _ in 0..3 {
            let guard = changed.lock().unwrap();
            stock.update((), |stock, ()| *stock += 1).unwrap();
            guard.notify_one().unwrap();
        }
        consumers.into_iter().for_each(|consumer| consumer.join().unwrap());
        assert_eq!(stock.get().unwrap(), 0);
        let mut guard = changed.lock().unwrap();
        assert!(!guard.wait_timeout(SHORT).unwrap());
        // After the time-out the lock is had again.
        let other = changed.clone();
        assert!(thread::spawn(move || other.try_lock().unwrap().is_none()).join().unwrap());
        drop(guard);
        assert!(changed.try_lock().unwrap().is_some());
    });
}
