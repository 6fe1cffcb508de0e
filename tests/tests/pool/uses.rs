use crate::{flag, raise, wait_for, with_workers};
use multiproc::{Fd, Pool, SharedBytesMut, TaskError};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

#[test]
fn callbacks_are_called_once_and_may_panic() {
    with_workers(|| {
        for pool in [Pool::new(2).unwrap(), Pool::threads(2).unwrap()] {
            let (sender, results) = mpsc::channel();
            for n in 0..300u32 {
                let sender = sender.clone();
                pool.apply_async(n, |n| if n % 7 == 0 { panic!("{n}") } else { n }).on_done(move |result| {
                    sender.send((n, result)).unwrap();
                    assert!(n % 5 != 0, "a callback's own panic");
                });
            }
            drop(sender);
            let mut seen: Vec<u32> = results
                .iter()
                .map(|(n, result)| {
                    assert_eq!(result.is_err(), n % 7 == 0);
                    n
                })
                .collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..300));
            // One that waits for another task, on the pool's own thread.
            let (sender, results) = mpsc::channel();
            let pool = Arc::new(pool);
            let inner = Arc::clone(&pool);
            pool.apply_async(1u32, |n| n).on_done(move |one| {
                let two = inner.apply(one.unwrap(), |n| n + 1);
                sender.send(two).unwrap();
            });
            assert_eq!(results.recv_timeout(Duration::from_secs(20)).unwrap(), Ok(2));
        }
    });
}

#[test]
fn a_callback_that_waits_while_another_caller_does_is_told_of_a_death() {
    with_workers(|| {
        for _ in 0..5 {
            let pool = Arc::new(Pool::new(3).unwrap());
            let (go, over) = (flag(), flag());
            let first = pool.apply_async(go.clone(), |go| wait_for(&go, 1));
            let (inner, own) = (Arc::clone(&pool), over.clone());
            first.on_done(move |_| {
                let died = inner.apply((), |()| -> () { std::process::abort() });
                assert!(died.unwrap_err().is_worker_death());
                raise(&own);
            });
            let other = pool.apply_async((go, over), |(go, over)| {
                raise(&go);
                wait_for(&over, 1);
            });
            assert_eq!(other.get_timeout(Duration::from_secs(20)), Ok(()), "the callback waits for ever");
        }
    });
}

#[test]
fn results_are_futures() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let sum: u32 = runtime.block_on(async {
            let mut sum = 0;
            let results: Vec<_> = (0..200u32).map(|n| pool.apply_async(n, |n| n)).collect();
            for result in results {
                sum += result.await.unwrap();
            }
            sum + pool.map_async(0..100u32, |n| n).await.unwrap().into_iter().sum::<u32>()
        });
        assert_eq!(sum, 199 * 100 + 99 * 50);
        // Without any runtime.
        struct Unpark(thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(thread::current())));
        let mut context = std::task::Context::from_waker(&waker);
        let begun = flag();
        let mut result = Box::pin(pool.apply_async(begun.clone(), |begun| wait_for(&begun, 1)));
        assert!(result.as_mut().poll(&mut context).is_pending());
        raise(&begun);
        while result.as_mut().poll(&mut context).is_pending() {
            thread::park();
        }
        assert!(matches!(result.as_mut().poll(&mut context), std::task::Poll::Ready(Err(TaskError::Taken))));
    });
}

#[test]
fn handles_and_files_go_both_ways() {
    with_workers(|| {
        for pool in [Pool::new(2).unwrap(), Pool::threads(2).unwrap()] {
            let files: Vec<Fd<File>> = (0..50u8)
                .map(|n| {
                    let mut file = tempfile::tempfile().unwrap();
                    file.write_all(&[n]).unwrap();
                    Fd::new(file)
                })
                .collect();
            let back = pool.map(files, |file| {
                let mut file = file.into_inner();
                file.write_all(b"!").unwrap();
                Fd::new(file)
            });
            for (n, file) in (0..).zip(back.unwrap()) {
                let (mut file, mut bytes) = (file.into_inner(), Vec::new());
                file.rewind().unwrap();
                file.read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes, [n, b'!']);
            }
            let mut large = SharedBytesMut::zeroed(1 << 20).unwrap();
            large[12] = 7;
            let large = large.freeze().unwrap();
            let calls: Vec<_> =
                (0..20).map(|_| pool.apply_async(large.clone(), |bytes| (bytes[12], bytes))).collect();
            for call in calls {
                let (byte, same) = call.get().unwrap();
                assert!(byte == 7 && same.len() == 1 << 20);
            }
            // Those with handles amid those without, in their order.
            let mixed = (0..100u32).map(|n| (n, (n % 3 == 0).then(flag)));
            let mixed = pool.map_async(mixed, |(n, flag)| (n, flag)).get().unwrap();
            assert!(
                mixed
                    .into_iter()
                    .enumerate()
                    .all(|(at, (n, flag))| at as u32 == n && flag.is_some() == (n % 3 == 0))
            );
        }
    });
}

#[test]
fn nested_and_from_many_threads() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        let nested =
            pool.map(0..4u32, |n| Pool::new(2).unwrap().map(0..n, |k| k).unwrap().into_iter().sum::<u32>());
        assert_eq!(nested.unwrap(), [0, 0, 1, 3]);
        thread::scope(|scope| {
            for base in 0..8u64 {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..30 {
                        let from = base * 1000 + round * 10;
                        assert!(pool.map(from..from + 50, |n| n).unwrap().into_iter().eq(from..from + 50));
                        assert_eq!(pool.apply(from, |n| n + 1), Ok(from + 1));
                        assert_eq!(pool.apply_async(from, |n| n + 2).get(), Ok(from + 2));
                    }
                });
            }
        });
    });
}

#[test]
fn progress_is_told() {
    with_workers(|| {
        let pool = Pool::new(2).unwrap();
        let shown = pool.with(multiproc::TaskOptions::new().progress("counting"));
        assert_eq!(shown.map(0..500u32, |n| n).unwrap().len(), 500);
        assert_eq!(shown.imap(0..500u32, |n| n).count(), 500);
    });
}
