use multiproc::{Process, Queue, Shared};
use multiproc_tests::isolated;
use multiproc_top::{NamedObject, named_objects};

fn find(name: &str) -> Option<NamedObject> {
    named_objects().unwrap().into_iter().find(|object| object.name == name)
}

#[test]
fn who_holds_a_name_is_told_and_what_nobody_holds() {
    isolated(|| {
        let name = format!("top-names-{}", std::process::id());
        let queue = Queue::<u64>::builder().capacity(3).create_named(&name).unwrap();
        let own = std::process::id();
        let object = find(&name).unwrap();
        assert_eq!((object.kind.as_str(), object.value.as_str()), ("queue", "u64"));
        assert_eq!((object.held_by, object.is_stale), (vec![own], false));
        assert!(object.memory > 4096);
        drop(queue);
        let object = find(&name).unwrap();
        assert_eq!((object.held_by, object.is_stale), (vec![], true));
        // Looking at it has not kept others from it.
        let child = Process::spawn(name.clone(), |name| {
            let queue = Queue::<u64>::builder().open_named(&name).unwrap();
            queue.put(1).unwrap();
            queue
        });
        let queue = child.unwrap().join().unwrap();
        assert_eq!((queue.get().unwrap(), find(&name).unwrap().is_stale), (1, false));
        Queue::<u64>::unlink(&name).unwrap();
        assert!(find(&name).is_none());
    });
}

#[test]
fn a_value_in_a_message_is_not_stale() {
    isolated(|| {
        let name = format!("top-flying-{}", std::process::id());
        let mailbox = Queue::bounded(1).unwrap();
        mailbox.put(Shared::create_named(&name, 7u64).unwrap()).unwrap();
        let object = find(&name).unwrap();
        assert_eq!((object.held_by, object.is_stale, object.value.as_str()), (vec![], false, "u64"));
        assert_eq!(*mailbox.get().unwrap(), 7);
        assert!(find(&name).unwrap().is_stale);
        Shared::<u64>::unlink(&name).unwrap();
    });
}
