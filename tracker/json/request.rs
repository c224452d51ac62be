//! Parses a line of JSON. Only here texts from outside become checked types.

use super::chosen_id::ChosenId;
use super::notices;
use crate::model::address::{parse_ip, parse_port};
use crate::model::digest::Sha1Digest;
use crate::model::escape::excerpt;
use crate::model::id::{ClientId, CommandId};
use crate::model::name::pattern::NamePattern;
use crate::model::name::{FileName, GroupId, NameError, UserId};
use crate::model::op::group_access::GroupAccess;
use crate::tracker::session::lists::ShownNotices;
use crate::wire::client_tracker::{Password, Request, SearchPlace};
use crate::wire::refusal::{Code, Refusal};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

/// The most characters of an unknown command that an error repeats.
const SHOWN_MAX: usize = 60;

/// A parsed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonRequest {
    /// The IP that the program claims to have.
    pub(super) ip: IpAddr,
    /// The port on which the program listens for peers; 0 if it does not.
    pub(super) port: u16,
    pub(super) command: JsonCommand,
    /// The id of the change, if the line makes one.
    pub(super) command_id: CommandId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JsonCommand {
    /// The command is one request of the binary dialect.
    Ask(Request),
    Upload(UploadCommand),
    ListNotices,
    ReadNotices(ShownNotices),
    /// Asks for the pieces of a share and their holders.
    Download {
        group: GroupId,
        name: FileName,
    },
}

impl JsonCommand {
    /// The kind of the request that carries the command out. Of several requests, the kind of the last one.
    pub(super) fn kind(&self) -> u8 {
        let named = |wanted| Request::KINDS.iter().find(|(_, name, _)| *name == wanted).map_or(0, |(kind, ..)| *kind);
        match self {
            JsonCommand::Ask(request) => request.kind(),
            JsonCommand::Upload(_) => named("ShareFile"),
            JsonCommand::ListNotices | JsonCommand::ReadNotices(_) => named("ReadNotices"),
            JsonCommand::Download { .. } => named("FindShare"),
        }
    }

    /// The bytes that a long command takes while it is carried out: its digests, and the list of pieces made of them.
    pub(super) fn held_len(&self) -> usize {
        match self {
            JsonCommand::Upload(upload) => 2 * size_of_val(&*upload.pieces),
            _ => 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UploadCommand {
    pub(super) group: GroupId,
    pub(super) name: FileName,
    pub(super) pieces: Vec<Sha1Digest>,
    /// The SHA-1 of the complete file.
    pub(super) sha1: Sha1Digest,
    /// The length of the file in bytes, if the program tells it.
    pub(super) size: Option<u64>,
}

/// The ids that a request needs and a line lacks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ids {
    /// Stays the same on a connection.
    pub(super) client: ClientId,
    /// Differs for each line. Used if the line has no id.
    pub(super) command: CommandId,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    command: Cow<'a, str>,
    #[serde(borrow)]
    command_args: Option<Object<CommandArgs<'a>>>,
    #[serde(borrow)]
    sender_ip: Cow<'a, str>,
    sender_port: Port,
    command_id: Option<ChosenId>,
    piecewise_sha: Option<Vec<Sha1>>,
    #[serde(rename = "fileSha")]
    file_sha: Option<Sha1>,
    size: Option<u64>,
}

/// The arguments of all commands. Each command takes those that it needs.
#[derive(Default, Deserialize)]
struct CommandArgs<'a> {
    #[serde(borrow)]
    user_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    passwd: Option<Cow<'a, str>>,
    #[serde(borrow)]
    old_passwd: Option<Cow<'a, str>>,
    #[serde(borrow)]
    new_passwd: Option<Cow<'a, str>>,
    #[serde(borrow)]
    group_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    file_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    access: Option<Cow<'a, str>>,
    allowed: Option<bool>,
    #[serde(borrow)]
    after: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pattern: Option<Cow<'a, str>>,
    #[serde(borrow)]
    through: Option<Cow<'a, str>>,
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        object(from).map(Object)
    }
}

/// Takes an object. The derived code alone would also accept a list of its members in order.
fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    struct ObjectVisitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(members))
        }
    }
    from.deserialize_map(ObjectVisitor(PhantomData))
}

struct Port(u16);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct PortVisitor;
        impl Visitor<'_> for PortVisitor {
            type Value = Port;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port as a number or a string")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Port, E> {
                let port = u16::try_from(number).map_err(|_| E::custom("a port is at most 65535"))?;
                Ok(Port(port))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Port, E> {
                parse_port(text).map(Port).map_err(E::custom)
            }
        }
        from.deserialize_any(PortVisitor)
    }
}

struct Sha1(Sha1Digest);

impl<'de> Deserialize<'de> for Sha1 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Sha1Visitor;
        impl Visitor<'_> for Sha1Visitor {
            type Value = Sha1;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a SHA-1 as 40 hexadecimal digits")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Sha1, E> {
                let digest = Sha1Digest::from_hex(text);
                digest.map(Sha1).ok_or_else(|| E::custom("a SHA-1 has 40 hexadecimal digits"))
            }
        }
        from.deserialize_str(Sha1Visitor)
    }
}

fn malformed(why: impl fmt::Display) -> Refusal {
    Refusal::about(Code::Malformed, why)
}

fn envelope(text: &str) -> serde_json::Result<Envelope<'_>> {
    let mut from = serde_json::Deserializer::from_str(text);
    let envelope = object(&mut from)?;
    from.end()?;
    Ok(envelope)
}

/// Parses a line.
///
/// # Errors
/// `Malformed`, `UnknownKind`, `BadPassword`.
pub(super) fn parse(line: &[u8], ids: Ids) -> Result<JsonRequest, Refusal> {
    let text = std::str::from_utf8(line).map_err(|_| malformed("it is not UTF-8"))?;
    let Envelope { command, command_args, sender_ip, sender_port, command_id, piecewise_sha, file_sha, size } =
        envelope(text).map_err(malformed)?;
    let args = command_args.map_or_else(CommandArgs::default, |Object(args)| args);
    let command_id = command_id.map_or(ids.command, |ChosenId(chosen)| chosen);
    let ids = Ids { command: command_id, ..ids };
    let ip = parse_ip(&sender_ip).map_err(|error| malformed(format_args!("sender_ip: {error}")))?.to_canonical();
    let command = match &*command {
        "upload_file" => JsonCommand::Upload(UploadCommand {
            group: args.group()?,
            name: args.file()?,
            pieces: top(piecewise_sha, "piecewise_sha")?.into_iter().map(|Sha1(digest)| digest).collect(),
            sha1: top(file_sha, "fileSha")?.0,
            size,
        }),
        "download_file" => JsonCommand::Download { group: args.group()?, name: args.file()? },
        "list_notices" => JsonCommand::ListNotices,
        "read_notices" => JsonCommand::ReadNotices(args.through()?),
        other => JsonCommand::Ask(request(other, &args, ids)?),
    };
    Ok(JsonRequest { ip, port: sender_port.0, command, command_id })
}

/// A command that is one request of the binary dialect.
fn request(command: &str, args: &CommandArgs<'_>, ids: Ids) -> Result<Request, Refusal> {
    let Ids { client, command: id, .. } = ids;
    Ok(match command {
        "create_user" => {
            Request::CreateUser { command: id, user: args.user()?, password: password(&args.passwd, "passwd")? }
        }
        "login" => Request::Login { client, user: args.user()?, password: password(&args.passwd, "passwd")? },
        "logout" => Request::Logout {},
        "change_password" => Request::ChangePassword {
            command: id,
            old: password(&args.old_passwd, "old_passwd")?,
            new: password(&args.new_passwd, "new_passwd")?,
        },
        "create_group" => Request::CreateGroup { command: id, group: args.group()? },
        "join_group" => Request::JoinGroup { command: id, group: args.group()? },
        "leave_group" => Request::LeaveGroup { command: id, group: args.group()? },
        "list_requests" => Request::ListRequests { group: args.group()?, after: args.after(UserId::from_input)? },
        "accept_request" => Request::AcceptRequest { command: id, group: args.group()?, user: args.user()? },
        "reject_request" => Request::RejectRequest { command: id, group: args.group()?, user: args.user()? },
        "remove_member" => Request::RemoveMember { command: id, group: args.group()?, user: args.user()? },
        "make_owner" => Request::MakeOwner { command: id, group: args.group()?, user: args.user()? },
        "drop_owner" => Request::DropOwner { command: id, group: args.group()?, user: args.user()? },
        "add_member" => Request::AddMember { command: id, group: args.group()?, user: args.user()? },
        "set_group" => Request::SetGroup { command: id, group: args.group()?, access: args.access()? },
        "set_adding" => Request::SetAdding { command: id, allowed: args.allowed()? },
        "list_members" => Request::ListMembers { group: args.group()?, after: args.after(UserId::from_input)? },
        "list_groups" => Request::ListGroups { after: args.after(GroupId::from_input)? },
        "list_files" => Request::ListFiles { group: args.group()?, after: args.after(FileName::from_input)? },
        "find" => Request::FindFiles {
            group: args.group_id.as_ref().map(|_| args.group()).transpose()?,
            pattern: args.pattern()?,
            after: args.search_place()?,
        },
        "stop_share" => Request::StopShare { command: id, group: args.group()?, name: args.file()? },
        "heartbeat" => Request::Heartbeat {},
        other => return Err(Refusal::about(Code::UnknownKind, excerpt(other, SHOWN_MAX))),
    })
}

/// A member of a request that this command requires.
fn top<T>(value: Option<T>, name: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| malformed(format_args!("{name} is missing")))
}

/// A required argument of a command.
fn given<'a>(value: &'a Option<Cow<'_, str>>, name: &str) -> Result<&'a str, Refusal> {
    value.as_deref().ok_or_else(|| malformed(format_args!("{name} is missing in command_args")))
}

fn password(value: &Option<Cow<'_, str>>, name: &str) -> Result<Password, Refusal> {
    Password::new(given(value, name)?).ok_or_else(|| Code::BadPassword.into())
}

/// An argument that is a name.
fn named<N>(text: &str, name: &str, parse: fn(&str) -> Result<N, NameError>) -> Result<N, Refusal> {
    parse(text).map_err(|error| malformed(format_args!("{name}: {error}")))
}

impl CommandArgs<'_> {
    fn user(&self) -> Result<UserId, Refusal> {
        named(given(&self.user_id, "user_id")?, "user_id", UserId::from_input)
    }

    fn group(&self) -> Result<GroupId, Refusal> {
        named(given(&self.group_id, "group_id")?, "group_id", GroupId::from_input)
    }

    fn file(&self) -> Result<FileName, Refusal> {
        named(given(&self.file_name, "file_name")?, "file_name", FileName::from_input)
    }

    fn access(&self) -> Result<GroupAccess, Refusal> {
        let access = GroupAccess::parse(given(&self.access, "access")?);
        access.ok_or_else(|| malformed("access: it is neither open, ask nor closed"))
    }

    fn allowed(&self) -> Result<bool, Refusal> {
        self.allowed.ok_or_else(|| malformed("allowed is missing in command_args"))
    }

    /// The notices that the user has seen.
    fn through(&self) -> Result<ShownNotices, Refusal> {
        let wrong = || malformed("through: it is not one that list_notices gave");
        notices::shown(given(&self.through, "through")?).ok_or_else(wrong)
    }

    /// The pattern to search for.
    fn pattern(&self) -> Result<NamePattern, Refusal> {
        let typed = given(&self.pattern, "pattern")?;
        NamePattern::search(typed).map_err(|error| malformed(format_args!("pattern: {error}")))
    }

    /// The place where the last page of a search ended, if there was one.
    fn search_place(&self) -> Result<Option<SearchPlace>, Refusal> {
        let wrong = || malformed("after: it is not a next from an answer of find");
        self.after.as_deref().map(|text| SearchPlace::parse(text).ok_or_else(wrong)).transpose()
    }

    /// The last name of the page before, if there was one.
    fn after<N>(&self, parse: fn(&str) -> Result<N, NameError>) -> Result<Option<N>, Refusal> {
        self.after.as_deref().map(|text| named(text, "after", parse)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: Ids = Ids { client: ClientId([1; 16]), command: CommandId([2; 16]) };

    /// A request with these members, and those that every request has.
    fn line(members: &str) -> String {
        format!(r#"{{"sender_ip":"127.0.0.1","sender_port":"5000",{members}}}"#)
    }

    fn asked(members: &str) -> Result<JsonCommand, String> {
        parse(line(members).as_bytes(), IDS).map(|asked| asked.command).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_documented_request_is_understood_in_any_spelling_of_json() {
        let text = r#" { "sender_port" : 5000, "sender_ip":"::ffff:127.0.0.1", "later":[{}],
            "command_args":{"passwd":"\u0061\n","user_id":"al\u0069ce","more":null}, "command":"login" } "#;
        let JsonRequest { ip, port, command, .. } = parse(text.as_bytes(), IDS).expect("understood");
        assert_eq!((ip.to_string(), port), ("127.0.0.1".to_owned(), 5000));
        let user = UserId::parse("alice").expect("a name");
        let password = Password::new("a\n").expect("a password");
        assert_eq!(command, JsonCommand::Ask(Request::Login { client: IDS.client, user, password }));
    }

    #[test]
    fn a_chosen_id_is_the_command() {
        let make = |id: &str| {
            let args = r#""user_id":"ann","passwd":"a""#;
            let line = line(&format!(r#""command":"create_user","command_args":{{{args}}},"command_id":"{id}""#));
            parse(line.as_bytes(), IDS).map(|asked| asked.command_id)
        };
        let id = "000102030405060708090a0b0c0d0e0F";
        let bytes = std::array::from_fn(|byte| byte as u8);
        assert_eq!([id, &id.to_lowercase()].map(make), [Ok(CommandId(bytes)), Ok(CommandId(bytes))]);
        for bad in ["", "0", &id[1..], "+00102030405060708090a0b0c0d0e0f", "g00102030405060708090a0b0c0d0e0f"] {
            let error = make(bad).expect_err(bad).to_string();
            assert!(error.contains("command_id has 32 hexadecimal digits"), "{bad}: {error}");
        }
        let plain = parse(line(r#""command":"heartbeat","command_id":null"#).as_bytes(), IDS).expect("understood");
        assert_eq!(plain.command_id, IDS.command);
    }

    #[test]
    fn a_member_that_may_be_left_out_may_be_null() {
        for members in [r#""command":"heartbeat""#, r#""command":"heartbeat","command_args":null,"size":null"#] {
            assert_eq!(asked(members), Ok(JsonCommand::Ask(Request::Heartbeat {})), "{members}");
        }
    }

    #[test]
    fn a_refusal_says_what_a_program_got_wrong() {
        for (members, said) in [
            (r#""command":"fly""#, "The kind of message is unknown: fly"),
            (r#""command":"login""#, "user_id is missing in command_args"),
            (r#""command":"login","command_args":{"user_id":"a"}"#, "passwd is missing in command_args"),
            (r#""command":"login","command_args":{"user_id":null}"#, "user_id is missing in command_args"),
            (r#""command":"login","command_args":{"user_id":"a","passwd":""}"#, "A password has 1 to 1024 bytes"),
            (r#""command":"login","command_args":{"user_id":7}"#, "invalid type: integer `7`, expected a string"),
            (r#""command":"read_notices""#, "through is missing in command_args"),
            (
                r#""command":"read_notices","command_args":{"through":"1"}"#,
                "through: it is not one that list_notices gave",
            ),
            (r#""command":"login","command_args":["a","b",null,null,null,null,null,null]"#, "expected an object"),
            (r#""command":"login","command_args":"a""#, "invalid type: string"),
            (r#""command":"login","command_args":{"user_id":"a\u0000"}"#, r"user_id: a name cannot contain \u{0}"),
            (r#""command":"login","command_args":{"user_id":"\ud800"}"#, "hex escape"),
            (r#""command":"login","command":"logout""#, "duplicate field `command`"),
            (r#""command":"login","command_args":{"user_id":"a","user_id":"b"}"#, "duplicate field `user_id`"),
            (r#""command":["login"]"#, "invalid type: sequence, expected a string"),
            (
                r#""command":"create_group","command_args":{"group_id":"a/b"}"#,
                r"group_id: a name cannot contain \u{2f}",
            ),
            (r#""command":"list_files","command_args":{"group_id":"a","after":""}"#, "after: a name cannot be empty"),
            (r#""command":"find","command_args":{}"#, "pattern is missing in command_args"),
            (r#""command":"find","command_args":{"pattern":""}"#, "pattern: a pattern cannot be empty"),
            (
                r#""command":"find","command_args":{"pattern":"a","after":"lab"}"#,
                "after: it is not a next from an answer of find",
            ),
            (r#""command":"download_file","command_args":{"group_id":"a"}"#, "file_name is missing in command_args"),
            (r#""command_args":{}"#, "missing field `command`"),
            (r#""command":"logout","sender_port":1"#, "duplicate field `sender_port`"),
        ] {
            let error = asked(members).expect_err(members);
            assert!(error.contains(said), "{members}: {error}");
        }
    }

    #[test]
    fn an_upload_needs_its_digests() {
        let args = r#""command":"upload_file","command_args":{"group_id":"g","file_name":"f"}"#;
        let sha = "0123456789abcdef0123456789ABCDEF01234567";
        let with = |rest: &str| asked(&format!("{args}{rest}"));
        let upload = with(&format!(r#","piecewise_sha":["{sha}"],"fileSha":"{sha}","size":3"#)).expect("whole");
        let JsonCommand::Upload(UploadCommand { pieces, size: Some(3), .. }) = upload else { panic!("an upload") };
        assert_eq!(pieces, [Sha1Digest::from_hex(sha).expect("digits")]);
        for (rest, said) in [
            (String::new(), "piecewise_sha is missing"),
            (r#","piecewise_sha":[]"#.to_owned(), "fileSha is missing"),
            (r#","piecewise_sha":["00"]"#.to_owned(), "a SHA-1 has 40 hexadecimal digits"),
            (r#","piecewise_sha":[1]"#.to_owned(), "expected a SHA-1 as 40 hexadecimal digits"),
            (r#","piecewise_sha":{}"#.to_owned(), "expected a sequence"),
            (r#","size":-1"#.to_owned(), "invalid value: integer `-1`, expected u64"),
            (r#","size":1.5"#.to_owned(), "expected u64"),
            (r#","size":18446744073709551616"#.to_owned(), "expected u64"),
            (r#","size":1e999"#.to_owned(), "number out of range"),
            (r#","size":"3""#.to_owned(), "expected u64"),
        ] {
            let error = with(&rest).expect_err(&rest);
            assert!(error.contains(said), "{rest}: {error}");
        }
    }

    #[test]
    fn a_sender_says_where_it_is() {
        for (sender, said) in [
            (r#""sender_port":1"#, "missing field `sender_ip`"),
            (r#""sender_ip":"127.0.0.1""#, "missing field `sender_port`"),
            (r#""sender_ip":"localhost","sender_port":1"#, "sender_ip: 'localhost' is not an IP address"),
            (r#""sender_ip":1,"sender_port":1"#, "invalid type: integer `1`"),
            (r#""sender_ip":"::1","sender_port":65536"#, "a port is at most 65535"),
            (r#""sender_ip":"::1","sender_port":-1"#, "expected a port"),
            (r#""sender_ip":"::1","sender_port":5000.0"#, "expected a port"),
            (r#""sender_ip":"::1","sender_port":"+5""#, "'+5' is not a port"),
            (r#""sender_ip":"::1","sender_port":null"#, "expected a port"),
        ] {
            let line = format!(r#"{{"command":"logout",{sender}}}"#);
            let error = parse(line.as_bytes(), IDS).expect_err(&line).to_string();
            assert!(error.starts_with("The message is malformed: ") && error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn a_line_that_is_no_json_is_refused_however_deep_or_odd() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let deep_inside = line(&format!(r#""command":{deep}"#));
        let deep_objects = line(&format!(r#""command":"logout","x":{}1"#, r#"{"a":"#.repeat(100_000)));
        let texts = [
            "",
            " ",
            "{",
            "}",
            "null",
            "1",
            "[]",
            "\"x\"",
            "{'a':1}",
            "{} {}",
            "\0",
            "nan",
            "{\"command\":\"login\"",
            "{\"command\":\"a\nb\"}",
            "POST / HTTP/1.1\r",
            &deep,
            &deep_inside,
            &deep_objects,
        ];
        for text in texts {
            let refusal = parse(text.as_bytes(), IDS).expect_err(&text[..text.len().min(80)]);
            assert_eq!(refusal.code, Code::Malformed);
        }
        let ignored = line(&format!(r#""command":"logout","x":{deep}"#));
        assert!(parse(ignored.as_bytes(), IDS).is_ok(), "what is ignored may be as deep as it likes");
        for bytes in [&b"\xff\xfe"[..], b"{\"command\":\"\xc3\x28\"}", b"\xed\xa0\x80"] {
            assert_eq!(parse(bytes, IDS), Err(malformed("it is not UTF-8")));
        }
    }
}
