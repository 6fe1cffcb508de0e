use crate::behind;
use crate::limits::in_another_world;
use multiproc::{Mutex, Pool, Process, Queue, Shared, TaskError, TaskOptions};
use multiproc_tests::{Limit, isolated_in_role};

/// Dies with the lock, as the first thread of a process that has the number that another one has elsewhere.
fn die_with(lock: Shared<Mutex<u32>>) {
    let _guard = lock.lock();
    std::process::abort();
}

#[test]
fn the_first_process_of_a_namespace() {
    let role = || {
        assert_eq!(std::process::id(), 1);
        let lock = Shared::new(Mutex::new(5)).unwrap();
        for _ in 0..20 {
            let child = Process::spawn(lock.clone(), die_with).unwrap();
            assert!(child.join().unwrap_err().to_string().contains("signal 6"));
            let guard = match lock.lock() {
                Err(error) if error.is_owner_dead() => error.into_guard(),
                other => panic!("the death was not told: {other:?}"),
            };
            assert_eq!(*guard, 5);
        }
        let queue = Queue::unbounded().unwrap();
        let pool = Pool::new(2).unwrap();
        let results = pool.map(
            (0..200_u32).map(|number| (queue.clone(), number)).collect::<Vec<_>>(),
            |(queue, number)| {
                queue.put(number).unwrap();
                number
            },
        );
        assert_eq!(results.unwrap().len(), 200);
        assert_eq!(queue.get_many(1000).unwrap().len(), 200);
        let died = pool.with(TaskOptions::new().retries(0)).apply((), |()| -> () { std::process::abort() });
        assert!(matches!(died, Err(TaskError::WorkerDied { .. })), "{died:?}");
        assert_eq!(pool.apply(1, |number: u32| number + 1).unwrap(), 2);
        drop(pool);
        println!("reached the end");
    };
    isolated_in_role(Limit::default(), role, || {
        let mut command = behind(&["unshare", "--pid", "--fork", "--mount-proc"]);
        in_another_world(command.output(), "a PID namespace");
    });
}
