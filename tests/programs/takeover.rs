//! A tracker's program takes over the base of another one, with a restart in the same process.

use crate::common::client::Client;
use crate::common::installation::{Installation, linked, standing};
use crate::common::names::user;
use crate::common::program::Program;
use crate::common::relay::Relay;
use crate::common::wait::wait_until;
use crossbeam_channel::{Sender, bounded};
use groupshare::model::id::{CommandId, OpId, Origin};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::tracker::commit::OpLog;
use groupshare::tracker::journal::disk::RealDisk;
use groupshare::tracker::journal::{Journal, JournalOwner, JournalSettings, OpenedJournal};
use groupshare::tracker::server::unplaced::UnplacedLists;
use groupshare::tracker::state::State;
use groupshare::wire::tracker_tracker::BASE_PART_MAX;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many accounts lie below a floor.
const ACCOUNTS: u64 = 3000;
/// The base of this many accounts has several parts.
const MANY: u64 = 8000;
/// A relay that stops the base passes this much of it. That holds the first part and not the last one.
const PASSED: usize = 350_000;

/// Makes the data folder of a tracker on a floor.
fn make_floored(folder: &Path, number: u16, accounts: u64) {
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
    let ops: Vec<Op> = (1..=accounts).map(account).collect();
    journal.append(&ops).expect("kept");
    let mut base = State::new();
    ops.iter().for_each(|op| base.apply(op));
    base.prune(accounts);
    bases.keep(&base).expect("kept");
}

#[test]
fn an_empty_tracker_starts_anew_on_the_base_of_another_one_with_its_console_its_port_and_its_clients() {
    let installation = Installation::of(2);
    make_floored(&installation.folder.path().join("tracker_info.txt.data/tracker-1"), 1, ACCOUNTS);
    let mut two = installation.tracker(2);
    let mut bob = installation.connect(2).expect("it runs");
    bob.create_user("bob");
    let mut one = installation.tracker(1);
    two.expect("the tracker starts anew: it takes over what tracker 1 has up to change 3000");
    // The console answers whatever the tracker does meanwhile.
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
    make_floored(&installation.folder.path().join("tracker_info.txt.data/tracker-1"), 1, ACCOUNTS);
    let mut one = installation.tracker(1);
    let mut two = installation.tracker(2);
    two.expect("the tracker starts anew");
    two.say("quit");
    assert_eq!(two.end().0.code(), Some(0));
    // Whatever the tracker was doing, the next start goes on.
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

/// Tracker 1 on a floor, and tracker 2 with the first part of its base.
struct Halfway {
    installation: Installation,
    one: Program,
    two: Program,
    /// The folder of tracker 2.
    far: PathBuf,
    relay: Relay,
    /// Until this is dropped, nothing more comes to tracker 2.
    hold: Sender<()>,
}

impl Halfway {
    fn reach() -> Self {
        let installation = Installation::of(2);
        make_floored(&installation.folder.path().join("tracker_info.txt.data/tracker-1"), 1, MANY);
        let one = installation.tracker(1);
        let ((hold, held), passed) = (bounded(0), AtomicUsize::new(0));
        let relay = Relay::to(installation.addrs[0], move |_, of_taker, bytes| {
            if !of_taker && passed.fetch_add(bytes.len(), Ordering::SeqCst) + bytes.len() > PASSED {
                // It ends when the other half is dropped.
                let _ = held.recv();
            }
        });
        let far = installation.machine("far", &[relay.addr, installation.addrs[1]]);
        let two = installation.tracker_on(&far, 2);
        let halfway = Self { installation, one, two, far, relay, hold };
        wait_until("the first part is here", || {
            let file = fs::metadata(halfway.journal().join("incoming.new"));
            file.is_ok_and(|file| file.len() >= BASE_PART_MAX as u64)
        });
        assert!(!halfway.journal().join("base.incoming").exists(), "this is all of it");
        halfway
    }

    /// The journal of tracker 2.
    fn journal(&self) -> PathBuf {
        self.far.join("tracker_info.txt.data/tracker-2/journal")
    }

    /// Kills one of the two, lets the bytes pass, and starts it again. In the end both have the same lists.
    fn goes_on_after(self, killed: usize) {
        let journal = self.journal();
        let Self { installation, mut one, mut two, far, relay, hold } = self;
        if killed == 1 {
            one.kill();
            // The bytes that it had already sent reach nobody.
            relay.cut();
            drop(hold);
            two.expect("tracker: tracker 1 is not connected");
            // Nobody can give it, and the tracker accepts changes.
            let mut bob = installation.connect(2).expect("it runs");
            bob.create_user("bob");
            one = installation.tracker(1);
        } else {
            two.kill();
            drop(hold);
            one.expect("tracker: tracker 2 is not connected");
            two = installation.tracker_on(&far, 2);
        }
        two.expect("the tracker starts anew: it takes over what tracker 1 has up to change 8000");
        let users = ["users       8000, 0 online on 0 clients"; 2];
        for (tracker, other) in [(&mut one, 2), (&mut two, 1)] {
            wait_until("both are in sync", || {
                standing(tracker, other).ends_with("0 changes behind, this one 0 behind, same digest")
            });
        }
        let said = [&mut one, &mut two].map(|tracker| {
            tracker.say("status");
            tracker.expect("users ").text
        });
        assert_eq!(said, users);
        assert!(!journal.join("incoming.new").exists() && !journal.join("base.incoming").exists());
    }
}

#[test]
fn a_giver_that_is_killed_in_the_middle_gives_its_base_once_it_is_back() {
    Halfway::reach().goes_on_after(1);
}

#[test]
fn a_taker_that_is_killed_in_the_middle_takes_the_base_from_its_beginning() {
    Halfway::reach().goes_on_after(2);
}
