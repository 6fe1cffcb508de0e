//! The messages of a child's start and end.

use crate::StartMethod;
use crate::function::Remote;
use crate::panics::Panic;
use multiproc_core::codec::Carried;
use multiproc_core::sys::image::image;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::ffi::CString;
use std::io;

/// The descriptors of a start are called this.
pub(crate) type StartFd = Carried<{ u32::from_be_bytes(*b"strt") }>;

/// Parent to fork server: a child to be made. The body of its parcel is the encoded arguments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Which order of this server it is, counted from 1.
    pub(crate) number: u64,
    /// The child's end of its boot socket.
    pub(crate) boot: StartFd,
    pub(crate) start: Start,
}

/// Parent to child: everything that the child must know. The body of its parcel is the encoded arguments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// The build of the sender. Compared as it is read, so nothing behind it is if it is another.
    pub(crate) build: Build,
    pub(crate) role: Role,
    pub(crate) identity: Identity,
    pub(crate) parent: ParentIdentity,
    pub(crate) settings: Settings,
}

/// This build of the program; another one cannot be decoded.
#[derive(Debug)]
pub(crate) struct Build(());

impl Build {
    /// Makes sure that it can be told.
    pub(crate) fn own() -> io::Result<Build> {
        image().map(|_| Build(()))
    }
}

impl Serialize for Build {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        image().map_err(ser::Error::custom)?.build_id().as_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Build {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Build, D::Error> {
        let theirs = Vec::<u8>::deserialize(deserializer)?;
        let own = image().map_err(de::Error::custom)?.build_id();
        if theirs == own.as_bytes() {
            return Ok(Build(()));
        }
        let theirs: String = theirs.iter().map(|byte| format!("{byte:02x}")).collect();
        Err(de::Error::custom(format!(
            "the parent is build {theirs} of the program, this executable is build {own}: start the same one"
        )))
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Call this function and end.
    Call(Remote),
    /// Make children on request; each says in this word that it exists, first of all.
    ForkServer(StartFd),
}

/// Who the child is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) name: String,
    /// The numbers of its ancestors and its own, each counted by its parent from 1.
    pub(crate) lineage: Vec<u32>,
    pub(crate) daemon: bool,
    /// It must not outlive its parent: a daemon, or a descendant of one.
    pub(crate) tied: bool,
}

/// Who its parent is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ParentIdentity {
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) daemon: bool,
    pub(crate) pidfd: StartFd,
}

/// What the child sets up for itself before anything of the user's runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The standard descriptors, where exec has not put them in place.
    pub(crate) stdio: [Option<StartFd>; 3],
    /// The whole environment, where exec has not put it in place.
    pub(crate) environment: Option<Vec<CString>>,
    pub(crate) directory: Option<StartFd>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) affinity: Option<Vec<usize>>,
    /// The soft limit of descriptors that the parent began with, if it has raised its own since.
    pub(crate) descriptor_limit: Option<u64>,
    pub(crate) start_method: StartMethod,
    /// Another path to the executable, where one was set.
    pub(crate) executable: Option<CString>,
    /// How much of its log goes to standard error; nothing at 0.
    pub(crate) log_level: u8,
}

/// Child to parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The function returned; the body of the parcel is the encoded result.
    Returned,
    Panicked(Panic),
    /// The arguments could not be decoded.
    NotDecoded(String),
    /// The result could not be encoded.
    NotEncoded(String),
    /// The child could not begin.
    NotStarted(String),
    /// A fork server cannot begin: the program's constructors have started threads.
    HasThreads,
}
