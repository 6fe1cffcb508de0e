//! Handles inside messages: order, kinds, misuse, and the slot through which they pass.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use multiproc_core::codec::{self, Carried, Limits, decode, decode_with, encode, encode_message, is_trusted};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

type Pipe = Carried<1>;
type Other = Carried<2>;

fn pipe() -> (PipeReader, Pipe) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, Carried(Arc::new(writer.into())))
}

/// What a transport does: the receiver gets copies.
fn sent(fds: &[Arc<OwnedFd>]) -> Vec<OwnedFd> {
    fds.iter().map(|fd| fd.try_clone().unwrap()).collect()
}

/// Writes through the handle, and says whether it came out at the reader.
fn connected(handle: Pipe, reader: &mut PipeReader) -> bool {
    let mut writer = PipeWriter::from(Arc::into_inner(handle.0).unwrap());
    writer.write_all(b"!").unwrap();
    let mut got = [0];
    reader.read_exact(&mut got).unwrap();
    got == *b"!"
}

#[derive(Debug, Serialize, Deserialize)]
struct Deep {
    name: String,
    pipes: Vec<Option<Pipe>>,
    last: (Box<Pipe>, u8),
}

#[test]
fn handles_travel_nested_and_in_order() {
    let (mut first, a) = pipe();
    let (mut second, b) = pipe();
    let (mut third, c) = pipe();
    let message = encode_message(&Deep {
        name: "deep".into(),
        pipes: vec![Some(a), None, Some(b)],
        last: (Box::new(c), 9),
    })
    .unwrap();
    assert_eq!(message.fds.len(), 3);

    let mut deep: Deep = decode(&message.bytes, sent(&message.fds)).unwrap();
    drop(message);
    assert_eq!((deep.name.as_str(), deep.last.1), ("deep", 9));
    assert!(connected(*deep.last.0, &mut third));
    assert!(connected(deep.pipes.pop().flatten().unwrap(), &mut second));
    assert!(deep.pipes.pop().unwrap().is_none());
    assert!(connected(deep.pipes.pop().flatten().unwrap(), &mut first));
    assert_eq!(first.read(&mut [0]).unwrap(), 0);
}

#[test]
fn encoding_makes_no_descriptor() {
    let (_reader, handle) = pipe();
    let message = encode(&[&handle, &handle]).unwrap();
    assert_eq!(message.bytes, [1, 0, 1, 1]);
    assert!(message.fds.iter().all(|fd| Arc::ptr_eq(fd, &handle.0)));
}

#[test]
fn a_message_has_a_most_of_handles() {
    let handle = pipe().1;
    assert_eq!(encode(&vec![&handle; 65_536]).unwrap().fds.len(), 65_536);
    let error = encode(&vec![&handle; 65_537]).unwrap_err();
    assert!(error.is_handle(), "{error}");
}

#[test]
fn missing_extra_twice_and_wrong_kind_are_errors() {
    let (mut reader, handle) = pipe();
    let message = encode(&handle).unwrap();
    drop(handle);
    let fds = || sent(&message.fds);

    let missing = decode::<Pipe>(&message.bytes, Vec::new()).unwrap_err();
    assert!(missing.is_handle(), "{missing}");
    let extra = decode::<Pipe>(&message.bytes, fds().into_iter().chain(fds()).collect()).unwrap_err();
    assert!(extra.is_handle(), "{extra}");
    let unwanted = decode::<u8>(&[1], fds()).unwrap_err();
    assert!(unwanted.is_handle(), "{unwanted}");
    let twice = decode::<(Pipe, Pipe)>(&[1, 0, 1, 0], fds()).unwrap_err();
    assert!(twice.is_handle() && twice.to_string().contains("twice"), "{twice}");
    let far = decode::<Pipe>(&[1, 0xff, 0x7f], fds()).unwrap_err();
    assert!(far.is_handle(), "{far}");
    let kind = decode::<Other>(&message.bytes, fds()).unwrap_err();
    assert!(kind.is_handle() && kind.to_string().contains("kind"), "{kind}");
    assert!(decode::<Pipe>(&message.bytes[..1], fds()).unwrap_err().is_truncated());
    assert!(decode::<(Pipe, u8)>(&message.bytes, fds()).unwrap_err().is_truncated());

    // Each failed decode closed what it had been given.
    drop(message);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

const REASON: &str = "handles travel only inside multiproc messages";

/// Serializes its content with another format, as a cautious user might.
struct Foreign(Pipe);

impl Serialize for Foreign {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(postcard::to_stdvec(&self.0).is_err());
        serializer.serialize_unit()
    }
}

#[test]
fn other_formats_are_refused() {
    let (_reader, handle) = pipe();
    assert!(postcard::to_stdvec(&handle).is_err());
    assert!(postcard::from_bytes::<Pipe>(&[1, 0]).is_err());

    // postcard's errors have no text; this format keeps it.
    let text = handle.serialize(text::Probe).unwrap_err().to_string();
    assert!(text.contains(REASON), "{text}");
    let plain = serde::de::value::BoolDeserializer::<serde::de::value::Error>::new(true);
    let error = Pipe::deserialize(plain).unwrap_err().to_string();
    assert!(error.contains(REASON), "{error}");

    // Inside an encode of ours it is no different, and what comes after is well.
    let (mut reader, after) = pipe();
    let message = encode(&(Foreign(handle), after)).unwrap();
    assert_eq!(message.fds.len(), 1);
    let ((), after): ((), Pipe) = decode(&message.bytes, sent(&message.fds)).unwrap();
    assert!(connected(after, &mut reader));
}

mod text {
    use serde::ser::{Impossible, Serialize, Serializer};

    /// A format that lets newtypes and units through, and nothing else.
    pub(crate) struct Probe;
    type Error = serde::de::value::Error;
    type No = Impossible<(), Error>;

    fn no<T>() -> Result<T, Error> {
        Err(serde::ser::Error::custom("only newtypes and units"))
    }

    macro_rules! scalars {
        ($($method:ident: $scalar:ty),*) => {$(
            fn $method(self, _: $scalar) -> Result<(), Error> { no() }
        )*};
    }

    impl Serializer for Probe {
        type Ok = ();
        type Error = Error;
        type SerializeSeq = No;
        type SerializeTuple = No;
        type SerializeTupleStruct = No;
        type SerializeTupleVariant = No;
        type SerializeMap = No;
        type SerializeStruct = No;
        type SerializeStructVariant = No;
        scalars!(
            serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
            serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
            serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8]
        );
        fn serialize_none(self) -> Result<(), Error> {
            no()
        }
        fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Error> {
            no()
        }
        fn serialize_unit(self) -> Result<(), Error> {
            Ok(())
        }
        fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
            Ok(())
        }
        fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Error> {
            no()
        }
        fn serialize_newtype_struct<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            value: &T,
        ) -> Result<(), Error> {
            value.serialize(self)
        }
        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<(), Error> {
            no()
        }
        fn serialize_seq(self, _: Option<usize>) -> Result<No, Error> {
            no()
        }
        fn serialize_tuple(self, _: usize) -> Result<No, Error> {
            no()
        }
        fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<No, Error> {
            no()
        }
        fn serialize_tuple_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<No, Error> {
            no()
        }
        fn serialize_map(self, _: Option<usize>) -> Result<No, Error> {
            no()
        }
        fn serialize_struct(self, _: &'static str, _: usize) -> Result<No, Error> {
            no()
        }
        fn serialize_struct_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<No, Error> {
            no()
        }
    }
}

/// A user's type that borrowed the reserved name.
struct Impostor<T>(T);

impl<T: Serialize> Serialize for Impostor<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct("$multiproc::codec::Carried", &self.0)
    }
}

struct Panics;

impl Serialize for Panics {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("in the middle of a message");
    }
}

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Panics, D::Error> {
        assert!(!is_trusted());
        panic!("in the middle of a message");
    }
}

#[test]
fn the_reserved_name_gives_nothing_away() {
    let (_reader, handle) = pipe();
    assert!(encode(&Impostor(1u8)).unwrap_err().is_handle());
    assert!(encode(&Impostor(handle.clone())).unwrap_err().is_handle());
    // Not even a panic leaves the way open for another format.
    assert!(catch_unwind(|| encode(&Impostor(Panics))).is_err());
    assert!(postcard::to_stdvec(&handle).is_err());
}

#[test]
fn a_panic_leaves_nothing_behind() {
    let (mut reader, handle) = pipe();
    let (_other, lost) = pipe();
    let result = catch_unwind(AssertUnwindSafe(|| encode(&(&lost, Panics))));
    assert!(result.is_err());
    assert_eq!(Arc::strong_count(&lost.0), 1);

    let message = encode(&handle).unwrap();
    assert_eq!((message.bytes.as_slice(), message.fds.len()), (&[1, 0][..], 1));
    drop(handle);

    let result = catch_unwind(AssertUnwindSafe(|| {
        decode_with::<(Pipe, Panics)>(&message.bytes, sent(&message.fds), &Limits::untrusted())
    }));
    assert!(result.is_err() && !is_trusted());
    drop(message);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0); // the panic closed the descriptor
}

/// Carries an encoded message, with handles of its own, inside a message.
struct Envelope {
    before: Pipe,
    inside: Pipe,
    after: Pipe,
}

impl Serialize for Envelope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inner = encode(&(&self.inside, 5u8)).map_err(serde::ser::Error::custom)?;
        assert_eq!((inner.bytes.as_slice(), inner.fds.len()), (&[1, 0, 5][..], 1));
        (&self.before, inner.bytes, &self.after).serialize(serializer)
    }
}

#[test]
fn messages_within_messages_keep_their_handles_apart() {
    let (before, inside, after) = (pipe().1, pipe().1, pipe().1);
    let message = encode(&Envelope { before: before.clone(), inside, after: after.clone() }).unwrap();
    assert_eq!(message.bytes, [1, 0, 3, 1, 0, 5, 1, 1]);
    assert!(Arc::ptr_eq(&message.fds[0], &before.0) && Arc::ptr_eq(&message.fds[1], &after.0));
}

#[test]
fn trust_is_inherited_and_restored() {
    struct Nested;
    impl<'de> Deserialize<'de> for Nested {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Nested, D::Error> {
            let outer = is_trusted();
            let inner: Trust = decode(&[], Vec::new()).map_err(serde::de::Error::custom)?;
            assert_eq!(inner.0, outer); // an untrusted peer gains nothing by a message in a message
            let inner: Trust =
                decode_with(&[], Vec::new(), &Limits::untrusted()).map_err(serde::de::Error::custom)?;
            assert!(!inner.0);
            assert_eq!(is_trusted(), outer);
            Ok(Nested)
        }
    }
    struct Trust(bool);
    impl<'de> Deserialize<'de> for Trust {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Trust, D::Error> {
            Ok(Trust(is_trusted()))
        }
    }
    assert!(!is_trusted());
    decode::<Nested>(&[], Vec::new()).unwrap();
    decode_with::<Nested>(&[], Vec::new(), &Limits::untrusted()).unwrap();
    assert!(!is_trusted());
}

#[test]
fn errors_can_be_sent_on() {
    fn check<T: std::error::Error + Send + Sync + 'static>() {}
    check::<codec::EncodeError>();
    check::<codec::DecodeError>();
    let file = File::open("/dev/null").unwrap();
    let error: std::io::Error = decode::<u8>(&[1], vec![file.into()]).unwrap_err().into();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}
