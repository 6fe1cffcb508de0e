//! Named objects: what is there, who holds it, and what nobody holds any more.

use crate::proc;
use multiproc_core::sys::memory::{Directory, user_id};
use multiproc_shm::peek::{self, Kind};
use serde::Serialize;
use std::io;
use std::os::unix::fs::MetadataExt;

/// An object that has a name, as `multiproc-top ls` lists it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NamedObject {
    /// Its name.
    pub name: String,
    /// What it is: `value`, `queue`, ….
    pub kind: String,
    /// The type of the value, or of the messages.
    pub value: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Seconds since it was made or written to.
    pub age: u64,
    /// The processes that have it open.
    pub held_by: Vec<u32>,
    /// Nobody has it: no process, and no message on its way to one.
    pub is_stale: bool,
}

/// The folder of this user's names, as paths in it begin.
pub(crate) fn folder() -> String {
    format!("/dev/shm/multiproc-{}/", user_id())
}

/// The name in what the system calls a file.
pub(crate) fn name_of(link: &str) -> Option<String> {
    link.strip_prefix(&folder()).map(str::to_owned)
}

/// Lists this user's named objects.
///
/// # Errors
///
/// What reading the directory reports, or that it is not this user's alone.
///
/// # Examples
///
/// ```
/// use multiproc_shm::Shared;
///
/// # let name = format!("doc-top-{}", std::process::id());
/// let value = Shared::create_named(&name, 7u32)?;
/// let found = multiproc_top::named_objects()?.into_iter().find(|object| object.name == name).unwrap();
/// assert_eq!((found.kind.as_str(), found.value.as_str(), found.is_stale), ("value", "u32", false));
/// Shared::<u32>::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn named_objects() -> io::Result<Vec<NamedObject>> {
    let path = folder();
    if !std::path::Path::new(&path).exists() {
        // Looking makes no folder.
        return Ok(Vec::new());
    }
    let directory = Directory::of_user()?;
    let holders: Vec<(u32, Vec<proc::Open>)> =
        proc::own_processes().into_keys().map(|id| (id, proc::shared_files(id, &path))).collect();
    let mut found = Vec::new();
    for name in directory.names()? {
        let Ok(info) = std::fs::symlink_metadata(format!("{path}{name}")) else { continue };
        let identity = (info.dev(), info.ino());
        let held_by: Vec<u32> = holders
            .iter()
            .filter(|(_, files)| files.iter().any(|open| open.identity == identity))
            .map(|(id, _)| *id)
            .collect();
        let (kind, value) = what(&path, &name);
        let is_stale = held_by.is_empty() && multiproc_shm::peek::is_unheld(&directory, &name)?;
        let age = info.modified().ok().and_then(|at| at.elapsed().ok()).map_or(0, |age| age.as_secs());
        let memory = info.blocks() * 512;
        found.push(NamedObject { name: proc::plain(&name), kind, value, memory, age, held_by, is_stale });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// What a name stands for, and the type in it.
fn what(path: &str, name: &str) -> (String, String) {
    let read = || peek::segment(multiproc_core::sys::memory::open_to_read(format!("{path}{name}").as_ref())?);
    let Ok(Some(segment)) = read() else { return ("something else".to_owned(), String::new()) };
    let mut about = segment.about.lines().map(str::to_owned);
    let mut line = || about.next().unwrap_or_default();
    match segment.kind {
        Kind::Shared => ("value".to_owned(), line()),
        Kind::Arena => (line(), line()),
        Kind::OtherVersion => ("of another version".to_owned(), String::new()),
        Kind::Slice | Kind::Unknown => ("something else".to_owned(), String::new()),
    }
}

/// Removes a name that nobody holds, or any; tells what became of it.
pub(crate) fn remove(name: &str, force: bool) -> Result<(), String> {
    let missing =
        || format!("cannot remove {name:?}: there is no object of that name (`multiproc-top ls` lists them)");
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => missing(),
        _ => format!("cannot remove {name:?}: {error}"),
    };
    if !std::path::Path::new(&folder()).exists() {
        return Err(missing());
    }
    let directory = Directory::of_user().map_err(|error| failed(error.into()))?;
    if !force && !multiproc_shm::peek::is_unheld(&directory, name).map_err(failed)? {
        return Err(format!(
            "cannot remove {name:?}: somebody holds it (`multiproc-top ls` says who); end them, or remove it by --force: \
             they keep what they have"
        ));
    }
    multiproc_shm::Shared::<u8>::unlink(name).map_err(failed)
}
