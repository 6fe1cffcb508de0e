use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where it is made; a folder that git does not look at.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/report/venv");
/// The peers that are Python's packages.
pub(crate) const PACKAGES: &[&str] = &["faster-fifo==1.5.2", "loky==3.7.0", "mpire==2.10.2", "Pebble==5.2.3"];

/// The Python that has those packages, which are installed the first time, or why there is none.
pub(crate) fn venv() -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(make).clone()
}

fn make() -> Result<PathBuf, String> {
    let folder = Path::new(FOLDER);
    let (python, made) = (folder.join("bin/python"), folder.join("made-with"));
    let packages = PACKAGES.join(" ");
    if fs::read_to_string(&made).is_ok_and(|with| with == packages) {
        return Ok(python);
    }
    eprintln!("making {FOLDER} with {packages}");
    let mut new = Command::new("python3");
    new.args(["-m", "venv", "--clear"]).arg(folder);
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "20"]).args(PACKAGES);
    for mut command in [new, install] {
        let output = command.stdin(Stdio::null()).output();
        let problem = match output {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
            Err(error) => error.to_string(),
        };
        return Err(format!("{packages}: no folder could be made for them: {problem}"));
    }
    fs::write(made, packages).map_err(|error| format!("write in {FOLDER}: {error}"))?;
    Ok(python)
}
