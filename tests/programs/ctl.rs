//! `tracker ctl` beside a running tracker: the operator's requests, its answers, and the users that it turns away.

use crate::common::installation::Installation;
use crate::common::names::{command, group};
use crate::common::program::Program;
use crate::common::wait::wait_until;
use groupshare::wire::client_tracker::{Reply, Request};
use rustix::fs::{AtFlags, CWD, statat};
use rustix::process::{Signal, geteuid};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) const DATA: &str = "tracker_info.txt.data/tracker-1";
/// A user without the right to command a tracker of root.
pub(crate) const NOBODY: u32 = 65_534;

/// The result of a command of ctl.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) complaint: String,
}

impl Ended {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::of_input(command, Stdio::null())
    }

    pub(crate) fn of_input(command: &mut Command, input: impl Into<Stdio>) -> Self {
        let Output { status, stdout, stderr } = command.stdin(input).output().expect("started");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { code: status.code(), out: text(stdout), complaint: text(stderr) }
    }
}

pub(crate) fn ended(code: i32, out: &str, complaint: &str) -> Ended {
    Ended { code: Some(code), out: out.to_owned(), complaint: complaint.to_owned() }
}

impl Installation {
    pub(crate) fn ctl_command(&self, words: &[&str]) -> Command {
        self.command(&[&["ctl"], words].concat())
    }

    pub(crate) fn ctl(&self, words: &[&str]) -> Ended {
        Ended::of(&mut self.ctl_command(words))
    }

    /// The rows of a successful command.
    pub(crate) fn rows(&self, words: &[&str]) -> Vec<Value> {
        let Ended { code, out, complaint } = self.ctl(&[&["--json"], words].concat());
        assert_eq!((code, complaint.as_str()), (Some(0), ""), "{words:?}: {out}");
        out.lines().map(|line| serde_json::from_str(line).expect("an object on each line")).collect()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join(DATA).join("ctl")
    }
}

/// Ann owns lab. Bob is a member, and carl has asked to join. She shares a file there. All of them are logged in.
pub(crate) fn lab(installation: &Installation) -> [crate::common::client::Client; 3] {
    let mut clients = ["ann", "bob", "carl"].map(|name| {
        let mut client = installation.connect(1).expect("a channel");
        client.create_user(name);
        client.log_in(name);
        client
    });
    let [ann, bob, carl] = &mut clients;
    ann.create_group("lab");
    bob.join("lab");
    ann.accept("lab", "bob");
    carl.join("lab");
    ann.offer("lab", "film.mkv", 3, 1);
    ann.create_group("den");
    clients
}

#[test]
fn an_operator_sees_who_is_there_and_what_is_shared() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    assert_eq!(installation.ctl(&["users"]), ended(0, "", ""));
    let _online = lab(&installation);
    let users = "ann   active  online 1  groups 2  owns 2  shares 1\n\
                 bob   active  online 1  groups 1  owns 0  shares 0\n\
                 carl  active  online 1  groups 0  owns 0  shares 0\n";
    assert_eq!(installation.ctl(&["users"]), ended(0, users, ""));
    assert_eq!(installation.ctl(&["users", "b*"]).out, "bob  active  online 1  groups 1  owns 0  shares 0\n");
    let ann = json!({"user_id": "ann", "standing": "active", "online": 1, "groups": 2, "owned": 2, "shares": 1});
    assert_eq!(installation.rows(&["users", "?nn"]), [ann]);
    let groups = "den  members 1  owner ann  owners 1  ask  requests 0  files 0\n\
                  lab  members 2  owner ann  owners 1  ask  requests 1  files 1\n";
    assert_eq!(installation.ctl(&["groups"]), ended(0, groups, ""));
    assert_eq!(
        installation.rows(&["groups", "l*"]),
        [json!({"group_id": "lab", "owner": "ann", "owners": 1, "access": "ask", "members": 2, "requests": 1,
               "files": 1})]
    );
    let lab = "group       lab\nmembers     ann (owner, online), bob (online)\nrequests    carl\naccess      ask\nfiles       1\n";
    assert_eq!(installation.ctl(&["group", "lab"]), ended(0, lab, ""));
    let members = json!([{"user_id": "ann", "online": 1}, {"user_id": "bob", "online": 1}]);
    assert_eq!(
        installation.rows(&["group", "lab"]),
        [json!({"group_id": "lab", "owner": "ann", "owners": ["ann"], "access": "ask", "members": members,
               "requests": ["carl"], "files": 1})]
    );
    let files = installation.rows(&["files", "lab"]);
    assert_eq!(files.len(), 1);
    assert_eq!((&files[0]["file_name"], &files[0]["sharers"]), (&json!("film.mkv"), &json!(1)));
    assert!(installation.ctl(&["files", "lab"]).out.starts_with("film.mkv  "));
}

#[test]
fn an_operator_sees_one_user_and_who_is_online() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let [mut ann, _bob, _carl] = lab(&installation);
    let seen = ann.announce(5555);
    let brought = || installation.rows(&["user", "ann"])[0]["limits"]["brought"].clone();
    wait_until("few bytes run down at once", || brought() == json!({"used": 0, "max": 2_147_483_648_u64}));
    let user = installation.rows(&["user", "ann"]);
    let groups = json!([{"group_id": "den", "role": "owner"}, {"group_id": "lab", "role": "owner"}]);
    assert_eq!((&user[0]["user_id"], &user[0]["groups"], &user[0]["shares"]), (&json!("ann"), &groups, &json!(1)));
    let addr = user[0]["online"][0]["addr"].as_str().expect("known");
    assert!(addr.starts_with(&format!("{}:", seen.ip())), "{addr}");
    let told = installation.ctl(&["user", "ann"]).out;
    let lines: Vec<&str> = told.lines().collect();
    let first = [
        "user        ann, active",
        "groups      den (owner), lab (owner)",
        "shares      1, lists of pieces 4.1 kB, brought 0 B of the 2.1 GB of an hour",
    ];
    assert_eq!(lines[..3], first);
    assert!(lines[3].starts_with("changes     ") && lines[3].ends_with(" of the 20000 of an hour are taken"), "{told}");
    assert!(lines[4].starts_with("online      client "), "{told}");
    assert_eq!(user[0]["limits"]["shares"], json!({"used": 1, "max": 10_000}));
    assert_eq!(user[0]["limits"]["manifest_bytes"]["used"], json!(4096));
    assert_eq!(installation.ctl(&["user", "carl"]).out.lines().nth(1), Some("waits for   lab"));
    assert!(told.ends_with(&format!(", {addr}, tracker 1\n")), "{told}");
    let mut online: Vec<Value> = installation.rows(&["online"]).iter().map(|row| row["user_id"].clone()).collect();
    online.sort_by_key(Value::to_string);
    assert_eq!(online, ["ann", "bob", "carl"]);
    assert_eq!(installation.ctl(&["online"]).out.lines().count(), 3);
}

#[test]
fn an_operator_sees_how_near_users_are_to_their_limits() {
    let installation = Installation::of(1);
    let limits = ["--limit", "requests=1", "--limit=shares=none", "--accounts", "closed", "--limit", "users=3"];
    let mut tracker = installation.tracker(1);
    drop(lab(&installation));
    tracker.say("quit");
    tracker.end();
    let mut tracker = Program::start(&mut installation.command(&limits));
    tracker.expect("tracker 1 on ");
    let mut carl = installation.connect(1).expect("it listens");
    carl.log_in("carl");
    let join = Request::JoinGroup { command: command(), group: group("den") };
    assert!(matches!(carl.ask(join), Reply::Refused { .. }));
    let told = installation.ctl(&["limits"]).out;
    let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
    let line = |name: &str| -> Vec<&str> {
        let line = lines.iter().find(|line| line[0] == name).unwrap_or_else(|| panic!("no {name} in {told}"));
        line.iter().copied().filter(|field| !field.is_empty()).collect()
    };
    assert_eq!(line("groups_owned"), ["groups_owned", "256 a user", "most used 2 (ann)", "refused 0"]);
    assert_eq!(line("requests"), ["requests", "1 a user", "most used 1 (carl)", "refused 1"]);
    assert_eq!(line("shares"), ["shares", "none a user", "most used 1 (ann)", "refused 0"]);
    assert_eq!(line("checks")[1], "10000 an address in an hour");
    assert_eq!(line("users"), ["users", "3 in all", "used 3", "refused 0"]);
    let rows = installation.rows(&["limits"]);
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).expect("listed").clone();
    let requests = json!({"name": "requests", "of": "user", "hourly": false, "max": 1, "used": 1, "used_by": "carl",
                          "refused": 1});
    assert_eq!((row("requests"), &row("shares")["max"], rows.len()), (requests, &Value::Null, 19));
    let status = installation.ctl(&["status"]).out;
    let limits = "limits      users 3 of 3, groups 2 of 100000, files 1 of 2000000, lists of pieces 4.1 kB of 34.4 GB; \
                  1 refusals\naccounts    closed, create_user makes them\n";
    assert!(status.contains(limits), "{status}");
    let status = &installation.rows(&["status"])[0];
    assert_eq!((&status["limits"]["users"], &status["accounts"]), (&json!({"used": 3, "max": 3}), &json!("closed")));
    let made = installation.ctl(&["create_user", "dora", "--make"]);
    assert_eq!(
        (made.code, made.out.lines().next()),
        (Some(0), Some("User dora created")),
        "the operator is not limited"
    );
}

#[test]
fn an_operator_sees_the_other_trackers_and_lets_go_of_one() {
    let installation = Installation::of(2);
    let _tracker = installation.tracker(1);
    let status = installation.ctl(&["status"]);
    assert!(status.out.starts_with(&format!("tracker 1 on {}, up 0 h 00 min\n", installation.addrs[0])), "{status:?}");
    assert_eq!((status.code, status.complaint.as_str()), (Some(0), ""));
    let rows = installation.rows(&["status"]);
    assert_eq!((rows.len(), &rows[0]["number"], &rows[0]["users"]), (1, &json!(1), &json!(0)));
    assert_eq!(rows[0]["fingerprint"], json!(installation.fingerprint().to_string()));
    let line = format!("tracker 2   {}, not connected for ", installation.addrs[1]);
    assert!(installation.ctl(&["trackers"]).out.starts_with(&line));
    let others = installation.rows(&["trackers"]);
    assert_eq!((&others[0]["number"], &others[0]["state"]), (&json!(2), &json!("away")));
    let forgotten = "Tracker 2 is forgotten, here at once and at the others as they hear of it";
    assert_eq!(installation.ctl(&["forget", "2"]), ended(0, &format!("{forgotten}\n"), ""));
    assert_eq!(installation.rows(&["trackers"])[0]["state"], json!("forgotten"));
    assert_eq!(
        installation.rows(&["unforget", "2"]),
        [json!({
            "status": "success",
            "message": "Tracker 2 is taken back, here at once and at the others as they hear of it"
        })]
    );
    let not = "Tracker 1 was not forgotten: it is this one; say it at another tracker";
    assert_eq!(installation.ctl(&["forget", "1"]), ended(1, "", &format!("tracker: {not}\n")));
    let json = json!({"status": "error", "code": "OwnTracker", "message": not});
    assert_eq!(installation.ctl(&["--json", "forget", "1"]), ended(1, &format!("{json}\n"), ""));
}

#[test]
fn a_command_that_cannot_be_done_is_told_with_an_exit_code() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let words = "tracker: User does not exist: zoe\n";
    assert_eq!(installation.ctl(&["user", "zoe"]), ended(1, "", words));
    for command in ["group", "files"] {
        assert_eq!(installation.ctl(&[command, "art"]), ended(1, "", "tracker: Group does not exist: art\n"));
    }
    let json = json!({"status": "error", "code": "NoSuchUser", "message": "User does not exist: zoe"});
    assert_eq!(installation.ctl(&["--json", "user", "zoe"]), ended(1, &format!("{json}\n"), ""));
    assert_eq!(installation.ctl(&["frob"]), ended(2, "", "tracker: Unknown command 'frob', type help\n"));
    assert_eq!(installation.ctl(&["user"]), ended(2, "", "tracker: Usage: user <user_id>\n"));
    let quit = "tracker: quit is a command of the console; stop the tracker with kill or systemctl stop\n";
    assert_eq!(installation.ctl(&["quit"]), ended(2, "", quit));
    let full = File::options().write(true).open("/dev/full").expect("there");
    let lost = installation.ctl_command(&["status"]).stdout(full).output().expect("started");
    assert_eq!(lost.status.code(), Some(6));
    assert_eq!(
        lost.stderr,
        b"tracker: cannot write the answer, look whether a change was made: No space left on device\n"
    );
}

#[test]
fn help_needs_no_tracker_and_everything_else_says_that_none_runs() {
    let installation = Installation::of(1);
    let help = installation.ctl(&["help"]);
    assert_eq!((help.code, help.complaint.as_str()), (Some(0), ""));
    assert!(help.out.starts_with("status ") && help.out.contains("\nquit "), "{}", help.out);
    let about = "Usage: user <user_id>\nShow one account.\n";
    assert_eq!(installation.ctl(&["help", "user"]), ended(0, about, ""));
    let place = installation.folder.path().canonicalize().expect("there").join(DATA);
    let none = format!("tracker: no tracker runs on {} (no socket); is it started?\n", place.display());
    assert_eq!(installation.ctl(&["status"]), ended(4, "", &none));
    let none = format!("tracker: no tracker runs on {DATA} (no socket); is it started?\n");
    assert_eq!(installation.ctl(&["--data-dir", DATA, "status"]), ended(4, "", &none));
}

#[test]
fn the_socket_is_for_its_owner_goes_with_the_tracker_and_a_killed_one_leaves_nothing_in_the_way() {
    let installation = Installation::of(1);
    let mut tracker = installation.tracker(1);
    let mode = || statat(CWD, installation.socket(), AtFlags::SYMLINK_NOFOLLOW).expect("there").st_mode & 0o777;
    assert_eq!(mode(), 0o600);
    tracker.say("quit");
    assert_eq!(tracker.end().0.code(), Some(0));
    assert!(!installation.socket().exists());
    installation.tracker(1).kill();
    assert!(installation.socket().exists());
    let left = installation.ctl(&["--data-dir", DATA, "status"]);
    let words = format!("tracker: no tracker runs on {DATA} (Connection refused); is it started?\n");
    assert_eq!(left, ended(4, "", &words));
    let tracker = installation.tracker(1);
    assert_eq!((installation.ctl(&["users"]), mode()), (ended(0, "", ""), 0o600));
    tracker.signal(Signal::TERM);
}

#[test]
fn a_data_folder_may_have_a_long_path() {
    let installation = Installation::of(1);
    let place = installation.folder.path().join("d".repeat(100)).join("e".repeat(100));
    let place = place.to_str().expect("text");
    assert!(place.len() > 200);
    let (mut tracker, _) = installation.start(&["--data-dir", place]);
    assert_eq!(installation.ctl(&["--data-dir", place, "users"]), ended(0, "", ""));
    tracker.say("quit");
    assert_eq!(tracker.end().0.code(), Some(0));
    assert!(!Path::new(place).join("ctl").exists());
}

/// The tracker's program in a place where every user can start it.
pub(crate) fn program_for_all(installation: &Installation) -> PathBuf {
    let program = installation.folder.path().join("tracker");
    fs::copy(env!("CARGO_BIN_EXE_tracker"), &program).expect("copied");
    // A child process of another test may have the file open until it runs its own program.
    wait_until("nobody has it open", || Command::new(&program).arg("--version").output().is_ok());
    program
}

/// Gives everybody access to a folder and the way to it.
pub(crate) fn open_to_all(folder: &Path, up_to: &Path) {
    for folder in folder.ancestors().take_while(|folder| folder.starts_with(up_to)) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("own");
    }
}

#[test]
fn another_user_is_turned_away_even_where_the_folder_is_open() {
    if !geteuid().is_root() {
        eprintln!("only root can be another user");
        return;
    }
    let installation = Installation::of(1);
    let mut tracker = installation.tracker(1);
    let program = program_for_all(&installation);
    open_to_all(installation.folder.path(), installation.folder.path());
    let as_nobody = || {
        let mut command = Command::new(&program);
        let words = ["ctl", "--data-dir", DATA, "status"];
        Ended::of(command.current_dir(installation.folder.path()).args(words).uid(NOBODY).gid(NOBODY))
    };
    let why = "the tracker runs as another user; use the account it runs under, or root";
    assert_eq!(as_nobody(), ended(1, "", &format!("tracker: {DATA}: {why}\n")));
    open_to_all(&installation.folder.path().join(DATA), installation.folder.path());
    assert_eq!(as_nobody(), ended(1, "", &format!("tracker: {DATA}: {why}\n")), "the socket itself is closed");
    fs::set_permissions(installation.socket(), fs::Permissions::from_mode(0o666)).expect("own");
    assert_eq!(as_nobody(), ended(1, "", &format!("tracker: {why}\n")));
    let told = format!(
        "a command of user {NOBODY} was refused: only root and the user of the tracker may give commands kind=ctl_refused"
    );
    tracker.expect(&told);
    assert_eq!(as_nobody().code, Some(1));
    tracker.say("quit");
    let (_, said) = tracker.end();
    assert_eq!(said.matches("ctl_refused").count(), 1, "it is told once a minute: {said}");
}

#[test]
fn a_tracker_that_ends_in_the_middle_of_a_command_leaves_its_outcome_open() {
    let installation = Installation::of(1);
    fs::create_dir_all(installation.folder.path().join(DATA)).expect("made");
    let door = UnixListener::bind(installation.socket()).expect("bound");
    let mut ctl = Program::start(&mut installation.ctl_command(&["delete_user", "ann"]));
    let (mut asked, _) = door.accept().expect("ctl");
    // The tracker has the command, and the answer never comes.
    asked.read_exact(&mut [0; 16]).expect("the command begins");
    drop(asked);
    let (status, said) = ctl.end();
    let words = "tracker: the tracker has ended in the middle; look whether the change was made\n";
    assert_eq!((status.code(), said.as_str()), (Some(7), words));
}

#[test]
fn a_ninth_command_waits_for_nobody_and_slow_ones_are_cut_off() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut slow: Vec<_> = (0..8).map(|_| UnixStream::connect(installation.socket()).expect("a door")).collect();
    let ninth = installation.ctl(&["users"]);
    assert_eq!(ninth, ended(1, "", "tracker: too many ctl commands run at once, try again\n"));
    let mut said = Vec::new();
    slow[0].read_to_end(&mut said).expect("cut off in good order");
    assert_eq!(said, b"");
    wait_until("there is room again", || installation.ctl(&["users"]).code == Some(0));
}

#[test]
fn a_tracker_ends_at_once_whoever_is_at_its_door() {
    let installation = Installation::of(1);
    let mut tracker = installation.tracker(1);
    let mut idle = UnixStream::connect(installation.socket()).expect("a door");
    tracker.say("quit");
    assert_eq!(tracker.end().0.code(), Some(0));
    // The connection is cut off. If it was not yet accepted, it ends in a reset.
    let mut said = Vec::new();
    let _ = idle.read_to_end(&mut said);
    assert_eq!(said, b"");
}
