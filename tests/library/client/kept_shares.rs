//! A share lasts until its user ends it. Meanwhile its files may be missing, touched, changed or being read.

use super::places::{make, read};
use super::{Person, Room};
use crate::common::names::group;
use crate::common::subject::bytes_of;
use crate::common::wait::wait_until;
use groupshare::client::shell::repl::Execute;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

const SHARES: [&str; 2] = ["film", "album"];

/// Alice shares the one of this name with Bob.
fn shared(name: &str) -> (Room, Person, Person, Vec<u8>) {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let data = bytes_of(3_000_000, 1);
    make(&alice.folder, name, &data);
    alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
    alice.events.take();
    let bob = others.remove(0);
    (room, alice, bob, data)
}

/// One of the files of a share.
fn one_file(folder: &Path, name: &str) -> PathBuf {
    if name == "album" { folder.join("album/sub/2") } else { folder.join(name) }
}

fn logs_in_again(person: &mut Person) {
    person.expect("logout", "Logout successful\n");
    person.expect("login alice pw", "Login successful\n");
}

fn has_record(person: &Person) -> bool {
    person.login.session().expect("logged in").slot().shares().len() == 1
}

fn asks_for(bob: &mut Person, name: &str) {
    bob.expect(&format!("download_file lab {name} ."), "Downloading...\n");
}

/// The output beside the answers to commands, except the news that a client reads a file for them. A busy machine takes
/// long to read, and then the client shows how far it is.
fn told(person: &Person) -> String {
    let reads = |line: &&str| *line == "Uploading...\n" || line.starts_with("Hashing: ");
    person.events.take().split_inclusive('\n').filter(|line| !reads(line)).collect()
}

fn has_it(bob: &Person, name: &str, data: &[u8]) {
    has_it_at(bob, name, name, data);
}

fn has_it_at(person: &Person, name: &str, place: &str, data: &[u8]) {
    person.sees(&format!("Download completed: [lab] {name}"));
    assert!(read(&person.folder.join(place)) == data);
}

/// Checks that Bob's list shows it with this many members online.
fn is_listed(bob: &mut Person, held: &str) {
    wait_until(held, || bob.types("list_files lab").expect("listed").contains(held));
}

#[test]
fn a_file_away_at_login_stays_shared_and_is_given_again_once_back() {
    for name in SHARES {
        let (_room, mut alice, mut bob, data) = shared(name);
        let (place, away) = (alice.folder.join(name), alice.folder.join("away"));
        fs::rename(&place, &away).expect("moved");
        for _ in 0..2 {
            alice.events.take();
            logs_in_again(&mut alice);
            alice.sees(&format!("{name} is not given to others in lab: {} is no longer there; once", place.display()));
            assert!(has_record(&alice));
            is_listed(&mut bob, "no member online with it");
        }
        fs::rename(&away, &place).expect("moved");
        alice.sees(&format!("{name} is given to others in lab again"));
        asks_for(&mut bob, name);
        has_it(&bob, name, &data);
    }
}

#[test]
fn a_missing_share_is_listed_and_can_be_stopped() {
    for name in SHARES {
        let (_room, mut alice, mut bob, _) = shared(name);
        alice.expect("show_uploads", "Nothing is being given to anybody now\n");
        let place = alice.folder.join(name);
        fs::rename(&place, alice.folder.join("away")).expect("moved");
        logs_in_again(&mut alice);
        alice.sees("no longer there");
        let line = format!("{} is no longer there; once it is back, it is shared again by itself", place.display());
        alice.expect("show_uploads", &format!("[M] [lab] {name}  {line}\n"));
        alice.expect(&format!("stop_share lab {name}"), "Stopped sharing\n");
        assert!(!has_record(&alice));
        alice.expect("show_uploads", "Nothing is being given to anybody now\n");
        bob.expect("list_files lab", "No files shared in this group yet; share one with upload_file\n");
    }
}

#[test]
fn a_disk_that_is_away_at_a_login_takes_a_few_lines_and_all_of_its_shares_come_back() {
    const COUNT: usize = 40;
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    let (disk, away) = (alice.folder.join("disk"), alice.folder.join("away"));
    fs::create_dir(&disk).expect("room");
    for number in 0..COUNT {
        fs::write(disk.join(number.to_string()), number.to_string()).expect("room");
        alice.expect(&format!("upload_file disk/{number} lab"), "Uploaded\n");
    }
    fs::rename(&disk, &away).expect("moved");
    alice.events.take();
    logs_in_again(&mut alice);
    let missing = |alice: &mut Person| alice.types("show_uploads").expect("listed").matches("[M]").count();
    wait_until("all are missed", || missing(&mut alice) == COUNT);
    alice.sees("more of your shares cannot be given to others; show_uploads names them");
    assert!(told(&alice).lines().count() < COUNT / 2);
    fs::rename(&away, &disk).expect("moved");
    wait_until("all are back", || missing(&mut alice) == 0);
    let mut online = || others[0].types("list_files lab").expect("listed").matches("1 member online with it").count();
    wait_until("the tracker has heard of all", || online() == COUNT);
}

#[test]
fn a_share_deleted_and_downloaded_anew_is_given_from_its_new_place() {
    for name in SHARES {
        let (_room, mut alice, mut bob, data) = shared(name);
        asks_for(&mut bob, name);
        has_it(&bob, name, &data);
        let place = alice.folder.join(name);
        fs::rename(&place, alice.folder.join("trash")).expect("moved");
        logs_in_again(&mut alice);
        alice.sees("no longer there");
        alice.expect(&format!("download_file lab {name} anew"), "Downloading...\n");
        has_it_at(&alice, name, "anew", &data);
        wait_until("nothing is missed", || {
            alice.types("show_uploads").expect("listed") == "Nothing is being given to anybody now\n"
        });
        bob.expect("logout", "Logout successful\n");
        is_listed(&mut alice, "1 member online with it");
        assert!(has_record(&alice));
    }
}

#[test]
fn a_share_that_goes_away_while_it_is_given_is_given_again_once_back() {
    for name in SHARES {
        let (_room, alice, mut bob, data) = shared(name);
        let (place, away) = (alice.folder.join(name), alice.folder.join("away"));
        fs::rename(&place, &away).expect("moved");
        asks_for(&mut bob, name);
        alice.sees(&format!("{name} is not given to others in lab: {} is no longer there; once", place.display()));
        is_listed(&mut bob, "no member online with it");
        fs::rename(&away, &place).expect("moved");
        alice.sees(&format!("{name} is given to others in lab again"));
        has_it(&bob, name, &data);
        assert_eq!(alice.events.take().matches("no longer there").count(), 1);
    }
}

#[test]
fn a_person_is_asked_once_whether_other_content_is_to_be_shared_and_yes_shares_it_under_the_same_name() {
    for (name, linked) in [("film", false), ("album", true)] {
        let (_room, mut alice, mut bob, _) = shared(name);
        let place = alice.folder.join(name);
        assert_eq!(alice.executor.question(), None, "nothing has changed");
        let other = bytes_of(2_000_000, 4);
        if linked {
            fs::create_dir(alice.folder.join("elsewhere")).expect("made");
            make(&alice.folder.join("elsewhere"), name, &other);
            fs::rename(&place, alice.folder.join("away")).expect("moved");
            symlink(alice.folder.join("elsewhere").join(name), &place).expect("made");
        } else {
            make(&alice.folder, name, &other);
        }
        logs_in_again(&mut alice);
        alice.sees(&format!("{name} is not given to others in lab: "));
        let question = alice.executor.question().expect("the user is asked");
        let place = fs::canonicalize(&place).expect("there");
        assert!(question.contains(&format!("{name} in lab")) && question.ends_with(" [y/N] "), "{question}");
        assert!(
            question.contains(&format!("{} ", place.display())) || question.contains(&format!("{},", place.display()))
        );
        assert_eq!(alice.executor.question(), None, "asked once");
        is_listed(&mut bob, "no member online with it");
        alice.executor.consent().expect("shared");
        is_listed(&mut bob, "1 member online with it");
        asks_for(&mut bob, name);
        has_it(&bob, name, &other);
    }
}

/// The SHA-1 of the one share in a list.
fn sha1_in(listed: &str) -> String {
    listed.split("sha1 ").nth(1).expect("told")[..40].to_owned()
}

/// Replaces a share, the folder in it, or the folder around it by a link to its old content.
fn link_instead(folder: &Path, name: &str, level: usize) -> (PathBuf, PathBuf) {
    let place = [folder.join(name), folder.join(name).join("sub"), folder.to_path_buf()][level].clone();
    let away = folder.with_file_name(format!("away from {}", place.display().to_string().replace('/', " ")));
    fs::rename(&place, &away).expect("moved");
    symlink(&away, &place).expect("made");
    (place, away)
}

#[test]
fn no_link_is_followed_that_was_none_when_it_was_shared() {
    for (name, level, login) in [
        ("film", 0, true),
        ("film", 0, false),
        ("album", 0, true),
        ("album", 1, true),
        ("album", 1, false),
        ("film", 2, true),
    ] {
        let (_room, mut alice, mut bob, data) = shared(name);
        let (place, away) = link_instead(&alice.folder, name, level);
        if login {
            logs_in_again(&mut alice);
        } else {
            asks_for(&mut bob, name);
        }
        alice.sees(" lies behind a symbolic link that was not there when it was shared; upload_file shares it anew");
        assert!(has_record(&alice));
        if level != 1 {
            is_listed(&mut bob, "no member online with it");
        }
        fs::remove_file(&place).and_then(|()| fs::rename(&away, &place)).expect("back");
        alice.sees(&format!("{name} is given to others in lab again"));
        if login {
            asks_for(&mut bob, name);
        }
        has_it(&bob, name, &data);
    }
}

#[test]
fn the_target_of_a_link_is_published_on_a_word_of_the_user_only() {
    for name in SHARES {
        let (_room, mut alice, mut bob, _) = shared(name);
        let before = bob.types("list_files lab").expect("listed");
        let private = alice.folder.join("private");
        fs::create_dir(&private).expect("made");
        let secret = bytes_of(3_000_000, 3);
        make(&private, name, &secret);
        fs::rename(alice.folder.join(name), alice.folder.join("away")).expect("moved");
        symlink(private.join(name), alice.folder.join(name)).expect("made");
        logs_in_again(&mut alice);
        alice.sees(&format!("{name} is not given to others in lab: "));
        is_listed(&mut bob, "no member online with it");
        assert_eq!(sha1_in(&bob.types("list_files lab").expect("listed")), sha1_in(&before), "no new version");
        alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
        asks_for(&mut bob, name);
        has_it(&bob, name, &secret);
    }
}

#[test]
fn yes_to_a_question_shares_what_lay_there_when_it_was_asked_and_nothing_that_came_since() {
    // A link in the place of the file in question, a link on the way there, and another file.
    for (name, level, linked) in [("film", 0, true), ("album", 0, true), ("film", 2, true), ("film", 0, false)] {
        let (_room, mut alice, mut bob, _) = shared(name);
        let before = bob.types("list_files lab").expect("listed");
        make(&alice.folder, name, &bytes_of(2_000_000, 4));
        logs_in_again(&mut alice);
        alice.sees("has changed since it was shared");
        alice.executor.question().expect("the user is asked");
        let private = alice.folder.with_file_name("private");
        fs::create_dir(&private).expect("made");
        make(&private, name, &bytes_of(2_500_000, 5));
        let place = if level == 2 { alice.folder.clone() } else { alice.folder.join(name) };
        fs::rename(&place, alice.folder.with_file_name("before")).expect("moved");
        match linked {
            true if level == 2 => symlink(&private, &place),
            true => symlink(private.join(name), &place),
            false => fs::rename(private.join(name), &place),
        }
        .expect("replaced");
        let refused = alice.executor.consent().expect_err("it is not what the user was asked about").to_string();
        assert!(refused.contains("was replaced a moment ago"), "{refused}");
        assert_eq!(sha1_in(&bob.types("list_files lab").expect("listed")), sha1_in(&before), "no new version");
        is_listed(&mut bob, "no member online with it");
    }
}

#[test]
fn permissions_taken_away_while_it_is_given_are_noticed_where_they_count() {
    for name in SHARES {
        let (_room, alice, mut bob, data) = shared(name);
        let file = one_file(&alice.folder, name);
        let allow = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
        allow(0);
        if fs::File::open(&file).is_err() {
            asks_for(&mut bob, name);
            alice.sees(&format!("cannot read {}: Permission denied", file.display()));
            allow(0o600);
            alice.sees(&format!("{name} is given to others in lab again"));
        } else {
            // A user who may read everything gives it all the same.
            asks_for(&mut bob, name);
        }
        has_it(&bob, name, &data);
    }
}

/// Ways to replace a file by another one with the same content.
fn touch(path: &Path, number: usize) {
    match number {
        0 => {
            let touched = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            fs::File::open(path).and_then(|file| file.set_modified(touched)).expect("touched");
        }
        _ => {
            let copy = path.with_extension("copy");
            fs::copy(path, &copy).expect("room");
            fs::rename(&copy, path).expect("replaced");
        }
    }
}

#[test]
fn a_share_touched_or_replaced_by_the_same_content_is_given_without_a_word() {
    for (name, way) in SHARES.into_iter().flat_map(|name| [(name, 0), (name, 1)]) {
        for login in [false, true] {
            let (_room, mut alice, mut bob, data) = shared(name);
            touch(&one_file(&alice.folder, name), way);
            if login {
                logs_in_again(&mut alice);
            }
            asks_for(&mut bob, name);
            has_it(&bob, name, &data);
            assert_eq!(told(&alice), "", "{name} {way}");
            // The client stores the new stamps: the next login reads nothing again.
            let kept = alice.login.session().expect("logged in").slot().shares()[0].stamps;
            logs_in_again(&mut alice);
            is_listed(&mut bob, "2 members online with it");
            assert_eq!(alice.login.session().expect("logged in").slot().shares()[0].stamps, kept);
        }
    }
}

#[test]
fn other_content_in_the_place_of_a_share_is_told_and_given_to_nobody_until_the_user_says_so() {
    for (name, login) in SHARES.into_iter().flat_map(|name| [(name, false), (name, true)]) {
        let (_room, mut alice, mut bob, data) = shared(name);
        let before = bob.types("list_files lab").expect("listed");
        let sha1 = before.split("sha1 ").nth(1).expect("told").to_owned();
        let other = bytes_of(3_000_000, 2);
        make(&alice.folder, name, &other);
        if login {
            logs_in_again(&mut alice);
        } else {
            asks_for(&mut bob, name);
        }
        alice.sees(&format!("{name} is not given to others in lab: "));
        assert!(alice.events.holds("has changed since it was shared") && has_record(&alice));
        is_listed(&mut bob, "no member online with it");
        assert!(bob.types("list_files lab").expect("listed").contains(&sha1), "the list has the earlier content");
        if !login {
            bob.expect(&format!("cancel_download lab {name}"), "Cancelled\n");
        }
        // The share comes back, and the client gives it again.
        make(&alice.folder, name, &data);
        alice.sees(&format!("{name} is given to others in lab again"));
        // Or the user decides to share the other content.
        make(&alice.folder, name, &other);
        alice.expect(&format!("upload_file {name} lab"), "Uploaded\n");
        asks_for(&mut bob, name);
        has_it(&bob, name, &other);
    }
}

#[test]
fn the_right_pieces_of_a_folder_are_given_while_one_file_is_deleted() {
    for login in [false, true] {
        let (_room, mut alice, mut bob, data) = shared("album");
        let (place, away) = (alice.folder.join("album/1"), alice.folder.join("1"));
        fs::rename(&place, &away).expect("moved");
        if login {
            logs_in_again(&mut alice);
        }
        asks_for(&mut bob, "album");
        alice.sees(&format!("album is given to others in part in lab: {} is no longer there; once", place.display()));
        // Two of the six pieces have bytes of the file.
        let session = bob.login.session().expect("logged in");
        let running = || session.downloads().running();
        wait_until("the others arrive", || running().first().is_some_and(|it| it.have().held() == 4));
        fs::rename(&away, &place).expect("moved");
        alice.sees("album is given to others in lab again");
        has_it(&bob, "album", &data);
        assert_eq!(alice.events.take().matches("in part").count(), 1);
    }
}

/// Writes other bytes into a file, or the right ones again, without a trace in its size and time.
fn tamper(path: &Path, data: &[u8]) {
    let modified = fs::metadata(path).and_then(|found| found.modified()).expect("known");
    let file = fs::File::options().write(true).open(path).expect("there");
    file.write_all_at(data, 1_500_000).and_then(|()| file.set_modified(modified)).expect("written");
}

#[test]
fn content_changed_with_size_and_time_kept_is_found_by_who_downloads_it_and_told_and_the_rest_is_given() {
    for (name, begin) in [("film", 0), ("album", 700_000)] {
        let (_room, mut alice, mut bob, data) = shared(name);
        let (file, right) = (one_file(&alice.folder, name), &data[begin + 1_500_000..][..10]);
        tamper(&file, b"0123456789");
        asks_for(&mut bob, name);
        let told = format!("{name} is given to others in part in lab: {} has changed since", file.display());
        alice.sees(&told);
        let running = || bob.login.session().expect("logged in").downloads().running();
        // The client may find the change before any request.
        wait_until("the others arrive", || running().first().is_some_and(|it| it.have().held() == 5));
        // The next login does not trust the stamps.
        logs_in_again(&mut alice);
        wait_until("it is told again", || alice.events.0.lock().matches(&told).count() == 2);
        tamper(&file, right);
        alice.sees(&format!("{name} is given to others in lab again"));
        has_it(&bob, name, &data);
        assert_eq!(bob.events.take().matches("failed").count(), 0);
    }
}

#[test]
fn another_version_shared_on_another_client_is_told_and_comes_with_update_file() {
    for runs in [true, false] {
        let (room, mut alice, mut bob, data) = shared("film");
        let mut laptop = Person::sit_down(room.tracker.addr, &room.place("laptop"));
        laptop.expect("login alice pw", "Login successful\n");
        let other = [&bytes_of(100, 3), &data[..]].concat();
        make(&laptop.folder, "film", &other);
        if !runs {
            alice.expect("logout", "Logout successful\n");
        }
        laptop.expect("upload_file film lab", "Uploaded\n");
        if !runs {
            alice.expect("login alice pw", "Login successful\n");
        }
        alice.sees("alice has shared a new version of film in lab: update_file lab film");
        assert!(has_record(&alice) && read(&alice.folder.join("film")) == data, "the old one stays");
        asks_for(&mut bob, "film");
        has_it(&bob, "film", &other);
        alice.expect("update_file lab film", "Downloading...\n");
        alice.sees("Download completed: [lab] film");
        assert!(read(&alice.folder.join("film")) == other);
        alice.expect("update_file lab film", "You have the latest version\n");
        assert_eq!(told(&laptop), "");
    }
}

#[test]
fn a_missing_share_stopped_on_another_client_is_told_now_or_at_next_login() {
    for (name, runs) in SHARES.into_iter().flat_map(|name| [(name, true), (name, false)]) {
        let (room, mut alice, _bob, _) = shared(name);
        let mut laptop = Person::sit_down(room.tracker.addr, &room.place("laptop"));
        laptop.expect("login alice pw", "Login successful\n");
        fs::rename(alice.folder.join(name), alice.folder.join("away")).expect("moved");
        alice.expect("logout", "Logout successful\n");
        if runs {
            alice.expect("login alice pw", "Login successful\n");
            alice.sees("no longer there");
        }
        laptop.expect(&format!("stop_share lab {name}"), "Stopped sharing\n");
        if !runs {
            alice.expect("login alice pw", "Login successful\n");
        }
        alice.sees(&format!("{name} is not shared in lab any more: "));
        wait_until("it is forgotten", || !has_record(&alice));
        alice.expect("show_uploads", "Nothing is being given to anybody now\n");
    }
}

#[test]
fn a_version_that_the_user_replaces_is_not_told_to_have_ended() {
    let (_room, mut alice, mut bob, _) = shared("film");
    let other = bytes_of(3_000_000, 4);
    make(&alice.folder, "film", &other);
    alice.expect("upload_file film lab", "Uploaded\n");
    asks_for(&mut bob, "film");
    has_it(&bob, "film", &other);
    assert!(has_record(&alice));
    let lab = alice.node.keyring.group_named(&group("lab")).expect("a member");
    let listed: Vec<_> = alice.node.catalog.list().iter().map(|served| served.group()).collect();
    assert_eq!(listed, [lab], "the version before is given no longer");
    assert_eq!(told(&alice), "");
}

/// A file that takes long to read, with this time of last write.
fn long_file(person: &Person, name: &str, modified: u64) {
    let path = person.folder.join(name);
    fs::write(&path, vec![1; 64 << 20]).expect("room");
    let file = fs::File::options().append(true).open(path).expect("there");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(modified)).expect("set");
}

/// Whether this process has the file open.
fn is_open(path: &Path) -> bool {
    let open = fs::read_dir("/proc/self/fd").expect("there");
    open.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
}

#[test]
fn a_logout_while_a_touched_share_is_read_again_leaves_it_shared() {
    let room = Room::new();
    let (mut alice, mut others) = room.group_of(&["bob"]);
    long_file(&alice, "f", 1_000_000_000);
    alice.expect("upload_file f lab", "Uploaded\n");
    alice.expect("logout", "Logout successful\n");
    long_file(&alice, "f", 1_000_000_001);
    for _ in 0..2 {
        alice.expect("login alice pw", "Login successful\n");
        wait_until("it is read", || is_open(&alice.folder.join("f")));
        alice.expect("logout", "Logout successful\n");
    }
    let bob = &mut others[0];
    assert!(bob.types("list_files lab").expect("listed").starts_with("f  67.1 MB, no member online with it"));
    alice.expect("login alice pw", "Login successful\n");
    wait_until("it is shared", || bob.types("list_files lab").expect("listed").contains("1 member online with it"));
}
