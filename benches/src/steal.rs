//! What the host took of the processors' time: on a virtual machine whose processors others use, figures differ by more
//! than systems do.

use crate::Result;
use std::fs;
use std::iter::Sum;
use std::ops::Sub;

/// From what share of the processors' time on it is told.
const TOLD: f64 = 0.02;

/// The processors' time, in ticks of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ticks {
    stolen: u64,
    /// That which was idle, too.
    total: u64,
}

impl Ticks {
    /// Since the machine was started.
    pub(crate) fn now() -> Result<Ticks> {
        let path = "/proc/stat";
        let text = fs::read_to_string(path).map_err(|error| format!("read {path}: {error}"))?;
        Ok(Ticks::of(&text).ok_or_else(|| format!("{path} tells no processors' time"))?)
    }

    /// The first line has: user, nice, system, idle, iowait, irq, softirq, steal; and what the first two have already.
    fn of(text: &str) -> Option<Ticks> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|word| word.parse().ok()).collect();
        Some(Ticks { stolen: *ticks.get(7)?, total: ticks.iter().sum() })
    }

    /// How much of it the host took.
    pub(crate) fn share(self) -> f64 {
        self.stolen as f64 / self.total.max(1) as f64
    }

    /// What is to be said about it, if there is something.
    pub(crate) fn told(self) -> Option<String> {
        let percent = self.share() * 100.0;
        (self.share() > TOLD).then(|| {
            format!(
                "the host took {percent:.0} % of the processors' time: repeat before you believe differences"
            )
        })
    }
}

impl Sub for Ticks {
    type Output = Ticks;

    fn sub(self, before: Ticks) -> Ticks {
        Ticks {
            stolen: self.stolen.saturating_sub(before.stolen),
            total: self.total.saturating_sub(before.total),
        }
    }
}

impl Sum for Ticks {
    fn sum<I: Iterator<Item = Ticks>>(all: I) -> Ticks {
        all.fold(Ticks::default(), |sum, one| Ticks {
            stolen: sum.stolen + one.stolen,
            total: sum.total + one.total,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "cpu  100 20 30 400 5 6 7 432 90 10\ncpu0 50 10 15 200 2 3 3 216 45 5\nintr 1\n";

    #[test]
    fn what_the_host_took_is_read_and_told() {
        let ticks = Ticks::of(TEXT).unwrap();
        // What guests had is in the first two already.
        assert_eq!(ticks, Ticks { stolen: 432, total: 1000 });
        assert!(ticks.told().unwrap().contains("took 43 %"));
        let before = Ticks { stolen: 420, total: 200 };
        assert_eq!((ticks - before).told(), None);
        assert_eq!([before, before].into_iter().sum::<Ticks>(), Ticks { stolen: 840, total: 400 });
    }

    #[test]
    fn a_kernel_that_tells_less_is_not_misread() {
        for text in ["", "cpu  1 2 3 4\n", "cpu  1 2 3 4 5 6 7\n", "intr 1\n"] {
            assert_eq!(Ticks::of(text), None, "{text}");
        }
        assert_eq!(Ticks::default().told(), None);
        assert!(Ticks::now().unwrap().total > 0);
    }
}
