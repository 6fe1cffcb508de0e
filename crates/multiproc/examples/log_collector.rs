//! Records of several processes go to one collector over a socket that only those with the key get through.
//!
//! Python: `connection.Listener(authkey=…)`, `accept()`, `Client(address, authkey=…)`. Here the same protocol, typed: a
//! connection says what it sends and what it receives. A Python program may be the other end (see `serve_python`).
//!
//! ```text
//! cargo run --release --example log_collector [-- --better]
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::{Connection, Listener, Process, connect};
use std::env;
use std::error::Error;

type Outcome = Result<(), Box<dyn Error>>;

const KEY: &[u8] = b"seed 004";

/// Who says it, its how manieth it is, and what.
type Record = (String, u32, String);

fn send((address, name): (String, String)) {
    let collector: Connection<Record, String> = connect(address, KEY).unwrap();
    for n in 0..3 {
        collector.send((name.clone(), n, format!("record {n} of {name}"))).unwrap();
    }
    assert_eq!(collector.recv().unwrap(), "ok");
}

/// 54: nine records of three processes.
fn collect() -> Outcome {
    // A socket in a directory that only this user can reach; both go with the listener.
    let listener = Listener::bind_private(KEY)?;
    let address = listener.address().to_string();
    let mut children = Vec::new();
    for name in ["alpha", "beta", "gamma"] {
        children.push(Process::spawn((address.clone(), name.to_owned()), send)?);
    }
    let mut records = Vec::new();
    for _ in &children {
        let client = listener.accept::<String, Record>()?;
        for _ in 0..3 {
            records.push(client.recv()?);
        }
        client.send("ok".to_owned())?;
    }
    let mut codes = Vec::new();
    for child in children {
        child.wait()?;
        codes.extend(child.exit_code());
    }
    records.sort();
    for (name, n, text) in records {
        println!("('{name}', {n}, '{text}')");
    }
    println!("check: exit codes: {codes:?}");
    Ok(())
}

/// Better: who has another key is refused, while others are served; `accept` never sees him.
fn better() -> Outcome {
    let listener = Listener::bind_private(KEY)?;
    let address = listener.address().to_string();
    let stranger = Process::spawn(address.clone(), |address| {
        connect::<(), ()>(address, b"guessed").is_err_and(|error| error.is_refused())
    })?;
    let friend = Process::spawn((address, "friend".to_owned()), send)?;
    let client = listener.accept::<String, Record>()?;
    println!("better: {:?}", client.recv()?);
    client.send("ok".to_owned())?;
    friend.join()?;
    // A handshake goes on while somebody accepts.
    let stranger = std::thread::scope(|scope| {
        scope.spawn(|| listener.accept_timeout::<(), ()>(std::time::Duration::from_millis(300)));
        stranger.join()
    })?;
    println!("better: the stranger was refused: {stranger}");
    Ok(())
}

fn main() -> Outcome {
    match env::args().nth(1).as_deref() {
        None => collect(),
        Some("--better") => better(),
        Some(_) => Err("say nothing, or --better".into()),
    }
}
