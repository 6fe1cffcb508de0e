//! A clock for decisions that may be late.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds of a clock that never goes back, a few milliseconds late and a few nanoseconds dear.
///
/// For deciding whether something is due, at each call of what must be fast.
pub fn coarse_millis() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

/// Nanoseconds of a clock that never goes back and that all processes share.
pub fn nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn it_goes_as_fast_as_the_other_clock() {
        let (start, begin) = (coarse_millis(), Instant::now());
        while coarse_millis() < start + 20 {
            std::hint::spin_loop();
        }
        assert!(begin.elapsed() >= Duration::from_millis(9), "{:?}", begin.elapsed());
    }
}
