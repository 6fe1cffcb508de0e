//! What waits for a worker: by priority, then in the order in which it came.

use super::work::{Part, Sink};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Queue {
    /// Of ordinary priority: nearly all there is.
    plain: VecDeque<Part>,
    others: BTreeMap<Reverse<i32>, VecDeque<Part>>,
    elements: usize,
}

impl Queue {
    /// How many elements wait.
    pub(crate) fn elements(&self) -> usize {
        self.elements
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.elements == 0
    }

    fn lane(&mut self, priority: i32) -> &mut VecDeque<Part> {
        if priority == 0 { &mut self.plain } else { self.others.entry(Reverse(priority)).or_default() }
    }

    pub(crate) fn push(&mut self, part: Part) {
        self.elements += part.len() as usize;
        self.lane(part.priority()).push_back(part);
    }

    /// Puts back what had its turn before.
    pub(crate) fn push_first(&mut self, part: Part) {
        if part.len() > 0 {
            self.elements += part.len() as usize;
            self.lane(part.priority()).push_front(part);
        }
    }

    /// Takes what is next.
    pub(crate) fn pop(&mut self) -> Option<Part> {
        let priority = match self.others.first_key_value() {
            Some((Reverse(priority), _)) if *priority > 0 || self.plain.is_empty() => *priority,
            _ => 0,
        };
        let part = self.lane(priority).pop_front();
        if priority != 0 && self.others.get(&Reverse(priority)).is_some_and(VecDeque::is_empty) {
            self.others.remove(&Reverse(priority));
        }
        self.elements -= part.as_ref().map_or(0, |part| part.len() as usize);
        part
    }

    /// Removes the elements of a sink that `is_meant`, and gives their numbers.
    pub(crate) fn remove(&mut self, sink: &Arc<dyn Sink>, is_meant: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut removed = Vec::new();
        for lane in std::iter::once(&mut self.plain).chain(self.others.values_mut()) {
            if !lane.iter().any(|part| part.is_of(sink)) {
                continue;
            }
            for part in std::mem::take(lane) {
                if part.is_of(sink) {
                    split(part, &is_meant, lane, &mut removed);
                } else {
                    lane.push_back(part);
                }
            }
        }
        self.others.retain(|_, lane| !lane.is_empty());
        self.elements -= removed.len();
        removed
    }

    /// Takes out everything.
    pub(crate) fn drain(&mut self) -> Vec<Part> {
        self.elements = 0;
        let others = std::mem::take(&mut self.others);
        std::mem::take(&mut self.plain).into_iter().chain(others.into_values().flatten()).collect()
    }
}

/// Keeps the elements of a part that are not meant.
fn split(part: Part, is_meant: impl Fn(u64) -> bool, lane: &mut VecDeque<Part>, removed: &mut Vec<u64>) {
    let mut from = part.from;
    let mut keep = |from: u32, to: u32| {
        if from < to {
            lane.push_back(Part { from, to, ..part.clone() });
        }
    };
    for element in part.from..part.to {
        let number = part.work.base + u64::from(element);
        if is_meant(number) {
            removed.push(number);
            keep(from, element);
            from = element + 1;
        }
    }
    keep(from, part.to);
}
