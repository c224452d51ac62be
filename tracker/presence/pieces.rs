//! What a client holds of one share, in a compact form.

use super::budget::SET_LEN;
use super::swarm::SwarmRole;
use crate::model::piece::{Layout, PieceIndex};
use crate::model::piece_set::{PieceSet, SetForm};
use crate::wire::client_tracker::Holding;
use crate::wire::codec::{Blob, List};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Weak};

/// The longest set that other trackers are told, in bytes. Of a longer one they are told only the number of pieces. A
/// client adds a piece with a few bytes, and each time the links tell the whole set.
const TOLD_LEN_MAX: usize = 4 * 1024;

/// The holding itself if its pieces take at most `len_max` bytes, and else only the number of pieces.
pub fn within(holding: Holding, len_max: usize) -> Holding {
    let held = match &holding {
        Holding::Exactly { bits } if bits.as_bytes().len() > len_max => {
            bits.as_bytes().iter().map(|byte| byte.count_ones()).sum()
        }
        Holding::Runs { edges } if size_of_val(&edges[..]) > len_max => {
            let held = edges.chunks_exact(2).map(|run| u64::from(run[1].saturating_sub(run[0]))).sum::<u64>();
            u32::try_from(held).unwrap_or(u32::MAX)
        }
        _ => return holding,
    };
    Holding::Count { held }
}

/// What a client of a swarm holds.
#[derive(Debug, Clone)]
pub(super) enum HeldPieces {
    All,
    /// It downloads and holds no piece yet.
    Waiting,
    /// This many pieces. Which ones is unknown.
    Count(u32),
    /// Exactly these pieces, some but not all. Clients with equal holdings share one set.
    Some(Arc<PieceSet>),
}

impl HeldPieces {
    fn of(set: impl Into<Arc<PieceSet>>) -> Self {
        let set = set.into();
        if set.is_empty() {
            HeldPieces::Waiting
        } else if set.is_complete() {
            HeldPieces::All
        } else {
            HeldPieces::Some(set)
        }
    }

    pub(super) fn role(&self) -> SwarmRole {
        match self {
            HeldPieces::All => SwarmRole::Seed,
            HeldPieces::Waiting => SwarmRole::Waiting,
            &HeldPieces::Count(held) => SwarmRole::Partial { held },
            HeldPieces::Some(set) => SwarmRole::Partial { held: set.held() },
        }
    }

    /// Bytes of memory beyond the entry itself.
    pub(super) fn detail_len(&self) -> usize {
        match self {
            HeldPieces::Some(set) => SET_LEN + set.byte_len(),
            HeldPieces::All | HeldPieces::Waiting | HeldPieces::Count(_) => 0,
        }
    }

    /// The same holding, reduced to the number of pieces.
    pub(super) fn coarser(self) -> Self {
        match self {
            HeldPieces::Some(set) => HeldPieces::Count(set.held()),
            other => other,
        }
    }

    /// The holding as other trackers are told it.
    pub(super) fn told(&self) -> Holding {
        match self {
            HeldPieces::All => Holding::All {},
            HeldPieces::Waiting => Holding::Runs { edges: List::EMPTY },
            &HeldPieces::Count(held) => Holding::Count { held },
            HeldPieces::Some(set) => {
                let told = match set.form() {
                    _ if set.byte_len() > TOLD_LEN_MAX => None,
                    SetForm::Runs(edges) => List::new(edges.to_vec()).map(|edges| Holding::Runs { edges }),
                    SetForm::Bits(bits) => Blob::new(bits.to_vec()).map(|bits| Holding::Exactly { bits }),
                };
                told.unwrap_or(Holding::Count { held: set.held() })
            }
        }
    }

    /// Updates a holding with what the client says. An impossible claim changes nothing. The work is in proportion to
    /// what the client says.
    pub(super) fn hear(
        this: &mut Option<Self>,
        layout: Layout,
        holding: &Holding,
        interner: &mut Interner,
    ) -> Result<(), NoSuchPieces> {
        let whole = |set: Option<PieceSet>| set.map(Self::of).ok_or(NoSuchPieces);
        *this = match holding {
            Holding::All {} => Some(HeldPieces::All),
            Holding::Nothing {} => None,
            Holding::Exactly { bits } => Some(interner.shared(whole(PieceSet::from_bytes(layout, bits.as_bytes()))?)),
            Holding::Runs { edges } => Some(interner.shared(whole(PieceSet::from_edges(layout, edges))?)),
            Holding::Count { held: 0 } => Some(HeldPieces::Waiting),
            &Holding::Count { held } if held <= layout.count() => Some(HeldPieces::Count(held)),
            Holding::Count { .. } => return Err(NoSuchPieces),
            Holding::More { pieces } => {
                let pieces: Option<Vec<PieceIndex>> = pieces.iter().map(|&piece| layout.index(piece)).collect();
                let pieces = pieces.ok_or(NoSuchPieces)?;
                Some(this.take().unwrap_or(HeldPieces::Waiting).with(layout, &pieces))
            }
        };
        Ok(())
    }

    /// This holding with these pieces added. A set without other users grows in place.
    fn with(self, layout: Layout, more: &[PieceIndex]) -> Self {
        let mut set = match self {
            HeldPieces::All => return HeldPieces::All,
            HeldPieces::Count(held) => {
                // Pieces that the client held already count twice, until it tells its whole holding.
                let more = u32::try_from(more.len()).unwrap_or(u32::MAX);
                return HeldPieces::Count(held.saturating_add(more).min(layout.count()));
            }
            HeldPieces::Some(set) => set,
            HeldPieces::Waiting => Arc::new(PieceSet::none(layout)),
        };
        Arc::make_mut(&mut set).insert(layout, more);
        Self::of(set)
    }
}

/// A holding names pieces that the share does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoSuchPieces;

/// The interner looks for unused sets once it knows this many.
const PRUNE_LEN_MIN: usize = 1024;

/// Finds an equal set among the known ones, so that equal sets take memory once.
#[derive(Debug)]
pub(super) struct Interner {
    hasher: RandomState,
    sets: HashMap<u64, Weak<PieceSet>>,
    prune_at: usize,
}

impl Default for Interner {
    fn default() -> Self {
        Self { hasher: RandomState::new(), sets: HashMap::new(), prune_at: PRUNE_LEN_MIN }
    }
}

impl Interner {
    /// The same holding, but with the set that other clients with equal holdings use.
    fn shared(&mut self, pieces: HeldPieces) -> HeldPieces {
        let HeldPieces::Some(set) = pieces else {
            return pieces;
        };
        if self.sets.len() >= self.prune_at {
            self.sets.retain(|_, set| set.strong_count() > 0);
            self.prune_at = PRUNE_LEN_MIN.max(2 * self.sets.len());
        }
        let hash = self.hasher.hash_one(&*set);
        match self.sets.get(&hash).and_then(Weak::upgrade) {
            Some(known) if known == set => HeldPieces::Some(known),
            // Different sets with one hash are so rare that they need no sharing.
            Some(_) => HeldPieces::Some(set),
            None => {
                self.sets.insert(hash, Arc::downgrade(&set));
                HeldPieces::Some(set)
            }
        }
    }
}
