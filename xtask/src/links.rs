//! The gate `links`: every link between the repository's pages leads somewhere.
//!
//! It is offline: of a link it checks that the file or folder exists, and that a page has the heading that an anchor
//! names. Links to other sites are taken as they are; rustdoc checks those between items.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::shell::{Result, root};
use crate::source::Source;
use crate::tidy;

/// Checks all pages of the repository.
pub(crate) fn check() -> Result {
    let root = root();
    let pages: Vec<Source> = tidy::read_sources(&root)?;
    let pages: Vec<Source> = pages.into_iter().filter(|page| page.path.ends_with(".md")).collect();
    let broken = broken(&pages, &|path| root.join(path).exists());
    for finding in &broken {
        println!("{finding}");
    }
    if broken.is_empty() {
        println!("links: {} pages, every link leads somewhere", pages.len());
        Ok(())
    } else {
        Err(format!("{} links lead nowhere", broken.len()).into())
    }
}

/// Returns a line for each link that leads nowhere.
fn broken(pages: &[Source], exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        pages.iter().map(|page| (page.path.as_str(), anchors(&page.text))).collect();
    let mut findings = Vec::new();
    for page in pages {
        for (line, link) in links(&page.text) {
            if let Some(reason) = follow(&page.path, &link, &anchors, exists) {
                findings.push(format!("{}:{line}: `{link}` {reason}", page.path));
            }
        }
    }
    findings
}

/// Returns why a link leads nowhere, if it does.
fn follow(
    page: &str,
    link: &str,
    anchors: &BTreeMap<&str, BTreeSet<String>>,
    exists: &dyn Fn(&Path) -> bool,
) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = if file.is_empty() {
        PathBuf::from(page)
    } else {
        let Some(target) = resolve(page, file) else {
            return Some("leads out of the repository".to_owned());
        };
        if !exists(&target) {
            return Some(format!("leads to {}, which does not exist", target.display()));
        }
        target
    };
    let (anchor, known) = (anchor?, anchors.get(target.to_string_lossy().as_ref())?);
    let is_known = known.contains(anchor);
    (!is_known).then(|| format!("names a heading that {} does not have", target.display()))
}

/// Returns where a link from a page leads, from the repository's root.
fn resolve(page: &str, file: &str) -> Option<PathBuf> {
    let mut target = Path::new(page).parent()?.to_path_buf();
    for component in Path::new(file).components() {
        match component {
            Component::ParentDir => {
                if !target.pop() {
                    return None;
                }
            }
            Component::Normal(name) => target.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(target)
}

/// Returns a page's links with the numbers of their lines; what stands in code is none.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        // `[text](target)` and `![text](target)`; a title behind the target is cut off.
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            if let Some(end) = rest.find([')', ' ']) {
                found.push((number, rest[..end].to_owned()));
            }
        }
        // `[text]: target`
        if let Some((_, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            found.extend(target.split_whitespace().next().map(|target| (number, target.to_owned())));
        }
    }
    found
}

/// Returns the anchors that a page's headings have, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let slug: String = kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect();
        // The second heading of a name gets a number.
        let mut anchor = slug.clone();
        let mut count = 0;
        while !anchors.insert(anchor.clone()) {
            count += 1;
            anchor = format!("{slug}-{count}");
        }
    }
    anchors
}

/// Returns the lines outside of fences, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
            return None;
        }
        (!is_fenced).then_some((index + 1, line))
    })
}

/// Blanks what stands between backticks.
fn without_code(line: &str) -> String {
    let parts = line.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 0 { part } else { "x" }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pages: &[(&str, &str)], files: &[&str]) -> Vec<String> {
        let pages: Vec<Source> = pages.iter().map(|(path, text)| Source::new(path, text)).collect();
        broken(&pages, &|path| {
            files.iter().any(|file| path == Path::new(file))
                || pages.iter().any(|page| Path::new(&page.path) == path)
        })
    }

    #[test]
    fn good_links_pass() {
        let page = "# Big `Title`, once\n# Big title once\n[a](../src/a.rs) ![b](b.svg \"title\") [c](https://x.y/#z)\n\
            [d](#big-title-once-1) [e](e.md#an-end) [f][f]\n[f]: e.md\n`[no](link)`\n```text\n[no](link)\n```\n";
        let pages = [("docs/a.md", page), ("docs/e.md", "## An end\n")];
        assert_eq!(check(&pages, &["src/a.rs", "docs/b.svg"]), [""; 0]);
    }

    #[test]
    fn broken_links_are_found() {
        let page = "[a](b.rs)\n[b](../../c)\n[c](#d)\n[d](e.md#f)\n[g]: h.md\n";
        let found = check(&[("docs/a.md", page), ("docs/e.md", "# E\n")], &[]);
        let parts = [
            "docs/a.md:1: `b.rs`",
            "leads out of",
            "that docs/a.md does not",
            "that docs/e.md does not",
            "h.md",
        ];
        assert_eq!(found.len(), parts.len(), "{found:#?}");
        for (found, part) in found.iter().zip(parts) {
            assert!(found.contains(part), "{found} lacks {part}");
        }
    }
}
