//! One download that runs: which pieces are here, who brings the others, and what happens to a piece that comes in.

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

/// In a fast download a piece waits so long for those before it, which are with other workers. To read it back for the
/// hash of the whole would cost more.
const ORDER_PATIENCE: Duration = Duration::from_millis(2);

/// One download that runs. Its connections share it, and so does the list of downloads.
pub struct Transfer {
    // Immutable.
    id: u64,
    subject: Subject,
    part: Arc<Part>,
    served: Arc<Served>,
    difference: Option<Arc<Difference>>,
    hash: WholeHash,
    since: Instant,
    /// Verified bytes that were here when it began.
    resumed: u64,
    seed: u64,
    // Counted or set once.
    /// Bytes verified and written.
    done: AtomicU64,
    /// Bytes that came in on all connections, also of pieces that are not whole.
    came: AtomicU64,
    /// Those of `came` that belong to no piece on its way any more.
    settled: AtomicU64,
    /// Pieces come about as fast as they are hashed.
    fast: AtomicBool,
    stopped: AtomicBool,
    given_up: AtomicBool,
    finished: AtomicBool,
    // Each with a lock of its own, never held while pieces are received, hashed or written.
    /// Trackers know the content under this share. It differs from the first one if the file was shared anew.
    share: Mutex<ShareRef>,
    /// Why nobody shares the file any more, as far as that is known.
    stranded: Mutex<Option<&'static str>>,
    /// Whether it is known that there is a new version.
    outdated: AtomicBool,
    peers: Mutex<OpenPeers>,
    /// What is asked for on all connections.
    bound: Mutex<AskBound>,
    /// Pieces that the tracker does not know of.
    fresh: Mutex<Vec<u32>>,
    speed: Mutex<Speed>,
    /// The members that have no connection, since none of the ways to them worked.
    obstacles: Mutex<Obstacles>,
    /// Connections that are being made.
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

    /// The seed of its random choices.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// How the stream is cut of which members have pieces.
    pub fn layout(&self) -> Layout {
        self.subject.content.layout
    }

    /// How that is cut which lies on the disk.
    fn inner_layout(&self) -> Layout {
        self.subject.manifest.layout()
    }

    pub fn part(&self) -> &Arc<Part> {
        &self.part
    }

    pub fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Stops the download: workers return, and connections that are being made end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.dialing.stop();
    }

    /// Stops the download, also one whose pieces are all here and which takes long to finish.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        self.stop();
    }

    /// Notes a connection that is being made, until the guard is dropped. `None` once the download is stopped.
    pub fn dialing<'a>(&'a self, attempt: &'a Arc<Attempt>) -> Option<Dialing<'a>> {
        self.dialing.add(attempt, || self.is_stopped())
    }

    /// Dials anew what is being dialed from these addresses, which this machine has lost.
    pub fn end_dials_from(&self, gone: &[IpAddr]) {
        self.dialing.end_from(gone);
    }

    /// Whether pieces come about as fast as they can be hashed.
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

    /// Removes a connection. What was in flight on it goes back.
    pub fn peer_closed(&self, id: &PeerId, lane: Lane) {
        self.peers.lock().closed(id, lane);
    }

    /// Lets others take what is in flight on a connection that does not deliver.
    pub fn snub(&self, lane: Lane) {
        self.peers.lock().picker.snub(lane);
    }

    /// Adds a connection that is yet to open, as long as there are few of those: see [`OpenPeers::early`].
    pub(crate) fn peer_early(&self, peer: &PeerId, way: Way) -> Option<Lane> {
        self.peers.lock().early(peer, way, self.inner_layout())
    }

    /// It has opened, and the peer holds exactly these pieces.
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

    /// What to ask for on this lane, of which this may be expected. Nothing until it is decided what an old version has.
    pub fn want(&self, (id, lane): (&PeerId, Lane), outlook: Option<Outlook>, now: Instant) -> Option<PieceAsk> {
        let Some(difference) = &self.difference else { return self.pick(lane, outlook, now).map(PieceAsk::from) };
        let piece = difference.is_decided().then(|| self.pick(lane, outlook, now))??;
        let patch = self.subject.inner(piece).and_then(|inner| difference.patch(inner, &id.user));
        Some(PieceAsk { piece, patch })
    }

    /// The piece to ask for on this lane, of which this is to be expected if that is known.
    pub fn pick(&self, lane: Lane, outlook: Option<Outlook>, now: Instant) -> Option<PieceIndex> {
        let picked = self.peers.lock().pick(lane, outlook, now);
        picked.map(|piece| self.subject.outer(piece))
    }

    /// Notes what is to be expected of a lane.
    pub(crate) fn expect(&self, lane: Lane, outlook: Outlook) {
        self.peers.lock().expect(lane, outlook);
    }

    /// Notes that the peer does not give the piece now, since it is on its way to another member.
    pub fn put_off(&self, lane: Lane, piece: PieceIndex) {
        self.subject.inner(piece).into_iter().for_each(|piece| self.peers.lock().picker.put_off(lane, piece));
    }

    /// Lets every connection ask again for what was put off.
    pub fn recall(&self) {
        self.peers.lock().picker.recall();
    }

    /// Counts bytes as they come in, whole piece or not.
    pub fn arrive(&self, bytes: u64) {
        self.came.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that came in since it began.
    pub(crate) fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }

    /// Of the bytes that came in so many belong to no piece on its way any more: it is whole, or is lost.
    pub fn settle(&self, bytes: u64) {
        self.settled.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the peer behind this lane has a piece that is not here.
    pub fn wants_from(&self, lane: Lane) -> bool {
        self.peers.lock().picker.wants_from(lane.peer())
    }

    /// What is known of it by an old version.
    pub fn difference(&self) -> Option<&Arc<Difference>> {
        self.difference.as_ref()
    }

    /// Some pieces that the peer behind this lane is to describe, so many at most.
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

    /// Verifies and writes a piece while its bytes are warm, then serves it. True if it was the last one.
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

    /// The same for a piece of which the peer has given so many bytes.
    pub(crate) fn take_given(
        &self,
        (id, lane): (&PeerId, Lane),
        outer: PieceIndex,
        (data, given): (Stretches<'_>, usize),
    ) -> Result<bool, PieceError> {
        // None but what is meant is asked for.
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

    /// Serves a piece that is verified and written.
    fn pass_on(&self, piece: PieceIndex) {
        self.done.fetch_add(u64::from(self.layout().len(piece)), Ordering::Relaxed);
        self.served.add(piece);
        self.fresh.lock().push(piece.get());
    }

    /// Serves a piece that was put together here, and is verified and written.
    pub(crate) fn found(&self, piece: PieceIndex) {
        if self.peers.lock().picker.found(piece).is_some() {
            self.hash.announce(piece);
            self.difference.iter().for_each(|difference| difference.settle(piece));
            self.pass_on(self.subject.outer(piece));
        }
    }

    /// Computes the whole hash over what an earlier run left, until that is done, `is_over`, or the download stops.
    /// Workers go first.
    pub fn follow_up(&self, is_over: impl Fn() -> bool) {
        // An error comes back when a worker or `finish` reads the same bytes.
        let _ = self.hash.follow_up(&*self.part, || is_over() || self.is_stopped());
    }

    pub fn is_complete(&self) -> bool {
        self.peers.lock().picker.is_complete()
    }

    /// How many pieces are not here.
    pub(crate) fn missing(&self) -> u32 {
        self.inner_layout().count() - self.peers.lock().picker.have().held()
    }

    /// The pieces that are here.
    pub fn have(&self) -> Bitfield {
        let have = self.peers.lock().picker.have().clone();
        self.subject.selection.as_ref().map_or_else(|| have.clone(), |selection| selection.outer_bits(&have))
    }

    /// The pieces that came since the last call.
    pub fn take_fresh(&self) -> Vec<u32> {
        std::mem::take(&mut self.fresh.lock())
    }

    /// Finishes a download whose pieces are all here: checks the complete file, syncs it and renames it. What would take
    /// long ends when the download is given up.
    ///
    /// # Errors
    /// The whole is wrong, the disk does not take it; `Closing` if it was given up.
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

    /// Trackers know the same content under this share from now on.
    pub fn move_to(&self, share: ShareRef) {
        *self.share.lock() = share;
    }

    /// Notes why nobody shares the file any more, or `None` if somebody does. True if that is news.
    pub fn strand(&self, why: Option<&'static str>) -> bool {
        std::mem::replace(&mut *self.stranded.lock(), why) != why
    }

    /// Notes that there is a new version. True if that is news.
    pub fn outdate(&self) -> bool {
        !self.outdated.swap(true, Ordering::Relaxed)
    }

    /// Whether it is known that there is a new version.
    pub fn is_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// Measures the speed. The engine calls this at every tick.
    pub fn tick(&self, now: Instant) {
        self.speed.lock().look(self.came(), now);
        self.bound.lock().look(self.came(), now);
    }

    /// Whether this user may be asked for more.
    pub(crate) fn has_room(&self, user: &UserId) -> bool {
        self.bound.lock().has_room(user)
    }

    /// How long what comes in on all connections takes for a piece. Zero if nothing comes.
    pub(crate) fn line_time(&self) -> Duration {
        self.bound.lock().line_time()
    }

    /// On one connection to this user so many pieces are expected now, and not so many as before.
    pub(crate) fn recount(&self, user: &UserId, before: usize, now: usize) {
        self.bound.lock().expect(user, before, now);
    }

    /// Bytes of good pieces from each member that has delivered some or could.
    pub fn delivered(&self) -> BTreeMap<UserId, u64> {
        self.peers.lock().delivered()
    }

    /// Notes which members were not reached, and why.
    pub fn note_obstacles(&self, obstacles: Obstacles) {
        *self.obstacles.lock() = obstacles;
    }

    /// The members that have no connection, since none of the ways to them worked, each with what came of its ways.
    pub fn obstacles(&self) -> Obstacles {
        self.obstacles.lock().clone()
    }

    /// The best way to each member with an open connection.
    pub fn ways(&self) -> BTreeMap<UserId, Way> {
        self.peers.lock().ways()
    }

    /// The same, and the last way to each member who has delivered and has no connection now.
    pub fn last_ways(&self) -> BTreeMap<UserId, Way> {
        self.peers.lock().last_ways()
    }

    pub fn progress(&self, now: Instant) -> TransferProgress {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.inner_layout().size());
        // First what is settled: what came in between counts as on its way then, and not the other way round.
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
