//! The effect on clients when the operator changes accounts and groups.

use super::sessions::begin;
use super::{pushed, refused_code};
use crate::common::client::Client;
use crate::common::names::{PASSWORD, command, group, password, user};
use crate::common::tracker::{TestTracker, cheap_passwords};
use groupshare::model::notice::Notice;
use groupshare::model::op::PasswordHash;
use groupshare::tracker::auth::passwords::{Asker, Params, Passwords};
use groupshare::tracker::ledger::operator::OperatorChange;
use groupshare::wire::client_tracker::{Reply, Request, TOKEN_LEN_MAX};
use groupshare::wire::codec::Blob;
use groupshare::wire::refusal::Code;

fn operate(tracker: &TestTracker, change: OperatorChange) {
    let committed = tracker.server.core().committer.operate(command(), &change).expect("is accepted");
    assert!(committed.op.is_some(), "{change:?} needs an op");
}

fn hash(text: &str) -> PasswordHash {
    Passwords::start(cheap_passwords(), 1).expect("started").hash(Asker::operator(), password(text)).expect("hashed")
}

fn log_in_with(client: &mut Client, name: &str, text: &str) -> Reply {
    client.ask(Request::Login { client: client.id, user: user(name), password: password(text) })
}

/// The next notice that a client receives unasked.
fn notice(client: &mut Client) -> Notice {
    pushed(client, |push| match push {
        Reply::Noticed { notice, .. } => Some(notice.clone()),
        _ => None,
    })
}

/// A client's session is over: the client heard of it, and its token is void.
fn is_over(tracker: &TestTracker, client: &mut Client, token: &Blob<TOKEN_LEN_MAX>) {
    pushed(client, |push| (*push == Reply::SessionOver {}).then_some(()));
    assert!(matches!(client.refused(Request::ListGroups { after: None }), Code::SessionEnded | Code::NotLoggedIn));
    assert_eq!(refused_code(&tracker.client().resume(token)), Some(Code::SessionEnded));
}

#[test]
fn a_kick_ends_all_sessions_and_the_password_opens_new_ones() {
    let tracker = TestTracker::start();
    let mut ann = tracker.client();
    ann.create_user("ann");
    let token = ann.log_in("ann");
    operate(&tracker, OperatorChange::EndSessions { user: user("ann") });
    is_over(&tracker, &mut ann, &token);
    ann.log_in("ann");
    assert_eq!(notice(&mut ann), Notice::SessionsEnded {});
}

/// The changes that end the sessions of ann.
fn ends() -> [OperatorChange; 4] {
    let ann = || user("ann");
    [
        OperatorChange::EndSessions { user: ann() },
        OperatorChange::ResetPassword { user: ann(), password: hash("another") },
        OperatorChange::DisableUser { user: ann() },
        OperatorChange::DeleteUser { user: ann() },
    ]
}

/// Passwords that take a while.
fn slow() -> Params {
    Params::new(64 * 1024, 2, 1, None).expect("valid")
}

/// A tracker where hashing a new password takes a while, and ann with a ready hash.
fn slow_tracker(hash: PasswordHash) -> (TestTracker, Client) {
    let tracker = TestTracker::start_with(|settings| settings.password_params = slow());
    operate(&tracker, OperatorChange::MakeUser { name: user("ann"), password: hash });
    let ann = tracker.client();
    (tracker, ann)
}

fn nobody_is_logged_in(tracker: &TestTracker) {
    let core = tracker.server.core();
    assert_eq!((core.logins.count(), core.presence.local_client_count()), (0, 0));
}

#[test]
fn sessions_that_are_ended_while_a_password_is_changed_end_and_the_change_is_refused() {
    for end in ends() {
        let (tracker, mut ann) = slow_tracker(hash(PASSWORD));
        let token = ann.log_in("ann");
        let change = Request::ChangePassword { command: command(), old: password(PASSWORD), new: password("new") };
        let change = begin(&mut ann, &change);
        operate(&tracker, end.clone());
        assert_eq!(refused_code(&ann.reply(change)), Some(Code::SessionEnded), "{end:?}");
        nobody_is_logged_in(&tracker);
        assert_eq!(refused_code(&ann.resume(&token)), Some(Code::SessionEnded), "{end:?}");
        if let OperatorChange::EndSessions { .. } = end {
            ann.log_in("ann");
            assert_eq!(notice(&mut ann), Notice::SessionsEnded {});
        }
    }
}

#[test]
fn sessions_that_are_ended_while_a_password_is_checked_let_nobody_in() {
    let hash =
        Passwords::start(slow(), 1).expect("started").hash(Asker::operator(), password(PASSWORD)).expect("hashed");
    for end in ends() {
        let (tracker, mut ann) = slow_tracker(hash.clone());
        let login = ann.login_request("ann");
        let login = begin(&mut ann, &login);
        operate(&tracker, end.clone());
        assert!(matches!(ann.reply(login), Reply::Refused { .. }), "{end:?}");
        nobody_is_logged_in(&tracker);
    }
}

#[test]
fn a_password_that_was_reset_is_the_only_one() {
    let tracker = TestTracker::start();
    let mut ann = tracker.client();
    ann.create_user("ann");
    let token = ann.log_in("ann");
    operate(&tracker, OperatorChange::ResetPassword { user: user("ann"), password: hash("another") });
    is_over(&tracker, &mut ann, &token);
    assert_eq!(refused_code(&log_in_with(&mut ann, "ann", PASSWORD)), Some(Code::BadLogin));
    assert!(matches!(log_in_with(&mut ann, "ann", "another"), Reply::LoggedIn { .. }));
    assert_eq!(notice(&mut ann), Notice::PasswordReset {});
}

#[test]
fn a_disabled_user_is_kept_out_and_learns_why_by_the_right_password_only() {
    let tracker = TestTracker::start();
    let (mut ann, mut ben) = (tracker.client(), tracker.user("ben"));
    ann.create_user("ann");
    let token = ann.log_in("ann");
    ann.create_group("lab");
    operate(&tracker, OperatorChange::DisableUser { user: user("ann") });
    is_over(&tracker, &mut ann, &token);
    assert_eq!(ann.refused(ann.login_request("ann")), Code::AccountDisabled);
    assert_eq!(refused_code(&log_in_with(&mut ann, "ann", "guessed")), Some(Code::BadLogin));
    ben.join("lab");
    operate(&tracker, OperatorChange::EnableUser { user: user("ann") });
    assert_eq!(refused_code(&ann.resume(&token)), Some(Code::SessionEnded), "it has ended for good");
    ann.log_in("ann");
    assert_eq!([notice(&mut ann), notice(&mut ann)], [Notice::AccountDisabled {}, Notice::AccountEnabled {}]);
    ann.accept("lab", "ben");
}

#[test]
fn a_deleted_user_is_gone_and_the_groups_go_to_the_next() {
    let tracker = TestTracker::start();
    let (mut ann, mut ben) = (tracker.client(), tracker.user("ben"));
    ann.create_user("ann");
    let token = ann.log_in("ann");
    ann.create_group("lab");
    ben.join("lab");
    ann.accept("lab", "ben");
    assert_eq!(notice(&mut ben), Notice::Accepted { group: group("lab") });
    operate(&tracker, OperatorChange::DeleteUser { user: user("ann") });
    assert_eq!(notice(&mut ben), Notice::GroupGiven { group: group("lab") });
    is_over(&tracker, &mut ann, &token);
    assert_eq!(ann.refused(ann.login_request("ann")), Code::BadLogin);
    let again = Request::CreateUser { command: command(), user: user("ann"), password: password(PASSWORD) };
    assert_eq!(ann.refused(again), Code::UserExists);
    let Reply::Members { members, .. } = ben.ask(Request::ListMembers { group: group("lab"), after: None }) else {
        panic!("ben is a member")
    };
    assert_eq!(members.iter().map(|line| (line.name.as_str(), line.owner)).collect::<Vec<_>>(), [("ben", true)]);
}

#[test]
fn members_of_a_deleted_group_lose_it() {
    let tracker = TestTracker::start();
    let (mut ann, mut ben) = (tracker.user("ann"), tracker.user("ben"));
    ann.create_group("lab");
    ben.join("lab");
    operate(&tracker, OperatorChange::DeleteGroup { group: group("lab") });
    pushed(&mut ann, |push| matches!(push, Reply::GroupLost { .. }).then_some(()));
    assert_eq!(notice(&mut ann), Notice::GroupDeleted { group: group("lab") });
    assert_eq!(notice(&mut ben), Notice::GroupDeleted { group: group("lab") });
    assert_eq!(ann.refused(Request::LeaveGroup { command: command(), group: group("lab") }), Code::NoSuchGroup);
    ben.create_group("lab");
}
