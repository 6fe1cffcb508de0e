//! Who is who: processors, children, numbers, parents; and a process that kills itself.
//!
//! Python: `cpu_count()`, `active_children()`, `current_process()`, `parent_process()`, `os.getpid()`, `os.getppid()`,
//! `os.kill(os.getpid(), 9)`. Here the same names, `std::process::id()`, and `current_process().kill()`.
//!
//! ```text
//! cargo run --release --example whoami -- cpus | children [--better] | ids | killed [--better]
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::{JoinError, Process, active_children, cpu_count, current_process, parent_process};
use std::error::Error;
use std::os::unix::process::parent_id;
use std::time::Duration;
use std::{env, process, thread};

type Outcome = Result<(), Box<dyn Error>>;

/// 19: how many processors this program may use; unlike Python's, an affinity or a container's quota counts.
fn cpus() {
    println!("{}", cpu_count());
}

/// 21: three processes, and who of them is running.
fn children() -> Outcome {
    let work = |(name, milliseconds): (String, u64)| {
        println!("{name}");
        thread::sleep(Duration::from_millis(milliseconds));
        println!("end {name}");
    };
    for (name, milliseconds) in [("worker_1", 200), ("worker_2", 300), ("worker_3", 400)] {
        Process::spawn((name.to_owned(), milliseconds), work)?;
    }
    println!("The number of CPU is:{}", cpu_count());
    for child in active_children() {
        println!("child   p.name:{}\tp.id{}", child.name(), child.id());
    }
    Ok(())
}

/// Better: who forgot the handle can still end a child, by a descriptor of it and not by a number that the system may
/// have given to another process meanwhile.
fn children_better() -> Outcome {
    for _ in 0..3 {
        Process::spawn((), |()| thread::sleep(Duration::from_secs(60)))?;
    }
    for child in active_children() {
        child.terminate()?;
        child.wait()?;
        println!("better: {} has ended: {}", child.name(), !child.is_alive());
    }
    println!("better: {} children are left", active_children().len());
    Ok(())
}

fn tell(who: &str) {
    println!("{who}: {}", process::id());
    println!("{who}: {:?}", current_process());
}

fn five_times(line: &str) {
    for _ in 0..5 {
        println!("{line}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// 35: numbers and names, in the program and in its children. The second child is `Process-2`: names count every start.
fn ids() -> Outcome {
    tell("main");
    Process::builder().name("myprocess1").spawn((), |()| {
        tell("dance");
        five_times("跳舞中...");
    })?;
    Process::spawn((), |()| {
        tell("sing");
        five_times("唱歌中...");
    })?;
    Ok(())
}

/// 36: parents, and a child that kills itself in its first round. What it had printed is not lost, and the program goes
/// on.
fn killed() -> Outcome {
    tell("main");
    let dance = Process::builder().name("myprocess1").spawn((), |()| {
        tell("dance");
        println!("dance的父进程编号: {}", parent_id());
        println!("跳舞中...");
        current_process().kill().unwrap();
        println!("never reached");
    })?;
    let sing = Process::spawn((), |()| {
        tell("sing");
        println!("sing的父进程编号: {}", parent_id());
        let is_main = parent_process().is_some_and(|parent| parent.id() == parent_id());
        println!("check: sing's parent is main: {}", if is_main { "True" } else { "False" });
        five_times("唱歌中...");
    })?;
    dance.wait()?;
    sing.wait()?;
    println!("check: exit codes: {} {}", dance.exit_code().unwrap(), sing.exit_code().unwrap());
    Ok(())
}

/// Better: the kill is an error value that says so.
fn killed_better() -> Outcome {
    let victim = Process::spawn((), |()| current_process().kill().unwrap())?;
    match victim.join() {
        Err(JoinError::Signaled { signal, .. }) => println!("better: ended by signal {signal}"),
        other => println!("better: this is not expected: {other:?}"),
    }
    Ok(())
}

fn main() -> Outcome {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["cpus"] => cpus(),
        ["children"] => children()?,
        ["children", "--better"] => children_better()?,
        ["ids"] => ids()?,
        ["killed"] => killed()?,
        ["killed", "--better"] => killed_better()?,
        _ => return Err("say which: cpus, children [--better], ids, killed [--better]".into()),
    }
    Ok(())
}
