//! What an example is to print, and the comparison with what it did print.
//!
//! ```text
//! run: consumers --better          the example and its arguments
//! order: any                       fixed, any, per process, contains
//! before: start{..} -> end{..}     every line like the first comes before every line like the second
//! stderr: contains                 the order of what follows `---- stderr`; without it there is none
//! ----
//! == MainProcess                   per process: the lines of a block come in their order
//! a line with {n} and {..}         a number, and any text
//! ? perhaps                        a line that may be missing
//! + again and again                a line that comes once or more often
//! ---- stderr
//! a line of standard error
//! ```
//!
//! `any`, `per process`: each line as often as it stands there, and no other. `contains`: others may come between.

use std::iter;

#[derive(Debug, Default)]
pub(crate) struct Expectation {
    pub(crate) run: String,
    order: Order,
    before: Vec<(String, String)>,
    out: Vec<Line>,
    stderr: Order,
    err: Vec<Line>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Order {
    #[default]
    Fixed,
    Any,
    PerProcess,
    Contains,
}

#[derive(Debug)]
struct Line {
    pattern: String,
    least: usize,
    most: usize,
    block: usize,
}

impl Expectation {
    pub(crate) fn parse(text: &str) -> Expectation {
        let mut expectation = Expectation::default();
        let mut lines = text.lines();
        for line in lines.by_ref().take_while(|line| *line != "----") {
            let (key, value) = line.split_once(": ").unwrap();
            let value = value.to_owned();
            match key {
                "run" => expectation.run = value,
                "order" => expectation.order = Order::parse(&value),
                "stderr" => expectation.stderr = Order::parse(&value),
                "before" => {
                    let (first, second) = value.split_once(" -> ").unwrap();
                    expectation.before.push((first.to_owned(), second.to_owned()));
                }
                other => panic!("there is no {other}"),
            }
        }
        assert!(!expectation.run.is_empty(), "it says what to run");
        let (mut block, mut is_err) = (0, false);
        for line in lines {
            if line == "---- stderr" {
                is_err = true;
            } else if line.starts_with("== ") {
                block += 1;
            } else {
                let to = if is_err { &mut expectation.err } else { &mut expectation.out };
                to.push(Line::parse(line, block));
            }
        }
        expectation
    }

    /// What is wrong with this output; nothing if it fits.
    pub(crate) fn problems(&self, out: &str, err: &str) -> Vec<String> {
        let lines: Vec<&str> = out.lines().collect();
        let mut problems = compare(self.order, &self.out, &lines);
        let errors: Vec<&str> = err.lines().collect();
        problems.extend(
            compare(self.stderr, &self.err, &errors).into_iter().map(|what| format!("stderr: {what}")),
        );
        for (first, second) in &self.before {
            let last_of_first = lines.iter().rposition(|line| fits(first, line));
            let first_of_second = lines.iter().position(|line| fits(second, line));
            if !matches!((last_of_first, first_of_second), (Some(a), Some(b)) if a < b) {
                problems.push(format!("not before: {first} -> {second}"));
            }
        }
        problems
    }
}

impl Order {
    fn parse(text: &str) -> Order {
        match text {
            "fixed" => Order::Fixed,
            "any" => Order::Any,
            "per process" => Order::PerProcess,
            "contains" => Order::Contains,
            other => panic!("there is no order {other}"),
        }
    }
}

impl Line {
    fn parse(text: &str, block: usize) -> Line {
        let line = |pattern: &str, least, most| Line { pattern: pattern.to_owned(), least, most, block };
        match text.split_at_checked(2) {
            Some(("? ", rest)) => line(rest, 0, 1),
            Some(("+ ", rest)) => line(rest, 1, usize::MAX),
            _ => line(text, 1, 1),
        }
    }
}

fn compare(order: Order, expected: &[Line], lines: &[&str]) -> Vec<String> {
    match order {
        Order::Fixed if follows(expected, lines) => vec![],
        Order::Fixed => vec![format!("not these lines in this order:\n{}", listed(expected))],
        Order::Any => each_once(expected, lines),
        Order::PerProcess => {
            let mut problems = each_once(expected, lines);
            for block in expected.chunk_by(|a, b| a.block == b.block) {
                let mut rest = lines.iter();
                let out_of_turn = block
                    .iter()
                    .filter(|line| line.least > 0)
                    .find(|line| !rest.any(|found| fits(&line.pattern, found)));
                problems.extend(out_of_turn.map(|line| format!("out of turn: {}", line.pattern)));
            }
            problems
        }
        Order::Contains => expected
            .iter()
            .filter(|line| line.least > lines.iter().filter(|found| fits(&line.pattern, found)).count())
            .map(|line| format!("missing: {}", line.pattern))
            .collect(),
    }
}

/// Whether the lines are those, one after the other.
fn follows(expected: &[Line], lines: &[&str]) -> bool {
    let Some((first, rest)) = expected.split_first() else { return lines.is_empty() };
    let count = lines.iter().take_while(|line| fits(&first.pattern, line)).count().min(first.most);
    (first.least..=count).rev().any(|taken| follows(rest, &lines[taken..]))
}

/// What is missing, and what is too many; the order does not matter.
fn each_once(expected: &[Line], lines: &[&str]) -> Vec<String> {
    let mut found: Vec<usize> = expected.iter().map(|_| 0).collect();
    let mut problems = Vec::new();
    // A line that is wanted by itself is not for a pattern.
    let mut order: Vec<usize> = (0..expected.len()).collect();
    order.sort_by_key(|index| expected[*index].pattern.contains(['{']));
    for line in lines {
        let takes = |index: &&usize| {
            found[**index] < expected[**index].most && fits(&expected[**index].pattern, line)
        };
        match order.iter().find(takes) {
            Some(index) => found[*index] += 1,
            None => problems.push(format!("too many: {line}")),
        }
    }
    let missing = iter::zip(expected, found).filter(|(line, found)| *found < line.least);
    problems.extend(missing.map(|(line, _)| format!("missing: {}", line.pattern)));
    problems
}

fn listed(expected: &[Line]) -> String {
    expected.iter().map(|line| format!("    {}\n", line.pattern)).collect()
}

/// Whether a line is what the pattern says.
fn fits(pattern: &str, line: &str) -> bool {
    let number = pattern.find("{n}").map_or(usize::MAX, |at| at);
    let text = pattern.find("{..}").map_or(usize::MAX, |at| at);
    if number == usize::MAX && text == usize::MAX {
        return pattern == line;
    }
    let (literal, is_number) = (&pattern[..number.min(text)], number < text);
    let rest = &pattern[literal.len() + if is_number { "{n}".len() } else { "{..}".len() }..];
    let Some(line) = line.strip_prefix(literal) else { return false };
    let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    if is_number {
        let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        digits > 0 && fits(rest, &line[digits..])
    } else {
        ends.into_iter().any(|at| fits(rest, &line[at..]))
    }
}

// -------------------------------------------------------------------------------- the comparison finds what is wrong

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(expectation: &str, out: &str) -> Vec<String> {
        Expectation::parse(expectation).problems(out, "")
    }

    #[test]
    fn patterns() {
        assert!(fits("a {n} b", "a 12 b") && fits("{..}", "") && fits("a{..}c{n}", "abbc7"));
        assert!(!fits("a {n} b", "a x b") && !fits("a {n}", "a 1x") && !fits("a", "ab"));
    }

    #[test]
    fn fixed() {
        let expectation = "run: x\norder: fixed\n----\none\n? perhaps\n+ more\nend";
        assert!(problems(expectation, "one\nmore\nmore\nend\n").is_empty());
        assert!(problems(expectation, "one\nperhaps\nmore\nend\n").is_empty());
        for wrong in ["one\nend\n", "more\none\nend\n", "one\nmore\nend\nend\n", "one\nmore\n", ""] {
            assert_eq!(problems(expectation, wrong).len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn any() {
        let expectation = "run: x\norder: any\nbefore: a{..} -> b\n----\na{n}\na1\nb\n";
        assert!(problems(expectation, "a1\na2\nb\n").is_empty());
        assert_eq!(problems(expectation, "a1\nb\na2\n"), ["not before: a{..} -> b"]);
        assert_eq!(problems(expectation, "a1\na2\na3\nb\n"), ["too many: a3"]);
        assert_eq!(problems(expectation, "a1\na2\n"), ["missing: b", "not before: a{..} -> b"]);
    }

    #[test]
    fn per_process() {
        let expectation = "run: x\norder: per process\n----\n== one\na\nb\n== two\nc\nd\n";
        assert!(problems(expectation, "c\na\nd\nb\n").is_empty());
        assert_eq!(problems(expectation, "c\nb\na\nd\n"), ["out of turn: b"]);
        assert_eq!(problems(expectation, "a\nb\nc\nd\ne\n"), ["too many: e"]);
    }

    #[test]
    fn stderr() {
        let silent = Expectation::parse("run: x\n----\na\n");
        assert_eq!(silent.problems("a\n", "warning\n").len(), 1);
        let speaks = Expectation::parse("run: x\nstderr: contains\n----\na\n---- stderr\npanicked{..}\n");
        assert!(speaks.problems("a\n", "note\npanicked at x\n").is_empty());
        assert_eq!(speaks.problems("a\n", "note\n"), ["stderr: missing: panicked{..}"]);
    }
}
