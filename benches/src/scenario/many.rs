use super::{Context, Scenario};
use crate::Result;
use crate::args::Effort;
use crate::measure::{Bench, Round, System, check, trivial};
use multiproc_pipe::Fd;
use multiproc_process::{Process, StartMethod};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "many",
    sentence: "start 1,000 processes (100 in a smoke run, fewer in a quick one) that all wait until the last one has been started, then \
               join them; the cost of one",
    unit: "us",
    bench,
};

/// How many descriptors each child of the last wave had, first to last.
type Descriptors = Rc<RefCell<Vec<usize>>>;

fn bench(context: &Context) -> Result<Bench> {
    let count = if context.effort == Effort::Smoke { 100 } else { 1000 };
    let methods = [("ours, spawn", StartMethod::Spawn), ("ours, fork server", StartMethod::ForkServer)];
    let seen = methods.map(|(name, method)| (name, method, Descriptors::default()));
    let system = |(name, method, seen): &(&'static str, StartMethod, Descriptors)| {
        System::new(*name, count, wave(*method, Rc::clone(seen)))
    };
    Ok(Bench {
        systems: seen.iter().map(system).collect(),
        notes: Some(Box::new(move || {
            seen.iter().map(|(name, _, seen)| note(name, &seen.borrow())).collect()
        })),
        ..Bench::default()
    })
}

fn note(name: &str, descriptors: &[usize]) -> String {
    let first = descriptors.first().copied().unwrap_or(0);
    let last = descriptors.last().copied().unwrap_or(0);
    format!("{name}: {first} descriptors in child 1, {last} in child {}", descriptors.len())
}

fn wave(method: StartMethod, seen: Descriptors) -> Round {
    Box::new(move |count| {
        let (gate, opener) = io::pipe()?;
        let started = Instant::now();
        let mut children = Vec::new();
        for number in 0..count {
            let gate = Fd::new(File::from(OwnedFd::from(gate.try_clone()?)));
            children.push(Process::builder().start_method(method).spawn((number, gate), wait_at_the_gate)?);
        }
        if let Some(dead) = children.iter().find(|child| !child.is_alive()) {
            return Err(format!("{} has ended before the gate was opened", dead.name()).into());
        }
        drop(opener);
        let mut descriptors = Vec::new();
        for (number, child) in (0..).zip(children) {
            let (result, open) = child.join()?;
            check(result, trivial(number))?;
            descriptors.push(open);
        }
        let time = started.elapsed();
        if descriptors.iter().any(|open| *open != descriptors[0]) {
            return Err(format!("the children do not have equally many descriptors: {descriptors:?}").into());
        }
        seen.replace(descriptors);
        Ok(time.as_secs_f64() * 1e6 / count.max(1) as f64)
    })
}

/// Gives the result and the number of descriptors that were open on arrival.
fn wait_at_the_gate((number, mut gate): (u64, Fd<File>)) -> (u64, usize) {
    // One of them is the directory that is being read.
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() - 1);
    match gate.read(&mut [0]) {
        Ok(0) => (trivial(number), open),
        _ => (0, open),
    }
}
