//! `docs/errors.md` has every message that an error of the crates may show, and no other.
//!
//! A message is a text in `#[error("…")]`, in the `Display` of an error that is written by hand, or in what makes an
//! error of the system's or of serde's: `io::Error::new`, `io::Error::other`, `Error::custom`. What is filled in is
//! `…` in the table, whose first column is compared as it stands.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use crate::source::{Source, closing, is_word, words};

const TABLE: &str = "docs/errors.md";
const FOLDER: &str = "crates/";

/// What an error is made by, with a text among the arguments.
const MAKERS: &[&str] = &[
    "io::Error::new(",
    "io::Error::other(",
    "Error::custom(",
    "invalid(",
    "misuse(",
    "limited(",
    "Limited(",
    "OtherType(",
    "refuse(",
];

/// Checks that table and code agree.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut told: BTreeMap<String, &Source> = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for source in sources.iter().filter(|source| is_library(&source.path)) {
        for (at, message) in messages(source) {
            lines.entry(message.clone()).or_insert(at);
            told.entry(message).or_insert(source);
        }
    }
    let Some(table) = sources.iter().find(|source| source.path == TABLE) else {
        return vec![Finding::new(TABLE, "does not exist: it has every message of the errors")];
    };
    let mut rows: BTreeSet<String> = BTreeSet::new();
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(table.text.lines()) {
        let Some(message) = row(line) else { continue };
        if !told.contains_key(&message) {
            let place = format!("{TABLE}:{number}");
            findings.push(Finding::new(&place, format!("no error says “{message}”: remove the row")));
        }
        if !rows.insert(message) {
            findings.push(Finding::new(&format!("{TABLE}:{number}"), "the message has a row already"));
        }
    }
    findings.extend(unknown_predicates(table, sources));
    for (message, source) in told.iter().filter(|(message, _)| !rows.contains(*message)) {
        findings.push(Finding::at(source, lines[message], format!("{TABLE} has no row for “{message}”")));
    }
    findings
}

/// Finds predicates that the table names and no crate has.
fn unknown_predicates(table: &Source, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, _) in table.text.match_indices("is_") {
        let name: String = table.text[at..].chars().take_while(|c| is_word(*c)).collect();
        let definition = format!("pub fn {name}(");
        let mut libraries = sources.iter().filter(|source| is_library(&source.path));
        if !table.text[..at].ends_with(is_word) && !libraries.any(|source| source.code.contains(&definition))
        {
            findings.push(Finding::at(table, at, format!("no error has a predicate `{name}`")));
        }
    }
    findings
}

fn is_library(path: &str) -> bool {
    path.starts_with(FOLDER) && path.contains("/src/") && path.ends_with(".rs")
}

/// Returns the message of a row of the table; headings and rulers have none.
fn row(line: &str) -> Option<String> {
    let cells = line.strip_prefix("| ")?.replace("\\|", "\0");
    let (message, rest) = cells.split_once(" | ")?;
    (rest.contains(" | ") && message != "message").then(|| message.trim().replace('\0', "|"))
}

/// Returns the messages of a file and where they are.
fn messages(source: &Source) -> Vec<(usize, String)> {
    // What tests make up is no message of ours.
    let code = source.code.find("#[cfg(test)]\nmod ").map_or(source.code.as_str(), |end| &source.code[..end]);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("#[error(") {
        found.extend(texts(source, at + "#[error".len()));
    }
    for maker in MAKERS {
        for (at, _) in code.match_indices(maker) {
            let open = at + maker.len() - 1;
            match closing(code, open).and_then(|end| variable(code, open, end)) {
                Some(binding) => found.extend(texts_until_semicolon(source, binding)),
                None => found.extend(texts(source, open)),
            }
        }
    }
    for (at, _) in code.match_indices("Display for ") {
        let name: String = code[at + "Display for ".len()..].chars().take_while(|c| is_word(*c)).collect();
        if let Some(open) = code[at..].find('{').filter(|_| name.ends_with("Error")) {
            found.extend(texts(source, at + open));
        }
    }
    found.retain(|(_, message)| message.chars().any(char::is_alphabetic));
    found
}

/// Returns where the variable got its value that is the last argument of the call between `open` and `end`.
fn variable(code: &str, open: usize, end: usize) -> Option<usize> {
    let last = code[open + 1..end - 1].trim_end_matches([',', ' ', '\n']).rsplit(',').next()?.trim();
    if last.is_empty() || !last.chars().all(is_word) {
        return None;
    }
    let binding = format!("let {last} = ");
    words(&code[..open], &binding).last().or_else(|| code[..open].rfind(&binding))
}

/// Returns the texts between the bracket at `open` and the one that closes it.
fn texts(source: &Source, open: usize) -> Vec<(usize, String)> {
    closing(&source.code, open).map_or_else(Vec::new, |end| literals(source, open, end))
}

/// Returns the texts of the statement that begins at `start`.
fn texts_until_semicolon(source: &Source, start: usize) -> Vec<(usize, String)> {
    let end = source.code[start..].find(";\n").map_or(source.code.len(), |end| start + end);
    literals(source, start, end)
}

/// Returns the texts between two places, with `…` for what is filled in.
fn literals(source: &Source, start: usize, end: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut quotes = source.code[start..end].match_indices('"').map(|(at, _)| start + at);
    // The code has both quotes of each text, and nothing between them.
    while let (Some(open), Some(close)) = (quotes.next(), quotes.next()) {
        found.push((open, pattern(&source.text[open + 1..close])));
    }
    found
}

/// Makes of a literal as it is written what a reader sees, with `…` for what is filled in.
fn pattern(literal: &str) -> String {
    let mut pattern = String::new();
    let mut rest = literal.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' => match rest.next() {
                Some('\n') => while rest.next_if(|c| c.is_whitespace()).is_some() {},
                Some('n') => pattern.push(' '),
                Some(other) => pattern.push(other),
                None => {}
            },
            '{' if rest.next_if_eq(&'{').is_some() => pattern.push('{'),
            '{' => {
                rest.by_ref().find(|c| *c == '}');
                pattern.push('…');
            }
            '}' => {
                rest.next_if_eq(&'}');
                pattern.push('}');
            }
            other => pattern.push(other),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    const CODE: &str = "#[error(\"open {path:?}: {}\", why)]\nstruct A;\n#[error(transparent)]\nstruct B;\n\
        #[error(\"{0}\")]\nstruct C;\nfn f() { let text = format!(\"no {{room}} \\\n    left\");\n\
        io::Error::new(kind, text); io::Error::other(error); D::Error::custom(\"a | b\") }\n\
        impl fmt::Display for LockError { fn f() { \"held\" } }\nimpl fmt::Display for Other { fn f() { \"no\" } }\n\
        #[cfg(test)]\nmod tests { fn g() { io::Error::other(\"made up\") } }\n";

    const ROWS: &str = "| message | type | when | do |\n|---|---|---|---|\n| open …: … | A | | |\n\
        | no {room} left | B | | |\n| a \\| b | C | | |\n| held | D | | |\n";

    fn findings(code: &str, rows: &str) -> Vec<Finding> {
        check(&[Source::new("crates/a/src/b.rs", code), Source::new(TABLE, rows)])
    }

    #[test]
    fn what_agrees_passes() {
        assert_findings(&findings(CODE, ROWS), &[]);
    }

    #[test]
    fn what_differs_is_found() {
        let rows = ROWS.replace("| held | D | | |\n", "| hold | D | | |\n| hold | D | | |\n");
        let expected = [
            "docs/errors.md:6: no error says “hold”",
            "docs/errors.md:7",
            "docs/errors.md:7: the message has a row",
            "src/b.rs:10: docs/errors.md has no row for “held”",
        ];
        assert_findings(&findings(CODE, &rows), &expected);
        assert_findings(&check(&[]), &["does not exist"]);
        let rows = format!("{ROWS}Ask `A::is_b`, or `is_c`.\n");
        assert_findings(&findings(&format!("{CODE}impl A {{ pub fn is_b(&self) }}"), &rows), &["`is_c`"]);
    }
}
