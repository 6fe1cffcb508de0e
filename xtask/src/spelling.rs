//! The gate `spelling`: codespell, which knows the misspellings that people make.
//!
//! What it looks at, and the words of ours that it would take for slips, are in `.codespellrc`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{Result, root, run, succeeds};

/// What is installed where there is none.
const PACKAGE: &str = "codespell==2.4.1";

/// Checks the repository's texts; without codespell, and without a way to get it, returns what is missing.
pub(crate) fn check(target: &Path) -> Result<Option<String>> {
    let Some(program) = installed().or_else(|| install(target)) else {
        let missing = "codespell is not installed (`apt-get install codespell`, or `pip install codespell`)";
        return Ok(Some(missing.to_owned()));
    };
    let mut command = Command::new(program);
    command.current_dir(root());
    run(command)?;
    Ok(None)
}

fn installed() -> Option<PathBuf> {
    let program = PathBuf::from("codespell");
    let mut command = Command::new(&program);
    command.arg("--version");
    succeeds(command).then_some(program)
}

/// Installs it into a folder of its own below the build's: nothing of the machine is changed.
fn install(target: &Path) -> Option<PathBuf> {
    let folder = target.join("codespell");
    let program = folder.join("bin/codespell");
    if !program.exists() {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(&folder);
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", PACKAGE]);
        // Where there is no Python or no network the gate is skipped, and says so.
        if !succeeds(venv) || !succeeds(pip) {
            return None;
        }
    }
    Some(program)
}
