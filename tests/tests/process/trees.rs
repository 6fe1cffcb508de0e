use multiproc_pipe::{PipeWriter, one_way};
use multiproc_process::Process;
use multiproc_tests::{Limit, on_both, proc};
use serde::{Deserialize, Serialize};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Daemon,
    Plain,
}

fn for_ever() {
    loop {
        thread::park();
    }
}

/// Says where it is, and starts `depth` further levels of two processes each below a daemon.
fn node((depth, kinds, ready): (u32, [Kind; 2], PipeWriter<u32>)) {
    ready.send(std::process::id()).unwrap();
    let children: Vec<_> = kinds
        .into_iter()
        .filter(|_| depth > 0)
        .map(|kind| {
            // A writer of its own for each, so that the end of the last one shows at the reader.
            let ready: PipeWriter<u32> = copy(&ready);
            Process::builder()
                .daemon(kind == Kind::Daemon)
                .spawn((depth - 1, [kind, Kind::Plain], ready), node)
        })
        .collect();
    assert!(children.iter().all(Result::is_ok), "{children:?}");
    for_ever()
}

/// Another handle of the same pipe.
fn copy(writer: &PipeWriter<u32>) -> PipeWriter<u32> {
    let encoded = multiproc_core::codec::encode(writer).unwrap();
    let fds = encoded.fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
    multiproc_core::codec::decode(&encoded.bytes, fds).unwrap()
}

/// Makes a tree of 1 + 2 + 4 processes, kills its root, and tells how long the others lived on.
fn kill_one() -> Duration {
    let (reader, writer) = one_way().unwrap();
    let root = Process::spawn((2, [Kind::Daemon; 2], writer), node).unwrap();
    let nodes: Vec<u32> = (0..7).map(|_| reader.recv().unwrap()).collect();
    // The fork servers are among these too.
    let everybody = descendants(root.id());
    assert!(nodes[1..].iter().all(|id| everybody.contains(id)), "{nodes:?} {everybody:?}");
    let killed = Instant::now();
    root.kill().unwrap();
    // Every process of the tree has the writing end.
    let end = reader.recv_timeout(Duration::from_secs(5)).unwrap_err();
    assert!(end.is_eof(), "the tree lives on: {end}");
    let dead = |id: &u32| !proc::is_alive(*id);
    while !everybody.iter().all(dead) {
        assert!(
            killed.elapsed() < Duration::from_secs(5),
            "alive: {:?}",
            everybody.iter().filter(|id| !dead(id))
        );
        thread::yield_now();
    }
    let took = killed.elapsed();
    assert_eq!(root.wait().unwrap().signal(), Some(9));
    took
}

fn descendants(root: u32) -> Vec<u32> {
    let everybody = proc::all();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(everybody.iter().filter(|entry| entry.parent == parent).map(|entry| entry.id));
        next += 1;
    }
    found.remove(0);
    found
}

#[test]
fn three_levels_killed_at_their_root() {
    on_both(Limit(Duration::from_secs(120)), |method| {
        let mut times: Vec<Duration> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..2).map(|_| scope.spawn(|| (0..100).map(|_| kill_one()).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        times.sort_unstable();
        println!(
            "figures: {} kills in trees by {method:?}, all gone after {:?} (median), {:?} (worst)",
            times.len(),
            times[100],
            times[199]
        );
        assert!(times[190] < Duration::from_secs(1), "{times:?}");
    });
}

#[test]
fn plain_children_of_a_killed_parent_go_on() {
    on_both(Limit::default(), |_| {
        let (answers, answer) = one_way::<u32>().unwrap();
        let (reader, writer) = one_way::<u32>().unwrap();
        let root = Process::spawn((reader, answer), |(reader, answer)| {
            let child = Process::spawn((reader, answer), |(reader, answer)| {
                answer.send(0).unwrap();
                answer.send(reader.recv().unwrap() + 1).unwrap();
            });
            let _child = child.unwrap();
            for_ever()
        });
        let root = root.unwrap();
        assert_eq!(answers.recv().unwrap(), 0);
        root.kill().unwrap();
        assert_eq!(root.wait().unwrap().signal(), Some(9));
        writer.send(41).unwrap();
        assert_eq!(answers.recv().unwrap(), 42);
        assert!(answers.recv().unwrap_err().is_eof());
    });
}

#[test]
fn a_parent_killed_while_it_starts_daemons() {
    const KILLS: u32 = 50;
    on_both(Limit::default(), |method| {
        for round in 0..KILLS {
            let (reader, writer) = one_way::<u32>().unwrap();
            let root = Process::spawn(writer, |writer| -> () {
                loop {
                    let started = Process::builder().daemon(true).spawn(copy(&writer), |writer| {
                        writer.send(1).unwrap();
                        for_ever()
                    });
                    drop(started.unwrap());
                }
            });
            let root = root.unwrap();
            for _ in 0..round % 5 {
                reader.recv().unwrap();
            }
            root.kill().unwrap();
            let until = Instant::now() + Duration::from_secs(5);
            while !reader.recv_timeout(until.duration_since(Instant::now())).is_err_and(|end| end.is_eof()) {}
            root.wait().unwrap();
        }
        println!("figures: {KILLS} kills in parents that start daemons by {method:?}");
    });
}
