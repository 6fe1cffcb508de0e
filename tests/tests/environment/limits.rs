use crate::behind;
use multiproc::{Mutex, Pool, Process, Queue, Shared, TaskError, pipe};
use multiproc_tests::{Limit, isolated, isolated_for, isolated_in_role, raw, skip};
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn no_descriptors_are_left() {
    isolated(|| {
        raw::set_hard_descriptor_limit(48);
        let mut queues = Vec::new();
        let error = loop {
            match Queue::<u32>::bounded(4) {
                Ok(queue) => queues.push(queue),
                Err(error) => break error,
            }
        };
        const EMFILE: i32 = 24;
        assert!(error.raw_os_error() == Some(EMFILE) || error.to_string().contains("descriptor"), "{error}");
        assert!(!queues.is_empty());
        // Whatever needs one says so, and nothing hangs.
        let mut pipes = Vec::new();
        while let Ok(ends) = pipe::<u8, u8>() {
            pipes.push(ends);
        }
        let error = Process::spawn((), |()| ()).unwrap_err();
        assert!(
            error.to_string().contains("descriptor") || error.to_string().contains("open files"),
            "{error}"
        );
        assert!(Pool::new(2).is_err());
        // What is there works as before.
        for (queue, number) in queues.iter().zip(0..) {
            queue.put(number).unwrap();
            assert_eq!(queue.get().unwrap(), number);
        }
        drop((queues, pipes));
        assert_eq!(Process::spawn(41, |number: u32| number + 1).unwrap().join().unwrap(), 42);
    });
}

#[test]
fn the_file_system_is_full() {
    let role = || {
        let text = [7_u8; 4096];
        let mut filled = 0;
        while fs::write(format!("/dev/shm/filler-{filled}"), text).is_ok() {
            filled += 1;
        }
        let error = Shared::create_named("full", Mutex::new(1_u32)).unwrap_err();
        assert!(error.is_no_space(), "{error}");
        let error = Queue::<u32>::builder().capacity(8).create_named("full-queue").unwrap_err();
        assert!(error.to_string().contains("space"), "{error}");
        // What has no name lies elsewhere.
        let (queue, lock) = (Queue::bounded(4).unwrap(), Shared::new(Mutex::new(0_u32)).unwrap());
        let child = Process::spawn((queue.clone(), lock.clone()), |(queue, lock)| {
            *lock.lock().unwrap() += 1;
            queue.put(vec![1_u8; 100_000]).unwrap();
        });
        assert_eq!(queue.get().unwrap().len(), 100_000);
        child.unwrap().join().unwrap();
        assert_eq!(*lock.lock().unwrap(), 1);
        // Nothing half-made is in the way when there is room again.
        (0..filled).for_each(|number| fs::remove_file(format!("/dev/shm/filler-{number}")).unwrap());
        drop(Shared::create_named("full", Mutex::new(1_u32)).unwrap());
        Shared::<Mutex<u32>>::unlink("full").unwrap();
        println!("reached the end");
    };
    isolated_in_role(Limit::default(), role, || {
        // The mount goes with the namespace.
        let script = "mount -t tmpfs -o size=1m none /dev/shm || exit 77; exec \"$@\"";
        let output = behind(&["unshare", "--mount", "sh", "-c", script, "sh"]).output();
        in_another_world(output, "a mount namespace");
    });
}

/// Looks at what a role did in a namespace of its own, if there can be one.
pub(crate) fn in_another_world(output: std::io::Result<std::process::Output>, what: &str) {
    let Ok(output) = output else { return skip(what, "there is no program `unshare`") };
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || text.contains("unshare failed") || text.contains("unshare: ") {
        return skip(what, format_args!("it cannot be made here: {text}"));
    }
    assert!(output.status.success(), "{}: {text}", output.status);
    assert!(text.contains("reached the end"), "{text}");
}

const LIMIT: u64 = 96 << 20;

/// A control group with a limit of memory, of whichever version the machine has; gone when it is dropped.
struct Group(PathBuf);

impl Group {
    fn small() -> Option<Group> {
        let candidates = [
            (Path::new("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
            (Path::new("/sys/fs/cgroup"), "memory.max"),
        ];
        for (root, limit) in candidates {
            let group = root.join(format!("multiproc-environment-{}", std::process::id()));
            if root.join("cgroup.procs").exists() && fs::create_dir(&group).is_ok() {
                let group = Group(group);
                if fs::write(group.0.join(limit), LIMIT.to_string()).is_ok() {
                    // Where there is swap, it is not to be the way out.
                    let _ = fs::write(group.0.join("memory.swap.max"), "0");
                    return Some(group);
                }
            }
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Who was in it is gone, or going.
        multiproc_tests::eventually(Duration::from_secs(10), "the control group is empty", || {
            fs::remove_dir(&self.0).is_ok()
        });
    }
}

/// Enters the group and takes more than it has.
fn take_too_much(group: String) -> u64 {
    fs::write(Path::new(&group).join("cgroup.procs"), std::process::id().to_string()).unwrap();
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(black_box(vec![1; 1 << 20]));
    }
}

#[test]
fn the_memory_of_a_control_group_is_used_up() {
    isolated_for(Limit(Duration::from_secs(120)), || {
        let Some(group) = Group::small() else {
            return skip("the memory of a control group", "none with a limit can be made here");
        };
        let path = group.0.to_str().unwrap().to_owned();
        let pool = Pool::new(2).unwrap();
        let others = pool.map_async(0..2_000_u64, |number| number + 1);
        match pool.apply(path, take_too_much) {
            Err(TaskError::WorkerDied { status, .. }) => assert_eq!(status.signal(), Some(9), "{status:?}"),
            other => panic!("the kernel killed nobody: {other:?}"),
        }
        // Nobody else's work is touched, and the pool is whole again.
        assert_eq!(others.get().unwrap().into_iter().sum::<u64>(), (1..=2_000).sum::<u64>());
        assert_eq!(pool.apply(20, |number: u64| number * 2).unwrap(), 40);
        pool.terminate();
        drop(pool);
    });
}
