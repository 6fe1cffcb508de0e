use super::{Context, Scenario};
use crate::Result;
use crate::measure::{Bench, System, trivial, whole};
use crate::role;
use multiproc_process::StartMethod;
use std::process::Command;

const FLOOR: &str = "Command, this executable";
const PROCSPAWN: &str = "procspawn";

pub(super) const SCENARIO: Scenario = Scenario {
    name: "spawn",
    sentence: "start a process by executing the program, have it call a trivial function, get the result and \
               wait for its end",
    unit: "us",
    bench,
};

fn bench(context: &Context) -> Result<Bench> {
    let operations = context.effort.operations(100);
    let system = |name, operation: fn(u64) -> Result<u64>| System::new(name, operations, whole(operation));
    Ok(Bench {
        systems: vec![
            system("ours", |number| role::call(StartMethod::Spawn, number))
                .against(FLOOR)
                .goal(FLOOR, 1.25)
                .goal(PROCSPAWN, 1.0),
            system(FLOOR, print_a_number),
            system(PROCSPAWN, by_procspawn).against(FLOOR),
            system("Command, /bin/true", nothing).against(FLOOR),
        ],
        ..Bench::default()
    })
}

/// The least that executing this program can cost: its result is what it prints.
fn print_a_number(number: u64) -> Result<u64> {
    let output = role::number(number)?.output()?;
    if !output.status.success() {
        return Err(format!("it ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn by_procspawn(number: u64) -> Result<u64> {
    Ok(procspawn::spawn(number, trivial).join()?)
}

/// What executing anything costs.
fn nothing(number: u64) -> Result<u64> {
    let status = Command::new("/bin/true").status()?;
    if status.success() { Ok(trivial(number)) } else { Err(format!("it ended with {status}").into()) }
}
