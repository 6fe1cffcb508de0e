//! Names and addresses: what is accepted is one component of a path, and a shared block of that name can be made.
//!
//! Blocks are made in the machine's own `/dev/shm`, one at a time and of one page, and go at once; a name that is
//! taken is somebody else's, and is left alone.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use multiproc_core::{Name, NameError};
use multiproc_pipe::{Address, ToAddresses};
use multiproc_shm::SharedMemory;
use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

const BLOCKS: &str = "/dev/shm";
const MAX_LEN: usize = 240;

#[derive(Arbitrary, Debug)]
enum Program {
    Name(String),
    /// A name of a certain length, which the fuzzer would not soon find.
    Long(char, u16),
    Path(Vec<u8>),
    Text(String),
    Abstract(Vec<u8>),
    Tcp(SocketAddr),
    Host(IpAddr, u16),
}

/// What a name may be, told in another way.
fn is_component(text: &str) -> bool {
    let mut parts = Path::new(text).components();
    let is_one =
        matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == text);
    is_one && text.len() <= MAX_LEN && !text.as_bytes().contains(&0)
}

fn name(text: &str) {
    let result: Result<Name, NameError> = Name::new(text);
    assert_eq!(result.is_ok(), is_component(text), "{result:?}");
    match result {
        Ok(name) => {
            assert_eq!(name.as_str(), text);
            assert_eq!(name.to_string(), text);
            assert_eq!(Name::new(&name.to_string()).expect("it was a name before"), name);
            let path = Path::new(BLOCKS).join(name.as_str());
            assert_eq!(path.parent(), Some(Path::new(BLOCKS)));
            assert_eq!(path.file_name(), Some(OsStr::new(text)));
            block(text, &path);
        }
        Err(error) => {
            let told = error.to_string();
            // It is shown, but neither at any length nor with what would move a terminal's cursor.
            assert!(told.len() < 1000 && !told.chars().any(char::is_control), "{told}");
            for error in [
                SharedMemory::create(text, 1).expect_err("no name"),
                SharedMemory::open(text).expect_err("no name"),
            ] {
                assert!(error.is_invalid_name(), "{error}");
            }
            let error = SharedMemory::unlink(text).expect_err("no name");
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        }
    }
}

/// Makes a block of that name, finds it where it ought to be, and removes it.
fn block(name: &str, path: &Path) {
    let block = match SharedMemory::create(name, 1) {
        Ok(block) => block,
        Err(error) => {
            assert!(error.is_already_exists() && path.symlink_metadata().is_ok(), "{error}");
            return;
        }
    };
    let found = path.symlink_metadata();
    let second = SharedMemory::create(name, 1);
    let opened = SharedMemory::open(name);
    let unlinked = SharedMemory::unlink(name);
    // From here on a failure leaves nothing behind.
    assert!(found.is_ok_and(|found| found.is_file() && found.len() == 1));
    assert!(second.is_err_and(|error| error.is_already_exists()));
    let opened = opened.expect("it is there");
    assert!(opened.name() == name && opened.len() == 1);
    block.write_at(0, &[7]).expect("it has a byte");
    let mut byte = [0];
    opened.read_at(0, &mut byte).expect("it has a byte");
    assert_eq!(byte, [7], "another block");
    unlinked.expect("it was there");
    assert!(path.symlink_metadata().is_err(), "it is still there");
    assert!(SharedMemory::open(name).expect_err("it has gone").is_not_found());
}

fn hash(address: &Address) -> u64 {
    let mut hasher = DefaultHasher::new();
    address.hash(&mut hasher);
    hasher.finish()
}

/// An address means itself, whoever says it.
fn address(said: impl ToAddresses, expected: &Address) {
    let found = said.to_addresses().expect("nobody is asked");
    assert_eq!(found, std::slice::from_ref(expected));
    assert_eq!(expected.to_addresses().expect("nobody is asked"), found);
    assert_eq!(hash(&found[0]), hash(expected));
}

/// Undoes what [`Address`]'s `Display` does to an abstract name.
fn unescape(shown: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = shown.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        let (byte, used) = match (first, more) {
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?, 3)
            }
            (b'\\', [b't', ..]) => (b'\t', 1),
            (b'\\', [b'n', ..]) => (b'\n', 1),
            (b'\\', [b'r', ..]) => (b'\r', 1),
            (b'\\', [other, ..]) => (*other, 1),
            (plain, _) => (*plain, 0),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    Some(bytes)
}

fuzz_target!(|program: Program| {
    match program {
        Program::Name(text) => name(&text),
        Program::Long(char, count) => name(&char.to_string().repeat(usize::from(count % 300))),
        Program::Path(bytes) => {
            let path = PathBuf::from(OsStr::from_bytes(&bytes));
            let expected = Address::Path(path.clone());
            address(path.as_path(), &expected);
            assert_eq!(expected.to_string(), path.display().to_string());
            address(path, &expected);
        }
        // Text is a path, whatever else it looks like.
        Program::Text(text) => {
            let expected = Address::Path(PathBuf::from(&text));
            assert_eq!(expected.to_string(), text);
            address(text.as_str(), &expected);
            address(text, &expected);
        }
        Program::Abstract(bytes) => {
            let expected = Address::abstract_name(&bytes);
            assert_eq!(expected, Address::Abstract(bytes.clone()));
            address(&expected, &expected);
            let shown = expected.to_string();
            assert!(shown.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{shown}");
            assert_eq!(shown.strip_prefix('@').and_then(unescape), Some(bytes));
        }
        Program::Tcp(socket) => {
            let expected = Address::Tcp(socket);
            address(socket, &expected);
            assert_eq!(expected.to_string(), socket.to_string());
            // The flow of IPv6 is not shown.
            let again: SocketAddr = expected.to_string().parse().expect("an address");
            assert_eq!((again.ip(), again.port()), (socket.ip(), socket.port()));
        }
        Program::Host(ip, port) => {
            let expected = Address::Tcp(SocketAddr::new(ip, port));
            let host = ip.to_string();
            address((ip, port), &expected);
            address((host.as_str(), port), &expected);
            address((host, port), &expected);
        }
    }
});
