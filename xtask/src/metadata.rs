//! What `cargo metadata` says about the workspace, as far as the commands need it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::shell::{Result, cargo, root};

/// The members of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
}

/// A member of the workspace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, from the root of the repository.
    pub(crate) folder: String,
    /// The readme that its manifest names, from its folder.
    pub(crate) readme: Option<String>,
    pub(crate) is_proc_macro: bool,
    pub(crate) features: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// An edge from a member to a package.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// What the source code calls it.
    pub(crate) ident: String,
    pub(crate) kind: Kind,
}

/// For what a member needs a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self> {
        let mut command = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("`cargo metadata` failed: {}", output.status).into());
        }
        Self::parse(&serde_json::from_slice(&output.stdout)?, &root())
    }

    fn parse(metadata: &Value, root: &Path) -> Result<Self> {
        let packages = array(metadata, "packages").iter().map(|package| Package::parse(package, root));
        let target = PathBuf::from(string(metadata, "target_directory")?);
        Ok(Self { packages: packages.collect::<Result<_>>()?, target })
    }

    /// Returns the library crates, which are those under `crates/`.
    pub(crate) fn crates(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.folder.starts_with("crates/"))
    }
}

impl Package {
    fn parse(package: &Value, root: &Path) -> Result<Self> {
        let manifest = PathBuf::from(string(package, "manifest_path")?);
        let folder = manifest.parent().unwrap_or(root);
        let folder = folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().into_owned();
        let features = package.get("features").and_then(Value::as_object);
        let targets = array(package, "targets").iter();
        let mut kinds = targets.flat_map(|target| array(target, "kind")).filter_map(Value::as_str);
        Ok(Self {
            name: string(package, "name")?,
            folder,
            readme: string(package, "readme").ok(),
            is_proc_macro: kinds.any(|kind| kind == "proc-macro"),
            features: features.map(|features| features.keys().cloned().collect()).unwrap_or_default(),
            dependencies: array(package, "dependencies")
                .iter()
                .map(Dependency::parse)
                .collect::<Result<_>>()?,
        })
    }
}

/// Packages whose library has another name than they.
const LIBRARIES: &[(&str, &str)] = &[("md-5", "md5")];

impl Dependency {
    fn parse(dependency: &Value) -> Result<Self> {
        let name = string(dependency, "name")?;
        let library = LIBRARIES.iter().find(|(package, _)| *package == name).map(|(_, library)| *library);
        let ident = string(dependency, "rename")
            .unwrap_or_else(|_| library.unwrap_or(&name).to_owned())
            .replace('-', "_");
        let kind = match dependency.get("kind").and_then(Value::as_str) {
            None | Some("normal") => Kind::Normal,
            Some("build") => Kind::Build,
            Some("dev") => Kind::Dev,
            Some(other) => {
                return Err(format!("`{name}` is a dependency of the unknown kind `{other}`").into());
            }
        };
        Ok(Self { name, ident, kind })
    }
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn string(value: &Value, key: &str) -> Result<String> {
    let found = value.get(key).and_then(Value::as_str);
    Ok(found.ok_or_else(|| format!("`cargo metadata` has no text under `{key}`"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read() {
        let json = serde_json::json!({ "target_directory": "/t", "packages": [{
            "name": "multiproc-shm",
            "manifest_path": "/r/crates/multiproc-shm/Cargo.toml",
            "readme": "README.md",
            "targets": [{ "kind": ["lib"] }],
            "features": { "default": ["a"], "a": [] },
            "dependencies": [
                { "name": "multiproc-core", "kind": null, "rename": null },
                { "name": "proptest", "kind": "dev", "rename": "prop-test" },
            ],
        }] });
        let workspace = Workspace::parse(&json, Path::new("/r")).unwrap();
        let package = workspace.crates().next().unwrap();
        assert_eq!(package.folder, "crates/multiproc-shm");
        assert_eq!(package.features, ["a", "default"]);
        assert!(!package.is_proc_macro);
        assert_eq!(package.dependencies[0].kind, Kind::Normal);
        assert_eq!(package.dependencies[1].ident, "prop_test");
        assert_eq!(package.dependencies[1].kind, Kind::Dev);
    }

    #[test]
    fn metadata_without_names_is_an_error() {
        let json = serde_json::json!({ "target_directory": "/t", "packages": [{}] });
        assert!(Workspace::parse(&json, Path::new("/r")).is_err());
    }
}
