//! Hostile bytes into many types, and values of them there and back, beside postcard.
//!
//! What is decoded is encoded again, and that is what postcard makes of it; what is refused, postcard refuses too,
//! where it is not for a limit. No descriptor is left, and memory keeps to the limits.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use multiproc_core::codec::{Carried, Limits, decode, decode_many, decode_with, encode, is_trusted};
use multiproc_fuzz::{fds, heap};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ffi::CString;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// What may be taken on the word of lengths that stand within each other: a sequence takes at most 1 MiB on its
/// own, and they take less the deeper they are.
const HINTS: usize = 32 << 20;
/// How much more than what is counted a collection may have: room for twice as many, and the nodes of maps, which
/// have eleven places each.
const SLACK: usize = 16;
/// A limit on elements without bytes that is reached before the fuzzer yawns.
const FEW_ZERO_SIZED: usize = 1 << 14;

#[derive(Arbitrary, Debug)]
enum Program<'a> {
    Bytes { kind: u8, budget: Budget, fds: u8, cut: u8, bytes: &'a [u8] },
    Value(Box<Everything>),
    Tree(Tree),
    Shapes(Vec<Shape>),
    Numbers(u128, u8),
    Collections(Collections),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Budget {
    Trusted,
    Untrusted,
    Small { bytes: u16, memory: u16, depth: u8, zero_sized: u8 },
}

impl Budget {
    fn limits(self) -> Limits {
        let mut limits = match self {
            Budget::Trusted => Limits::trusted(),
            _ => Limits::untrusted(),
        };
        limits.max_zero_sized = FEW_ZERO_SIZED;
        if let Budget::Small { bytes, memory, depth, zero_sized } = self {
            limits.max_bytes = usize::from(bytes);
            limits.max_memory = usize::from(memory);
            limits.max_depth = usize::from(depth);
            limits.max_zero_sized = usize::from(zero_sized);
        }
        limits
    }
}

#[derive(Arbitrary, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Arbitrary, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Arbitrary, Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Nothing,
    Dot(i64),
    Line(i16, char),
    Named { name: String, parts: Vec<Shape> },
    Boxed(Box<Shape>),
}

#[derive(Arbitrary, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    small: (bool, u8, i8, u16, i16),
    large: (u32, i32, u64, i64, u128, i128),
    floats: (f32, Meters),
    text: (char, String),
    option: Option<Option<u16>>,
    array: [u64; 8],
    bytes: Vec<u8>,
    shapes: Vec<Shape>,
    map: BTreeMap<String, Vec<i32>>,
    duration: Duration,
    result: Result<u8, String>,
    address: IpAddr,
    unit: ((), Unit),
}

#[derive(Arbitrary, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[derive(Arbitrary, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Collections {
    queue: VecDeque<u16>,
    set: BTreeSet<Option<bool>>,
    nested: BTreeMap<u8, BTreeMap<u64, Result<i8, ()>>>,
    wide: Vec<Vec<[u16; 9]>>,
    range: Range<u32>,
    slice: Box<[i64]>,
    text: Box<str>,
    units: Vec<Unit>,
}

/// Wide, so that little of it in the message is much in memory.
#[derive(Debug, Serialize, Deserialize)]
struct Node {
    room: [u64; 32],
    left: Option<Box<Node>>,
    children: Vec<Node>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Chain(Option<Box<Chain>>);

/// Whether it came from somebody trusted.
#[derive(Debug)]
struct Trust(bool);

impl Serialize for Trust {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Trust {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Trust, D::Error> {
        <()>::deserialize(deserializer)?;
        Ok(Trust(is_trusted()))
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Handles {
    Seven(Carried<7>),
    Nine { name: String, nine: Carried<9> },
    Many(Vec<Carried<7>>),
    Two(Box<Handles>, Option<Carried<7>>),
}

/// How far postcard agrees.
#[derive(Clone, Copy, PartialEq)]
enum Oracle {
    /// It takes the same messages.
    Same,
    /// It takes more of them: several characters as one.
    Laxer,
    /// It knows nothing of them.
    None,
}

/// A message that may be none, and what it is to keep to.
struct Input<'a> {
    bytes: &'a [u8],
    limits: Limits,
    fds: usize,
    cut: u8,
}

impl Input<'_> {
    /// Decodes it as a `T`, and checks what that gives.
    fn feed<T: Serialize + DeserializeOwned>(&self, oracle: Oracle) {
        let copies = fds::copies(self.fds);
        let (result, peak) = heap::peak_of(|| decode_with::<T>(self.bytes, copies, &self.limits));
        let counted = self.limits.max_memory.min(1 << 20) + 32 * self.bytes.len();
        assert!(peak <= SLACK * counted + HINTS, "{peak} bytes of memory for {}", self.bytes.len());
        let value = match result {
            Ok(value) => value,
            Err(error) => {
                assert!(!error.is_self_describing(), "{error}");
                if self.bytes.len() > self.limits.max_bytes {
                    assert!(error.is_limit(), "{error}");
                }
                if oracle == Oracle::Same && !error.is_limit() && !error.is_handle() {
                    let theirs = postcard::take_from_bytes::<T>(self.bytes);
                    assert!(theirs.map_or(true, |(_, rest)| !rest.is_empty()), "postcard takes it: {error}");
                }
                return;
            }
        };
        assert!(self.bytes.len() <= self.limits.max_bytes);
        let again = encode(&value).expect("what was decoded can be encoded");
        assert_eq!(again.fds.len(), self.fds);
        assert!(again.bytes.len() <= self.bytes.len(), "the shortest form is longer");
        let copies = again.fds.iter().map(|fd| fd.try_clone()).collect::<Result<Vec<OwnedFd>, _>>();
        let back = decode::<T>(&again.bytes, copies.expect("copies")).expect("what was encoded is decoded");
        let third = encode(&back).expect("it is the same value");
        assert_eq!(third.bytes.len(), again.bytes.len());
        if oracle != Oracle::None {
            let (theirs, rest) = postcard::take_from_bytes::<T>(self.bytes).expect("postcard takes it too");
            assert!(rest.is_empty());
            let theirs = postcard::to_stdvec(&theirs).expect("postcard's form");
            assert_eq!(theirs.len(), again.bytes.len());
            self.cut::<T>(&again.bytes);
        }
    }

    /// A part of a message is cut short, and more than one goes on.
    fn cut<T: DeserializeOwned>(&self, whole: &[u8]) {
        if let Some(part) = whole.get(..usize::from(self.cut)).filter(|part| part.len() < whole.len()) {
            let error = decode::<T>(part, Vec::new()).err().expect("a part is no message");
            assert!(error.is_truncated(), "{error}");
        }
        let longer = [whole, &[self.cut]].concat();
        let error = decode::<T>(&longer, Vec::new()).err().expect("more is no message");
        assert!(error.is_trailing(), "{error}");
    }

    /// As [`feed`](Self::feed), and postcard makes the same bytes of it.
    fn same<T: Serialize + DeserializeOwned>(&self, oracle: Oracle) {
        self.feed::<T>(oracle);
        if let Ok(value) = decode_with::<T>(self.bytes, fds::copies(self.fds), &self.limits) {
            let ours = encode(&value).expect("what was decoded can be encoded").bytes;
            let back = decode::<T>(&ours, Vec::new()).expect("what was encoded is decoded");
            assert_eq!(encode(&back).expect("it is the same value").bytes, ours);
            assert_eq!(postcard::to_stdvec(&value).expect("postcard's form"), ours);
        }
    }

    fn handles(&self) {
        let Ok(value) = decode_with::<Handles>(self.bytes, fds::copies(self.fds), &self.limits) else {
            return;
        };
        // All that came is in it, each once, and comes out again in the order of the value.
        let mut numbers: Vec<usize> = numbers_of(value);
        let first = numbers.clone();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..self.fds).collect::<Vec<_>>());

        let value = decode_with::<Handles>(self.bytes, fds::copies(self.fds), &self.limits);
        let again = encode(&value.expect("as before")).expect("what was decoded can be encoded");
        let copies = again.fds.iter().map(|fd| fd.try_clone()).collect::<Result<Vec<OwnedFd>, _>>();
        let back = decode::<Handles>(&again.bytes, copies.expect("copies"));
        assert_eq!(numbers_of(back.expect("what was encoded is decoded")), first);
    }

    fn trust(&self) {
        if let Ok((_, trust)) = decode_with::<(u16, Trust)>(self.bytes, Vec::new(), &self.limits) {
            assert_eq!(trust.0, self.limits.trusted);
        }
        assert!(!is_trusted());
    }
}

fn numbers_of(value: Handles) -> Vec<usize> {
    let number = |fd: &OwnedFd| fds::number(fd.try_clone().expect("a copy"));
    match value {
        Handles::Seven(Carried(fd)) | Handles::Nine { nine: Carried(fd), .. } => vec![number(&fd)],
        Handles::Many(many) => many.iter().map(|carried| number(&carried.0)).collect(),
        Handles::Two(first, second) => {
            let mut numbers = numbers_of(*first);
            numbers.extend(second.iter().map(|carried| number(&carried.0)));
            numbers
        }
    }
}

/// Our bytes are postcard's, and each decodes the other's; untrusted limits let them in.
fn agree<T: Serialize + DeserializeOwned>(value: &T) {
    let ours = match encode(value) {
        // Trees may be deeper than messages.
        Err(error) if error.is_too_deep() => return,
        ours => ours.expect("it can be encoded"),
    };
    let theirs = postcard::to_stdvec(value).expect("postcard's form");
    assert_eq!(ours.bytes, theirs);
    assert!(ours.fds.is_empty());
    // By their bytes, since a NaN is not equal to itself.
    let back = decode_with::<T>(&theirs, Vec::new(), &Limits::untrusted()).expect("it is decoded");
    assert_eq!(encode(&back).expect("it can be encoded").bytes, theirs);
    // Two behind each other are two.
    let mut values: Vec<T> = Vec::new();
    let twice = theirs.repeat(2);
    decode_many(&twice, 2, &mut values).expect("they are decoded");
    assert_eq!(encode(&(&values[0], &values[1])).expect("they can be encoded").bytes, twice);
    let back = postcard::from_bytes::<T>(&ours.bytes).expect("postcard decodes it");
    assert_eq!(postcard::to_stdvec(&back).expect("postcard's form"), theirs);
}

fuzz_target!(|program: Program<'_>| {
    let (kind, budget, count, cut, bytes) = match &program {
        Program::Bytes { kind, budget, fds, cut, bytes } => (kind, budget, fds, cut, bytes),
        Program::Value(value) => return agree(&**value),
        Program::Tree(tree) => return agree(tree),
        Program::Shapes(shapes) => return agree(shapes),
        Program::Collections(collections) => return agree(collections),
        Program::Numbers(u, shift) => {
            let u = u >> (shift % 128); // every length as often
            return agree(&(u, u as u64, u as u32, u as u16, u as i128, u as i64, u as i32, u as i16));
        }
    };
    // Mostly none: few types have room for any.
    let is_handles = kind % 24 == 20;
    let count = if is_handles || count % 8 == 0 { usize::from(count / 8 % 5) } else { 0 };
    let before = (count > 0).then(fds::open);
    let input = Input { bytes, limits: budget.limits(), fds: count, cut: *cut };
    match kind % 24 {
        0 => input.same::<Everything>(Oracle::Laxer),
        1 => input.same::<Vec<Shape>>(Oracle::Laxer),
        2 => input.same::<BTreeMap<u8, Vec<String>>>(Oracle::Same),
        3 => input.feed::<HashMap<Option<u8>, Box<[u128]>>>(Oracle::Same),
        4 => input.same::<Vec<Vec<Vec<[u64; 32]>>>>(Oracle::Same),
        5 => input.same::<(char, String, Option<Meters>)>(Oracle::Laxer),
        6 => input.same::<Vec<()>>(Oracle::Same),
        7 => input.same::<(Vec<Vec<Unit>>, BTreeMap<(), ()>)>(Oracle::Same),
        8 => input.same::<Chain>(Oracle::Same),
        9 => input.same::<Tree>(Oracle::Same),
        10 => input.same::<Node>(Oracle::Same),
        11 => input.same::<Result<Vec<u8>, BTreeSet<i128>>>(Oracle::Same),
        12 => input.same::<(Duration, IpAddr, Option<NonZeroU16>)>(Oracle::Same),
        13 => input.same::<(CString, PathBuf)>(Oracle::Same),
        14 => input.same::<Collections>(Oracle::Same),
        15 => input.same::<(u16, i16, u32, i32, u64, i64, u128, i128)>(Oracle::Same),
        16 => input.same::<Vec<(u64, bool, f32)>>(Oracle::Same),
        17 => input.same::<BTreeMap<String, BTreeMap<u64, Option<Result<i8, ()>>>>>(Oracle::Same),
        18 => input.same::<Vec<Option<Box<[u64; 32]>>>>(Oracle::Same),
        19 => input.same::<(Vec<u8>, Box<[u8]>, VecDeque<u8>, [u8; 5])>(Oracle::Same),
        20 => {
            input.feed::<Handles>(Oracle::None);
            input.handles();
        }
        21 => input.trust(),
        22 => input.feed::<Vec<BTreeMap<u8, Option<[u64; 32]>>>>(Oracle::Same),
        _ => input.same::<String>(Oracle::Same),
    }
    if let Some(before) = before {
        assert_eq!(fds::open(), before, "descriptors are left");
    }
});
