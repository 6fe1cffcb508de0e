//! Trees to copy, and what a copy must have of them.

use crate::run::{Run, Said, eventually};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;

/// A source and a place for its copy.
pub(crate) struct Tree {
    pub(crate) folder: TempDir,
}

impl Tree {
    pub(crate) fn new() -> Tree {
        let tree = Tree { folder: TempDir::new().unwrap() };
        fs::create_dir(tree.source()).unwrap();
        tree
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub(crate) fn dest(&self) -> PathBuf {
        self.folder.path().join("dest")
    }

    pub(crate) fn file(&self, name: &str, content: &[u8], mode: u32) {
        let path = self.source().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        date(&path);
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    /// A file that is one hole but for a byte at each of the places.
    pub(crate) fn sparse(&self, name: &str, length: u64, islands: &[u64]) {
        let file = File::create(self.source().join(name)).unwrap();
        file.set_len(length).unwrap();
        for place in islands {
            file.write_all_at(b"i", *place).unwrap();
        }
    }

    pub(crate) fn start(&self, options: &[&str]) -> Run {
        let (source, dest) = (self.source(), self.dest());
        let options = options.iter().map(OsStr::new);
        Run::start(&[source.as_os_str(), dest.as_os_str()].into_iter().chain(options).collect::<Vec<_>>())
    }

    pub(crate) fn copy(&self, options: &[&str]) -> Said {
        self.start(options).finish()
    }

    /// Waits until the copying is under way, and gives the temporary file that shows it.
    pub(crate) fn wait_for_partial(&self) -> PathBuf {
        eventually("a temporary file", || !self.partials().is_empty());
        self.partials().remove(0)
    }

    pub(crate) fn partials(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dest()).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries.filter(|path| is_partial(path)).collect()
    }

    pub(crate) fn assert_no_partial(&self) {
        assert_eq!(self.partials(), [] as [PathBuf; 0]);
    }

    pub(crate) fn assert_copied(&self) {
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
pub(crate) fn date(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    File::open(path).unwrap().set_modified(time).unwrap();
}

pub(crate) fn noise(length: u64) -> Vec<u8> {
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
            () => panic!("{} is of no kind that is copied", path.display()),
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
pub(crate) fn assert_same(a: &Path, b: &Path) {
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
