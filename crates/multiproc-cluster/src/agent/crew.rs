//! The pools of an agent: one for each state that callers give their workers.

use crate::wire::State;
use multiproc_core::codec::Encoded;
use multiproc_pool::backend::{Init, Port};
use multiproc_pool::{Pool, PoolBuilder};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

/// What tells states apart; 0 is none.
pub(super) fn key_of(state: Option<&State>) -> u64 {
    let Some(State { runner, function, arguments }) = state else { return 0 };
    let mut hasher = DefaultHasher::new();
    (runner, function, arguments).hash(&mut hasher);
    hasher.finish().max(1)
}

struct Crew {
    pool: Pool,
    port: Port,
}

pub(super) struct Crews {
    pub(super) workers: usize,
    each: Arc<dyn Fn(PoolBuilder) -> PoolBuilder>,
    crews: HashMap<u64, Crew>,
}

impl Crews {
    pub(super) fn start(workers: usize, each: Arc<dyn Fn(PoolBuilder) -> PoolBuilder>) -> io::Result<Crews> {
        let mut crews = Crews { workers, each, crews: HashMap::new() };
        crews.get(None)?;
        Ok(crews)
    }

    /// The pool whose workers have that state, made if there is none.
    pub(super) fn get(&mut self, state: Option<&State>) -> io::Result<Port> {
        let key = key_of(state);
        if let Some(crew) = self.crews.get(&key) {
            return Ok(crew.port.clone());
        }
        let mut builder = (self.each)(Pool::builder().workers(self.workers));
        if let Some(State { runner, function, arguments }) = state.cloned() {
            let arguments = Encoded { bytes: arguments, fds: Vec::new() };
            builder = builder.init_encoded(Init { runner, function, arguments });
        }
        let pool = builder.build()?;
        let port = Port::of(&pool);
        self.crews.insert(key, Crew { pool, port: port.clone() });
        Ok(port)
    }

    /// The pool whose workers have that state, if there is one.
    pub(super) fn of(&self, state: Option<&State>) -> Option<&Port> {
        self.crews.get(&key_of(state)).map(|crew| &crew.port)
    }

    /// The pool of those who give no state.
    pub(super) fn plain(&self) -> Option<&Port> {
        self.of(None)
    }

    /// The pools of all.
    pub(super) fn all(&self) -> impl Iterator<Item = &Port> {
        self.crews.values().map(|crew| &crew.port)
    }

    pub(super) fn restarts(&self) -> u64 {
        self.crews.values().map(|crew| crew.port.restarts()).sum()
    }

    /// Ends the pools whose state nobody wants any more.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(u64) -> bool) {
        for (_, crew) in self.crews.extract_if(|key, _| *key != 0 && !is_wanted(*key)) {
            end(crew.pool);
        }
    }

    /// Ends all of them, with what they are running.
    pub(super) fn terminate(self) {
        for crew in self.crews.into_values() {
            crew.pool.terminate();
        }
    }
}

/// Ends a pool that has nothing to do, without waiting for it.
fn end(pool: Pool) {
    let ended = std::thread::Builder::new().name("multiproc-end".to_owned()).spawn(move || pool.terminate());
    if let Err(error) = ended {
        tracing::warn!(target: "multiproc::cluster", %error, "a pool was ended while others waited");
    }
}
