use super::{Context, Scenario};
use crate::measure::{Bench, System, check, timed, trivial};
use crate::{Result, role};
use multiproc_process::{Process, StartMethod};
use multiproc_shm::{SharedBytes, SharedBytesMut};
use std::time::Instant;

const SMALL: &str = "SharedBytes, 4 KiB";
const SMALL_LEN: usize = 4 << 10;
const LARGE_LEN: usize = 64 << 20;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "bytes-arg",
    sentence: "start a process through the fork server with bytes that are there already as its argument; it \
               looks at their length, their ends and their middle",
    unit: "us",
    bench,
};

fn bench(context: &Context) -> Result<Bench> {
    let effort = context.effort;
    Ok(Bench {
        systems: vec![
            shared("SharedBytes, 64 MiB", LARGE_LEN, effort.operations(200))?.against(SMALL).goal(SMALL, 1.1),
            shared(SMALL, SMALL_LEN, effort.operations(200))?,
            copied("Vec<u8>, 64 MiB", LARGE_LEN, effort.operations(8)).against(SMALL),
            System::new(
                "no bytes",
                effort.operations(200),
                crate::measure::whole(|number| role::call(StartMethod::ForkServer, number)),
            )
            .against(SMALL),
        ],
        ..Bench::default()
    })
}

fn shared(name: &'static str, len: usize, operations: u64) -> Result<System> {
    let mut bytes = SharedBytesMut::zeroed(len)?;
    bytes.copy_from_slice(&content(len));
    let bytes = bytes.freeze()?;
    let expected = glance(&bytes);
    let round = timed(move |number| {
        let argument = bytes.clone();
        let started = Instant::now();
        let process = Process::builder().start_method(StartMethod::ForkServer);
        let result = process.spawn(argument, |bytes: SharedBytes| glance(&bytes))?.join()?;
        let time = started.elapsed();
        check(result, expected)?;
        Ok((trivial(number), time))
    });
    Ok(System::new(name, operations, round))
}

fn copied(name: &'static str, len: usize, operations: u64) -> System {
    let bytes = content(len);
    let expected = glance(&bytes);
    let round = timed(move |number| {
        let argument = bytes.clone();
        let started = Instant::now();
        let process = Process::builder().start_method(StartMethod::ForkServer);
        let result = process.spawn(argument, |bytes: Vec<u8>| glance(&bytes))?.join()?;
        let time = started.elapsed();
        check(result, expected)?;
        Ok((trivial(number), time))
    });
    System::new(name, operations, round)
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8 + 1).collect()
}

/// Tells these bytes from shorter, shifted and missing ones.
fn glance(bytes: &[u8]) -> u64 {
    let at = |index: usize| u64::from(bytes.get(index).copied().unwrap_or(0));
    let last = bytes.len().saturating_sub(1);
    ((bytes.len() as u64) << 24) | at(0) << 16 | at(last / 2) << 8 | at(last)
}
