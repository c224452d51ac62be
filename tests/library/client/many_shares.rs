//! Many shares of one client.

use super::*;
use std::os::unix::fs::MetadataExt;

const MANY: usize = 40;

/// The records of the client in this folder: the file's number, its time of last write, and its bytes.
fn records(person: &Person) -> (u64, i64, Vec<u8>) {
    let mut folders = vec![person.folder.join("state")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("there").map(|entry| entry.expect("read").path()) {
            match entry.file_name() {
                _ if entry.is_dir() => folders.push(entry),
                Some(name) if name == "records" => {
                    let metadata = fs::metadata(&entry).expect("there");
                    return (metadata.ino(), metadata.mtime_nsec(), fs::read(entry).expect("there"));
                }
                _ => {}
            }
        }
    }
    panic!("no records");
}

#[test]
fn a_login_at_which_nothing_has_changed_brings_all_shares_back_and_writes_no_record() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    for number in 0..MANY {
        alice.file(&format!("f{number}"), &bytes_of(10, number as u8));
        alice.expect(&format!("upload_file f{number} lab"), "Uploaded\n");
    }
    for _ in 0..2 {
        alice.expect("logout", "Logout successful\n");
        let before = records(&alice);
        alice.expect("login alice pw", "Login successful\n");
        wait_until("all are there again", || {
            others[0].types("list_files lab").expect("listed").matches("1 member online").count() == MANY
        });
        assert!(records(&alice) == before, "written for nothing");
    }
}

#[test]
fn a_share_that_has_changed_keeps_no_other_from_coming_back() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    for number in 0..MANY {
        alice.file(&format!("f{number}"), &bytes_of(10, number as u8));
        alice.expect(&format!("upload_file f{number} lab"), "Uploaded\n");
    }
    alice.expect("logout", "Logout successful\n");
    fs::remove_file(alice.folder.join("f7")).expect("it is there");
    alice.expect("login alice pw", "Login successful\n");
    wait_until("the others are there again", || {
        others[0].types("list_files lab").expect("listed").matches("1 member online").count() == MANY - 1
    });
    others[0].expect("download_file lab f8 .", "Downloading...\n");
    others[0].sees("Download completed");
}

#[test]
fn the_shares_of_a_users_second_client_pass_to_the_one_that_comes_back() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let mut second = Person::sit_down(room.tracker.addr, &room.place("alice"));
    second.expect("login alice pw", "Login successful\n");
    alice.file("f", &bytes_of(300_000, 1));
    alice.file("g", &bytes_of(300_000, 2));
    alice.expect("upload_file f lab", "Uploaded\n");
    second.expect("upload_file g lab", "Uploaded\n");
    others[0].file("h", &bytes_of(300_000, 3));
    others[0].expect("upload_file h lab", "Uploaded\n");
    others[0].expect("logout", "Logout successful\n");
    second.expect("download_file lab h .", "Downloading...\n");
    drop((alice, second));
    let mut alice = Person::sit_down(room.tracker.addr, &room.place("alice"));
    alice.expect("login alice pw", "Login successful\n");
    alice.sees(
        "1 share and 1 unfinished download of another client of yours that is not logged in came over to this one",
    );
    let bob = &mut others[0];
    bob.expect("login bob pw", "Login successful\n");
    alice.sees("Download completed: [lab] h");
    bob.expect("download_file lab g .", "Downloading...\n");
    bob.sees("Download completed: [lab] g");
    assert!(bob.read("g") == bytes_of(300_000, 2));
}

#[test]
fn a_second_client_that_still_runs_keeps_what_it_shares() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let mut second = Person::sit_down(room.tracker.addr, &room.place("alice"));
    second.expect("login alice pw", "Login successful\n");
    second.file("g", &bytes_of(300_000, 2));
    second.expect("upload_file g lab", "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    alice.expect("login alice pw", "Login successful\n");
    assert!(!alice.events.holds("another client"));
    others[0].expect("download_file lab g .", "Downloading...\n");
    others[0].sees("Download completed: [lab] g");
    assert_eq!(second.login.session().expect("logged in").slot().shares().len(), 1);
    assert_eq!(alice.login.session().expect("logged in").slot().shares().len(), 0);
}
