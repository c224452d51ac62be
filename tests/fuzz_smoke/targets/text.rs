//! Text that people and programs write: a line of the prompt, in words or JSON, and tracker_info.txt.

use super::is_one_line;
use groupshare::client::command::parse::{Surroundings, may_be_kept, parse};
use groupshare::client::command::types::{Command, ParsedLine};
use groupshare::client::command::{json, table};
use groupshare::model::address::TrackerAddr;
use groupshare::model::tracker_list::{TRACKERS_MAX, TrackerList};
use std::collections::BTreeSet;
use std::path::Path;

/// Any line typed at the prompt. An error is one line, and no password gets into the history.
pub(super) fn command(data: &[u8]) {
    let line = String::from_utf8_lossy(data);
    // Half of all paths exist.
    let exists = |path: &Path| path.as_os_str().len().is_multiple_of(2);
    let around = Surroundings {
        home: Some(Path::new("/home/alice")),
        folder: Path::new("/w"),
        exists: &exists,
        is_member: &|_| false,
    };
    let kept = may_be_kept(&line);
    match parse(&line, &around) {
        Err(error) => assert!(is_one_line(&error), "{error}"),
        Ok(ParsedLine::Command(command)) => {
            let has_password =
                matches!(command, Command::CreateUser { .. } | Command::Login { .. } | Command::ChangePassword { .. });
            assert_eq!(kept, !has_password, "{line:?}");
            if let Command::UploadFile { path, .. } | Command::DownloadFile { destination: path, .. } = &command {
                assert!(path.is_absolute(), "{path:?}");
            }
        }
        Ok(ParsedLine::Incomplete(incomplete)) => {
            assert!(kept, "{line:?}");
            let asks = incomplete.prompts();
            assert!(asks.iter().all(|ask| is_one_line(&ask.text)));
            let answers = asks.iter().map(|ask| ask.text.clone().into()).collect();
            incomplete.complete(answers).expect("any text that is not too long is a password");
        }
        Ok(ParsedLine::Help(about)) => drop(table::help(about)),
        Ok(ParsedLine::Nothing) => assert!(!kept, "{line:?}"),
        Ok(ParsedLine::Quit) => assert!(kept, "{line:?}"),
    }
}

/// Any line of a program that drives the client.
pub(super) fn json_command(data: &[u8]) {
    match json::parse(&String::from_utf8_lossy(data), Path::new("/w")).1 {
        Err(failure) => assert!(is_one_line(&failure), "{failure}"),
        Ok(ParsedLine::Command(Command::UploadFile { path, .. } | Command::DownloadFile { destination: path, .. })) => {
            assert!(path.is_absolute(), "{path:?}");
        }
        Ok(_) => {}
    }
}

/// Any text of a tracker_info.txt. A valid list can be written and read again. The error of another text is one line.
pub(super) fn tracker_list(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let list = match TrackerList::parse(&text) {
        Ok(list) => list,
        Err(error) => return assert!(is_one_line(&error), "{error}"),
    };
    let trackers = list.trackers();
    assert!((1..=TRACKERS_MAX).contains(&trackers.len()));
    assert!(trackers.iter().all(|addr| addr.port() != 0));
    assert_eq!(trackers.iter().collect::<BTreeSet<_>>().len(), trackers.len(), "a tracker is listed twice");
    for (number, addr) in (1..).zip(trackers) {
        assert_eq!(list.tracker(number).as_ref(), Ok(addr));
    }
    for number in [0, trackers.len() as u64 + 1, u64::MAX] {
        assert!(is_one_line(&list.tracker(number).expect_err("there is none")));
    }
    let fingerprint = list.fingerprint().map(|fingerprint| format!("fingerprint {fingerprint}"));
    let line = |addr: &TrackerAddr| addr.to_string();
    let written: Vec<_> = fingerprint.into_iter().chain(trackers.iter().map(line)).collect();
    assert_eq!(TrackerList::parse(&written.join("\n")).as_ref(), Ok(&list));
}
