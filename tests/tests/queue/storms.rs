use multiproc_pipe::Fd;
use multiproc_process::{JoinError, Process, StartMethod, set_default_start_method};
use multiproc_queue::{GetError, Queue};
use multiproc_tests::{Limit, isolated_for};
use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many producers there are, one after the other, and how many messages each of them puts.
const PRODUCERS: usize = 60;
const MESSAGES: usize = 200;

/// Of each message whether its put has returned, how often it was got, and how often as one delivered again.
type History = multiproc::Shared<[AtomicU64; PRODUCERS * MESSAGES]>;
const ACCEPTED: u64 = 1;
const GOT: u64 = 1 << 8;
const AGAIN: u64 = 1 << 32;

/// Its number, padding of that length, and a handle now and then.
type Item = (usize, Vec<u8>, Option<Fd<File>>);

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn produce((queue, history, producer): (Queue<Item>, History, usize)) {
    let mut random = Random(producer as u64 + 1);
    for number in producer * MESSAGES..(producer + 1) * MESSAGES {
        let len = if random.below(10) == 0 { random.below(150_000) } else { random.below(200) };
        let file = (random.below(4) == 0).then(|| Fd::new(File::open("/dev/null").unwrap()));
        queue.put((number, vec![number as u8; len as usize], file)).unwrap();
        history[number].fetch_or(ACCEPTED, Ordering::Relaxed);
    }
}

/// Makes sure that those of one producer come in their order.
#[derive(Default)]
struct Order(HashMap<usize, usize>);

impl Order {
    fn check(&mut self, (number, padding, file): &Item) {
        assert!(padding.iter().all(|byte| *byte == *number as u8));
        assert!(file.as_ref().is_none_or(|file| file.metadata().is_ok()));
        if let Some(before) = self.0.insert(number / MESSAGES, *number) {
            assert!(before < *number, "{number} came behind {before}");
        }
    }
}

fn consume((queue, history, _): (Queue<Item>, History, usize)) {
    let mut order = Order::default();
    loop {
        match queue.get() {
            Ok(item) => {
                history[item.0].fetch_add(GOT, Ordering::Relaxed);
                order.check(&item);
            }
            Err(error) => return ended(&error),
        }
    }
}

fn lease((queue, history, _): (Queue<Item>, History, usize)) {
    let mut order = Order::default();
    loop {
        match queue.lease() {
            Ok(lease) => {
                history[lease.0]
                    .fetch_add(if lease.is_redelivered() { AGAIN } else { GOT }, Ordering::Relaxed);
                if !lease.is_redelivered() {
                    order.check(&lease);
                }
                lease.done();
            }
            Err(error) => return ended(&error),
        }
    }
}

fn ended(error: &GetError) {
    assert!(error.is_closed(), "{error}");
}

type Worker = fn((Queue<Item>, History, usize));

/// Kills producers and consumers at random; returns the history, and how many consumers were killed.
#[expect(clippy::print_stdout, reason = "figures")]
fn storm(consumer: Worker, what: &str, seed: u64) -> (History, u64) {
    set_default_start_method(StartMethod::ForkServer);
    let queue = Queue::bounded(6).unwrap();
    let history = History::new([const { AtomicU64::new(0) }; PRODUCERS * MESSAGES]).unwrap();
    let mut random = Random(seed);
    let (mut killed, mut producers_killed) = (0, 0);
    let mut next = 0;
    let mut start = |f: Worker| {
        next += 1;
        Process::spawn((queue.clone(), history.clone(), next - 1), f).unwrap()
    };
    let mut producers = vec![start(produce), start(produce)];
    let mut consumers: Vec<_> =
        (0..2).map(|_| Process::spawn((queue.clone(), history.clone(), 0), consumer).unwrap()).collect();
    for round in 2..PRODUCERS {
        // tidy: sleep because the moment of the kill is to be any
        std::thread::sleep(Duration::from_micros(random.below(6000)));
        let which = random.below(2) as usize;
        let producer = std::mem::replace(&mut producers[which], start(produce));
        if round % 4 != 0 {
            producer.kill().unwrap();
            producers_killed += 1;
        }
        end(producer);
        let which = random.below(2) as usize;
        let fresh = Process::spawn((queue.clone(), history.clone(), 0), consumer).unwrap();
        let old = std::mem::replace(&mut consumers[which], fresh);
        old.kill().unwrap();
        killed += 1;
        end(old);
    }
    producers.into_iter().for_each(end);
    queue.close();
    consumers.into_iter().for_each(end);
    // What a killed one had leased last may be left.
    while let Ok(lease) = queue.lease() {
        history[lease.0].fetch_add(AGAIN, Ordering::Relaxed);
        lease.done();
    }
    assert!(queue.is_empty() && queue.join_timeout(Duration::from_secs(1)));
    println!("figures: {} kills in a queue that is {what}", producers_killed + killed);
    (history, killed)
}

fn end(process: Process<()>) {
    match process.join() {
        Ok(()) | Err(JoinError::Signaled { signal: 9, .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn nothing_is_lost_or_got_twice() {
    isolated_for(Limit(Duration::from_secs(120)), || {
        let (history, killed) = storm(consume, "taken from", 0x1234_5678_9abc_def1);
        let (mut lost, mut got) = (0, 0);
        for (number, word) in history.iter().enumerate() {
            let word = word.load(Ordering::Relaxed);
            let times = (word & (AGAIN - 1)) / GOT;
            assert!(times <= 1, "{number} came {times} times");
            got += times;
            if word & ACCEPTED != 0 && times == 0 {
                lost += 1;
            }
        }
        // A killed consumer takes one along that it had taken.
        assert!(lost <= killed, "{lost} lost by {killed} killed consumers");
        assert!(got > PRODUCERS as u64, "{got} got");
    });
}

#[test]
fn what_is_leased_is_never_lost() {
    isolated_for(Limit(Duration::from_secs(120)), || {
        let (history, killed) = storm(lease, "leased from", 0xfedc_ba98_7654_3211);
        let (mut again, mut got, mut first) = (0, 0, 0);
        for (number, word) in history.iter().enumerate() {
            let word = word.load(Ordering::Relaxed);
            let times = (word & (AGAIN - 1)) / GOT;
            assert!(times <= 1, "{number} came {times} times for the first time");
            again += word / AGAIN;
            first += times;
            assert!(word & ACCEPTED == 0 || word >= GOT, "{number} is lost");
            got += u64::from(word >= GOT);
        }
        assert!(again <= killed, "{again} delivered again for {killed} killed");
        assert!(got > PRODUCERS as u64 && first > 0, "{got} got");
    });
}
