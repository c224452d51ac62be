//! What comes in on a link: ops, how far the other tracker is, its clients, manifests.

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

/// A link on which nothing comes in for this long has ended: the far side says `Have` more often than that.
const SILENCE_MAX: Duration = HAVE_INTERVAL.saturating_mul(3);
/// Holdings that are kept of shares that are not known yet.
const EARLY_MAX: usize = 4096;
/// Longest of them that says which pieces, in bytes. Of a longer one it is kept how many these are.
const EARLY_LEN_MAX: usize = 64;
/// Pause before changes that could not be kept are tried again; it doubles each time.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Most manifests that are made durable together.
const MANIFESTS_MAX: usize = 1024;
/// Manifests that are still to be sent; the far side asks again for others.
const WANTED_HERE_MAX: usize = 2 * WISHES_MAX;
/// Clocks of trackers that are further apart are told of.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(600);
/// Most late ops that are held to be folded together.
const LATE_MAX: usize = 128 * 1024;

/// The receiving half of a link.
pub(super) struct LinkReceiver<'a> {
    core: &'a Core,
    number: u16,
    live: &'a LiveLink,
    /// The short manifest and the long one that are on their way.
    coming_manifests: [ComingManifest; 2],
    /// Manifests that have come in and are not durable yet: a few are kept together.
    manifests: Vec<CheckedManifest>,
    /// What clients hold of shares that are not known yet: the op may be on its way through another tracker.
    early: BTreeMap<(ClientKey, ShareRef), Holding>,
    /// What the other tracker has, of which more is to come.
    coming: Option<(SeenOf, GatheredSeen)>,
    /// Ops that come before some that are known here, held while more have come in or are to come: each lot of late ops
    /// has everything behind it folded again.
    late: Vec<Op>,
    base: BaseTaker<'a>,
    /// The operator was told that the other tracker's clock is ahead.
    told_of_clock: bool,
    /// Set while changes cannot be kept here: those that come are dropped and asked for again.
    refused: Option<Refused>,
}

/// Where a manifest comes in.
#[derive(Default)]
struct ComingManifest {
    upload: Option<ManifestUpload>,
    /// The last manifest that was not taken.
    skipped: Option<InfoHash>,
}

/// Changes could not be kept.
struct Refused {
    /// The first one of them, to try with.
    op: Op,
    pause: Duration,
    try_at: Instant,
    /// The operator was told by this link.
    told: bool,
}

/// The message that says what the other tracker has.
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

/// The manifest that comes before an op.
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

    /// Tells the operator, once, that the clock of the other tracker is ahead. Certificates that it signs late, or this
    /// one does early, count for nothing at the clients of the other once that is half a day.
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
        // What was held is not asked for again.
        self.receive_late()?;
        Err(why)
    }

    fn take_all(&mut self, receiver: &mut FrameReceiver) -> Result<Infallible, LinkError> {
        loop {
            // What has come in while others were folded in may be late too.
            if !self.late.is_empty() && !self.is_more_to_come() && !receiver.has_more() {
                self.receive_late()?;
                self.base.look(Instant::now())?;
            }
            let message = receiver.recv(SILENCE_MAX)?.message::<LinkMessage>()?;
            if self.live.sender.is_over() {
                // Another link has replaced this one, which would tell the rest too late.
                return Err(LinkError::Ended);
            }
            let now = Instant::now();
            self.core.presence.heard_from_tracker(self.heard(now));
            self.try_again(now)?;
            self.take(message, now)?;
            // Among those that are held may be what lets this tracker do without the base of the other one.
            if self.late.is_empty() {
                self.base.look(now)?;
            }
        }
    }

    fn take(&mut self, message: LinkMessage, now: Instant) -> Result<(), Refusal> {
        // Whoever asks for a sign of life does not wait for long.
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
                // They are given again once both trackers have the same floor.
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
            coming.ok_or_else(|| Refusal::about(Code::Malformed, "the end of no list of origins"))?;
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

    /// Whether the other tracker asks if this one is there, or says that it is there itself.
    fn take_sign(&self, sign: &LinkMessage) {
        if matches!(sign, LinkMessage::Here {}) {
            return self.live.signs.note_answer();
        }
        self.live.signs.note_question();
        self.live.wakeup.wake();
    }

    /// Takes what the other tracker tells of its clients.
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

    /// Whether the far side has said that it has more ops than those that are held here, and gives them.
    fn is_more_to_come(&self) -> bool {
        self.is_level() && self.live.progress.lock().durable.exceeds(&self.core.state()) > self.late.len() as u64
    }

    fn receive_late(&mut self) -> Result<(), Refusal> {
        match std::mem::take(&mut self.late) {
            late if late.is_empty() => Ok(()),
            late => self.keep(late, None),
        }
    }

    /// Makes ops durable. If that fails now, as it did `before`, it is tried again after a pause. The link goes on.
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

    /// Tries with one op whether changes can be kept again. If so, the far side is asked for all that were dropped.
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

    /// Takes a part of a manifest. A manifest that is damaged there, or cannot be kept here, holds no changes up: this
    /// tracker does without it until somebody brings it.
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

    /// Makes the manifests durable that have come in. Those of which that fails are missing once their shares come.
    fn keep_manifests(&mut self) {
        let lot = std::mem::take(&mut self.manifests);
        if !lot.is_empty() {
            // The disk tells its trouble when it does not take the ops either.
            let given = lot.len() as u64;
            let _ = self.core.manifests.keep(lot);
            self.live.manifests_given.fetch_add(given, Ordering::Relaxed);
            self.live.wakeup.wake();
        }
    }

    /// Notes what a client holds; false if the share or the membership may be heard of later.
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
        // The membership may have ended since the check, and its holdings may have been dropped before these came.
        if !self.core.state().is_member(info.group, key.user) {
            self.core.presence.drop_member(key.user, info.group);
        }
        true
    }

    /// Passes a call on to a client of this tracker, unless its caller has called the user too often.
    fn tell_call(&self, called: ClientKey, call: &PassedCall, now: Instant) {
        let caller = self.core.state().user_named(&call.caller.user);
        // The last address is where the caller's tracker sees it.
        let ip = call.addrs.last().map_or(Ipv4Addr::UNSPECIFIED.into(), |addr| addr.ip());
        if caller.is_some_and(|caller| self.core.calls.lock().allows((caller, ip), called.user, now)) {
            // A client that is gone misses it.
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

    /// Whether both trackers have the same floor, as far as is known here.
    fn is_level(&self) -> bool {
        self.core.committer.standing().floor.mark == self.live.progress.lock().floor
    }

    /// Notes how far the other tracker is, and whether the same ops have led it to the same state.
    fn compare(&self, floor: FloorMark, seen: &[Seen], digest: Option<[u8; 32]>, now: Instant) {
        let durable = VersionVector::new(seen);
        let Standing { state, floor: own } = self.core.committer.standing();
        let same = floor == own.mark && durable.lacks(&state) == 0 && durable.exceeds(&state) == 0;
        let own = digest.filter(|_| same).and_then(|_| self.core.cluster.digest(&state, now));
        let mut progress = self.live.progress.lock();
        progress.durable = durable;
        if std::mem::replace(&mut progress.floor, floor) != floor {
            // What is to be given changes with the floor.
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
