//! What users see again after kills: of a program at `client --json`, of people at the prompt, and of the tracker.

use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::common::relay::Relay;
use crate::common::wait::wait_until;
use crate::json_client::Driver;
use crossbeam_channel::bounded;
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// At the set rate the film takes longer than the test, and it has enough pieces.
const FILM_LEN: usize = 8_000_000;

/// Bob at a client that is started again.
fn bob_again(installation: &Installation) -> Driver {
    let mut bob = Driver::again(installation, "bob");
    bob.succeeds("login", json!({ "user_id": "bob", "passwd": "pw" }));
    bob
}

/// How often each of these events has come to bob.
fn told<const N: usize>(bob: &mut Driver, events: [&str; N]) -> [usize; N] {
    let answer = bob.succeeds("notices", json!({}));
    let notices = answer["notices"].as_array().expect("a list").clone();
    assert_eq!(answer["kept"], notices.len(), "{answer}");
    events.map(|event| notices.iter().filter(|told| told["event"] == event).count())
}

/// Bob's list of downloads: the moving film comes first, and the total covers only the film.
fn shows_the_film(bob: &mut Driver) {
    wait_until("the film comes in", || {
        let shown = bob.succeeds("show_downloads", json!({}));
        assert_eq!(shown["downloads"][0]["file_name"], "film.mkv", "{shown}");
        assert!(shown["total"]["left"].as_u64().is_some_and(|left| left > 0), "{shown}");
        shown["downloads"][0]["delivered"][0]["way"] == "direct"
    });
    let shown = bob.succeeds("watch", json!({}));
    assert_eq!(shown["downloads"][0]["state"], "running", "{shown}");
}

/// The notices of a person at the prompt, without their age.
fn notices(person: &mut Program, said: &str) -> usize {
    person.said("notices").iter().filter(|line| line.ends_with(said)).count()
}

/// Alice owns a group. Bob has downloaded her notes. He and carol are in the middle of her film.
fn begun(installation: &Installation) -> (Program, Driver, Program) {
    let mut alice = installation.user("alice", &["--upload-limit", "100k"]);
    let mut bob = Driver::logged_in(installation, "bob");
    let mut carol = installation.user("carol", &[]);
    alice.told("create_group lab", "Group created");
    bob.succeeds("join_group", json!({ "group_id": "lab" }));
    alice.expect("bob asks to join lab");
    alice.told("accept_request lab bob", "Request accepted");
    bob.event("request_accepted");
    carol.joins("carol", "lab", &mut alice);
    let folder = installation.folder.path().join("alice");
    fs::write(folder.join("notes.txt"), "notes").expect("room");
    fs::write(folder.join("film.mkv"), vec![7; FILM_LEN]).expect("room");
    for name in ["notes.txt", "film.mkv"] {
        alice.told(&format!("upload_file {name} lab"), "Uploaded");
    }
    let to = |name: &str| json!({ "group_id": "lab", "file_name": name, "destination_path": "." });
    bob.succeeds("download_file", to("notes.txt"));
    bob.event("download_completed");
    bob.succeeds("download_file", to("film.mkv"));
    carol.told("download_file lab film.mkv .", "Downloading...");
    shows_the_film(&mut bob);
    carol.until("show_downloads", "from 1 member");
    (alice, bob, carol)
}

#[test]
fn downloads_and_notices_are_there_once_through_kills_of_clients_and_tracker() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let (mut alice, mut bob, carol) = begun(&installation);
    let events = ["request_accepted", "download_completed", "owner_made", "owner_dropped"];
    assert_eq!(told(&mut bob, events), [1, 1, 0, 0]);

    // A program is killed in the middle of a download. After the login its first requests get the same answers.
    bob.kill();
    let mut bob = bob_again(&installation);
    assert_eq!(told(&mut bob, events), [1, 1, 0, 0]);
    shows_the_film(&mut bob);

    // The same for a person.
    carol.kill();
    let mut carol = installation.user_again("carol");
    assert_eq!(notices(&mut carol, "You are a member of lab now"), 1);
    carol.until("show_downloads", "[D] [lab] film.mkv");
    carol.until("show_downloads", "from 1 member");

    // Without a tracker each request gets an answer, and the download goes on.
    tracker.kill();
    let refused = bob.ask("join_group", json!({ "group_id": "den" }));
    assert_eq!((&refused["status"], &refused["code"]), (&json!("error"), &json!("NoTracker")), "{refused}");
    shows_the_film(&mut bob);
    assert_eq!(told(&mut bob, events), [1, 1, 0, 0]);
    let tracker = installation.tracker(1);
    alice.until("make_owner lab bob", "Owner made");
    bob.event("owner_made");
    assert_eq!(told(&mut bob, events), [1, 1, 1, 0]);

    // Decisions from before a kill of the tracker, while bob was away, are reported once.
    bob.kill();
    alice.told("drop_owner lab bob", "Owner dropped");
    tracker.kill();
    let _tracker = installation.tracker(1);
    alice.until("list_members lab", "alice  online, owner");
    let mut bob = bob_again(&installation);
    wait_until("bob is told", || told(&mut bob, ["owner_dropped"]) == [1]);
    bob.succeeds("list_members", json!({ "group_id": "lab" }));
    bob.kill();
    let mut bob = bob_again(&installation);
    assert_eq!(told(&mut bob, events), [1, 1, 1, 1]);
    assert_eq!(bob.told_of("owner_dropped"), 0, "it is told again where it is asked for only");

    // The only sharer is killed and comes back. In the end both have the film, and each hears so once.
    alice.kill();
    carol.until("show_downloads", "waiting for");
    let mut alice = installation.user_again("alice");
    assert_eq!(notices(&mut alice, "bob asks to join lab: accept_request lab bob"), 1);
    bob.succeeds("wait", json!({ "group_id": "lab", "file_name": "film.mkv" }));
    carol.expect("Download completed: [lab] film.mkv");
    assert_eq!(told(&mut bob, events), [1, 2, 1, 1]);
    let shown = bob.succeeds("show_downloads", json!({}));
    assert_eq!((&shown["downloads"][0]["state"], &shown["total"]["left"]), (&json!("completed"), &json!(0)), "{shown}");
    let film: Vec<Value> = shown["downloads"].as_array().expect("a list").clone();
    assert_eq!(film.iter().filter(|row| row["file_name"] == "film.mkv").count(), 1, "{shown}");
}

#[test]
fn a_notice_is_told_once_also_if_the_tracker_does_not_hear_that_it_was_read() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = installation.user("alice", &[]);
    let mut bob = installation.user("bob", &[]);
    alice.told("create_group lab", "Group created");
    bob.joins("bob", "lab", &mut alice);
    bob.kill();

    let ((unheard, held), holds) = (bounded::<()>(0), Arc::new(AtomicBool::new(false)));
    let holding = holds.clone();
    let relay = Relay::to(installation.addrs[0], move |_, of_bob, _| {
        if of_bob && holding.load(Ordering::SeqCst) {
            // The bytes that are held here never reach the tracker: the test ends before.
            let _ = held.recv();
        }
    });
    fs::write(installation.folder.path().join("bob/tracker_info.txt"), relay.addr.to_string()).expect("room");
    let mut bob = bob_again(&installation);
    holds.store(true, Ordering::SeqCst);
    alice.told("make_owner lab bob", "Owner made");
    bob.event("owner_made");
    bob.kill();
    holds.store(false, Ordering::SeqCst);

    let mut bob = bob_again(&installation);
    // The tracker sends unread notices at the login, before any later notice.
    alice.told("drop_owner lab bob", "Owner dropped");
    bob.event("owner_dropped");
    assert_eq!(bob.told_of("owner_made"), 0, "bob was told before the kill");
    assert_eq!(told(&mut bob, ["owner_made", "owner_dropped"]), [1, 1]);
    drop(unheard);
}
