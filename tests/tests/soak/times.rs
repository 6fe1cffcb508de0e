use std::time::Duration;

/// How finely times are told apart: so many steps for twice the time.
const STEPS: f64 = 32.0;

/// How long operations took, in memory that does not grow with their number.
#[derive(Clone)]
pub(crate) struct Times([u32; 40 * STEPS as usize]);

impl Times {
    pub(crate) const fn new() -> Times {
        Times([0; 40 * STEPS as usize])
    }

    pub(crate) fn add(&mut self, took: Duration) {
        let step = (took.as_nanos() as f64).log2() * STEPS;
        let last = self.0.len() - 1;
        self.0[(step as usize).min(last)] += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// What all but this part of them took at most.
    pub(crate) fn all_but(&self, part: f64) -> Duration {
        let mut left = self.count() as f64 * part;
        let step = (0..self.0.len()).rev().find(|step| {
            left -= f64::from(self.0[*step]);
            left < 0.0
        });
        step.map_or(Duration::ZERO, |step| Duration::from_secs_f64(((step + 1) as f64 / STEPS).exp2() / 1e9))
    }
}

#[test]
fn the_slowest_are_found() {
    let mut times = Times::new();
    (1..=1000).for_each(|number| times.add(Duration::from_micros(number)));
    let near = |time: Duration, micros: f64| (time.as_secs_f64() * 1e6 / micros - 1.0).abs() < 0.03;
    assert_eq!(times.count(), 1000);
    assert!(near(times.all_but(0.5), 500.0), "{:?}", times.all_but(0.5));
    assert!(near(times.all_but(0.001), 999.0), "{:?}", times.all_but(0.001));
    assert_eq!(Times::new().all_but(0.5), Duration::ZERO);
}
