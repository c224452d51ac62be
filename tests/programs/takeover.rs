//! A tracker as a program that takes over the base of another one: it is started anew in the same process.

use crate::common::client::Client;
use crate::common::installation::{Installation, linked, standing};
use crate::common::names::user;
use crate::common::wait::wait_until;
use groupshare::model::id::{CommandId, OpId, Origin};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::tracker::commit::OpLog;
use groupshare::tracker::journal::disk::RealDisk;
use groupshare::tracker::journal::{Journal, JournalOwner, JournalSettings, OpenedJournal};
use groupshare::tracker::server::unplaced::UnplacedLists;
use groupshare::tracker::state::State;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// How many accounts lie below the floor.
const ACCOUNTS: u64 = 3000;

/// Makes the data folder of a tracker that runs on a floor.
fn make_floored(folder: &Path, number: u16) {
    let journal = folder.join("journal");
    fs::create_dir_all(&journal).expect("writable");
    let disk = Arc::new(RealDisk::open(&journal).expect("there"));
    let owner = JournalOwner { tracker: number, fresh_incarnation: 1 };
    let mut unplaced = UnplacedLists::new(folder);
    let opened = Journal::open(disk, owner, JournalSettings::default(), Arc::new(|_| {}), &mut unplaced);
    let OpenedJournal { mut journal, bases, .. } = opened.expect("empty");
    let account = |seq: u64| Op {
        id: OpId { origin: Origin { tracker: number, incarnation: 1 }, seq },
        lamport: seq,
        command: CommandId(u128::from(seq).to_be_bytes()),
        body: OpBody::CreateUser { name: user(&format!("user {seq}")), password: PasswordHash("none".into()) },
    };
    let ops: Vec<Op> = (1..=ACCOUNTS).map(account).collect();
    journal.append(&ops).expect("kept");
    let mut base = State::new();
    ops.iter().for_each(|op| base.apply(op));
    base.prune(ACCOUNTS);
    bases.keep(&base).expect("kept");
}

#[test]
fn an_empty_tracker_starts_anew_on_the_base_of_another_one_with_its_console_its_port_and_its_clients() {
    let installation = Installation::of(2);
    make_floored(&installation.folder.path().join("tracker_info.txt.data/tracker-1"), 1);
    let mut two = installation.tracker(2);
    let mut bob = installation.connect(2).expect("it runs");
    bob.create_user("bob");
    let mut one = installation.tracker(1);
    two.expect("the tracker starts anew: it takes over what tracker 1 has up to change 3000");
    // The console answers whatever the tracker is doing.
    two.told("status", "tracker ");
    two.expect("tracker: changes that could not be placed: 1, listed in ");
    two.expect("tracker: tracker 1 is connected");
    wait_until("both are in sync", || {
        standing(&mut two, 1).ends_with("0 changes behind, this one 0 behind, same digest")
    });
    two.say("status");
    assert_eq!(two.expect("users ").text, "users       3000, 0 online on 0 clients", "bob was made alone");
    two.expect("unplaced    changes that could not be placed: 1, listed in ");
    let mut bob: Client = installation.connect(2).expect("it runs");
    bob.create_user("bob");
    bob.log_in("bob");
    bob.create_group("lab");
    two.say("quit");
    let (status, said) = two.end();
    assert_eq!(status.code(), Some(0), "{said}");
    // A start after that finds the base.
    let mut two = installation.tracker(2);
    linked(&mut two, 1);
    two.say("status");
    assert_eq!(two.expect("users ").text, "users       3001, 0 online on 0 clients");
    one.say("quit");
    assert_eq!(one.end().0.code(), Some(0));
}

#[test]
fn a_tracker_that_is_told_to_quit_while_it_starts_anew_ends_cleanly() {
    let installation = Installation::of(2);
    make_floored(&installation.folder.path().join("tracker_info.txt.data/tracker-1"), 1);
    let mut one = installation.tracker(1);
    let mut two = installation.tracker(2);
    two.expect("the tracker starts anew");
    two.say("quit");
    assert_eq!(two.end().0.code(), Some(0));
    // Whatever it was doing, the next start goes on.
    let mut two = installation.tracker(2);
    linked(&mut two, 1);
    wait_until("both are in sync", || {
        standing(&mut two, 1).ends_with("0 changes behind, this one 0 behind, same digest")
    });
    two.say("status");
    assert_eq!(two.expect("users ").text, "users       3000, 0 online on 0 clients");
    one.say("quit");
    assert_eq!(one.end().0.code(), Some(0));
}
