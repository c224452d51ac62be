//! A change that was made is answered as made, whatever has happened by the time of the answer.

use super::programs::{Speaker, digests, pieces_of, speaking};
use crate::common::gated_log::GatedLog;
use crate::common::manifest::manifest;
use crate::common::names::{PASSWORD, command, file, group, user};
use crate::common::wait::wait_until;
use groupshare::tracker::ledger::accept::Change;
use groupshare::wire::refusal::Code;
use serde_json::json;
use std::thread;

#[test]
fn an_upload_succeeds_for_a_member_who_was_removed_meanwhile() {
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
