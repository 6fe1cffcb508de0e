//! Runs tasks that do nothing, to count what each costs, by
//!
//! ```sh
//! cargo build --release -p multiproc-pool --example spans
//! valgrind --tool=callgrind --toggle-collect='*worker*run*each*' target/release/examples/spans
//! ```
//!
//! and the same with `--features tracing/release_max_level_off`, where there are no spans at all.

use multiproc_pool::Pool;

const TASKS: u32 = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::threads(1)?;
    let results = pool.map(0..TASKS, |number| number)?;
    assert_eq!(results.len(), TASKS as usize);
    Ok(())
}
