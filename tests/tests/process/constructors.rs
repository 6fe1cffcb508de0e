//! Code of the program that runs before `main`: it tries to start a process, or looks at a start-up message.
//!
//! # Safety
//!
//! Unsafe is needed to place functions in `.init_array`. They run once, before `main`, on the only thread, after
//! the C library has set itself up; they take none of the arguments that are passed, which the calling convention
//! allows, and use of std nothing that needs its own start-up.
#![expect(unsafe_code, reason = "entries of .init_array")]

use multiproc_process::Process;
use multiproc_tests::raw;
use std::env;

/// Says that constructors are to start a process.
pub(crate) const EARLY: &str = "MULTIPROC_TEST_EARLY";
/// The file into which a child copies its start-up message before it looks at it.
pub(crate) const RECORD: &str = "MULTIPROC_TEST_RECORD";

#[used]
#[unsafe(link_section = ".init_array.00200")]
static FIRST: extern "C" fn() = first;

#[used]
#[unsafe(link_section = ".init_array")]
static USUAL: extern "C" fn() = usual;

/// Runs before all that have no priority.
extern "C" fn first() {
    if let (Some(path), Ok(number)) = (env::var_os(RECORD), env::var(crate::MARKER)) {
        let number = number.trim_end_matches("+close").parse().unwrap();
        std::fs::write(path, raw::peek(number)).unwrap();
    }
    attempt("first");
}

/// Runs before or after the library's own, as the linker likes.
extern "C" fn usual() {
    attempt("usual");
}

fn attempt(which: &str) {
    if env::var_os(EARLY).is_none() {
        return;
    }
    match Process::spawn(20, |n| n + 1).map(Process::join) {
        Ok(joined) => println!("{which}: joined {joined:?}"),
        Err(error) => println!("{which}: refused {} {error}", error.is_not_ready()),
    }
}
