use super::ready_made;
use crate::{CallError, RemoteManager};
use multiproc_core::Message;
use std::ops::{Bound, RangeBounds};

ready_made! {
    /// A `Vec` in a manager's server, Python's `manager.list()`.
    ///
    /// Each method is one call; an index that is out of range gives `None` or `false` and never a panic.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let names = manager.list(["Ada".to_owned()])?;
    /// names.push("Grace".to_owned())?;
    /// assert_eq!(names.get(1)?.as_deref(), Some("Grace"));
    /// assert_eq!(names.iter()?.map(|name| name.len()).sum::<usize>(), 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ListProxy[T] of Vec<T>
}

impl RemoteManager {
    /// Makes a list: a `Vec` that is shared.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn list<T: Message + Send>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<ListProxy<T>, CallError> {
        self.create(items.into_iter().collect::<Vec<T>>(), |items| items).map(ListProxy)
    }
}

/// A range as it travels.
pub(super) fn range(range: impl RangeBounds<usize>) -> (usize, usize) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => usize::MAX,
    };
    (start, end)
}

/// The part of a list that a range names, as far as there is one.
pub(super) fn part<T>(list: &[T], (start, end): (usize, usize)) -> &[T] {
    let end = end.min(list.len());
    list.get(start.min(end)..end).unwrap_or_default()
}

impl<T: Message + Send + Clone> ListProxy<T> {
    /// Puts an item at the end.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn push(&self, item: T) -> Result<(), CallError> {
        self.0.call(item, |list, item| list.push(item))
    }

    /// Takes the last item.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn pop(&self) -> Result<Option<T>, CallError> {
        self.0.call((), |list, ()| list.pop())
    }

    /// Puts many items at the end, in one call.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let list = manager.list(vec![3u32, 1])?;
    /// list.extend([2, 1])?;
    /// assert_eq!((list.position(1)?, list.count(1)?), (Some(1), 2));
    /// assert_eq!(list.remove(0)?, Some(3));
    /// list.reverse()?;
    /// assert_eq!(list.to_vec()?, [1, 2, 1]);
    /// assert_eq!(list.drain(..1)?, [1]);
    /// list.truncate(1)?;
    /// list.clear()?;
    /// assert!(list.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn extend(&self, items: impl IntoIterator<Item = T>) -> Result<(), CallError> {
        self.0.call(items.into_iter().collect::<Vec<T>>(), |list, items| list.extend(items))
    }

    /// Puts an item before the one at `index`; tells whether there is such a place.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn insert(&self, index: usize, item: T) -> Result<bool, CallError> {
        self.0.call((index, item), |list, (index, item)| {
            let fits = index <= list.len();
            if fits {
                list.insert(index, item);
            }
            fits
        })
    }

    /// Takes the item at `index` out, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn remove(&self, index: usize) -> Result<Option<T>, CallError> {
        self.0.call(index, |list, index| (index < list.len()).then(|| list.remove(index)))
    }

    /// Gives a copy of the item at `index`, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn get(&self, index: usize) -> Result<Option<T>, CallError> {
        self.0.call(index, |list, index| list.get(index).cloned())
    }

    /// Sets the item at `index` and gives the one before, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn set(&self, index: usize, item: T) -> Result<Option<T>, CallError> {
        self.0.call((index, item), |list, (index, item)| {
            list.get_mut(index).map(|place| std::mem::replace(place, item))
        })
    }

    /// Gives a copy of a part, as far as there is one.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn slice(&self, wanted: impl RangeBounds<usize>) -> Result<Vec<T>, CallError> {
        self.0.call(range(wanted), |list, range| part(list, range).to_vec())
    }

    /// Takes a part out, as far as there is one, and gives it.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn drain(&self, wanted: impl RangeBounds<usize>) -> Result<Vec<T>, CallError> {
        self.0.call(range(wanted), |list, (start, end)| {
            let end = end.min(list.len());
            list.drain(start.min(end)..end).collect()
        })
    }

    /// Cuts the list to that length.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn truncate(&self, len: usize) -> Result<(), CallError> {
        self.0.call(len, |list, len| list.truncate(len))
    }

    /// Takes all items out.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn clear(&self) -> Result<(), CallError> {
        self.0.call((), |list, ()| list.clear())
    }

    /// Turns the order around.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn reverse(&self) -> Result<(), CallError> {
        self.0.call((), |list, ()| list.reverse())
    }

    /// Sorts the items; equal ones keep their order.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn sort(&self) -> Result<(), CallError>
    where
        T: Ord,
    {
        self.0.call((), |list, ()| list.sort())
    }

    /// Tells whether there is such an item.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn contains(&self, item: T) -> Result<bool, CallError>
    where
        T: PartialEq,
    {
        self.0.call(item, |list, item| list.contains(&item))
    }

    /// Gives the place of the first such item; Python's `index`.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn position(&self, item: T) -> Result<Option<usize>, CallError>
    where
        T: PartialEq,
    {
        self.0.call(item, |list, item| list.iter().position(|other| *other == item))
    }

    /// Counts such items.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn count(&self, item: T) -> Result<usize, CallError>
    where
        T: PartialEq,
    {
        self.0.call(item, |list, item| list.iter().filter(|other| **other == item).count())
    }

    /// Tells how many items there are.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn len(&self) -> Result<usize, CallError> {
        self.0.call((), |list, ()| list.len())
    }

    /// Tells whether there is none.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn is_empty(&self) -> Result<bool, CallError> {
        self.0.call((), |list, ()| list.is_empty())
    }

    /// Gives a copy of the whole list.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn to_vec(&self) -> Result<Vec<T>, CallError> {
        self.0.call((), |list, ()| list.clone())
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
