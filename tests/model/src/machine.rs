//! The memory that the processes of a model share, and the place where one of them runs for a moment.
//!
//! # Safety
//!
//! The memory is a leaked slice of cells, which is never freed; nothing else uses it meanwhile, since all that a model
//! does happens on one thread. Models put only atomics there and what is made of them, which zeros are a value of.
#![expect(unsafe_code, reason = "gives words of memory the types that the code under test has for them")]

use crate::fiber::{Stack, leave};
use multiproc_core::sync::model::{Access, Action, Held, Machine, Modify, run_on};
use multiproc_core::sync::thread::NUMBER;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// The most processes of a model.
pub(crate) const PROCESSES: usize = 4;
/// The shared memory, in bytes.
const SHARED: usize = 4096;

/// The upper half of every process' number.
const MARK: u64 = 7;

/// A process' number, as the code under test knows it.
pub fn id(process: usize) -> u64 {
    MARK << 32 | (process as u64 + 1)
}

/// The process whose number it is.
pub(crate) fn process_of(id: u64) -> Option<usize> {
    (id >> 32 == MARK).then(|| (id & NUMBER).checked_sub(1))?.map(|process| process as usize)
}

/// How a process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// It has not begun.
    Begin,
    Do(Action),
    Done,
    Panicked,
}

/// What there is to a process that is between two steps, but for what the kernel knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) stack: Box<[u64]>,
    pub(crate) held: [usize; 4],
    pub(crate) request: Request,
}

/// What the processes share, and the one of them that runs.
pub(crate) struct World {
    memory: &'static [Cell<u64>],
    stack: Stack,
    is_running: Cell<bool>,
    process: Cell<usize>,
    held: Held,
    request: Cell<Request>,
    learned: Cell<u64>,
    program: Cell<Option<&'static (dyn Fn(usize) + 'static)>>,
    failure: RefCell<Option<String>>,
}

thread_local! {
    static WORLD: &'static World = Box::leak(Box::new(World::new()));
}

pub(crate) fn world() -> &'static World {
    WORLD.with(|world| *world)
}

/// The shared memory as one value, all zeros when a model begins.
///
/// # Panics
///
/// It is larger than the memory of a model.
pub fn shared<T>() -> &'static T {
    assert!(size_of::<T>() <= SHARED && align_of::<T>() <= 4096, "too large for the model's memory");
    // SAFETY: see above; it is long enough and aligned to a page.
    unsafe { &*world().memory.as_ptr().cast::<T>() }
}

impl World {
    fn new() -> World {
        let words = Box::leak(vec![0u64; 2 * SHARED / 8].into_boxed_slice());
        let words = Cell::from_mut(words).as_slice_of_cells();
        let first = words.as_ptr().align_offset(4096);
        World {
            memory: &words[first..first + SHARED / 8],
            stack: Stack::new(),
            is_running: Cell::new(false),
            process: Cell::new(0),
            held: Default::default(),
            request: Cell::new(Request::Begin),
            learned: Cell::new(0),
            program: Cell::new(None),
            failure: RefCell::new(None),
        }
    }

    /// Begins a model with processes that run `program`, over memory that is all zeros.
    pub(crate) fn begin(&'static self, program: &'static (dyn Fn(usize) + 'static)) {
        hush();
        self.memory.iter().for_each(|word| word.set(0));
        self.program.set(Some(program));
        run_on(Some(self));
    }

    /// The words of the shared memory.
    pub(crate) fn memory(&self) -> &[Cell<u64>] {
        self.memory
    }

    /// The word that an address lies in, and how far in bits it lies from its beginning.
    pub(crate) fn place(&self, address: usize) -> (usize, u32) {
        let offset = address.wrapping_sub(self.memory.as_ptr().addr());
        assert!(offset < SHARED, "an address outside of the shared memory");
        (offset / 8, offset as u32 % 8 * 8)
    }

    /// A process that has not begun.
    pub(crate) fn first(&self) -> Local {
        Local { stack: self.stack.begin(run).into(), held: [0; 4], request: Request::Begin }
    }

    /// Runs a process to its next step, with what it learned by the last one.
    pub(crate) fn advance(&self, process: usize, local: &Local, learned: u64) -> Local {
        self.process.set(process);
        self.learned.set(learned);
        self.held.iter().zip(local.held).for_each(|(place, held)| place.set(held));
        self.is_running.set(true);
        let stack = self.stack.run(&local.stack).into();
        self.is_running.set(false);
        if self.request.get() == Request::Panicked {
            self.stack.clear();
        }
        Local { stack, held: std::array::from_fn(|at| self.held[at].get()), request: self.request.get() }
    }

    /// What the last panic of a process said.
    pub(crate) fn failure(&self) -> String {
        self.failure.borrow().clone().unwrap_or_else(|| "a panic".to_owned())
    }
}

/// Keeps panics of processes, which are results, from being told as they happen.
fn hush() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !world().is_running.get() {
                tell(panic);
            }
        }));
    });
}

/// What every fiber runs.
extern "sysv64" fn run() -> ! {
    let world = world();
    let mut end = Request::Done;
    if let Some(program) = world.program.get()
        && let Err(panic) = catch_unwind(AssertUnwindSafe(|| program(world.process.get())))
    {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        *world.failure.borrow_mut() = Some(message.to_owned());
        end = Request::Panicked;
    }
    loop {
        world.request.set(end);
        leave();
    }
}

impl Machine for World {
    fn act(&self, action: Action) -> Option<u64> {
        // The check at the end of a model looks at memory without being a process.
        if !self.is_running.get() {
            return None;
        }
        if std::thread::panicking() {
            // A panic is the end of its process; what unwinding drops must not be done twice, so it goes on at once, with
            // answers that let it.
            return Some(match action {
                Action::Access(Access { change: Modify::Exchange { current, .. }, .. }) => current,
                _ => 0,
            });
        }
        self.request.set(Request::Do(action));
        leave();
        Some(self.learned.get())
    }

    fn id(&self) -> u64 {
        id(self.process.get())
    }

    fn held(&self) -> &Held {
        &self.held
    }
}
