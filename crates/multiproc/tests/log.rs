//! `log_to_stderr`: what processes say, in which order, and who gets it.
#![expect(clippy::unwrap_used, reason = "what fails in a child fails its test")]

use multiproc::{Level, Message, Pool, Process, StartMethod, Stdio, log_to_stderr, set_default_start_method};
use std::io::Read;
use tracing::subscriber::{NoSubscriber, set_global_default};

/// What a process named `Main` says on standard error when it runs `body`, and its children say.
fn said<A: Message>(args: A, body: fn(A)) -> String {
    let builder = Process::builder().name("Main").daemon(true).stderr(Stdio::piped());
    let mut child = builder.spawn(args, body).unwrap();
    let mut text = String::new();
    child.take_stderr().unwrap().read_to_string(&mut text).unwrap();
    child.join().unwrap();
    text
}

fn run(name: &str) {
    Process::builder().name(name).spawn((), |()| ()).unwrap().join().unwrap();
}

#[test]
fn each_step_of_a_process_is_a_line() {
    for method in [StartMethod::Spawn, StartMethod::ForkServer] {
        let text = said(method, |method| {
            set_default_start_method(method);
            log_to_stderr(Level::INFO).unwrap();
            run("child");
        });
        let expected = [
            "[INFO/child] child process calling its function",
            "[INFO/child] process shutting down",
            "[INFO/child] process exiting with exitcode 0",
            "[INFO/Main] process shutting down",
            "[INFO/Main] process exiting with exitcode 0",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{method:?}");
    }
}

#[test]
fn grandchildren_and_workers_speak_too() {
    let text = said((), |()| {
        log_to_stderr(Level::INFO).unwrap();
        let child = Process::builder().name("child").spawn((), |()| {
            run("grandchild");
            Pool::builder().name("crew").workers(1).build().unwrap().apply((), |()| ()).unwrap();
        });
        child.unwrap().join().unwrap();
    });
    for line in [
        "[INFO/grandchild] child process calling its function\n",
        "[INFO/grandchild] process exiting with exitcode 0\n",
        "[INFO/crew-1] child process calling its function\n",
        "[INFO/child] process exiting with exitcode 0\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[test]
fn the_code_is_that_of_the_end() {
    let text = said((), |()| {
        log_to_stderr(Level::INFO).unwrap();
        let panics = Process::builder().name("panics").spawn((), |()| -> () { panic!("as it must") });
        panics.unwrap().join().unwrap_err();
        let exits = Process::builder().name("exits").spawn((), |()| -> () { std::process::exit(3) });
        exits.unwrap().join().unwrap_err();
    });
    assert!(text.contains("[INFO/panics] process exiting with exitcode 101\n"), "{text}");
    // Who calls `exit` says its code to nobody but the system.
    assert!(text.contains("[INFO/exits] process shutting down\n"), "{text}");
    assert!(!text.contains("[INFO/exits] process exiting"), "{text}");
}

#[test]
fn the_level_decides_and_can_be_changed() {
    let text = said((), |()| {
        run("before");
        log_to_stderr(Level::WARN).unwrap();
        run("quiet");
        log_to_stderr(Level::DEBUG).unwrap();
        run("loud");
        tracing::error!(target: "elsewhere", "not ours");
        tracing::error!(target: "multiprocess", "nor this");
        tracing::info!(target: "multiproc::test", answer = 42, "ours");
        log_to_stderr(Level::WARN).unwrap();
    });
    assert!(!text.contains("before") && !text.contains("quiet"), "{text}");
    assert!(text.contains("[DEBUG/Main] process started name=\"loud\" id="), "{text}");
    assert!(text.contains("[DEBUG/Main] process ended name=\"loud\" id="), "{text}");
    assert!(!text.contains("not ours") && !text.contains("nor this"), "{text}");
    assert!(text.ends_with("[INFO/Main] ours answer=42\n"), "{text}");
}

#[test]
fn a_subscriber_of_the_program_has_precedence() {
    let text = said((), |()| {
        set_global_default(NoSubscriber::default()).unwrap();
        let error = log_to_stderr(Level::INFO).unwrap_err();
        assert!(error.to_string().contains("a `tracing` subscriber"), "{error}");
        run("silent");
    });
    assert_eq!(text, "");
}
