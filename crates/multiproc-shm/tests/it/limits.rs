//! More memory than there is: an error, quickly, and neither SIGBUS nor the out-of-memory killer.

use crate::util::{root, skip};
use multiproc_core::Name;
use multiproc_core::sys::memory::Directory;
use multiproc_shm::{BytesPool, Shared, SharedBytes, SharedBytesMut, SharedMemory, SharedSlice, sweep};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the machine has free, from the kernel's own text.
fn available() -> usize {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with("MemAvailable:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn larger_than_the_machine() {
    let asked = available() + (1 << 30);
    for error in [
        SharedBytesMut::zeroed(asked).unwrap_err(),
        SharedSlice::<u8>::new(asked).unwrap_err(),
        BytesPool::new(asked / 4, 5).unwrap_err(),
        SharedBytesMut::zeroed(usize::MAX).unwrap_err(),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory, "{error}");
        assert!(error.to_string().contains("are free"), "{error}");
    }
    // Nothing was taken for it.
    assert!(available() > (asked - (1 << 30)) / 2);
}

/// A mounted file system, unmounted on drop.
struct Mount(tempfile::TempDir);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn larger_than_the_file_system_of_names() {
    if !root("mounting a small tmpfs") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k,mode=1777", "tmpfs"])
        .arg(place.path())
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        return skip("a full file system of names", "a tmpfs cannot be mounted here");
    }
    let place = Mount(place);
    let names = Directory::at(&place.0.path().join("names")).unwrap();
    let name = Name::new("large").unwrap();
    let error = Shared::create_in(&names, &name, [0u8; 512 << 10]).unwrap_err();
    assert!(error.is_no_space(), "{error}");
    assert!(error.to_string().contains("\"large\""), "{error}");
    // Several that fit one by one and not together.
    let made = (0..8)
        .map(|number| Shared::create_in(&names, &Name::new(&format!("n{number}")).unwrap(), [1u8; 64 << 10]))
        .take_while(Result::is_ok)
        .count();
    assert!((1..4).contains(&made), "{made}");
    drop(names);
}

const GROUP: &str = "MULTIPROC_TEST_GROUP";
const LIMIT: u64 = 64 << 20;

/// Makes a control group with a limit below `/sys/fs/cgroup`, of whichever version the machine has.
fn small_group() -> Option<PathBuf> {
    let name = format!("multiproc-test-{}", std::process::id());
    let candidates = [
        (Path::new("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path::new("/sys/fs/cgroup"), "memory.max"),
    ];
    for (root, limit) in candidates {
        let group = root.join(&name);
        if root.join("cgroup.procs").exists() && fs::create_dir(&group).is_ok() {
            if group.join(limit).exists() && fs::write(group.join(limit), LIMIT.to_string()).is_ok() {
                return Some(group);
            }
            let _ = fs::remove_dir(&group);
        }
    }
    None
}

#[test]
fn larger_than_the_control_group() {
    if let Some(group) = std::env::var_os(GROUP) {
        return in_small_group(Path::new(&group));
    }
    let Some(group) = small_group() else {
        return skip("a full control group", "none with a memory limit can be made here");
    };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "limits::larger_than_the_control_group", "--nocapture"])
        .env(GROUP, &group)
        .output();
    let _ = fs::remove_dir(&group);
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", output.status);
    assert!(text.contains("reached the end"), "{text}");
}

fn in_small_group(group: &Path) {
    fs::write(group.join("cgroup.procs"), std::process::id().to_string()).unwrap();
    // Half of it can be had.
    let held = SharedBytesMut::zeroed(LIMIT as usize / 2).unwrap();
    for asked in [LIMIT, LIMIT / 2 + (1 << 20)] {
        let error = SharedBytesMut::zeroed(asked as usize).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory, "{error}");
        assert!(error.to_string().contains("control group"), "{error}");
        assert!(error.to_string().contains(&asked.to_string()), "{error}");
    }
    drop(held);
    SharedBytesMut::zeroed(LIMIT as usize / 2).unwrap();
    // Most of what there is: opening it again takes nothing more.
    let name = format!("multiproc-test-most-{}", std::process::id());
    let block = SharedMemory::create(&name, LIMIT as usize / 4 * 3).unwrap();
    let same = SharedMemory::open(&name);
    SharedMemory::unlink(&name).unwrap();
    assert_eq!(same.unwrap().len(), block.len());
    println!("reached the end");
}

const DESCRIPTORS: &str = "MULTIPROC_TEST_DESCRIPTORS";

/// Runs a test again, in a process of its own with these limits of open descriptors; it finds `what` there.
fn with_descriptors(test: &str, what: usize, soft: u32, hard: u32) {
    let output = Command::new("sh")
        .args(["-c", "ulimit -Sn \"$1\" && ulimit -Hn \"$2\" && shift 2 && exec \"$@\"", "sh"])
        .args([soft.to_string(), hard.to_string()])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DESCRIPTORS, what.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", output.status);
    assert!(text.contains("reached the end"), "{text}");
}

/// An object of one of six kinds.
fn object(kind: usize, block: &str) -> io::Result<Box<dyn std::any::Any>> {
    Ok(match kind {
        0 => Box::new(Shared::new(1u32)?),
        1 => Box::new(SharedBytes::copy_from(b"abc")?),
        2 => Box::new(SharedBytesMut::zeroed(300 << 10)?),
        3 => Box::new(SharedSlice::from_slice(&[1u16])?),
        4 => Box::new(SharedMemory::open(block)?),
        _ => {
            let pool = BytesPool::new(100, 2)?;
            let lent = pool.take()?;
            Box::new((pool, lent))
        }
    })
}

#[test]
fn the_soft_limit_of_descriptors_is_raised() {
    // The first that finds no descriptor left raises the limit for all, so each kind has a process of its own.
    let Ok(kind) = std::env::var(DESCRIPTORS) else {
        let test = "limits::the_soft_limit_of_descriptors_is_raised";
        return (0..6).for_each(|kind| with_descriptors(test, kind, 24, 4096));
    };
    let kind = kind.parse().unwrap();
    let block = format!("multiproc-test-soft-{}", std::process::id());
    let _block = SharedMemory::create(&block, 10).unwrap();
    let made = (0..100).map(|_| object(kind, &block)).collect::<io::Result<Vec<_>>>();
    SharedMemory::unlink(&block).unwrap();
    assert_eq!(made.unwrap().len(), 100);
    println!("reached the end");
}

#[test]
fn the_hard_limit_of_descriptors_says_what_to_do() {
    if std::env::var_os(DESCRIPTORS).is_none() {
        return with_descriptors("limits::the_hard_limit_of_descriptors_says_what_to_do", 0, 24, 24);
    }
    let name = format!("multiproc-test-hard-{}", std::process::id());
    let block = SharedMemory::create(&name, 10).unwrap();
    let mut made: Vec<_> = std::iter::from_fn(|| Shared::new(1u32).ok()).take(100).collect();
    assert!((1..24).contains(&made.len()), "{}", made.len());
    let mut errors: Vec<io::Error> = (0..6).filter_map(|kind| object(kind, &name).err()).collect();
    errors.push(SharedMemory::create("multiproc-test-none", 10).unwrap_err().into());
    errors.push(Shared::create_named("multiproc-test-none", 1u32).unwrap_err().into());
    errors.push(Shared::<u32>::open_named("multiproc-test-none").unwrap_err().into());
    errors.push(sweep().unwrap_err());
    SharedMemory::unlink(&name).unwrap();
    assert_eq!(errors.len(), 10);
    for error in errors {
        assert!(error.to_string().contains("raise the hard limit"), "{error}");
    }
    // With room for a directory and not for what is in it.
    made.pop();
    let error = Shared::create_named("multiproc-test-none", 1u32).unwrap_err();
    assert!(error.to_string().contains("raise the hard limit"), "{error}");
    drop((made, block));
    println!("reached the end");
}
