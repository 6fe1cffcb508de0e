use super::{PACKAGES, boost_version, python_version};

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
/// What a peer is to us, which says where its version stands.
enum Peer {
    Crate(&'static str),
    Package(&'static str),
    Python,
    Boost,
    Std,
}

/// Tells whether a system is a peer, by its name; ours and the floors are not.
pub(crate) fn is_peer(system: &str) -> bool {
    peer(system).is_some()
}

/// The version of a peer, by the name of its system; `None` for ours and for the floors.
pub(crate) fn peer_version(system: &str) -> Option<String> {
    Some(match peer(system)? {
        Peer::Crate(name) => locked(name).unwrap_or("unknown").to_owned(),
        Peer::Package(version) => version.to_owned(),
        Peer::Python => python_version().unwrap_or("unknown").to_owned(),
        Peer::Boost => boost_version(),
        Peer::Std => env!("COMPILER").to_owned(),
    })
}

fn peer(system: &str) -> Option<Peer> {
    if let Some(name) = CRATES.iter().find(|name| system.contains(**name)) {
        return Some(Peer::Crate(name));
    }
    let packages = PACKAGES.iter().filter_map(|package| package.split_once("=="));
    for (name, version) in packages {
        if system.to_lowercase().contains(&name.to_lowercase()) {
            return Some(Peer::Package(version));
        }
    }
    if system.contains("Python") {
        return Some(Peer::Python);
    }
    if system.contains("Boost") {
        return Some(Peer::Boost);
    }
    system.starts_with("std ").then_some(Peer::Std)
}

fn locked(name: &str) -> Option<&'static str> {
    let (_, rest) = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_have_versions_and_others_have_none() {
        for name in CRATES {
            assert!(locked(name).is_some_and(|version| version.contains('.')), "{name}");
        }
        assert_eq!(peer_version("loky").as_deref(), Some("3.7.0"));
        assert_eq!(peer_version("pebble").as_deref(), Some("5.2.3"));
        assert!(peer_version("std mpsc, threads").is_some_and(|version| version.contains("rustc")));
        for own in ["ours, spsc | two cores", "bare ring + futex", "pthread robust", "zygote"] {
            assert_eq!(peer_version(own), None, "{own}");
            assert!(!is_peer(own), "{own}");
        }
    }
}
