//! One running download: which pieces are here, which peers bring the others, and what happens to a received piece.

pub mod ask_bound;
pub(crate) mod dial_list;
pub mod open_peers;
pub mod progress;
mod subject;

use super::error::DownloadError;
use super::obstacle::Obstacles;
use super::verify::{self, Verified};
use super::whole_hash::WholeHash;
use crate::client::difference::gathering::Difference;
use crate::client::difference::piece_ask::PieceAsk;
use crate::client::picker::piece_picker::{Lane, PiecePicker, Received, WINDOW};
use crate::client::rate::speed::Speed;
use crate::client::reach::calls::Attempt;
use crate::client::reach::way::Way;
use crate::client::storage::part::Part;
use crate::client::upload::served::Served;
use crate::model::bitfield::Bitfield;
use crate::model::id::{PeerId, ShareRef};
use crate::model::name::UserId;
use crate::model::piece::block::BlockLen;
use crate::model::piece::{Layout, PieceIndex};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::wire::stretches::Stretches;
use ask_bound::AskBound;
use dial_list::{DialList, Dialing};
use open_peers::OpenPeers;

pub use super::error::PieceError;
pub use open_peers::Outlook;
pub use progress::TransferProgress;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub use subject::{Subject, TransferSetup};

/// In a fast download, a piece waits this long for the pieces before it, which other workers hold. It would cost more
/// to read it back for the whole hash.
const ORDER_PATIENCE: Duration = Duration::from_millis(2);

/// One running download. Its connections and the list of downloads share it.
pub struct Transfer {
    // Immutable.
    id: u64,
    subject: Subject,
    part: Arc<Part>,
    served: Arc<Served>,
    difference: Option<Arc<Difference>>,
    hash: WholeHash,
    since: Instant,
    /// Verified bytes at the start of the transfer.
    resumed: u64,
    seed: u64,
    // Counted or set once.
    /// Bytes verified and written.
    done: AtomicU64,
    /// Bytes received on all connections, including incomplete pieces.
    came: AtomicU64,
    /// The bytes of `came` that no longer belong to a piece on its way.
    settled: AtomicU64,
    /// Whether pieces come about as fast as they are hashed.
    fast: AtomicBool,
    stopped: AtomicBool,
    given_up: AtomicBool,
    finished: AtomicBool,
    // Each with a lock of its own. No thread holds one while it receives, hashes or writes pieces.
    /// The share under which trackers know the content. It differs from the first one after the file was shared again.
    share: Mutex<ShareRef>,
    /// Why no member shares the file any more, as far as is known.
    stranded: Mutex<Option<&'static str>>,
    /// Whether a new version is known.
    outdated: AtomicBool,
    peers: Mutex<OpenPeers>,
    /// Limits the requested pieces on all connections together.
    bound: Mutex<AskBound>,
    /// Pieces that the tracker has not heard of.
    fresh: Mutex<Vec<u32>>,
    speed: Mutex<Speed>,
    /// The members without a connection, because no way to them worked.
    obstacles: Mutex<Obstacles>,
    /// Connections in the making.
    dialing: DialList,
}

impl Transfer {
    pub fn new(setup: TransferSetup, now: Instant) -> Self {
        let TransferSetup { id, subject, part, difference, served, client, seed, verified } = setup;
        let Verified { have, hash } = verified;
        let layout = subject.manifest.layout();
        let resumed = have.iter(layout).map(|piece| u64::from(layout.len(piece))).sum();
        let mut picker = PiecePicker::new(layout, have.clone(), client, WINDOW, seed);
        if have.held() == part.zeros().count() {
            picker.scatter();
        }
        Self {
            id,
            hash,
            since: now,
            share: Mutex::new(subject.share),
            stranded: Mutex::default(),
            outdated: AtomicBool::new(false),
            subject,
            part,
            served,
            difference,
            resumed,
            seed,
            done: AtomicU64::new(resumed),
            came: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            fast: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            peers: Mutex::new(OpenPeers::new(picker, now)),
            bound: Mutex::new(AskBound::new(now)),
            fresh: Mutex::default(),
            speed: Mutex::new(Speed::new(0, now)),
            obstacles: Mutex::default(),
            dialing: DialList::default(),
        }
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// The seed of the random choices.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The pieces of the stream that members have.
    pub fn layout(&self) -> Layout {
        self.subject.content.layout
    }

    /// The pieces of the stream that lies on the disk.
    fn inner_layout(&self) -> Layout {
        self.subject.manifest.layout()
    }

    pub fn part(&self) -> &Arc<Part> {
        &self.part
    }

    pub fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Stops the download. Workers return, and connections in the making end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.dialing.stop();
    }

    /// Stops the download, even one that has all its pieces and takes long to finish.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        self.stop();
    }

    /// Notes a connection in the making, until the guard is dropped. Returns `None` once the download is stopped.
    pub fn dialing<'a>(&'a self, attempt: &'a Arc<Attempt>) -> Option<Dialing<'a>> {
        self.dialing.add(attempt, || self.is_stopped())
    }

    /// Restarts the dials from these addresses, which this machine has lost.
    pub fn end_dials_from(&self, gone: &[IpAddr]) {
        self.dialing.end_from(gone);
    }

    /// Whether pieces come about as fast as they are hashed.
    pub(crate) fn is_fast(&self) -> bool {
        self.fast.load(Ordering::Relaxed)
    }

    /// Whether [`Transfer::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Adds an open connection to a client that holds these pieces.
    pub fn peer_opened(&self, peer: &PeerId, way: Way, bits: &Bitfield) -> Lane {
        self.peers.lock().opened(peer, way, &self.subject.inner_bits(bits))
    }

    /// Removes a connection. Its pieces in flight go back to the picker.
    pub fn peer_closed(&self, id: &PeerId, lane: Lane) {
        self.peers.lock().closed(id, lane);
    }

    /// Lets others take the pieces in flight on a connection that does not deliver.
    pub fn snub(&self, lane: Lane) {
        self.peers.lock().picker.snub(lane);
    }

    /// Adds a connection before it opens, as long as there are few of those: see [`OpenPeers::early`].
    pub(crate) fn peer_early(&self, peer: &PeerId, way: Way) -> Option<Lane> {
        self.peers.lock().early(peer, way, self.inner_layout())
    }

    /// Notes that a connection has opened, and that the peer holds exactly these pieces.
    pub(crate) fn peer_confirmed(&self, peer: &PeerId, lane: Lane, (way, bits): (Way, &Bitfield)) {
        self.peers.lock().confirmed(peer, lane, (way, &self.subject.inner_bits(bits)));
    }

    /// Notes that the piece will not come on this lane.
    pub(crate) fn failed(&self, lane: Lane, piece: PieceIndex) {
        self.subject.inner(piece).into_iter().for_each(|piece| self.peers.lock().picker.failed(lane, piece));
    }

    /// Notes that the peer holds these pieces too.
    pub fn peer_has(&self, lane: Lane, pieces: &[PieceIndex]) {
        let mut peers = self.peers.lock();
        let inner = pieces.iter().filter_map(|piece| self.subject.inner(*piece));
        inner.for_each(|piece| peers.picker.peer_has(lane.peer(), piece));
    }

    /// The request for this lane and outlook. `None` until the search in the old version has ended.
    pub fn want(&self, (id, lane): (&PeerId, Lane), outlook: Option<Outlook>, now: Instant) -> Option<PieceAsk> {
        let Some(difference) = &self.difference else { return self.pick(lane, outlook, now).map(PieceAsk::from) };
        let piece = difference.is_decided().then(|| self.pick(lane, outlook, now))??;
        let patch = self.subject.inner(piece).and_then(|inner| difference.patch(inner, &id.user));
        Some(PieceAsk { piece, patch })
    }

    /// The piece to request on this lane, for this outlook if there is one.
    pub fn pick(&self, lane: Lane, outlook: Option<Outlook>, now: Instant) -> Option<PieceIndex> {
        let picked = self.peers.lock().pick(lane, outlook, now);
        picked.map(|piece| self.subject.outer(piece))
    }

    /// Notes the outlook of a lane.
    pub(crate) fn expect(&self, lane: Lane, outlook: Outlook) {
        self.peers.lock().expect(lane, outlook);
    }

    /// Notes that the peer refuses the piece for now, because another member is receiving it.
    pub fn put_off(&self, lane: Lane, piece: PieceIndex) {
        self.subject.inner(piece).into_iter().for_each(|piece| self.peers.lock().picker.put_off(lane, piece));
    }

    /// Lets every connection request refused pieces again.
    pub fn recall(&self) {
        self.peers.lock().picker.recall();
    }

    /// Counts bytes as they come in, even before their piece is complete.
    pub fn arrive(&self, bytes: u64) {
        self.came.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes received since the transfer began.
    pub(crate) fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }

    /// Notes that this many received bytes no longer belong to a piece on its way: the piece is complete or lost.
    pub fn settle(&self, bytes: u64) {
        self.settled.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the peer of this lane has a piece that is missing here.
    pub fn wants_from(&self, lane: Lane) -> bool {
        self.peers.lock().picker.wants_from(lane.peer())
    }

    /// The difference to an old version.
    pub fn difference(&self) -> Option<&Arc<Difference>> {
        self.difference.as_ref()
    }

    /// Up to `most` pieces for the peer of this lane to describe.
    pub(crate) fn to_describe(
        &self,
        (id, lane): (&PeerId, Lane),
        (most, now): (usize, Instant),
    ) -> Option<(BlockLen, Vec<PieceIndex>)> {
        let difference = self.difference.as_ref().filter(|it| !it.is_decided())?;
        let peers = self.peers.lock();
        let pieces = difference.ask(&id.user, most, |piece| peers.picker.holds(lane.peer(), piece), now)?;
        Some((difference.block_len(), pieces.into_iter().map(|piece| self.subject.outer(piece)).collect()))
    }

    /// Verifies and writes a piece while its bytes are cached, then serves it. Returns true if it was the last one.
    ///
    /// # Errors
    /// The piece is wrong, or the download has to stop.
    pub fn take_piece(
        &self,
        from: (&PeerId, Lane),
        piece: PieceIndex,
        data: Stretches<'_>,
    ) -> Result<bool, PieceError> {
        self.take_given(from, piece, (data, data.len()))
    }

    /// As `take_piece`, for a piece of which the peer has delivered `given` bytes.
    pub(crate) fn take_given(
        &self,
        (id, lane): (&PeerId, Lane),
        outer: PieceIndex,
        (data, given): (Stretches<'_>, usize),
    ) -> Result<bool, PieceError> {
        // The client requests no unwanted piece.
        let Some(piece) = self.subject.inner(outer) else { return Err(PieceError::Bad) };
        let good = data.len() == self.inner_layout().len(piece) as usize && {
            let expected = &self.subject.manifest.pieces()[piece.as_usize()];
            let patience = self.is_fast().then(|| Instant::now() + ORDER_PATIENCE);
            self.hash.verify((piece, data), expected, &*self.part, patience).map_err(PieceError::stops)?
        };
        if !good {
            self.peers.lock().picker.failed(lane, piece);
            return Err(PieceError::Bad);
        }
        self.part.write_piece(piece, data).map_err(PieceError::stops)?;
        let complete = {
            let mut peers = self.peers.lock();
            if peers.picker.received(lane, piece) == Received::Duplicate {
                return Ok(false);
            }
            if let Some(is_fast) = peers.count_run(Instant::now()) {
                self.fast.store(is_fast, Ordering::Relaxed);
            }
            peers.credit(id, given as u64);
            peers.picker.is_complete()
        };
        self.difference.iter().for_each(|difference| difference.judge(piece, (data, given)));
        self.pass_on(outer);
        self.hash.advance(piece, &*self.part).map_err(PieceError::stops)?;
        Ok(complete)
    }

    /// Serves a verified and written piece.
    fn pass_on(&self, piece: PieceIndex) {
        self.done.fetch_add(u64::from(self.layout().len(piece)), Ordering::Relaxed);
        self.served.add(piece);
        self.fresh.lock().push(piece.get());
    }

    /// Serves a verified and written piece that was put together here.
    pub(crate) fn found(&self, piece: PieceIndex) {
        if self.peers.lock().picker.found(piece).is_some() {
            self.hash.announce(piece);
            self.difference.iter().for_each(|difference| difference.settle(piece));
            self.pass_on(self.subject.outer(piece));
        }
    }

    /// Computes the whole hash over pieces of an earlier run. Returns at the end of those pieces, once `is_over`, or
    /// when the download stops. Workers go first.
    pub fn follow_up(&self, is_over: impl Fn() -> bool) {
        // The error comes back when a worker or `finish` reads the same bytes.
        let _ = self.hash.follow_up(&*self.part, || is_over() || self.is_stopped());
    }

    pub fn is_complete(&self) -> bool {
        self.peers.lock().picker.is_complete()
    }

    /// The number of missing pieces.
    pub(crate) fn missing(&self) -> u32 {
        self.inner_layout().count() - self.peers.lock().picker.have().held()
    }

    /// The pieces that are here.
    pub fn have(&self) -> Bitfield {
        let have = self.peers.lock().picker.have().clone();
        self.subject.selection.as_ref().map_or_else(|| have.clone(), |selection| selection.outer_bits(&have))
    }

    /// The pieces that have come since the last call.
    pub fn take_fresh(&self) -> Vec<u32> {
        std::mem::take(&mut self.fresh.lock())
    }

    /// Finishes a download that has all its pieces: checks the complete file, syncs it and renames it. Long steps end
    /// when the download is given up.
    ///
    /// # Errors
    /// The whole hash is wrong, the disk rejects the file, or `Closing` after `give_up`.
    pub fn finish(&self) -> Result<PathBuf, DownloadError> {
        let sha1 = self.subject.selection.is_none().then_some(&self.subject.content.sha1);
        verify::finish(&self.part, &self.hash, sha1, || self.given_up.load(Ordering::Relaxed))?;
        self.finished.store(true, Ordering::Relaxed);
        Ok(self.part.destination())
    }

    /// Whether the file has its final name.
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// The share under which trackers know the content.
    pub fn share(&self) -> ShareRef {
        *self.share.lock()
    }

    /// Sets a new share under which trackers know the same content.
    pub fn move_to(&self, share: ShareRef) {
        *self.share.lock() = share;
    }

    /// Notes why no member shares the file any more, or `None` if one does. Returns true if that is new.
    pub fn strand(&self, why: Option<&'static str>) -> bool {
        std::mem::replace(&mut *self.stranded.lock(), why) != why
    }

    /// Notes that there is a new version. Returns true if that is new.
    pub fn outdate(&self) -> bool {
        !self.outdated.swap(true, Ordering::Relaxed)
    }

    /// Whether a new version is known.
    pub fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// Measures the speed. The engine calls this at every tick.
    pub fn tick(&self, now: Instant) {
        self.speed.lock().look(self.came(), now);
        self.bound.lock().look(self.came(), now);
    }

    /// Whether to request more from this user.
    pub(crate) fn has_room(&self, user: &UserId) -> bool {
        self.bound.lock().has_room(user)
    }

    /// The time for one piece at the rate of all connections together. Zero if nothing arrives.
    pub(crate) fn line_time(&self) -> Duration {
        self.bound.lock().line_time()
    }

    /// Changes the number of expected pieces on one connection to this user from `before` to `now`.
    pub(crate) fn recount(&self, user: &UserId, before: usize, now: usize) {
        self.bound.lock().expect(user, before, now);
    }

    /// Bytes of good pieces from each member that has delivered any or could deliver.
    pub fn delivered(&self) -> BTreeMap<UserId, u64> {
        self.peers.lock().delivered()
    }

    /// Notes which members were not reached, and why.
    pub fn note_obstacles(&self, obstacles: Obstacles) {
        *self.obstacles.lock() = obstacles;
    }

    /// The members without a connection, each with the results of the ways to it.
    pub fn obstacles(&self) -> Obstacles {
        self.obstacles.lock().clone()
    }

    /// The best way to each member with an open connection.
    pub fn ways(&self) -> BTreeMap<UserId, Way> {
        self.peers.lock().ways()
    }

    /// As `ways`, with the last way to each member that has delivered and has no connection now.
    pub fn last_ways(&self) -> BTreeMap<UserId, Way> {
        self.peers.lock().last_ways()
    }

    pub fn progress(&self, now: Instant) -> TransferProgress {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.inner_layout().size());
        // `settled` comes first, so bytes that arrive in between count as on their way.
        let settled = self.settled.load(Ordering::Relaxed);
        let arriving = self.came().saturating_sub(settled);
        let reused = self.difference.as_ref().map_or(0, |difference| difference.reused());
        TransferProgress {
            done,
            total,
            bytes_per_s: self.speed.lock().bytes_per_s(),
            peers: self.peers.lock().count(),
            elapsed: now.duration_since(self.since),
            received: (done - self.resumed).saturating_sub(reused),
            reused: self.difference.as_ref().map_or(0, |difference| difference.taken()),
            arriving: arriving.min(total.saturating_sub(done)),
        }
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer").field("id", &self.id).field("name", &self.subject.name).finish_non_exhaustive()
    }
}
