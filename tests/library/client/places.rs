//! What lies in the place of a download: taken if it is that content, left alone and told if it is not.

use super::{Person, Room};
use crate::common::subject::bytes_of;
use crate::common::wait::wait_until;
use std::fs;
use std::path::Path;

/// What is shared in these tests: a file, and a folder.
const SHARES: [&str; 2] = ["film", "album"];

/// Makes one of the shares in a folder, with these bytes in it.
pub(super) fn make(folder: &Path, name: &str, bytes: &[u8]) {
    match name {
        "film" => fs::write(folder.join(name), bytes).expect("room"),
        _ => {
            fs::create_dir_all(folder.join(name).join("sub")).expect("room");
            fs::write(folder.join(name).join("1"), &bytes[..700_000]).expect("room");
            fs::write(folder.join(name).join("sub/2"), &bytes[700_000..]).expect("room");
        }
    }
}

/// The bytes of one of the shares, wherever it lies.
pub(super) fn read(path: &Path) -> Vec<u8> {
    match path.is_dir() {
        false => fs::read(path).expect("it is there"),
        true => ["1", "sub/2"].map(|inner| fs::read(path.join(inner)).expect("it is there")).concat(),
    }
}

/// Alice shares this and leaves; Bob waits for it, so that nothing of it is there but its part.
fn waits(alice: &mut Person, bob: &mut Person, name: &str, data: &[u8]) {
    make(&alice.folder, name, data);
    alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    bob.expect(&format!("download_file lab {name} ."), "Downloading...\n");
    wait_until("it waits", || shown(bob, name).contains("waiting for members"));
}

fn shown(person: &mut Person, name: &str) -> String {
    let shown = person.types("show_downloads").expect("shown");
    shown.lines().find(|line| line.contains(&format!("[lab] {name}"))).unwrap_or_default().to_owned()
}

fn listed(person: &mut Person, name: &str) -> String {
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
            // Back in its place it goes on.
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
