use super::{Context, Scenario};
use crate::ends;
use crate::floor::FloorRing;
use crate::link::{
    Crossbeam, Rtrb, Spsc, Std, asleep, crowd, flow, in_processes, ping, receive_batches, send_batches,
    stream,
};
use crate::measure::{Bench, Round, System, in_us};
use crate::payload::{Payload, Sample};
use crate::peer::{boost, packaged, python};
use crate::place::Placement;
use crate::{Result, sys};
use multiproc_queue::Queue;
use multiproc_shm::Shared;

const OURS: &str = "ours";
const OURS_SPSC: &str = "ours, spsc";
const OURS_BATCHES: &str = "ours, 32 at once";
const BOOST: &str = "Boost message_queue";
const RING: &str = "bare ring + futex";
const CROSSBEAM: &str = "crossbeam-channel, threads";
const STD: &str = "std mpsc, threads";
const RTRB: &str = "rtrb, threads, never asleep";
const PYTHON: &str = "CPython Queue";
const FASTER_FIFO: &str = "faster-fifo";

pub(super) const SMALL: Scenario = Scenario {
    name: "queue-16",
    sentence: "typed messages of 16 B from one process to another; the cost of one",
    unit: "ns",
    bench: one_to_one::<[u64; 2]>,
};

pub(super) const MIDDLE: Scenario = Scenario {
    name: "queue-64",
    sentence: "typed messages of 64 B from one process to another, singly and 32 at once; the cost of one",
    unit: "ns",
    bench: one_to_one::<Sample>,
};

pub(super) const INTEGERS: Scenario = Scenario {
    name: "queue-integers",
    sentence: "the same with eight large integers in each message, which are encoded to 72 B; the cost of one",
    unit: "ns",
    bench: one_to_one::<[u64; 8]>,
};

pub(super) const LARGE: Scenario = Scenario {
    name: "queue-1024",
    sentence: "typed messages of 1 KiB from one process to another; the cost of one",
    unit: "ns",
    bench: one_to_one::<[[u64; 16]; 8]>,
};

pub(super) const TWO_TO_TWO: Scenario = Scenario {
    name: "queue-2-2",
    sentence: "typed messages of 64 B from two processes to two others; the cost of one",
    unit: "ns",
    bench: two_to_two,
};

pub(super) const CROWDS: Scenario = Scenario {
    name: "queue-n-m",
    sentence: "typed messages of 64 B from so many processes to so many others, wherever the scheduler puts them; the \
               cost of one",
    unit: "ns",
    bench: crowds,
};

pub(super) const SCALING: Scenario = Scenario {
    name: "queue-scaling",
    sentence: "typed messages of 64 B through one queue, between one to four times as many processes as there are \
               processors, half of which put; the cost of one",
    unit: "ns",
    bench: scaling,
};

pub(super) const PING: Scenario = Scenario {
    name: "ping",
    sentence: "a typed message of 64 B to another process and one back, as fast as they come; the cost of both",
    unit: "us",
    bench: there_and_back,
};

pub(super) const ASLEEP: Scenario = Scenario {
    name: "ping-asleep",
    sentence: "the same, each sent 80 us after the last was received, to one who sleeps; from before the put to \
               after the get, both ways",
    unit: "us",
    bench: to_sleepers,
};

/// The systems of one placement.
struct Here<'a> {
    context: &'a Context,
    placement: Placement,
    /// Whom the others are divided by.
    against: &'static str,
    bench: &'a mut Bench,
}

impl Here<'_> {
    fn add(&mut self, name: &str, operations: u64, goals: &[(&str, f64)], round: Round) {
        let operations = self.context.effort.operations(operations);
        let mut system = System::new(self.placement.name(name), operations, round)
            .against(self.placement.name(self.against));
        for (against, at_most) in goals {
            system = system.goal(self.placement.name(against), *at_most);
        }
        self.bench.systems.push(system);
    }

    /// Names a peer that is absent, once.
    fn absent(&mut self, why: String) {
        if !self.bench.absent.contains(&why) {
            self.bench.absent.push(why);
        }
    }
}

/// For both placements.
fn both(
    context: &Context,
    against: &'static str,
    mut add: impl FnMut(&mut Here<'_>, Placement) -> Result,
) -> Result<Bench> {
    let mut bench = Bench::default();
    for placement in Placement::all()? {
        add(&mut Here { context, placement, against, bench: &mut bench }, placement)?;
    }
    Ok(bench)
}

fn one_to_one<P: Payload>(context: &Context) -> Result<Bench> {
    let size = size_of::<P>();
    both(context, BOOST, |here, placement| {
        // As costs: twice as fast is half of it.
        let goals = match placement.is_apart() {
            true => [(BOOST, 0.5), (CROSSBEAM, 1.0 / 0.8)],
            false => [(BOOST, 1.0), (CROSSBEAM, 1.0 / 0.4)],
        };
        here.add(OURS, 400_000, &goals, stream::<P, Queue<P>>(placement, 1, in_processes));
        let batches =
            flow::<P, Queue<P>>(placement, [1, 1], in_processes, send_batches::<P>, receive_batches::<P>);
        here.add(OURS_BATCHES, 400_000, &[(OURS, 1.0 / 1.5), (RING, 1.0 / 1.5)], batches);
        let spsc = stream::<P, Spsc<P>>(placement, 1, in_processes);
        here.add(OURS_SPSC, 400_000, &[(RING, 1.0 / 0.9)], spsc);
        here.add(RING, 400_000, &[], stream::<P, Shared<FloorRing>>(placement, 1, in_processes));
        here.add(BOOST, 200_000, &[], boost("stream", size, 1, placement));
        heavy::stream::<P>(here, placement);
        here.add(PYTHON, 10_000, &[], python("queue", size, placement));
        here.add(FASTER_FIFO, 10_000, &[], packaged("faster-fifo", size, placement));
        here.add(CROSSBEAM, 400_000, &[], stream::<P, Crossbeam<P>>(placement, 1, ends::threads));
        here.add(STD, 400_000, &[], stream::<P, Std<P>>(placement, 1, ends::threads));
        here.add(RTRB, 400_000, &[], stream::<P, Rtrb<P>>(placement, 1, ends::threads));
        Ok(())
    })
}

fn two_to_two(context: &Context) -> Result<Bench> {
    type P = Sample;
    both(context, BOOST, |here, placement| {
        let goals = [(BOOST, 0.5), (CROSSBEAM, 1.0 / 0.6)];
        here.add(OURS, 400_000, &goals, stream::<P, Queue<P>>(placement, 2, in_processes));
        here.add(BOOST, 200_000, &[], boost("stream", size_of::<P>(), 2, placement));
        here.add(CROSSBEAM, 400_000, &[], stream::<P, Crossbeam<P>>(placement, 2, ends::threads));
        Ok(())
    })
}

fn crowds(context: &Context) -> Result<Bench> {
    let mut bench = Bench::default();
    let name = |system: &str, [from, to]: [u64; 2]| format!("{system}, {from} to {to}");
    for numbers in [[1, 1], [1, 4], [4, 1], [4, 4]] {
        among(context, &mut bench, numbers, name, |ours| {
            ours.goal(name(BOOST, numbers), 0.5).goal(name(CROSSBEAM, numbers), 1.0 / 0.6)
        })?;
    }
    Ok(bench)
}

fn scaling(context: &Context) -> Result<Bench> {
    let mut bench = Bench::default();
    let name = |system: &str, [from, to]: [u64; 2]| format!("{system}, {} processes", from + to);
    let cores = sys::cpus()?.len() as u64;
    let numbers = |times: u64| [(times * cores).div_ceil(2); 2];
    for times in 1..=4 {
        among(context, &mut bench, numbers(times), name, |ours| {
            // More of them than there are processors are not to be slower.
            if times > 1 { ours.goal(name(OURS, numbers(1)), 1.25) } else { ours }
        })?;
    }
    Ok(bench)
}

/// Those with which many ends may share one queue.
fn among(
    context: &Context,
    bench: &mut Bench,
    numbers: [u64; 2],
    name: impl Fn(&str, [u64; 2]) -> String,
    goals: impl FnOnce(System) -> System,
) -> Result {
    type P = Sample;
    let place = Placement::ANYWHERE;
    let add = |system: &str, operations, round| {
        let operations = context.effort.operations(operations);
        System::new(name(system, numbers), operations, round).against(name(BOOST, numbers))
    };
    let ours = add(OURS, 400_000, crowd::<P, Queue<P>>(place, numbers, in_processes));
    bench.systems.push(goals(ours));
    // Its program has as many that put as those that take.
    if numbers[0] == numbers[1] {
        let by_boost = boost("stream", size_of::<P>(), numbers[0], place);
        bench.systems.push(add(BOOST, 200_000, by_boost));
    }
    let threads = crowd::<P, Crossbeam<P>>(place, numbers, ends::threads);
    bench.systems.push(add(CROSSBEAM, 400_000, threads));
    Ok(())
}

fn there_and_back(context: &Context) -> Result<Bench> {
    type P = Sample;
    both(context, RING, |here, placement| {
        let goal = if placement.is_apart() { (CROSSBEAM, 1.2) } else { (RING, 1.3) };
        here.add(OURS, 20_000, &[goal], ping::<P, Queue<P>>(placement, in_processes));
        here.add(OURS_SPSC, 20_000, &[goal], ping::<P, Spsc<P>>(placement, in_processes));
        here.add(RING, 20_000, &[], ping::<P, Shared<FloorRing>>(placement, in_processes));
        here.add(BOOST, 20_000, &[], in_us(boost("ping", size_of::<P>(), 1, placement)));
        heavy::ping::<P>(here, placement);
        here.add(PYTHON, 2_000, &[], in_us(python("ping", size_of::<P>(), placement)));
        here.add(CROSSBEAM, 20_000, &[], ping::<P, Crossbeam<P>>(placement, ends::threads));
        here.add(RTRB, 20_000, &[], ping::<P, Rtrb<P>>(placement, ends::threads));
        Ok(())
    })
}

fn to_sleepers(context: &Context) -> Result<Bench> {
    type P = Sample;
    both(context, RING, |here, placement| {
        here.add(OURS, 1_000, &[(RING, 1.25)], asleep::<P, Queue<P>>(placement, in_processes));
        here.add(OURS_SPSC, 1_000, &[(RING, 1.25)], asleep::<P, Spsc<P>>(placement, in_processes));
        here.add(RING, 1_000, &[], asleep::<P, Shared<FloorRing>>(placement, in_processes));
        here.add(BOOST, 1_000, &[], in_us(boost("asleep", size_of::<P>(), 1, placement)));
        heavy::asleep::<P>(here, placement);
        here.add(PYTHON, 500, &[], in_us(python("asleep", size_of::<P>(), placement)));
        here.add(CROSSBEAM, 1_000, &[], asleep::<P, Crossbeam<P>>(placement, ends::threads));
        Ok(())
    })
}

#[cfg(feature = "peers")]
mod heavy {
    use super::Here;
    use crate::link::{asleep as to_sleeper, in_processes, ping as back, stream as there};
    use crate::payload::Payload;
    use crate::peer::heavy::{Iceoryx, IpcChannel, Polled};
    use crate::place::Placement;

    const ICEORYX: &str = "iceoryx2 with its event";
    const POLLED: &str = "iceoryx2, polling";
    const IPC_CHANNEL: &str = "ipc-channel";

    pub(super) fn stream<P: Payload>(here: &mut Here<'_>, placement: Placement) {
        // On one core who polls keeps the processor from the other end, at times for minutes.
        if placement.is_apart() {
            here.add(POLLED, 100_000, &[], there::<P, Polled>(placement, 1, in_processes));
        }
        let why = "its streams hang, since its listener can sleep for ever; it polls, on two cores";
        here.absent(format!("{ICEORYX}: {why}"));
        here.add(IPC_CHANNEL, 100_000, &[], there::<P, IpcChannel>(placement, 1, in_processes));
    }

    pub(super) fn ping<P: Payload>(here: &mut Here<'_>, placement: Placement) {
        here.add(ICEORYX, 10_000, &[], back::<P, Iceoryx>(placement, in_processes));
        here.add(IPC_CHANNEL, 10_000, &[], back::<P, IpcChannel>(placement, in_processes));
    }

    pub(super) fn asleep<P: Payload>(here: &mut Here<'_>, placement: Placement) {
        here.add(ICEORYX, 1_000, &[], to_sleeper::<P, Iceoryx>(placement, in_processes));
        here.add(IPC_CHANNEL, 1_000, &[], to_sleeper::<P, IpcChannel>(placement, in_processes));
    }
}

#[cfg(not(feature = "peers"))]
mod heavy {
    use super::Here;
    use crate::payload::Payload;
    use crate::peer::NO_HEAVY;
    use crate::place::Placement;

    pub(super) fn stream<P: Payload>(here: &mut Here<'_>, _: Placement) {
        here.absent(NO_HEAVY.to_owned());
    }

    pub(super) fn ping<P: Payload>(here: &mut Here<'_>, placement: Placement) {
        stream::<P>(here, placement);
    }

    pub(super) fn asleep<P: Payload>(here: &mut Here<'_>, placement: Placement) {
        stream::<P>(here, placement);
    }
}
