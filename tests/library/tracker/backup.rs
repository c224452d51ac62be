//! Backups of a running tracker. Each is one state, and a restore makes a complete data folder or none.

use crate::common::client::Client;
use crate::common::kept_tracker::{KeptSetup, KeptTracker};
use crate::common::names::group;
use crate::common::wait::wait_until;
use groupshare::sys::files;
use groupshare::tracker::backup::restore::{Restored, restore};
use groupshare::tracker::backup::snapshot::BackupError;
use groupshare::tracker::backup::stream::BackupReader;
use groupshare::tracker::floor::pace::FloorPace;
use groupshare::tracker::journal::JournalSettings;
use groupshare::tracker::server::Server;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A tracker with quick floors and short segments.
fn tracker() -> KeptTracker {
    let mut setup = KeptSetup::new(1, &[]);
    setup.floor_pace = FloorPace { margin: 32, step: 32, pause: Duration::from_millis(10) };
    setup.journal = JournalSettings { checkpoint_ops: 50, segment_len_max: 1, chunk_len: 4096 };
    KeptTracker::start(setup)
}

fn user_of(tracker: &KeptTracker, name: &str) -> Client {
    let mut client = Client::connect(tracker.addr);
    client.create_user(name);
    client.log_in(name);
    client
}

fn backup(tracker: &KeptTracker) -> Vec<u8> {
    let mut bytes = Vec::new();
    tracker.look(Server::backup_source).write(&mut bytes).expect("a backup");
    bytes
}

/// Makes a data folder for this tracker. Returns a description of the backup, or the words of the error.
fn restored(bytes: &[u8], folder: &Path, number: u16) -> Result<Restored, String> {
    let backup = BackupReader::open(bytes).map_err(|error| error.to_string())?;
    restore(backup, folder, number, Arc::new(|line| panic!("{line}"))).map_err(|error| error.to_string())
}

fn churn(client: &mut Client, name: &str, rounds: usize) {
    for round in 0..rounds {
        let name = format!("{name}{round}");
        client.create_group(&name);
        client.leave(&name);
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("readable");
    names.map(|entry| entry.expect("there").file_name().into_string().expect("text")).collect()
}

#[test]
fn a_backup_is_one_state_while_clients_write_and_the_floor_moves() {
    let tracker = tracker();
    let (mut alice, mut bob) = (user_of(&tracker, "alice"), user_of(&tracker, "bob"));
    alice.create_group("lab");
    let share = alice.offer("lab", "film.mkv", 3, 1);
    let place = tempfile::tempdir().expect("a folder");
    let folder = |count: usize| place.path().join(format!("copy{count}"));
    let (stop, mut floors) = (AtomicBool::new(false), BTreeSet::new());
    let mut count = 0;
    thread::scope(|scope| {
        for (client, name) in [(&mut alice, "one"), (&mut bob, "two")] {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    churn(client, name, 1);
                }
            });
        }
        while floors.len() < 4 {
            count += 1;
            let bytes = backup(&tracker);
            floors.insert(BackupReader::open(bytes.as_slice()).expect("a backup").0.floor);
            // The restore compares the digest of its result with the state's digest.
            let Restored { users, files, absent, .. } = restored(&bytes, &folder(count), 1).expect("sound");
            assert_eq!((users, files, absent), (2, 1, 0));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(floors.iter().any(|floor| floor.lamport > 0));
    // A tracker runs on the last one.
    let setup = KeptSetup::on(TempDir::new_in(place.path()).expect("a folder"), 1, &[]);
    fs::remove_dir(setup.folder.path()).expect("empty");
    fs::rename(folder(count), setup.folder.path()).expect("renamed");
    let again = KeptTracker::start(setup);
    let mut alice = Client::connect(again.addr);
    alice.log_in("alice");
    assert_eq!(alice.find_share("lab", "film.mkv").share, share.share);
    let missing = again.look(|server| server.status().missing);
    assert!(missing.is_none(), "{missing}");
    churn(&mut alice, "more", 60);
}

#[test]
fn a_backup_of_a_tracker_without_a_floor_is_whole_too() {
    let tracker = KeptTracker::start(KeptSetup::new(3, &[]));
    let place = tempfile::tempdir().expect("a folder");
    let nothing = Restored { users: 0, groups: 0, files: 0, absent: 0 };
    assert_eq!(restored(&backup(&tracker), &place.path().join("empty"), 3), Ok(nothing));
    user_of(&tracker, "alice").create_group("lab");
    let some = Restored { users: 1, groups: 1, ..nothing };
    // Another tracker may start on it.
    assert_eq!(restored(&backup(&tracker), &place.path().join("some"), 2), Ok(some));
    let mut setup = KeptSetup::on(tempfile::tempdir().expect("a folder"), 2, &[]);
    setup.folder = TempDir::new_in(place.path()).expect("a folder");
    assert_eq!(restored(&backup(&tracker), setup.folder.path(), 2), Ok(some), "an empty folder will do");
    let again = KeptTracker::start(setup);
    assert_eq!(again.state().digest(), tracker.state().digest());
    assert!(again.state().group_named(&group("lab")).is_some());
}

#[test]
fn a_list_of_pieces_that_is_lost_is_told_and_keeps_nothing_else_out() {
    let tracker = tracker();
    let mut alice = user_of(&tracker, "alice");
    alice.create_group("lab");
    let lost = alice.offer("lab", "film.mkv", 3, 1);
    alice.offer("lab", "notes.txt", 1, 2);
    let file = tracker.folder().join("manifests").join(lost.content.info_hash.to_string());
    fs::remove_file(file).expect("it is there");
    let place = tempfile::tempdir().expect("a folder");
    let Restored { files, absent, .. } = restored(&backup(&tracker), &place.path().join("copy"), 1).expect("sound");
    assert_eq!((files, absent), (2, 1));
    let mut lists = names_in(&place.path().join("copy/manifests"));
    lists.sort();
    assert!(lists.len() == 2 && lists.iter().any(|name| name.ends_with(".awaited")), "{lists:?}");
}

#[test]
fn a_backup_that_is_not_as_it_was_written_makes_no_folder() {
    let tracker = tracker();
    let mut alice = user_of(&tracker, "alice");
    alice.create_group("lab");
    alice.offer("lab", "film.mkv", 3, 1);
    churn(&mut alice, "old", 60);
    let floor = || tracker.look(|server| server.core().committer.standing()).floor;
    wait_until("the floor follows", || floor().mark.lamport > 0);
    let bytes = backup(&tracker);
    let place = tempfile::tempdir().expect("a folder");
    let refused = |bytes: &[u8]| {
        let words = restored(bytes, &place.path().join("copy"), 1).expect_err("no backup");
        assert!(names_in(place.path()).is_empty(), "{words}");
        assert!(!words.contains('\n'), "{words}");
        words
    };
    assert_eq!(refused(b""), "this is no backup of a tracker");
    assert_eq!(refused(&bytes[1..]), "this is no backup of a tracker");
    let step = bytes.len() / 40;
    for end in (10..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
        assert_eq!(refused(&bytes[..end]), "the end of the backup is missing; take another one", "{end}");
    }
    for at in (10..bytes.len()).step_by(step).chain([10, 20, 60, bytes.len() - 1]) {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        let words = refused(&wrong);
        assert!(words.starts_with("the backup is damaged: ") || words.starts_with("the end of the backup"), "{words}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert_eq!(refused(&longer), "the backup is damaged: something follows its end; take another one");
    for (version, age) in [(0, "an older"), (2, "a newer"), (0xff, "a newer")] {
        let mut other = bytes.clone();
        other[9] = version;
        let words =
            format!("the backup has format {version} and was written by {age} version of this program; use that one");
        assert_eq!(refused(&other), words);
    }
}

#[test]
fn a_restore_never_writes_over_existing_files() {
    let tracker = tracker();
    let bytes = backup(&tracker);
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("copy");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("mine"), "").expect("written");
    let shown = folder.canonicalize().expect("there");
    let words = format!("{} is not empty; name a folder that is new", shown.display());
    assert_eq!(restored(&bytes, &folder, 1), Err(words));
    assert_eq!((names_in(&folder), names_in(place.path())), (vec!["mine".to_owned()], vec!["copy".to_owned()]));
    fs::remove_file(folder.join("mine")).expect("there");
    fs::create_dir(place.path().join("copy.restoring")).expect("made");
    let words = restored(&bytes, &folder, 1).expect_err("a restore may be running");
    assert!(
        words.ends_with("copy.restoring is there, from a restore that runs or was cut short; remove it if none runs")
    );
    fs::remove_dir(place.path().join("copy.restoring")).expect("untouched");
    restored(&bytes, &folder, 1).expect("restored");
    assert_eq!(names_in(place.path()), ["copy"]);
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).expect("there").permissions());
    assert_eq!(mode(&folder) & 0o777, 0o700);
}

/// Accepts this many bytes and no more.
struct Short(Arc<AtomicU64>);

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len() as u64;
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(len));
        taken.map(|_| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_backup_that_nobody_takes_ends_and_leaves_nothing_in_the_folder() {
    let tracker = tracker();
    let mut alice = user_of(&tracker, "alice");
    alice.create_group("lab");
    for seed in 1..=4 {
        alice.offer("lab", &format!("film{seed}.mkv"), 10_000, seed);
    }
    let before = names_in(tracker.folder());
    let source = tracker.look(Server::backup_source);
    for room in [0, 1000, 300_000] {
        let taken = source.write(Short(Arc::new(AtomicU64::new(room))));
        assert!(matches!(taken, Err(BackupError::Gone)), "{taken:?}");
    }
    assert_eq!(names_in(tracker.folder()), before);
    let unnamed = files::open_folder(tracker.folder()).and_then(|folder| files::make_unnamed_in(&folder));
    assert!(unnamed.is_ok() && names_in(tracker.folder()) == before);
}

#[test]
fn a_journal_that_is_damaged_meanwhile_gives_no_backup() {
    let tracker = tracker();
    let mut alice = user_of(&tracker, "alice");
    churn(&mut alice, "old", 60);
    let status = || tracker.look(|server| server.status().floor.expect("it is kept"));
    wait_until("the floor is at rest", || status().below > 0 && status().above < 32 + 32);
    let source = tracker.look(Server::backup_source);
    source.write(io::sink()).expect("sound");
    let refused = || source.write(io::sink()).expect_err("it is damaged").to_string();
    let journal = tracker.folder().join("journal");
    // The newest first.
    let all = |end: &str| {
        let mut names = names_in(&journal);
        names.retain(|name| name.ends_with(end));
        names.sort_by(|a, b| b.cmp(a));
        names.into_iter().map(|name| journal.join(name)).collect::<Vec<_>>()
    };
    let (segment, aside) = (&all(".journal")[1], journal.join("aside"));
    fs::rename(segment, &aside).expect("renamed");
    assert_eq!(refused(), "a part of the journal is missing or damaged; try again, then look with --check");
    fs::rename(&aside, segment).expect("renamed");
    source.write(io::sink()).expect("sound again");
    let base = &all(".base")[0];
    let mut bytes = fs::read(base).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(base, bytes).expect("writable");
    let words = refused();
    assert!(words.starts_with("cannot read the journal: ") && words.contains("its checksum is wrong"), "{words}");
}

#[test]
fn of_two_restores_at_once_one_makes_the_folder() {
    let bytes = backup(&KeptTracker::start(KeptSetup::new(1, &[])));
    let place = tempfile::tempdir().expect("a folder");
    for round in 0..20 {
        let folder = place.path().join(round.to_string());
        let (bytes, folder, start) = (&bytes, &folder, &Barrier::new(4));
        let restore = || {
            start.wait();
            restored(bytes, folder, 1)
        };
        let done = thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(restore));
            threads.map(|thread| thread.join().expect("no panic"))
        });
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "{done:?}");
        assert!(folder.join("journal").is_dir());
    }
    assert_eq!(names_in(place.path()).len(), 20, "nothing unfinished is left");
}
