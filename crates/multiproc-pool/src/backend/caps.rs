/// What a backend can do. A pool that asks for more is not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caps {
    /// It can end an element that is running.
    pub(crate) kills_running: bool,
    /// What a task does to its worker cannot reach the others.
    pub(crate) isolates: bool,
    /// It can limit memory, choose processors and how workers are started.
    pub(crate) limits: bool,
    /// Its workers come and go with the work.
    pub(crate) elastic: bool,
    /// Arguments and results may hold handles.
    pub(crate) carries_handles: bool,
}
