//! Operators of trackers that cannot reach each other, and of a tracker that is killed in the middle of a command.

use crate::common::client::Client;
use crate::common::installation::{Installation, linked, same_digests, standing};
use crate::common::names::{PASSWORD, command, password, user};
use crate::common::program::Program;
use crate::common::relay::Relay;
use crate::common::wait::wait_until;
use crate::ctl::{Ended, ended};
use groupshare::tracker::operator::frame::{FrameKind, GREETING, TOLD_MAX, read_frame, write_frame};
use groupshare::tracker::operator::table::{COMMANDS, Runs};
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::Code;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::net::UnixStream;

/// Three trackers. The third has a machine of its own and reaches the others through relays.
struct Sides {
    installation: Installation,
    relays: [Relay; 2],
    trackers: Vec<Program>,
}

impl Sides {
    fn new() -> Self {
        let installation = Installation::of(3);
        let (one, two) = (installation.tracker(1), installation.tracker(2));
        let relays = [Relay::to(installation.addrs[0], |_, _, _| {}), Relay::to(installation.addrs[1], |_, _, _| {})];
        let far = installation.machine("far", &[relays[0].addr, relays[1].addr, installation.addrs[2]]);
        let three = installation.tracker_on(&far, 3);
        let mut trackers = vec![one, two, three];
        linked(&mut trackers[2], 1);
        linked(&mut trackers[2], 2);
        linked(&mut trackers[1], 1);
        Self { installation, relays, trackers }
    }

    fn data_dir(number: usize) -> String {
        let machine = if number == 3 { "far/" } else { "" };
        format!("{machine}tracker_info.txt.data/tracker-{number}")
    }

    /// Sends a command to the tracker with this number, and a line on standard input.
    fn ctl(&self, number: usize, words: &[&str], line: &str) -> Ended {
        self.installation.ctl_with(&[&["--data-dir", &Self::data_dir(number)], words].concat(), line)
    }

    fn done(&self, number: usize, words: &[&str], said: &str) {
        assert_eq!(self.ctl(number, words, "new"), ended(0, &format!("{said}\n"), ""), "{words:?} at {number}");
    }

    fn rows(&self, number: usize, words: &[&str]) -> Vec<Value> {
        let Ended { code, out, complaint } = self.ctl(number, &[&["--json"], words].concat(), "");
        assert_eq!((code, complaint.as_str()), (Some(0), ""), "{words:?} at {number}: {out}");
        out.lines().map(|line| serde_json::from_str(line).expect("an object on each line")).collect()
    }

    /// Checks that all trackers report this about a member.
    fn everywhere(&self, words: &[&str], member: &str, is: &Value) {
        for number in 1..=3 {
            assert_eq!(&self.rows(number, words)[0][member], is, "{words:?} at {number}");
        }
    }

    fn part(&mut self) {
        self.relays.iter().for_each(Relay::block);
        for tracker in &mut self.trackers[..2] {
            tracker.expect("tracker: tracker 3 is not connected");
        }
    }

    fn heal(&mut self) {
        self.relays.iter().for_each(Relay::unblock);
    }

    /// Sends the second tracker a command, and kills it at once or when the change has reached the first. Nobody reads
    /// its answer. Then it starts again.
    fn kill_in_the_middle(&mut self, words: &[&str], seen: Option<&dyn Fn(&Self) -> bool>) {
        let socket = self.installation.folder.path().join(Self::data_dir(2)).join("ctl");
        let mut stream = UnixStream::connect(socket).expect("it runs");
        stream.write_all(&GREETING).expect("taken");
        let command = json!({"words": words, "json": false}).to_string();
        write_frame(&mut stream, FrameKind::Command, command.as_bytes()).expect("taken");
        if let Some(seen) = seen {
            wait_until("it is done", || seen(self));
        }
        self.trackers.remove(1).kill();
        self.trackers.insert(1, self.installation.tracker(2));
    }

    fn refusal(&self, number: usize, name: &str, with: &str) -> Option<Code> {
        let mut client = self.installation.connect(number).expect("a channel");
        let login = Request::Login { client: client.id, user: user(name), password: password(with) };
        match client.ask(login) {
            Reply::LoggedIn { .. } => None,
            Reply::Refused { code, .. } => Code::from_number(code),
            other => panic!("{other:?}"),
        }
    }
}

/// Users, and the groups of ann. Bob is in each group.
fn people(sides: &mut Sides) {
    let client = |name: &str| {
        let mut client = sides.installation.connect(1).expect("a channel");
        client.create_user(name);
        client.log_in(name);
        client
    };
    for name in ["carl", "dora", "eve", "fay", "gus"] {
        client(name);
    }
    let (mut ann, mut bob) = (client("ann"), client("bob"));
    for name in ["lab", "den", "art"] {
        ann.create_group(name);
        bob.join(name);
        ann.accept(name, "bob");
    }
    same_digests(&mut sides.trackers);
}

/// Both sides show everything that an operator may read.
fn look_everywhere(sides: &Sides) {
    for usage in COMMANDS.iter().filter(|usage| usage.runs == Runs::AtTracker) {
        let words: &[&str] = match usage.name() {
            "user" => &["user", "ann"],
            "group" => &["group", "lab"],
            "files" => &["files", "lab"],
            name if ACTS.contains(&name) => continue,
            name => &[name],
        };
        for number in [1, 3] {
            let told = sides.ctl(number, words, "");
            assert_eq!((told.code, told.complaint.as_str()), (Some(0), ""), "{words:?} at {number}");
        }
    }
}

/// The commands with a change.
const ACTS: [&str; 12] = [
    "create_user",
    "reset_password",
    "disable_user",
    "enable_user",
    "delete_user",
    "kick",
    "give_group",
    "delete_group",
    "read_only",
    "forget",
    "unforget",
    "reload",
];

/// The changes at the first tracker and the second.
fn act_on_one_side(sides: &Sides) {
    let one = |words: &[&str], said: &str| sides.done(1, words, said);
    one(&["create_user", "zed"], "User zed created");
    one(&["reset_password", "carl"], "The password of carl is reset, all sessions end");
    one(&["enable_user", "fay"], "fay is enabled");
    one(&["disable_user", "eve"], "eve is disabled, all sessions end");
    one(&["kick", "gus"], "All sessions of gus end (0 clients here)");
    one(&["delete_user", "dora"], "dora is deleted; 0 groups passed on, 0 ended");
    one(&["give_group", "lab", "gus"], "lab belongs to gus now");
    one(&["delete_group", "den"], "den is deleted, 2 members are out");
    one(&["give_group", "art", "bob"], "art belongs to bob now");
    one(&["forget", "2"], "Tracker 2 is forgotten, here at once and at the others as they hear of it");
    one(&["unforget", "2"], "Tracker 2 is taken back, here at once and at the others as they hear of it");
    one(&["reload"], "Reloaded, nothing has changed");
    one(&["reset_password", "bob"], "The password of bob is reset, all sessions end");
    sides.done(2, &["kick", "gus"], "All sessions of gus end (0 clients here)");
}

/// The changes at the third tracker. Bob is logged in there.
fn act_on_the_other(sides: &Sides, bob: &mut Client) {
    // The other side has made more changes, so its changes are the later ones.
    let three = |words: &[&str], said: &str| sides.done(3, words, said);
    (0..40).for_each(|_| three(&["kick", "ann"], "All sessions of ann end (0 clients here)"));
    // An operator on the other side has reset the password that bob replaces.
    let change = Request::ChangePassword { command: command(), old: password(PASSWORD), new: password("his own") };
    assert!(matches!(bob.ask(change), Reply::LoggedIn { .. }));
    three(&["read_only", "on"], "This tracker takes no changes of clients now");
    three(&["create_user", "zed"], "User zed created");
    let reset = sides.ctl(3, &["reset_password", "carl"], "later");
    assert_eq!(reset, ended(0, "The password of carl is reset, all sessions end\n", ""));
    three(&["disable_user", "fay"], "fay is disabled already");
    three(&["enable_user", "eve"], "eve is not disabled");
    three(&["disable_user", "gus"], "gus is disabled, all sessions end");
    three(&["give_group", "lab", "eve"], "lab belongs to eve now");
    three(&["give_group", "den", "dora"], "den belongs to dora now");
    three(&["delete_user", "ann"], "ann is deleted; 1 groups passed on, 0 ended");
    three(&["delete_group", "art"], "art is deleted, 1 members are out");
    three(&["forget", "2"], "Tracker 2 is forgotten, here at once and at the others as they hear of it");
    three(&["reload"], "Reloaded, nothing has changed");
    let mut backup = sides.installation.ctl_command(&["--data-dir", &Sides::data_dir(3), "backup"]);
    assert!(backup.output().expect("started").status.success());
}

#[test]
fn acts_of_operators_on_both_sides_of_a_partition_come_to_one_state() {
    let mut sides = Sides::new();
    people(&mut sides);
    let mut bob = sides.installation.connect(3).expect("a channel");
    bob.log_in("bob");
    sides.done(1, &["disable_user", "fay"], "fay is disabled, all sessions end");
    same_digests(&mut sides.trackers);
    sides.part();
    look_everywhere(&sides);

    act_on_one_side(&sides);
    act_on_the_other(&sides, &mut bob);

    sides.heal();
    wait_until("the first has heard of it", || standing(&mut sides.trackers[0], 2).contains("forgotten"));
    sides.done(1, &["unforget", "2"], "Tracker 2 is taken back, here at once and at the others as they hear of it");
    same_digests(&mut sides.trackers);
    is_as_both_sides_made_it(&sides);
}

fn is_as_both_sides_made_it(sides: &Sides) {
    for (name, standing) in [
        ("ann", "deleted"),
        ("bob", "active"),
        ("dora", "deleted"),
        // Something that one side had already done was no change there.
        ("eve", "disabled"),
        ("fay", "active"),
        ("gus", "disabled"),
        ("zed", "active"),
        ("zed~2", "active"),
    ] {
        sides.everywhere(&["users", name], "standing", &json!(standing));
    }
    sides.everywhere(&["groups"], "group_id", &json!("lab"));
    sides.everywhere(&["groups"], "owner", &json!("eve"));
    for number in 1..=3 {
        assert_eq!(sides.rows(number, &["groups"]).len(), 1, "den and art are gone at {number}");
        assert_eq!(sides.rows(number, &["status"])[0]["read_only"], json!(number == 3));
        let logins = [("bob", "his own"), ("bob", "new"), ("carl", PASSWORD), ("carl", "later"), ("gus", PASSWORD)];
        let refusals = logins.map(|(name, with)| sides.refusal(number, name, with));
        let bad = Some(Code::BadLogin);
        assert_eq!(refusals, [bad, None, bad, None, Some(Code::AccountDisabled)], "at {number}");
    }
}

#[test]
fn a_command_in_whose_middle_a_tracker_is_killed_is_done_everywhere_or_nowhere() {
    let mut sides = Sides::new();
    people(&mut sides);
    let rounds: [(&[&str], &str); 9] = [
        (&["disable_user", "carl"], "disabled"),
        (&["enable_user", "carl"], "active"),
        (&["delete_user", "dora"], "deleted"),
        (&["kick", "eve"], ""),
        (&["create_user", "zed", "--make"], "active"),
        (&["reset_password", "eve", "--make"], ""),
        (&["give_group", "lab", "fay"], "fay"),
        (&["delete_group", "den"], ""),
        (&["read_only", "on"], ""),
    ];
    for (words, _) in rounds {
        sides.kill_in_the_middle(words, None);
    }
    same_digests(&mut sides.trackers);
    // Whatever the result of each command is, it can be repeated.
    for (words, is) in rounds {
        let again = sides.ctl(2, words, "");
        let refused = ["User already exists: zed", "User does not exist: dora", "Group does not exist: den"];
        let known = refused.iter().any(|refused| again.complaint.starts_with(&format!("tracker: {refused}")));
        assert!(again.code == Some(0) || (again.code == Some(1) && known), "{words:?}: {again:?}");
        let member = if words[0] == "give_group" { ("groups", "owner") } else { ("users", "standing") };
        if !is.is_empty() {
            same_digests(&mut sides.trackers);
            sides.everywhere(&[member.0, words[1]], member.1, &json!(is));
        }
    }
    assert_eq!(sides.rows(2, &["status"])[0]["read_only"], json!(true));
    assert_eq!(sides.rows(1, &["status"])[0]["read_only"], json!(false));
}

#[test]
fn an_act_made_before_its_tracker_is_killed_stays_though_nobody_was_told() {
    let mut sides = Sides::new();
    people(&mut sides);
    let deleted = |sides: &Sides| sides.rows(1, &["users", "dora"])[0]["standing"] == "deleted";
    sides.kill_in_the_middle(&["delete_user", "dora"], Some(&deleted));
    let gone = |sides: &Sides| sides.rows(1, &["groups", "den"]).is_empty();
    sides.kill_in_the_middle(&["delete_group", "den"], Some(&gone));
    same_digests(&mut sides.trackers);
    sides.everywhere(&["users", "dora"], "standing", &json!("deleted"));
    for number in 1..=3 {
        assert!(sides.rows(number, &["groups", "den"]).is_empty());
    }
}

#[test]
fn a_tracker_that_is_killed_while_it_asks_for_a_password_has_changed_nothing() {
    let mut sides = Sides::new();
    people(&mut sides);
    let socket = sides.installation.folder.path().join(Sides::data_dir(2)).join("ctl");
    let mut stream = UnixStream::connect(socket).expect("it runs");
    stream.write_all(&GREETING).expect("taken");
    let asked = json!({"words": ["reset_password", "carl"], "json": false}).to_string();
    write_frame(&mut stream, FrameKind::Command, asked.as_bytes()).expect("taken");
    assert_eq!(read_frame(&mut stream, TOLD_MAX).expect("a question").0, FrameKind::Question);
    write_frame(&mut stream, FrameKind::Secret, b"new").expect("taken");
    assert_eq!(read_frame(&mut stream, TOLD_MAX).expect("the same once more").0, FrameKind::Question);
    sides.trackers.remove(1).kill();
    assert!(read_frame(&mut stream, TOLD_MAX).is_err());
    sides.trackers.insert(1, sides.installation.tracker(2));
    same_digests(&mut sides.trackers);
    for number in 1..=3 {
        assert_eq!(sides.refusal(number, "carl", PASSWORD), None);
        assert_eq!(sides.refusal(number, "carl", "new"), Some(Code::BadLogin));
    }
}
