use crate::with_children;
use multiproc::{
    Barrier, BoundedSemaphore, Condvar, Event, Mutex, Process, ReentrantMutex, RwLock, Semaphore, Shared,
    ShmSafe,
};

/// A name of this test alone.
fn name(kind: &str) -> String {
    format!("sync-{kind}-{}", std::process::id())
}

/// What a child does with a name, and with what makes another value.
type Theirs<T> = fn((String, fn() -> T)) -> bool;

/// Creates a `T` by its name, has a child open it, create it anew in vain and use it, and unlinks it.
fn check<T: ShmSafe>(kind: &str, new: fn() -> T, theirs: Theirs<T>, ours: impl FnOnce(&T)) {
    let name = name(kind);
    let first = Shared::create_named(&name, new()).unwrap();
    assert!(Shared::create_named(&name, new()).map(drop).unwrap_err().is_already_exists());
    assert!(Shared::<u32>::open_named(&name).is_err(), "another type");
    assert!(theirs((name.clone(), new)));
    ours(&first);
    Shared::<T>::unlink(&name).unwrap();
    assert!(Shared::<T>::open_named(&name).map(drop).unwrap_err().is_not_found());
}

/// Opens it in a child, and does something there.
macro_rules! in_child {
    ($type:ty, |$object:ident| $body:expr) => {
        |(name, _)| {
            let child = Process::spawn(name, |name| {
                let $object = Shared::<$type>::open_named(&name).unwrap();
                $body
            });
            child.unwrap().join().unwrap()
        }
    };
}

#[test]
fn each_of_them_can_have_a_name() {
    with_children(|| {
        check(
            "mutex",
            || Mutex::new(1u64),
            in_child!(Mutex<u64>, |mutex| {
                *mutex.lock().unwrap() += 1;
                true
            }),
            |mutex| assert_eq!(*mutex.lock().unwrap(), 2),
        );
        check(
            "reentrant",
            || ReentrantMutex::new(1u64),
            in_child!(ReentrantMutex<u64>, |mutex| *mutex.lock().unwrap() == 1),
            |mutex| assert_eq!(*mutex.lock().unwrap(), 1),
        );
        check(
            "rwlock",
            || RwLock::new(1u32),
            in_child!(RwLock<u32>, |lock| {
                *lock.write().unwrap() += 1;
                true
            }),
            |lock| assert_eq!(*lock.read().unwrap(), 2),
        );
        check(
            "semaphore",
            || Semaphore::new(2),
            in_child!(Semaphore, |gate| {
                gate.acquire().forget();
                gate.available() == 1
            }),
            |gate| assert_eq!(gate.available(), 1),
        );
        check(
            "bounded",
            || BoundedSemaphore::new(2),
            in_child!(BoundedSemaphore, |seats| seats.release().is_err()),
            |seats| assert_eq!(seats.available(), 2),
        );
        check(
            "event",
            Event::new,
            in_child!(Event, |event| {
                event.set();
                true
            }),
            |event| assert!(event.is_set()),
        );
        check(
            "condvar",
            Condvar::new,
            in_child!(Condvar, |condvar| {
                condvar.notify_all();
                true
            }),
            Condvar::notify_all,
        );
        check(
            "barrier",
            || Barrier::new(1),
            in_child!(Barrier, |barrier| barrier.wait().is_ok()),
            |barrier| {
                assert!(barrier.wait().is_ok());
            },
        );
    });
}

#[test]
fn the_first_one_creates_it() {
    with_children(|| {
        let name = name("gate");
        let gate = Shared::open_or_create_named(&name, Semaphore::new(2)).unwrap();
        let permit = gate.acquire();
        let child = Process::spawn(name.clone(), |name| {
            Shared::open_or_create_named(&name, Semaphore::new(9)).unwrap().available()
        });
        assert_eq!(child.unwrap().join().unwrap(), 1);
        drop(permit);
        Shared::<Semaphore>::unlink(&name).unwrap();
    });
}
