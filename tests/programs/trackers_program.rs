//! Several trackers as programs: clients spread over them, each tracker killed under load, one cut off, and the
//! messages to their operator.

use crate::common::client::Client;
use crate::common::deadline::LONG;
use crate::common::group_maker::{GroupMaker, all_groups};
use crate::common::installation::{Installation, linked, same_digests, standing, tracker_in};
use crate::common::membership::all_pieces;
use crate::common::names::{command, file, group, user};
use crate::common::program::Program;
use crate::common::relay::Relay;
use crate::common::wait::wait_until;
use crossbeam_channel::unbounded;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::Code;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The trackers of an installation. All of them run and know each other.
fn all_of(installation: &Installation) -> Vec<Program> {
    let count = installation.addrs.len();
    let mut trackers: Vec<_> = (1..=count).map(|number| installation.tracker(number)).collect();
    for (number, tracker) in (1..).zip(&mut trackers) {
        for other in (1..=count).filter(|&other| other != number) {
            linked(tracker, other);
        }
    }
    trackers
}

fn arrive(installation: &Installation, name: &str, first: usize, args: &[&str]) -> Program {
    let mut person = installation.person(name, first, args);
    person.told(&format!("create_user {name} {name}-pw"), "User created");
    person.told(&format!("login {name} {name}-pw"), "Login successful");
    person
}

/// Alice owns the group lab, and bob is a member. `first` has the trackers that they try first.
fn alice_and_bob(installation: &Installation, first: [usize; 2], alice_args: &[&str]) -> (Program, Program) {
    let mut alice = arrive(installation, "alice", first[0], alice_args);
    let mut bob = arrive(installation, "bob", first[1], &[]);
    alice.told("create_group lab", "Group created");
    bob.until("join_group lab", "Request sent");
    alice.expect("bob asks to join lab");
    alice.told("accept_request lab bob", "Request accepted");
    bob.expect("You are a member of lab now");
    (alice, bob)
}

#[test]
fn a_change_made_at_one_tracker_is_there_at_the_others() {
    let installation = Installation::of(3);
    let mut trackers = all_of(&installation);
    let (mut alice, mut bob) = alice_and_bob(&installation, [1, 2], &[]);
    fs::write(installation.folder.path().join("alice/notes.txt"), "for all").expect("room");
    alice.told("upload_file notes.txt lab", "Uploaded");
    bob.until("list_files lab", "notes.txt  7 B, 1 member online with it");
    bob.told("download_file lab notes.txt .", "Downloading...");
    bob.expect("Download completed: [lab] notes.txt");
    assert_eq!(fs::read_to_string(installation.folder.path().join("bob/notes.txt")).expect("there"), "for all");
    // The third tracker knows everything, without a change of its own.
    let mut carol = arrive(&installation, "carol", 3, &[]);
    carol.until("list_groups", "lab  2 members, owner alice");
    same_digests(&mut trackers);
    trackers[2].told("status", "users       3, 1 online on 1 clients");
    for tracker in &mut trackers {
        tracker.say("quit");
        assert_eq!(tracker.end().0.code(), Some(0));
    }
}

#[test]
fn nothing_acknowledged_is_missing_or_made_twice_after_each_tracker_was_killed_under_load() {
    let installation = Installation::of(3);
    let mut trackers = all_of(&installation);
    let mut members: Vec<_> = (0..4)
        .map(|n| GroupMaker::new(&mut installation.connect(n % 3 + 1).expect("it listens"), &format!("user{n}"), true))
        .collect();
    same_digests(&mut trackers);
    let (stop, (answered, answers)) = (AtomicBool::new(false), unbounded());
    /// Ends the members' work, also if the test fails.
    struct Work<'a>(&'a AtomicBool);
    impl Drop for Work<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let some = || (0..100).for_each(|_| answers.recv_timeout(LONG).expect("changes are answered"));
    thread::scope(|scope| {
        let _work = Work(&stop);
        for (first, member) in members.iter_mut().enumerate() {
            let (installation, stop, answered) = (&installation, &stop, answered.clone());
            let stay = move || answered.send(()).is_ok();
            scope.spawn(move || member.roam(installation, first, stay, stop));
        }
        for number in [1, 2, 3] {
            some();
            trackers.remove(number - 1).kill();
            some();
            trackers.insert(number - 1, installation.tracker(number));
            for other in (1..=3).filter(|&other| other != number) {
                linked(&mut trackers[number - 1], other);
            }
        }
        some();
    });
    same_digests(&mut trackers);
    for number in 1..=3 {
        let mut client = installation.connect(number).expect("it listens");
        assert!(members[0].resume(&mut client));
        let there = all_groups(&mut client);
        members.iter().for_each(|member| member.verify(&there));
    }
}

#[test]
fn a_tracker_that_was_cut_off_and_took_conflicting_changes_agrees_afterwards() {
    let installation = Installation::of(3);
    let (one, two) = (installation.tracker(1), installation.tracker(2));
    // The third has a machine of its own and reaches the others through relays.
    let relays = [Relay::to(installation.addrs[0], |_, _, _| {}), Relay::to(installation.addrs[1], |_, _, _| {})];
    let far = installation.machine("far", &[relays[0].addr, relays[1].addr, installation.addrs[2]]);
    let three = installation.tracker_on(&far, 3);
    let mut trackers = [one, two, three];
    linked(&mut trackers[2], 1);
    linked(&mut trackers[2], 2);
    linked(&mut trackers[1], 1);

    let at = |number: usize, name: &str| {
        let mut client = installation.connect(number).expect("it listens");
        wait_until("the account is known", || matches!(client.ask(client.login_request(name)), Reply::LoggedIn { .. }));
        client
    };
    let new_at = |number: usize, name: &str| {
        installation.connect(number).expect("it listens").create_user(name);
        at(number, name)
    };
    let mut alice = new_at(1, "alice");
    let mut carol = new_at(2, "carol");
    alice.create_group("lab");
    let (lab, known) = (group("lab"), |reply| !matches!(reply, Reply::Refused { .. }));
    let join = || Request::JoinGroup { command: command(), group: lab.clone() };
    wait_until("the group is known", || known(carol.ask(join())));
    let accept = || Request::AcceptRequest { command: command(), group: lab.clone(), user: user("carol") };
    wait_until("the request is known", || known(alice.ask(accept())));
    same_digests(&mut trackers);
    relays.iter().for_each(Relay::block);
    for tracker in &mut trackers[..2] {
        tracker.expect("tracker: tracker 3 is not connected");
    }

    // The owner leaves here while a request is accepted there.
    let mut dan = new_at(3, "dan");
    dan.join("lab");
    at(3, "alice").accept("lab", "dan");
    alice.leave("lab");
    // The same user and the same group on both sides. Two file names occur on both sides: `notes.txt` by two users,
    // and `plan.txt` by one.
    let mut zoes = [new_at(1, "zoe"), new_at(3, "zoe")];
    zoes.iter_mut().for_each(|zoe| zoe.create_group("club"));
    let mut far_carol = at(3, "carol");
    let both = [("notes.txt", 1), ("plan.txt", 3)];
    for (client, files) in
        [(&mut carol, &both[..]), (&mut dan, &[("notes.txt", 2)]), (&mut far_carol, &[("plan.txt", 4)])]
    {
        for &(name, seed) in files {
            let share = client.offer("lab", name, 3, seed);
            client.hold(share.share, all_pieces());
        }
    }

    relays.iter().for_each(Relay::unblock);
    linked(&mut trackers[2], 1);
    same_digests(&mut trackers);
    let mut carol = at(1, "carol");
    assert_eq!(all_groups(&mut carol), ["club", "club~2", "lab"]);
    (1..=3).for_each(|number| one_file_of_each_user_and_the_longest_member_owns(&mut at(number, "carol")));
}

/// In a group whose owner has left on one side, while the other side has let a user in.
fn one_file_of_each_user_and_the_longest_member_owns(carol: &mut Client) {
    for name in ["notes.txt", "notes.txt~2", "plan.txt"] {
        carol.find_share("lab", name);
    }
    let second = Request::FindShare { group: group("lab"), name: file("plan.txt~2") };
    assert_eq!(carol.refused(second), Code::NoSuchFile, "the later one is a new version");
    let Reply::Members { members, .. } = carol.ask(Request::ListMembers { group: group("lab"), after: None }) else {
        panic!("carol is no member")
    };
    let members: Vec<_> = members.iter().map(|member| (member.name.clone(), member.owner)).collect();
    assert_eq!(members, [(user("carol"), true), (user("dan"), false)]);
}

/// A file for alice, with different bytes at every place.
fn film(installation: &Installation, len: u32) -> Vec<u8> {
    let film: Vec<u8> = (0..len).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(installation.folder.path().join("alice/film.mkv"), &film).expect("room");
    film
}

#[test]
fn a_download_and_the_next_command_do_not_mind_that_the_tracker_is_killed() {
    let installation = Installation::of(3);
    let mut trackers = all_of(&installation);
    // Too slow for the file to arrive before the limit is lifted.
    let (mut alice, mut bob) = alice_and_bob(&installation, [1, 2], &["--upload-limit", "300k"]);
    let film = film(&installation, 24 << 20);
    alice.told("upload_file film.mkv lab", "Uploaded");
    bob.until("list_files lab", "film.mkv  25.2 MB, 1 member online with it");
    bob.told("download_file lab film.mkv .", "Downloading...");
    wait_until("the download has begun", || {
        bob.say("show_downloads");
        let line = bob.expect("[D] [lab] film.mkv").text;
        line.contains("from 1 member")
    });
    let before = bob.heard().len();
    let killed = trackers.remove(1).kill();
    bob.say("create_group after");
    let done = bob.expect("Group created");
    println!("{} ms from the kill to the next successful command", (done.at - killed).as_millis());
    bob.told("show_downloads", "[D] [lab] film.mkv");
    alice.told("limit upload none", "upload ");
    bob.expect("Download completed: [lab] film.mkv");
    assert!(fs::read(installation.folder.path().join("bob/film.mkv")).expect("there") == film);
    let complaints: Vec<_> = bob.heard()[before..].iter().filter(|line| line.complaint).collect();
    let [first, second, third] = installation.addrs[..] else { panic!("three trackers") };
    let reached =
        |line: &str| [first, third].iter().any(|addr| line.starts_with(&format!("Connected to the tracker {addr}")));
    match complaints.iter().map(|line| line.text.as_str()).collect::<Vec<_>>()[..] {
        [line] => assert!(reached(line) && line.contains(&format!("; {second} was lost: ")), "{line}"),
        // On a busy machine the other trackers take longer to answer than a client waits before it reports the loss.
        [lost, line] => {
            assert!(lost.starts_with(&format!("The tracker {second} was lost: ")) && reached(line), "{lost}, {line}")
        }
        _ => panic!("neither one line nor two but {complaints:#?}"),
    }
    // Bob's present tracker knows what he has.
    alice.until("list_files lab", "film.mkv  25.2 MB, 2 members online with it");
}

#[test]
fn a_user_keeps_the_session_and_a_share_at_a_tracker_that_has_heard_less() {
    let installation = Installation::of(2);
    let one = installation.tracker(1);
    let relay = Relay::to(installation.addrs[0], |_, _, _| {});
    let far = installation.machine("far", &[relay.addr, installation.addrs[1]]);
    relay.block();
    let two = installation.tracker_on(&far, 2);
    // Only the tracker that is killed next knows alice's account.
    let mut alice = arrive(&installation, "alice", 2, &[]);
    two.kill();
    wait_until("no tracker can go on with the session", || {
        alice.say("list_groups");
        let unknown = format!("{}: This tracker has not heard of the session yet", installation.addrs[0]);
        alice.expect("No tracker can be reached").text.contains(&unknown)
    });
    let two = installation.tracker_on(&far, 2);
    alice.expect(&format!("Connected to the tracker {}", installation.addrs[1]));
    alice.told("create_group lab", "Group created");
    relay.unblock();
    let mut bob = arrive(&installation, "bob", 1, &[]);
    bob.until("join_group lab", "Request sent");
    alice.expect("bob asks to join lab");
    alice.told("accept_request lab bob", "Request accepted");
    bob.expect("You are a member of lab now");

    // She shares a file. The next tracker has not heard of it when she arrives there.
    relay.block();
    let len = film(&installation, 100_000).len();
    alice.told("upload_file film.mkv lab", "Uploaded");
    two.kill();
    alice.expect(&format!("Connected to the tracker {}", installation.addrs[0]));
    alice.told("list_files lab", "No files");
    relay.unblock();
    let _two = installation.tracker_on(&far, 2);
    bob.until("list_files lab", "film.mkv  100.0 kB, 1 member online with it");
    bob.told("download_file lab film.mkv .", "Downloading...");
    bob.expect("Download completed: [lab] film.mkv");
    assert_eq!(fs::metadata(installation.folder.path().join("bob/film.mkv")).expect("there").len(), len as u64);
    drop(one);
}

#[test]
fn a_folder_that_is_unshared_at_a_tracker_that_has_not_heard_of_its_files_leaves_none_shared() {
    let installation = Installation::of(2);
    let one = installation.tracker(1);
    let relay = Relay::to(installation.addrs[0], |_, _, _| {});
    let far = installation.machine("far", &[relay.addr, installation.addrs[1]]);
    let mut trackers = [one, installation.tracker_on(&far, 2)];
    let (mut alice, mut bob) = alice_and_bob(&installation, [2, 1], &[]);
    let pool = installation.folder.path().join("alice/pool");
    fs::create_dir(&pool).expect("made");
    fs::write(pool.join("old"), "old").expect("room");
    alice.told("share_folder pool lab", "Sharing the folder");
    alice.answers("wait");
    same_digests(&mut trackers);
    relay.block();
    fs::write(pool.join("old"), "changed").expect("room");
    fs::write(pool.join("new"), "new").expect("room");
    alice.until("list_files lab", "old  7 B");
    alice.until("list_files lab", "new  3 B");
    let [one, two] = trackers;
    two.kill();
    alice.expect(&format!("Connected to the tracker {}", installation.addrs[0]));
    alice.told("unshare_folder pool", "Stopped sharing the folder");
    alice.expect("alice/pool in lab: the tracker does not know 2 of its shares yet");
    relay.unblock();
    let mut trackers = [one, installation.tracker_on(&far, 2)];
    same_digests(&mut trackers);
    bob.until("list_files lab", "No files");
}

#[test]
fn a_download_waits_at_a_tracker_that_has_not_heard_of_the_file_and_goes_on_once_it_has() {
    let installation = Installation::of(2);
    let one = installation.tracker(1);
    let relay = Relay::to(installation.addrs[0], |_, _, _| {});
    let far = installation.machine("far", &[relay.addr, installation.addrs[1]]);
    let mut trackers = [one, installation.tracker_on(&far, 2)];
    // Too slow for the file to arrive before the limit is lifted.
    let (mut alice, mut bob) = alice_and_bob(&installation, [2, 2], &["--upload-limit", "1k"]);
    same_digests(&mut trackers);
    relay.block();
    let film = film(&installation, 3_000_000);
    alice.told("upload_file film.mkv lab", "Uploaded");
    bob.told("download_file lab film.mkv .", "Downloading...");
    bob.kill();
    let [_one, two] = trackers;
    two.kill();
    let mut bob = installation.person_again("bob", &[]);
    bob.told("login bob bob-pw", "Login successful");
    bob.expect("Downloading film.mkv from lab waits: File does not exist in this group");
    bob.told("show_downloads", "[D] [lab] film.mkv  3.0 MB, waiting for a tracker that knows of it");
    bob.told("resume_download lab film.mkv", "File does not exist in this group");
    relay.unblock();
    let _two = installation.tracker_on(&far, 2);
    bob.expect("Downloading film.mkv from lab goes on");
    alice.told("limit upload none", "upload ");
    bob.expect("Download completed: [lab] film.mkv");
    assert!(fs::read(installation.folder.path().join("bob/film.mkv")).expect("there") == film);
    let waits = bob.heard().iter().filter(|line| line.text.contains("lab waits")).count();
    assert_eq!(waits, 1);
}

#[test]
fn a_group_that_goes_by_another_name_after_a_partition_keeps_its_files_and_downloads() {
    let installation = Installation::of(2);
    let _one = installation.tracker(1);
    let relay = Relay::to(installation.addrs[0], |_, _, _| {});
    relay.block();
    let far = installation.machine("far", &[relay.addr, installation.addrs[1]]);
    let _two = installation.tracker_on(&far, 2);
    // Carol has made fewer changes before, so her group comes first under that name.
    let mut carol = arrive(&installation, "carol", 1, &[]);
    carol.told("create_group lab", "Group created");
    let (mut alice, mut bob) = alice_and_bob(&installation, [2, 2], &["--upload-limit", "1k"]);
    let film = film(&installation, 3_000_000);
    alice.told("upload_file film.mkv lab", "Uploaded");
    fs::write(installation.folder.path().join("bob/notes.txt"), "of bob").expect("room");
    bob.told("upload_file notes.txt lab", "Uploaded");
    bob.told("download_file lab film.mkv .", "Downloading...");
    bob.say("quit");
    bob.end();

    relay.unblock();
    // Alice is online and goes on under the new name.
    alice.until("list_groups", "lab~2");
    alice.until("list_files lab~2", "film.mkv  3.0 MB, 1 member online with it");
    fs::write(installation.folder.path().join("alice/more.txt"), "more").expect("room");
    alice.until("upload_file more.txt lab~2", "Uploaded");
    alice.told("list_files lab~2", "more.txt  4 B, 1 member online with it");
    // Bob was not online, and finds his shares under it.
    let mut bob = installation.person_again("bob", &[]);
    bob.told("login bob bob-pw", "Login successful");
    bob.expect("Downloading film.mkv from lab~2 goes on");
    alice.until("list_files lab~2", "notes.txt  6 B, 1 member online with it");
    alice.told("limit upload none", "upload ");
    bob.expect("Download completed: [lab~2] film.mkv");
    assert!(fs::read(installation.folder.path().join("bob/film.mkv")).expect("there") == film);
    alice.until("list_files lab~2", "film.mkv  3.0 MB, 2 members online with it");
    // And he ends a share under it too.
    bob.told("stop_share lab~2 notes.txt", "Stopped sharing");
    assert!(!bob.heard().iter().any(|line| line.text.contains("stopped on another client")), "{:#?}", bob.heard());
}

#[test]
fn a_file_that_goes_by_another_name_after_a_partition_is_shared_under_it_at_the_next_login() {
    let installation = Installation::of(2);
    let one = installation.tracker(1);
    let relay = Relay::to(installation.addrs[0], |_, _, _| {});
    let far = installation.machine("far", &[relay.addr, installation.addrs[1]]);
    let mut trackers = [one, installation.tracker_on(&far, 2)];
    let (mut alice, mut bob) = alice_and_bob(&installation, [1, 2], &[]);
    same_digests(&mut trackers);
    relay.block();
    for (person, notes) in [("alice", "of alice"), ("bob", "of bob")] {
        fs::write(installation.folder.path().join(person).join("notes.txt"), notes).expect("room");
    }
    alice.told("upload_file notes.txt lab", "Uploaded");
    // With this his is the later one.
    bob.told("create_group other", "Group created");
    bob.told("upload_file notes.txt lab", "Uploaded");
    bob.say("quit");
    bob.end();
    relay.unblock();
    alice.until("list_files lab", "notes.txt~2  6 B, no member online with it");
    let mut bob = installation.person_again("bob", &[]);
    bob.told("login bob bob-pw", "Login successful");
    alice.until("list_files lab", "notes.txt~2  6 B, 1 member online with it");
    alice.told("list_files lab", "notes.txt  8 B, 1 member online with it");
    assert!(!bob.heard().iter().any(|line| line.text.contains("stopped on another client")), "{:#?}", bob.heard());
}

#[test]
fn the_operator_is_told_of_a_wrong_key_a_wrong_number_and_a_number_twice() {
    let installation = Installation::of(3);
    let mut one = installation.tracker(1);
    let _two = installation.tracker(2);
    linked(&mut one, 2);
    let [first, second, third] = installation.addrs[..] else { panic!("three trackers") };
    let not_connected = |other: usize, why: &str| format!("tracker: tracker {other} is not connected: {why}");

    // A machine with the number of another one, and with the address of the third.
    let twin = installation.machine("twin", &[first, third]);
    let mut twin = Program::start(&mut tracker_in(&twin, &["tracker_info.txt", "2"]));
    one.expect("tracker: another tracker runs under the number 2, it called from ");
    twin.expect(&not_connected(1, "Another tracker runs under this number: 2"));
    drop(twin);

    // A machine with the trackers in another order.
    let order = installation.machine("order", &[second, first, third]);
    let mut order = installation.tracker_on(&order, 3);
    order.expect(&not_connected(1, "tracker 2 answers there, where the list has tracker 1"));
    drop(order);

    // A machine with another cluster key.
    let other = installation.machine("other", &installation.addrs);
    fs::write(other.join("tracker_info.txt.key"), [1; 32]).expect("writable");
    let mut other = installation.tracker_on(&other, 3);
    let why = "The trackers' cluster keys differ, copy the key file of one to the other";
    other.expect(&not_connected(1, why));
    let line = standing(&mut other, 1);
    assert!(line.starts_with(&format!("tracker 1   {first}, not connected for ")) && line.ends_with(why), "{line}");
    drop(other);
}

#[test]
fn an_operator_has_all_trackers_forget_one_and_take_it_back() {
    let installation = Installation::of(3);
    let mut trackers = all_of(&installation);
    let [one, two, three] = &mut trackers[..] else { panic!("three trackers") };
    one.told("unforget 2", "Tracker 2 was not taken back: it is not forgotten");
    one.told("forget 1", "Tracker 1 was not forgotten: it is this one; say it at another tracker");
    one.told("forget 7", "Tracker 7 was not forgotten: no tracker of this number is on the list");
    one.told("forget two", "Usage: forget <tracker_no>");
    one.told("forget 2", "Tracker 2 is forgotten, here at once and at the others as they hear of it");
    let forgotten = format!("tracker 2   {}, forgotten; unforget 2 takes it back", installation.addrs[1]);
    assert_eq!(standing(one, 2), forgotten);
    three.expect("tracker: tracker 2 is forgotten");
    assert_eq!(standing(three, 2), forgotten);
    two.expect(
        "tracker: tracker 1 is not connected: This tracker number was forgotten, say unforget at another tracker: 2",
    );

    // The same holds after a restart.
    three.say("quit");
    three.end();
    *three = installation.tracker(3);
    assert_eq!(standing(three, 2), forgotten);
    three.told("unforget 2", "Tracker 2 is taken back, here at once and at the others as they hear of it");
    same_digests(&mut trackers);
}
