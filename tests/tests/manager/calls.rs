use crate::helpers::{limit, manager, objects, waiting};
use multiproc::{Manager, Process, Proxy, SharedBytes, SharedBytesMut};
use multiproc_tests::{Bytes, on_both};
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn state_is_shared() {
    on_both(limit(60), |_| {
        let manager = manager();
        let counts = manager.create((), |()| HashMap::<String, u32>::new()).unwrap();
        let children: Vec<_> = (0..4)
            .map(|_| {
                Process::spawn(counts.clone(), |counts: Proxy<HashMap<String, u32>>| {
                    for _ in 0..25 {
                        counts.call("n".to_owned(), |map, key| *map.entry(key).or_default() += 1).unwrap();
                    }
                })
                .unwrap()
            })
            .collect();
        children.into_iter().for_each(|child| child.join().unwrap());
        assert_eq!(counts.call((), |map, ()| map["n"]).unwrap(), 100);
        drop(counts);
        objects(&manager, 0);
        manager.shutdown().unwrap();
    });
}

#[test]
fn a_panic_is_the_error_of_its_call() {
    on_both(limit(60), |_| {
        let manager = manager();
        let list = manager.create((), |()| vec![1u32]).unwrap();
        let error = list
            .call(2, |list, n| {
                list.push(n);
                assert!(list.len() < 2, "too long: {list:?}");
            })
            .unwrap_err();
        let panic = error.panic().unwrap();
        assert!(
            panic.message.contains("too long: [1, 2]") && panic.location.contains("calls.rs"),
            "{panic:?}"
        );
        assert!(error.may_have_run() && !panic.backtrace.is_empty());
        assert_eq!(list.call((), |list, ()| list.clone()).unwrap(), [1, 2], "it stays as it was left");
        let error = manager.create((), |()| -> u32 { panic!("not made") }).unwrap_err();
        assert_eq!(error.panic().unwrap().message, "not made");
        assert_eq!(manager.stats().unwrap().panics, 2);
        // One whose destructor panics does no harm either.
        struct Angry;
        impl Drop for Angry {
            fn drop(&mut self) {
                panic!("at the end");
            }
        }
        drop(manager.create((), |()| Angry).unwrap());
        objects(&manager, 1);
    });
}

#[test]
fn what_cannot_travel_is_refused() {
    on_both(limit(60), |_| {
        let manager = Manager::builder().max_message(1 << 20).start().unwrap();
        let list = manager.create((), |()| Vec::<u8>::new()).unwrap();
        let error = list.call(vec![0u8; 2 << 20], |list, more| list.extend(more)).unwrap_err();
        assert!(error.is_limit() && !error.may_have_run(), "{error}");
        let error = list.call((), |_, ()| Bytes::patterned(2 << 20)).unwrap_err();
        assert!(error.is_encode() && error.may_have_run(), "{error}");
        assert_eq!(list.call(vec![1, 2], |list, more: Vec<u8>| list.extend(more)).map(|()| 2).unwrap(), 2);
    });
}

#[test]
fn large_messages_and_handles_travel() {
    on_both(limit(60), |_| {
        let manager = manager();
        let kept = manager.create((), |()| None::<SharedBytes>).unwrap();
        let mut bytes = SharedBytesMut::zeroed(1 << 20).unwrap();
        bytes[9] = 7;
        kept.call(bytes.freeze().unwrap(), |kept, bytes| *kept = Some(bytes)).unwrap();
        let back = kept.call((), |kept, ()| kept.clone()).unwrap().unwrap();
        assert_eq!((back.len(), back[9]), (1 << 20, 7));
        let whole = manager.create((), |()| Bytes(Vec::new())).unwrap();
        for len in [0, 1, 5000, 100_000, 9 << 20] {
            whole.call(Bytes::patterned(len), |whole, bytes| *whole = bytes).unwrap();
            assert!(whole.call((), |whole, ()| whole.clone()).unwrap().is_patterned(len));
        }
    });
}

#[test]
fn objects_run_side_by_side_and_each_in_order() {
    on_both(limit(60), |_| {
        let manager = manager();
        // As many long calls as would fill any small number of threads.
        let slow: Vec<_> = (0..24).map(|_| manager.create((), |()| 0u32).unwrap()).collect();
        let started = Instant::now();
        thread::scope(|scope| {
            for object in &slow {
                scope.spawn(|| {
                    object
                        .call((), |_, ()| {
                            // tidy: sleep because the call is to take long
                            thread::sleep(Duration::from_millis(300));
                        })
                        .unwrap();
                });
            }
        });
        let took = started.elapsed();
        assert!(
            took < Duration::from_millis(24 * 300 / 2),
            "side by side, not one after the other: {took:?}"
        );
        let order = manager.create((), |()| Vec::<(u32, u32)>::new()).unwrap();
        thread::scope(|scope| {
            for who in 0..4 {
                let order = &order;
                scope.spawn(move || {
                    for n in 0..50 {
                        order.call((who, n), |order, entry| order.push(entry)).unwrap();
                    }
                });
            }
        });
        let order = order.call((), |order, ()| order.clone()).unwrap();
        for who in 0..4 {
            assert!(order.iter().filter(|(other, _)| *other == who).map(|(_, n)| *n).eq(0..50));
        }
    });
}

#[test]
fn a_call_has_its_time() {
    on_both(limit(60), |_| {
        let manager = manager();
        let busy = manager.create((), |()| 0u32).unwrap();
        let long = busy.clone();
        let holder = thread::spawn(move || {
            long.call((), |n, ()| {
                // tidy: sleep because the call is to take long
                thread::sleep(Duration::from_millis(800));
                *n += 1;
            })
        });
        multiproc_tests::eventually(Duration::from_secs(5), "it runs", || {
            manager.stats().unwrap().running == 1
        });
        let asked = Instant::now();
        let error = busy.call_timeout((), Duration::from_millis(50), |n, ()| *n += 10).unwrap_err();
        assert!(error.is_timeout() && !error.may_have_run(), "{error}");
        assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
        holder.join().unwrap().unwrap();
        assert_eq!(busy.call((), |n, ()| *n).unwrap(), 1, "what was late has not run");
        // One that has begun is not interrupted, and nobody waits for it.
        let error = busy
            .timeout(Duration::from_millis(20))
            .call((), |n, ()| {
                // tidy: sleep because the call is to take long
                thread::sleep(Duration::from_millis(600));
                *n += 1;
            })
            .unwrap_err();
        assert!(error.is_timeout() && error.may_have_run(), "{error}");
        assert_eq!(busy.call((), |n, ()| *n).unwrap(), 2);
    });
}

#[test]
fn calls_within_calls() {
    on_both(limit(60), |_| {
        let manager = manager();
        let (inner, outer) = (manager.create(5, |n: u32| n).unwrap(), manager.create((), |()| 1u32).unwrap());
        let sum = outer.call(inner.clone(), |n, inner| inner.call(*n, |m, n| *m + n).unwrap());
        assert_eq!(sum.unwrap(), 6);
        // It would wait for itself.
        let error = inner.call(inner.clone(), |_, same| same.call((), |n, ()| *n).unwrap_err().is_deadlock());
        assert!(error.unwrap());
        // A manager's handle makes objects in the server, too.
        let made = outer.call(manager.handle(), |n, manager| manager.create(*n, |n| vec![n; 3]).unwrap());
        assert_eq!(made.unwrap().call((), |list, ()| list.clone()).unwrap(), [1, 1, 1]);
    });
}

#[test]
fn waiting_for_a_state_takes_no_thread() {
    on_both(limit(60), |_| {
        let manager = Manager::builder().max_threads(4).start().unwrap();
        let stack = manager.create((), |()| Vec::<u32>::new()).unwrap();
        thread::scope(|scope| {
            let waiters: Vec<_> = (0..40)
                .map(|_| scope.spawn(|| stack.call_when((), |stack, ()| stack.pop().ok_or(())).unwrap()))
                .collect();
            waiting(&manager, 40);
            let none =
                stack.call_when_timeout((), Duration::from_millis(10), |stack, ()| stack.pop().ok_or(()));
            assert_eq!(none.unwrap(), None);
            stack.call((), |stack, ()| stack.extend(0..40)).unwrap();
            let mut got: Vec<u32> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
            got.sort_unstable();
            assert!(got.into_iter().eq(0..40));
        });
        assert!(manager.stats().unwrap().threads <= 4);
    });
}
