//! Messages with handles, with kills at every step: each message comes with its own.
//!
//! The ring's source is the shipping one: when a token is given, a packet sent, the record committed, the packet
//! copied, the head moved, the packet taken away. The sockets are words here (`ring.rs`), each of whose calls is one
//! step, as the kernel's are.

use crate::parts::Part::{Get, Lease, PutHandles};
use crate::parts::play;
use multiproc_model::is_full;

#[test]
fn one_to_one() {
    play(&[PutHandles(1), Get(1)], 1, 2);
    play(&[PutHandles(2), Get(2)], 2, 1);
}

#[test]
fn several() {
    play(&[PutHandles(1), PutHandles(1), Get(1)], 2, 1);
    if is_full() {
        play(&[PutHandles(1), PutHandles(1), Get(2)], 2, 2);
        play(&[PutHandles(2), Get(1), Get(1)], 2, 2);
    }
}

#[test]
fn leased() {
    play(&[PutHandles(1), Lease(&[true])], 1, 2);
    play(&[PutHandles(1), Lease(&[false, true])], 1, 1);
    if is_full() {
        play(&[PutHandles(1), Lease(&[true]), Lease(&[true])], 1, 1);
    }
}
