//! # Safety
//!
//! A segment is mapped for as long as its handle lives, is as long as its checked header says, really
//! allocated and (without a name) sealed against shrinking; the value was written before anybody else could
//! see it, and `T: ShmSafe` makes any bytes that others write there a valid `T`.
#![expect(unsafe_code, reason = "the value is reached through the mapping's address")]

use crate::ShmError;
use crate::ShmSafe;
use crate::header::Header;
use crate::kind;
use crate::layout;
use crate::named;
use crate::segment::Segment;
use multiproc_core::Name;
use multiproc_core::codec::Carried;
use multiproc_core::sys::memory::{Directory, write_all_at};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A value in memory that processes share: an [`Arc`] across processes.
///
/// It dereferences to the value; cloning it, or sending it in a message, gives another handle to the same one.
/// The value is reached by shared references only, so what shall change must be an atomic, or a lock made for
/// shared memory.
///
/// Without a name it lives as long as any handle, and nothing is left behind however the holders end. With a
/// name it lives until it is [unlinked](Self::unlink) and the last handle is gone, like a file.
///
/// ```
/// use multiproc_shm::Shared;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// let hits = Shared::new(AtomicU64::new(0))?;
/// let same = hits.clone(); // or sent to another process
/// same.fetch_add(1, Ordering::Relaxed);
/// assert_eq!(hits.load(Ordering::Relaxed), 1);
/// # std::io::Result::Ok(())
/// ```
///
/// Unlike Python's `Value`, it comes without a lock: atomics and locks go inside.
///
/// A type that wants to be aligned to more than 4096 bytes does not compile:
///
/// ```compile_fail
/// #[derive(multiproc_shm::ShmSafe)]
/// #[repr(C, align(8192))]
/// struct Wide([u8; 8192]);
///
/// let _ = multiproc_shm::Shared::new(Wide([0; 8192]));
/// ```
pub struct Shared<T: ShmSafe> {
    segment: Arc<Segment>,
    // `fn` since the handle owns no `T`; both are `Send + Sync` anyway.
    marker: PhantomData<fn() -> T>,
}

impl<T: ShmSafe> Shared<T> {
    /// Moves a value into fresh shared memory.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if it is larger than what is free, and what the kernel reports.
    pub fn new(value: T) -> io::Result<Self> {
        let about = layout::describe::<T>();
        let header = Header::of::<T>(kind::SHARED).with_about(about.len());
        let segment = Segment::anonymous("multiproc-shared", header.total(), Some(&header))?;
        write_all_at(segment.fd(), about.as_bytes(), header.end())?;
        Ok(Shared::with_value(segment, value))
    }

    /// Moves a value into fresh shared memory under a name.
    ///
    /// The name is this user's: another user's objects of that name are others.
    ///
    /// ```
    /// use multiproc_shm::Shared;
    ///
    /// # let name = format!("doc-create-{}", std::process::id());
    /// let first = Shared::create_named(&name, 5u32)?;
    /// assert!(Shared::create_named(&name, 6u32).unwrap_err().is_already_exists());
    /// assert_eq!(*Shared::<u32>::open_named(&name)?, 5);
    /// Shared::<u32>::unlink(&name)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The name is invalid or taken, or there is no memory or space for it; the error tells.
    pub fn create_named(name: &str, value: T) -> Result<Self, ShmError> {
        let name = Name::new(name)?;
        Shared::create_in(&Directory::of_user()?, &name, value)
    }

    /// Opens the value of that name.
    ///
    /// # Errors
    ///
    /// There is none, it is of another type, or it is not this user's; the error tells.
    pub fn open_named(name: &str) -> Result<Self, ShmError> {
        let name = Name::new(name)?;
        Shared::open_in(&Directory::of_user()?, &name)
    }

    /// Opens the value of that name, or creates it with `value` if there is none.
    ///
    /// However many processes do so at once, all get the same value, and exactly one has created it.
    ///
    /// # Errors
    ///
    /// Those of [`open_named`](Self::open_named) and [`create_named`](Self::create_named).
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_shm::Shared;
    ///
    /// let name = format!("either-{}", std::process::id());
    /// let first = Shared::open_or_create_named(&name, 1u32)?;
    /// let second = Shared::open_or_create_named(&name, 2u32)?;
    /// assert_eq!((*first, *second), (1, 1)); // the first one has made it
    /// assert!(!Shared::ptr_eq(&first, &Shared::new(1)?));
    /// Shared::<u32>::unlink(&name)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_or_create_named(name: &str, value: T) -> Result<Self, ShmError> {
        let name = Name::new(name)?;
        Shared::open_or_create_in(&Directory::of_user()?, &name, value)
    }

    /// Removes a name; who holds the value keeps it, and the name is free for another.
    ///
    /// # Errors
    ///
    /// The name is invalid, there is no such object, or it is not this user's.
    pub fn unlink(name: &str) -> io::Result<()> {
        let name = Name::new(name)?;
        Ok(named::unlink(&Directory::of_user().map_err(ShmError::from)?, &name)?)
    }

    /// Does the same as [`create_named`](Self::create_named) in another directory.
    #[doc(hidden)]
    pub fn create_in(directory: &Directory, name: &Name, value: T) -> Result<Self, ShmError> {
        let shared = Shared::prepare(directory, name, value)?;
        named::publish(directory, name, &shared.segment)?;
        Ok(shared)
    }

    /// Does the same as [`open_named`](Self::open_named) in another directory.
    #[doc(hidden)]
    pub fn open_in(directory: &Directory, name: &Name) -> Result<Self, ShmError> {
        Ok(Shared::of(named::open(directory, name, &Header::of::<T>(kind::SHARED))?))
    }

    /// Does the same as [`open_or_create_named`](Self::open_or_create_named) in another directory.
    #[doc(hidden)]
    pub fn open_or_create_in(directory: &Directory, name: &Name, value: T) -> Result<Self, ShmError> {
        match Shared::open_in(directory, name) {
            Err(error) if error.is_not_found() => {}
            other => return other,
        }
        // Made once; linked as often as others create and unlink the name in between.
        let shared = Shared::prepare(directory, name, value)?;
        loop {
            match named::publish(directory, name, &shared.segment) {
                Err(error) if error.is_already_exists() => {}
                other => return other.map(|()| shared),
            }
            match Shared::open_in(directory, name) {
                Err(error) if error.is_not_found() => {}
                other => return other,
            }
        }
    }

    /// Does the same as [`unlink`](Self::unlink) in another directory.
    #[doc(hidden)]
    pub fn unlink_in(directory: &Directory, name: &Name) -> Result<(), ShmError> {
        named::unlink(directory, name)
    }

    /// Tells whether both are handles to the same value, also if they came here on different ways and have it
    /// at different addresses.
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        this.segment.identity() == other.segment.identity()
    }

    /// Makes a value that has no name yet.
    fn prepare(directory: &Directory, name: &Name, value: T) -> Result<Self, ShmError> {
        let about = layout::describe::<T>();
        let header = Header::of::<T>(kind::SHARED).with_about(about.len());
        let segment = named::prepare(directory, name, &header, &about)?;
        Ok(Shared::with_value(segment, value))
    }

    /// Fills in a segment that nobody else can see yet.
    fn with_value(segment: Segment, value: T) -> Self {
        let shared = Self::of(segment);
        // SAFETY: `pointer` is aligned and valid for `size_of::<T>()` bytes, and no reference to them exists:
        // the segment is new, and neither linked nor sent.
        unsafe { shared.pointer().write(value) };
        shared
    }

    /// The descriptor of its memory.
    #[doc(hidden)]
    pub fn descriptor(&self) -> &OwnedFd {
        self.segment.fd()
    }

    fn of(segment: Segment) -> Self {
        Shared { segment: Arc::new(segment), marker: PhantomData }
    }

    /// The value's address: aligned, and valid for as long as this handle lives.
    ///
    /// Every segment that comes here was made with, or checked against, the header for `T`, so it has
    /// `offset + size_of::<T>()` bytes at least.
    #[inline]
    fn pointer(&self) -> *mut T {
        self.segment.as_ptr().wrapping_add(Header::offset_of_payload::<T>()).cast()
    }
}

impl<T: ShmSafe> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: `pointer` is aligned (mappings begin at pages, the offset is a multiple of the alignment) and
        // valid for reads while `self` lives; the bytes are a `T` whoever wrote them (`ShmSafe`); nobody makes
        // a unique reference to them, and what changes behind this one is in atomics or cells.
        unsafe { &*self.pointer() }
    }
}

impl<T: ShmSafe> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared { segment: Arc::clone(&self.segment), marker: PhantomData }
    }
}

impl<T: ShmSafe + fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&**self).finish()
    }
}

/// Sends the handle, not a copy of the value; outside of a message this is an error.
impl<T: ShmSafe> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Carried::<{ kind::SHARED }>(Arc::clone(self.segment.fd())).serialize(serializer)
    }
}

impl<'de, T: ShmSafe> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let carried = Carried::<{ kind::SHARED }>::deserialize(deserializer)?;
        let header = |_| Some(Header::of::<T>(kind::SHARED));
        Segment::receive(carried.0, header).map(Shared::of).map_err(de::Error::custom)
    }
}
