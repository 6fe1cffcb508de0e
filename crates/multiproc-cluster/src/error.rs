use std::io;

/// Why there is no connection to a cluster.
///
/// # Examples
///
/// ```
/// use multiproc_cluster::Nats;
///
/// let error = Nats::connect("nats://127.0.0.1:1").unwrap_err();
/// assert!(error.is_unreachable() && !error.is_denied() && !error.is_key() && !error.is_invalid());
/// let error = Nats::connect("nats://hub.example.org:4222").unwrap_err();
/// assert!(error.is_insecure()); // beyond this machine, without TLS
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct ClusterError {
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    kind: Kind,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error(
        "cannot reach the NATS server at {url}: {why}; is it running, with JetStream (`nats-server -js`)?"
    )]
    Unreachable { url: String, why: String },
    #[error("the NATS server at {url} refuses this program: {why}")]
    Denied { url: String, why: String },
    #[error("{url} is beyond this machine, and {missing}: an envelope makes a worker run a function")]
    Insecure { url: String, missing: &'static str },
    #[error("the key of the pool cannot be used: {why}")]
    Key { why: String },
    #[error("{what} is no {of}: {why}")]
    Invalid { what: String, of: &'static str, why: &'static str },
    #[error("cannot {what}: {why}")]
    Engine { what: &'static str, why: String },
    #[error("cannot {what}: {why}")]
    System { what: &'static str, why: String },
}

impl Kind {
    pub(crate) fn because(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClusterError {
        ClusterError { source: Some(source.into()), kind: self }
    }
}

impl From<Kind> for ClusterError {
    fn from(kind: Kind) -> ClusterError {
        ClusterError { source: None, kind }
    }
}

impl ClusterError {
    /// Tells whether no server answers at the address.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.kind, Kind::Unreachable { .. })
    }

    /// Tells whether the server did not take the credentials.
    pub fn is_denied(&self) -> bool {
        matches!(self.kind, Kind::Denied { .. })
    }

    /// Tells whether the address is beyond this machine and the connection to it would not be safe.
    pub fn is_insecure(&self) -> bool {
        matches!(self.kind, Kind::Insecure { .. })
    }

    /// Tells whether there is no key, or none that is safe.
    pub fn is_key(&self) -> bool {
        matches!(self.kind, Kind::Key { .. })
    }

    /// Tells whether something that was asked for cannot be.
    pub fn is_invalid(&self) -> bool {
        matches!(self.kind, Kind::Invalid { .. })
    }
}

impl From<ClusterError> for io::Error {
    fn from(error: ClusterError) -> io::Error {
        let kind = match error.kind {
            Kind::Unreachable { .. } => io::ErrorKind::NotConnected,
            Kind::Denied { .. } | Kind::Insecure { .. } | Kind::Key { .. } => io::ErrorKind::PermissionDenied,
            Kind::Invalid { .. } => io::ErrorKind::InvalidInput,
            Kind::Engine { .. } | Kind::System { .. } => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
