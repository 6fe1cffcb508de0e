//! The files that may hold `unsafe`, and what each of them owes its reader.

use super::Finding;
use crate::source::{Source, words};

/// The files, in the order of their paths. A new entry is a decision with its own commit.
pub(super) const FILES: &[&str] = &[
    "benches/src/cargo.rs",
    "benches/src/peer/pthread.rs",
    "benches/src/sys.rs",
    "benches/src/zygote.rs",
    "crates/multiproc-core/src/sys/linux/child.rs",
    "crates/multiproc-core/src/sys/linux/futex.rs",
    "crates/multiproc-core/src/sys/linux/image.rs",
    "crates/multiproc-core/src/sys/linux/interrupt.rs",
    "crates/multiproc-core/src/sys/linux/interrupt.rs",
    "crates/multiproc-core/src/sys/linux/peer.rs",
    "crates/multiproc-core/src/sys/linux/process.rs",
    "crates/multiproc-core/src/sys/linux/thread.rs",
    "crates/multiproc-derive/src/shm_safe.rs",
    "crates/multiproc-pipe/src/asynchronous/mod.rs",
    "crates/multiproc-process/src/fork.rs",
    "crates/multiproc-process/src/forked.rs",
    "crates/multiproc-process/src/function.rs",
    "crates/multiproc-process/src/hook.rs",
    "crates/multiproc-shm/src/arena.rs",
    "crates/multiproc-shm/src/bytes.rs",
    "crates/multiproc-shm/src/pool/message.rs",
    "crates/multiproc-shm/src/pool/owner.rs",
    "crates/multiproc-shm/src/shared.rs",
    "crates/multiproc-shm/src/shm_safe.rs",
    "crates/multiproc-shm/src/slice.rs",
    "crates/multiproc-sync/src/mutex.rs",
    "crates/multiproc-sync/src/rwlock.rs",
    "crates/multiproc-sync/src/shm_safe.rs",
    "crates/multiproc-sync/tests/it/hostile.rs",
    "fuzz/src/heap.rs",
    "tests/model/src/fiber.rs",
    "tests/model/src/machine.rs",
    "tests/src/raw.rs",
    "tests/stress/src/heap.rs",
    "tests/stress/src/memory.rs",
    "tests/stress/src/os.rs",
    "tests/stress/src/scenarios/robust.rs",
    "tests/tests/corrupt/heap.rs",
    "tests/tests/process/constructors.rs",
    "tests/tests/environment/clocks.rs",
    "tests/tests/environment/threads.rs",
    "tests/tests/process/forked.rs",
    "tests/tests/sync/forked.rs",
    "tests/threads/src/plain.rs",
];

/// Here `unsafe` stands only in what macros write into other crates, so that no lint is lifted.
const TEMPLATES: &str = "crates/multiproc-derive/";

/// Checks that the list and the code agree, and that each file of the list opens with its reason.
pub(super) fn check(sources: &[Source], files: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let is_listed = files.iter().any(|path| *path == source.path);
        match (first_unsafe(&source.code), is_listed) {
            (None, false) => {}
            (Some(offset), false) => {
                let message = "holds `unsafe` and is not in the list of xtask/src/tidy/unsafety.rs";
                findings.push(Finding::at(source, offset, message));
            }
            (None, true) => {
                let message = "holds no `unsafe`, remove it from the list of xtask/src/tidy/unsafety.rs";
                findings.push(Finding::new(&source.path, message));
            }
            (Some(_), true) => findings.extend(check_reason(source)),
        }
    }
    for path in files.iter().filter(|path| !sources.iter().any(|source| source.path == **path)) {
        findings.push(Finding::new(
            path,
            "does not exist, remove it from the list of xtask/src/tidy/unsafety.rs",
        ));
    }
    findings
}

fn check_reason(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Inner documentation can only stand before the first item, which is where the reason belongs.
    if !source.comments.lines().any(|line| line == "//! # Safety") {
        let message = "holds `unsafe` and its head has no section `//! # Safety` that says why it is sound";
        findings.push(Finding::new(&source.path, message));
    }
    if !source.path.starts_with(TEMPLATES) && !source.code.contains("#![expect(unsafe_code") {
        let message = "holds `unsafe` and does not lift the lint: `#![expect(unsafe_code, reason = \"…\")]`";
        findings.push(Finding::new(&source.path, message));
    }
    findings
}

/// Returns where the first use of `unsafe` is; the type of a pointer to an unsafe function is none.
fn first_unsafe(code: &str) -> Option<usize> {
    words(code, "unsafe").find(|at| {
        let mut after = code[at + "unsafe".len()..].trim_start();
        if let Some(rest) = after.strip_prefix("extern") {
            // The name of the calling convention is blank between its quotes.
            after = rest.trim_start().trim_start_matches(['"', ' ']);
        }
        !after.strip_prefix("fn").is_some_and(|rest| rest.trim_start().starts_with('('))
    })
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    const GOOD: &str = "//! Maps.\n//!\n//! # Safety\n//!\n//! Sound, since.\n\n\
        #![expect(unsafe_code, reason = \"maps\")]\n\nfn f() { unsafe { g() } }\n";

    fn findings(text: &str, listed: bool) -> Vec<Finding> {
        let files: &[&str] = if listed { &["src/a.rs"] } else { &[] };
        check(&[Source::new("src/a.rs", text)], files)
    }

    #[test]
    fn list_and_code_agree() {
        assert_findings(&findings(GOOD, true), &[]);
        assert_findings(&findings(GOOD, false), &["src/a.rs:9: holds `unsafe` and is not in the list"]);
        assert_findings(&findings("fn f() {}\n", true), &["holds no `unsafe`"]);
        assert_findings(&findings("fn f() {} // unsafe\n", false), &[]);
        assert_findings(&check(&[], &["src/a.rs"]), &["does not exist"]);
    }

    #[test]
    fn a_file_opens_with_its_reason() {
        assert_findings(&findings(&GOOD.replace("# Safety", "Safety"), true), &["no section"]);
        assert_findings(
            &findings(&GOOD.replace("#![expect(unsafe_code", "#![expect(dead"), true),
            &["lift the lint"],
        );
        let text = "//! # Safety\nfn f() { quote! { unsafe impl A for B {} } }\n";
        let path = "crates/multiproc-derive/src/a.rs";
        assert_findings(&check(&[Source::new(path, text)], &[path]), &[]);
    }

    #[test]
    fn types_of_unsafe_functions_are_safe() {
        let first = |code: &str| first_unsafe(&Source::new("a.rs", code).code);
        assert_eq!(first("type F = unsafe extern \"C\" fn(i32);"), None);
        assert_eq!(first("type F = unsafe fn();"), None);
        for code in
            ["unsafe fn f()", "unsafe extern \"C\" fn f()", "unsafe impl A for B", "#[unsafe(no_mangle)]"]
        {
            assert!(first(code).is_some(), "{code}");
        }
    }
}
