use crate::Figures;
use std::fmt;
use std::fmt::Write as _;

/// Says what was tried, as one line.
#[expect(clippy::print_stdout, reason = "tests say what they tried, for those who ask (`--nocapture`)")]
pub fn say(what: fmt::Arguments<'_>) {
    println!("{what}");
}

/// Tells whether everything is to be visited, however long it takes: `MULTIPROC_MODEL=full` says so.
pub fn is_full() -> bool {
    std::env::var_os("MULTIPROC_MODEL").is_some_and(|value| value == "full")
}

/// How many states to visit where all of them take minutes.
pub fn unless_full(limit: usize) -> usize {
    if is_full() { usize::MAX } else { limit }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { states, transitions, ends, stuck, elapsed, complete, .. } = self;
        write!(f, "{} states, {} steps, ", grouped(*states), grouped(*transitions))?;
        write!(f, "{} ends, {} stuck, {:.1} s", grouped(*ends), grouped(*stuck), elapsed.as_secs_f64())?;
        f.write_str(if *complete { ", exhausted" } else { ", not all" })?;
        match self.unreduced {
            0 => Ok(()),
            unreduced => write!(f, "; the same ends in {} states without reductions", grouped(unreduced)),
        }
    }
}

/// A number with a space before each three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            let _ = grouped.write_char(' ');
        }
        let _ = grouped.write_char(digit);
    }
    grouped
}
