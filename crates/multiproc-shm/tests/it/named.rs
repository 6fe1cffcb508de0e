use crate::util::{directory, root, transfer, transfer_as};
use multiproc_core::Name;
use multiproc_core::codec::Limits;
use multiproc_core::sys::memory::Directory;
use multiproc_shm::{Shared, sweep_in};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[test]
fn created_opened_unlinked() {
    let dir = directory();
    let gate = name("gate");
    let first = Shared::create_in(&dir.names, &gate, AtomicU32::new(1)).unwrap();
    let second = Shared::<AtomicU32>::open_in(&dir.names, &gate).unwrap();
    second.fetch_add(1, Ordering::Relaxed);
    assert_eq!(first.load(Ordering::Relaxed), 2);
    assert!(Shared::ptr_eq(&first, &second));
    let info = fs::metadata(dir.path.join("gate")).unwrap();
    assert_eq!(info.mode() & 0o7777, 0o600);
    assert!(info.blocks() * 512 >= info.len());

    Shared::<AtomicU32>::unlink_in(&dir.names, &gate).unwrap();
    assert_eq!(first.load(Ordering::Relaxed), 2);
    assert!(Shared::<AtomicU32>::open_in(&dir.names, &gate).unwrap_err().is_not_found());
    assert!(Shared::<AtomicU32>::unlink_in(&dir.names, &gate).unwrap_err().is_not_found());
}

#[test]
fn the_public_functions_use_the_directory_of_the_user() {
    let gate = format!("test-public-{}", std::process::id());
    let first = Shared::create_named(&gate, 5u64).unwrap();
    assert!(Shared::create_named(&gate, 5u64).unwrap_err().is_already_exists());
    assert_eq!(*Shared::<u64>::open_named(&gate).unwrap(), 5);
    assert!(Shared::ptr_eq(&first, &Shared::open_or_create_named(&gate, 6).unwrap()));
    let user = multiproc_core::sys::memory::user_id();
    assert_eq!(fs::metadata(format!("/dev/shm/multiproc-{user}")).unwrap().mode() & 0o7777, 0o700);
    Shared::<u64>::unlink(&gate).unwrap();
    let error = Shared::<u64>::unlink(&gate).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn every_bad_name_has_an_error_of_its_own() {
    let long = "x".repeat(300);
    let mut texts = Vec::new();
    for bad in ["", "a\0b", "a/b", "..", &long] {
        let error = Shared::create_named(bad, 1u32).unwrap_err();
        assert!(error.is_invalid_name(), "{error}");
        assert!(Shared::<u32>::open_named(bad).unwrap_err().is_invalid_name());
        assert!(Shared::open_or_create_named(bad, 1u32).unwrap_err().is_invalid_name());
        let kind = Shared::<u32>::unlink(bad).unwrap_err().kind();
        assert_eq!(kind, std::io::ErrorKind::InvalidInput);
        texts.push(error.to_string());
    }
    for (text, part) in texts.iter().zip(["empty", "NUL", "slash", "directory", "300 bytes"]) {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn missing_existing_and_wrong_type_are_told_apart() {
    let dir = directory();
    let gate = name("gate");
    let error = Shared::<u32>::open_in(&dir.names, &gate).unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("\"gate\""), "{error}");
    let _value = Shared::create_in(&dir.names, &gate, 1u32).unwrap();
    assert!(Shared::create_in(&dir.names, &gate, 1u32).unwrap_err().is_already_exists());
    let error = Shared::<i32>::open_in(&dir.names, &gate).unwrap_err();
    assert!(error.is_wrong_type() && !error.is_corrupt(), "{error}");
    assert!(Shared::open_or_create_in(&dir.names, &gate, 1u64).unwrap_err().is_wrong_type());
}

#[test]
fn what_is_no_object_is_refused() {
    let dir = directory();
    let private = |text: &str, bytes: &[u8]| {
        fs::write(dir.path.join(text), bytes).unwrap();
        fs::set_permissions(dir.path.join(text), fs::Permissions::from_mode(0o600)).unwrap();
    };
    let open = |text: &str| Shared::<u32>::open_in(&dir.names, &name(text)).unwrap_err();

    private("empty", b"");
    assert!(open("empty").is_corrupt());
    private("noise", &[0x5a; 4096]);
    assert!(open("noise").is_corrupt());

    let good = Shared::create_in(&dir.names, &name("good"), 1u32).unwrap();
    let bytes = fs::read(dir.path.join("good")).unwrap();
    private("cut", &bytes[..bytes.len() - 1]);
    assert!(open("cut").is_corrupt());
    let mut other = bytes.clone();
    other[8] = 99;
    private("version", &other);
    assert!(open("version").to_string().contains("another version"));
    let mut other = bytes;
    other[40] ^= 1;
    private("namespace", &other);
    assert!(open("namespace").is_other_namespace());

    let large = Shared::create_in(&dir.names, &name("large"), [1u64; 4096]).unwrap();
    let bytes = fs::read(dir.path.join("large")).unwrap();
    private("sparse", &bytes[..4096]);
    fs::File::options()
        .write(true)
        .open(dir.path.join("sparse"))
        .unwrap()
        .set_len(bytes.len() as u64)
        .unwrap();
    let error = Shared::<[u64; 4096]>::open_in(&dir.names, &name("sparse")).unwrap_err();
    assert!(error.is_corrupt() && error.to_string().contains("holes"), "{error}");
    drop(large);

    symlink(dir.path.join("good"), dir.path.join("link")).unwrap();
    assert!(open("link").is_permission());
    fs::create_dir(dir.path.join("dir")).unwrap();
    assert!(open("dir").is_permission());
    fs::set_permissions(dir.path.join("good"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = open("good");
    assert!(error.is_permission() && error.to_string().contains("0644"), "{error}");
    drop(good);
}

#[test]
fn another_users_object_is_named_with_its_owner() {
    if !root("giving a file away") {
        return;
    }
    let dir = directory();
    let gate = name("gate");
    let _value = Shared::create_in(&dir.names, &gate, 1u32).unwrap();
    chown(dir.path.join("gate"), Some(4711), None).unwrap();
    for error in [
        Shared::<u32>::open_in(&dir.names, &gate).unwrap_err(),
        Shared::<u32>::open_or_create_in(&dir.names, &gate, 1).unwrap_err(),
        Shared::<u32>::unlink_in(&dir.names, &gate).unwrap_err(),
    ] {
        assert!(error.is_permission() && error.owner() == Some(4711), "{error}");
        assert!(error.to_string().contains("4711"), "{error}");
    }
    assert!(sweep_in(&dir.names).unwrap().is_empty());
}

#[test]
fn a_squatted_directory_is_an_error() {
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
    let at = |text: &str| Directory::at(&place.path().join(text)).unwrap_err();

    fs::write(place.path().join("file"), "").unwrap();
    assert!(at("file").is_permission());
    fs::create_dir(place.path().join("real")).unwrap();
    symlink(place.path().join("real"), place.path().join("link")).unwrap();
    assert!(at("link").is_permission());
    fs::create_dir(place.path().join("open")).unwrap();
    fs::set_permissions(place.path().join("open"), fs::Permissions::from_mode(0o755)).unwrap();
    let error = at("open");
    assert!(error.is_permission() && error.to_string().contains("0755"), "{error}");

    if root("giving a directory away") {
        fs::create_dir(place.path().join("theirs")).unwrap();
        chown(place.path().join("theirs"), Some(4711), None).unwrap();
        let error = at("theirs");
        assert_eq!(error.owner(), Some(4711));
        assert!(error.to_string().contains("4711"), "{error}");
    }
}

#[test]
fn one_of_many_creates() {
    let dir = directory();
    for round in 0..50 {
        let gate = name(&format!("gate-{round}"));
        let start = Barrier::new(4);
        let values: Vec<u32> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let (dir, gate, start) = (&dir.names, &gate, &start);
                    scope.spawn(move || {
                        start.wait();
                        *Shared::<u32>::open_or_create_in(dir, gate, number).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    }
}

#[test]
fn creating_unlinking_and_sweeping_race_safely() {
    let dir = directory();
    let gate = name("gate");
    std::thread::scope(|scope| {
        for number in 0..3 {
            let (dir, gate) = (&dir.names, &gate);
            scope.spawn(move || {
                for _ in 0..300 {
                    let value = Shared::<AtomicU32>::open_or_create_in(dir, gate, AtomicU32::new(7)).unwrap();
                    assert_eq!(value.load(Ordering::Relaxed), 7);
                    if number == 0 {
                        let _ = Shared::<AtomicU32>::unlink_in(dir, gate);
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..300 {
                sweep_in(&dir.names).unwrap();
            }
        });
    });
}

/// Counts on drop, so that a failed thread ends the others, too.
struct Done<'a>(&'a AtomicU32);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_held_name_is_never_swept() {
    let dir = directory();
    let gate = name("gate");
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let _done = Done(&done);
                for _ in 0..2000 {
                    let value = Shared::open_or_create_in(&dir.names, &gate, 7u32).unwrap();
                    // As long as it is held, whoever opens the name gets the same.
                    let same = Shared::<u32>::open_in(&dir.names, &gate).unwrap();
                    assert!(Shared::ptr_eq(&value, &same));
                }
            });
        }
        scope.spawn(|| {
            while done.load(Ordering::Relaxed) < 2 {
                sweep_in(&dir.names).unwrap();
            }
        });
    });
}

#[test]
fn sweeping_takes_what_nobody_holds() {
    let dir = directory();
    let held = Shared::create_in(&dir.names, &name("held"), 1u32).unwrap();
    drop(Shared::create_in(&dir.names, &name("left"), 1u32).unwrap());
    // A handle that arrived in a message holds it, too.
    let sent = transfer(&Shared::create_in(&dir.names, &name("sent"), 1u32).unwrap());
    fs::write(dir.path.join("foreign"), "").unwrap();
    assert_eq!(sweep_in(&dir.names).unwrap(), ["left"]);
    drop((held, sent));
    let mut swept = sweep_in(&dir.names).unwrap();
    swept.sort();
    assert_eq!(swept, ["held", "sent"]);
    assert!(dir.path.join("foreign").exists());
}

#[test]
fn a_named_value_is_a_message_within_the_family_only() {
    let dir = directory();
    let value = Shared::create_in(&dir.names, &name("gate"), AtomicU32::new(1)).unwrap();
    let other = transfer(&value);
    other.store(2, Ordering::Relaxed);
    assert_eq!(value.load(Ordering::Relaxed), 2);
    let error = transfer_as::<_, Shared<AtomicU32>>(&value, &Limits::untrusted()).unwrap_err();
    assert!(error.to_string().contains("family"), "{error}");
}
