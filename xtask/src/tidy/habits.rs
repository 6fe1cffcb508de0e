//! Habits that hold in every file, one small rule each.

use super::Finding;
use crate::source::{Source, closing, words};

/// Checks one file against all habits.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = machine_paths(source);
    findings.extend(unfinished(source));
    if source.is_rust() {
        findings.extend(system_crates(source));
        findings.extend(length(source));
        findings.extend(orderings(source));
        findings.extend(sleeps(source));
        findings.extend(ignored_tests(source));
        findings.extend(lifted_lints(source));
    }
    findings
}

/// The operating-system seam: the only folder that may name what is in [`SYSTEM_CRATES`].
const SEAM: &str = "crates/multiproc-core/src/sys";
const SYSTEM_CRATES: &[&str] = &["rustix", "libc"];
/// What we are measured against must not stand on what is ours.
const FLOORS: &[&str] = &["benches/src/peer/pthread.rs", "benches/src/sys.rs", "benches/src/zygote.rs"];

/// One place speaks to the system, so that another system is one more folder and no hunt.
fn system_crates(source: &Source) -> Vec<Finding> {
    if source.path.starts_with(SEAM) || FLOORS.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let named = SYSTEM_CRATES.iter().flat_map(|name| words(&source.code, name).map(move |at| (*name, at)));
    named
        .map(|(name, at)| Finding::at(source, at, format!("names `{name}`, which only {SEAM} may")))
        .collect()
}

/// Above this, a file is split or says why not.
const LONG: usize = 600;

fn length(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    let is_explained = source.comments.contains("// tidy: long because ");
    (lines > LONG && !is_explained).then(|| {
        let message = format!("has {lines} lines: split it, or say why not with `// tidy: long because …`");
        Finding::new(&source.path, message)
    })
}

/// The strongest ordering is a claim about all threads at once, so it needs its paragraph.
fn orderings(source: &Source) -> Vec<Finding> {
    // The page of a file is about other things.
    let explains = |comment: &str| !comment.trim_start().starts_with("//!");
    let uses = words(&source.code, "SeqCst");
    let bare = uses.filter(|at| !source.has_comment_near(source.line(*at), 3, explains));
    bare.map(|at| Finding::at(source, at, "`SeqCst` without a comment that says what needs it")).collect()
}

/// Sleeping in a test hides a missing synchronisation, or makes the suite slow, or both.
fn sleeps(source: &Source) -> Vec<Finding> {
    let tests = test_regions(source);
    let in_test = |at: &usize| tests.iter().any(|region| region.contains(at));
    let is_call = |at: &usize| {
        let (before, after) = (source.code[..*at].trim_end(), source.code[at + "sleep".len()..].trim_start());
        after.starts_with('(') && !before.ends_with("fn") && !before.ends_with('.')
    };
    let explains = |comment: &str| comment.contains("// tidy: sleep because ");
    let calls = words(&source.code, "sleep").filter(in_test).filter(is_call);
    let bare = calls.filter(|at| !source.has_comment_near(source.line(*at), 3, explains));
    bare.map(|at| {
        Finding::at(source, at, "a test sleeps: wait for what it needs, or `// tidy: sleep because …`")
    })
    .collect()
}

/// Returns the parts of a file that are tests.
fn test_regions(source: &Source) -> Vec<std::ops::Range<usize>> {
    let path = format!("/{}", source.path);
    if path.contains("/tests/") || path.ends_with("/tests.rs") {
        return std::iter::once(0..source.code.len()).collect();
    }
    let code = &source.code;
    let mut regions = Vec::new();
    for (at, _) in code.match_indices("#[cfg(") {
        let Some(end) = closing(code, at + 1) else { continue };
        let condition = &code[at..end];
        if words(condition, "test").next().is_none() || condition.contains("not(test") {
            continue;
        }
        // The item that follows ends at its block, or at a semicolon where it has none.
        let Some(open) = code[end..].find(['{', ';']).map(|open| end + open) else { continue };
        if code[open..].starts_with('{') {
            regions.push(open..closing(code, open).unwrap_or(code.len()));
        }
    }
    regions
}

/// A test that is not run is not a test: it asserts today's behaviour with a note, or goes.
fn ignored_tests(source: &Source) -> Vec<Finding> {
    let ignores = attributes(&source.code, "ignore").map(|(at, _)| at);
    let fences = source.comments.match_indices("```ignore").map(|(at, _)| at);
    ignores
        .chain(fences)
        .map(|at| Finding::at(source, at, "an ignored test: make it run, or remove it"))
        .collect()
}

/// A lint is lifted for a reason, and `expect` tells when the reason has gone.
fn lifted_lints(source: &Source) -> Vec<Finding> {
    let allowed = attributes(&source.code, "allow").map(|found| ("allow", found));
    let expected = attributes(&source.code, "expect").map(|found| ("expect", found));
    let bare = allowed.chain(expected).filter(|(_, (_, text))| words(text, "reason").next().is_none());
    bare.map(|(name, (at, _))| {
        let message = format!("`{name}` without a reason: write `#[expect(lint, reason = \"…\")]`");
        Finding::at(source, at, message)
    })
    .collect()
}

/// Returns the attributes that name `word`, also inside `cfg_attr`: where the word is, and what follows it there.
fn attributes<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let starts = code.match_indices('#').filter_map(|(hash, _)| {
        let open = hash + 1 + usize::from(code[hash + 1..].starts_with('!'));
        code[open..].starts_with('[').then_some(open)
    });
    starts.filter_map(move |open| {
        let text = &code[open..closing(code, open)?];
        let at = words(text, word).next()?;
        let is_named = text[..at].trim_end() == "[" || text.starts_with("[cfg_attr");
        is_named.then(|| (open + at, &text[at..]))
    })
}

/// Built from halves, so that this file passes its own rules.
const UNFINISHED: &[&str] = &[concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME")];

fn unfinished(source: &Source) -> Vec<Finding> {
    let found =
        UNFINISHED.iter().flat_map(|mark| source.text.match_indices(mark).map(move |(at, _)| (*mark, at)));
    found
        .map(|(mark, at)| Finding::at(source, at, format!("`{mark}` is unfinished work: finish it")))
        .collect()
}

/// Paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk"), concat!("../sh", "ared")];

fn machine_paths(source: &Source) -> Vec<Finding> {
    let found = MACHINE_PATHS.iter().flat_map(|path| {
        let hits = words(&source.text, path).map(move |at| (*path, at));
        // `src/work` and `https://host/work` are other paths that end alike.
        hits.filter(|(_, at)| !source.text[..*at].ends_with(['/', '.', '-', '}', '*', '>', ')']))
    });
    found.map(|(path, at)| Finding::at(source, at, format!("`{path}` is a path of one machine"))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<Finding> {
        check(&Source::new(path, text))
    }

    #[test]
    fn only_the_seam_names_system_crates() {
        assert_findings(
            &findings("crates/multiproc-core/src/sys/linux/a.rs", "use rustix::fs; libc::c_int"),
            &[],
        );
        let bad = findings("crates/multiproc-shm/src/a.rs", "use rustix::fs; // libc\nlibc::c_int");
        assert_findings(&bad, &["a.rs:1: names `rustix`", "a.rs:2: names `libc`"]);
    }

    #[test]
    fn long_files_say_why() {
        let long = "\n".repeat(LONG + 1);
        assert_findings(&findings("a.rs", &"\n".repeat(LONG)), &[]);
        assert_findings(&findings("a.rs", &long), &["has 601 lines"]);
        assert_findings(&findings("a.rs", &format!("// tidy: long because it is a table\n{long}")), &[]);
    }

    #[test]
    fn the_strongest_ordering_is_explained() {
        assert_findings(&findings("a.rs", "// Both flags, in one order.\n\n\na.load(SeqCst);"), &[]);
        assert_findings(&findings("a.rs", "// Too far.\n\n\n\na.load(SeqCst);"), &["a.rs:5: `SeqCst`"]);
        assert_findings(&findings("a.rs", "//! A flag.\na.load(SeqCst);"), &["a.rs:2: `SeqCst`"]);
    }

    #[test]
    fn tests_do_not_sleep() {
        let bad = "fn a() { thread::sleep(D); }\n#[cfg(test)]\nmod tests {\n fn b() { sleep (D); }\n}\nfn c() { sleep(D); }";
        assert_findings(&findings("src/a.rs", bad), &["a.rs:4: a test sleeps"]);
        assert_findings(&findings("tests/a.rs", "std::thread::sleep(D);"), &["a.rs:1: a test sleeps"]);
        assert_findings(&findings("src/a.rs", "#[cfg(not(test))]\nfn a() { sleep(D); }"), &[]);
        let good =
            "// tidy: sleep because the child is to be killed in it\nsleep(D);\nfn sleep() {}\nself.sleep();";
        assert_findings(&findings("tests/a.rs", good), &[]);
    }

    #[test]
    fn tests_are_run() {
        assert_findings(&findings("a.rs", "#[test]\nfn ignore() { x.ignore(); }\n/// ```no_run"), &[]);
        let ignored = "an ignored test";
        assert_findings(&findings("a.rs", concat!("#[test]\n#[ig", "nore]\nfn a() {}")), &[ignored]);
        assert_findings(&findings("a.rs", concat!("#[ig", "nore = \"slow\"]")), &[ignored]);
        assert_findings(&findings("a.rs", "#[cfg_attr(miri, ignore)]"), &[ignored]);
        assert_findings(&findings("a.rs", "/// ```ignore"), &[ignored]);
    }

    #[test]
    fn lints_are_lifted_for_a_reason() {
        assert_findings(
            &findings("a.rs", "#![expect(dead_code, reason = \"later\")]\nx.expect(\"a\");"),
            &[],
        );
        assert_findings(&findings("a.rs", "#[allow(dead_code)]"), &["`allow` without a reason"]);
        assert_findings(&findings("a.rs", "#![expect(dead_code)]"), &["`expect` without a reason"]);
        assert_findings(
            &findings("a.rs", "#[cfg_attr(loom, allow(dead_code))]"),
            &["`allow` without a reason"],
        );
    }

    #[test]
    fn nothing_is_left_unfinished() {
        assert_findings(&findings("a.rs", "let todo = 1;"), &[]);
        assert_findings(&findings("a.rs", concat!("to", "do!()")), &["unfinished"]);
        assert_findings(&findings("a.md", concat!("FIX", "ME: say it")), &["unfinished"]);
    }

    #[test]
    fn machines_are_not_named() {
        assert_findings(&findings("a.md", "src/work, network/work/x, /workers, https://a.b/work"), &[]);
        assert_findings(&findings("a.md", concat!("see /wo", "rk/main")), &["a path of one machine"]);
        assert_findings(&findings("a.sh", concat!("cd \"../sh", "ared\"")), &["a path of one machine"]);
    }
}
