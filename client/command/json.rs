//! Parses a line of JSON: the same commands as at the prompt, for programs.

use super::failure::Failure;
use super::table::Word;
use super::types::{Command, Direction, FOLLOWED_SIZE, Order, ParsedLine, SHOWN_MAX};
use crate::model::escape::excerpt;
use crate::model::name::pattern::NamePattern;
use crate::model::name::shared_path::SharedPath;
use crate::model::name::{FileName, GroupId, NameError, UserId};
use crate::model::op::group_access::GroupAccess;
use crate::rate::limit::Limit;
use crate::wire::client_tracker::Password;
use crate::wire::refusal::Code;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A line with a known `id` and with an object as arguments. This derived parser refuses a repeated member; a `Value`
/// would keep the last one.
#[derive(Deserialize)]
struct JsonLine {
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    command: Option<Value>,
    command_args: Option<JsonArgs>,
}

/// The arguments of all commands. Each command takes those that it needs.
#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonArgs {
    user_id: Option<String>,
    passwd: Option<String>,
    old_passwd: Option<String>,
    new_passwd: Option<String>,
    group_id: Option<String>,
    file_name: Option<String>,
    file_path: Option<String>,
    folder_path: Option<String>,
    all: Option<bool>,
    max_size: Option<u64>,
    destination_path: Option<String>,
    access: Option<String>,
    allowed: Option<bool>,
    pattern: Option<String>,
    sort: Option<String>,
    upload: Option<u64>,
    download: Option<u64>,
}

/// Parses one line. Relative paths begin at `folder`; `~` is an ordinary name. Returns the program's id for the
/// command, if there is one, and the command.
pub fn parse(line: &str, folder: &Path) -> (Option<Value>, Result<ParsedLine, Failure>) {
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut members)) => (members.remove("id"), read(line, &members, folder)),
        Ok(_) => (None, Err("The line is JSON, but not an object".into())),
        Err(error) => (None, Err(format!("The line is not JSON: {error}").into())),
    }
}

fn read(line: &str, members: &Map<String, Value>, folder: &Path) -> Result<ParsedLine, Failure> {
    if members.get("command_args").is_some_and(|args| !args.is_null() && !args.is_object()) {
        return Err("command_args is not an object".into());
    }
    let line: JsonLine = serde_json::from_str(line).map_err(|error| format!("The line is no command: {error}"))?;
    let command = match line.command {
        Some(Value::String(command)) => command,
        Some(_) => return Err("command is not a text".into()),
        None => return Err("command is missing".into()),
    };
    let word = Word::find(&command);
    let word = word.ok_or_else(|| format!("Unknown command '{}'", excerpt(&command, SHOWN_MAX)))?;
    line.command_args.unwrap_or_default().read(word, folder)
}

impl JsonArgs {
    fn read(&self, word: Word, folder: &Path) -> Result<ParsedLine, Failure> {
        Ok(ParsedLine::Command(match word {
            Word::CreateUser => Command::CreateUser { user: self.user()?, password: password(&self.passwd, "passwd")? },
            Word::Login => Command::Login { user: self.user()?, password: password(&self.passwd, "passwd")? },
            Word::ChangePassword => Command::ChangePassword {
                old: password(&self.old_passwd, "old_passwd")?,
                new: password(&self.new_passwd, "new_passwd")?,
            },
            Word::Logout => Command::Logout,
            Word::CreateGroup => Command::CreateGroup { group: self.group()? },
            Word::JoinGroup => Command::JoinGroup { group: self.group()? },
            Word::LeaveGroup => Command::LeaveGroup { group: self.group()? },
            Word::ListRequests => Command::ListRequests { group: self.group()? },
            Word::AcceptRequest => Command::AcceptRequest { group: self.group()?, user: self.user()? },
            Word::RejectRequest => Command::RejectRequest { group: self.group()?, user: self.user()? },
            Word::RemoveMember => Command::RemoveMember { group: self.group()?, user: self.user()? },
            Word::AddMember => Command::AddMember { group: self.group()?, user: self.user()? },
            Word::MakeOwner => Command::MakeOwner { group: self.group()?, user: self.user()? },
            Word::DropOwner => Command::DropOwner { group: self.group()?, user: self.user()? },
            Word::SetGroup => Command::SetGroup { group: self.group()?, access: self.access()? },
            Word::SetAdding => {
                Command::SetAdding { allowed: self.allowed.ok_or("allowed is missing in command_args")? }
            }
            Word::ListMembers => Command::ListMembers { group: self.group()? },
            Word::ListGroups => Command::ListGroups,
            Word::ListFiles => self.list_files()?,
            Word::Find => Command::Find { pattern: self.pattern()?, order: self.order()? },
            Word::UploadFile => {
                Command::UploadFile { path: path_of(&self.file_path, "file_path", folder)?, group: self.group()? }
            }
            Word::DownloadFile => self.download(folder)?,
            Word::UpdateFile => self.update(folder)?,
            Word::ShowDownloads => Command::ShowDownloads,
            Word::ShowUploads => Command::ShowUploads,
            Word::Watch => Command::Watch,
            Word::Notices => Command::Notices,
            Word::PauseDownload => Command::PauseDownload { group: self.group()?, file: self.file()? },
            Word::ResumeDownload => Command::ResumeDownload { group: self.group()?, file: self.file()? },
            Word::CancelDownload => Command::CancelDownload { group: self.group()?, file: self.file()? },
            Word::ShareFolder => {
                Command::ShareFolder { path: path_of(&self.folder_path, "folder_path", folder)?, group: self.group()? }
            }
            Word::UnshareFolder => Command::UnshareFolder { path: path_of(&self.folder_path, "folder_path", folder)? },
            Word::FollowGroup => Command::FollowGroup {
                group: self.group()?,
                folder: path_of(&self.folder_path, "folder_path", folder)?,
                all: self.all.unwrap_or_default(),
                max_size: self.max_size.unwrap_or(FOLLOWED_SIZE),
            },
            Word::UnfollowGroup => Command::UnfollowGroup { group: self.group()? },
            Word::ShowFolders => Command::ShowFolders,
            Word::StopShare => Command::StopShare { group: self.group()?, file: self.file()? },
            Word::Limit => Command::Limit { change: self.limit()? },
            Word::Wait if self.group_id.is_none() && self.file_name.is_none() => Command::Wait { which: None },
            Word::Wait => Command::Wait { which: Some((self.group()?, self.file()?)) },
            Word::Help => return Ok(ParsedLine::Help(None)),
            Word::Quit => return Ok(ParsedLine::Quit),
        }))
    }

    fn list_files(&self) -> Result<Command, Failure> {
        let (group, order) = (self.group()?, self.order()?);
        Ok(match &self.pattern {
            Some(text) if SharedPath::is_one(text) => {
                let path = SharedPath::new(text).map_err(|error| format!("pattern: {error}"))?;
                Command::ListFolder { group, path, order }
            }
            Some(_) => Command::ListFiles { group, pattern: Some(self.pattern()?), order },
            None => Command::ListFiles { group, pattern: None, order },
        })
    }

    fn update(&self, folder: &Path) -> Result<Command, Failure> {
        let destination = self.destination_path.as_ref();
        let destination =
            destination.map(|_| path_of(&self.destination_path, "destination_path", folder)).transpose()?;
        Ok(Command::UpdateFile { group: self.group()?, file: self.file()?, destination })
    }

    fn download(&self, folder: &Path) -> Result<Command, Failure> {
        let group = self.group()?;
        let name = given(&self.file_name, "file_name")?;
        if !SharedPath::is_one(name) {
            let destination = path_of(&self.destination_path, "destination_path", folder)?;
            return Ok(Command::DownloadFile { group, file: self.file()?, destination });
        }
        let path = SharedPath::new(name).map_err(|error| format!("file_name: {error}"))?;
        let destination = path_of(&self.destination_path, "destination_path", folder)?;
        Ok(Command::DownloadPart { group, path, destination })
    }

    fn user(&self) -> Result<UserId, Failure> {
        named(&self.user_id, "user_id", UserId::from_input)
    }

    fn group(&self) -> Result<GroupId, Failure> {
        named(&self.group_id, "group_id", GroupId::from_input)
    }

    fn file(&self) -> Result<FileName, Failure> {
        named(&self.file_name, "file_name", FileName::from_input)
    }

    fn access(&self) -> Result<GroupAccess, Failure> {
        let access = GroupAccess::parse(given(&self.access, "access")?);
        access.ok_or_else(|| "access: it is neither open, ask nor closed".into())
    }

    fn pattern(&self) -> Result<NamePattern, Failure> {
        NamePattern::search(given(&self.pattern, "pattern")?).map_err(|error| format!("pattern: {error}").into())
    }

    fn order(&self) -> Result<Order, Failure> {
        let Some(word) = &self.sort else { return Ok(Order::default()) };
        Order::parse(word).ok_or_else(|| "sort: it is name, size or members".into())
    }

    fn limit(&self) -> Result<Option<(Direction, Limit)>, Failure> {
        match (self.upload, self.download) {
            (None, None) => Ok(None),
            (Some(rate), None) => Ok(Some((Direction::Upload, Limit::of(rate)))),
            (None, Some(rate)) => Ok(Some((Direction::Download, Limit::of(rate)))),
            (Some(_), Some(_)) => Err("upload and download are changed one at a time".into()),
        }
    }
}

fn given<'a>(value: &'a Option<String>, name: &str) -> Result<&'a str, Failure> {
    value.as_deref().ok_or_else(|| format!("{name} is missing in command_args").into())
}

fn named<N>(value: &Option<String>, name: &str, parse: fn(&str) -> Result<N, NameError>) -> Result<N, Failure> {
    parse(given(value, name)?).map_err(|error| format!("{name}: {error}").into())
}

fn password(value: &Option<String>, name: &str) -> Result<Password, Failure> {
    Password::new(given(value, name)?).ok_or_else(|| Code::BadPassword.into())
}

fn path_of(value: &Option<String>, name: &str, folder: &Path) -> Result<PathBuf, Failure> {
    match given(value, name)? {
        "" => Err(format!("{name}: a path cannot be empty").into()),
        path if path.contains('\0') => Err(format!("{name}: a path cannot contain a NUL character").into()),
        path => Ok(folder.join(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(line: &str) -> Result<ParsedLine, String> {
        parse(line, Path::new("/w")).1.map_err(|failure| failure.why)
    }

    #[test]
    fn every_command_but_help_has_the_words_of_the_prompt_as_arguments() {
        let (group, file) = (GroupId::parse("lab").expect("a name"), FileName::parse("f").expect("a name"));
        let (user, password) = (UserId::parse("bob").expect("a name"), Password::new("pw").expect("a password"));
        for (line, command) in [
            (
                r#"{"command":"login","command_args":{"user_id":"bob","passwd":"pw"}}"#,
                Command::Login { user, password },
            ),
            (r#"{"command":"list_groups"}"#, Command::ListGroups),
            (r#"{"command":"list_groups","later":1,"later":2}"#, Command::ListGroups),
            (r#"{"command":"list_groups","command_args":null,"sender_ip":"127.0.0.1"}"#, Command::ListGroups),
            (
                r#"{"command":"upload_file","command_args":{"file_path":"~","group_id":"lab"}}"#,
                Command::UploadFile { path: "/w/~".into(), group: group.clone() },
            ),
            (
                r#"{"command":"download_file","command_args":{"group_id":"lab","file_name":"f","destination_path":"/x/"}}"#,
                Command::DownloadFile { group: group.clone(), file: file.clone(), destination: "/x/".into() },
            ),
            (
                r#"{"command":"list_files","command_args":{"group_id":"lab","pattern":"*.mkv","sort":"size"}}"#,
                Command::ListFiles {
                    group: group.clone(),
                    pattern: Some(NamePattern::new("*.mkv").expect("a pattern")),
                    order: Order::Size,
                },
            ),
            (
                r#"{"command":"find","command_args":{"pattern":"f"}}"#,
                Command::Find { pattern: NamePattern::new("*f*").expect("a pattern"), order: Order::Name },
            ),
            (r#"{"command":"wait"}"#, Command::Wait { which: None }),
            (
                r#"{"command":"wait","command_args":{"group_id":"lab","file_name":"f"}}"#,
                Command::Wait { which: Some((group, file)) },
            ),
            (
                r#"{"command":"limit","command_args":{"upload":20000000}}"#,
                Command::Limit { change: Some((Direction::Upload, Limit::of(20_000_000))) },
            ),
        ] {
            assert_eq!(read(line), Ok(ParsedLine::Command(command)), "{line}");
        }
        assert_eq!(read(r#"{"command":"quit"}"#), Ok(ParsedLine::Quit));
        assert_eq!(read(r#"{"command":"help"}"#), Ok(ParsedLine::Help(None)));
    }

    #[test]
    fn a_refusal_says_what_a_program_got_wrong() {
        for (line, said) in [
            ("{", "The line is not JSON: EOF"),
            ("{} {}", "The line is not JSON: trailing characters"),
            ("{}", "command is missing"),
            (r#"{"command":7}"#, "command is not a text"),
            (r#"{"command":"fly"}"#, "Unknown command 'fly'"),
            (r#"{"command":"login"}"#, "user_id is missing in command_args"),
            (r#"{"command":"login","command_args":{"user_id":"a"}}"#, "passwd is missing in command_args"),
            (r#"{"command":"login","command_args":["a","b"]}"#, "command_args is not an object"),
            (r#"{"command":"login","command_args":{"user_id":7}}"#, "invalid type: integer `7`, expected a string at"),
            (r#"{"command":"list_groups","command":"quit"}"#, "The line is no command: duplicate field `command` at"),
            (r#"{"id":1,"command":"quit","id":1}"#, "duplicate field `id`"),
            (r#"{"command":"quit","command_args":null,"command_args":{}}"#, "duplicate field `command_args`"),
            (
                r#"{"command_args":{"group_id":"a","group_id":"b"},"command":"list_files"}"#,
                "duplicate field `group_id`",
            ),
            (r#"{"command":"login","command_args":{"user_id":"a","passwd":""}}"#, "A password has 1 to 1024 bytes"),
            (r#"{"command":"create_group","command_args":{"group_id":"a\u0000"}}"#, "group_id: a name cannot"),
            (
                r#"{"command":"upload_file","command_args":{"file_path":"","group_id":"a"}}"#,
                "file_path: a path cannot be empty",
            ),
            (
                r#"{"command":"upload_file","command_args":{"file_path":"a\u0000","group_id":"a"}}"#,
                "file_path: a path cannot contain a NUL character",
            ),
            (r#"{"command":"find"}"#, "pattern is missing in command_args"),
            (r#"{"command":"find","command_args":{"pattern":""}}"#, "pattern: a pattern cannot be empty"),
            (r#"{"command":"find","command_args":{"pattern":"a","sort":"date"}}"#, "sort: it is name, size or members"),
            (r#"{"command":"limit","command_args":{"upload":-1}}"#, "invalid value: integer `-1`, expected u64 at"),
            (r#"{"command":"limit","command_args":{"upload":1,"download":1}}"#, "one at a time"),
        ] {
            let why = read(line).expect_err(line);
            assert!(why.contains(said) && !why.contains('\n'), "{line}: {why}");
        }
        assert!(read(&format!("{{\"a\":{}1", "[".repeat(30_000))).expect_err("deep").contains("recursion limit"));
    }

    #[test]
    fn the_id_of_a_command_comes_back_even_if_the_command_is_wrong() {
        let id = |line: &str| parse(line, Path::new("/")).0;
        assert_eq!(id(r#"{"id":7,"command":"fly"}"#), Some(json!(7)));
        assert_eq!(id(r#"{"id":{"a":[1]},"command_args":3}"#), Some(json!({"a": [1]})));
        assert_eq!(id(r#"{"command":"list_groups"}"#), None);
    }
}
