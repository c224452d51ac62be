//! A persistent array: rows by number, cloned in constant time.

use std::sync::Arc;

/// How many children a branch has. Few: whoever changes a branch that two clones share copies it first, and each child
/// costs a reference count then.
const FAN_OUT: usize = 8;
const BITS: u32 = FAN_OUT.trailing_zeros();

/// Rows numbered from 0. Clones share every row that neither has changed since.
#[derive(Debug, Clone)]
pub(super) struct PersistentArray<T> {
    len: u32,
    /// Levels of branches above the rows.
    height: u32,
    root: Option<Arc<ArrayNode<T>>>,
}

/// Invariant: at height 0 a row, above that a branch. Children are filled from the left.
#[derive(Debug, Clone)]
enum ArrayNode<T> {
    Branch([Option<Arc<ArrayNode<T>>>; FAN_OUT]),
    Row(T),
}

impl<T> Default for PersistentArray<T> {
    fn default() -> Self {
        Self { len: 0, height: 0, root: None }
    }
}

impl<T: Clone> PersistentArray<T> {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The number of the row that is added next; `None` once numbers run out.
    pub(super) fn next(&self) -> Option<u32> {
        (self.len < u32::MAX).then_some(self.len)
    }

    /// Adds a row, unless numbers have run out.
    pub(super) fn push(&mut self, row: T) {
        let Some(number) = self.next() else { return };
        self.len += 1;
        let full = 1u64 << (BITS * self.height);
        if self.root.is_some() && u64::from(number) >= full {
            let mut children = [const { None }; FAN_OUT];
            children[0] = self.root.take();
            self.root = Some(Arc::new(ArrayNode::Branch(children)));
            self.height += 1;
        }
        let mut slot = &mut self.root;
        for level in (0..self.height).rev() {
            let branch = slot.get_or_insert_with(|| Arc::new(ArrayNode::Branch([const { None }; FAN_OUT])));
            let ArrayNode::Branch(children) = Arc::make_mut(branch) else { unreachable!("rows lie at height 0") };
            slot = &mut children[child(number, level)];
        }
        *slot = Some(Arc::new(ArrayNode::Row(row)));
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        if number >= self.len {
            return None;
        }
        let mut node = self.root.as_deref()?;
        let mut level = self.height;
        loop {
            match node {
                ArrayNode::Row(row) => return Some(row),
                ArrayNode::Branch(children) => {
                    level -= 1;
                    node = children[child(number, level)].as_deref()?;
                }
            }
        }
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        if number >= self.len {
            return None;
        }
        let mut node = Arc::make_mut(self.root.as_mut()?);
        let mut level = self.height;
        loop {
            match node {
                ArrayNode::Row(row) => return Some(row),
                ArrayNode::Branch(children) => {
                    level -= 1;
                    node = Arc::make_mut(children[child(number, level)].as_mut()?);
                }
            }
        }
    }

    /// The rows in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len).filter_map(|number| self.get(number))
    }
}

/// Which child of a branch at this level leads to a row.
fn child(number: u32, level: u32) -> usize {
    (number >> (BITS * level)) as usize % FAN_OUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_their_numbers_at_every_size() {
        let mut table = PersistentArray::default();
        for n in 0..2000u32 {
            assert_eq!(table.get(n), None);
            assert_eq!(table.next(), Some(n));
            table.push(n * 3);
            assert_eq!(table.len(), n as usize + 1);
            for known in [0, n / 2, n.saturating_sub(1), n] {
                assert_eq!(table.get(known), Some(&(known * 3)));
            }
        }
        assert!(table.iter().copied().eq((0..2000).map(|n| n * 3)));
    }

    #[test]
    fn a_clone_keeps_its_rows_while_the_other_changes() {
        let mut table = PersistentArray::default();
        (0..100u32).for_each(|n| table.push(n));
        let before = table.clone();
        for n in [0, 7, 8, 63, 64, 99] {
            *table.get_mut(n).expect("exists") += 1000;
        }
        table.push(100);
        assert!(before.iter().copied().eq(0..100));
        assert_eq!((before.len(), table.len()), (100, 101));
        assert_eq!((table.get(64), table.get(65), table.get(100)), (Some(&1064), Some(&65), Some(&100)));
        assert_eq!(before.clone().get_mut(100), None);
    }
}
