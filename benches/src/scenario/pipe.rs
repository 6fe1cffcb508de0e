use super::{Context, Scenario};
use crate::Result;
use crate::cargo::{COPIED, HANDED, look, mark};
use crate::ends::{Crew, Gate, Told};
use crate::floor::Socket;
use crate::link::{Link, Tried, in_processes, ping, stream};
use crate::measure::{Bench, Round, System, check, in_us, trivial};
use crate::payload::Payload;
use crate::peer::python;
use crate::place::Placement;
use multiproc_pipe::{Connection, pipe};
use std::io::{IoSlice, Read, Write};

const OURS: &str = "ours, Connection";
const OURS_NEW: &str = "ours, into new memory";
const SOCKET: &str = "socket pair, same frames";
const PYTHON: &str = "CPython Pipe";
#[cfg(feature = "peers")]
const INTERPROCESS: &str = "interprocess, same frames";
#[cfg(feature = "peers")]
const IPC_CHANNEL: &str = "ipc-channel, typed";

pub(super) const STREAM: Scenario = Scenario {
    name: "pipe-64",
    sentence: "typed messages of 64 B over a connection from one process to another; the cost of one",
    unit: "ns",
    bench: there,
};

pub(super) const PING: Scenario = Scenario {
    name: "pipe-ping",
    sentence: "a typed message of 64 B over a connection to another process and one back; the cost of both",
    unit: "us",
    bench: there_and_back,
};

pub(super) const MIDDLE: Scenario = Scenario {
    name: "pipe-1mib",
    sentence: "1 MiB of bytes over a connection to another process, which looks at each page; the cost of one",
    unit: "us",
    bench: |context| bulk::<COPIED>(context, 2_000),
};

pub(super) const LARGE: Scenario = Scenario {
    name: "pipe-64mib",
    sentence: "64 MiB of bytes over a connection to another process, which looks at each page; the cost of one",
    unit: "us",
    bench: |context| bulk::<HANDED>(context, 32),
};

impl<P: Payload> Link<P> for Connection<P, P> {
    fn halves(_: u64) -> Result<Vec<[Self; 2]>> {
        let (a, b) = pipe()?;
        Ok(vec![[a, b]])
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        Ok(move |message| self.send(message).map_err(|error| error.to_string()))
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        Ok(move || self.recv().map_err(|error| error.to_string()))
    }
}

/// Adds systems of both placements.
fn both(
    context: &Context,
    mut add: impl FnMut(Placement, &mut dyn FnMut(&str, u64, &[(&str, f64)], Round)) -> Result<Vec<String>>,
) -> Result<Bench> {
    let mut bench = Bench::default();
    for placement in Placement::all()? {
        let absent = add(placement, &mut |name, operations, goals, round| {
            let operations = context.effort.operations(operations).max(2);
            let mut system =
                System::new(placement.name(name), operations, round).against(placement.name(SOCKET));
            for (against, at_most) in goals {
                system = system.goal(placement.name(against), *at_most);
            }
            bench.systems.push(system);
        })?;
        bench.absent.extend(absent);
    }
    bench.absent.sort();
    bench.absent.dedup();
    Ok(bench)
}

fn there(context: &Context) -> Result<Bench> {
    type P = [u64; 8];
    both(context, |placement, add| {
        // As costs: four times as fast is a quarter. Silent where a peer is absent.
        let goals = goals(&[(PYTHON, 0.25)]);
        add(OURS, 100_000, &goals, stream::<P, Connection<P, P>>(placement, 1, in_processes));
        add(SOCKET, 100_000, &[], stream::<P, Socket>(placement, 1, in_processes));
        add(PYTHON, 20_000, &[], python("pipe", size_of::<P>(), placement));
        let mut absent = Vec::new();
        heavy::stream_of::<P>(placement, add, &mut absent);
        Ok(absent)
    })
}

fn there_and_back(context: &Context) -> Result<Bench> {
    type P = [u64; 8];
    both(context, |placement, add| {
        let goals = goals(&[(SOCKET, 1.15)]);
        add(OURS, 10_000, &goals, ping::<P, Connection<P, P>>(placement, in_processes));
        add(SOCKET, 10_000, &[], ping::<P, Socket>(placement, in_processes));
        add(PYTHON, 2_000, &[], in_us(python("pipe-ping", size_of::<P>(), placement)));
        let mut absent = Vec::new();
        heavy::ping_of::<P>(placement, add, &mut absent);
        Ok(absent)
    })
}

/// These goals and those against the peers that take long to build.
fn goals(some: &[(&'static str, f64)]) -> Vec<(&'static str, f64)> {
    some.iter().copied().chain(heavy::GOALS.iter().copied()).collect()
}

fn bulk<const LEN: usize>(context: &Context, operations: u64) -> Result<Bench> {
    both(context, |placement, add| {
        add(OURS, operations, &[(SOCKET, 1.0 / 0.9)], carried(placement, [put::<LEN>, get::<LEN>]));
        add(OURS_NEW, operations, &[], carried(placement, [put::<LEN>, get_new::<LEN>]));
        let by_hand: Round = Box::new(move |count| {
            let [a, b] = Socket::pair()?;
            let ends: Crew<Socket> = vec![(a, write::<LEN>), (b, read::<LEN>)];
            let outcome = in_processes(placement, count, ends)?;
            check(outcome.sum, (0..count).map(trivial).sum())?;
            Ok(outcome.each(count) / 1e3)
        });
        add(SOCKET, operations, &[], by_hand);
        add(PYTHON, operations / 8, &[], in_us(python("pipe-bytes", LEN, placement)));
        Ok(Vec::new())
    })
}

type End = Connection<(), ()>;

/// Through our connection; the cost of one, in microseconds.
fn carried(placement: Placement, [sender, receiver]: [fn((End, Gate)) -> Told; 2]) -> Round {
    Box::new(move |count| {
        let (a, b) = pipe::<(), ()>()?;
        let ends: Crew<End> = vec![(a, sender), (b, receiver)];
        let outcome = in_processes(placement, count, ends)?;
        check(outcome.sum, (0..count).map(trivial).sum())?;
        Ok(outcome.each(count) / 1e3)
    })
}

fn put<const LEN: usize>((end, gate): (End, Gate)) -> Told {
    let mut bytes = vec![7; LEN];
    gate.pass(|count| {
        for number in 0..count {
            mark(&mut bytes, number);
            end.send_bytes(&bytes).map_err(|error| error.to_string())?;
        }
        Ok((0, 0.0))
    })
}

fn get<const LEN: usize>((end, gate): (End, Gate)) -> Told {
    let mut bytes = vec![7; LEN];
    gate.pass(|count| {
        let mut sum = 0;
        for _ in 0..count {
            let len = end.recv_bytes_into(&mut bytes).map_err(|error| error.to_string())?;
            sum += trivial(look(&bytes[..len], LEN)?);
        }
        Ok((sum, 0.0))
    })
}

fn get_new<const LEN: usize>((end, gate): (End, Gate)) -> Told {
    gate.pass(|count| {
        let mut sum = 0;
        for _ in 0..count {
            sum += trivial(look(&end.recv_bytes().map_err(|error| error.to_string())?, LEN)?);
        }
        Ok((sum, 0.0))
    })
}

fn write<const LEN: usize>((end, gate): (Socket, Gate)) -> Told {
    let (mut stream, mut bytes) = (end.stream(), vec![7; LEN]);
    gate.pass(|count| {
        for number in 0..count {
            mark(&mut bytes, number);
            let header = (LEN as u32).to_be_bytes();
            let sent = stream.write_vectored(&[IoSlice::new(&header), IoSlice::new(&bytes)]);
            let sent = sent.map_err(|error| error.to_string())?;
            stream.write_all(&bytes[sent - header.len()..]).map_err(|error| error.to_string())?;
        }
        Ok((0, 0.0))
    })
}

fn read<const LEN: usize>((end, gate): (Socket, Gate)) -> Told {
    let (mut stream, mut bytes) = (end.stream(), vec![7; LEN]);
    gate.pass(|count| {
        let mut sum = 0;
        for _ in 0..count {
            let mut header = [0; 4];
            stream.read_exact(&mut header).map_err(|error| error.to_string())?;
            let len = u32::from_be_bytes(header) as usize;
            stream.read_exact(&mut bytes[..len]).map_err(|error| error.to_string())?;
            sum += trivial(look(&bytes[..len], LEN)?);
        }
        Ok((sum, 0.0))
    })
}

/// Takes a system: its name, its operations, its goals.
type Add<'a> = &'a mut dyn FnMut(&str, u64, &[(&str, f64)], Round);

#[cfg(feature = "peers")]
mod heavy {
    use super::{Add, INTERPROCESS, IPC_CHANNEL};
    use crate::link::{in_processes, ping, stream};
    use crate::payload::Payload;
    use crate::peer::heavy::IpcChannel;
    use crate::peer::local_socket::LocalSocket;
    use crate::place::Placement;

    pub(super) const GOALS: &[(&str, f64)] = &[(INTERPROCESS, 1.0), (IPC_CHANNEL, 1.0)];

    pub(super) fn stream_of<P: Payload>(placement: Placement, add: Add<'_>, _: &mut Vec<String>) {
        add(INTERPROCESS, 100_000, &[], stream::<P, LocalSocket>(placement, 1, in_processes));
        add(IPC_CHANNEL, 100_000, &[], stream::<P, IpcChannel>(placement, 1, in_processes));
    }

    pub(super) fn ping_of<P: Payload>(placement: Placement, add: Add<'_>, _: &mut Vec<String>) {
        add(INTERPROCESS, 10_000, &[], ping::<P, LocalSocket>(placement, in_processes));
        add(IPC_CHANNEL, 10_000, &[], ping::<P, IpcChannel>(placement, in_processes));
    }
}

#[cfg(not(feature = "peers"))]
mod heavy {
    use super::Add;
    use crate::payload::Payload;
    use crate::peer::NO_HEAVY;
    use crate::place::Placement;

    pub(super) const GOALS: &[(&str, f64)] = &[];

    pub(super) fn stream_of<P: Payload>(_: Placement, _: Add<'_>, absent: &mut Vec<String>) {
        absent.push(NO_HEAVY.to_owned());
    }

    pub(super) fn ping_of<P: Payload>(placement: Placement, add: Add<'_>, absent: &mut Vec<String>) {
        stream_of::<P>(placement, add, absent);
    }
}
