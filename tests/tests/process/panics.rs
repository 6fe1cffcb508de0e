use multiproc_process::{JoinError, Process};
use multiproc_tests::{Limit, on_both};
use serde::{Deserialize, Serialize};

fn the_culprit(message: String) -> u32 {
    panic!("{message}")
}

fn details(error: JoinError) -> (String, String, String) {
    match error {
        JoinError::Panicked { message, location, backtrace } => (message, location, backtrace),
        other => panic!("{other:?}"),
    }
}

#[test]
fn message_location_and_backtrace() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn("out of cheese".to_owned(), the_culprit).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), child.exit_code()), (Some(101), Some(101)));
        let (message, location, backtrace) = details(child.join().unwrap_err());
        assert_eq!(message, "out of cheese");
        assert!(location.contains("panics.rs:6:"), "{location}");
        assert!(backtrace.contains("the_culprit"), "{backtrace}");
    });
}

#[test]
fn payloads_of_other_types() {
    on_both(Limit::default(), |_| {
        let message = |f: fn(()) -> ()| details(Process::spawn((), f).unwrap().join().unwrap_err()).0;
        assert_eq!(message(|()| panic!("a literal")), "a literal");
        assert_eq!(message(|()| std::panic::panic_any(String::from("a string"))), "a string");
        assert_eq!(message(|()| std::panic::panic_any(7u32)), "a value that is no text");
        let index = message(|()| {
            let empty: Vec<u8> = std::env::args().skip(1_000_000).map(|_| 1).collect();
            assert_eq!(empty[3], 1);
        });
        assert!(index.contains("index out of bounds"), "{index}");
    });
}

#[test]
fn long_messages() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn("long ".repeat(100_000), the_culprit).unwrap();
        assert_eq!(details(child.join().unwrap_err()).0, "long ".repeat(100_000));
    });
}

#[test]
fn a_payload_whose_destructor_panics() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in the payload's destructor");
        }
    }
    on_both(Limit::default(), |_| {
        let child = Process::spawn((), |()| -> () { std::panic::panic_any(Bomb) }).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(101));
        assert_eq!(details(child.join().unwrap_err()).0, "a value that is no text");
    });
}

/// Its destructor panics in a child.
#[derive(Serialize, Deserialize)]
struct Fragile(u32);

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(multiproc_process::parent_process().is_none(), "dropped in a child");
    }
}

#[test]
fn the_result_wins_over_a_panic_after_it() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn((), |()| Fragile(5)).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(101));
        assert_eq!(child.exit_code(), Some(101));
        assert_eq!(child.join().unwrap().0, 5);
    });
}

#[test]
fn the_result_wins_over_a_crash_after_it() {
    #[derive(Serialize, Deserialize)]
    struct Fatal(u32);
    impl Drop for Fatal {
        fn drop(&mut self) {
            if multiproc_process::parent_process().is_some() {
                std::process::abort();
            }
        }
    }
    on_both(Limit::default(), |_| {
        let child = Process::spawn((), |()| Fatal(6)).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(6));
        assert_eq!(child.join().unwrap().0, 6);
    });
}

/// Panics while it is written, or read, as it says.
#[derive(Debug)]
struct Trap {
    reading: bool,
}

impl Serialize for Trap {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.reading, "panicked in serialize");
        serializer.serialize_bool(true)
    }
}

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Trap, D::Error> {
        bool::deserialize(deserializer)?;
        // Debug builds read in the sender what was written, once for each type.
        assert!(multiproc_process::parent_process().is_none(), "panicked in deserialize");
        Ok(Trap { reading: true })
    }
}

#[test]
fn panics_of_the_types_themselves() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn(Trap { reading: true }, |_| ()).unwrap();
        assert_eq!(details(child.join().unwrap_err()).0, "panicked in deserialize");
        let child = Process::spawn((), |()| Trap { reading: false }).unwrap();
        assert_eq!(details(child.join().unwrap_err()).0, "panicked in serialize");
    });
}

#[test]
fn a_panic_on_another_thread_of_the_child_is_its_own_affair() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn((), |()| std::thread::spawn(|| panic!("aside")).join().is_err());
        assert!(child.unwrap().join().unwrap());
    });
}

#[test]
fn a_caught_panic_is_no_panic() {
    on_both(Limit::default(), |_| {
        let child = Process::spawn((), |()| std::panic::catch_unwind(|| panic!("caught")).is_err());
        assert!(child.unwrap().join().unwrap());
    });
}
