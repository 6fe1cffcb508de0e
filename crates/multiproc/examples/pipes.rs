//! Pipes between processes, and how each end learns that the other is gone.
//!
//! Python: `Pipe()`, `Pipe(duplex=False)`, `EOFError`, and the rule that everybody closes the copies that he does not
//! use, or nobody ever sees the end. Here an end has one owner: who is given it has it, who gave it has it no more.
//!
//! ```text
//! cargo run --release --example pipes -- eof [--better] | simplex | siblings
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::{Connection, PipeReader, PipeWriter, Process, Queue, RecvError, one_way, pipe};
use std::error::Error;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};
use std::{env, process, thread};

type Outcome = Result<(), Box<dyn Error>>;

/// The descriptor's number, in place of Python's `id(object)`.
fn number(end: impl AsFd) -> i32 {
    end.as_fd().as_raw_fd()
}

fn in_python(error: &RecvError) -> String {
    if error.is_eof() { "EOFError".to_owned() } else { error.to_string() }
}

/// 27: both ends go to the child, as Python's fork has it; the end comes when the last copy of the other end is closed,
/// the consumer's own too.
fn eof() -> Outcome {
    let (conn1, conn2) = pipe::<(), u32>()?;
    let ours = (number(&conn1), number(&conn2));
    // An end that is to be in two places must be duplicated; `conn1` moves, so there is nothing to close here.
    let consumer = |(conn1, conn2): (Connection<(), u32>, Connection<u32, ()>)| {
        println!("consumer conn1 id {}", number(&conn1));
        println!("consumer conn2 id {}", number(&conn2));
        println!("process consumer id {}", process::id());
        drop(conn2);
        loop {
            match conn1.recv() {
                Ok(item) => println!("{item}"),
                Err(error) => {
                    println!("{}", in_python(&error));
                    break;
                }
            }
        }
        println!("consumer done");
    };
    Process::spawn((conn1, conn2.try_clone()?), consumer)?;
    for item in 1..=5 {
        conn2.send(item)?;
    }
    println!("   main conn1 id {}", ours.0);
    println!("   main conn2 id {}", ours.1);
    Ok(())
}

/// Better: give each side just its end, and there is nothing to think of.
fn eof_better() -> Outcome {
    let (reader, writer) = one_way::<u32>()?;
    let consumer = Process::spawn(reader, |reader| std::iter::from_fn(|| reader.recv().ok()).sum::<u32>())?;
    for item in 1..=5 {
        writer.send(item)?;
    }
    drop(writer);
    println!("better: the sum is {}", consumer.join()?);
    Ok(())
}

/// 40: both ways, and one way. The wrong way is an `OSError` in Python; here there is no such method.
fn simplex() -> Outcome {
    let (ours, theirs) = pipe::<String, String>()?;
    let child = Process::spawn(theirs, |theirs| {
        let text = theirs.recv().unwrap();
        theirs.send(text + " back").unwrap();
    })?;
    ours.send("there and".to_owned())?;
    println!("check: duplex: {}", ours.recv()?);
    if let Err(error) = ours.recv() {
        println!("check: duplex, other end closed: {}", in_python(&error));
    }
    child.join()?;

    let (reader, writer) = one_way::<String>()?;
    println!("check: simplex, send on the receiving end: does not compile");
    println!("check: simplex, recv on the sending end: does not compile");
    let began = Instant::now();
    let child = Process::spawn(writer, |writer| {
        thread::sleep(Duration::from_millis(200));
        writer.send("late".to_owned()).unwrap();
    })?;
    let text = reader.recv()?;
    let blocked = began.elapsed() >= Duration::from_millis(190);
    println!("check: simplex: {text} blocked: {}", if blocked { "True" } else { "False" });
    if let Err(error) = reader.recv() {
        println!("check: simplex, other end closed: {}", in_python(&error));
    }
    child.join()?;
    Ok(())
}

/// 53: a pipe between two children. In Python the parent must close its sending end before the second one starts;
/// here it has none any more.
fn siblings() -> Outcome {
    let (receiver, sender) = one_way::<(u64, u64)>()?;
    let out = Queue::unbounded()?;
    let source = Process::spawn(sender, |sender: PipeWriter<(u64, u64)>| {
        for n in 1..=5 {
            sender.send((n, n * n)).unwrap();
        }
    })?;
    let sink =
        Process::spawn((receiver, out.clone()), |(receiver, out): (PipeReader<(u64, u64)>, Queue<u64>)| {
            let mut total = 0;
            while let Ok((_, square)) = receiver.recv() {
                total += square;
            }
            out.put(total).unwrap();
        })?;
    println!("check: total: {}", out.get()?);
    source.wait()?;
    sink.wait()?;
    println!("check: exit codes: {} {}", source.exit_code().unwrap(), sink.exit_code().unwrap());
    Ok(())
}

fn main() -> Outcome {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["eof"] => eof(),
        ["eof", "--better"] => eof_better(),
        ["simplex"] => simplex(),
        ["siblings"] => siblings(),
        _ => Err("say which: eof [--better], simplex, siblings".into()),
    }
}
