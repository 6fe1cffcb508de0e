//! The walk: an iterator of jobs that goes no further ahead than somebody asks.
//!
//! Folders are made on the way, so a job's folder is there before the job is; files and links are left to workers.

use crate::attributes::Attributes;
use crate::crew;
use crate::job::{Job, Work, told};
use crate::ledger::Ledger;
use crate::partial;
use crate::report::Report;
use crate::tree::{self, Folder, Large, Whole};
use std::fs::{self, DirBuilder, DirEntry, FileType, Metadata, Permissions, ReadDir};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A file longer than this is copied in ranges of this, by as many workers as are free.
const RANGE: u64 = 64 << 20;

/// The jobs that copy a tree, in the order of the walk.
pub(crate) struct Plan {
    /// The folders from the root to where the walk is.
    open: Vec<(Rc<Folder>, ReadDir)>,
    /// The large file whose ranges are being handed out, and where the next begins.
    split: Option<(Rc<Large>, u64, u64)>,
    jobs: u64,
    /// What tells the temporary files of this run from those of others.
    mark: u64,
    verify: bool,
    ledger: Rc<Ledger>,
    report: Rc<Report>,
}

impl Plan {
    /// Begins the walk of `source`, whose copy is to be `target` itself.
    pub(crate) fn new(
        source: &Path,
        target: &Path,
        verify: bool,
        ledger: &Rc<Ledger>,
        report: &Rc<Report>,
    ) -> io::Result<Plan> {
        let (ledger, report) = (Rc::clone(ledger), Rc::clone(report));
        let mut plan =
            Plan { open: Vec::new(), split: None, jobs: 0, mark: partial::mark(), verify, ledger, report };
        if let Some(above) = target.parent() {
            fs::create_dir_all(above)?;
        }
        plan.enter(None, source, target, &fs::metadata(source)?)?;
        Ok(plan)
    }

    /// Makes the copy of a folder, or takes the one that is there, and goes on inside.
    fn enter(
        &mut self,
        parent: Option<Rc<Folder>>,
        source: &Path,
        target: &Path,
        metadata: &Metadata,
    ) -> io::Result<()> {
        // Ours alone until it is complete, and writable, whatever its mode will be.
        match DirBuilder::new().mode(0o700).create(target) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.merge(target)?,
            made => told("its copy cannot be created", made)?,
        }
        let folder = Folder { parent, target: target.to_owned(), attributes: Attributes::of(metadata) };
        let folder = Rc::new(folder);
        match fs::read_dir(source) {
            Ok(entries) => self.open.push((folder, entries)),
            Err(error) => {
                tree::release(Whole::Folder(folder), &self.report);
                return told("cannot be listed", Err(error));
            }
        }
        Ok(())
    }

    /// Prepares a folder that was there before.
    fn merge(&self, target: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(target)?;
        if !metadata.is_dir() {
            // A link to a folder would take the copy somewhere else.
            return Err(io::Error::other(format!(
                "{} is in the way and no folder: remove it",
                target.display()
            )));
        }
        fs::set_permissions(target, Permissions::from_mode(metadata.permissions().mode() & 0o7777 | 0o700))?;
        for entry in fs::read_dir(target)?.flatten() {
            if let Err(error) = partial::sweep(&entry) {
                self.report.error(&entry.path(), format_args!("cannot be removed: {error}"));
            }
        }
        Ok(())
    }

    /// Looks at one entry of a folder; files and links become jobs.
    fn visit(&mut self, folder: &Rc<Folder>, entry: &DirEntry) -> io::Result<Option<Job>> {
        let (source, target) = (entry.path(), folder.target.join(entry.file_name()));
        let metadata = entry.metadata()?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            self.enter(Some(Rc::clone(folder)), &source, &target, &metadata)?;
        } else if kind.is_file() && metadata.len() > RANGE {
            let partial = self.partial(folder);
            let large = Large::create(Rc::clone(folder), source, partial, target, &metadata)?;
            self.split = Some((Rc::new(large), 0, metadata.len()));
        } else if kind.is_file() || kind.is_symlink() {
            let work = if kind.is_file() { Work::File } else { Work::Link };
            let (partial, whole) = (self.partial(folder), Whole::Folder(Rc::clone(folder)));
            return Ok(Some(self.job(&source, &partial, &target, work, whole)));
        } else {
            return Err(io::Error::other(format!("skipped: {} cannot be copied", special(kind))));
        }
        Ok(None)
    }

    /// The next range of the large file at hand.
    fn next_range(&mut self) -> Option<Job> {
        let (large, start, end) = self.split.take()?;
        if start >= end || large.is_given_up() {
            tree::release(Whole::Large(large), &self.report);
            return None;
        }
        let length = RANGE.min(end - start);
        self.split = Some((Rc::clone(&large), start + length, end));
        let whole = Whole::Large(Rc::clone(&large));
        Some(self.job(&large.source, &large.partial, &large.target, Work::Range { start, length }, whole))
    }

    fn job(&mut self, source: &Path, partial: &Path, target: &Path, work: Work, whole: Whole) -> Job {
        self.jobs += 1;
        let (source, partial, target) = (source.into(), partial.into(), target.into());
        let job = Job { number: self.jobs, source, partial, target, work, verify: self.verify };
        self.ledger.open(job.clone(), whole);
        job
    }

    fn partial(&self, folder: &Folder) -> PathBuf {
        folder.target.join(partial::name(self.mark, self.jobs + 1))
    }
}

impl Iterator for Plan {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        while !crew::interrupted() {
            if self.split.is_some() {
                match self.next_range() {
                    None => continue,
                    job => return job,
                }
            }
            let (folder, entries) = self.open.last_mut()?;
            let folder = Rc::clone(folder);
            match entries.next() {
                None => {
                    self.open.pop();
                }
                Some(Err(error)) => {
                    self.report.error(
                        &folder.target,
                        format_args!("its source cannot be listed to the end: {error}"),
                    );
                }
                Some(Ok(entry)) => match self.visit(&folder, &entry) {
                    Ok(None) => {}
                    Ok(job) => return job,
                    Err(error) => self.report.error(&entry.path(), error),
                },
            }
            tree::release(Whole::Folder(folder), &self.report);
        }
        None
    }
}

impl Drop for Plan {
    /// Lets go of what a walk that did not come to its end still holds.
    fn drop(&mut self) {
        if let Some((large, ..)) = self.split.take() {
            large.give_up();
            tree::release(Whole::Large(large), &self.report);
        }
        while let Some((folder, _)) = self.open.pop() {
            tree::release(Whole::Folder(folder), &self.report);
        }
    }
}

fn special(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a fifo"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
