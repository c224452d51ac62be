//! A persistent array with holes: rows by number, cloned in constant time.

use std::sync::Arc;

/// How many children a branch has. Few, because a change copies every branch that two clones share, and each child
/// then costs a reference count.
const FAN_OUT: usize = 8;
const BITS: u32 = FAN_OUT.trailing_zeros();

/// Rows numbered from 0. A removed row's number is never used again. Clones share every row that neither has changed
/// since.
#[derive(Debug, Clone)]
pub(super) struct SparseArray<T> {
    /// How many rows there are.
    len: u32,
    /// The number of the next row.
    next: u32,
    /// Levels of branches above the rows. Follows from `next`.
    height: u32,
    root: Option<Arc<ArrayNode<T>>>,
}

/// Invariant: at height 0 a row, above that a branch with at least one child.
#[derive(Debug, Clone)]
enum ArrayNode<T> {
    Branch([Option<Arc<ArrayNode<T>>>; FAN_OUT]),
    Row(T),
}

impl<T> Default for SparseArray<T> {
    fn default() -> Self {
        Self { len: 0, next: 0, height: 0, root: None }
    }
}

impl<T: Clone> SparseArray<T> {
    /// An array without rows that has already used the first `next` numbers.
    pub(super) fn from_number(next: u32) -> Self {
        let mut array = Self { next, ..Self::default() };
        if let Some(last) = next.checked_sub(1) {
            array.grow(last);
        }
        array
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The number of the next row; `None` if no numbers are left.
    pub(super) fn next(&self) -> Option<u32> {
        (self.next < u32::MAX).then_some(self.next)
    }

    /// How many numbers are used.
    pub(super) fn used(&self) -> u32 {
        self.next
    }

    /// Adds a row, unless no numbers are left.
    pub(super) fn push(&mut self, row: T) {
        let Some(number) = self.next() else { return };
        self.next += 1;
        self.grow(number);
        self.put(number, row);
    }

    /// Adds branches above the root until there is a place for a number.
    fn grow(&mut self, number: u32) {
        while u64::from(number) >= 1u64 << (BITS * self.height) {
            if self.root.is_some() {
                let mut children = [const { None }; FAN_OUT];
                children[0] = self.root.take();
                self.root = Some(Arc::new(ArrayNode::Branch(children)));
            }
            self.height += 1;
        }
    }

    /// Puts a row at a used number that has none. Returns false without a change if the number is unused or has a row.
    pub(super) fn fill(&mut self, number: u32, row: T) -> bool {
        let free = number < self.next && self.get(number).is_none();
        if free {
            self.put(number, row);
        }
        free
    }

    fn put(&mut self, number: u32, row: T) {
        let mut slot = &mut self.root;
        for level in (0..self.height).rev() {
            let branch = slot.get_or_insert_with(|| Arc::new(ArrayNode::Branch([const { None }; FAN_OUT])));
            let ArrayNode::Branch(children) = Arc::make_mut(branch) else { unreachable!("rows lie at height 0") };
            slot = &mut children[child(number, level)];
        }
        *slot = Some(Arc::new(ArrayNode::Row(row)));
        self.len += 1;
    }

    /// Removes a row, and the branches that are then without rows. Does nothing if there is no such row.
    pub(super) fn remove(&mut self, number: u32) {
        if self.get(number).is_some() {
            clear(&mut self.root, number, self.height);
            self.len -= 1;
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        if number >= self.next {
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
        if number >= self.next {
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

    /// The rows with their numbers, in the order of the numbers. The cost is proportional to the number of rows.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        // The stack of nodes to visit, each with the number of its first row and its height.
        let mut left: Vec<_> = self.root.as_deref().map(|root| (root, 0, self.height)).into_iter().collect();
        std::iter::from_fn(move || {
            loop {
                match left.pop()? {
                    (ArrayNode::Row(row), number, _) => return Some((number, row)),
                    (ArrayNode::Branch(children), first, height) => {
                        let level = height - 1;
                        let there = (0u32..).zip(children).filter_map(|(at, child)| Some((at, child.as_deref()?)));
                        let below = there.map(|(at, child)| (child, first | at << (BITS * level), level));
                        let top = left.len();
                        left.extend(below);
                        left[top..].reverse();
                    }
                }
            }
        })
    }

    /// The rows in the order of their numbers.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, row)| row)
    }
}

/// Removes the row of a number from a tree of this height. The row must be there.
fn clear<T: Clone>(slot: &mut Option<Arc<ArrayNode<T>>>, number: u32, height: u32) {
    let empty = match slot.as_mut().map(Arc::make_mut) {
        Some(ArrayNode::Branch(children)) => {
            clear(&mut children[child(number, height - 1)], number, height - 1);
            children.iter().all(Option::is_none)
        }
        Some(ArrayNode::Row(_)) | None => true,
    };
    if empty {
        *slot = None;
    }
}

/// Which child of a branch at this level leads to a row.
fn child(number: u32, level: u32) -> usize {
    (number >> (BITS * level)) as usize % FAN_OUT
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn rows_are_found_by_their_numbers_at_every_size() {
        let mut table = SparseArray::default();
        for n in 0..2000u32 {
            assert_eq!(table.get(n), None);
            assert_eq!(table.next(), Some(n));
            table.push(n * 3);
            assert_eq!(table.len(), n as usize + 1);
            for known in [0, n / 2, n.saturating_sub(1), n] {
                assert_eq!(table.get(known), Some(&(known * 3)));
            }
        }
        assert!(table.iter().map(|(number, row)| (number, *row)).eq((0..2000).map(|n| (n, n * 3))));
    }

    #[test]
    fn a_clone_keeps_its_rows_while_the_other_changes() {
        let mut table = SparseArray::default();
        (0..100u32).for_each(|n| table.push(n));
        let before = table.clone();
        for n in [0, 7, 8, 63, 64, 99] {
            *table.get_mut(n).expect("exists") += 1000;
        }
        table.push(100);
        table.remove(50);
        assert!(before.values().copied().eq(0..100));
        assert_eq!((before.len(), table.len()), (100, 100));
        assert_eq!((table.get(64), table.get(65), table.get(100)), (Some(&1064), Some(&65), Some(&100)));
        assert_eq!(before.clone().get_mut(100), None);
    }

    #[test]
    fn an_array_whose_rows_are_gone_holds_no_branch() {
        let mut table = SparseArray::default();
        (0..1000u32).for_each(|n| table.push(n));
        (0..1000).for_each(|n| table.remove(n));
        assert!(table.root.is_none());
        assert_eq!((table.len(), table.next()), (0, Some(1000)));
        table.push(7);
        assert_eq!(table.iter().collect::<Vec<_>>(), [(1000, &7)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn holes_do_not_move_what_is_left(steps in vec((any::<bool>(), 0u32..200), 0..400)) {
            let (mut table, mut expected, mut next) = (SparseArray::default(), BTreeMap::new(), 0u32);
            for (adds, n) in steps {
                if adds || n % 3 == 0 {
                    table.push(n);
                    expected.insert(next, n);
                    next += 1;
                } else {
                    table.remove(n);
                    expected.remove(&n);
                    prop_assert_eq!(table.get_mut(n), None);
                }
                prop_assert_eq!(table.len(), expected.len());
            }
            prop_assert!(table.iter().eq(expected.iter().map(|(number, row)| (*number, row))));
            let mut again = SparseArray::from_number(next);
            expected.iter().for_each(|(&number, &row)| assert!(again.fill(number, row)));
            prop_assert!(!again.fill(next, 1));
            prop_assert_eq!(format!("{again:?}"), format!("{table:?}"));
        }
    }
}
