//! The statements of members about pieces, and the blocks that they gave. An arrived piece shows who told the truth.
//! Pure.

use super::rolling::BlockDigest;
use crate::client::hash::piece_hash::sha1_of;
use crate::model::digest::Sha1Digest;
use crate::model::id::PeerId;
use crate::model::name::UserId;
use crate::model::piece::PieceIndex;
use crate::model::piece::block::{BlockLen, BlockSet};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The digests of the blocks of a piece.
pub(super) type Digests = Arc<[BlockDigest]>;

/// Blocks of a member for a piece that was put together wrong.
#[derive(Debug)]
pub(super) struct GivenBlocks {
    pub by: PeerId,
    pub blocks: BlockSet,
    /// The SHA-1 of all these blocks, one after the other.
    pub sha1: Sha1Digest,
}

/// The statements of members about a piece that has now arrived.
#[derive(Debug)]
pub(super) struct Statements {
    piece: PieceIndex,
    told: Option<(PeerId, Digests)>,
    wrong: Option<GivenBlocks>,
}

/// The comparison of the statements with the piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contradictions {
    told_wrong: bool,
    gave_wrong: bool,
}

impl Statements {
    pub(super) fn are_none(&self) -> bool {
        self.told.is_none() && self.wrong.is_none()
    }

    /// Compares the statements with the real piece, which takes a while.
    pub(super) fn compare(&self, bytes: &[u8], len: BlockLen) -> Contradictions {
        let is = || bytes.chunks(len.get() as usize).map(BlockDigest::of);
        let told_wrong = self.told.as_ref().is_some_and(|(_, told)| !is().eq(told.iter().copied()));
        let gave_wrong = self.wrong.as_ref().is_some_and(|given| {
            let ranges = given.blocks.ranges().map(|range| &bytes[range.start as usize..range.end as usize]);
            sha1_of(&ranges.collect::<Vec<_>>().concat()) != given.sha1
        });
        Contradictions { told_wrong, gave_wrong }
    }
}

/// What an arrived piece proves.
#[derive(Debug)]
pub(super) struct Judgement {
    /// Other pieces that the same liar described, which need another description.
    pub anew: Vec<PieceIndex>,
    /// The piece was put together wrong, but no member is at fault: the old version has changed.
    pub is_nobodys: bool,
}

/// The statements of members about missing pieces, and their blocks for them.
#[derive(Debug, Default)]
pub(super) struct Testimony {
    described: HashMap<PieceIndex, (PeerId, Digests)>,
    /// The blocks for pieces that were put together wrong. These pieces come whole.
    wrong: HashMap<PieceIndex, GivenBlocks>,
    /// Users that have lied.
    exposed: HashSet<UserId>,
    /// The members to tell that a piece was wrong, each once.
    charges: Vec<(PeerId, PieceIndex)>,
}

impl Testimony {
    pub(super) fn describe(&mut self, piece: PieceIndex, by: PeerId, digests: Digests) {
        self.described.insert(piece, (by, digests));
    }

    /// The digests of a piece, unless the describing member has lied or the piece has arrived.
    pub(super) fn digests(&self, piece: PieceIndex) -> Option<&Digests> {
        self.described.get(&piece).map(|(_, digests)| digests)
    }

    /// Whether a missing piece has a description.
    pub(super) fn has_more(&self) -> bool {
        !self.described.is_empty()
    }

    /// Whether the statements of this user no longer count.
    pub(super) fn is_exposed(&self, user: &UserId) -> bool {
        self.exposed.contains(user)
    }

    /// Notes that a piece with blocks of a member was put together wrong.
    pub(super) fn was_wrong(&mut self, piece: PieceIndex, given: GivenBlocks) {
        self.wrong.insert(piece, given);
    }

    /// Whether the fault for some wrong piece is still open, and may lie with this user or with the member that
    /// described `piece`.
    pub(super) fn is_doubtful(&self, piece: PieceIndex, user: &UserId) -> bool {
        let describer = |piece: &PieceIndex| self.described.get(piece).map(|(by, _)| &by.user);
        self.wrong.iter().any(|(wrong, given)| given.by.user == *user || describer(wrong) == describer(&piece))
    }

    /// Takes the statements about an arrived piece, to compare them with it.
    pub(super) fn close(&mut self, piece: PieceIndex) -> Statements {
        Statements { piece, told: self.described.remove(&piece), wrong: self.wrong.remove(&piece) }
    }

    /// Judges by the comparison: members whose statements contradict the piece are at fault.
    pub(super) fn judge(&mut self, statements: Statements, comparison: Contradictions) -> Judgement {
        let Statements { piece, told, wrong } = statements;
        let Contradictions { told_wrong, gave_wrong } = comparison;
        let is_nobodys = wrong.is_some() && !told_wrong && !gave_wrong;
        wrong.filter(|_| gave_wrong).into_iter().for_each(|given| self.accuse(given.by, piece));
        let mut anew = Vec::new();
        if let Some((by, _)) = told.filter(|_| told_wrong) {
            let is_other = |_: &PieceIndex, (other, _): &mut (PeerId, Digests)| other.user == by.user;
            anew.extend(self.described.extract_if(is_other).map(|(piece, _)| piece));
            anew.sort_unstable();
            self.exposed.insert(by.user.clone());
            self.accuse(by, piece);
        }
        Judgement { anew, is_nobodys }
    }

    fn accuse(&mut self, peer: PeerId, piece: PieceIndex) {
        if self.charges.iter().all(|(charged, _)| *charged != peer) {
            self.charges.push((peer, piece));
        }
    }

    /// Takes the piece that was wrong by this member's fault, unless the member was already told.
    pub(super) fn charge(&mut self, peer: &PeerId) -> Option<PieceIndex> {
        let at = self.charges.iter().position(|(charged, _)| charged == peer)?;
        Some(self.charges.swap_remove(at).1)
    }

    /// Whether a member is still to hear of a wrong piece.
    pub(super) fn has_charges(&self) -> bool {
        !self.charges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ClientId;
    use crate::model::piece::Layout;

    const LEN: BlockLen = BlockLen::SHORTEST;
    /// Two blocks.
    const BYTES: &[u8] = &[7; 1500];

    fn peer(name: &str) -> PeerId {
        PeerId { user: UserId::parse(name).expect("a name"), client: ClientId([1; 16]) }
    }

    fn pieces() -> Vec<PieceIndex> {
        Layout::new(4 * u64::from(crate::model::piece::PIECE_LEN)).expect("small").indexes().collect()
    }

    fn digests_of(bytes: &[u8]) -> Digests {
        bytes.chunks(LEN.get() as usize).map(BlockDigest::of).collect()
    }

    /// Blocks of the second half.
    fn given(by: &str, bytes: &[u8]) -> GivenBlocks {
        let mut blocks = BlockSet::none(LEN, BYTES.len() as u32);
        blocks.insert(1);
        GivenBlocks { by: peer(by), blocks, sha1: sha1_of(bytes) }
    }

    /// Alice described all pieces, and bob gave a block of the first.
    fn trial(described: &[u8], gave: &[u8]) -> (Testimony, Judgement) {
        let (mut testimony, all) = (Testimony::default(), pieces());
        all.iter().for_each(|piece| testimony.describe(*piece, peer("alice"), digests_of(described)));
        testimony.was_wrong(all[0], given("bob", gave));
        assert!(testimony.is_doubtful(all[1], &peer("carol").user), "alice may be at fault");
        let statements = testimony.close(all[0]);
        let comparison = statements.compare(BYTES, LEN);
        let judgement = testimony.judge(statements, comparison);
        assert!(!testimony.is_doubtful(all[1], &peer("bob").user), "it is known now");
        (testimony, judgement)
    }

    #[test]
    fn a_member_that_described_false_digests_is_believed_no_more() {
        let (mut testimony, judgement) = trial(&[8; 1500], &BYTES[1024..]);
        assert_eq!((judgement.anew, judgement.is_nobodys), (pieces()[1..].to_vec(), false));
        assert!(testimony.is_exposed(&peer("alice").user) && !testimony.has_more());
        assert_eq!((testimony.charge(&peer("bob")), testimony.charge(&peer("alice"))), (None, Some(pieces()[0])));
        assert!(!testimony.has_charges(), "it is told once");
    }

    #[test]
    fn a_member_that_gave_false_blocks_is_at_fault_alone() {
        let (mut testimony, judgement) = trial(BYTES, &[8; 476]);
        assert_eq!((judgement.anew, judgement.is_nobodys), (vec![], false));
        assert!(!testimony.is_exposed(&peer("alice").user) && testimony.digests(pieces()[1]).is_some());
        assert_eq!((testimony.charge(&peer("alice")), testimony.charge(&peer("bob"))), (None, Some(pieces()[0])));
    }

    #[test]
    fn the_old_version_has_changed_if_all_members_told_the_truth() {
        let (testimony, judgement) = trial(BYTES, &BYTES[1024..]);
        assert!(judgement.anew.is_empty() && judgement.is_nobodys && !testimony.has_charges());
    }
}
