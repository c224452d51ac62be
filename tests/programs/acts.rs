//! Changes to users and groups with `tracker ctl`, and their effect on clients.

use crate::common::client::Client;
use crate::common::installation::{Installation, linked, same_digests};
use crate::common::names::{PASSWORD, command, group, password, user};
use crate::common::program::Program;
use crate::common::wait::wait_until;
use crate::ctl::{DATA, Ended, ended, lab};
use crate::sitting::{CTRL_C, Sitting};
use groupshare::model::digest::InfoHash;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::codec::Blob;
use groupshare::wire::refusal::Code;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::Stdio;

impl Installation {
    /// The same with a line on standard input.
    pub(crate) fn ctl_with(&self, words: &[&str], line: &str) -> Ended {
        let mut command = self.ctl_command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        // A command that asks nothing may have ended already.
        let _ = writeln!(child.stdin.take().expect("piped"), "{line}");
        let output = child.wait_with_output().expect("ended");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ended { code: output.status.code(), out: text(output.stdout), complaint: text(output.stderr) }
    }

    /// The row of a change, without the change's id.
    fn acted(&self, words: &[&str]) -> Vec<Value> {
        let mut rows = self.rows(words);
        let op = rows[0].as_object_mut().and_then(|row| row.remove("op")).expect("a change");
        assert!(op.as_str().is_some_and(|op| op.starts_with("1.")), "{op}");
        rows
    }

    fn done(&self, words: &[&str], said: &str) {
        assert_eq!(self.ctl(words), ended(0, &format!("{said}\n"), ""), "{words:?}");
    }

    /// The result of a login at this tracker.
    fn log_in(&self, number: usize, name: &str, with: &str) -> Result<Client, Code> {
        let mut client = self.connect(number).expect("a channel");
        let login = Request::Login { client: client.id, user: user(name), password: password(with) };
        match client.ask(login) {
            Reply::LoggedIn { .. } => Ok(client),
            Reply::Refused { code, .. } => Err(Code::from_number(code).expect("known")),
            other => panic!("{other:?}"),
        }
    }

    fn refuses(&self, number: usize, name: &str, with: &str, code: Code) {
        assert_eq!(self.log_in(number, name, with).map(|_| ()), Err(code), "{name}");
    }
}

/// Waits until a connection is no longer logged in.
fn session_ends(client: &mut Client) {
    wait_until("the session ends", || matches!(client.ask(Request::ListGroups { after: None }), Reply::Refused { .. }));
}

#[test]
fn an_operator_makes_accounts_and_sets_passwords_that_a_script_gives_or_the_tracker_makes() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let made = installation.ctl_with(&["create_user", "ann"], "first");
    assert_eq!(made, ended(0, "User ann created\n", ""));
    let mut ann = installation.log_in(1, "ann", "first").expect("the password is set");
    let again = installation.ctl_with(&["create_user", "ann"], "second");
    assert_eq!(again, ended(1, "", "tracker: User already exists: ann\n"));
    let reset = installation.ctl_with(&["reset_password", "ann"], "second");
    assert_eq!(reset, ended(0, "The password of ann is reset, all sessions end\n", ""));
    session_ends(&mut ann);
    installation.refuses(1, "ann", "first", Code::BadLogin);
    assert!(installation.log_in(1, "ann", "second").is_ok());
    let rows = installation.rows(&["reset_password", "ann", "--make"]);
    let made = rows[0]["passwd"].as_str().expect("shown").to_owned();
    assert_eq!((rows.len(), made.len(), &rows[0]["status"]), (1, 20, &json!("success")));
    assert!(installation.log_in(1, "ann", &made).is_ok());
    let out = installation.ctl(&["create_user", "bob", "--make"]).out;
    let made = out.strip_prefix("User bob created\nPassword: ").expect("shown last").trim_end();
    assert!(installation.log_in(1, "bob", made).is_ok());
    for (name, why) in [("zoe", "User does not exist: zoe"), ("zoe~2", "User does not exist: zoe~2")] {
        let refused = installation.ctl_with(&["reset_password", name], "pw");
        assert_eq!(refused, ended(1, "", &format!("tracker: {why}\n")));
    }
    for (line, words) in [(String::new(), "empty"), ("x".repeat(1025), "too long")] {
        let refused = installation.ctl_with(&["create_user", "zoe"], &line);
        assert_eq!(refused, ended(1, "", "tracker: A password has 1 to 1024 bytes\n"), "{words}");
    }
}

#[test]
fn a_password_stands_in_no_command_line_and_in_no_file_and_is_not_said() {
    let installation = Installation::of(1);
    let mut tracker = installation.tracker(1);
    let secret = "plain-as-day";
    let on_line = installation.ctl(&["create_user", "ann", secret]);
    let words = "tracker: Passwords are asked for, never written on the command line\n";
    assert_eq!(on_line, ended(2, "", words));
    // It waits for its line. Meanwhile this is its command line for everybody on the machine.
    let mut asking = Program::start(&mut installation.ctl_command(&["create_user", "ann"]));
    let lines = [asking.pid(), tracker.pid()].map(|pid| format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    asking.say(secret);
    let seen = lines.map(|path| fs::read(path).unwrap_or_default());
    assert_eq!(asking.line(), "User ann created");
    assert_eq!(asking.end().0.code(), Some(0));
    assert!(installation.log_in(1, "ann", secret).is_ok());
    tracker.say("quit");
    tracker.end();
    let said = tracker.heard().iter().chain(asking.heard()).map(|line| line.text.clone().into_bytes());
    let mut places: Vec<Vec<u8>> = said.chain(seen).collect();
    let mut folders = vec![installation.folder.path().join(DATA)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable").map(|entry| entry.expect("there").path()) {
            if entry.is_dir() { folders.push(entry) } else { places.push(fs::read(entry).expect("readable")) }
        }
    }
    let is_in = |place: &Vec<u8>| place.windows(secret.len()).any(|part| part == secret.as_bytes());
    assert!(!places.iter().any(is_in));
}

#[test]
fn at_a_terminal_a_password_is_typed_twice_and_not_shown() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let at = |words: &[&str]| {
        let words = [&["ctl"], words].concat();
        Sitting::start(env!("CARGO_BIN_EXE_tracker"), &words, installation.folder.path(), 24, 80)
    };
    let person = at(&["create_user", "ann"]);
    person.ends_with(&["New password for ann: "]);
    person.enters("wonderland");
    person.ends_with(&["Once more: "]);
    person.enters("wonderland");
    person.sees("it is done", |rows, _| rows.iter().any(|row| row == "User ann created"));
    assert!(!person.rows().iter().any(|row| row.contains("wonderland")), "{:?}", person.rows());
    assert!(installation.log_in(1, "ann", "wonderland").is_ok());
    let person = at(&["reset_password", "ann"]);
    person.ends_with(&["New password for ann: "]);
    person.enters("one");
    person.ends_with(&["Once more: "]);
    person.enters("two");
    person.sees("a refusal", |rows, _| rows.iter().any(|row| row == "tracker: The two passwords differ"));
    let mut person = at(&["reset_password", "ann"]);
    person.ends_with(&["New password for ann: "]);
    person.types(CTRL_C);
    let words = "tracker: interrupted; nothing was changed";
    person.sees("the end", |rows, _| rows.iter().any(|row| row == words));
    assert_eq!(person.ends().code(), Some(130));
    assert!(installation.log_in(1, "ann", "wonderland").is_ok());
}

#[test]
fn an_operator_keeps_users_out_and_lets_them_in_again() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let [mut ann, mut bob, mut carl] = lab(&installation);
    installation.done(&["kick", "bob"], "All sessions of bob end (1 clients here)");
    session_ends(&mut bob);
    assert!(installation.log_in(1, "bob", PASSWORD).is_ok(), "the password stays");
    installation.done(&["disable_user", "carl"], "carl is disabled, all sessions end");
    session_ends(&mut carl);
    installation.refuses(1, "carl", PASSWORD, Code::AccountDisabled);
    installation.refuses(1, "carl", "wrong", Code::BadLogin);
    installation.done(&["disable_user", "carl"], "carl is disabled already");
    assert_eq!(installation.rows(&["users", "carl"])[0]["standing"], json!("disabled"));
    let disabled = "tracker: The account is disabled, ask the operator: carl\n";
    assert_eq!(installation.ctl(&["give_group", "lab", "carl"]), ended(1, "", disabled));
    installation.done(&["enable_user", "carl"], "carl is enabled");
    installation.done(&["enable_user", "carl"], "carl is not disabled");
    assert!(installation.log_in(1, "carl", PASSWORD).is_ok());
    assert_eq!(
        installation.acted(&["delete_user", "ann"]),
        [json!({
            "status": "success",
            "message": "ann is deleted; 1 groups passed on, 1 ended",
            "passed_on": 1,
            "ended": 1,
        })]
    );
    session_ends(&mut ann);
    installation.refuses(1, "ann", PASSWORD, Code::BadLogin);
    assert_eq!(installation.rows(&["groups"])[0]["owner"], json!("bob"));
    let reserved = "tracker: User already exists: ann, and deleted: its name stays reserved\n";
    assert_eq!(installation.ctl_with(&["create_user", "ann"], "pw"), ended(1, "", reserved));
    assert!(installation.ctl(&["user", "ann"]).out.starts_with("user        ann, deleted\n"));
    for command in ["kick", "disable_user", "enable_user", "delete_user"] {
        assert_eq!(
            installation.ctl(&[command, "ann"]),
            ended(1, "", "tracker: User does not exist: ann\n"),
            "{command}"
        );
    }
}

#[test]
fn an_operator_gives_groups_away_and_removes_them() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let _online = lab(&installation);
    installation.done(&["give_group", "lab", "carl"], "lab belongs to carl now");
    installation.done(&["give_group", "lab", "carl"], "carl owns lab already");
    let lab = installation.rows(&["group", "lab"]);
    assert_eq!((&lab[0]["owner"], &lab[0]["requests"]), (&json!("carl"), &json!([])));
    let gone = json!({"status": "success", "message": "lab is deleted, 3 members are out", "members": 3});
    assert_eq!(installation.acted(&["delete_group", "lab"]), [gone]);
    let none = "tracker: Group does not exist: lab\n";
    assert_eq!(installation.ctl(&["delete_group", "lab"]), ended(1, "", none));
    assert_eq!(installation.ctl(&["give_group", "lab", "ann"]), ended(1, "", none));
    assert_eq!(installation.ctl(&["give_group", "den", "zoe"]), ended(1, "", "tracker: User does not exist: zoe\n"));
}

#[test]
fn a_tracker_that_is_read_only_refuses_clients_and_not_its_operator_also_after_a_start() {
    let installation = Installation::of(1);
    let mut tracker = installation.tracker(1);
    let [mut ann, ..] = lab(&installation);
    installation.done(&["read_only"], "off");
    installation.done(&["read_only", "on"], "This tracker takes no changes of clients now");
    let create = || Request::CreateGroup { command: command(), group: group("art") };
    assert!(matches!(ann.ask(create()), Reply::Refused { code, .. } if code == Code::ReadOnly as u16));
    let info_hash = InfoHash([7; 32]);
    let part = Blob::new(vec![1; 64]).expect("short");
    let list = Request::PutManifest { group: group("lab"), info_hash, total: 64, offset: 0, part };
    assert!(matches!(ann.ask(list), Reply::Refused { code, .. } if code == Code::ReadOnly as u16), "it takes room");
    installation.done(&["give_group", "lab", "bob"], "lab belongs to bob now");
    tracker.say("quit");
    assert_eq!(tracker.end().0.code(), Some(0));
    let mut tracker = installation.tracker(1);
    assert_eq!(installation.rows(&["status"])[0]["read_only"], json!(true));
    tracker.told("status", "read-only   since ");
    assert!(installation.ctl(&["read_only"]).out.starts_with("on since "));
    let mut ann = installation.log_in(1, "ann", PASSWORD).expect("nobody is kept out");
    assert!(matches!(ann.ask(create()), Reply::Refused { code, .. } if code == Code::ReadOnly as u16));
    tracker.told("read_only off", "This tracker takes changes of clients again");
    ann.done(create());
}

#[test]
fn the_console_takes_the_same_commands_and_asks_for_passwords_in_its_next_lines() {
    let installation = Installation::of(1);
    let mut tracker = installation.tracker(1);
    tracker.say("create_user ann");
    tracker.say("from the console");
    tracker.say("from the console");
    tracker.expect("User ann created");
    assert!(installation.log_in(1, "ann", "from the console").is_ok());
    tracker.told("users a*", "ann  active  online ");
    tracker.told("kick zoe", "User does not exist: zoe");
}

/// Another tracker of the same list. ctl finds it by its own data folder.
fn ctl_at(installation: &Installation, number: usize, words: &[&str], line: &str) -> Ended {
    let data = format!("tracker_info.txt.data/tracker-{number}");
    installation.ctl_with(&[&["--data-dir", &data], words].concat(), line)
}

#[test]
fn an_operators_act_at_one_tracker_holds_at_all_even_one_that_was_away() {
    let installation = Installation::of(3);
    let start = |number| installation.tracker(number);
    let mut trackers = vec![start(1), start(2), start(3)];
    for (at, other) in [(0, 2), (0, 3), (1, 3)] {
        linked(&mut trackers[at], other);
    }
    let done = |number, words: &[&str], said: &str| {
        assert_eq!(ctl_at(&installation, number, words, "new"), ended(0, &format!("{said}\n"), ""), "{words:?}");
    };
    let all = |words: &[&str], said: &str| {
        for number in 1..=3 {
            wait_until(said, || ctl_at(&installation, number, words, "").out == format!("{said}\n"));
        }
    };
    drop(lab(&installation));
    done(1, &["create_user", "dora"], "User dora created");
    all(&["users", "dora"], "dora  active  online 0  groups 0  owns 0  shares 0");
    done(2, &["give_group", "lab", "dora"], "lab belongs to dora now");
    all(&["groups", "lab"], "lab  members 3  owner dora  owners 1  ask  requests 1  files 1");
    // The third tracker is away meanwhile.
    let third = trackers.pop().expect("three");
    third.kill();
    done(1, &["reset_password", "bob"], "The password of bob is reset, all sessions end");
    done(2, &["disable_user", "carl"], "carl is disabled, all sessions end");
    done(2, &["delete_group", "den"], "den is deleted, 1 members are out");
    wait_until("the first has heard of it", || ctl_at(&installation, 1, &["groups", "den"], "").out.is_empty());
    done(1, &["delete_user", "ann"], "ann is deleted; 0 groups passed on, 0 ended");
    trackers.push(start(3));
    all(&["users", "carl"], "carl  disabled  online 0  groups 0  owns 0  shares 0");
    all(&["users", "ann"], "ann  deleted  online 0  groups 0  owns 0  shares 0");
    all(&["groups"], "lab  members 2  owner dora  owners 1  ask  requests 1  files 0");
    for number in 1..=3 {
        assert!(installation.log_in(number, "bob", "new").is_ok());
        installation.refuses(number, "bob", PASSWORD, Code::BadLogin);
        installation.refuses(number, "carl", PASSWORD, Code::AccountDisabled);
        installation.refuses(number, "ann", PASSWORD, Code::BadLogin);
    }
    done(3, &["kick", "dora"], "All sessions of dora end (0 clients here)");
    done(3, &["enable_user", "carl"], "carl is enabled");
    all(&["users", "carl"], "carl  active  online 0  groups 0  owns 0  shares 0");
    same_digests(&mut trackers);
}
