use multiproc_pipe::one_way;
use multiproc_process::Process;
use multiproc_queue::Queue;
use multiproc_tests::{Limit, isolated, on_both};

fn name(what: &str) -> String {
    format!("test-queue-{what}-{}", std::process::id())
}

#[test]
fn created_opened_and_unlinked() {
    on_both(Limit::default(), |_| {
        let name = name("open");
        assert!(Queue::<String>::builder().open_named(&name).unwrap_err().is_not_found());
        let queue = Queue::builder().capacity(2).create_named(&name).unwrap();
        assert!(Queue::<String>::builder().create_named(&name).unwrap_err().is_already_exists());
        let child = Process::spawn(name.clone(), |name: String| {
            let queue = Queue::builder().open_named(&name).unwrap();
            assert_eq!(queue.capacity(), 2);
            queue.put("hello".to_owned()).unwrap();
        });
        assert_eq!(queue.get().unwrap(), "hello");
        child.unwrap().join().unwrap();
        let error = Queue::<u32>::builder().open_named(&name).unwrap_err();
        assert!(error.is_wrong_type(), "{error}");
        Queue::<String>::unlink(&name).unwrap();
        assert!(Queue::<String>::builder().open_named(&name).unwrap_err().is_not_found());
        // Who has it keeps it, and can give it away.
        let child = Process::spawn(queue.clone(), |queue| queue.put("still".to_owned()).unwrap());
        assert_eq!(queue.get().unwrap(), "still");
        child.unwrap().join().unwrap();
    });
}

#[test]
fn what_it_does_not_take() {
    isolated(|| {
        let name = name("limits");
        let queue = Queue::builder().max_bytes(100).create_named(&name).unwrap();
        let (_end, writer) = one_way::<u8>().unwrap();
        let error = queue.put((vec![], Some(writer))).unwrap_err();
        assert!(error.is_handles() && error.to_string().contains("named"), "{error}");
        let error = queue.put((vec![1u8; 200], None)).unwrap_err();
        assert!(error.is_too_large() && error.to_string().contains("max_bytes"), "{error}");
        queue.put((vec![1], None)).unwrap();
        let lease = queue.lease().unwrap();
        assert_eq!(lease.0, [1]);
        lease.done();
        Queue::<u8>::unlink(&name).unwrap();
    });
}
