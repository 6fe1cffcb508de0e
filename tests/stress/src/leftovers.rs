//! What must be as before when everything is over: processes, descriptors, names.

use std::collections::BTreeSet;
use std::fs;

/// What this process has, and what stands in `/dev/shm`.
#[derive(Debug)]
pub(crate) struct Leftovers {
    children: BTreeSet<String>,
    descriptors: usize,
    names: BTreeSet<String>,
}

impl Leftovers {
    /// Counts now.
    pub(crate) fn count() -> Leftovers {
        let children = fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id()));
        let children = children.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let descriptors = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let mut names = BTreeSet::new();
        // Only what this program makes: others make names at the same time.
        let mark = format!("stress-{}-", std::process::id());
        collect("/dev/shm".as_ref(), &mark, &mut names);
        Leftovers { children, descriptors, names }
    }

    /// What is there now, and was not there before.
    pub(crate) fn since(&self, before: &Leftovers) -> Vec<String> {
        let mut found = Vec::new();
        found.extend(self.children.difference(&before.children).map(|pid| format!("left: process {pid}")));
        if self.descriptors > before.descriptors {
            found.push(format!("left: {} descriptors", self.descriptors - before.descriptors));
        }
        found.extend(self.names.difference(&before.names).map(|name| format!("left: {name}")));
        found
    }
}

fn collect(folder: &std::path::Path, mark: &str, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), mark, names);
        } else if entry.file_name().to_string_lossy().contains(mark) {
            names.insert(entry.path().display().to_string());
        }
    }
}
