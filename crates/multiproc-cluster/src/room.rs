//! The one thread on which there is a runtime.

use crate::error::{ClusterError, Kind};
use crate::link::Link;
use crate::settings::Settings;
use std::future::Future;
use std::pin::Pin;
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the last words may take.
const FLUSH: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce(Link) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A connection on a thread of its own, which ends when the room is dropped and all that was begun there has ended.
#[derive(Debug)]
pub(crate) struct Room {
    jobs: mpsc::UnboundedSender<Job>,
}

impl Room {
    /// Connects.
    pub(crate) fn open(settings: Settings, name: String) -> Result<Room, ClusterError> {
        let key = settings.check()?;
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (tell, told) = std::sync::mpsc::channel();
        let system = |error: std::io::Error| {
            Kind::System { what: "start the thread of the connection", why: error.to_string() }.because(error)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
        thread::Builder::new()
            .name("multiproc-nats".to_owned())
            .spawn(move || {
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, async move {
                    match Link::connect(settings, &key, &name).await {
                        Ok(link) => {
                            let _ = tell.send(Ok(()));
                            serve(link, inbox).await;
                        }
                        Err(error) => {
                            let _ = tell.send(Err(error));
                        }
                    }
                });
            })
            .map_err(system)?;
        match told.recv() {
            Ok(result) => result.map(|()| Room { jobs }),
            Err(_) => Err(gone()),
        }
    }

    /// Begins something there.
    pub(crate) fn begin<F, G>(&self, job: F)
    where
        F: FnOnce(Link) -> G + Send + 'static,
        G: Future<Output = ()> + 'static,
    {
        // A thread that has ended began with nothing left to do.
        let _ = self.jobs.send(Box::new(move |link| Box::pin(job(link))));
    }

    /// Does something there and waits for it.
    pub(crate) fn run<T, F, G>(&self, job: F) -> Result<T, ClusterError>
    where
        T: Send + 'static,
        F: FnOnce(Link) -> G + Send + 'static,
        G: Future<Output = Result<T, ClusterError>> + 'static,
    {
        let (tell, told) = std::sync::mpsc::channel();
        self.begin(move |link| async move {
            let _ = tell.send(job(link).await);
        });
        told.recv().unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> ClusterError {
    let why = "its thread has ended".to_owned();
    Kind::System { what: "use the connection", why }.into()
}

async fn serve(link: Link, mut inbox: mpsc::UnboundedReceiver<Job>) {
    let mut begun = tokio::task::JoinSet::new();
    while let Some(job) = inbox.recv().await {
        while begun.try_join_next().is_some() {}
        begun.spawn_local(job(link.clone()));
    }
    while begun.join_next().await.is_some() {}
    if link.client.connection_state() == async_nats::connection::State::Connected {
        let _ = tokio::time::timeout(FLUSH, link.client.flush()).await;
    }
}
