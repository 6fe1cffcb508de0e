//! What is too long for a message: in pieces, in a stream of its own.
//!
//! It is an object store without what nobody needs here. Whoever is to get something long is told the places of its
//! pieces, so that nothing is looked up, and all of them travel at once; nobody listens to the stream, so that one
//! request takes out whatever is of one subject; and the pool's seal is its checksum.

use crate::error::{ClusterError, Kind};
use crate::link::{Link, engine};
use crate::names::Names;
use crate::seal::Sort;
use crate::wire::Stored;
use async_nats::StatusCode;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use std::time::Duration;

/// What is longer goes in pieces.
pub(crate) const INLINE: usize = 256 << 10;
/// How long a piece is: a server takes messages of 1 MiB unless it is told otherwise.
const PIECE: usize = 512 << 10;
/// How many of them travel at once: a server ends connections that have tens of MiB to come and do not read them.
const AT_ONCE: usize = 16;
/// How often it is seen whether there is anything to wait for.
const LOOK: Duration = Duration::from_millis(200);
/// How long they may lie there: far longer than any task waits, in case that nobody tidies up.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

fn missing(why: &str) -> ClusterError {
    Kind::Engine { what: "get a long message", why: why.to_owned() }.into()
}

impl Link {
    /// Sees that there is the stream of pieces.
    async fn prepare_pieces(&self) -> Result<(), ClusterError> {
        let config = stream::Config {
            name: self.names.pieces.clone(),
            subjects: vec![self.names.piece(">")],
            storage: self.storage(),
            max_age: KEPT,
            allow_direct: true,
            ..stream::Config::default()
        };
        let made = self.js.get_or_create_stream(config).await;
        made.map(|_| ()).map_err(|e| engine("make the stream of long messages", e))
    }

    /// Seals bytes that are to go into the stream of pieces.
    pub(crate) async fn seal_blob(&self, name: &str, bytes: Vec<u8>) -> Bytes {
        self.seal.seal_long(Sort::Blob, name, bytes).await.into()
    }

    /// Puts something sealed into the stream of pieces, in place of what is there under that name: its caller's, and what
    /// follows, with a dot between them.
    pub(crate) async fn store(&self, name: &str, sealed: &Bytes) -> Result<Stored, ClusterError> {
        let places = self
            .insist(async |failed| {
                if failed > 0 {
                    // The stream is not there yet, or has gone with its server.
                    self.prepare_pieces().await?;
                    self.discard(name).await;
                }
                self.put(name, sealed).await
            })
            .await;
        match places {
            Ok(places) => Ok(Stored { name: name.to_owned(), places }),
            Err(error) => {
                self.discard(name).await;
                Err(error)
            }
        }
    }

    async fn put(&self, name: &str, sealed: &Bytes) -> Result<Vec<u64>, ClusterError> {
        let failed = |error| engine("store a long message", error);
        let subject = self.names.piece(name);
        let begins = (0..sealed.len()).step_by(PIECE);
        let stored = futures_util::stream::iter(begins).map(async |begin| {
            let piece = sealed.slice(begin..sealed.len().min(begin + PIECE));
            let told = self.js.publish(subject.clone(), piece).await.map_err(failed)?;
            Ok::<_, ClusterError>(told.await.map_err(failed)?.sequence)
        });
        stored.buffered(AT_ONCE).try_collect().await
    }

    /// Gives bytes out of the stream of pieces.
    pub(crate) async fn fetch(&self, stored: &Stored) -> Result<Vec<u8>, ClusterError> {
        // Each piece has its time; all of them together take as long as they take, and are not begun anew for it.
        self.insist(async |_| {
            tokio::select! {
                bytes = self.get(stored) => bytes,
                () = self.pieces_are_gone() => Err(missing("their stream is gone")),
            }
        })
        .await
    }

    /// Ends when there is no stream of pieces: nobody answers who asks it for one.
    async fn pieces_are_gone(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let Err(error) = self.js.get_stream(&self.names.pieces).await else { continue };
            if matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.code() == 404) {
                return;
            }
        }
    }

    async fn get(&self, stored: &Stored) -> Result<Vec<u8>, ClusterError> {
        let subject = Names::direct(&self.names.pieces);
        let pieces = futures_util::stream::iter(&stored.places).map(async |place| {
            let request = format!("{{\"seq\":{place}}}");
            let asked = self.client.request(subject.clone(), request.into()).await;
            let piece = asked.map_err(|e| engine("get a long message", e))?;
            match piece.status {
                Some(StatusCode::NOT_FOUND) => Err(missing("it is not there any more")),
                _ => Ok::<_, ClusterError>(piece.payload),
            }
        });
        let mut sealed = Vec::new();
        let mut pieces = pieces.buffered(AT_ONCE);
        while let Some(piece) = pieces.next().await {
            sealed.extend_from_slice(&piece?);
        }
        let opened = self.seal.open_long(Sort::Blob, &stored.name, sealed).await;
        opened.ok_or_else(|| missing("it does not bear the pool's seal"))
    }

    /// Removes all that is of a caller from there.
    pub(crate) async fn discard_all(&self, caller: &str) {
        self.discard(&format!("{caller}.*")).await;
    }

    /// Removes something from the stream of pieces.
    pub(crate) async fn discard(&self, name: &str) {
        let request = format!("{{\"filter\":\"{}\"}}", self.names.piece(name));
        // What stays for want of a server goes with its age.
        let _ = self.client.request(Names::purge(&self.names.pieces), request.into()).await;
    }
}
