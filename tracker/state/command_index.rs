//! The first ops of the commands that are known: a persistent trie over the bits of the command ids.
//!
//! This is the largest table of all and every op looks into it. Command ids are random, so a trie with small leaves
//! finds its place by a few direct steps, where a search tree of the same size compares keys all the way down.

use super::key::OpKey;
use crate::model::id::CommandId;
use std::fmt;
use std::sync::Arc;

/// How many children a branch has: one for each value of half a byte.
const FAN_OUT: usize = 16;
/// Half bytes in a command id: no branch lies deeper.
const DEPTH_MAX: usize = 32;
/// Most entries of a leaf above the deepest level.
const LEAF_LEN_MAX: usize = 32;

/// A table from command ids to ops. Clones share structure.
#[derive(Clone, Default)]
pub(super) struct CommandIndex {
    root: TrieNode,
}

impl fmt::Debug for CommandIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries: Vec<IndexEntry> = self.iter().collect();
        entries.sort_unstable_by_key(|(id, _)| *id);
        f.debug_map().entries(entries).finish()
    }
}

type IndexEntry = (CommandId, OpKey);

/// Branches at depth `n` tell apart the ids by their half byte `n`, leaves hold ids that agree in all before.
#[derive(Debug, Clone)]
enum TrieNode {
    Branch(Arc<[TrieNode; FAN_OUT]>),
    Leaf(Arc<Vec<IndexEntry>>),
}

impl Default for TrieNode {
    fn default() -> Self {
        TrieNode::Leaf(Arc::default())
    }
}

impl CommandIndex {
    pub(super) fn get(&self, id: CommandId) -> Option<OpKey> {
        let mut node = &self.root;
        let mut depth = 0;
        loop {
            match node {
                TrieNode::Branch(children) => node = &children[half_byte(id, depth)],
                TrieNode::Leaf(entries) => return find(entries, id),
            }
            depth += 1;
        }
    }

    /// Adds a command that is not there yet. Of one that is there it returns the op, which stays.
    pub(super) fn insert(&mut self, id: CommandId, op: OpKey) -> Option<OpKey> {
        let mut node = &mut self.root;
        let mut depth = 0;
        loop {
            if let TrieNode::Leaf(entries) = node {
                if let Some(first) = find(entries, id) {
                    return Some(first);
                }
                if entries.len() < LEAF_LEN_MAX || depth == DEPTH_MAX {
                    Arc::make_mut(entries).push((id, op));
                    return None;
                }
                *node = split(entries, depth);
            }
            if let TrieNode::Branch(children) = node {
                node = &mut Arc::make_mut(children)[half_byte(id, depth)];
                depth += 1;
            }
        }
    }

    /// Forgets a command.
    pub(super) fn remove(&mut self, id: CommandId) {
        remove(&mut self.root, id, 0);
    }

    /// Every command with its op. The order depends on the order in which the commands came.
    pub(super) fn iter(&self) -> impl Iterator<Item = IndexEntry> + '_ {
        let mut path = vec![std::slice::from_ref(&self.root).iter()];
        let leaves = std::iter::from_fn(move || {
            loop {
                match path.last_mut()?.next() {
                    Some(TrieNode::Branch(children)) => path.push(children.iter()),
                    Some(TrieNode::Leaf(entries)) => return Some(entries),
                    None => drop(path.pop()),
                }
            }
        });
        leaves.flat_map(|entries| entries.iter().copied())
    }
}

fn find(entries: &[IndexEntry], id: CommandId) -> Option<OpKey> {
    entries.iter().find(|(known, _)| *known == id).map(|&(_, op)| op)
}

/// A branch in the place of a leaf.
fn split(entries: &[IndexEntry], depth: usize) -> TrieNode {
    let child =
        |n| TrieNode::Leaf(Arc::new(entries.iter().copied().filter(|(id, _)| half_byte(*id, depth) == n).collect()));
    TrieNode::Branch(Arc::new(std::array::from_fn(child)))
}

/// Whether the command was there. A branch that holds few commands after that becomes a leaf again.
fn remove(node: &mut TrieNode, id: CommandId, depth: usize) -> bool {
    match node {
        TrieNode::Leaf(entries) => {
            let Some(at) = entries.iter().position(|(known, _)| *known == id) else { return false };
            Arc::make_mut(entries).swap_remove(at);
            true
        }
        TrieNode::Branch(children) => {
            let removed = remove(&mut Arc::make_mut(children)[half_byte(id, depth)], id, depth + 1);
            if removed && let Some(few) = few(&**children) {
                *node = TrieNode::Leaf(Arc::new(few));
            }
            removed
        }
    }
}

/// All that the children hold, if they are leaves and one leaf has room for twice as much.
fn few(children: &[TrieNode]) -> Option<Vec<IndexEntry>> {
    let mut all = Vec::new();
    for child in children {
        let TrieNode::Leaf(entries) = child else { return None };
        if all.len() + entries.len() > LEAF_LEN_MAX / 2 {
            return None;
        }
        all.extend_from_slice(entries);
    }
    Some(all)
}

fn half_byte(id: CommandId, depth: usize) -> usize {
    let byte = usize::from(id.0[depth / 2]);
    if depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Ids at random, and ids that differ in their last bits only.
    fn id(n: u32) -> CommandId {
        let high = if n.is_multiple_of(3) { 0 } else { n.wrapping_mul(0x9E37_79B1) };
        CommandId((u128::from(high) << 96 | u128::from(n)).to_be_bytes())
    }

    fn op(n: u32) -> OpKey {
        OpKey::new(0, u64::from(n))
    }

    #[test]
    fn every_command_leads_to_its_first_op() {
        let mut commands = CommandIndex::default();
        let mut expected = BTreeMap::new();
        for n in 0..3000 {
            assert_eq!(commands.get(id(n)), None);
            assert_eq!(commands.insert(id(n), op(n)), None);
            assert_eq!(commands.insert(id(n / 2), op(n + 1)), Some(op(n / 2)));
            expected.insert(id(n), op(n).seq());
        }
        assert!(expected.iter().all(|(id, seq)| commands.get(*id).map(OpKey::seq) == Some(*seq)));
        let listed: BTreeMap<_, _> = commands.iter().map(|(id, op)| (id, op.seq())).collect();
        assert_eq!(listed, expected);
        assert_eq!(commands.iter().count(), expected.len());
    }

    #[test]
    fn what_is_forgotten_is_gone_and_leaves_nothing_behind() {
        let mut commands = CommandIndex::default();
        (0..3000).for_each(|n| assert_eq!(commands.insert(id(n), op(n)), None));
        (0..3000).filter(|n| n % 50 != 7).for_each(|n| commands.remove(id(n)));
        commands.remove(id(5000));
        let left: BTreeMap<_, _> = commands.iter().map(|(id, op)| (id, op.seq())).collect();
        assert_eq!(left, (0..3000).filter(|n| n % 50 == 7).map(|n| (id(n), u64::from(n))).collect());
        assert_eq!((commands.iter().count(), commands.get(id(8))), (60, None));
        (0..3000).for_each(|n| commands.remove(id(n)));
        assert!(matches!(&commands.root, TrieNode::Leaf(entries) if entries.is_empty()));
    }

    #[test]
    fn a_clone_keeps_its_commands_while_the_other_grows() {
        let mut commands = CommandIndex::default();
        (0..500).for_each(|n| assert_eq!(commands.insert(id(n), op(n)), None));
        let before = commands.clone();
        (500..1000).for_each(|n| assert_eq!(commands.insert(id(n), op(n)), None));
        assert_eq!(before.iter().count(), 500);
        assert_eq!((before.get(id(700)), commands.get(id(700))), (None, Some(op(700))));
    }
}
