//! What `/proc` tells of processes. One that is gone, or that may not be looked at, is not there.

use multiproc_core::sys::memory::user_id;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Instant;

/// What a file is that processes have in common: device and number.
pub(crate) type Identity = (u64, u64);

/// What is read of a process each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) state: char,
    pub(crate) parent: u32,
    /// Ticks of processor time.
    pub(crate) ticks: u64,
    pub(crate) threads: u32,
    /// When it started: with its number this tells it from all others.
    pub(crate) start: u64,
    pub(crate) pages: u64,
    /// When this was read.
    pub(crate) at: Option<Instant>,
}

impl Stat {
    /// Reads the line of `/proc/PID/stat`. The name may have anything in it.
    fn parse(line: &str) -> Option<Stat> {
        let (front, rest) = line.rsplit_once(')')?;
        let (id, name) = front.split_once('(')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Stat {
            id: id.trim().parse().ok()?,
            name: plain(name),
            state: fields.first()?.chars().next()?,
            parent: u32::try_from(number(1)?).ok()?,
            ticks: number(11)?.saturating_add(number(12)?),
            threads: u32::try_from(number(17)?).ok()?,
            start: number(19)?,
            pages: number(21)?,
            at: None,
        })
    }
}

/// Text of others without what a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// This user's processes, the calling one among them.
pub(crate) fn own_processes() -> BTreeMap<u32, Stat> {
    let user = user_id();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if entry.metadata().is_ok_and(|info| info.uid() == user)
            && let Some(stat) = stat(id)
        {
            found.insert(id, stat);
        }
    }
    found
}

fn stat(id: u32) -> Option<Stat> {
    // The name need not be UTF-8.
    let line = fs::read(format!("/proc/{id}/stat")).ok()?;
    let stat = Stat::parse(&String::from_utf8_lossy(&line))?;
    Some(Stat { at: Some(Instant::now()), ..stat })
}

/// The process that a thread belongs to.
pub(crate) fn process_of(thread: u32) -> Option<u32> {
    let status = fs::read(format!("/proc/{thread}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// The file of the program that a process runs.
pub(crate) fn executable(id: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{id}/exe")).ok()
}

/// Its environment as it was when it began.
pub(crate) fn environment(id: u32) -> Vec<u8> {
    fs::read(format!("/proc/{id}/environ")).unwrap_or_default()
}

/// A file that a process has open.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    /// Where it can be opened.
    pub(crate) path: PathBuf,
    /// What the system calls it.
    pub(crate) link: String,
    pub(crate) identity: Identity,
    pub(crate) allocated: u64,
}

/// What memory of ours a process has open, each once.
pub(crate) fn shared_files(id: u32, names: &str) -> Vec<Open> {
    let mut found: Vec<Open> = Vec::new();
    for entry in fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten() {
        let path = entry.path();
        let Some(link) = fs::read_link(&path).ok().and_then(|link| link.to_str().map(str::to_owned)) else {
            continue;
        };
        if !link.starts_with("/memfd:multiproc-") && !link.starts_with(names) {
            continue;
        }
        // Who can only read it is another watcher.
        let can_write = fs::symlink_metadata(&path).is_ok_and(|link| link.mode() & 0o200 != 0);
        let Ok(info) = fs::metadata(&path) else { continue };
        let identity = (info.dev(), info.ino());
        if !can_write || !info.is_file() || found.iter().any(|open| open.identity == identity) {
            continue;
        }
        let link = plain(link.strip_suffix(" (deleted)").unwrap_or(&link));
        found.push(Open { path, link, identity, allocated: info.blocks() * 512 });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_name() {
        let line = "42 (a) b (\u{1b}[2J) S 7 42 42 0 -1 4194304 1 2 3 4 50 60 0 0 20 0 3 0 12345 99 77 18446744073709551615";
        let stat = Stat::parse(line).unwrap();
        let expected = Stat {
            id: 42,
            name: "a) b (\u{fffd}[2J".to_owned(),
            state: 'S',
            parent: 7,
            ticks: 110,
            threads: 3,
            start: 12345,
            pages: 77,
            at: None,
        };
        assert_eq!(stat, expected);
        for end in 0..line.len() {
            if line.is_char_boundary(end) {
                // Whatever comes of a part, it is no panic.
                let _ = Stat::parse(&line[..end]);
            }
        }
    }

    #[test]
    fn this_process_is_there() {
        let own = &own_processes()[&std::process::id()];
        assert!(own.threads > 0 && own.pages > 0);
        assert_eq!(process_of(own.id), Some(own.id));
    }
}
