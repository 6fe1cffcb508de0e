use crate::strangers::certificate;
use crate::{Flag, KEY, LEASE};
use multiproc::cluster::{AgentOptions, Nats, serve};
use multiproc::{Cause, Pool, TaskError};
use multiproc_cluster_tests::{Server, wait_for_agents};
use multiproc_tests::{Limit, isolated_in_role, role_command, skip};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

/// Which part a process plays, and what it is to know.
const PART: &str = "MULTIPROC_TEST_PART";
const URL: &str = "MULTIPROC_TEST_URL";
const ROOTS: &str = "MULTIPROC_TEST_ROOTS";
const TOKEN: &str = "s3cret";
/// Where the server is; the hosts come behind it.
const HUB: &str = "10.77.0.1";
const HOSTS: u32 = 3;

fn tool(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    command.args(&words[1..]).env("PATH", path).stderr(Stdio::null()).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn must(words: &str) {
    assert!(tool(&words.split(' ').collect::<Vec<_>>()), "{words}");
}

/// This test in a part of its own, in a network of its own.
fn apart(part: &str) -> Command {
    let role = role_command();
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(env::current_exe().unwrap()).args(role.get_args());
    for (key, value) in role.get_envs() {
        command.env(key, value.unwrap_or_default());
    }
    command.env(PART, part);
    command
}

/// A machine with an agent, at the end of a cable.
struct Host {
    process: Child,
    cable: String,
    /// It is to be there for as long as the agent.
    _stdin: ChildStdin,
}

impl Host {
    fn start(number: u32, url: &str, roots: &str) -> Host {
        let mut process = apart("host")
            .envs([(URL, url), (ROOTS, roots)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The first word of the test's own: it is in its network by now.
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("running 1 test")));
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let (id, cable) = (process.id(), format!("cable{number}"));
        must(&format!("ip link add {cable} type veth peer name eth0 netns {id}"));
        must(&format!("ip link set {cable} master hub0 up"));
        for rest in [&format!("addr add 10.77.0.{number}/24 dev eth0"), "link set eth0 up", "link set lo up"]
        {
            must(&format!("nsenter -t {id} -n ip {rest}"));
        }
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(b"go\n").unwrap();
        Host { process, cable, _stdin: stdin }
    }

    fn plug(&self, is_in: bool) {
        must(&format!("ip link set {} {}", self.cable, if is_in { "up" } else { "down" }));
    }
}

/// What runs on each host.
fn host() {
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
    let options = AgentOptions::new().workers(1).key(KEY).lease(LEASE).token(TOKEN);
    serve(&env::var(URL).unwrap(), options.root_certificates(env::var(ROOTS).unwrap())).unwrap();
}

/// What runs where the server is.
fn hub() {
    must("ip link set lo up");
    must("ip link add hub0 type bridge");
    must(&format!("ip addr add {HUB}/24 dev hub0"));
    must("ip link set hub0 up");
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(&folder, HUB).unwrap();
    let server = Server::start_with(HUB, &["--tls", "--tlscert", &cert, "--tlskey", &key, "--auth", TOKEN]);
    let url = server.as_ref().unwrap().url().replace("nats://", "tls://");
    let mut hosts: Vec<Host> = (2..2 + HOSTS).map(|number| Host::start(number, &url, &cert)).collect();
    let nats = Nats::builder(&url).key(KEY).lease(LEASE).token(TOKEN).root_certificates(&cert);
    let pool = Pool::builder().backend(nats.connect().unwrap()).build().unwrap();
    wait_for_agents(&pool, HOSTS as usize);
    let plug = |hosts: &[Host], is_in| hosts.iter().for_each(|host| host.plug(is_in));
    assert!(pool.map(0..1_000u32, |n| n).unwrap().into_iter().eq(0..1_000));
    let waits = |(begun, go): (Flag, Flag)| {
        begun.raise();
        go.wait_for(1);
        7u32
    };
    let flags = |name: &str| [Flag::new(&folder, &format!("{name}-begun")), Flag::new(&folder, name)];
    // For a moment: nobody notices.
    let [begun, go] = flags("short");
    let task = pool.apply_async((begun.clone(), go.clone()), waits);
    begun.wait_for(1);
    plug(&hosts, false);
    assert_eq!(task.get_timeout(LEASE / 3), Err(TaskError::NotReady));
    go.raise();
    plug(&hosts, true);
    assert_eq!((task.get(), begun.count()), (Ok(7), 1));
    // For longer than the lease.
    let [begun, go] = flags("long");
    let tasks: Vec<_> = (0..HOSTS).map(|_| pool.apply_async((begun.clone(), go.clone()), waits)).collect();
    begun.wait_for(HOSTS);
    plug(&hosts, false);
    for task in tasks {
        let error = task.get().unwrap_err();
        let is_lost = matches!(&error, TaskError::WorkerDied { status } if status.cause() == Cause::HostLost);
        assert!(is_lost, "{error}");
    }
    plug(&hosts, true);
    wait_for_agents(&pool, HOSTS as usize);
    assert!(pool.map(0..1_000u32, |n| n).unwrap().into_iter().eq(0..1_000));
    assert_eq!(begun.count(), HOSTS);
    pool.join();
    for host in &mut hosts {
        must(&format!("kill -TERM {}", host.process.id()));
        assert!(host.process.wait().unwrap().success());
    }
}

#[test]
fn three_hosts_with_networks_of_their_own() {
    let role = || match env::var(PART).as_deref() {
        Ok("hub") => hub(),
        _ => host(),
    };
    isolated_in_role(Limit(Duration::from_secs(120)), role, || {
        let folder = tempfile::tempdir().unwrap();
        let has_tools = tool(&["unshare", "--net", "ip", "link", "add", "hub0", "type", "bridge"])
            && tool(&["nsenter", "--version"])
            && certificate(&folder, HUB).is_some();
        if !has_tools || Server::start().is_none() {
            return skip("networks", "they take root, iproute2, util-linux, openssl and nats-server");
        }
        assert!(apart("hub").status().unwrap().success());
    });
}
