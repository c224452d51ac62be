//! A tracker's folder and a backup as released programs have left them: these programs start on them.

use crate::common::installation::Installation;
use crate::common::names::{PASSWORD, password, user};
use crate::ctl::{DATA, Ended};
use groupshare::wire::client_tracker::{Reply, Request};
use rustix::process::Signal;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The release whose formats these programs write.
const RELEASE: &str = "1.0";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

fn releases() -> Vec<PathBuf> {
    fs::read_dir(root()).expect("there are some").map(|entry| entry.expect("readable").path()).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("there") {
        let (from, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).expect("read");
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("copied");
        }
    }
}

/// It is written if it is missing, and is to be committed.
#[test]
fn the_folder_of_a_tracker_and_a_backup_of_it_are_recorded() {
    let folder = root().join(RELEASE).join("tracker");
    if folder.exists() {
        return;
    }
    let place = Installation::of(1);
    let mut tracker = place.tracker(1);
    let [mut ann, mut bob] = ["ann", "bob"].map(|name| {
        let mut client = place.connect(1).expect("a channel");
        client.create_user(name);
        client.log_in(name);
        client
    });
    ann.create_group("lab");
    ann.offer("lab", "film.mkv", 3, 1);
    bob.join("lab");
    ann.accept("lab", "bob");
    assert_eq!(place.ctl(&["disable_user", "bob"]).code, Some(0));
    let backup = File::create(place.folder.path().join("backup")).expect("writable");
    let output = place.ctl_command(&["backup"]).stdin(Stdio::null()).stdout(backup).output().expect("started");
    assert!(output.status.success(), "{output:?}");
    tracker.signal(Signal::TERM);
    assert!(tracker.end().0.success());
    copy(&place.folder.path().join(DATA), &folder);
    fs::remove_file(folder.join("lock")).expect("there");
    // Most of the room that was made beforehand is left out.
    let journal = folder.join("journal/00000000000000000001.journal");
    let bytes = fs::read(&journal).expect("there");
    let len = bytes.iter().rposition(|byte| *byte != 0).expect("records") + 1 + 4096;
    fs::write(&journal, bytes.get(..len).unwrap_or(&bytes)).expect("writable");
    for (name, recorded) in [("tracker_info.txt.key", "cluster_key"), ("backup", "backup")] {
        fs::copy(place.folder.path().join(name), folder.with_file_name(recorded)).expect("copied");
    }
    panic!("written, and to be committed: {}", folder.display());
}

/// An installation with the key of a release.
fn with_key(release: &Path) -> Installation {
    let place = Installation::of(1);
    let key = place.folder.path().join("tracker_info.txt.key");
    fs::copy(release.join("cluster_key"), &key).expect("a key");
    fs::set_permissions(key, Permissions::from_mode(0o600)).expect("its owner's alone");
    place
}

/// All that is in the recorded folder is there.
fn has_everything(place: &Installation) {
    let mut ann = place.connect(1).expect("a channel with the recorded key");
    ann.log_in("ann");
    ann.find_share("lab", "film.mkv");
    ann.create_group("den");
    let mut bob = place.connect(1).expect("a channel");
    let login = Request::Login { client: bob.id, user: user("bob"), password: password(PASSWORD) };
    assert!(matches!(bob.ask(login), Reply::Refused { .. }), "an operator keeps him out");
    let group = place.ctl(&["group", "lab"]).out;
    assert!(group.contains("ann (owner, online), bob"), "{group}");
}

#[test]
fn a_tracker_starts_on_the_folder_of_every_release() {
    for release in releases() {
        let place = with_key(&release);
        copy(&release.join("tracker"), &place.folder.path().join(DATA));
        let _tracker = place.tracker(1);
        has_everything(&place);
        let audit = place.ctl(&["audit"]);
        assert!(audit.out.contains("bob") && audit.code == Some(0), "{audit:?}");
    }
}

#[test]
fn a_backup_of_every_release_is_restored_and_its_options_are_read() {
    for release in releases() {
        let place = with_key(&release);
        let backup = File::open(release.join("backup")).expect("there");
        let restored = Ended::of_input(&mut place.ctl_command(&["restore"]), backup);
        assert!(restored.out.contains("2 users, 1 groups, 1 files"), "{restored:?}");
        fs::copy(release.join("tracker.conf"), place.folder.path().join("tracker.conf")).expect("copied");
        let _tracker = place.tracker_with(place.folder.path(), 1, &["--config", "tracker.conf"]);
        has_everything(&place);
    }
}

#[test]
fn a_folder_of_a_newer_version_is_refused_in_one_line_that_names_both() {
    let place = Installation::of(1);
    drop(place.tracker(1));
    let data = place.folder.path().join(DATA);
    fs::write(data.join("format"), "groupshare tracker folder 7\nwritten by 7.1.0\n").expect("written");
    for args in [&["tracker_info.txt", "1"][..], &["--check", DATA]] {
        let refused = Ended::of(&mut place.command(args));
        assert_ne!(refused.code, Some(0));
        let words = "has format 7 of version 7.1.0, and this is version ";
        assert!(refused.complaint.contains(words) && refused.complaint.lines().count() == 1, "{refused:?}");
    }
}

#[test]
fn a_start_on_a_folder_without_a_number_upgrades_it_and_says_where_the_old_one_is() {
    let place = Installation::of(1);
    drop(place.tracker(1));
    fs::remove_file(place.folder.path().join(DATA).join("format")).expect("there");
    let mut tracker = place.tracker(1);
    let said = tracker.expect("was upgraded from format 0 to 1");
    assert!(said.complaint && said.text.contains("before-upgrade until the next upgrade"), "{said:?}");
}
