use crate::builder::carried;
use crate::start::StartFd;
use multiproc_core::sys::fd;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};

const EBADF: i32 = 9;

/// What a child gets as one of its standard descriptors.
///
/// The default is as in Python: nothing to read from standard input, and the parent's standard output and error.
///
/// # Examples
///
/// ```
/// use multiproc_process::{Process, Stdio};
/// use std::io::{Read, Write};
///
/// let mut child = Process::builder()
///     .stdin(Stdio::piped())
///     .stderr(Stdio::piped())
///     .spawn((), |()| std::io::copy(&mut std::io::stdin(), &mut std::io::stderr()).unwrap())?;
/// let mut echo = child.take_stderr().unwrap();
/// child.take_stdin().unwrap().write_all(b"hello")?; // and closed
/// let mut heard = String::new();
/// echo.read_to_string(&mut heard)?;
/// assert_eq!((&*heard, child.join()?), ("hello", 5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stdio(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Inherit,
    Null,
    Piped,
    Fd(OwnedFd),
}

impl Stdio {
    /// The parent's own.
    pub fn inherit() -> Stdio {
        Stdio(Kind::Inherit)
    }

    /// Nothing to read; what is written is thrown away.
    pub fn null() -> Stdio {
        Stdio(Kind::Null)
    }

    /// A new pipe, whose other end [`Process::take_stdin`](crate::Process::take_stdin),
    /// [`take_stdout`](crate::Process::take_stdout) or [`take_stderr`](crate::Process::take_stderr) gives.
    pub fn piped() -> Stdio {
        Stdio(Kind::Piped)
    }
}

macro_rules! from {
    ($($type:ty),*) => {$(
        impl From<$type> for Stdio {
            /// The descriptor itself.
            fn from(fd: $type) -> Stdio {
                Stdio(Kind::Fd(OwnedFd::from(fd)))
            }
        }
    )*};
}

from!(OwnedFd, File, PipeReader, PipeWriter);

/// The parent's ends of the pipes that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    pub(crate) stdin: Option<PipeWriter>,
    pub(crate) stdout: Option<PipeReader>,
    pub(crate) stderr: Option<PipeReader>,
}

/// Makes the child's three descriptors, with numbers high enough to be out of the way, and the parent's ends; `None`
/// is for nothing to read or to write.
pub(crate) fn open([stdin, stdout, stderr]: [Stdio; 3]) -> io::Result<([Option<OwnedFd>; 3], Pipes)> {
    let mut pipes = Pipes::default();
    let stdin = match stdin.0 {
        Kind::Piped => {
            let (reader, writer) = fd::with_descriptors(io::pipe)?;
            pipes.stdin = Some(writer);
            Some(dup_high(reader)?)
        }
        other => plain(other, io::stdin())?,
    };
    let mut output = |kind, own: &dyn AsFd, pipe: fn(&mut Pipes) -> &mut Option<PipeReader>| match kind {
        Kind::Piped => {
            let (reader, writer) = fd::with_descriptors(io::pipe)?;
            *pipe(&mut pipes) = Some(reader);
            dup_high(writer).map(Some)
        }
        other => plain(other, own),
    };
    let stdout = output(stdout.0, &io::stdout(), |pipes| &mut pipes.stdout)?;
    let stderr = output(stderr.0, &io::stderr(), |pipes| &mut pipes.stderr)?;
    Ok(([stdin, stdout, stderr], pipes))
}

fn dup_high(fd: impl AsFd) -> io::Result<OwnedFd> {
    fd::with_descriptors(|| fd::dup_high(&fd))
}

/// Opens what has nothing to read and takes what is written.
fn open_null() -> io::Result<OwnedFd> {
    let null = fd::with_descriptors(fd::open_null).map_err(|error| {
        let advice = "make that device, or name what the process shall have as its standard descriptors";
        io::Error::new(error.kind(), format!("/dev/null cannot be opened: {error}; {advice}"))
    });
    dup_high(null?)
}

/// Opens what has nothing to read or to write for those that are `None`.
pub(crate) fn all([stdin, stdout, stderr]: [Option<StartFd>; 3]) -> io::Result<[StartFd; 3]> {
    let or_null = |fd: Option<StartFd>| fd.map_or_else(|| open_null().map(carried), Ok);
    Ok([or_null(stdin)?, or_null(stdout)?, or_null(stderr)?])
}

fn plain(kind: Kind, own: impl AsFd) -> io::Result<Option<OwnedFd>> {
    match kind {
        Kind::Fd(fd) => dup_high(fd).map(Some),
        Kind::Inherit => match dup_high(own) {
            // The parent has closed its own.
            Err(error) if error.raw_os_error() == Some(EBADF) => Ok(None),
            other => other.map(Some),
        },
        Kind::Null | Kind::Piped => Ok(None),
    }
}
