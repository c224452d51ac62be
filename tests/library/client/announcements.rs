//! A client announces only what it has. A download that ended without its file does not count, and nobody waits for it.

use super::places::{SHARES, listed, make, shown};
use super::{Person, Room, has_come};
use crate::common::relay::Relay;
use crate::common::subject::bytes_of;
use crate::common::wait::wait_until;
use crate::common::wiretap::Wiretap;
use std::fs;
use std::net::TcpListener;

/// Bob has announced pieces of this. His download fails, since another entry has its name.
fn fails(alice: &mut Person, bob: &mut Person, name: &str) {
    make(&alice.folder, name, &bytes_of(1_500_000, 1));
    alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    bob.expect(&format!("download_file lab {name} ."), "Downloading...\n");
    wait_until("it waits", || shown(bob, name).contains("waiting for members"));
    fs::write(bob.folder.join(name), "in the way").expect("room");
    alice.expect("login alice pw", "Login successful\n");
    bob.sees(&format!("Download failed: [lab] {name}"));
}

#[test]
fn a_failed_download_is_not_counted_and_not_waited_for_whether_it_is_cancelled_or_not() {
    for name in SHARES {
        let room = Room::new();
        let (mut alice, mut others) = room.group_of(&["bob", "carol"]);
        let [bob, carol] = &mut others[..] else { panic!("two members") };
        fails(&mut alice, bob, name);
        let online = |person: &mut Person, count: &str| {
            let listed = listed(person, name);
            assert!(listed.contains(count), "{listed}");
        };
        online(bob, "1 member online with it");
        alice.expect("logout", "Logout successful\n");
        online(carol, "no member online with it");
        online(bob, "no member online with it");
        carol.expect(&format!("download_file lab {name} ."), "Downloading...\n");
        wait_until("carol waits", || shown(carol, name).contains("waiting for members"));
        bob.expect(&format!("cancel_download lab {name}"), "Cancelled\n");
        online(carol, "no member online with it");
        alice.expect("login alice pw", "Login successful\n");
        carol.sees(&format!("Download completed: [lab] {name}"));
        online(carol, "2 members online with it");
    }
}

#[test]
fn a_failed_download_can_be_resumed_as_soon_as_it_is_told_and_is_announced_again() {
    for name in SHARES {
        let room = Room::new();
        let (mut alice, mut others) = room.group_of(&["bob"]);
        let bob = &mut others[0];
        fails(&mut alice, bob, name);
        fs::remove_file(bob.folder.join(name)).expect("there");
        bob.expect(&format!("resume_download lab {name}"), "Downloading...\n");
        bob.sees(&format!("Download completed: [lab] {name}"));
        alice.expect("logout", "Logout successful\n");
        assert!(listed(bob, name).contains("1 member online with it"));
    }
}

#[test]
fn a_download_is_counted_while_it_runs_and_no_longer_whatever_ends_it() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob", "carol"]);
    let [bob, carol] = &mut others[..] else { panic!("two members") };
    make(&alice.folder, "album", &bytes_of(1_500_000, 1));
    alice.expect("upload_file album lab", "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    // A piece is here before any member is online: it comes from a folder that is shared elsewhere.
    bob.expect("create_group attic", "Group created\n");
    make(&bob.folder, "album", &bytes_of(1_500_000, 1));
    bob.expect("upload_file album attic", "Uploaded\n");
    fs::remove_file(bob.folder.join("album/1")).expect("there");
    bob.expect("download_file lab album copy", "Downloading...\n");
    let mut counted = |count: &str| wait_until(count, || listed(carol, "album").contains(count));
    let (one, none) = ("1 member online with it", "no member online with it");
    counted(one);
    for (end, said, begin) in [
        ("pause_download lab album", "Paused\n", "resume_download lab album"),
        ("logout", "Logout successful\n", "login bob pw"),
    ] {
        bob.expect(end, said);
        counted(none);
        bob.types(begin).expect(begin);
        counted(one);
    }
    let mut laptop = Person::sit_down(room.tracker.addr, &room.place("laptop"));
    laptop.expect("login bob pw", "Login successful\n");
    laptop.expect("change_password pw pw2", "Password changed\n");
    bob.sees("The session was ended, by you elsewhere or by the operator");
    counted(none);
    laptop.expect("logout", "Logout successful\n");
    bob.expect("login bob pw2", "Login successful\n");
    counted(one);
    bob.expect("cancel_download lab album", "Cancelled\n");
    counted(none);
}

/// Alice gives a share to bob. He has begun to take it, and has lost the tracker since. No piece has come yet.
struct Outage {
    room: Room,
    /// Between bob and alice. It holds everything back.
    pieces: Wiretap,
    /// Between bob and the tracker. It is blocked.
    tracker: Relay,
    alice: Person,
    bob: Person,
}

impl Outage {
    fn begin(name: &str) -> Self {
        let room = Room::new();
        drop(room.group_of(&["bob", "carol"]));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let pieces = Wiretap::to(listener.local_addr().expect("bound"));
        let mut alice = Person::sit_down_behind(room.tracker.addr, &room.place("alice"), listener, pieces.addr);
        let tracker = Relay::to(room.tracker.addr, |_, _, _| {});
        let mut bob = Person::sit_down(tracker.addr, &room.place("bob"));
        alice.log_in_behind(&room, "alice");
        bob.expect("login bob pw", "Login successful\n");
        make(&alice.folder, name, &bytes_of(1_500_000, 1));
        alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
        pieces.hold();
        bob.expect(&format!("download_file lab {name} ."), "Downloading...\n");
        wait_until("bob connects to alice", || has_come(&pieces));
        tracker.block();
        wait_until("the loss is seen", || bob.types("list_groups").is_err());
        Self { room, pieces, tracker, alice, bob }
    }

    fn carol(&self) -> Person {
        let mut carol = Person::sit_down(self.room.tracker.addr, &self.room.place("carol"));
        carol.expect("login carol pw", "Login successful\n");
        carol
    }
}

#[test]
fn a_download_that_fails_while_no_tracker_is_reached_is_not_counted_once_one_is() {
    let outage = Outage::begin("film");
    let mut carol = outage.carol();
    let Outage { room: _room, pieces, tracker, mut alice, mut bob } = outage;
    fs::write(bob.folder.join("film"), "in the way").expect("room");
    pieces.release();
    bob.sees("Download failed: [lab] film");
    alice.expect("logout", "Logout successful\n");
    tracker.unblock();
    wait_until("bob is back", || bob.types("list_groups").is_ok());
    wait_until("nobody has it", || listed(&mut carol, "film").contains("no member online with it"));
}

#[test]
fn a_download_changed_while_no_tracker_is_reached_is_not_announced_as_right() {
    for name in SHARES {
        let outage = Outage::begin(name);
        let mut carol = outage.carol();
        let Outage { room: _room, pieces, tracker, mut alice, bob } = outage;
        pieces.release();
        bob.sees(&format!("Download completed: [lab] {name}"));
        let changed = bob.folder.join(if name == "album" { "album/sub/2" } else { name });
        let right = fs::read(&changed).expect("there");
        fs::write(&changed, vec![7; right.len()]).expect("room");
        alice.expect("logout", "Logout successful\n");
        tracker.unblock();
        bob.sees(&format!("{} has changed since it was shared; upload_file shares it anew", changed.display()));
        carol.expect(&format!("download_file lab {name} ."), "Downloading...\n");
        fs::write(&changed, right).expect("room");
        carol.sees(&format!("Download completed: [lab] {name}"));
    }
}

#[test]
fn a_download_completed_while_no_tracker_is_reached_is_shared_at_next_login() {
    for name in SHARES {
        let outage = Outage::begin(name);
        let Outage { room, pieces, tracker, mut alice, bob } = outage;
        pieces.release();
        bob.sees(&format!("Download completed: [lab] {name}"));
        drop(bob);
        tracker.unblock();
        let mut bob = Person::sit_down(tracker.addr, &room.place("bob"));
        bob.expect("login bob pw", "Login successful\n");
        wait_until("bob has it too", || listed(&mut alice, name).contains("2 members online with it"));
    }
}
