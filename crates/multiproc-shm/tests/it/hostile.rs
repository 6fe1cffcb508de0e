//! Descriptors that arrive under a handle's flag, and that no honest sender makes.

use multiproc_core::Message;
use multiproc_core::codec::{self, Carried};
use multiproc_core::sys::memory::{Seals, add_seals, allocate, create_memfd};
use multiproc_shm::{Shared, SharedBytes, SharedSlice};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const SHARED: u32 = u32::from_le_bytes(*b"shrd");
const BYTES: u32 = u32::from_le_bytes(*b"byte");
const SLICE: u32 = u32::from_le_bytes(*b"slic");

/// Sends a bare descriptor as a handle of that kind, and returns how it was refused.
fn refused<T: Message, const KIND: u32>(fd: impl Into<OwnedFd>) -> String {
    let message = codec::encode(&Carried::<KIND>(Arc::new(fd.into()))).unwrap();
    let fds = message.fds.into_iter().map(|fd| Arc::into_inner(fd).unwrap()).collect();
    codec::decode::<T>(&message.bytes, fds).map(|_| ()).unwrap_err().to_string()
}

/// A copy of an honest segment, sealed as told.
fn copy_of(value: &Shared<u64>, seals: Option<Seals>) -> File {
    let honest = codec::encode(value).unwrap();
    let honest = File::from(honest.fds[0].try_clone().unwrap());
    let mut bytes = vec![0; honest.metadata().unwrap().len() as usize];
    honest.read_exact_at(&mut bytes, 0).unwrap();
    let copy = File::from(create_memfd("copy").unwrap());
    allocate(&copy, bytes.len() as u64).unwrap();
    copy.write_all_at(&bytes, 0).unwrap();
    if let Some(seals) = seals {
        add_seals(&copy, seals).unwrap();
    }
    copy
}

#[test]
fn a_segment_that_could_be_cut_is_refused() {
    let value = Shared::new(5u64).unwrap();
    for seals in
        [None, Some(Seals::SHRINK), Some(Seals::GROW | Seals::SEAL), Some(Seals::SHRINK | Seals::GROW)]
    {
        let text = refused::<Shared<u64>, SHARED>(copy_of(&value, seals));
        assert!(text.contains("not sealed"), "{seals:?}: {text}");
    }
    // The same bytes with all the seals are taken: it is the seals that matter.
    let message =
        codec::encode(&Carried::<SHARED>(Arc::new(copy_of(&value, Some(Seals::FIXED)).into()))).unwrap();
    let fds = message.fds.into_iter().map(|fd| Arc::into_inner(fd).unwrap()).collect();
    assert_eq!(*codec::decode::<Shared<u64>>(&message.bytes, fds).unwrap(), 5);
}

#[test]
fn a_segment_that_is_not_writable_is_refused() {
    let value = Shared::new(5u64).unwrap();
    refused::<Shared<u64>, SHARED>(copy_of(&value, Some(Seals::IMMUTABLE)));
    refused::<Shared<u64>, SHARED>(copy_of(&value, Some(Seals::FIXED | Seals::FUTURE_WRITE)));
}

#[test]
fn headers_that_lie_are_refused() {
    let value = Shared::new(5u64).unwrap();
    // Magic, version, kind, fingerprint, length, offset, namespace, the reserved words.
    for offset in [0, 8, 12, 16, 24, 32, 40, 48, 56, 63] {
        let copy = copy_of(&value, None);
        copy.write_all_at(&[0xfe], offset).unwrap();
        add_seals(&copy, Seals::FIXED).unwrap();
        refused::<Shared<u64>, SHARED>(copy);
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let value = Shared::new(5u64).unwrap();
    for len in [0, 1, 63, 64, 71, 73, 8192] {
        let copy = copy_of(&value, None);
        copy.set_len(len).unwrap();
        allocate(&copy, len.max(1)).unwrap();
        copy.set_len(len).unwrap();
        add_seals(&copy, Seals::FIXED).unwrap();
        refused::<Shared<u64>, SHARED>(copy.try_clone().unwrap());
        refused::<SharedSlice<u64>, SLICE>(copy);
    }
}

#[test]
fn holes_are_refused() {
    let sparse = |seals| {
        let sparse = File::from(create_memfd("sparse").unwrap());
        sparse.set_len(1 << 20).unwrap();
        add_seals(&sparse, seals).unwrap();
        sparse
    };
    assert!(refused::<SharedBytes, BYTES>(sparse(Seals::IMMUTABLE)).contains("holes"));
    assert!(refused::<Shared<u64>, SHARED>(sparse(Seals::FIXED)).contains("holes"));
    assert!(refused::<SharedSlice<u8>, SLICE>(sparse(Seals::FIXED)).contains("holes"));
}

#[test]
fn bytes_that_could_change_are_refused() {
    for seals in [None, Some(Seals::FIXED), Some(Seals::FIXED | Seals::FUTURE_WRITE), Some(Seals::WRITE)] {
        let file = create_memfd("bytes").unwrap();
        allocate(&file, 4096).unwrap();
        if let Some(seals) = seals {
            add_seals(&file, seals).unwrap();
        }
        let text = refused::<SharedBytes, BYTES>(file);
        assert!(text.contains("not sealed"), "{seals:?}: {text}");
    }
}

#[test]
fn other_files_are_refused() {
    let files = || -> Vec<OwnedFd> {
        let (reader, writer) = std::io::pipe().unwrap();
        vec![
            reader.into(),
            writer.into(),
            File::open("/dev/null").unwrap().into(),
            File::open("/dev/zero").unwrap().into(),
            File::open("/").unwrap().into(),
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into(),
            tempfile::tempfile_in("/dev/shm").unwrap().into(),
            tempfile::tempfile_in("/tmp").unwrap().into(),
        ]
    };
    for file in files() {
        refused::<Shared<u64>, SHARED>(file);
    }
    for file in files() {
        refused::<SharedBytes, BYTES>(file);
    }
    for file in files() {
        refused::<SharedSlice<u8>, SLICE>(file);
    }
}

#[test]
fn a_handle_of_another_kind_is_refused() {
    let bytes = SharedBytes::copy_from(&[0; 100]).unwrap();
    let message = codec::encode(&bytes).unwrap();
    let fds = message.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
    assert!(codec::decode::<Shared<u64>>(&message.bytes, fds).unwrap_err().is_handle());
}
