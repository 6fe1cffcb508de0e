//! The queue, with kills at every step: nothing accepted is lost, nothing comes twice, nobody hangs.

use crate::parts::Part::{Close, Drain, Get, Put, PutMany};
use crate::parts::play;
use multiproc_model::{Trouble, is_full};

#[test]
fn small() {
    play(&[Put(&[1]), Get(1)], 1, 1);
    play(&[Put(&[1, 1]), Get(2)], 1, 0);
    play(&[Put(&[1, 1]), Get(2)], 1, 2);
    play(&[Put(&[1, 1, 1]), Get(3)], 2, 1);
    play(&[Put(&[1]), Get(1), Get(1)], 1, 1);
    play(&[Put(&[1]), Put(&[1]), Get(1)], 1, 1);
}

#[test]
fn one_puts_twice_and_two_get_twice() {
    // Two kills take five minutes.
    play(&[Put(&[1, 1]), Get(2), Get(2)], 1, if is_full() { 2 } else { 1 });
}

#[test]
fn two_put_twice_and_one_gets_twice_with_two_kills() {
    if is_full() {
        play(&[Put(&[1, 1]), Put(&[1, 1]), Get(2)], 1, 2);
    }
}

#[test]
fn records_that_cross_chunks() {
    const LONG: crate::parts::Part = Put(&[3, 2]);
    play(&[LONG, Get(2)], 2, 0);
    play(&[LONG, Get(2)], 2, 1);
    play(&[Put(&[3, 3]), Get(2)], 2, 2);
    if is_full() {
        play(&[Put(&[3]), Put(&[3]), Get(2)], 2, 1);
        play(&[Put(&[3]), Put(&[3]), Get(2)], 2, 2);
    }
}

#[test]
fn batches() {
    play(&[PutMany(3), Get(3)], 2, 1);
    play(&[PutMany(2), Get(1), Get(1)], 2, 1);
    play(&[PutMany(2), Get(1), Get(1)], 2, 2);
}

/// A queue of three chunks that is empty again gives memory back, and takes it again.
#[test]
fn giving_memory_back() {
    play(&[Put(&[1, 1, 1]), Get(3)], 3, 1);
    play(&[Put(&[3, 1, 1]), Get(3)], 3, 2);
}

#[test]
fn closing() {
    play(&[Put(&[1]), Drain, Close], 1, 1);
    play(&[Put(&[1, 1]), Close], 1, 2);
    play(&[Drain, Drain, Close], 1, 2);
    if is_full() {
        play(&[Put(&[1, 1]), Drain, Close], 1, 2);
        play(&[Put(&[1, 1]), Put(&[1]), Close], 1, 2);
    }
}

#[test]
fn nobody_is_taken_for_dead() {
    play(&[Put(&[1, 1]), Get(2)], 1, Trouble { pauses: 2, ..0.into() });
    play(&[Put(&[1]), Get(1), Get(1)], 1, Trouble { kills: 1, pauses: 1, slow_deaths: true });
}
