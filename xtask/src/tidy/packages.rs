//! Packages stand once in the root manifest, members inherit them, and what is inherited is used.

use super::Finding;
use crate::metadata::{Dependency, Kind, Package, Workspace};
use crate::source::{Source, is_word, words};

/// Packages that the design stands on: they may not silently go out of use.
const REQUIRED: &[&str] = &["memmap2", "parking_lot", "serde", "postcard", "thiserror"];

/// Checks the root manifest against the members' manifests, and those against their source code.
pub(super) fn check(workspace: &Workspace, sources: &[Source]) -> Vec<Finding> {
    let manifest =
        |path: &str| sources.iter().find(|source| source.path == path).map_or("", |source| &source.text);
    let declared = declared(manifest("Cargo.toml"));
    let mut findings = Vec::new();

    for name in &declared {
        if !workspace
            .packages
            .iter()
            .any(|package| package.dependencies.iter().any(|edge| edge.name == *name))
        {
            findings.push(Finding::new(
                "Cargo.toml",
                format!("no member inherits `{name}`, use it or remove it"),
            ));
        }
    }
    for required in REQUIRED.iter().filter(|required| !declared.iter().any(|name| name == *required)) {
        findings.push(Finding::new(
            "Cargo.toml",
            format!("`{required}` is to be among the workspace's dependencies"),
        ));
    }
    for package in &workspace.packages {
        let path = format!("{}/Cargo.toml", package.folder);
        for dependency in &package.dependencies {
            let name = &dependency.name;
            if !inherits(manifest(&path), name) {
                let message =
                    format!("`{name}` is not inherited: its version belongs into the root manifest");
                findings.push(Finding::new(&path, message));
            }
            if !is_used(package, dependency, sources) {
                let message = format!("`{name}` is not used by the code that it is for, remove it");
                findings.push(Finding::new(&path, message));
            }
        }
    }
    findings
}

/// Returns the names under `[workspace.dependencies]`.
fn declared(manifest: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (section, key, _) in entries(manifest) {
        let name = match section.strip_prefix("workspace.dependencies") {
            Some("") => key.split('.').next().unwrap_or(key),
            Some(table) => table.trim_start_matches('.'),
            None => continue,
        };
        if names.last().is_none_or(|last| last != name) {
            names.push(name.trim_matches('"').to_owned());
        }
    }
    names
}

/// Returns whether a member's manifest takes a package from the root manifest.
fn inherits(manifest: &str, name: &str) -> bool {
    entries(manifest).any(|(section, key, value)| {
        let table = section.rsplit_once("dependencies").map(|(_, table)| table.trim_start_matches('.'));
        match table {
            Some("") => {
                (key.strip_suffix(".workspace") == Some(name) && value == "true")
                    || (key == name && value.contains("workspace = true"))
            }
            Some(table) => table == name && key == "workspace" && value == "true",
            None => false,
        }
    })
}

/// Returns the entries of a manifest as (section, key, value); what spans lines has its first line here.
fn entries(manifest: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut section = "";
    manifest.lines().filter_map(move |line| {
        let line = line.split(" #").next().unwrap_or(line).trim();
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            return None;
        }
        let (key, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        Some((section, key.trim(), value.trim()))
    })
}

/// Returns whether the code that a dependency is for names it.
fn is_used(package: &Package, dependency: &Dependency, sources: &[Source]) -> bool {
    let mut files = sources.iter().filter(|source| source.is_rust());
    files.any(|source| {
        let path = source.path.strip_prefix(&package.folder).and_then(|path| path.strip_prefix('/'));
        match (path, dependency.kind) {
            (None, _) => false,
            (Some(path), Kind::Build) => path.starts_with("build") && names(&source.code, &dependency.ident),
            // Tests of the package `multiproc-tests` stand beside its library and use what it does.
            (Some(path), Kind::Normal) => {
                let is_ours = path.starts_with("src/") || !package.folder.starts_with("crates/");
                is_ours && names(&source.code, &dependency.ident)
            }
            (Some(_), Kind::Dev) => {
                names(&source.code, &dependency.ident) || is_in_doctest(&source.comments, &dependency.ident)
            }
        }
    })
}

/// Returns whether code names a package: `ident::…`, `ident!`, `use ident` or `extern crate ident`.
fn names(code: &str, ident: &str) -> bool {
    words(code, ident).any(|at| {
        let (before, after) = (code[..at].trim_end(), code[at + ident.len()..].trim_start());
        // In `crate::quote::x`, `quote` is a module of ours; in `::quote::x` it is the package.
        let is_inner = before.strip_suffix("::").is_some_and(|outer| outer.ends_with(is_word));
        let is_imported = before.ends_with("use") || before.ends_with("crate");
        !is_inner && (after.starts_with("::") || after.starts_with('!') || is_imported)
    })
}

/// Returns whether a documentation comment imports a package.
fn is_in_doctest(comments: &str, ident: &str) -> bool {
    let docs = comments.lines().map(str::trim_start);
    let lines = docs.filter_map(|line| line.strip_prefix("///").or_else(|| line.strip_prefix("//!")));
    let imports = lines.filter_map(|line| line.trim_start_matches([' ', '#']).strip_prefix("use "));
    imports.into_iter().any(|import| words(import, ident).next() == Some(0))
}

#[cfg(test)]
mod tests {
    use super::super::assert_findings;
    use super::*;

    const ROOT: &str = "[workspace.package]\nversion = \"1\"\n[workspace.dependencies]\n# why\nmemmap2 = \"0.9\" # a = b\n\
        parking_lot.version = \"0.12\"\nserde = \"1\"\npostcard = \"1\"\nthiserror = \"2\"\n";

    fn member(text: &str, kinds: &[(&str, Kind)]) -> (Package, Source) {
        let dependency =
            |&(name, kind): &(&str, Kind)| Dependency { name: name.into(), ident: name.into(), kind };
        let package = Package {
            folder: "crates/a".into(),
            dependencies: kinds.iter().map(dependency).collect(),
            ..Package::default()
        };
        (package, Source::new("crates/a/Cargo.toml", text))
    }

    const INHERITED: &str = "[dependencies]\nmemmap2.workspace = true\nparking_lot = { workspace = true }\n\
        [dependencies.serde]\nworkspace = true\n[dev-dependencies]\npostcard.workspace = true\n\
        [target.'cfg(loom)'.dependencies]\nthiserror.workspace = true\n";

    const ALL: &[(&str, Kind)] = &[
        ("memmap2", Kind::Normal),
        ("parking_lot", Kind::Normal),
        ("serde", Kind::Normal),
        ("postcard", Kind::Dev),
        ("thiserror", Kind::Normal),
    ];

    const CODE: &str = "use memmap2::MmapRaw;\nuse parking_lot as p;\n#[derive(thiserror::Error)]\n\
        struct S(::serde::de::Ignored);\n/// # use postcard::to_vec;\nfn f() {}\n";

    fn findings(root: &str, manifest: &str, kinds: &[(&str, Kind)], code: &str) -> Vec<Finding> {
        let (package, manifest) = member(manifest, kinds);
        let sources = [Source::new("Cargo.toml", root), manifest, Source::new("crates/a/src/b.rs", code)];
        check(&Workspace { packages: vec![package], ..Workspace::default() }, &sources)
    }

    #[test]
    fn used_packages_pass() {
        assert_findings(&findings(ROOT, INHERITED, ALL, CODE), &[]);
    }

    #[test]
    fn a_package_that_nobody_inherits_is_found() {
        let root = format!("{ROOT}rayon = \"1\"\n");
        assert_findings(&findings(&root, INHERITED, ALL, CODE), &["no member inherits `rayon`"]);
    }

    #[test]
    fn a_package_that_is_only_talked_about_is_found() {
        let code = CODE.replace("use memmap2::MmapRaw;", "// use memmap2::MmapRaw;\nlet a = \"memmap2::x\";");
        assert_findings(&findings(ROOT, INHERITED, ALL, &code), &["`memmap2` is not used"]);
        let code = CODE.replace("use memmap2::MmapRaw;", "use crate::memmap2::MmapRaw;");
        assert_findings(&findings(ROOT, INHERITED, ALL, &code), &["`memmap2` is not used"]);
        let code = CODE.replace("# use postcard", "speaks of postcard");
        assert_findings(&findings(ROOT, INHERITED, ALL, &code), &["`postcard` is not used"]);
    }

    #[test]
    fn a_version_of_ones_own_is_found() {
        let manifest = INHERITED.replace("memmap2.workspace = true", "memmap2 = \"0.8\"");
        assert_findings(&findings(ROOT, &manifest, ALL, CODE), &["`memmap2` is not inherited"]);
    }

    #[test]
    fn required_packages_stay() {
        let root = ROOT.replace("postcard = \"1\"\n", "");
        assert_findings(&findings(&root, INHERITED, ALL, CODE), &["`postcard` is to be among"]);
    }

    #[test]
    fn normal_and_build_dependencies_are_for_their_own_code() {
        let (package, manifest) =
            member("[build-dependencies]\ncc.workspace = true\n", &[("cc", Kind::Build)]);
        let mut sources = vec![manifest, Source::new("crates/a/src/b.rs", "cc::Build")];
        assert!(!is_used(&package, &package.dependencies[0], &sources));
        sources.push(Source::new("crates/a/build.rs", "cc::Build"));
        assert!(is_used(&package, &package.dependencies[0], &sources));
        let normal = Dependency { kind: Kind::Normal, ..package.dependencies[0].clone() };
        assert!(!is_used(&package, &normal, &[Source::new("crates/a/tests/b.rs", "cc::Build")]));
        assert!(!is_used(&package, &normal, &[Source::new("crates/ab/src/b.rs", "cc::Build")]));
    }
}
