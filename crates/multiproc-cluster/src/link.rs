//! The connection to the server, and what there is on it: the stream of tasks and its consumer.

use crate::error::{ClusterError, Kind};
use crate::names::{CONSUMER, Names};
use crate::seal::{Seal, Sort};
use crate::settings::{Credentials, Settings, Storage};
use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectOptions, Event, Message};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often something may fail while the connection is whole, and for how long it rests after that.
const TRIES: u32 = 3;
const REST: Duration = Duration::from_millis(50);
/// The longest pause between two attempts to reach the server again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a taken task may lie unacknowledged: whoever pulled it is gone.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// How long messages are that the server has to take, which is what servers do unless they are told otherwise.
const MESSAGE: usize = 1 << 20;
/// Tasks that were given up are kept so long, and so many of them.
const LETTERS: i64 = 10_000;

/// A connection; clones are the same one.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) names: Arc<Names>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) seal: Seal,
    /// What all builds of the pool understand.
    pub(crate) open_seal: Seal,
    pub(crate) js: jetstream::Context,
    /// Counts the connections: each time that it changes, something may have been lost.
    pub(crate) breaks: watch::Receiver<u64>,
}

pub(crate) fn engine(
    what: &'static str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> ClusterError {
    Kind::Engine { what, why: error.to_string() }.because(error)
}

impl Link {
    pub(crate) async fn connect(settings: Settings, key: &[u8], name: &str) -> Result<Link, ClusterError> {
        let names = Names::new(&settings.pool, key)?;
        let (broken, breaks) = watch::channel(0u64);
        let shown = settings.shown();
        let options = match &settings.credentials {
            Credentials::Address => ConnectOptions::new(),
            Credentials::Password(user, password) => {
                ConnectOptions::with_user_and_password(user.clone(), password.clone())
            }
            Credentials::Token(token) => ConnectOptions::with_token(token.clone()),
            Credentials::Nkey(seed) => ConnectOptions::with_nkey(seed.clone()),
            Credentials::File(path) => {
                let text = std::fs::read_to_string(path);
                text.and_then(|text| ConnectOptions::with_credentials(&text)).map_err(|error| {
                    let why = format!("{}: {error}", path.display());
                    Kind::Denied { url: shown.clone(), why }.because(error)
                })?
            }
        };
        let mut options = options
            .name(name)
            .require_tls(settings.require_tls)
            .ping_interval((settings.lease / 2).max(Duration::from_millis(500)))
            .reconnect_delay_callback(|attempts| (Duration::from_millis(20) * attempts as u32).min(PAUSE))
            .event_callback(move |event| {
                match event {
                    Event::Connected | Event::SlowConsumer(_) => broken.send_modify(|breaks| *breaks += 1),
                    Event::Disconnected => {
                        tracing::warn!(target: "multiproc::cluster", "the connection to the server is lost");
                    }
                    other => tracing::debug!(target: "multiproc::cluster", %other, "the connection"),
                }
                async {}
            });
        if settings.is_local() {
            // Nor does a server on this machine lead beyond it.
            options = options.ignore_discovered_servers();
        }
        if let Some(path) = &settings.roots {
            options = options.add_root_certificates(path.clone());
        }
        let addresses: Vec<&str> = settings.url.split(',').map(str::trim).collect();
        let client = options.connect(addresses).await.map_err(|error| {
            let (url, why) = (shown.clone(), error.to_string());
            let is_denied = matches!(
                error.kind(),
                async_nats::ConnectErrorKind::Authentication
                    | async_nats::ConnectErrorKind::AuthorizationViolation
                    | async_nats::ConnectErrorKind::Tls
            ) || why.contains("certificate");
            if is_denied { Kind::Denied { url, why } } else { Kind::Unreachable { url, why } }.because(error)
        })?;
        let most = client.server_info().max_payload;
        if most < MESSAGE {
            let url = shown;
            let why =
                format!("it takes messages of {most} bytes: set its `max_payload` to {MESSAGE} or more");
            return Err(Kind::Denied { url, why }.into());
        }
        let mut js = jetstream::new(client.clone());
        js.set_timeout(Duration::from_secs(5));
        Ok(Link {
            seal: Seal::new(key, &settings.pool, &names.build),
            open_seal: Seal::new(key, &settings.pool, ""),
            client,
            names: Arc::new(names),
            settings: Arc::new(settings),
            js,
            breaks,
        })
    }

    pub(crate) fn storage(&self) -> stream::StorageType {
        match self.settings.storage {
            Storage::Memory => stream::StorageType::Memory,
            Storage::File => stream::StorageType::File,
        }
    }

    /// Sees that there is the stream and its consumer; gives the number of the last message in it.
    pub(crate) async fn prepare(&self) -> Result<u64, ClusterError> {
        let config = stream::Config {
            name: self.names.stream.clone(),
            subjects: vec![self.names.tasks()],
            retention: stream::RetentionPolicy::WorkQueue,
            storage: self.storage(),
            ..stream::Config::default()
        };
        let mut stream =
            self.js.get_or_create_stream(config).await.map_err(|e| engine("make the stream of tasks", e))?;
        let config = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: 100_000,
            max_waiting: 10_000,
            ..pull::Config::default()
        };
        stream
            .get_or_create_consumer(CONSUMER, config)
            .await
            .map_err(|e| engine("make the consumer of tasks", e))?;
        let info = stream.info().await.map_err(|e| engine("look at the stream of tasks", e))?;
        Ok(info.state.last_sequence)
    }

    /// Takes all tasks of a caller out of the stream.
    ///
    /// One by one: a purge by subject has older servers (2.9.10) skip what others put in meanwhile.
    pub(crate) async fn purge(&self, caller: &str) -> Result<(), ClusterError> {
        self.remove(&self.names.stream, &self.names.task(caller)).await
    }

    /// Takes all messages of a subject out of a stream.
    async fn remove(&self, stream: &str, subject: &str) -> Result<(), ClusterError> {
        let mut place = 0;
        loop {
            let request = format!("{{\"seq\":{},\"next_by_subj\":\"{subject}\"}}", place + 1);
            let reply = self.client.request(Names::message(stream), request.into()).await;
            let reply = reply.map_err(|e| engine("look for messages in a stream", e))?;
            let text = String::from_utf8_lossy(&reply.payload);
            match number_after(&text, "\"seq\":") {
                Some(found) if found > place => place = found,
                _ => return Ok(()),
            }
            let request = format!("{{\"seq\":{place}}}");
            // Somebody else may have taken it out meanwhile.
            let _ = self.client.request(Names::delete(stream), request.into()).await;
        }
    }

    /// Removes the stream if nothing is in it.
    pub(crate) async fn remove_if_empty(&self) {
        let Ok(mut stream) = self.js.get_stream(&self.names.stream).await else { return };
        let is_empty = stream.info().await.is_ok_and(|info| info.state.messages == 0);
        if is_empty {
            // Whoever comes makes it again.
            let _ = self.js.delete_stream(&self.names.stream).await;
            let _ = self.js.delete_stream(&self.names.pieces).await;
        }
    }

    /// Removes the stream if nothing is in it and no agent waits for anything.
    pub(crate) async fn remove_if_idle(&self) {
        let Ok(stream) = self.js.get_stream_no_info(&self.names.stream).await else { return };
        let is_idle = stream.consumer_info(CONSUMER).await.is_ok_and(|info| info.num_waiting == 0);
        if is_idle {
            self.remove_if_empty().await;
        }
    }

    /// Does something until it succeeds. Whatever the server had of it when a connection ended may be gone with it, and
    /// nobody answers any more: then it begins anew. An error is what comes of it three times on one connection.
    ///
    /// `attempt` is told how often it has failed before.
    pub(crate) async fn insist<T>(
        &self,
        attempt: impl AsyncFn(u32) -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        let mut breaks = self.breaks.clone();
        let (mut failed, mut refused) = (0, 0);
        loop {
            breaks.mark_unchanged();
            let error = tokio::select! {
                result = attempt(failed) => match result {
                    Ok(value) => return Ok(value),
                    Err(error) => error,
                },
                changed = breaks.changed() => match changed {
                    Ok(()) => {
                        failed += 1;
                        continue;
                    }
                    Err(error) => return Err(engine("use the connection", error)),
                },
            };
            failed += 1;
            if self.client.connection_state() == State::Connected {
                refused += 1;
                if refused >= TRIES {
                    return Err(error);
                }
            }
            tokio::time::sleep(REST * (failed - 1).min(10)).await;
        }
    }

    /// The stream of those that were given up, made if there is none.
    pub(crate) async fn letters(&self) -> Result<stream::Stream, ClusterError> {
        let config = stream::Config {
            name: self.names.dead_stream.clone(),
            subjects: vec![self.names.dead()],
            storage: stream::StorageType::File,
            max_messages: LETTERS,
            ..stream::Config::default()
        };
        self.js.get_or_create_stream(config).await.map_err(|e| engine("make the stream of given-up tasks", e))
    }

    /// Sends something; what cannot be sent now is sent when there is a connection again.
    pub(crate) async fn send<T: Serialize>(&self, subject: String, sort: Sort, value: &T) {
        let message = self.seal.seal(sort, &subject, value);
        if let Err(error) = self.client.publish(subject, message.into()).await {
            tracing::debug!(target: "multiproc::cluster", %error, "a message cannot be sent");
        }
    }

    /// Opens a message of this build's.
    pub(crate) fn open<T: DeserializeOwned>(&self, sort: Sort, message: &Message) -> Option<T> {
        self.seal.open(sort, &message.subject, &message.payload)
    }

    /// Opens a message that all builds understand.
    pub(crate) fn open_of_all<T: DeserializeOwned>(&self, sort: Sort, message: &Message) -> Option<T> {
        self.open_seal.open(sort, &message.subject, &message.payload)
    }
}

/// The number behind a word of the server's.
pub(crate) fn number_after(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_in_what_the_server_says() {
        use super::number_after;
        assert_eq!(number_after("{\"stream\":\"S\", \"seq\": 17}", "\"seq\":"), Some(17));
        assert_eq!(number_after("{\"seq\":18", "\"seq\":"), Some(18));
        assert_eq!(number_after("{\"error\":{\"code\":404}}", "\"seq\":"), None);
    }
}
