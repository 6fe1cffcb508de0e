//! Permits, with kills at every step: what the dead have taken comes back, once.

use multiproc_core::Deadline;
use multiproc_core::sync::atomic::{AtomicU64, Ordering};
use multiproc_core::sync::thread;
use multiproc_model::{End, Explorer, Trouble, is_full, say, shared};
use multiproc_sync::raw::{Monitor, Permits};

#[repr(C)]
struct Shared {
    permits: Permits,
    inside: AtomicU64,
}

/// How many are in the ledger once the change is made that the number names; see `permits.rs` for its parts.
fn listed() -> i64 {
    const HOLDERS: usize = 3;
    let words: &[AtomicU64; size_of::<Permits>() / 8] = shared();
    let words = words.each_ref().map(|word| word.load(Ordering::Relaxed));
    let cell = size_of::<Monitor>() / 8 - 3;
    let number = words[cell + 1 + (words[cell] >> 2 & 1) as usize];
    let (named, count) = ((number >> 24 & 0xff) as usize, (number & 0xff_ffff) as i64);
    let counts = (0..HOLDERS).map(|slot| words[cell + 3 + 2 * slot + 1] as i64).enumerate();
    counts.map(|(slot, held)| if slot == named { count } else { held }).sum()
}

fn operate(total: i32) {
    let shared: &Shared = shared();
    let taken = shared.permits.acquire(Deadline::NEVER, |taken| taken < total).unwrap();
    if total == 1 {
        // There is one permit: who was here before has left, or is dead.
        let before = shared.inside.swap(thread::id(), Ordering::Relaxed);
        assert!(before == 0 || !thread::is_alive(before), "two are inside");
        shared.inside.store(0, Ordering::Relaxed);
    }
    shared.permits.give_back(&taken);
}

fn explore(processes: usize, total: i32, operations: usize, trouble: impl Into<Trouble>) {
    let trouble = trouble.into();
    let explorer = Explorer::new(processes).trouble(trouble);
    // Who comes to sleep after a death finds it when its first sleep ends.
    // One that hears a death at the end of an operation begins the next one as who comes later.
    let is_strict = operations == 1 || trouble.kills < 2;
    let explorer = if is_strict { explorer.late_time_outs() } else { explorer.time_outs() };
    explorer.prove(
        format_args!("semaphore: {processes} processes, {total} permits, {operations} operations, {trouble}"),
        move |_| (0..operations).for_each(|_| operate(total)),
        |end| {
            let taken = shared::<Shared>().permits.taken();
            let dead = end.dead.iter().filter(|dead| **dead).count();
            if taken < 0 || usize::try_from(taken).unwrap() > dead {
                return Err(format!("{taken} are taken by {dead} dead"));
            }
            let listed = listed();
            if i64::from(taken) != listed {
                return Err(format!("{taken} are taken, and {listed} are in the ledger"));
            }
            end.nobody_sleeps()
        },
    );
}

#[test]
fn two_processes() {
    explore(2, 1, 1, 0);
    explore(2, 1, 1, 1);
    explore(2, 1, 2, 1);
}

#[test]
fn three_processes() {
    explore(3, 1, 1, 0);
    explore(3, 1, 1, 1);
    explore(3, 2, 1, 2);
    if is_full() {
        explore(3, 1, 1, 2);
        explore(3, 1, 2, 2);
        explore(3, 2, 2, 2);
    }
}

#[test]
fn nobody_is_taken_for_dead() {
    explore(2, 1, 2, Trouble { pauses: 2, ..0.into() });
    explore(3, 1, 1, Trouble { pauses: 1, ..0.into() });
    explore(2, 1, 1, Trouble { kills: 1, pauses: 1, slow_deaths: true });
    if is_full() {
        explore(3, 1, 1, Trouble { kills: 1, pauses: 1, slow_deaths: true });
    }
}

/// A ledger that is changed beside the sum, as two steps.
#[repr(C)]
struct Naive {
    monitor: Monitor,
    holders: [AtomicU64; 3],
    inside: AtomicU64,
}

impl Naive {
    fn acquire(&self, me: usize) {
        loop {
            let entered = self.monitor.enter();
            if entered.value() == 0 {
                self.holders[me].store(thread::id(), Ordering::Relaxed);
                entered.publish_quietly(1);
                return;
            }
            drop(entered);
            self.monitor.wait(Deadline::NEVER, |taken| taken == 0, || self.take_back());
        }
    }

    fn give_back(&self, me: usize) {
        let entered = self.monitor.enter();
        self.holders[me].store(0, Ordering::Relaxed);
        entered.publish(entered.value().saturating_sub(1));
    }

    fn take_back(&self) {
        for holder in &self.holders {
            let id = holder.load(Ordering::Relaxed);
            if id != 0 && !thread::is_alive(id) {
                let entered = self.monitor.enter();
                holder.store(0, Ordering::Relaxed);
                entered.publish(entered.value().saturating_sub(1));
            }
        }
    }
}

#[test]
fn control_a_ledger_beside_the_sum_is_caught() {
    let found = Explorer::new(3).kills(1).time_outs().explore(
        |process| {
            let naive: &Naive = shared();
            naive.acquire(process);
            let before = naive.inside.swap(thread::id(), Ordering::Relaxed);
            assert!(before == 0 || !thread::is_alive(before), "two are inside");
            naive.inside.store(0, Ordering::Relaxed);
            naive.give_back(process);
        },
        End::nobody_sleeps,
    );
    let failure = found.unwrap_err();
    say(format_args!("control: {failure}"));
    assert!(failure.what.contains("two are inside") || failure.what.contains("hang"), "{failure}");
}
