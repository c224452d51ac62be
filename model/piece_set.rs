//! Which pieces a client holds, in the smaller of two forms: the edges of runs of pieces, or one bit per piece.

use super::bitfield::Bitfield;
use super::piece::{Layout, PieceIndex};
use std::hash::{Hash, Hasher};

/// Bytes of an edge.
const EDGE_LEN: usize = size_of::<u32>();
/// Up to this many pieces are inserted among the runs one by one. More pieces are merged with the runs.
const FEW: usize = 8;

/// A set of pieces of one layout.
///
/// Invariant: equal sets that were made at once have equal forms. A set that has grown may keep its bits until they
/// take twice the room of its runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceSet {
    form: Form,
    held: u32,
    len: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// Ascending, in pairs: the first piece of a run, and the first piece behind it.
    Runs(Vec<u32>),
    /// The bits, and the number of edges that the same set has as runs.
    Bits { bits: Bitfield, edges: usize },
}

/// Where the runs of a set begin and end, or its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetForm<'a> {
    Runs(&'a [u32]),
    Bits(&'a [u8]),
}

impl PieceSet {
    /// The empty set.
    pub fn none(layout: Layout) -> Self {
        Self { form: Form::Runs(Vec::new()), held: 0, len: layout.count() }
    }

    /// Takes edges from outside; `None` if no runs have these edges.
    pub fn from_edges(layout: Layout, edges: &[u32]) -> Option<Self> {
        let ascending = edges.windows(2).all(|pair| pair[0] < pair[1]);
        let within = edges.last().is_none_or(|&last| last <= layout.count());
        (edges.len().is_multiple_of(2) && ascending && within).then(|| Self::of_runs(layout, edges.to_vec()))
    }

    /// Takes the bytes of a bitfield from outside; `None` if they do not fit the layout.
    pub fn from_bytes(layout: Layout, bytes: &[u8]) -> Option<Self> {
        Some(Self::of_bits(layout, Bitfield::from_bytes(layout, bytes)?))
    }

    fn of_bits(layout: Layout, bits: Bitfield) -> Self {
        let edges = edge_count(bits.as_bytes());
        if edges * EDGE_LEN < bits.as_bytes().len() {
            return Self::of_runs(layout, runs_of(bits.as_bytes()));
        }
        Self { held: bits.held(), len: layout.count(), form: Form::Bits { bits, edges } }
    }

    fn of_runs(layout: Layout, runs: Vec<u32>) -> Self {
        // Each end lies behind its beginning, and no run is longer than the layout.
        let held = runs.chunks_exact(2).map(|run| run[1] - run[0]).sum();
        let mut set = Self { form: Form::Runs(runs), held, len: layout.count() };
        set.fit(layout);
        set
    }

    pub fn held(&self) -> u32 {
        self.held
    }

    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    pub fn is_complete(&self) -> bool {
        self.held == self.len
    }

    /// Whether the piece is in the set.
    pub fn has(&self, piece: PieceIndex) -> bool {
        match &self.form {
            Form::Runs(runs) => !runs.partition_point(|&edge| edge <= piece.get()).is_multiple_of(2),
            Form::Bits { bits, .. } => bits.has(piece),
        }
    }

    /// Bytes that the set takes up besides the struct.
    pub fn byte_len(&self) -> usize {
        match &self.form {
            Form::Runs(runs) => runs.capacity() * EDGE_LEN,
            Form::Bits { bits, .. } => bits.as_bytes().len(),
        }
    }

    /// The set in its present form.
    pub fn form(&self) -> SetForm<'_> {
        match &self.form {
            Form::Runs(runs) => SetForm::Runs(runs),
            Form::Bits { bits, .. } => SetForm::Bits(bits.as_bytes()),
        }
    }

    /// Puts pieces in.
    pub fn insert(&mut self, layout: Layout, pieces: &[PieceIndex]) {
        match &mut self.form {
            Form::Bits { bits, edges } => {
                for &piece in pieces {
                    let near = |number: Option<u32>| number.and_then(|number| layout.index(number));
                    let beside = [near(piece.get().checked_sub(1)), near(piece.get().checked_add(1))];
                    let beside = beside.into_iter().flatten().filter(|&piece| bits.has(piece)).count();
                    if bits.insert(piece) {
                        // A lone piece adds two edges. Each neighbour removes one edge of the piece and one of its own.
                        *edges = *edges + 2 - 2 * beside;
                    }
                }
                self.held = bits.held();
            }
            Form::Runs(runs) if pieces.len() <= FEW => {
                pieces.iter().for_each(|piece| self.held += u32::from(insert_in(runs, piece.get())));
            }
            Form::Runs(runs) => {
                let mut numbers: Vec<u32> = pieces.iter().map(|piece| piece.get()).collect();
                numbers.sort_unstable();
                numbers.dedup();
                let more: Vec<u32> = numbers.iter().flat_map(|&piece| [piece, piece + 1]).collect();
                *runs = union(runs, &more);
                self.held = runs.chunks_exact(2).map(|run| run[1] - run[0]).sum();
            }
        }
        self.fit(layout);
    }

    /// Changes to the other form if that is smaller. From bits to runs it changes only if the runs take less than half
    /// the room.
    fn fit(&mut self, layout: Layout) {
        match &mut self.form {
            Form::Runs(runs) if runs.len() * EDGE_LEN >= Bitfield::byte_len(layout).max(1) => {
                let mut bits = Bitfield::none(layout);
                let pieces = runs.chunks_exact(2).flat_map(|run| run[0]..run[1]);
                for piece in pieces.filter_map(|piece| layout.index(piece)) {
                    bits.insert(piece);
                }
                self.form = Form::Bits { edges: runs.len(), bits };
            }
            Form::Bits { bits, edges } if *edges * EDGE_LEN * 2 < bits.as_bytes().len() => {
                self.form = Form::Runs(runs_of(bits.as_bytes()));
            }
            Form::Runs(_) | Form::Bits { .. } => {}
        }
    }
}

impl Hash for PieceSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len.hash(state);
        match self.form() {
            SetForm::Runs(runs) => runs.hash(state),
            SetForm::Bits(bits) => bits.hash(state),
        }
    }
}

/// How many edges the runs in a bitfield have.
fn edge_count(bytes: &[u8]) -> usize {
    let mut last = 0;
    let in_byte = |&byte: &u8| {
        let shifted = byte >> 1 | last << 7;
        last = byte & 1;
        (byte ^ shifted).count_ones() as usize
    };
    let edges: usize = bytes.iter().map(in_byte).sum();
    // A run up to the last bit of the last byte has its end there.
    edges + usize::from(bytes.last().is_some_and(|byte| byte & 1 == 1))
}

/// The edges of the runs in a bitfield.
fn runs_of(bytes: &[u8]) -> Vec<u32> {
    let mut runs = Vec::with_capacity(edge_count(bytes));
    let mut held = false;
    for (at, &byte) in (0u32..).zip(bytes) {
        if byte == if held { 0xff } else { 0 } {
            continue;
        }
        for bit in 0..8 {
            if (byte & (0x80 >> bit) != 0) != held {
                held = !held;
                runs.push(at * 8 + bit);
            }
        }
    }
    if held {
        runs.push(bytes.len() as u32 * 8);
    }
    runs
}

/// Puts one piece among runs; false if it was there.
fn insert_in(runs: &mut Vec<u32>, piece: u32) -> bool {
    let at = runs.partition_point(|&edge| edge <= piece);
    if !at.is_multiple_of(2) {
        return false;
    }
    let joins_before = at > 0 && runs[at - 1] == piece;
    let joins_behind = runs.get(at) == Some(&(piece + 1));
    match (joins_before, joins_behind) {
        (true, true) => drop(runs.drain(at - 1..=at)),
        (true, false) => runs[at - 1] = piece + 1,
        (false, true) => runs[at] = piece,
        (false, false) => drop(runs.splice(at..at, [piece, piece + 1])),
    }
    true
}

/// The edges of the union of two lists of runs. Runs of the second list may touch each other.
fn union(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out: Vec<u32> = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.chunks_exact(2).peekable(), b.chunks_exact(2).peekable());
    loop {
        let run = match (a.peek(), b.peek()) {
            (Some(one), Some(other)) if one[0] <= other[0] => a.next(),
            (_, Some(_)) => b.next(),
            (_, None) => a.next(),
        };
        let Some(run) = run else { break };
        match out.last_mut() {
            Some(end) if *end >= run[0] => *end = run[1].max(*end),
            _ => out.extend(run),
        }
    }
    out.shrink_to_fit();
    out
}

#[cfg(test)]
mod tests {
    use super::super::piece::PIECE_LEN;
    use super::*;
    use proptest::prelude::*;

    fn layout(pieces: u32) -> Layout {
        Layout::new(u64::from(pieces) * u64::from(PIECE_LEN)).expect("small")
    }

    fn indexes(layout: Layout, numbers: impl IntoIterator<Item = u32>) -> Vec<PieceIndex> {
        numbers.into_iter().filter_map(|number| layout.index(number)).collect()
    }

    #[test]
    fn a_few_pieces_of_many_take_a_few_bytes_and_every_second_one_a_bit_each() {
        let layout = layout(1 << 21);
        let mut few = PieceSet::none(layout);
        few.insert(layout, &indexes(layout, [7, 1_000_000]));
        assert!(few.byte_len() <= 64, "{}", few.byte_len());
        let bits = vec![0b1010_1010; Bitfield::byte_len(layout)];
        let many = PieceSet::from_bytes(layout, &bits).expect("fits");
        assert_eq!((many.byte_len(), many.form()), (bits.len(), SetForm::Bits(&bits)));
        let mut nearly = vec![0xff; Bitfield::byte_len(layout)];
        nearly[5] = 0b1110_1111;
        let nearly = PieceSet::from_bytes(layout, &nearly).expect("fits");
        assert_eq!(nearly.form(), SetForm::Runs(&[0, 43, 44, 1 << 21]));
    }

    #[test]
    fn edges_that_are_no_runs_are_refused() {
        let layout = layout(10);
        for bad in [&[1][..], &[2, 1], &[1, 1], &[1, 2, 2, 3], &[3, 11], &[1, 2, 3]] {
            assert_eq!(PieceSet::from_edges(layout, bad), None, "{bad:?}");
        }
        assert!(PieceSet::from_edges(layout, &[0, 10]).is_some_and(|set| set.is_complete()));
    }

    proptest! {
        #[test]
        fn a_set_has_what_was_put_in_in_whatever_form(
            pieces in 1u32..3000,
            lots in prop::collection::vec(prop::collection::vec((0u32..3000, 1u32..40), 0..30), 0..6),
        ) {
            let layout = layout(pieces);
            let (mut set, mut bits) = (PieceSet::none(layout), Bitfield::none(layout));
            for lot in lots {
                let lot = indexes(layout, lot.iter().flat_map(|&(first, len)| first..first + len));
                set.insert(layout, &lot);
                for &piece in &lot {
                    bits.insert(piece);
                }
                prop_assert!(layout.indexes().all(|piece| set.has(piece) == bits.has(piece)));
                prop_assert_eq!((set.held(), set.is_complete()), (bits.held(), bits.is_complete()));
                let whole = PieceSet::from_bytes(layout, bits.as_bytes()).expect("fits");
                prop_assert_eq!(edge_count(bits.as_bytes()), runs_of(bits.as_bytes()).len());
                let again = match whole.form() {
                    SetForm::Runs(edges) => PieceSet::from_edges(layout, edges),
                    SetForm::Bits(bytes) => PieceSet::from_bytes(layout, bytes),
                };
                prop_assert_eq!(PieceSet::from_edges(layout, &runs_of(bits.as_bytes())), Some(whole.clone()));
                prop_assert_eq!(again, Some(whole));
            }
        }
    }
}
