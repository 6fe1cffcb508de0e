use super::list::{part, range};
use super::ready_made;
use crate::{CallError, RemoteManager};
use multiproc_core::Message;
use std::ops::RangeBounds;

/// What an [`ArrayProxy`] stands for: items whose number does not change.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{ArrayProxy, Manager, object};
///
/// let manager = Manager::start()?;
/// let marks = manager.array(vec![0u8; 4])?;
/// assert!(marks.set_slice(1, vec![7, 8])?);
/// assert_eq!(marks.to_vec()?, [0, 7, 8, 0]);
/// marks.fill(1)?;
/// manager.publish("marks", marks.as_proxy())?;
/// let same = ArrayProxy::from(manager.get::<object::Array<u8>>("marks")?); // in whatever process
/// assert_eq!(same.len()?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Array<T>(Vec<T>);

ready_made! {
    /// An array in a manager's server, Python's `manager.Array()`: its length never changes.
    ///
    /// For numbers that many processes touch all the time, a `SharedSlice` in shared memory is some hundred times as fast.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let cells = manager.array(vec![0u8; 4])?;
    /// assert_eq!(cells.set(2, 7)?, Some(0));
    /// assert!(cells.set(4, 7)?.is_none());
    /// assert_eq!(cells.slice(1..)?, [0, 7, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ArrayProxy[T] of Array<T>
}

impl RemoteManager {
    /// Makes an array of these items.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn array<T: Message + Send>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<ArrayProxy<T>, CallError> {
        self.create(items.into_iter().collect::<Vec<T>>(), Array).map(ArrayProxy)
    }
}

impl<T: Message + Send + Clone> ArrayProxy<T> {
    /// Gives a copy of the item at `index`, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn get(&self, index: usize) -> Result<Option<T>, CallError> {
        self.0.call(index, |array, index| array.0.get(index).cloned())
    }

    /// Sets the item at `index` and gives the one before, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn set(&self, index: usize, item: T) -> Result<Option<T>, CallError> {
        self.0.call((index, item), |array, (index, item)| {
            array.0.get_mut(index).map(|place| std::mem::replace(place, item))
        })
    }

    /// Sets the items from `start` on, in one call; tells whether all of them have a place, or else sets none.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn set_slice(&self, start: usize, items: Vec<T>) -> Result<bool, CallError> {
        self.0.call((start, items), |array, (start, items)| {
            let places = start.checked_add(items.len()).and_then(|end| array.0.get_mut(start..end));
            places.map(|places| places.clone_from_slice(&items)).is_some()
        })
    }

    /// Gives a copy of a part, as far as there is one.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn slice(&self, wanted: impl RangeBounds<usize>) -> Result<Vec<T>, CallError> {
        self.0.call(range(wanted), |array, range| part(&array.0, range).to_vec())
    }

    /// Sets every item.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn fill(&self, item: T) -> Result<(), CallError> {
        self.0.call(item, |array, item| array.0.fill(item))
    }

    /// Changes the item at `index` in its place, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn update<A: Message, R: Message>(
        &self,
        index: usize,
        args: A,
        change: fn(&mut T, A) -> R,
    ) -> Result<Option<R>, CallError> {
        let change = multiproc_process::FuncWith::new(change);
        self.0.call((index, args, change), |array, (index, args, change)| {
            array.0.get_mut(index).map(|place| change.call(place, args))
        })
    }

    /// Tells how many items there are.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn len(&self) -> Result<usize, CallError> {
        self.0.call((), |array, ()| array.0.len())
    }

    /// Tells whether there is none.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn is_empty(&self) -> Result<bool, CallError> {
        self.0.call((), |array, ()| array.0.is_empty())
    }

    /// Gives a copy of the whole array.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn to_vec(&self) -> Result<Vec<T>, CallError> {
        self.0.call((), |array, ()| array.0.clone())
    }

    /// Goes through a copy of the items as they are now.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn iter(&self) -> Result<impl Iterator<Item = T> + use<T>, CallError> {
        Ok(self.to_vec()?.into_iter())
    }
}
