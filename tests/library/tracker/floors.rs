//! A tracker that is alone. Deleted things leave no trace in memory or on disk.

use crate::common::client::Client;
use crate::common::deadline::LONG;
use crate::common::kept_tracker::{KeptSetup, KeptTracker, Told};
use crate::common::memory_log::MemoryLog;
use crate::common::names::{command, group, user};
use crate::common::tracker::{TestTracker, loopback};
use crate::common::wait::wait_until;
use crossbeam_channel::bounded;
use groupshare::tracker::commit::{BaseError, BaseStore};
use groupshare::tracker::floor::pace::FloorPace;
use groupshare::tracker::journal::JournalSettings;
use groupshare::tracker::state::{Fate, State};
use groupshare::wire::client_tracker::Request;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const PACE: FloorPace = FloorPace { margin: 32, step: 32, pause: Duration::from_millis(10) };

/// The shortest possible segments.
const SHORT: JournalSettings = JournalSettings { checkpoint_ops: 50, segment_len_max: 1, chunk_len: 4096 };

fn leave(client: &mut Client, name: &str) {
    client.done(Request::LeaveGroup { command: command(), group: group(name) });
}

/// A user that makes and leaves groups.
fn churn(client: &mut Client, rounds: usize) {
    for round in 0..rounds {
        client.create_group(&format!("g{round}"));
        leave(client, &format!("g{round}"));
    }
}

/// How many files of the journal have a name with this ending.
fn files(folder: &Path, end: &str) -> usize {
    let names = fs::read_dir(folder.join("journal")).expect("it can be read");
    names.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(end))).count()
}

/// A lone tracker with quick floors, and a logged-in user.
fn alone() -> (KeptTracker, Client) {
    let mut setup = KeptSetup::new(1, &[]);
    (setup.floor_pace, setup.journal) = (PACE, SHORT);
    let tracker = KeptTracker::start(setup);
    let mut alice = Client::connect(tracker.addr);
    alice.create_user("alice");
    alice.log_in("alice");
    (tracker, alice)
}

/// The names of all groups.
fn groups(state: &State) -> Vec<String> {
    let alice = state.user_named(&user("alice")).expect("there");
    state.groups_after(None, 100, alice).into_iter().map(|info| info.name.to_string()).collect()
}

#[test]
fn a_gone_group_leaves_nothing_behind_and_a_start_finds_the_kept_ones() {
    let (tracker, mut alice) = alone();
    let folder = tracker.folder().to_owned();
    alice.create_group("gone");
    let gone = tracker.state().group_named(&group("gone")).expect("it is there");
    leave(&mut alice, "gone");
    (1..=3).for_each(|n| alice.create_group(&format!("kept{n}")));
    let kept = tracker.state().group_named(&group("kept1")).expect("it is there");
    churn(&mut alice, 150);
    let status = || tracker.look(|server| server.status().floor.expect("it is kept"));
    wait_until("the floor follows", || status().above < 32 + 32 && status().below > 200);
    assert!(status().reached.is_some());
    // Each segment has one op. The segments above the older of the two bases stay.
    for _ in 0..2 {
        churn(&mut alice, 20);
        wait_until("the floor follows", || status().above < 32 + 32);
    }
    // A floor drops what was gone at the floor before.
    wait_until("what is gone is forgotten", || tracker.state().fate(gone.0) == Fate::Forgotten);
    assert_eq!(tracker.state().fate(kept.0), Fate::Known);
    wait_until("the journal follows", || files(&folder, ".journal") <= 3 * (32 + 32));
    wait_until("two bases are left", || files(&folder, ".base") == 2);

    let before = tracker.look(|server| server.core().committer.standing());
    let again = KeptTracker::start(tracker.stop());
    let after = again.look(|server| server.core().committer.standing());
    assert_eq!((groups(&after.state), after.floor), (groups(&before.state), before.floor));
    assert_eq!(after.state.digest(), before.state.digest());
    assert_eq!(groups(&after.state).len(), 3);
    // The tracker goes on, and so does its floor.
    let mut alice = Client::connect(again.addr);
    alice.log_in("alice");
    churn(&mut alice, 40);
    let moved = || again.look(|server| server.core().committer.standing()).floor.mark > before.floor.mark;
    wait_until("the floor goes on", moved);
    assert_eq!(groups(&again.state()).len(), 3);
}

#[test]
fn a_base_that_stays_for_a_reader_goes_once_the_reader_has_read() {
    let (tracker, mut alice) = alone();
    let folder = tracker.folder().to_owned();
    let floor = || tracker.look(|server| server.core().committer.standing()).floor.mark;
    let mut next_floor = || {
        let before = floor();
        churn(&mut alice, 40);
        wait_until("the next floor", || floor() > before);
    };
    next_floor();
    // A reader reads old changes, like a link.
    let source = tracker.look(|server| server.core().source.clone());
    let ((begun, begins), (end, ends)) = (bounded(1), bounded::<()>(0));
    let reader = thread::spawn(move || {
        source.read(&mut |_| {
            begun.send(()).expect("the test listens");
            ends.recv().is_ok()
        })
    });
    begins.recv_timeout(LONG).expect("there are changes above the floor");
    (0..3).for_each(|_| next_floor());
    assert!(files(&folder, ".base") > 2);
    drop(end);
    reader.join().expect("no panic").expect("it can be read");
    wait_until("two bases are left", || files(&folder, ".base") == 2);
}

/// A place for bases that is full at first.
struct FullAtFirst {
    full: AtomicUsize,
    uncleared: AtomicUsize,
    log: MemoryLog,
}

fn one_less(count: &AtomicUsize) -> Result<(), BaseError> {
    match count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
        Ok(_) => Err(BaseError::Unchanged("the disk is full".into())),
        Err(_) => Ok(()),
    }
}

impl BaseStore for FullAtFirst {
    fn keep(&self, base: &State) -> Result<(), BaseError> {
        one_less(&self.full)?;
        self.log.keep(base)
    }

    fn clear(&self) -> Result<bool, BaseError> {
        one_less(&self.uncleared)?;
        self.log.clear()
    }
}

#[test]
fn a_full_disk_holds_the_floor_back_until_there_is_room_and_the_operator_is_told() {
    let told = Told::default();
    let log = MemoryLog::default();
    let bases = Arc::new(FullAtFirst { full: AtomicUsize::new(2), uncleared: AtomicUsize::new(2), log: log.clone() });
    let tracker = TestTracker::start_at(loopback().into(), |settings| {
        told.set(settings);
        settings.floor_pace = PACE;
        (settings.log, settings.source, settings.bases) = (Box::new(log.clone()), Arc::new(log), bases.clone());
    });
    let mut alice = tracker.client();
    alice.create_user("alice");
    alice.log_in("alice");
    churn(&mut alice, 40);
    wait_until("there is room", || told.has("old changes can be dropped again"));
    assert!(told.has("old changes cannot be dropped: the disk is full; the tracker keeps trying"));
    wait_until("the floor follows", || tracker.server.status().floor.is_some_and(|floor| floor.below > 0));
    wait_until("all of it is removed", || bases.uncleared.load(Ordering::SeqCst) == 0);
    assert!(bases.full.load(Ordering::SeqCst) == 0);
}
