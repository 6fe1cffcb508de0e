//! Memory barriers on other processors, so that those who pass often need none of their own.
//!
//! Two sides each write a word and then read the other's; one of them must see what the other wrote. Where one side
//! does that at every step and the other side seldom, the first only keeps the compiler from moving its accesses, and
//! the second has the kernel make all processors pass a barrier between its own two.

use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

/// Lets barriers of other processes reach this one; tells whether they do.
pub fn register() -> bool {
    membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// Passes a barrier on every processor that runs a thread of a process that is [registered](register); tells whether
/// it could.
pub fn everywhere() -> bool {
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}

/// Tells whether this system has such barriers.
pub fn is_available() -> bool {
    let wanted = MembarrierQuery::GLOBAL_EXPEDITED | MembarrierQuery::REGISTER_GLOBAL_EXPEDITED;
    membarrier_query().contains(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_works() {
        assert_eq!((register(), everywhere()), (is_available(), is_available()));
    }
}
