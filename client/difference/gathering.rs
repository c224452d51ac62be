//! What a download knows of the difference to an old version. First members describe the pieces that are missing, then
//! the old version is searched for their blocks. Until that is done no piece is asked for.

use super::old_version::{DescribedPiece, OldVersion};
use super::patch::Patch;
use super::rolling::{BlockDigest, DIGEST_LEN};
use crate::model::piece::block::{BLOCKS_MAX, BlockLen};
use crate::model::piece::{Layout, PIECE_LEN, PieceIndex};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::wire::peer::DESCRIBED_MAX;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most blocks of which digests are kept, some 40 bytes each. Pieces beyond that are fetched whole.
const BLOCKS_KEPT_MAX: u64 = 1 << 21;
/// How long nothing may come of what was asked for. What is not described by then is fetched whole.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long it may take in all.
const GATHERING_MAX: Duration = Duration::from_secs(120);
/// How often whoever waits looks whether all is over.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// After so many pieces that were put together and were wrong, all others are fetched whole. Who of all is at fault, the
/// one who described them, the one who gave blocks of them or the old file, is not known.
const FAILURES_MAX: usize = 8;
/// Of the pieces that nobody was asked for, so many are offered to a member to describe.
const OFFERED_MAX: usize = 256;

/// The difference of a download to an old version.
pub struct Difference {
    // Immutable.
    old: OldVersion,
    layout: Layout,
    len: BlockLen,
    /// Bytes of pieces that were taken whole before.
    taken: u64,
    // Counted or set once.
    decided: AtomicBool,
    /// Bytes that were taken from the old version since it was searched.
    reused: AtomicU64,
    // Locked; never while something is read or searched.
    stage: Mutex<Stage>,
    changed: Condvar,
}

enum Stage {
    Gathering(Gathering),
    /// The old version is searched.
    Searching,
    Decided {
        patches: HashMap<PieceIndex, Arc<Patch>>,
        failures: usize,
    },
}

struct Gathering {
    /// Pieces that nobody was asked to describe.
    left: VecDeque<PieceIndex>,
    /// How many somebody was asked for.
    on_way: usize,
    described: Vec<DescribedPiece>,
    /// When somebody was asked first, and when something came last.
    asked: Option<(Instant, Instant)>,
}

impl Gathering {
    fn is_done(&self, now: Instant) -> bool {
        let is_late = |(begun, heard)| now >= begun + GATHERING_MAX || now >= heard + SILENCE_MAX;
        self.left.is_empty() && self.on_way == 0 || self.asked.is_some_and(is_late)
    }
}

impl Difference {
    /// That of a content of which these pieces are missing.
    /// So many bytes were taken from the old version before.
    pub fn new(old: OldVersion, layout: Layout, missing: Vec<PieceIndex>, taken: u64) -> Self {
        let len = BlockLen::for_size(missing.iter().map(|piece| u64::from(layout.len(*piece))).sum());
        let most = BLOCKS_KEPT_MAX / u64::from(len.count(PIECE_LEN));
        let left = missing.into_iter().take(most as usize).collect();
        let stage = Stage::Gathering(Gathering { left, on_way: 0, described: Vec::new(), asked: None });
        Self {
            old,
            layout,
            len,
            taken,
            decided: AtomicBool::new(false),
            reused: AtomicU64::new(0),
            stage: Mutex::new(stage),
            changed: Condvar::new(),
        }
    }

    pub fn old(&self) -> &OldVersion {
        &self.old
    }

    pub fn block_len(&self) -> BlockLen {
        self.len
    }

    /// Whether pieces can be asked for.
    pub fn is_decided(&self) -> bool {
        self.decided.load(Ordering::Acquire)
    }

    /// Bytes that were taken from the old version, with those of whole pieces at the beginning.
    pub fn taken(&self) -> u64 {
        self.taken + self.reused()
    }

    /// Bytes that were taken from the old version since it was searched.
    pub fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    /// So many bytes of a piece that is right were taken from the old version.
    pub fn count_reused(&self, bytes: u64) {
        self.reused.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many pieces at most that a member is to describe which holds them. They are on their way then.
    pub fn ask(&self, most: usize, holds: impl Fn(PieceIndex) -> bool, now: Instant) -> Option<Vec<PieceIndex>> {
        if self.is_decided() {
            return None;
        }
        let mut stage = self.stage.lock();
        let Stage::Gathering(gathering) = &mut *stage else { return None };
        let offered = gathering.left.len().min(OFFERED_MAX);
        let mut asked = Vec::new();
        let mut others = Vec::new();
        for piece in gathering.left.drain(..offered) {
            let fits = asked.len() < most.min(DESCRIBED_MAX) && holds(piece);
            if fits { &mut asked } else { &mut others }.push(piece);
        }
        others.into_iter().rev().for_each(|piece| gathering.left.push_front(piece));
        if asked.is_empty() {
            return None;
        }
        gathering.on_way += asked.len();
        gathering.asked.get_or_insert((now, now));
        Some(asked)
    }

    /// Takes what a member has told of these pieces. False if it is not as long as their digests.
    pub fn take(&self, pieces: Vec<PieceIndex>, told: &[u8], now: Instant) -> bool {
        let counts: Vec<usize> = pieces.iter().map(|piece| self.len.count(self.layout.len(*piece)) as usize).collect();
        let (digests, rest) = told.as_chunks::<DIGEST_LEN>();
        if !rest.is_empty() || digests.len() != counts.iter().sum::<usize>() {
            self.give_back(pieces);
            return false;
        }
        if let Stage::Gathering(gathering) = &mut *self.stage.lock() {
            gathering.on_way -= pieces.len();
            if let Some((_, heard)) = &mut gathering.asked {
                *heard = now;
            }
            let mut digests = digests.iter();
            for (piece, count) in pieces.into_iter().zip(counts) {
                let of_piece = digests.by_ref().take(count).map(|told| BlockDigest::from_bytes(*told)).collect();
                gathering.described.push((piece, of_piece));
            }
        }
        self.changed.notify_all();
        true
    }

    /// The member that was asked describes these no more.
    pub fn give_back(&self, pieces: Vec<PieceIndex>) {
        if let Stage::Gathering(gathering) = &mut *self.stage.lock() {
            gathering.on_way -= pieces.len();
            pieces.into_iter().rev().for_each(|piece| gathering.left.push_front(piece));
        }
    }

    /// Waits until members have described the pieces, and searches the old version. Gives the pieces that are all of it,
    /// which come first. `None` if all is over before.
    pub fn search(&self, is_over: impl Fn() -> bool + Sync) -> Option<Vec<(PieceIndex, Patch)>> {
        let described = self.gathered(&is_over)?;
        let found = self.old.search(self.len, &described, |piece| self.layout.len(piece), &is_over);
        if is_over() {
            return None;
        }
        let useful = found.into_iter().filter(|(_, patch)| patch.is_useful());
        let (whole, others): (Vec<_>, Vec<_>) = useful.partition(|(_, patch)| patch.missing_len() == 0);
        let patches = others.into_iter().map(|(piece, patch)| (piece, Arc::new(patch))).collect();
        *self.stage.lock() = Stage::Decided { patches, failures: 0 };
        Some(whole)
    }

    fn gathered(&self, is_over: impl Fn() -> bool) -> Option<Vec<DescribedPiece>> {
        let mut stage = self.stage.lock();
        loop {
            let Stage::Gathering(gathering) = &mut *stage else { return None };
            let now = Instant::now();
            if is_over() {
                return None;
            }
            if gathering.is_done(now) {
                let described = std::mem::take(&mut gathering.described);
                *stage = Stage::Searching;
                return Some(described);
            }
            self.changed.wait_until(&mut stage, now + LOOK_PAUSE);
        }
    }

    /// Pieces can be asked for from now on.
    pub fn decide(&self) {
        self.decided.store(true, Ordering::Release);
    }

    /// How a piece is put together, if the old version has blocks of it.
    pub fn patch(&self, piece: PieceIndex) -> Option<Arc<Patch>> {
        match &*self.stage.lock() {
            Stage::Decided { patches, .. } => patches.get(&piece).cloned(),
            _ => None,
        }
    }

    /// A piece that was put together is wrong: it is fetched whole.
    pub fn fail(&self, piece: PieceIndex) {
        if let Stage::Decided { patches, failures } = &mut *self.stage.lock()
            && patches.remove(&piece).is_some()
        {
            *failures += 1;
            if *failures >= FAILURES_MAX {
                patches.clear();
            }
        }
    }
}

impl fmt::Debug for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Difference").field("old", &self.old).finish_non_exhaustive()
    }
}

const _: () = assert!(BLOCKS_MAX * DIGEST_LEN * DESCRIBED_MAX == crate::wire::peer::DIGESTS_LEN_MAX);
