//! Events, with kills at every step.

use multiproc_model::{Explorer, shared};
use multiproc_sync::Event;

#[derive(Clone, Copy)]
enum Do {
    Set,
    Clear,
    Wait,
}
use Do::{Clear, Set, Wait};

fn explore(program: &'static [&'static [Do]], kills: usize) {
    Explorer::new(program.len()).kills(kills).prove(
        format_args!("event: {} processes, {kills} kills", program.len()),
        move |process| {
            let event: &Event = shared();
            for what in program[process] {
                match what {
                    Set => event.set(),
                    Clear => event.clear(),
                    Wait => event.wait(),
                }
            }
        },
        // Nobody sleeps beside an event that is set; there is no bounded sleep to cover it.
        |end| if shared::<Event>().is_set() { end.nobody_sleeps() } else { Ok(()) },
    );
}

#[test]
fn one_sets_and_two_wait() {
    explore(&[&[Set], &[Wait], &[Wait]], 2);
    explore(&[&[Set, Set], &[Wait, Wait], &[Wait, Wait]], 2);
}

#[test]
fn one_clears_meanwhile() {
    explore(&[&[Set, Clear], &[Wait, Set], &[Wait, Wait]], 2);
    explore(&[&[Set, Set], &[Clear, Clear], &[Wait, Wait]], 2);
    explore(&[&[Set, Clear, Set], &[Wait, Clear], &[Wait, Set]], 2);
}

#[test]
fn a_wait_is_not_missed_by_an_event_that_is_cleared_at_once() {
    use multiproc_core::sync::atomic::{AtomicU32, Ordering};

    #[repr(C)]
    struct Shared {
        event: Event,
        asleep: AtomicU32,
        rung: AtomicU32,
    }
    Explorer::new(2).prove(
        format_args!("event that is cleared at once"),
        |process| {
            let shared: &Shared = shared();
            if process == 0 {
                // Bit 1 of the event says that the other sleeps, or is about to.
                let word: &AtomicU32 = multiproc_model::shared();
                if word.load(Ordering::Relaxed) == 2 {
                    shared.asleep.store(1, Ordering::Relaxed);
                }
                shared.event.set();
                shared.event.clear();
            } else {
                shared.event.wait();
                shared.rung.store(1, Ordering::Relaxed);
            }
        },
        |end| match shared::<Shared>().asleep.load(Ordering::Relaxed) {
            1 => end.nobody_sleeps(),
            _ => Ok(()),
        },
    );
}

#[test]
fn control_setting_and_waking_in_two_steps_is_caught() {
    use multiproc_core::sync::atomic::{AtomicU32, Ordering};
    use multiproc_core::sync::futex;

    let found = Explorer::new(2).kills(1).explore(
        |process| {
            if process == 0 {
                let word: &AtomicU32 = shared();
                if word.fetch_or(1, Ordering::Relaxed) & 2 != 0 {
                    futex::wake(word.into(), u32::MAX);
                }
            } else {
                shared::<Event>().wait();
            }
        },
        |end| if shared::<Event>().is_set() { end.nobody_sleeps() } else { Ok(()) },
    );
    assert!(found.unwrap_err().what.contains("hang"));
}
