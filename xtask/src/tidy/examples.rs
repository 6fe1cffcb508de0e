//! Every public type and function of the crates has an example of its own, and every public method is called in one.
//!
//! An item is public where `lib.rs` exports it; what is hidden from the documentation is not. It is about the crates
//! that the facade exports, but for the floor beneath, which is for these crates alone. And every page of the guide that
//! has code is among the facade's doctests, so that it is run.

use std::collections::BTreeSet;

use super::Finding;
use crate::source::{Source, closing, is_word, words};

const FACADE: &str = "crates/multiproc/src/lib.rs";
/// The pages whose code is run.
const GUIDE: &str = "crates/multiproc/src/guide.rs";
/// What users do not name.
const FLOOR: &[&str] = &["crates/multiproc-core/", "crates/multiproc-derive/"];

/// Checks all crates.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let facade = sources.iter().find(|source| source.path == FACADE);
    let is_exported = |page: &&Source| {
        let folder = page.path.strip_prefix("crates/").and_then(|path| path.strip_suffix("/src/lib.rs"));
        let ident = folder.unwrap_or_default().replace('-', "_");
        let is_floor = FLOOR.iter().any(|floor| page.path.starts_with(floor));
        let names = |facade: &Source| words(&facade.code, &ident).next().is_some();
        folder.is_some() && !is_floor && (page.path == FACADE || facade.is_some_and(names))
    };
    let crates = sources.iter().filter(is_exported).flat_map(|page| check_crate(page, sources));
    crates.chain(guide(sources)).collect()
}

/// Finds pages of the guide whose code nobody runs.
fn guide(sources: &[Source]) -> Vec<Finding> {
    let list = sources.iter().find(|source| source.path == GUIDE).map_or("", |source| &source.text);
    let is_page = |source: &&Source| source.path.starts_with("docs/") && source.path.ends_with(".md");
    let has_code = |source: &&Source| source.text.contains("\n```rust");
    let is_missing = |source: &&Source| !list.contains(&format!("\"{}\"", source.path));
    let pages = sources.iter().filter(is_page).filter(has_code).filter(is_missing);
    pages
        .map(|page| Finding::new(&page.path, format!("has code that nobody runs: add the page to {GUIDE}")))
        .collect()
}

fn check_crate(page: &Source, sources: &[Source]) -> Vec<Finding> {
    let folder = page.path.trim_end_matches("lib.rs");
    let files: Vec<&Source> = sources.iter().filter(|source| source.path.starts_with(folder)).collect();
    let (exported, hidden) = exports(&page.code);
    let called: BTreeSet<String> = files.iter().flat_map(|file| calls(&file.comments)).collect();
    let mut findings = Vec::new();
    for file in &files {
        let module = file.path[folder.len()..].split(['/', '.']).next().unwrap_or_default();
        if hidden.contains(module) {
            continue;
        }
        for item in items(file) {
            let (is_public, is_shown) = match &item.owner {
                None => (exported.contains(&item.name), item.has_example),
                Some(owner) => (exported.contains(owner), item.has_example || called.contains(&item.name)),
            };
            if is_public && !is_shown {
                let message = match &item.owner {
                    None => format!("`{}` has no example", item.name),
                    Some(owner) => format!("no example of the crate calls `{owner}::{}`", item.name),
                };
                findings.push(Finding::at(file, item.at, message));
            }
        }
    }
    findings
}

/// Returns the names that a crate's page exports, and its hidden modules.
fn exports(code: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut exported, mut hidden) = (BTreeSet::new(), BTreeSet::new());
    for (at, _) in code.match_indices("pub ") {
        let is_hidden = code[..at].trim_end().ends_with("#[doc(hidden)]");
        let item = code[at + 4..].split(';').next().unwrap_or_default();
        if let (Some(module), true) = (item.strip_prefix("mod "), is_hidden) {
            hidden.insert(module.trim().to_owned());
        } else if let (Some(names), false) = (item.strip_prefix("use "), is_hidden) {
            // Of `a::b::C as D` all parts are taken: modules and functions have other names than types.
            exported.extend(names.split(|c| !is_word(c)).filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    (exported, hidden)
}

/// Something that is public in its file.
struct Item {
    at: usize,
    name: String,
    /// The type that it is a method of.
    owner: Option<String>,
    has_example: bool,
}

/// Returns the public types and functions of a file, and the methods in its plain `impl` blocks.
fn items(source: &Source) -> Vec<Item> {
    let mut items = Vec::new();
    let mut owner: Option<(String, usize)> = None;
    let mut at = 0;
    let end = source.code.find("#[cfg(test)]\nmod ").unwrap_or(source.code.len());
    for line in source.code[..end].split_inclusive('\n') {
        let start = at;
        at += line.len();
        if line.starts_with("impl") {
            owner = implemented(&source.code[start..], start);
        }
        owner = owner.filter(|(_, end)| start < *end);
        let (Some(name), false) = (public_name(line), is_hidden(source, start)) else { continue };
        let is_method = line.starts_with(' ');
        match (&owner, is_method) {
            (Some((owner, _)), true) => items.push(item(source, start, name, Some(owner.clone()))),
            (_, false) => items.push(item(source, start, name, None)),
            (None, true) => {}
        }
    }
    items
}

fn item(source: &Source, at: usize, name: &str, owner: Option<String>) -> Item {
    Item { at, name: name.to_owned(), owner, has_example: docs(source, at).any(|line| line.contains("```")) }
}

/// Returns the type of an `impl` block and where the block ends; one of a trait has no methods of its own.
fn implemented(code: &str, start: usize) -> Option<(String, usize)> {
    let open = code.find('{')?;
    let mut head = code["impl".len()..open].trim_start();
    if head.starts_with('<') {
        // The parameters may hold `->`, whose `>` closes nothing.
        let mut depth = 0;
        let close = head.char_indices().find_map(|(at, c)| {
            match c {
                '<' => depth += 1,
                '>' if !head[..at].ends_with('-') => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(at)
        })?;
        head = head[close + 1..].trim_start();
    }
    if head.contains(" for ") {
        return None;
    }
    let name = head.chars().take_while(|c| is_word(*c)).collect();
    Some((name, start + closing(code, open)?))
}

/// Returns the name that a line makes public, of a type, a trait or a function.
fn public_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start().strip_prefix("pub ")?;
    while let Some(more) = ["const ", "unsafe ", "async "].iter().find_map(|word| rest.strip_prefix(word)) {
        rest = more;
    }
    let rest =
        ["fn ", "struct ", "enum ", "trait ", "union "].iter().find_map(|word| rest.strip_prefix(word))?;
    Some(rest.split(|c| !is_word(c)).next().unwrap_or_default())
}

/// Returns the lines of documentation and attributes above an item.
fn docs(source: &Source, at: usize) -> impl Iterator<Item = &str> {
    let lines = source.text[..at].lines().rev();
    lines.take_while(|line| !line.trim().is_empty() && line.trim() != "}").map(str::trim_start)
}

fn is_hidden(source: &Source, at: usize) -> bool {
    docs(source, at).any(|line| line.starts_with("#[doc(hidden)]"))
}

/// Returns the names that the examples in comments call.
fn calls(comments: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_example = false;
    for line in comments.lines().map(str::trim_start) {
        let Some(line) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            is_example = false;
            continue;
        };
        if line.trim_start().starts_with("```") {
            is_example = !is_example;
        } else if is_example {
            let after = |mark: char| line.match_indices(mark).map(|(at, _)| &line[at + 1..]);
            let words = after('.').chain(after(':')).map(|rest| rest.chars().take_while(|c| is_word(*c)));
            names.extend(words.map(Iterator::collect::<String>));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    const PAGE: &str = "//! ```\n//! a::make().go();\n//! ```\nmod a;\n#[doc(hidden)]\npub mod secret;\n\
        pub use a::{Thing, make};\n#[doc(hidden)]\npub use a::inner;\n";
    const CODE: &str = "/// A thing.\n///\n/// ```\n/// a::make();\n/// ```\n#[derive(Debug)]\npub struct Thing;\n\n\
        impl<F: Fn() -> u8> Thing<F> {\n    /// Goes.\n    pub fn go(&self) {}\n    pub(crate) fn x() {}\n}\n\n\
        /// Makes.\n///\n/// ```\n/// make();\n/// ```\npub fn make() {}\npub fn inner() {}\npub struct Private;\n";

    fn findings(code: &str) -> Vec<Finding> {
        let secret = "pub struct Thing;\n";
        check(&[
            Source::new(FACADE, "pub use a as b;\n"),
            Source::new("crates/none/src/lib.rs", "mod x;\npub use x::Y;\n"),
            Source::new("crates/none/src/x.rs", "pub struct Y;\n"),
            Source::new("crates/a/src/lib.rs", PAGE),
            Source::new("crates/a/src/a.rs", code),
            Source::new("crates/a/src/secret.rs", secret),
        ])
    }

    #[test]
    fn what_has_examples_passes() {
        assert_findings(&findings(CODE), &[]);
    }

    #[test]
    fn pages_whose_code_is_not_run_are_found() {
        let page = |path: &str| Source::new(path, "# A\n\n```rust\nf();\n```\n");
        let list = Source::new(GUIDE, "pages! { \"docs/a.md\" => A }");
        let text = Source::new("docs/c.md", "# C\n\n```text\n```\n");
        assert_findings(
            &check(&[page("docs/a.md"), page("docs/b.md"), text, list]),
            &["docs/b.md: has code"],
        );
    }

    #[test]
    fn what_has_none_is_found() {
        let code = CODE.replace("/// ```\n/// make();\n/// ```\n", "").replace("fn go", "fn went");
        assert_findings(&findings(&code), &["calls `Thing::went`", "`make` has no example"]);
    }
}
