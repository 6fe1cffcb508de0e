use crate::helpers::{limit, manager, objects};
use multiproc::{DictProxy, Manager, Pool, Process, Proxy, Queue, RemoteManager, ValueProxy, channel, pipe};
use multiproc_core::sys::process::kill_self;
use multiproc_tests::{Limit, on_both, on_fork_server};
use std::time::Duration;

const SIGKILL: i32 = 9;

#[test]
fn a_proxy_is_a_message_everywhere() {
    on_both(limit(60), |_| {
        let manager = manager();
        let value = manager.value(0u32).unwrap();
        let add = |value: ValueProxy<u32>, n: u32| value.update(n, |value, n| *value += n).unwrap();
        // As an argument and a result.
        let back = Process::spawn(value.clone(), |value| {
            value.set(1).unwrap();
            value
        });
        add(back.unwrap().join().unwrap(), 10);
        // Through a queue, a channel and a pipe, and inside other values.
        let (queue, answers) = (Queue::bounded(4).unwrap(), Queue::bounded(4).unwrap());
        let (sender, receiver) = channel(4).unwrap();
        let (ours, theirs) = pipe::<Option<ValueProxy<u32>>, ()>().unwrap();
        let child = Process::spawn((queue.clone(), receiver, theirs, answers.clone()), |all| {
            let (queue, receiver, pipe, answers) = all;
            let (number, value): (u32, ValueProxy<u32>) = queue.get().unwrap();
            value.update(number, |value, n| *value += n).unwrap();
            let values: Vec<ValueProxy<u32>> = receiver.recv().unwrap();
            values[1].update(1000, |value, n| *value += n).unwrap();
            pipe.recv().unwrap().unwrap().update(10_000, |value, n| *value += n).unwrap();
            answers.put(value).unwrap();
        });
        queue.put((100, value.clone())).unwrap();
        sender.send(vec![value.clone(), value.clone()]).unwrap();
        ours.send(Some(value.clone())).unwrap();
        assert_eq!(answers.get().unwrap().get().unwrap(), 11_111);
        child.unwrap().join().unwrap();
        // In a pool's tasks and results.
        let pool = Pool::new(2).unwrap();
        let proxies = pool
            .map(vec![value.clone(); 8], |value| {
                value.update(1, |value, n| *value += n).unwrap();
                value
            })
            .unwrap();
        assert_eq!(proxies[3].get().unwrap(), 11_119);
        drop((proxies, pool, value, queue, answers, sender, ours));
        objects(&manager, 0);
    });
}

#[test]
fn proxies_within_objects() {
    on_both(limit(60), |_| {
        let manager = manager();
        let outer = manager.dict::<String, DictProxy<String, u32>>().unwrap();
        let inner = manager.dict::<String, u32>().unwrap();
        inner.insert("n".into(), 1).unwrap();
        outer.insert("inner".into(), inner).unwrap();
        objects(&manager, 2);
        // A change through one is seen through the other: it is no copy.
        outer.get("inner").unwrap().unwrap().insert("n".into(), 2).unwrap();
        let n = Process::spawn(outer.clone(), |outer| outer.get("inner").unwrap().unwrap().get("n").unwrap());
        assert_eq!(n.unwrap().join().unwrap(), Some(2));
        assert!(outer.remove("inner").unwrap().is_some());
        objects(&manager, 1);
        // A long chain of them goes without a deep stack.
        let mut last = manager.create((), |()| Link(None)).unwrap();
        for _ in 0..2000 {
            last = manager.create(last, |older| Link(Some(older))).unwrap();
        }
        objects(&manager, 2002);
        assert!(last.call((), |link, ()| link.0.is_some()).unwrap());
        drop(last);
        objects(&manager, 1);
        // Another manager's object is kept like any other value.
        let other = Manager::start().unwrap();
        let foreign = other.value(5u32).unwrap();
        let keeper = manager.create((), |()| None::<ValueProxy<u32>>).unwrap();
        keeper.call(foreign, |keeper, foreign| *keeper = Some(foreign)).unwrap();
        let seen = keeper.call((), |keeper, ()| keeper.as_ref().unwrap().get().unwrap());
        assert_eq!(seen.unwrap(), 5);
        objects(&other, 1);
        drop(keeper);
        objects(&other, 0);
    });
}

/// A link of a chain.
struct Link(Option<Proxy<Link>>);

#[test]
fn an_object_lives_as_long_as_a_proxy_is_on_its_way() {
    on_fork_server(limit(60), || {
        let manager = manager();
        let queue = Queue::<ValueProxy<u32>>::bounded(4).unwrap();
        let handle = manager.handle();
        // The only one who has ever had it dies at once after the put.
        let child = Process::spawn((handle, queue.clone()), |(manager, queue): (RemoteManager, _)| -> () {
            queue.put(manager.value(7).unwrap()).unwrap();
            kill_self();
        });
        assert_eq!(child.unwrap().wait().unwrap().signal(), Some(SIGKILL));
        multiproc_tests::eventually(Duration::from_secs(1), "the client is gone", || {
            manager.stats().unwrap().clients == 1
        });
        objects(&manager, 1);
        let value = queue.get().unwrap();
        assert_eq!(value.get().unwrap(), 7);
        drop(value);
        objects(&manager, 0);
        // One that is never taken goes with the queue.
        queue.put(manager.value(8).unwrap()).unwrap();
        objects(&manager, 1);
        drop(queue);
        objects(&manager, 0);
    });
}

#[test]
fn others_make_objects_too() {
    on_both(Limit::default(), |_| {
        let manager = manager();
        let made = Process::spawn(manager.handle(), |manager| manager.list([1u32, 2]).unwrap());
        assert_eq!(made.unwrap().join().unwrap().to_vec().unwrap(), [1, 2]);
    });
}
