//! Presence as sessions and the links of other trackers see it: who is online, with which pieces.

use super::*;
use crate::model::id::{ClientId, Origin};
use crate::model::piece::{Layout, PIECE_LEN};
use crate::model::piece_set::PieceSet;
use crate::tracker::presence::swarm::SwarmRole;
use crate::wire::client_tracker::PEERS_MAX;
use crate::wire::codec::{Blob, List};
use crate::wire::contact::tests::contact;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn op(seq: u64) -> OpId {
    OpId { origin: Origin { tracker: 1, incarnation: 7 }, seq }
}

fn key(user: u64, client: u8) -> ClientKey {
    ClientKey { user: UserRef(op(user)), client: ClientId([client; 16]) }
}

/// A client that listens at this port, as another tracker tells it.
fn at(port: u16) -> Option<Arc<Contact>> {
    Some(Arc::new(contact(port)))
}

fn from(tracker: u16, at: Instant) -> HeardFrom {
    HeardFrom { tracker, at }
}

fn share(pieces: u64) -> SwarmInfo {
    let layout = Layout::new(pieces * u64::from(PIECE_LEN)).expect("small");
    SwarmInfo { share: ShareRef(op(100 + pieces)), group: GroupRef(op(50)), layout }
}

fn exactly(bytes: &[u8]) -> Holding {
    Holding::Exactly { bits: Blob::new(bytes.to_vec()).expect("short") }
}

fn more(pieces: &[u32]) -> Holding {
    Holding::More { pieces: List::new(pieces.to_vec()).expect("few") }
}

fn all() -> Holding {
    Holding::All {}
}

/// Ascending edges: the first piece of a run and the first piece after it, in turn.
fn runs(edges: &[u32]) -> Holding {
    Holding::Runs { edges: List::new(edges.to_vec()).expect("few") }
}

fn numbers(share: SwarmInfo, pieces: &PieceSet) -> Vec<u32> {
    share.layout.indexes().filter(|&piece| pieces.has(piece)).map(|piece| piece.get()).collect()
}

/// The holders that a client finds when it asks for peers, where presence knows all shares of all clients.
fn found(presence: &Presence, share: SwarmInfo, asking: ClientKey) -> Vec<Holder> {
    presence.peers(share, asking, |_| false)
}

/// A presence, and the logins of these clients, each at its own port.
fn online(now: Instant, keys: &[ClientKey]) -> (Presence, Vec<Ticket>) {
    let presence = Presence::new();
    let enter = |(i, &key): (usize, &ClientKey)| {
        let ticket = presence.enter(key, now);
        presence.announce(&ticket, contact(1000 + i as u16));
        ticket
    };
    let tickets = keys.iter().enumerate().map(enter).collect();
    (presence, tickets)
}

#[test]
fn clients_that_lack_pieces_are_told_of_a_new_holder() {
    let (presence, t) = online(Instant::now(), &[key(1, 1), key(2, 2), key(3, 3)]);
    let share = share(10);
    assert_eq!(presence.hold(&t[0], share, &exactly(&[0, 0])), Ok(None), "nothing to offer");
    let holder_up = presence.hold(&t[1], share, &all()).expect("valid").expect("told");
    assert_eq!((holder_up.tell, holder_up.holder.held, holder_up.holder.contact.port), (vec![t[0].key], 10, 1001));
    assert_eq!(presence.hold(&t[1], share, &all()), Ok(None), "told once");
    assert_eq!(presence.hold(&t[2], share, &more(&[])), Ok(None));
    let holder_up = presence.hold(&t[2], share, &more(&[3])).expect("valid").expect("the first piece");
    assert_eq!((holder_up.tell, holder_up.holder.held), (vec![t[0].key], 1));
    assert_eq!(presence.hold(&t[2], share, &more(&[4])), Ok(None), "the second one");
}

#[test]
fn peers_come_with_more_pieces_first_and_without_the_asker_and_the_unreachable() {
    let now = Instant::now();
    let (presence, t) = online(now, &[key(1, 1), key(1, 2), key(2, 3), key(3, 4)]);
    let share = share(10);
    presence.hold(&t[0], share, &more(&[1, 2])).expect("valid");
    presence.hold(&t[1], share, &all()).expect("valid");
    presence.hold(&t[2], share, &exactly(&[0, 0])).expect("valid");
    presence.hold(&t[3], share, &more(&[9])).expect("valid");
    let silent = presence.enter(key(4, 5), now);
    presence.hold(&silent, share, &all()).expect("valid");
    let held = |asking| found(&presence, share, asking).iter().map(|peer| peer.held).collect::<Vec<_>>();
    assert_eq!(held(t[2].key), [10, 2, 1]);
    assert_eq!(held(t[1].key), [2, 1], "another client of the same user is a peer like any other");
    assert_eq!(presence.holder_counts(&[share.share], |_, _| false), [4]);
    assert_eq!(presence.client_counts([UserRef(op(1)), UserRef(op(9))].into_iter()), [2, 0]);
    let told = presence.holdings(share, |_| false).into_iter();
    let told = told.map(|held| (held.addr.port(), held.pieces.map(|pieces| numbers(share, &pieces))));
    assert_eq!(told.collect::<Vec<_>>(), [(1001, None), (1000, Some(vec![1, 2])), (1003, Some(vec![9]))]);
    assert_eq!((presence.local_client_count(), presence.local_user_count()), (5, 4));
}

#[test]
fn a_new_address_is_told_too() {
    let (presence, t) = online(Instant::now(), &[key(1, 1), key(2, 2)]);
    let share = share(3);
    presence.hold(&t[0], share, &exactly(&[0])).expect("valid");
    presence.hold(&t[1], share, &all()).expect("valid");
    assert_eq!(presence.announce(&t[1], contact(1001)), [], "the address it had");
    let holder_up = presence.announce(&t[1], contact(2000));
    assert_eq!(holder_up.len(), 1);
    assert_eq!((holder_up[0].holder.contact.port, &holder_up[0].tell[..]), (2000, &[t[0].key][..]));
    assert_eq!(presence.announce(&t[0], contact(3000)), [], "it has nothing to offer");
}

#[test]
fn a_later_login_of_the_same_client_takes_over() {
    let now = Instant::now();
    let (presence, t) = online(now, &[key(1, 1), key(2, 2)]);
    let share = share(3);
    presence.hold(&t[0], share, &all()).expect("valid");
    let new = presence.enter(key(1, 1), now);
    presence.leave(&t[0]);
    assert_eq!(presence.holder_counts(&[share.share], |_, _| false), [1], "the old connection's end changes nothing");
    assert!(!presence.heard(&t[0], now));
    assert_eq!(presence.hold(&t[0], share, &all()), Err(HoldError::Void));
    assert_eq!(presence.announce(&t[0], contact(9)), []);
    assert!(presence.heard(&new, now));
    presence.leave(&new);
    assert_eq!(presence.holder_counts(&[share.share], |_, _| false), [0]);
    assert_eq!(presence.local_client_count(), 1);
}

#[test]
fn a_client_silent_for_the_time_to_live_is_offline() {
    let start = Instant::now();
    let (presence, t) = online(start, &[key(1, 1), key(2, 2)]);
    presence.hold(&t[0], share(3), &all()).expect("valid");
    let later = start + TTL - Duration::from_millis(1);
    assert!(presence.heard(&t[1], later));
    assert_eq!(presence.sweep(later), []);
    assert_eq!(presence.sweep(start + TTL), [t[0].key]);
    assert!(!presence.heard(&t[0], start + TTL));
    assert_eq!(presence.holder_counts(&[share(3).share], |_, _| false), [0]);
    assert_eq!(presence.sweep(later + TTL), [t[1].key]);
    assert_eq!(presence.register.lock().swarms.shares().count(), 0);
}

#[test]
fn lost_membership_and_an_ended_share_take_the_holdings_of_all_clients_of_the_user() {
    let (presence, t) = online(Instant::now(), &[key(1, 1), key(1, 2), key(2, 3)]);
    let (a, b) = (share(3), share(4));
    let elsewhere = SwarmInfo { share: ShareRef(op(200)), group: GroupRef(op(51)), ..a };
    for ticket in &t {
        for share in [a, b, elsewhere] {
            presence.hold(ticket, share, &all()).expect("valid");
        }
    }
    let counts = || presence.holder_counts(&[a.share, b.share, elsewhere.share], |_, _| false);
    presence.drop_sharer(UserRef(op(1)), a.share);
    assert_eq!(counts(), [1, 3, 3]);
    presence.drop_member(UserRef(op(1)), GroupRef(op(50)));
    assert_eq!(counts(), [1, 1, 3]);
}

#[test]
fn pieces_that_do_not_exist_are_refused_and_leave_nothing_behind() {
    let (presence, t) = online(Instant::now(), &[key(1, 1)]);
    let share = share(10);
    for bad in [exactly(&[0xff]), exactly(&[0xff, 0xff]), exactly(&[0, 0, 0]), more(&[10]), more(&[u32::MAX])] {
        assert_eq!(presence.hold(&t[0], share, &bad), Err(HoldError::NoSuchPiece), "{bad:?}");
    }
    assert_eq!(presence.register.lock().swarms.shares().count(), 0);
    presence.hold(&t[0], share, &more(&[1])).expect("valid");
    assert!(presence.hold(&t[0], share, &more(&[2, 10])).is_err());
    assert_eq!(
        presence.register.lock().swarms.role(share.share, t[0].key),
        SwarmRole::Partial { held: 1 },
        "as it was before"
    );
}

#[test]
fn the_last_piece_makes_a_seed_and_an_empty_file_is_held_by_saying_so() {
    let (presence, t) = online(Instant::now(), &[key(1, 1), key(2, 2)]);
    presence.hold(&t[0], share(3), &exactly(&[0b1100_0000])).expect("valid");
    presence.hold(&t[0], share(3), &more(&[2])).expect("valid");
    assert_eq!(presence.register.lock().swarms.role(share(3).share, t[0].key), SwarmRole::Seed);
    presence.hold(&t[0], share(3), &more(&[1])).expect("valid");
    assert_eq!(presence.register.lock().swarms.role(share(3).share, t[0].key), SwarmRole::Seed);
    presence.hold(&t[0], share(0), &exactly(&[])).expect("valid");
    presence.hold(&t[1], share(0), &all()).expect("valid");
    assert_eq!(found(&presence, share(0), t[0].key).len(), 1);
    assert_eq!(found(&presence, share(0), t[1].key).len(), 0);
    presence.hold(&t[1], share(0), &Holding::Nothing {}).expect("valid");
    assert_eq!(found(&presence, share(0), t[0].key).len(), 0);
}

/// Everything that the subscriber can take.
fn taken(presence: &Presence, subscription: &Subscription) -> Vec<PresenceChange> {
    presence.take(subscription, usize::MAX, Instant::now()).changes
}

fn online_at(key: ClientKey, port: u16) -> PresenceChange {
    PresenceChange::Online { key, contact: at(port) }
}

#[test]
fn clients_of_other_trackers_are_peers_like_any_other_and_only_those_of_this_one_are_told() {
    let now = Instant::now();
    let (presence, t) = online(now, &[key(1, 1)]);
    let (share, far, waiting) = (share(10), key(2, 2), key(3, 3));
    presence.hold(&t[0], share, &exactly(&[0, 0])).expect("valid");
    assert_eq!(presence.remote_holds(from(2, now), far, share, &all()), None, "nothing was told of that client");
    assert_eq!(presence.holder_counts(&[share.share], |_, _| false), [0]);
    assert_eq!(presence.remote_online(from(3, now), waiting, at(3)), []);
    assert_eq!(presence.remote_holds(from(3, now), waiting, share, &exactly(&[0, 0])), None);
    assert_eq!(presence.remote_online(from(2, now), far, at(7)), []);
    assert_eq!(presence.remote_holds(from(2, now), far, share, &exactly(&[0xff, 0xff])), None, "it cannot be");
    let holder_up = presence.remote_holds(from(2, now), far, share, &all()).expect("told");
    assert_eq!((holder_up.tell, holder_up.holder.contact.port, holder_up.holder.held), (vec![t[0].key], 7, 10));
    let holder_up = presence.remote_online(from(2, now), far, at(8));
    assert_eq!((holder_up[0].holder.contact.port, &holder_up[0].tell[..]), (8, &[t[0].key][..]));
    assert_eq!(found(&presence, share, t[0].key).len(), 1);
    assert_eq!(presence.holder_counts(&[share.share], |_, _| false), [1]);
    assert_eq!(presence.client_counts([far.user, waiting.user].into_iter()), [1, 1]);
    assert_eq!((presence.local_client_count(), presence.local_user_count()), (1, 1));
    presence.remote_offline(3, far);
    assert_eq!(found(&presence, share, t[0].key).len(), 1, "only its own tracker takes it away");
    presence.remote_offline(2, far);
    assert_eq!(found(&presence, share, t[0].key), []);
}

#[test]
fn the_clients_of_a_tracker_live_as_long_as_it_is_heard_of() {
    let start = Instant::now();
    let presence = Presence::new();
    presence.remote_online(from(2, start), key(1, 1), None);
    presence.remote_online(from(3, start), key(2, 2), None);
    presence.heard_from_tracker(from(2, start + TTL / 2));
    assert_eq!(presence.sweep(start + TTL), [key(2, 2)]);
    assert_eq!(presence.sweep(start + TTL + TTL / 2), [key(1, 1)]);
}

#[test]
fn claims_not_told_again_on_a_new_link_are_void() {
    let now = Instant::now();
    let presence = Presence::new();
    let (a, b, c) = (share(3), share(4), key(9, 9));
    for client in [key(1, 1), key(2, 2)] {
        presence.remote_online(from(2, now), client, at(1));
        presence.remote_holds(from(2, now), client, a, &all());
        presence.remote_holds(from(2, now), client, b, &all());
    }
    presence.remote_online(from(3, now), key(3, 3), at(1));
    presence.begin_snapshot(from(2, now));
    presence.remote_online(from(2, now), key(1, 1), at(1));
    presence.remote_holds(from(2, now), key(1, 1), a, &all());
    assert_eq!((found(&presence, a, c).len(), found(&presence, b, c).len()), (2, 2), "doubtful, yet there");
    presence.end_snapshot(2);
    assert_eq!((found(&presence, a, c).len(), found(&presence, b, c).len()), (1, 0));
    assert_eq!(presence.client_counts([1, 2, 3].map(|user| UserRef(op(user))).into_iter()), [1, 0, 1]);
}

#[test]
fn a_client_that_comes_here_keeps_what_it_held_elsewhere() {
    let now = Instant::now();
    let (presence, share) = (Presence::new(), share(3));
    presence.remote_online(from(2, now), key(1, 1), at(7));
    presence.remote_holds(from(2, now), key(1, 1), share, &all());
    let subscription = presence.subscribe(Box::new(|| ()));
    let ticket = presence.enter(key(1, 1), now);
    let holds = |holding| PresenceChange::Holds { key: key(1, 1), share: share.share, holding };
    assert_eq!(taken(&presence, &subscription), [online_at(key(1, 1), 7), holds(all())]);
    presence.remote_offline(2, key(1, 1));
    assert_eq!(found(&presence, share, key(9, 9)).len(), 1, "it is here");
    presence.leave(&ticket);
    assert_eq!(found(&presence, share, key(9, 9)), []);
    assert_eq!(taken(&presence, &subscription), [PresenceChange::Offline { key: key(1, 1) }]);
}

#[test]
fn a_client_that_went_elsewhere_is_found_there_once_its_old_login_here_ends() {
    let start = Instant::now();
    let (presence, t) = online(start, &[key(1, 1)]);
    let (share, asker) = (share(3), key(9, 9));
    presence.remote_online(from(2, start), key(1, 1), at(7));
    presence.remote_holds(from(2, start), key(1, 1), share, &all());
    assert_eq!(found(&presence, share, asker), [], "the connection to this tracker is the truth");
    presence.heard_from_tracker(from(2, start + TTL));
    assert_eq!(presence.sweep(start + TTL), []);
    assert!(!presence.heard(&t[0], start + TTL));
    assert_eq!(found(&presence, share, asker)[0].contact.port, 7);
    presence.remote_online(from(3, start + TTL), key(1, 1), at(8));
    presence.remote_holds(from(3, start + TTL), key(1, 1), share, &all());
    assert_eq!(found(&presence, share, asker)[0].contact.port, 8, "told later");
    presence.remote_offline(3, key(1, 1));
    assert_eq!(found(&presence, share, asker)[0].contact.port, 7);
}

#[test]
fn subscribers_take_what_holds_now_however_often_it_changed() {
    let now = Instant::now();
    let (presence, t) = online(now, &[key(1, 1), key(2, 2)]);
    let (a, b) = (share(10), share(3));
    presence.hold(&t[0], a, &more(&[1])).expect("valid");
    let subscription = presence.subscribe(Box::new(|| ()));
    let holds = |share: SwarmInfo, holding| PresenceChange::Holds { key: t[0].key, share: share.share, holding };
    assert_eq!(presence.take(&subscription, 1, now).changes, [online_at(t[0].key, 1000)], "a few at a time");
    let rest = [online_at(t[1].key, 1001), holds(a, exactly(&[0x40, 0]))];
    assert_eq!(taken(&presence, &subscription), rest, "one client after the other");
    assert_eq!(taken(&presence, &subscription), []);
    for piece in 2..10 {
        presence.hold(&t[0], a, &more(&[piece])).expect("valid");
    }
    presence.hold(&t[0], b, &all()).expect("valid");
    presence.hold(&t[0], b, &Holding::Nothing {}).expect("valid");
    assert_eq!(
        taken(&presence, &subscription),
        [holds(a, exactly(&[0x7f, 0xc0]))],
        "one fact; the other share is nothing new"
    );
    presence.drop_sharer(t[0].key.user, a.share);
    assert_eq!(taken(&presence, &subscription), [holds(a, Holding::Nothing {})]);
    presence.hold(&t[0], a, &all()).expect("valid");
    assert_eq!(taken(&presence, &subscription), [holds(a, all())]);
    presence.leave(&t[0]);
    let again = presence.enter(t[0].key, now);
    presence.hold(&again, b, &exactly(&[0])).expect("valid");
    let anew = [
        PresenceChange::Offline { key: again.key },
        PresenceChange::Online { key: again.key, contact: None },
        holds(b, runs(&[])),
    ];
    assert_eq!(taken(&presence, &subscription), anew, "what the earlier login held is over");
}

#[test]
fn clients_that_come_and_go_leave_nothing_to_tell() {
    let presence = Presence::new();
    let subscription = presence.subscribe(Box::new(|| ()));
    for client in 0..200 {
        let ticket = presence.enter(key(1, client), Instant::now());
        presence.hold(&ticket, share(3), &all()).expect("valid");
        presence.leave(&ticket);
    }
    assert_eq!(format!("{subscription:?}"), "Subscription(0 clients)");
}

#[test]
fn a_subscriber_is_notified_when_there_is_something_after_nothing_and_may_look_at_once() {
    let presence = Arc::new(Presence::new());
    let calls = Arc::new(AtomicUsize::new(0));
    let (looking, counting) = (Arc::downgrade(&presence), calls.clone());
    let subscription = presence.subscribe(Box::new(move || {
        counting.fetch_add(1, Ordering::SeqCst);
        assert!(looking.upgrade().is_some_and(|presence| presence.local_client_count() > 0), "not under the lock");
    }));
    let ticket = presence.enter(key(1, 1), Instant::now());
    presence.announce(&ticket, contact(1));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    presence.take(&subscription, 10, Instant::now());
    presence.announce(&ticket, contact(2));
    presence.remote_online(from(2, Instant::now()), key(2, 2), None);
    assert_eq!(calls.load(Ordering::SeqCst), 2, "clients of other trackers are theirs to tell");
    drop(subscription);
    presence.announce(&ticket, contact(3));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn shares_that_turn_out_to_be_one_have_one_swarm_and_each_client_keeps_the_greater_holding() {
    let now = Instant::now();
    let (presence, t) = online(now, &[key(1, 1), key(2, 2)]);
    let (a, far) = (share(10), key(3, 3));
    let b = SwarmInfo { share: ShareRef(op(300)), ..a };
    presence.remote_online(from(2, now), far, at(7));
    presence.remote_holds(from(2, now), far, b, &more(&[1, 2]));
    presence.remote_holds(from(2, now), far, a, &more(&[3]));
    presence.hold(&t[0], a, &more(&[1, 2])).expect("valid");
    presence.hold(&t[0], b, &more(&[3])).expect("valid");
    presence.hold(&t[1], b, &all()).expect("valid");
    let subscription = presence.subscribe(Box::new(|| ()));
    taken(&presence, &subscription);
    presence.rekey(|id| if id == b.share.0 { a.share.0 } else { id });
    assert_eq!(presence.holder_counts(&[a.share, b.share], |_, _| false), [3, 0]);
    let held = |at: usize| found(&presence, a, key(9, 9))[at].held;
    assert_eq!((held(0), held(1), held(2)), (10, 2, 2));
    let changes = taken(&presence, &subscription);
    let anew = |key, port, holding| {
        [PresenceChange::Offline { key }, online_at(key, port), PresenceChange::Holds { key, share: a.share, holding }]
    };
    let expected = [anew(t[0].key, 1000, exactly(&[0x60, 0])), anew(t[1].key, 1001, all())];
    assert_eq!(changes, expected.concat(), "told anew, since others may still know two shares");
    presence.remote_offline(2, far);
    assert_eq!(presence.holder_counts(&[a.share], |_, _| false), [2]);
}

#[test]
fn an_id_is_known_where_a_client_a_share_or_a_group_goes_by_it() {
    let now = Instant::now();
    let (presence, t) = online(now, &[key(9, 9)]);
    let shares = [share(10), share(11), share(12)];
    presence.hold(&t[0], shares[0], &all()).expect("valid");
    presence.remote_online(from(2, now), key(8, 5), at(7));
    presence.remote_holds(from(2, now), key(8, 5), shares[1], &all());
    let known = shares.map(|of| presence.knows(&[op(77), of.share.0], |_| true, |_| false));
    assert_eq!(known, [true, true, false]);
    let users = [9, 8, 7].map(|user| presence.knows(&[op(77), op(user)], |_| false, |_| false));
    assert_eq!(users, [true, true, false]);
    let groups = [50, 51].map(|group| presence.knows(&[op(77), op(group)], |_| false, |_| true));
    assert_eq!(groups, [true, false]);
    assert!(!presence.knows(&[op(50)], |_| false, |_| false), "of a group without shares nothing is looked for");
}

#[test]
fn a_user_that_turned_out_to_be_another_leaves_no_client_behind() {
    let now = Instant::now();
    let (presence, t) = online(now, &[key(9, 9)]);
    let share = share(10);
    presence.hold(&t[0], share, &exactly(&[0, 0])).expect("valid");
    for user in [1, 2] {
        presence.remote_online(from(2, now), key(user, 5), at(7));
        presence.remote_holds(from(2, now), key(user, 5), share, &all());
    }
    presence.rekey(|id| if id == op(1) { op(2) } else { id });
    assert_eq!(found(&presence, share, t[0].key).len(), 1);
    // The other tracker ends the old login under the id that is known now, and tells the next one.
    presence.remote_offline(2, key(2, 5));
    assert_eq!(found(&presence, share, t[0].key), []);
    presence.remote_online(from(2, now), key(2, 5), at(7));
    assert_eq!(presence.client_counts([1, 2].map(|user| UserRef(op(user))).into_iter()), [0, 1]);
}

#[test]
fn every_asker_gets_another_choice_of_many_equal_peers() {
    let now = Instant::now();
    let presence = Presence::new();
    let share = share(3);
    for i in 0..600u64 {
        let mut client = [0; 16];
        client[..8].copy_from_slice(&(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
        let ticket = presence.enter(ClientKey { user: UserRef(op(i)), client: ClientId(client) }, now);
        presence.announce(&ticket, contact(i as u16));
        presence.hold(&ticket, share, &all()).expect("valid");
    }
    let (one, other) = (found(&presence, share, key(900, 0)), found(&presence, share, key(900, 0xff)));
    assert_eq!((one.len(), other.len()), (PEERS_MAX, PEERS_MAX));
    assert_ne!(one[0], other[0]);
    assert_eq!(one, found(&presence, share, key(900, 0)));
}

#[test]
fn of_one_user_with_many_clients_only_some_are_told_to_others() {
    let now = Instant::now();
    let (presence, t) = online(now, &[key(1, 1)]);
    let share = share(3);
    presence.hold(&t[0], share, &exactly(&[0])).expect("valid");
    let told = (0..200).filter(|&number| {
        let ticket = presence.enter(key(2, number), now);
        presence.announce(&ticket, contact(2000 + u16::from(number)));
        presence.hold(&ticket, share, &all()).expect("valid").is_some()
    });
    assert_eq!(told.count(), fair_choice::USER_PEERS_MAX);
    let last = presence.enter(key(3, 1), now);
    presence.announce(&last, contact(3000));
    presence.hold(&last, share, &more(&[1])).expect("valid").expect("the other holder is told");
    let named = found(&presence, share, t[0].key);
    assert_eq!((named.len(), named.last().map(|holder| holder.held)), (fair_choice::USER_PEERS_MAX + 1, Some(1)));
}

/// The layout of the longest possible share.
fn longest() -> SwarmInfo {
    share(u64::from(crate::model::piece::PIECES_MAX))
}

/// A set of its pieces that takes as much memory as any can. Each seed gives another set.
fn scattered(seed: u8) -> Holding {
    let mut bytes = vec![0b1010_1010; crate::wire::client_tracker::BITFIELD_MAX];
    bytes[usize::from(seed)] = 0b0101_0101;
    exactly(&bytes)
}

fn spent(presence: &Presence) -> usize {
    presence.register.lock().budget.spent()
}

#[test]
fn thousands_of_clients_with_one_piece_of_the_longest_share_take_little() {
    let (presence, now) = (Presence::new(), Instant::now());
    for number in 0..4000u32 {
        let mut client = [0; 16];
        client[..4].copy_from_slice(&number.to_be_bytes());
        let user = UserRef(op(u64::from(number / 1000)));
        let ticket = presence.enter(ClientKey { user, client: ClientId(client) }, now);
        presence.hold(&ticket, longest(), &more(&[number])).expect("valid");
    }
    assert_eq!(presence.holder_counts(&[longest().share], |_, _| false), [4000]);
    assert!(spent(&presence) < 10 * 1024 * 1024, "{}", spent(&presence));
}

#[test]
fn equal_holdings_take_memory_once_and_one_that_grows_leaves_the_others_as_they_are() {
    let (presence, t) = online(Instant::now(), &[key(1, 1), key(2, 2)]);
    let share = longest();
    t.iter().for_each(|ticket| drop(presence.hold(ticket, share, &scattered(0))));
    let sets = |presence: &Presence| {
        let held = presence.holdings(share, |_| false).into_iter().filter_map(|held| held.pieces);
        <[Arc<PieceSet>; 2]>::try_from(held.collect::<Vec<_>>()).expect("two")
    };
    let [one, other] = sets(&presence);
    assert!(Arc::ptr_eq(&one, &other));
    presence.hold(&t[0], share, &more(&[0])).expect("valid");
    let [one, other] = sets(&presence).map(|set| set.held());
    assert_eq!(one, other + 1);
}

#[test]
fn holdings_beyond_the_room_of_a_user_are_kept_as_counts_for_that_user_only() {
    let now = Instant::now();
    let clients: Vec<_> = (0..100).map(|client| key(1, client)).chain([key(2, 1)]).collect();
    let (presence, t) = online(now, &clients);
    let share = longest();
    for (seed, ticket) in (0..).zip(&t) {
        presence.hold(ticket, share, &scattered(seed)).expect("nobody is refused");
    }
    assert!(spent(&presence) <= 6 * 1024 * 1024, "{}", spent(&presence));
    let told = presence.peers(share, key(3, 1), |_| false);
    assert!(told.iter().all(|holder| holder.held == 1 << 20), "as many pieces as they said");
    let known = presence.holdings(share, |_| false);
    assert!(known.iter().any(|held| held.addr.port() == 1100), "the other user's pieces are known");
    assert!((1..24).contains(&known.len()), "{}", known.len());
    presence.hold(&t[99], share, &more(&[1, 3])).expect("valid");
    let register = presence.register.lock();
    assert_eq!(register.swarms.role(share.share, t[99].key), SwarmRole::Partial { held: (1 << 20) + 2 });
}

#[test]
fn beyond_the_room_of_all_the_holdings_of_the_users_who_take_most_are_forgotten() {
    let (presence, now) = (Presence::new(), Instant::now());
    let honest = presence.enter(key(200, 1), now);
    presence.announce(&honest, contact(1));
    presence.hold(&honest, longest(), &scattered(77)).expect("valid");
    for user in 0..80 {
        for client in 0..4 {
            let ticket = presence.enter(key(user, client), now);
            presence.announce(&ticket, contact(2));
            presence.hold(&ticket, longest(), &scattered((user as u8) | (client << 6))).expect("valid");
        }
    }
    assert!(spent(&presence) <= 24 * 1024 * 1024, "{}", spent(&presence));
    let known = presence.holdings(longest(), |_| false);
    assert!(known.iter().any(|held| held.addr.port() == 1 && held.pieces.is_some()), "the honest one's are known");
}

#[test]
fn a_client_without_room_for_all_its_shares_is_found_for_those_of_its_user() {
    let (presence, t) = online(Instant::now(), &[key(1, 1), key(2, 2)]);
    let many = |number| SwarmInfo { share: ShareRef(op(1000 + number)), ..share(3) };
    let room = (1..).take_while(|&entries| budget::cost(entries, 0) <= budget::USER_LEN_MAX).count() as u64;
    for number in 0..=room {
        presence.hold(&t[0], many(number), &all()).expect("nobody is refused");
    }
    let found = |number, sharer: u64| {
        let holders = presence.peers(many(number), t[1].key, |user| user == UserRef(op(sharer)));
        holders.into_iter().map(|holder| (holder.key, holder.held)).collect::<Vec<_>>()
    };
    assert_eq!((found(room - 1, 9), found(room, 9)), (vec![(t[0].key, 3)], Vec::new()));
    assert_eq!((found(room - 1, 1), found(room, 1)), (vec![(t[0].key, 3)], vec![(t[0].key, 3)]));
    // Lists, programs and waiting clients find it as well.
    let shares = [many(room - 1).share, many(room).share];
    let counts = |sharer: u64| presence.holder_counts(&shares, |_, user| user == UserRef(op(sharer)));
    assert_eq!((counts(9), counts(1)), (vec![1, 0], vec![1, 1]));
    let places = |sharer: u64| presence.holdings(many(room), |user| user == UserRef(op(sharer))).len();
    assert_eq!((places(9), places(1)), (0, 1));
    presence.hold(&t[1], many(room), &more(&[])).expect("valid");
    let holder_up = presence.hold(&t[0], many(room), &all()).expect("valid").expect("told");
    assert_eq!((holder_up.tell, holder_up.holder.held), (vec![t[1].key], 3));
    presence.leave(&t[0]);
    assert_eq!(found(room, 1), []);
    presence.leave(&t[1]);
    assert_eq!(spent(&presence), 0);
}

#[test]
fn other_trackers_are_told_how_many_pieces_where_it_would_take_much_to_say_which() {
    let (presence, t) = online(Instant::now(), &[key(1, 1)]);
    let subscription = presence.subscribe(Box::new(|| ()));
    taken(&presence, &subscription);
    for (said, told) in [
        (scattered(0), Holding::Count { held: 1 << 20 }),
        (runs(&[3, 7, 9, 1 << 21]), runs(&[3, 7, 9, 1 << 21])),
        (more(&[7, 8]), runs(&[3, 1 << 21])),
    ] {
        presence.hold(&t[0], longest(), &said).expect("valid");
        let holds = PresenceChange::Holds { key: t[0].key, share: longest().share, holding: told };
        assert_eq!(taken(&presence, &subscription), [holds]);
    }
}

#[test]
fn a_user_who_holds_and_drops_without_end_leaves_half_of_what_is_told_to_others() {
    let now = Instant::now();
    let (presence, t) = online(now, &[key(1, 1), key(2, 1), key(3, 1)]);
    let subscription = presence.subscribe(Box::new(|| ()));
    let told = |now| presence.take(&subscription, usize::MAX, now).changes.len();
    let holds = |number: usize, holding: &Holding| drop(presence.hold(&t[number], share(3), holding));
    assert_eq!(told(now), 3);
    let mut count = 0;
    for round in 0..100_000 {
        holds(0, if round % 2 == 0 { &Holding::All {} } else { &Holding::Nothing {} });
        holds(0, if round % 2 == 0 { &Holding::All {} } else { &Holding::Nothing {} });
        count += told(now);
    }
    assert!(count < 40_000, "{count}");
    [0, 1, 2].iter().for_each(|&number| holds(number, &all()));
    assert_eq!(told(now), 2, "of those who change little");
    let taken = presence.take(&subscription, usize::MAX, now);
    assert!(taken.put_off && taken.changes.is_empty());
    let last = PresenceChange::Holds { key: t[0].key, share: share(3).share, holding: all() };
    let later = presence.take(&subscription, usize::MAX, now + Duration::from_secs(1));
    assert_eq!((later.changes, later.put_off), (vec![last], false), "what it is in the end");
}

#[test]
fn unchanged_claims_are_not_told_to_other_trackers_again() {
    let (presence, t) = online(Instant::now(), &[key(1, 1)]);
    let subscription = presence.subscribe(Box::new(|| ()));
    let some = more(&[1, 2]);
    for (said, told) in [(all(), 2), (all(), 0), (Holding::Nothing {}, 1), (some.clone(), 1), (some, 0)] {
        presence.hold(&t[0], share(10), &said).expect("valid");
        assert_eq!(taken(&presence, &subscription).len(), told, "{said:?}");
    }
}
