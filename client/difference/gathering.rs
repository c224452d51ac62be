//! The knowledge of a download about the difference to an old version. First, members describe the missing pieces. Then
//! the client searches the old version for their blocks. Before that it requests no piece. When pieces arrive, they
//! show whether the describing members lied. Other members describe again what a liar described.

use super::old_version::{DescribedPiece, OldVersion};
use super::patch::Patch;
use super::rolling::{BlockDigest, DIGEST_LEN};
use super::testimony::{GivenBlocks, Statements, Testimony};
use crate::model::digest::Sha1Digest;
use crate::model::id::PeerId;
use crate::model::name::UserId;
use crate::model::piece::block::{BLOCKS_MAX, BlockLen};
use crate::model::piece::{Layout, PIECE_LEN, PieceIndex};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::wire::peer::DESCRIBED_MAX;
use crate::wire::stretches::Stretches;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The maximum number of blocks with stored digests, some 40 bytes each. Pieces beyond that are fetched whole.
const BLOCKS_KEPT_MAX: u64 = 1 << 21;
/// The longest time without a description. Pieces without one by then are fetched whole.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long the gathering may take in all.
const GATHERING_MAX: Duration = Duration::from_secs(120);
/// How often a waiting thread checks whether everything is over.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// After this many wrong pieces by no member's fault, all others are fetched whole: the old version has changed.
const FAILURES_MAX: usize = 8;
/// After this many searches no further one begins, even after another lie. Blocks not found by then come with whole
/// pieces.
const SEARCHES_MAX: usize = 8;
/// The number of undescribed pieces that are offered to a member at a time.
const OFFERED_MAX: usize = 256;

/// The difference of a download to an old version.
pub struct Difference {
    // Immutable.
    old: OldVersion,
    layout: Layout,
    len: BlockLen,
    /// Bytes of pieces that were taken whole before.
    taken: u64,
    // Counted or set.
    decided: AtomicBool,
    /// Whether a member is still to hear of a wrong piece.
    charges: AtomicBool,
    /// Bytes taken from the old version since its search.
    reused: AtomicU64,
    // Locked, but never while reading, hashing or searching.
    state: Mutex<GatheringState>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Gathering,
    /// The old version is being searched. Pieces that it has whole are taken.
    Searching,
    Decided,
}

struct GatheringState {
    stage: Stage,
    /// Pieces that no member was asked to describe.
    left: VecDeque<PieceIndex>,
    /// Pieces that a member was asked to describe.
    on_way: HashSet<PieceIndex>,
    /// Pieces that were described since the last search.
    described: Vec<PieceIndex>,
    /// When a member was first asked, and when an answer last came.
    asked: Option<(Instant, Instant)>,
    searches: usize,
    patches: HashMap<PieceIndex, Arc<Patch>>,
    /// The number of wrong pieces by no member's fault.
    failures: usize,
    testimony: Testimony,
}

impl GatheringState {
    fn is_done(&self, now: Instant) -> bool {
        let is_late = |(begun, heard)| now >= begun + GATHERING_MAX || now >= heard + SILENCE_MAX;
        self.left.is_empty() && self.on_way.is_empty() || self.asked.is_some_and(is_late)
    }

    /// Begins another gathering, if there is something to gather and the number of searches allows it.
    fn begin_again(&mut self) -> bool {
        let again = !self.left.is_empty() && self.searches < SEARCHES_MAX;
        if again {
            (self.stage, self.asked) = (Stage::Gathering, None);
        }
        again
    }

    fn count_failure(&mut self) {
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            self.patches.clear();
        }
    }
}

impl Difference {
    /// The difference for content with these missing pieces. `taken` bytes came from the old version before.
    pub fn new(old: OldVersion, layout: Layout, missing: Vec<PieceIndex>, taken: u64) -> Self {
        let len = BlockLen::for_size(missing.iter().map(|piece| u64::from(layout.len(*piece))).sum());
        let most = BLOCKS_KEPT_MAX / u64::from(len.count(PIECE_LEN));
        let state = GatheringState {
            stage: Stage::Gathering,
            left: missing.into_iter().take(most as usize).collect(),
            on_way: HashSet::new(),
            described: Vec::new(),
            asked: None,
            searches: 0,
            patches: HashMap::new(),
            failures: 0,
            testimony: Testimony::default(),
        };
        Self {
            old,
            layout,
            len,
            taken,
            decided: AtomicBool::new(false),
            charges: AtomicBool::new(false),
            reused: AtomicU64::new(0),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub fn old(&self) -> &OldVersion {
        &self.old
    }

    pub fn block_len(&self) -> BlockLen {
        self.len
    }

    /// Whether the download may request pieces.
    pub fn is_decided(&self) -> bool {
        self.decided.load(Ordering::Acquire)
    }

    /// Bytes taken from the old version, including the whole pieces at the beginning.
    pub fn taken(&self) -> u64 {
        self.taken + self.reused()
    }

    /// Bytes taken from the old version since its search.
    pub fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    /// Up to `most` pieces that this user holds and is to describe. The user counts as asked from now on.
    pub fn ask(
        &self,
        user: &UserId,
        most: usize,
        holds: impl Fn(PieceIndex) -> bool,
        now: Instant,
    ) -> Option<Vec<PieceIndex>> {
        if self.is_decided() {
            return None;
        }
        let mut state = self.state.lock();
        if state.stage != Stage::Gathering || state.testimony.is_exposed(user) {
            return None;
        }
        let offered = state.left.len().min(OFFERED_MAX);
        let mut asked = Vec::new();
        let mut others = Vec::new();
        for piece in state.left.drain(..offered) {
            let fits = asked.len() < most.min(DESCRIBED_MAX) && holds(piece);
            if fits { &mut asked } else { &mut others }.push(piece);
        }
        others.into_iter().rev().for_each(|piece| state.left.push_front(piece));
        if asked.is_empty() {
            return None;
        }
        state.on_way.extend(&asked);
        state.asked.get_or_insert((now, now));
        Some(asked)
    }

    /// Notes that a member without descriptions is there. So the pieces that nobody describes in time are fetched
    /// whole, even if nobody was asked.
    pub fn ask_no_more(&self, now: Instant) {
        self.state.lock().asked.get_or_insert((now, now));
    }

    /// Takes a member's description of these pieces. Returns false if its length is not that of their digests.
    pub fn take(&self, by: &PeerId, pieces: Vec<PieceIndex>, told: &[u8], now: Instant) -> bool {
        let counts: Vec<usize> = pieces.iter().map(|piece| self.len.count(self.layout.len(*piece)) as usize).collect();
        let (digests, rest) = told.as_chunks::<DIGEST_LEN>();
        if !rest.is_empty() || digests.len() != counts.iter().sum::<usize>() {
            self.give_back(pieces);
            return false;
        }
        let mut state = self.state.lock();
        if state.stage == Stage::Gathering {
            if let Some((_, heard)) = &mut state.asked {
                *heard = now;
            }
            let mut digests = digests.iter();
            for (piece, count) in pieces.into_iter().zip(counts) {
                let of_piece = digests.by_ref().take(count).map(|told| BlockDigest::from_bytes(*told)).collect();
                // Before a late answer, the piece may have come or may have another description.
                if state.on_way.remove(&piece) {
                    state.testimony.describe(piece, by.clone(), of_piece);
                    state.described.push(piece);
                }
            }
        }
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Notes that the asked member will not describe these pieces any more.
    pub fn give_back(&self, pieces: Vec<PieceIndex>) {
        let mut state = self.state.lock();
        for piece in pieces.into_iter().rev() {
            if state.on_way.remove(&piece) {
                state.left.push_front(piece);
            }
        }
    }

    /// Waits until members have described the pieces, then searches the old version. Returns the pieces that it has
    /// whole, which come first. Returns `None` if everything is over before.
    pub fn search(&self, is_over: impl Fn() -> bool + Sync) -> Option<Vec<(PieceIndex, Patch)>> {
        let described = self.gathered(&is_over)?;
        let found = self.old.search(self.len, &described, |piece| self.layout.len(piece), &is_over);
        if is_over() {
            return None;
        }
        let mut state = self.state.lock();
        // Some pieces may have come, and some descriptions may be by a liar.
        let is_useful =
            |(piece, patch): &(PieceIndex, Patch)| patch.is_useful() && state.testimony.digests(*piece).is_some();
        let useful: Vec<_> = found.into_iter().filter(is_useful).collect();
        let (whole, others): (Vec<_>, Vec<_>) = useful.into_iter().partition(|(_, patch)| patch.missing_len() == 0);
        state.patches.extend(others.into_iter().map(|(piece, patch)| (piece, Arc::new(patch))));
        Some(whole)
    }

    fn gathered(&self, is_over: impl Fn() -> bool) -> Option<Vec<DescribedPiece>> {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            if state.stage != Stage::Gathering || is_over() {
                return None;
            }
            if state.is_done(now) {
                // Pieces without a description by now are fetched whole.
                state.left.clear();
                state.on_way.clear();
                (state.stage, state.searches) = (Stage::Searching, state.searches + 1);
                let described = std::mem::take(&mut state.described);
                let digests = |piece| Some((piece, state.testimony.digests(piece)?.clone()));
                return Some(described.into_iter().filter_map(digests).collect());
            }
            self.changed.wait_until(&mut state, now + LOOK_PAUSE);
        }
    }

    /// Allows requests for pieces from now on. Returns false if some pieces need another description first.
    pub fn decide(&self) -> bool {
        let mut state = self.state.lock();
        if state.begin_again() {
            return false;
        }
        state.stage = Stage::Decided;
        self.decided.store(true, Ordering::Release);
        true
    }

    /// Waits while pieces can be requested and a member may still turn out to be a liar. Returns true if pieces need
    /// another description.
    pub fn is_open_again(&self, is_over: impl Fn() -> bool) -> bool {
        let mut state = self.state.lock();
        while state.stage == Stage::Decided && state.testimony.has_more() && state.searches < SEARCHES_MAX && !is_over()
        {
            self.changed.wait_until(&mut state, Instant::now() + LOOK_PAUSE);
        }
        state.stage == Stage::Gathering
    }

    /// How to put a piece together with blocks of this user, if the old version has the others. `None` while this user,
    /// or the member that described the piece, may be at fault for a wrong piece. Then the piece comes whole.
    pub fn patch(&self, piece: PieceIndex, user: &UserId) -> Option<Arc<Patch>> {
        let state = self.state.lock();
        state.patches.get(&piece).filter(|_| !state.testimony.is_doubtful(piece, user)).cloned()
    }

    /// Notes that a piece was put together wrong, with these bytes of this member. The client fetches it whole, which
    /// shows who is at fault.
    pub fn was_wrong(&self, piece: PieceIndex, (by, sha1): (&PeerId, Sha1Digest)) {
        let mut state = self.state.lock();
        if let Some(patch) = state.patches.remove(&piece) {
            let given = GivenBlocks { by: by.clone(), blocks: patch.missing(), sha1 };
            state.testimony.was_wrong(piece, given);
        }
    }

    /// Notes that the old version does not deliver a found block. The client fetches the piece whole.
    pub fn fail(&self, piece: PieceIndex) {
        let mut state = self.state.lock();
        if state.patches.remove(&piece).is_some() {
            state.count_failure();
        }
    }

    /// Compares an arrived piece with the statements and the blocks of members. A member whose statement differs is not
    /// believed any more.
    pub fn judge(&self, piece: PieceIndex, (data, given): (Stretches<'_>, usize)) {
        self.reused.fetch_add((data.len() - given) as u64, Ordering::Relaxed);
        let statements = self.close(piece);
        if statements.are_none() {
            return;
        }
        let comparison = statements.compare(&data.to_vec(), self.len);
        let mut state = self.state.lock();
        let judgement = state.testimony.judge(statements, comparison);
        if judgement.is_nobodys {
            state.count_failure();
        }
        self.charges.store(state.testimony.has_charges(), Ordering::Release);
        judgement.anew.iter().for_each(|piece| drop(state.patches.remove(piece)));
        state.left.extend(judgement.anew);
        if state.stage == Stage::Decided && state.begin_again() {
            self.decided.store(false, Ordering::Release);
            self.changed.notify_all();
        }
    }

    /// Notes an arrived piece that came completely from the old version. It judges no member.
    pub fn settle(&self, piece: PieceIndex) {
        self.reused.fetch_add(u64::from(self.layout.len(piece)), Ordering::Relaxed);
        self.close(piece);
    }

    fn close(&self, piece: PieceIndex) -> Statements {
        let mut state = self.state.lock();
        state.patches.remove(&piece);
        state.on_way.remove(&piece);
        // Few are left once pieces arrive.
        state.left.retain(|left| *left != piece);
        state.testimony.close(piece)
    }

    /// The piece that was wrong by this member's fault, unless the member was already told.
    pub fn charge(&self, peer: &PeerId) -> Option<PieceIndex> {
        if !self.charges.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        let piece = state.testimony.charge(peer);
        self.charges.store(state.testimony.has_charges(), Ordering::Release);
        piece
    }
}

impl fmt::Debug for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Difference").field("old", &self.old).finish_non_exhaustive()
    }
}

const _: () = assert!(BLOCKS_MAX * DIGEST_LEN * DESCRIBED_MAX == crate::wire::peer::DIGESTS_LEN_MAX);
