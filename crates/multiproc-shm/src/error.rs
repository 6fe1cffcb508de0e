use crate::header::Mismatch;
use multiproc_core::NameError;
use multiproc_core::sys::memory::DirectoryError;
use std::io;

/// A shared object that could not be created, opened or removed.
///
/// # Examples
///
/// ```
/// use multiproc_shm::{Shared, SharedMemory};
///
/// let error = Shared::<u32>::open_named("nobody-made-this").unwrap_err();
/// assert!(error.is_not_found());
/// assert!(Shared::<u32>::open_named("a/b").unwrap_err().is_invalid_name());
///
/// let name = format!("example-{}", std::process::id());
/// let number = Shared::create_named(&name, 1u32)?;
/// assert!(Shared::create_named(&name, 2u32).unwrap_err().is_already_exists());
/// let error = Shared::<u64>::open_named(&name).unwrap_err();
/// assert!(error.is_wrong_type() && error.to_string().contains(&name));
/// assert!(!error.is_permission() && !error.is_no_space() && !error.is_out_of_memory());
/// assert!(!error.is_corrupt() && !error.is_other_namespace() && error.owner().is_none());
/// Shared::<u32>::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ShmError {
    kind: Kind,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("shared object {0:?} exists already: open it, unlink it or choose another name")]
    AlreadyExists(String),
    #[error(
        "shared object {0:?} does not exist: nobody created it, or it was unlinked; create it first, or correct the name"
    )]
    NotFound(String),
    #[error("shared object {name:?} belongs to user {owner}, who is not this one: choose another name")]
    OtherOwner { name: String, owner: u32 },
    #[error(
        "shared object {name:?} can be opened by others (mode {mode:04o}): it was not made by this library; remove it, or choose another name"
    )]
    Mode { name: String, mode: u32 },
    #[error("{0:?} is not a shared object but a link, a directory or the like: remove it")]
    NotRegular(String),
    #[error("{object} {mismatch}")]
    Mismatch { object: String, mismatch: Mismatch },
    #[error(
        "no space for shared object {name:?} of {len} bytes: unlink what is not used or enlarge /dev/shm"
    )]
    NoSpace {
        name: String,
        len: u64,
        #[source]
        source: io::Error,
    },
    #[error(
        "shared object {name:?} keeps being replaced: something creates and unlinks it all the time; end that, or choose another name"
    )]
    Restless { name: String },
    #[error("failed to {action} {object}: {source}")]
    Io {
        action: &'static str,
        object: String,
        #[source]
        source: io::Error,
    },
}

impl ShmError {
    /// Tells whether an object of that name exists already.
    pub fn is_already_exists(&self) -> bool {
        matches!(self.kind, Kind::AlreadyExists(_))
    }

    /// Tells whether there is no object of that name.
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind, Kind::NotFound(_))
    }

    /// Tells whether the object holds another type, or was made by a build that lays it out differently.
    pub fn is_wrong_type(&self) -> bool {
        let wrong = |mismatch| matches!(mismatch, Mismatch::Type | Mismatch::Version { .. });
        matches!(self.kind, Kind::Mismatch { mismatch, .. } if wrong(mismatch))
    }

    /// Tells whether no object can have that name.
    pub fn is_invalid_name(&self) -> bool {
        matches!(self.kind, Kind::Name(_))
    }

    /// Tells whether it, or what stands in its place, belongs to somebody else.
    pub fn is_permission(&self) -> bool {
        match &self.kind {
            Kind::OtherOwner { .. } | Kind::Mode { .. } | Kind::NotRegular(_) => true,
            Kind::Directory(error) => error.is_permission(),
            Kind::Io { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }

    /// Tells whether the file system of shared memory is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self.kind, Kind::NoSpace { .. })
    }

    /// Tells whether the machine or a control group has not as much memory free.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(&self.kind, Kind::Io { source, .. } if source.kind() == io::ErrorKind::OutOfMemory)
    }

    /// Tells whether what was found is no shared object, or a damaged one.
    pub fn is_corrupt(&self) -> bool {
        matches!(
            self.kind,
            Kind::Mismatch { mismatch: Mismatch::Magic | Mismatch::Length | Mismatch::Holes, .. }
        )
    }

    /// Tells whether the object was made in another PID namespace, or another time namespace.
    pub fn is_other_namespace(&self) -> bool {
        matches!(self.kind, Kind::Mismatch { mismatch: Mismatch::Namespace, .. })
    }

    /// The user who owns what stands in the way, if that is not this one.
    pub fn owner(&self) -> Option<u32> {
        match &self.kind {
            Kind::OtherOwner { owner, .. } => Some(*owner),
            Kind::Directory(error) => error.owner(),
            _ => None,
        }
    }

    /// An error of the system, for crates whose objects lie in shared memory.
    #[doc(hidden)]
    pub fn of_io(action: &'static str, object: String, source: io::Error) -> ShmError {
        ShmError::io(action, object, source)
    }

    pub(crate) fn io(action: &'static str, object: impl Into<String>, source: io::Error) -> ShmError {
        Kind::Io { action, object: object.into(), source }.into()
    }
}

impl<E: Into<Kind>> From<E> for ShmError {
    fn from(kind: E) -> Self {
        ShmError { kind: kind.into() }
    }
}

impl From<ShmError> for io::Error {
    fn from(error: ShmError) -> Self {
        let kind = match &error.kind {
            Kind::Name(_) => io::ErrorKind::InvalidInput,
            Kind::AlreadyExists(_) => io::ErrorKind::AlreadyExists,
            Kind::NotFound(_) => io::ErrorKind::NotFound,
            Kind::Directory(_) if !error.is_permission() => io::ErrorKind::Other,
            Kind::Directory(_) | Kind::OtherOwner { .. } | Kind::Mode { .. } | Kind::NotRegular(_) => {
                io::ErrorKind::PermissionDenied
            }
            Kind::Mismatch { .. } => io::ErrorKind::InvalidData,
            Kind::NoSpace { .. } => io::ErrorKind::StorageFull,
            Kind::Restless { .. } => io::ErrorKind::ResourceBusy,
            Kind::Io { source, .. } => source.kind(),
        };
        io::Error::new(kind, error)
    }
}
