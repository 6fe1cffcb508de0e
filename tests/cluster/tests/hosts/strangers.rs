use crate::uses::crew;
use crate::{Flag, flag};
use multiproc::cluster::{AgentOptions, Nats, serve};
use multiproc::{Pool, Process, TaskError};
use multiproc_cluster_tests::{Agent, KEY, LEASE, Overheard, Server, Spy, nats_at, pool_at, wait_for_agents};
use multiproc_core::sys::image::image;
use multiproc_tests::{Bytes, Limit, eventually, isolated_in_role, role_command, skip};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

#[test]
fn who_lacks_the_key_runs_nothing_and_is_answered_nothing() {
    crate::with_workers(|| {
        let Some((server, agents, pool)) = crew(1) else { return };
        let runs = flag();
        let raise = |runs: Flag| runs.raise();
        let stranger = Nats::builder(&server.url()).key("another key").lease(LEASE).connect().unwrap();
        assert!(stranger.agents(Duration::from_millis(100)).unwrap().is_empty());
        let stranger = Pool::builder().backend(stranger).build().unwrap();
        let forged = stranger.apply_async(runs.clone(), raise);
        // An agent with another key takes nothing away from those with ours.
        let other = Process::builder().daemon(true).spawn(server.url(), |url| {
            serve(&url, AgentOptions::new().workers(1).key("a third key").lease(LEASE)).unwrap();
        });
        let other = other.unwrap();
        eventually(Duration::from_secs(20), "the stranger's stream is there", || server.streams().len() > 1);
        // Every agent and every caller gets this, too.
        let mut spy = Spy::on(&server.url(), "multiproc.>");
        let agents_at = spy.hear(".agents").subject;
        for end in ["task.x", "agents", "who", "dead"] {
            for body in ["", "x", &"y".repeat(1000)] {
                spy.say(&agents_at.replace("agents", end), body.as_bytes());
                spy.say(&format!("multiproc.default.{end}"), body.as_bytes());
            }
        }
        assert_eq!(pool.apply(runs.clone(), raise), Ok(0));
        assert_eq!(forged.get_timeout(LEASE * 2), Err(TaskError::NotReady));
        assert!(stranger.stats().workers.is_empty(), "it does not even learn who is there");
        assert_eq!(pool.apply(runs.clone(), raise), Ok(1));
        assert!(nats_at(&server.url()).dead_letters().unwrap().is_empty());
        stranger.terminate();
        other.kill().unwrap();
        other.wait().unwrap();
        drop((pool, agents));
    });
}

#[test]
fn who_sees_everything_and_says_it_again_or_otherwise_changes_nothing() {
    crate::with_workers(|| {
        let Some((server, agents, pool)) = crew(1) else { return };
        let (runs, begun, go) = (flag(), flag(), flag());
        let mut spy = Spy::on(&server.url(), "multiproc.>");
        let raise = |runs: Flag| runs.raise() + 17;
        assert_eq!(pool.apply(runs.clone(), raise), Ok(17));
        let task = spy.hear(".task.");
        let mut heard = spy.rest();
        // Another caller's first task is under way, with the numbers that this one's had.
        let second = pool_at(&server.url()).build().unwrap();
        wait_for_agents(&second, 1);
        let waits = |(begun, go): (Flag, Flag)| {
            begun.raise();
            go.wait_for(1);
            99u32
        };
        let held = second.apply_async((begun.clone(), go.clone()), waits);
        begun.wait_for(1);
        let newer = spy.rest();
        let inbox = |of: &[Overheard], not: &str| {
            let is_caller = |one: &&Overheard| one.subject.contains(".caller.") && one.subject != not;
            of.iter().find(is_caller).unwrap().subject.clone()
        };
        let first_inbox = inbox(&heard, "");
        let second_inbox = inbox(&newer, &first_inbox);
        heard.push(task.clone());
        heard.extend(newer);
        for message in &heard {
            // Where it was sent, and where it was not; as it was, and otherwise.
            spy.say(&message.subject, &message.body);
            spy.say(&second_inbox, &message.body);
            spy.say(&task.subject, &message.body);
            for at in (0..message.body.len()).step_by(7) {
                let mut body = message.body.clone();
                body[at] ^= 1;
                spy.say(&message.subject, &body);
                body.truncate(at);
                spy.say(&message.subject, &body);
            }
        }
        assert_eq!(held.get_timeout(LEASE * 2), Err(TaskError::NotReady), "no answer but its own ends it");
        assert_eq!(runs.count(), 1, "what was done is not done again");
        go.raise();
        assert_eq!((held.get(), begun.count()), (Ok(99), 1));
        assert_eq!(pool.apply(runs.clone(), raise), Ok(18));
        pool.join();
        second.join();
        server.wait_until_empty(Duration::from_secs(10));
        drop(agents);
    });
}

/// Makes a certificate for this address, and gives its file and its key's; `None` without `openssl`.
pub(crate) fn certificate(folder: &TempDir, address: &str) -> Option<(String, String)> {
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name).display().to_string());
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=multiproc test", "-addext", &format!("subjectAltName=IP:{address}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &cert])
        .output();
    made.is_ok_and(|output| output.status.success()).then_some((cert, key))
}

#[test]
fn an_encrypted_server_is_used_if_its_certificate_is_trusted() {
    crate::with_workers(|| {
        let folder = tempfile::tempdir().unwrap();
        let Some((cert, key)) = certificate(&folder, "127.0.0.1") else {
            return skip("an encrypted server", "openssl makes no certificate");
        };
        let tls = ["--tls", "--tlscert", &cert, "--tlskey", &key, "--auth", "s3cret"];
        let Some(server) = Server::start_with("127.0.0.1", &tls) else { return };
        let url = server.url().replace("nats://", "tls://");
        let builder = || Nats::builder(&url).key(KEY).lease(LEASE).token("s3cret");
        let error = builder().connect().unwrap_err();
        assert!(error.is_denied() && error.to_string().contains("certificate"), "{error}");
        let error = Nats::builder(&url).key(KEY).root_certificates(&cert).connect().unwrap_err();
        assert!(error.is_denied(), "{error}");
        let agent = Process::builder().daemon(true).spawn((url.clone(), cert.clone()), |(url, cert)| {
            let options = AgentOptions::new().workers(1).key(KEY).lease(LEASE).token("s3cret");
            serve(&url, options.root_certificates(cert)).unwrap();
        });
        let agent = agent.unwrap();
        let nats = builder().root_certificates(&cert).connect().unwrap();
        let pool = Pool::builder().backend(nats).build().unwrap();
        wait_for_agents(&pool, 1);
        let there = Bytes::patterned(400 << 10);
        assert!(pool.apply(there, |bytes| bytes).unwrap().is_patterned(400 << 10));
        assert_eq!(pool.apply((2, 3), |(a, b): (u32, u32)| a + b), Ok(5));
        pool.join();
        agent.terminate().unwrap();
        assert_eq!(agent.wait().unwrap().code(), Some(0));
    });
}

/// A seed of the NKEY of a user, and what the server knows of it.
const SEED: &str = "SUAMOTIZWBNGHI7L35ZGYBY4GSJPTRBRFUMDCJYQVSQTYN56GXIUYM72NM";
const PUBLIC: &str = "UC3VLSSLWLSK6H3FQZHW4Y4UVTQR2A5TOEIFM6O6EJFLWQWYOWZWUL4B";

#[test]
fn tokens_and_nkeys_are_credentials() {
    crate::with_workers(|| {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("server.conf");
        std::fs::write(&config, format!("authorization: {{ users: [ {{ nkey: {PUBLIC} }} ] }}")).unwrap();
        let config = config.display().to_string();
        let Some(by_token) = Server::start_with("127.0.0.1", &["--auth", "s3cret"]) else { return };
        let Some(by_nkey) = Server::start_with("127.0.0.1", &["--config", &config]) else { return };
        let token = |token: &str| Nats::builder(&by_token.url()).key(KEY).token(token).connect();
        let nkey = |seed: &str| Nats::builder(&by_nkey.url()).key(KEY).nkey(seed).connect();
        assert!(token("s3cret").unwrap().dead_letters().unwrap().is_empty());
        assert!(nkey(SEED).unwrap().dead_letters().unwrap().is_empty());
        let other = "SUAFCJFPJIIJUW4PHLCE2Q6MF7KZS5TFZCHT5YOIXVRY3ODRQDE2CIHWYQ";
        for refused in [token("guess"), nkey(other), nkey("no seed")] {
            let error = refused.unwrap_err();
            let text = error.to_string();
            assert!(error.is_denied() && !text.contains("guess") && !text.contains("no seed"), "{text}");
        }
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
fn a_server_that_takes_short_messages_alone_is_refused() {
    crate::with_workers(|| {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("server.conf");
        std::fs::write(&config, "max_payload: 131072").unwrap();
        let Some(server) = Server::start_with("127.0.0.1", &["--config", &config.display().to_string()])
        else {
            return;
        };
        let error = Nats::builder(&server.url()).key(KEY).connect().unwrap_err();
        assert!(error.is_denied() && error.to_string().contains("max_payload"), "{error}");
    });
}

#[test]
fn long_panics_are_told_in_short() {
    crate::with_workers(|| {
        let Some((_server, agents, pool)) = crate::uses::crew(1) else { return };
        let error = pool.apply(3_000_000usize, |len| -> () { panic!("{}", "x".repeat(len)) }).unwrap_err();
        assert!(matches!(&error, TaskError::Panicked { message, .. } if message.len() < 100_000));
        assert_eq!(pool.apply(1u32, |n| n), Ok(1));
        drop((pool, agents));
    });
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
            return skip("agents of another build", "this linker writes no build id");
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
