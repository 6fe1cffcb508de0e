use super::ready_made;
use crate::{CallError, RemoteManager};
use multiproc_core::Message;
use serde::{Deserialize, Serialize};
use std::any::{Any, type_name};
use std::collections::BTreeMap;

/// What a [`NamespaceProxy`] stands for: values of any types under names.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{Manager, NamespaceProxy, object};
///
/// let manager = Manager::start()?;
/// let settings = manager.namespace()?;
/// manager.publish("settings", settings.as_proxy())?;
/// let _same = NamespaceProxy::from(manager.get::<object::Namespace>("settings")?);
/// settings.set("depth", 3u32)?;
/// assert!(settings.remove("depth")? && settings.names()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Namespace(BTreeMap<String, Named>);

#[derive(Debug)]
struct Named {
    value: Box<dyn Any + Send>,
    type_name: &'static str,
}

/// The value is of another type than was asked for; so it is called.
#[derive(Serialize, Deserialize)]
struct OtherType(String);

ready_made! {
    /// Values of different types under names, in a manager's server; Python's `manager.Namespace()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let settings = manager.namespace()?;
    /// settings.set("depth", 7u32)?;
    /// settings.set("title", "tree".to_owned())?;
    /// assert_eq!(settings.get::<u32>("depth")?, Some(7));
    /// assert!(settings.get::<u32>("title").unwrap_err().is_wrong_type());
    /// assert_eq!(settings.names()?, ["depth", "title"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    NamespaceProxy[] of Namespace
}

impl RemoteManager {
    /// Makes a namespace.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn namespace(&self) -> Result<NamespaceProxy, CallError> {
        self.create((), |()| Namespace::default()).map(NamespaceProxy)
    }
}

impl NamespaceProxy {
    /// Sets the value of a name, whatever it was before.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn set<T: Message + Send>(&self, name: &str, value: T) -> Result<(), CallError> {
        self.0.call((name.to_owned(), value), |space, (name, value)| {
            space.0.insert(name, Named { value: Box::new(value), type_name: type_name::<T>() });
        })
    }

    /// Gives a copy of a name's value.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call); [`is_wrong_type`](CallError::is_wrong_type) where the value is of another
    /// type.
    pub fn get<T: Message + Send + Clone>(&self, name: &str) -> Result<Option<T>, CallError> {
        let found = self.0.call(name.to_owned(), |space, name| {
            space
                .0
                .get(&name)
                .map(|named| {
                    named
                        .value
                        .downcast_ref::<T>()
                        .cloned()
                        .ok_or_else(|| OtherType(named.type_name.to_owned()))
                })
                .transpose()
        })?;
        found.map_err(|OtherType(found)| {
            CallError::other_type(format!(
                "{name:?} is a `{found}`, and a `{}` was asked for",
                type_name::<T>()
            ))
        })
    }

    /// Takes a name out; tells whether it was there.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn remove(&self, name: &str) -> Result<bool, CallError> {
        self.0.call(name.to_owned(), |space, name| space.0.remove(&name).is_some())
    }

    /// Lists the names, in their order.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn names(&self) -> Result<Vec<String>, CallError> {
        self.0.call((), |space, ()| space.0.keys().cloned().collect())
    }
}
