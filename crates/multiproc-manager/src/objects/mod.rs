//! The ready-made objects: what is done with them in one call, and what may wait.

mod array;
mod barrier;
mod condition;
mod dict;
mod event;
mod hold;
mod list;
mod lock;
mod namespace;
mod queue;
mod queue_error;
mod reentrant;
mod semaphore;
mod store;
mod value;

pub use array::{Array, ArrayProxy};
pub use barrier::{Barrier, BarrierError, BarrierProxy};
pub use condition::{Condition, ConditionGuard, ConditionProxy};
pub use dict::DictProxy;
pub use event::{Event, EventProxy};
pub use list::ListProxy;
pub use lock::{Lock, LockGuard, LockProxy};
pub use namespace::{Namespace, NamespaceProxy};
pub use queue::{ItemsProxy, PriorityQueueProxy, Queue, QueueProxy};
pub use queue_error::{QueueGetError, QueuePutError};
pub use reentrant::{ReentrantLock, ReentrantLockGuard, ReentrantLockProxy};
pub use semaphore::{BoundedSemaphoreProxy, Semaphore, SemaphorePermit, SemaphoreProxy};
pub use store::{Fifo, Sorted, Store};
pub use value::ValueProxy;

/// Makes the type of a ready-made object's proxies: a proxy of its state, and a message as that is.
macro_rules! ready_made {
    ($(#[$docs:meta])* $name:ident [$($param:ident),*] of $state:ty) => {
        $(#[$docs])*
        pub struct $name<$($param),*>(crate::Proxy<$state>);

        impl<$($param: 'static),*> $name<$($param),*> where $state: 'static {
            /// The proxy of the object itself: for [`call`](crate::Proxy::call), for instance.
            pub fn as_proxy(&self) -> &crate::Proxy<$state> {
                &self.0
            }

            /// Gives one whose calls take at most so long, where they say nothing else themselves.
            pub fn timeout(&self, limit: std::time::Duration) -> Self {
                $name(self.0.timeout(limit))
            }
        }

        impl<$($param),*> From<crate::Proxy<$state>> for $name<$($param),*> {
            fn from(proxy: crate::Proxy<$state>) -> Self {
                $name(proxy)
            }
        }

        impl<$($param),*> Clone for $name<$($param),*> {
            fn clone(&self) -> Self {
                $name(self.0.clone())
            }
        }

        impl<$($param),*> std::fmt::Debug for $name<$($param),*> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }

        impl<$($param),*> serde::Serialize for $name<$($param),*> {
            fn serialize<Serde: serde::Serializer>(&self, serializer: Serde) -> Result<Serde::Ok, Serde::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de, $($param),*> serde::Deserialize<'de> for $name<$($param),*> {
            fn deserialize<Serde: serde::Deserializer<'de>>(deserializer: Serde) -> Result<Self, Serde::Error> {
                Ok($name(crate::Proxy::deserialize(deserializer)?))
            }
        }
    };
}
pub(crate) use ready_made;
