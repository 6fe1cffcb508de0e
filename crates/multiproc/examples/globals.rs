//! Global variables are not shared: each process has its own.
//!
//! Python: under fork a child has what the parent had at that moment, under spawn what the module says. Here a child
//! begins as the program does, with statics as they are written. Changes never come back; what is to be shared is said.
//!
//! ```text
//! cargo run --release --example globals [-- --better]
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::{Process, Shared};
use std::env;
use std::error::Error;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{LazyLock, Mutex};

type Outcome = Result<(), Box<dyn Error>>;

static COUNTER: AtomicI32 = AtomicI32::new(1);
static ITEMS: LazyLock<Mutex<Vec<String>>> = LazyLock::new(|| Mutex::new(vec!["main".to_owned()]));

fn change(name: String) {
    COUNTER.fetch_add(100, Ordering::Relaxed);
    ITEMS.lock().unwrap().push(name.clone());
    tell(&name);
}

fn tell(name: &str) {
    println!("{name} {} {:?}", COUNTER.load(Ordering::Relaxed), ITEMS.lock().unwrap());
}

/// 48: neither child sees what `main` has set, nor what the other has.
fn globals() -> Outcome {
    COUNTER.store(5, Ordering::Relaxed);
    for name in ["one", "two"] {
        Process::spawn(name.to_owned(), change)?.join()?;
    }
    tell("main");
    Ok(())
}

/// Better: what is shared says so by its type, and is handed over like any other argument.
fn better() -> Outcome {
    let counter = Shared::new(AtomicI32::new(5))?;
    for name in ["one", "two"] {
        let child = Process::spawn((name.to_owned(), counter.clone()), |(name, counter)| {
            println!("better: {name} {}", counter.fetch_add(100, Ordering::Relaxed) + 100);
        })?;
        child.join()?;
    }
    println!("better: main {}", counter.load(Ordering::Relaxed));
    Ok(())
}

fn main() -> Outcome {
    match env::args().nth(1).as_deref() {
        None => globals(),
        Some("--better") => better(),
        Some(_) => Err("say nothing, or --better".into()),
    }
}
