//! Channels, with kills at every step: a receiver learns that all senders have left, and not before it has everything.

use crate::parts::Part::{Receive, Send};
use crate::parts::play;
use multiproc_model::is_full;

#[test]
fn the_last_sender_leaves() {
    play(&[Send(1), Receive], 1, 1);
    play(&[Send(2), Receive], 1, 2);
    play(&[Send(1), Send(1), Receive], 1, 0);
    if is_full() {
        play(&[Send(1), Send(1), Receive], 1, 2);
    }
}
