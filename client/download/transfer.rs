//! One download: what it is of, which pieces are here, and what happens to a piece that comes in.

use super::error::DownloadError;
use super::verify::{Verified, check_unchanged};
use super::whole_hash::WholeHash;
use crate::client::picker::piece_picker::{Lane, PeerSlot, PiecePicker, Received, WINDOW};
use crate::client::rate::speed::Speed;
use crate::client::storage::part::Part;
use crate::client::upload::served::Served;
use crate::model::bitfield::Bitfield;
use crate::model::id::{ClientId, GroupRef, ShareRef};
use crate::model::manifest::{Content, Manifest};
use crate::model::name::{FileName, UserId};
use crate::model::piece::{Layout, PieceIndex};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a download is of.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The group it is shared in.
    pub group: GroupRef,
    /// The share.
    pub share: ShareRef,
    /// Its name.
    pub name: FileName,
    /// What the tracker says of it.
    pub content: Content,
    /// Its files and pieces.
    pub manifest: Arc<Manifest>,
}

/// What a transfer begins with.
#[derive(Debug)]
pub struct TransferSetup {
    /// Its number, for this run of the client.
    pub id: u64,
    pub subject: Subject,
    /// Where it is written.
    pub part: Arc<Part>,
    /// What of it is right.
    pub verified: Verified,
    /// What of it is served.
    pub served: Arc<Served>,
    /// This client.
    pub client: ClientId,
    /// Decides what is left to chance.
    pub seed: u64,
}

/// Why a piece that came in was not taken.
#[derive(Debug)]
pub enum PieceError {
    /// It is not what its digest says: the peer that sent it is at fault.
    Bad,
    /// It could not be written, or what was written before cannot be read back: the download stops.
    Stops(DownloadError),
}

impl PieceError {
    fn stops(error: impl Into<DownloadError>) -> Self {
        PieceError::Stops(error.into())
    }
}

/// Pieces over which it is looked how fast they come.
const RUN: u32 = 16;
/// A run of pieces within this time (100 MB/s) is so fast that hashing is what takes the time. From then on pieces are
/// asked for in order among equals, so that few have to be read back for the complete-file hash.
const FAST_RUN: Duration = Duration::from_millis(80);

struct OpenPeers {
    picker: PiecePicker,
    open: HashMap<ClientId, OpenPeer>,
    /// Bytes that members delivered on connections that are gone.
    before: BTreeMap<UserId, u64>,
    /// Pieces of the run so far, and since when.
    run: u32,
    run_since: Instant,
}

impl OpenPeers {
    /// One more piece has come in.
    fn count_run(&mut self, now: Instant) {
        self.run += 1;
        if self.run == RUN {
            self.picker.set_in_order(now.duration_since(self.run_since) < FAST_RUN);
            (self.run, self.run_since) = (0, now);
        }
    }
}

struct OpenPeer {
    user: UserId,
    slot: PeerSlot,
    lanes: u16,
    last_lane: u16,
    /// Bytes of good pieces it delivered.
    delivered: u64,
}

/// One download. Shared by the connections that work on it.
pub struct Transfer {
    // Immutable.
    id: u64,
    subject: Subject,
    part: Arc<Part>,
    served: Arc<Served>,
    hash: WholeHash,
    since: Instant,
    /// Bytes that were here when it began, verified.
    resumed: u64,
    // Counted or set once.
    done: AtomicU64,
    stopped: AtomicBool,
    finished: AtomicBool,
    // Locked, each for itself, and never while pieces are received, hashed or written.
    /// Under which trackers know it: another one than at first when the file was withdrawn and is shared again.
    share: Mutex<ShareRef>,
    /// Why nobody shares it any more, as far as that is known.
    stranded: Mutex<Option<&'static str>>,
    peers: Mutex<OpenPeers>,
    /// Pieces that the tracker has not been told of.
    fresh: Mutex<Vec<u32>>,
    speed: Mutex<Speed>,
    /// Sockets on which connections are being made.
    dialing: Mutex<Vec<Arc<TcpStream>>>,
}

/// A socket on which a connection is being made: it is shut down when the download stops.
pub struct Dialing<'a> {
    transfer: &'a Transfer,
    stream: &'a Arc<TcpStream>,
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.transfer.dialing.lock().retain(|other| !Arc::ptr_eq(other, self.stream));
    }
}

impl fmt::Debug for Dialing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialing").field("stream", self.stream).finish_non_exhaustive()
    }
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransferProgress {
    /// Bytes verified and written.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Mean of the last seconds.
    pub bytes_per_s: f64,
    /// Members it comes from.
    pub peers: usize,
    /// Since it began.
    pub elapsed: Duration,
    /// Bytes that came from peers since it began.
    pub received: u64,
}

impl Transfer {
    /// A transfer that nobody is connected for yet.
    pub fn new(setup: TransferSetup, now: Instant) -> Self {
        let TransferSetup { id, subject, part, served, client, seed, verified: Verified { have, hash } } = setup;
        let layout = subject.manifest.layout();
        let resumed = have.iter(layout).map(|piece| u64::from(layout.len(piece))).sum();
        let picker = PiecePicker::new(layout, have.clone(), client, WINDOW, seed);
        Self {
            id,
            hash,
            since: now,
            share: Mutex::new(subject.share),
            stranded: Mutex::default(),
            subject,
            part,
            served,
            resumed,
            done: AtomicU64::new(resumed),
            stopped: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            peers: Mutex::new(OpenPeers {
                picker,
                open: HashMap::new(),
                before: BTreeMap::new(),
                run: 0,
                run_since: now,
            }),
            fresh: Mutex::default(),
            speed: Mutex::new(Speed::new(resumed, now)),
            dialing: Mutex::default(),
        }
    }

    /// Its number, for this run of the client.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What it is of.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// How the content is cut.
    pub fn layout(&self) -> Layout {
        self.subject.manifest.layout()
    }

    /// Where it is written.
    pub fn part(&self) -> &Arc<Part> {
        &self.part
    }

    /// What is served of it.
    pub fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Nothing more is to be written: workers return, and nobody waits for a connection that is being made.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        for stream in self.dialing.lock().drain(..) {
            // Fails only if the connection is gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// A connection is being made on this socket, until the guard is dropped; none once the download is stopped.
    pub fn dialing<'a>(&'a self, stream: &'a Arc<TcpStream>) -> Option<Dialing<'a>> {
        let mut dialing = self.dialing.lock();
        if self.is_stopped() {
            return None;
        }
        dialing.push(stream.clone());
        Some(Dialing { transfer: self, stream })
    }

    /// Whether [`Transfer::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// A connection to a client of this member is open and holds these pieces; gives its lane.
    pub fn peer_opened(&self, client: ClientId, user: &UserId, bits: &Bitfield) -> Lane {
        let mut peers = self.peers.lock();
        let OpenPeers { picker, open, .. } = &mut *peers;
        let peer = open.entry(client).or_insert_with(|| OpenPeer {
            user: user.clone(),
            slot: picker.add_peer(client),
            lanes: 0,
            last_lane: 0,
            delivered: 0,
        });
        peer.lanes += 1;
        peer.last_lane = peer.last_lane.wrapping_add(1);
        picker.set_bitfield(peer.slot, bits);
        peer.slot.lane(peer.last_lane)
    }

    /// A connection is gone; what was in flight on it goes back.
    pub fn peer_closed(&self, client: ClientId, lane: Lane) {
        let mut peers = self.peers.lock();
        let OpenPeers { picker, open, before, .. } = &mut *peers;
        picker.give_back(lane);
        if let Some(peer) = open.get_mut(&client).filter(|peer| peer.slot == lane.peer()) {
            peer.lanes -= 1;
            if peer.lanes == 0 {
                picker.remove_peer(peer.slot);
                if peer.delivered > 0 {
                    *before.entry(peer.user.clone()).or_default() += peer.delivered;
                }
                open.remove(&client);
            }
        }
    }

    /// A connection does not deliver: others may take what is in flight on it.
    pub fn snub(&self, lane: Lane) {
        self.peers.lock().picker.snub(lane);
    }

    /// The peer holds these pieces besides.
    pub fn peer_has(&self, lane: Lane, pieces: &[PieceIndex]) {
        let mut peers = self.peers.lock();
        pieces.iter().for_each(|&piece| peers.picker.peer_has(lane.peer(), piece));
    }

    /// The piece to ask for on this lane.
    pub fn pick(&self, lane: Lane) -> Option<PieceIndex> {
        self.peers.lock().picker.pick(lane)
    }

    /// The peer behind this lane does not give the piece now, since it is on its way to another member.
    pub fn put_off(&self, lane: Lane, piece: PieceIndex) {
        self.peers.lock().picker.put_off(lane, piece);
    }

    /// What was put off may be asked for again.
    pub fn recall(&self) {
        self.peers.lock().picker.recall();
    }

    /// Whether the peer behind this lane has anything that is not here yet.
    pub fn wants_from(&self, lane: Lane) -> bool {
        self.peers.lock().picker.wants_from(lane.peer())
    }

    /// Verifies and writes a piece while its bytes are warm, then serves it. True when it was the last one.
    pub fn take_piece(&self, client: ClientId, lane: Lane, piece: PieceIndex, data: &[u8]) -> Result<bool, PieceError> {
        let good = data.len() == self.layout().len(piece) as usize && {
            let expected = &self.subject.manifest.pieces()[piece.as_usize()];
            self.hash.verify(piece, data, expected, &*self.part).map_err(PieceError::stops)?
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
            peers.count_run(Instant::now());
            if let Some(peer) = peers.open.get_mut(&client) {
                peer.delivered += data.len() as u64;
            }
            peers.picker.is_complete()
        };
        self.done.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.served.add(piece);
        self.fresh.lock().push(piece.get());
        self.hash.advance(piece, &*self.part).map_err(PieceError::stops)?;
        Ok(complete)
    }

    /// Lets the SHA-1 of the whole follow through what an earlier run left, until it has or `is_over` or the download is
    /// stopped. Workers go first.
    pub fn follow_up(&self, is_over: impl Fn() -> bool) {
        // What cannot be read ends the download when a worker or the end needs it.
        let _ = self.hash.follow_up(&*self.part, || is_over() || self.is_stopped());
    }

    /// Whether every piece is here.
    pub fn is_complete(&self) -> bool {
        self.peers.lock().picker.is_complete()
    }

    /// The pieces that are here.
    pub fn have(&self) -> Bitfield {
        self.peers.lock().picker.have().clone()
    }

    /// Pieces that came since this was asked last.
    pub fn take_fresh(&self) -> Vec<u32> {
        std::mem::take(&mut self.fresh.lock())
    }

    /// Ends a download whose pieces are all here: checks the complete file, syncs it and gives it its name.
    ///
    /// # Errors
    /// The whole is wrong, the disk does not take it.
    pub fn finish(&self) -> Result<PathBuf, DownloadError> {
        let sha1 = self.hash.finish(&*self.part)?;
        let right = sha1 == self.subject.content.sha1;
        // The SHA-1 is of the bytes as they came in. Somebody who has cut the file off since has left a hole.
        if !right || self.part.has_holes() {
            check_unchanged(&self.part)?;
        }
        if !right {
            return Err(DownloadError::WrongSha1);
        }
        self.part.finish()?;
        self.finished.store(true, Ordering::Relaxed);
        Ok(self.part.destination().to_path_buf())
    }

    /// Whether the file has its name.
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// The share under which trackers know it.
    pub fn share(&self) -> ShareRef {
        *self.share.lock()
    }

    /// The same content is known under another share now.
    pub fn move_to(&self, share: ShareRef) {
        *self.share.lock() = share;
    }

    /// Notes why nobody shares the file any more, or that somebody does; whether that is news.
    pub fn strand(&self, why: Option<&'static str>) -> bool {
        std::mem::replace(&mut *self.stranded.lock(), why) != why
    }

    /// Takes the time for the speed; called every so often.
    pub fn tick(&self, now: Instant) {
        self.speed.lock().look(self.done.load(Ordering::Relaxed), now);
    }

    /// Bytes of good pieces from each member that has delivered some or could.
    pub fn delivered(&self) -> BTreeMap<UserId, u64> {
        let peers = self.peers.lock();
        let mut all = peers.before.clone();
        for peer in peers.open.values() {
            *all.entry(peer.user.clone()).or_default() += peer.delivered;
        }
        all
    }

    /// How far it is.
    pub fn progress(&self, now: Instant) -> TransferProgress {
        let peers = self.peers.lock().open.len();
        let done = self.done.load(Ordering::Relaxed);
        TransferProgress {
            done,
            total: self.layout().size(),
            bytes_per_s: self.speed.lock().bytes_per_s(),
            peers,
            elapsed: now.duration_since(self.since),
            received: done - self.resumed,
        }
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer").field("id", &self.id).field("name", &self.subject.name).finish_non_exhaustive()
    }
}
