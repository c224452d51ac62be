//! The answers to a program, each one line of JSON.

use super::memory::AnswerRoom;
use super::notices::NoticeObject;
use super::pieces::{ByPiece, Pieces};
use crate::model::digest::Sha1Digest;
use crate::wire::client_tracker::{FileLine, FoundFile, GroupLine, MemberLine, Reply, SearchPlace};
use crate::wire::connection::TimedStream;
use crate::wire::deadlines::FRAME_DEADLINE;
use crate::wire::refusal::Refusal;
use serde::{Serialize, Serializer};
use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::net::TcpStream;

/// How many bytes are written at a time.
const WRITE_LEN: usize = 16 * 1024;

/// The answer to what was carried out.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Done {},
    LoggedIn { user_id: String },
    Requests { requests: Vec<String>, more: bool },
    Members { members: Vec<MemberObject>, more: bool },
    Groups { groups: Vec<GroupObject>, more: bool },
    Files { files: Vec<FileObject>, more: bool },
    Matches { files: Vec<FoundObject>, more: bool, next: Option<String> },
    Notices { notices: Vec<NoticeObject>, through: Option<String> },
    Found { file_path: String, file_chunks: Pieces, chunk_metadata: ByPiece },
}

#[derive(Debug, Serialize)]
pub(super) struct MemberObject {
    user_id: String,
    owner: bool,
    online: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct GroupObject {
    group_id: String,
    owner: String,
    owners: u32,
    members: u32,
    access: &'static str,
    role: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct FileObject {
    file_name: String,
    /// `None` if no sharer has told it.
    size: Option<u64>,
    #[serde(rename = "fileSha", serialize_with = "text")]
    file_sha: Sha1Digest,
    files: u32,
    sharers: u32,
    online: u32,
}

/// A file, with the group in which it was found.
#[derive(Debug, Serialize)]
pub(super) struct FoundObject {
    group_id: String,
    #[serde(flatten)]
    file: FileObject,
}

impl FileObject {
    fn of(line: &FileLine) -> Self {
        FileObject {
            file_name: line.name.to_string(),
            size: line.content.is_sized().then(|| line.content.layout.size()),
            file_sha: line.content.sha1,
            files: line.content.file_count.max(1),
            sharers: line.sharer_count,
            online: line.online,
        }
    }
}

/// Serializes a value as its text.
pub(super) fn text<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::LoggedIn { user, .. } => Answer::LoggedIn { user_id: user.to_string() },
            Reply::Users { users, more } => {
                Answer::Requests { requests: users.into_vec().iter().map(ToString::to_string).collect(), more }
            }
            Reply::Members { members, more } => {
                let member = |line: &MemberLine| MemberObject {
                    user_id: line.name.to_string(),
                    owner: line.owner,
                    online: line.online,
                };
                Answer::Members { members: members.iter().map(member).collect(), more }
            }
            Reply::Groups { groups, more } => {
                let group = |line: &GroupLine| GroupObject {
                    group_id: line.name.to_string(),
                    owner: line.owner.to_string(),
                    owners: line.owner_count,
                    members: line.member_count,
                    access: line.access.as_str(),
                    role: line.role.as_str(),
                };
                Answer::Groups { groups: groups.iter().map(group).collect(), more }
            }
            Reply::Files { files, more } => Answer::Files { files: files.iter().map(FileObject::of).collect(), more },
            Reply::Found { files, next } => {
                let found = |found: &FoundFile| FoundObject {
                    group_id: found.group.to_string(),
                    file: FileObject::of(&found.file),
                };
                let files = files.iter().map(found).collect();
                Answer::Matches { files, more: next.is_some(), next: next.as_ref().map(SearchPlace::to_string) }
            }
            // The other replies belong to requests that no JSON command makes, or only confirm.
            _ => Answer::Done {},
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum AnswerLine<'a> {
    Success(&'a Answer),
    Error {
        #[serde(serialize_with = "text")]
        message: &'a Refusal,
    },
}

/// Writes the line of an answer, within [`FRAME_DEADLINE`]. The line takes room until it is read.
pub(super) fn write<T>(
    stream: &TcpStream,
    outcome: Result<Answer, Refusal>,
    mut waits: AnswerRoom<T>,
) -> io::Result<()> {
    if matches!(outcome, Ok(Answer::Found { .. })) {
        // The line is many times as long as the data that it is made of.
        let to = TimedStream::new(stream, FRAME_DEADLINE);
        let mut out = BufWriter::with_capacity(WRITE_LEN, to);
        write_to(&mut out, &outcome)?;
        return out.flush();
    }
    let mut line = Vec::new();
    write_to(&mut line, &outcome)?;
    line.shrink_to_fit();
    drop(outcome);
    waits.is_made(line.len());
    write_line(stream, &line)
}

/// Writes a line within the same deadline.
pub(super) fn write_line(stream: &TcpStream, line: &[u8]) -> io::Result<()> {
    TimedStream::new(stream, FRAME_DEADLINE).write_all(line)
}

fn write_to(out: &mut impl Write, outcome: &Result<Answer, Refusal>) -> io::Result<()> {
    let line = match outcome {
        Ok(answer) => AnswerLine::Success(answer),
        Err(message) => AnswerLine::Error { message },
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// The line of a refusal.
pub(super) fn refusal_line(refusal: Refusal) -> Vec<u8> {
    let mut line = Vec::new();
    write_to(&mut line, &Err(refusal)).expect("writing to memory does not fail");
    line
}
