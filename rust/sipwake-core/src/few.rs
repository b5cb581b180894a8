//! A list that is empty for most of a client's life.

use std::ops::{Deref, DerefMut};

/// A `Vec` that takes one pointer while it is empty, and gives its room back when it becomes so again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::box_collection, reason = "one pointer instead of three words is the point")]
pub(crate) struct Few<T>(Option<Box<Vec<T>>>);

impl<T> Few<T> {
    pub(crate) fn push(&mut self, item: T) {
        self.0.get_or_insert_default().push(item);
    }

    /// # Panics
    /// As [`Vec::remove`].
    pub(crate) fn remove(&mut self, index: usize) -> T {
        let item = self.0.get_or_insert_default().remove(index);
        self.shrink();
        item
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        if let Some(items) = &mut self.0 {
            items.retain(keep);
            self.shrink();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    fn shrink(&mut self) {
        self.0.take_if(|items| items.is_empty());
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(items: Vec<T>) -> Self {
        Self((!items.is_empty()).then(|| Box::new(items)))
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().map(Vec::as_slice).unwrap_or_default()
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_deref_mut().map(Vec::as_mut_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_becomes_empty_gives_its_room_back() {
        let mut few = Few::default();
        assert!(few.is_empty() && size_of_val(&few) == size_of::<usize>());
        few.push(1);
        few.push(2);
        assert_eq!((few.remove(0), &*few), (1, [2].as_slice()));
        few.retain(|item| *item != 2);
        assert_eq!(few.0, None);
    }
}
