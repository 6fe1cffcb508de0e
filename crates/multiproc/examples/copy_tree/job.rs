//! What a worker does: one file, one range of a large file, or one symbolic link.
//!
//! Everything is written under a temporary name beside its place and renamed when it is whole, so that a final name
//! never shows half a file, however this process ends.

use crate::attributes::Attributes;
use crate::partial;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// One task of the pool.
///
/// Names travel as `OsString`, not as `PathBuf`: serde takes a path only if it is UTF-8, and file names need not be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) number: u64,
    pub(crate) source: OsString,
    /// The temporary name.
    pub(crate) partial: OsString,
    pub(crate) target: OsString,
    pub(crate) work: Work,
    pub(crate) verify: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// All of a file, from the opening to the renaming.
    File,
    /// A part of a file whose temporary file is there already; the parent renames it when all parts are done.
    Range { start: u64, length: u64 },
    /// A symbolic link, as it is, wherever it leads.
    Link,
}

/// What became of a job: the bytes that were copied, or what went wrong, for people.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) number: u64,
    pub(crate) result: Result<u64, String>,
}

/// Does a job; this is the function that the pool calls in its workers.
pub(crate) fn run(job: Job) -> Done {
    let (source, partial, target) = (Path::new(&job.source), Path::new(&job.partial), Path::new(&job.target));
    let result = match job.work {
        Work::File => copy_file(source, partial, job.verify).and_then(|(copy, bytes)| {
            rename(partial, target)?;
            // Only now, since the lock on it keeps others from removing it.
            drop(copy);
            Ok(bytes)
        }),
        Work::Range { start, length } => copy_part(source, partial, start, length, job.verify),
        Work::Link => copy_link(source, partial, target).map(|()| 0),
    };
    if result.is_err() && !matches!(job.work, Work::Range { .. }) {
        // The first error is the one to tell; usually there is nothing to remove.
        let _ = fs::remove_file(partial);
    }
    Done { number: job.number, result: result.map_err(|error| error.to_string()) }
}

fn copy_file(source: &Path, partial: &Path, verify: bool) -> io::Result<(File, u64)> {
    let from = told("cannot be read", File::open(source))?;
    let before = from.metadata()?;
    let to = partial::create(partial)?;
    let bytes = copy_range(&from, &to, 0, u64::MAX, is_sparse(&before))?;
    if is_sparse(&before) {
        // A hole at the end is not written, only measured.
        to.set_len(bytes)?;
    }
    let attributes = Attributes::of(&before);
    if !attributes.still_hold(&from.metadata()?) {
        return Err(changed());
    }
    if verify {
        compare(&from, &to, 0, bytes)?;
    }
    told("its mode and times cannot be set", attributes.apply(&to))?;
    Ok((to, bytes))
}

fn copy_part(source: &Path, partial: &Path, start: u64, length: u64, verify: bool) -> io::Result<u64> {
    let from = told("cannot be read", File::open(source))?;
    let to = OpenOptions::new().read(true).write(true).open(partial)?;
    if copy_range(&from, &to, start, length, is_sparse(&from.metadata()?))? != length {
        return Err(changed());
    }
    if verify {
        compare(&from, &to, start, length)?;
    }
    Ok(length)
}

fn copy_link(source: &Path, partial: &Path, target: &Path) -> io::Result<()> {
    let leads_to = told("cannot be read", fs::read_link(source))?;
    partial::link(&leads_to, partial, target)
}

/// Puts a finished copy in its place, over whatever file or link was there.
pub(crate) fn rename(partial: &Path, target: &Path) -> io::Result<()> {
    told("its copy cannot be put in place", fs::rename(partial, target))
}

/// Says what was being done when an error came up.
pub(crate) fn told<T>(what: &str, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))
}

pub(crate) fn changed() -> io::Error {
    io::Error::other("changed while it was copied: copy it again when nobody writes to it")
}

/// A sparse file takes less room than its length.
fn is_sparse(metadata: &fs::Metadata) -> bool {
    metadata.blocks() * 512 < metadata.len()
}

/// Copies up to `length` bytes, to the same place of the other file, and says how many there were.
fn copy_range(from: &File, to: &File, start: u64, length: u64, sparse: bool) -> io::Result<u64> {
    if sparse {
        return copy_sparse(from, to, start, length);
    }
    let (mut from, mut to) = (from, to);
    if start > 0 {
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
    }
    // Between files, std lets the kernel copy (copy_file_range), which shares the blocks where the file system can.
    io::copy(&mut io::Read::take(from, length), &mut to)
}

const BUFFER: usize = 1 << 20;
/// Holes begin and end at the blocks of the file system.
const BLOCK: usize = 4096;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Copies what is not zero; the rest stays a hole. Std cannot ask where the holes are, so they are read.
fn copy_sparse(from: &File, to: &File, start: u64, length: u64) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut done = 0;
    while done < length {
        let base = start + done;
        let data = read_some(from, &mut buffer, base, length - done)?;
        if data.is_empty() {
            break;
        }
        done += data.len() as u64;
        // Neighbours of one kind go together: one write for a run of data, none for a run of zeros.
        let blocks: Vec<&[u8]> = data.chunks(BLOCK).collect();
        let mut at = 0;
        for run in blocks.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let end = at + run.iter().map(|block| block.len()).sum::<usize>();
            if !is_zero(run[0]) {
                to.write_all_at(&data[at..end], base + at as u64)?;
            }
            at = end;
        }
    }
    Ok(done)
}

fn is_zero(block: &[u8]) -> bool {
    block == &ZEROS[..block.len()]
}

fn read_some<'a>(file: &File, buffer: &'a mut [u8], at: u64, most: u64) -> io::Result<&'a [u8]> {
    let most = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    loop {
        match file.read_at(&mut buffer[..most], at) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result.map(|length| &buffer[..length]),
        }
    }
}

/// Reads both sides again and compares their hashes; one buffer serves both, however long they are.
fn compare(from: &File, to: &File, start: u64, length: u64) -> io::Result<()> {
    if hash(from, start, length)? == hash(to, start, length)? {
        return Ok(());
    }
    Err(io::Error::other("the copy differs from its source"))
}

fn hash(file: &File, start: u64, length: u64) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER];
    let mut done = 0;
    while done < length {
        match read_some(file, &mut buffer, start + done, length - done)? {
            [] => break,
            data => {
                hasher.update(data);
                done += data.len() as u64;
            }
        }
    }
    Ok(hasher.finalize())
}
