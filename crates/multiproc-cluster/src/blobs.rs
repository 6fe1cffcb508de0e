//! What is too long for a message: in pieces, in a stream of its own.
//!
//! It is an object store without what nobody needs here. Whoever is to get something long is told the places of its
//! pieces, so that nothing is looked up, and all of them travel at once; nobody listens to the stream, so that one
//! request takes out whatever is of one subject; and the pool's seal is its checksum.

use crate::error::{ClusterError, Kind};
use crate::link::{Link, engine};
use crate::names::Names;
use crate::seal::Sort;
use crate::wire::{Body, Stored};
use async_nats::StatusCode;
use async_nats::jetstream::stream;
use futures_util::{StreamExt, TryStreamExt};
use std::time::Duration;

/// What is longer goes in pieces.
pub(crate) const INLINE: usize = 256 << 10;
/// How long a piece is: a server takes messages of 1 MiB unless it is told otherwise.
const PIECE: usize = 512 << 10;
/// How many of them travel at once: a server ends connections that have tens of MiB to come and do not read them.
const AT_ONCE: usize = 16;
/// How long they may lie there: far longer than any task waits, in case that nobody tidies up.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often something long is asked for.
const FETCHES: u32 = 3;

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

    /// Puts bytes into the stream of pieces, if they are long; what is put there is sealed, too. The name is its caller's
    /// and what follows, with a dot between them.
    pub(crate) async fn store(&self, name: String, bytes: Vec<u8>) -> Result<Body, ClusterError> {
        if bytes.len() <= INLINE {
            return Ok(Body::Inline(bytes));
        }
        let sealed = self.seal.seal_long(Sort::Blob, &name, bytes).await;
        let places = match self.put(&name, &sealed).await {
            Ok(places) => places,
            // The stream is not there yet, or has gone with its server.
            Err(_) => {
                self.prepare_pieces().await?;
                self.purge_pieces(&name).await;
                match self.put(&name, &sealed).await {
                    Ok(places) => places,
                    Err(error) => {
                        self.purge_pieces(&name).await;
                        return Err(error);
                    }
                }
            }
        };
        Ok(Body::Stored(Stored { name, places }))
    }

    async fn put(&self, name: &str, sealed: &[u8]) -> Result<Vec<u64>, ClusterError> {
        let failed = |error| engine("store a long message", error);
        let subject = self.names.piece(name);
        let stored = futures_util::stream::iter(sealed.chunks(PIECE)).map(async |piece| {
            let told = self.js.publish(subject.clone(), piece.to_vec().into()).await.map_err(failed)?;
            Ok::<_, ClusterError>(told.await.map_err(failed)?.sequence)
        });
        stored.buffered(AT_ONCE).try_collect().await
    }

    /// Gives the bytes, from the stream of pieces if they are there.
    pub(crate) async fn fetch(&self, body: Body) -> Result<Vec<u8>, ClusterError> {
        let stored = match body {
            Body::Inline(bytes) => return Ok(bytes),
            Body::Stored(stored) => stored,
        };
        // Each piece has its time; all of them together take as long as they take, and are not begun anew for it.
        let mut result = self.get(&stored).await;
        for _ in 1..FETCHES {
            if result.is_ok() {
                break;
            }
            result = self.get(&stored).await;
        }
        result
    }

    async fn get(&self, stored: &Stored) -> Result<Vec<u8>, ClusterError> {
        let missing = |why: &str| Kind::Engine { what: "get a long message", why: why.to_owned() };
        let subject = Names::direct(&self.names.pieces);
        let pieces = futures_util::stream::iter(&stored.places).map(async |place| {
            let request = format!("{{\"seq\":{place}}}");
            let asked = self.client.request(subject.clone(), request.into()).await;
            let piece = asked.map_err(|e| engine("get a long message", e))?;
            match piece.status {
                Some(StatusCode::NOT_FOUND) => Err(missing("it is not there any more").into()),
                _ => Ok::<_, ClusterError>(piece.payload),
            }
        });
        let mut sealed = Vec::new();
        let mut pieces = pieces.buffered(AT_ONCE);
        while let Some(piece) = pieces.next().await {
            sealed.extend_from_slice(&piece?);
        }
        let opened = self.seal.open_long(Sort::Blob, &stored.name, sealed).await;
        opened.ok_or_else(|| missing("it does not bear the pool's seal").into())
    }

    /// Removes something from the stream of pieces.
    pub(crate) async fn discard(&self, stored: &Stored) {
        self.purge_pieces(&stored.name).await;
    }

    /// Removes all that is of a caller from there.
    pub(crate) async fn discard_all(&self, caller: &str) {
        self.purge_pieces(&format!("{caller}.*")).await;
    }

    async fn purge_pieces(&self, name: &str) {
        let request = format!("{{\"filter\":\"{}\"}}", self.names.piece(name));
        // What stays for want of a server goes with its age.
        let _ = self.client.request(Names::purge(&self.names.pieces), request.into()).await;
    }
}
