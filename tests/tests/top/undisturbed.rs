use multiproc::{Event, Mutex, Process, Queue, Shared, SharedBytesMut};
use multiproc_tests::{isolated, proc};
use multiproc_top::Watcher;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn nothing_is_left_and_nothing_is_changed() {
    isolated(|| {
        let mutex = Shared::new(Mutex::new(7u64)).unwrap();
        let queue = Queue::<String>::bounded(9).unwrap();
        queue.put_many(["a", "b"].map(str::to_owned)).unwrap();
        let content = || {
            let memory = proc::own_descriptors();
            let ours = memory.into_iter().filter(|(_, link)| link.contains("multiproc-"));
            let read = ours.map(|(number, _)| {
                let mut bytes = Vec::new();
                File::open(format!("/proc/self/fd/{number}")).unwrap().read_to_end(&mut bytes).unwrap();
                bytes
            });
            read.collect::<Vec<_>>()
        };
        let maps = || std::fs::read_to_string("/proc/self/maps").unwrap().matches("multiproc-").count();
        let mut watcher = Watcher::new();
        watcher.look();
        let before = (content(), proc::own_descriptors(), maps());
        assert_eq!(before.0.len(), 2);
        for _ in 0..20 {
            assert!(!watcher.look().queues.is_empty());
        }
        assert!((content(), proc::own_descriptors(), maps()) == before);
        assert_eq!((*mutex.lock().unwrap(), queue.get().unwrap()), (7, "a".to_owned()));
    });
}

#[test]
fn memory_goes_with_its_last_holder_and_is_sealed_as_ever() {
    isolated(|| {
        let looking = AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut watcher = Watcher::new();
                // Relaxed: it says when to end, and nothing else.
                while looking.load(Ordering::Relaxed) {
                    watcher.look();
                }
            });
            for round in 0..300u64 {
                // Sealing against writing is refused while somebody could write.
                let mut bytes = SharedBytesMut::zeroed(8192).unwrap();
                bytes[..8].copy_from_slice(&round.to_ne_bytes());
                assert_eq!(bytes.freeze().unwrap()[..8], round.to_ne_bytes());
                let queue = Queue::bounded(2).unwrap();
                queue.put(round).unwrap();
                assert_eq!(queue.get().unwrap(), round);
            }
            looking.store(false, Ordering::Relaxed);
        });
        let mut watcher = Watcher::new();
        let own = std::process::id();
        assert!(!watcher.look().queues.iter().any(|queue| queue.used_by.contains(&own)));
    });
}

#[test]
fn traffic_goes_on_while_it_is_watched() {
    isolated(|| {
        const COUNT: u64 = 20_000;
        let (there, back) = (Queue::bounded(16).unwrap(), Queue::bounded(16).unwrap());
        let child = Process::spawn((there.clone(), back.clone()), |(there, back)| {
            for number in there.iter().take(COUNT as usize) {
                back.put(number + 1).unwrap();
            }
        })
        .unwrap();
        let is_over = AtomicBool::new(false);
        let looks = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut watcher = Watcher::new();
                let mut looks = 0;
                // Relaxed, as above.
                while !is_over.load(Ordering::Relaxed) {
                    let seen = watcher.look();
                    for queue in seen.queues.iter().filter(|queue| queue.used_by.contains(&child.id())) {
                        assert!(queue.len <= 16, "{queue:?}");
                    }
                    looks += 1;
                }
                looks
            });
            scope.spawn(|| (0..COUNT).for_each(|number| there.put(number).unwrap()));
            for number in 0..COUNT {
                assert_eq!(back.get().unwrap(), number + 1);
            }
            is_over.store(true, Ordering::Relaxed);
            watcher.join().unwrap()
        });
        child.join().unwrap();
        assert!(looks > 3, "{looks}");
    });
}

/// Processor time of the calling thread, in nanoseconds.
fn processor_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_put_and_a_get_cost_the_same() {
    const PAIRS: u64 = 20_000;
    isolated(|| {
        let queue = Queue::bounded(4).unwrap();
        let round = || {
            let before = processor_time();
            for number in 0..PAIRS {
                queue.put(number).unwrap();
                assert_eq!(queue.get().unwrap(), number);
            }
            (processor_time() - before) / PAIRS
        };
        let (mut alone, mut watched) = (u64::MAX, u64::MAX);
        // The least of several, in turns: whatever else runs here can only add to it.
        for _ in 0..7 {
            alone = alone.min(round());
            let go = Shared::new(Event::new()).unwrap();
            // One that looks without a pause, which no watcher does.
            let watcher =
                Process::builder().daemon(true).spawn((queue.clone(), go.clone()), |(_queue, go)| -> () {
                    let mut watcher = Watcher::new();
                    loop {
                        assert!(!watcher.look().queues.is_empty());
                        go.set();
                    }
                });
            let watcher: Process<()> = watcher.unwrap();
            go.wait();
            watched = watched.min(round());
            watcher.kill().unwrap();
            watcher.wait().unwrap();
        }
        println!("figures: put and get: {alone} ns alone, {watched} ns while somebody looks without a pause");
        assert!(watched < alone + alone / 2, "{alone} ns alone, {watched} ns watched");
    });
}
