//! Sends what goes out on a link: first ops that the other tracker lacks, then news of clients here, then this
//! tracker's progress.

use super::base_transfer::BaseGiver;
use super::seen_parts;
use super::sent_wishes::SentWishes;
use crate::model::digest::InfoHash;
use crate::model::op::floor::FloorMark;
use crate::model::op::{Op, OpBody};
use crate::tracker::cluster::cluster_view::ClusterView;
use crate::tracker::cluster::live_link::LiveLink;
use crate::tracker::cluster::state_digest::QUIET;
use crate::tracker::commit::Standing;
use crate::tracker::core::Core;
use crate::tracker::manifests::Requester;
use crate::tracker::presence::{PresenceChange, Subscription, Taken};
use crate::tracker::state::State;
use crate::wire::codec::{Blob, List, Wire};
use crate::wire::frame::UNASKED;
use crate::wire::refusal::Code;
use crate::wire::tracker_tracker::{
    HAVE_INTERVAL, LinkMessage, OPS_FRAME_LEN_MAX, OPS_MAX, SHORT_MANIFEST_MAX, WANTED_MAX,
};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The least time between two `Have`, unless nothing else was sent meanwhile.
const HAVE_PAUSE: Duration = Duration::from_millis(200);
/// The pause before a new look at changes of soft state that were put off.
const PUT_OFF_PAUSE: Duration = Duration::from_millis(200);
/// How many changes of soft state are taken at a time.
const CHANGES_MAX: usize = 256;

/// The sending half of a link. Its own thread may wait for the other tracker, without holding up any other.
pub(super) struct LinkSender<'a> {
    core: &'a Core,
    live: &'a LiveLink,
    soft: Arc<Subscription>,
    /// The place in the feed up to which the link has given ops.
    cursor: u64,
    /// The floor of both trackers while they have the same one. Only then does the link give ops.
    level: Option<FloorMark>,
    base: BaseGiver,
    said: Option<SaidHave>,
    all_told: bool,
    wishes: SentWishes,
    /// Long manifests that the other tracker wants.
    long_wanted: BTreeSet<InfoHash>,
    /// The long manifest that is being given, and the offset reached.
    giving: Option<(InfoHash, u32)>,
}

/// The last `Have` sent.
struct SaidHave {
    at: Instant,
    of: Arc<State>,
    floor: FloorMark,
    with_digest: bool,
    /// How many messages it took.
    parts: u32,
}

impl<'a> LinkSender<'a> {
    pub(super) fn new(core: &'a Core, live: &'a LiveLink) -> Self {
        let wakeup = live.wakeup.clone();
        core.cluster.feed().follow(&wakeup);
        let soft = core.presence.subscribe(Box::new(move || wakeup.wake()));
        let (cursor, wishes) = (core.cluster.feed().end(), SentWishes::new(Instant::now()));
        let (level, base) = (None, BaseGiver::default());
        let (long_wanted, giving) = (BTreeSet::new(), None);
        Self { core, live, soft, cursor, level, base, said: None, all_told: false, wishes, long_wanted, giving }
    }

    fn cluster(&self) -> &ClusterView {
        &self.core.cluster
    }

    /// Runs until the link ends.
    pub(super) fn run(mut self) -> io::Result<()> {
        while !self.live.sender.is_over() {
            self.send_signs()?;
            self.look_at_floors()?;
            self.begin_again()?;
            let more = self.level.is_some() && self.follow()?;
            let put_off = self.tell_clients()?;
            self.pass_calls()?;
            self.ask_for_manifests()?;
            let due = self.say_have()?;
            if !(self.give_wanted()? | self.give_long()? | self.give_base()? | more) {
                let again = put_off.then(|| Instant::now() + PUT_OFF_PAUSE);
                self.live.wakeup.wait(again.map_or(due, |again| due.min(again)));
            }
        }
        Ok(())
    }

    /// Checks whether both trackers have the same floor. If they have just reached it, gives all ops that the other
    /// one has not confirmed as durable: it has skipped them until then.
    fn look_at_floors(&mut self) -> io::Result<()> {
        let own = self.core.committer.standing().floor.mark;
        if self.said.as_ref().is_none_or(|said| said.floor != own) {
            // The other tracker skips ops until it knows.
            self.say_have()?;
        }
        let is_level = {
            let mut progress = self.live.progress.lock();
            let (is_level, anew) = (progress.floor == own, self.level != Some(own));
            if is_level && anew {
                progress.exchanged = progress.durable.clone();
            }
            is_level
        };
        let before = std::mem::replace(&mut self.level, is_level.then_some(own));
        if is_level && before != self.level { self.catch_up() } else { Ok(()) }
    }

    /// Asks for the base of the other tracker, and gives a part of the base that it wants. Returns whether there is
    /// more.
    fn give_base(&mut self) -> io::Result<bool> {
        if let Some(floor) = self.live.progress.lock().ask_for_base.take() {
            self.send(&LinkMessage::WantBase { floor })?;
        }
        match self.base.next(self.core, self.live) {
            Some(message) => self.send(&message).map(|()| true),
            None => Ok(false),
        }
    }

    /// Sends everything again to a tracker that could not keep it. Asks for the same if this tracker could not.
    fn begin_again(&mut self) -> io::Result<()> {
        let (asks, gives) = {
            let mut progress = self.live.progress.lock();
            (std::mem::take(&mut progress.asks_again), std::mem::take(&mut progress.gives_again))
        };
        if gives {
            let first = |seen| LinkMessage::GiveAgain { seen };
            seen_parts::say(&self.core.state(), first, |message| self.send(message))?;
        }
        if asks && self.level.is_some() { self.catch_up() } else { Ok(()) }
    }

    fn send(&self, message: &LinkMessage) -> io::Result<()> {
        self.send_signs()?;
        self.live.sender.send(UNASKED, message)
    }

    /// Sends the due signs of life: the question to the other tracker, and the answer to its question. They go before
    /// all other messages.
    fn send_signs(&self) -> io::Result<()> {
        let due = self.live.signs.take_due();
        if due.ask {
            self.live.sender.send(UNASKED, &LinkMessage::AreYouThere {})?;
        }
        if due.answer {
            self.live.sender.send(UNASKED, &LinkMessage::Here {})?;
        }
        Ok(())
    }

    /// Sends all durable ops that the other tracker lacks: from the feed if that reaches back far enough, or else from
    /// the log.
    fn catch_up(&mut self) -> io::Result<()> {
        let state = self.core.state();
        let start = self.cluster().feed().start();
        let mut from_feed = self.live.progress.lock().exchanged.clone();
        let floor = self.level.map_or(0, |floor| floor.lamport);
        // The feed may lack the first op of an origin that the other tracker does not list.
        let mut give = |op: &Op| {
            let is_sure = op.id.seq == 1 || from_feed.lists(op.id.origin);
            (is_sure && op.lamport > floor && from_feed.give(op)).then(|| op.clone())
        };
        if let Some(ops) = self.cluster().feed().read(start, usize::MAX, &mut give)
            && from_feed.lacks(&state) == 0
        {
            self.cursor = start + ops.len() as u64;
            let ops: Vec<Op> = ops.into_iter().flatten().collect();
            self.live.progress.lock().exchanged.note(&ops);
            return self.give(ops, u64::MAX);
        }
        // From now on new durable ops come through the feed.
        self.cursor = self.cluster().feed().end();
        let state = self.core.state();
        let mut lot = Vec::new();
        let mut gone = Ok(());
        let read = self.core.source.read(&mut |op| {
            let durable = op.lamport > floor && op.id.seq <= state.seen(op.id.origin);
            if durable && self.live.progress.lock().exchanged.give(&op) {
                lot.push(op);
            }
            if lot.len() >= OPS_MAX {
                gone = self.give(std::mem::take(&mut lot), u64::MAX);
            }
            gone.is_ok()
        });
        gone?;
        read.map_err(io::Error::other)?;
        self.give(lot, u64::MAX)?;
        match self.live.progress.lock().exchanged.lacks(&state) {
            0 => Ok(()),
            missing => Err(io::Error::other(format!("{missing} changes cannot be read back from the journal"))),
        }
    }

    /// Sends some new ops of the feed. Returns whether there may be more.
    fn follow(&mut self) -> io::Result<bool> {
        let floor = self.level.map_or(0, |floor| floor.lamport);
        let mut read = 0;
        let ops = {
            let mut progress = self.live.progress.lock();
            self.cluster().feed().read(self.cursor, OPS_MAX, |op| {
                read += 1;
                (op.lamport > floor && progress.exchanged.give(op)).then(|| op.clone())
            })
        };
        match ops {
            None => self.catch_up()?,
            Some(_) if read == 0 => return Ok(false),
            Some(ops) => {
                self.cursor += read;
                self.give(ops.into_iter().flatten().collect(), SHORT_MANIFEST_MAX.into())?;
            }
        }
        Ok(true)
    }

    /// Sends ops in frames of a bounded length, each short manifest before the share that needs it. Once manifests
    /// have used up `room`, the other tracker asks for the rest.
    fn give(&self, ops: Vec<Op>, mut room: u64) -> io::Result<()> {
        let (mut lot, mut len, mut bytes) = (Vec::new(), 0, Vec::new());
        for op in ops {
            if let OpBody::CreateShare { content, .. } = &op.body {
                let len = self.manifest_len(content.info_hash);
                if len <= room.min(SHORT_MANIFEST_MAX.into()) {
                    room -= len;
                    self.give_manifest(content.info_hash)?;
                }
            }
            bytes.clear();
            op.put(&mut bytes);
            if len + bytes.len() > OPS_FRAME_LEN_MAX || lot.len() == OPS_MAX {
                self.give_lot(std::mem::take(&mut lot))?;
                len = 0;
            }
            len += bytes.len();
            lot.push(op);
        }
        self.give_lot(lot)
    }

    fn give_lot(&self, ops: Vec<Op>) -> io::Result<()> {
        match List::new(ops).filter(|ops| !ops.is_empty()) {
            Some(ops) => self.send(&LinkMessage::Ops { ops }),
            None => Ok(()),
        }
    }

    /// Asks for manifests that are missing here.
    fn ask_for_manifests(&mut self) -> io::Result<()> {
        let (now, given) = (Instant::now(), self.live.manifests_given.load(Ordering::Relaxed));
        let missing = |wish, most| self.core.manifests.wished_since(wish, most);
        let missing = self.wishes.next(now, given, missing);
        for lot in missing.chunks(WANTED_MAX) {
            self.send(&LinkMessage::WantManifests { info_hashes: List::first_of(lot.to_vec()) })?;
        }
        Ok(())
    }

    /// Sends one wanted manifest, or puts it off if it is long. Returns false if none is wanted. The far side makes
    /// manifests durable when another message comes, so a `Have` follows the last one.
    fn give_wanted(&mut self) -> io::Result<bool> {
        let (wanted, is_last) = {
            let mut all = self.live.wanted.lock();
            (all.pop_first(), all.is_empty())
        };
        let Some(info_hash) = wanted else { return Ok(false) };
        if self.manifest_len(info_hash) > SHORT_MANIFEST_MAX.into() {
            self.long_wanted.insert(info_hash);
        } else {
            self.give_manifest(info_hash)?;
        }
        if is_last {
            self.said = None;
        }
        Ok(true)
    }

    /// Sends a part of a long manifest that is wanted. Other news goes between the parts. Returns whether there was
    /// one.
    fn give_long(&mut self) -> io::Result<bool> {
        let next = || self.long_wanted.first().map(|info_hash| (*info_hash, 0));
        let Some((info_hash, offset)) = self.giving.or_else(next) else { return Ok(false) };
        self.giving = self.give_part(info_hash, offset)?.map(|offset| (info_hash, offset));
        if self.giving.is_none() {
            self.long_wanted.remove(&info_hash);
            self.said = None;
        }
        Ok(true)
    }

    fn manifest_len(&self, info_hash: InfoHash) -> u64 {
        self.core.manifests.lens().look(|len_of| len_of(info_hash))
    }

    /// Sends a short manifest in parts, as long as it gets turns. The other tracker asks for a manifest that it lacks.
    fn give_manifest(&self, info_hash: InfoHash) -> io::Result<()> {
        let mut next = Some(0);
        while let Some(offset) = next {
            next = self.give_part(info_hash, offset)?.filter(|end| *end > offset);
        }
        Ok(())
    }

    /// Sends a part of a manifest. Returns the offset of the next part; `None` at the end. If this tracker has lost
    /// the manifest, the transfer ends too: another tracker may have it.
    fn give_part(&self, info_hash: InfoHash, offset: u32) -> io::Result<Option<u32>> {
        let (total, part) = match self.core.manifests.read(info_hash, offset, Requester::Trackers) {
            Ok(Some(found)) => found,
            // It got no turn.
            Err(refusal) if refusal.code == Code::SlowDown => return Ok(Some(offset)),
            Ok(None) | Err(_) => return Ok(None),
        };
        let end = offset + part.len() as u32;
        let Some(part) = Blob::new(part).filter(|part| !part.as_bytes().is_empty()) else { return Ok(None) };
        self.send(&LinkMessage::Manifest { info_hash, total, offset, part })?;
        Ok((end < total).then_some(end))
    }

    /// Tells the changes among the clients that are logged in here. Returns whether some are put off.
    fn tell_clients(&mut self) -> io::Result<bool> {
        let put_off = loop {
            let Taken { changes, put_off } = self.core.presence.take(&self.soft, CHANGES_MAX, Instant::now());
            let last = changes.len() < CHANGES_MAX;
            for change in changes {
                self.send(&match change {
                    PresenceChange::Online { key, contact } => {
                        LinkMessage::Online { user: key.user, client: key.client, contact }
                    }
                    PresenceChange::Offline { key } => LinkMessage::Offline { user: key.user, client: key.client },
                    PresenceChange::Holds { key, share, holding } => {
                        LinkMessage::Holds { user: key.user, client: key.client, share, holding }
                    }
                })?;
            }
            if last {
                break put_off;
            }
        };
        if !std::mem::replace(&mut self.all_told, true) {
            self.send(&LinkMessage::AllTold {})?;
        }
        Ok(put_off)
    }

    /// Passes on calls of this tracker's clients.
    fn pass_calls(&self) -> io::Result<()> {
        let calls = std::mem::take(&mut *self.live.calls.lock());
        calls.iter().try_for_each(|call| self.send(call))
    }

    /// Sends `Have` if the state has changed, or if nothing was sent for long. Returns when to check again.
    fn say_have(&mut self) -> io::Result<Instant> {
        let (now, Standing { state, floor }) = (Instant::now(), self.core.committer.standing());
        let floor = floor.mark;
        let digest = self.cluster().digest(&state, now);
        if let Some(said) = &self.said {
            let news = !Arc::ptr_eq(&said.of, &state) || digest.is_some() != said.with_digest;
            // A long list goes out less often.
            let pause = HAVE_PAUSE.saturating_mul(said.parts).min(HAVE_INTERVAL);
            let due = said.at
                + if said.floor != floor {
                    Duration::ZERO
                } else if news {
                    pause
                } else {
                    HAVE_INTERVAL
                };
            if now < due {
                // The digest may be known before the next `Have` is due.
                return Ok(if digest.is_none() { due.min(now + QUIET) } else { due });
            }
        }
        let first = |seen| LinkMessage::Have { floor, seen, digest };
        let parts = seen_parts::say(&state, first, |message| self.send(message))?;
        self.said = Some(SaidHave { at: now, of: state, floor, with_digest: digest.is_some(), parts });
        Ok(now + if digest.is_none() { QUIET } else { HAVE_INTERVAL })
    }
}
