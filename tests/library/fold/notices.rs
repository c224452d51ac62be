//! Notices: which of them are dropped after they were read.

use super::side::{NONE, Side, accepted, heal, lab, lab_with_request, rejected, renamed_group};
use groupshare::model::id::{OpOrder, UserRef};
use groupshare::model::notice::Notice;
use groupshare::tracker::ledger::accept::Change;

#[test]
fn read_notices_are_dropped() {
    let (mut a, _) = lab_with_request();
    a.reject("alice", "lab", "dave");
    let (through, _) = a.state.notices(a.of("dave"), 9)[0];
    a.ask("dave", "lab");
    a.admit("alice", "lab", "dave");
    a.read("dave", through).expect("there is one");
    assert_eq!(a.notices(a.of("dave")), [accepted("lab")]);
    assert_eq!(a.read("dave", through), None);
}

/// Dave makes a group and gets a notice about something else. He is about to read up to its place. Only the other
/// tracker knows that the name of his group was taken before.
fn notice_before_which_another_belongs() -> (Side, Side, UserRef, OpOrder) {
    let (mut a, mut b) = lab();
    b.create_group("carol", "x");
    a.pause();
    a.create_group("dave", "x");
    a.ask("dave", "lab");
    a.reject("alice", "lab", "dave");
    let dave = a.of("dave");
    let (through, _) = a.state.notices(dave, 9)[0];
    (a, b, dave, through)
}

/// Dave's tracker learns of the taken name only after he has read. Dropping everything up to that place would drop a
/// notice that he never got.
#[test]
fn notices_that_were_not_shown_are_kept() {
    let (mut a, mut b, dave, through) = notice_before_which_another_belongs();
    a.read("dave", through).expect("there is one");
    assert_eq!(a.notices(dave), NONE);
    heal(&mut a, &mut b);
    assert_eq!(a.notices(dave), [renamed_group("x", "x~2"), rejected("lab")]);
}

/// As above, but the tracker already knew of the taken name when it noted what dave had read. It had not yet told him.
#[test]
fn notices_that_came_after_the_showing_are_kept() {
    let (mut a, mut b, dave, through) = notice_before_which_another_belongs();
    let shown = a.state.notices_digest(dave, through);
    heal(&mut a, &mut b);
    a.run(Change::ReadNotices { user: dave, through, shown });
    assert_eq!(a.notices(dave), [renamed_group("x", "x~2"), rejected("lab")]);
}

/// Dave asks to join `lab` and is turned down, `times` times.
fn turn_down(side: &mut Side, times: usize) {
    for _ in 0..times {
        side.ask("dave", "lab");
        side.reject("alice", "lab", "dave");
    }
}

#[test]
fn a_count_stands_for_the_oldest_of_too_many_notices() {
    let (mut a, mut b) = lab();
    turn_down(&mut a, Notice::UNREAD_MAX);
    let dave = a.of("dave");
    assert_eq!(a.state.notices(dave, usize::MAX)[0].1, rejected("lab"), "there is room for these");
    turn_down(&mut a, 6);
    let told = a.state.notices(dave, usize::MAX);
    assert_eq!(told.len(), Notice::UNREAD_MAX);
    assert_eq!(told[0].1, Notice::Older { count: 7 });
    assert!(told[1..].iter().all(|(_, notice)| *notice == rejected("lab")));
    assert_eq!(a.state.unread_count(), Notice::UNREAD_MAX as u64 + 6, "nothing vanishes");
    heal(&mut a, &mut b);
    let (through, _) = told[told.len() - 1];
    a.read("dave", through).expect("there are some");
    assert_eq!(a.notices(dave), NONE);
    // From here on they are few again.
    turn_down(&mut a, 1);
    assert_eq!(a.notices(dave), [rejected("lab")]);
}

#[test]
fn a_count_that_was_not_shown_is_kept() {
    let (mut a, mut b, dave, _) = notice_before_which_another_belongs();
    turn_down(&mut a, Notice::UNREAD_MAX);
    let told = a.state.notices(dave, usize::MAX);
    assert_eq!(told[0].1, Notice::Older { count: 2 });
    a.read("dave", told[told.len() - 1].0).expect("there are some");
    assert_eq!(a.notices(dave), NONE);
    heal(&mut a, &mut b);
    let again = a.state.notices(dave, usize::MAX);
    assert_eq!((again.len(), &again[0].1), (Notice::UNREAD_MAX, &Notice::Older { count: 3 }));
}
