use crate::wire::Answer;
use multiproc_core::codec::{DecodeError, EncodeError};
use multiproc_pipe::{ConnectError, ListenError};
use multiproc_process::{ForeignFunction, JoinError, Panic, SpawnError};
use std::io;

/// Why a call gave no result.
///
/// [`may_have_run`](CallError::may_have_run) tells what matters before a call is made again.
///
/// # Examples
///
/// ```
/// use multiproc_manager::Manager;
/// use std::time::Duration;
///
/// let manager = Manager::start()?;
/// let error = manager.get::<u32>("nobody published this").unwrap_err();
/// assert!(error.is_not_found() && !error.may_have_run());
///
/// let number = manager.create(0u32, |n| n)?;
/// let error = number.call(0, |number, by| *number / by).unwrap_err();
/// assert!(error.is_panicked() && error.may_have_run() && error.panic().is_some());
///
/// manager.publish("number", &number)?;
/// assert!(manager.publish("number", &manager.create(1u32, |n| n)?).unwrap_err().is_name_taken());
/// assert!(manager.get::<String>("number").unwrap_err().is_wrong_type());
///
/// let long = |_: &mut u32, ()| std::thread::sleep(Duration::from_secs(1));
/// let error = number.call_timeout((), Duration::from_millis(20), long).unwrap_err();
/// assert!(error.is_timeout() && error.may_have_run()); // it has begun, and goes on
/// assert!(!error.is_gone() && !error.is_limit() && !error.is_deadlock());
///
/// manager.shutdown()?;
/// let error = number.call((), |_, ()| ()).unwrap_err();
/// assert!(error.is_disconnected() && !error.is_encode() && !error.is_decode() && !error.is_misuse());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CallError(Box<Kind>);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("the call panicked in the server, at {}: {}", .0.location, .0.message)]
    Panicked(Panic),
    #[error("the call's time was up before it began: it has not run; allow more, or call again")]
    Expired,
    #[error(
        "the call's time was up, and the server has not said whether it has run: look at the object, or allow more"
    )]
    TimedOut,
    #[error("the manager's server is gone: the call was not sent; start another manager")]
    NotSent,
    #[error(
        "the manager's server went away before it answered: the call may have run; start another manager"
    )]
    Unanswered,
    #[error("the call cannot be sent to the manager's server: {0}")]
    Io(io::Error),
    #[error(
        "the object is gone: its last reference was dropped, or given back with the client that held it; keep a proxy as long as it is needed"
    )]
    Gone,
    #[error("the object is of another type: {0}")]
    OtherType(String),
    #[error("nothing is published under the name {0:?}: publish it first, or correct the name")]
    NoName(String),
    #[error("something else is published under the name {0:?}: choose another, or take that one back first")]
    NameTaken(String),
    #[error(transparent)]
    Function(ForeignFunction),
    #[error("encode the call: {0}")]
    Encode(EncodeError),
    #[error("the call could not be decoded in the server: {0}")]
    NotDecoded(String),
    #[error("the result could not be encoded in the server: {0}")]
    NotEncoded(String),
    #[error("decode the result: {0}")]
    Decode(DecodeError),
    #[error("the manager's server answered what makes no sense ({0}): run the same build at both ends")]
    Protocol(String),
    #[error("a limit of the manager was reached: {0}")]
    Limited(String),
    #[error("the call would wait for the very call that makes it: an object is not used from within itself")]
    Deadlock,
    #[error("{0}")]
    Misuse(&'static str),
    #[error(
        "the process was forked without exec, and the connections are its parent's: hand the proxy over as an argument"
    )]
    Forked,
    #[error("connect to the manager: {0}")]
    Connect(ManagerError),
}

impl From<Kind> for CallError {
    fn from(kind: Kind) -> CallError {
        CallError(Box::new(kind))
    }
}

impl CallError {
    pub(crate) fn of(answer: Answer) -> CallError {
        match answer {
            Answer::Done => Kind::Protocol("done, and no result".to_owned()),
            Answer::Panicked(panic) => Kind::Panicked(panic),
            Answer::Expired => Kind::Expired,
            Answer::Gone => Kind::Gone,
            Answer::OtherType(found) => Kind::OtherType(found),
            Answer::NoFunction => Kind::NotDecoded(
                "it names no function of this build: start both ends from one build".to_owned(),
            ),
            Answer::NotDecoded(why) => Kind::NotDecoded(why),
            Answer::NotEncoded(why) => Kind::NotEncoded(why),
            Answer::Limited(why) => Kind::Limited(why),
            Answer::Deadlock => Kind::Deadlock,
        }
        .into()
    }

    pub(crate) fn timed_out() -> CallError {
        Kind::TimedOut.into()
    }

    pub(crate) fn expired() -> CallError {
        Kind::Expired.into()
    }

    pub(crate) fn not_sent() -> CallError {
        Kind::NotSent.into()
    }

    pub(crate) fn unanswered() -> CallError {
        Kind::Unanswered.into()
    }

    pub(crate) fn forked() -> CallError {
        Kind::Forked.into()
    }

    pub(crate) fn encode(error: EncodeError) -> CallError {
        Kind::Encode(error).into()
    }

    pub(crate) fn decode(error: DecodeError) -> CallError {
        Kind::Decode(error).into()
    }

    pub(crate) fn io(error: io::Error) -> CallError {
        Kind::Io(error).into()
    }

    pub(crate) fn protocol(what: impl ToString) -> CallError {
        Kind::Protocol(what.to_string()).into()
    }

    pub(crate) fn limited(what: String) -> CallError {
        Kind::Limited(what).into()
    }

    pub(crate) fn other_type(found: String) -> CallError {
        Kind::OtherType(found).into()
    }

    pub(crate) fn no_name(name: &str) -> CallError {
        Kind::NoName(name.to_owned()).into()
    }

    pub(crate) fn name_taken(name: &str) -> CallError {
        Kind::NameTaken(name.to_owned()).into()
    }

    pub(crate) fn misuse(what: &'static str) -> CallError {
        Kind::Misuse(what).into()
    }

    pub(crate) fn connect(error: ManagerError) -> CallError {
        Kind::Connect(error).into()
    }

    /// Tells whether the function may have run: it has panicked, or the server went away or let the time pass without
    /// an answer. Otherwise it certainly has not, or its result is lost ([`is_decode`](CallError::is_decode)).
    pub fn may_have_run(&self) -> bool {
        matches!(
            *self.0,
            Kind::Panicked(_)
                | Kind::TimedOut
                | Kind::Unanswered
                | Kind::NotEncoded(_)
                | Kind::Decode(_)
                | Kind::Protocol(_)
        )
    }

    /// Tells whether the server is gone, whenever it went.
    pub fn is_disconnected(&self) -> bool {
        matches!(*self.0, Kind::NotSent | Kind::Unanswered | Kind::Connect(_))
    }

    /// Tells whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(*self.0, Kind::Expired | Kind::TimedOut)
    }

    /// Tells whether the function panicked.
    pub fn is_panicked(&self) -> bool {
        matches!(*self.0, Kind::Panicked(_))
    }

    /// The panic, with its message, its place and its backtrace in the server.
    pub fn panic(&self) -> Option<&Panic> {
        match &*self.0 {
            Kind::Panicked(panic) => Some(panic),
            _ => None,
        }
    }

    /// Tells whether the object is no more.
    pub fn is_gone(&self) -> bool {
        matches!(*self.0, Kind::Gone)
    }

    /// Tells whether the object is of another type than was asked for.
    pub fn is_wrong_type(&self) -> bool {
        matches!(*self.0, Kind::OtherType(_))
    }

    /// Tells whether nothing is published under the name.
    pub fn is_not_found(&self) -> bool {
        matches!(*self.0, Kind::NoName(_))
    }

    /// Tells whether something else is published under the name.
    pub fn is_name_taken(&self) -> bool {
        matches!(*self.0, Kind::NameTaken(_))
    }

    /// Tells whether the arguments or the result cannot travel.
    pub fn is_encode(&self) -> bool {
        matches!(*self.0, Kind::Encode(_) | Kind::NotEncoded(_) | Kind::Function(_))
    }

    /// Tells whether the arguments or the result could not be read where they arrived.
    pub fn is_decode(&self) -> bool {
        matches!(*self.0, Kind::Decode(_) | Kind::NotDecoded(_))
    }

    /// Tells whether a limit of the manager was reached.
    pub fn is_limit(&self) -> bool {
        matches!(*self.0, Kind::Limited(_))
    }

    /// Tells whether the object was used from within a call on itself.
    pub fn is_deadlock(&self) -> bool {
        matches!(*self.0, Kind::Deadlock)
    }

    /// Tells whether the operation makes no sense in the object's state: a lock released by who does not hold it.
    pub fn is_misuse(&self) -> bool {
        matches!(*self.0, Kind::Misuse(_))
    }
}

impl From<ForeignFunction> for CallError {
    fn from(error: ForeignFunction) -> CallError {
        Kind::Function(error).into()
    }
}

impl From<CallError> for io::Error {
    fn from(error: CallError) -> io::Error {
        let kind = match &*error.0 {
            Kind::Expired | Kind::TimedOut => io::ErrorKind::TimedOut,
            Kind::NotSent | Kind::Unanswered => io::ErrorKind::BrokenPipe,
            Kind::Gone | Kind::NoName(_) => io::ErrorKind::NotFound,
            Kind::Io(error) => error.kind(),
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// Why there is no manager: its server could not be started, or not be reached.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{Manager, RemoteManager};
/// use std::time::Duration;
///
/// let error = RemoteManager::connect_timeout("/nobody/here", "secret", Duration::from_secs(1)).unwrap_err();
/// assert!(error.is_not_found() && !error.is_refused() && !error.is_timeout());
/// let error = Manager::builder().bind("/no/such/place/socket").authkey("secret").start().unwrap_err();
/// assert!(error.is_listen());
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ManagerError(Box<ManagerKind>);

#[derive(Debug, thiserror::Error)]
pub(crate) enum ManagerKind {
    #[error("start the manager's server: {0}")]
    Spawn(#[from] SpawnError),
    #[error("the manager's server ended before it was ready: {0}")]
    Ended(#[from] JoinError),
    #[error("the manager's server cannot listen: {0}")]
    Listen(String),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the manager refuses: {0}")]
    Refused(String),
    #[error("what listens there is no manager with this key: check address and key")]
    NotOurs,
    #[error("the manager's server has gone: start another manager")]
    Gone,
    #[error("the time was up before the manager answered: see whether it is stopped or busy, or allow more")]
    TimedOut,
    #[error("a manager that others are to reach needs a key: say `.authkey(…)`")]
    NoKey,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<E: Into<ManagerKind>> From<E> for ManagerError {
    fn from(error: E) -> ManagerError {
        ManagerError(Box::new(error.into()))
    }
}

impl From<ListenError> for ManagerKind {
    fn from(error: ListenError) -> ManagerKind {
        ManagerKind::Listen(error.to_string())
    }
}

impl ManagerError {
    /// Tells whether the address cannot be listened at.
    pub fn is_listen(&self) -> bool {
        matches!(*self.0, ManagerKind::Listen(_))
    }

    /// Tells whether the manager refuses this process: it is another build of the program, or there are too many.
    pub fn is_refused(&self) -> bool {
        matches!(&*self.0, ManagerKind::Refused(_) | ManagerKind::NotOurs)
            || matches!(&*self.0, ManagerKind::Connect(error) if error.is_refused())
    }

    /// Tells whether nobody listens there, or the server has gone.
    pub fn is_not_found(&self) -> bool {
        matches!(&*self.0, ManagerKind::Gone)
            || matches!(&*self.0, ManagerKind::Connect(error) if error.is_not_found())
    }

    /// Tells whether the time was up.
    pub fn is_timeout(&self) -> bool {
        matches!(&*self.0, ManagerKind::TimedOut)
            || matches!(&*self.0, ManagerKind::Connect(error) if error.is_timeout())
    }
}

impl From<ManagerError> for io::Error {
    fn from(error: ManagerError) -> io::Error {
        io::Error::other(error)
    }
}
