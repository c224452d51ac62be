//! Tests of the list of peers.

use super::known_peer::PROMPT;
use super::surplus::USELESS;
use super::*;
use crate::client::download::obstacle::in_words;
use crate::client::reach::unreached::{NoCall, Unreached};
use crate::model::id::{ClientId, PeerKey};
use crate::wire::contact::ADDRS_MAX;
use crate::wire::refusal::Code;

impl PeerList {
    /// The peers to dial now, as if none had been dialed before.
    fn due_now(&mut self, now: Instant) -> Vec<Peer> {
        self.due(now, &mut DialPaces::default())
    }

    /// Dials, counts each dial as a failure at once, and returns the dialed peers.
    fn fail(&mut self, now: Instant, paces: &mut DialPaces) -> Vec<PeerId> {
        let due: Vec<_> = self.due(now, paces).iter().map(Peer::id).collect();
        due.iter().for_each(|id| self.lost(id, now, true));
        due
    }
}

const WANTED: usize = 4;

fn at(ip: [u8; 4], port: u16) -> List<SocketAddr, ADDRS_MAX> {
    List::first_of(vec![(ip, port).into()])
}

fn peer(number: u8) -> Peer {
    let (key, addrs) = (PeerKey([number; 32]), at([127, 0, 0, 1], 1000 + u16::from(number)));
    Peer { client: ClientId([number; 16]), user: named(&format!("user{number}")), key, addrs, held: 1 }
}

fn named(name: &str) -> UserId {
    UserId::parse(name).expect("a name")
}

fn user() -> UserId {
    named("eve")
}

fn clients(peers: &[Peer]) -> Vec<u8> {
    let mut clients: Vec<_> = peers.iter().map(|peer| peer.client.0[0]).collect();
    clients.sort_unstable();
    clients
}

#[test]
fn a_lone_peer_gets_several_connections_and_many_get_one_each() {
    let now = Instant::now();
    let mut few = PeerList::new(now, WANTED, None, 1);
    few.learn(vec![peer(1)]);
    assert_eq!(clients(&few.due_now(now)), [1], "one until it has brought something");
    assert!(few.due_now(now).is_empty());
    assert!(few.delivered(&peer(1).id(), now) && !few.delivered(&peer(1).id(), now));
    assert_eq!(clients(&few.due_now(now)), [1; WANTED - 1]);
    assert!(few.due_now(now).is_empty());
    let mut many = PeerList::new(now, WANTED, None, 1);
    many.learn((1..=9).map(peer).collect());
    assert_eq!(clients(&many.due_now(now)), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

fn numbered(number: u32) -> Peer {
    let mut client = [0; 16];
    client[..4].copy_from_slice(&number.to_be_bytes());
    let [.., high, low] = number.to_be_bytes();
    let (user, addrs) = (named(&format!("user{number}")), at([10, 0, high, low], 1000));
    Peer { client: ClientId(client), user, key: PeerKey([1; 32]), addrs, held: 1 }
}

#[test]
fn the_list_tries_every_peer_before_it_tries_a_silent_one_again() {
    let mut now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    let count = 4 * CONNECTIONS_MAX;
    peers.learn((0..count as u32).map(numbered).collect());
    let mut tried = std::collections::HashSet::new();
    for _ in 0..4 {
        let due = peers.due_now(now);
        now += 20 * RETRY;
        for peer in due {
            assert!(tried.insert(peer.id()), "no peer is dialed twice");
            peers.lost(&peer.id(), now, true);
        }
        // By then the other peers could be tried again.
        now += 2 * RETRY;
    }
    assert_eq!(tried.len(), count);
}

#[test]
fn no_more_peers_are_remembered_than_there_may_be_and_liars_and_the_silent_are_forgotten_first() {
    let now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    peers.learn((0..KNOWN_MAX as u32).map(numbered).collect());
    peers.lied(&numbered(5).id(), Lie::BadPiece);
    peers.lost(&numbered(6).id(), now, true);
    peers.learn(vec![numbered(10_000), numbered(10_001)]);
    assert_eq!(peers.known.len(), KNOWN_MAX);
    let knows = |number| peers.known.contains_key(&numbered(number).id());
    assert!(!knows(5) && !knows(6) && knows(10_000) && knows(10_001) && knows(7));
}

#[test]
fn no_more_connections_are_made_than_a_download_may_have() {
    let now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    peers.learn((0..200).map(peer).collect());
    assert_eq!(peers.due_now(now).len(), CONNECTIONS_MAX);
    assert!(peers.due_now(now).is_empty());
}

#[test]
fn a_peer_that_fails_waits_longer_each_time_until_it_is_reached() {
    let now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    peers.learn(vec![peer(1)]);
    peers.delivered(&peer(1).id(), now);
    let first = peers.due_now(now);
    first.iter().for_each(|_| peers.lost(&peer(1).id(), now, true));
    let pause = RETRY * 2u32.pow(first.len() as u32 - 1);
    assert!(peers.due_now(now + pause - Duration::from_millis(1)).is_empty());
    assert_eq!(clients(&peers.due_now(now + pause)), [1], "one try while it is failing");
    peers.connected(&peer(1).id(), Way::Direct, now + pause, true);
    assert!(peers.due_now(now + pause).is_empty(), "a connection alone is no merit");
    peers.delivered(&peer(1).id(), now + pause);
    assert_eq!(peers.due_now(now + pause).len(), WANTED - 1);
}

#[test]
fn a_peer_that_lied_is_never_tried_again_and_alone_ends_the_download_with_its_name() {
    let now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    peers.learn(vec![peer(1)]);
    peers.due_now(now);
    peers.lied(&peer(1).id(), Lie::Unasked);
    peers.learn(vec![peer(1)]);
    let later = now + LIED_PATIENCE + Duration::from_millis(1);
    assert!(peers.due_now(later).is_empty());
    let why = peers.check_patience(later, false).expect_err("nobody is left").to_string();
    assert_eq!(why, "nobody is left who has the file; the last one was user1: it sent an answer to no question");
    peers.learn(vec![peer(2)]);
    assert!(peers.check_patience(later, false).is_ok(), "somebody else may have it");
}

/// Simulates a download whose only peer is away until `back_s` seconds. Returns the seconds from its return to its
/// dial, or the error of the download.
fn outage(patience: Option<Duration>, back_s: u64) -> Result<f64, String> {
    let begun = Instant::now();
    let mut peers = PeerList::new(begun, WANTED, patience, 1);
    peers.learn(vec![peer(1)]);
    peers.due_now(begun);
    peers.lost(&peer(1).id(), begun, true);
    let back = begun + Duration::from_secs(back_s);
    let mut now = begun;
    loop {
        now += Duration::from_millis(200);
        peers.check_patience(now, false).map_err(|error| error.to_string())?;
        if let Some(dialed) = peers.due_now(now).pop() {
            if now >= back {
                return Ok((now - back).as_secs_f64());
            }
            peers.lost(&dialed.id(), now, true);
        }
    }
}

#[test]
fn a_member_that_returns_within_the_patience_is_reached_by_itself() {
    let minute = Duration::from_secs(60);
    for (patience, back_s) in [(minute, 1), (minute, 50), (3 * minute, 120), (minute / 6, 8)] {
        let late = outage(Some(patience), back_s).expect("it goes on");
        assert!(late <= patience.as_secs_f64() / 8.0, "{patience:?}: {late} s after {back_s} s");
    }
    assert!(outage(None, 120).expect("it goes on") <= 30.0);
    for (patience, back_s) in [(minute, 70), (Duration::ZERO, 1)] {
        assert_eq!(outage(Some(patience), back_s), Err("no online member has the missing pieces".to_owned()));
    }
}

#[test]
fn without_patience_a_download_ends_once_whoever_may_have_it_was_tried() {
    let begun = Instant::now();
    let at = |tenths: u32| begun + Duration::from_millis(100) * tenths;
    let mut peers = PeerList::new(begun, WANTED, Some(Duration::ZERO), 1);
    assert!(peers.check_patience(at(1), false).is_ok(), "the tracker has not answered");
    peers.learn(vec![peer(1), peer(2)]);
    assert!(peers.check_patience(at(2), false).is_ok(), "no peer was tried yet");
    peers.due_now(at(2));
    peers.lost(&peer(1).id(), at(3), true);
    assert!(peers.check_patience(at(3), false).is_ok(), "one is being tried");
    peers.lost(&peer(2).id(), at(4), true);
    assert!(peers.check_patience(at(4), false).is_err());
    let mut nobody = PeerList::new(begun, WANTED, Some(Duration::ZERO), 1);
    nobody.learn(Vec::new());
    assert!(nobody.check_patience(at(1), false).is_err());
    let mut silent = PeerList::new(begun, WANTED, Some(Duration::ZERO), 1);
    assert!(silent.check_patience(begun + FIRST_LOOK, false).is_err(), "a tracker that does not answer has its time");
    silent.learn(vec![peer(1)]);
}

#[test]
fn a_program_that_was_stopped_has_not_waited_meanwhile() {
    let begun = Instant::now();
    let minute = Duration::from_secs(60);
    let mut peers = PeerList::new(begun, WANTED, Some(minute), 1);
    peers.forgive(3 * minute);
    assert!(peers.check_patience(begun + 3 * minute, false).is_ok());
    assert!(peers.check_patience(begun + 4 * minute, false).is_ok());
    assert!(peers.check_patience(begun + 5 * minute, false).is_err());
}

#[test]
fn a_peer_that_has_just_come_online_is_dialed_at_once() {
    let now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    peers.learn(vec![peer(1)]);
    for _ in 0..5 {
        peers.retry(now);
        peers.due_now(now).iter().for_each(|peer| peers.lost(&peer.id(), now, true));
    }
    assert!(peers.due_now(now).is_empty());
    peers.arrived(&peer(1).id(), now);
    assert_eq!(clients(&peers.due_now(now)), [1]);
}

#[test]
fn a_peer_that_gave_a_wrong_piece_is_tried_again_later_each_time_and_alone_ends_the_download_in_the_end() {
    let mut now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    peers.learn(vec![peer(1)]);
    for pause in [RETRY, 2 * RETRY, 4 * RETRY, 8 * RETRY] {
        assert!(peers.check_patience(now + 2 * LIED_PATIENCE, false).is_ok(), "it may have mended it");
        assert_eq!(clients(&peers.due_now(now)), [1]);
        peers.gave_bad((&peer(1).id(), now), now, 1);
        assert!(peers.due_now(now + pause - Duration::from_millis(1)).is_empty());
        now += pause;
    }
    let why = peers.check_patience(now + 2 * LIED_PATIENCE, false).expect_err("it gives nothing but wrong pieces");
    assert!(why.to_string().contains("user1: it sent a piece that does not match its SHA-1"), "{why}");
    for _ in 0..20 {
        peers.gave_bad((&peer(1).id(), now), now, 1);
        now += Duration::from_millis(1);
    }
    assert_eq!(clients(&peers.due_now(now + BAD_PAUSE_MAX)), [1], "for ever is too long");
}

#[test]
fn a_wrong_piece_that_comes_on_every_connection_before_the_peer_can_correct_it_counts_once() {
    let begun = Instant::now();
    let mut peers = PeerList::new(begun, WANTED, None, 1);
    peers.learn(vec![peer(1)]);
    peers.hurry();
    assert_eq!(peers.due_now(begun).len(), WANTED);
    let found = begun + Duration::from_secs(1);
    for number in 0..BAD_MAX {
        let late = Duration::from_millis(number.into());
        peers.gave_bad((&peer(1).id(), begun), found + late, usize::from((number as usize) < WANTED));
    }
    assert_eq!(clients(&peers.due_now(found + RETRY)).first(), Some(&1), "as after one wrong piece");
    assert!(peers.check_patience(found + 2 * LIED_PATIENCE, false).is_ok(), "it may have mended it");
    // A connection that began later counts.
    let again = found + RETRY;
    (0..BAD_MAX - 1).for_each(|number| {
        let later = again + Duration::from_secs(number.into());
        peers.gave_bad((&peer(1).id(), later), later, 1);
    });
    assert!(peers.check_patience(again + 4 * LIED_PATIENCE, false).is_err());
}

#[test]
fn patience_begins_anew_with_every_useful_connection() {
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    let mut peers = PeerList::new(now, WANTED, Some(10 * second), 1);
    assert!(peers.check_patience(now + 10 * second, false).is_ok());
    assert!(peers.check_patience(now + 11 * second, true).is_ok());
    assert!(peers.check_patience(now + 21 * second, false).is_ok());
    assert!(peers.check_patience(now + 22 * second, false).is_err());
}

/// A client of the user eve.
fn eve(number: u32) -> Peer {
    let [.., high, low] = number.to_be_bytes();
    Peer { user: user(), addrs: at([10, 1, high, low], 1000), ..numbered(100_000 + number) }
}

#[test]
fn many_clients_of_one_user_get_as_many_dials_as_two_and_the_others_their_turn() {
    let now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    peers.learn((0..400).map(eve).chain([peer(1), peer(2)]).collect());
    let due = peers.due_now(now);
    assert_eq!(due.iter().filter(|peer| peer.user == user()).count(), ON_TRIAL_MAX);
    assert_eq!(due.len(), ON_TRIAL_MAX + 2);
    assert!(due[..3].contains(&peer(1)) && due[..3].contains(&peer(2)), "one of each user comes first");
    // Some peers do not answer. The others say that they have a piece, and then say no more.
    peers.connected(&due.iter().find(|peer| peer.user == user()).expect("one").id(), Way::Direct, now, true);
    assert!(peers.due_now(now + 2 * RETRY).is_empty());
    // The honest peer gets all of its connections, though the others are still on trial.
    peers.delivered(&peer(1).id(), now + PROMPT);
    peers.lost(&peer(2).id(), now + PROMPT, true);
    let more = peers.due_now(now + 2 * PROMPT);
    assert_eq!(more.iter().filter(|due| due.client == peer(1).client).count(), WANTED - 1, "{more:?}");
}

#[test]
fn a_user_whose_clients_fail_is_dialed_ever_more_rarely_whatever_is_announced() {
    let begun = Instant::now();
    let (mut peers, mut paces) = (PeerList::new(begun, WANTED, None, 1), DialPaces::default());
    let mut dials = 0;
    for tick in 0..300 {
        let now = begun + Duration::from_millis(200) * tick;
        // Each has another address every time, and has just come online.
        for number in 0..400 {
            let addrs = at([10, 2, (tick % 2) as u8, 1], 1000 + number as u16);
            peers.learn(vec![Peer { addrs, ..eve(number) }]);
            peers.arrived(&eve(number).id(), now);
        }
        dials += peers.fail(now, &mut paces).len();
    }
    // Two at once, then a pause of two seconds, which ends early every five seconds.
    assert!((30..=100).contains(&dials), "{dials} in a minute");
}

#[test]
fn one_client_whose_address_changes_all_the_time_is_dialed_as_rarely_as_any_that_fails() {
    let begun = Instant::now();
    let (mut peers, mut paces) = (PeerList::new(begun, WANTED, None, 1), DialPaces::default());
    let mut dials = 0;
    for ms in 0..60_000 {
        let now = begun + Duration::from_millis(1) * ms;
        let addrs = at([10, 0, 0, (ms % 2) as u8], 1000);
        peers.learn(vec![Peer { addrs, ..peer(1) }]);
        peers.arrived(&peer(1).id(), now);
        dials += peers.fail(now, &mut paces).len();
    }
    assert!((12..=60).contains(&dials), "{dials} in a minute");
}

#[test]
fn somebody_honest_behind_the_user_or_the_address_of_many_who_fail_is_found_within_seconds() {
    let begun = Instant::now();
    let nat = |number: u32| at([192, 0, 2, 1], 1000 + number as u16);
    let (mut peers, mut paces) = (PeerList::new(begun, WANTED, None, 1), DialPaces::default());
    peers.learn((0..400).map(|number| Peer { addrs: nat(number), ..eve(number) }).collect());
    let mut now = begun;
    for _ in 0..100 {
        now += Duration::from_millis(200);
        peers.fail(now, &mut paces);
    }
    let (neighbour, own) = (Peer { addrs: nat(500), ..peer(1) }, Peer { addrs: nat(501), held: 9, ..eve(501) });
    peers.learn(vec![neighbour.clone(), own.clone()]);
    peers.arrived(&own.id(), now);
    let (mut found, since) = (Vec::new(), now);
    while found.len() < 2 {
        for peer in peers.due(now, &mut paces) {
            if [neighbour.client, own.client].contains(&peer.client) {
                found.push((peer.client, now - since));
                peers.connected(&peer.id(), Way::Direct, now, true);
                peers.delivered(&peer.id(), now);
            } else {
                peers.lost(&peer.id(), now, true);
            }
        }
        now += Duration::from_millis(200);
    }
    assert!(found.iter().all(|(_, after)| *after <= Duration::from_secs(3)), "{found:?}");
}

#[test]
fn an_address_that_fails_rests_for_the_clients_of_that_user_and_for_nobody_else() {
    let now = Instant::now();
    let bob = peer(1);
    for elsewhere in [true, false] {
        let mut peers = PeerList::new(now, WANTED, None, 1);
        peers.learn(vec![Peer { addrs: bob.addrs.clone(), ..eve(1) }]);
        for _ in 0..4 {
            peers.retry(now);
            peers.due_now(now);
            if elsewhere {
                peers.elsewhere(&eve(1).id(), now, Unreached::default());
            } else {
                peers.lost(&eve(1).id(), now, true);
            }
        }
        peers.learn(vec![bob.clone(), Peer { addrs: bob.addrs.clone(), ..eve(2) }]);
        let due = peers.due_now(now + RETRY / 2);
        assert!(due.contains(&bob), "bob is dialed where he is, whoever names his address: {due:?}");
        // A peer without a usable address can still be called.
        assert!(due.iter().all(|peer| peer.user != user() || peer.addrs.is_empty()), "{due:?}");
    }
}

#[test]
fn a_client_is_dialed_within_seconds_where_its_users_other_client_listened() {
    let begun = Instant::now();
    let mut peers = PeerList::new(begun, WANTED, None, 1);
    let (before, after) = (Peer { client: ClientId([99; 16]), ..peer(1) }, peer(1));
    peers.learn(vec![before.clone()]);
    assert_eq!(peers.due_now(begun).len(), 1);
    peers.elsewhere(&before.id(), begun, Unreached::default());
    peers.learn(vec![after.clone()]);
    let mut now = begun;
    let found = loop {
        let due = peers.due_now(now);
        if due.contains(&after) {
            break now - begun;
        }
        for peer in due {
            // No dial comes while the address rests, and no tracker calls the new one.
            match peer.id() == after.id() {
                true => peers.missed(&peer.id(), now, Unreached::default()),
                false => peers.elsewhere(&peer.id(), now, Unreached::default()),
            }
        }
        now += Duration::from_millis(100);
    };
    assert!(found < Duration::from_secs(3), "{found:?}");
}

#[test]
fn a_flood_of_ids_of_one_user_pushes_nobody_else_out() {
    let now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    peers.learn((0..100).map(numbered).collect());
    peers.lost(&numbered(3).id(), now, true);
    peers.learn((0..5000).map(eve).collect());
    assert_eq!(peers.known.len(), KNOWN_MAX);
    assert!((0..100).all(|number| peers.known.contains_key(&numbered(number).id())));
    assert!(peers.users.len() <= KNOWN_MAX);
}

#[test]
fn all_clients_of_a_user_are_banned_once_some_have_lied() {
    let now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    peers.learn((0..400).map(eve).collect());
    for _ in 0..LIARS_MAX {
        let liar = peers.due_now(now).pop().expect("one more is tried");
        peers.lied(&liar.id(), Lie::Unasked);
    }
    assert!(peers.due_now(now + RETRY_MAX).is_empty());
    assert!(peers.has_lied(&eve(399).id()));
    peers.learn(vec![peer(1)]);
    assert_eq!(clients(&peers.due_now(now)), [1]);
}

#[test]
fn a_thief_of_a_client_id_keeps_nobody_from_its_owner() {
    let now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    let thief = Peer { client: peer(1).client, ..eve(7) };
    peers.learn(vec![thief.clone(), peer(1)]);
    let due = peers.due_now(now);
    assert!(due.len() == 2 && due.contains(&thief) && due.contains(&peer(1)), "{due:?}");
    // The thief's acts count against the thief alone.
    peers.gave_bad((&thief.id(), now), now, 1);
    peers.lied(&thief.id(), Lie::Unasked);
    assert!(peers.has_lied(&thief.id()) && !peers.has_lied(&peer(1).id()));
    peers.connected(&peer(1).id(), Way::Direct, now, true);
    assert!(peers.delivered(&peer(1).id(), now));
    assert_eq!(peers.due_now(now), vec![peer(1); WANTED - 1]);
}

#[test]
fn a_connection_of_no_use_makes_room_for_a_user_who_has_none() {
    let now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    // Eight users with eight clients each, all connected. One client has delivered.
    let crowd = |number: u32| Peer { user: named(&format!("crowd{}", number % 8)), ..numbered(number) };
    for round in 0..8 {
        peers.learn((8 * round..8 * round + 8).map(crowd).collect());
        for peer in peers.due_now(now) {
            peers.connected(&peer.id(), Way::Direct, now, false);
        }
    }
    assert_eq!(peers.surplus(now + 2 * USELESS), None, "no other user waits");
    peers.learn(vec![peer(1)]);
    assert!(peers.due_now(now).is_empty(), "there is no room");
    assert_eq!(peers.surplus(now), None, "they have their time");
    let later = now + 2 * USELESS;
    for number in 1..64 {
        peers.delivered(&crowd(number).id(), later);
    }
    peers.gives(&crowd(0).id(), later);
    assert_eq!(peers.surplus(later + USELESS), None, "a piece is coming in, however slowly");
    let later = later + USELESS + Duration::from_millis(1);
    for number in 1..64 {
        peers.delivered(&crowd(number).id(), later);
    }
    assert_eq!(peers.surplus(later), Some(crowd(0).id()));
    peers.lost(&crowd(0).id(), later, false);
    assert_eq!(clients(&peers.due_now(later)), [1]);
}

#[test]
fn why_a_member_is_not_reached_stays_told_while_it_is_dialed_again_and_called_too_often() {
    let begun = Instant::now();
    let mut peers = PeerList::new(begun, WANTED, None, 1);
    peers.learn(vec![peer(1)]);
    let told =
        |peers: &PeerList, at| in_words(&peers.obstacles(at)).into_iter().map(|(_, why)| why).collect::<Vec<_>>();
    let missed = |back| Unreached { back: Some(back), punch: Some(NoCall::InVain), ..Unreached::default() };
    assert!(!peers.due_now(begun).is_empty() && told(&peers, begun).is_empty(), "most dials take a moment");
    let later = begun + PROMPT;
    assert_eq!(told(&peers, later), ["is being dialed"]);
    peers.missed(&peer(1).id(), later, missed(NoCall::InVain));
    let why = told(&peers, later);
    assert!(why[0].ends_with("does not call back, no way through both firewalls"), "{why:?}");
    let again = later + RETRY;
    assert!(!peers.due_now(again).is_empty());
    assert_eq!(told(&peers, again), why);
    peers.missed(&peer(1).id(), again, missed(NoCall::Refused(Code::SlowDown)));
    assert_eq!(told(&peers, again), why, "that there were many calls says less");
    peers.due_now(again + RETRY_MAX);
    peers.connected(&peer(1).id(), Way::Called, again + RETRY_MAX, true);
    assert!(told(&peers, again + RETRY_MAX).is_empty());
}

#[test]
fn calls_that_come_to_nothing_leave_a_pause_so_that_the_tracker_passes_them_on() {
    let mut now = Instant::now();
    let mut peers = PeerList::new(now, WANTED, None, 1);
    peers.learn(vec![peer(1)]);
    let (begun, mut calls) = (now, 0);
    while now < begun + Duration::from_secs(60) {
        if !peers.due_now(now).is_empty() {
            // The peer is called, met half-way and relayed, which takes five seconds.
            calls += 3;
            now += Duration::from_secs(5);
            let vain = Some(NoCall::InVain);
            peers.missed(
                &peer(1).id(),
                now,
                Unreached { back: vain.clone(), punch: vain.clone(), relay: vain, ..Unreached::default() },
            );
        }
        now += Duration::from_millis(200);
    }
    assert!((9..=15).contains(&calls), "{calls} calls in a minute");
}

#[test]
fn a_download_is_patient_while_its_member_was_called_too_often() {
    let (begun, minute) = (Instant::now(), Duration::from_secs(60));
    let mut peers = PeerList::new(begun, WANTED, Some(minute), 1);
    peers.learn(vec![peer(1)]);
    peers.due_now(begun);
    let missed = |code| Unreached { back: Some(NoCall::Refused(code)), ..Unreached::default() };
    peers.missed(&peer(1).id(), begun, missed(Code::SlowDown));
    assert!(peers.check_patience(begun + 10 * minute, false).is_ok());
    let later = begun + 10 * minute;
    peers.due_now(later);
    peers.missed(&peer(1).id(), later, missed(Code::PeerOffline));
    assert!(peers.check_patience(later + minute, false).is_ok());
    assert!(peers.check_patience(later + minute * 2, false).is_err(), "it is gone");
}

#[test]
fn a_short_download_is_asked_for_on_all_its_connections_at_once_and_a_longer_one_once_a_peer_has_delivered() {
    let begun = Instant::now();
    for (hurries, first, more) in [(false, 1, WANTED - 1), (true, WANTED, 0)] {
        let mut peers = PeerList::new(begun, WANTED, None, 1);
        if hurries {
            peers.hurry();
        }
        peers.learn(vec![peer(1)]);
        assert_eq!(peers.due_now(begun).len(), first);
        assert_eq!(peers.due_now(begun).len(), 0);
        peers.delivered(&peer(1).id(), begun);
        assert_eq!(peers.due_now(begun).len(), more);
    }
    let mut peers = PeerList::new(begun, WANTED, None, 1);
    peers.hurry();
    peers.learn(vec![peer(1), peer(2)]);
    assert_eq!(peers.due_now(begun).len(), WANTED, "two to each");
    peers.lost(&peer(1).id(), begun, true);
    assert!(peers.due_now(begun).iter().all(|due| *due != peer(1)), "a peer that has just failed is not dialed");
}

#[test]
fn dials_of_one_peer_that_were_made_at_once_and_reach_nobody_count_as_one_and_are_told() {
    let begun = Instant::now();
    let mut peers = PeerList::new(begun, 2, None, 1);
    peers.hurry();
    peers.learn(vec![peer(1)]);
    assert_eq!(peers.due_now(begun).len(), 2);
    let why = || Unreached { back: Some(NoCall::InVain), ..Unreached::default() };
    peers.missed(&peer(1).id(), begun, why());
    assert_eq!(peers.obstacles(begun).len(), 1, "the other dial may take long");
    peers.missed(&peer(1).id(), begun, why());
    assert_eq!(peers.due_now(begun).len(), 0);
    assert_eq!(peers.due_now(begun + pause_after(1, RETRY_MAX)).len(), 1, "one at a time from then on");
}
