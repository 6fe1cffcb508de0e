//! Where the pool's key comes from when nobody gives one.

use crate::error::{ClusterError, Kind};
use crate::names::hex;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const VARIABLE: &str = "MULTIPROC_CLUSTER_KEY";

pub(crate) fn from_environment() -> Result<Option<Vec<u8>>, ClusterError> {
    Ok(std::env::var_os(VARIABLE).map(std::os::unix::ffi::OsStringExt::into_vec))
}

/// The key of this user on this machine, made if there is none.
pub(crate) fn of_this_user() -> Result<Vec<u8>, ClusterError> {
    let config = std::env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let config = config.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")));
    let Some(config) = config else {
        let why = format!("there is no home for this user's own: give one by `.key(..)` or {VARIABLE}");
        return Err(Kind::Key { why }.into());
    };
    let folder = config.join("multiproc");
    at(&folder).map_err(|error| {
        let path = folder.join("cluster.key");
        Kind::Key { why: format!("{}: {error}", path.display()) }.because(error)
    })
}

fn at(folder: &Path) -> io::Result<Vec<u8>> {
    let path = folder.join("cluster.key");
    match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut bytes = [0; 32];
    multiproc_core::sys::random::fill_random(&mut bytes)?;
    // It appears complete or not at all, and who comes second takes what is there.
    let draft = folder.join(format!(".cluster.key.{}", hex(&bytes[..8])));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let linked = file
        .write_all(hex(&bytes[8..]).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&draft, &path));
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read(&path),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        let why = "others may read or write it: make it yours alone (`chmod 600`) and change what is in it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut key = Vec::new();
    file.read_to_end(&mut key)?;
    if key.len() < 32 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too short: remove it"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn all_get_the_same_one_and_nobody_else_does() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        let keys: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| at(&folder).unwrap())).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(keys[0].len() == 48 && keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::set_permissions(folder.join("cluster.key"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(at(&folder).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
