use super::{Context, Scenario};
use crate::measure::{Bench, System, whole};
use crate::peer::python_script;
use crate::{Result, role};
use multiproc_process::StartMethod;
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
/// The best that CPython has: its fork server with the function's module, and no main file to run again.
const PRELOADED: &str = "forkserver, preloaded";

fn bench(context: &Context) -> Result<Bench> {
    let operations = context.effort.operations(200);
    let zygote = Rc::clone(&context.zygote);
    let mut systems = vec![
        System::new("ours", operations, whole(|number| role::call(StartMethod::ForkServer, number)))
            .against(FLOOR)
            .goal(FLOOR, 1.4),
        System::new(FLOOR, operations, whole(move |number| zygote.call(number))),
    ];
    for (method, operations) in [("fork", 20), ("forkserver", 5), (PRELOADED, 20), ("spawn", 5)] {
        let operations = context.effort.operations(operations);
        let round = match method {
            PRELOADED => python_script(&["-c", "import start; start.main()", "preloaded"]),
            _ => python_script(&[SCRIPT, method]),
        };
        systems.push(System::new(format!("CPython {method}"), operations, round).against(FLOOR));
    }
    Ok(Bench { systems, ..Bench::default() })
}
