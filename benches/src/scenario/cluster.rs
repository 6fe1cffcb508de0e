//! The pool over several hosts, which are this one: a server and two agents beside the caller.

use super::{Context, Scenario};
use crate::Result;
use crate::measure::{Bench, Round, System, check, trivial};
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use futures_util::StreamExt;
use multiproc_cluster::{AgentOptions, Nats, serve};
use multiproc_pool::{Pool, TaskOptions};
use multiproc_process::Process;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

const KEY: &str = "the key of the benchmarks";
const BARE: &str = "bare publish, pull, ack";
const REQUEST: &str = "bare request and reply";
const IDEAL: &str = "the work by half";
const STORE: &str = "bare object store";
/// About what an envelope of one small task has.
const ENVELOPE: usize = 160;
const PIECE: usize = 4 << 20;
const WORK: Duration = Duration::from_millis(10);

pub(super) const TASKS: Scenario = Scenario {
    name: "cluster-tasks",
    sentence: "map a function of no work over 100,000 numbers, by two agents of one worker; the cost of one",
    unit: "ns",
    bench: tasks,
};

pub(super) const ENVELOPES: Scenario = Scenario {
    name: "cluster-envelope",
    sentence: "the same, each task in an envelope of its own; beside it messages of that length through the same server",
    unit: "us",
    bench: envelopes,
};

pub(super) const ONE: Scenario = Scenario {
    name: "cluster-one",
    sentence: "one task of no work at a time: from before its hand-in to after its result",
    unit: "us",
    bench: one,
};

pub(super) const BUSY: Scenario = Scenario {
    name: "cluster-work",
    sentence: "tasks that keep a processor busy for 10 ms, by two agents of one worker; the time of one",
    unit: "us",
    bench: busy,
};

pub(super) const LARGE: Scenario = Scenario {
    name: "cluster-4mib",
    sentence: "tasks with 4 MiB of arguments; the time of one",
    unit: "ms",
    bench: large,
};

/// A server of the benchmarks' own.
struct Server {
    child: Child,
    url: String,
    folder: std::path::PathBuf,
}

impl Server {
    fn start() -> Result<Option<Rc<Server>>> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = std::env::temp_dir().join(format!("multiproc-bench-nats-{port}"));
        let mut command = Command::new("nats-server");
        command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(&folder);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/usr/local/bin"));
        let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn() else {
            return Ok(None);
        };
        // From here on, so that one that does not come up leaves nothing behind.
        let mut server = Server { child, url: format!("nats://127.0.0.1:{port}"), folder };
        let Some(log) = server.child.stderr.take() else { return Err("a server without a log".into()) };
        let mut log = BufReader::new(log).lines().map_while(std::result::Result::ok);
        if !log.by_ref().any(|line| line.contains("Server is ready")) {
            return Err("nats-server did not start".into());
        }
        thread::spawn(move || log.for_each(drop));
        Ok(Some(Rc::new(server)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with the benchmarks; what it kept is nobody's.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A pool with two agents, which end with it.
struct Crew {
    pool: Pool,
    agents: Vec<Process<()>>,
    _server: Rc<Server>,
}

impl Crew {
    fn start(server: &Rc<Server>) -> Result<Crew> {
        let mut agents = Vec::new();
        for _ in 0..2 {
            agents.push(Process::builder().daemon(true).spawn(server.url.clone(), |url| {
                if let Err(error) = serve(&url, AgentOptions::new().workers(1).key(KEY)) {
                    panic!("{error}");
                }
            })?);
        }
        let pool = Pool::builder().backend(Nats::builder(&server.url).key(KEY).connect()?).build()?;
        let until = Instant::now() + Duration::from_secs(30);
        while pool.stats().workers.iter().filter(|worker| worker.is_ready).count() < 2 {
            if Instant::now() > until {
                return Err("the agents did not come".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Crew { pool, agents, _server: Rc::clone(server) })
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for agent in &self.agents {
            // One that has gone needs no end.
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

fn absent() -> Bench {
    Bench {
        absent: vec!["all: nats-server is not installed (Debian: apt-get install nats-server)".to_owned()],
        ..Bench::default()
    }
}

fn timed(scale: f64, mut run: impl FnMut(u64) -> Result<u64> + 'static) -> Round {
    Box::new(move |count| {
        let started = Instant::now();
        let sum = run(count)?;
        let took = started.elapsed().as_secs_f64() * scale / count as f64;
        check(sum, (0..count).map(trivial).sum())?;
        Ok(took)
    })
}

fn tasks(context: &Context) -> Result<Bench> {
    let Some(server) = Server::start()? else { return Ok(absent()) };
    let crew = Crew::start(&server)?;
    let ours = timed(1e9, move |count| Ok(crew.pool.map(0..count, trivial)?.into_iter().sum()));
    let ours = System::new("ours, map", context.effort.operations(100_000), ours).limit(20_000.0);
    Ok(Bench { systems: vec![ours], ..Bench::default() })
}

fn envelopes(context: &Context) -> Result<Bench> {
    let Some(server) = Server::start()? else { return Ok(absent()) };
    let crew = Crew::start(&server)?;
    let ours = timed(1e6, move |count| {
        let with = crew.pool.with(TaskOptions::new().chunk_size(1));
        Ok(with.map(0..count, trivial)?.into_iter().sum())
    });
    let bare = bare_stream(&server)?;
    let effort = context.effort;
    let ours = System::new("ours, one by one", effort.operations(5_000), ours).against(BARE).goal(BARE, 1.5);
    Ok(Bench { systems: vec![ours, System::new(BARE, effort.operations(5_000), bare)], ..Bench::default() })
}

fn one(context: &Context) -> Result<Bench> {
    let Some(server) = Server::start()? else { return Ok(absent()) };
    let crew = Crew::start(&server)?;
    let ours = timed(1e6, move |count| {
        let mut sum = 0;
        for number in 0..count {
            sum += crew.pool.apply(number, trivial)?;
        }
        Ok(sum)
    });
    let bare = bare_request(&server)?;
    let effort = context.effort;
    let ours = System::new("ours, apply", effort.operations(2_000), ours).against(REQUEST).goal(REQUEST, 2.0);
    Ok(Bench {
        systems: vec![ours, System::new(REQUEST, effort.operations(2_000), bare)],
        ..Bench::default()
    })
}

/// Keeps a processor busy.
fn toil(number: u64) -> u64 {
    let until = Instant::now() + WORK;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    trivial(number)
}

fn busy(context: &Context) -> Result<Bench> {
    let Some(server) = Server::start()? else { return Ok(absent()) };
    let crew = Crew::start(&server)?;
    let ours = timed(1e6, move |count| Ok(crew.pool.map(0..count, toil)?.into_iter().sum()));
    let ideal: Round = Box::new(|_| Ok(WORK.as_secs_f64() * 1e6 / 2.0));
    let count = context.effort.operations(1_000);
    let ours = System::new("ours, map", count, ours).against(IDEAL).goal(IDEAL, 1.0 / 0.95);
    Ok(Bench { systems: vec![ours, System::new(IDEAL, count, ideal)], ..Bench::default() })
}

fn large(context: &Context) -> Result<Bench> {
    let Some(server) = Server::start()? else { return Ok(absent()) };
    let crew = Crew::start(&server)?;
    let ours = timed(1e3, move |count| {
        let items = (0..count).map(|number| (number, vec![number as u8; PIECE]));
        let length = |(number, bytes): (u64, Vec<u8>)| if bytes.len() == PIECE { trivial(number) } else { 0 };
        Ok(crew.pool.map(items, length)?.into_iter().sum())
    });
    let bare = bare_store(&server)?;
    let count = context.effort.operations(64);
    let ours = System::new("ours, map", count, ours).against(STORE).goal(STORE, 1.0 / 0.8);
    Ok(Bench { systems: vec![ours, System::new(STORE, count, bare)], ..Bench::default() })
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs something asynchronous, over and over, on a thread of its own runtime.
fn with_runtime<F: Future<Output = std::result::Result<u64, Failure>>>(
    scale: f64,
    mut run: impl FnMut(u64) -> F + 'static,
    runtime: tokio::runtime::Runtime,
) -> Round {
    timed(scale, move |count| Ok(runtime.block_on(run(count)).map_err(|error| error.to_string())?))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// What another process does until it is killed.
fn elsewhere(url: &str, role: fn(String)) -> Result<Process<()>> {
    Ok(Process::builder().daemon(true).spawn(url.to_owned(), role)?)
}

fn answer(url: String) {
    let serve = async {
        let client = async_nats::connect(&url).await?;
        let mut requests = client.subscribe("bare.request").await?;
        while let Some(message) = requests.next().await {
            let Some(reply) = message.reply else { continue };
            let number = std::str::from_utf8(&message.payload)?.parse()?;
            client.publish(reply, trivial(number).to_string().into()).await?;
        }
        Ok::<(), Failure>(())
    };
    if let Ok(runtime) = runtime() {
        // It ends with who asks.
        let _ = runtime.block_on(serve);
    }
}

fn bare_request(server: &Rc<Server>) -> Result<Round> {
    let other = elsewhere(&server.url, answer)?;
    let runtime = runtime()?;
    let client = runtime.block_on(async_nats::connect(&server.url))?;
    let (server, other) = (Rc::clone(server), Rc::new(other));
    Ok(with_runtime(
        1e6,
        move |count| {
            let (client, alive) = (client.clone(), (Rc::clone(&server), Rc::clone(&other)));
            async move {
                let mut sum = 0;
                for number in 0..count {
                    let reply = loop {
                        // At first the other side may not be there.
                        match client.request("bare.request", number.to_string().into()).await {
                            Ok(reply) => break reply,
                            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                        }
                    };
                    sum += std::str::from_utf8(&reply.payload)?.parse::<u64>()?;
                }
                drop(alive);
                Ok(sum)
            }
        },
        runtime,
    ))
}

/// A message of about an envelope's length: whether it is a round's last one, and its number.
fn written(is_last: bool, number: u64) -> Vec<u8> {
    let mut body = vec![0; ENVELOPE];
    body[0] = u8::from(is_last);
    body[1..9].copy_from_slice(&number.to_le_bytes());
    body
}

fn read(body: &[u8]) -> std::result::Result<(bool, u64), Failure> {
    match body.split_first().map(|(is_last, rest)| (is_last, rest.first_chunk())) {
        Some((is_last, Some(number))) if body.len() == ENVELOPE => {
            Ok((*is_last == 1, u64::from_le_bytes(*number)))
        }
        _ => Err("a message was torn".into()),
    }
}

fn pull(url: String) {
    let serve = async {
        let client = async_nats::connect(&url).await?;
        let js = jetstream::new(client.clone());
        let stream = js.get_stream("BARE").await?;
        let config = pull::Config {
            durable_name: Some("bare".to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: 100_000,
            ..pull::Config::default()
        };
        let consumer = stream.get_or_create_consumer("bare", config).await?;
        let mut messages = consumer.messages().await?;
        let mut sum = 0;
        while let Some(message) = messages.next().await {
            let message = message?;
            message.ack().await?;
            let (is_last, number) = read(&message.payload)?;
            sum += trivial(number);
            if is_last {
                client.publish("bare.done", sum.to_string().into()).await?;
                sum = 0;
            }
        }
        Ok::<(), Failure>(())
    };
    if let Ok(runtime) = runtime() {
        // It ends with who asks.
        let _ = runtime.block_on(serve);
    }
}

/// What the server keeps; it begins a task of the runtime's.
fn context(runtime: &tokio::runtime::Runtime, client: &async_nats::Client) -> jetstream::Context {
    let _inside = runtime.enter();
    jetstream::new(client.clone())
}

fn bare_stream(server: &Rc<Server>) -> Result<Round> {
    let runtime = runtime()?;
    let client = runtime.block_on(async_nats::connect(&server.url))?;
    let js = context(&runtime, &client);
    let config = stream::Config {
        name: "BARE".to_owned(),
        subjects: vec!["bare.task".to_owned()],
        retention: stream::RetentionPolicy::WorkQueue,
        storage: stream::StorageType::Memory,
        ..stream::Config::default()
    };
    runtime.block_on(js.create_stream(config))?;
    let other = elsewhere(&server.url, pull)?;
    let (server, other) = (Rc::clone(server), Rc::new(other));
    Ok(with_runtime(
        1e6,
        move |count| {
            let (client, js) = (client.clone(), js.clone());
            let alive = (Rc::clone(&server), Rc::clone(&other));
            async move {
                let mut done = client.subscribe("bare.done").await?;
                client.flush().await?;
                let mut stored = Vec::with_capacity(count as usize);
                for number in 0..count {
                    let body = written(number + 1 == count, number);
                    stored.push(js.publish("bare.task", body.into()).await?);
                }
                for one in stored {
                    one.await?;
                }
                let sum = done.next().await.ok_or("the server has gone")?;
                drop(alive);
                Ok(std::str::from_utf8(&sum.payload)?.parse()?)
            }
        },
        runtime,
    ))
}

fn bare_store(server: &Rc<Server>) -> Result<Round> {
    let runtime = runtime()?;
    let client = runtime.block_on(async_nats::connect(&server.url))?;
    let js = context(&runtime, &client);
    let config = jetstream::object_store::Config {
        bucket: "bare".to_owned(),
        storage: stream::StorageType::Memory,
        ..jetstream::object_store::Config::default()
    };
    let store = runtime.block_on(js.create_object_store(config))?;
    let server = Rc::clone(server);
    Ok(with_runtime(
        1e3,
        move |count| {
            let (store, alive) = (store.clone(), Rc::clone(&server));
            async move {
                let mut sum = 0;
                for number in 0..count {
                    let bytes = vec![number as u8; PIECE];
                    let name = number.to_string();
                    store.put(name.as_str(), &mut bytes.as_slice()).await?;
                    let mut back = Vec::with_capacity(PIECE);
                    store.get(&name).await?.read_to_end(&mut back).await?;
                    sum += if back == bytes { trivial(number) } else { 0 };
                    store.delete(&name).await?;
                }
                drop(alive);
                Ok(sum)
            }
        },
        runtime,
    ))
}
