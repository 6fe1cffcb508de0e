//! Makes copies of the queue's ring with one mistake each, for the stepper to catch.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[path = "src/scenarios/queue/mistakes.rs"]
mod mistakes;

use mistakes::{MISTAKES, Mistake};

const RING: &str = "../../crates/multiproc-queue/src/ring";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={RING}");
    println!("cargo::rerun-if-changed=src/scenarios/queue/mistakes.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let (mut modules, mut list, mut is_fresh) = (String::new(), String::new(), true);
    for (index, mistake) in MISTAKES.iter().enumerate() {
        let folder = out.join(format!("ring-{index}"));
        let line = if make(&folder, mistake)? {
            let path = folder.join("mod.rs");
            let name = mistake.name;
            // What is unused or undocumented in a copy is so in no source of this program.
            let _ = write!(
                modules,
                "#[allow(warnings, clippy::all, reason = \"a copy\")]\nmod mutant_{index} {{\n    \
                 #[path = {path:?}]\n    pub(crate) mod ring;\n    \
                 super::super::belt::belt!(\"wrong ring: {name}\", true, [self::ring]);\n}}\n",
            );
            format!("{}::<mutant_{index}::Belt<{}>>().boxed()", mistake.case, mistake.chunks)
        } else {
            is_fresh = false;
            format!("Box::new(Stale({:?}))", mistake.name)
        };
        let _ = writeln!(list, "        {line},");
    }
    println!("cargo::rustc-check-cfg=cfg(is_fresh)");
    if is_fresh {
        println!("cargo::rustc-cfg=is_fresh");
    }
    let text = format!(
        "{modules}\n/// All of this file.\npub(crate) fn all() -> Vec<Box<dyn Scenario>> {{\n    vec![\n{list}    ]\n}}\n"
    );
    fs::write(out.join("mutants.rs"), text)
}

/// Copies the ring and makes the mistake in the copy; tells whether it could be made.
fn make(folder: &Path, mistake: &Mistake) -> io::Result<bool> {
    fs::create_dir_all(folder)?;
    let mut is_made = false;
    for entry in fs::read_dir(RING)? {
        let entry = entry?;
        let mut text = fs::read_to_string(entry.path())?;
        if entry.file_name() == mistake.file && text.matches(mistake.from).count() == 1 {
            text = text.replace(mistake.from, mistake.to);
            is_made = true;
        }
        fs::write(folder.join(entry.file_name()), text)?;
    }
    Ok(is_made)
}
