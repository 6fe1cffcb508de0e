//! Medians and ranges: means would let one interrupted operation speak for a round.

/// A figure and its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Summarises ratios round by round: what disturbed one side of a round is likely to have disturbed the other.
    pub(crate) fn of_ratios(samples: &[f64], others: &[f64]) -> Spread {
        let ratios: Vec<f64> = samples.iter().zip(others).map(|(a, b)| a / b).collect();
        Spread::of(&ratios)
    }

    /// Summarises samples; all zero where there are none.
    pub(crate) fn of(samples: &[f64]) -> Spread {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (sorted.first().copied(), sorted.last().copied()) else {
            return Spread { median: 0.0, min: 0.0, max: 0.0 };
        };
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Spread { median, min, max }
    }
}

/// The middle of the samples.
pub(crate) fn median(samples: &[f64]) -> f64 {
    Spread::of(samples).median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_odd_even_and_no_samples() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
