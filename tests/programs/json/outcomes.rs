//! A change that was made is answered as made, whatever has happened before the answer. That holds for a program that
//! has lost the answer too.

use super::programs::{Speaker, digests, pieces_of, speaking, tracker};
use crate::common::gated_log::GatedLog;
use crate::common::manifest::manifest;
use crate::common::names::{PASSWORD, command, file, group, user};
use crate::common::tracker::TestTracker;
use crate::common::wait::wait_until;
use groupshare::tracker::ledger::accept::Change;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::Code;
use serde_json::{Value, json};
use std::thread;

/// An id of a program's choice.
fn chosen(id: u8) -> Value {
    json!({"command_id": format!("{id:032x}")})
}

/// A program on a new connection, logged in.
fn logged_in(tracker: &TestTracker, name: &str, password: &str) -> Speaker {
    let mut program = Speaker::connect(tracker.server.json_addr().expect("it speaks JSON"), 5000);
    program.done_with("login", json!({"user_id": name, "passwd": password}), json!({}));
    program
}

#[test]
fn a_program_that_has_lost_an_answer_asks_again_and_gets_it() {
    let tracker = tracker();
    let who = json!({"user_id": "alice", "passwd": PASSWORD});
    let mut program = Speaker::connect(tracker.server.json_addr().expect("it speaks JSON"), 5000);
    program.done_with("create_user", who.clone(), chosen(1));
    program.done_with("create_user", who.clone(), chosen(1));
    assert_eq!(program.refused("create_user", who.clone(), chosen(2)), "User already exists: alice");
    let looks_like_her = json!({"user_id": "\u{430}lice", "passwd": PASSWORD});
    let why = program.refused("create_user", looks_like_her, chosen(3));
    assert_eq!(why, "A name must not mix alphabets or have signs that mislead, choose another: \u{430}lice");

    // The connection ends before the answer is read.
    let (lab, mut program) = (json!({"group_id": "lab"}), logged_in(&tracker, "alice", PASSWORD));
    program.send("create_group", lab.clone(), chosen(1));
    drop(program);
    wait_until("the group is made", || tracker.server.core().state().group_count() == 1);
    let mut program = logged_in(&tracker, "alice", PASSWORD);
    program.done_with("create_group", lab.clone(), chosen(1));
    assert_eq!(program.refused("create_group", lab.clone(), json!({})), "Group already exists: lab");
    assert_eq!(program.refused("create_group", lab.clone(), chosen(2)), "Group already exists: lab");

    // Another user chose the same digits.
    drop(tracker.user("bob"));
    let mut other = logged_in(&tracker, "bob", PASSWORD);
    assert_eq!(other.refused("create_group", lab.clone(), chosen(1)), "Group already exists: lab");
    other.done_with("create_group", json!({"group_id": "club"}), chosen(1));
    assert_eq!(tracker.server.core().state().group_count(), 2);

    let change = json!({"old_passwd": PASSWORD, "new_passwd": "new"});
    program.done_with("change_password", change.clone(), chosen(3));
    let again = logged_in(&tracker, "alice", "new").done_with("change_password", change, chosen(3));
    assert_eq!(again, json!({"status": "success", "user_id": "alice"}));
    logged_in(&tracker, "alice", "new");
}

#[test]
fn an_upload_that_was_answered_succeeds_again_whatever_has_become_of_it() {
    let tracker = tracker();
    let (mut alice, mut bob) = (tracker.user("alice"), tracker.user("bob"));
    alice.create_group("lab");
    bob.join("lab");
    alice.accept("lab", "bob");
    alice.offer("lab", "film.mkv", 3, 7);
    let (bytes, content) = manifest("film.mkv", 3, 7);
    let (name, upload) =
        (json!({"group_id": "lab", "file_name": "film.mkv"}), digests(&pieces_of(&bytes), content.sha1));
    let with_id = |id: u8| {
        let mut top = upload.clone();
        top["command_id"] = chosen(id)["command_id"].clone();
        top
    };
    let mut program = logged_in(&tracker, "bob", PASSWORD);
    program.done_with("upload_file", name.clone(), with_id(1));
    bob.leave("lab");
    alice.done(Request::StopShare { command: command(), group: group("lab"), name: file("film.mkv") });
    program.done_with("upload_file", name.clone(), with_id(1));
    assert_eq!(program.refused("upload_file", name, with_id(2)), "You are not a member of this group: lab");
    let files = alice.ask(Request::ListFiles { group: group("lab"), after: None });
    assert!(matches!(files, Reply::Files { files, .. } if files.is_empty()));
}

#[test]
fn an_upload_succeeds_succeeds_for_a_member_who_was_removed_meanwhile() {
    let log = GatedLog::default();
    let tracker = speaking(|settings| settings.log = Box::new(log.clone()));
    let (mut alice, mut bob) = (tracker.user("alice"), tracker.user("bob"));
    alice.create_group("lab");
    bob.join("lab");
    alice.accept("lab", "bob");
    let mut program = Speaker::connect(tracker.server.json_addr().expect("it speaks JSON"), 5000);
    program.done_with("login", json!({"user_id": "bob", "passwd": PASSWORD}), json!({}));
    let (bytes, content) = manifest("film.mkv", 3, 7);
    let upload = digests(&pieces_of(&bytes), content.sha1);

    let committer = &tracker.server.core().committer;
    let state = committer.state();
    let of = state.user_named(&user("alice")).expect("known");
    thread::scope(|scope| {
        let (held, batches) = (log.hold(), log.batches());
        let club = Change::CreateGroup { user: of, group: group("club") };
        let _first = committer.begin(command(), &club).expect("accepted");
        wait_until("the log waits with something else", || log.batches() > batches);
        let name = json!({"group_id": "lab", "file_name": "film.mkv"});
        let uploaded = scope.spawn(|| program.ask("upload_file", name, upload));
        let stop = Change::StopShare { user: of, group: group("lab"), name: file("film.mkv") };
        let refused = || committer.begin(command(), &stop).err().map(|refusal| refusal.code);
        wait_until("bob shares it", || refused() == Some(Code::NotSharing));
        let remove = Change::RemoveMember { user: of, group: group("lab"), target: user("bob") };
        let _removed = committer.begin(command(), &remove).expect("accepted");
        drop(held);
        assert_eq!(uploaded.join().expect("it is answered"), json!({"status": "success"}));
    });
    let gone = program.refused("list_files", json!({"group_id": "lab"}), json!({}));
    assert_eq!(gone, "You are not a member of this group: lab");
}
