use crate::helpers::{SOON, limit, objects};
use multiproc::manager::object;
use multiproc::{CallError, DictProxy, LockProxy, Manager, Process, Queue, RemoteManager, ValueProxy};
use multiproc_tests::{Bytes, eventually, on_both, on_fork_server};
use std::collections::HashMap;
use std::net::SocketAddr;

fn tcp() -> Manager {
    Manager::builder().bind(("127.0.0.1", 0)).authkey("secret").start().unwrap()
}

#[test]
fn others_find_what_has_a_name() {
    on_both(limit(60), |_| {
        let manager = tcp();
        let dict = manager.dict::<String, u32>().unwrap();
        manager.publish("ages", dict.as_proxy()).unwrap();
        manager.publish("gate", manager.lock().unwrap().as_proxy()).unwrap();
        assert!(manager.publish("ages", dict.as_proxy()).unwrap_err().is_name_taken());
        let address = manager.address().unwrap();
        Process::spawn(address, |address: SocketAddr| -> () {
            let remote = RemoteManager::connect(address, "secret").unwrap();
            assert_eq!(remote.names().unwrap(), ["ages", "gate"]);
            let dict: DictProxy<String, u32> = remote.get::<HashMap<String, u32>>("ages").unwrap().into();
            dict.insert("Ada".into(), 36).unwrap();
            assert!(remote.get::<HashMap<String, u64>>("ages").unwrap_err().is_wrong_type());
            assert!(remote.get::<u32>("nobody").unwrap_err().is_not_found());
            let gate: LockProxy = remote.get::<object::Lock>("gate").unwrap().into();
            let _guard = gate.lock().unwrap();
            assert!(gate.try_lock().unwrap().is_none());
            // What it makes there is its own, and goes with it.
            let list = remote.list([1u32]).unwrap();
            assert_eq!(list.to_vec().unwrap(), [1]);
            remote.publish("made", list.as_proxy()).unwrap();
            std::process::exit(0);
        })
        .unwrap()
        .wait()
        .unwrap();
        assert_eq!(dict.get("Ada").unwrap(), Some(36));
        let made = manager.get::<Vec<u32>>("made").unwrap();
        assert_eq!(made.call((), |list, ()| list.len()).unwrap(), 1);
        drop(made);
        objects(&manager, 3);
        assert!(manager.unpublish("made").unwrap() && !manager.unpublish("made").unwrap());
        objects(&manager, 2);
    });
}

#[test]
fn a_remote_proxy_travels_on() {
    on_both(limit(60), |_| {
        let manager = tcp();
        let queue = Queue::<ValueProxy<u32>>::bounded(2).unwrap();
        // A process that is a client over TCP alone gives its proxy to others, and dies.
        let child = Process::spawn((manager.address().unwrap(), queue.clone()), |(address, queue)| -> () {
            let remote = RemoteManager::connect(address, "secret").unwrap();
            queue.put(remote.value(1u32).unwrap()).unwrap();
            multiproc_core::sys::process::kill_self();
        });
        child.unwrap().wait().unwrap();
        eventually(SOON, "it is gone", || manager.stats().unwrap().clients == 1);
        objects(&manager, 1);
        let value = Process::spawn(queue.clone(), |queue| {
            let value = queue.get().unwrap();
            value.set(value.get().unwrap() + 1).unwrap();
            value
        });
        let value = value.unwrap().join().unwrap();
        assert_eq!(value.get().unwrap(), 2);
        drop(value);
        objects(&manager, 0);
    });
}

#[test]
fn large_messages_and_many_lanes_over_tcp() {
    on_both(limit(60), |_| {
        let manager = tcp();
        let remote = RemoteManager::connect(manager.address().unwrap(), "secret").unwrap();
        let kept = remote.create((), |()| Bytes(Vec::new())).unwrap();
        kept.call(Bytes::patterned(5 << 20), |kept, bytes| *kept = bytes).unwrap();
        assert!(kept.call((), |kept, ()| kept.clone()).unwrap().is_patterned(5 << 20));
        let queue = remote.queue::<u32>(0).unwrap();
        std::thread::scope(|scope| {
            let getters: Vec<_> = (0..8).map(|_| scope.spawn(|| queue.get().unwrap())).collect();
            queue.put_many(0..8).unwrap();
            let sum: u32 = getters.into_iter().map(|getter| getter.join().unwrap()).sum();
            assert_eq!(sum, 28);
        });
        // Descriptors do not travel, and that is said.
        let file = multiproc::Fd::new(std::fs::File::open("/dev/null").unwrap());
        let error: CallError = kept.call(file, |_, _| ()).unwrap_err();
        assert!(!error.may_have_run(), "{error}");
        drop((kept, queue, remote));
        eventually(SOON, "the client is gone", || manager.stats().unwrap().clients == 1);
        objects(&manager, 0);
    });
}

#[test]
fn a_path_will_do() {
    on_both(limit(60), |_| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("manager");
        let manager = Manager::builder().bind(path.clone()).authkey("secret").start().unwrap();
        assert_eq!(manager.bound(), Some(path.to_str().unwrap()));
        manager.publish("n", &manager.create((), |()| 5u32).unwrap()).unwrap();
        let n = Process::spawn(path.clone(), |path| {
            let remote = RemoteManager::connect(path, "secret").unwrap();
            remote.get::<u32>("n").unwrap()
        });
        assert_eq!(n.unwrap().join().unwrap().call((), |n, ()| *n).unwrap(), 5);
        let second = Manager::builder().bind(path.clone()).authkey("secret").start().unwrap_err();
        assert!(second.is_listen(), "{second}");
        drop(manager);
        assert!(!path.exists(), "the socket goes with its manager");
    });
}

#[test]
fn who_cannot_be_reached_is_an_error() {
    on_fork_server(limit(60), || {
        let manager = tcp();
        let address = manager.address().unwrap();
        let error = RemoteManager::connect(address, "Secret").unwrap_err();
        assert!(error.is_refused(), "{error}");
        drop(manager);
        assert!(RemoteManager::connect(address, "secret").unwrap_err().is_not_found());
        let nobody = Manager::builder().bind(("127.0.0.1", 0)).start().unwrap_err();
        assert!(nobody.to_string().contains("needs a key"), "{nobody}");
    });
}

#[test]
fn a_client_over_tcp_that_dies_leaves_nothing() {
    on_fork_server(limit(60), || {
        let manager = tcp();
        let lock = manager.lock().unwrap();
        manager.publish("lock", lock.as_proxy()).unwrap();
        let (ours, theirs) = multiproc::pipe::<(), ()>().unwrap();
        let child = Process::spawn((manager.address().unwrap(), theirs), |(address, ready)| -> () {
            let remote = RemoteManager::connect(address, "secret").unwrap();
            let _value = remote.value(1).unwrap();
            let lock: LockProxy = remote.get::<object::Lock>("lock").unwrap().into();
            let _guard = lock.lock().unwrap();
            ready.send(()).unwrap();
            loop {
                std::thread::park();
            }
        })
        .unwrap();
        ours.recv().unwrap();
        objects(&manager, 2);
        child.kill().unwrap();
        assert!(lock.lock_timeout(SOON).unwrap().unwrap().is_inherited());
        objects(&manager, 1);
        child.wait().unwrap();
    });
}
