//! What is complete when all its parts are: folders, and files that are copied in ranges.
//!
//! Each part holds an `Rc` of its whole, and whoever lets the last one go completes it: a folder gets its mode and
//! times when nothing will be written into it any more, a large file its name when all ranges are there. So the
//! deepest comes first, and what is kept in memory is what is under way, however large the tree.

use crate::attributes::Attributes;
use crate::job::{self, told};
use crate::partial;
use crate::report::Report;
use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What a part belongs to.
#[derive(Clone, Debug)]
pub(crate) enum Whole {
    Folder(Rc<Folder>),
    Large(Rc<Large>),
}

/// A folder of the copy.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) parent: Option<Rc<Folder>>,
    pub(crate) target: PathBuf,
    pub(crate) attributes: Attributes,
}

/// A file that several workers copy at once.
#[derive(Debug)]
pub(crate) struct Large {
    pub(crate) folder: Rc<Folder>,
    pub(crate) source: PathBuf,
    pub(crate) partial: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) attributes: Attributes,
    given_up: Cell<bool>,
    /// Holds the lock that keeps others from removing the temporary file.
    copy: File,
}

impl Large {
    /// Begins the copy of a large file: its temporary file is one hole as long as the source.
    pub(crate) fn create(
        folder: Rc<Folder>,
        source: PathBuf,
        partial: PathBuf,
        target: PathBuf,
        metadata: &fs::Metadata,
    ) -> io::Result<Large> {
        let copy = partial::create(&partial)?;
        if let Err(error) = copy.set_len(metadata.len()) {
            // The first error is the one to tell.
            let _ = fs::remove_file(&partial);
            return told("its copy cannot be made as long", Err(error));
        }
        let attributes = Attributes::of(metadata);
        Ok(Large { folder, source, partial, target, attributes, given_up: Cell::new(false), copy })
    }

    /// Gives the file up; tells whether that is news.
    pub(crate) fn give_up(&self) -> bool {
        !self.given_up.replace(true)
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.get()
    }

    fn finish(&self) -> io::Result<()> {
        if !self.attributes.still_hold(&fs::metadata(&self.source)?) {
            return Err(job::changed());
        }
        self.attributes.apply(&self.copy)?;
        job::rename(&self.partial, &self.target)
    }
}

/// Lets a part's hold on its whole go, and completes whatever waited for nothing else.
pub(crate) fn release(part: Whole, report: &Report) {
    let mut next = match part {
        Whole::Folder(folder) => Some(folder),
        Whole::Large(large) => Rc::into_inner(large).map(|large| finish_large(large, report)),
    };
    while let Some(folder) = next.and_then(Rc::into_inner) {
        match File::open(&folder.target).and_then(|opened| folder.attributes.apply(&opened)) {
            Ok(()) => report.folder(),
            Err(error) => {
                report.error(&folder.target, format_args!("its mode and times cannot be set: {error}"))
            }
        }
        next = folder.parent;
    }
}

fn finish_large(large: Large, report: &Report) -> Rc<Folder> {
    let result = if large.is_given_up() { Ok(false) } else { large.finish().map(|()| true) };
    match result {
        Ok(true) => report.file(),
        Ok(false) => remove(&large.partial, report),
        Err(error) => {
            report.error(&large.source, error);
            remove(&large.partial, report);
        }
    }
    large.folder
}

/// Removes a temporary file, if it is there, and tells where it cannot.
pub(crate) fn remove(partial: &Path, report: &Report) {
    if let Err(error) = partial::remove(partial) {
        report.error(partial, format_args!("cannot be removed: {error}"));
    }
}
