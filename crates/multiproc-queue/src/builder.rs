use crate::arena::CHUNK;
use crate::depot::Depot;
use crate::queue::Queue;
use crate::ring::{Control, Position, Ring, Shape};
use multiproc_core::sys::memory::Directory;
use multiproc_core::{Message, Name};
use multiproc_shm::arena::{Arena, Numbers};
use multiproc_shm::{ShmError, layout};
use std::io;
use std::marker::PhantomData;

/// The most messages of a queue without a bound of its own.
const UNBOUNDED: usize = 1 << 31;
/// The longest message of a named queue whose creator said nothing.
const NAMED_BYTES: u64 = 64 << 20;

/// How a [`Queue`] is to be.
///
/// # Examples
///
/// ```
/// use multiproc_queue::Queue;
///
/// let queue = Queue::<String>::builder().capacity(10).max_bytes(100).create()?;
/// assert_eq!(queue.capacity(), 10);
/// assert!(queue.put("x".repeat(200)).unwrap_err().is_too_large());
///
/// let name = format!("jobs-{}", std::process::id());
/// let jobs = Queue::<u32>::builder().capacity(10).create_named(&name)?;
/// jobs.put(7).unwrap();
/// let same = Queue::<u32>::builder().open_named(&name)?; // in whatever process of this user
/// assert_eq!(same.get().unwrap(), 7);
/// Queue::<u32>::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder<T> {
    capacity: usize,
    max_bytes: Option<u64>,
    flavour: &'static str,
    marker: PhantomData<fn() -> T>,
}

impl<T: Message> Builder<T> {
    pub(crate) fn new() -> Builder<T> {
        Builder { capacity: UNBOUNDED, max_bytes: None, flavour: "queue", marker: PhantomData }
    }

    /// How many messages there may be in it, at most 2,147,483,648; without this as many as there is memory for.
    #[must_use]
    pub fn capacity(self, messages: usize) -> Builder<T> {
        Builder { capacity: messages, ..self }
    }

    /// How many bytes one encoded message may have; without this any number, of a named queue 64 MiB.
    #[must_use]
    pub fn max_bytes(self, bytes: u64) -> Builder<T> {
        Builder { max_bytes: Some(bytes), ..self }
    }

    /// What it is to be called where it is looked at.
    pub(crate) fn flavour(self, flavour: &'static str) -> Builder<T> {
        Builder { flavour, ..self }
    }

    fn about(&self) -> String {
        format!("{}\n{}\n", self.flavour, std::any::type_name::<T>())
    }

    /// Creates a queue that lives as long as any handle.
    ///
    /// # Errors
    ///
    /// A capacity of 0 or beyond the limit; no memory or no descriptor left.
    pub fn create(self) -> io::Result<Queue<T>> {
        let numbers = self.numbers(u64::MAX)?;
        let ring = attach(Arena::anonymous(fingerprint::<T>(), numbers, &self.about())?)?;
        ring.prepare().map_err(|error| error.0)?;
        Ok(Queue::of(ring, Some(Depot::new()?)))
    }

    /// Creates a queue under a name, which lives until it is [unlinked](Queue::unlink).
    ///
    /// # Errors
    ///
    /// The name is invalid or taken, a capacity of 0 or beyond the limit, no memory or no space left.
    pub fn create_named(self, name: &str) -> Result<Queue<T>, ShmError> {
        let name = Name::new(name)?;
        let failed = |source| ShmError::of_io("create", format!("queue {:?}", name.as_str()), source);
        let numbers = self.numbers(NAMED_BYTES).map_err(failed)?;
        let directory = Directory::of_user()?;
        let ring = attach(Arena::nameless(&directory, &name, fingerprint::<T>(), numbers, &self.about())?)
            .map_err(failed)?;
        ring.prepare().map_err(|error| failed(error.0))?;
        ring.memory().publish(&directory, &name)?;
        Ok(Queue::of(ring, None))
    }

    /// Opens the queue of that name; how it is was said by its creator.
    ///
    /// # Errors
    ///
    /// There is none, it has messages of another type, or it is not this user's.
    pub fn open_named(self, name: &str) -> Result<Queue<T>, ShmError> {
        let name = Name::new(name)?;
        let failed = |source| ShmError::of_io("open", format!("queue {:?}", name.as_str()), source);
        let arena = Arena::open(&Directory::of_user()?, &name, fingerprint::<T>())?;
        Ok(Queue::of(attach(arena).map_err(failed)?, None))
    }

    fn numbers(&self, max_bytes: u64) -> io::Result<Numbers> {
        if !(1..=UNBOUNDED).contains(&self.capacity) {
            let text = format!("a queue of {} messages: give between 1 and {UNBOUNDED}", self.capacity);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let max_bytes = self.max_bytes.unwrap_or(max_bytes);
        Ok([CHUNK, self.capacity as u64, u64::from(Position::CHUNKS), max_bytes, 0, 0])
    }
}

/// What tells queues of one type of message from others.
pub(crate) fn fingerprint<T>() -> u64 {
    layout::start(std::any::type_name::<T>())
}

/// The ring in an arena, if its numbers are those of one.
pub(crate) fn attach(arena: Arena<Control>) -> io::Result<Ring<Arena<Control>>> {
    let shape = shape_of(arena.numbers()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "its size is none that a queue can have: unlink it, something else made or overwrote it",
        )
    })?;
    Ok(Ring::attach(arena, shape))
}

/// The shape that an arena's numbers give, if there can be such a queue.
pub(crate) fn shape_of(numbers: &Numbers) -> Option<Shape> {
    let [chunk, capacity, max_chunks, ..] = *numbers;
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let shape =
        Shape { capacity: number(capacity), max_chunks: number(max_chunks), chunk_words: number(chunk / 8) };
    shape.is_valid().then_some(shape)
}
