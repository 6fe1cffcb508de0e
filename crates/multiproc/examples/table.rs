//! A table that processes share, in a manager's server.
//!
//! Python: `Manager().Namespace()` with a DataFrame in it, and its trap: what is fetched is a copy, so a change in place is
//! lost and only an assignment is seen. Here a namespace is there, too; a `Proxy<Table>` does better, since a function that
//! changes the table is sent to where it is.
//!
//! ```text
//! cargo run --release --example table [-- --better]
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example prints; a child tells by its panic"
)]

use multiproc::{Manager, NamespaceProxy, Process, Proxy};
use serde::{Deserialize, Serialize};
use std::env;
use std::error::Error;

type Outcome = Result<(), Box<dyn Error>>;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Table {
    name: Vec<String>,
    price: Vec<f64>,
}

fn table() -> Table {
    Table { name: vec!["a".to_owned(), "b".to_owned()], price: vec![1.5, 2.5] }
}

fn fetch(space: &NamespaceProxy) -> Table {
    space.get("table").unwrap().unwrap()
}

fn in_place(space: NamespaceProxy) {
    let mut copy = fetch(&space);
    copy.price[0] = -1.0; // changes the copy, which is all that is here
}

fn assign(space: NamespaceProxy) {
    let mut copy = fetch(&space);
    for price in &mut copy.price {
        *price *= 2.0;
    }
    space.set("table", copy).unwrap();
}

/// 52: a change in place is lost, an assignment is seen.
fn namespace() -> Outcome {
    let manager = Manager::start()?;
    let space = manager.namespace()?;
    space.set("table", table())?;
    for (name, f) in [("in_place", in_place as fn(NamespaceProxy)), ("assign", assign)] {
        Process::spawn(space.clone(), f)?.join()?;
        println!("{name} {:?}", fetch(&space));
    }
    Ok(())
}

/// Better: the change is made where the table is; only what was asked for comes back. Two that change it at once do not
/// undo each other's work, as two assignments would.
fn better() -> Outcome {
    let manager = Manager::start()?;
    let prices = manager.create(table(), |table: Table| table)?;
    let change = |prices: Proxy<Table>| {
        for _ in 0..100 {
            prices.call(0.5, |table, by| table.price[0] += by).unwrap();
        }
    };
    let (first, second) = (Process::spawn(prices.clone(), change)?, Process::spawn(prices.clone(), change)?);
    first.join()?;
    second.join()?;
    println!("better: {}", prices.call((), |table, ()| table.price[0])?);
    Ok(())
}

fn main() -> Outcome {
    match env::args().nth(1).as_deref() {
        None => namespace(),
        Some("--better") => better(),
        Some(_) => Err("say nothing, or --better".into()),
    }
}
