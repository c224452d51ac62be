//! `ctl backup` and `ctl restore`, as an operator uses them: beside a running tracker, and on another machine.

use crate::common::client::Client;
use crate::common::installation::{Installation, linked, same_digests};
use crate::common::names::{PASSWORD, password, user};
use crate::common::program::Program;
use crate::ctl::{DATA, Ended, NOBODY, ended, lab};
use crate::sitting::Sitting;
use groupshare::sys::space::{allocate, free_bytes};
use groupshare::wire::client_tracker::{Reply, Request};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, prlimit};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

impl Installation {
    /// Backs up the running tracker with this number.
    fn back_up(&self, number: usize) -> PathBuf {
        let path = self.folder.path().join(format!("{number}.backup"));
        let mut ctl = self.ctl_command(&["--tracker", &number.to_string(), "backup"]);
        let output = ctl.stdin(Stdio::null()).stdout(File::create(&path).expect("writable")).output();
        let output = output.expect("started");
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
        path
    }

    /// The folder of another machine, with another list and the key of this installation.
    fn moved(&self) -> Installation {
        let other = Installation::of(self.addrs.len());
        let key = |of: &Installation| of.folder.path().join("tracker_info.txt.key");
        fs::copy(key(self), key(&other)).expect("a key");
        other
    }

    fn restore(&self, words: &[&str], backup: &Path) -> Ended {
        let mut ctl = self.ctl_command(&[words, &["restore"]].concat());
        Ended::of_input(&mut ctl, File::open(backup).expect("there"))
    }
}

fn logs_in(client: &mut Client, name: &str) {
    let login = Request::Login { client: client.id, user: user(name), password: password(PASSWORD) };
    assert!(matches!(client.ask(login), Reply::LoggedIn { .. }), "{name}");
}

/// The words of a restore behind the time.
fn amount(ended: &Ended) -> &str {
    assert_eq!((ended.code, ended.complaint.as_str()), (Some(0), ""));
    ended.out.trim_end().split_once("Z: ").expect("a time").1
}

#[test]
fn a_backup_of_a_running_tracker_starts_on_another_machine_with_another_list() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let _online = lab(&installation);
    let backup = installation.back_up(1);
    let head = fs::read(&backup).expect("there");
    assert!(head.starts_with(b"GSHBKUP\n"));
    let other = installation.moved();
    drop(tracker);
    let restored = other.restore(&[], &backup);
    assert!(restored.out.starts_with("Restored tracker 1 of 20"), "{restored:?}");
    assert_eq!(amount(&restored), "3 users, 2 groups, 1 files");
    let checked = Ended::of(&mut other.command(&["--check", DATA]));
    assert_eq!((checked.code, checked.complaint.as_str()), (Some(0), ""), "{}", checked.out);
    let _tracker = other.tracker(1);
    for name in ["ann", "bob", "carl"] {
        logs_in(&mut other.connect(1).expect("a channel"), name);
    }
    let mut bob = other.connect(1).expect("a channel");
    bob.log_in("bob");
    bob.find_share("lab", "film.mkv");
    bob.join("den");
    assert_eq!(other.rows(&["group", "lab"])[0]["requests"], json!(["carl"]));
    assert_eq!(other.rows(&["files", "lab"])[0]["file_name"], json!("film.mkv"));
}

#[test]
fn a_restored_tracker_gets_from_the_others_what_came_after_the_backup() {
    let installation = Installation::of(2);
    let mut trackers = vec![installation.tracker(1), installation.tracker(2)];
    linked(&mut trackers[0], 2);
    let mut ann = installation.connect(1).expect("a channel");
    ann.create_user("ann");
    ann.log_in("ann");
    let backup = installation.back_up(1);
    ann.create_group("lab");
    ann.offer("lab", "film.mkv", 3, 1);
    same_digests(&mut trackers);
    trackers.remove(0).kill();
    fs::remove_dir_all(installation.folder.path().join(DATA)).expect("lost");
    let restored = installation.restore(&["--data-dir", DATA], &backup);
    assert_eq!(amount(&restored), "1 users, 0 groups, 0 files");
    trackers.insert(0, installation.tracker(1));
    same_digests(&mut trackers);
    let mut ann = installation.connect(1).expect("a channel");
    ann.log_in("ann");
    ann.find_share("lab", "film.mkv");
    ann.create_group("den");
    same_digests(&mut trackers);
}

#[test]
fn the_number_comes_from_the_backup_or_from_the_command_line() {
    let installation = Installation::of(2);
    let tracker = installation.tracker(2);
    let backup = installation.back_up(2);
    drop(tracker);
    let other = installation.moved();
    let rows = |words: &[&str]| -> Value {
        let Ended { code, out, complaint } = other.restore(&[&["--json"], words].concat(), &backup);
        assert_eq!((code, complaint.as_str()), (Some(0), ""));
        serde_json::from_str(&out).expect("an object")
    };
    let row = rows(&["--list", "tracker_info.txt"]);
    assert_eq!((&row["status"], &row["tracker"], &row["users"]), (&json!("success"), &json!(2), &json!(0)));
    assert!(row["data_dir"].as_str().expect("text").ends_with("tracker_info.txt.data/tracker-2"), "{row}");
    assert_eq!(rows(&["--tracker", "1", "--data-dir", "new"])["tracker"], json!(1));
    let (mut tracker, _) = other.start(&["--data-dir", "new", "tracker_info.txt", "1"]);
    tracker.say("quit");
    assert_eq!(tracker.end().0.code(), Some(0));
    let again = other.restore(&["--data-dir", "new"], &backup);
    assert_eq!(again.code, Some(1));
    assert!(again.complaint.ends_with("/new is not empty; name a folder that is new\n"), "{}", again.complaint);
    fs::write(installation.folder.path().join("torn"), &fs::read(&backup).expect("there")[..90]).expect("written");
    let torn = other.restore(&["--data-dir", "torn"], &installation.folder.path().join("torn"));
    assert_eq!(torn, ended(1, "", "tracker: the end of the backup is missing; take another one\n"));
    assert!(!other.folder.path().join("torn").exists() && !other.folder.path().join("torn.restoring").exists());
}

#[test]
fn a_backup_goes_to_no_terminal_and_comes_from_none() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let refused = |words: &[&str], said: &str| {
        let words = [&["ctl"], words].concat();
        let mut person = Sitting::start(env!("CARGO_BIN_EXE_tracker"), &words, installation.folder.path(), 24, 80);
        person.sees(said, |rows, _| rows.iter().any(|row| row == said));
        assert_eq!(person.ends().code(), Some(2));
    };
    refused(&["backup"], "tracker: backup writes standard output: redirect it, as in 'backup > FILE'");
    let words = "tracker: restore reads standard input: give it a backup, as in 'restore < FILE'";
    refused(&["--data-dir", "new", "restore"], words);
}

#[test]
fn a_backup_whose_output_is_lost_ends_with_words_and_the_tracker_goes_on() {
    let installation = Installation::of(1);
    let mut tracker = installation.tracker(1);
    let mut clients = lab(&installation);
    clients[0].offer("lab", "more.mkv", 100_000, 2);
    let full = File::options().write(true).open("/dev/full").expect("there");
    let lost = installation.ctl_command(&["backup"]).stdout(full).output().expect("started");
    assert_eq!(lost.status.code(), Some(6));
    assert_eq!(
        lost.stderr,
        b"tracker: cannot write the answer, look whether a change was made: No space left on device\n"
    );
    // A reader that goes away in the middle.
    let mut ctl = installation.ctl_command(&["backup"]);
    let mut ctl = ctl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut out = ctl.stdout.take().expect("piped");
    out.read_exact(&mut [0; 100]).expect("it begins");
    drop(out);
    let gone = ctl.wait_with_output().expect("ended");
    assert_eq!(
        (gone.status.code(), gone.stderr.as_slice()),
        (Some(6), &b"tracker: cannot write the answer, look whether a change was made: Broken pipe\n"[..])
    );
    let other = installation.moved();
    assert_eq!(amount(&other.restore(&[], &installation.back_up(1))), "3 users, 2 groups, 2 files");
    tracker.told("backup", "backup is a command of ctl, which reads and writes files: type help backup");
    tracker.told("restore", "restore is a command of ctl, which reads and writes files: type help restore");
}

#[test]
fn one_backup_is_made_at_a_time_and_a_tracker_that_ends_leaves_none_that_restores() {
    let installation = Installation::of(1);
    let mut tracker = installation.tracker(1);
    let mut clients = lab(&installation);
    clients[0].offer("lab", "more.mkv", 100_000, 2);
    // The backup has begun, and goes on once it has a reader.
    let mut ctl = installation.ctl_command(&["backup"]);
    let mut ctl = ctl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut out = ctl.stdout.take().expect("piped");
    let mut bytes = vec![0; 100];
    out.read_exact(&mut bytes).expect("it begins");
    let second = Ended::of(&mut installation.ctl_command(&["backup"]));
    assert_eq!(second, ended(1, "", "tracker: another backup is being made; wait for its end\n"));
    tracker.say("quit");
    assert_eq!(tracker.end().0.code(), Some(0));
    out.read_to_end(&mut bytes).expect("what is there");
    drop(out);
    let torn = ctl.wait_with_output().expect("ended");
    assert_eq!(torn.status.code(), Some(7), "{torn:?}");
    let path = installation.folder.path().join("torn");
    fs::write(&path, bytes).expect("written");
    let words = "tracker: the end of the backup is missing; take another one\n";
    assert_eq!(installation.restore(&["--data-dir", "new"], &path), ended(1, "", words));
}

#[test]
fn a_disk_that_is_full_is_told_and_leaves_no_folder() {
    let installation = Installation::of(1);
    let mut tracker = installation.tracker(1);
    let mut clients = lab(&installation);
    clients[0].offer("lab", "more.mkv", 10_000, 2);
    let all = getrlimit(Resource::Fsize);
    let limited = |current| {
        prlimit(Some(tracker.pid()), Resource::Fsize, Rlimit { current, ..all }).expect("allowed");
    };
    limited(Some(0));
    let full = Ended::of(&mut installation.ctl_command(&["backup"]));
    assert_eq!((full.code, full.out.as_str()), (Some(1), ""));
    assert!(full.complaint.starts_with("tracker: cannot prepare the backup in "), "{}", full.complaint);
    assert!(full.complaint.ends_with(": File too large\n"), "{}", full.complaint);
    limited(all.current);
    let backup = installation.back_up(1);
    tracker.say("quit");
    assert_eq!(tracker.end().0.code(), Some(0));
    let mut shell = Command::new("sh");
    let script = "ulimit -f 100; exec \"$0\" ctl --data-dir new restore";
    shell.current_dir(installation.folder.path()).args(["-c", script, env!("CARGO_BIN_EXE_tracker")]);
    let full = Ended::of_input(&mut shell, File::open(&backup).expect("there"));
    assert_eq!((full.code, full.out.as_str()), (Some(1), ""), "{}", full.complaint);
    assert!(full.complaint.ends_with("File too large\n"), "{}", full.complaint);
    let left = fs::read_dir(installation.folder.path()).expect("readable");
    let left =
        left.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("new")));
    assert_eq!(left.count(), 0);
    assert_eq!(amount(&installation.restore(&["--data-dir", "new"], &backup)), "3 users, 2 groups, 2 files");
}

#[test]
fn a_place_that_cannot_be_the_trackers_is_refused_before_the_backup_is_read() {
    if !geteuid().is_root() {
        eprintln!("only root has mount points and folders of others");
        return;
    }
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let path = installation.back_up(1);
    drop(tracker);
    // The end of it is missing, which further reading would show.
    let bytes = fs::read(&path).expect("there");
    fs::write(&path, &bytes[..bytes.len() - 1]).expect("written");
    let place = installation.folder.path().canonicalize().expect("there");
    let [mount, foreign] = ["mount", "foreign"].map(|name| place.join(name));
    fs::create_dir(&mount).expect("made");
    fs::create_dir(&foreign).expect("made");
    chown(&foreign, Some(NOBODY), None).expect("root may");
    let script = "mount --bind \"$1\" \"$1\" && exec \"$0\" ctl --data-dir \"$1\" restore";
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_tracker")]).arg(&mount);
    let refused = Ended::of_input(&mut shell, File::open(&path).expect("there"));
    let words = format!("tracker: {} is a mount point; name a new folder in it\n", mount.display());
    assert_eq!(refused, ended(1, "", &words));
    for folder in [foreign.clone(), foreign.join("tracker-1")] {
        let refused = installation.restore(&["--data-dir", folder.to_str().expect("text")], &path);
        let why = "who could not open what root makes; restore as that user";
        let words = format!("tracker: {} belongs to user {NOBODY}, {why}\n", foreign.display());
        assert_eq!(refused, ended(1, "", &words));
    }
    assert_eq!(fs::read_dir(&foreign).expect("there").count(), 0);
}

#[test]
fn a_backup_leaves_the_last_bytes_of_the_disk_to_the_tracker() {
    if !geteuid().is_root() {
        eprintln!("only root has a small disk");
        return;
    }
    let installation = Installation::of(1);
    fs::create_dir_all(installation.folder.path().join(DATA)).expect("made");
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=64m tmpfs \"$1\" && exec \"$0\" tracker_info.txt 1";
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_tracker"), DATA]);
    let mut tracker = Program::start(command.current_dir(installation.folder.path()));
    tracker.expect("tracker 1 on ");
    let _clients = lab(&installation);
    // The path of the folder in the tracker's messages.
    let place = installation.folder.path().canonicalize().expect("there");
    let root = format!("/proc/{}/root{}", tracker.pid(), place.display());
    let data = Path::new(&root).join(DATA);
    let back_up = || {
        let mut ctl = installation.ctl_command(&["--data-dir", data.to_str().expect("text"), "backup"]);
        let output = ctl.stdin(Stdio::null()).output().expect("started");
        (output.status.code(), output.stdout.len(), String::from_utf8(output.stderr).expect("text"))
    };
    let filler = File::create(data.join("filler")).expect("made");
    let free = free_bytes(&filler).expect("told").expect("a size");
    allocate(&filler, free - 16 * 1024 * 1024).expect("room");
    let (code, len, said) = back_up();
    assert_eq!((code, len), (Some(1), 0));
    assert!(said.starts_with("tracker: a backup would leave less than 16 MiB free in "), "{said}");
    filler.set_len(free - 17 * 1024 * 1024).expect("shorter");
    let (code, len, said) = back_up();
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(len > 100);
    // The tracker still takes changes, and warns of the full disk before one fails.
    let len = free - 17 * 1024 * 1024;
    let more = free_bytes(&filler).expect("told").expect("a size") - 512 * 1024;
    allocate(&filler, len + more).expect("room");
    tracker.told("status", "trouble     less than 1048576 bytes are free on the disk");
}
