//! Packages that a gate needs: installed where this is a Debian and we are root, as on a machine of continuous
//! integration; elsewhere the gate tells what it lacks and is skipped.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::shell::run;

/// Sees to it that packages are installed; tells whether they are.
pub(crate) fn has(packages: &[&str]) -> bool {
    are_installed(packages) || (is_root() && install(packages))
}

/// Lets packages of another architecture be installed; tells whether they may.
pub(crate) fn admits(architecture: &str) -> bool {
    let known = Command::new("dpkg").arg("--print-foreign-architectures").output();
    let is_known = known.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).lines().any(|known| known.trim() == architecture)
    });
    if is_known || !is_root() {
        return is_known;
    }
    let mut add = Command::new("dpkg");
    add.args(["--add-architecture", architecture]);
    // The lists have none of its packages.
    run(add).is_ok() && run(apt(&["update"])).is_ok()
}

fn are_installed(packages: &[&str]) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}\n"]).args(packages);
    let output = query.output();
    output.is_ok_and(|output| {
        output.status.success()
            && String::from_utf8_lossy(&output.stdout).lines().all(|status| status == "installed")
    })
}

fn install(packages: &[&str]) -> bool {
    let install = || run(apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())).is_ok();
    // The lists may be old, or not there at all.
    install() || (run(apt(&["update"])).is_ok() && install())
}

fn is_root() -> bool {
    // The owner of what the system tells of this process is who runs it.
    Path::new("/usr/bin/apt-get").exists()
        && std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn apt(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // A machine without a network is not to wait for one.
    command.args(["-q", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"]).args(words);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// What a gate that needs packages says where they are not.
pub(crate) fn lack(of: &str, packages: &[&str]) -> String {
    format!("{of}: install it as root (Debian: apt-get install {})", packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nowhere_is_not_installed() {
        assert!(!are_installed(&["no-such-package-anywhere"]));
        assert!(lack("there is no valgrind", &["valgrind"]).ends_with("apt-get install valgrind)"));
    }
}
