//! The table of the operator's commands. The parser, `help`, and the tests of man page, completion and docs read it.

use std::fmt;
use std::ops::RangeInclusive;

macro_rules! commands {
    ($($verb:ident $names:expr, $arguments:literal $counts:expr, $runs:ident, $summary:literal $details:literal)*) => {
        /// The commands by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Verb {
            $(#[doc = $summary] $verb,)*
        }

        /// Every command, in the order in which `help` lists them.
        pub const COMMANDS: &[OperatorUsage] = &[
            $(OperatorUsage {
                verb: Verb::$verb,
                names: &$names,
                arguments: $arguments,
                counts: $counts,
                runs: Runs::$runs,
                summary: $summary,
                details: $details,
            },)*
        ];
    };
}

/// Up to this many characters of synopsis, the summaries are aligned.
const ALIGNED_MAX: usize = 32;

/// One command of the table.
#[derive(Debug)]
pub struct OperatorUsage {
    /// Which command.
    pub verb: Verb,
    /// The names to type; the first is its proper name.
    pub names: &'static [&'static str],
    /// Its arguments as documented; empty if there are none.
    pub arguments: &'static str,
    /// How many words it takes.
    pub counts: RangeInclusive<usize>,
    /// Where it is carried out.
    pub runs: Runs,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Further information, in lines.
    pub details: &'static str,
}

/// Where a command is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// By the running tracker, for ctl and for the console.
    AtTracker,
    /// By the program into which it was typed; needs no running tracker.
    Anywhere,
    /// By the running tracker, for its console alone.
    ConsoleOnly,
    /// By the running tracker, for ctl alone.
    CtlOnly,
    /// By ctl itself; needs no running tracker.
    InCtl,
}

commands! {
    Status ["status"], "" 0..=0, AtTracker,
        "show address, fingerprint, amounts, the other trackers, and the floor"
        "The command also shows connections, the relay, and what needs attention."
    Users ["users"], "[pattern]" 0..=1, AtTracker,
        "list accounts"
        "In a pattern '*' stands for any characters, '?' for one, and [a-z] for one of these. A small letter\n\
         matches the capital too. In a shell, put the pattern in quotes."
    User ["user"], "<user_id>" 1..=1, AtTracker,
        "show one account"
        ""
    Online ["online"], "" 0..=0, AtTracker,
        "list who is online, from where, and at which tracker"
        ""
    Groups ["groups"], "[pattern]" 0..=1, AtTracker,
        "list groups"
        "In a pattern '*' stands for any characters, '?' for one, and [a-z] for one of these. A small letter\n\
         matches the capital too. In a shell, put the pattern in quotes."
    Group ["group"], "<group_id>" 1..=1, AtTracker,
        "show one group with its members and requests"
        ""
    Files ["files"], "<group_id>" 1..=1, AtTracker,
        "list what is shared in a group"
        ""
    Trackers ["trackers"], "" 0..=0, AtTracker,
        "list the other trackers"
        ""
    Limits ["limits"], "" 0..=0, AtTracker,
        "list the limits on users, what is used, and how often each limit was reached"
        "--limit sets the limits. For a limit on each user or address the list names who uses most."
    Audit ["audit"], "[--user <user_id>] [--group <group_id>] [--since <time>]" 0..=6, AtTracker,
        "show who changed what and when"
        "The last 10000 lines are shown. A time is 2026-11-28, 2026-11-28T23:30:01Z, or how long ago: 30m, 2h, 3d.\n\
         Lines of operators have operator/N in place of a user. N is the number of their tracker."
    CreateUser ["create_user"], "<user_id> [--make]" 1..=2, AtTracker,
        "make an account"
        "The tracker asks for the password twice and hides it. A script gives it on the first line of standard input.\n\
         With --make the tracker makes a password and shows it."
    ResetPassword ["reset_password"], "<user_id> [--make]" 1..=2, AtTracker,
        "set a new password and end all sessions"
        "The tracker asks for the password twice and hides it. A script gives it on the first line of standard input.\n\
         With --make the tracker makes a password and shows it."
    DisableUser ["disable_user"], "<user_id>" 1..=1, AtTracker,
        "refuse logins of a user and end all sessions"
        "Memberships and shares stay. give_group gives the user's groups to somebody else."
    EnableUser ["enable_user"], "<user_id>" 1..=1, AtTracker,
        "allow logins of a user again"
        ""
    DeleteUser ["delete_user"], "<user_id>" 1..=1, AtTracker,
        "remove an account for good"
        "The command asks for no confirmation. The user's groups go to other members, or end. The name stays reserved."
    Kick ["kick"], "<user_id>" 1..=1, AtTracker,
        "end all sessions of a user"
        "The user can log in again. disable_user prevents that."
    GiveGroup ["give_group"], "<group_id> <user_id>" 2..=2, AtTracker,
        "make a user the only owner of a group"
        "If the user is not a member, the user becomes one."
    DeleteGroup ["delete_group"], "<group_id>" 1..=1, AtTracker,
        "remove a group for good"
        "The command asks for no confirmation. The name is free again."
    ReadOnly ["read_only"], "[on|off]" 0..=1, AtTracker,
        "refuse changes of clients at this tracker, or accept them again"
        "Changes of other trackers and of operators go on. The setting survives a restart. Without on or off the\n\
         command shows the setting."
    Forget ["forget"], "<tracker_no>" 1..=1, AtTracker,
        "make all trackers forget one: refuse its calls, keep no changes for it"
        "Each tracker does so when it hears of the command. The trackers also stop calling the forgotten one."
    Unforget ["unforget"], "<tracker_no>" 1..=1, AtTracker,
        "make all trackers accept a forgotten one again"
        "If the others have dropped old changes meanwhile, the forgotten tracker takes over their state when it is\n\
         back."
    Reload ["reload"], "" 0..=0, AtTracker,
        "read the list of trackers and the options anew"
        "In the list, the addresses of other trackers may change, and lines may come or go at the end. The options\n\
         are those in the file of --config. SIGHUP does the same if the tracker has no terminal."
    Backup ["backup"], "" 0..=0, CtlOnly,
        "write a copy of everything to standard output"
        "The tracker goes on running. The copy has the hashes of all passwords: keep it secret. It has neither the\n\
         key nor the list of trackers."
    Restore ["restore"], "" 0..=0, InCtl,
        "make a data folder of a backup that comes from standard input"
        "The folder must be new or empty. --tracker names the tracker that will use the folder. Without --tracker\n\
         that is the tracker that made the backup."
    Help ["help", "?"], "[command]" 0..=1, Anywhere,
        "list the commands, or say more about one"
        ""
    Quit ["quit", "exit"], "" 0..=0, ConsoleOnly,
        "stop the tracker"
        "On the console only. The service manager stops a tracker that runs as a service."
}

impl OperatorUsage {
    /// The name and the arguments.
    pub fn synopsis(&self) -> String {
        format!("{} {}", self.name(), self.arguments).trim_end().to_owned()
    }

    /// The proper name.
    pub fn name(&self) -> &'static str {
        self.names[0]
    }
}

impl Verb {
    /// The command's line of the table.
    pub fn usage(self) -> &'static OperatorUsage {
        COMMANDS.iter().find(|usage| usage.verb == self).expect("the macro makes a line for every verb")
    }

    /// The command with this name.
    pub fn find(typed: &str) -> Option<Self> {
        COMMANDS.iter().find(|usage| usage.names.contains(&typed)).map(|usage| usage.verb)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.usage().name())
    }
}

/// The lines of `help`: all commands, or everything about one.
pub fn help(about: Option<Verb>) -> Vec<String> {
    if let Some(verb) = about {
        let usage = verb.usage();
        let (first, rest) = usage.summary.split_at(1);
        let mut lines = vec![format!("Usage: {}", usage.synopsis()), format!("{}{rest}.", first.to_uppercase())];
        lines.extend(usage.details.lines().map(str::to_owned));
        lines.extend(usage.names[1..].iter().map(|other| format!("'{other}' does the same.")));
        return lines;
    }
    let widths = COMMANDS.iter().map(|usage| usage.synopsis().len());
    let width = widths.filter(|width| *width <= ALIGNED_MAX).max().unwrap_or_default();
    COMMANDS.iter().map(|usage| format!("{:width$}  {}", usage.synopsis(), usage.summary)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_in_the_table_once_and_finds_its_command() {
        let mut names: Vec<&str> = COMMANDS.iter().flat_map(|usage| usage.names.iter().copied()).collect();
        for usage in COMMANDS {
            assert!(usage.names.iter().all(|name| Verb::find(name) == Some(usage.verb)));
            assert_eq!(usage.verb.to_string(), usage.name());
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(Verb::find("Status"), None);
    }

    #[test]
    fn the_numbers_of_arguments_agree_with_what_is_documented() {
        for usage in COMMANDS {
            let (mut needed, mut all, mut optional) = (0, 0, false);
            for word in usage.arguments.split_whitespace() {
                optional |= word.starts_with('[');
                all += 1;
                needed += usize::from(!optional);
                optional &= !word.ends_with(']');
            }
            assert_eq!(usage.counts, needed..=all, "{}", usage.name());
        }
    }

    #[test]
    fn help_lists_every_command_and_says_more_about_one() {
        let lines = help(None);
        assert_eq!(lines.len(), COMMANDS.len());
        assert!(lines.iter().all(|line| line.len() <= 120), "{lines:#?}");
        assert_eq!(
            help(Some(Verb::Quit)),
            [
                "Usage: quit",
                "Stop the tracker.",
                "On the console only. The service manager stops a tracker that runs as a service.",
                "'exit' does the same."
            ]
        );
    }
}
