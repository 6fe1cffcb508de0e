//! What callers and agents are told alike: where the server is, who they are, which pool it is about.

use crate::error::{ClusterError, Kind};
use crate::key;
use crate::wire::Id;
use multiproc_pipe::AuthKey;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where the server keeps tasks that no agent has taken.
///
/// # Examples
///
/// ```
/// use multiproc_cluster::{Nats, Storage};
///
/// let builder = Nats::builder("nats://127.0.0.1:4222").storage(Storage::File);
/// # let _ = builder;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Storage {
    /// In its memory: a server that is started again has none of them, and callers put them in again.
    #[default]
    Memory,
    /// In files: quicker to go on after a restart, slower before it.
    File,
}

/// Who a program is to the server.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// Those in the address, if there are any.
    Address,
    Password(String, String),
    Token(String),
    Nkey(String),
    File(PathBuf),
}

/// How long a member that is not heard of counts as there.
const LEASE: Duration = Duration::from_secs(5);
/// Who wakes so much later than it meant to was stopped.
const STALL: Duration = Duration::from_secs(1);
const LEAST_LEASE: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) pool: String,
    pub(crate) key: Option<AuthKey>,
    pub(crate) credentials: Credentials,
    pub(crate) require_tls: bool,
    pub(crate) roots: Option<PathBuf>,
    pub(crate) storage: Storage,
    pub(crate) lease: Duration,
}

impl Settings {
    pub(crate) fn new(url: &str) -> Settings {
        Settings {
            url: url.to_owned(),
            pool: "default".to_owned(),
            key: None,
            credentials: Credentials::Address,
            require_tls: false,
            roots: None,
            storage: Storage::default(),
            lease: LEASE,
        }
    }

    /// Who was not heard of for longer than a lease.
    pub(crate) fn silent<P>(
        &self,
        peers: &BTreeMap<Id, P>,
        now: Instant,
        heard: impl Fn(&P) -> (Instant, Duration),
    ) -> Vec<Id> {
        let is_silent = |peer: &P| {
            let (heard, lease) = heard(peer);
            now.saturating_duration_since(heard) > lease.max(self.lease)
        };
        peers.iter().filter(|(_, peer)| is_silent(peer)).map(|(id, _)| *id).collect()
    }

    /// Tells whether who meant to wake at some time and does now was stopped meanwhile, and for how long others wait.
    pub(crate) fn is_late(&self, meant: Instant, now: Instant) -> bool {
        now.saturating_duration_since(meant) > STALL.min(self.lease / 2)
    }

    /// How often one says that one is there.
    pub(crate) fn beat(&self) -> Duration {
        (self.lease / 5).min(Duration::from_secs(1))
    }

    /// The address without what nobody is to see.
    pub(crate) fn shown(&self) -> String {
        self.url
            .split(',')
            .map(|url| match (url.find("://"), url.rfind('@')) {
                (Some(scheme), Some(at)) if scheme < at => format!("{}://{}", &url[..scheme], &url[at + 1..]),
                (None, Some(at)) => url[at + 1..].to_owned(),
                _ => url.to_owned(),
            })
            .collect::<Vec<String>>()
            .join(",")
    }

    /// Tells whether all servers are on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.url.split(',').all(|url| is_loopback(host_of(url)))
    }

    /// Sees that nothing dangerous was asked for, and gives the key.
    pub(crate) fn check(&self) -> Result<Vec<u8>, ClusterError> {
        if self.lease < LEAST_LEASE {
            let (what, why) = (format!("{:?}", self.lease), "it has at least 200 ms");
            return Err(Kind::Invalid { what, of: "lease", why }.into());
        }
        let is_local = self.is_local();
        let given = match &self.key {
            Some(key) => Some(key.as_bytes().unwrap_or_default().to_vec()),
            None => key::from_environment()?,
        };
        if let Some(key) = &given
            && key.iter().all(|byte| *byte == 0)
        {
            return Err(Kind::Key { why: "it is empty".to_owned() }.into());
        }
        if is_local {
            return given.map_or_else(key::of_this_user, Ok);
        }
        let insecure = |missing| Err(Kind::Insecure { url: self.shown(), missing }.into());
        let is_tls = self.require_tls || self.url.split(',').all(|url| url.starts_with("tls://"));
        let is_known = match &self.credentials {
            Credentials::Address => self.url.split(',').all(|url| url.contains('@')),
            _ => true,
        };
        match given {
            _ if !is_tls => insecure("the connection is not encrypted: use `tls://` or `.require_tls()`"),
            _ if !is_known => {
                insecure("there are no credentials: give a password, a token, an NKEY or a file of them")
            }
            None => insecure("there is no key: give one by `.key(..)` or MULTIPROC_CLUSTER_KEY"),
            Some(key) => Ok(key),
        }
    }
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    match rest.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => rest.split(':').next().unwrap_or(rest),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The methods by which both sides are set up.
macro_rules! setters {
    ($what:ident) => {
        impl $what {
            /// Chooses one of several pools on one server; the default is `default`.
            pub fn pool(mut self, name: impl Into<String>) -> $what {
                self.settings.pool = name.into();
                self
            }

            /// Sets the secret of the pool: whoever has it may run this program's functions on the pool's hosts.
            ///
            /// Without this it is what the environment's `MULTIPROC_CLUSTER_KEY` says; and where the server is on this
            /// machine, a key of this user's own, which is made when it is first needed
            /// (`~/.config/multiproc/cluster.key`).
            pub fn key(mut self, key: impl Into<multiproc_pipe::AuthKey>) -> $what {
                self.settings.key = Some(key.into());
                self
            }

            /// Logs in by name and password.
            pub fn password(mut self, user: impl Into<String>, password: impl Into<String>) -> $what {
                self.settings.credentials =
                    $crate::settings::Credentials::Password(user.into(), password.into());
                self
            }

            /// Logs in by a token.
            pub fn token(mut self, token: impl Into<String>) -> $what {
                self.settings.credentials = $crate::settings::Credentials::Token(token.into());
                self
            }

            /// Logs in by the seed of an NKEY.
            pub fn nkey(mut self, seed: impl Into<String>) -> $what {
                self.settings.credentials = $crate::settings::Credentials::Nkey(seed.into());
                self
            }

            /// Logs in by a file of NATS credentials (`.creds`).
            pub fn credentials_file(mut self, path: impl Into<std::path::PathBuf>) -> $what {
                self.settings.credentials = $crate::settings::Credentials::File(path.into());
                self
            }

            /// Uses no connection that is not encrypted, as the scheme `tls://` does.
            pub fn require_tls(mut self) -> $what {
                self.settings.require_tls = true;
                self
            }

            /// Trusts the certificates in this file, beside those that the system trusts.
            pub fn root_certificates(mut self, path: impl Into<std::path::PathBuf>) -> $what {
                self.settings.roots = Some(path.into());
                self
            }

            /// Chooses where the server keeps tasks that no agent has taken; who comes first decides.
            pub fn storage(mut self, storage: $crate::Storage) -> $what {
                self.settings.storage = storage;
                self
            }

            /// Sets how long one who is not heard of counts as there; the default is 5 s.
            ///
            /// Beats come five times as often, and each second at least. A host that is lost is noticed after this; of an
            /// agent and a caller whose leases differ, the longer one counts.
            pub fn lease(mut self, lease: std::time::Duration) -> $what {
                self.settings.lease = lease;
                self
            }
        }

        impl std::fmt::Debug for $what {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($what))
                    .field("url", &self.settings.shown())
                    .field("pool", &self.settings.pool)
                    .finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use setters;

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key(url: &str) -> Settings {
        Settings { key: Some(AuthKey::from("secret")), ..Settings::new(url) }
    }

    #[test]
    fn beyond_this_machine_all_three_are_needed() {
        for url in ["127.0.0.1", "nats://localhost:4222", "[::1]:4222", "nats://a:b@127.3.2.1:1,localhost"] {
            assert_eq!(with_key(url).check().unwrap(), b"secret", "{url}");
        }
        for url in [
            "nats://hub:4222",
            "10.0.0.1",
            "localhost,hub",
            "nats://a:b@hub",
            "localhost.example.org",
            "nats://hub/@127.0.0.1",
            "nats://hub?@localhost",
        ] {
            assert!(with_key(url).check().unwrap_err().is_insecure(), "{url}");
        }
        assert!(with_key("tls://hub").check().unwrap_err().to_string().contains("credentials"));
        assert!(with_key("tls://a:b@hub").check().is_ok());
        let token = Settings { credentials: Credentials::Token("t".to_owned()), ..with_key("tls://hub") };
        assert!(token.check().is_ok());
        let keyless = Settings { key: None, ..with_key("tls://a:b@hub") };
        assert!(keyless.check().unwrap_err().to_string().contains("key"));
        let empty = Settings { key: Some(AuthKey::from("")), ..with_key("localhost") };
        assert!(empty.check().unwrap_err().is_key());
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(with_key("nats://a:b@c:1,d:e@f").shown(), "nats://c:1,f");
        assert_eq!(with_key("localhost:4222").shown(), "localhost:4222");
    }
}
