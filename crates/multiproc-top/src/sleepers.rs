//! Who sleeps on which word of shared memory.
//!
//! The kernel tells of a thread which system call it is in, with its arguments, and where a process has mapped which
//! file. The words of a call that waits for several are in the caller's memory, which is read.

use crate::proc::Identity;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// A thread that sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sleeper {
    pub(crate) process: u32,
    pub(crate) thread: u32,
    /// On the word at this offset.
    pub(crate) offset: u64,
}

/// By the file that the words are in.
pub(crate) type Sleepers = HashMap<Identity, Vec<Sleeper>>;

const FUTEX: u64 = if cfg!(target_arch = "aarch64") { 98 } else { 202 };
const FUTEX_WAITV: u64 = 449;
/// The operations of `futex` that wait: `FUTEX_WAIT` and `FUTEX_WAIT_BITSET`.
const WAITS: [u64; 2] = [0, 9];
/// The bits of an operation that only say how.
const HOW: u64 = 128 | 256;
/// The most words that one call can wait for.
const WORDS: u64 = 128;

/// Adds those of a process; tells whether the system lets them be seen. One that has ended has none.
pub(crate) fn find(process: u32, sleepers: &mut Sleepers) -> bool {
    let mut words = Vec::new();
    let mut is_allowed = true;
    for task in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        let Some(thread) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match fs::read_to_string(task.path().join("syscall")) {
            Ok(call) => words.extend(addresses(process, &call).into_iter().map(|address| (thread, address))),
            Err(error) => is_allowed &= error.kind() != io::ErrorKind::PermissionDenied,
        }
    }
    if words.is_empty() {
        return is_allowed;
    }
    let maps = fs::read(format!("/proc/{process}/maps")).unwrap_or_default();
    let maps: Vec<Mapping> = String::from_utf8_lossy(&maps).lines().filter_map(Mapping::parse).collect();
    for (thread, address) in words {
        if let Some(map) = maps.iter().find(|map| (map.start..map.end).contains(&address)) {
            let offset = map.offset.saturating_add(address - map.start);
            sleepers.entry(map.identity).or_default().push(Sleeper { process, thread, offset });
        }
    }
    is_allowed
}

/// The addresses that a thread sleeps on, as its `syscall` file tells.
fn addresses(process: u32, call: &str) -> Vec<u64> {
    let mut fields = call.split_ascii_whitespace();
    // A thread that runs says so in a word.
    let Some(Ok(number)) = fields.next().map(str::parse::<u64>) else { return Vec::new() };
    let mut argument = || u64::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok();
    let (Some(first), Some(second)) = (argument(), argument()) else { return Vec::new() };
    match number {
        FUTEX if WAITS.contains(&(second & !HOW & 0xffff_ffff)) => vec![first],
        FUTEX_WAITV => several(process, first, second.min(WORDS)),
        _ => Vec::new(),
    }
}

/// The addresses in an array of `struct futex_waitv`: value, address, flags.
fn several(process: u32, array: u64, count: u64) -> Vec<u64> {
    const LEN: usize = 24;
    let mut bytes = vec![0; count as usize * LEN];
    let read =
        File::open(format!("/proc/{process}/mem")).and_then(|file| file.read_exact_at(&mut bytes, array));
    if read.is_err() {
        return Vec::new();
    }
    bytes.chunks_exact(LEN).map(|entry| multiproc_shm::peek::word(entry, 8)).collect()
}

/// A line of `/proc/PID/maps` that is about memory of ours.
struct Mapping {
    start: u64,
    end: u64,
    offset: u64,
    identity: Identity,
}

impl Mapping {
    fn parse(line: &str) -> Option<Mapping> {
        if !line.contains("multiproc-") {
            return None;
        }
        let mut fields = line.split_ascii_whitespace();
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let (start, end) = fields.next()?.split_once('-')?;
        let offset = fields.nth(1)?;
        let (major, minor) = fields.next()?.split_once(':')?;
        let inode = fields.next()?.parse().ok()?;
        let (major, minor) = (hex(major)?, hex(minor)?);
        // As `makedev` of the C library.
        let device = major >> 12 << 44 | (major & 0xfff) << 8 | minor >> 8 << 20 | minor & 0xff;
        Some(Mapping { start: hex(start)?, end: hex(end)?, offset: hex(offset)?, identity: (device, inode) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = "7f00-7f80 rw-s 00001000 00:01 1046     /memfd:multiproc-queue (deleted)";
        let map = Mapping::parse(line).unwrap();
        assert_eq!((map.start, map.end, map.offset, map.identity), (0x7f00, 0x7f80, 0x1000, (1, 1046)));
        assert!(Mapping::parse("7f00-7f80 r-xp 00001000 00:01 1046     /usr/lib/libc.so").is_none());
        assert!(Mapping::parse("multiproc-").is_none());
        assert_eq!(
            addresses(1, "202 0x7f10 0x80 0x1 0x0 0x0 0x0 0x7ffd 0x7f"),
            if FUTEX == 202 { vec![0x7f10] } else { vec![] }
        );
        for call in ["running", "-1 0x1 0x2", "202 0x7f10 0x81 0x1", "202", "0 0x1 0x2", ""] {
            assert!(addresses(1, call).is_empty(), "{call}");
        }
    }
}
