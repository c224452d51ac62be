//! Names that look like others, hide characters or pile up marks.

use crate::common::client::Client;
use crate::common::names::{command, group, password, user};
use crate::common::tracker::TestTracker;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::Code;

/// Well-formed names that mislead their readers.
const MISLEADING: [&str; 10] = [
    "\u{430}lice",
    "alice\u{200b}",
    "al\u{e0041}ice",
    "al\u{fff9}ice",
    "al\u{2800}ice",
    "al\u{3164}ice",
    "al\u{ad}ice",
    "ali\u{200d}ce",
    "q\u{308}\u{302}\u{308}\u{302}\u{308}\u{302}\u{308}\u{302}\u{308}\u{302}",
    "\u{ff41}lice",
];

fn refused(client: &mut Client, request: Request) -> Code {
    match client.ask(request) {
        Reply::Refused { code, .. } => Code::from_number(code).expect("a known reason"),
        other => panic!("not refused but {other:?}"),
    }
}

#[test]
fn nobody_becomes_a_user_or_owns_a_group_under_a_name_that_misleads() {
    let tracker = TestTracker::start_with(|_| {});
    let (mut alice, mut stranger) = (tracker.user("alice"), tracker.client());
    for name in MISLEADING {
        let create = Request::CreateUser { command: command(), user: user(name), password: password("pw") };
        assert_eq!(refused(&mut stranger, create), Code::MisleadingName, "{}", name.escape_unicode());
        let create = Request::CreateGroup { command: command(), group: group(name) };
        assert_eq!(refused(&mut alice, create), Code::MisleadingName, "{}", name.escape_unicode());
        // It still is a name: a request for it is answered that no such user or group exists.
        assert_eq!(
            refused(&mut alice, Request::JoinGroup { command: command(), group: group(name) }),
            Code::NoSuchGroup
        );
    }
}
