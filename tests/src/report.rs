//! What a test tells besides that it passed; `--nocapture` shows it, and `cargo xtask stress` collects it.
//!
//! Each is a line of its own on standard output. One that begins with `skipped: ` names what this machine cannot do;
//! one that begins with `figures: ` what was measured or counted, where the number before ` kills in ` is added up.

use std::fmt::Display;

const MARKS: [&str; 2] = ["skipped: ", "figures: "];

/// Says that something was not tested, since this machine cannot do it.
pub fn skip(what: &str, why: impl Display) {
    let why = why.to_string();
    // One line, whatever another program said.
    println!("{}{what}: {}", MARKS[0], why.split_whitespace().collect::<Vec<_>>().join(" "));
}

/// Says again what the process of a test said.
pub(crate) fn pass_on(said: &str) {
    for line in said.lines().filter_map(marked) {
        // Where tests run one at a time their name stands on the line already.
        println!("\n{line}");
    }
}

/// The line from its mark on; before it there may be the name of the test, which has no end of line.
fn marked(line: &str) -> Option<&str> {
    let at = MARKS.into_iter().find_map(|mark| line.find(mark))?;
    let is_alone = at == 0 || (line.starts_with("test ") && line[..at].ends_with(" ... "));
    is_alone.then_some(&line[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_known_by_their_mark() {
        assert_eq!(marked("skipped: this: that"), Some("skipped: this: that"));
        assert_eq!(marked("test a::b ... figures: 3 kills in b"), Some("figures: 3 kills in b"));
        assert_eq!(marked("a file was skipped: a socket"), None);
        assert_eq!(marked("test a ... ok"), None);
    }
}
