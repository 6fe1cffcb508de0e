//! `cargo xtask tidy`: the rules that rustc and clippy do not know.
//!
//! Each rule is a function from what it looks at to what it found, so that each is tested with a good and a bad
//! example. All findings are printed, not only the first.

mod errors;
mod examples;
mod floors;
mod habits;
mod layout;
mod packages;
mod unsafety;

use std::fmt;
use std::fs;
use std::path::Path;

use crate::metadata::Workspace;
use crate::shell::{Result, root};
use crate::source::Source;

/// A broken rule: where, and what to do about it.
#[derive(Debug)]
struct Finding {
    place: String,
    message: String,
}

impl Finding {
    fn new(place: &str, message: impl Into<String>) -> Self {
        Self { place: place.to_owned(), message: message.into() }
    }

    /// A finding at an offset of a file.
    fn at(source: &Source, offset: usize, message: impl Into<String>) -> Self {
        Self { place: format!("{}:{}", source.path, source.line(offset)), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Runs the command.
pub(crate) fn command() -> Result {
    eprintln!("$ cargo xtask tidy");
    let workspace = Workspace::read()?;
    let sources = read_sources(&root())?;

    let mut findings = floors::check(&workspace);
    findings.extend(packages::check(&workspace, &sources));
    findings.extend(unsafety::check(&sources, unsafety::FILES));
    findings.extend(sources.iter().flat_map(habits::check));
    findings.extend(errors::check(&sources));
    findings.extend(examples::check(&sources));
    findings.extend(layout::check(&workspace, &sources));

    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files, nothing found", sources.len());
        Ok(())
    } else {
        Err(format!("tidy has {} findings", findings.len()).into())
    }
}

/// Folders that hold no text of ours.
const SKIPPED: &[&str] =
    &[".git", "target", "venv", "node_modules", "proptest-regressions", "corpus", "artifacts"];

/// The endings of the files that are looked at; scripts have none.
const ENDINGS: &[&str] = &["rs", "toml", "md", "sh", "py", "yml", "yaml", "stderr", ""];

/// Reads all text files of the repository, in the order of their paths.
pub(crate) fn read_sources(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    read_folder(root, root, &mut sources)?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn read_folder(folder: &Path, root: &Path, sources: &mut Vec<Source>) -> Result {
    for entry in fs::read_dir(folder).map_err(|error| format!("cannot list {}: {error}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
            read_folder(&path, root, sources)?;
        }
        let ending = path.extension().unwrap_or_default();
        if kind.is_file() && ENDINGS.iter().any(|known| ending == *known) {
            // What is not a text, or has gone meanwhile, has no rules.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
            sources.push(Source::new(&name, &text));
        }
    }
    Ok(())
}

/// Asserts in a rule's test what it finds: a part of each finding, in order.
#[cfg(test)]
#[track_caller]
fn assert_findings(findings: &[Finding], expected: &[&str]) {
    let found: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let as_expected = found.iter().zip(expected).all(|(found, part)| found.contains(part));
    assert!(found.len() == expected.len() && as_expected, "found {found:#?}, expected {expected:#?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_read_without_its_products() {
        let sources = read_sources(&root()).unwrap();
        let paths: Vec<&str> = sources.iter().map(|source| source.path.as_str()).collect();
        assert!(paths.contains(&"Cargo.toml") && paths.contains(&"xtask/src/tidy/floors.rs"));
        assert!(!paths.iter().any(|path| path.starts_with("target/") || path.starts_with(".git/")));
        assert!(paths.is_sorted());
    }
}
