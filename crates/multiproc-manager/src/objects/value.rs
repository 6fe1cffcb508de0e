use super::ready_made;
use crate::{CallError, RemoteManager};
use multiproc_core::Message;

ready_made! {
    /// One value in a manager's server, Python's `manager.Value()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let total = manager.value(1u64)?;
    /// assert_eq!(total.update(2, |total, n| { *total += n; *total })?, 3);
    /// assert_eq!(total.get()?, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ValueProxy[T] of T
}

impl RemoteManager {
    /// Makes a value that is shared.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn value<T: Message + Send>(&self, value: T) -> Result<ValueProxy<T>, CallError> {
        self.create(value, |value| value).map(ValueProxy)
    }
}

impl<T: Message + Send + Clone> ValueProxy<T> {
    /// Gives a copy.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn get(&self) -> Result<T, CallError> {
        self.0.call((), |value, ()| value.clone())
    }

    /// Sets it.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn set(&self, value: T) -> Result<(), CallError> {
        self.0.call(value, |place, value| *place = value)
    }

    /// Sets it, and gives what was before.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn replace(&self, value: T) -> Result<T, CallError> {
        self.0.call(value, |place, value| std::mem::replace(place, value))
    }

    /// Sets it if it is `expected`; otherwise gives what it is.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let turn = manager.value(1u32)?;
    /// assert_eq!(turn.compare_exchange(1, 2)?, Ok(1));
    /// assert_eq!(turn.compare_exchange(1, 3)?, Err(2)); // it is another by now
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compare_exchange(&self, expected: T, value: T) -> Result<Result<T, T>, CallError>
    where
        T: PartialEq,
    {
        self.0.call((expected, value), |place, (expected, value)| {
            if *place == expected { Ok(std::mem::replace(place, value)) } else { Err(place.clone()) }
        })
    }

    /// Changes it in its place, in one call.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn update<A: Message, R: Message>(
        &self,
        args: A,
        change: fn(&mut T, A) -> R,
    ) -> Result<R, CallError> {
        self.0.call(args, change)
    }
}
