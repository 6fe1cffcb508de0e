//! The agents of a pool over several hosts, as they tell of themselves.

use crate::{screen, terminal};
use clap::Args;
use multiproc_cluster::{AgentInfo, AgentWorker, Nats};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// The token of the server, where it asks for one: not an argument, since those everybody can see.
const TOKEN: &str = "NATS_TOKEN";

/// Which pool, and how to get there.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the NATS server is, as nats://127.0.0.1:4222; its token is taken from NATS_TOKEN, the pool's key from
    /// MULTIPROC_CLUSTER_KEY
    url: String,
    /// Which of the pools of that server
    #[arg(long, default_value = "default", value_name = "NAME")]
    pool: String,
    /// Log in by a file of NATS credentials (.creds)
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// Trust the certificates in this file beside those that the system trusts
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Print the agents once, as JSON, and end
    #[arg(long)]
    json: bool,
    /// Print the agents once, as the terminal would show them, and end
    #[arg(long, conflicts_with = "json")]
    once: bool,
    /// How many seconds to wait for the answers of agents
    #[arg(long, default_value_t = 0.5, value_name = "SECONDS", value_parser = crate::cli::seconds)]
    wait: f64,
}

/// Shows what the agents say.
pub(crate) fn show(options: &Options, out: &mut impl Write) -> io::Result<()> {
    let mut nats = Nats::builder(&options.url).pool(&options.pool);
    if let Some(path) = &options.credentials {
        nats = nats.credentials_file(path);
    } else if let Ok(token) = std::env::var(TOKEN) {
        nats = nats.token(token);
    }
    if let Some(path) = &options.roots {
        nats = nats.root_certificates(path);
    }
    let nats = nats.connect()?;
    let wait = Duration::from_secs_f64(options.wait);
    if options.json {
        serde_json::to_writer_pretty(&mut *out, &nats.agents(wait)?)?;
        writeln!(out)
    } else if options.once {
        write!(out, "{}", draw(&options.pool, &nats.agents(wait)?, screen::WIDE, usize::MAX))
    } else {
        terminal::run(out, Duration::from_millis(500), |columns, lines| {
            Ok(draw(&options.pool, &nats.agents(wait)?, columns, lines))
        })
    }
}

/// Draws agents in so many columns and lines at most.
fn draw(pool: &str, agents: &[AgentInfo], columns: usize, lines: usize) -> String {
    let workers: usize = agents.iter().map(|agent| agent.workers.len()).sum();
    let mut text = format!("multiproc-top: pool {pool}, {} agents, {workers} workers\n", agents.len());
    let titles =
        ["HOST", "PROCESS", "PROGRAM", "BUILD", "CALLERS", "ENVELOPES", "DONE", "RESTARTS", "WORKERS"];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(agents.iter().map(|agent| {
        let done: u64 = agent.workers.iter().map(|worker| worker.done).sum();
        [
            agent.host.clone(),
            agent.process.to_string(),
            agent.program.clone(),
            agent.build.chars().take(12).collect(),
            agent.callers.to_string(),
            agent.envelopes.to_string(),
            done.to_string(),
            agent.restarts.to_string(),
            states(agent),
        ]
    }));
    let right = [false, true, false, false, true, true, true, true, false];
    screen::section(&mut text, &screen::table(&rows, right));
    screen::fit(&text, columns, lines)
}

/// How many workers are in which state.
fn states(agent: &AgentInfo) -> String {
    let state = |worker: &AgentWorker| match worker {
        AgentWorker { is_ready: false, .. } => "starting",
        AgentWorker { has: 0, .. } => "idle",
        _ => "busy",
    };
    let counts = ["busy", "idle", "starting"].map(|name| {
        let count = agent.workers.iter().filter(|worker| state(worker) == name).count();
        (count > 0).then(|| format!("{count} {name}"))
    });
    let leaving = agent.is_leaving.then(|| "leaving".to_owned());
    counts.into_iter().chain([leaving]).flatten().collect::<Vec<_>>().join(", ")
}
