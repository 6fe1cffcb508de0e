//! A Rust pool does the work of a Python program.
//!
//! ```text
//! cargo run --release --example serve_python            serves a Python client that it starts itself
//! cargo run --release --example serve_python 127.0.0.1:7000     serves until it is ended; run client.py beside it
//! ```
//!
//! Both ends speak the protocol of `multiprocessing.connection`; inside its messages is JSON. A job that crashes takes
//! down a worker, which is replaced, and its client is told.

use multiproc::{AuthKey, Connection, Listener, Pool};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, io, process, thread};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/serve_python/client.py");

/// What a client asks for.
#[derive(Debug, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
enum Job {
    Primes { below: usize },
    Words { text: String },
    Crash,
}

/// What it gets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Result(usize),
    Error(String),
}

/// Runs in a worker: JSON in, JSON out.
fn work(request: Vec<u8>) -> Vec<u8> {
    let answer = match serde_json::from_slice(&request) {
        Ok(Job::Primes { below }) => Answer::Result(primes(below)),
        Ok(Job::Words { text }) => Answer::Result(text.split_whitespace().count()),
        Ok(Job::Crash) => process::abort(),
        Err(error) => Answer::Error(error.to_string()),
    };
    encode(&answer)
}

fn primes(below: usize) -> usize {
    let mut is_prime = vec![true; below];
    is_prime.iter_mut().take(2).for_each(|small| *small = false);
    for number in (2..).take_while(|number| number * number < below) {
        if is_prime[number] {
            is_prime[number * number..].iter_mut().step_by(number).for_each(|multiple| *multiple = false);
        }
    }
    is_prime.into_iter().filter(|is_prime| *is_prime).count()
}

fn encode(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap_or_else(|error| error.to_string().into_bytes())
}

/// Answers one client until it hangs up.
fn serve(pool: &Pool, client: &Connection<(), ()>) -> io::Result<()> {
    while let Ok(request) = client.recv_bytes() {
        let answer =
            pool.apply(request, work).unwrap_or_else(|error| encode(&Answer::Error(error.to_string())));
        client.send_bytes(&answer)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let key = AuthKey::random()?;
    // Python before 3.12 knows no better digest than MD5; this key is good for one run on this machine.
    let builder = Listener::builder().allow_md5(true);
    let address: Option<SocketAddr> = env::args().nth(1).map(|address| address.parse()).transpose()?;
    let listener = match address {
        Some(address) => builder.bind(address, &key)?,
        None => builder.bind_private(&key)?,
    };
    let mut hex = String::new();
    for byte in key.as_bytes().unwrap_or_default() {
        write!(hex, "{byte:02x}")?;
    }
    let pool = Pool::new(2)?;
    let mut client = match address {
        Some(_) => {
            writeln!(io::stdout(), "echo {hex} | python3 {CLIENT} {}", listener.address())?;
            None
        }
        None => {
            let address = listener.address().to_string();
            let child = Command::new("python3").args([CLIENT, &address]).stdin(Stdio::piped()).spawn();
            let mut child = child.map_err(|error| format!("python3 cannot be started: {error}"))?;
            if let Some(mut input) = child.stdin.take() {
                writeln!(input, "{hex}")?;
            }
            Some(child)
        }
    };
    thread::scope(|scope| {
        loop {
            match listener.accept_timeout::<(), ()>(Duration::from_millis(100)) {
                Ok(connection) => {
                    let pool = &pool;
                    scope.spawn(move || serve(pool, &connection));
                }
                Err(error) if error.is_timeout() => {}
                Err(error) => return Err(error.into()),
            }
            // Without a client of one's own it goes on for ever.
            if let Some(status) = client.as_mut().map(process::Child::try_wait).transpose()?.flatten() {
                return if status.success() { Ok(()) } else { Err("the client failed".into()) };
            }
        }
    })
}
