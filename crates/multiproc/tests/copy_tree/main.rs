//! Drives the built example `copy_tree` as a user does: smoke, kinds of files, limits, errors, interruption, crash.
//!
//! `cargo test` builds the examples of a package before it runs the package's tests.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod run;
mod tree;

use run::{Run, eventually, marked, program, signal};
use std::ffi::OsStr;
use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use tree::{MIB, Tree, assert_same, date, noise};

// ---------------------------------------------------------------------------------------------------------- smoke

#[test]
fn without_arguments_it_copies_a_tree_of_its_own() {
    let temp = TempDir::new().unwrap();
    let said = Run::start_in(temp.path(), &[]).finish();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("copied and verified 5 files, 3 folders, 2 links: 21.00 MiB in "), "{said:?}");
    assert!(said.out.ends_with(", 0 errors\n"), "{said:?}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "it tidies up");
}

#[test]
fn the_copy_is_what_cp_makes_of_it() {
    let tree = Tree::new();
    tree.file("empty", b"", 0o600);
    tree.file("text", b"words\n", 0o644);
    tree.file("sub/tool", b"#!/bin/sh\n", 0o751);
    tree.file("sub/deep/er/read-only", &noise(3 * MIB + 17), 0o400);
    tree.file("dense over two ranges", &noise(70 * MIB), 0o640);
    // Islands on both sides of the borders of blocks and ranges, and a hole at the end.
    tree.sparse("sparse", 10 * MIB + 5, &[0, 4095, 5 * MIB]);
    tree.sparse("sparse over three ranges", 150 * MIB, &[64 * MIB - 1, 64 * MIB, 100 * MIB + 1]);
    tree.sparse("nothing but a hole", 80 * MIB, &[]);
    tree.sparse("ends in an island", 2 * MIB, &[2 * MIB - 1]);
    symlink("text", tree.source().join("link")).unwrap();
    symlink("/nowhere/at all", tree.source().join("sub/dangling")).unwrap();
    symlink("/", tree.source().join("sub/root")).unwrap();
    fs::create_dir(tree.source().join("sub/empty")).unwrap();
    for (folder, mode) in [("sub/deep/er", 0o555), ("sub/deep", 0o1777), ("sub", 0o2711), ("", 0o750)] {
        date(&tree.source().join(folder));
        fs::set_permissions(tree.source().join(folder), Permissions::from_mode(mode)).unwrap();
    }

    let said = tree.copy(&["--verify", "--workers", "3"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("copied and verified 9 files, 5 folders, 3 links"), "{said:?}");
    tree.assert_copied();

    let oracle = tree.folder.path().join("oracle");
    assert!(Command::new("cp").arg("-a").args([&tree.source(), &oracle]).status().unwrap().success());
    assert_same(&oracle, &tree.dest());
}

// ---------------------------------------------------------------------------------------------------------- limits

#[test]
fn an_empty_folder() {
    let tree = Tree::new();
    let said = tree.copy(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("copied 0 files, 1 folder, 0 links: 0 B in "), "{said:?}");
    tree.assert_copied();
}

#[test]
fn three_thousand_small_files() {
    let tree = Tree::new();
    for n in 0..3000 {
        tree.file(&format!("{}/{}/{n}", n % 7, n % 11), &noise(n % 500), 0o644);
    }
    let said = tree.copy(&["--quiet"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "", ""));
    tree.assert_copied();
}

#[test]
fn names_that_are_not_utf_8() {
    let tree = Tree::new();
    let name = OsStr::from_bytes(b"\xff\xfe \n\x01");
    fs::create_dir(tree.source().join(name)).unwrap();
    fs::write(tree.source().join(name).join(name), "content").unwrap();
    fs::write(tree.source().join("x".repeat(255)), "the longest name").unwrap();
    symlink(name, tree.source().join("link")).unwrap();
    let said = tree.copy(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    tree.assert_copied();
}

#[test]
fn what_is_there_is_merged_with() {
    let tree = Tree::new();
    tree.file("sub/both", b"new", 0o644);
    tree.file("link or file", b"new", 0o600);
    let bystander = tree.folder.path().join("bystander");
    fs::write(&bystander, "untouched").unwrap();
    fs::create_dir_all(tree.dest().join("sub")).unwrap();
    fs::write(tree.dest().join("sub/both"), "old and longer").unwrap();
    fs::write(tree.dest().join("sub/only here"), "kept").unwrap();
    symlink(&bystander, tree.dest().join("link or file")).unwrap();
    fs::set_permissions(tree.dest().join("sub"), Permissions::from_mode(0o500)).unwrap();

    let said = tree.copy(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(fs::read_to_string(tree.dest().join("sub/only here")).unwrap(), "kept");
    assert_eq!(fs::read_to_string(&bystander).unwrap(), "untouched", "links are replaced, not followed");
    fs::remove_file(tree.dest().join("sub/only here")).unwrap();
    date(&tree.dest().join("sub"));
    date(&tree.source().join("sub"));
    tree.assert_copied();
}

// ---------------------------------------------------------------------------------------------------------- errors

#[test]
fn wrong_usage_is_refused_before_anything_is_done() {
    let tree = Tree::new();
    tree.file("file", b"", 0o644);
    symlink(tree.source(), tree.folder.path().join("alias")).unwrap();
    let path = |name: &str| tree.folder.path().join(name);
    let (source, missing) = (tree.source(), path("missing"));
    for (from, to, why) in [
        (&source, &source.join("inside"), "lies inside the source"),
        (&source, &source, "lies inside the source"),
        (&source, &path("alias/inside/deeper"), "lies inside the source"),
        (&source, &tree.folder.path().to_owned(), "holds the source"),
        (&source, &path("source/.."), "holds the source"),
        (&missing, &tree.dest(), "missing: No such file"),
        (&source.join("file"), &tree.dest(), "is no folder"),
    ] {
        let said = Run::start(&[from.as_os_str(), to.as_os_str()]).finish();
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(why), "{said:?}");
    }
    for wrong in [&["only one"][..], &["--workers", "0"], &["--no-such-option"]] {
        let wrong: Vec<&OsStr> = wrong.iter().map(OsStr::new).collect();
        assert_eq!(Run::start(&wrong).finish().code, Some(2));
    }
    assert!(!tree.dest().exists());
    assert_eq!(fs::read_dir(&source).unwrap().count(), 1);
}

#[test]
fn errors_are_listed_and_the_rest_is_copied() {
    let tree = Tree::new();
    tree.file("good", b"good", 0o644);
    tree.file("folder in the way", b"", 0o644);
    tree.file("file in the way/inside", b"", 0o644);
    let mut expected = vec![
        ("socket", "skipped: a socket cannot be copied"),
        ("folder in the way", "its copy cannot be put in place: "),
        ("file in the way", "is in the way and no folder"),
    ];
    let _socket = UnixListener::bind(tree.source().join("socket")).unwrap();
    fs::create_dir_all(tree.dest().join("folder in the way")).unwrap();
    fs::write(tree.dest().join("file in the way"), "stays").unwrap();
    tree.file("secret", b"", 0o000);
    if File::open(tree.source().join("secret")).is_err() {
        // Root reads it all the same.
        expected.push(("secret", "cannot be read: Permission denied"));
    }

    let said = tree.copy(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    for (file, why) in &expected {
        let start = format!("copy_tree: {}: ", tree.source().join(file).display());
        let is_told = said.err.lines().any(|line| line.starts_with(&start) && line.contains(why));
        assert!(is_told, "{file}: {why}: {said:?}");
    }
    assert!(said.out.ends_with(&format!(", {} errors\n", expected.len())), "{said:?}");
    assert_eq!(fs::read_to_string(tree.dest().join("good")).unwrap(), "good");
    assert_eq!(fs::read_to_string(tree.dest().join("file in the way")).unwrap(), "stays");
    tree.assert_no_partial();
}

#[test]
fn a_file_that_changes_meanwhile_is_an_error() {
    let tree = Tree::new();
    tree.sparse("busy", 2048 * MIB, &[]);
    let run = tree.start(&[]);
    tree.wait_for_partial();
    File::options().write(true).open(tree.source().join("busy")).unwrap().write_all_at(b"!", 7).unwrap();
    let said = run.finish();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("busy: changed while it was copied"), "{said:?}");
    assert_eq!(fs::read_dir(tree.dest()).unwrap().count(), 0);
}

#[test]
fn verify_finds_a_copy_that_differs() {
    let tree = Tree::new();
    tree.sparse("damaged", 1024 * MIB, &[]);
    tree.file("sound", b"sound", 0o644);
    let run = tree.start(&["--verify"]);
    let partial = tree.wait_for_partial();
    // In the last range and in a hole, which the copier leaves alone.
    File::options().write(true).open(partial).unwrap().write_all_at(b"!", 1024 * MIB - 1).unwrap();
    let said = run.finish();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("damaged: the copy differs from its source"), "{said:?}");
    assert!(tree.dest().join("sound").exists() && !tree.dest().join("damaged").exists());
    tree.assert_no_partial();
}

#[test]
fn a_large_file_for_which_there_is_no_room_leaves_nothing() {
    let tree = Tree::new();
    tree.sparse("large", 80 * MIB, &[]);
    tree.file("small", b"small", 0o644);
    let mut command = Command::new("sh");
    // Ignored, the signal of the limit leaves an error.
    command.args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\""]).arg(program());
    command.args([tree.source(), tree.dest()]);
    let said = Run::of(command).finish();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("large: its copy cannot be made as long: File too large"), "{said:?}");
    assert!(tree.dest().join("small").exists() && !tree.dest().join("large").exists());
    tree.assert_no_partial();
}

// ---------------------------------------------------------------------------------------------------- interruption

/// Interrupts the copying of what takes far longer than the test.
fn interrupted(tree: &Tree, final_names: impl Fn(&Path) -> bool, group: bool) {
    let run = tree.start(&[]);
    tree.wait_for_partial();
    let id = run.child.id().to_string();
    // A terminal's ctrl-C goes to all processes of the group, a `kill` to one.
    assert!(signal("INT", &if group { format!("-{id}") } else { id }));
    let mark = run.mark.clone();
    let said = run.finish();
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(said.err.ends_with("copy_tree: interrupted\n"), "{said:?}");
    assert_eq!(marked(&mark), [0; 0], "processes are left");
    tree.assert_no_partial();
    for entry in fs::read_dir(tree.dest()).unwrap() {
        assert!(final_names(&entry.unwrap().path()), "half a file has its final name");
    }
}

#[test]
fn an_interrupt_leaves_nothing_of_a_large_file() {
    for group in [false, true] {
        let tree = Tree::new();
        tree.sparse("large", 512 * 1024 * MIB, &[]);
        interrupted(&tree, |_| false, group);
    }
}

#[test]
fn an_interrupt_leaves_whole_files_of_a_large_tree() {
    let tree = Tree::new();
    for n in 0..2000 {
        tree.sparse(&format!("{n}"), 64 * MIB, &[64 * MIB - 1]);
    }
    let is_whole = |path: &Path| {
        let mut last = [0];
        File::open(path).unwrap().read_exact_at(&mut last, 64 * MIB - 1).is_ok() && last != [0]
    };
    interrupted(&tree, is_whole, false);
}

// ---------------------------------------------------------------------------------------------------------- crash

#[test]
fn a_killed_worker_costs_nothing_but_time() {
    let tree = Tree::new();
    tree.sparse("large", 1024 * MIB, &[0, 500 * MIB, 1024 * MIB - 1]);
    tree.file("small", b"small", 0o644);
    let run = tree.start(&["--workers", "1"]);
    let partial = tree.wait_for_partial();
    // With the first island there, the worker is inside its first range.
    eventually("some data", || fs::metadata(&partial).unwrap().blocks() > 0);
    let workers = run.workers();
    let [worker] = workers[..] else { panic!("one worker, not {workers:?}") };
    assert!(signal("KILL", &worker.to_string()));
    let said = run.finish();
    assert_eq!(said.code, Some(0), "{said:?}");
    tree.assert_copied();
}

#[test]
fn a_file_that_kills_each_worker_is_an_error() {
    let tree = Tree::new();
    tree.file("deadly", &noise(2 * MIB), 0o644);
    tree.file("harmless", b"small", 0o644);
    // A file that grows above the limit is its writer's end: SIGXFSZ.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c 0; ulimit -f 1024; exec \"$0\" \"$@\""]).arg(program());
    command.args([tree.source(), tree.dest()]);
    let said = Run::of(command).finish();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("deadly: tried twice: the worker process ended"), "{said:?}");
    assert!(tree.dest().join("harmless").exists() && !tree.dest().join("deadly").exists());
    tree.assert_no_partial();
}

#[test]
fn the_next_run_removes_what_a_killed_one_left() {
    let tree = Tree::new();
    tree.sparse("large", 16 * 1024 * MIB, &[]);
    let mut run = tree.start(&[]);
    let partial = tree.wait_for_partial();
    let is_locked = || matches!(File::open(&partial).unwrap().try_lock(), Err(TryLockError::WouldBlock));
    eventually("the copy to be locked", is_locked);
    run.child.kill().unwrap();
    let mark = run.mark.clone();
    run.finish();
    eventually("the workers to end with their parent", || marked(&mark).is_empty());
    assert!(!tree.dest().join("large").exists());
    assert_eq!(tree.partials().len(), 1);
    // The number of no process here, as of one in another container or on another machine.
    let other = tree.dest().join(".copy_tree-4000000000-1.partial");
    fs::write(&other, "a copy that is under way").unwrap();
    let copier = File::open(&other).unwrap();
    copier.lock().unwrap();
    symlink("nowhere", tree.dest().join(".copy_tree-4000000000-2.partial")).unwrap();
    fs::write(tree.dest().join(".copy_tree-4000000000-3.partial"), "nobody's").unwrap();

    tree.sparse("large", 70 * MIB, &[0]);
    let said = tree.copy(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(tree.partials(), std::slice::from_ref(&other));
    fs::remove_file(other).unwrap();
    date(&tree.source());
    date(&tree.dest());
    tree.assert_copied();
}
