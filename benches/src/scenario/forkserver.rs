use super::{Context, Scenario};
use crate::measure::{Bench, System, whole};
use crate::{Result, role, worker};
use multiproc_process::StartMethod;
use std::process::{Command, Stdio};
use std::rc::Rc;

const FLOOR: &str = "zygote";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "forkserver",
    sentence: "the same by cloning a process that waits for that, beside a hand-written single-threaded zygote \
               that forks on request and copies nothing but two numbers",
    unit: "us",
    bench,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/start.py");

fn bench(context: &Context) -> Result<Bench> {
    let operations = context.effort.operations(200);
    let zygote = Rc::clone(&context.zygote);
    let mut systems = vec![
        System::new("ours", operations, whole(|number| role::call(StartMethod::ForkServer, number)))
            .against(FLOOR)
            .goal(FLOOR, 1.4),
        System::new(FLOOR, operations, whole(move |number| zygote.call(number))),
    ];
    let mut absent = Vec::new();
    match python_version() {
        None => absent.push("CPython: there is no `python3` on the PATH".to_owned()),
        Some(version) => {
            for (method, operations) in [("fork", 20), ("forkserver", 5), ("spawn", 5)] {
                let mut command = Command::new("python3");
                command.args([SCRIPT, method]);
                let round = worker::rounds(command)?;
                let operations = context.effort.operations(operations);
                systems.push(System::new(format!("{version} {method}"), operations, round).against(FLOOR));
            }
        }
    }
    Ok(Bench { systems, absent, ..Bench::default() })
}

/// The name of the Python here, if there is one.
fn python_version() -> Option<String> {
    let output = Command::new("python3").arg("--version").stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
