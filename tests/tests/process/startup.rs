use multiproc_core::sys::process::{open_pidfd, send_signal};
use multiproc_process::{JoinError, Process};
use multiproc_tests::proc::Newcomers;
use multiproc_tests::{Limit, on_both};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What came of the starts.
#[derive(Debug, Default)]
struct Tally {
    refused: u32,
    killed: u32,
    done: u32,
}

#[test]
fn killed_at_random_while_starting() {
    on_both(Limit(Duration::from_secs(120)), |method| {
        let mut tally = Tally::default();
        let (done, kills) = (AtomicBool::new(false), AtomicU32::new(0));
        // Relaxed: the flag only says when to stop, the count is read after the join.
        thread::scope(|scope| {
            let killer = scope.spawn(|| {
                let mut spared = 0u64;
                let mut newcomers = Newcomers::default();
                while !done.load(Ordering::Relaxed) {
                    for id in newcomers.arrivals() {
                        // Delays from nothing to longer than a start takes, in no order.
                        spared = spared.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let at = Instant::now() + Duration::from_micros((spared >> 33) % 1000);
                        while Instant::now() < at {
                            std::hint::spin_loop();
                        }
                        if let Ok(pidfd) = open_pidfd(id) {
                            send_signal(pidfd, 9).unwrap();
                            kills.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
            // On a busy machine the killer comes late for many; the watchdog is for one that hits nothing.
            let mut n = 0;
            while n < 500 || tally.killed + tally.refused <= 20 {
                match Process::spawn(n, |n| n + 1) {
                    Err(error) => {
                        assert!(error.io_error().is_some(), "{error}");
                        tally.refused += 1;
                    }
                    Ok(child) => match child.join() {
                        Ok(more) => {
                            assert_eq!(more, n + 1);
                            tally.done += 1;
                        }
                        Err(JoinError::Signaled { signal: 9, .. }) => tally.killed += 1,
                        Err(error) => panic!("start {n}: {error:?}"),
                    },
                }
                n += 1;
            }
            done.store(true, Ordering::Relaxed);
            killer.join().unwrap();
        });
        println!("figures: {} kills in starts by {method:?}, {tally:?}", kills.into_inner());
        // Nothing is broken by it; the fork server may have to be started again.
        assert_eq!(Process::spawn(1, |n| n + 1).unwrap().join().unwrap(), 2);
    });
}
