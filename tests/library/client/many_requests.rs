//! Many simultaneous requests of one client.

use super::*;
use crate::common::names::file;
use crossbeam_channel as channel;
use groupshare::wire::refusal::{Code, Refusal};
use parking_lot::Condvar;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const MANY: usize = 5000;

/// Asks for `f` and for a missing file in turn.
fn finds() -> Vec<Request> {
    let find = |name| Request::FindShare { group: group("lab"), name: file(name) };
    (0..MANY).map(|number| find(if number % 2 == 0 { "f" } else { "g" })).collect()
}

/// Whether the replies are those to `finds`.
fn fit(replies: &[Result<Reply, Refusal>]) -> bool {
    let fits = |(number, reply): (usize, &Result<Reply, _>)| match reply {
        Ok(Reply::Share { name, .. }) => number % 2 == 0 && *name == file("f"),
        Err(Refusal { code, .. }) => number % 2 == 1 && *code == Code::NoSuchFile,
        Ok(_) => false,
    };
    replies.len() == MANY && replies.iter().enumerate().all(fits)
}

#[test]
fn many_requests_have_their_replies_in_order_and_nobody_beside_them_is_kept_waiting() {
    let room = Room::new();
    drop(room.group_of(&[]));
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = connections.clone();
    let relay = Relay::to(room.tracker.addr, move |number, _, _| {
        seen.fetch_max(number + 1, Ordering::SeqCst);
    });
    let mut alice = Person::sit_down(relay.addr, &room.place("alice"));
    alice.expect("login alice pw", "Login successful\n");
    alice.file("f", b"contents");
    alice.expect("upload_file f lab", "Uploaded\n");
    let node = alice.node.clone();
    let asking = std::thread::spawn(move || node.link.call_all(&finds()));
    while !asking.is_finished() {
        assert_eq!(alice.node.link.call(&Request::Heartbeat {}), Ok(Reply::Done {}));
    }
    let replies = asking.join().expect("no panic").expect("answered");
    assert!(fit(&replies));
    assert_eq!(connections.load(Ordering::SeqCst), 1, "the tracker has cut nobody off");
}

#[test]
fn hundreds_of_requests_leave_before_the_first_is_answered() {
    const HUNDREDS: usize = 256;
    // The length, kind and id of each request, and the bytes that encryption adds.
    const WANTED: usize = HUNDREDS * (9 + 18);
    let room = Room::new();
    drop(room.group_of(&[]));
    // How many bytes of requests came while answers are held back; `None` while they are not.
    let held = Arc::new((Mutex::new(None), Condvar::new()));
    let (gate, connections) = (held.clone(), Arc::new(AtomicUsize::new(0)));
    let seen = connections.clone();
    let relay = Relay::to(room.tracker.addr, move |number, asks, bytes| {
        seen.fetch_max(number + 1, Ordering::SeqCst);
        let (asked, more) = &*gate;
        let mut asked = asked.lock();
        if asks {
            *asked = asked.map(|asked: usize| asked + bytes.len());
            more.notify_all();
        }
        while !asks && asked.is_some_and(|asked| asked < WANTED) {
            more.wait(&mut asked);
        }
    });
    let mut alice = Person::sit_down(relay.addr, &room.place("alice"));
    alice.expect("login alice pw", "Login successful\n");
    *held.0.lock() = Some(0);
    let replies = alice.node.link.call_all(&vec![Request::Heartbeat {}; HUNDREDS]).expect("answered");
    assert_eq!(replies, vec![Ok(Reply::Done {}); HUNDREDS]);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    // Releases everything that is still held back.
    *held.0.lock() = None;
    held.1.notify_all();
}

#[test]
fn requests_open_when_a_connection_is_lost_are_asked_again_on_the_next() {
    let room = Room::new();
    drop(room.group_of(&[]));
    let asked = AtomicUsize::new(0);
    let (halfway, reached) = channel::bounded(0);
    let (go_on, cut) = channel::bounded::<()>(0);
    // Until its upload a client sends far fewer bytes.
    let relay = Relay::to(room.tracker.addr, move |number, asks, bytes| {
        let before = asked.fetch_add(if asks { bytes.len() } else { 0 }, Ordering::SeqCst);
        if number == 0 && asks && before < 50_000 && before + bytes.len() >= 50_000 {
            halfway.send(()).expect("the test waits");
            let _ = cut.recv();
        }
    });
    let mut alice = Person::sit_down(relay.addr, &room.place("alice"));
    alice.expect("login alice pw", "Login successful\n");
    alice.file("f", b"contents");
    alice.expect("upload_file f lab", "Uploaded\n");
    let node = alice.node.clone();
    let asking = std::thread::spawn(move || node.link.call_all(&finds()));
    reached.recv().expect("the relay runs");
    relay.cut();
    drop(go_on);
    let replies = asking.join().expect("no panic").expect("answered");
    assert!(fit(&replies));
    alice.sees("Connected to the tracker");
}

#[test]
fn a_user_who_cancels_many_requests_gets_the_prompt_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let person = Person::sit_down(silent_tracker(), folder.path());
    wait_until("connected", || person.node.link.tracker().is_some());
    let (node, begun) = (person.node.clone(), Instant::now());
    let asking = std::thread::spawn(move || node.link.for_user(|| node.link.call_all(&finds())));
    wait_until("the requests have begun when they are cancelled", || {
        person.node.link.cancel();
        asking.is_finished()
    });
    assert_eq!(asking.join().expect("no panic"), Err(RpcError::Cancelled));
    assert!(begun.elapsed() < HANDSHAKE_DEADLINE, "{:?}", begun.elapsed());
}

#[test]
fn a_user_who_cannot_share_in_a_group_hears_why_before_the_file_is_read() {
    let room = Room::new();
    let (mut alice, _others) = room.group_of(&["bob"]);
    let mut carol = room.person("carol");
    for person in [&mut alice, &mut carol] {
        person.refused("upload_file nothere nope", "Group does not exist");
    }
    carol.refused("upload_file nothere lab", "You are not a member of this group");
    carol.expect("join_group lab", "Request sent\n");
    alice.expect("accept_request lab carol", "Request accepted\n");
    carol.sees("You are a member of lab now");
    carol.file("f", b"contents");
    carol.expect("upload_file f lab", "Uploaded\n");
    alice.expect("remove_member lab carol", "Member removed\n");
    carol.sees("You were removed from lab");
    wait_until("the key is gone", || carol.node.keyring.group_named(&group("lab")).is_none());
    carol.refused("upload_file nothere lab", "You are not a member of this group");
}

#[test]
fn an_upload_asks_the_tracker_no_more_than_three_things_whatever_else_is_shared() {
    const UPLOADS: usize = 20;
    let room = Room::new();
    drop(room.group_of(&[]));
    // How often the client sends after the tracker did.
    let (answered, turns) = (AtomicBool::new(false), Arc::new(AtomicUsize::new(0)));
    let counted = turns.clone();
    let relay = Relay::to(room.tracker.addr, move |_, asks, _| {
        if answered.swap(!asks, Ordering::SeqCst) && asks {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut alice = Person::sit_down(relay.addr, &room.place("alice"));
    alice.expect("login alice pw", "Login successful\n");
    wait_until("the key is there", || alice.node.keyring.group_named(&group("lab")).is_some());
    let before = turns.load(Ordering::SeqCst);
    let begun = Instant::now();
    for number in 0..UPLOADS {
        alice.file(&format!("f{number}"), format!("contents {number}").as_bytes());
        alice.expect(&format!("upload_file f{number} lab"), "Uploaded\n");
    }
    let beside = begun.elapsed().as_secs() as usize;
    let asked = turns.load(Ordering::SeqCst) - before;
    assert!(asked <= 3 * UPLOADS + 4 + 2 * beside, "{asked} turns");
}
