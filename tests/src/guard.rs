//! Counts what a test's body leaves behind.

use crate::proc::{self, eventually, holds_within};
use crate::raw;
use multiproc_process::{Process, StartMethod, active_children};
use std::time::Duration;

/// How long what was detached may take to go.
const SETTLE: Duration = Duration::from_secs(10);

/// Runs `body`, and fails unless children, zombies and descriptors are as before.
///
/// # Panics
///
/// Something was left behind, or `body` panicked.
pub(crate) fn checked(method: Option<StartMethod>, body: impl FnOnce()) {
    raw::heed_interrupts();
    if let Some(method) = method {
        // The first start makes what stays: the spawner thread's bell, this process' pidfd, the fork server.
        let first = Process::builder().start_method(method).spawn((), |()| ()).unwrap();
        first.join().unwrap();
    }
    let children = proc::own_children().len();
    let descriptors = proc::own_descriptors();
    body();
    // As text: the infos themselves would keep the descriptors open.
    let waits_for = format!("{:?}", active_children());
    eventually(SETTLE, &format!("no zombie, no child left: {:?}, {waits_for}", proc::own_children()), || {
        active_children();
        let left = proc::own_children();
        left.iter().all(|child| child.state != 'Z') && (method.is_none() || left.len() == children)
    });
    if method.is_some() {
        // The thread that reaps what was detached drops its descriptor a moment after.
        let mut after = Vec::new();
        let as_before = || {
            after = proc::own_descriptors();
            after.len() == descriptors.len()
        };
        if !holds_within(SETTLE, as_before) {
            panic!("descriptors before: {descriptors:?}, after: {after:?}");
        }
    }
}
