use super::ready_made;
use crate::{CallError, RemoteManager};
use multiproc_core::Message;
use multiproc_process::FuncWith;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::hash::Hash;

ready_made! {
    /// A `HashMap` in a manager's server, Python's `manager.dict()`.
    ///
    /// Each method is one call: nobody else's comes between its parts. What several steps are needed for is
    /// [`update`](DictProxy::update), [`update_or_insert`](DictProxy::update_or_insert), or a
    /// [`call`](crate::Proxy::call) on the whole map.
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let stock = manager.dict::<String, u32>()?;
    /// stock.insert("apples".into(), 3)?;
    /// assert_eq!(stock.get("apples")?, Some(3));
    /// assert_eq!(stock.update_or_insert("pears".into(), 0, 2, |pears, n| { *pears += n; *pears })?, 2);
    /// let mut items: Vec<_> = stock.iter()?.collect();
    /// items.sort();
    /// assert_eq!(items, [("apples".to_owned(), 3), ("pears".to_owned(), 2)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    DictProxy[K, V] of HashMap<K, V>
}

/// A change of one entry, as data.
#[derive(Serialize, Deserialize)]
#[serde(bound = "K: Message, V: Message, A: Message")]
struct Update<K: 'static, V: 'static, A: 'static, R: 'static> {
    key: K,
    default: Option<V>,
    change: FuncWith<V, A, R>,
    args: A,
}

impl RemoteManager {
    /// Makes a dict: a `HashMap` that is shared.
    ///
    /// # Errors
    ///
    /// As [`create`](RemoteManager::create).
    pub fn dict<K, V>(&self) -> Result<DictProxy<K, V>, CallError>
    where
        K: Message + Eq + Hash + Send,
        V: Message + Send,
    {
        self.create((), |()| HashMap::new()).map(DictProxy)
    }
}

impl<K: Message + Eq + Hash + Send + Clone, V: Message + Send + Clone> DictProxy<K, V> {
    /// Sets the value of a key; gives the one before.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn insert(&self, key: K, value: V) -> Result<Option<V>, CallError> {
        self.0.call((key, value), |map, (key, value)| map.insert(key, value))
    }

    /// Gives a copy of a key's value.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn get<Q: ToOwned<Owned = K> + ?Sized>(&self, key: &Q) -> Result<Option<V>, CallError> {
        self.0.call(key.to_owned(), |map, key| map.get(&key).cloned())
    }

    /// Takes a key and its value out.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    ///
    /// # Examples
    ///
    /// ```
    /// let manager = multiproc_manager::Manager::start()?;
    /// let ages = manager.dict::<String, u32>()?;
    /// ages.extend([("Ada".to_owned(), 36), ("Alan".to_owned(), 41), ("Grace".to_owned(), 85)])?;
    /// assert_eq!(ages.remove("Alan")?, Some(41));
    /// assert!(ages.contains_key("Ada")? && ages.keys()?.len() == 2);
    /// assert_eq!(ages.get_or_insert("Ada".to_owned(), 0)?, 36);
    /// assert_eq!(ages.get_many(["Ada", "Alan"].map(str::to_owned))?, [Some(36), None]);
    /// assert_eq!(ages.values()?.iter().sum::<u32>(), 121);
    /// assert_eq!(ages.remove_many(["Ada".to_owned()])?, 1);
    /// assert_eq!(ages.pop_item()?, Some(("Grace".to_owned(), 85)));
    /// ages.clear()?;
    /// assert!(ages.to_map()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove<Q: ToOwned<Owned = K> + ?Sized>(&self, key: &Q) -> Result<Option<V>, CallError> {
        self.0.call(key.to_owned(), |map, key| map.remove(&key))
    }

    /// Takes any entry out, Python's `popitem`.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn pop_item(&self) -> Result<Option<(K, V)>, CallError> {
        self.0.call((), |map, ()| {
            let key = map.keys().next().cloned()?;
            map.remove_entry(&key)
        })
    }

    /// Tells whether there is such a key.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn contains_key<Q: ToOwned<Owned = K> + ?Sized>(&self, key: &Q) -> Result<bool, CallError> {
        self.0.call(key.to_owned(), |map, key| map.contains_key(&key))
    }

    /// Gives the value of a key, which is `default` where there was none; Python's `setdefault`.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn get_or_insert(&self, key: K, default: V) -> Result<V, CallError> {
        self.0.call((key, default), |map, (key, default)| map.entry(key).or_insert(default).clone())
    }

    /// Changes the value of a key in its place, if there is one, and gives what `change` gives.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn update<A: Message, R: Message>(
        &self,
        key: K,
        args: A,
        change: fn(&mut V, A) -> R,
    ) -> Result<Option<R>, CallError> {
        self.change(Update { key, default: None, change: FuncWith::new(change), args })
    }

    /// Changes the value of a key in its place, which is `default` at first where there is none.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn update_or_insert<A: Message, R: Message>(
        &self,
        key: K,
        default: V,
        args: A,
        change: fn(&mut V, A) -> R,
    ) -> Result<R, CallError> {
        let update = Update { key, default: Some(default), change: FuncWith::new(change), args };
        self.change(update)?.ok_or_else(|| CallError::protocol("nothing was changed"))
    }

    fn change<A: Message, R: Message>(&self, update: Update<K, V, A, R>) -> Result<Option<R>, CallError> {
        self.0.call(update, |map, update| {
            let value = match update.default {
                Some(default) => map.entry(update.key).or_insert(default),
                None => map.get_mut(&update.key)?,
            };
            Some(update.change.call(value, update.args))
        })
    }

    /// Gives the values of many keys, in one call.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn get_many(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Option<V>>, CallError> {
        let keys: Vec<K> = keys.into_iter().collect();
        self.0.call(keys, |map, keys| keys.iter().map(|key| map.get(key).cloned()).collect())
    }

    /// Sets many entries, in one call; Python's `update`.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn extend(&self, entries: impl IntoIterator<Item = (K, V)>) -> Result<(), CallError> {
        let entries: Vec<(K, V)> = entries.into_iter().collect();
        self.0.call(entries, |map, entries| map.extend(entries))
    }

    /// Takes many keys out, in one call; gives how many there were.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn remove_many(&self, keys: impl IntoIterator<Item = K>) -> Result<usize, CallError> {
        let keys: Vec<K> = keys.into_iter().collect();
        self.0.call(keys, |map, keys| keys.iter().filter(|key| map.remove(*key).is_some()).count())
    }

    /// Tells how many entries there are.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn len(&self) -> Result<usize, CallError> {
        self.0.call((), |map, ()| map.len())
    }

    /// Tells whether there is no entry.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn is_empty(&self) -> Result<bool, CallError> {
        self.0.call((), |map, ()| map.is_empty())
    }

    /// Takes all entries out.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn clear(&self) -> Result<(), CallError> {
        self.0.call((), |map, ()| map.clear())
    }

    /// Gives a copy of the keys, in any order.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn keys(&self) -> Result<Vec<K>, CallError> {
        self.0.call((), |map, ()| map.keys().cloned().collect())
    }

    /// Gives a copy of the values, in any order.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn values(&self) -> Result<Vec<V>, CallError> {
        self.0.call((), |map, ()| map.values().cloned().collect())
    }

    /// Gives a copy of the whole map.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn to_map(&self) -> Result<HashMap<K, V>, CallError> {
        self.0.call((), |map, ()| map.clone())
    }

    /// Goes through a copy of the entries as they are now, in any order.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`](crate::Proxy::call).
    pub fn iter(&self) -> Result<impl Iterator<Item = (K, V)> + use<K, V>, CallError> {
        let entries: Vec<(K, V)> = self.0.call((), |map, ()| map.clone().into_iter().collect())?;
        Ok(entries.into_iter())
    }
}
