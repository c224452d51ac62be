//! Complete clients against a tracker in this process. Commands drive them as at the prompt.

mod announcements;
mod calls;
mod certificates;
mod forgotten;
mod identity;
mod impostors;
mod kept_shares;
mod many_requests;
mod many_shares;
mod own_copies;
mod places;
mod reach;

use crate::common::names::group;
use crate::common::person::{Person, Sheet};
use crate::common::relay::Relay;
use crate::common::room::Room;
use crate::common::subject::bytes_of;
use crate::common::tracker::cluster;
use crate::common::wait::wait_until;
use crate::common::wiretap::Wiretap;
use groupshare::client::app::node::OwnAddresses;
use groupshare::client::app::share;
use groupshare::client::rpc::error::RpcError;
use groupshare::tracker::presence::ClientKey;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::codec::List;
use groupshare::wire::connection::TimedStream;
use groupshare::wire::contact::Interface;
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::handshake;
use parking_lot::Mutex;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// A tracker that accepts every client and then sends nothing, as if it hung. Its thread ends with the test's process.
fn silent_tracker() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let cluster_key = cluster();
        let mut held = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let mut timed = TimedStream::new(&stream, HANDSHAKE_DEADLINE);
            let accepted =
                handshake::tracker_accepts(&mut timed, cluster_key.static_key(), &cluster_key.link_key(), || ());
            held.push((accepted.is_ok(), stream));
        }
    });
    addr
}

impl Sheet {
    fn holds(&self, text: &str) -> bool {
        self.0.lock().contains(text)
    }
}

impl Person {
    /// Starts a client with its state and files in `folder`.
    fn sit_down(tracker: SocketAddr, folder: &Path) -> Self {
        Self::sit_down_among(vec![tracker], folder)
    }

    /// The same for a client that others reach only at this address, through a relay to its listener.
    fn sit_down_behind(tracker: SocketAddr, folder: &Path, listener: TcpListener, reached_at: SocketAddr) -> Self {
        // Trackers tell no client of an address that no machine has (RFC 5737).
        let elsewhere = Interface { ip: [203, 0, 113, 7].into(), prefix: 24 };
        let own_addresses: OwnAddresses = Box::new(move |_| List::first_of(vec![elsewhere]));
        Self::start(vec![tracker], folder, listener, Some(reached_at), own_addresses)
    }

    /// Logs in, and waits until the tracker has reached this client behind a wiretap.
    fn log_in_behind(&mut self, room: &Room, name: &str) {
        self.expect(&format!("login {name} pw"), "Login successful\n");
        let core = room.tracker.server.core();
        let user = core.state().user_named(&crate::common::names::user(name)).expect("there");
        let key = ClientKey { user, client: self.node.client };
        wait_until("the tracker finds the client", || {
            core.presence.contact(key).is_some_and(|contact| !contact.proved.is_empty())
        });
    }

    /// Starts a client, makes an account and logs in.
    fn arrive(tracker: SocketAddr, folder: &Path, name: &str) -> Self {
        let mut person = Self::sit_down(tracker, folder);
        person.expect(&format!("create_user {name} pw"), "User created\n");
        person.expect(&format!("login {name} pw"), "Login successful\n");
        person
    }

    fn expect(&mut self, line: &str, said: &str) {
        assert_eq!(self.types(line).as_deref(), Ok(said), "{line}");
    }

    fn refused(&mut self, line: &str, with: &str) {
        let why = self.types(line).expect_err(line);
        assert!(why.contains(with) && !why.contains('\n'), "{line}: {why}");
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.join(name), bytes).expect("room");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).expect(name)
    }

    fn sees(&self, text: &str) {
        wait_until(text, || self.output.holds(text) || self.events.holds(text));
    }
}

impl Room {
    fn person(&self, name: &str) -> Person {
        Person::arrive(self.tracker.addr, &self.place(name), name)
    }

    /// Alice owns the group lab, and these users are members too.
    fn group_of(&self, names: &[&str]) -> (Person, Vec<Person>) {
        let mut alice = self.person("alice");
        alice.expect("create_group lab", "Group created\n");
        let members = names.iter().map(|name| {
            let mut member = self.person(name);
            member.expect("join_group lab", "Request sent\n");
            alice.expect(&format!("accept_request lab {name}"), "Request accepted\n");
            member.sees("You are a member of lab now");
            // The key comes with a separate push.
            let lab = group("lab");
            wait_until("the key", || member.node.keyring.group_named(&lab).is_some());
            member
        });
        let members = members.collect();
        (alice, members)
    }
}

#[test]
fn a_file_goes_to_a_member_who_shares_it_from_then_on() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob", "carol"]);
    let data = bytes_of(3_000_000, 1);
    alice.file("my film.bin", &data);
    alice.expect("upload_file 'my film.bin' lab", "Uploaded\n");
    let [bob, carol] = &mut others[..] else { panic!("two members") };
    bob.expect("download_file lab 'my film.bin' .", "Downloading...\n");
    bob.sees("Download completed: [lab] my film.bin");
    assert!(bob.read("my film.bin") == data);
    bob.expect("show_downloads", "[C] [lab] my film.bin  3.0 MB; alice 3.0 MB (100 %)\n");
    let listed = bob.types("list_files lab").expect("listed");
    assert!(listed.starts_with("my film.bin  3.0 MB, 2 members online with it, sha1 "), "{listed}");
    // Alice leaves, and Bob still has it.
    drop(alice);
    carol.expect("download_file lab 'my film.bin' copy.bin", "Downloading...\n");
    carol.sees("Download completed");
    assert!(carol.read("copy.bin") == data);
}

#[test]
fn shares_come_back_at_the_next_login_from_whatever_port() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let data = bytes_of(1_200_000, 2);
    alice.file("f", &data);
    alice.expect("upload_file lab f", "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    let bob = &mut others[0];
    let offline = bob.types("list_files lab").expect("listed");
    assert!(offline.contains("no member online with it"), "{offline}");
    bob.expect("download_file lab f .", "Downloading...\n");
    // In effect another process of Alice: another port, and the same state.
    drop(alice);
    let mut alice = Person::sit_down(room.tracker.addr, &room.place("alice"));
    alice.expect("login alice pw", "Login successful\n");
    bob.sees("Download completed");
    assert!(bob.read("f") == data);
}

#[test]
fn a_file_in_two_groups_stays_in_the_one_that_is_not_left() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let bob = &mut others[0];
    bob.expect("create_group attic", "Group created\n");
    bob.file("f", &bytes_of(600_000, 3));
    bob.expect("upload_file f lab", "Uploaded\n");
    bob.expect("upload_file f attic", "Uploaded\n");
    bob.expect("leave_group lab", "Left the group\n");
    alice.expect("list_files lab", "No files shared in this group yet; share one with upload_file\n");
    let kept = bob.types("list_files attic").expect("listed");
    assert!(kept.starts_with("f  600.0 kB, 1 member online with it"), "{kept}");
    bob.refused("list_files lab", "You are not a member of this group");
}

#[test]
fn a_removed_member_stops_sharing_and_downloading_at_once() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob", "carol"]);
    let [bob, carol] = &mut others[..] else { panic!("two members") };
    bob.file("f", &bytes_of(600_000, 4));
    bob.expect("upload_file f lab", "Uploaded\n");
    alice.file("g", &bytes_of(600_000, 5));
    alice.expect("upload_file g lab", "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    bob.expect("download_file lab g .", "Downloading...\n");
    alice.expect("login alice pw", "Login successful\n");
    bob.sees("Download completed");
    alice.expect("remove_member lab bob", "Member removed\n");
    bob.sees("You were removed from lab");
    wait_until("bob's shares end", || bob.login.session().is_some_and(|session| session.slot().shares().is_empty()));
    let left = carol.types("list_files lab").expect("listed");
    assert!(left.starts_with("g  600.0 kB") && left.lines().count() == 1, "{left}");
    bob.refused("download_file lab g again", "You are not a member of this group");
}

#[test]
fn stop_share_ends_it_on_every_client_of_the_user() {
    let room = Room::new();
    let (mut alice, _others) = room.group_of(&["bob"]);
    let mut laptop = Person::sit_down(room.tracker.addr, &room.place("laptop"));
    laptop.expect("login alice pw", "Login successful\n");
    for client in [&mut alice, &mut laptop] {
        client.file("f", &bytes_of(700_000, 6));
        client.expect("upload_file f lab", "Uploaded\n");
    }
    let listed = alice.types("list_files lab").expect("listed");
    assert!(listed.contains("2 members online with it") || listed.contains("online"), "{listed}");
    laptop.expect("stop_share lab f", "Stopped sharing\n");
    alice.expect("list_files lab", "No files shared in this group yet; share one with upload_file\n");
    alice.sees(
        "f is not shared in lab any more: you have stopped it on another client, or shared another version there",
    );
    wait_until("the other client", || alice.login.session().is_some_and(|session| session.slot().shares().is_empty()));
    assert!(!laptop.events.holds("not shared"), "the user knows");
    alice.refused("stop_share lab f", "File does not exist in this group");
}

#[test]
fn a_share_that_ends_just_after_a_logout_brings_no_complaint() {
    let room = Room::new();
    let (mut alice, _others) = room.group_of(&[]);
    alice.file("f", b"contents");
    alice.expect("upload_file f lab", "Uploaded\n");
    let session = alice.login.session().expect("logged in");
    alice.expect("logout", "Logout successful\n");
    alice.events.take();
    // Like on the thread that hears of it, which still has the earlier session.
    share::forget(&session, |_| true);
    assert_eq!(alice.events.take(), "");
}

#[test]
fn a_changed_file_is_not_served_and_its_owner_is_told() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    alice.file("f", &bytes_of(2_000_000, 7));
    alice.expect("upload_file f lab", "Uploaded\n");
    alice.file("f", &bytes_of(2_000_000, 8));
    others[0].expect("download_file lab f .", "Downloading...\n");
    alice.sees("has changed since it was shared");
    assert!(!others[0].folder.join("f").exists());
    // The message comes once, though several connections may have noticed.
    wait_until("nothing is given", || alice.node.catalog.list().is_empty());
    assert_eq!(alice.events.take().matches("f is not given to others in lab").count(), 1);
    // A new share replaces the version, since nobody else has it.
    alice.expect("upload_file f lab", "Uploaded\n");
    others[0].expect("cancel_download lab f", "Cancelled\n");
    others[0].expect("download_file lab f .", "Downloading...\n");
    others[0].sees("Download completed");
    assert!(others[0].read("f") == bytes_of(2_000_000, 8));
}

#[test]
fn a_download_can_be_paused_resumed_and_cancelled() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let data = bytes_of(1_500_000, 9);
    alice.file("f", &data);
    alice.expect("upload_file f lab", "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    let bob = &mut others[0];
    bob.expect("download_file lab f .", "Downloading...\n");
    bob.refused("download_file lab f other", "is being downloaded already");
    let running = |bob: &mut Person| bob.types("show_downloads").expect("shown").contains("waiting for members");
    wait_until("it waits for members", || running(bob));
    bob.expect("pause_download lab f", "Paused\n");
    assert!(bob.types("show_downloads").expect("shown").contains("paused"));
    bob.refused("pause_download lab f", "paused already");
    // It stays paused, even over a login.
    bob.expect("logout", "Logout successful\n");
    bob.expect("login bob pw", "Login successful\n");
    wait_until("it is there again", || bob.types("show_downloads").expect("shown").contains("paused"));
    bob.expect("resume_download lab f", "Downloading...\n");
    wait_until("it runs", || running(bob));
    bob.expect("cancel_download lab f", "Cancelled\n");
    bob.expect("show_downloads", "No downloads yet\n");
    assert_eq!(fs::read_dir(&bob.folder).expect("there").count(), 1, "only the state is left");
    bob.refused("resume_download lab f", "No download of f from lab");
}

#[test]
fn the_bytes_members_delivered_before_a_pause_still_count_after_it() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    alice.file("f", &bytes_of(3_000_000, 9));
    alice.types("limit upload 300k").expect("set");
    alice.expect("upload_file f lab", "Uploaded\n");
    let bob = &mut others[0];
    bob.expect("download_file lab f .", "Downloading...\n");
    // The pieces from each member stand behind a semicolon.
    let shown = |bob: &mut Person| bob.types("show_downloads").expect("shown");
    let delivered = |line: &str| line.split_once("; ").map(|(_, members)| members.trim_end().to_owned());
    wait_until("a piece is here", || delivered(&shown(bob)).is_some_and(|members| !members.contains(" 0 B")));
    bob.expect("pause_download lab f", "Paused\n");
    let before = delivered(&shown(bob));
    alice.expect("logout", "Logout successful\n");
    bob.expect("resume_download lab f", "Downloading...\n");
    wait_until("it runs", || shown(bob).contains("waiting for members"));
    assert_eq!(delivered(shown(bob).lines().next().expect("a line")), before);
}

#[test]
fn a_download_that_cannot_go_on_at_a_login_is_paused_until_it_can() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let data = bytes_of(1_500_000, 11);
    alice.file("f", &data);
    alice.expect("upload_file f lab", "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    let bob = &mut others[0];
    bob.expect("download_file lab f .", "Downloading...\n");
    bob.expect("logout", "Logout successful\n");
    alice.expect("login alice pw", "Login successful\n");
    alice.expect("stop_share lab f", "Stopped sharing\n");
    bob.expect("login bob pw", "Login successful\n");
    bob.sees("Downloading f from lab does not go on: File does not exist in this group");
    assert!(bob.types("show_downloads").expect("shown").contains("paused"));
    alice.expect("upload_file f lab", "Uploaded\n");
    bob.expect("resume_download lab f", "Downloading...\n");
    bob.sees("Download completed");
    assert!(bob.read("f") == data);
}

#[test]
fn a_download_of_a_version_that_was_replaced_goes_on_with_the_new_one() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    alice.file("f", &bytes_of(1_500_000, 12));
    alice.expect("upload_file f lab", "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    let bob = &mut others[0];
    bob.expect("download_file lab f .", "Downloading...\n");
    bob.expect("logout", "Logout successful\n");
    alice.file("f", &bytes_of(1_500_000, 13));
    alice.expect("login alice pw", "Login successful\n");
    alice.sees("f is not given to others in lab: ");
    alice.expect("upload_file f lab", "Uploaded\n");
    bob.expect("login bob pw", "Login successful\n");
    bob.sees("Download completed");
    assert!(bob.read("f") == bytes_of(1_500_000, 13));
}

#[test]
fn a_downloader_hears_once_each_time_that_nobody_shares_the_file_any_more() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    alice.file("f", &bytes_of(3_000_000, 3));
    alice.expect("upload_file f lab", "Uploaded\n");
    alice.types("limit upload 1k").expect("set");
    let bob = &mut others[0];
    bob.expect("download_file lab f .", "Downloading...\n");
    alice.expect("stop_share lab f", "Stopped sharing\n");
    bob.sees("Downloading f from lab waits for members who have parts of it: it is not shared any more");
    // A member shares it again, and some time later stops.
    bob.events.take();
    alice.expect("upload_file f lab", "Uploaded\n");
    wait_until("bob goes on", || bob.types("show_downloads").is_ok_and(|shown| shown.contains("1 member")));
    alice.file("f", &bytes_of(3_000_000, 4));
    alice.expect("upload_file f lab", "Uploaded\n");
    bob.sees("Downloading f from lab waits for members who have parts of it: it is shared in another version now");
    alice.file("f", &bytes_of(3_000_000, 3));
    alice.expect("upload_file f lab", "Uploaded\n");
    alice.types("limit upload none").expect("set");
    bob.sees("Download completed: [lab] f");
    assert_eq!(bob.events.take().matches("waits for members").count(), 1);
}

#[test]
fn a_download_goes_on_by_itself_after_the_client_has_ended() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let data = bytes_of(1_500_000, 10);
    alice.file("f", &data);
    alice.expect("upload_file f lab", "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    others[0].expect("download_file lab f .", "Downloading...\n");
    others.clear();
    let mut bob = Person::sit_down(room.tracker.addr, &room.place("bob"));
    bob.expect("login bob pw", "Login successful\n");
    bob.sees("Downloading f from lab goes on");
    alice.expect("login alice pw", "Login successful\n");
    bob.sees("Download completed");
    assert!(bob.read("f") == data);
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    alice.file("f", &bytes_of(10, 11));
    alice.expect("upload_file f lab", "Uploaded\n");
    let bob = &mut others[0];
    bob.file("f", b"mine");
    bob.file("x.part", b"somebody's");
    bob.refused("download_file lab f .", "is there already");
    bob.refused("download_file lab f f", "is there already");
    bob.refused("download_file lab f x", "x.part");
    bob.refused("download_file lab f nowhere/f", "nowhere");
    assert_eq!((bob.read("f"), bob.read("x.part")), (b"mine".to_vec(), b"somebody's".to_vec()));
}

#[test]
fn two_downloads_of_one_client_do_not_go_to_one_place() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    for (name, seed) in [("f", 11), ("g", 12)] {
        alice.file(name, &bytes_of(10, seed));
        alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
    }
    alice.expect("logout", "Logout successful\n");
    let bob = &mut others[0];
    bob.expect("download_file lab f mine", "Downloading...\n");
    bob.refused("download_file lab g mine", "/mine runs already; wait for it or choose another destination");
    alice.expect("login alice pw", "Login successful\n");
    bob.sees("Download completed");
    assert_eq!(bob.read("mine"), bytes_of(10, 11));
}

/// Commands that need a login.
const NEEDS_LOGIN: [&str; 20] = [
    "logout",
    "create_group g",
    "join_group g",
    "leave_group g",
    "list_requests g",
    "accept_request g u",
    "reject_request g u",
    "remove_member g u",
    "list_members g",
    "list_groups",
    "list_files g",
    "upload_file f g",
    "download_file g f .",
    "show_downloads",
    "stop_share g f",
    "pause_download g f",
    "resume_download g f",
    "cancel_download g f",
    "wait",
    "change_password a b",
];

#[test]
fn every_command_says_what_is_wrong_in_one_line() {
    let room = Room::new();
    let mut nobody = Person::sit_down(room.tracker.addr, &room.place("nobody"));
    for line in NEEDS_LOGIN {
        nobody.refused(line, "Please login first");
    }
    nobody.refused("login alice pw", "Invalid username or password");
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let bob = &mut others[0];
    let mut carol = room.person("carol");
    carol.refused("login carol pw", "Already logged in as carol");
    carol.refused("create_user alice pw", "log");
    carol.refused("create_group lab", "Group already exists");
    carol.refused("create_group a~2", "~");
    for command in [
        "join_group nope",
        "leave_group nope",
        "list_requests nope",
        "accept_request nope bob",
        "reject_request nope bob",
        "remove_member nope bob",
        "list_members nope",
        "list_files nope",
        "stop_share nope f",
        "download_file nope f .",
    ] {
        carol.refused(command, "Group does not exist");
    }
    for command in
        ["leave_group lab", "list_members lab", "list_files lab", "stop_share lab f", "download_file lab f ."]
    {
        carol.refused(command, "You are not a member of this group");
    }
    for command in
        ["list_requests lab", "accept_request lab carol", "reject_request lab carol", "remove_member lab alice"]
    {
        bob.refused(command, "You are not the owner of this group");
    }
    bob.refused("join_group lab", "Already a member");
    carol.expect("join_group lab", "Request sent\n");
    carol.refused("join_group lab", "Join request already pending");
    alice.expect("list_requests lab", "carol\n");
    alice.refused("accept_request lab nobody", "User does not exist");
    alice.refused("accept_request lab bob", "Already a member");
    alice.refused("remove_member lab carol", "not a member");
    alice.expect("reject_request lab carol", "Request rejected\n");
    carol.sees("Your request to join lab was turned down");
    alice.expect("list_requests lab", "No pending requests\n");
    alice.refused("download_file lab nofile .", "File does not exist in this group");
    alice.refused("stop_share lab nofile", "File does not exist in this group");
    alice.refused("upload_file nofile lab", "does not exist");
    alice.refused("upload_file / lab", "/ has no name under which it could be shared; share what lies in it");
    alice.refused("upload_file state nope", "Group does not exist");
    alice.refused("wait lab nofile", "No download of nofile");
    bob.file("f", b"one");
    alice.file("f", b"two");
    bob.expect("upload_file f lab", "Uploaded\n");
    alice.refused("upload_file f lab", "Another file is shared under this name");
    alice.refused("stop_share lab f", "You are not sharing this file");
    alice.refused("change_password wrong new", "Invalid username or password");
}

#[test]
fn the_next_member_owns_a_group_whose_owner_has_left() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob", "carol"]);
    alice.expect("leave_group lab", "Left the group\n");
    let [bob, carol] = &mut others[..] else { panic!("two members") };
    bob.expect("list_requests lab", "No pending requests\n");
    carol.refused("list_requests lab", "You are not the owner of this group");
    let listed = carol.types("list_groups").expect("listed");
    assert_eq!(listed, "lab  2 members, owner bob, you are a member\n");
}

#[test]
fn a_client_comes_back_to_a_tracker_that_was_away_without_a_login() {
    let room = Room::new();
    let (alice, mut others) = room.group_of(&["bob"]);
    drop(alice);
    let relay = Relay::to(room.tracker.addr, |_, _, _| {});
    let mut alice = Person::sit_down(relay.addr, &room.place("alice"));
    alice.expect("login alice pw", "Login successful\n");
    let data = bytes_of(900_000, 12);
    alice.file("f", &data);
    alice.expect("upload_file f lab", "Uploaded\n");
    relay.cut();
    alice.sees("Connected to the tracker");
    let bob = &mut others[0];
    bob.expect("download_file lab f .", "Downloading...\n");
    bob.sees("Download completed");
    assert!(bob.read("f") == data);
}

/// Whether another client came after the tracker, which has tested this client.
fn has_come(wiretap: &Wiretap) -> bool {
    wiretap.passed().iter().any(|(connection, ..)| *connection > 0)
}

#[test]
fn without_a_tracker_commands_say_so_and_transfers_go_on() {
    let room = Room::new();
    let (alice, mut others) = room.group_of(&["bob"]);
    drop(alice);
    // Alice is behind a relay, which holds her pieces back until the tracker is gone.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let relay = Wiretap::to(listener.local_addr().expect("bound"));
    let mut alice = Person::sit_down_behind(room.tracker.addr, &room.place("alice"), listener, relay.addr);
    alice.log_in_behind(&room, "alice");
    let data = bytes_of(3_000_000, 13);
    alice.file("f", &data);
    alice.expect("upload_file f lab", "Uploaded\n");
    relay.hold();
    let bob = &mut others[0];
    bob.expect("download_file lab f .", "Downloading...\n");
    wait_until("bob connects to alice", || has_come(&relay));
    let Room { tracker, folder: _folder } = room;
    drop(tracker);
    wait_until("the loss is seen", || bob.types("list_groups").is_err());
    bob.refused("list_groups", "No tracker can be reached");
    relay.release();
    bob.sees("Download completed");
    assert!(bob.read("f") == data);
}

#[test]
fn a_download_that_is_gone_before_a_tracker_could_hear_of_it_is_missed_like_any_share() {
    let room = Room::new();
    drop(room.group_of(&["bob"]));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let pieces = Wiretap::to(listener.local_addr().expect("bound"));
    let mut alice = Person::sit_down_behind(room.tracker.addr, &room.place("alice"), listener, pieces.addr);
    let tracker = Relay::to(room.tracker.addr, |_, _, _| {});
    let mut bob = Person::sit_down(tracker.addr, &room.place("bob"));
    alice.log_in_behind(&room, "alice");
    bob.expect("login bob pw", "Login successful\n");
    alice.file("f", &bytes_of(700_000, 14));
    alice.expect("upload_file f lab", "Uploaded\n");
    pieces.hold();
    bob.expect("download_file lab f .", "Downloading...\n");
    wait_until("bob connects to alice", || has_come(&pieces));
    tracker.block();
    wait_until("the loss is seen", || bob.types("list_groups").is_err());
    pieces.release();
    bob.sees("Download completed");
    let (place, away) = (bob.folder.join("f"), bob.folder.join("away"));
    fs::rename(&place, &away).expect("it is there");
    tracker.unblock();
    bob.sees("f is not given to others in lab: ");
    bob.sees("f is no longer there; once it is back, it is shared again by itself");
    fs::rename(&away, &place).expect("moved");
    bob.sees("f is given to others in lab again");
}

#[test]
fn a_user_accepted_while_logged_out_hears_of_it_once_at_the_next_login() {
    let room = Room::new();
    let (mut alice, _) = room.group_of(&[]);
    let mut bob = room.person("bob");
    bob.expect("join_group lab", "Request sent\n");
    bob.expect("logout", "Logout successful\n");
    alice.expect("accept_request lab bob", "Request accepted\n");
    bob.expect("login bob pw", "Login successful\n");
    bob.sees("You are a member of lab now");
    let user = crate::common::names::user("bob");
    wait_until("the notice is read", || {
        let state = room.tracker.server.core().state();
        let bob = state.user_named(&user).expect("there");
        state.notices(bob, 10).is_empty()
    });
    bob.events.take();
    bob.expect("logout", "Logout successful\n");
    bob.expect("login bob pw", "Login successful\n");
    bob.expect("list_members lab", "alice  online, owner\nbob  online\n");
    assert_eq!(bob.events.take(), "");
}

#[test]
fn events_from_before_the_end_of_a_download_are_told_before_that_end() {
    let room = Room::new();
    drop(room.group_of(&["bob"]));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let pieces = Wiretap::to(listener.local_addr().expect("bound"));
    let mut alice = Person::sit_down_behind(room.tracker.addr, &room.place("alice"), listener, pieces.addr);
    let mut bob = Person::sit_down(room.tracker.addr, &room.place("bob"));
    alice.log_in_behind(&room, "alice");
    bob.expect("login bob pw", "Login successful\n");
    alice.file("f", &bytes_of(700_000, 15));
    alice.expect("upload_file f lab", "Uploaded\n");
    let mut carol = room.tracker.user("carol");
    let clubs: Vec<String> = (0..10).map(|number| format!("club-{number}")).collect();
    for club in &clubs {
        carol.create_group(club);
        bob.expect(&format!("join_group {club}"), "Request sent\n");
    }
    pieces.hold();
    bob.expect("download_file lab f .", "Downloading...\n");
    wait_until("bob connects to alice", || has_come(&pieces));
    // While the test holds these locks, no messages and no outcomes of commands and downloads appear.
    let (messages, ends) = (bob.events.0.lock(), bob.output.0.lock());
    clubs.iter().for_each(|club| carol.accept(club, "bob"));
    assert_eq!(bob.node.link.call(&Request::Heartbeat {}), Ok(Reply::Done {}), "all of it has come in");
    pieces.release();
    wait_until("the file is there", || bob.folder.join("f").exists());
    let session = bob.login.session().expect("logged in");
    session.engine().remove(&session.downloads().running()[0]);
    drop(messages);
    for club in &clubs {
        let told = format!("You are a member of {club} now");
        wait_until(&told, || bob.events.holds(&told));
    }
    drop(ends);
    bob.sees("Download completed");
}

#[test]
fn a_client_ends_at_once_while_its_tracker_does_not_shake_hands() {
    let folder = tempfile::tempdir().expect("a folder");
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let begun = Instant::now();
    let person = Person::sit_down(deaf.local_addr().expect("bound"), folder.path());
    let _connected = deaf.accept().expect("a client");
    drop(person);
    assert!(begun.elapsed() < HANDSHAKE_DEADLINE, "{:?}", begun.elapsed());
}

#[test]
fn a_client_ends_at_once_while_its_tracker_owes_an_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let person = Person::sit_down(silent_tracker(), folder.path());
    wait_until("connected", || person.node.link.tracker().is_some());
    let (node, begun) = (person.node.clone(), Instant::now());
    let asking = std::thread::spawn(move || node.announce().is_err());
    drop(person);
    assert!(asking.join().expect("no panic"));
    assert!(begun.elapsed() < HANDSHAKE_DEADLINE, "{:?}", begun.elapsed());
}

#[test]
fn a_tracker_that_hangs_does_not_keep_a_client_from_the_next() {
    let room = Room::new();
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let trackers = vec![deaf.local_addr().expect("bound"), room.tracker.addr];
    let mut alice = Person::sit_down_among(trackers, &room.place("alice"));
    alice.expect("create_user alice pw", "User created\n");
}

#[test]
fn the_next_tracker_answers_a_request_that_a_silent_one_does_not() {
    let room = Room::new();
    let alice = Person::sit_down_among(vec![silent_tracker(), room.tracker.addr], &room.place("alice"));
    wait_until("connected", || alice.node.link.tracker().is_some());
    assert_eq!(alice.node.link.call(&Request::Heartbeat {}), Ok(Reply::Done {}));
}

#[test]
fn a_user_who_cancels_a_request_gets_the_prompt_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let person = Person::sit_down(silent_tracker(), folder.path());
    wait_until("connected", || person.node.link.tracker().is_some());
    let (node, begun) = (person.node.clone(), Instant::now());
    let asking = std::thread::spawn(move || node.link.for_user(|| node.announce()));
    wait_until("the request has begun when it is cancelled", || {
        person.node.link.cancel();
        asking.is_finished()
    });
    assert_eq!(asking.join().expect("no panic"), Err(RpcError::Cancelled));
    assert!(begun.elapsed() < HANDSHAKE_DEADLINE, "{:?}", begun.elapsed());
}

#[test]
fn a_cancelled_command_disturbs_no_request_beside_the_prompt() {
    let room = Room::new();
    let silent = silent_tracker();
    let person = Person::sit_down_among(vec![silent, room.tracker.addr], &room.place("alice"));
    wait_until("connected", || person.node.link.tracker().is_some());
    let node = person.node.clone();
    let beside = std::thread::spawn(move || node.link.call(&Request::Heartbeat {}));
    let link = &person.node.link;
    let called = link.for_user(|| {
        link.cancel();
        link.call(&Request::Heartbeat {})
    });
    assert_eq!(called, Err(RpcError::Cancelled), "the command is over");
    assert_eq!(link.tracker(), Some(silent), "the user was owed nothing, so it does not count as lost");
    let node = person.node.clone();
    let asking = std::thread::spawn(move || node.link.for_user(|| node.link.call(&Request::Heartbeat {})));
    wait_until("the request has begun when it is cancelled", || {
        person.node.link.cancel();
        asking.is_finished()
    });
    assert_eq!(asking.join().expect("no panic"), Err(RpcError::Cancelled));
    assert_eq!(beside.join().expect("no panic"), Ok(Reply::Done {}), "the next tracker answers");
}
