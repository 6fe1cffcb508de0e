use crate::uses::crew;
use crate::{Flag, flag};
use multiproc::cluster::{AgentOptions, Nats, serve};
use multiproc::{Pool, Process, TaskError};
use multiproc_cluster_tests::{Agent, KEY, LEASE, Server, nats_at, pool_at};
use multiproc_core::sys::image::image;
use multiproc_tests::{Limit, eventually, isolated_in_role, role_command};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

#[test]
fn who_lacks_the_key_runs_nothing_and_is_answered_nothing() {
    crate::with_workers(|| {
        let Some((server, agents, pool)) = crew(1) else { return };
        let runs = flag();
        let raise = |runs: Flag| runs.raise();
        let stranger = Nats::builder(&server.url()).key("another key").lease(LEASE).connect().unwrap();
        let stranger = Pool::builder().backend(stranger).build().unwrap();
        let forged = stranger.apply_async(runs.clone(), raise);
        // Every agent and every caller gets this, too.
        let subject = format!("multiproc.default.{}", &image().unwrap().build_id().to_string()[..16]);
        for end in ["task.x", "agents", "who", "dead"] {
            for body in ["", "x", &"y".repeat(1000)] {
                server.publish(&format!("{subject}.{end}"), body);
            }
        }
        assert_eq!(pool.apply(runs.clone(), raise), Ok(0));
        assert_eq!(forged.get_timeout(LEASE * 2), Err(TaskError::NotReady));
        assert!(stranger.stats().workers.is_empty(), "it does not even learn who is there");
        assert_eq!(pool.apply(runs.clone(), raise), Ok(1));
        assert!(nats_at(&server.url()).dead_letters().unwrap().is_empty());
        stranger.terminate();
        drop((pool, agents));
    });
}

#[test]
fn beyond_this_machine_there_is_no_connection_without_tls_credentials_and_key() {
    for url in ["nats://10.1.2.3:4222", "tls://10.1.2.3:4222", "nats://user:word@10.1.2.3"] {
        let error = Nats::builder(url).key(KEY).connect().unwrap_err();
        assert!(error.is_insecure(), "{url}: {error}");
        let error = serve(url, AgentOptions::new().workers(1).key(KEY)).unwrap_err();
        assert!(error.is_insecure(), "{url}: {error}");
    }
    let error = Nats::builder("nats://127.0.0.1:1").key(KEY).connect().unwrap_err();
    assert!(error.is_unreachable() && error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[test]
fn servers_that_ask_for_credentials_get_them() {
    crate::with_workers(|| {
        let Some(server) = Server::start_with("127.0.0.1", &["--user", "me", "--pass", "secret"]) else {
            return;
        };
        let error = Nats::builder(&server.url()).key(KEY).connect().unwrap_err();
        assert!(error.is_denied() && !error.to_string().contains("secret"), "{error}");
        let error = Nats::builder(&server.url()).key(KEY).password("me", "wrong").connect().unwrap_err();
        assert!(error.is_denied(), "{error}");
        Nats::builder(&server.url()).key(KEY).password("me", "secret").connect().unwrap();
    });
}

/// Where the server is, for a process in another role.
const URL: &str = "MULTIPROC_TEST_URL";

#[test]
fn agents_of_another_build_never_see_a_task() {
    let role = || {
        let options = AgentOptions::new().workers(1).key(KEY).lease(LEASE);
        serve(&std::env::var(URL).unwrap(), options).unwrap();
    };
    isolated_in_role(Limit(Duration::from_secs(90)), role, || {
        let Some(server) = Server::start() else { return };
        // The same program, but for the note that says which build it is.
        let own = std::fs::read("/proc/self/exe").unwrap();
        let id = image().unwrap().build_id().as_bytes().to_vec();
        let at = own.windows(id.len()).position(|window| window == id);
        let Some(at) = at else {
            println!("skipped: this linker writes no build id");
            return;
        };
        let mut other = own;
        other[at] ^= 0xff;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other-build");
        std::fs::write(&path, other).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let own_role = role_command();
        let mut command = std::process::Command::new(&path);
        command.args(own_role.get_args());
        for (key, value) in own_role.get_envs() {
            command.env(key, value.unwrap_or_default());
        }
        let mut stranger = command.env(URL, server.url()).spawn().unwrap();
        let pool = pool_at(&server.url()).build().unwrap();
        // Nobody else is there: an error that names both.
        let error = pool.apply(1u32, |n| n).unwrap_err();
        let text = error.to_string();
        let ours = image().unwrap().build_id().to_string();
        assert!(matches!(error, TaskError::NoWorker { .. }), "{text}");
        assert!(text.contains(&ours) && text.contains("other-build"), "{text}");
        // With both builds there, it is ours that runs it.
        let agent = Agent::start(&server.url(), 1);
        eventually(Duration::from_secs(20), "its own agent is found", || pool.apply(1u32, |n| n) == Ok(1));
        let there = pool.map(0..200u32, |_| std::process::id()).unwrap();
        assert!(there.iter().all(|id| *id != stranger.id()));
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        drop(pool);
        assert_eq!(agent.leave(), Some(0));
        // The spawner's helper ends with this process.
        drop(Process::<()>::builder());
    });
}
