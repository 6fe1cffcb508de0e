use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// In which order a queue gives its items.
///
/// # Examples
///
/// ```
/// use multiproc_manager::object::{Fifo, Sorted};
/// use multiproc_manager::Store;
///
/// fn first<S: Store<Item = u32>>() -> Option<u32> {
///     let mut store = S::default();
///     store.push(2);
///     store.push(1);
///     store.pop()
/// }
///
/// assert_eq!((first::<Fifo<u32>>(), first::<Sorted<u32>>()), (Some(2), Some(1)));
/// ```
pub trait Store: Default + Send + 'static {
    /// What is in it.
    type Item;

    /// Puts an item in.
    fn push(&mut self, item: Self::Item);
    /// Puts one back that was taken last.
    fn push_back(&mut self, item: Self::Item);
    /// Takes the next one.
    fn pop(&mut self) -> Option<Self::Item>;
    /// How many there are.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The order of a queue: what came first goes first.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{Manager, QueueProxy, object};
///
/// let manager = Manager::start()?;
/// manager.publish("jobs", manager.queue::<u32>(10)?.as_proxy())?;
/// let jobs = QueueProxy::from(manager.get::<object::Queue<object::Fifo<u32>>>("jobs")?);
/// jobs.put(7)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Fifo<T>(VecDeque<T>);

impl<T> Default for Fifo<T> {
    fn default() -> Fifo<T> {
        Fifo(VecDeque::new())
    }
}

impl<T: Send + 'static> Store for Fifo<T> {
    type Item = T;

    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    fn push_back(&mut self, item: T) {
        self.0.push_front(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// The order of a priority queue: the least goes first, as in Python; of equal ones, what came first.
///
/// # Examples
///
/// ```
/// use multiproc_manager::{Manager, PriorityQueueProxy, object};
///
/// let manager = Manager::start()?;
/// manager.publish("urgent", manager.priority_queue::<u32>()?.as_proxy())?;
/// let urgent = PriorityQueueProxy::from(manager.get::<object::Queue<object::Sorted<u32>>>("urgent")?);
/// urgent.put(7)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Sorted<T> {
    heap: BinaryHeap<Numbered<T>>,
    next: u64,
}

#[derive(Debug)]
struct Numbered<T> {
    item: T,
    number: u64,
}

impl<T: Ord> Ord for Numbered<T> {
    /// The heap gives the greatest.
    fn cmp(&self, other: &Numbered<T>) -> Ordering {
        other.item.cmp(&self.item).then_with(|| other.number.cmp(&self.number))
    }
}

impl<T: Ord> PartialOrd for Numbered<T> {
    fn partial_cmp(&self, other: &Numbered<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Numbered<T> {
    fn eq(&self, other: &Numbered<T>) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Ord> Eq for Numbered<T> {}

impl<T: Ord> Default for Sorted<T> {
    fn default() -> Sorted<T> {
        Sorted { heap: BinaryHeap::new(), next: 0 }
    }
}

impl<T: Ord + Send + 'static> Store for Sorted<T> {
    type Item = T;

    fn push(&mut self, item: T) {
        self.next += 1;
        self.heap.push(Numbered { item, number: self.next });
    }

    fn push_back(&mut self, item: T) {
        self.heap.push(Numbered { item, number: 0 });
    }

    fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|numbered| numbered.item)
    }

    fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_goes_first_and_equals_in_their_order() {
        let mut sorted = Sorted::<(u8, u8)>::default();
        for item in [(2, 0), (1, 0), (2, 0), (0, 9)] {
            sorted.push(item);
        }
        assert_eq!(sorted.pop(), Some((0, 9)));
        sorted.push_back((0, 9));
        let all: Vec<_> = std::iter::from_fn(|| sorted.pop()).collect();
        assert_eq!(all, [(0, 9), (1, 0), (2, 0), (2, 0)]);
    }
}
