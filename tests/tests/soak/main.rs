//! Work that goes on with one kill a second: nothing grows, and it does not become slower.
//!
//! `MULTIPROC_SOAK` tells for how many seconds; a few in the suite, where nothing can be said about speed.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use multiproc::{Event, Mutex, Pool, Process, Queue, Shared, TaskOptions};
use multiproc_tests::{Limit, isolated_for, proc};
use std::time::{Duration, Instant};

/// How long it goes on if nobody says.
const SECONDS: u64 = 4;
/// From this on the latencies are compared: a part of them is a minute then.
const LONG: Duration = Duration::from_secs(180);
/// What an operation may take at its slowest in the last part, of what it took in the first.
const SLOWER: f64 = 1.5;
/// What this process may have grown by since it was warm, for the allocator's sake.
const GROWN: u64 = 4 << 20;

/// What must not grow.
#[derive(Clone, Copy, Debug)]
struct Size {
    memory: u64,
    shared: u64,
    descriptors: usize,
    children: usize,
}

impl Size {
    fn now() -> Size {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
        };
        Size {
            memory: field("RssAnon:"),
            shared: field("RssShmem:"),
            descriptors: proc::own_descriptors().len(),
            children: proc::own_children().len(),
        }
    }
}

/// There, back, a lock on the way, and who is ready.
type Line = (Queue<u64>, Queue<u64>, Shared<Mutex<u64>>, Shared<Event>);

/// Gives back what it gets, until it is killed.
fn echo((there, back, lock, ready): Line) {
    ready.set();
    while let Ok(number) = there.get() {
        let guard = match lock.lock() {
            Err(error) if error.is_owner_dead() => error.into_guard(),
            guard => guard.unwrap(),
        };
        drop(guard);
        back.put(number).unwrap();
    }
}

fn partner(line: &Line) -> Process<()> {
    line.3.clear();
    let child = Process::builder().daemon(true).spawn(line.clone(), echo).unwrap();
    line.3.wait();
    child
}

/// What all but one of a thousand took at most.
fn slowest(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() * 999 / 1000).copied().unwrap_or_default()
}

#[test]
fn one_kill_a_second() {
    let seconds = std::env::var("MULTIPROC_SOAK").ok().and_then(|seconds| seconds.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(SECONDS));
    isolated_for(Limit(time * 2 + Duration::from_secs(120)), || {
        let pool = Pool::new(2).unwrap();
        let tasks = pool.with(TaskOptions::new().retries(5));
        let line: Line = (
            Queue::bounded(8).unwrap(),
            Queue::bounded(8).unwrap(),
            Shared::new(Mutex::new(0)).unwrap(),
            Shared::new(Event::new()).unwrap(),
        );
        let mut child = partner(&line);
        let part = time / if time >= LONG { (time.as_secs() / 60) as u32 } else { 4 };
        let (mut first, mut last) = (Vec::new(), Vec::new());
        let (mut warm, mut kills, mut operations) = (None, 0_u64, 0_u64);
        let began = Instant::now();
        let mut next_kill = Duration::from_millis(500);
        while began.elapsed() < time {
            let since = began.elapsed();
            if since >= next_kill {
                next_kill += Duration::from_secs(1);
                kills += 1;
                if kills % 2 == 0 {
                    let worker = pool.worker_ids()[0];
                    let pidfd = multiproc_core::sys::process::open_pidfd(worker).unwrap();
                    // It may be gone by itself.
                    let _ = multiproc_core::sys::process::send_signal(pidfd, 9);
                } else {
                    // While it waits for the next, so that it has nothing in its hands that would be lost with it.
                    child.kill().unwrap();
                    child.wait().unwrap();
                    child = partner(&line);
                }
            }
            let one = Instant::now();
            line.0.put(operations).unwrap();
            match line.1.get_timeout(Duration::from_secs(5)) {
                Ok(number) => assert_eq!(number, operations),
                Err(error) => panic!("an echo hangs after {kills} kills: {error}"),
            }
            assert_eq!(tasks.apply(operations, |number| number + 1).unwrap(), operations + 1);
            let took = one.elapsed();
            operations += 1;
            match since {
                since if since < part => first.push(took),
                since if since >= time - part => last.push(took),
                _ => {}
            }
            if warm.is_none() && since >= part {
                warm = Some(Size::now());
            }
        }
        assert!(line.0.is_empty() && line.1.is_empty());
        multiproc_tests::eventually(Duration::from_secs(20), "the pool is at full size", || {
            pool.stats().workers.iter().filter(|worker| worker.is_ready).count() == 2
        });
        let (warm, end) = (warm.unwrap(), Size::now());
        let (before, after) = (slowest(&mut first), slowest(&mut last));
        eprintln!(
            "figures: {operations} operations and {kills} kills in {time:?}; 99.9 % within {before:?} at first, {after:?} \
             at last; {warm:?}, {end:?}"
        );
        assert!(end.memory <= warm.memory + GROWN, "{warm:?} grew to {end:?}");
        assert!(end.shared <= warm.shared + GROWN / 4, "{warm:?} grew to {end:?}");
        assert_eq!(end.children, warm.children);
        // One more for a moment: that of a worker that is being replaced.
        assert!(end.descriptors <= warm.descriptors + 4, "{warm:?} grew to {end:?}");
        assert!(
            time < LONG || after.as_secs_f64() <= before.as_secs_f64() * SLOWER,
            "99.9 % took {before:?} at first and {after:?} at last"
        );
        line.0.close();
        child.join().unwrap();
        pool.terminate();
    });
}
