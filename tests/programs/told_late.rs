//! A download ends, and the tracker hears of it late. The end does not wait, and the client still announces the file.

use crate::common::installation::Installation;
use crate::common::program::Program;
use groupshare::wire::deadlines::REPLY_DEADLINE;
use rustix::process::Signal;
use std::fs;

const FILM: &str = "film.mkv";

/// Alice shares a film, and bob has begun to download it. Alice's limit is so low that it does not arrive yet.
fn begun(installation: &Installation) -> (Program, Program) {
    let (mut alice, [mut bob]) = installation.group("lab", "alice", ["bob"]);
    alice.told("limit upload 1k", "upload ");
    fs::write(installation.folder.path().join("alice").join(FILM), vec![7; 3_000_000]).expect("room");
    alice.told("upload_file film.mkv lab", "Uploaded");
    bob.told("download_file lab film.mkv .", "Downloading...");
    bob.until("show_downloads", "from 1 member");
    (alice, bob)
}

/// The tracker is stopped, and the film arrives meanwhile.
fn comes_while_stopped(tracker: &Program, alice: &mut Program, bob: &mut Program) {
    tracker.signal(Signal::STOP);
    let lifted = alice.answers("limit upload none").first().expect("an answer").at;
    let completed = bob.expect("Download completed: [lab] film.mkv").at;
    assert!(completed - lifted < REPLY_DEADLINE / 2, "{:?}", completed - lifted);
}

/// The same, and bob is killed before the tracker goes on. Returns alice.
fn killed_when_it_came(installation: &Installation, tracker: &Program) -> Program {
    let (mut alice, mut bob) = begun(installation);
    comes_while_stopped(tracker, &mut alice, &mut bob);
    bob.kill();
    tracker.signal(Signal::CONT);
    alice
}

#[test]
fn a_download_ends_while_the_tracker_hangs_and_the_tracker_hears_of_it_later() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let (mut alice, mut bob) = begun(&installation);
    comes_while_stopped(&tracker, &mut alice, &mut bob);
    bob.told("show_downloads", "[C] [lab] film.mkv");
    tracker.signal(Signal::CONT);
    alice.until("list_files lab", "film.mkv  3.0 MB, 2 members online with it");
    // The next login repeats nothing.
    bob.told("logout", "Logout successful");
    bob.told("login bob pw", "Login successful");
    bob.told("show_downloads", "No downloads");
    alice.until("list_files lab", "film.mkv  3.0 MB, 2 members online with it");
}

#[test]
fn a_client_that_is_killed_before_the_tracker_heard_of_its_file_tells_it_at_the_next_login() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let mut alice = killed_when_it_came(&installation, &tracker);
    alice.until("list_files lab", "film.mkv  3.0 MB, 1 member online with it");
    let _bob = installation.user_again("bob");
    alice.until("list_files lab", "film.mkv  3.0 MB, 2 members online with it");
    assert_eq!(fs::read(installation.folder.path().join("bob").join(FILM)).expect("there"), vec![7; 3_000_000]);
}

#[test]
fn the_next_word_of_the_user_counts_after_the_file_is_announced() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = begun(&installation);
    bob.say("wait");
    bob.say("stop_share lab film.mkv");
    alice.told("limit upload none", "upload ");
    bob.expect("Stopped sharing");
    alice.until("list_files lab", "film.mkv  3.0 MB, 1 member online with it");
    // A member that leaves right after the end has announced it.
    bob.told("download_file lab film.mkv again.mkv", "Downloading...");
    bob.close_input();
    bob.end();
    let mut bob = installation.user_again("bob");
    bob.told("show_downloads", "No downloads");
    alice.until("list_files lab", "film.mkv  3.0 MB, 2 members online with it");
}

#[test]
fn a_client_that_is_killed_before_the_tracker_heard_of_its_file_keeps_it_as_the_old_version_of_what_came_meanwhile() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let mut alice = killed_when_it_came(&installation, &tracker);
    let film_of = |name: &str| installation.folder.path().join(name).join(FILM);
    fs::write(film_of("alice"), vec![8; 3_000_000]).expect("room");
    alice.told("upload_file film.mkv lab", "Uploaded");
    let mut bob = installation.person_again("bob", &[]);
    bob.told("login bob pw", "Login successful");
    bob.expect("There is a new version of film.mkv in lab: update_file lab film.mkv");
    assert_eq!(fs::read(film_of("bob")).expect("there"), vec![7; 3_000_000]);
    bob.told("update_file lab film.mkv", "Downloading...");
    bob.next("the new version", |line| line.text.starts_with("Download completed") && line.text.contains(" in "));
    assert_eq!(fs::read(film_of("bob")).expect("there"), vec![8; 3_000_000]);
    bob.told("update_file lab film.mkv", "You have the latest version");
}
