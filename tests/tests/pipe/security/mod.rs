//! Those who must not get in, and what they must not do. Each test is an attack of one or several kinds.

/// Against a listener, without the key.
mod clients;

/// Against a client that looks for its listener.
mod listeners;

/// Against the places where sockets are: files, directories, other users.
mod places;

/// By somebody who is in.
mod insiders;

use hmac::{Hmac, KeyInit, Mac};
use multiproc_pipe::{Address, Connection, Listener};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

const KEY: &[u8; 12] = b"the true key";
const LONG: Duration = Duration::from_secs(30);
const CHALLENGE: &[u8] = b"#CHALLENGE#";
const WELCOME: &[u8] = b"#WELCOME#";

/// A raw stream of either kind.
trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// Connects as somebody who writes the protocol by hand.
fn dial(address: &Address) -> Box<dyn Wire> {
    match address {
        Address::Path(path) => {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            Box::new(stream)
        }
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            Box::new(stream)
        }
        _ => unreachable!("no other kind is used here"),
    }
}

/// Where somebody listens by hand.
enum Trap {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Trap {
    /// One of each kind, and where they are.
    fn both(folder: &std::path::Path) -> [(Trap, Address); 2] {
        let path = folder.join("trap");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = Address::Tcp(tcp.local_addr().unwrap());
        [(Trap::Unix(UnixListener::bind(&path).unwrap()), Address::Path(path)), (Trap::Tcp(tcp), at)]
    }

    fn accept(&self) -> Box<dyn Wire> {
        match self {
            Trap::Unix(listener) => Box::new(listener.accept().unwrap().0),
            Trap::Tcp(listener) => Box::new(listener.accept().unwrap().0),
        }
    }
}

fn put(wire: &mut dyn Wire, frame: &[u8]) -> io::Result<()> {
    wire.write_all(&[&(frame.len() as u32).to_be_bytes()[..], frame].concat())
}

fn get(wire: &mut dyn Wire) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    wire.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    wire.read_exact(&mut frame)?;
    Ok(frame)
}

/// The challenge in the listener's first frame.
fn challenge(wire: &mut dyn Wire) -> Vec<u8> {
    get(wire).unwrap().strip_prefix(CHALLENGE).unwrap().to_vec()
}

fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn answer(key: &[u8], challenge: &[u8]) -> Vec<u8> {
    [&b"{sha256}"[..], &mac::<Hmac<sha2::Sha256>>(key, challenge)].concat()
}

/// Both halves of the handshake by somebody who has the key.
fn enter(wire: &mut dyn Wire) {
    let theirs = challenge(wire);
    put(wire, &answer(KEY, &theirs)).unwrap();
    assert_eq!(get(wire).unwrap(), WELCOME);
    let ours = [&b"{sha256}"[..], &[5; 40]].concat();
    put(wire, &[CHALLENGE, &ours].concat()).unwrap();
    assert_eq!(get(wire).unwrap(), answer(KEY, &ours));
    put(wire, WELCOME).unwrap();
}

/// Runs an attack while somebody accepts; nobody must get in, and a true client must afterwards.
fn besieged(listener: &Listener, attack: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let attack = scope.spawn(attack);
        while !attack.is_finished() {
            let accepted = listener.accept_timeout::<(), ()>(Duration::from_millis(20));
            assert!(accepted.unwrap_err().is_timeout(), "somebody got in");
        }
        attack.join().unwrap();
    });
    let accepted = listener.try_accept::<(), ()>();
    assert!(accepted.unwrap_err().is_timeout(), "somebody got in at last");
    assert_eq!(listener.stats().accepted, 0);
    thread::scope(|scope| {
        let client = scope.spawn(|| multiproc_pipe::connect::<u8, u8>(listener.address(), KEY).unwrap());
        let server: Connection<u8, u8> = listener.accept_timeout(LONG).unwrap();
        client.join().unwrap().send(1).unwrap();
        assert_eq!(server.recv().unwrap(), 1);
    });
}

/// Listeners of both kinds.
fn castles() -> [Listener; 2] {
    let quick = || Listener::builder().handshake_timeout(Duration::from_millis(300));
    [quick().bind_private(KEY).unwrap(), quick().bind(("127.0.0.1", 0), KEY).unwrap()]
}
