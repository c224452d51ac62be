//! Who may give a tracker which command: every command of ctl by every kind of user on the machine, each with its exit
//! code.

use crate::access::{cells, is_whole};
use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::ctl::{DATA, NOBODY, open_to_all, program_for_all};
use groupshare::tracker::operator::table::COMMANDS;
use rustix::process::geteuid;
use std::fs;
use std::io::{Seek, Write};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The exit codes. Each line is a command, and each column is a user who gives it:
///
/// | | |
/// |---|---|
/// | operator | runs the tracker |
/// | root | may do everything on the machine |
/// | other | is another user of the machine |
/// | opened | is the same user, with the data folder and the socket open to everybody |
///
/// 0 is done, 1 is refused, and 2 means that ctl does not have the command.
const CTL: &str = "
    command         operator  root  other  opened
    status          0         0     1      1
    users           0         0     1      1
    user            0         0     1      1
    online          0         0     1      1
    groups          0         0     1      1
    group           0         0     1      1
    files           0         0     1      1
    trackers        0         0     1      1
    limits          0         0     1      1
    audit           0         0     1      1
    create_user     0         0     1      1
    reset_password  0         0     1      1
    disable_user    0         0     1      1
    enable_user     0         0     1      1
    kick            0         0     1      1
    give_group      0         0     1      1
    delete_group    0         0     1      1
    delete_user     0         0     1      1
    read_only       0         0     1      1
    forget          0         0     1      1
    unforget        0         0     1      1
    reload          0         0     1      1
    backup          0         0     1      1
    restore         0         1     1      1
    help            0         0     0      0
    quit            2         2     2      2
";

const OTHER: u32 = NOBODY - 1;
/// The place of the state's digest in a backup.
const DIGEST: Range<usize> = 60..92;

/// A tracker of another user than root, with a program that everybody can start.
struct Machine {
    installation: Installation,
    program: PathBuf,
    _tracker: Program,
}

impl Machine {
    fn start() -> Self {
        let installation = Installation::of(2);
        let program = program_for_all(&installation);
        let folder = installation.folder.path();
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may");
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("root may");
        let mut command = Command::new(&program);
        let mut tracker = Program::start(command.current_dir(folder).uid(NOBODY).gid(NOBODY));
        tracker.expect("tracker 1 on ");
        let mut ann = installation.connect(1).expect("a channel");
        ann.create_user("ann");
        ann.log_in("ann");
        for column in ["operator", "root", "other", "opened"] {
            ann.create_group(&format!("lab {column}"));
        }
        Self { installation, program, _tracker: tracker }
    }

    /// Gives a command as this user.
    fn gives(&self, who: &str, words: &[&str], input: impl Into<Stdio>) -> Output {
        let mut command = Command::new(&self.program);
        command.current_dir(self.installation.folder.path()).args(["ctl", "--data-dir"]).args(words);
        match who {
            "operator" => command.uid(NOBODY).gid(NOBODY),
            "root" => &mut command,
            "other" | "opened" => command.uid(OTHER).gid(OTHER),
            other => panic!("who is {other}?"),
        };
        command.stdin(input).output().expect("started")
    }

    /// The exit code of a line for a column.
    fn code(&self, line: &str, who: &str) -> i32 {
        let (user, group, new) = (format!("user {who}"), format!("lab {who}"), format!("new {who}"));
        let (mut words, mut input) = (vec![DATA, line], Stdio::null());
        match line {
            "user" => words.push("ann"),
            "disable_user" | "enable_user" | "delete_user" | "kick" => words.push(&user),
            "create_user" | "reset_password" => words.extend([user.as_str(), "--make"]),
            "group" | "files" | "delete_group" => words.push(&group),
            "give_group" => words.extend([group.as_str(), &user]),
            "forget" | "unforget" => words.push("2"),
            "read_only" => words.push("off"),
            "restore" => {
                words[0] = &new;
                let backup = self.gives("root", &[DATA, "backup"], Stdio::null()).stdout;
                let mut file = tempfile::tempfile().expect("a file");
                file.write_all(&backup).expect("room");
                file.rewind().expect("a file");
                input = file.into();
            }
            _ => {}
        }
        self.gives(who, &words, input).status.code().expect("it ends by itself")
    }

    /// The digest of the state, and root's information that is not in the state.
    fn known(&self) -> [Vec<u8>; 2] {
        let told = |name: &str| self.gives("root", &[DATA, name], Stdio::null()).stdout;
        [told("backup")[DIGEST].to_vec(), told("read_only")]
    }
}

#[test]
fn every_command_of_ctl_ends_for_everybody_as_the_table_says_and_a_refused_one_changes_nothing() {
    is_whole(CTL, COMMANDS.iter().map(|usage| usage.name()).collect());
    if !geteuid().is_root() {
        eprintln!("only root can be another user");
        return;
    }
    let machine = Machine::start();
    let mut wrong = Vec::new();
    for who in ["operator", "root", "other", "opened"] {
        if who == "opened" {
            let folder = machine.installation.folder.path().join(DATA);
            open_to_all(&folder, machine.installation.folder.path());
            fs::set_permissions(folder.join("ctl"), fs::Permissions::from_mode(0o666)).expect("root may");
        }
        for (line, _, expected) in cells(CTL).filter(|(_, column, _)| *column == who) {
            let before = machine.known();
            let code = machine.code(line, who);
            if code.to_string() != expected {
                wrong.push(format!("{line} by {who}: {code} and not {expected}"));
            }
            assert!(code == 0 || machine.known() == before, "{line} by {who} was refused and has changed something");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
