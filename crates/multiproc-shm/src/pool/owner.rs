//! # Safety
//!
//! A segment is lent to one [`PooledBytesMut`] at a time, and not lent again before the pipe that counts its
//! users has hung up. So while one exists nobody else reads or writes these bytes: processes that received an
//! earlier message in the same segment have dropped it, which is this protocol's promise and the reason why
//! such messages are taken only from processes of the same program.
#![expect(unsafe_code, reason = "segments are borrowed as slices for as long as they are lent")]

use super::message::{Origin, PooledBytes};
use super::token::{Token, random};
use crate::segment::Segment;
use multiproc_core::Deadline;
use multiproc_core::sys::memory::{count_pipe, hung_up};
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Segments of shared memory that are used again and again for messages.
///
/// About five times the bandwidth of fresh [`SharedBytes`](crate::SharedBytes) for large messages. The price is
/// trust: the bytes are immutable by protocol and not by the kernel, so processes take them only from their own
/// family, never from a connection to somebody else.
///
/// ```
/// use multiproc_shm::BytesPool;
///
/// let pool = BytesPool::new(1 << 16, 2)?;
/// let mut bytes = pool.take()?;
/// bytes[..5].copy_from_slice(b"frame");
/// let message = bytes.freeze_to(5); // a message: send it, clone it, drop it
/// assert_eq!(&*message, b"frame");
///
/// let second = pool.take()?;
/// assert!(pool.try_take().unwrap_err().is_exhausted());
/// drop(message); // nobody has it any more, in any process
/// let again = pool.try_take()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Clones are handles to the same pool. Dropping the last one leaves messages that are under way as they are.
/// A receiver keeps a pool's segments mapped for the next message; it forgets them when it drops a message, or
/// gets one of another pool, and finds the pool gone.
#[derive(Clone)]
pub struct BytesPool(Arc<Pool>);

struct Pool {
    len: usize,
    slots: Mutex<Vec<Slot>>,
    /// Hangs up in every receiver when the pool is gone.
    _alive: OwnedFd,
}

struct Slot {
    memory: Arc<Memory>,
    /// The read end that hangs up when nobody uses the segment any more; `None` before the first use.
    users: Option<Arc<OwnedFd>>,
}

/// A segment of the pool, mapped for writing, which outlives the pool as long as it is lent.
pub(super) struct Memory {
    pub(super) segment: Segment,
    pub(super) origin: Origin,
    pub(super) alive: Arc<OwnedFd>,
}

impl BytesPool {
    /// Creates a pool of `count` segments of `len` bytes each.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if `count` is 0, [`io::ErrorKind::OutOfMemory`] if all together are more
    /// than is free, and what the kernel reports.
    pub fn new(len: usize, count: usize) -> io::Result<BytesPool> {
        if count == 0 {
            let text = "a pool of 0 segments could never give one: ask for at least 1";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let total = (len as u64).saturating_mul(count as u64);
        multiproc_core::sys::memory::check_free(total)?;
        let (gone, alive) = count_pipe()?;
        let gone = Arc::new(gone);
        let pool = random();
        let slots = (0..count)
            .map(|_| {
                let segment = Segment::anonymous("multiproc-pool", len as u64, None)?;
                let origin = Origin { pool, segment: random() };
                let memory = Memory { segment, origin, alive: Arc::clone(&gone) };
                Ok(Slot { memory: Arc::new(memory), users: None })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(BytesPool(Arc::new(Pool { len, slots: Mutex::new(slots), _alive: alive })))
    }

    /// Takes a segment, and waits until one is free.
    ///
    /// One that this thread itself holds never becomes free while it waits.
    ///
    /// # Errors
    ///
    /// What the kernel reports.
    pub fn take(&self) -> Result<PooledBytesMut, TakeError> {
        self.take_by(Deadline::NEVER)
    }

    /// Takes a segment if one is free.
    ///
    /// # Errors
    ///
    /// [`is_exhausted`](TakeError::is_exhausted) if all are in use, and what the kernel reports.
    pub fn try_take(&self) -> Result<PooledBytesMut, TakeError> {
        self.take_by(Deadline::now())
    }

    /// Takes a segment, and waits for one as long as `timeout`.
    ///
    /// # Errors
    ///
    /// [`is_exhausted`](TakeError::is_exhausted) if all are in use, and what the kernel reports.
    pub fn take_timeout(&self, timeout: Duration) -> Result<PooledBytesMut, TakeError> {
        self.take_by(Deadline::after(timeout))
    }

    /// Takes a segment, and waits for one until `deadline`.
    ///
    /// # Errors
    ///
    /// [`is_exhausted`](TakeError::is_exhausted) if all are in use, and what the kernel reports.
    pub fn take_deadline(&self, deadline: Instant) -> Result<PooledBytesMut, TakeError> {
        self.take_by(Deadline::at(deadline))
    }

    fn take_by(&self, deadline: Deadline) -> Result<PooledBytesMut, TakeError> {
        loop {
            let users = {
                let mut slots = self.0.slots.lock();
                match free_slot(&slots)? {
                    Some(index) => return Ok(lend(&mut slots[index])?),
                    None => slots.iter().filter_map(|slot| slot.users.clone()).collect::<Vec<_>>(),
                }
            };
            if deadline.has_passed() {
                return Err(TakeKind::Exhausted { count: users.len() }.into());
            }
            // A hang-up stays, so one that comes before the wait ends it at once; another thread may then have
            // been faster, hence the loop.
            let ends: Vec<_> = users.iter().map(AsFd::as_fd).collect();
            hung_up(&ends, deadline.remaining())?;
        }
    }

    /// The number of segments.
    pub fn count(&self) -> usize {
        self.0.slots.lock().len()
    }

    /// The length of each segment in bytes.
    pub fn segment_len(&self) -> usize {
        self.0.len
    }
}

/// Finds a segment that nobody uses.
fn free_slot(slots: &[Slot]) -> io::Result<Option<usize>> {
    if let Some(index) = slots.iter().position(|slot| slot.users.is_none()) {
        return Ok(Some(index));
    }
    // Every slot has a pipe now, so the indexes are the same.
    let ends: Vec<_> = slots.iter().filter_map(|slot| slot.users.as_ref().map(|end| end.as_fd())).collect();
    Ok(hung_up(&ends, Some(Duration::ZERO))?.first().copied())
}

fn lend(slot: &mut Slot) -> io::Result<PooledBytesMut> {
    let (users, token) = count_pipe()?;
    slot.users = Some(Arc::new(users));
    Ok(PooledBytesMut { memory: Arc::clone(&slot.memory), token: Token(Arc::new(token)) })
}

impl fmt::Debug for BytesPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesPool").field("segment_len", &self.0.len).finish_non_exhaustive()
    }
}

/// A segment of a [`BytesPool`] that is being filled in, by this process alone.
///
/// It still holds what it held when it was last used. Dropped instead of frozen, it goes back to the pool.
///
/// # Examples
///
/// ```
/// use multiproc_shm::BytesPool;
///
/// let pool = BytesPool::new(4096, 2)?;
/// assert_eq!((pool.count(), pool.segment_len()), (2, 4096));
/// let mut bytes = pool.take().unwrap();
/// bytes.fill(7); // it still holds what it held before
/// assert!(bytes.freeze().iter().all(|byte| *byte == 7));
/// # std::io::Result::Ok(())
/// ```
pub struct PooledBytesMut {
    memory: Arc<Memory>,
    token: Token,
}

impl PooledBytesMut {
    /// Ends the filling in: the bytes are a message now.
    pub fn freeze(self) -> PooledBytes {
        let len = self.len();
        self.freeze_to(len)
    }

    /// Ends the filling in, and makes a message of the first `len` bytes.
    ///
    /// # Panics
    ///
    /// If the segment has fewer.
    pub fn freeze_to(self, len: usize) -> PooledBytes {
        assert!(len <= self.len(), "the first {len} bytes of a pooled segment of {}", self.len());
        PooledBytes::own(self.memory, self.token, len)
    }
}

impl Deref for PooledBytesMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let segment = &self.memory.segment;
        // SAFETY: valid for reads of that many bytes while `memory` lives, all allocated; nobody writes to them
        // while this value exists, but through its unique borrow.
        unsafe { std::slice::from_raw_parts(segment.as_ptr(), segment.len()) }
    }
}

impl DerefMut for PooledBytesMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        let segment = &self.memory.segment;
        // SAFETY: valid for writes of that many bytes while `memory` lives, all allocated; the segment is lent
        // to this value alone, which is borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(segment.as_ptr(), segment.len()) }
    }
}

impl fmt::Debug for PooledBytesMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBytesMut").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A segment that a [`BytesPool`] could not give.
///
/// # Examples
///
/// ```
/// use multiproc_shm::BytesPool;
/// use std::time::{Duration, Instant};
///
/// let pool = BytesPool::new(4096, 1)?;
/// let only = pool.take().unwrap();
/// assert!(pool.try_take().unwrap_err().is_exhausted());
/// assert!(pool.take_timeout(Duration::from_millis(1)).unwrap_err().is_exhausted());
/// drop(only);
/// assert!(pool.take_deadline(Instant::now() + Duration::from_secs(1)).is_ok());
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TakeError(#[from] TakeKind);

#[derive(Debug, thiserror::Error)]
enum TakeKind {
    #[error(
        "all {count} segments of the pool are in use: drop messages that were read, or make a larger pool"
    )]
    Exhausted { count: usize },
    #[error("failed to take a segment of a pool: {0}")]
    Io(#[source] io::Error),
}

impl TakeError {
    /// Tells whether all segments are in use, and were until the time was over.
    pub fn is_exhausted(&self) -> bool {
        matches!(self.0, TakeKind::Exhausted { .. })
    }
}

impl From<io::Error> for TakeError {
    fn from(error: io::Error) -> Self {
        TakeError(TakeKind::Io(error))
    }
}

impl From<TakeError> for io::Error {
    fn from(error: TakeError) -> Self {
        match error.0 {
            TakeKind::Exhausted { .. } => io::Error::new(io::ErrorKind::WouldBlock, error),
            TakeKind::Io(error) => error,
        }
    }
}
