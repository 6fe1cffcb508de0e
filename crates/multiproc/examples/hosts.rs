//! The same pool over several hosts: `agent` on each of them, `submit` on one.
//!
//! ```sh
//! nats-server -js &                                     # once, somewhere
//! cargo run --release --features cluster --example hosts -- agent
//! cargo run --release --features cluster --example hosts -- submit
//! ```
//!
//! Beyond one machine it is `--url tls://hub:4222`, credentials for the server and a key of the pool in the environment
//! (`NATS_TOKEN`, `MULTIPROC_CLUSTER_KEY`), and the very same executable everywhere.
#![expect(clippy::print_stdout, reason = "it shows what it has found")]

use clap::{Parser, Subcommand};
use multiproc::cluster::{AgentOptions, Nats, serve};
use multiproc::{Pool, TaskOptions};
use std::error::Error;

/// Counts the primes below a number, on as many hosts as there are agents.
#[derive(Parser)]
struct Args {
    /// Where the NATS server is.
    #[arg(long, global = true, default_value = "nats://127.0.0.1:4222")]
    url: String,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Runs tasks on this host until SIGTERM or ctrl-C.
    Agent {
        /// How many workers; as many as processors without this.
        #[arg(long)]
        workers: Option<usize>,
    },
    /// Has tasks run by whatever agents there are.
    Submit {
        /// Below which number.
        #[arg(long, default_value_t = 2_000_000)]
        below: u64,
    },
}

/// How many numbers make one task.
const STEP: u64 = 10_000;

/// Counts the primes from a number on: what each host does.
fn primes(from: u64) -> usize {
    let is_prime = |n: &u64| *n > 1 && (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (from..from + STEP).filter(is_prime).count()
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let token = std::env::var("NATS_TOKEN").ok();
    match args.part {
        Part::Agent { workers } => {
            let mut options = AgentOptions::new();
            if let Some(workers) = workers {
                options = options.workers(workers);
            }
            if let Some(token) = token {
                options = options.token(token);
            }
            serve(&args.url, options)?;
        }
        Part::Submit { below } => {
            let mut nats = Nats::builder(&args.url);
            if let Some(token) = token {
                nats = nats.token(token);
            }
            // This line is all that is different from a pool on one machine.
            let pool = Pool::builder().backend(nats.connect()?).build()?;
            // To count them twice does no harm: what a lost host had runs elsewhere.
            let safe = pool.with(TaskOptions::new().retries(3).progress("counting"));
            let counts = safe.map((0..below).step_by(STEP as usize), primes)?;
            println!("{} primes below {}", counts.iter().sum::<usize>(), below.next_multiple_of(STEP));
        }
    }
    Ok(())
}
