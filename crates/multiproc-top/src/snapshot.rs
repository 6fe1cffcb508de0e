use serde::Serialize;

/// What was seen at one moment.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Seconds since the look before it, which rates are over; none at the first one.
    pub seconds: Option<f64>,
    /// The processes, each program's behind each other.
    pub processes: Vec<Process>,
    /// Queues and channels; the rings between pools and their workers as well, as `link`.
    pub queues: Vec<Queue>,
    /// Pools.
    pub pools: Vec<Pool>,
    /// Locks, semaphores, events, conditions and barriers.
    pub locks: Vec<Lock>,
    /// Other shared memory.
    pub others: Vec<Other>,
}

/// A process of a program that uses multiproc.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// Its parent, if that is one of them too.
    pub parent: Option<u32>,
    /// The process where the program began.
    pub program: u32,
    /// What it is called, up to 15 bytes of that.
    pub name: String,
    /// The program's file.
    pub command: String,
    /// `R`, `S`, `T`, `Z`, … as the system calls it.
    pub state: char,
    /// How many threads it has.
    pub threads: u32,
    /// How much of a processor it takes, in hundredths.
    pub cpu: Option<f64>,
    /// Bytes of it that are in memory.
    pub memory: u64,
    /// What its threads sleep for.
    pub waits_for: Vec<String>,
}

/// A queue, a channel, or a link between a pool and its worker.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Queue {
    /// What tells it from others: the number of its file.
    pub object: u64,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// `queue`, `channel`, `spsc` or `link`.
    pub flavour: String,
    /// The type of its messages.
    pub message: String,
    /// Messages that wait.
    pub len: usize,
    /// How many there can be, if that is bounded.
    pub capacity: Option<usize>,
    /// Messages that were leased and came back.
    pub returned: usize,
    /// Messages that are leased.
    pub leased: usize,
    /// Bytes of the messages that wait.
    pub bytes: u64,
    /// Bytes of memory that it has.
    pub memory: u64,
    /// Messages that are put in a second.
    pub put_per_second: Option<f64>,
    /// Messages that are taken in a second.
    pub taken_per_second: Option<f64>,
    /// Bytes that are put in a second.
    pub bytes_per_second: Option<f64>,
    /// Threads that wait for room, where that can be told.
    pub producers_waiting: Option<usize>,
    /// Threads that wait for a message, where that can be told.
    pub consumers_waiting: Option<usize>,
    /// Somebody waits for room, or has until the time was up.
    pub may_producers_wait: bool,
    /// Somebody waits for a message, or has until the time was up.
    pub may_consumers_wait: bool,
    /// It was closed.
    pub is_closed: bool,
    /// The processes that have it.
    pub used_by: Vec<u32>,
}

/// A pool of workers.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Pool {
    /// What tells it from others.
    pub object: u64,
    /// Its name.
    pub name: String,
    /// The process that made it.
    pub owner: u32,
    /// Tasks that are done.
    pub done: u64,
    /// Tasks that are done in a second.
    pub tasks_per_second: Option<f64>,
    /// Tasks that wait.
    pub queued: u64,
    /// Tasks that workers have.
    pub under_way: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Workers that died and were replaced.
    pub restarts: u64,
    /// The workers; of very many not all.
    pub workers: Vec<Worker>,
}

/// A worker of a pool.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Worker {
    /// Its process, or of a thread its number in the pool.
    pub id: u32,
    /// `starting`, `idle`, `busy` or `leaving`.
    pub state: &'static str,
    /// Tasks that it has done.
    pub done: u64,
}

/// Something to lock or to wait for.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Lock {
    /// The value that it is in: the number of its file.
    pub object: u64,
    /// The name of that value, if it has one.
    pub name: Option<String>,
    /// The type of that value.
    pub value: String,
    /// The fields that lead to it; empty where it is the value itself.
    pub path: String,
    /// `mutex`, `rwlock`, `semaphore`, `event`, …
    pub kind: String,
    /// How it is, in a word or two.
    pub state: String,
    /// Who has it.
    pub holders: Vec<Holder>,
    /// Threads that wait for it, where that can be told.
    pub waiters: Option<usize>,
    /// Somebody waits, or has until the time was up.
    pub is_waited_for: bool,
    /// The processes that have the value.
    pub used_by: Vec<u32>,
}

/// Who has a lock, or a permit.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Holder {
    /// The process; 0 where it is not known any more.
    pub process: u32,
    /// The thread.
    pub thread: u32,
    /// How many of it.
    pub count: u64,
    /// It is dead, and nobody has noticed.
    pub is_dead: bool,
}

/// Other shared memory.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Other {
    /// What tells it from others.
    pub object: u64,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// What it is: `value`, `slice`, `bytes`, ….
    pub kind: String,
    /// Of a value, its type.
    pub value: String,
    /// Bytes of memory.
    pub memory: u64,
    /// The processes that have it.
    pub used_by: Vec<u32>,
}
