use crate::util::{skip, transfer, transfer_as};
use multiproc_core::codec::Limits;
use multiproc_shm::SharedMemory;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

fn name(text: &str) -> String {
    format!("multiproc-test-{text}-{}", std::process::id())
}

#[test]
fn created_opened_unlinked() {
    let name = name("block");
    let block = SharedMemory::create(&name, 5000).unwrap();
    let info = std::fs::metadata(format!("/dev/shm/{name}")).unwrap();
    assert_eq!((info.len(), info.mode() & 0o7777), (5000, 0o600));
    assert_eq!((block.len(), block.name()), (5000, name.as_str()));
    assert!(SharedMemory::create(&name, 1).unwrap_err().is_already_exists());

    let other = SharedMemory::open(&name).unwrap();
    for (offset, len) in [(0, 1), (7, 100), (1, 4999), (4999, 1), (5000, 0)] {
        let bytes: Vec<u8> = (0..len).map(|index| (index * 7 + offset) as u8).collect();
        other.write_at(offset, &bytes).unwrap();
        let mut read = vec![0; len];
        block.read_at(offset, &mut read).unwrap();
        assert_eq!(read, bytes);
    }
    drop(other);
    SharedMemory::unlink(&name).unwrap();
    assert!(SharedMemory::open(&name).unwrap_err().is_not_found());
    assert_eq!(SharedMemory::unlink(&name).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn bad_names_and_sizes_are_errors() {
    for bad in ["", "a/b", "a\0b", &"x".repeat(300)] {
        assert!(SharedMemory::create(bad, 1).unwrap_err().is_invalid_name());
        assert!(SharedMemory::open(bad).unwrap_err().is_invalid_name());
    }
    let name = name("huge");
    assert!(SharedMemory::create(&name, 0).is_err());
    assert!(SharedMemory::create(&name, 1 << 50).unwrap_err().is_out_of_memory());
    // Nothing half-made is left.
    assert!(SharedMemory::open(&name).unwrap_err().is_not_found());
}

#[test]
#[should_panic(expected = "bytes 8..12 of a shared block of 10")]
fn beyond_the_end_panics() {
    let name = name("end");
    let block = SharedMemory::create(&name, 10).unwrap();
    SharedMemory::unlink(&name).unwrap();
    let _ = block.read_at(8, &mut [0; 4]);
}

#[test]
fn a_block_is_a_message_within_the_family_only() {
    let name = name("message");
    let block = SharedMemory::create(&name, 10).unwrap();
    SharedMemory::unlink(&name).unwrap();
    let other = transfer(&block);
    other.write_at(2, b"abc").unwrap();
    let mut read = [0; 3];
    block.read_at(2, &mut read).unwrap();
    assert_eq!((&read, other.name()), (b"abc", name.as_str()));
    assert!(transfer_as::<_, SharedMemory>(&block, &Limits::untrusted()).is_err());
}

#[test]
fn a_sparse_block_is_filled_when_it_is_opened() {
    let name = name("sparse");
    let path = format!("/dev/shm/{name}");
    std::fs::File::create_new(&path).unwrap().set_len(1 << 20).unwrap();
    let block = SharedMemory::open(&name);
    SharedMemory::unlink(&name).unwrap();
    assert_eq!(block.unwrap().len(), 1 << 20);
}

/// Cuts a block's file as another program would, and gives it a new length.
fn cut(name: &str, to: u64, and_then: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(format!("/dev/shm/{name}")).unwrap();
    file.set_len(to).unwrap();
    file.set_len(and_then).unwrap();
}

#[test]
fn a_cut_block_is_an_error_and_does_not_grow_again() {
    let name = name("cut");
    let block = SharedMemory::create(&name, 100_000).unwrap();
    block.write_at(0, &[1; 100_000]).unwrap();
    cut(&name, 5000, 5000);
    let other = SharedMemory::open(&name).unwrap();
    SharedMemory::unlink(&name).unwrap();

    // In what is left all is as before.
    let mut read = [0; 2000];
    block.read_at(3000, &mut read).unwrap();
    assert_eq!(read, [1; 2000]);
    block.write_at(4999, b"x").unwrap();
    // Small and large, astride the new end and beyond it.
    for (offset, len) in [(4999, 2), (4000, 2000), (50_000, 1), (50_000, 20_000)] {
        for error in [
            block.read_at(offset, &mut vec![0; len]).unwrap_err(),
            block.write_at(offset, &vec![7; len]).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert!(error.to_string().contains("has cut") && error.to_string().contains(&name), "{error}");
        }
    }
    assert_eq!((block.len(), other.len()), (100_000, 5000));
    let mut read = [0; 1000];
    other.read_at(4000, &mut read).unwrap();
    assert_eq!((&read[..999], read[999]), (&[1; 999][..], b'x'));
}

#[test]
fn a_received_block_with_holes_or_without_bytes_is_refused() {
    let name = name("holes");
    let block = SharedMemory::create(&name, 100_000).unwrap();
    cut(&name, 0, 100_000);
    let holes = transfer_as::<_, SharedMemory>(&block, &Limits::trusted()).unwrap_err();
    cut(&name, 0, 0);
    let nothing = transfer_as::<_, SharedMemory>(&block, &Limits::trusted()).unwrap_err();
    SharedMemory::unlink(&name).unwrap();
    assert!(holes.to_string().contains("has holes"), "{holes}");
    assert!(nothing.to_string().contains("no bytes"), "{nothing}");
}

/// Ends the other thread also when this one fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_name_never_stands_for_half_a_block() {
    const LEN: usize = 2 << 20;
    let name = name("whole");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _done = Done(&done);
            for _ in 0..150 {
                drop(SharedMemory::create(&name, LEN).unwrap());
                SharedMemory::unlink(&name).unwrap();
            }
        });
        while !done.load(Ordering::Relaxed) {
            // The file as anybody else sees it, and as this library opens it.
            if let Ok(file) = std::fs::File::open(format!("/dev/shm/{name}")) {
                let info = file.metadata().unwrap();
                assert!(info.len() == LEN as u64 && info.blocks() * 512 >= info.len(), "{info:?}");
            }
            match SharedMemory::open(&name) {
                Ok(block) => assert_eq!(block.len(), LEN),
                Err(error) => assert!(error.is_not_found(), "{error}"),
            }
        }
    });
}

#[test]
fn a_taken_name_is_told_before_the_memory_is_asked_for() {
    let name = name("taken");
    std::os::unix::fs::symlink("nowhere", format!("/dev/shm/{name}")).unwrap();
    let errors = [10, 1 << 50].map(|len| SharedMemory::create(&name, len).unwrap_err());
    SharedMemory::unlink(&name).unwrap();
    assert!(errors.iter().all(|error| error.is_already_exists()), "{errors:?}");
}

#[test]
fn python_is_the_other_end() {
    let python = |script: &str, name: &str| {
        Command::new("python3").args(["-c", script, name]).output().map(|output| {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        })
    };
    // Before 3.13 an opener's tracker unlinks the block at exit: take it out of the tracker's list.
    let attach = "import sys\nfrom multiprocessing import shared_memory as s, resource_tracker as r\n\
                  b = s.SharedMemory(name=sys.argv[1])\nr.unregister(b._name, 'shared_memory')\n";

    let ours = name("ours");
    let block = SharedMemory::create(&ours, 100).unwrap();
    block.write_at(0, b"from rust").unwrap();
    let script = format!("{attach}print(b.size, bytes(b.buf[:9]).decode())\nb.buf[50:52] = b'py'\nb.close()");
    let printed = match python(&script, &ours) {
        Ok(printed) => printed,
        Err(error) => {
            SharedMemory::unlink(&ours).unwrap();
            return skip("blocks shared with Python", &format!("python3 cannot be run: {error}"));
        }
    };
    assert_eq!(printed.trim(), "100 from rust");
    let mut read = [0; 2];
    block.read_at(50, &mut read).unwrap();
    assert_eq!(&read, b"py");
    SharedMemory::unlink(&ours).unwrap();

    let theirs = name("theirs");
    let script = "import sys\nfrom multiprocessing import shared_memory as s, resource_tracker as r\n\
                  b = s.SharedMemory(name=sys.argv[1], create=True, size=77)\n\
                  r.unregister(b._name, 'shared_memory')\nb.buf[:6] = b'python'\nb.close()";
    python(script, &theirs).unwrap();
    let block = SharedMemory::open(&theirs).unwrap();
    let mut read = [0; 6];
    block.read_at(0, &mut read).unwrap();
    assert_eq!((&read, block.len()), (b"python", 77));
    SharedMemory::unlink(&theirs).unwrap();
}
