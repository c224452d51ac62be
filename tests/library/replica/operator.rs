//! An operator's change at one tracker holds at the others, even if they could not hear of it.

use super::{same_state, tracker};
use crate::common::names::{PASSWORD, command, password, user};
use crate::common::relay::Relay;
use crate::common::tracker::{TestTracker, cheap_passwords};
use crate::common::wait::wait_until;
use groupshare::model::notice::Notice;
use groupshare::tracker::auth::passwords::{Asker, Passwords};
use groupshare::tracker::cluster::other_tracker::{LinkStatus, OtherTracker};
use groupshare::tracker::ledger::operator::OperatorChange;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::{Code, Refusal};

fn log_in(tracker: &TestTracker, text: &str) -> Option<Code> {
    let mut client = tracker.client();
    let login = Request::Login { client: client.id, user: user("ann"), password: password(text) };
    match client.ask(login) {
        Reply::LoggedIn { .. } => None,
        Reply::Refused { code, about } => Some(Refusal::received(code, &about).code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_that_was_logged_out_of_at_one_tracker_is_over_at_the_other() {
    let one = tracker(1, &[]);
    let two = tracker(2, &[(1, one.addr)]);
    let (mut ann, mut thief) = (one.user("ann"), two.client());
    ann.done(Request::Logout {});
    let token = ann.log_in("ann");
    same_state(&[&one, &two]);
    let resume = Request::Resume { client: thief.id, token };
    assert!(matches!(thief.ask(resume.clone()), Reply::LoggedIn { .. }), "a token is enough to log in");
    ann.done(Request::Logout {});
    assert_eq!(thief.pushed(), Reply::SessionOver {});
    let mut again = two.client();
    assert_eq!(again.refused(resume), Code::SessionEnded);
}

#[test]
fn a_password_that_is_reset_on_one_side_is_not_changed_by_the_old_one_on_the_other() {
    let one = tracker(1, &[]);
    let relay = Relay::to(one.addr, |_, _, _| {});
    let two = tracker(2, &[(1, relay.addr)]);
    let mut ann = one.user("ann");
    wait_until("ann is known", || log_in(&two, PASSWORD).is_none());
    relay.block();
    wait_until("they have lost each other", || {
        let connected = |other: &OtherTracker| matches!(other.status, LinkStatus::Connected { .. });
        ![&one, &two].iter().any(|tracker| tracker.server.status().others.iter().any(connected))
    });
    // Here the old password still opens the account, and this change has a later place in the order.
    let change = Request::ChangePassword { command: command(), old: password(PASSWORD), new: password("own") };
    assert!(matches!(ann.ask(change), Reply::LoggedIn { .. }));
    let hash = Passwords::start(cheap_passwords(), 1)
        .expect("started")
        .hash(Asker::operator(), password("operator's"))
        .expect("hashed");
    let reset = OperatorChange::ResetPassword { user: user("ann"), password: hash };
    two.server.core().committer.operate(command(), &reset).expect("is accepted");
    assert_eq!([log_in(&one, "own"), log_in(&two, "operator's")], [None, None]);
    relay.unblock();
    same_state(&[&one, &two]);
    for tracker in [&one, &two] {
        assert_eq!(log_in(tracker, "operator's"), None);
        assert_eq!(log_in(tracker, "own"), Some(Code::BadLogin));
        assert_eq!(log_in(tracker, PASSWORD), Some(Code::BadLogin));
    }
    // The user that changed it gets a notice and is logged out.
    let over = |push: &Reply| *push == Reply::SessionOver {};
    let mut pushes = vec![ann.pushed()];
    while !pushes.last().is_some_and(over) {
        pushes.push(ann.pushed());
    }
    let state = one.server.core().state();
    let user = state.user_named(&user("ann")).expect("there");
    assert!(state.notices(user, 9).iter().any(|(_, notice)| *notice == Notice::PasswordReset {}));
}
