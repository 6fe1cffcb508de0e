use crate::caller::{CAPS, Distant};
use crate::error::ClusterError;
use crate::letters::{self, DeadLetter};
use crate::room::Room;
use crate::settings::{Settings, setters};
use crate::survey::{self, AgentInfo};
use multiproc_pool::Pool;
use multiproc_pool::backend::{Backend, Caps, Init, Start};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A connection to a NATS server, by which a pool's tasks reach the agents of other hosts.
///
/// ```no_run
/// use multiproc_cluster::Nats;
/// use multiproc_pool::Pool;
///
/// let pool = Pool::builder().backend(Nats::connect("nats://127.0.0.1:4222")?).build()?;
/// assert_eq!(pool.map(0..100u64, |n| n * n)?.len(), 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Clones are the same connection. It ends with the last of them and of the pools that use it.
#[derive(Clone, Debug)]
pub struct Nats {
    room: Arc<Room>,
}

impl Nats {
    /// Connects to the server at this address, or to one of several with commas between them.
    ///
    /// # Errors
    ///
    /// No server answers or it refuses the credentials; the address is beyond this machine and there are no TLS, no
    /// credentials or no key; see [`ClusterError`].
    pub fn connect(url: &str) -> Result<Nats, ClusterError> {
        Nats::builder(url).connect()
    }

    /// Begins the description of a connection.
    pub fn builder(url: &str) -> NatsBuilder {
        NatsBuilder { settings: Settings::new(url) }
    }

    /// Gives the tasks that were given up because they cost too many workers or hosts, the oldest first.
    ///
    /// They stay on the server until they are [put back](DeadLetter::put_back) or [discarded](DeadLetter::discard);
    /// of more than 10,000 the oldest go. Only those of this very build are seen: nobody else could run them.
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>, ClusterError> {
        let letters = self.room.run(async |link| letters::list(&link).await)?;
        Ok(letters.into_iter().map(|found| DeadLetter::new(found, Arc::clone(&self.room))).collect())
    }

    /// Asks all agents of the pool how they stand, those of other builds too, and gives what came within a time.
    ///
    /// An agent answers at once; how many there are nobody knows, so that the time is always waited for. They come in
    /// the order of their hosts' names.
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub fn agents(&self, within: Duration) -> Result<Vec<AgentInfo>, ClusterError> {
        self.room.run(async move |link| survey::ask(&link, within).await)
    }
}

impl Start for Nats {
    fn caps(&self) -> Caps {
        CAPS
    }

    fn start(self: Box<Self>, init: Option<Init>) -> io::Result<Box<dyn Backend>> {
        Ok(Box::new(Distant::start(self.room, init)?))
    }
}

/// The description of a connection; made by [`Nats::builder`].
///
/// ```no_run
/// use multiproc_cluster::Nats;
///
/// let nats = Nats::builder("tls://hub.example.org:4222")
///     .pool("render")
///     .token("of the server")
///     .key("of the pool, 32 random bytes, say")
///     .connect()?;
/// # Ok::<(), multiproc_cluster::ClusterError>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect`"]
pub struct NatsBuilder {
    settings: Settings,
}

setters!(NatsBuilder);

impl NatsBuilder {
    /// Connects.
    ///
    /// # Errors
    ///
    /// As [`Nats::connect`].
    pub fn connect(self) -> Result<Nats, ClusterError> {
        let name = format!("multiproc caller {}", std::process::id());
        Ok(Nats { room: Arc::new(Room::open(self.settings, name)?) })
    }
}

impl DeadLetter {
    /// Has the task run by a pool. Nobody gets its result.
    ///
    /// It stays on the list until the task has ended. If it is deadly still, there is a new letter of it; if it fails
    /// otherwise, or this program ends before, this one stays.
    pub fn put_back<S: 'static>(self, pool: &Pool<S>) {
        letters::run(self, pool);
    }

    /// Takes the task off the list.
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub fn discard(self) -> Result<(), ClusterError> {
        let place = self.found.place;
        self.room.run(async move |link| letters::remove(&link, place).await)
    }
}
