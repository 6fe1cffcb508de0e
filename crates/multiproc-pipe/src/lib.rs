//! Typed connections between processes, with descriptors in band.
//!
//! # Hello
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (ours, theirs) = multiproc_pipe::pipe::<String, usize>()?; // Connection<Send, Recv>
//! std::thread::spawn(move || {
//!     let text = theirs.recv().unwrap();
//!     theirs.send(text.len()).unwrap();
//! });
//! ours.send("how long?".to_owned())?;
//! assert_eq!(ours.recv()?, 9);
//! # Ok(())
//! # }
//! ```
//!
//! [`pipe`] makes both ends of a two-way connection, [`one_way()`] a reader and a writer for which the wrong
//! direction does not compile. Both are Unix stream sockets with the frames of CPython's
//! `multiprocessing.connection`. An end is itself a message: give it to a child as an argument, or send it through
//! another connection. Whatever handles a message holds travel with it.
//!
//! # Strangers
//!
//! A [`Listener`] waits at a path, an abstract name or a TCP port for those who have its [`AuthKey`], and [`connect()`]
//! is how they come. Frames and handshake are those of CPython's `multiprocessing.connection`, so that a Python program
//! can be the other end: exchange bytes with it ([`send_bytes`](Connection::send_bytes),
//! [`recv_bytes`](Connection::recv_bytes)), and put into them what both know, such as JSON.
//!
//! ```
//! use multiproc_pipe::{Connection, Listener, connect};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = Listener::bind_private("secret")?;
//! let address = listener.address().clone();
//! std::thread::spawn(move || {
//!     let client: Connection<u32, u32> = connect(address, "secret").unwrap();
//!     client.send(client.recv().unwrap() * 2).unwrap();
//! });
//! let client: Connection<u32, u32> = listener.accept()?;
//! client.send(21)?;
//! assert_eq!(client.recv()?, 42);
//! # Ok(())
//! # }
//! ```
//!
//! # Waiting on many
//!
//! [`wait()`] takes everything that has a descriptor: connections, listeners, processes, sockets, files.
//!
//! # Differences from Python
//!
//! Messages are typed. The same end may be used from several threads without interleaving. A timeout bounds the
//! whole call, and a call that timed out has consumed nothing.
//!
//! # What happens when a process dies here
//!
//! When every copy of the other end is gone, `recv` still gives what was sent before, and then an error whose
//! [`is_eof`](RecvError::is_eof) is true; `send` fails with one whose [`is_closed`](SendError::is_closed) is true.
//! A peer killed in the middle of a message leaves a *torn* frame, which is its own error
//! ([`is_torn`](RecvError::is_torn)) and never half a message. Copies count: a process that was forked without
//! exec, or a descriptor still in flight, keeps an end open.

mod address;
#[cfg(feature = "tokio")]
mod asynchronous;
mod auth;
mod connect;
mod connection;
mod error;
mod fd;
pub mod frame;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod listener;
mod one_way;
pub mod parcel;
mod socket;
mod wait;

pub use address::{Address, ToAddresses};
#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncConnection, AsyncListener, ready};
pub use auth::AuthKey;
pub use connect::{ConnectError, ConnectOptions, connect};
pub use connection::{Connection, pipe};
pub use error::{RecvError, SendError};
pub use fd::Fd;
pub use listener::{AcceptError, ListenError, Listener, ListenerBuilder, ListenerStats};
pub use multiproc_core::sys::peer::PeerCredentials;
pub use one_way::{PipeReader, PipeWriter, one_way};
pub use wait::wait;
