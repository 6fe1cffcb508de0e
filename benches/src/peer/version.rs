use super::{PACKAGES, boost_version};
use std::process::Command;
use std::sync::OnceLock;

/// What was built with this program.
const LOCK: &str = include_str!("../../Cargo.lock");
/// Those whose version stands there, by what their systems' names contain.
const CRATES: &[&str] = &[
    "crossbeam-channel",
    "iceoryx2",
    "interprocess",
    "ipc-channel",
    "parking_lot",
    "postcard",
    "procspawn",
    "rayon",
    "rtrb",
];
/// Of CPython, without a package.
const PYTHON: &[&str] = &["CPython", "Python", "ProcessPoolExecutor"];

/// The version of a peer, by the name of its system; `None` for ours and for the floors.
pub(crate) fn peer_version(system: &str) -> Option<String> {
    if let Some(name) = CRATES.iter().find(|name| system.contains(**name)) {
        return Some(locked(name).unwrap_or("unknown").to_owned());
    }
    let of_package = |package: &&&str| {
        let name = package.split("==").next().unwrap_or(package);
        system.to_lowercase().contains(&name.to_lowercase())
    };
    if let Some(package) = PACKAGES.iter().find(of_package) {
        return package.split("==").nth(1).map(str::to_owned);
    }
    if PYTHON.iter().any(|name| system.contains(name)) {
        return Some(python().to_owned());
    }
    if system.contains("Boost") {
        return Some(boost_version());
    }
    system.starts_with("std ").then(|| env!("COMPILER").to_owned())
}

fn locked(name: &str) -> Option<&'static str> {
    let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

fn python() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let output = Command::new("python3").arg("--version").output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().trim().trim_start_matches("Python ").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_have_versions_and_others_have_none() {
        for name in CRATES {
            assert!(locked(name).is_some_and(|version| version.contains('.')), "{name}");
        }
        assert_eq!(peer_version("loky, ProcessPoolExecutor").as_deref(), Some("3.7.0"));
        assert_eq!(peer_version("pebble").as_deref(), Some("5.2.3"));
        assert!(peer_version("std mpsc, threads").is_some_and(|version| version.contains("rustc")));
        for own in ["ours, spsc | two cores", "bare ring + futex", "pthread robust", "zygote"] {
            assert_eq!(peer_version(own), None, "{own}");
        }
    }
}
