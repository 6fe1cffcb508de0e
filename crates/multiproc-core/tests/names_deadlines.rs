//! Names and deadlines: their limits.

use multiproc_core::{Deadline, Name};
use std::time::{Duration, Instant};

#[test]
fn names_are_one_path_component() {
    let longest = "n".repeat(240);
    for name in ["gate", ".hidden", "...", "with space", "ünïcödé", longest.as_str()] {
        let checked = Name::new(name).unwrap();
        assert_eq!((checked.as_str(), checked.to_string().as_str()), (name, name));
    }
}

#[test]
fn each_bad_name_has_its_own_error() {
    let cases = [
        (String::new(), "empty"),
        ("n".repeat(241), "241 bytes"),
        ("é".repeat(121), "242 bytes"), // bytes count, not characters
        ("a\0b".to_owned(), "NUL"),
        ("a/b".to_owned(), "slash"),
        (".".to_owned(), "directory"),
        ("..".to_owned(), "directory"),
    ];
    for (name, word) in cases {
        let error = Name::new(&name).unwrap_err();
        assert!(error.to_string().contains(word), "{name:?}: {error}");
        assert!(error.to_string().len() < 200);
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_deadline_passes_once_and_for_all() {
    let past = Deadline::now();
    assert!(past.has_passed());
    assert_eq!(past.remaining(), Some(Duration::ZERO));
    assert!(Deadline::at(Instant::now()).has_passed());

    let later = Deadline::after(Duration::from_secs(3600));
    assert!(!later.has_passed());
    let remaining = later.remaining().unwrap();
    assert!(remaining > Duration::from_secs(3000) && remaining <= Duration::from_secs(3600));
    assert!(later.instant().unwrap() > Instant::now());
}

#[test]
fn never_never_passes() {
    for never in [Deadline::NEVER, Deadline::after(Duration::MAX), Deadline::from(None)] {
        assert_eq!(never, Deadline::NEVER);
        assert!(!never.has_passed());
        assert_eq!((never.remaining(), never.instant()), (None, None));
    }
    assert_ne!(Deadline::from(Some(Duration::ZERO)), Deadline::NEVER);
    assert!(Deadline::from(Some(Duration::ZERO)).has_passed());
}
