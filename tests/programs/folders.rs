//! Shared folders as users see them. New, changed and removed files of a folder appear, change and disappear in the
//! group.

use crate::common::installation::Installation;
use crate::common::program::Program;
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn place(installation: &Installation, path: &str) -> PathBuf {
    installation.folder.path().join(path)
}

fn remove(installation: &Installation, path: &str) {
    fs::remove_file(place(installation, path)).expect("there");
}

fn write(installation: &Installation, path: &str, content: impl AsRef<[u8]>) {
    let path = place(installation, path);
    fs::create_dir_all(path.parent().expect("it has one")).expect("made");
    fs::write(path, content).expect("room");
}

/// Writes files into alice's folder `pool`.
fn fill(installation: &Installation, files: &[&str]) {
    fs::create_dir(place(installation, "alice/pool")).expect("made");
    files.iter().for_each(|file| write(installation, &format!("alice/pool/{file}"), file));
}

/// Alice owns the group lab and shares the folder `pool` there. Bob is a member.
fn pool(installation: &Installation, files: &[&str]) -> (Program, Program) {
    let (mut alice, [bob]) = installation.group("lab", "alice", ["bob"]);
    fill(installation, files);
    share(&mut alice, files.iter().filter(|file| !file.contains(".hidden") && !file.ends_with(".part")).count());
    (alice, bob)
}

/// Alice shares her folder, which has `count` files that can be shared.
fn share(alice: &mut Program, count: usize) {
    alice.told("share_folder pool lab", "Sharing the folder");
    // A script waits in this way for the existing files.
    alice.answers("wait");
    let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    alice.told("show_folders", &format!("shared in lab: {files}"));
}

/// Bob downloads a file. Returns its content.
fn fetched(installation: &Installation, bob: &mut Program, file: &str, to: &str) -> Vec<u8> {
    bob.told(&format!("download_file lab {file} {to}"), "Downloading...");
    bob.expect(&format!("Download completed: [lab] {file}"));
    fs::read(place(installation, &format!("bob/{to}"))).expect("there")
}

#[test]
fn a_file_comes_changes_and_goes_in_the_group_as_in_the_shared_folder() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &["a.txt", "sub/b.txt", ".hidden", "film.part", "sub/same.txt"]);
    bob.told("list_files lab", "a.txt  5 B, 1 member online with it");
    bob.expect("sub/b.txt  9 B, 1 member online with it");
    assert_eq!(fetched(&installation, &mut bob, "sub/b.txt", "b.txt"), b"sub/b.txt");
    write(&installation, "alice/pool/new/deep/c.txt", "new");
    bob.until("list_files lab", "new/deep/c.txt  3 B, 1 member online with it");
    write(&installation, "alice/pool/a.txt", "another version");
    bob.until("list_files lab", "a.txt  15 B, 1 member online with it");
    assert_eq!(fetched(&installation, &mut bob, "a.txt", "a.txt"), b"another version");
    // The same content at two places makes two shares, and one of them ends.
    write(&installation, "alice/pool/new/same.txt", "sub/same.txt");
    bob.until("list_files lab", "new/same.txt  12 B, 1 member online with it");
    fs::remove_file(place(&installation, "alice/pool/sub/same.txt")).expect("there");
    gone(&mut bob, "sub/same.txt");
    assert_eq!(fetched(&installation, &mut bob, "new/same.txt", "same.txt"), b"sub/same.txt");
    fs::rename(place(&installation, "alice/pool/new"), place(&installation, "alice/pool/old")).expect("moved");
    bob.until("list_files lab", "old/deep/c.txt  3 B, 1 member online with it");
    gone(&mut bob, "new/deep/c.txt");
    let refused =
        alice.answers("stop_share lab old/deep/c.txt").iter().any(|line| line.text.contains("unshare_folder"));
    assert!(refused);
    alice.told("unshare_folder pool", "Stopped sharing the folder");
    alice.told("show_folders", "No folder is shared or follows a group");
    gone(&mut bob, "old/deep/c.txt");
}

/// Removes files of alice's folder, so that her client hears of all of them together.
fn removed_at_once(installation: &Installation, alice: &Program, files: &[&str]) {
    alice.signal(Signal::STOP);
    files.iter().for_each(|file| remove(installation, &format!("alice/pool/{file}")));
    alice.signal(Signal::CONT);
}

/// Waits until a file is no longer shared.
fn gone(bob: &mut Program, file: &str) {
    crate::common::wait::wait_until("it is shared no longer", || {
        !bob.answers("list_files lab").iter().any(|line| line.text.starts_with(&format!("{file}  ")))
    });
}

#[test]
fn a_client_makes_up_for_folder_changes_while_it_was_killed_or_logged_out() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (alice, mut bob) = pool(&installation, &["a", "b", "c", "d", "e", "f"]);
    alice.kill();
    write(&installation, "alice/pool/a", "changed");
    write(&installation, "alice/pool/new", "new");
    fs::remove_file(place(&installation, "alice/pool/b")).expect("there");
    fs::rename(place(&installation, "alice/pool/c"), place(&installation, "alice/pool/moved")).expect("moved");
    let _alice = installation.user_again("alice");
    gone(&mut bob, "b");
    gone(&mut bob, "c");
    for line in [
        "a  7 B, 1 member online",
        "new  3 B, 1 member online",
        "moved  1 B, 1 member online",
        "d  1 B, 1 member online",
    ] {
        bob.until("list_files lab", line);
    }
    assert_eq!(fetched(&installation, &mut bob, "moved", "moved"), b"c");
}

#[test]
fn files_that_are_gone_at_once_stay_shared_until_the_user_agrees_and_a_folder_that_is_away_ends_nothing() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &["a", "b", "c", "d"]);
    let (pool, away) = (place(&installation, "alice/pool"), place(&installation, "alice/away"));
    fs::rename(&pool, &away).expect("moved");
    alice.expect("alice/pool in lab: it is not there, or another folder is in its place");
    bob.told("list_files lab", "a  1 B");
    fs::rename(&away, &pool).expect("moved");
    alice.until("show_folders", "shared in lab: 4 files");
    removed_at_once(&installation, &alice, &["a", "b", "c"]);
    alice.expect("alice/pool in lab: 3 of its files are gone and stay shared");
    alice.until("show_folders", "shared in lab: 4 files, 3 gone");
    bob.told("list_files lab", "a  1 B");
    alice.told("share_folder pool lab", "Sharing the folder");
    alice.expect("alice/pool in lab: 3 files no longer shared");
    alice.until("show_folders", "shared in lab: 1 file");
    ["a", "b", "c"].iter().for_each(|file| gone(&mut bob, file));
}

#[test]
fn a_folder_shared_anew_also_by_a_script_rechecks_refused_and_gone_files() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, [mut bob]) = installation.group("lab", "alice", ["bob"]);
    write(&installation, "bob/taken", "of bob");
    bob.told("upload_file taken lab", "Uploaded");
    fill(&installation, &["a", "b", "c", "d", "e", "taken"]);
    share(&mut alice, 5);
    let told = "alice/pool in lab: taken is not shared: Another file is shared under this name";
    assert!(alice.heard().iter().any(|line| line.text.contains(told)), "{:?}", alice.heard());
    alice.told("show_folders", "shared in lab: 5 files; taken is not shared: Another file");
    bob.told("stop_share lab taken", "Stopped sharing");
    share(&mut alice, 6);
    // A late name that cannot be shared is reported too.
    write(&installation, "alice/pool/bad~", "x");
    alice.say("quit");
    alice.end();
    ["a", "b", "c", "d"].iter().for_each(|file| remove(&installation, &format!("alice/pool/{file}")));
    let script = ["--exec", "login alice pw", "--exec", "share_folder pool lab"];
    let mut script = installation.person_again("alice", &script);
    script.close_input();
    let (status, said) = script.end();
    assert!(status.success() && said.contains("pool/bad~ is not shared: "), "{said}");
    ["a", "b", "c", "d"].iter().for_each(|file| gone(&mut bob, file));
    bob.told("list_files lab", "e  1 B, no member online with it");
}

#[test]
fn a_folder_that_is_shared_no_longer_while_a_file_of_it_is_read_leaves_nothing_behind() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &["a"]);
    write(&installation, "alice/pool/big", vec![7; 200_000_000]);
    write(&installation, "alice/other/b", "b");
    alice.until("show_folders", "1 waiting");
    alice.told("unshare_folder pool", "Stopped sharing the folder");
    // The client's present work has ended once it shares another folder.
    alice.told("share_folder other lab", "Sharing the folder");
    bob.until("list_files lab", "b  1 B, 1 member online with it");
    assert!(!bob.answers("list_files lab").iter().any(|line| line.text.starts_with("big  ")));
    alice.told("logout", "Logout successful");
    alice.told("login alice pw", "Login successful");
    bob.until("list_files lab", "b  1 B, 1 member online with it");
    assert!(!bob.answers("list_files lab").iter().any(|line| line.text.starts_with("big  ")));
}

#[test]
fn folders_that_overlap_are_refused() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, _bob) = pool(&installation, &["sub/a"]);
    alice.told("create_group class", "Group created");
    for folder in ["pool/sub", "pool", "."] {
        alice.told(&format!("share_folder {folder} class"), "two such folders cannot overlap");
    }
    fs::create_dir(place(&installation, "alice/state/x")).expect("made");
    alice.told("share_folder state/x lab", "holds this client's own state");
    alice.told("share_folder nowhere lab", "No such file or directory");
    alice.told("share_folder tracker_info.txt lab", "is not a folder");
    alice.told("unshare_folder state", "is not a shared folder");
    alice.told("share_folder state nowhere", "Group does not exist");
}

#[test]
fn a_script_shares_what_is_there_before_it_ends() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &[]);
    alice.told("unshare_folder pool", "Stopped sharing");
    alice.told("logout", "Logout successful");
    for number in 0..30 {
        write(&installation, &format!("alice/pool/{number}"), "content");
    }
    let commands = ["--exec", "login alice pw", "--exec", "share_folder pool lab"];
    let mut script = installation.person_again("alice", &commands);
    script.close_input();
    let (status, error) = script.end();
    assert!(status.success(), "{error}");
    bob.told("list_files lab", "0  7 B, no member online with it");
    bob.until("list_files lab", "29  7 B, no member online with it");
}

#[test]
fn members_keep_up_with_a_folder_through_kills_of_its_sharer_and_of_the_tracker() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let (mut alice, [mut bob, mut carol]) = installation.group("lab", "alice", ["bob", "carol"]);
    fill(&installation, &["a", "b", "sub/c"]);
    share(&mut alice, 3);
    tracker.kill();
    write(&installation, "alice/pool/a", "while it was away");
    remove(&installation, "alice/pool/b");
    write(&installation, "alice/pool/sub/d", "new");
    let _tracker = installation.tracker(1);
    for member in [&mut bob, &mut carol] {
        member.until("list_files lab", "a  17 B, 1 member online with it");
        member.until("list_files lab", "sub/d  3 B, 1 member online with it");
        gone(member, "b");
    }
    assert_eq!(fetched(&installation, &mut bob, "a", "a"), b"while it was away");
    alice.kill();
    write(&installation, "alice/pool/a", "again");
    remove(&installation, "alice/pool/sub/c");
    bob.kill();
    let mut bob = installation.user_again("bob");
    let _alice = installation.user_again("alice");
    bob.expect("alice has shared a new version of a in lab");
    for member in [&mut bob, &mut carol] {
        member.until("list_files lab", "a  5 B, 1 member online with it");
        gone(member, "sub/c");
    }
    // A member with an old version keeps it, and no file of a user's own is touched.
    assert_eq!(fs::read(place(&installation, "bob/a")).expect("there"), b"while it was away");
    assert_eq!(fs::read(place(&installation, "alice/pool/sub/d")).expect("there"), b"new");
    let mut sub = fs::read_dir(place(&installation, "alice/pool/sub")).expect("there");
    assert_eq!((sub.next().is_some(), sub.next().is_none()), (true, true));
    carol.told("download_file lab a .", "Download completed: [lab] a");
    assert_eq!(fs::read(place(&installation, "carol/a")).expect("there"), b"again");
}

#[test]
fn events_that_did_not_fit_into_the_queue_are_made_up_for() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &["changes", "goes", "stays", "old/deep"]);
    alice.signal(Signal::STOP);
    let room = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("Linux tells");
    let room: usize = room.trim().parse().expect("a number");
    write(&installation, "alice/pool/.a", "");
    let hidden = [".a", ".b"].map(|name| place(&installation, "alice/pool").join(name));
    // Two events for each new name.
    for turn in 0..=room / 2 {
        fs::rename(&hidden[turn % 2], &hidden[(turn + 1) % 2]).expect("renamed");
    }
    // The system reports none of these.
    write(&installation, "alice/pool/changes", "another content");
    remove(&installation, "alice/pool/goes");
    write(&installation, "alice/pool/new/deep/file", "new");
    fs::rename(place(&installation, "alice/pool/old"), place(&installation, "alice/pool/moved")).expect("moved");
    alice.signal(Signal::CONT);
    for line in ["changes  15 B, 1 member", "stays  5 B, 1 member", "new/deep/file  3 B", "moved/deep  8 B, 1 member"] {
        bob.until("list_files lab", line);
    }
    ["goes", "old/deep"].iter().for_each(|file| gone(&mut bob, file));
    // And it hears of later changes, also in folders that are new.
    write(&installation, "alice/pool/new/deep/later", "later");
    bob.until("list_files lab", "new/deep/later  5 B, 1 member online with it");
    alice.until("show_folders", "shared in lab: 5 files");
}

#[test]
fn a_folder_that_the_system_does_not_watch_is_looked_through_from_time_to_time() {
    let alone = ["--user", "--map-root-user", "sh", "-c"];
    let may = Command::new("unshare").args(alone).arg("echo 1 > /proc/sys/user/max_inotify_watches").output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("no user namespace with limits of its own can be made here");
        return;
    }
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut owner, []) = installation.group("lab", "owner", []);
    let mut alice = installation.user("alice", &[]);
    alice.joins("alice", "lab", &mut owner);
    alice.kill();
    fill(&installation, &["a", "sub/b"]);
    let mut client = Command::new("unshare");
    client.args(alone).arg("echo 1 > /proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"");
    client.arg(env!("CARGO_BIN_EXE_client")).args(["--state-dir", "state", "127.0.0.1:0", "tracker_info.txt"]);
    let mut alice = Program::start(client.current_dir(place(&installation, "alice")));
    alice.told("login alice pw", "Login successful");
    alice.told("share_folder pool lab", "Sharing the folder");
    alice.expect("alice/pool in lab: the system allows no more watches of folders");
    write(&installation, "alice/pool/sub/c", "new");
    write(&installation, "alice/pool/a", "another version");
    owner.until("list_files lab", "a  15 B, 1 member online with it");
    owner.until("list_files lab", "sub/c  3 B, 1 member online with it");
    alice.told("show_folders", "the client looks through the folder from time to time");
    let told = alice.heard().iter().filter(|line| line.text.contains("lab: the system allows no more watches"));
    assert_eq!(told.count(), 1, "once");
}

const FULL: &str = "alice/pool in lab: not all of its files are shared: This would be over a limit: you share 4 files of \
                    4; stop sharing some, or ask the operator";

#[test]
fn a_user_over_the_limit_is_told_once_and_waiting_files_come_with_room() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker_with(installation.folder.path(), 1, &["--limit", "shares=4"]);
    let (mut alice, [mut bob]) = installation.group("lab", "alice", ["bob"]);
    write(&installation, "alice/alone", "alone");
    alice.told("upload_file alone lab", "Uploaded");
    fill(&installation, &["a", "b", "c", "d", "e"]);
    alice.told("share_folder pool lab", "Sharing the folder");
    alice.expect(FULL);
    // Waiting for the existing files does not wait for room.
    alice.answers("wait");
    alice.until(
        "show_folders",
        "shared in lab: 3 files, 2 waiting; not all of its files are shared: This would be over",
    );
    assert_eq!(bob.answers("list_files lab").iter().filter(|line| line.text.contains("1 member")).count(), 4);
    // Meanwhile it drops removed files, and waiting files take their places at once.
    remove(&installation, "alice/pool/a");
    gone(&mut bob, "a");
    bob.until("list_files lab", "d  1 B, 1 member online with it");
    alice.told("stop_share lab alone", "Stopped sharing");
    bob.until("list_files lab", "e  1 B, 1 member online with it");
    alice.until("show_folders", "shared in lab: 4 files");
    let lines = alice.answers("show_folders");
    assert!(!lines.iter().any(|line| line.text.contains("not all")), "{lines:?}");
    assert_eq!(alice.heard().iter().filter(|line| line.text.ends_with(FULL)).count(), 1, "once");
    // A script has done what it can, and its list is the same.
    write(&installation, "alice/pool/f", "f");
    alice.say("quit");
    alice.end();
    let mut script = Command::new(env!("CARGO_BIN_EXE_client"));
    script.current_dir(place(&installation, "alice")).args(["--state-dir", "state", "127.0.0.1:0", "tracker_info.txt"]);
    let script = script.args(["--exec", "login alice pw", "--exec", "share_folder pool lab"]).stdin(Stdio::null());
    let output = script.output().expect("started");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.lines().any(|line| line.ends_with(FULL)), "{said}");
}

#[test]
fn a_removed_member_hears_that_its_folder_is_shared_there_no_longer() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut owner, [mut alice]) = installation.group("lab", "owner", ["alice"]);
    fill(&installation, &["a"]);
    share(&mut alice, 1);
    owner.told("remove_member lab alice", "Member removed");
    alice.expect("alice/pool in lab: it is shared no longer: you are no member of the group any more");
    alice.told("show_folders", "No folder is shared or follows a group");
}

#[test]
fn names_of_one_file_are_shared_changed_renamed_and_withdrawn_each_for_itself() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &["a", "other"]);
    let at = |name: &str| place(&installation, &format!("alice/pool/{name}"));
    fs::hard_link(at("a"), at("b")).expect("made");
    bob.until("list_files lab", "b  1 B, 1 member online with it");
    // The system reports only the one name.
    fs::OpenOptions::new().append(true).open(at("a")).and_then(|mut file| file.write_all(b"more")).expect("room");
    bob.until("list_files lab", "a  5 B, 1 member online with it");
    bob.until("list_files lab", "b  5 B, 1 member online with it");
    assert_eq!(fetched(&installation, &mut bob, "b", "b"), b"amore");
    fs::create_dir(at("sub")).expect("made");
    for (from, to) in [("a", "sub/c"), ("b", "sub/d")] {
        fs::rename(at(from), at(to)).expect("moved");
    }
    bob.until("list_files lab", "sub/c  5 B, 1 member online with it");
    bob.until("list_files lab", "sub/d  5 B, 1 member online with it");
    gone(&mut bob, "a");
    bob.until("list_files lab", "b  5 B, 1 member online with it");
    remove(&installation, "alice/pool/sub/c");
    gone(&mut bob, "sub/c");
    assert_eq!(fetched(&installation, &mut bob, "sub/d", "d"), b"amore");
    alice.until("show_folders", "shared in lab: 2 files");
    assert!(!alice.heard().iter().any(|line| line.text.contains("are gone")), "nobody is asked");
}

/// Makes alice's client remember her folder with this device number, and with this birth time unless it is empty.
fn remembers(installation: &Installation, device: &str, born: &str) {
    let state = place(installation, "alice/state");
    let mut left = vec![state];
    while let Some(folder) = left.pop() {
        for path in fs::read_dir(folder).expect("there").map(|entry| entry.expect("readable").path()) {
            if path.is_dir() {
                left.push(path);
            } else if path.ends_with("folders") {
                let text = fs::read_to_string(&path).expect("there");
                let line = text.lines().find(|line| line.starts_with("shared\t")).expect("it is shared");
                let mut fields: Vec<&str> = line.split('\t').collect();
                fields[3] = device;
                fields[5] = if born.is_empty() { fields[5] } else { born };
                fs::write(&path, text.replace(line, &fields.join("\t"))).expect("room");
            }
        }
    }
}

#[test]
fn a_folder_is_known_again_after_a_start_of_the_system_and_another_disk_in_its_place_ends_nothing() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (alice, mut bob) = pool(&installation, &["a", "b", "c"]);
    alice.kill();
    // The disk has another number now.
    remembers(&installation, "1", "");
    remove(&installation, "alice/pool/a");
    write(&installation, "alice/pool/new", "new");
    let mut alice = installation.user_again("alice");
    bob.until("list_files lab", "new  3 B, 1 member online with it");
    gone(&mut bob, "a");
    alice.until("show_folders", "shared in lab: 3 files");
    alice.kill();
    // Another disk with the former number of the first one.
    let device = fs::metadata(place(&installation, "alice/pool")).expect("there").dev().to_string();
    remembers(&installation, &device, "7");
    remove(&installation, "alice/pool/b");
    let mut alice = installation.user_again("alice");
    alice.expect("it is not there, or another folder is in its place; what is shared of it stays shared");
    assert!(bob.answers("list_files lab").iter().any(|line| line.text.starts_with("b  1 B")));
    alice.told("share_folder pool lab", "Sharing the folder");
    gone(&mut bob, "b");
}

#[test]
fn a_file_that_changed_where_the_system_does_not_tell_of_it_is_shared_as_it_is_now() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &["a"]);
    // The system tells of changes by the name through which they come.
    fs::hard_link(place(&installation, "alice/pool/a"), place(&installation, "alice/outside")).expect("linked");
    alice.answers("wait");
    write(&installation, "alice/outside", "changed");
    // The client notices when somebody asks for the file.
    bob.told("download_file lab a old", "Downloading...");
    bob.until("list_files lab", "a  7 B, 1 member online with it");
    bob.told("cancel_download lab a", "Cancelled");
    assert_eq!(fetched(&installation, &mut bob, "a", "new"), b"changed");
}

#[test]
fn a_large_file_holds_up_no_small_one_and_can_change_and_go_while_it_is_read() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (mut alice, mut bob) = pool(&installation, &["a"]);
    let large = |byte: u8| {
        let mut content = vec![byte; 96 << 20];
        content.iter_mut().step_by(4096).zip(0_u8..=255).for_each(|(at, number)| *at = number);
        write(&installation, "alice/pool/film", content);
    };
    large(1);
    write(&installation, "alice/pool/small", "small");
    bob.until("list_files lab", "small  5 B, 1 member online with it");
    bob.until("list_files lab", "film  100.7 MB, 1 member online with it");
    large(2);
    write(&installation, "alice/pool/small", "small again");
    bob.until("list_files lab", "small  11 B, 1 member online with it");
    remove(&installation, "alice/pool/film");
    gone(&mut bob, "film");
    large(3);
    write(&installation, "alice/pool/other", "other");
    alice.answers("wait");
    alice.told("show_folders", "shared in lab: 4 files");
    bob.told("list_files lab", "film  100.7 MB, 1 member online with it");
    bob.told("download_file lab film film", "Downloading...");
    bob.expect("Download completed: [lab] film");
    let [shared, got] =
        ["alice/pool/film", "bob/film"].map(|path| fs::read(place(&installation, path)).expect("there"));
    assert!(shared == got);
    large(4);
    alice.told("unshare_folder pool", "Stopped sharing the folder");
    alice.say("quit");
    alice.end();
}
