//! Interrupted updates to new versions. Whatever happens, the old file or the new one is there, and the update goes on.

use super::update::{LEN, files_of, holds, member, noise, notes_of, replaced_by, shared_by_all};
use crate::common::deadline::LONG;
use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::common::wait::wait_until;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::process::{Resource, Rlimit, prlimit};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

/// The events in a folder, one after the other.
struct Events(OwnedFd);

impl Events {
    fn of(folder: &Path, what: WatchFlags) -> Self {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("descriptors");
        inotify::add_watch(&fd, folder, what).expect("there");
        Self(fd)
    }

    /// Waits for this many events, or until it is over.
    fn wait(&self, count: usize, is_over: impl Fn() -> bool) {
        let deadline = Instant::now() + LONG;
        let mut seen = 0;
        while seen < count && !is_over() {
            assert!(Instant::now() < deadline, "only {seen} of {count} things happen");
            let moment = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
            poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&moment)).expect("a descriptor");
            let mut buffer = [MaybeUninit::uninit(); 512];
            let mut reader = Reader::new(self.0.as_fd(), &mut buffer);
            while seen < count && reader.next().is_ok() {
                seen += 1;
            }
        }
    }
}

/// Bob was killed. He comes back and gets the new version. Until then the old file is there.
fn goes_on(installation: &Installation, (old, new): (&[u8], &[u8]), what: &str) -> Program {
    let notes = notes_of(installation, "bob");
    assert!(holds(&notes, old) || holds(&notes, new), "killed {what}");
    let mut bob = installation.person_again("bob", &[]);
    bob.told("login bob pw", "Login successful");
    bob.until("update_file lab notes", "You have the latest version");
    assert!(holds(&notes, new), "killed {what}");
    wait_until("nothing is left beside", || files_of(installation, "bob") == ["notes"]);
    bob
}

#[test]
fn at_whatever_step_an_update_is_killed_the_old_file_or_the_new_one_is_there_and_it_goes_on() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut old = noise(LEN, 1);
    let (mut ann, mut members) = shared_by_all(&installation, &old, &["bob"]);
    let mut bob = members.pop().expect("bob");
    let folder = installation.folder.path().join("bob");
    // The entries that are made, renamed and removed, in this order: sidecar, part, new version, old version, sidecar.
    let names = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
    let kills = (0..8).map(|count| (names, count)).chain([1, 3, 6].map(|count| (WatchFlags::MODIFY, count)));
    for (round, (what, count)) in (2..).zip(kills) {
        let new = [&noise(100_000, round), &old[..LEN], &noise(700_000, 100 + round)].concat();
        replaced_by(&installation, &mut ann, &new);
        bob.expect("ann has shared a new version of notes in lab");
        let events = Events::of(&folder, what);
        bob.told("update_file lab notes", "Downloading...");
        let notes = notes_of(&installation, "bob");
        events.wait(count, || holds(&notes, &new) && files_of(&installation, "bob") == ["notes"]);
        bob.kill();
        bob = goes_on(&installation, (&old, &new), &format!("at {count} of {what:?}"));
        ann.until("list_files lab", "2 members online with it");
        old = new;
    }
}

/// Ann, and bob with an update in progress. The new bytes come so slowly that they are still missing.
fn begun(installation: &Installation, old: &[u8], new: &[u8]) -> (Program, Program) {
    let (mut ann, mut members) = shared_by_all(installation, old, &["bob"]);
    let mut bob = members.pop().expect("bob");
    replaced_by(installation, &mut ann, new);
    bob.expect("ann has shared a new version of notes in lab");
    ann.told("limit upload 100k", "upload ");
    bob.told("update_file lab notes", "Downloading...");
    // All of the old version is in the new one.
    let part = notes_of(installation, "bob").with_file_name("notes.part");
    let is_in = |part: Vec<u8>| part.starts_with(old) || part.ends_with(old);
    wait_until("the copy of equal parts", || fs::read(&part).is_ok_and(is_in));
    assert_eq!(files_of(installation, "bob"), ["notes", "notes.part", "notes.part.meta"]);
    (ann, bob)
}

#[test]
fn an_update_that_comes_back_to_a_newer_version_goes_over_to_that() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let old = noise(LEN, 20);
    let (mut ann, bob) = begun(&installation, &old, &[&noise(LEN, 21)[..], &old].concat());
    bob.kill();
    ann.told("limit upload none", "upload ");
    let newest = [&b"the newest"[..], &old].concat();
    replaced_by(&installation, &mut ann, &newest);
    let mut bob = goes_on(&installation, (&old, &newest), "in the middle");
    bob.told("show_downloads", "4.2 MB from the old version");
    ann.until("list_files lab", "2 members online with it");
}

#[test]
fn a_download_of_a_folder_that_was_killed_goes_over_to_the_new_version_of_the_folder() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut ann, _) = shared_by_all(&installation, b"notes", &[]);
    let album = installation.folder.path().join("ann/album");
    fs::create_dir_all(album.join("sub")).expect("room");
    let (one, two) = (noise(LEN, 30), noise(LEN, 31));
    fs::write(album.join("one"), &one).expect("room");
    fs::write(album.join("sub/two"), &two).expect("room");
    ann.told("upload_file album lab", "Uploaded");
    ann.told("limit upload 2M", "upload ");
    let mut cem = member(&installation, &mut ann, "cem", &[]);
    cem.told("download_file lab album .", "Downloading...");
    let mine = installation.folder.path().join("cem/album");
    wait_until("something came", || fs::read(mine.with_file_name("album.part/one")).is_ok_and(|it| it[0] == one[0]));
    cem.kill();
    ann.told("limit upload none", "upload ");
    let more = [&one[..], b"more"].concat();
    fs::write(album.join("one"), &more).expect("room");
    fs::remove_file(album.join("sub/two")).expect("there");
    fs::write(album.join("sub/three"), &two).expect("room");
    ann.told("upload_file album lab", "Uploaded");
    let mut cem = installation.person_again("cem", &[]);
    cem.told("login cem pw", "Login successful");
    cem.expect("Download completed: [lab] album");
    assert!(holds(&mine.join("one"), &more) && holds(&mine.join("sub/three"), &two));
    assert!(!mine.join("sub/two").exists());
    wait_until("nothing is left beside", || files_of(&installation, "cem") == ["album"]);
}

#[test]
fn an_update_that_finds_no_room_in_the_middle_keeps_the_old_file_and_goes_on_once_there_is_some() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (old, added) = (noise(LEN, 40), noise(LEN, 41));
    let new = [&old[..], &added].concat();
    let (mut ann, mut bob) = begun(&installation, &old, &new);
    let limit = |most| Rlimit { current: most, maximum: None };
    // From now on files cannot grow beyond this, like on a full disk.
    prlimit(Some(bob.pid()), Resource::Fsize, limit(Some(1 << 20))).expect("it runs");
    ann.told("limit upload none", "upload ");
    bob.expect("Download failed: [lab] notes");
    assert!(holds(&notes_of(&installation, "bob"), &old));
    prlimit(Some(bob.pid()), Resource::Fsize, limit(None)).expect("it runs");
    bob.told("resume_download lab notes", "Downloading...");
    bob.expect("Download completed: [lab] notes");
    assert!(holds(&notes_of(&installation, "bob"), &new));
    wait_until("nothing is left beside", || files_of(&installation, "bob") == ["notes"]);
    ann.until("list_files lab", "2 members online with it");
}

#[test]
fn an_update_of_a_file_changed_meanwhile_goes_elsewhere_also_after_a_kill() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (old, added) = (noise(LEN, 50), noise(LEN, 51));
    let new = [&old[..], &added].concat();
    let (mut ann, mut bob) = begun(&installation, &old, &new);
    let edited = [&old[..], b"mine"].concat();
    fs::write(notes_of(&installation, "bob"), &edited).expect("room");
    ann.told("limit upload none", "upload ");
    bob.expect("notes was changed here and is not replaced; give update_file a destination for the new version");
    bob.kill();
    let mut bob = installation.person_again("bob", &[]);
    bob.told("login bob pw", "Login successful");
    bob.expect("notes was changed here and is not replaced; give update_file a destination for the new version");
    bob.told("update_file lab notes newer", "Downloading...");
    // Nothing is downloaded again, so the message has no speed.
    let completed = bob.expect("Download completed: [lab] notes  8.4 MB in ").text;
    assert!(!completed.contains("B/s"), "{completed}");
    let newer = notes_of(&installation, "bob").with_file_name("newer");
    assert!(holds(&newer, &new) && holds(&notes_of(&installation, "bob"), &edited));
    wait_until("nothing is left beside", || files_of(&installation, "bob") == ["newer", "notes"]);
}
