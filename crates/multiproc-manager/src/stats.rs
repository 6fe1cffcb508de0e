use serde::{Deserialize, Serialize};

/// What a manager's server has done, and is at.
///
/// # Examples
///
/// ```
/// let manager = multiproc_manager::Manager::start()?;
/// let value = manager.value(1u32)?;
/// value.set(2)?;
/// let stats = manager.stats()?;
/// assert_eq!((stats.clients, stats.objects), (1, 1));
/// assert!(stats.calls >= 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ManagerStats {
    /// Processes that are connected.
    pub clients: usize,
    /// Processes that have been.
    pub clients_ever: u64,
    /// Objects that there are.
    pub objects: usize,
    /// Names that are published.
    pub names: usize,
    /// Threads that make calls, or wait for some.
    pub threads: usize,
    /// Calls that have come, also those that ask for these numbers.
    pub calls: u64,
    /// Bytes of those calls.
    pub bytes: u64,
    /// Calls that panicked.
    pub panics: u64,
    /// Objects with a call that runs now.
    pub running: usize,
    /// Calls that wait for their turn.
    pub queued: usize,
    /// Calls that have begun and wait for something to happen: for a lock, for an item.
    pub waiting: usize,
    /// The same by type, those with most calls first.
    pub by_type: Vec<ObjectStats>,
}

/// The objects of one type.
///
/// # Examples
///
/// ```
/// let manager = multiproc_manager::Manager::start()?;
/// let number = manager.value(7u32)?;
/// number.get()?;
/// for objects in manager.stats()?.by_type {
///     println!("{} of {}, called {} times", objects.objects, objects.type_name, objects.calls);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectStats {
    /// The type's name.
    pub type_name: String,
    /// How many there are.
    pub objects: usize,
    /// How often those were called.
    pub calls: u64,
}
