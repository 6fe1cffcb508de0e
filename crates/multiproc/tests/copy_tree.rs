//! Drives the built example `copy_tree` as a user does: smoke, kinds of files, limits, errors, interruption, crash.
//!
//! `cargo test` builds the examples of a package before it runs the package's tests.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use std::{env, thread};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
/// What no test comes near unless something hangs.
const LIMIT: Duration = Duration::from_secs(120);
/// Marks the processes of one run, children included, by an entry of their environment.
const MARK: &str = "COPY_TREE_TEST";

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
    tree.wait_for_partial();
    run.child.kill().unwrap();
    let mark = run.mark.clone();
    run.finish();
    eventually("the workers to end with their parent", || marked(&mark).is_empty());
    assert!(!tree.dest().join("large").exists());
    assert_eq!(tree.partials().len(), 1);
    let other = tree.dest().join(format!(".copy_tree-{}-1.partial", std::process::id()));
    fs::write(&other, "a copy that is under way: this process lives").unwrap();

    tree.sparse("large", 70 * MIB, &[0]);
    let said = tree.copy(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(tree.partials(), [other.clone()]);
    fs::remove_file(other).unwrap();
    date(&tree.source());
    date(&tree.dest());
    tree.assert_copied();
}

// ---------------------------------------------------------------------------------------------------------- helpers

/// A run of the program.
struct Run {
    child: Child,
    mark: String,
}

/// How a run ended, and what it said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    fn start(args: &[&OsStr]) -> Run {
        Run::start_in(&env::temp_dir(), args)
    }

    fn start_in(temp: &Path, args: &[&OsStr]) -> Run {
        let mut command = Command::new(program());
        command.args(args).env("TMPDIR", temp);
        Run::of(command)
    }

    fn of(mut command: Command) -> Run {
        let mark = format!("{}-{:?}", std::process::id(), Instant::now());
        command.env(MARK, &mark).process_group(0);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Run { child, mark }
    }

    /// Waits for the end.
    fn finish(mut self) -> Said {
        let (mut stdout, mut stderr) = (self.child.stdout.take().unwrap(), self.child.stderr.take().unwrap());
        let out = thread::spawn(move || read(&mut stdout));
        let err = thread::spawn(move || read(&mut stderr));
        eventually("the program to end", || self.child.try_wait().unwrap().is_some());
        let code = self.child.wait().unwrap().code();
        Said { code, out: out.join().unwrap(), err: err.join().unwrap() }
    }

    fn workers(&self) -> Vec<u32> {
        marked(&self.mark).into_iter().filter(|id| *id != self.child.id()).collect()
    }
}

impl Drop for Run {
    /// A failing test leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let own = env::current_exe().unwrap();
    let program = own.parent().unwrap().parent().unwrap().join("examples/copy_tree");
    assert!(program.exists(), "build it first: cargo build -p multiproc --example copy_tree");
    program
}

fn read(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The living processes of a run.
fn marked(mark: &str) -> Vec<u32> {
    let entry = format!("{MARK}={mark}");
    let ids = fs::read_dir("/proc").unwrap().filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
    let is_marked = |id: &u32| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes())
    };
    ids.filter(is_marked).collect()
}

/// Sends a signal to a process, or to a group by its negative number; tells whether there was one to get it.
fn signal(name: &str, target: &str) -> bool {
    // The shell's own `kill` is everywhere.
    let script = format!("kill -{name} {target} 2>/dev/null");
    Command::new("sh").args(["-c", &script]).status().unwrap().success()
}

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "waited too long for {what}");
        // tidy: sleep because nothing tells of the change that is looked for
        thread::sleep(Duration::from_millis(2));
    }
}

/// A source and a place for its copy.
struct Tree {
    folder: TempDir,
}

impl Tree {
    fn new() -> Tree {
        // On a disk rather than in memory, where there is one: sparse files of a terabyte are nothing there.
        let tree = Tree { folder: TempDir::new().unwrap() };
        fs::create_dir(tree.source()).unwrap();
        tree
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn dest(&self) -> PathBuf {
        self.folder.path().join("dest")
    }

    fn file(&self, name: &str, content: &[u8], mode: u32) {
        let path = self.source().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        date(&path);
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    /// A file that is one hole but for a byte at each of the places.
    fn sparse(&self, name: &str, length: u64, islands: &[u64]) {
        let file = File::create(self.source().join(name)).unwrap();
        file.set_len(length).unwrap();
        for place in islands {
            file.write_all_at(b"i", *place).unwrap();
        }
    }

    fn start(&self, options: &[&str]) -> Run {
        let (source, dest) = (self.source(), self.dest());
        let options = options.iter().map(OsStr::new);
        Run::start(&[source.as_os_str(), dest.as_os_str()].into_iter().chain(options).collect::<Vec<_>>())
    }

    fn copy(&self, options: &[&str]) -> Said {
        self.start(options).finish()
    }

    /// Waits until the copying is under way, and gives the temporary file that shows it.
    fn wait_for_partial(&self) -> PathBuf {
        eventually("a temporary file", || !self.partials().is_empty());
        self.partials().remove(0)
    }

    fn partials(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dest()).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries.filter(|path| is_partial(path)).collect()
    }

    fn assert_no_partial(&self) {
        assert_eq!(self.partials(), [] as [PathBuf; 0]);
    }

    fn assert_copied(&self) {
        assert_same(&self.source(), &self.dest());
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Read-only folders do not let go of what is in them.
        let _ = Command::new("chmod").args(["-R", "u+rwX"]).arg(self.folder.path()).status();
    }
}

fn is_partial(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b".partial")
}

/// Gives a file a time that no copy has by chance.
fn date(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    File::open(path).unwrap().set_modified(time).unwrap();
}

fn noise(length: u64) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ length;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Never a zero: a dense file has no block that could be a hole.
        state.to_le_bytes().map(|byte| byte | 1)
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length as usize);
    bytes
}

/// What a copy must have of a file, besides its content.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: &'static str,
    mode: u32,
    /// `None` of links, whose times are not kept.
    modified: Option<SystemTime>,
    length: u64,
    leads_to: Option<PathBuf>,
}

fn entries(root: &Path) -> BTreeMap<OsString, Entry> {
    let mut found = BTreeMap::new();
    let mut rest = vec![root.to_owned()];
    while let Some(path) = rest.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let kind = match () {
            () if kind.is_dir() => "folder",
            () if kind.is_file() => "file",
            () if kind.is_symlink() => "link",
            () => panic!("{} is of no kind that is copied (fifo: {})", path.display(), kind.is_fifo()),
        };
        if kind == "folder" {
            rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let entry = Entry {
            kind,
            mode: metadata.mode(),
            modified: (kind != "link").then(|| metadata.modified().unwrap()),
            length: if kind == "file" { metadata.len() } else { 0 },
            leads_to: (kind == "link").then(|| fs::read_link(&path).unwrap()),
        };
        found.insert(path.strip_prefix(root).unwrap().into(), entry);
    }
    found
}

#[track_caller]
fn assert_same(a: &Path, b: &Path) {
    let (in_a, in_b) = (entries(a), entries(b));
    for (name, entry) in &in_a {
        assert_eq!(Some(entry), in_b.get(name), "{name:?}");
    }
    assert_eq!(in_a.len(), in_b.len(), "{:?}", in_b.keys().collect::<Vec<_>>());
    for name in in_a.iter().filter(|(_, entry)| entry.kind == "file").map(|(name, _)| name) {
        let (mut a, mut b) = (File::open(a.join(name)).unwrap(), File::open(b.join(name)).unwrap());
        let slack = 64 * 1024 / 512;
        let (blocks_a, blocks_b) = (a.metadata().unwrap().blocks(), b.metadata().unwrap().blocks());
        assert!(blocks_b <= blocks_a + slack, "{name:?} has {blocks_b} blocks instead of {blocks_a}");
        let (mut part_a, mut part_b) = (Vec::new(), Vec::new());
        loop {
            part_a.clear();
            part_b.clear();
            a.by_ref().take(MIB).read_to_end(&mut part_a).unwrap();
            b.by_ref().take(MIB).read_to_end(&mut part_b).unwrap();
            assert!(part_a == part_b, "{name:?} differs");
            if part_a.is_empty() {
                break;
            }
        }
    }
}
