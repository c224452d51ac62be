//! Several trackers as programs: clients spread over them, each killed under load, one cut off, and what their operator
//! is told.

mod common;

use common::installation::{Installation, wait_until};
use common::member::{Member, all_groups};
use common::program::Program;
use common::relay::Relay;
use common::{LONG, all_pieces, command, group, manifest, user};
use crossbeam_channel::unbounded;
use groupshare::wire::client_tracker::{Reply, Request};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The trackers of an installation, all of which run and know each other.
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

/// Waits until a tracker says that it is connected to another one.
fn linked(tracker: &mut Program, other: usize) {
    let line = format!("tracker: tracker {other} is connected");
    if !tracker.heard().iter().any(|heard| heard.text == line) {
        tracker.expect(&line);
    }
}

/// What the console says of another tracker.
fn standing(tracker: &mut Program, other: usize) -> String {
    tracker.say("status");
    tracker.expect("connections ");
    tracker.expect(&format!("tracker {other:<3} ")).text
}

/// Waits until each of these consoles tells that all others have the same state as it has.
fn same_digests(trackers: &mut [Program]) {
    let count = trackers.len();
    for (number, tracker) in (1..).zip(trackers) {
        for other in (1..=count).filter(|&other| other != number) {
            wait_until("the same digest", || {
                let line = standing(tracker, other);
                assert!(!line.contains("ANOTHER DIGEST"), "{line}");
                line.ends_with(", 0 changes behind, this one 0 behind, same digest")
            });
        }
    }
}

/// Types a command again and again until this is said.
fn until(person: &mut Program, line: &str, said: &str) {
    wait_until(said, || {
        person.say(line);
        // What comes before the answers of these, on standard output and on standard error, belongs to the first.
        person.say("limit");
        person.say("frob");
        let before = person.heard().len();
        let heard = |person: &Program, text: &str| person.heard()[before..].iter().any(|line| line.text.contains(text));
        while !(heard(person, "download  no limit") && heard(person, "'frob'")) {
            person.hear();
        }
        heard(person, said)
    });
}

fn told(person: &mut Program, line: &str, said: &str) {
    person.say(line);
    person.expect(said);
}

fn arrive(installation: &Installation, name: &str, first: usize, args: &[&str]) -> Program {
    let mut person = installation.person(name, first, args);
    told(&mut person, &format!("create_user {name} {name}-pw"), "User created");
    told(&mut person, &format!("login {name} {name}-pw"), "Login successful");
    person
}

/// Alice at the first tracker owns the group lab, bob at the second is a member.
fn alice_and_bob(installation: &Installation, alice_args: &[&str]) -> (Program, Program) {
    let mut alice = arrive(installation, "alice", 1, alice_args);
    let mut bob = arrive(installation, "bob", 2, &[]);
    told(&mut alice, "create_group lab", "Group created");
    until(&mut bob, "join_group lab", "Request sent");
    alice.expect("bob asks to join lab");
    told(&mut alice, "accept_request lab bob", "Request accepted");
    bob.expect("You are a member of lab now");
    (alice, bob)
}

#[test]
fn what_is_done_at_one_tracker_is_there_at_the_others() {
    let installation = Installation::of(3);
    let mut trackers = all_of(&installation);
    let (mut alice, mut bob) = alice_and_bob(&installation, &[]);
    fs::write(installation.folder.path().join("alice/notes.txt"), "for all").expect("room");
    told(&mut alice, "upload_file notes.txt lab", "Uploaded");
    until(&mut bob, "list_files lab", "notes.txt  7 B, 1 member online with it");
    told(&mut bob, "download_file lab notes.txt .", "Downloading...");
    bob.expect("Download completed: [lab] notes.txt");
    assert_eq!(fs::read_to_string(installation.folder.path().join("bob/notes.txt")).expect("there"), "for all");
    // The third tracker knows all of it, though nobody did anything there.
    let mut carol = arrive(&installation, "carol", 3, &[]);
    until(&mut carol, "list_groups", "lab  2 members, owner alice");
    same_digests(&mut trackers);
    told(&mut trackers[2], "status", "users       3, 1 online on 1 clients");
    for tracker in &mut trackers {
        tracker.say("quit");
        assert_eq!(tracker.end().0.code(), Some(0));
    }
}

/// Works at one tracker after the other until it is time to stop.
fn roam(installation: &Installation, member: &mut Member, first: usize, answered: impl Fn(), stop: &AtomicBool) {
    let count = installation.addrs.len();
    for turn in first.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        // One that does not run refuses the connection; one that was away may not know of the session yet.
        let Ok(mut client) = installation.connect(turn % count + 1) else { continue };
        if !member.resume(&mut client) {
            continue;
        }
        member.run(&mut client, || {
            answered();
            !stop.load(Ordering::SeqCst)
        });
    }
}

#[test]
fn nothing_acknowledged_is_missing_or_made_twice_after_each_tracker_was_killed_under_load() {
    let installation = Installation::of(3);
    let mut trackers = all_of(&installation);
    let mut members: Vec<_> = (0..4)
        .map(|n| Member::new(&mut installation.connect(n % 3 + 1).expect("it listens"), &format!("user{n}"), true))
        .collect();
    same_digests(&mut trackers);
    let (stop, (answered, answers)) = (AtomicBool::new(false), unbounded());
    let some = || (0..100).for_each(|_| answers.recv_timeout(LONG).expect("changes are answered"));
    thread::scope(|scope| {
        for (first, member) in members.iter_mut().enumerate() {
            let (installation, stop, answered) = (&installation, &stop, answered.clone());
            let answered = move || answered.send(()).expect("it is received until the end");
            scope.spawn(move || roam(installation, member, first, answered, stop));
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
        stop.store(true, Ordering::SeqCst);
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
    let relays = [Relay::to(installation.addrs[0]), Relay::to(installation.addrs[1])];
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

    // The same user, the same group and the same file on both sides.
    let mut zoes = [new_at(1, "zoe"), new_at(3, "zoe")];
    zoes.iter_mut().for_each(|zoe| zoe.create_group("club"));
    for (client, seed) in [(&mut carol, 1), (&mut at(3, "carol"), 2)] {
        let (bytes, content) = manifest("notes.txt", 3, seed);
        client.put_manifest("lab", &bytes, &content);
        let share = client.share("lab", "notes.txt", &content);
        client.hold(share.share, all_pieces());
    }
    // The owner leaves here while a request is accepted there.
    let mut dan = new_at(3, "dan");
    dan.join("lab");
    at(3, "alice").accept("lab", "dan");
    alice.leave("lab");

    relays.iter().for_each(Relay::unblock);
    linked(&mut trackers[2], 1);
    same_digests(&mut trackers);
    let mut carol = at(1, "carol");
    assert_eq!(all_groups(&mut carol), ["club", "club~2", "lab"]);
    for number in 1..=3 {
        let mut carol = at(number, "carol");
        for name in ["notes.txt", "notes.txt~2"] {
            carol.find_share("lab", name);
        }
        let Reply::Members { members, .. } = carol.ask(Request::ListMembers { group: group("lab"), after: None })
        else {
            panic!("carol is no member")
        };
        let members: Vec<_> = members.iter().map(|member| (member.name.clone(), member.owner)).collect();
        assert_eq!(members, [(user("carol"), true), (user("dan"), false)]);
    }
}
