//! What an operator asks for: words, checked against the table.

use super::table::{Runs, Verb};
use crate::model::escape::excerpt;
use crate::model::name::pattern::NamePattern;
use crate::model::name::{GroupId, NameError, UserId};
use crate::model::units::utc_seconds;
use core::time::Duration;
use std::fmt;

/// The most characters of an unknown command that the answer repeats.
const SHOWN_MAX: usize = 40;

/// A command with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorCommand {
    Status,
    Users(NamePattern),
    User(UserId),
    Online,
    Groups(NamePattern),
    Group(GroupId),
    Files(GroupId),
    Trackers,
    Limits,
    Audit(AuditFilter),
    CreateUser(NewPassword),
    ResetPassword(NewPassword),
    DisableUser(UserId),
    EnableUser(UserId),
    DeleteUser(UserId),
    Kick(UserId),
    GiveGroup {
        group: GroupId,
        user: UserId,
    },
    DeleteGroup(GroupId),
    /// `None` asks for the present setting.
    ReadOnly(Option<bool>),
    Forget(u16),
    Unforget(u16),
    Reload,
    Backup,
    Restore,
    Help(Option<Verb>),
    Quit,
}

/// The user who gets a new password, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPassword {
    pub user: UserId,
    /// The tracker generates it, and asks no one.
    pub make: bool,
}

/// Which lines of the audit are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The user who did it, or the one to whom it was done.
    pub user: Option<String>,
    pub group: Option<String>,
    pub since: Option<Since>,
}

/// A time in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// This long ago.
    Ago(Duration),
    /// In seconds since 1970.
    At(u64),
}

impl Since {
    /// The time in seconds since 1970. `None` if it is out of range.
    pub fn seconds(self, now: u64) -> u64 {
        match self {
            Since::Ago(time) => now.saturating_sub(time.as_secs()),
            Since::At(seconds) => seconds,
        }
    }

    fn of(text: &str) -> Option<Self> {
        let ago = |unit: &str, seconds: u64| {
            let number: u64 = text.strip_suffix(unit).filter(|number| number.len() <= 9)?.parse().ok()?;
            Some(Since::Ago(Duration::from_secs(number.saturating_mul(seconds))))
        };
        let ago = ago("m", 60).or_else(|| ago("h", 3600)).or_else(|| ago("d", 86_400));
        ago.or_else(|| utc_seconds(text).map(Since::At))
    }
}

impl AuditFilter {
    fn of(arguments: &[String]) -> Result<Self, UsageError> {
        let mut filter = Self::default();
        for pair in arguments.chunks(2) {
            let [flag, value] = pair else { return Err(UsageError::Arguments(Verb::Audit)) };
            let taken = match flag.as_str() {
                // User names have no slash.
                "--user" if value.starts_with("operator/") => filter.user.replace(value.clone()).is_some(),
                "--user" => filter.user.replace(user(value)?.to_string()).is_some(),
                "--group" => filter.group.replace(group(value)?.to_string()).is_some(),
                "--since" => {
                    let since = Since::of(value).ok_or(UsageError::Arguments(Verb::Audit))?;
                    filter.since.replace(since).is_some()
                }
                _ => true,
            };
            if taken {
                return Err(UsageError::Arguments(Verb::Audit));
            }
        }
        Ok(filter)
    }
}

/// Why words are no command. Each error is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageError {
    /// No command is called that.
    Unknown(String),
    /// It takes other arguments.
    Arguments(Verb),
    /// An argument is no name.
    Name(String, NameError),
    /// The line has more than the name of a user.
    PasswordOnLine,
    /// The line has a quote without an end.
    OpenQuote,
    /// The command must be typed at the console.
    ConsoleOnly(Verb),
    /// The console does not have this command.
    CtlOnly(Verb),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::Unknown(typed) => write!(f, "Unknown command '{typed}', type help"),
            UsageError::Arguments(verb) => write!(f, "Usage: {}", verb.usage().synopsis()),
            UsageError::Name(typed, error) => write!(f, "'{typed}': {error}"),
            UsageError::PasswordOnLine => f.write_str("Passwords are asked for, never written on the command line"),
            UsageError::OpenQuote => f.write_str("A quote is not closed, add the missing ' or \""),
            UsageError::ConsoleOnly(verb) => {
                write!(f, "{verb} is a command of the console; stop the tracker with kill or systemctl stop")
            }
            UsageError::CtlOnly(verb) => {
                write!(f, "{verb} is a command of ctl, which reads and writes files: type help {verb}")
            }
        }
    }
}

impl std::error::Error for UsageError {}

impl OperatorCommand {
    /// The command on a line of the console; `None` for an empty line.
    ///
    /// # Errors
    /// The line is no command.
    pub fn of_line(line: &str) -> Result<Option<Self>, UsageError> {
        let unknown = || UsageError::Unknown(excerpt(line.trim(), SHOWN_MAX));
        if line.contains('\0') {
            return Err(unknown());
        }
        // shell_words takes a '#' at the beginning of a word for a comment, but a name may begin with one. A NUL,
        // which the line does not contain, stands for it meanwhile.
        let words = shell_words::split(&line.trim().replace('#', "\0")).map_err(|_| UsageError::OpenQuote)?;
        if words.is_empty() {
            return Ok(None);
        }
        let words: Vec<String> = words.into_iter().map(|word| word.replace('\0', "#")).collect();
        if let Some((verb, Runs::CtlOnly | Runs::InCtl)) = runs(&words) {
            return Err(UsageError::CtlOnly(verb));
        }
        Self::parse(&words).map(Some).map_err(|error| match error {
            UsageError::Unknown(_) => unknown(),
            error => error,
        })
    }

    /// The command in the words after `ctl`.
    ///
    /// # Errors
    /// They are no command of ctl.
    pub fn of_ctl(words: &[String]) -> Result<Self, UsageError> {
        match runs(words) {
            Some((verb, Runs::ConsoleOnly)) => Err(UsageError::ConsoleOnly(verb)),
            _ => Self::parse(words),
        }
    }

    fn parse(words: &[String]) -> Result<Self, UsageError> {
        let (name, arguments) = words.split_first().map_or(("", words), |(name, rest)| (name.as_str(), rest));
        let unknown = |name: &str| UsageError::Unknown(excerpt(name, SHOWN_MAX));
        let verb = Verb::find(name).ok_or_else(|| unknown(name))?;
        let sets_password = matches!(verb, Verb::CreateUser | Verb::ResetPassword);
        if sets_password && arguments.get(1).is_some_and(|word| word != "--make") {
            return Err(UsageError::PasswordOnLine);
        }
        if !verb.usage().counts.contains(&arguments.len()) {
            return Err(UsageError::Arguments(verb));
        }
        let argument = arguments.first().map_or("", String::as_str);
        let pattern = || {
            let typed = arguments.first().map_or("*", String::as_str);
            NamePattern::new(typed).map_err(|_| UsageError::Arguments(verb))
        };
        let number = || argument.parse().map_err(|_| UsageError::Arguments(verb));
        Ok(match verb {
            Verb::Status => Self::Status,
            Verb::Users => Self::Users(pattern()?),
            Verb::User => Self::User(user(argument)?),
            Verb::Online => Self::Online,
            Verb::Groups => Self::Groups(pattern()?),
            Verb::Group => Self::Group(group(argument)?),
            Verb::Files => Self::Files(group(argument)?),
            Verb::Trackers => Self::Trackers,
            Verb::Limits => Self::Limits,
            Verb::Audit => Self::Audit(AuditFilter::of(arguments)?),
            Verb::CreateUser => Self::CreateUser(NewPassword { user: user(argument)?, make: arguments.len() > 1 }),
            Verb::ResetPassword => {
                Self::ResetPassword(NewPassword { user: user(argument)?, make: arguments.len() > 1 })
            }
            Verb::DisableUser => Self::DisableUser(user(argument)?),
            Verb::EnableUser => Self::EnableUser(user(argument)?),
            Verb::DeleteUser => Self::DeleteUser(user(argument)?),
            Verb::Kick => Self::Kick(user(argument)?),
            Verb::GiveGroup => Self::GiveGroup { group: group(argument)?, user: user(&arguments[1])? },
            Verb::DeleteGroup => Self::DeleteGroup(group(argument)?),
            Verb::ReadOnly => Self::ReadOnly(match argument {
                "" => None,
                "on" => Some(true),
                "off" => Some(false),
                _ => return Err(UsageError::Arguments(verb)),
            }),
            Verb::Forget => Self::Forget(number()?),
            Verb::Unforget => Self::Unforget(number()?),
            Verb::Reload => Self::Reload,
            Verb::Backup => Self::Backup,
            Verb::Restore => Self::Restore,
            Verb::Help if arguments.is_empty() => Self::Help(None),
            Verb::Help => Self::Help(Some(Verb::find(argument).ok_or_else(|| unknown(argument))?)),
            Verb::Quit => Self::Quit,
        })
    }
}

/// A command, and where it is carried out.
fn runs(words: &[String]) -> Option<(Verb, Runs)> {
    let verb = Verb::find(words.first()?)?;
    Some((verb, verb.usage().runs))
}

fn user(text: &str) -> Result<UserId, UsageError> {
    UserId::from_input(text).map_err(|error| UsageError::Name(excerpt(text, SHOWN_MAX), error))
}

fn group(text: &str) -> Result<GroupId, UsageError> {
    GroupId::from_input(text).map_err(|error| UsageError::Name(excerpt(text, SHOWN_MAX), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIT: &str = "Usage: audit [--user <user_id>] [--group <group_id>] [--since <time>]";

    fn line(text: &str) -> Result<Option<OperatorCommand>, String> {
        OperatorCommand::of_line(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_is_cut_into_words_as_a_shell_does() {
        assert_eq!(line("  "), Ok(None));
        assert_eq!(line(" status "), Ok(Some(OperatorCommand::Status)));
        assert_eq!(line("forget\t 2"), Ok(Some(OperatorCommand::Forget(2))));
        assert_eq!(line("help quit"), Ok(Some(OperatorCommand::Help(Some(Verb::Quit)))));
        let group = GroupId::parse("two words").expect("a name");
        assert_eq!(line("group 'two words'"), Ok(Some(OperatorCommand::Group(group))));
        let group = GroupId::parse("#2").expect("a name");
        assert_eq!(line("group #2"), Ok(Some(OperatorCommand::Group(group))));
    }

    #[test]
    fn words_that_are_no_command_are_refused_in_one_line() {
        for (text, said) in [
            ("frob x", "Unknown command 'frob x', type help"),
            ("kick it's", "A quote is not closed, add the missing ' or \""),
            ("delete_group lab #2", "Usage: delete_group <group_id>"),
            ("frob\0", "Unknown command 'frob\\u{0}', type help"),
            ("forget", "Usage: forget <tracker_no>"),
            ("forget two", "Usage: forget <tracker_no>"),
            ("forget 65536", "Usage: forget <tracker_no>"),
            ("user", "Usage: user <user_id>"),
            ("users a b", "Usage: users [pattern]"),
            ("user ''", "'': a name cannot be empty"),
            ("create_user ann secret", "Passwords are asked for, never written on the command line"),
            ("reset_password ann a b", "Passwords are asked for, never written on the command line"),
            ("reset_password ann --make b", "Usage: reset_password <user_id> [--make]"),
            ("give_group lab", "Usage: give_group <group_id> <user_id>"),
            ("audit ann", AUDIT),
            ("audit --user", AUDIT),
            ("audit --user ann --user bob", AUDIT),
            ("audit --since yesterday", AUDIT),
            ("audit --since 2026-02-30", AUDIT),
            ("audit --group ''", "'': a name cannot be empty"),
            ("read_only yes", "Usage: read_only [on|off]"),
            ("backup", "backup is a command of ctl, which reads and writes files: type help backup"),
            ("restore", "restore is a command of ctl, which reads and writes files: type help restore"),
            ("help frob", "Unknown command 'help frob', type help"),
        ] {
            assert_eq!(line(text), Err(said.to_owned()), "{text}");
        }
        assert_eq!(OperatorCommand::parse(&[]), Err(UsageError::Unknown(String::new())));
    }

    #[test]
    fn the_audit_is_asked_for_by_user_group_and_time() {
        let audit = |user: Option<&str>, group: Option<&str>, since| {
            let (user, group) = (user.map(str::to_owned), group.map(str::to_owned));
            Ok(Some(OperatorCommand::Audit(AuditFilter { user, group, since })))
        };
        assert_eq!(line("audit"), audit(None, None, None));
        assert_eq!(line("audit --group lab --user ann"), audit(Some("ann"), Some("lab"), None));
        assert_eq!(line("audit --user operator/2"), audit(Some("operator/2"), None, None));
        for (text, since) in [
            ("30m", Since::Ago(Duration::from_secs(1800))),
            ("2h", Since::Ago(Duration::from_secs(7200))),
            ("3d", Since::Ago(Duration::from_secs(259_200))),
            ("1970-01-02", Since::At(86_400)),
            ("1970-01-01T00:00:07Z", Since::At(7)),
        ] {
            assert_eq!(line(&format!("audit --since {text}")), audit(None, None, Some(since)));
        }
        assert_eq!(Since::Ago(Duration::from_secs(9)).seconds(7), 0);
    }
}
