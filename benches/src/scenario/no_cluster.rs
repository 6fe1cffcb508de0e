//! Names what `cluster.rs` measures, where this program was built without it.

use super::Scenario;
use crate::measure::Bench;

pub(super) const TASKS: Scenario = absent("cluster-tasks");
pub(super) const ENVELOPES: Scenario = absent("cluster-envelope");
pub(super) const ONE: Scenario = absent("cluster-one");
pub(super) const BUSY: Scenario = absent("cluster-work");
pub(super) const LARGE: Scenario = absent("cluster-4mib");

const fn absent(name: &'static str) -> Scenario {
    Scenario {
        name,
        sentence: "tasks on several hosts",
        unit: "us",
        bench: |_| {
            let why = "all: nats-server is not installed (Debian: apt-get install nats-server)".to_owned();
            Ok(Bench { absent: vec![why], ..Bench::default() })
        },
    }
}
