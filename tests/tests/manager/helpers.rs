use multiproc::{Manager, RemoteManager};
use multiproc_tests::{Limit, eventually};
use std::time::Duration;

/// How soon what belonged to the dead must be free.
pub(crate) const SOON: Duration = Duration::from_secs(1);

pub(crate) fn limit(seconds: u64) -> Limit {
    Limit(Duration::from_secs(seconds))
}

/// Waits until the server has so many objects.
pub(crate) fn objects(manager: &RemoteManager, count: usize) {
    eventually(SOON, &format!("{count} objects, not {}", manager.stats().unwrap().objects), || {
        manager.stats().unwrap().objects == count
    });
}

/// Waits until so many calls wait inside objects.
pub(crate) fn waiting(manager: &RemoteManager, count: usize) {
    eventually(Duration::from_secs(10), "calls wait", || manager.stats().unwrap().waiting == count);
}

pub(crate) fn manager() -> Manager {
    Manager::start().unwrap()
}
