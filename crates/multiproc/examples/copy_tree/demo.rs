//! A small tree to copy when nobody names one: a bit of everything.

use std::fs::{self, File, Permissions};
use std::io;
use std::iter;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A tree and the place for its copy, which are both gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Demo {
    folder: TempDir,
}

impl Demo {
    pub(crate) fn new() -> io::Result<Demo> {
        let demo = Demo { folder: tempfile::Builder::new().prefix("copy_tree-").tempdir()? };
        make_tree(&demo.source())?;
        Ok(demo)
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub(crate) fn dest(&self) -> PathBuf {
        self.folder.path().join("copy")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // What a folder forbids its owner, it forbids the removal too. The rest is TempDir's.
        open_up(self.folder.path());
    }
}

fn make_tree(root: &Path) -> io::Result<()> {
    let (shared, locked) = (root.join("shared"), root.join("shared/locked"));
    fs::create_dir_all(&locked)?;

    fs::write(root.join("empty"), "")?;
    fs::write(root.join("poem.txt"), "Copy me, copy me not.\n")?;
    fs::write(root.join("random.bin"), noise(5 << 20))?;

    let sparse = File::create(shared.join("sparse.img"))?;
    sparse.set_len(16 << 20)?;
    sparse.write_all_at(b"an island in a sea of zeros", 9 << 20)?;

    symlink("../poem.txt", shared.join("poem"))?;
    symlink("/nowhere/at all", root.join("dangling"))?;

    let tool = locked.join("tool.sh");
    fs::write(&tool, "#!/bin/sh\necho hello\n")?;
    fs::set_permissions(tool, Permissions::from_mode(0o750))?;
    fs::set_permissions(shared, Permissions::from_mode(0o1777))?;
    fs::set_permissions(locked, Permissions::from_mode(0o555))
}

/// The same bytes each time, without a pattern that a file system could make less of: xorshift64.
fn noise(length: usize) -> Vec<u8> {
    let words = iter::successors(Some(0x2545_f491_4f6c_dd1d_u64), |&last| {
        let a = last ^ last << 13;
        let b = a ^ a >> 7;
        Some(b ^ b << 17)
    });
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

fn open_up(folder: &Path) {
    // What cannot be opened up stays, and TempDir leaves it to the system's own sweep.
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
