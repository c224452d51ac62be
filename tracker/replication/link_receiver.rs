//! Takes what comes in on a link: ops, the other tracker's progress, its clients, manifests.

use super::base_transfer::BaseTaker;
use super::link_error::LinkError;
use super::seen_parts::{GatheredSeen, SeenPart};
use super::sent_wishes::WISHES_MAX;
use crate::model::digest::InfoHash;
use crate::model::id::{ClientId, Seen, ShareRef, UserRef};
use crate::model::op::floor::FloorMark;
use crate::model::op::{Op, OpBody};
use crate::model::units::duration;
use crate::sys::unix_time_s;
use crate::tracker::cluster::live_link::LiveLink;
use crate::tracker::cluster::version_vector::VersionVector;
use crate::tracker::commit::Standing;
use crate::tracker::core::Core;
use crate::tracker::manifests::{CheckedManifest, ManifestPart, ManifestUpload, Requester};
use crate::tracker::presence::{ClientKey, HeardFrom, HolderUp, SwarmInfo, within};
use crate::tracker::state::Fate;
use crate::wire::certificate::Certificate;
use crate::wire::client_tracker::{Holding, PassedCall};
use crate::wire::connection::FrameReceiver;
use crate::wire::refusal::{Code, Refusal};
use crate::wire::tracker_tracker::{HAVE_INTERVAL, LinkMessage, SHORT_MANIFEST_MAX};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A link that is silent for this long has ended: the far side sends `Have` more often.
const SILENCE_MAX: Duration = HAVE_INTERVAL.saturating_mul(3);
/// How many holdings of unknown shares are kept.
const EARLY_MAX: usize = 4096;
/// The longest such holding with exact pieces, in bytes. Of a longer one only the number of pieces is kept.
const EARLY_LEN_MAX: usize = 64;
/// The pause before changes that could not be kept are tried again. It doubles each time.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The most manifests that become durable together.
const MANIFESTS_MAX: usize = 1024;
/// The most manifests waiting to be sent; the far side asks again for the rest.
const WANTED_HERE_MAX: usize = 2 * WISHES_MAX;
/// If the clocks of two trackers differ by more than this, the operator is told.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(600);
/// The most late ops to hold back, so that one refold takes them.
const LATE_MAX: usize = 128 * 1024;

/// The receiving half of a link.
pub(super) struct LinkReceiver<'a> {
    core: &'a Core,
    number: u16,
    live: &'a LiveLink,
    /// The short and the long manifest that are coming in.
    coming_manifests: [ComingManifest; 2],
    /// Manifests that have come in and are not durable yet: a few become so together.
    manifests: Vec<CheckedManifest>,
    /// Holdings of shares that are still unknown: the op may be on its way through another tracker.
    early: BTreeMap<(ClientKey, ShareRef), Holding>,
    /// The unfinished version vector of the other tracker.
    coming: Option<(SeenOf, GatheredSeen)>,
    /// Late ops, held while more have come in or are to come: each refold of late ops folds everything after them
    /// again.
    late: Vec<Op>,
    base: BaseTaker<'a>,
    /// Whether the operator was told that the other tracker's clock is ahead.
    told_of_clock: bool,
    /// Set while this tracker cannot keep changes: it drops those that come, and asks for them again.
    refused: Option<Refused>,
}

/// A manifest that is coming in.
#[derive(Default)]
struct ComingManifest {
    upload: Option<ManifestUpload>,
    /// The last manifest that this tracker did not take.
    skipped: Option<InfoHash>,
}

/// Changes that could not be kept.
struct Refused {
    /// The first of them, to try again with.
    op: Op,
    pause: Duration,
    try_at: Instant,
    /// Whether this link has told the operator.
    told: bool,
}

/// The kind of message that carries the other tracker's version vector.
enum SeenOf {
    Have { floor: FloorMark, digest: Option<[u8; 32]> },
    GiveAgain,
}

/// Whether a message may come between ops that are folded in together.
fn goes_with_ops(message: &LinkMessage) -> bool {
    matches!(
        message,
        LinkMessage::Manifest { .. }
            | LinkMessage::Ops { .. }
            | LinkMessage::Have { .. }
            | LinkMessage::SeenMore { .. }
            | LinkMessage::AreYouThere {}
            | LinkMessage::Here {}
    )
}

/// The manifest that precedes an op.
fn manifest_of(op: &Op) -> Option<InfoHash> {
    match &op.body {
        OpBody::CreateShare { content, .. } => Some(content.info_hash),
        _ => None,
    }
}

impl<'a> LinkReceiver<'a> {
    pub(super) fn new(core: &'a Core, number: u16, live: &'a LiveLink) -> Self {
        Self {
            core,
            number,
            live,
            coming_manifests: Default::default(),
            manifests: Vec::new(),
            early: BTreeMap::new(),
            coming: None,
            late: Vec::new(),
            base: BaseTaker::new(core, number, live),
            refused: None,
            told_of_clock: false,
        }
    }

    /// Tells the operator, once, that the clock of the other tracker is ahead. From half a day on, the clients of each
    /// tracker reject certificates of the other: the times in them seem too late or too early.
    fn compare_clocks(&mut self, certificate: &Certificate) {
        let ahead = certificate.signer_is_ahead(unix_time_s());
        if ahead >= CLOCKS_APART_MAX && !std::mem::replace(&mut self.told_of_clock, true) {
            let (number, ahead) = (self.number, duration(ahead));
            let line = format!("the clock of tracker {number} is {ahead} ahead of this one; set the clocks");
            self.core.cluster.tell(number, line);
        }
    }

    /// Runs until the link ends.
    pub(super) fn run(&mut self, receiver: &mut FrameReceiver) -> Result<(), LinkError> {
        self.base.look(Instant::now())?;
        let Err(why) = self.take_all(receiver);
        // Held ops are not requested again.
        self.receive_late()?;
        Err(why)
    }

    fn take_all(&mut self, receiver: &mut FrameReceiver) -> Result<Infallible, LinkError> {
        loop {
            // The ops that came during a refold may be late too.
            if !self.late.is_empty() && !self.is_more_to_come() && !receiver.has_more() {
                self.receive_late()?;
                self.base.look(Instant::now())?;
            }
            let message = receiver.recv(SILENCE_MAX)?.message::<LinkMessage>()?;
            if self.live.sender.is_over() {
                // Another link has replaced this one. What this one still tells would come too late.
                return Err(LinkError::Ended);
            }
            let now = Instant::now();
            self.core.presence.heard_from_tracker(self.heard(now));
            self.try_again(now)?;
            self.take(message, now)?;
            // With the held ops this tracker may not need the base of the other one.
            if self.late.is_empty() {
                self.base.look(now)?;
            }
        }
    }

    fn take(&mut self, message: LinkMessage, now: Instant) -> Result<(), Refusal> {
        // A tracker that asks for a sign of life waits only briefly.
        let is_sign = matches!(message, LinkMessage::AreYouThere {} | LinkMessage::Here {});
        if !is_sign && !matches!(message, LinkMessage::Manifest { .. }) {
            self.keep_manifests();
        }
        if !goes_with_ops(&message) {
            self.receive_late()?;
        }
        match message {
            LinkMessage::Hello { .. } => return Err(Refusal::about(Code::Malformed, "a second greeting")),
            LinkMessage::Refused { code, about } => return Err(Refusal::received(code, &about)),
            LinkMessage::Manifest { info_hash, total, offset, part } => {
                let part = ManifestPart { info_hash, total, offset, bytes: part.as_bytes() };
                self.put_manifest(part);
            }
            LinkMessage::Ops { ops } => {
                let ops = ops.into_vec();
                // The other tracker gives them again once both have the same floor.
                if self.is_level() {
                    self.live.progress.lock().exchanged.note(&ops);
                    self.receive(ops)?;
                    self.retry(now);
                }
            }
            LinkMessage::Have { floor, seen, digest } => self.begin_list(SeenOf::Have { floor, digest }, seen, now)?,
            LinkMessage::GiveAgain { seen } => self.begin_list(SeenOf::GiveAgain, seen, now)?,
            LinkMessage::SeenMore { seen } => self.go_on_with_list(seen, now)?,
            LinkMessage::WantManifests { info_hashes } => {
                let mut wanted = self.live.wanted.lock();
                let room = WANTED_HERE_MAX.saturating_sub(wanted.len());
                wanted.extend(info_hashes.iter().take(room));
                drop(wanted);
                self.live.wakeup.wake();
            }
            LinkMessage::WantBase { floor } => {
                self.live.progress.lock().wants_base = Some(floor);
                self.live.wakeup.wake();
            }
            LinkMessage::Base { floor, total, offset, part } => {
                self.base.take((floor, total, offset), part.as_bytes(), now);
            }
            LinkMessage::NoBase { floor } => self.base.take_none(floor, now),
            LinkMessage::AreYouThere {} | LinkMessage::Here {} => self.take_sign(&message),
            LinkMessage::Online { .. }
            | LinkMessage::Offline { .. }
            | LinkMessage::Holds { .. }
            | LinkMessage::Call { .. }
            | LinkMessage::AllTold {} => self.take_of_clients(message, now)?,
        }
        Ok(())
    }

    fn begin_list(&mut self, of: SeenOf, seen: SeenPart, now: Instant) -> Result<(), Refusal> {
        if self.coming.replace((of, GatheredSeen::default())).is_some() {
            return Err(Refusal::about(Code::Malformed, "a list of origins without its end"));
        }
        self.go_on_with_list(seen, now)
    }

    fn go_on_with_list(&mut self, seen: SeenPart, now: Instant) -> Result<(), Refusal> {
        let coming = self.coming.take();
        let (of, mut gathered) =
            coming.ok_or_else(|| Refusal::about(Code::Malformed, "the end of a list of origins that never began"))?;
        let Some(seen) = gathered.add(seen)? else {
            self.coming = Some((of, gathered));
            return Ok(());
        };
        match of {
            SeenOf::Have { floor, digest } => {
                self.compare(floor, &seen, digest, now);
                self.retry(now);
            }
            SeenOf::GiveAgain => {
                let mut progress = self.live.progress.lock();
                (progress.exchanged, progress.durable) = (VersionVector::new(&seen), VersionVector::new(&seen));
                progress.asks_again = true;
                drop(progress);
                self.live.wakeup.wake();
            }
        }
        Ok(())
    }

    /// Takes a sign of life: the other tracker's question, or its answer.
    fn take_sign(&self, sign: &LinkMessage) {
        if matches!(sign, LinkMessage::Here {}) {
            return self.live.signs.note_answer();
        }
        self.live.signs.note_question();
        self.live.wakeup.wake();
    }

    /// Takes news of the other tracker's clients.
    fn take_of_clients(&mut self, message: LinkMessage, now: Instant) -> Result<(), Refusal> {
        match message {
            LinkMessage::Online { user, client, contact } => {
                contact.iter().for_each(|contact| self.compare_clocks(&contact.certificate));
                let key = self.key(user, client);
                self.tell(self.core.presence.remote_online(self.heard(now), key, contact));
            }
            LinkMessage::Offline { user, client } => {
                self.core.presence.remote_offline(self.number, self.key(user, client))
            }
            LinkMessage::Holds { holding: Holding::More { .. }, .. } => {
                return Err(Refusal::about(Code::Malformed, "not all that a client holds"));
            }
            LinkMessage::Holds { user, client, share, holding } => {
                let key = self.key(user, client);
                self.early.remove(&(key, share));
                if !self.holds(key, share, &holding, now) && self.early.len() < EARLY_MAX {
                    self.early.insert((key, share), within(holding, EARLY_LEN_MAX));
                }
            }
            LinkMessage::Call { user, client, call } => self.tell_call(self.key(user, client), &call, now),
            LinkMessage::AllTold {} => self.core.presence.end_snapshot(self.number),
            _ => return Err(Refusal::about(Code::Malformed, "nothing about a client")),
        }
        Ok(())
    }

    fn receive(&mut self, ops: Vec<Op>) -> Result<(), Refusal> {
        if self.refused.is_some() {
            return Ok(());
        }
        let state = self.core.state();
        let in_order = ops.first().is_none_or(|first| state.last().is_none_or(|last| last < first.order()));
        if in_order && self.late.is_empty() {
            return self.keep(ops, None);
        }
        self.late.extend(ops);
        if self.late.len() < LATE_MAX { Ok(()) } else { self.receive_late() }
    }

    /// Whether the far side has announced more ops than those held here, and gives them.
    fn is_more_to_come(&self) -> bool {
        self.is_level() && self.live.progress.lock().durable.exceeds(&self.core.state()) > self.late.len() as u64
    }

    fn receive_late(&mut self) -> Result<(), Refusal> {
        match std::mem::take(&mut self.late) {
            late if late.is_empty() => Ok(()),
            late => self.keep(late, None),
        }
    }

    /// Makes ops durable. If that fails, the receiver retries after a pause, and the link goes on. `before` is the
    /// failure of an earlier try.
    fn keep(&mut self, ops: Vec<Op>, before: Option<Refused>) -> Result<(), Refusal> {
        let Some(op) = ops.first().cloned() else { return Ok(()) };
        let absent = self.core.manifests.mark_absent(ops.iter().filter_map(manifest_of));
        let taken = self.core.committer.receive(ops);
        if taken.is_ok() {
            self.core.manifests.expect(&absent);
        }
        let told = before.as_ref().is_some_and(|before| before.told);
        match taken {
            Err(refusal) if refusal.code == Code::Unavailable => {
                // A failing disk is told once for all changes.
                let tell = !told && self.core.committer.trouble().is_none();
                if tell {
                    self.core.cluster.warn(&format!("changes of tracker {} are not taken: {refusal}", self.number));
                }
                let pause = before.map_or(RETRY_MIN, |before| (before.pause * 2).min(RETRY_MAX));
                self.refused = Some(Refused { op, pause, try_at: Instant::now() + pause, told: told || tell });
                return Ok(());
            }
            Ok(()) if told => {
                self.core.cluster.warn(&format!("changes of tracker {} are taken again", self.number));
            }
            _ => {}
        }
        taken
    }

    /// Tries with one op whether this tracker can keep changes again. If so, asks the far side for all that were
    /// dropped.
    fn try_again(&mut self, now: Instant) -> Result<(), Refusal> {
        let Some(before) = self.refused.take_if(|refused| refused.try_at <= now) else {
            return Ok(());
        };
        self.keep(vec![before.op.clone()], Some(before))?;
        if self.refused.is_none() {
            self.live.progress.lock().gives_again = true;
            self.live.wakeup.wake();
        }
        Ok(())
    }

    /// Takes a part of a manifest. Changes do not wait for a manifest that is damaged there or cannot be kept here.
    /// This tracker does without it until another tracker or a user brings it.
    fn put_manifest(&mut self, part: ManifestPart<'_>) {
        let coming = &mut self.coming_manifests[usize::from(part.total > SHORT_MANIFEST_MAX)];
        if part.offset > 0 && coming.skipped == Some(part.info_hash) {
            return;
        }
        let refusal = match self.core.manifests.take(&mut coming.upload, part, Requester::Trackers) {
            Ok(checked) => {
                self.manifests.extend(checked);
                if self.manifests.len() >= MANIFESTS_MAX {
                    self.keep_manifests();
                }
                return;
            }
            Err(refusal) => refusal,
        };
        let known = coming.skipped.replace(part.info_hash) == Some(part.info_hash);
        if refusal.code == Code::BadManifest && !known {
            let (number, name) = (self.number, part.info_hash);
            self.core.cluster.warn(&format!("the manifest {name} is damaged at tracker {number}: {refusal}"));
        }
    }

    /// Makes the received manifests durable. If that fails, they count as missing once their shares come.
    fn keep_manifests(&mut self) {
        let lot = std::mem::take(&mut self.manifests);
        if !lot.is_empty() {
            // If the disk takes no ops either, that is told then.
            let given = lot.len() as u64;
            let _ = self.core.manifests.keep(lot);
            self.live.manifests_given.fetch_add(given, Ordering::Relaxed);
            self.live.wakeup.wake();
        }
    }

    /// Notes what a client holds. Returns false if the op of the share or of the membership may still come.
    fn holds(&self, key: ClientKey, share: ShareRef, holding: &Holding, now: Instant) -> bool {
        let state = self.core.state();
        if state.fate(share.0) == Fate::Forgotten {
            return true;
        }
        let Some(info) = state.share(share).filter(|info| state.is_member(info.group, key.user)) else {
            return false;
        };
        let swarm = SwarmInfo { share: info.share, group: info.group, layout: info.content.layout };
        self.tell(self.core.presence.remote_holds(self.heard(now), key, swarm, holding));
        // The membership may have ended since the check. Then its holdings were dropped before these came.
        if !self.core.state().is_member(info.group, key.user) {
            self.core.presence.drop_member(key.user, info.group);
        }
        true
    }

    /// Passes a call on to a client of this tracker, unless the caller has called the user too often.
    fn tell_call(&self, called: ClientKey, call: &PassedCall, now: Instant) {
        let caller = self.core.state().user_named(&call.caller.user);
        // The last address is the one at which the caller's tracker sees the caller.
        let ip = call.addrs.last().map_or(Ipv4Addr::UNSPECIFIED.into(), |addr| addr.ip());
        if caller.is_some_and(|caller| self.core.calls.lock().allows((caller, ip), called.user, now)) {
            // A client that is gone misses the call.
            self.core.tell_call(&called, call.clone());
        }
    }

    fn retry(&mut self, now: Instant) {
        let mut early = std::mem::take(&mut self.early);
        early.retain(|&(key, share), holding| !self.holds(key, share, holding, now));
        self.early = early;
    }

    fn heard(&self, at: Instant) -> HeardFrom {
        HeardFrom { tracker: self.number, at }
    }

    fn key(&self, user: UserRef, client: ClientId) -> ClientKey {
        ClientKey { user: UserRef(self.core.state().canonical(user.0)), client }
    }

    fn tell(&self, holder_up: impl IntoIterator<Item = HolderUp>) {
        let state = self.core.state();
        holder_up.into_iter().for_each(|holder_up| self.core.tell_holder_up(&state, &holder_up));
    }

    /// Whether both trackers have the same floor, as far as this one knows.
    fn is_level(&self) -> bool {
        self.core.committer.standing().floor.mark == self.live.progress.lock().floor
    }

    /// Notes the progress of the other tracker, and compares the states that the same ops have led to.
    fn compare(&self, floor: FloorMark, seen: &[Seen], digest: Option<[u8; 32]>, now: Instant) {
        let durable = VersionVector::new(seen);
        let Standing { state, floor: own } = self.core.committer.standing();
        let same = floor == own.mark && durable.lacks(&state) == 0 && durable.exceeds(&state) == 0;
        let own = digest.filter(|_| same).and_then(|_| self.core.cluster.digest(&state, now));
        let mut progress = self.live.progress.lock();
        progress.durable = durable;
        if std::mem::replace(&mut progress.floor, floor) != floor {
            // A new floor changes what to give.
            self.live.wakeup.wake();
        }
        let (Some(own), Some(digest)) = (own, digest) else { return };
        if own != digest && progress.agrees != Some(false) {
            let hex = |digest: [u8; 32]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            self.core.cluster.warn(&format!(
                "THE STATES DIFFER though tracker {} knows the same changes: {} here, {} there. Please report this",
                self.number,
                hex(own),
                hex(digest)
            ));
        }
        progress.agrees = Some(own == digest);
    }
}
