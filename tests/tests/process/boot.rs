use crate::MARKER;
use crate::constructors::RECORD;
use multiproc_core::sys::child::{End, Exec, open_child, reap, spawn};
use multiproc_core::sys::fd::{dup_high, send, socket_pair};
use multiproc_core::sys::memory;
use multiproc_core::sys::process::open_pidfd;
use multiproc_process::{JoinError, Process, StartMethod};
use multiproc_tests::{Limit, isolated, isolated_for, on_both, raw};
use std::ffi::CString;
use std::fs::File;
use std::io::{IoSlice, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The exit code of a child that could not begin.
const NOT_STARTED: i32 = 70;

/// How a child ended, and what it wrote.
#[derive(Debug)]
struct Outcome {
    end: End,
    out: String,
    err: String,
}

impl Outcome {
    /// Fails unless the child said what was wrong and ended, without ever coming to `main`.
    fn assert_refused(&self, what: &str) {
        assert_eq!(self.end, End::Exited(NOT_STARTED), "{what}: {self:?}");
        assert!(self.err.starts_with("multiproc: ") && self.err.ends_with('\n'), "{what}: {self:?}");
        assert_eq!(self.err.lines().count(), 1, "{what}: {self:?}");
        assert_eq!(self.out, "", "{what}");
    }
}

/// Starts this program as a child whose boot socket gives these bytes and descriptors, and then ends.
fn boot(message: &[u8], fds: &[BorrowedFd<'_>]) -> Outcome {
    let (ours, theirs) = socket_pair().unwrap();
    if !message.is_empty() {
        assert_eq!(send(&ours, &[IoSlice::new(message)], fds, true).unwrap(), message.len());
    }
    drop(ours);
    boot_with(theirs, "3")
}

/// Starts this program as a child with this boot socket.
fn boot_with(socket: impl AsFd, marker: &str) -> Outcome {
    let (null, out, err) =
        (File::open("/dev/null").unwrap(), tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let high = |fd: BorrowedFd<'_>| dup_high(fd).unwrap();
    let (input, output, errors) = (high(null.as_fd()), high(out.as_fd()), high(err.as_fd()));
    let socket = high(socket.as_fd());
    let inherited = std::env::vars()
        .filter(|(name, _)| name == "MULTIPROC_TEST_RUN")
        .map(|(name, value)| format!("{name}={value}"));
    let env: Vec<CString> =
        inherited.chain([format!("{MARKER}={marker}")]).map(|entry| CString::new(entry).unwrap()).collect();
    let pid = spawn(&Exec {
        path: c"/proc/self/exe",
        args: &[c"corrupted".to_owned()],
        env: &env,
        stdio: [input.as_fd(), output.as_fd(), errors.as_fd()],
        boot: socket.as_fd(),
    })
    .unwrap();
    drop(socket);
    let end = reap(open_child(pid).unwrap(), true).unwrap().unwrap();
    let text = |mut file: File| {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Outcome { end, out: text(out), err: text(err) }
}

fn say(word: String) {
    println!("function called with {word}");
}

/// A start-up message as the library sends it, recorded on its way, and what belongs to it.
fn recorded() -> (Vec<u8>, OwnedFd) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let child = Process::builder()
        .start_method(StartMethod::Spawn)
        .stdout(multiproc_process::Stdio::null())
        .env(RECORD, file.path())
        .spawn("these".to_owned(), say);
    child.unwrap().join().unwrap();
    (std::fs::read(file.path()).unwrap(), open_pidfd(std::process::id()).unwrap())
}

/// Wraps a frame around it.
fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

#[test]
fn a_recorded_message_starts_a_child() {
    isolated(|| {
        let (message, parent) = recorded();
        let outcome = boot(&message, &[parent.as_fd()]);
        assert_eq!(outcome.end, End::Exited(0), "{outcome:?}");
        assert_eq!((outcome.out.as_str(), outcome.err.as_str()), ("function called with these\n", ""));
    });
}

#[test]
fn every_beginning_of_a_message() {
    isolated_for(Limit(Duration::from_secs(120)), || {
        let (message, parent) = recorded();
        // Without a byte the parent has just gone away, and there is nobody to tell.
        let outcome = boot(&[], &[]);
        assert_eq!((outcome.end, outcome.out.as_str()), (End::Exited(NOT_STARTED), ""));
        for len in 1..message.len() {
            let outcome = boot(&message[..len], &[parent.as_fd()]);
            outcome.assert_refused(&format!("{len} of {} bytes", message.len()));
        }
        // The frame is whole, what is in it is not.
        for len in 0..message.len() - 4 - 6 {
            let outcome = boot(&framed(&message[4..4 + len]), &[parent.as_fd()]);
            outcome.assert_refused(&format!("{len} of {} bytes in a frame", message.len() - 4));
        }
    });
}

#[test]
fn every_byte_of_a_message_damaged() {
    isolated_for(Limit(Duration::from_secs(120)), || {
        let (message, parent) = recorded();
        let arguments = message.len() - "these".len() - 1;
        for place in 0..message.len() {
            let mut damaged = message.clone();
            damaged[place] ^= 1 << (place % 8);
            let outcome = boot(&damaged, &[parent.as_fd()]);
            if place < arguments {
                outcome.assert_refused(&format!("byte {place} of {arguments} damaged"));
            } else {
                // The user's own data: another word, or one that does not decode; never anything worse.
                assert!(matches!(outcome.end, End::Exited(0 | 1)), "byte {place}: {outcome:?}");
                assert!(!outcome.out.contains("running"), "it came to main: {outcome:?}");
            }
        }
    });
}

#[test]
fn garbage() {
    isolated(|| {
        let parent = open_pidfd(std::process::id()).unwrap();
        let mut state = 1u64;
        for len in [1, 3, 4, 5, 11, 12, 100, 1000, 30_000] {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            boot(&bytes, &[parent.as_fd()]).assert_refused(&format!("{len} bytes of garbage"));
            boot(&framed(&bytes), &[parent.as_fd()])
                .assert_refused(&format!("a frame of {len} bytes of garbage"));
            let zeros = vec![0; len];
            boot(&framed(&zeros), &[]).assert_refused(&format!("a frame of {len} zeros"));
        }
    });
}

#[test]
fn lengths_beyond_reason() {
    isolated(|| {
        for length in [65_537u32, 1 << 30, i32::MAX as u32, i32::MIN as u32, -2i32 as u32] {
            boot(&length.to_be_bytes(), &[]).assert_refused(&format!("a length of {length}"));
        }
        for length in [0, 1u64 << 30, u64::MAX] {
            let header = [&(-1i32).to_be_bytes()[..], &length.to_be_bytes()].concat();
            boot(&header, &[]).assert_refused(&format!("a long length of {length}"));
        }
    });
}

#[test]
fn handles_that_are_missing_wrong_or_too_many() {
    isolated(|| {
        let (message, parent) = recorded();
        boot(&message, &[]).assert_refused("no handle");
        let null = File::open("/dev/null").unwrap();
        // One more than is asked for belongs to the arguments, which ask for none.
        let outcome = boot(&message, &[parent.as_fd(), null.as_fd()]);
        assert!(matches!(outcome.end, End::Exited(0 | 1)), "{outcome:?}");
    });
}

#[test]
fn a_message_in_a_memory_file() {
    isolated(|| {
        let (message, parent) = recorded();
        let content = &message[5..];
        let frame = framed(&[1]);
        let sealed = |bytes: &[u8]| memory::sealed_copy("test", &[bytes]).unwrap();
        let outcome = boot(&frame, &[sealed(content).as_fd(), parent.as_fd()]);
        assert_eq!(outcome.end, End::Exited(0), "{outcome:?}");
        for len in [0, 1, 13, 14, 20, content.len() / 2, content.len() - 7] {
            let outcome = boot(&frame, &[sealed(&content[..len]).as_fd(), parent.as_fd()]);
            outcome.assert_refused(&format!("a memory file of {len} bytes"));
        }
        let file = tempfile::tempfile().unwrap();
        boot(&frame, &[file.as_fd(), parent.as_fd()]).assert_refused("a file that is no memory file");
        let open = memory::create_memfd("test").unwrap();
        boot(&frame, &[open.as_fd(), parent.as_fd()]).assert_refused("a memory file that is not sealed");
        boot(&frame, &[]).assert_refused("no memory file");
    });
}

#[test]
fn another_build() {
    isolated(|| {
        let (message, parent) = recorded();
        // The checksum is right; only the build is another.
        let head = u32::from_le_bytes(message[5..9].try_into().unwrap()) as usize;
        let mut counts = message[5..11].to_vec();
        let mut start = message[19..19 + head].to_vec();
        start[3] ^= 1;
        counts.extend(fnv(&message[5..11], &start).to_le_bytes());
        let body = [&[0], &counts[..], &start, &message[19 + head..]].concat();
        let outcome = boot(&framed(&body), &[parent.as_fd()]);
        outcome.assert_refused("another build");
        assert!(outcome.err.contains("build"), "{outcome:?}");
    });
}

/// The checksum of a message's counts and head.
fn fnv(counts: &[u8], head: &[u8]) -> u64 {
    counts.chunks(8).chain(head.chunks(8)).fold(0xcbf2_9ce4_8422_2325, |sum: u64, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x100_0000_01b3).rotate_left(17)
    })
}

#[test]
fn a_marker_without_a_socket() {
    isolated(|| {
        let file = File::open("/dev/null").unwrap();
        for marker in ["3", "3+close", "+close", "4", "0", "-1", "", "three", "99999999999999999999"] {
            boot_with(&file, marker).assert_refused(marker);
        }
    });
}

/// Writes to the boot socket of this child, as nobody should.
fn interfere(bytes: Vec<u8>) -> u32 {
    let sockets = multiproc_tests::proc::own_descriptors();
    let (number, _) = sockets.iter().find(|(_, target)| target.starts_with("socket:")).unwrap();
    raw::write_number(*number, &bytes);
    11
}

#[test]
fn damaged_answers_are_errors_in_the_parent() {
    on_both(Limit::default(), |_| {
        let answers: [&[u8]; 6] = [
            &[0],
            &[0, 0, 0, 0],
            &(1u32 << 30).to_be_bytes(),
            &u32::MAX.to_be_bytes(),
            &[0, 0, 0, 1, 7],
            &[0, 0, 0, 20, 0, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0],
        ];
        for answer in answers {
            let child = Process::spawn(answer.to_vec(), interfere).unwrap();
            assert!(child.wait().unwrap().success());
            let error = child.join().unwrap_err();
            assert!(
                matches!(error, JoinError::Exited { code: 0 } | JoinError::NotReceived { .. }),
                "{answer:?}: {error}"
            );
        }
    });
}

#[test]
fn a_child_closes_what_its_parent_could_not() {
    isolated(|| {
        let (message, parent) = recorded();
        let (ours, theirs) = socket_pair().unwrap();
        send(&ours, &[IoSlice::new(&message)], &[parent.as_fd()], true).unwrap();
        drop(ours);
        let outcome = boot_with(theirs, "3+close");
        assert_eq!((outcome.end, outcome.err.as_str()), (End::Exited(0), ""));
    });
}
