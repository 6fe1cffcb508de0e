//! Runs tasks that do nothing, for who wants to know what each of them costs: 100,000 in chunks, or by `one` 20,000
//! that are waited for one by one.
//!
//! ```sh
//! cargo build --release -p multiproc-pool --example tasks
//! time target/release/examples/tasks
//! ```
//!
//! With `--features tracing/release_max_level_off` the same is built without spans and events.

use multiproc_pool::Pool;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::threads(2)?;
    if std::env::args().nth(1).is_some_and(|argument| argument == "one") {
        for number in 0..20_000u32 {
            assert_eq!(pool.apply(number, |number| number)?, number);
        }
        return Ok(());
    }
    assert_eq!(pool.map(0..100_000u32, |number| number)?.len(), 100_000);
    Ok(())
}
