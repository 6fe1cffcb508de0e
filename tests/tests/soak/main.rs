//! Work that goes on while once a second one of those who do it is killed: nothing grows, nothing accepted is lost, and
//! it does not become slower.
//!
//! `MULTIPROC_SOAK` tells for how many seconds; a few in the suite, where nothing can be said about speed.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

/// Operations, and what came of them.
mod operations;

/// What must not grow: memory, descriptors, names, children.
mod size;

/// How long operations took.
mod times;

use multiproc::{Mutex, Pool, Process, Queue, Shared, ShmSafe, TaskOptions};
use multiproc_core::sys::process::{open_pidfd, send_signal};
use multiproc_tests::{Limit, eventually, on_fork_server, proc, skip};
use operations::{Course, Operations};
use size::Size;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long it goes on if nobody says.
const SECONDS: u64 = 4;
/// From this on somebody must have died at work: fewer kills may all have missed.
const HIT: Duration = Duration::from_secs(120);
/// From this on the times are compared: a part of them is a minute then.
const LONG: Duration = Duration::from_secs(180);
/// What an operation may take at its slowest in the last part, of what it took in the first. It is promised of those that
/// no kill touched: the others, one or two in a second, are those that wait until a death is found.
const SLOWER: f64 = 1.5;
/// One in so many is left out of that.
const RARE: f64 = 0.001;

const CREW: usize = 2;
const WORKERS: usize = 2;
/// Messages that are under way at once.
const BATCH: u64 = 8;
/// How long a lock is held, and how long a task takes.
const HOLD: Duration = Duration::from_micros(100);
const TASK: Duration = Duration::from_millis(1);

/// What the lock guards.
#[derive(ShmSafe)]
#[repr(C)]
struct Count {
    begun: u64,
    ended: u64,
    /// How often the lock's owner died between.
    died: u64,
}

/// There, back, and a lock on the way.
type Line = (Queue<u64>, Queue<u64>, Shared<Mutex<Count>>);

fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Takes, locks and puts, and so has always something in its hands when it is killed.
fn pass_on((there, back, lock): Line) {
    while let Ok(number) = there.lease() {
        let mut count = match lock.lock() {
            Err(error) if error.is_owner_dead() => {
                let mut count = error.into_guard();
                count.died += count.begun - count.ended;
                count.ended = count.begun;
                count
            }
            count => count.unwrap(),
        };
        assert_eq!(count.begun, count.ended, "two had the lock");
        count.begun += 1;
        spin(HOLD);
        count.ended += 1;
        drop(count);
        back.put(*number).unwrap();
        number.done();
    }
}

fn hire(line: &Line) -> Process<()> {
    Process::builder().daemon(true).spawn(line.clone(), pass_on).unwrap()
}

/// Passes messages, each of which must come back; returns how many came back twice, since who had passed them on was
/// killed before it could say so.
fn messages((there, back, _): &Line, course: &Course, operations: &Operations) -> u64 {
    let (mut next, mut again) = (0, 0);
    while course.goes_on() {
        operations.measure(course, || {
            (next..next + BATCH).for_each(|number| there.put(number).unwrap());
            let mut missing = (1_u64 << BATCH) - 1;
            while missing != 0 {
                let got = back.get_timeout(operations::HANG);
                let number = got.unwrap_or_else(|error| panic!("{missing:b} of {next} are lost: {error}"));
                assert!(number < next + BATCH, "{number} was never put");
                let bit = number.checked_sub(next).map_or(0, |place| 1 << place);
                again += u64::from(missing & bit == 0);
                missing &= !bit;
            }
        });
        next += BATCH;
    }
    again
}

/// Gives tasks to the pool; returns how many ended with their worker.
fn tasks(pool: &Pool, course: &Course, operations: &Operations) -> u64 {
    let once = pool.with(TaskOptions::new().retries(0));
    let (mut number, mut died) = (0, 0);
    while course.goes_on() {
        let result = operations.measure(course, || {
            once.apply(number, |number: u64| {
                spin(TASK);
                number + 1
            })
        });
        match result {
            Ok(more) => assert_eq!(more, number + 1),
            Err(error) => {
                assert!(error.is_worker_death(), "task {number}: {error}");
                died += 1;
            }
        }
        number += 1;
    }
    died
}

/// Kills a worker amid a task, if one can be found, and waits for the next; tells whether it did.
fn kill_worker(pool: &Pool, course: &Course, after: Duration) -> bool {
    let busy = || pool.stats().workers.into_iter().find(|worker| worker.is_ready && worker.is_busy);
    let mut found = None;
    while found.is_none() && course.goes_on() {
        found = busy();
    }
    let Some(worker) = found else { return false };
    spin(after);
    send_signal(open_pidfd(worker.id).unwrap(), 9).unwrap();
    eventually(Duration::from_secs(20), "the dead one is noticed", || {
        !pool.worker_ids().contains(&worker.id)
    });
    // The next one begins within milliseconds; where the kernel is slow with it, the others work as ever.
    proc::holds_within(Duration::from_millis(200), || is_whole(pool));
    true
}

fn is_whole(pool: &Pool) -> bool {
    pool.stats().workers.iter().filter(|worker| worker.is_ready).count() == WORKERS
}

#[test]
fn one_kill_a_second() {
    let seconds = std::env::var("MULTIPROC_SOAK").ok().and_then(|seconds| seconds.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(SECONDS));
    on_fork_server(Limit(time * 2 + Duration::from_secs(120)), || {
        let server = proc::own_children()[0].id;
        let pool = Pool::new(WORKERS).unwrap();
        let count = Count { begun: 0, ended: 0, died: 0 };
        let line: Line = (
            Queue::bounded(BATCH as usize).unwrap(),
            Queue::bounded(BATCH as usize).unwrap(),
            Shared::new(Mutex::new(count)).unwrap(),
        );
        let crew = std::sync::Mutex::new((0..CREW).map(|_| hire(&line)).collect::<Vec<_>>());
        let part = time / if time >= LONG { (time.as_secs() / 60) as u32 } else { 4 };
        let course = Course { began: Instant::now(), time, part, is_over: AtomicBool::new(false) };
        let (passing, doing) = (Operations::new(), Operations::new());
        let (warm, again, lost) = thread::scope(|scope| {
            let again = scope.spawn(|| messages(&line, &course, &passing));
            let lost = scope.spawn(|| tasks(&pool, &course, &doing));
            scope.spawn(|| {
                for kill in 0_u64.. {
                    // Any moment of its second.
                    course.wait_until(Duration::from_secs(kill) + Duration::from_millis(kill * 7919 % 1000));
                    // Nobody is looked at while he is being replaced.
                    let mut crew = crew.lock().unwrap();
                    if !course.goes_on() {
                        break;
                    }
                    if kill % 2 == 0 {
                        let after = TASK.mul_f64((kill * 31 % 100) as f64 / 200.0);
                        doing.kill(|| kill_worker(&pool, &course, after));
                    } else {
                        passing.kill(|| {
                            let member = &mut crew[kill as usize / 2 % CREW];
                            member.kill().unwrap();
                            member.wait().unwrap();
                            *member = hire(&line);
                            true
                        });
                    }
                }
            });
            course.wait_until(part);
            let warm = {
                let _nobody_is_replaced = crew.lock().unwrap();
                Size::now(server)
            };
            course.wait_until(time);
            // Relaxed: it only says when to stop.
            course.is_over.store(true, Ordering::Relaxed);
            (warm, again.join().unwrap(), lost.join().unwrap())
        });
        eventually(Duration::from_secs(60), "the pool is at full size", || is_whole(&pool));
        let end = Size::now(server);
        line.0.close();
        crew.into_inner().unwrap().into_iter().for_each(|member| member.join().unwrap());
        let died = line.2.lock().unwrap_or_else(|error| error.into_guard()).died;
        println!(
            "figures: {} kills in soak, in {time:?} of {} batches of messages and {} tasks; {died} died with the lock, \
             {again} messages came again, {lost} tasks ended with their worker; {warm:?}, {end:?}",
            passing.kills() + doing.kills(),
            passing.done(),
            doing.done()
        );
        end.check(&warm);
        assert!(again <= passing.kills(), "{again} messages came again after {} kills", passing.kills());
        assert!(lost <= doing.kills(), "{lost} tasks were lost by {} kills", doing.kills());
        assert!(time < HIT || (died + again > 0 && lost > 0), "nobody died at work: the test tests little");
        for (what, operations) in [("messages", &passing), ("tasks", &doing)] {
            let (first, last) = (operations.first.lock().unwrap(), operations.last.lock().unwrap());
            let (before, after) = (first.all_but(RARE), last.all_but(RARE));
            let touched = operations.touched.lock().unwrap();
            println!(
                "figures: {what}: without a kill 99.9 % within {before:?} at first and {after:?} at last, half within {:?} \
                 and {:?}; {} amid one, half of them within {:?}, the slowest {:?}",
                first.all_but(0.5),
                last.all_but(0.5),
                touched.count(),
                touched.all_but(0.5),
                touched.all_but(0.0)
            );
            assert!(
                time < LONG || after.as_secs_f64() <= before.as_secs_f64() * SLOWER,
                "{what}: 99.9 % took {before:?} at first and {after:?} at last"
            );
        }
        if time < LONG {
            skip(
                "the last minute's p99.9 beside the first's",
                format_args!("{time:?} is less than {LONG:?}"),
            );
        }
        pool.terminate();
    });
}
