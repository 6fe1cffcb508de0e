//! Leases, with kills at every step: what the dead had leased is delivered again, and nothing else is.

use crate::parts::Part::{self, Close, Get, Join, Lease, LeaseAll, Put};
use crate::parts::play;
use multiproc_model::{Trouble, is_full};

const TWO: Part = Put(&[1, 1]);

#[test]
fn leases() {
    play(&[TWO, Lease(&[true, true])], 2, 0);
    play(&[TWO, Lease(&[true, true])], 2, 1);
    play(&[Put(&[1]), Lease(&[false, true])], 1, 1);
    play(&[Put(&[1]), Lease(&[true]), Lease(&[true])], 1, 0);
    play(&[Put(&[1]), Lease(&[true]), Lease(&[true])], 1, 1);
    play(&[Put(&[1]), Lease(&[false]), Get(1)], 1, 0);
    if is_full() {
        play(&[Put(&[1]), Lease(&[false]), Get(1)], 1, 1);
    }
}

#[test]
fn two_kills() {
    play(&[Put(&[1]), Lease(&[true])], 1, 2);
    if is_full() {
        play(&[TWO, Lease(&[true, true])], 2, 2);
        play(&[Put(&[1]), Lease(&[true]), Lease(&[true])], 1, 2);
        play(&[Put(&[1]), Lease(&[false]), Get(1)], 1, 2);
    }
}

#[test]
fn leased_records_keep_their_chunks() {
    play(&[Put(&[3, 3]), Lease(&[true, true])], 2, 0);
    if is_full() {
        play(&[Put(&[3, 3]), Lease(&[true, true])], 2, 1);
        play(&[Put(&[3, 3]), Lease(&[false, true]), Get(1)], 2, 0);
    }
}

#[test]
fn joining() {
    play(&[Put(&[1]), Lease(&[true]), Join], 1, 0);
    play(&[Put(&[1]), Lease(&[true]), Join], 1, 1);
}

#[test]
fn leases_of_a_closed_queue() {
    if is_full() {
        play(&[Put(&[1]), LeaseAll, Close], 1, 1);
        play(&[Lease(&[true]), LeaseAll, Close], 1, 1);
    }
}

#[test]
fn nobody_is_taken_for_dead() {
    play(&[Put(&[1]), Lease(&[true])], 1, Trouble { pauses: 2, ..0.into() });
    play(&[Put(&[1]), Lease(&[true]), Lease(&[true])], 1, Trouble { pauses: 1, ..0.into() });
    play(&[Put(&[1]), Lease(&[true])], 1, Trouble { kills: 1, pauses: 1, slow_deaths: true });
}
