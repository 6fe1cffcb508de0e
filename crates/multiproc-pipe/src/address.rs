use multiproc_core::sys::random::fill_random;
use multiproc_core::sys::socket::SocketName;
use std::fmt::{self, Write};
use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where a [`Listener`](crate::Listener) is found.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::{Address, ToAddresses};
///
/// assert_eq!("/run/me/service".to_addresses()?, [Address::Path("/run/me/service".into())]);
/// assert_eq!(("127.0.0.1", 80).to_addresses()?[0].to_string(), "127.0.0.1:80");
/// assert_eq!(Address::abstract_name("service").to_string(), "@service");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket with a place in the file system.
    Path(PathBuf),
    /// A Unix socket with a name in Linux' abstract namespace, which no permissions guard: whoever is first has it.
    ///
    /// The user at the other end is checked all the same. The leading NUL is left out.
    Abstract(Vec<u8>),
    /// A TCP port.
    Tcp(SocketAddr),
}

impl Address {
    /// Makes the address of that name in the abstract namespace.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Address {
        Address::Abstract(name.as_ref().to_vec())
    }

    pub(crate) fn name(&self) -> SocketName<'_> {
        match self {
            Address::Path(path) => SocketName::Path(path),
            Address::Abstract(name) => SocketName::Abstract(name),
            Address::Tcp(address) => SocketName::Inet(*address),
        }
    }
}

impl fmt::Display for Address {
    /// Shows an abstract name behind `@`, as other tools do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Path(path) => write!(f, "{}", path.display()),
            Address::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
            Address::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// What can be said to mean an [`Address`]: a path, a TCP address, a host's name and a port.
///
/// Text alone is a path, as in Python; a pair is a host and a port.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::{Address, ToAddresses};
///
/// assert!(matches!("/run/service".to_addresses()?[..], [Address::Path(_)]));
/// assert!(matches!(("127.0.0.1", 7000).to_addresses()?[..], [Address::Tcp(_)]));
/// # std::io::Result::Ok(())
/// ```
pub trait ToAddresses {
    /// The addresses that are meant; a host may have several.
    ///
    /// # Errors
    ///
    /// The host is not known.
    fn to_addresses(&self) -> io::Result<Vec<Address>>;
}

impl ToAddresses for Address {
    fn to_addresses(&self) -> io::Result<Vec<Address>> {
        Ok(vec![self.clone()])
    }
}

impl<T: ToAddresses + ?Sized> ToAddresses for &T {
    fn to_addresses(&self) -> io::Result<Vec<Address>> {
        (**self).to_addresses()
    }
}

macro_rules! paths {
    ($($type:ty)*) => {$(
        impl ToAddresses for $type {
            fn to_addresses(&self) -> io::Result<Vec<Address>> {
                Ok(vec![Address::Path(PathBuf::from(self))])
            }
        }
    )*};
}

paths!(str String Path PathBuf);

macro_rules! ports {
    ($($type:ty),*) => {$(
        impl ToAddresses for $type {
            fn to_addresses(&self) -> io::Result<Vec<Address>> {
                Ok(self.to_socket_addrs()?.map(Address::Tcp).collect())
            }
        }
    )*};
}

ports!(SocketAddr, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16), (&str, u16), (String, u16));

/// A directory for a socket that only this user can reach, which goes with its owner.
#[derive(Debug)]
pub(crate) struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// Makes one of mode 0700 with a name that nobody can guess.
    pub(crate) fn create() -> io::Result<PrivateDirectory> {
        let mut random = [0; 8];
        fill_random(&mut random)?;
        let mut name = format!("multiproc-{}-", std::process::id());
        for byte in random {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        let path = std::env::temp_dir().join(&name);
        match DirBuilder::new().mode(0o700).create(&path) {
            // Room for the socket's own name within the 107 bytes of such a path.
            Ok(()) if path.as_os_str().len() < 90 => return Ok(PrivateDirectory(path)),
            Ok(()) => fs::remove_dir(&path)?,
            Err(_) => {}
        }
        let path = Path::new("/tmp").join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(PrivateDirectory(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // What somebody else has put there keeps it.
        let _ = fs::remove_dir(&self.0);
    }
}
