//! Functions as data: an offset into the executable, which is the same in every process that runs this build.
//!
//! # Safety
//!
//! Unsafe is needed to make a function pointer of an address. The address is `base + offset`, where the offset was
//! taken from a function pointer of the same type in a process of the same build:
//!
//! - the build travels with a [`Func`] and with a child's start, and is compared before the offset is used. A
//!   [`Remote`] goes only to a process that was started by this one, as this build;
//! - the offset must lie in the executable's code;
//! - a fingerprint of the argument's and the result's types travels with it and is compared by the code that would
//!   call it. It is made of their `TypeId`s, which tell types apart that have one name and are the same throughout
//!   a build.
//!
//! None of this stops a forger, who can copy all three. So both are only decoded from a trusted peer: a process of
//! this program's own family, whose sockets and rings are private to the user who runs it. To call [`codec::decode`]
//! is to vouch for the bytes; what came from elsewhere goes through `decode_with` and untrusted limits.
#![expect(unsafe_code, reason = "makes function pointers of checked offsets")]

use crate::panics::{self, Panic};
use multiproc_core::Message;
use multiproc_core::codec::{self, DecodeError, EncodeError, Encoded};
use multiproc_core::sys::image::image;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

/// A function that lies in a shared library.
///
/// # Examples
///
/// ```
/// use multiproc_process::Remote;
///
/// assert!(Remote::new(|n: u32| n + 1).is_ok()); // a function of this program is none
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the function is not part of the executable but of a shared library, where another process would not find it: \
     wrap it in a function of the program itself"
)]
pub struct ForeignFunction;

/// A `fn(A) -> R` as a value that can travel: a message, so that one queue can carry different jobs.
///
/// ```
/// use multiproc_process::{Func, Process};
///
/// fn double(n: u32) -> u32 { n * 2 }
///
/// let jobs = vec![Func::new(double), Func::new(|n| n + 1)];
/// let results = Process::spawn(jobs, |jobs| jobs.into_iter().map(|job| job.call(20)).collect::<Vec<_>>())?.join()?;
/// assert_eq!(results, [40, 21]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Func<A, R>(fn(A) -> R);

impl<A, R> Func<A, R> {
    /// Takes a function, a method, or a closure that captures nothing.
    ///
    /// One that lies in a shared library can be called here, but sending it is an error.
    pub fn new(f: fn(A) -> R) -> Func<A, R> {
        Func(f)
    }

    /// Calls the function.
    pub fn call(&self, argument: A) -> R {
        (self.0)(argument)
    }
}

impl<A, R> Clone for Func<A, R> {
    fn clone(&self) -> Func<A, R> {
        *self
    }
}

impl<A, R> Copy for Func<A, R> {}

impl<A, R> fmt::Debug for Func<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Func<{}, {}>", type_name::<A>(), type_name::<R>())
    }
}

impl<A: 'static, R: 'static> Serialize for Func<A, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_function(self.0 as *const (), fingerprint::<A, R>(), serializer)
    }
}

impl<'de, A: 'static, R: 'static> Deserialize<'de> for Func<A, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Func<A, R>, D::Error> {
        let address = read_function(fingerprint::<A, R>(), deserializer)?;
        // SAFETY:
        // - the address lies in the code of this executable, and the build is the sender's;
        // - the sender took the offset from a `fn(A) -> R`, as the fingerprint says (see the head of this file).
        Ok(Func(unsafe { std::mem::transmute::<*const (), fn(A) -> R>(address) }))
    }
}

/// A `fn(&mut S, A) -> R` as a value that can travel: a [`Func`] that works on something that stays where it is.
///
/// ```
/// use multiproc_process::{FuncWith, Process};
///
/// let add = FuncWith::new(|sum: &mut u32, n: u32| *sum += n);
/// let sum = Process::spawn(add, |add| {
///     let mut sum = 40;
///     add.call(&mut sum, 2);
///     sum
/// })?;
/// assert_eq!(sum.join()?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FuncWith<S, A, R>(fn(&mut S, A) -> R);

impl<S, A, R> FuncWith<S, A, R> {
    /// Takes a function, a method, or a closure that captures nothing.
    ///
    /// One that lies in a shared library can be called here, but sending it is an error.
    pub fn new(f: fn(&mut S, A) -> R) -> FuncWith<S, A, R> {
        FuncWith(f)
    }

    /// Calls the function.
    pub fn call(&self, state: &mut S, argument: A) -> R {
        (self.0)(state, argument)
    }
}

impl<S, A, R> Clone for FuncWith<S, A, R> {
    fn clone(&self) -> FuncWith<S, A, R> {
        *self
    }
}

impl<S, A, R> Copy for FuncWith<S, A, R> {}

impl<S, A, R> fmt::Debug for FuncWith<S, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FuncWith<{}, {}, {}>", type_name::<S>(), type_name::<A>(), type_name::<R>())
    }
}

impl<S: 'static, A: 'static, R: 'static> Serialize for FuncWith<S, A, R> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        // A type of its own: no `Func<(S, A), R>` is taken for it.
        write_function(self.0 as *const (), fingerprint::<FuncWith<S, A, R>, R>(), serializer)
    }
}

impl<'de, S: 'static, A: 'static, R: 'static> Deserialize<'de> for FuncWith<S, A, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FuncWith<S, A, R>, D::Error> {
        let address = read_function(fingerprint::<FuncWith<S, A, R>, R>(), deserializer)?;
        // SAFETY:
        // - the address lies in the code of this executable, and the build is the sender's;
        // - the sender took the offset from a `fn(&mut S, A) -> R`, as the fingerprint says (see the head of this
        //   file).
        Ok(FuncWith(unsafe { std::mem::transmute::<*const (), fn(&mut S, A) -> R>(address) }))
    }
}

fn write_function<S: Serializer>(function: *const (), types: u64, serializer: S) -> Result<S::Ok, S::Error> {
    let offset = offset_of(function).map_err(S::Error::custom)?;
    (build_hash().map_err(S::Error::custom)?, offset, types).serialize(serializer)
}

/// The address of a function that arrives, which is one of these types.
fn read_function<'de, D: Deserializer<'de>>(types: u64, deserializer: D) -> Result<*const (), D::Error> {
    check_trust()?;
    let (build, offset, theirs) = <(u64, u64, u64)>::deserialize(deserializer)?;
    if build != build_hash().map_err(D::Error::custom)? {
        return Err(D::Error::custom(
            "a function of another build of the program: start both sides from one build",
        ));
    }
    if theirs != types {
        return Err(D::Error::custom(
            "a function of other types than the receiver expects: send and receive the same type",
        ));
    }
    address_of(offset).ok_or_else(|| {
        D::Error::custom("a function that lies outside of the executable: start both sides from one build")
    })
}

/// A function and the code that knows its types, for crates that send calls themselves, as the pool does.
///
/// # Examples
///
/// ```
/// use multiproc_core::codec;
/// use multiproc_process::Remote;
///
/// let remote = Remote::new(|n: u32| n + 1)?; // a message for another process of this build
/// let returned = remote.call(&codec::encode(&20u32)?.bytes, Vec::new())?;
/// assert_eq!(codec::decode::<u32>(&returned.encoded.bytes, Vec::new())?, 21);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Remote {
    entry: u64,
    function: u64,
    types: u64,
}

impl<'de> Deserialize<'de> for Remote {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Remote, D::Error> {
        check_trust()?;
        let (entry, function, types) = Deserialize::deserialize(deserializer)?;
        Ok(Remote { entry, function, types })
    }
}

/// Refuses functions that anybody could have forged.
fn check_trust<E: serde::de::Error>() -> Result<(), E> {
    if codec::is_trusted() {
        return Ok(());
    }
    Err(E::custom("a function from a peer that is not trusted: functions travel within one program only"))
}

/// What a call gave: the result as it travels, and the value itself, to be dropped after it was sent.
///
/// # Examples
///
/// ```
/// use multiproc_core::codec;
/// use multiproc_process::Remote;
///
/// let returned = Remote::new(|()| "text".to_owned())?.call(&codec::encode(&())?.bytes, Vec::new())?;
/// assert_eq!(returned.encoded.bytes, b"\x04text");
/// assert!(!returned.discard()); // the value itself is dropped, and did not panic
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Returned {
    /// The encoded result.
    pub encoded: Encoded,
    value: Box<dyn Any>,
}

impl Returned {
    pub(crate) fn new(encoded: Encoded, value: impl Any) -> Returned {
        Returned { encoded, value: Box::new(value) }
    }

    /// Drops the value; tells whether its destructor panicked.
    pub fn discard(self) -> bool {
        panics::discard(self.value)
    }
}

impl fmt::Debug for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Returned").field("bytes", &self.encoded.bytes.len()).finish_non_exhaustive()
    }
}

/// Why a call gave no result.
///
/// # Examples
///
/// ```
/// use multiproc_core::codec;
/// use multiproc_process::{CallError, Remote};
///
/// let remote = Remote::new(|n: u32| -> u32 { 1 / n })?;
/// let error = remote.call(&codec::encode(&0u32)?.bytes, Vec::new()).unwrap_err();
/// assert!(matches!(error, CallError::Panicked(panic) if panic.message.contains("divide by zero")));
/// assert!(matches!(remote.call(&[], Vec::new()), Err(CallError::Decode(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There is no such function in this build.
    #[error("the call names no function of this build: start both ends from one build")]
    NoFunction,
    /// The arguments could not be decoded.
    #[error("decode the arguments: {0}")]
    Decode(DecodeError),
    /// The function panicked.
    #[error("the function panicked at {}: {}", .0.location, .0.message)]
    Panicked(Panic),
    /// The result could not be encoded.
    #[error("encode the result: {0}")]
    Encode(EncodeError),
}

type Entry = fn(*const (), u64, &[u8], Vec<OwnedFd>) -> Result<Returned, CallError>;

impl Remote {
    /// Describes `f` so that another process of this build can call it.
    ///
    /// # Errors
    ///
    /// [`ForeignFunction`]: it lies in a shared library.
    pub fn new<A: Message, R: Message>(f: fn(A) -> R) -> Result<Remote, ForeignFunction> {
        Ok(Remote {
            entry: offset_of(entry::<A, R> as Entry as *const ())?,
            function: offset_of(f as *const ())?,
            types: fingerprint::<A, R>(),
        })
    }

    /// Calls the function with encoded arguments; a panic is caught.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn call(&self, arguments: &[u8], fds: Vec<OwnedFd>) -> Result<Returned, CallError> {
        let entry = address_of(self.entry).ok_or(CallError::NoFunction)?;
        let function = address_of(self.function).ok_or(CallError::NoFunction)?;
        // SAFETY:
        // - the address lies in the code of this executable, whose build is the sender's;
        // - `Remote`s are made by `new`, which took it from an `Entry`, or decoded from a trusted peer that made it
        //   so (see the head of this file).
        let entry = unsafe { std::mem::transmute::<*const (), Entry>(entry) };
        entry(function, self.types, arguments, fds)
    }
}

/// The code that knows the types: decodes, calls, encodes.
fn entry<A: Message, R: Message>(
    function: *const (),
    types: u64,
    arguments: &[u8],
    fds: Vec<OwnedFd>,
) -> Result<Returned, CallError> {
    if types != fingerprint::<A, R>() {
        return Err(CallError::NoFunction);
    }
    // SAFETY:
    // - the address lies in the code of this executable, whose build is the sender's;
    // - the fingerprint says that it was a `fn(A) -> R` there (see the head of this file).
    let function = unsafe { std::mem::transmute::<*const (), fn(A) -> R>(function) };
    panics::catch(|| {
        let arguments = codec::decode::<A>(arguments, fds).map_err(CallError::Decode)?;
        let value = function(arguments);
        let encoded = codec::encode_message(&value).map_err(CallError::Encode)?;
        Ok(Returned::new(encoded, value))
    })
    .unwrap_or_else(|panic| Err(CallError::Panicked(panic)))
}

fn offset_of(function: *const ()) -> Result<u64, ForeignFunction> {
    image().ok().and_then(|image| image.offset_of(function.addr())).ok_or(ForeignFunction)
}

fn address_of(offset: u64) -> Option<*const ()> {
    image().ok()?.address_of(offset).map(std::ptr::with_exposed_provenance)
}

fn build_hash() -> Result<u64, ForeignFunction> {
    static HASH: OnceLock<u64> = OnceLock::new();
    let image = image().map_err(|_| ForeignFunction)?;
    Ok(*HASH.get_or_init(|| {
        let mut hash = Fnv::new();
        hash.write(image.build_id().as_bytes());
        hash.finish()
    }))
}

/// Tells functions of different types apart within one build.
fn fingerprint<A: 'static, R: 'static>() -> u64 {
    let mut hash = Fnv::new();
    (TypeId::of::<A>(), TypeId::of::<R>()).hash(&mut hash);
    hash.finish()
}

/// FNV-1a: the same in every process, unlike the hashers of `std`.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(n: u32) -> u32 {
        n * 2
    }

    #[test]
    fn a_remote_call_decodes_calls_and_encodes() {
        let remote = Remote::new(double).unwrap();
        let arguments = codec::encode(&21u32).unwrap();
        let returned = remote.call(&arguments.bytes, vec![]).unwrap();
        assert_eq!(codec::decode::<u32>(&returned.encoded.bytes, vec![]).unwrap(), 42);
        assert!(!returned.discard());
    }

    #[test]
    fn forged_calls_are_refused() {
        let remote = Remote::new(double).unwrap();
        let outside = Remote { function: u64::MAX, ..remote };
        assert!(matches!(outside.call(&[1], vec![]), Err(CallError::NoFunction)));
        let other_types = Remote { types: remote.types ^ 1, ..remote };
        assert!(matches!(other_types.call(&[1], vec![]), Err(CallError::NoFunction)));
        assert!(matches!(remote.call(&[], vec![]), Err(CallError::Decode(_))));
    }

    #[test]
    fn types_of_one_name_are_told_apart() {
        let first = {
            struct Same;
            (fingerprint::<Same, ()>(), type_name::<Same>())
        };
        let second = {
            struct Same;
            (fingerprint::<Same, ()>(), type_name::<Same>())
        };
        assert_eq!(first.1, second.1);
        assert_ne!(first.0, second.0);
        assert_ne!(fingerprint::<u8, u16>(), fingerprint::<u16, u8>());
    }

    #[test]
    fn functions_of_strangers_are_refused() {
        let untrusted = codec::Limits::untrusted();
        let remote = codec::encode(&Remote::new(double).unwrap()).unwrap().bytes;
        assert!(codec::decode::<Remote>(&remote, vec![]).is_ok());
        assert!(codec::decode_with::<Remote>(&remote, vec![], &untrusted).is_err());
        let func = codec::encode(&Func::new(double)).unwrap().bytes;
        assert!(codec::decode::<Func<u32, u32>>(&func, vec![]).is_ok());
        assert!(codec::decode_with::<Func<u32, u32>>(&func, vec![], &untrusted).is_err());
        assert!(codec::decode::<Func<u32, i32>>(&func, vec![]).is_err());
    }

    #[test]
    fn panics_come_with_their_place() {
        let remote = Remote::new(|n: u32| -> u32 { panic!("no {n}") }).unwrap();
        let Err(CallError::Panicked(panic)) = remote.call(&[7], vec![]) else {
            panic!("should have panicked")
        };
        assert_eq!(panic.message, "no 7");
        assert!(panic.location.contains("function.rs:"), "{}", panic.location);
        assert!(panic.backtrace.contains("panics_come_with_their_place"), "{}", panic.backtrace);
    }

    #[test]
    fn functions_of_shared_libraries_are_refused() {
        if cfg!(target_feature = "crt-static") {
            return;
        }
        // Any address outside of the executable's code will do, for instance one of its data.
        static DATA: u8 = 0;
        assert_eq!(offset_of((&raw const DATA).cast()), Err(ForeignFunction));
    }
}
