//! What every crate and the repository have: a page, a readme, a line in the changelog.

use super::Finding;
use crate::metadata::{Package, Workspace};
use crate::source::{Source, closing, is_word};

/// The version that all crates share stands here.
const ROOT_MANIFEST: &str = "Cargo.toml";

/// Checks the crates' pages and readmes, and the changelog.
pub(super) fn check(workspace: &Workspace, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::from_iter(changelog(sources));
    for package in workspace.crates() {
        findings.extend(readmes(package, sources));
        let page = format!("{}/src/lib.rs", package.folder);
        if let Some(source) = sources.iter().find(|source| source.path == page) {
            findings.extend(crate_page(source, package.is_proc_macro));
        }
        let folder = package.folder.rsplit('/').next().unwrap_or_default();
        if folder != package.name {
            findings.push(Finding::new(
                &package.folder,
                format!("is the folder of `{}`, name it so", package.name),
            ));
        }
    }
    findings
}

/// A change is told to users with the change, not at the release.
fn changelog(sources: &[Source]) -> Option<Finding> {
    let text = |path: &str| sources.iter().find(|source| source.path == path).map(|source| &source.text);
    let version = text(ROOT_MANIFEST).and_then(|manifest| {
        let line = manifest.lines().find_map(|line| line.strip_prefix("version = \""))?;
        Some(line.split('"').next().unwrap_or(line).to_owned())
    });
    let is_current = |line: &str| {
        line.starts_with("## [Unreleased]")
            || version.as_ref().is_some_and(|version| line.starts_with(&format!("## [{version}]")))
    };
    let told = text("CHANGELOG.md").is_some_and(|changelog| changelog.lines().any(is_current));
    (!told).then(|| {
        Finding::new("CHANGELOG.md", "has neither an `## [Unreleased]` section nor one of this version")
    })
}

fn readmes(package: &Package, sources: &[Source]) -> Vec<Finding> {
    let exists = |path: &str| sources.iter().any(|source| source.path == path);
    let own = format!("{}/README.md", package.folder);
    let mut findings = Vec::new();
    if !exists(&own) {
        findings.push(Finding::new(&own, "is missing: ten lines that say what the crate is"));
    }
    // A facade shows the repository's own.
    let shown = package.readme.as_deref().unwrap_or("README.md");
    let shown =
        shown.strip_prefix("../../").map_or_else(|| format!("{}/{shown}", package.folder), str::to_owned);
    if shown != own && !exists(&shown) {
        findings.push(Finding::new(
            &shown,
            format!("is missing, and the manifest of `{}` names it", package.name),
        ));
    }
    findings
}

/// How many lines the entry point of a procedural macro may have: it must stand in `lib.rs`, its work must not.
const ENTRY_POINT: usize = 4;

/// Checks that `lib.rs` is a table of contents: docs, modules, imports.
fn crate_page(source: &Source, is_proc_macro: bool) -> Vec<Finding> {
    let code = &source.code;
    let mut findings = Vec::new();
    let mut at = 0;
    loop {
        at += code[at..].len() - code[at..].trim_start().len();
        let rest = &code[at..];
        if rest.is_empty() {
            return findings;
        }
        if rest.starts_with('#') {
            // An attribute belongs to what follows it.
            let Some(end) = rest.find('[').and_then(|open| closing(code, at + open)) else { return findings };
            at = end;
            continue;
        }
        if rest.starts_with('}') {
            // The end of an inline module, whose items are held to the same.
            at += 1;
            continue;
        }
        let end = item_end(code, at);
        let item = &code[at..end];
        let words = item_words(item);
        match words.first().map(String::as_str) {
            Some("use" | "extern" | "compile_error") => at = end,
            Some("mod") => at = item.find('{').map_or(end, |open| at + open + 1),
            Some("fn") if is_proc_macro && item.lines().count() <= ENTRY_POINT => at = end,
            _ => {
                let message =
                    "`lib.rs` holds docs, modules and imports alone: move this to a file of its own";
                findings.push(Finding::at(source, at, message));
                at = end;
            }
        }
    }
}

/// Returns where the item at `start` ends: behind its semicolon, or behind its block.
fn item_end(code: &str, start: usize) -> usize {
    let mut at = start;
    while let Some(found) = code[at..].find(['(', '[', '{', ';']) {
        at += found;
        if code[at..].starts_with(';') {
            return at + 1;
        }
        let is_block = code[at..].starts_with('{');
        let Some(end) = closing(code, at) else { break };
        at = end;
        // The braces of `use a::{b, c};` are no block: its semicolon follows.
        if is_block {
            return if code[at..].trim_start().starts_with(';') {
                at + code[at..].find(';').unwrap_or(0) + 1
            } else {
                at
            };
        }
    }
    code.len()
}

/// Returns the words of an item without its visibility.
fn item_words(item: &str) -> Vec<String> {
    let item =
        item.strip_prefix("pub").filter(|rest| !rest.starts_with(is_word)).unwrap_or(item).trim_start();
    let item = match item.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((_, rest)) => rest.trim_start(),
        None => item,
    };
    item.split(|character| !is_word(character)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    fn page(text: &str, is_proc_macro: bool) -> Vec<Finding> {
        crate_page(&Source::new("crates/a/src/lib.rs", text), is_proc_macro)
    }

    #[test]
    fn the_crate_page_is_a_table_of_contents() {
        let good = "//! Docs: fn a() {}\n#![forbid(unsafe_code)]\n\nmod a;\npub(crate) mod b;\n#[cfg(unix)]\npub mod c {\n\
            pub use d::*;\n}\npub use a::{A, B};\nextern crate self as e;\n";
        assert_findings(&page(good, false), &[]);
        let alone = "modules and imports alone";
        assert_findings(&page("mod a;\nfn f() { g(); }\nuse a::B;\n", false), &[alone]);
        assert_findings(&page("mod a { fn f() {} }\n", false), &[alone]);
        assert_findings(&page("pub const A: [u8; 2] = [1; 2];\npub struct B;\n", false), &[alone, alone]);
    }

    #[test]
    fn a_macro_has_its_entry_point_there() {
        let good = "mod a;\n#[proc_macro_derive(A)]\npub fn a(input: TokenStream) -> TokenStream {\n a::expand(input)\n}\n";
        assert_findings(&page(good, true), &[]);
        assert_findings(&page(good, false), &["alone"]);
        assert_findings(&page(&good.replace("a::expand", "x();\ny();\nz();\na::expand"), true), &["alone"]);
    }

    #[test]
    fn the_changelog_is_kept() {
        let with = |text: &str| {
            let manifest = Source::new("Cargo.toml", "[workspace.package]\nversion = \"0.2.0\"\n");
            changelog(&[manifest, Source::new("CHANGELOG.md", text)]).into_iter().collect::<Vec<_>>()
        };
        assert_findings(&with("# Changelog\n\n## [Unreleased]\n"), &[]);
        assert_findings(&with("## [0.2.0] - 2026-01-01\n"), &[]);
        assert_findings(&with("## [0.1.0]\n"), &["neither"]);
        assert_findings(&changelog(&[]).into_iter().collect::<Vec<_>>(), &["neither"]);
    }

    #[test]
    fn crates_have_readmes_and_their_folders_names() {
        let package = Package {
            name: "a".into(),
            folder: "crates/a".into(),
            readme: Some("../../README.md".into()),
            ..Package::default()
        };
        let changelog = || Source::new("CHANGELOG.md", "## [Unreleased]");
        let all = [changelog(), Source::new("README.md", ""), Source::new("crates/a/README.md", "")];
        let workspace = Workspace { packages: vec![package.clone()], ..Workspace::default() };
        assert_findings(&check(&workspace, &all), &[]);
        assert_findings(
            &check(&workspace, &[changelog()]),
            &["crates/a/README.md: is missing", "the manifest of `a`"],
        );
        let workspace =
            Workspace { packages: vec![Package { name: "b".into(), ..package }], ..Workspace::default() };
        assert_findings(&check(&workspace, &all), &["name it so"]);
    }
}
