//! Content with the same bytes under different names on a disk; what travels beside it; and what cannot be content.

use super::places::{SHARES, listed, make};
use super::{Person, Room};
use crate::common::subject::bytes_of;
use crate::common::wait::wait_until;
use groupshare::model::piece::PIECE_LEN;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

const PIECE: usize = PIECE_LEN as usize;

/// The files at a path, with those of a shared folder.
fn files_at(path: &Path) -> Vec<std::path::PathBuf> {
    if path.is_dir() { vec![path.join("1"), path.join("sub/2")] } else { vec![path.to_path_buf()] }
}

/// Changes the time of last write and nothing else.
fn touch(path: &Path) {
    for (at, file) in files_at(path).iter().enumerate() {
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + at as u64);
        File::open(file).expect("there").set_modified(time).expect("set");
    }
}

fn online(person: &mut Person, name: &str, members: &str) {
    wait_until("the members", || listed(person, name).contains(members));
}

#[test]
fn a_download_under_another_name_that_was_only_touched_is_shared_at_the_next_login() {
    for name in SHARES {
        let room = Room::new();
        let (mut alice, mut others) = room.group_of(&["bob"]);
        let bob = &mut others[0];
        make(&alice.folder, name, &bytes_of(1_500_000, 1));
        alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
        bob.expect(&format!("download_file lab {name} mine"), "Downloading...\n");
        bob.sees("Download completed");
        bob.expect("logout", "Logout successful\n");
        touch(&bob.folder.join("mine"));
        bob.expect("login bob pw", "Login successful\n");
        online(&mut alice, name, "2 members online with it");
        assert!(!bob.events.holds("not shared"), "{}", bob.events.take());
    }
}

#[test]
fn one_content_under_two_forms_of_unicode_is_one_share() {
    let (decomposed, composed) = ("Mu\u{308}ller", "M\u{fc}ller");
    for name in SHARES {
        let room = Room::new();
        let (mut alice, mut others) = room.group_of(&["bob", "carol"]);
        let [bob, carol] = &mut others[..] else { panic!("two members") };
        for (person, form) in [(&mut alice, decomposed), (bob, composed)] {
            make(&person.folder, name, &bytes_of(1_500_000, 1));
            let (from, to) = (person.folder.join(name), person.folder.join(form));
            fs::rename(from, &to).expect("renamed");
            if to.is_dir() {
                fs::write(to.join(format!("{form}.txt")), "same").expect("room");
            }
            person.expect(&format!("upload_file {form} lab"), "Uploaded\n");
        }
        online(carol, "M\u{fc}ller", "2 members online with it");
        // Each of them gives all of the content, under any name on the disk.
        alice.expect("logout", "Logout successful\n");
        let bob = &mut others[0];
        bob.expect("logout", "Logout successful\n");
        bob.expect("login bob pw", "Login successful\n");
        let carol = &mut others[1];
        carol.expect("download_file lab M\u{fc}ller .", "Downloading...\n");
        carol.sees("Download completed");
        let got = carol.folder.join("M\u{fc}ller");
        if got.is_dir() {
            assert_eq!(fs::read_to_string(got.join("M\u{fc}ller.txt")).expect("there"), "same");
        }
    }
}

#[test]
fn a_file_that_cannot_be_shared_keeps_no_other_file_of_a_folder_back() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    make(&alice.folder, "album", &bytes_of(1_500_000, 1));
    let album = alice.folder.join("album");
    let _socket = UnixListener::bind(album.join("agent")).expect("bound");
    fs::write(album.join(std::ffi::OsStr::from_bytes(b"\xff")), "").expect("room");
    fs::write(album.join("a\nb"), "").expect("room");
    alice.expect("upload_file album lab", "Uploaded\n");
    alice.sees("not shared: 1 socket, pipe or device and 2 names that cannot be shared, such as ");
    let bob = &mut others[0];
    bob.expect("download_file lab album .", "Downloading...\n");
    bob.sees("Download completed");
    assert!(bob.folder.join("album/sub/2").exists());
    fs::create_dir(alice.folder.join("only")).expect("room");
    let _other = UnixListener::bind(alice.folder.join("only/agent")).expect("bound");
    alice
        .refused("upload_file only lab", "only holds no file that can be shared; not shared: 1 socket, pipe or device");
    alice.refused("upload_file only/agent lab", "only/agent is neither a file nor a folder and cannot be shared");
}

#[test]
fn a_file_that_the_system_makes_up_is_refused_and_not_shared_as_empty() {
    let room = Room::new();
    let mut alice = room.person("alice");
    alice.expect("create_group lab", "Group created\n");
    let words = "/proc/version does not have as many bytes as it says; share a copy of it";
    alice.refused("upload_file /proc/version lab", words);
    alice.refused("upload_file /proc/sys/fs/epoll lab", "not shared: 1 file without a size of its own, such as /proc/");
    alice.expect("list_files lab", "No files shared in this group yet; share one with upload_file\n");
}

#[test]
fn programs_stay_programs_and_times_stay_and_both_are_no_part_of_the_content() {
    for name in SHARES {
        let room = Room::new();
        let (mut alice, mut others) = room.group_of(&["bob"]);
        let bob = &mut others[0];
        let data = bytes_of(1_500_000, 1);
        make(&alice.folder, name, &data);
        let shared = files_at(&alice.folder.join(name));
        fs::set_permissions(&shared[0], Permissions::from_mode(0o6755)).expect("set");
        touch(&alice.folder.join(name));
        alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
        bob.expect(&format!("download_file lab {name} ."), "Downloading...\n");
        bob.sees("Download completed");
        let got = files_at(&bob.folder.join(name));
        for (at, file) in got.iter().enumerate() {
            let metadata = fs::metadata(file).expect("there");
            assert_eq!(metadata.mtime(), 1_000_000_000 + at as i64);
            assert_eq!(metadata.mode() & 0o100 != 0, at == 0);
            assert_eq!(metadata.mode() & 0o7000, 0, "never more than that");
        }
        online(&mut alice, name, "2 members online with it");
        // It comes back at the next login without a second read. Another time and mode make no other content.
        bob.expect("logout", "Logout successful\n");
        bob.expect("login bob pw", "Login successful\n");
        online(&mut alice, name, "2 members online with it");
        fs::set_permissions(&got[0], Permissions::from_mode(0o600)).expect("set");
        File::open(&got[0]).expect("there").set_modified(UNIX_EPOCH).expect("set");
        bob.expect("logout", "Logout successful\n");
        bob.expect("login bob pw", "Login successful\n");
        online(&mut alice, name, "2 members online with it");
    }
}

#[test]
fn holes_stay_holes_from_member_to_member() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob", "carol"]);
    let mut data = vec![0; 60 * PIECE];
    data[20 * PIECE..21 * PIECE].copy_from_slice(&bytes_of(PIECE, 1));
    alice.file("disk.img", &data);
    alice.expect("upload_file disk.img lab", "Uploaded\n");
    for person in &mut others {
        person.expect("download_file lab disk.img .", "Downloading...\n");
        person.sees("Download completed");
        assert!(person.read("disk.img") == data);
        let room = fs::metadata(person.folder.join("disk.img")).expect("there").blocks() * 512;
        assert!(room <= 2 * PIECE as u64, "{room}");
        alice.expect("logout", "Logout successful\n");
        alice.expect("login alice pw", "Login successful\n");
    }
    let shown = others[1].types("show_downloads").expect("shown");
    assert!(shown.contains("524.3 kB"), "one piece was sent: {shown}");
}
