//! A list and a map that are empty for most of a client's life.

use std::borrow::Borrow;
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

/// A map of so few entries that looking through all of them is quick, in the order in which they came. A `BTreeMap` is several
/// kilobytes of code for each kind of entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FewMap<K, V>(Few<(K, V)>);

impl<K: Eq, V> FewMap<K, V> {
    pub(crate) fn get<Q: Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.iter().find(|(known, _)| known.borrow() == key).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, former)) => *former = value,
            None => self.0.push((key, value)),
        }
    }

    /// Returns the value of a key, which gets this one if it has none.
    pub(crate) fn get_or_insert(&mut self, key: K, value: V) -> &mut V {
        let index = self.0.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.0.push((key, value));
            self.0.len() - 1
        });
        &mut self.0[index].1
    }

    pub(crate) fn remove<Q: Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.0.retain(|(known, _)| known.borrow() != key);
    }
}

impl<K, V> Default for FewMap<K, V> {
    fn default() -> Self {
        Self(Few::default())
    }
}

impl<K, V> Deref for FewMap<K, V> {
    type Target = [(K, V)];

    fn deref(&self) -> &[(K, V)] {
        &self.0
    }
}

impl<K, V> DerefMut for FewMap<K, V> {
    fn deref_mut(&mut self) -> &mut [(K, V)] {
        &mut self.0
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

    #[test]
    fn a_map_has_one_value_a_key_in_the_order_in_which_they_came() {
        let mut map = FewMap::default();
        map.insert("b".to_owned(), 1);
        *map.get_or_insert("a".to_owned(), 2) += 3;
        map.insert("b".to_owned(), 4);
        assert_eq!(*map.get_or_insert("a".to_owned(), 0), 5);
        assert_eq!(*map, [("b".to_owned(), 4), ("a".to_owned(), 5)]);
        map.remove("b");
        assert_eq!((map.get("a"), map.get("b"), map.len()), (Some(&5), None, 1));
    }
}
