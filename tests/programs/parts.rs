//! Parts of a shared folder: listed, downloaded alone, given on, and extended. Clients are killed in the middle.

use crate::common::installation::{Installation, linked, same_digests};
use crate::common::listing::{Entry, listing};
use crate::update::noise;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes in which no two places are equal.
fn content(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at / 4096) as u8 ^ (at % 251) as u8 ^ seed).collect()
}

/// Alice's share: files with borders inside pieces.
fn files() -> BTreeMap<&'static str, Vec<u8>> {
    let lens = [("2023/a.jpg", 700_000), ("2023/b.jpg", 5), ("2024/a.jpg", 1_500_000), ("2024/b.png", 300_000)];
    let more = [("2024/c.jpg", 900_000), ("notes.txt", 10), ("video.mkv", 6_000_000)];
    lens.into_iter().chain(more).zip(1..).map(|((path, len), seed)| (path, content(len, seed))).collect()
}

fn make(folder: &Path) {
    for (path, bytes) in files() {
        let path = folder.join("photos").join(path);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
        fs::write(path, bytes).expect("room");
    }
}

/// The files in a folder, without what is hidden.
fn visible(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = listing(folder).into_iter().filter_map(|(path, entry)| match entry {
        Entry::File(bytes) if !path.starts_with(".groupshare-borders") => Some((path, bytes)),
        _ => None,
    });
    files.collect()
}

/// These of alice's files.
fn of_alice(paths: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files();
    paths.iter().map(|path| (PathBuf::from(path), files[path].clone())).collect()
}

#[test]
fn the_files_in_a_shared_folder_are_listed() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = installation.user("alice", &[]);
    alice.told("create_group lab", "Group created");
    make(&installation.folder.path().join("alice"));
    alice.told("upload_file photos lab", "Uploaded");
    fs::write(installation.folder.path().join("alice/plain.txt"), "x").expect("room");
    alice.told("upload_file plain.txt lab", "Uploaded");
    let mut bob = installation.user("bob", &[]);
    bob.joins("bob", "lab", &mut alice);
    let jpgs = ["photos/2024/a.jpg  1.5 MB", "photos/2024/c.jpg  900.0 kB"];
    assert_eq!(bob.said("list_files lab photos/2024/*.jpg"), jpgs);
    assert_eq!(bob.said("list_files lab photos/").len(), 7);
    let by_size = bob.said("list_files lab photos/2023 --sort size");
    assert_eq!(by_size, ["photos/2023/a.jpg  700.0 kB", "photos/2023/b.jpg  5 B"]);
    assert_eq!(bob.said("list_files lab photos/2025/"), ["No file in it has such a name"]);
    bob.told("list_files lab nothing/", "File does not exist in this group: nothing/");
    bob.told("list_files lab plain.txt/", "plain.txt is a file and no folder");
    bob.told("download_file lab plain.txt/x .", "plain.txt is a file and no folder");
    bob.told("download_file lab photos/2025/ .", "No file in photos has such a name");
}

#[test]
fn a_part_of_a_folder_is_downloaded_given_on_and_added_to_through_kills() {
    let installation = Installation::of(2);
    let mut trackers = [installation.tracker(1), installation.tracker(2)];
    linked(&mut trackers[1], 1);
    let place = |name: &str| installation.folder.path().join(name);
    let mut alice = installation.user("alice", &["--upload-limit", "400k"]);
    alice.told("create_group lab", "Group created");
    make(&place("alice"));
    alice.told("upload_file photos lab", "Uploaded");
    let mut bob = installation.user("bob", &[]);
    let mut carol = installation.user("carol", &[]);
    bob.joins("bob", "lab", &mut alice);
    carol.joins("carol", "lab", &mut alice);

    // Bob is killed in the middle, and goes on at the next login.
    bob.told("download_file lab 'photos/2024/*.jpg' .", "Downloading...");
    bob.until("show_downloads", "[D] [lab] photos  2024/*.jpg: ");
    bob.until("show_downloads", "from 1 member");
    bob.kill();
    same_digests(&mut trackers);
    let [first, _second] = trackers;
    first.kill();
    let mut bob = installation.user_again("bob");
    alice.told("limit upload none", "upload  no limit");
    bob.expect("Download completed: [lab] photos  2.4 MB");
    let jpgs = ["2024/a.jpg", "2024/c.jpg"];
    assert_eq!(visible(&place("bob/photos")), of_alice(&jpgs));
    assert!(!place("bob/photos.part").exists() && !place("bob/photos.part.meta").exists());
    let shown = bob.said("show_downloads");
    assert!(shown[0].starts_with("[C] [lab] photos  2024/*.jpg: 2.4 MB"), "{shown:?}");

    // Carol gets these files from him alone, also after his next start. She does not get files that he lacks.
    alice.told("logout", "Logout successful");
    bob.kill();
    let mut bob = installation.user_again("bob");
    bob.told("show_downloads", "[C] [lab] photos  2024/*.jpg: 2.4 MB");
    carol.told("download_file lab photos/2024/c.jpg .", "Downloading...");
    carol.expect("Download completed: [lab] photos  900.0 kB");
    assert_eq!(visible(&place("carol/photos")), of_alice(&["2024/c.jpg"]));
    carol.told("download_file lab photos/video.mkv .", "Downloading...");
    carol.until("show_downloads", "waiting for members who have it");
    alice.told("login alice pw", "Login successful");
    carol.expect("Download completed: [lab] photos  6.9 MB");
    assert_eq!(visible(&place("carol/photos")), of_alice(&["2024/c.jpg", "video.mkv"]));

    // In the end she has all of it, as if requested at once.
    carol.told("download_file lab photos .", "Downloading...");
    carol.expect("Download completed: [lab] photos  9.4 MB");
    let all = files();
    assert_eq!(visible(&place("carol/photos")), of_alice(&all.keys().copied().collect::<Vec<_>>()));
    carol.until("list_files lab", "photos  9.4 MB, 7 files, 3 members online with it");
}

#[test]
fn a_file_the_user_has_changed_is_neither_overwritten_nor_given_on() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let place = |name: &str| installation.folder.path().join(name);
    let mut alice = installation.user("alice", &[]);
    alice.told("create_group lab", "Group created");
    make(&place("alice"));
    alice.told("upload_file photos lab", "Uploaded");
    let mut bob = installation.user("bob", &[]);
    bob.joins("bob", "lab", &mut alice);
    bob.told("download_file lab photos/notes.txt .", "Downloading...");
    bob.expect("Download completed: [lab] photos  10 B");
    fs::write(place("bob/photos/notes.txt"), "my own").expect("written");
    bob.told(
        "download_file lab photos/2023/ .",
        "photos has changed since it was downloaded; choose another destination",
    );
    bob.told("logout", "Logout successful");
    bob.told("login bob pw", "Login successful");
    bob.expect("photos is no longer what was downloaded, and is no longer given to others");
    assert_eq!(fs::read(place("bob/photos/notes.txt")).expect("there"), b"my own");
    // A file that exists at the destination is not the download.
    fs::create_dir_all(place("bob/other/photos")).expect("made");
    fs::write(place("bob/other/photos/notes.txt"), "my own too").expect("written");
    bob.told("download_file lab photos/notes.txt other", "is there already and is not overwritten");
    assert_eq!(fs::read(place("bob/other/photos/notes.txt")).expect("there"), b"my own too");
    // Once the user says so, it is no longer given to anybody.
    bob.told("download_file lab photos/2023/ other2", "Download completed: [lab] photos  700.0 kB");
    bob.told("download_file lab photos/video.mkv third", "Downloading...");
    bob.expect("bob/other2 is no longer given to others: photos goes to another place");
    bob.expect("Download completed: [lab] photos  6.0 MB");
    bob.told("stop_share lab photos", "Stopped sharing");
    bob.told("stop_share lab photos", "You are not sharing this file");
}

#[test]
fn more_of_a_folder_leaves_what_is_there_alone_when_it_is_small_cancelled_or_killed() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let place = |name: &str| installation.folder.path().join(name);
    let (mut alice, [mut bob]) = installation.group("lab", "alice", ["bob"]);
    make(&place("alice"));
    alice.told("upload_file photos lab", "Uploaded");
    // No piece has only bytes of these files.
    bob.told("download_file lab photos/notes.txt .", "Download completed: [lab] photos  10 B");
    fs::write(place("bob/photos/my own"), "my own").expect("room");
    bob.told("download_file lab photos/2023/b.jpg .", "Download completed: [lab] photos");
    let both = || of_alice(&["2023/b.jpg", "notes.txt"]);
    let own = |mut files: BTreeMap<PathBuf, Vec<u8>>| {
        files.insert("my own".into(), b"my own".to_vec());
        files
    };
    assert_eq!(visible(&place("bob/photos")), own(both()));

    // Files that are given up are gone. Files that were complete before remain and are given on.
    alice.told("limit upload 100k", "upload  100");
    bob.told("download_file lab photos/video.mkv .", "Downloading...");
    bob.until("show_downloads", "from 1 member");
    bob.answers("cancel_download lab photos");
    assert_eq!(visible(&place("bob/photos")), own(both()));
    assert!(!place("bob/photos.part").exists() && !place("bob/photos.part.meta").exists());
    let shown = bob.said("show_downloads");
    assert!(shown[0].starts_with("[C] [lab] photos  notes.txt and 1 more: 15 B"), "{shown:?}");

    // The user's own file is in the way of a file of the download.
    fs::create_dir(place("bob/photos/2024")).expect("made");
    fs::write(place("bob/photos/2024/a.jpg"), "my picture").expect("room");
    bob.told("download_file lab photos/2024/ .", "photos/2024/a.jpg is there already and is not overwritten");
    assert_eq!(fs::read(place("bob/photos/2024/a.jpg")).expect("there"), b"my picture");
    fs::remove_dir_all(place("bob/photos/2024")).expect("there");

    // Killed in the middle, and given up only after that.
    bob.told("download_file lab photos/video.mkv .", "Downloading...");
    bob.until("show_downloads", "from 1 member");
    bob.kill();
    let mut bob = installation.user_again("bob");
    bob.until("show_downloads", "from 1 member");
    bob.told("pause_download lab photos", "Paused");
    bob.kill();
    let mut bob = installation.user_again("bob");
    bob.answers("cancel_download lab photos");
    assert_eq!(visible(&place("bob/photos")), own(both()));
    let mut carol = installation.user("carol", &[]);
    carol.joins("carol", "lab", &mut alice);
    alice.told("logout", "Logout successful");
    carol.told("download_file lab photos/notes.txt .", "Download completed: [lab] photos  10 B");
    alice.told("login alice pw", "Login successful");
    alice.told("limit upload none", "upload  no limit");
    bob.told("download_file lab photos .", "Download completed: [lab] photos");
    assert_eq!(visible(&place("bob/photos")), own(of_alice(&files().keys().copied().collect::<Vec<_>>())));
    assert!(!place("bob/photos/.groupshare-borders").exists());
}

#[test]
fn a_new_version_of_a_folder_leaves_the_part_of_the_old_one_alone_and_goes_elsewhere() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let place = |name: &str| installation.folder.path().join(name);
    let (mut alice, [mut bob]) = installation.group("lab", "alice", ["bob"]);
    make(&place("alice"));
    alice.told("upload_file photos lab", "Uploaded");
    bob.told("download_file lab photos/notes.txt .", "Download completed: [lab] photos  10 B");
    fs::write(place("alice/photos/notes.txt"), "new notes").expect("written");
    alice.told("upload_file photos lab", "Uploaded");
    bob.told("download_file lab photos/notes.txt .", "is there already and is not overwritten");
    assert_eq!(visible(&place("bob/photos")), of_alice(&["notes.txt"]));
    bob.told("download_file lab photos/notes.txt newer", "Download completed: [lab] photos  9 B");
    assert_eq!(fs::read(place("bob/newer/notes.txt")).expect("there"), b"new notes");
    assert_eq!(visible(&place("bob/photos")), of_alice(&["notes.txt"]));
}

#[test]
fn the_new_version_of_a_part_costs_its_difference_and_what_to_type_is_told() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let place = |name: &str| installation.folder.path().join(name);
    let (mut alice, [mut bob]) = installation.group("lab", "alice", ["bob"]);
    make(&place("alice"));
    let old = noise(6_000_000, 3);
    fs::write(place("alice/photos/video.mkv"), &old).expect("written");
    alice.told("upload_file photos lab", "Uploaded");
    bob.told("download_file lab photos/video.mkv .", "Download completed: [lab] photos  6.0 MB");
    let new = [&b"a title"[..], &old].concat();
    fs::write(place("alice/photos/video.mkv"), &new).expect("written");
    alice.told("upload_file photos lab", "Uploaded");
    let how = "download_file lab photos/video.mkv <destination_path> brings the new version of a part";
    bob.told("update_file lab photos/video.mkv", how);
    bob.told("update_file lab photos", "download_file lab photos/<path> <destination_path> brings the new version");
    bob.told("download_file lab photos/video.mkv newer", "Download completed: [lab] photos  6.0 MB");
    assert!(fs::read(place("bob/newer/video.mkv")).expect("there") == new);
    assert!(fs::read(place("bob/photos/video.mkv")).expect("there") == old, "the old one stays");
    bob.told("show_downloads", "MB from the old version");
    // The existing files are given on.
    let mut carol = installation.user("carol", &[]);
    carol.joins("carol", "lab", &mut alice);
    alice.told("logout", "Logout successful");
    carol.told("download_file lab photos/video.mkv .", "Download completed: [lab] photos  6.0 MB");
}

#[test]
fn a_sharer_of_a_whole_folder_takes_a_part_from_it_and_gives_all() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let place = |name: &str| installation.folder.path().join(name);
    let (mut alice, [mut bob, mut carol]) = installation.group("lab", "alice", ["bob", "carol"]);
    make(&place("alice"));
    alice.told("upload_file photos lab", "Uploaded");
    bob.told("download_file lab photos .", "Download completed: [lab] photos  9.4 MB");
    bob.until("list_files lab", "photos  9.4 MB, 7 files, 2 members online with it");
    alice.told("logout", "Logout successful");
    bob.told("download_file lab photos/2024/*.jpg second", "Download completed: [lab] photos  2.4 MB");
    assert_eq!(visible(&place("bob/second")), of_alice(&["2024/a.jpg", "2024/c.jpg"]));
    carol.told("download_file lab photos .", "Download completed: [lab] photos  9.4 MB");
    carol.until("list_files lab", "photos  9.4 MB, 7 files, 2 members online with it");
    bob.told("stop_share lab photos", "Stopped sharing");
    carol.until("list_files lab", "photos  9.4 MB, 7 files, 1 member online with it");
    bob.told("stop_share lab photos", "You are not sharing this file");
}
