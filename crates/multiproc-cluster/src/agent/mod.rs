//! The host's side: an ordinary pool on each host, whose tasks come from the stream.

mod actor;
mod answers;
mod callers;
mod crew;
mod intake;
mod pulls;
mod signals;
mod teller;

use crate::error::{ClusterError, Kind};
use crate::link::Link;
use crate::settings::{Settings, setters};
use multiproc_pool::PoolBuilder;
use multiproc_process::cpu_count;
use std::sync::Arc;
use std::time::Duration;

/// How an agent runs what it takes; for [`serve`].
///
/// ```
/// use multiproc_cluster::AgentOptions;
///
/// let options = AgentOptions::new().workers(4).each(|pool| pool.tasks_per_worker(1_000).memory_limit(2 << 30));
/// # let _ = options;
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until they are given to `serve`"]
pub struct AgentOptions {
    settings: Settings,
    workers: usize,
    each: Arc<dyn Fn(PoolBuilder) -> PoolBuilder>,
    drain: Option<Duration>,
}

setters!(AgentOptions);

impl Default for AgentOptions {
    fn default() -> AgentOptions {
        AgentOptions::new()
    }
}

impl AgentOptions {
    /// Describes an agent with a worker for each processor.
    pub fn new() -> AgentOptions {
        AgentOptions {
            settings: Settings::new(""),
            workers: cpu_count(),
            each: Arc::new(|pool| pool),
            drain: None,
        }
    }

    /// Sets the number of workers.
    pub fn workers(mut self, workers: usize) -> AgentOptions {
        self.workers = workers;
        self
    }

    /// Has the pools of this host made so: limits, recycling, start methods, names. There is one for each state that
    /// callers give their workers, and one for those who give none.
    pub fn each(mut self, make: impl Fn(PoolBuilder) -> PoolBuilder + 'static) -> AgentOptions {
        self.each = Arc::new(make);
        self
    }

    /// Sets how long tasks that are running when the agent is to end may take to come to their own; without this, as
    /// long as they need.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_cluster::AgentOptions;
    /// use std::time::Duration;
    ///
    /// let options = AgentOptions::new().drain_timeout(Duration::from_secs(60));
    /// # let _ = options;
    /// ```
    pub fn drain_timeout(mut self, timeout: Duration) -> AgentOptions {
        self.drain = Some(timeout);
        self
    }
}

/// Runs the tasks of callers of this very build on this host, until SIGTERM or ctrl-C.
///
/// At the first signal it takes no more tasks, gives back those that it has not begun, and returns when the others are
/// done and told; at the second it returns at once. Agents may come and go at any time. If it is killed, the tasks that
/// it had end with an error that says so, or run elsewhere if their [`retries`](multiproc_pool::TaskOptions::retries)
/// allow.
///
/// A server that cannot be reached is waited for, unless that is at the start.
///
/// ```no_run
/// use multiproc_cluster::{AgentOptions, serve};
///
/// serve("nats://127.0.0.1:4222", AgentOptions::new().workers(8))?;
/// # Ok::<(), multiproc_cluster::ClusterError>(())
/// ```
///
/// # Errors
///
/// As [`Nats::connect`](crate::Nats::connect); or the workers cannot be started.
pub fn serve(url: &str, options: AgentOptions) -> Result<(), ClusterError> {
    let AgentOptions { mut settings, workers, each, drain } = options;
    url.clone_into(&mut settings.url);
    let key = settings.check()?;
    let system =
        |what| move |error: std::io::Error| Kind::System { what, why: error.to_string() }.because(error);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start the agent"))?;
    let crews = crew::Crews::start(workers, each).map_err(system("start the workers"))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let name = format!("multiproc agent {}", std::process::id());
        let link = Link::connect(settings, &key, &name).await?;
        actor::run(link, crews, drain).await
    })
}
