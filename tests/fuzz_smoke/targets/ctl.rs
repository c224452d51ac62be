//! What an operator's programs read: the bytes at the socket of ctl, and backups.

use super::{Folder, is_one_line};
use groupshare::tracker::backup::stream::{BackupChunk, BackupReader, BackupWriter};
use groupshare::tracker::operator::answer::{Outcome, Row};
use groupshare::tracker::operator::command::OperatorCommand;
use groupshare::tracker::operator::dialogue::{AskError, Dialogue, OperatorCaller, OperatorCommands};
use groupshare::tracker::operator::door::{CtlDoor, SOCKET};
use groupshare::tracker::operator::frame::{ASKED_MAX, FrameKind, TOLD_MAX, read_frame, write_frame};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Answers with the command that it received, or asks for a password.
struct Echo;

impl OperatorCommands for Echo {
    fn carry_out(&self, _: OperatorCaller, command: OperatorCommand, to: &mut dyn Dialogue) -> Outcome {
        let told = match command {
            OperatorCommand::ResetPassword(_) => match to.ask("New one: ") {
                Ok(_) => to.row(&Row::success("set")),
                Err(AskError::NoPassword | AskError::Late) => to.row(&Row::success("none")),
                Err(AskError::Gone) => return Outcome::Gone,
            },
            OperatorCommand::Backup => to.bytes(&[0; TOLD_MAX + 1]),
            OperatorCommand::Quit => panic!("ctl has no such command"),
            other => to.row(&Row::success(format!("{other:?}"))),
        };
        told.map_or(Outcome::Gone, |()| Outcome::Done)
    }

    fn turned_away(&self, user: u32) {
        panic!("user {user} runs this test and is turned away");
    }
}

/// A connection to the socket of ctl. Either it gets an answer of whole frames up to an exit code, or it ends. A valid
/// frame encodes to the same bytes again.
pub(super) fn frames(data: &[u8]) {
    let mut rest = data;
    loop {
        let before = rest;
        let Ok((kind, payload)) = read_frame(&mut rest, ASKED_MAX) else { break };
        let mut written = Vec::new();
        write_frame(&mut written, kind, &payload).expect("memory");
        assert_eq!(written, before[..before.len() - rest.len()]);
    }
    let folder = Folder::new();
    let door = CtlDoor::open(folder.path(), Arc::new(Echo)).expect("a socket");
    let mut stream = UnixStream::connect(folder.path().join(SOCKET)).expect("it is open");
    // ctl may have read enough before the end.
    let _ = stream.write_all(data).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    // If ctl closes with unread bytes, the connection is reset.
    let is_whole = stream.read_to_end(&mut answer).is_ok();
    let (mut rest, mut ended) = (answer.as_slice(), false);
    while let Ok((kind, payload)) = read_frame(&mut rest, TOLD_MAX) {
        assert!(!ended, "nothing follows the exit code");
        match kind {
            FrameKind::Exit => ended = payload.len() == 1,
            FrameKind::Complaint => assert!(is_one_line(&String::from_utf8(payload).expect("text"))),
            FrameKind::Output | FrameKind::Question => {}
            FrameKind::Command | FrameKind::Secret => panic!("only ctl says that"),
        }
    }
    assert!(!is_whole || rest.is_empty());
    drop(door);
}

/// A backup. If it can be read to its end, writing it again gives the same bytes.
pub(super) fn backup(data: &[u8]) {
    let opened = BackupReader::open(data);
    let (head, mut reader) = match opened {
        Ok(opened) => opened,
        Err(error) => return assert!(is_one_line(&error)),
    };
    let mut writer = BackupWriter::begin(Vec::new(), &head).expect("memory");
    loop {
        match reader.next_chunk() {
            Err(error) => return assert!(is_one_line(&error)),
            Ok(None) => break,
            Ok(Some(BackupChunk::Base(bytes))) => writer.base(&bytes),
            Ok(Some(BackupChunk::Op(op))) => writer.op(&op),
            Ok(Some(BackupChunk::Manifest { info_hash, total })) => writer.manifest(info_hash, total),
            Ok(Some(BackupChunk::Part(bytes))) => writer.part(&bytes),
            Ok(Some(BackupChunk::Absent(info_hash))) => writer.absent(info_hash),
        }
        .expect("memory");
    }
    let mut again = Vec::new();
    let moved = writer.moved(|written| {
        again = written;
        Ok::<_, std::convert::Infallible>(Vec::new())
    });
    let Ok(writer) = moved;
    assert!(data.starts_with(&again));
    writer.end().expect("memory");
}
