//! How all agents of a pool stand, for who looks at them from outside.

use crate::error::{ClusterError, Kind};
use crate::link::Link;
use crate::seal::Sort;
use crate::wire::{Here, Id, Who};
use futures_util::StreamExt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// An agent, as it has told of itself; from [`Nats::agents`](crate::Nats::agents).
///
/// # Examples
///
/// ```no_run
/// use multiproc_cluster::Nats;
/// use std::time::Duration;
///
/// let nats = Nats::connect("nats://127.0.0.1:4222")?;
/// for agent in nats.agents(Duration::from_millis(300))? {
///     let busy = agent.workers.iter().filter(|worker| worker.has > 0).count();
///     println!("{}: {busy} of {} workers have something to do", agent.host, agent.workers.len());
/// }
/// # Ok::<(), multiproc_cluster::ClusterError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgentInfo {
    /// What tells it from others, until it ends.
    pub id: String,
    /// The name of its host.
    pub host: String,
    /// Its process there.
    pub process: u32,
    /// The name of its program.
    pub program: String,
    /// The build that it is of; it runs only tasks of the same one.
    pub build: String,
    /// It takes no more tasks, and ends with those that it has.
    pub is_leaving: bool,
    /// How many callers it knows.
    pub callers: u32,
    /// How many envelopes of theirs it has, each of which is one task or several short ones.
    pub envelopes: u32,
    /// How many workers died and were replaced.
    pub restarts: u64,
    /// Its workers: for each state that callers give theirs as many, and for those who give none.
    pub workers: Vec<AgentWorker>,
}

/// A worker of an agent.
///
/// # Examples
///
/// ```
/// use multiproc_cluster::AgentWorker;
///
/// let worker = AgentWorker::default();
/// assert!(!worker.is_ready && worker.done == 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgentWorker {
    /// Its process.
    pub id: u32,
    /// What it is called on its host.
    pub name: String,
    /// It has started.
    pub is_ready: bool,
    /// How many chunks of tasks it has.
    pub has: u32,
    /// How many tasks it has done.
    pub done: u64,
    /// How long it had nothing to do, all in all.
    pub idle: Duration,
    /// For how long it has been there.
    pub age: Duration,
}

impl From<Here> for AgentInfo {
    fn from(here: Here) -> AgentInfo {
        let Here { agent, build, program, callers, envelopes, about, .. } = here;
        let workers = about.workers.into_iter().map(|worker| AgentWorker {
            id: worker.id,
            name: worker.name,
            is_ready: worker.is_ready,
            has: worker.has,
            done: worker.done,
            idle: worker.idle,
            age: worker.age,
        });
        AgentInfo {
            id: agent.to_string(),
            host: about.host,
            process: about.process,
            program,
            build,
            is_leaving: about.is_leaving,
            callers,
            envelopes,
            restarts: about.restarts,
            workers: workers.collect(),
        }
    }
}

/// Asks all, and gives the answers that come within that time.
pub(crate) async fn ask(link: &Link, within: Duration) -> Result<Vec<AgentInfo>, ClusterError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Kind::Engine { what: "ask the agents", why: error.to_string() }.because(error)
    };
    let asker = Id::random()
        .map_err(|error| Kind::System { what: "ask the agents", why: error.to_string() }.because(error))?;
    let inbox = link.client.new_inbox();
    let mut answers = link.client.subscribe(inbox.clone()).await.map_err(|error| failed(error.into()))?;
    let who = link.names.who();
    let message = link.open_seal.seal(Sort::Who, &who, &Who { asker });
    let asked = link.client.publish_with_reply(who, inbox, message.into()).await;
    asked.map_err(|error| failed(error.into()))?;
    let mut found = BTreeMap::new();
    let listen = async {
        while let Some(message) = answers.next().await {
            if let Some(here) = link.open_of_all::<Here>(Sort::Here, &message)
                && here.asker == asker
            {
                found.insert((here.about.host.clone(), here.about.process, here.agent), here.into());
            }
        }
    };
    // That the time is up is the usual end.
    let _ = tokio::time::timeout(within, listen).await;
    Ok(found.into_values().collect())
}
