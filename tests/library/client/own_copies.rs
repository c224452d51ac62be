//! Copies that a user already has. A right one is copied. A missing or wrong one is downloaded again.

use super::places::{SHARES, listed, make, read, shown};
use super::{Person, Room};
use crate::common::subject::bytes_of;
use crate::common::wait::wait_until;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The first file of a share at this path.
fn first_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("1") } else { path.to_path_buf() }
}

/// The paths from which this person shares something.
fn shared_from(person: &Person) -> Vec<PathBuf> {
    let session = person.login.session().expect("logged in");
    session.slot().shares().into_iter().map(|share| share.path).collect()
}

/// Changes a byte and keeps the size and the times.
fn damage(path: &Path) {
    let times = fs::metadata(path).expect("there").modified().expect("known");
    let file = OpenOptions::new().write(true).open(path).expect("there");
    file.write_all_at(b"?", 1000).expect("written");
    file.set_modified(times).expect("set");
}

/// Bob has downloaded this from Alice.
fn downloaded(alice: &mut Person, bob: &mut Person, name: &str, data: &[u8]) {
    make(&alice.folder, name, data);
    alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
    bob.expect(&format!("download_file lab {name} ."), "Downloading...\n");
    bob.sees(&format!("Download completed: [lab] {name}"));
    bob.events.take();
}

#[test]
fn a_deleted_moved_or_changed_download_comes_again_and_is_shared_from_there() {
    for name in SHARES {
        for what in ["deleted", "deleted before a login", "changed", "changed with its time kept"] {
            let room = Room::new();
            let (mut alice, mut others) = room.group_of(&["bob", "carol"]);
            let [bob, carol] = &mut others[..] else { panic!("two members") };
            let data = bytes_of(1_500_000, 1);
            downloaded(&mut alice, bob, name, &data);
            let own = bob.folder.join(name);
            match what {
                "changed" => fs::write(first_file(&own), "changed").expect("written"),
                "changed with its time kept" => damage(&first_file(&own)),
                _ => fs::remove_file(first_file(&own)).expect("there"),
            }
            if what.ends_with("login") {
                bob.expect("logout", "Logout successful\n");
                bob.expect("login bob pw", "Login successful\n");
            }
            fs::create_dir(bob.folder.join("again")).expect("room");
            bob.expect(&format!("download_file lab {name} again"), "Downloading...\n");
            bob.sees(&format!("Download completed: [lab] {name}"));
            let again = bob.folder.join("again").join(name);
            assert!(read(&again) == data, "{what}");
            let again = [again.canonicalize().expect("there")];
            wait_until("it is shared from there", || shared_from(bob) == again);
            alice.expect("logout", "Logout successful\n");
            carol.expect(&format!("download_file lab {name} ."), "Downloading...\n");
            carol.sees(&format!("Download completed: [lab] {name}"));
            assert!(read(&carol.folder.join(name)) == data, "{what}");
        }
    }
}

#[test]
fn a_second_copy_is_made_on_this_machine_with_no_member_online_and_both_stay() {
    for name in SHARES {
        let room = Room::new();
        let (mut alice, mut others) = room.group_of(&["bob"]);
        let bob = &mut others[0];
        let data = bytes_of(1_500_000, 1);
        downloaded(&mut alice, bob, name, &data);
        alice.expect("logout", "Logout successful\n");
        bob.expect(&format!("download_file lab {name} copy"), "Downloading...\n");
        bob.sees(&format!("Download completed: [lab] {name}"));
        assert!(read(&bob.folder.join("copy")) == data);
        assert!(read(&bob.folder.join(name)) == data);
        assert!(!bob.folder.join("copy.part").exists());
        assert!(shown(bob, name).starts_with("[C]"));
        assert_eq!(shared_from(bob), [bob.folder.join(name).canonicalize().expect("there")]);
        // The same for the first sharer.
        alice.expect("login alice pw", "Login successful\n");
        bob.expect("logout", "Logout successful\n");
        alice.expect(&format!("download_file lab {name} copy"), "Downloading...\n");
        alice.sees(&format!("Download completed: [lab] {name}"));
        assert!(read(&alice.folder.join("copy")) == data);
        bob.expect("login bob pw", "Login successful\n");
        wait_until("both share it", || listed(bob, name).contains("2 members online with it"));
    }
}

#[test]
fn a_share_of_another_group_is_copied_and_shared_in_this_one_too() {
    for name in SHARES {
        let room = Room::new();
        let (mut alice, mut others) = room.group_of(&["bob"]);
        let bob = &mut others[0];
        let data = bytes_of(1_500_000, 1);
        make(&alice.folder, name, &data);
        alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
        alice.expect("logout", "Logout successful\n");
        bob.expect("create_group attic", "Group created\n");
        make(&bob.folder, name, &data);
        bob.expect(&format!("upload_file {name} attic"), "Uploaded\n");
        bob.expect(&format!("download_file lab {name} copy"), "Downloading...\n");
        bob.sees(&format!("Download completed: [lab] {name}"));
        assert!(read(&bob.folder.join("copy")) == data);
        assert!(listed(bob, name).contains("1 member online with it"));
        assert_eq!(shared_from(bob).len(), 2);
    }
}

#[test]
fn the_right_pieces_of_a_copy_are_given_again_once_its_download_is_cancelled() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let bob = &mut others[0];
    downloaded(&mut alice, bob, "album", &bytes_of(1_500_000, 1));
    fs::remove_file(bob.folder.join("album/1")).expect("there");
    alice.expect("logout", "Logout successful\n");
    bob.expect("download_file lab album again", "Downloading...\n");
    wait_until("it waits", || shown(bob, "album").contains("waiting for members"));
    bob.expect("cancel_download lab album", "Cancelled\n");
    bob.sees("album/1");
    wait_until("bob gives the rest", || listed(bob, "album").contains("1 member online with it"));
}

#[test]
fn of_a_copy_that_is_partly_wrong_only_what_is_wrong_comes_from_a_member() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let bob = &mut others[0];
    let data = bytes_of(1_500_000, 1);
    downloaded(&mut alice, bob, "film", &data);
    damage(&bob.folder.join("film"));
    bob.expect("download_file lab film copy", "Downloading...\n");
    bob.sees("Download completed: [lab] film");
    assert!(read(&bob.folder.join("copy")) == data);
    let shown = bob.types("show_downloads").expect("shown");
    assert!(shown.contains("alice 524.3 kB (100 %)"), "{shown}");
}
