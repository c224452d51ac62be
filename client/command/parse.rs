//! Parses a typed line. Text becomes a `Command` here, once. Beyond this room no command argument is a bare string.

use super::table::{SORT, Usage, Word, near};
use super::types::{
    Command, CommandError, Direction, FOLLOWED_SIZE, IncompleteCommand, Order, ParsedLine, SHOWN_MAX, password,
};
use crate::model::escape::excerpt;
use crate::model::name::pattern::NamePattern;
use crate::model::name::shared_path::SharedPath;
use crate::model::name::{FileName, GroupId, NameError, UserId};
use crate::model::op::group_access::GroupAccess;
use crate::rate::limit::Limit;
use std::path::{Path, PathBuf};

/// The surroundings that give the words of a line their meaning.
pub struct Surroundings<'a> {
    /// The meaning of `~`.
    pub home: Option<&'a Path>,
    /// The beginning of relative paths. If it is empty, they stay relative.
    pub folder: &'a Path,
    /// Whether a path exists.
    pub exists: &'a dyn Fn(&Path) -> bool,
    /// Whether the user is known to be in a group.
    pub is_member: &'a dyn Fn(&GroupId) -> bool,
}

/// Parses one typed line, with or without its line end.
pub fn parse(line: &str, around: &Surroundings<'_>) -> Result<ParsedLine, CommandError> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(ParsedLine::Nothing);
    }
    let words = split(line)?;
    let Some((name, arguments)) = words.split_first() else {
        return Ok(ParsedLine::Nothing);
    };
    let word = Word::find(name).ok_or_else(|| unknown(name))?;
    let usage = word.usage();
    if !usage.counts.contains(&arguments.len()) {
        let quotes = if arguments.len() > *usage.counts.last().unwrap_or(&0) && !usage.arguments.is_empty() {
            " (names with spaces go in quotes)"
        } else {
            ""
        };
        return Err(CommandError(format!("Usage: {}{quotes}", usage.synopsis())));
    }
    Arguments { words: arguments, usage, around }.read(word)
}

/// Whether a line is a command with a missing password.
pub fn asks_password(line: &str) -> bool {
    let around = Surroundings { home: None, folder: Path::new(""), exists: &|_| false, is_member: &|_| false };
    matches!(parse(line, &around), Ok(ParsedLine::Incomplete(_)))
}

/// Whether the history may keep a line: one that cannot hold a password. A line that is no command is kept only if it
/// looks like a command without a password.
pub fn may_be_kept(line: &str) -> bool {
    let line = line.trim();
    let words = split(line);
    let first = match &words {
        Ok(words) => words.first().cloned(),
        // For an open quote, the first word is taken as it stands.
        Err(_) => line.split_whitespace().next().map(|word| word.replace(['"', '\'', '\\'], "")),
    };
    let Some(first) = first.filter(|_| !line.starts_with('#')) else {
        return false;
    };
    match Word::find(&first) {
        Some(word) if word.takes_password() => {
            let names = if word == Word::ChangePassword { 0 } else { 1 };
            words.is_ok_and(|words| words.len() - 1 <= names)
        }
        Some(_) => true,
        None => {
            let meant = near(&first);
            !meant.is_empty() && !meant.iter().any(|word| word.takes_password())
        }
    }
}

/// The words of a line, with quotes removed as a shell does.
fn split(line: &str) -> Result<Vec<String>, CommandError> {
    if line.contains('\0') {
        return Err(CommandError("The line holds a NUL character, which no command has".to_owned()));
    }
    // shell_words takes a '#' at the beginning of a word for a comment, but a file name or a password may begin with
    // one. NUL, which is not in the line, stands for it meanwhile.
    let words = shell_words::split(&line.replace('#', "\0")).map_err(|_| {
        CommandError("A quote is not closed, add the missing ' or \" (or write \\' for the character)".to_owned())
    })?;
    Ok(words.into_iter().map(|word| word.replace('\0', "#")).collect())
}

fn unknown(name: &str) -> CommandError {
    let shown = excerpt(name, SHOWN_MAX);
    let names: Vec<String> = near(name).iter().map(|word| format!("'{}'", word.usage().name())).collect();
    CommandError(match names.split_last() {
        None => format!("Unknown command '{shown}', type help for the list of commands"),
        Some((last, [])) => {
            format!("Unknown command '{shown}', did you mean {last}? Type help for the list of commands")
        }
        Some((last, others)) => {
            let others = others.join(", ");
            format!("Unknown command '{shown}', did you mean {others} or {last}? Type help for the list of commands")
        }
    })
}

/// The arguments of a line, as many as the command takes.
struct Arguments<'a> {
    words: &'a [String],
    usage: &'static Usage,
    around: &'a Surroundings<'a>,
}

impl Arguments<'_> {
    fn read(&self, word: Word) -> Result<ParsedLine, CommandError> {
        Ok(ParsedLine::Command(match word {
            Word::CreateUser if self.words.len() == 1 => {
                return Ok(ParsedLine::Incomplete(IncompleteCommand::CreateUser(self.user(0)?)));
            }
            Word::Login if self.words.len() == 1 => {
                return Ok(ParsedLine::Incomplete(IncompleteCommand::Login(self.user(0)?)));
            }
            Word::ChangePassword if self.words.is_empty() => {
                return Ok(ParsedLine::Incomplete(IncompleteCommand::ChangePassword));
            }
            Word::CreateUser => Command::CreateUser { user: self.user(0)?, password: password(&self.words[1])? },
            Word::Login => Command::Login { user: self.user(0)?, password: password(&self.words[1])? },
            Word::ChangePassword => {
                Command::ChangePassword { old: password(&self.words[0])?, new: password(&self.words[1])? }
            }
            Word::Logout => Command::Logout,
            Word::CreateGroup => Command::CreateGroup { group: self.group(0)? },
            Word::JoinGroup => Command::JoinGroup { group: self.group(0)? },
            Word::LeaveGroup => Command::LeaveGroup { group: self.group(0)? },
            Word::ListRequests => Command::ListRequests { group: self.group(0)? },
            Word::AcceptRequest => Command::AcceptRequest { group: self.group(0)?, user: self.user(1)? },
            Word::RejectRequest => Command::RejectRequest { group: self.group(0)?, user: self.user(1)? },
            Word::RemoveMember => Command::RemoveMember { group: self.group(0)?, user: self.user(1)? },
            Word::AddMember | Word::MakeOwner | Word::DropOwner => self.about_member(word)?,
            Word::SetGroup => Command::SetGroup { group: self.group(0)?, access: self.access(1)? },
            Word::SetAdding => Command::SetAdding { allowed: self.allowed(0)? },
            Word::ListMembers => Command::ListMembers { group: self.group(0)? },
            Word::ListGroups => Command::ListGroups,
            Word::ListFiles => self.list_files()?,
            Word::Find => Command::Find { pattern: self.pattern(0)?, order: self.order(1)? },
            Word::UploadFile => self.upload()?,
            Word::DownloadFile => self.download()?,
            Word::UpdateFile => self.update()?,
            Word::ShowDownloads => Command::ShowDownloads,
            Word::ShowUploads => Command::ShowUploads,
            Word::Watch => Command::Watch,
            Word::Notices => Command::Notices,
            Word::PauseDownload => Command::PauseDownload { group: self.group(0)?, file: self.file(1)? },
            Word::ResumeDownload => Command::ResumeDownload { group: self.group(0)?, file: self.file(1)? },
            Word::CancelDownload => Command::CancelDownload { group: self.group(0)?, file: self.file(1)? },
            Word::ShareFolder => self.share_folder()?,
            Word::UnshareFolder => Command::UnshareFolder { path: self.path(0)? },
            Word::FollowGroup => self.follow()?,
            Word::UnfollowGroup => Command::UnfollowGroup { group: self.group(0)? },
            Word::ShowFolders => Command::ShowFolders,
            Word::StopShare => Command::StopShare { group: self.group(0)?, file: self.file(1)? },
            Word::Limit if self.words.is_empty() => Command::Limit { change: None },
            Word::Limit => Command::Limit { change: Some((self.way(0)?, self.limit(1)?)) },
            Word::Wait if self.words.is_empty() => Command::Wait { which: None },
            Word::Wait => Command::Wait { which: Some((self.group(0)?, self.file(1)?)) },
            Word::Help => {
                let about = |name: &String| Word::find(name).ok_or_else(|| unknown(name));
                return Ok(ParsedLine::Help(self.words.first().map(about).transpose()?));
            }
            Word::Quit => return Ok(ParsedLine::Quit),
        }))
    }

    fn upload(&self) -> Result<Command, CommandError> {
        let (path, group) = self.path_and_group()?;
        Ok(Command::UploadFile { path, group })
    }

    fn share_folder(&self) -> Result<Command, CommandError> {
        let (path, group) = self.path_and_group()?;
        Ok(Command::ShareFolder { path, group })
    }

    fn about_member(&self, word: Word) -> Result<Command, CommandError> {
        let (group, user) = (self.group(0)?, self.user(1)?);
        Ok(match word {
            Word::MakeOwner => Command::MakeOwner { group, user },
            Word::DropOwner => Command::DropOwner { group, user },
            _ => Command::AddMember { group, user },
        })
    }

    fn update(&self) -> Result<Command, CommandError> {
        let destination = self.words.get(2).map(|_| self.path(2)).transpose()?;
        Ok(Command::UpdateFile { group: self.group(0)?, file: self.file(1)?, destination })
    }

    fn list_files(&self) -> Result<Command, CommandError> {
        let typed = self.words.get(1).filter(|word| *word != SORT);
        let (group, order) = (self.group(0)?, self.order(1 + usize::from(typed.is_some()))?);
        Ok(match typed {
            Some(text) if SharedPath::is_one(text) => Command::ListFolder { group, path: self.shared_path(1)?, order },
            Some(_) => Command::ListFiles { group, pattern: Some(self.pattern(1)?), order },
            None => Command::ListFiles { group, pattern: None, order },
        })
    }

    fn download(&self) -> Result<Command, CommandError> {
        let (group, destination) = (self.group(0)?, self.path(2)?);
        Ok(match SharedPath::is_one(&self.words[1]) {
            true => Command::DownloadPart { group, path: self.shared_path(1)?, destination },
            false => Command::DownloadFile { group, file: self.file(1)?, destination },
        })
    }

    /// Both `<file_path> <group_id>` and `<group_id> <file_path>` are documented. An argument that cannot be a group
    /// name is the path. If both could be one, the only one that exists is the path. Otherwise, if just one is a group
    /// of the user, the other is the path. Otherwise the path comes first.
    fn path_and_group(&self) -> Result<(PathBuf, GroupId), CommandError> {
        let could_be_group = |index: usize| GroupId::from_input(&self.words[index]).is_ok();
        let is_member =
            |index: usize| GroupId::from_input(&self.words[index]).is_ok_and(|group| (self.around.is_member)(&group));
        let exists = |index: usize| self.path(index).is_ok_and(|path| (self.around.exists)(&path));
        let group_first = match (could_be_group(0), could_be_group(1)) {
            (true, false) => true,
            (true, true) if exists(0) != exists(1) => exists(1),
            (true, true) => is_member(0) && !is_member(1),
            (false, _) => false,
        };
        let (path, group) = if group_first { (1, 0) } else { (0, 1) };
        Ok((self.path(path)?, self.group(group)?))
    }

    /// The options may stand in any order after the folder.
    fn follow(&self) -> Result<Command, CommandError> {
        let (group, folder) = (self.group(0)?, self.path(1)?);
        let (mut all, mut max_size) = (false, FOLLOWED_SIZE);
        for option in &self.words[2..] {
            match option.strip_prefix("--max-size=") {
                Some(size) => {
                    let size = Limit::parse(size).ok().and_then(Limit::bytes_per_second);
                    max_size = size.ok_or_else(|| self.bad("The size is a number of bytes such as 500M or 20G"))?.get();
                }
                None if option == "--all" => all = true,
                None => return Err(self.bad(&format!("'{}' is not an option", excerpt(option, SHOWN_MAX)))),
            }
        }
        Ok(Command::FollowGroup { group, folder, all, max_size })
    }

    fn user(&self, index: usize) -> Result<UserId, CommandError> {
        self.name(index, "user", UserId::from_input)
    }

    fn group(&self, index: usize) -> Result<GroupId, CommandError> {
        self.name(index, "group", GroupId::from_input)
    }

    fn file(&self, index: usize) -> Result<FileName, CommandError> {
        self.name(index, "file", FileName::from_input)
    }

    fn name<T>(&self, index: usize, kind: &str, read: fn(&str) -> Result<T, NameError>) -> Result<T, CommandError> {
        let word = &self.words[index];
        read(word).map_err(|error| {
            let error = match error {
                NameError::Character('/') => "a name cannot contain '/'".to_owned(),
                other => other.to_string(),
            };
            self.bad(&format!("'{}' is not a {kind} name: {error}", excerpt(word, SHOWN_MAX)))
        })
    }

    fn pattern(&self, index: usize) -> Result<NamePattern, CommandError> {
        let word = &self.words[index];
        // No mistyped option should pass for a pattern that nothing matches.
        if word.starts_with("--") {
            return Err(self.bad(&format!("'{}' is not an option", excerpt(word, SHOWN_MAX))));
        }
        NamePattern::search(word).map_err(|error| self.bad(&error.to_string()))
    }

    fn shared_path(&self, index: usize) -> Result<SharedPath, CommandError> {
        let word = &self.words[index];
        SharedPath::new(word).map_err(|error| self.bad(&format!("'{}': {error}", excerpt(word, SHOWN_MAX))))
    }

    /// The order after these words, if there is one.
    fn order(&self, index: usize) -> Result<Order, CommandError> {
        match &self.words[index..] {
            [] => Ok(Order::default()),
            [option, order] if option == SORT => Order::parse(order).ok_or_else(|| {
                self.bad(&format!("'{}' is not an order: use name, size or members", excerpt(order, SHOWN_MAX)))
            }),
            _ => Err(CommandError(format!("Usage: {}", self.usage.synopsis()))),
        }
    }

    fn way(&self, index: usize) -> Result<Direction, CommandError> {
        match self.words[index].to_ascii_lowercase().as_str() {
            "upload" => Ok(Direction::Upload),
            "download" => Ok(Direction::Download),
            _ => Err(self.bad(&format!("'{}' is neither upload nor download", excerpt(&self.words[index], SHOWN_MAX)))),
        }
    }

    fn access(&self, index: usize) -> Result<GroupAccess, CommandError> {
        let access = GroupAccess::parse(&self.words[index].to_ascii_lowercase());
        access.ok_or_else(|| {
            self.bad(&format!("'{}' is not open, ask or closed", excerpt(&self.words[index], SHOWN_MAX)))
        })
    }

    fn allowed(&self, index: usize) -> Result<bool, CommandError> {
        match self.words[index].to_ascii_lowercase().as_str() {
            "allow" => Ok(true),
            "forbid" => Ok(false),
            _ => Err(self.bad(&format!("'{}' is neither allow nor forbid", excerpt(&self.words[index], SHOWN_MAX)))),
        }
    }

    fn limit(&self, index: usize) -> Result<Limit, CommandError> {
        Limit::parse(&self.words[index]).map_err(|error| self.bad(&error.to_string()))
    }

    fn path(&self, index: usize) -> Result<PathBuf, CommandError> {
        let word = self.words[index].as_str();
        if word.is_empty() {
            return Err(self.bad("A path cannot be empty"));
        }
        let Some(below_home) = word.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            return Ok(self.around.folder.join(word));
        };
        let home = self.around.home.ok_or_else(|| self.bad("'~' has no meaning here, since HOME is not set"))?;
        match below_home.trim_start_matches('/') {
            "" => Ok(home.to_path_buf()),
            rest => Ok(home.join(rest)),
        }
    }

    fn bad(&self, what: &str) -> CommandError {
        CommandError(format!("{what}. Usage: {}", self.usage.synopsis()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::command::table::COMMANDS;
    use crate::client::command::types::PasswordPrompt;
    use crate::model::name::tests::{file, group, user};
    use crate::wire::client_tracker::Password;

    fn around(exists: &dyn Fn(&Path) -> bool) -> Surroundings<'_> {
        Surroundings { home: Some(Path::new("/home/u")), folder: Path::new("/work dir"), exists, is_member: &|_| false }
    }

    fn typed(line: &str) -> Result<ParsedLine, String> {
        parse(line, &around(&|_| false)).map_err(|error| error.to_string())
    }

    fn command(line: &str) -> Command {
        match typed(line) {
            Ok(ParsedLine::Command(command)) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn secret(text: &str) -> Password {
        Password::new(text).expect(text)
    }

    #[test]
    fn every_command_is_read_in_its_documented_form() {
        let (lab, bob, notes) = (group("lab"), user("bob"), file("notes.pdf"));
        let out = PathBuf::from("/out");
        for (line, command) in [
            ("create_user bob pw", Command::CreateUser { user: bob.clone(), password: secret("pw") }),
            ("login bob pw", Command::Login { user: bob.clone(), password: secret("pw") }),
            ("logout", Command::Logout),
            ("change_password a b", Command::ChangePassword { old: secret("a"), new: secret("b") }),
            ("create_group lab", Command::CreateGroup { group: lab.clone() }),
            ("join_group lab", Command::JoinGroup { group: lab.clone() }),
            ("leave_group lab", Command::LeaveGroup { group: lab.clone() }),
            ("list_requests lab", Command::ListRequests { group: lab.clone() }),
            ("accept_request lab bob", Command::AcceptRequest { group: lab.clone(), user: bob.clone() }),
            ("reject_request lab bob", Command::RejectRequest { group: lab.clone(), user: bob.clone() }),
            ("remove_member lab bob", Command::RemoveMember { group: lab.clone(), user: bob.clone() }),
            ("add_member lab bob", Command::AddMember { group: lab.clone(), user: bob.clone() }),
            ("make_owner lab bob", Command::MakeOwner { group: lab.clone(), user: bob.clone() }),
            ("drop_owner lab bob", Command::DropOwner { group: lab.clone(), user: bob }),
            ("set_group lab Closed", Command::SetGroup { group: lab.clone(), access: GroupAccess::Closed }),
            ("set_adding forbid", Command::SetAdding { allowed: false }),
            ("list_members lab", Command::ListMembers { group: lab.clone() }),
            ("list_groups", Command::ListGroups),
            ("list_files lab", Command::ListFiles { group: lab.clone(), pattern: None, order: Order::Name }),
            ("upload_file /out lab", Command::UploadFile { path: out.clone(), group: lab.clone() }),
            (
                "download_file lab notes.pdf /out",
                Command::DownloadFile { group: lab.clone(), file: notes.clone(), destination: out.clone() },
            ),
            ("share_folder /out lab", Command::ShareFolder { path: out.clone(), group: lab.clone() }),
            ("unshare_folder /out", Command::UnshareFolder { path: out.clone() }),
            ("show_folders", Command::ShowFolders),
            ("show_downloads", Command::ShowDownloads),
            ("show_uploads", Command::ShowUploads),
            ("watch", Command::Watch),
            ("notices", Command::Notices),
            ("pause_download lab notes.pdf", Command::PauseDownload { group: lab.clone(), file: notes.clone() }),
            (
                "update_file lab notes.pdf",
                Command::UpdateFile { group: lab.clone(), file: notes.clone(), destination: None },
            ),
            (
                "update_file lab notes.pdf /tmp/new.pdf",
                Command::UpdateFile {
                    group: lab.clone(),
                    file: notes.clone(),
                    destination: Some("/tmp/new.pdf".into()),
                },
            ),
            ("resume_download lab notes.pdf", Command::ResumeDownload { group: lab.clone(), file: notes.clone() }),
            ("cancel_download lab notes.pdf", Command::CancelDownload { group: lab.clone(), file: notes.clone() }),
            ("stop_share lab notes.pdf", Command::StopShare { group: lab.clone(), file: notes.clone() }),
            ("wait", Command::Wait { which: None }),
            ("wait lab notes.pdf", Command::Wait { which: Some((lab, notes)) }),
        ] {
            assert_eq!(self::command(line), command, "{line}");
        }
        assert_eq!(typed("help"), Ok(ParsedLine::Help(None)));
        assert_eq!(typed("help login"), Ok(ParsedLine::Help(Some(Word::Login))));
        assert_eq!(typed("quit"), Ok(ParsedLine::Quit));
        assert_eq!(typed("exit"), Ok(ParsedLine::Quit));
    }

    #[test]
    fn every_wrong_number_of_arguments_is_answered_with_the_usage() {
        for usage in COMMANDS {
            for count in (0..=5).filter(|count| !usage.counts.contains(count)) {
                let line = format!("{}{}", usage.name(), " x".repeat(count));
                let error = typed(&line).expect_err(&line);
                assert!(error.starts_with(&format!("Usage: {}", usage.synopsis())), "{line}: {error}");
                assert!(!error.contains('\n'));
            }
        }
        assert_eq!(typed("create_group"), Err("Usage: create_group <group_id>".to_owned()));
        assert_eq!(typed("list_groups x"), Err("Usage: list_groups".to_owned()));
        assert_eq!(
            typed("download_file lab my notes.pdf ."),
            Err("Usage: download_file <group_id> <file_name> <destination_path> (names with spaces go in quotes)"
                .to_owned())
        );
    }

    #[test]
    fn blank_lines_and_comments_do_nothing() {
        for line in ["", "   ", "\t\r\n", "# login bob pw", "   #", "\u{a0}"] {
            assert_eq!(typed(line), Ok(ParsedLine::Nothing), "{line:?}");
        }
    }

    #[test]
    fn space_around_and_between_words_is_free() {
        for line in ["  join_group lab", "join_group\tlab  ", "join_group   lab\r\n", "JOIN-GROUP lab\n"] {
            assert_eq!(command(line), Command::JoinGroup { group: group("lab") }, "{line:?}");
        }
    }

    #[test]
    fn names_with_spaces_are_quoted_and_quotes_can_be_part_of_a_name() {
        for (line, name) in [
            (r#"stop_share lab "my notes.pdf""#, "my notes.pdf"),
            ("stop_share lab 'my notes.pdf'", "my notes.pdf"),
            (r"stop_share lab my\ notes.pdf", "my notes.pdf"),
            (r#"stop_share lab "it's here""#, "it's here"),
            (r"stop_share lab it\'s", "it's"),
            (r#"stop_share lab "$HOME `x` *""#, "$HOME `x` *"),
            ("stop_share lab #1", "#1"),
            ("stop_share lab a#b", "a#b"),
            ("stop_share lab '# a'", "# a"),
            ("stop_share lab Übung日本", "Übung日本"),
            ("stop_share lab U\u{308}bung", "Übung"),
            ("stop_share lab f~2", "f~2"),
        ] {
            assert_eq!(command(line), Command::StopShare { group: group("lab"), file: file(name) }, "{line}");
        }
    }

    #[test]
    fn an_open_quote_is_told() {
        for line in ["stop_share lab it's", "stop_share lab \"a b"] {
            assert!(typed(line).is_err_and(|error| error.starts_with("A quote is not closed")), "{line}");
        }
    }

    #[test]
    fn names_that_cannot_be_are_refused_with_the_reason_and_the_usage() {
        for (line, error) in [
            (
                "create_user a/b pw",
                "'a/b' is not a user name: a name cannot contain '/'. Usage: create_user <user_id> [password]",
            ),
            ("join_group ''", "'' is not a group name: a name cannot be empty. Usage: join_group <group_id>"),
            (
                "stop_share lab ../x",
                "'../x' is not a file name: '.' and '..' are not names. Usage: stop_share <group_id> <file_name>",
            ),
            (
                "join_group a\u{202e}b",
                r"'a\u{202e}b' is not a group name: a name cannot contain \u{202e}. Usage: join_group <group_id>",
            ),
            ("wait . x", "'.' is not a group name: '.' and '..' are not names. Usage: wait [<group_id> <file_name>]"),
        ] {
            assert_eq!(typed(line), Err(error.to_owned()), "{line}");
        }
        let long = typed(&format!("join_group {}", "x".repeat(10_000))).expect_err("too long");
        assert!(long.len() < 250 && long.contains("a name has at most 64 bytes"), "{long}");
    }

    #[test]
    fn unknown_commands_are_told_in_one_line_with_what_could_be_meant() {
        for (line, error) in [
            ("logni a b", "Unknown command 'logni', did you mean 'login'? Type help for the list of commands"),
            ("frobnicate", "Unknown command 'frobnicate', type help for the list of commands"),
            ("help me", "Unknown command 'me', type help for the list of commands"),
            ("''", "Unknown command '', type help for the list of commands"),
            (
                "list",
                "Unknown command 'list', did you mean 'list_requests', 'list_members', 'list_groups' or 'list_files'? \
                 Type help for the list of commands",
            ),
        ] {
            assert_eq!(typed(line), Err(error.to_owned()), "{line}");
        }
        let junk = typed(&"\u{1b}".repeat(5000)).expect_err("junk");
        assert!(junk.len() < 500 && !junk.contains('\u{1b}'), "{junk}");
        assert_eq!(typed(&"\0".repeat(5000)), Err("The line holds a NUL character, which no command has".to_owned()));
    }

    #[test]
    fn a_password_may_hold_anything_and_has_a_length() {
        for (line, password) in [
            ("login bob #1", "#1"),
            ("login bob 'a b\\'", "a b\\"),
            ("login bob \"it's\"", "it's"),
            ("login bob пароль", "пароль"),
        ] {
            assert_eq!(command(line), Command::Login { user: user("bob"), password: secret(password) }, "{line}");
        }
        assert_eq!(typed("login bob ''"), Err("A password has 1 to 1024 bytes".to_owned()));
        assert!(typed(&format!("create_user bob {}", "x".repeat(1024))).is_ok());
        assert_eq!(
            typed(&format!("create_user bob {}", "x".repeat(1025))),
            Err("A password has 1 to 1024 bytes".to_owned())
        );
        assert!(!format!("{:?}", typed("login bob hunter2")).contains("hunter2"));
    }

    #[test]
    fn passwords_left_out_become_a_question() {
        let Ok(ParsedLine::Incomplete(incomplete)) = typed("create_user bob") else { panic!("a incomplete") };
        assert_eq!(incomplete.prompts(), [PasswordPrompt { text: "New password for bob: ".to_owned(), twice: true }]);
        assert_eq!(
            incomplete.clone().complete(vec!["pw".to_owned().into()]),
            Ok(Command::CreateUser { user: user("bob"), password: secret("pw") })
        );
        assert_eq!(
            incomplete.complete(vec![String::new().into()]).map_err(|error| error.to_string()),
            Err("A password has 1 to 1024 bytes".to_owned())
        );
        let Ok(ParsedLine::Incomplete(incomplete)) = typed("login bob") else { panic!("a incomplete") };
        assert_eq!(incomplete.prompts(), [PasswordPrompt { text: "Password for bob: ".to_owned(), twice: false }]);
        let Ok(ParsedLine::Incomplete(incomplete)) = typed("change_password") else { panic!("a incomplete") };
        assert_eq!(incomplete.prompts().len(), 2);
        assert_eq!(
            incomplete.complete(vec!["a".to_owned().into(), "b".to_owned().into()]),
            Ok(Command::ChangePassword { old: secret("a"), new: secret("b") })
        );
    }

    fn upload(line: &str, there: &[&str]) -> Result<(String, String), String> {
        let exists = |path: &Path| there.iter().any(|name| path == Path::new("/work dir").join(name));
        match parse(line, &around(&exists)) {
            Ok(ParsedLine::Command(Command::UploadFile { path, group })) => {
                Ok((path.display().to_string(), group.as_str().to_owned()))
            }
            Err(error) => Err(error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_two_names_that_both_could_be_the_users_group_is_not_the_file_to_upload() {
        for (line, there, path) in [
            ("upload_file lab nothere", &[][..], "/work dir/nothere"),
            ("upload_file nothere lab", &[], "/work dir/nothere"),
            ("upload_file lab both", &["lab", "both"], "/work dir/both"),
            ("upload_file lab other", &["lab"], "/work dir/lab"),
        ] {
            let exists = |path: &Path| there.iter().any(|name| path == Path::new("/work dir").join(name));
            let around = Surroundings { is_member: &|group| group.as_str() == "lab", ..around(&exists) };
            match parse(line, &around) {
                Ok(ParsedLine::Command(Command::UploadFile { path: found, .. })) => assert_eq!(found, Path::new(path)),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn upload_takes_path_and_group_in_either_order() {
        let found = |path: &str, group: &str| Ok((path.to_owned(), group.to_owned()));
        let long = "x".repeat(65);
        for (line, there, expected) in [
            // A word with a slash, or one that is too long or unfit for a group name, is the path.
            ("upload_file ./a lab", &[][..], found("/work dir/./a", "lab")),
            ("upload_file lab ./a", &[], found("/work dir/./a", "lab")),
            ("upload_file lab /x/a", &["lab"], found("/x/a", "lab")),
            ("upload_file lab ~/a", &[], found("/home/u/a", "lab")),
            (&format!("upload_file lab {long}"), &[], found(&format!("/work dir/{long}"), "lab")),
            ("upload_file lab ' a'", &[], found("/work dir/ a", "lab")),
            ("upload_file lab ..", &[], found("/work dir/..", "lab")),
            // If both could be a group, the existing one is the path.
            ("upload_file a.txt lab", &["a.txt"], found("/work dir/a.txt", "lab")),
            ("upload_file lab a.txt", &["a.txt"], found("/work dir/a.txt", "lab")),
            // If both exist or neither does, the path comes first.
            ("upload_file a.txt lab", &["a.txt", "lab"], found("/work dir/a.txt", "lab")),
            ("upload_file lab a.txt", &["a.txt", "lab"], found("/work dir/lab", "a.txt")),
            ("upload_file a.txt lab", &[], found("/work dir/a.txt", "lab")),
            // A renamed group's name can be a file name too.
            ("upload_file lab~2 a.txt", &["a.txt"], found("/work dir/a.txt", "lab~2")),
        ] {
            assert_eq!(upload(line, there), expected, "{line}, {there:?} there");
        }
        assert_eq!(
            upload("upload_file ./a ./b", &[]),
            Err("'./b' is not a group name: a name cannot contain '/'. Usage: upload_file <file_path> <group_id>"
                .to_owned())
        );
        assert_eq!(
            upload("upload_file '' lab", &[]),
            Err("A path cannot be empty. Usage: upload_file <file_path> <group_id>".to_owned())
        );
    }

    #[test]
    fn paths_are_absolute_relative_or_below_home() {
        for (written, path) in [
            ("/a/b", "/a/b"),
            ("a b", "/work dir/a b"),
            ("dir/", "/work dir/dir/"),
            (".", "/work dir/."),
            ("~", "/home/u"),
            ("~/", "/home/u"),
            ("~//x", "/home/u/x"),
            ("~x", "/work dir/~x"),
            ("./~/x", "/work dir/./~/x"),
        ] {
            let Command::DownloadFile { destination, .. } = command(&format!("download_file lab f '{written}'")) else {
                panic!("a download")
            };
            assert_eq!(destination.as_os_str(), path, "{written}");
        }
        let nowhere = Surroundings { home: None, folder: Path::new(""), exists: &|_| false, is_member: &|_| false };
        let error = parse("download_file lab f ~/x", &nowhere).expect_err("no home").to_string();
        assert!(error.starts_with("'~' has no meaning here, since HOME is not set. Usage: download_file"), "{error}");
        let Ok(ParsedLine::Command(Command::DownloadFile { destination, .. })) =
            parse("download_file lab f x", &nowhere)
        else {
            panic!("a download")
        };
        assert_eq!(destination, Path::new("x"));
    }

    #[test]
    fn a_list_has_a_pattern_and_an_order_if_they_are_given() {
        let listed = |pattern: Option<&str>, order| Command::ListFiles {
            group: group("lab"),
            pattern: pattern.map(|text| NamePattern::new(text).expect("a pattern")),
            order,
        };
        for (line, expected) in [
            ("list_files lab *.mkv", listed(Some("*.mkv"), Order::Name)),
            ("list_files lab film", listed(Some("*film*"), Order::Name)),
            (
                "list_files lab docs/*.pdf --sort size",
                Command::ListFolder {
                    group: group("lab"),
                    path: SharedPath::new("docs/*.pdf").expect("a path"),
                    order: Order::Size,
                },
            ),
            ("list_files lab --sort Size", listed(None, Order::Size)),
            ("list_files lab '[-]-sort' --sort members", listed(Some("[-]-sort"), Order::Members)),
        ] {
            assert_eq!(command(line), expected, "{line}");
        }
        let pattern = NamePattern::new("*a*").expect("a pattern");
        assert_eq!(command("find a --sort name"), Command::Find { pattern, order: Order::Name });
        for (line, said) in [
            ("list_files lab --sort", "Usage: list_files <group_id>"),
            ("list_files lab a b", "Usage: list_files <group_id>"),
            ("list_files lab a --order size", "Usage: list_files <group_id>"),
            ("list_files lab --sort=size", "'--sort=size' is not an option. Usage: list_files <group_id>"),
            ("list_files lab --srot --sort size", "'--srot' is not an option. Usage: list_files <group_id>"),
            ("find --sort=size", "'--sort=size' is not an option. Usage: find <pattern>"),
            ("find a --sort date", "'date' is not an order: use name, size or members. Usage: find <pattern>"),
            ("list_files lab /etc/passwd", "'/etc/passwd': a name cannot be empty. Usage: list_files <group_id>"),
            ("find ''", "a pattern cannot be empty. Usage: find <pattern>"),
        ] {
            assert!(typed(line).is_err_and(|error| error.starts_with(said)), "{line}");
        }
    }

    #[test]
    fn a_limit_is_shown_or_changed_in_either_direction() {
        assert_eq!(command("limit"), Command::Limit { change: None });
        let upload = Command::Limit { change: Some((Direction::Upload, Limit::of(20_000_000))) };
        assert_eq!(command("limit upload 20M"), upload);
        assert_eq!(command("limit Download none"), Command::Limit { change: Some((Direction::Download, Limit::NONE)) });
        let nothing = Surroundings { home: None, folder: Path::new(""), exists: &|_| false, is_member: &|_| false };
        for (line, what) in [
            ("limit upload", ""),
            ("limit sideways 1M", "'sideways' is neither upload nor download. "),
            ("limit upload x", "'x' is not a number of bytes per second such as 500K or 20M, or none. "),
        ] {
            let error = parse(line, &nothing).expect_err(line).to_string();
            assert!(error.starts_with(&format!("{what}Usage: limit [<upload|download> <rate>]")), "{error}");
        }
    }

    #[test]
    fn history_keeps_no_line_that_may_hold_a_password() {
        for line in [
            "login bob",
            "create_user bob",
            "change_password",
            "list_groups",
            "donwload_file lab f .",
            "stop_share lab it's",
            "join_group",
        ] {
            assert!(may_be_kept(line), "{line}");
        }
        for line in [
            "login bob pw",
            "  LOGIN bob pw",
            "\"login\" bob pw",
            "lo'gin' bob \"pw",
            "login bob pw too much",
            "login \"bob pw",
            "create-user bob pw",
            "change_password old new",
            "change_password old",
            "logn bob pw",
            "cretae_user bob pw",
            "passwd old new",
            "bob pw",
            "hunter2",
            "# login bob pw",
            "",
            "login\0 bob pw",
        ] {
            assert!(!may_be_kept(line), "{line:?}");
        }
    }
}
