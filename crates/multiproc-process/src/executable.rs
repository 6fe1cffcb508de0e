//! Which file a child executes.

use crate::hook;
use crate::lock::Lock;
use multiproc_core::sys::image::{build_id_of_file, image, own_executable, own_executable_holds};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::OnceLock;

static CHOSEN: Lock<Option<CString>> = Lock::new(None);

/// Names another path to this same build, for children to execute.
///
/// Needed only where the program cannot find itself: it runs through the dynamic loader, or under an emulator. The
/// path is made absolute, so a later change of directory does no harm.
///
/// # Errors
///
/// There is no such file, or it is another build of the program.
///
/// # Examples
///
/// ```
/// use multiproc_process::{Process, set_executable};
///
/// set_executable(std::env::current_exe()?)?; // or a copy of this very file elsewhere
/// assert_eq!(Process::spawn(20, |n| n + 1)?.join()?, 21);
/// assert!(set_executable("/bin/sh").is_err()); // another program
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn set_executable(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let absolute = path.canonicalize().map_err(|error| {
        io::Error::new(error.kind(), format!("find the executable {}: {error}", path.display()))
    })?;
    let (theirs, ours) = (build_id_of_file(&absolute)?, image()?.build_id());
    if theirs != *ours {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{} is build {theirs} of the program, this process is build {ours}: name the same build",
                path.display()
            ),
        ));
    }
    let mode = std::fs::metadata(&absolute)?.permissions().mode();
    if mode & 0o111 == 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} may not be executed (mode {:04o}): chmod +x it", path.display(), mode & 0o7777),
        ));
    }
    *CHOSEN.lock() = Some(CString::new(absolute.as_os_str().as_bytes())?);
    Ok(())
}

/// Takes over the parent's choice.
pub(crate) fn inherit(path: Option<CString>) {
    if path.is_some() {
        *CHOSEN.lock() = path;
    }
}

/// Holds the choice still, so that a fork does not catch it half-changed.
pub(crate) fn hold() -> impl Sized {
    CHOSEN.lock()
}

/// The choice to be passed on to a child.
pub(crate) fn chosen() -> Option<CString> {
    CHOSEN.lock().clone()
}

/// The path to execute.
pub(crate) fn path() -> io::Result<CString> {
    if let Some(path) = chosen() {
        return Ok(path);
    }
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = match FOUND.get() {
        Some(found) => *found,
        None => {
            let found = own_executable_holds(hook::init as *const () as usize)?;
            *FOUND.get_or_init(|| found)
        }
    };
    if !found {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this program runs through a loader or an emulator and cannot find its own file: call `set_executable` \
             with its path",
        ));
    }
    Ok(CString::new(own_executable().as_os_str().as_bytes())?)
}
