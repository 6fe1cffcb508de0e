//! What a file or a folder is, besides its content: mode and times.

use std::fs::{File, FileTimes, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::SystemTime;

/// The bits that lend the owner's or the group's rights to whoever runs the file.
const SET_ID: u32 = 0o6000;

/// What is set on a copy when its content is there.
#[derive(Debug)]
pub(crate) struct Attributes {
    mode: u32,
    owner: (u32, u32),
    accessed: SystemTime,
    modified: SystemTime,
    length: u64,
}

impl Attributes {
    pub(crate) fn of(metadata: &Metadata) -> Attributes {
        Attributes {
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            // Linux has both times; another system may not, and then the copy is simply new.
            accessed: metadata.accessed().unwrap_or_else(|_| SystemTime::now()),
            modified: metadata.modified().unwrap_or_else(|_| SystemTime::now()),
            length: metadata.len(),
        }
    }

    /// Tells whether the file was left alone since.
    pub(crate) fn still_hold(&self, metadata: &Metadata) -> bool {
        metadata.len() == self.length && metadata.modified().is_ok_and(|modified| modified == self.modified)
    }

    /// Sets them on a copy.
    pub(crate) fn apply(&self, copy: &File) -> io::Result<()> {
        let metadata = copy.metadata()?;
        let same_owner = (metadata.uid(), metadata.gid()) == self.owner;
        // Owners are not copied, so these bits would lend the rights of somebody who never offered them.
        let mode = if same_owner { self.mode } else { self.mode & !SET_ID };
        copy.set_permissions(Permissions::from_mode(mode))?;
        copy.set_times(FileTimes::new().set_accessed(self.accessed).set_modified(self.modified))
    }
}
