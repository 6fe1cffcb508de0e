use multiproc_core::sys::random::fill_random;
use std::fmt;
use std::io;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A secret that both ends of a connection know, CPython's `authkey`.
///
/// It is bytes of any length; 32 random ones ([`random`](AuthKey::random)) are as good as it gets. They are wiped from
/// memory with the last clone, and never shown. To an HMAC zeros at the end of a key make no difference, so a key that is
/// empty or all zeros is none, and is refused where it is used.
///
/// # Examples
///
/// ```
/// use multiproc_pipe::AuthKey;
///
/// let key = AuthKey::from(b"secret of the service");
/// assert_eq!(format!("{key:?}"), "AuthKey(..)");
/// assert_eq!(AuthKey::random()?.as_bytes().unwrap().len(), 32);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct AuthKey(Option<Arc<Zeroizing<Vec<u8>>>>);

impl AuthKey {
    /// Makes a key of 32 random bytes.
    ///
    /// # Errors
    ///
    /// The system's, when it gives no random bytes.
    pub fn random() -> io::Result<AuthKey> {
        let mut bytes = [0; 32];
        fill_random(&mut bytes)?;
        let key = AuthKey::from(&bytes);
        zeroize::Zeroize::zeroize(&mut bytes);
        Ok(key)
    }

    /// Stands for no key at all, CPython's `authkey=None`: there is no handshake, and whoever reaches the address is
    /// let in.
    ///
    /// For Unix sockets that is every process of the same user, for TCP everybody.
    ///
    /// # Examples
    ///
    /// ```
    /// use multiproc_pipe::{AuthKey, Connection, Listener, connect};
    ///
    /// let listener = Listener::bind_private(AuthKey::none())?; // every process of this user may come
    /// let address = listener.address().clone();
    /// std::thread::spawn(move || connect::<u32, ()>(address, AuthKey::none()).unwrap().send(7));
    /// let client: Connection<(), u32> = listener.accept()?;
    /// assert_eq!(client.recv()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn none() -> AuthKey {
        AuthKey(None)
    }

    /// The bytes, to be handed to those who are to know them; `None` for [`none`](AuthKey::none).
    pub fn as_bytes(&self) -> Option<&[u8]> {
        self.0.as_ref().map(|bytes| bytes.as_slice())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_bytes().is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    }
}

impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "AuthKey(..)" } else { "AuthKey(none)" })
    }
}

impl From<Vec<u8>> for AuthKey {
    fn from(bytes: Vec<u8>) -> AuthKey {
        AuthKey(Some(Arc::new(Zeroizing::new(bytes))))
    }
}

impl From<&[u8]> for AuthKey {
    fn from(bytes: &[u8]) -> AuthKey {
        AuthKey::from(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for AuthKey {
    fn from(bytes: &[u8; N]) -> AuthKey {
        AuthKey::from(bytes.to_vec())
    }
}

impl From<&str> for AuthKey {
    fn from(text: &str) -> AuthKey {
        AuthKey::from(text.as_bytes())
    }
}

impl From<&AuthKey> for AuthKey {
    fn from(key: &AuthKey) -> AuthKey {
        key.clone()
    }
}
