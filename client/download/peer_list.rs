//! The peers that are known to hold pieces of a download: whom to dial, how long to back off, and who is banned for a
//! lie. Pure: the time is passed in.

use super::error::DownloadError;
use super::lie::Lie;
use crate::model::id::ClientId;
use crate::model::name::UserId;
use crate::wire::client_tracker::Peer;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Most connections of one download.
const CONNECTIONS_MAX: usize = 64;
/// Most peers that are remembered. The tracker names half as many at once, and names them again.
const KNOWN_MAX: usize = 1024;
/// Pause before the next dial of a peer that is not to blame.
const RETRY: Duration = Duration::from_millis(500);
/// Longest pause before the next dial of a peer that failed. The pause doubles from [`RETRY`] on.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How many pauses fit into the patience of a download at least: who comes back in time is dialed in time.
const RETRIES_LEAST: u32 = 8;
/// A first look at who is there may take this long, however short the patience.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// A peer that gave so many wrong pieces counts for nothing more where a download waits for somebody who has it.
const BAD_MAX: u32 = 4;
/// Longest pause after a wrong piece. The pause doubles from [`RETRY`] on.
const BAD_PAUSE_MAX: Duration = Duration::from_secs(300);
/// Once every known peer has lied, others have this long to turn up.
const LIED_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct KnownPeer {
    peer: Peer,
    /// Connections made or being made.
    lanes: usize,
    not_before: Instant,
    failures: u32,
    lied: bool,
    /// How many wrong pieces it gave, and took back when it heard so.
    bad: u32,
    /// It has delivered a piece.
    delivered: bool,
}

/// The peers of one download.
#[derive(Debug)]
pub(crate) struct PeerList {
    known: HashMap<ClientId, KnownPeer>,
    /// Connections that the download wants, even if all of them lead to one peer.
    wanted: usize,
    patience: Option<Duration>,
    /// Longest pause before the next dial of a peer that failed.
    pause_max: Duration,
    /// Whether the tracker has named peers, or that there are none.
    asked: bool,
    /// When some connection was useful last.
    useful_at: Instant,
    /// The last lie, and whose.
    lie: Option<(UserId, Lie)>,
}

impl PeerList {
    /// An empty list. The download wants `wanted` connections, and fails after `patience` without a useful one.
    pub(crate) fn new(now: Instant, wanted: usize, patience: Option<Duration>) -> Self {
        let shorter = patience.map_or(RETRY_MAX, |patience| (patience / RETRIES_LEAST).max(RETRY));
        let pause_max = RETRY_MAX.min(shorter);
        Self { known: HashMap::new(), wanted, patience, pause_max, asked: false, useful_at: now, lie: None }
    }

    /// Adds peers that the tracker has named. A new address clears the failures of the old one.
    pub(crate) fn learn(&mut self, peers: Vec<Peer>) {
        self.asked = true;
        for peer in peers {
            match self.known.get_mut(&peer.client) {
                Some(known) => {
                    if known.peer.addr != peer.addr {
                        known.failures = 0;
                    }
                    known.peer = peer;
                }
                None => {
                    self.make_room();
                    let known = KnownPeer {
                        lanes: 0,
                        not_before: self.useful_at,
                        failures: 0,
                        lied: false,
                        bad: 0,
                        delivered: false,
                        peer,
                    };
                    self.known.insert(known.peer.client, known);
                }
            }
        }
    }

    /// Forgets the least promising peer if the list is full.
    fn make_room(&mut self) {
        if self.known.len() < KNOWN_MAX {
            return;
        }
        let idle = self.known.iter().filter(|(_, known)| known.lanes == 0);
        let least = idle.max_by_key(|(_, known)| (known.lied, known.bad, known.failures)).map(|(&client, _)| client);
        least.and_then(|client| self.known.remove(&client));
    }

    /// The peers to dial now. Each counts as connected from here on.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Peer> {
        let mut open: usize = self.known.values().map(|known| known.lanes).sum();
        let able = self.known.values().filter(|known| !known.lied && known.bad == 0 && known.failures == 0).count();
        let lanes_each = self.wanted.div_ceil(able.max(1));
        let mut due = Vec::new();
        // One connection to every peer comes before a second one to any. By the time a slow peer has delivered a piece,
        // other members are known, and no second connection to it is needed.
        for lanes in 0..lanes_each {
            let may = |known: &&mut KnownPeer| {
                let again = lanes == 0 || known.delivered && known.failures == 0;
                again && !known.lied && known.lanes == lanes && known.not_before <= now
            };
            let mut may: Vec<_> = self.known.values_mut().filter(may).collect();
            // Peers that failed before come last: however many never answer, all are tried.
            may.sort_by_key(|known| (known.bad, known.failures));
            for known in may.into_iter().take(CONNECTIONS_MAX.saturating_sub(open)) {
                known.lanes += 1;
                open += 1;
                due.push(known.peer.clone());
            }
        }
        due
    }

    /// A dial has made a connection.
    pub(crate) fn connected(&mut self, client: ClientId) {
        if let Some(known) = self.known.get_mut(&client) {
            known.failures = 0;
        }
    }

    /// The peer has delivered a piece. True for the first one.
    pub(crate) fn delivered(&mut self, client: ClientId) -> bool {
        let known = self.known.get_mut(&client);
        known.is_some_and(|known| !std::mem::replace(&mut known.delivered, true))
    }

    /// A dial has failed or a connection is gone. `failed` if the peer is to blame.
    pub(crate) fn lost(&mut self, client: ClientId, now: Instant, failed: bool) {
        if let Some(known) = self.known.get_mut(&client) {
            known.lanes = known.lanes.saturating_sub(1);
            known.failures += u32::from(failed);
            let doubled = RETRY * 2u32.saturating_pow(known.failures.saturating_sub(1).min(10));
            known.not_before = now + doubled.min(self.pause_max);
        }
    }

    /// Bans a peer.
    pub(crate) fn lied(&mut self, client: ClientId, user: &UserId, lie: Lie) {
        self.lie = Some((user.clone(), lie));
        if let Some(known) = self.known.get_mut(&client) {
            known.lied = true;
            known.lanes = 0;
        }
    }

    /// A peer gave a wrong piece, and has heard so. These of its connections are gone; it is tried again after a pause,
    /// by when it may have mended what was wrong.
    pub(crate) fn gave_bad(&mut self, client: ClientId, user: &UserId, now: Instant, lanes: usize) {
        self.lie = Some((user.clone(), Lie::BadPiece));
        if let Some(known) = self.known.get_mut(&client) {
            known.lanes = known.lanes.saturating_sub(lanes);
            known.not_before = now + (RETRY * 2u32.pow(known.bad.min(10))).min(BAD_PAUSE_MAX);
            known.bad = known.bad.saturating_add(1);
            known.delivered = false;
        }
    }

    /// Whether the peer is banned.
    pub(crate) fn has_lied(&self, client: ClientId) -> bool {
        self.known.get(&client).is_some_and(|known| known.lied)
    }

    /// The peer has just come online: ends its pause.
    pub(crate) fn arrived(&mut self, client: ClientId, now: Instant) {
        if let Some(known) = self.known.get_mut(&client) {
            known.failures = 0;
            known.not_before = now;
        }
    }

    /// Nobody could do anything for this long, as while the program was stopped: it is no time of waiting.
    pub(crate) fn forgive(&mut self, stood_still: Duration) {
        self.useful_at += stood_still;
    }

    /// Ends every pause.
    pub(crate) fn retry(&mut self, now: Instant) {
        self.known.values_mut().for_each(|known| known.not_before = now);
    }

    /// Checks whether the download has waited long enough. `useful` if some connection leads to what is missing.
    ///
    /// # Errors
    /// The download should fail.
    pub(crate) fn check_patience(&mut self, now: Instant, useful: bool) -> Result<(), DownloadError> {
        if useful {
            self.useful_at = now;
            return Ok(());
        }
        let waited = now.duration_since(self.useful_at);
        let able = self.known.values().any(|known| !known.lied && known.bad < BAD_MAX);
        if let Some((user, lie)) = self.lie.as_ref().filter(|_| !able && waited > LIED_PATIENCE) {
            return Err(DownloadError::OnlyLiars(user.clone(), *lie));
        }
        match self.patience {
            Some(patience) if waited <= patience || self.is_looking(now, waited) => Ok(()),
            Some(_) => Err(DownloadError::NobodyHasIt),
            None => Ok(()),
        }
    }

    /// Whether it is not yet known if somebody is there: the tracker has not answered, or a peer is dialed that has not
    /// failed.
    fn is_looking(&self, now: Instant, waited: Duration) -> bool {
        let may_come =
            |known: &KnownPeer| !known.lied && known.failures == 0 && (known.lanes > 0 || known.not_before <= now);
        waited < FIRST_LOOK && (!self.asked || self.known.values().any(may_come))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: usize = 4;

    fn peer(number: u8) -> Peer {
        let addr = ([127, 0, 0, 1], 1000 + u16::from(number)).into();
        Peer { client: ClientId([number; 16]), user: user(), addr, held: 1 }
    }

    fn user() -> UserId {
        UserId::parse("eve").expect("a name")
    }

    fn clients(peers: &[Peer]) -> Vec<u8> {
        let mut clients: Vec<_> = peers.iter().map(|peer| peer.client.0[0]).collect();
        clients.sort_unstable();
        clients
    }

    #[test]
    fn a_lone_peer_gets_several_connections_and_many_get_one_each() {
        let now = Instant::now();
        let mut few = PeerList::new(now, WANTED, None);
        few.learn(vec![peer(1)]);
        assert_eq!(clients(&few.due(now)), [1], "one until it has brought something");
        assert!(few.due(now).is_empty());
        assert!(few.delivered(peer(1).client) && !few.delivered(peer(1).client));
        assert_eq!(clients(&few.due(now)), [1; WANTED - 1]);
        assert!(few.due(now).is_empty());
        let mut many = PeerList::new(now, WANTED, None);
        many.learn((1..=9).map(peer).collect());
        assert_eq!(clients(&many.due(now)), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    fn numbered(number: u32) -> Peer {
        let mut client = [0; 16];
        client[..4].copy_from_slice(&number.to_be_bytes());
        Peer { client: ClientId(client), ..peer(1) }
    }

    #[test]
    fn however_many_never_answer_everybody_is_tried_before_anybody_is_tried_again() {
        let mut now = Instant::now();
        let mut peers = PeerList::new(now, WANTED, None);
        let count = 4 * CONNECTIONS_MAX;
        peers.learn((0..count as u32).map(numbered).collect());
        let mut tried = std::collections::HashSet::new();
        for _ in 0..4 {
            let due = peers.due(now);
            now += 20 * RETRY;
            for peer in due {
                assert!(tried.insert(peer.client), "nobody twice");
                peers.lost(peer.client, now, true);
            }
            // By then they could be tried again.
            now += 2 * RETRY;
        }
        assert_eq!(tried.len(), count);
    }

    #[test]
    fn no_more_peers_are_remembered_than_there_may_be_and_liars_and_the_silent_are_forgotten_first() {
        let now = Instant::now();
        let mut peers = PeerList::new(now, WANTED, None);
        peers.learn((0..KNOWN_MAX as u32).map(numbered).collect());
        peers.lied(numbered(5).client, &user(), Lie::BadPiece);
        peers.lost(numbered(6).client, now, true);
        peers.learn(vec![numbered(10_000), numbered(10_001)]);
        assert_eq!(peers.known.len(), KNOWN_MAX);
        let knows = |number| peers.known.contains_key(&numbered(number).client);
        assert!(!knows(5) && !knows(6) && knows(10_000) && knows(10_001) && knows(7));
    }

    #[test]
    fn no_more_connections_are_made_than_a_download_may_have() {
        let now = Instant::now();
        let mut peers = PeerList::new(now, WANTED, None);
        peers.learn((0..200).map(peer).collect());
        assert_eq!(peers.due(now).len(), CONNECTIONS_MAX);
        assert!(peers.due(now).is_empty());
    }

    #[test]
    fn a_peer_that_fails_waits_longer_each_time_until_it_is_reached() {
        let now = Instant::now();
        let mut peers = PeerList::new(now, WANTED, None);
        peers.learn(vec![peer(1)]);
        peers.delivered(peer(1).client);
        let first = peers.due(now);
        first.iter().for_each(|_| peers.lost(peer(1).client, now, true));
        let pause = RETRY * 2u32.pow(first.len() as u32 - 1);
        assert!(peers.due(now + pause - Duration::from_millis(1)).is_empty());
        assert_eq!(clients(&peers.due(now + pause)), [1], "one try while it is failing");
        peers.connected(peer(1).client);
        assert_eq!(peers.due(now + pause).len(), WANTED - 1);
    }

    #[test]
    fn a_peer_that_lied_is_never_tried_again_and_alone_ends_the_download_with_its_name() {
        let now = Instant::now();
        let mut peers = PeerList::new(now, WANTED, None);
        peers.learn(vec![peer(1)]);
        peers.due(now);
        peers.lied(peer(1).client, &user(), Lie::Unasked);
        peers.learn(vec![peer(1)]);
        let later = now + LIED_PATIENCE + Duration::from_millis(1);
        assert!(peers.due(later).is_empty());
        let why = peers.check_patience(later, false).expect_err("nobody is left").to_string();
        assert_eq!(why, "nobody is left who has it, after eve: it sent an answer to no question");
        peers.learn(vec![peer(2)]);
        assert!(peers.check_patience(later, false).is_ok(), "somebody else may have it");
    }

    /// Plays a download whose only peer is away from `left` to `back`, in seconds. Whether it has failed by then, or how
    /// many seconds after the return the peer is dialed.
    fn outage(patience: Option<Duration>, back_s: u64) -> Result<f64, String> {
        let begun = Instant::now();
        let mut peers = PeerList::new(begun, WANTED, patience);
        peers.learn(vec![peer(1)]);
        peers.due(begun);
        peers.lost(peer(1).client, begun, true);
        let back = begun + Duration::from_secs(back_s);
        let mut now = begun;
        loop {
            now += Duration::from_millis(200);
            peers.check_patience(now, false).map_err(|error| error.to_string())?;
            if let Some(dialed) = peers.due(now).pop() {
                if now >= back {
                    return Ok((now - back).as_secs_f64());
                }
                peers.lost(dialed.client, now, true);
            }
        }
    }

    #[test]
    fn whoever_comes_back_within_the_patience_is_reached_by_itself() {
        let minute = Duration::from_secs(60);
        for (patience, back_s) in [(minute, 1), (minute, 50), (3 * minute, 120), (minute / 6, 8)] {
            let late = outage(Some(patience), back_s).expect("it goes on");
            assert!(late <= patience.as_secs_f64() / 8.0, "{patience:?}: {late} s after {back_s} s");
        }
        assert!(outage(None, 120).expect("it goes on") <= 30.0);
        for (patience, back_s) in [(minute, 70), (Duration::ZERO, 1)] {
            assert_eq!(outage(Some(patience), back_s), Err("no member who is online has what is missing".to_owned()));
        }
    }

    #[test]
    fn without_patience_a_download_ends_once_whoever_may_have_it_was_tried() {
        let begun = Instant::now();
        let at = |tenths: u32| begun + Duration::from_millis(100) * tenths;
        let mut peers = PeerList::new(begun, WANTED, Some(Duration::ZERO));
        assert!(peers.check_patience(at(1), false).is_ok(), "the tracker has not answered");
        peers.learn(vec![peer(1), peer(2)]);
        assert!(peers.check_patience(at(2), false).is_ok(), "nobody was tried");
        peers.due(at(2));
        peers.lost(peer(1).client, at(3), true);
        assert!(peers.check_patience(at(3), false).is_ok(), "one is being tried");
        peers.lost(peer(2).client, at(4), true);
        assert!(peers.check_patience(at(4), false).is_err());
        let mut nobody = PeerList::new(begun, WANTED, Some(Duration::ZERO));
        nobody.learn(Vec::new());
        assert!(nobody.check_patience(at(1), false).is_err());
        let mut silent = PeerList::new(begun, WANTED, Some(Duration::ZERO));
        assert!(
            silent.check_patience(begun + FIRST_LOOK, false).is_err(),
            "a tracker that does not answer has its time"
        );
        silent.learn(vec![peer(1)]);
    }

    #[test]
    fn a_program_that_was_stopped_has_not_waited_meanwhile() {
        let begun = Instant::now();
        let minute = Duration::from_secs(60);
        let mut peers = PeerList::new(begun, WANTED, Some(minute));
        peers.forgive(3 * minute);
        assert!(peers.check_patience(begun + 3 * minute, false).is_ok());
        assert!(peers.check_patience(begun + 4 * minute, false).is_ok());
        assert!(peers.check_patience(begun + 5 * minute, false).is_err());
    }

    #[test]
    fn who_has_just_come_online_is_dialed_at_once() {
        let now = Instant::now();
        let mut peers = PeerList::new(now, WANTED, None);
        peers.learn(vec![peer(1)]);
        for _ in 0..5 {
            peers.retry(now);
            peers.due(now).iter().for_each(|peer| peers.lost(peer.client, now, true));
        }
        assert!(peers.due(now).is_empty());
        peers.arrived(peer(1).client, now);
        assert_eq!(clients(&peers.due(now)), [1]);
    }

    #[test]
    fn a_peer_that_gave_a_wrong_piece_is_tried_again_later_each_time_and_alone_ends_the_download_in_the_end() {
        let mut now = Instant::now();
        let mut peers = PeerList::new(now, WANTED, None);
        peers.learn(vec![peer(1)]);
        for pause in [RETRY, 2 * RETRY, 4 * RETRY, 8 * RETRY] {
            assert!(peers.check_patience(now + 2 * LIED_PATIENCE, false).is_ok(), "it may have mended it");
            assert_eq!(clients(&peers.due(now)), [1]);
            peers.gave_bad(peer(1).client, &user(), now, 1);
            assert!(peers.due(now + pause - Duration::from_millis(1)).is_empty());
            now += pause;
        }
        let why = peers.check_patience(now + 2 * LIED_PATIENCE, false).expect_err("it gives nothing but wrong pieces");
        assert!(why.to_string().contains("eve: it sent a piece that does not match its SHA-1"), "{why}");
        for _ in 0..20 {
            peers.gave_bad(peer(1).client, &user(), now, 1);
        }
        assert_eq!(clients(&peers.due(now + BAD_PAUSE_MAX)), [1], "for ever is too long");
    }

    #[test]
    fn patience_begins_anew_with_every_useful_connection() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut peers = PeerList::new(now, WANTED, Some(10 * second));
        assert!(peers.check_patience(now + 10 * second, false).is_ok());
        assert!(peers.check_patience(now + 11 * second, true).is_ok());
        assert!(peers.check_patience(now + 21 * second, false).is_ok());
        assert!(peers.check_patience(now + 22 * second, false).is_err());
    }
}
