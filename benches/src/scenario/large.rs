use super::{Context, Scenario};
use crate::measure::{Bench, System};
use crate::{Result, role, worker};
use multiproc_process::StartMethod;

const SMALL: &str = "small caller";
const MIB: usize = 1024;

pub(super) const SPAWN: Scenario = Scenario {
    name: "spawn-1gib",
    sentence: "as `spawn`, from a caller with 1 GiB of touched memory in 4 KiB pages, and from one without",
    unit: "us",
    bench: |context| bench(context, StartMethod::Spawn, 100),
};

pub(super) const FORK_SERVER: Scenario = Scenario {
    name: "forkserver-1gib",
    sentence: "as `forkserver`, from a caller with 1 GiB of touched memory in 4 KiB pages, and from one without",
    unit: "us",
    bench: |context| bench(context, StartMethod::ForkServer, 200),
};

fn bench(context: &Context, method: StartMethod, operations: u64) -> Result<Bench> {
    let operations = context.effort.operations(operations);
    let system = |name, mib| -> Result<System> {
        Ok(System::new(name, operations, worker::rounds(role::caller(method, mib)?)?))
    };
    let large = system("caller with 1 GiB", MIB)?.against(SMALL).goal(SMALL, 1.1);
    Ok(Bench { systems: vec![large, system(SMALL, 0)?], ..Bench::default() })
}
