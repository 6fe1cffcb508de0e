//! Arrows between our crates point down only, and the two columns stay apart.

use super::Finding;
use crate::metadata::{Kind, Package, Workspace};

/// The two columns, which meet in the pool and in the facade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Memory,
    Messages,
    Both,
}

struct Floor {
    name: &'static str,
    level: u8,
    column: Column,
}

const fn floor(level: u8, name: &'static str, column: Column) -> Floor {
    Floor { name, level, column }
}

/// Every crate has its floor here before it has its first line; ARCHITECTURE.md has the picture.
const FLOORS: &[Floor] = &[
    floor(0, "multiproc-core", Column::Both),
    floor(0, "multiproc-derive", Column::Both),
    floor(1, "multiproc-shm", Column::Memory),
    floor(1, "multiproc-pipe", Column::Messages),
    floor(2, "multiproc-sync", Column::Memory),
    floor(2, "multiproc-process", Column::Messages),
    floor(3, "multiproc-queue", Column::Memory),
    floor(4, "multiproc-pool", Column::Both),
    floor(4, "multiproc-manager", Column::Both),
    floor(5, "multiproc-cluster", Column::Both),
    floor(6, "multiproc", Column::Both),
    floor(7, "multiproc-top", Column::Both),
];

/// Checks the floors of the crates; what only tests need is free.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace.crates().flat_map(|package| check_crate(package, workspace)).collect()
}

fn check_crate(package: &Package, workspace: &Workspace) -> Vec<Finding> {
    let place = format!("{}/Cargo.toml", package.folder);
    let Some(from) = find(&package.name) else {
        let message = format!("`{}` has no floor, give it a floor in xtask/src/tidy/floors.rs", package.name);
        return vec![Finding::new(&place, message)];
    };
    let mut findings = Vec::new();
    for dependency in package.dependencies.iter().filter(|dependency| dependency.kind != Kind::Dev) {
        let name = &dependency.name;
        let Some(to) = find(name) else {
            if workspace.packages.iter().any(|package| package.name == *name) {
                findings.push(Finding::new(
                    &place,
                    format!("depends on `{name}`, which is no floor to stand on"),
                ));
            }
            continue;
        };
        if to.level >= from.level {
            let message = format!(
                "floor {} depends on `{name}` of floor {}: arrows go down only",
                from.level, to.level
            );
            findings.push(Finding::new(&place, message));
        }
        if from.column != to.column && from.column != Column::Both && to.column != Column::Both {
            let message =
                format!("depends on `{name}` of the other column: memory and messages meet higher up");
            findings.push(Finding::new(&place, message));
        }
    }
    findings
}

fn find(name: &str) -> Option<&'static Floor> {
    FLOORS.iter().find(|floor| floor.name == name)
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;
    use crate::metadata::Dependency;

    /// Checks one crate, given as its name and its dependencies.
    fn findings(name: &str, dependencies: &[(&str, Kind)]) -> Vec<Finding> {
        let dependency =
            |&(name, kind): &(&str, Kind)| Dependency { name: name.into(), ident: String::new(), kind };
        let package = Package {
            name: name.into(),
            folder: format!("crates/{name}"),
            dependencies: dependencies.iter().map(dependency).collect(),
            ..Package::default()
        };
        let xtask = Package { name: "xtask".into(), folder: "xtask".into(), ..Package::default() };
        check(&Workspace { packages: vec![package, xtask], ..Workspace::default() })
    }

    #[test]
    fn arrows_go_down() {
        assert_findings(&findings("multiproc-pool", &[("multiproc-process", Kind::Normal)]), &[]);
        assert_findings(&findings("multiproc-pool", &[("serde", Kind::Normal)]), &[]);
        let up = "arrows go down only";
        assert_findings(&findings("multiproc-process", &[("multiproc-pool", Kind::Normal)]), &[up]);
        assert_findings(&findings("multiproc-core", &[("multiproc-derive", Kind::Build)]), &[up]);
        assert_findings(&findings("multiproc-core", &[("multiproc", Kind::Dev)]), &[]);
    }

    #[test]
    fn columns_stay_apart() {
        let other = "the other column";
        assert_findings(&findings("multiproc-process", &[("multiproc-shm", Kind::Normal)]), &[other]);
        assert_findings(&findings("multiproc-queue", &[("multiproc-pipe", Kind::Build)]), &[other]);
        assert_findings(&findings("multiproc-queue", &[("multiproc-process", Kind::Dev)]), &[]);
        let sideways = findings("multiproc-shm", &[("multiproc-pipe", Kind::Normal)]);
        assert_findings(&sideways, &["arrows go down only", other]);
    }

    #[test]
    fn every_crate_has_a_floor() {
        assert_findings(&findings("multiproc-attic", &[]), &["give it a floor"]);
        assert_findings(&findings("multiproc", &[("xtask", Kind::Normal)]), &["no floor to stand on"]);
    }
}
