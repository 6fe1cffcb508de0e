use multiproc::{Event, Mutex, Pool, Process, Queue, Shared, StartMethod, pipe};
use multiproc_tests::{Limit, isolated_for, raw, skip};
use std::time::{Duration, Instant};

/// Ten thousand a second.
const APART: Duration = Duration::from_micros(100);
const TIMES: u64 = 2_000;

/// The other end, interrupted as often.
fn echo((there, back, lock): (Queue<u64>, Queue<u64>, Shared<Mutex<u64>>)) -> u64 {
    raw::interrupt_every(APART);
    while let Ok(number) = there.get() {
        *lock.lock().unwrap() += 1;
        back.put(number + 1).unwrap();
    }
    raw::interrupts().0
}

#[test]
fn ten_thousand_a_second_lose_nothing() {
    isolated_for(Limit(Duration::from_secs(120)), || {
        raw::interrupt_every(APART);
        let began = Instant::now();
        for method in [StartMethod::Spawn, StartMethod::ForkServer] {
            let (there, back) = (Queue::bounded(1).unwrap(), Queue::bounded(1).unwrap());
            let lock = Shared::new(Mutex::new(0)).unwrap();
            let builder = Process::builder().daemon(true).start_method(method);
            let child = builder.spawn((there.clone(), back.clone(), lock.clone()), echo).unwrap();
            for number in 0..TIMES {
                there.put(number).unwrap();
                *lock.lock().unwrap() += 1;
                assert_eq!(back.get().unwrap(), number + 1);
            }
            there.close();
            assert!(child.join().unwrap() > 0, "nobody interrupted the child");
            assert_eq!(*lock.lock().unwrap(), 2 * TIMES);
        }

        // More than a socket holds at once: both wait again and again.
        let (ours, theirs) = pipe::<Vec<u8>, usize>().unwrap();
        let child = Process::spawn(theirs, |theirs| {
            raw::interrupt_every(APART);
            while let Ok(bytes) = theirs.recv() {
                theirs.send(bytes.iter().map(|byte| usize::from(*byte)).sum()).unwrap();
            }
        });
        for _ in 0..10 {
            ours.send(vec![3; 1 << 20]).unwrap();
            assert_eq!(ours.recv().unwrap(), 3 << 20);
        }
        drop(ours);
        child.unwrap().join().unwrap();

        let pool = Pool::new(2).unwrap();
        let squares = pool.map((0..TIMES).collect::<Vec<_>>(), |number| number * number).unwrap();
        assert!(squares.iter().zip(0..).all(|(square, number)| *square == number * number));
        pool.terminate();

        // The timer does its part: it is not promised that each of its signals is one interruption, since the kernel
        // merges with one that is not delivered yet those that come meanwhile, while this thread waits for a processor.
        let took = began.elapsed().as_secs_f64();
        let due = (took / APART.as_secs_f64()) as u64;
        let (interrupts, merged) = raw::interrupts();
        println!(
            "figures: interrupted {:.0} times a second, {interrupts} of {due}; {merged} more were merged",
            interrupts as f64 / took
        );
        assert!(interrupts + merged >= due / 2, "{interrupts} signals of {due}, and {merged} merged");
        // A storm that was hardly one proves less than this test's name says.
        if interrupts < due / 2 {
            let why = "this machine is too busy to deliver half of them one by one";
            skip("ten thousand signals a second", format_args!("{why}: {interrupts} of {due}"));
        }
    });
}

#[test]
fn a_wait_is_neither_shorter_nor_much_longer() {
    isolated_for(Limit(Duration::from_secs(60)), || {
        const LONG: Duration = Duration::from_millis(300);
        raw::interrupt_every(APART);
        let event = Shared::new(Event::new()).unwrap();
        let queue = Queue::<u8>::bounded(1).unwrap();
        let (ours, _theirs) = pipe::<(), ()>().unwrap();
        let child = Process::builder().daemon(true).spawn((), |()| -> () {
            loop {
                std::thread::park();
            }
        });
        let child = child.unwrap();
        let waits: [(&str, &dyn Fn()); 4] = [
            ("event", &|| assert!(!event.wait_timeout(LONG))),
            ("queue", &|| assert!(queue.get_timeout(LONG).unwrap_err().is_timeout())),
            ("pipe", &|| assert!(ours.recv_timeout(LONG).unwrap_err().is_timeout())),
            ("process", &|| assert!(child.wait_timeout(LONG).unwrap().is_none())),
        ];
        for (what, wait) in waits {
            let began = Instant::now();
            wait();
            let took = began.elapsed();
            assert!(took >= LONG, "{what}: {took:?}");
            // Ten times as long is no wait that began anew with each signal: that one would not end.
            assert!(took < LONG * 10, "{what}: {took:?}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    });
}
