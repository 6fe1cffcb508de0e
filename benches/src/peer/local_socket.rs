use crate::Result;
use crate::floor::{receive, send};
use crate::link::{Link, Tried, clones};
use crate::payload::Payload;
use interprocess::local_socket::{GenericNamespaced, ListenerOptions, Name, Stream, prelude::*};
use multiproc_queue::Queue;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU32, Ordering};

/// interprocess's local socket, over which messages are framed as over the bare one: it has neither frames nor types.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LocalSocket {
    name: String,
    /// Told when somebody listens.
    open: Queue<()>,
}

fn name(text: &str) -> Tried<Name<'_>> {
    text.to_ns_name::<GenericNamespaced>().map_err(|error| error.to_string())
}

impl<P: Payload> Link<P> for LocalSocket {
    fn halves(pairs: u64) -> Result<Vec<[Self; 2]>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("multiproc-bench-socket-{}-{number}", std::process::id());
        Ok(clones(LocalSocket { name, open: Queue::bounded(1)? }, pairs))
    }

    fn sender(self) -> Tried<impl FnMut(P) -> Tried<()>> {
        let told = |error: std::io::Error| error.to_string();
        let listener = ListenerOptions::new().name(name(&self.name)?).create_sync().map_err(told)?;
        self.open.put(()).map_err(|error| error.to_string())?;
        let mut stream = listener.accept().map_err(told)?;
        Ok(move |message: P| send(&mut stream, &message).map_err(told))
    }

    fn receiver(self) -> Tried<impl FnMut() -> Tried<P>> {
        let told = |error: std::io::Error| error.to_string();
        self.open.get().map_err(|error| error.to_string())?;
        let mut stream = Stream::connect(name(&self.name)?).map_err(told)?;
        Ok(move || receive(&mut stream).map_err(told))
    }
}
