//! Several trackers in one process, over real sockets. All of them learn each change, whatever happens to their links.

mod agreement;
mod by_word;
mod floors;
mod forgotten;
mod kept_aside;
mod operator;
mod takeover;

use crate::common::client::Client;
use crate::common::deadline::LONG;
use crate::common::kept_tracker::Told;
use crate::common::manifest::manifest;
use crate::common::membership::all_pieces;
use crate::common::memory_log::MemoryLog;
use crate::common::names::{PASSWORD, command, file, group, password, user};
use crate::common::relay::Relay;
use crate::common::tracker::{TestTracker, cluster};
use crate::common::wait::wait_until;
use groupshare::model::id::{CommandId, GroupRef, OpId, Origin, Seen, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::op::floor::FloorMark;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::tracker::admission::Caps;
use groupshare::tracker::cluster::other_tracker::{LinkStatus, OtherTracker};
use groupshare::tracker::commit::OpLog;
use groupshare::tracker::server::{Server, ServerSettings};
use groupshare::tracker::state::State;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::connection::{self, FrameReceiver, FrameSender, TimedStream};
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::frame::{FRAME_LEN_MAX, UNASKED};
use groupshare::wire::handshake::tracker_to_tracker;
use groupshare::wire::refusal::Code;
use groupshare::wire::tracker_tracker::{LinkMessage, ORIGINS_MAX, SEEN_MAX};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

/// Tracker `number`. It calls these others.
fn tracker(number: u16, others: &[(u16, SocketAddr)]) -> TestTracker {
    TestTracker::start_with(|settings| {
        settings.origin = Origin { tracker: number, incarnation: u64::from(number) * 1000 };
        settings.others = others.iter().map(|&(number, addr)| (number, addr.into())).collect();
    })
}

fn same_state(trackers: &[&TestTracker]) {
    wait_until("equal states", || {
        let digests: Vec<_> = trackers.iter().map(|tracker| tracker.server.core().state().digest()).collect();
        digests.windows(2).all(|pair| pair[0] == pair[1])
    });
}

fn knows(tracker: &TestTracker, name: &str) -> bool {
    tracker.server.core().state().user_named(&user(name)).is_some()
}

fn is_member(client: &mut Client, group_name: &str) -> bool {
    matches!(client.ask(Request::ListMembers { group: group(group_name), after: None }), Reply::Members { .. })
}

#[test]
fn a_change_at_one_tracker_is_seen_at_all() {
    let one = tracker(1, &[]);
    let two = tracker(2, &[(1, one.addr)]);
    let three = tracker(3, &[(1, one.addr), (2, two.addr)]);
    let mut alice = one.user("alice");
    alice.create_group("lab");
    wait_until("alice is known everywhere", || knows(&two, "alice") && knows(&three, "alice"));
    let mut bob = two.user("bob");
    wait_until("the group is known", || two.server.core().state().group_count() == 1);
    bob.join("lab");
    assert!(matches!(alice.pushed(), Reply::NewKey { .. }));
    assert!(matches!(alice.pushed(), Reply::JoinRequested { user: name, .. } if name == user("bob")));
    alice.accept("lab", "bob");
    wait_until("bob is a member", || is_member(&mut bob, "lab"));
    assert_eq!(alice.keys(), bob.keys());

    // Other trackers find a share with its manifest, and the members that hold it at any tracker.
    let (bytes, content) = manifest("film.mkv", 40_000, 1);
    alice.put_manifest("lab", &bytes, &content);
    let share = alice.share("lab", "film.mkv", &content);
    alice.announce(4001);
    alice.hold(share.share, all_pieces());
    wait_until("the share is known", || two.server.core().state().share_count() == 1);
    assert_eq!(bob.find_share("lab", "film.mkv").share, share.share);
    let Reply::ManifestPart { total, part } = bob.ask(Request::GetManifest { share: share.share, offset: 0 }) else {
        panic!("the manifest came before the share")
    };
    assert_eq!((total as usize, part.as_bytes()), (bytes.len(), &bytes[..part.as_bytes().len()]));
    wait_until("bob is told of alice", || bob.peers(share.share).iter().any(|peer| peer.addrs[0].port() == 4001));
    bob.announce(4002);
    bob.hold(share.share, all_pieces());
    wait_until("alice is told of bob", || alice.peers(share.share).iter().any(|peer| peer.addrs[0].port() == 4002));

    // A member removed at one tracker loses the group at another, and the other members get the next key.
    wait_until("bob is at three", || three.server.core().state().share_count() == 1);
    let mut alice_at_three = three.client();
    alice_at_three.log_in("alice");
    let before = alice_at_three.keys();
    alice_at_three.done(Request::RemoveMember { command: command(), group: group("lab"), user: user("bob") });
    let mut told = Vec::new();
    wait_until("bob is told", || {
        told.extend(bob.all_pushed());
        told.iter().any(|push| matches!(push, Reply::GroupLost { .. }))
    });
    let mut told = Vec::new();
    wait_until("alice has the new key", || {
        told.extend(alice.all_pushed());
        told.iter().any(|push| matches!(push, Reply::NewKey { key } if *key != before[0]))
    });
    wait_until("bob is gone from the list", || alice.peers(share.share).is_empty());
    same_state(&[&one, &two, &three]);
}

#[test]
fn both_sides_of_a_partition_go_on_and_agree_afterwards() {
    let told = Told::default();
    let one = tracker(1, &[]);
    let relay = Relay::to(one.addr, |_, _, _| {});
    let two = TestTracker::start_with(|settings| {
        settings.origin = Origin { tracker: 2, incarnation: 2000 };
        settings.others = vec![(1, relay.addr.into())];
        told.set(settings);
    });
    let mut alice = one.user("alice");
    alice.create_group("lab");
    let mut carol = one.user("carol");
    carol.join("lab");
    alice.accept("lab", "carol");
    same_state(&[&one, &two]);
    relay.block();
    wait_until("the loss is told", || told.has("tracker 1 is not connected"));

    // The same user, the same group, the same file on both sides.
    let mut zoe = [one.user("zoe"), two.user("zoe")];
    zoe.iter_mut().for_each(|zoe| zoe.create_group("club"));
    let mut carol_at_two = two.client();
    carol_at_two.log_in("carol");
    for (carol, seed) in [(&mut carol, 1), (&mut carol_at_two, 2)] {
        carol.offer("lab", "notes.txt", 3, seed);
    }
    // The owner leaves here while a request is accepted there.
    let mut dan = two.user("dan");
    dan.join("lab");
    let mut alice_at_two = two.client();
    alice_at_two.log_in("alice");
    alice_at_two.accept("lab", "dan");
    alice.leave("lab");
    relay.unblock();
    same_state(&[&one, &two]);
    let state = one.server.core().state();
    assert!(knows(&one, "zoe") && knows(&one, "zoe~2") && knows(&one, "dan"));
    assert_eq!(state.group_count(), 3);
    assert_eq!(state.share_count(), 1, "the later of what carol has shared under the name");
    assert!(is_member(&mut dan, "lab") && is_member(&mut carol, "lab"));
    assert_eq!(alice.refused(Request::ListMembers { group: group("lab"), after: None }), Code::NotMember);
    wait_until("all have the same key", || dan.keys() == carol.keys() && carol.keys() == carol_at_two.keys());
    // The renamed user hears of it at the next login, also under the old name.
    let mut again = two.client();
    let renamed = |reply: Reply| matches!(reply, Reply::LoggedIn { user: name, .. } if name == user("zoe") || name == user("zoe~2"));
    let request = Request::Login { client: again.id, user: user("zoe"), password: password(PASSWORD) };
    assert!(renamed(again.ask(request)));
    wait_until("the digests were compared", || {
        let others = two.server.status().others;
        matches!(others[0].status, LinkStatus::Connected { agrees: Some(true), there_behind: 0, here_behind: 0, .. })
    });
    assert!(!told.has("DIFFER"));
}

/// The op with which a tracker of this number makes an account.
fn account(number: u16, seq: u64, lamport: u64) -> Op {
    Op {
        id: OpId { origin: Origin { tracker: number, incarnation: 1 }, seq },
        lamport,
        command: CommandId((u128::from(number) << 64 | u128::from(seq)).to_be_bytes()),
        body: OpBody::CreateUser { name: user(&format!("u{number}-{seq}")), password: PasswordHash("none".into()) },
    }
}

/// The op of tracker 2 with this sequence.
fn numbered(seq: u64, body: OpBody) -> Op {
    Op { body, ..account(2, seq, seq) }
}

/// Tracker 2 makes an account and a group, and a share in that.
fn shared_ops(content: Content) -> [Op; 3] {
    let account = account(2, 1, 1);
    let user = UserRef(account.id);
    let made = numbered(2, OpBody::CreateGroup { founder: user, name: group("lab") });
    let (lab, name) = (GroupRef(made.id), file("film.mkv"));
    let share = numbered(3, OpBody::CreateShare { group: lab, user, name, content, replaces: None });
    [account, made, share]
}

fn give_manifest(sender: &FrameSender, bytes: &[u8], content: &Content) {
    let (total, info_hash) = (bytes.len() as u32, content.info_hash);
    let part = Blob::new(bytes.to_vec()).expect("short");
    sender.send(UNASKED, &LinkMessage::Manifest { info_hash, total, offset: 0, part }).expect("sent");
}

/// A log with this many accounts from a tracker of this number.
fn log_of(number: u16, count: u64) -> (State, MemoryLog) {
    let ops: Vec<Op> = (1..=count).map(|seq| account(number, seq, seq)).collect();
    let (mut state, mut log) = (State::new(), MemoryLog::default());
    ops.iter().for_each(|op| state.apply(op));
    log.append(&ops).expect("memory");
    (state, log)
}

#[test]
fn a_tracker_with_an_empty_disk_gets_everything_and_gives_what_only_it_has() {
    // More than the feed keeps, and more than a window of late ops.
    let with_log = |settings: &mut ServerSettings, number: u16, count: u64| {
        let (state, log) = log_of(number, count);
        settings.origin = Origin { tracker: number, incarnation: 2 };
        (settings.past, settings.log, settings.source) = (state.into(), Box::new(log.clone()), Arc::new(log));
    };
    let one = TestTracker::start_with(|settings| with_log(settings, 1, 20_000));
    let two = TestTracker::start_with(|settings| {
        with_log(settings, 2, 300);
        settings.others = vec![(1, one.addr.into())];
    });
    let three = tracker(3, &[(1, one.addr), (2, two.addr)]);
    let states = || [&one, &two, &three].map(|tracker| tracker.server.core().state());
    wait_until("everything is everywhere", || {
        // Votes about a floor may follow.
        let states = states();
        states.iter().all(|state| state.op_count() >= 20_300 && state.version().eq(states[0].version()))
    });
    same_state(&[&one, &two, &three]);
    // The interleaved ops of the other tracker came late. They are folded in the total order.
    assert!(knows(&one, "u2-300") && knows(&two, "u1-20000") && knows(&three, "u2-1"));
}

#[test]
fn trackers_that_were_started_16_500_times_are_in_sync_and_compare_their_digests() {
    // Every start with a change has an origin of its own.
    let of_start = |number: u16, start: u64| {
        let id = OpId { origin: Origin { tracker: number, incarnation: start }, seq: 1 };
        Op { id, ..account(number, start, start) }
    };
    let with_log = |settings: &mut ServerSettings, number: u16, starts: u64| {
        let ops: Vec<Op> = (1..=starts).map(|start| of_start(number, start)).collect();
        let (mut state, mut log) = (State::new(), MemoryLog::default());
        ops.iter().for_each(|op| state.apply(op));
        log.append(&ops).expect("memory");
        settings.origin = Origin { tracker: number, incarnation: starts + 1 };
        (settings.past, settings.log, settings.source) = (state.into(), Box::new(log.clone()), Arc::new(log));
        // The logs of these tests take no base. So no floor may come, however long the test takes.
        settings.floor_pace.margin = 1_000_000;
    };
    let one = TestTracker::start_with(|settings| with_log(settings, 1, 16_500));
    let two = TestTracker::start_with(|settings| {
        with_log(settings, 2, 500);
        settings.others = vec![(1, one.addr.into())];
    });
    let in_sync = |tracker: &TestTracker| {
        let others = tracker.server.status().others;
        let compared = |other: &OtherTracker| {
            matches!(other.status, LinkStatus::Connected { agrees: Some(true), there_behind: 0, here_behind: 0, .. })
        };
        others.len() == 1 && others.iter().all(compared)
    };
    wait_until("both know all, and say so", || in_sync(&one) && in_sync(&two));
    assert_eq!(two.server.core().state().op_count(), 17_000);
    // New changes go on from there.
    one.user("alice").create_group("lab");
    wait_until("the group is known", || two.server.core().state().group_count() == 1);
}

#[test]
fn a_list_of_origins_without_end_ends_the_link() {
    let told = Told::default();
    let one = TestTracker::start_with(|settings| told.set(settings));
    let (mut receiver, sender) = link_to(one.addr);
    hear_greeting(&mut receiver);
    let full = || {
        List::first_of((0..ORIGINS_MAX as u64).map(|n| Seen { origin: account(2, 1, 1).id.origin, seq: n }).collect())
    };
    let mut sent = sender.send(UNASKED, &LinkMessage::Have { floor: FloorMark::default(), seen: full(), digest: None });
    for _ in 0..SEEN_MAX / ORIGINS_MAX {
        // The other side may have ended the link by the last message.
        sent = sent.and_then(|()| sender.send(UNASKED, &LinkMessage::SeenMore { seen: full() }));
    }
    wait_until("it is told", || {
        told.has("tracker 2 is not connected: The message is too large: changes of more than 1048576 origins")
    });
}

/// A link to a tracker from tracker 2 with an empty disk. The test controls it.
fn link_to(addr: SocketAddr) -> (FrameReceiver, Arc<FrameSender>) {
    link_of_run(addr, 2)
}

/// The same. The number tells apart the runs of the program.
fn link_of_run(addr: SocketAddr, run: u8) -> (FrameReceiver, Arc<FrameSender>) {
    link_as(addr, 2, run, FloorMark::default())
}

/// A link from this tracker with an empty disk and a floor.
fn link_as(addr: SocketAddr, tracker: u16, run: u8, floor: FloorMark) -> (FrameReceiver, Arc<FrameSender>) {
    let stream = TcpStream::connect(addr).expect("connects");
    let (id, key) = cluster().link_key();
    let keys = tracker_to_tracker(&mut TimedStream::new(&stream, LONG), id, &key).expect("the same key");
    let (receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, false).expect("a socket");
    let hello = LinkMessage::Hello { tracker, instance: [run; 16], floor, seen: List::first_of(Vec::new()) };
    sender.send(UNASKED, &hello).expect("sent");
    (receiver, sender)
}

/// Waits for a message that fits, and returns its result. Fails if the link ends.
fn hear<T>(receiver: &mut FrameReceiver, mut fits: impl FnMut(LinkMessage) -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        assert!(Instant::now() < deadline, "not heard");
        let message = receiver.recv(LONG).expect("the link lasts").message::<LinkMessage>().expect("well formed");
        if let Some(heard) = fits(message) {
            return heard;
        }
    }
}

/// Waits until the tracker claims to have this many ops or more.
fn hear_count(receiver: &mut FrameReceiver, count: u64) {
    hear(receiver, |message| match message {
        LinkMessage::Have { seen, .. } => (seen.iter().map(|seen| seen.seq).sum::<u64>() >= count).then_some(()),
        _ => None,
    });
}

fn send_ops(sender: &FrameSender, ops: impl Iterator<Item = Op>) {
    let ops: Vec<Op> = ops.collect();
    for lot in ops.chunks(1000) {
        sender.send(UNASKED, &LinkMessage::Ops { ops: List::new(lot.to_vec()).expect("few") }).expect("sent");
    }
}

/// A user shares `count` manifests of 800 KB. `meanwhile` runs before each. Eight of them are more than the sockets of
/// a link that nobody reads hold, which is about 4 MB by default.
fn share_a_lot(tracker: &TestTracker, count: u8, mut meanwhile: impl FnMut()) {
    let mut alice = tracker.user("alice");
    alice.create_group("lab");
    for seed in 0..count {
        meanwhile();
        alice.offer("lab", "film.mkv", 40_000, seed);
    }
}

#[test]
fn late_ops_that_come_one_by_one_are_folded_in_together() {
    let (state, log) = log_of(1, 12_000);
    let one = TestTracker::start_with(|settings| {
        settings.origin = Origin { tracker: 1, incarnation: 2 };
        (settings.past, settings.log, settings.source) = (state.into(), Box::new(log.clone()), Arc::new(log));
    });
    let (mut receiver, sender) = link_to(one.addr);
    // Thousands of ops follow each, and each claims to be the last one.
    for seq in 1..=3000 {
        send_ops(&sender, std::iter::once(account(2, seq, seq)));
        let seen = List::first_of(vec![Seen { origin: account(2, seq, seq).id.origin, seq }]);
        sender.send(UNASKED, &LinkMessage::Have { floor: FloorMark::default(), seen, digest: None }).expect("sent");
    }
    hear_count(&mut receiver, 15_000);
}

#[test]
fn a_link_that_was_busy_while_the_feed_went_past_it_goes_on() {
    let one = tracker(1, &[]);
    share_a_lot(&one, 20, || {});
    let known = one.server.core().state().op_count();
    let (mut receiver, sender) = link_to(one.addr);
    // While it waits for this side to read, more ops come in from here than the feed keeps.
    send_ops(&sender, (1..=20_000).map(|seq| account(2, seq, known + seq)));
    wait_until("all are taken", || one.server.core().state().op_count() >= known + 20_000);
    hear_count(&mut receiver, known + 20_000);
}

#[test]
fn strangers_that_have_taken_all_seats_keep_no_trackers_from_each_other() {
    let one = TestTracker::start_with(|settings| {
        settings.caps = Caps { total: 2, early: 2, per_address: 2, ..Caps::default() }
    });
    let mut strangers = ["alice", "bob"].map(|name| one.user(name));
    assert!(Client::try_connect(one.addr).is_err(), "no seat is left");
    let two = tracker(2, &[(1, one.addr)]);
    wait_until("they are connected", || knows(&two, "alice") && knows(&two, "bob"));
    strangers[0].create_group("lab");
    wait_until("the group is known", || two.server.core().state().group_count() == 1);
    assert!(Client::try_connect(one.addr).is_err(), "still no seat for a stranger");
}

#[test]
fn a_tracker_that_hangs_keeps_no_other_from_stopping() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let begun = Instant::now();
    let TestTracker { server, .. } = tracker(2, &[(1, listener.local_addr().expect("bound"))]);
    let _called = listener.accept().expect("it calls");
    server.stop();
    assert!(begun.elapsed() < HANDSHAKE_DEADLINE, "it waited for the other one");
}

#[test]
fn a_manifest_that_is_damaged_at_another_tracker_keeps_no_changes_back() {
    let told = Told::default();
    let one = TestTracker::start_with(|settings| told.set(settings));
    let (mut receiver, sender) = link_to(one.addr);
    let (bytes, content) = manifest("film.mkv", 3, 1);
    let damaged: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
    give_manifest(&sender, &damaged, &content);
    send_ops(&sender, [account(2, 1, 1)].into_iter());
    hear_count(&mut receiver, 1);
    assert!(told.has("is damaged at tracker 2"));
}

#[test]
fn a_file_can_be_downloaded_again_at_a_tracker_that_has_lost_its_list_of_pieces() {
    let (one, log, folder) = (tracker(1, &[]), MemoryLog::default(), tempfile::tempdir().expect("a folder"));
    let told = Told::default();
    let settings = |state: State| {
        let mut settings = crate::common::tracker::settings(&folder);
        settings.origin = Origin { tracker: 2, incarnation: 2000 };
        settings.others = vec![(1, one.addr.into())];
        (settings.past, settings.log, settings.source) = (state.into(), Box::new(log.clone()), Arc::new(log.clone()));
        told.set(&mut settings);
        settings
    };
    let begin = |state: State| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Server::start(listener, settings(state)).expect("started")
    };
    let two = begin(State::new());
    let mut alice = one.user("alice");
    alice.create_group("lab");
    let (bytes, content) = manifest("film.mkv", 40_000, 1);
    alice.put_manifest("lab", &bytes, &content);
    let share = alice.share("lab", "film.mkv", &content).share;
    wait_until("the share is known", || two.core().state().share_count() == 1);
    let file = folder.path().join("manifests").join(content.info_hash.to_string());
    let download = |two: &Server| {
        let mut alice = Client::connect(two.addr());
        alice.log_in("alice");
        let mut read = Vec::new();
        while read.len() < bytes.len() {
            match alice.ask(Request::GetManifest { share, offset: read.len() as u32 }) {
                Reply::ManifestPart { part, .. } => read.extend_from_slice(part.as_bytes()),
                other => panic!("no list of pieces but {other:?}"),
            }
        }
        assert!(read == bytes);
    };
    download(&two);
    std::fs::remove_file(&file).expect("it was there");
    download(&two);
    let mut damaged = bytes.clone();
    damaged[700_000] ^= 1;
    std::fs::write(&file, damaged).expect("writable");
    download(&two);
    // The tracker asks for missing manifests at the start, before any client wants them.
    let state = State::clone(&two.core().state());
    two.stop();
    std::fs::remove_file(&file).expect("it was there");
    let two = begin(state);
    wait_until("it is back", || file.exists());
    wait_until("the operator is told", || told.has("no manifest is missing any more"));
    assert!(told.has("manifests lost or damaged: 1; the other trackers are asked for them"));
    download(&two);
}

#[test]
fn a_list_of_pieces_that_no_tracker_has_given_is_not_called_lost() {
    let (log, folder) = (MemoryLog::default(), tempfile::tempdir().expect("a folder"));
    let begin = |state: State, told: &Told| {
        let mut settings = crate::common::tracker::settings(&folder);
        (settings.past, settings.log, settings.source) = (state.into(), Box::new(log.clone()), Arc::new(log.clone()));
        told.set(&mut settings);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Server::start(listener, settings).expect("started")
    };
    let told = Told::default();
    let one = begin(State::new(), &told);
    // The other tracker has lost the manifest that it ought to send before the share.
    let (_receiver, sender) = link_to(one.addr());
    let (bytes, content) = manifest("film.mkv", 3, 1);
    send_ops(&sender, shared_ops(content).into_iter());
    wait_until("it is told", || told.has("manifests not here yet: 1; the other trackers are asked for them"));
    assert!(one.status().to_string().contains("\nmanifests   not here yet: 1"), "{}", one.status());
    let state = State::clone(&one.core().state());
    one.stop();

    let told_again = Told::default();
    let one = begin(state, &told_again);
    assert!(told_again.has("manifests not here yet: 1; the other trackers are asked for them"));
    let (mut receiver, sender) = link_to(one.addr());
    let wanted = hear(&mut receiver, |message| match message {
        LinkMessage::WantManifests { info_hashes } => Some(info_hashes.into_vec()),
        _ => None,
    });
    assert_eq!(wanted, [content.info_hash]);
    give_manifest(&sender, &bytes, &content);
    sender.send(UNASKED, &LinkMessage::AllTold {}).expect("sent");
    wait_until("nothing is missing", || told_again.has("no manifest is missing any more"));
    assert!(!one.status().to_string().contains("manifests"), "{}", one.status());
    let state = State::clone(&one.core().state());
    one.stop();

    // From now on the manifest counts as received.
    std::fs::remove_file(folder.path().join("manifests").join(content.info_hash.to_string())).expect("it was there");
    let told = Told::default();
    let one = begin(state, &told);
    assert!(told.has("manifests lost or damaged: 1; the other trackers are asked for them"));
    assert!(one.status().to_string().contains("\nmanifests   lost or damaged: 1"), "{}", one.status());

    // A tracker does not miss the manifest of a share without sharers.
    let (_receiver, sender) = link_to(one.addr());
    let [account, _, share] = shared_ops(content);
    let body = OpBody::LeaveShare { share: ShareRef(share.id), user: UserRef(account.id) };
    send_ops(&sender, [numbered(4, body)].into_iter());
    wait_until("it is not shared", || one.core().state().share_count() == 0);
    assert!(!one.status().to_string().contains("manifests"), "{}", one.status());
}

#[test]
fn changes_and_news_of_clients_go_between_the_parts_of_a_long_list_of_pieces() {
    let one = tracker(1, &[]);
    let mut alice = one.user("alice");
    alice.create_group("lab");
    // Far more than sockets hold.
    let (bytes, content) = manifest("disk.img", 1_000_000, 1);
    alice.put_manifest("lab", &bytes, &content);
    let (mut receiver, sender) = link_to(one.addr);
    hear_greeting(&mut receiver);
    alice.share("lab", "disk.img", &content);
    let shares = |op: &Op| matches!(op.body, OpBody::CreateShare { .. });
    hear(&mut receiver, |message| match message {
        LinkMessage::Manifest { .. } => panic!("everything waits for the list"),
        LinkMessage::Ops { ops } => ops.iter().any(shares).then_some(()),
        _ => None,
    });

    let info_hashes = List::first_of(vec![content.info_hash]);
    sender.send(UNASKED, &LinkMessage::WantManifests { info_hashes }).expect("sent");
    let mut read = Vec::new();
    let mut take = |message: &LinkMessage| {
        if let LinkMessage::Manifest { offset, part, .. } = message {
            assert_eq!(*offset as usize, read.len());
            read.extend_from_slice(part.as_bytes());
        }
        read.len()
    };
    hear(&mut receiver, |message| (take(&message) > 0).then_some(()));
    let mut bob = one.user("bob");
    bob.announce(4002);
    let (mut changes, mut clients) = (false, false);
    hear(&mut receiver, |message| {
        assert!(take(&message) < bytes.len(), "all of the list came first");
        changes |= matches!(message, LinkMessage::Ops { .. });
        clients |= matches!(message, LinkMessage::Online { .. });
        (changes && clients).then_some(())
    });
    hear(&mut receiver, |message| (take(&message) == bytes.len()).then_some(()));
    assert!(read == bytes);
}

#[test]
fn a_long_list_of_pieces_and_short_ones_meanwhile_come_to_another_tracker() {
    let one = tracker(1, &[]);
    let told = Told::default();
    let two = TestTracker::start_with(|settings| {
        settings.origin = Origin { tracker: 2, incarnation: 2000 };
        settings.others = vec![(1, one.addr.into())];
        told.set(settings);
    });
    let mut alice = one.user("alice");
    alice.create_group("lab");
    let (bytes, content) = manifest("disk.img", 400_000, 1);
    alice.put_manifest("lab", &bytes, &content);
    let long = alice.share("lab", "disk.img", &content).share;
    (2..20).for_each(|seed| drop(alice.offer("lab", &format!("{seed}.mkv"), 5_000, seed)));
    wait_until("all shares are known", || two.server.core().state().share_count() == 19);
    let mut alice = two.client();
    alice.log_in("alice");
    let mut read = Vec::new();
    while read.len() < bytes.len() {
        match alice.ask(Request::GetManifest { share: long, offset: read.len() as u32 }) {
            Reply::ManifestPart { part, .. } => read.extend_from_slice(part.as_bytes()),
            other => panic!("no list of pieces but {other:?}"),
        }
    }
    assert!(read == bytes && !told.has("is damaged at tracker"));
}

/// Waits for the tracker's greeting. It shows that the tracker has accepted the link.
fn hear_greeting(receiver: &mut FrameReceiver) {
    hear(receiver, |message| matches!(message, LinkMessage::Hello { .. }).then_some(()));
}

#[test]
fn a_tracker_that_is_back_after_losing_power_is_taken_and_nobody_is_told_of_another_one() {
    let told = Told::default();
    let one = TestTracker::start_with(|settings| told.set(settings));
    // The tracker believes that this link stands, and nobody answers on it.
    let (mut lost, _lost_sender) = link_of_run(one.addr, 2);
    hear_greeting(&mut lost);
    let (mut back, sender) = link_of_run(one.addr, 3);
    hear_greeting(&mut back);
    send_ops(&sender, [account(2, 1, 1)].into_iter());
    wait_until("its changes are taken", || knows(&one, "u2-1"));
    assert!(!told.has("another tracker") && !told.has("any more"));
    let status = one.server.status();
    assert!(matches!(status.others[..], [OtherTracker { number: 2, status: LinkStatus::Connected { .. }, .. }]));
    assert!(!status.to_string().contains("another tracker"), "{status}");
    while lost.recv(LONG).is_ok() {}
}

#[test]
fn another_tracker_of_one_number_is_told_until_it_is_the_only_one() {
    let told = Told::default();
    let one = TestTracker::start_with(|settings| told.set(settings));
    let (mut first, sender) = link_of_run(one.addr, 2);
    hear_greeting(&mut first);
    let (mut other, _other_sender) = link_of_run(one.addr, 3);
    hear(&mut first, |message| matches!(message, LinkMessage::AreYouThere {}).then_some(()));
    sender.send(UNASKED, &LinkMessage::Here {}).expect("sent");
    let refused = |message| match message {
        LinkMessage::Refused { code, .. } => Some(code),
        _ => None,
    };
    assert_eq!(hear(&mut other, refused), Code::TrackerNumber as u16);
    let clash = "another tracker runs under the number 2, it called from 127.0.0.1";
    assert!(told.has(clash) && one.server.status().to_string().contains(clash), "{}", one.server.status());

    // The first program ends, and the refused one calls again.
    sender.end();
    while first.recv(LONG).is_ok() {}
    let (mut again, _again_sender) = link_of_run(one.addr, 3);
    hear_greeting(&mut again);
    wait_until("it is taken back", || told.has("no other tracker runs under the number 2 any more"));
    assert!(!one.server.status().to_string().contains("another tracker"), "{}", one.server.status());
}

#[test]
fn a_tracker_answers_at_once_that_it_is_there() {
    let one = tracker(1, &[]);
    let (mut receiver, sender) = link_to(one.addr);
    sender.send(UNASKED, &LinkMessage::AreYouThere {}).expect("sent");
    hear(&mut receiver, |message| matches!(message, LinkMessage::Here {}).then_some(()));
}

#[test]
fn a_tracker_tells_that_it_cannot_read_changes_back_for_another_one() {
    let told = Told::default();
    let one = TestTracker::start_with(|settings| {
        told.set(settings);
        (settings.past, settings.source) = (log_of(1, 10).0.into(), Arc::new(log_of(1, 7).1));
    });
    let _link = link_to(one.addr);
    wait_until("it is told", || told.has("tracker 2 is not connected: 3 changes cannot be read back"));
}

#[test]
fn a_tracker_that_takes_nothing_slows_nobody() {
    let one = tracker(1, &[]);
    let (_receiver, sender) = link_to(one.addr);
    wait_until("it is connected", || {
        one.server.status().others.iter().any(|other| matches!(other.status, LinkStatus::Connected { .. }))
    });
    // A side that is silent for long counts as gone.
    let alive = || {
        sender
            .send(UNASKED, &LinkMessage::Have { floor: FloorMark::default(), seen: List::EMPTY, digest: None })
            .expect("sent")
    };
    // The link ends 20 s after its sockets are full: few manifests come after that.
    share_a_lot(&one, 8, alive);
    let behind = |other: &OtherTracker| matches!(other.status, LinkStatus::Connected { there_behind: 10.., .. });
    assert!(one.server.status().others.iter().any(behind), "{}", one.server.status());
}

#[test]
fn the_other_trackers_give_back_the_own_changes_that_a_tracker_has_lost() {
    let one = tracker(1, &[]);
    let two = tracker(2, &[(1, one.addr)]);
    let addr = one.addr;
    let mut alice = one.user("alice");
    alice.create_group("lab");
    same_state(&[&one, &two]);
    drop(alice);
    one.server.stop();
    // An empty disk at the same address, under another incarnation.
    let log = MemoryLog::default();
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = crate::common::tracker::settings(&folder);
    settings.origin = Origin { tracker: 1, incarnation: 77 };
    (settings.log, settings.source) = (Box::new(log.clone()), Arc::new(log));
    let listener = groupshare::tracker::net::listener::bind(addr).expect("free again");
    let one = Server::start(listener, settings).expect("started");
    wait_until("it is all back", || one.core().state().group_count() == 1);
    let mut alice = Client::connect(one.addr());
    alice.log_in("alice");
    alice.create_group("club");
    wait_until("and goes on", || two.server.core().state().group_count() == 2);
    assert_eq!(one.core().state().digest(), two.server.core().state().digest());
}
