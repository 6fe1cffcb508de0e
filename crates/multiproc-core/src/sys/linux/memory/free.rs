use crate::sys::fd::with_descriptors;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Below this an allocation is not worth the reads of `/proc` and the control groups.
const SMALL: u64 = 256 * 1024;

/// A request for more memory than is free; the payload of an [`io::ErrorKind::OutOfMemory`] error.
#[derive(Debug, thiserror::Error)]
#[error(
    "{asked} bytes of shared memory were asked for and {free} are free {place}: ask for less, or free some first"
)]
pub struct MemoryShort {
    asked: u64,
    free: u64,
    place: Place,
}

impl MemoryShort {
    /// The number of bytes that were asked for.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// The number of bytes that were free.
    pub fn free(&self) -> u64 {
        self.free
    }

    fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::OutOfMemory, self)
    }
}

#[derive(Debug, thiserror::Error)]
enum Place {
    #[error("on this machine")]
    Machine,
    #[error("in the control group {}", .0.display())]
    Group(PathBuf),
    #[error("in this address space")]
    AddressSpace,
}

/// Checks that `len` more bytes of shared memory fit in what is free.
///
/// A memfd has no limit of its own: without this check, allocating too much would bring the out-of-memory
/// killer instead of an error. What is free is the machine's `MemAvailable` and the room in each control
/// group around this process, version 1 or 2; what cannot be read is taken for unlimited. Small requests
/// are not checked.
///
/// # Errors
///
/// [`io::ErrorKind::OutOfMemory`] with a [`MemoryShort`] inside.
pub fn check_free(len: u64) -> io::Result<()> {
    if isize::try_from(len).is_err() {
        return Err(MemoryShort { asked: len, free: isize::MAX as u64, place: Place::AddressSpace }.into_io());
    }
    if len < SMALL {
        return Ok(());
    }
    // Page tables and the page cache's index are charged beside the pages: about 0.4 per cent.
    let needed = len.saturating_add(len / 128);
    if let Some(free) = machine_free()
        && needed > free
    {
        return Err(MemoryShort { asked: len, free, place: Place::Machine }.into_io());
    }
    for group in enclosing_groups() {
        if let Some(free) = group.short_of(needed) {
            return Err(MemoryShort { asked: len, free, place: Place::Group(group.path) }.into_io());
        }
    }
    Ok(())
}

/// Reads a text of the kernel's, `None` if it cannot be had.
///
/// Want of descriptors must not look like want of a limit.
fn read(path: &Path) -> Option<String> {
    with_descriptors(|| fs::read_to_string(path)).ok()
}

/// The kernel's own estimate of what can be had without swapping.
fn machine_free() -> Option<u64> {
    let text = read(Path::new("/proc/meminfo"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

#[derive(Debug)]
struct Group {
    version: Version,
    path: PathBuf,
}

impl Group {
    /// The room left, if it is less than `needed`: the limit less what is used and cannot be reclaimed.
    fn short_of(&self, needed: u64) -> Option<u64> {
        let (limit, usage, inactive, active) = match self.version {
            Version::One => {
                ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file")
            }
            Version::Two => ("memory.max", "memory.current", "inactive_file", "active_file"),
        };
        // "max" is no number, so an unlimited group of version 2 ends here; version 1 says it by a huge one.
        let limit = self.number(limit)?;
        if limit >= i64::MAX as u64 & !0xffff_ffff {
            return None;
        }
        let usage = self.number(usage)?;
        if limit.saturating_sub(usage) >= needed {
            return None;
        }
        // The slowest to read, and only now of interest.
        let stat = read(&self.path.join("memory.stat")).unwrap_or_default();
        let reclaimable = field(&stat, inactive).saturating_add(field(&stat, active));
        let free = limit.saturating_sub(usage.saturating_sub(reclaimable));
        (free < needed).then_some(free)
    }

    fn number(&self, file: &str) -> Option<u64> {
        read(&self.path.join(file))?.trim().parse().ok()
    }
}

fn field(stat: &str, name: &str) -> u64 {
    stat.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

/// Where memory control groups are mounted.
struct Mount {
    version: Version,
    /// What of the hierarchy is shown there: a container without a namespace of its own sees a subtree.
    root: PathBuf,
    point: PathBuf,
}

/// The groups that hold this process, innermost first, of whichever hierarchies account for memory.
fn enclosing_groups() -> Vec<Group> {
    // Long to read and not expected to change, unlike the groups of a process.
    static MOUNTS: OnceLock<Vec<Mount>> = OnceLock::new();
    let mounts = MOUNTS.get_or_init(|| mounts(&read(Path::new("/proc/self/mountinfo")).unwrap_or_default()));
    if mounts.is_empty() {
        return Vec::new();
    }
    groups(&read(Path::new("/proc/self/cgroup")).unwrap_or_default(), mounts)
}

fn groups(own: &str, mounts: &[Mount]) -> Vec<Group> {
    let mut groups = Vec::new();
    for line in own.lines() {
        // "4:memory:/path" in version 1, "0::/path" in version 2.
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let version = if controllers.split(',').any(|name| name == "memory") {
            Version::One
        } else if number == "0" && controllers.is_empty() {
            Version::Two
        } else {
            continue;
        };
        if let Some(mount) = mounts.iter().find(|mount| mount.version == version) {
            // Where the path lies outside what is mounted, the mount point is all that can be seen.
            let below = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
            let outside = below.components().any(|part| part.as_os_str() == "..");
            let leaf = mount.point.join(if outside { Path::new("") } else { below });
            groups.extend(
                leaf.ancestors()
                    .take_while(|path| path.starts_with(&mount.point))
                    .map(|path| Group { version, path: path.to_owned() }),
            );
        }
    }
    groups
}

/// The mounts of memory control groups among the lines of `mountinfo`.
fn mounts(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let kind = after.next()?;
    let options = after.nth(1)?;
    let version = match kind {
        "cgroup" if options.split(',').any(|option| option == "memory") => Version::One,
        "cgroup2" => Version::Two,
        _ => return None,
    };
    let mut before = before.split(' ').skip(3);
    let root = PathBuf::from(unescape(before.next()?));
    let point = PathBuf::from(unescape(before.next()?));
    Some(Mount { version, root, point })
}

/// Undoes the octal escapes that `mountinfo` uses for blanks.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                let _ = write!(out, "\\");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_version_one_and_two_are_found() {
        let own = "4:memory:/a/b\n3:cpuset:/\n0::/c\n";
        let mounts = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw\n";
        let paths: Vec<_> = groups(own, &super::mounts(mounts)).into_iter().map(|g| g.path).collect();
        let expected = [
            "/sys/fs/cgroup/memory/a/b",
            "/sys/fs/cgroup/memory/a",
            "/sys/fs/cgroup/memory",
            "/sys/fs/cgroup/uni fied/c",
            "/sys/fs/cgroup/uni fied",
        ];
        assert_eq!(paths, expected.map(PathBuf::from));
    }

    #[test]
    fn a_container_without_a_namespace_sees_its_subtree() {
        let own = "0::/docker/x/inner\n";
        let mounts = "41 31 0:38 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let paths: Vec<_> = groups(own, &super::mounts(mounts)).into_iter().map(|g| g.path).collect();
        assert_eq!(paths, ["/sys/fs/cgroup/inner", "/sys/fs/cgroup"].map(PathBuf::from));
    }

    #[test]
    fn reclaimable_files_count_as_free() {
        let dir = std::env::temp_dir().join(format!("multiproc-group-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("memory.max"), "1000\n").unwrap();
        fs::write(dir.join("memory.current"), "900\n").unwrap();
        fs::write(dir.join("memory.stat"), "inactive_file 100\nactive_file 50\n").unwrap();
        let group = Group { version: Version::Two, path: dir.clone() };
        assert_eq!(group.short_of(251), Some(250));
        assert_eq!(group.short_of(250), None);
        assert_eq!(group.short_of(100), None);
        fs::write(dir.join("memory.max"), "max\n").unwrap();
        assert_eq!(group.short_of(u64::MAX), None);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn too_much_says_how_much() {
        let error = check_free(1 << 60).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains(&(1u64 << 60).to_string()), "{error}");
        check_free(4096).unwrap();
    }
}
