//! The codec's format beside postcard's, its limits, and hostile bytes.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use multiproc_core::codec::{DecodeError, Limits, decode, decode_with, encode, encode_message};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Nothing,
    Dot(i64),
    Line(i16, char),
    Named { name: String, parts: Vec<Shape> },
    Boxed(Box<Shape>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    address: std::net::IpAddr,
    unit: ((), Unit),
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Nothing),
        any::<i64>().prop_map(Shape::Dot),
        any::<(i16, char)>().prop_map(|(a, b)| Shape::Line(a, b)),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|shape| Shape::Boxed(Box::new(shape))),
            ("\\PC{0,20}", vec(inner, 0..4)).prop_map(|(name, parts)| Shape::Named { name, parts }),
        ]
    })
}

prop_compose! {
    fn everything()(
        small in any::<(bool, u8, i8, u16, i16)>(),
        large in any::<(u32, i32, u64, i64, u128, i128)>(),
        floats in (-1e30f32..1e30, -1e300f64..1e300),
        text in (any::<char>(), any::<String>()),
        option in any::<Option<Option<u16>>>(),
        array in any::<[u64; 8]>(),
        bytes in vec(any::<u8>(), 0..300),
        shapes in vec(shape(), 0..6),
        map in btree_map(any::<String>(), vec(any::<i32>(), 0..5), 0..5),
        duration in (0u64..1 << 40, 0u32..1_000_000_000),
        result in any::<Result<u8, String>>(),
        address in any::<std::net::IpAddr>(),
    ) -> Everything {
        Everything {
            small, large, floats: (floats.0, Meters(floats.1)), text, option, array, bytes, shapes, map,
            duration: Duration::new(duration.0, duration.1), result, address, unit: ((), Unit),
        }
    }
}

/// Our bytes are postcard's, and each decodes the other's.
fn agree<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: &T) {
    let ours = encode_message(value).unwrap();
    let theirs = postcard::to_stdvec(value).unwrap();
    assert_eq!(ours.bytes, theirs);
    assert!(ours.fds.is_empty());
    assert_eq!(&decode::<T>(&theirs, Vec::new()).unwrap(), value);
    assert_eq!(&postcard::from_bytes::<T>(&ours.bytes).unwrap(), value);
}

proptest! {
    #[test]
    fn format_is_postcards(value in everything()) {
        agree(&value);
    }

    #[test]
    fn numbers_are_postcards(u in any::<u128>(), shift in 0u32..128) {
        let u = u >> shift; // every length as often
        agree(&(u, u as u64, u as u32, u as u16, u as i128, u as i64, u as i32, u as i16, u as usize, u as isize));
    }

    #[test]
    fn every_prefix_is_truncated(value in everything()) {
        let bytes = encode(&value).unwrap().bytes;
        for len in 0..bytes.len() {
            // A cut string or char inside is found by its length, so nothing else can be wrong.
            prop_assert!(decode::<Everything>(&bytes[..len], Vec::new()).unwrap_err().is_truncated());
        }
        let longer = [&bytes[..], &[0]].concat();
        prop_assert!(decode::<Everything>(&longer, Vec::new()).unwrap_err().is_trailing());
    }

    #[test]
    fn numbers_are_refused_as_by_postcard(bytes in vec(prop_oneof![Just(0x80u8), Just(0xff), any::<u8>()], 0..22)) {
        fn same<T: DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
            let theirs = postcard::take_from_bytes::<T>(bytes).ok().filter(|(_, rest)| rest.is_empty());
            assert_eq!(decode::<T>(bytes, Vec::new()).ok(), theirs.map(|(value, _)| value));
        }
        same::<u16>(&bytes);
        same::<i32>(&bytes);
        same::<u64>(&bytes);
        same::<u128>(&bytes);
        same::<(u16, u32)>(&bytes);
    }

    #[test]
    fn hostile_bytes_are_a_value_or_an_error(bytes in vec(prop_oneof![0u8..5, any::<u8>()], 0..200)) {
        fn feed<T: DeserializeOwned>(bytes: &[u8]) {
            let limits = Limits::untrusted();
            let _: Result<T, DecodeError> = decode_with(bytes, Vec::new(), &limits);
        }
        feed::<Everything>(&bytes);
        feed::<Vec<Shape>>(&bytes);
        feed::<BTreeMap<u8, Vec<String>>>(&bytes);
        feed::<std::collections::HashMap<Option<u8>, Box<[u128]>>>(&bytes);
        feed::<Vec<Vec<Vec<[u64; 32]>>>>(&bytes);
        feed::<(char, String, Option<Meters>)>(&bytes);
    }
}

#[test]
fn lengths_may_be_unknown_and_texts_formatted() {
    struct Odd(u32);
    impl Serialize for Odd {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq((0..self.0).filter(|n| n % 2 == 1))
        }
    }
    for count in [0, 3, 300, 40_000] {
        let bytes = encode(&(Odd(count), "end")).unwrap().bytes;
        let odd: Vec<u32> = (0..count).filter(|n| n % 2 == 1).collect();
        assert_eq!(bytes, postcard::to_stdvec(&(odd, "end")).unwrap());
    }

    struct Shown(usize);
    impl Serialize for Shown {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&format_args!("{}-{}", "x".repeat(self.0), self.0))
        }
    }
    for len in [0, 200] {
        assert_eq!(encode(&Shown(len)).unwrap().bytes, postcard::to_stdvec(&Shown(len)).unwrap());
    }
}

#[test]
fn senseless_bytes_are_refused() {
    assert!(decode::<bool>(&[2], Vec::new()).unwrap_err().is_invalid());
    assert!(decode::<Option<u8>>(&[2, 0], Vec::new()).unwrap_err().is_invalid());
    assert!(decode::<String>(&[1, 0xff], Vec::new()).unwrap_err().is_invalid());
    assert!(decode::<char>(&[2, b'a', b'b'], Vec::new()).unwrap_err().is_invalid());
    assert!(decode::<char>(&[0], Vec::new()).unwrap_err().is_invalid());
    assert!(decode::<char>(&[5, b'a', b'b', b'c', b'd', b'e'], Vec::new()).unwrap_err().is_invalid());
    assert!(decode::<u16>(&[0xff, 0xff, 0x04], Vec::new()).unwrap_err().is_invalid());
    assert!(decode::<Shape>(&[5], Vec::new()).unwrap_err().is_custom());
}

#[test]
fn self_description_is_asked_for_in_vain() {
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u8),
    }
    #[derive(Serialize, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    let error = decode::<Either>(&[1], Vec::new()).err().unwrap();
    assert!(error.is_self_describing() && error.to_string().contains("untagged"), "{error}");

    let flat = Flat { rest: BTreeMap::from([("a".to_owned(), 1)]) };
    assert!(encode(&flat).is_ok());
    for _ in 0..2 {
        // A debug build tells the sender, each time.
        let result = encode_message(&flat);
        assert_eq!(result.is_err(), cfg!(debug_assertions));
        if let Err(error) = result {
            assert!(error.is_unsupported() && error.to_string().contains("Flat"), "{error}");
        }
        assert_eq!(encode_message(&Either::Number(1)).is_err(), cfg!(debug_assertions));
    }
}

#[test]
fn a_custom_refusal_is_not_the_senders_error() {
    #[derive(Serialize)]
    struct Picky;
    impl<'de> Deserialize<'de> for Picky {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Picky, D::Error> {
            Err(serde::de::Error::custom("not in this process"))
        }
    }
    assert!(encode_message(&Picky).is_ok());
    let error = decode::<Picky>(&[], Vec::new()).err().unwrap();
    assert!(error.is_custom() && error.to_string().contains("not in this process"));
}

#[test]
fn what_the_check_decodes_is_not_dropped() {
    #[derive(Serialize, Deserialize)]
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let bomb = std::mem::ManuallyDrop::new(Bomb);
    assert!(encode_message::<Bomb>(&bomb).is_ok());
}

#[test]
fn skipped_fields_and_wrong_counts_are_the_senders_errors() {
    #[derive(Serialize)]
    struct Skips {
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<u8>,
    }
    assert_eq!(encode(&Skips { note: Some(3) }).unwrap().bytes, [1, 3]);
    let error = encode(&Skips { note: None }).unwrap_err();
    assert!(error.is_unsupported() && error.to_string().contains("`note`"), "{error}");

    struct Liar;
    impl Serialize for Liar {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            let mut seq = serializer.serialize_seq(Some(usize::MAX))?;
            seq.serialize_element(&1u8)?;
            seq.end()
        }
    }
    assert!(encode(&Liar).unwrap_err().is_unsupported());

    struct Failing;
    impl Serialize for Failing {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    assert!(encode(&Failing).unwrap_err().is_custom());

    struct Careless;
    impl Serialize for Careless {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeTuple;
            let mut tuple = serializer.serialize_tuple(1)?;
            let _ = tuple.serialize_element(&Failing);
            tuple.end()
        }
    }
    assert!(encode(&Careless).unwrap_err().is_unsupported());
}

#[derive(Debug, Serialize, Deserialize)]
struct Chain(Option<Box<Chain>>);

impl Chain {
    fn new(len: usize) -> Chain {
        (1..len).fold(Chain(None), |chain, _| Chain(Some(Box::new(chain))))
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut chain) = next {
            next = chain.0.take();
        }
    }
}

#[test]
fn deep_values_are_errors_both_ways() {
    // Two levels a link: the newtype and the option; the last link has one.
    let deepest = encode(&Chain::new(256)).unwrap().bytes;
    assert!(decode::<Chain>(&deepest, Vec::new()).is_ok());
    let error = encode(&Chain::new(257)).unwrap_err();
    assert!(error.is_too_deep(), "{error}");
    assert!(encode(&Chain::new(10_000_000)).unwrap_err().is_too_deep());

    let bytes = vec![1; 10_000_000];
    assert!(decode::<Chain>(&bytes, Vec::new()).unwrap_err().is_limit());
    let mut limits = Limits::trusted();
    limits.max_depth = usize::MAX; // now only the stack's bound is left
    assert!(decode_with::<Chain>(&bytes, Vec::new(), &limits).unwrap_err().is_limit());
    assert!(encode(&7u8).is_ok() && decode::<u8>(&[7], Vec::new()).is_ok());
}

#[test]
fn a_wide_frame_meets_the_stack_bound() {
    #[derive(Debug)]
    struct Wide;
    impl<'de> Deserialize<'de> for Wide {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Wide, D::Error> {
            let room = std::hint::black_box([1u8; 32 << 10]);
            let inner = Option::<Box<Wide>>::deserialize(deserializer)?;
            Ok(if inner.is_some() && room[5] == 0 { unreachable!("the room is full of ones") } else { Wide })
        }
    }
    assert!(decode::<Wide>(&[1, 1, 0], Vec::new()).is_ok());
    assert!(decode::<Wide>(&[1; 400], Vec::new()).unwrap_err().is_limit());
}

#[test]
fn calls_within_calls_share_one_stack_bound() {
    struct Again;
    impl Serialize for Again {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = encode(&Some(Again)).map_err(serde::ser::Error::custom)?;
            serializer.serialize_bytes(&inner.bytes)
        }
    }
    assert!(encode(&Again).unwrap_err().to_string().contains("stack"));
}

#[test]
fn elements_without_bytes_have_a_budget() {
    let most = encode(&vec![(); 1 << 24]).unwrap().bytes;
    assert_eq!(decode::<Vec<()>>(&most, Vec::new()).unwrap().len(), 1 << 24);
    let one_more = encode(&vec![(); (1 << 24) + 1]).unwrap().bytes;
    assert!(decode::<Vec<()>>(&one_more, Vec::new()).unwrap_err().is_limit());

    let endless = encode(&u64::MAX).unwrap().bytes;
    let start = Instant::now();
    assert!(decode::<Vec<()>>(&endless, Vec::new()).unwrap_err().is_limit());
    assert!(decode::<BTreeMap<(), ()>>(&endless, Vec::new()).unwrap_err().is_limit());
    assert!(start.elapsed() < Duration::from_secs(30));

    // The budget is one for the whole message.
    let mut limits = Limits::untrusted();
    limits.max_zero_sized = 5;
    assert!(decode_with::<(Vec<()>, Vec<()>)>(&[2, 3], Vec::new(), &limits).is_ok());
    assert!(decode_with::<(Vec<()>, Vec<()>)>(&[3, 3], Vec::new(), &limits).unwrap_err().is_limit());
    assert!(decode_with::<(Vec<()>, Vec<u8>)>(&[0, 6, 1, 2, 3, 4, 5, 6], Vec::new(), &limits).is_ok());
}

#[test]
fn memory_has_a_budget() {
    /// Takes 4 KiB for a byte.
    #[derive(Debug)]
    struct Page([u64; 512]);
    impl<'de> Deserialize<'de> for Page {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Page, D::Error> {
            Ok(Page([u64::from(u8::deserialize(deserializer)?); 512]))
        }
    }
    let mut limits = Limits::untrusted();
    limits.max_memory = 1 << 20;
    let mut bytes = encode(&vec![1u8; 250]).unwrap().bytes;
    let pages = decode_with::<Vec<Page>>(&bytes, Vec::new(), &limits).unwrap();
    assert!(pages.len() == 250 && pages.iter().all(|page| page.0[511] == 1));
    bytes = encode(&vec![1u8; 300]).unwrap().bytes;
    let error = decode_with::<Vec<Page>>(&bytes, Vec::new(), &limits).unwrap_err();
    assert!(error.is_limit(), "{error}");

    // Ordinary types never meet it: their memory grows with their bytes.
    limits.max_memory = 0;
    let words = vec![(vec![1u64; 3], Some(String::from("word"))); 1000];
    let bytes = encode(&words).unwrap().bytes;
    assert_eq!(decode_with::<Vec<(Vec<u64>, Option<String>)>>(&bytes, Vec::new(), &limits).unwrap(), words);
}

#[test]
fn length_has_a_limit_and_is_never_believed() {
    let mut limits = Limits::untrusted();
    limits.max_bytes = 4;
    assert!(decode_with::<[u8; 4]>(&[1; 4], Vec::new(), &limits).is_ok());
    assert!(decode_with::<[u8; 5]>(&[1; 5], Vec::new(), &limits).unwrap_err().is_limit());

    struct Hint(usize);
    impl<'de> Deserialize<'de> for Hint {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Hint, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Hint;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a sequence")
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Hint, A::Error> {
                    let hint = seq.size_hint().unwrap();
                    while seq.next_element::<i8>().is_ok_and(|byte| byte.is_some()) {}
                    Ok(Hint(hint))
                }
            }
            deserializer.deserialize_seq(Visitor)
        }
    }
    let bytes = [&encode(&u64::MAX).unwrap().bytes[..], &[1, 2, 3]].concat();
    assert_eq!(decode::<Hint>(&bytes, Vec::new()).unwrap().0, 3);
}

#[test]
fn lengths_within_each_other_make_little_room() {
    /// Adds up what each level makes room for while the ones around it wait.
    struct Level(usize);
    impl<'de> Deserialize<'de> for Level {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Level;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a sequence")
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Level, A::Error> {
                    // As serde does it for elements of 64 bytes.
                    let here = 64 * seq.size_hint().unwrap().min((1 << 20) / 64);
                    let within = seq.next_element::<Level>()?.map_or(0, |level| level.0);
                    Ok(Level(here + within))
                }
            }
            deserializer.deserialize_seq(Visitor)
        }
    }
    // Each level but the last one says that it has 16,383 elements; and there are bytes for them.
    let levels = [0xff, 0x7f].repeat(500);
    let bytes = [&levels[..], &[0]].concat();
    let room = decode_with::<Level>(&bytes, Vec::new(), &Limits::untrusted()).unwrap().0;
    assert!(room < 2 << 20, "{room} bytes for {}", bytes.len());

    let more = encode(&vec![0u8; 1 << 20]).unwrap().bytes;
    let bytes = [&bytes[..], &more].concat();
    let (level, _) = decode_with::<(Level, Vec<u8>)>(&bytes, Vec::new(), &Limits::untrusted()).unwrap();
    assert!(level.0 < 24 << 20, "{} bytes for {}", level.0, bytes.len());
}

#[test]
fn bytes_in_any_collection_are_postcards() {
    use std::collections::{BTreeSet, VecDeque};
    let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
    agree(&(bytes.clone(), 7u8));
    agree(&bytes.iter().copied().collect::<VecDeque<u8>>());
    agree(&bytes.iter().copied().collect::<BTreeSet<u8>>());
    agree(&vec![bytes.clone(), Vec::new(), bytes]);
    agree(&vec![true, false]);
    agree(&vec![-1i8, 5]);
    assert!(decode::<Vec<u8>>(&[3, 1, 2], Vec::new()).unwrap_err().is_truncated());
}
