use super::{Context, Scenario};
use crate::Result;
use crate::ends::{Crew, Gate, Told};
use crate::floor::Socket;
use crate::link::{in_processes, ping};
use crate::measure::{Bench, Round, System, check, in_us, trivial};
use crate::peer::python;
use crate::place::Placement;
use multiproc_manager::{Manager, Proxy};
use std::time::{Duration, Instant};

const OURS: &str = "ours, Proxy::call";
const SOCKET: &str = "socket pair, there and back";
const PYTHON: &str = "CPython manager";
/// How many clients there are where there are many.
const MANY: u64 = 8;
/// How long a call takes that does something.
const WORK: Duration = Duration::from_micros(50);

pub(super) const CALL: Scenario = Scenario {
    name: "manager-call",
    sentence: "a call on a number in a manager's server, which sets it; the cost of a round trip",
    unit: "us",
    bench: call,
};

pub(super) const CLIENTS: Scenario = Scenario {
    name: "manager-clients",
    sentence: "calls of one process and of eight, each on its own object, which do nothing or take 50 us; the cost of \
               one, over all",
    unit: "us",
    bench: clients,
};

fn call(context: &Context) -> Result<Bench> {
    let mut bench = Bench::default();
    for placement in Placement::all()? {
        let name = |system: &str| placement.name(system);
        let operations = context.effort.operations(20_000).max(2);
        let mut add = |system: System| bench.systems.push(system.against(name(SOCKET)));
        add(System::new(name(OURS), operations, calls::<false>(placement, 1))
            .goal(name(SOCKET), 1.5)
            .goal(name(PYTHON), 0.25));
        add(System::new(name(SOCKET), operations, ping::<[u64; 8], Socket>(placement, in_processes)));
        add(System::new(name(PYTHON), operations / 10, in_us(python("manager", 1, placement))));
    }
    Ok(bench)
}

fn clients(context: &Context) -> Result<Bench> {
    let mut bench = Bench::default();
    let Some(placement) = Placement::all()?.into_iter().next() else { return Ok(bench) };
    let operations = context.effort.operations(16_000).max(MANY);
    let (one, many, python_many) = ("ours, 1 client", "ours, 8 clients", "CPython, 8 clients");
    let (one_works, many_work) = ("ours, 1 client, 50 us", "ours, 8 clients, 50 us");
    bench.systems = vec![
        System::new(one, operations, calls::<false>(placement, 1)),
        System::new(many, operations, calls::<false>(placement, MANY)).against(one).goal(python_many, 0.25),
        System::new(one_works, operations / 4, calls::<true>(placement, 1)),
        System::new(many_work, operations / 4, calls::<true>(placement, MANY))
            .against(one_works)
            .goal(one_works, 0.6),
    ];
    let by_python = in_us(python("manager", MANY as usize, placement));
    bench.systems.push(System::new(python_many, operations / 10, by_python).against(one));
    Ok(bench)
}

fn set(value: &mut u64, number: u64) -> u64 {
    *value = number;
    trivial(number)
}

fn work(value: &mut u64, number: u64) -> u64 {
    let begun = Instant::now();
    while begun.elapsed() < WORK {
        std::hint::spin_loop();
    }
    set(value, number)
}

/// So many clients, one object for each; a single one is apart from the server, if its place is.
fn calls<const WORKS: bool>(placement: Placement, clients: u64) -> Round {
    Box::new(move |count| {
        let mut builder = Manager::builder();
        if clients == 1 {
            builder = builder.cpu_affinity(placement.cpu(1).as_slice());
        }
        let manager = builder.start()?;
        let each = count.div_ceil(clients);
        let ends: Crew<(Proxy<u64>, u64)> = (0..clients)
            .map(|_| {
                let client: fn((_, Gate)) -> Told = client::<WORKS>;
                Ok(((manager.create((), |()| 0)?, each), client))
            })
            .collect::<Result<_>>()?;
        let outcome = in_processes(placement, count, ends)?;
        check(outcome.sum, clients * (0..each).map(trivial).sum::<u64>())?;
        manager.shutdown()?;
        Ok(outcome.each(each * clients) / 1e3)
    })
}

fn client<const WORKS: bool>(((value, count), gate): ((Proxy<u64>, u64), Gate)) -> Told {
    let method = if WORKS { work } else { set };
    // Connected before it counts.
    value.call(0, method).map_err(|error| error.to_string())?;
    gate.pass(|_| {
        let mut sum = 0;
        for number in 0..count {
            sum += value.call(number, method).map_err(|error| error.to_string())?;
        }
        Ok((sum, 0.0))
    })
}
