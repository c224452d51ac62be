//! Existing files in the place of a download. The client takes one with the right content. It leaves another alone, and
//! tells so.

use super::{Person, Room};
use crate::common::subject::bytes_of;
use crate::common::wait::wait_until;
use std::fs;
use std::path::{Path, PathBuf};

/// The shares in these tests: a file and a folder.
pub(super) const SHARES: [&str; 2] = ["film", "album"];

/// Makes one of the shares in a folder, with these bytes in it.
pub(super) fn make(folder: &Path, name: &str, bytes: &[u8]) {
    match name {
        "film" => fs::write(folder.join(name), bytes).expect("room"),
        _ => make_folder(&folder.join(name), bytes),
    }
}

fn make_folder(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.join("sub")).expect("room");
    fs::write(path.join("1"), &bytes[..700_000]).expect("room");
    fs::write(path.join("sub/2"), &bytes[700_000..]).expect("room");
}

/// The bytes of one of the shares at any path.
pub(super) fn read(path: &Path) -> Vec<u8> {
    match path.is_dir() {
        false => fs::read(path).expect("it is there"),
        true => ["1", "sub/2"].map(|inner| fs::read(path.join(inner)).expect("it is there")).concat(),
    }
}

/// Alice shares this and leaves. Bob waits for it, so only its part file is there.
fn waits(alice: &mut Person, bob: &mut Person, name: &str, data: &[u8]) {
    make(&alice.folder, name, data);
    alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    bob.expect(&format!("download_file lab {name} ."), "Downloading...\n");
    wait_until("it waits", || shown(bob, name).contains("waiting for members"));
}

pub(super) fn shown(person: &mut Person, name: &str) -> String {
    let shown = person.types("show_downloads").expect("shown");
    let of_it = || shown.lines().filter(|line| line.contains(&format!("[lab] {name}")));
    // An unfinished download stands first. Of the others, the one that began last stands last.
    of_it().find(|line| line.starts_with("[D]")).or_else(|| of_it().next_back()).unwrap_or_default().to_owned()
}

pub(super) fn listed(person: &mut Person, name: &str) -> String {
    let listed = person.types("list_files lab").expect("listed");
    listed.lines().find(|line| line.starts_with(&format!("{name}  "))).unwrap_or_default().to_owned()
}

#[test]
fn a_half_done_part_that_got_the_final_name_is_told_left_alone_and_not_given_on() {
    for name in SHARES {
        for login in [false, true] {
            let room = Room::new();
            let (mut alice, mut others) = room.group_of(&["bob"]);
            let bob = &mut others[0];
            waits(&mut alice, bob, name, &bytes_of(1_500_000, 1));
            match login {
                true => bob.expect("logout", "Logout successful\n"),
                false => bob.expect(&format!("pause_download lab {name}"), "Paused\n"),
            }
            let (part, place) = (bob.folder.join(format!("{name}.part")), bob.folder.join(name));
            fs::rename(&part, &place).expect("it is there");
            let before = read(&place);
            match login {
                true => bob.expect("login bob pw", "Login successful\n"),
                false => bob.expect(&format!("resume_download lab {name}"), "Downloading...\n"),
            }
            bob.sees(&format!("Download failed: [lab] {name}"));
            bob.sees(&format!("{} is there already and is not overwritten", place.display()));
            bob.sees("what is there is not this content");
            assert!(read(&place) == before);
            assert!(listed(bob, name).contains("no member online with it"), "{}", listed(bob, name));
            // Back in its place, the download goes on.
            fs::rename(&place, &part).expect("it is there");
            bob.expect(&format!("resume_download lab {name}"), "Downloading...\n");
            alice.expect("login alice pw", "Login successful\n");
            bob.sees("Download completed");
            assert!(read(&place) == bytes_of(1_500_000, 1));
        }
    }
}

#[test]
fn a_file_or_folder_of_ones_own_under_the_name_is_left_alone_whatever_its_size() {
    for name in SHARES {
        let room = Room::new();
        let (mut alice, mut others) = room.group_of(&["bob"]);
        let bob = &mut others[0];
        make(&alice.folder, name, &bytes_of(1_500_000, 1));
        alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
        let mut own = bytes_of(1_500_000, 1);
        *own.last_mut().expect("many") ^= 1;
        for (place, own) in [("same", &own), ("longer", &bytes_of(1_600_000, 2))] {
            fs::create_dir(bob.folder.join(place)).expect("room");
            make(&bob.folder.join(place), name, own);
            let answer = bob.types(&format!("download_file lab {name} {place}"));
            match place {
                "same" => bob.sees("Download failed"),
                _ => assert!(answer.expect_err("its size tells").contains("what is there is not this content")),
            }
            assert!(read(&bob.folder.join(place).join(name)) == *own);
            assert_eq!(fs::read_dir(bob.folder.join(place)).expect("there").count(), 1, "nothing is left beside it");
        }
        assert!(listed(bob, name).contains("1 member online with it"), "{}", listed(bob, name));
    }
}

#[test]
fn a_complete_copy_under_the_name_is_taken_for_the_download_and_given_on() {
    for name in SHARES {
        let room = Room::new();
        let (mut alice, mut others) = room.group_of(&["bob", "carol"]);
        let [bob, carol] = &mut others[..] else { panic!("two members") };
        let data = bytes_of(1_500_000, 1);
        make(&alice.folder, name, &data);
        alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
        alice.expect("logout", "Logout successful\n");
        make(&bob.folder, name, &data);
        bob.expect(&format!("download_file lab {name} ."), "Downloading...\n");
        bob.sees(&format!("Download completed: [lab] {name}"));
        assert!(shown(bob, name).starts_with("[C]"));
        carol.expect(&format!("download_file lab {name} ."), "Downloading...\n");
        carol.sees(&format!("Download completed: [lab] {name}"));
        assert!(read(&carol.folder.join(name)) == data);
    }
}

#[test]
fn a_file_that_takes_a_running_downloads_name_is_verified_before_its_end() {
    for name in SHARES {
        for right in [true, false] {
            let room = Room::new();
            let (mut alice, mut others) = room.group_of(&["bob"]);
            let bob = &mut others[0];
            let data = bytes_of(1_500_000, 1);
            waits(&mut alice, bob, name, &data);
            make(&bob.folder, name, if right { &data } else { &[7; 1_500_000] });
            alice.expect("login alice pw", "Login successful\n");
            if right {
                bob.sees(&format!("Download completed: [lab] {name}"));
                wait_until("nothing is left beside it", || !part_of(bob, name).exists());
                assert!(read(&bob.folder.join(name)) == data);
                alice.expect("logout", "Logout successful\n");
                assert!(listed(bob, name).contains("1 member online with it"));
            } else {
                bob.sees("what is there is not this content");
                assert!(read(&bob.folder.join(name)) == [7; 1_500_000]);
                assert!(part_of(bob, name).exists());
                assert!(listed(bob, name).contains("1 member online with it"), "alice alone");
            }
        }
    }
}

#[test]
fn a_download_that_got_its_name_just_before_a_kill_is_complete_at_the_next_login() {
    for name in SHARES {
        let room = Room::new();
        let (mut alice, mut others) = room.group_of(&["bob"]);
        let bob = &mut others[0];
        let data = bytes_of(1_500_000, 1);
        waits(&mut alice, bob, name, &data);
        bob.expect("logout", "Logout successful\n");
        let part = bob.folder.join(format!("{name}.part"));
        if name == "film" { fs::remove_file(part) } else { fs::remove_dir_all(part) }.expect("it is there");
        make(&bob.folder, name, &data);
        bob.expect("login bob pw", "Login successful\n");
        bob.sees(&format!("Download completed: [lab] {name}"));
        wait_until("nothing is left beside it", || !bob.folder.join(format!("{name}.part.meta")).exists());
        assert!(listed(bob, name).contains("1 member online with it"), "{}", listed(bob, name));
    }
}

/// The path of Bob's unfinished download.
fn part_of(bob: &Person, name: &str) -> PathBuf {
    bob.folder.join(format!("{name}.part"))
}

/// Bob's action before he cancels.
#[derive(Debug, Clone, Copy)]
enum Before {
    Waits,
    Paused,
    PausedAtLogin,
    Failed,
}

#[test]
fn cancelling_leaves_ones_own_file_folder_or_link_in_the_place_of_the_part_and_says_so() {
    for name in SHARES {
        for (before, other) in [
            (Before::Waits, "file"),
            (Before::Paused, "folder"),
            (Before::PausedAtLogin, "link"),
            (Before::PausedAtLogin, "file"),
            (Before::Failed, "folder"),
        ] {
            let room = Room::new();
            let (mut alice, mut others) = room.group_of(&["bob"]);
            let bob = &mut others[0];
            waits(&mut alice, bob, name, &bytes_of(1_500_000, 1));
            if !matches!(before, Before::Waits) {
                bob.expect(&format!("pause_download lab {name}"), "Paused\n");
            }
            let part = part_of(bob, name);
            fs::rename(&part, bob.folder.join("half")).expect("it is there");
            match before {
                Before::Waits | Before::Paused => {}
                Before::PausedAtLogin => {
                    bob.expect("logout", "Logout successful\n");
                    bob.expect("login bob pw", "Login successful\n");
                }
                Before::Failed => {
                    make(&bob.folder, name, &bytes_of(1_500_000, 2));
                    bob.expect(&format!("resume_download lab {name}"), "Downloading...\n");
                    bob.sees("Download failed");
                }
            }
            match other {
                "file" => fs::write(&part, "my notes").expect("room"),
                "folder" => make_folder(&part, &bytes_of(1_500_000, 3)),
                _ => std::os::unix::fs::symlink("half", &part).expect("room"),
            }
            bob.expect(&format!("cancel_download lab {name}"), "Cancelled\n");
            bob.sees(&format!("{} may not belong to the download and is left alone", part.display()));
            match other {
                "file" => assert_eq!(fs::read(&part).expect("kept"), b"my notes"),
                "folder" => assert!(read(&part) == bytes_of(1_500_000, 3), "{before:?}"),
                _ => assert!(part.is_symlink()),
            }
            assert!(bob.folder.join("half").exists(), "{before:?}");
            assert!(!bob.folder.join(format!("{name}.part.meta")).exists(), "{before:?}");
        }
    }
}

#[test]
fn cancelling_a_folder_leaves_ones_own_files_in_it_and_says_so() {
    for paused in [false, true] {
        let room = Room::new();
        let (mut alice, mut others) = room.group_of(&["bob"]);
        let bob = &mut others[0];
        waits(&mut alice, bob, "album", &bytes_of(1_500_000, 1));
        if paused {
            bob.expect("pause_download lab album", "Paused\n");
        }
        let part = part_of(bob, "album");
        fs::write(part.join("sub/notes"), "mine").expect("room");
        bob.expect("cancel_download lab album", "Cancelled\n");
        bob.sees(&format!("{} holds other files and is left alone", part.display()));
        assert_eq!(fs::read(part.join("sub/notes")).expect("kept"), b"mine");
        assert!(!part.join("1").exists() && !part.join("sub/2").exists());
    }
}

#[test]
fn a_destination_folder_that_is_renamed_takes_the_download_along_and_the_file_is_shared_from_there() {
    for name in SHARES {
        for login in [false, true] {
            let room = Room::new();
            let (mut alice, mut others) = room.group_of(&["bob", "carol"]);
            let [bob, carol] = &mut others[..] else { panic!("two members") };
            let data = bytes_of(1_500_000, 1);
            make(&alice.folder, name, &data);
            alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
            alice.expect("logout", "Logout successful\n");
            fs::create_dir(bob.folder.join("to")).expect("room");
            bob.expect(&format!("download_file lab {name} to"), "Downloading...\n");
            wait_until("it waits", || shown(bob, name).contains("waiting for members"));
            fs::rename(bob.folder.join("to"), bob.folder.join("moved")).expect("it is there");
            if login {
                // The client stores this before it ends, since a kill would leave no time.
                let session = bob.login.session().expect("logged in");
                let moved = bob.folder.join("moved").join(name);
                wait_until("the record follows", || session.slot().downloads()[0].destination == moved);
                bob.expect("logout", "Logout successful\n");
                bob.expect("login bob pw", "Login successful\n");
                bob.sees(&format!("Downloading {name} from lab goes on"));
            }
            alice.expect("login alice pw", "Login successful\n");
            bob.sees(&format!("Download completed: [lab] {name}"));
            let place = bob.folder.join("moved").join(name);
            assert!(read(&place) == data);
            let (session, place) = (bob.login.session().expect("logged in"), place.canonicalize().expect("there"));
            wait_until("it is shared from there", || session.slot().shares().iter().any(|share| share.path == place));
            assert!(!bob.folder.join("to").exists());
            alice.expect("logout", "Logout successful\n");
            carol.expect(&format!("download_file lab {name} ."), "Downloading...\n");
            carol.sees(&format!("Download completed: [lab] {name}"));
        }
    }
}

#[test]
fn a_destination_folder_that_is_removed_is_named_as_the_reason() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let bob = &mut others[0];
    make(&alice.folder, "film", &bytes_of(1_500_000, 1));
    alice.expect("upload_file film lab", "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    fs::create_dir(bob.folder.join("to")).expect("room");
    bob.expect("download_file lab film to", "Downloading...\n");
    wait_until("it waits", || shown(bob, "film").contains("waiting for members"));
    fs::remove_dir_all(bob.folder.join("to")).expect("removed");
    alice.expect("login alice pw", "Login successful\n");
    bob.sees(&format!("the folder {} was removed during the download", bob.folder.join("to").display()));
}

#[test]
fn a_download_whose_sidecar_is_lost_goes_on_at_login_and_after_a_pause() {
    for name in SHARES {
        for (login, damage) in [(true, None), (true, Some("")), (false, Some("groupshare unfin")), (false, None)] {
            let room = Room::new();
            let (mut alice, mut others) = room.group_of(&["bob"]);
            let bob = &mut others[0];
            let data = bytes_of(1_500_000, 1);
            waits(&mut alice, bob, name, &data);
            match login {
                true => bob.expect("logout", "Logout successful\n"),
                false => bob.expect(&format!("pause_download lab {name}"), "Paused\n"),
            }
            let sidecar = bob.folder.join(format!("{name}.part.meta"));
            match damage {
                None => fs::remove_file(sidecar),
                Some(text) => fs::write(sidecar, text),
            }
            .expect("it is there");
            match login {
                true => bob.expect("login bob pw", "Login successful\n"),
                false => bob.expect(&format!("resume_download lab {name}"), "Downloading...\n"),
            }
            alice.expect("login alice pw", "Login successful\n");
            bob.sees(&format!("Download completed: [lab] {name}"));
            assert!(read(&bob.folder.join(name)) == data);
        }
    }
}

#[test]
fn an_unfinished_download_on_a_disk_that_is_not_mounted_waits_and_makes_nothing_in_its_place() {
    for name in SHARES {
        for mount_point in [true, false] {
            let room = Room::new();
            let (mut alice, mut others) = room.group_of(&["bob"]);
            let bob = &mut others[0];
            let data = bytes_of(1_500_000, 1);
            make(&alice.folder, name, &data);
            alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
            alice.expect("logout", "Logout successful\n");
            let (disk, away) = (bob.folder.join("disk"), bob.folder.join("away"));
            fs::create_dir(&disk).expect("room");
            bob.expect(&format!("download_file lab {name} disk"), "Downloading...\n");
            wait_until("it waits", || shown(bob, name).contains("waiting for members"));
            bob.expect("logout", "Logout successful\n");
            fs::rename(&disk, &away).expect("there");
            if mount_point {
                fs::create_dir(&disk).expect("room");
            }
            bob.expect("login bob pw", "Login successful\n");
            bob.sees(&format!("Downloading {name} from lab does not go on: {}", disk.display()));
            bob.sees("resume_download begins anew without it");
            assert!(shown(bob, name).contains("paused"));
            assert!(!mount_point || fs::read_dir(&disk).expect("there").count() == 0, "nothing is made there");
            // The disk is mounted.
            if mount_point {
                fs::remove_dir(&disk).expect("empty");
            }
            fs::rename(&away, &disk).expect("there");
            bob.expect(&format!("resume_download lab {name}"), "Downloading...\n");
            alice.expect("login alice pw", "Login successful\n");
            bob.sees(&format!("Download completed: [lab] {name}"));
            assert!(read(&disk.join(name)) == data);
        }
    }
}

#[test]
fn an_unfinished_download_whose_part_is_gone_begins_anew_when_the_user_says_so() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let bob = &mut others[0];
    waits(&mut alice, bob, "film", &bytes_of(1_500_000, 1));
    bob.expect("logout", "Logout successful\n");
    fs::remove_file(part_of(bob, "film")).expect("there");
    bob.expect("login bob pw", "Login successful\n");
    bob.sees("film.part is not there");
    assert!(!part_of(bob, "film").exists());
    alice.expect("login alice pw", "Login successful\n");
    bob.expect("resume_download lab film", "Downloading...\n");
    bob.sees("Download completed: [lab] film");
}
