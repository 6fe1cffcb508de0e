//! Functions that are called with something borrowed, as data.
//!
//! # Safety
//!
//! Unsafe is needed to make a function pointer of an address. What is said at the head of `function.rs` holds here:
//! the offset was taken from a function pointer of this type in a process of the same build, which is compared; it must
//! lie in the executable's code; a fingerprint of all three types travels with it; and it is only decoded from a trusted
//! peer.
#![expect(unsafe_code, reason = "makes function pointers of checked offsets")]

use crate::function::{address_of, build_hash, check_trust, fingerprint, offset_of};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::type_name;
use std::fmt;

/// A `fn(&mut T, A) -> R` as a value that can travel: a job to be done on state that stays where it is.
///
/// ```
/// use multiproc_process::{Method, Process};
///
/// let add = Method::new(|sum: &mut u32, n: u32| *sum += n);
/// let child = Process::spawn(add, |add| {
///     let mut sum = 40;
///     add.call(&mut sum, 2);
///     sum
/// })?;
/// assert_eq!(child.join()?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Method<T, A, R>(fn(&mut T, A) -> R);

impl<T, A, R> Method<T, A, R> {
    /// Takes a function, a method, or a closure that captures nothing.
    ///
    /// One that lies in a shared library can be called here, but sending it is an error.
    pub fn new(f: fn(&mut T, A) -> R) -> Method<T, A, R> {
        Method(f)
    }

    /// Calls the function.
    pub fn call(&self, state: &mut T, argument: A) -> R {
        (self.0)(state, argument)
    }
}

impl<T, A, R> Clone for Method<T, A, R> {
    fn clone(&self) -> Method<T, A, R> {
        *self
    }
}

impl<T, A, R> Copy for Method<T, A, R> {}

impl<T, A, R> fmt::Debug for Method<T, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Method<{}, {}, {}>", type_name::<T>(), type_name::<A>(), type_name::<R>())
    }
}

/// What the types are told apart by; another marker than a `Func`'s, whose calls look different.
fn types<T: 'static, A: 'static, R: 'static>() -> u64 {
    fingerprint::<(&'static mut T, A), R>()
}

impl<T: 'static, A: 'static, R: 'static> Serialize for Method<T, A, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let offset = offset_of(self.0 as *const ()).map_err(S::Error::custom)?;
        (build_hash().map_err(S::Error::custom)?, offset, types::<T, A, R>()).serialize(serializer)
    }
}

impl<'de, T: 'static, A: 'static, R: 'static> Deserialize<'de> for Method<T, A, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Method<T, A, R>, D::Error> {
        check_trust()?;
        let (build, offset, found) = <(u64, u64, u64)>::deserialize(deserializer)?;
        if build != build_hash().map_err(D::Error::custom)? {
            return Err(D::Error::custom(
                "a function of another build of the program: start both sides from one build",
            ));
        }
        if found != types::<T, A, R>() {
            return Err(D::Error::custom("a function of other types than the receiver expects"));
        }
        let address = address_of(offset)
            .ok_or_else(|| D::Error::custom("a function that lies outside of the executable"))?;
        // SAFETY:
        // - the address lies in the code of this executable, and the build is the sender's;
        // - the sender took the offset from a `fn(&mut T, A) -> R`, as the fingerprint says (see the head of
        //   `function.rs`).
        Ok(Method(unsafe { std::mem::transmute::<*const (), fn(&mut T, A) -> R>(address) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Func;
    use multiproc_core::codec::{self, Limits};

    #[test]
    fn it_travels_and_knows_its_types() {
        let push = Method::new(|list: &mut Vec<u32>, n: u32| list.push(n));
        let bytes = codec::encode(&push).unwrap().bytes;
        let mut list = vec![1];
        codec::decode::<Method<Vec<u32>, u32, ()>>(&bytes, vec![]).unwrap().call(&mut list, 2);
        assert_eq!(list, [1, 2]);
        assert!(codec::decode::<Method<Vec<u32>, u32, u32>>(&bytes, vec![]).is_err());
        assert!(codec::decode::<Method<Vec<u8>, u32, ()>>(&bytes, vec![]).is_err());
        assert!(codec::decode::<Func<(Vec<u32>, u32), ()>>(&bytes, vec![]).is_err());
        let stranger = Limits::untrusted();
        assert!(codec::decode_with::<Method<Vec<u32>, u32, ()>>(&bytes, vec![], &stranger).is_err());
    }
}
