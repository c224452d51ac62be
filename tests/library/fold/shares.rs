//! Shares: their names and contents, new versions, members that join them and members that end them.

use super::side::{
    NONE, Side, content, file, heal, lab, new_version, overridden_share, removed, renamed_share, shared, unmeasured,
};
use groupshare::model::id::ShareRef;
use groupshare::model::manifest::Content;
use groupshare::tracker::ledger::accept::Change;
use groupshare::wire::refusal::Code;

#[test]
fn a_share_bears_its_name() {
    let (mut a, _) = lab();
    let share = a.share("bob", "lab", "f", 1);
    assert_eq!(a.state.share_named(a.group("lab"), &file("f")).expect("is listed").share, share);
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob"])]);
}

#[test]
fn the_later_of_two_shares_with_one_name_is_renamed() {
    let (mut a, mut b) = lab();
    b.share("carol", "lab", "f", 2);
    a.pause();
    a.share("bob", "lab", "f", 1);
    a.share("alice", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 2, &["carol"]), shared("f~2", 1, &["alice", "bob"])]);
    assert_eq!(a.notices(a.of("bob")), [renamed_share("f", "f~2")]);
}

#[test]
fn the_same_content_shared_on_both_sides_is_one_share() {
    let (mut a, mut b) = lab();
    let first = b.share("carol", "lab", "f", 1);
    a.pause();
    let later = a.share("bob", "lab", "f", 1);
    a.share("alice", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["alice", "bob", "carol"])]);
    assert_eq!(a.state.share(later).expect("is an alias").share, first);
    assert_eq!(a.notices(a.of("bob")), NONE);
    a.stop("bob", "lab", "f");
    assert!(!a.state.is_sharer(later, a.of("bob")));
}

#[test]
fn a_size_told_on_one_side_is_that_of_the_file_shared_on_both() {
    for told_first in [true, false] {
        let (mut a, mut b) = lab();
        let (earlier, later) = if told_first { (content(1), unmeasured(1)) } else { (unmeasured(1), content(1)) };
        let first = b.share_content("carol", "lab", "f", earlier);
        a.pause();
        let second = a.share_content("bob", "lab", "f", later);
        heal(&mut a, &mut b);
        assert_eq!(a.files("lab"), [shared("f", 1, &["bob", "carol"])]);
        assert_eq!(a.state.share(second).expect("is an alias").share, first);
        assert_eq!(a.notices(a.of("bob")), NONE);
    }
}

#[test]
fn of_two_sizes_told_for_a_file_the_first_holds() {
    let (mut a, mut b) = lab();
    a.share_content("bob", "lab", "f", unmeasured(1));
    heal(&mut a, &mut b);
    b.share("carol", "lab", "f", 1);
    a.pause();
    a.share_content("alice", "lab", "f", Content { sha1: content(1).sha1, ..content(2) });
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob", "carol"]), shared("f~2", 2, &["alice"])]);
    assert_eq!(a.notices(a.of("alice")), [renamed_share("f", "f~2")]);
}

#[test]
fn a_share_of_a_departed_member_is_overridden() {
    let (mut a, mut b) = lab();
    b.remove("alice", "lab", "bob");
    a.pause();
    a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), []);
    assert_eq!(a.notices(a.of("bob")), [removed("lab"), overridden_share("f")]);
}

#[test]
fn a_share_of_a_departed_member_stays_with_those_who_joined_it() {
    let (mut a, mut b) = lab();
    b.remove("alice", "lab", "bob");
    a.pause();
    a.share("bob", "lab", "f", 1);
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["carol"])]);
    assert_eq!(a.notices(a.of("carol")), NONE);
}

#[test]
fn a_new_version_takes_the_name() {
    let (mut a, _) = lab();
    let old = a.share("bob", "lab", "f", 1);
    let new = a.share("bob", "lab", "f", 2);
    assert_ne!(old, new);
    assert_eq!(a.files("lab"), [shared("f", 2, &["bob"])]);
    assert_eq!(a.state.share(old).expect("is kept").sharer_count, 0);
    assert_eq!(a.notices(a.of("bob")), NONE);
}

#[test]
fn a_new_version_of_what_others_joined_is_renamed() {
    let (mut a, mut b) = lab();
    only_sharer_of_anothers(&mut a);
    heal(&mut a, &mut b);
    b.share("carol", "lab", "f", 1);
    a.pause();
    a.share("bob", "lab", "f", 2);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["carol"]), shared("f~2", 2, &["bob"])]);
    assert_eq!(a.notices(a.of("bob")), [renamed_share("f", "f~2")]);
    assert_eq!(a.notices(a.of("carol")), NONE);
}

/// Bob is the only sharer of a share that alice made.
fn only_sharer_of_anothers(side: &mut Side) {
    side.share("alice", "lab", "f", 1);
    side.share("bob", "lab", "f", 1);
    side.stop("alice", "lab", "f");
}

#[test]
fn a_new_version_by_its_author_is_that_of_all_who_share_the_old_one() {
    let (mut a, _) = lab();
    let old = a.share("bob", "lab", "f", 1);
    a.share("alice", "lab", "f", 1);
    a.share("carol", "lab", "f", 1);
    let new = a.share("bob", "lab", "f", 2);
    assert_eq!(a.files("lab"), [shared("f", 2, &["bob"])]);
    assert_eq!(a.state.newer(old), Some(new));
    for name in ["alice", "carol"] {
        assert_eq!(a.notices(a.of(name)), [new_version("bob")]);
    }
    assert_eq!(a.notices(a.of("bob")), NONE);
    a.share("carol", "lab", "f", 2);
    let newest = a.share("bob", "lab", "f", 3);
    assert_eq!([old, new].map(|share| a.state.newer(share)), [Some(newest); 2]);
    assert_eq!((a.notices(a.of("alice")).len(), a.notices(a.of("carol")).len()), (1, 2), "alice had only the first");
}

#[test]
fn only_the_author_and_who_shares_alone_make_a_new_version() {
    let (mut a, _) = lab();
    a.share("bob", "lab", "f", 1);
    a.share("carol", "lab", "f", 1);
    let share = |side: &mut Side, name, n| {
        let (group, of) = (super::side::group("lab"), side.of(name));
        side.try_run(Change::Share { user: of, group, name: file("f"), content: content(n) }).map(|_| ())
    };
    assert_eq!(share(&mut a, "carol", 2), Err(Code::FileExists));
    assert_eq!(share(&mut a, "alice", 2), Err(Code::FileExists), "the owner of the group is nobody special here");
    assert_eq!(share(&mut a, "bob", 2), Ok(()));
    assert_eq!(share(&mut a, "carol", 1), Err(Code::FileExists), "the old version does not come back");
}

#[test]
fn an_author_who_has_ended_the_share_replaces_it_all_the_same() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.stop("bob", "lab", "f");
    a.pause();
    a.share("bob", "lab", "f", 2);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 2, &["bob"])]);
    assert_eq!(a.notices(a.of("carol")), [new_version("bob")]);
    a.share("carol", "lab", "f", 2);
    a.stop("bob", "lab", "f");
    a.share("bob", "lab", "f", 3);
    assert_eq!(a.files("lab"), [shared("f", 3, &["bob"])]);
}

/// Two sides. On the second one carol joins bob's share, before or after bob changes something on the first one.
fn joined_elsewhere(joins_last: bool) -> (Side, Side, ShareRef) {
    let (mut a, mut b) = lab();
    let old = a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    if joins_last {
        b.pause()
    } else {
        a.pause()
    };
    b.share("carol", "lab", "f", 1);
    (a, b, old)
}

#[test]
fn a_member_that_joins_the_old_version_elsewhere_hears_of_the_new_one() {
    for joins_last in [false, true] {
        let (mut a, mut b, old) = joined_elsewhere(joins_last);
        a.share("bob", "lab", "f", 2);
        heal(&mut a, &mut b);
        assert_eq!(a.files("lab"), [shared("f", 2, &["bob"])]);
        assert!(!a.state.is_sharer(old, a.of("carol")));
        assert_eq!(a.notices(a.of("carol")), [new_version("bob")]);
        assert_eq!(a.notices(a.of("bob")), NONE);
    }
}

#[test]
fn a_departed_author_replaces_nothing() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.remove("alice", "lab", "bob");
    a.pause();
    a.share("bob", "lab", "f", 2);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["carol"])]);
    assert_eq!(a.notices(a.of("carol")), NONE);
    assert_eq!(a.notices(a.of("bob")), [removed("lab"), overridden_share("f")]);
}

#[test]
fn a_new_version_elsewhere_ends_what_nobody_shares_any_more() {
    let (mut a, mut b) = lab();
    let old = a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.stop("bob", "lab", "f");
    b.share("alice", "lab", "f", 7);
    a.pause();
    a.share("bob", "lab", "f", 2);
    a.pause();
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 7, &["alice"]), shared("f~2", 2, &["bob"])]);
    let new = a.state.share_named(a.group("lab"), &file("f~2")).expect("is listed").share;
    assert_eq!(a.state.newer(old), Some(new));
    assert_eq!(a.notices(a.of("bob")), [renamed_share("f", "f~2")]);
}

#[test]
fn the_old_content_comes_back_as_a_newer_version() {
    let (mut a, mut b) = lab();
    let old = a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.pause();
    b.share("carol", "lab", "f", 1);
    a.share("bob", "lab", "f", 2);
    let back = a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob", "carol"])]);
    assert_eq!(a.state.share(old).expect("is an alias").share, back);
    assert_eq!(a.notices(a.of("carol")), NONE);
}

#[test]
fn of_two_new_versions_the_later_has_the_name() {
    let (mut a, mut b) = lab();
    let old = a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    let earlier = b.share("bob", "lab", "f", 2);
    a.pause();
    let later = a.share("bob", "lab", "f", 3);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 3, &["bob"])]);
    assert_eq!([old, earlier].map(|share| a.state.newer(share)), [Some(later); 2]);
    assert_eq!(a.notices(a.of("bob")), [new_version("bob")]);
}

#[test]
fn the_later_of_two_shares_of_an_author_on_both_sides_has_the_name() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.stop("bob", "lab", "f");
    b.share("bob", "lab", "f", 2);
    b.share("carol", "lab", "f", 2);
    for side in [&mut a, &mut b] {
        side.share("alice", "lab", "g", 7);
    }
    a.pause();
    a.share("bob", "lab", "f", 3);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 3, &["bob"]), shared("g", 7, &["alice"])]);
    for name in ["bob", "carol"] {
        assert_eq!(a.notices(a.of(name)), [new_version("bob")], "{name}");
    }
    a.stop("bob", "lab", "f");
    assert_eq!(a.files("lab"), [shared("g", 7, &["alice"])]);
}

#[test]
fn a_member_that_joins_a_share_ended_and_made_anew_elsewhere_hears_of_the_new_one() {
    for joins_last in [false, true] {
        let (mut a, mut b, old) = joined_elsewhere(joins_last);
        a.stop("bob", "lab", "f");
        let new = a.share("bob", "lab", "f", 2);
        heal(&mut a, &mut b);
        assert_eq!(a.files("lab"), [shared("f", 2, &["bob"])], "{joins_last}");
        assert_eq!(a.state.newer(old), Some(new));
        assert_eq!(a.notices(a.of("carol")), [new_version("bob")]);
    }
}

#[test]
fn a_member_joins_a_share() {
    let (mut a, _) = lab();
    a.share("bob", "lab", "f", 1);
    a.share("carol", "lab", "f", 1);
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob", "carol"])]);
}

#[test]
fn joining_a_share_twice_counts_once() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    a.share("carol", "lab", "f", 1);
    b.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob", "carol"])]);
    a.stop("carol", "lab", "f");
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob"])]);
}

#[test]
fn joining_a_share_after_removal_is_overridden() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.remove("alice", "lab", "carol");
    a.pause();
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["bob"])]);
    assert_eq!(a.notices(a.of("carol")), [removed("lab"), overridden_share("f")]);
}

#[test]
fn joining_revives_a_share_without_sharers() {
    let (mut a, mut b) = lab();
    let share = a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.stop("bob", "lab", "f");
    a.pause();
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["carol"])]);
    assert!(a.state.is_sharer(share, a.of("carol")));
    assert_eq!(a.notices(a.of("carol")), NONE);
}

#[test]
fn a_revived_share_whose_name_is_taken_is_renamed() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.stop("bob", "lab", "f");
    b.share("alice", "lab", "f", 2);
    a.pause();
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 2, &["alice"]), shared("f~2", 1, &["carol"])]);
    assert_eq!(a.notices(a.of("carol")), [renamed_share("f", "f~2")]);
}

#[test]
fn a_revived_share_joins_its_twin() {
    let (mut a, mut b) = lab();
    let old = a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.stop("bob", "lab", "f");
    let new = b.share("alice", "lab", "f", 1);
    a.pause();
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["alice", "carol"])]);
    assert_eq!(a.state.share(old).expect("is an alias").share, new);
    assert_eq!(a.notices(a.of("carol")), NONE);
    a.stop("carol", "lab", "f");
    assert!(!a.state.is_sharer(old, a.of("carol")));
}

#[test]
fn a_revived_share_tells_its_twin_the_size() {
    let (mut a, mut b) = lab();
    let old = a.share("bob", "lab", "f", 1);
    heal(&mut a, &mut b);
    b.stop("bob", "lab", "f");
    let new = b.share_content("alice", "lab", "f", unmeasured(1));
    a.pause();
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["alice", "carol"])]);
    assert_eq!(a.state.share(old).expect("is an alias").share, new);
}

#[test]
fn the_last_sharer_hides_the_share() {
    let (mut a, _) = lab();
    let old = a.share("bob", "lab", "f", 1);
    a.stop("bob", "lab", "f");
    assert_eq!(a.files("lab"), []);
    assert_eq!(a.state.share_named(a.group("lab"), &file("f")), None);
    let new = a.share("carol", "lab", "f", 2);
    assert_ne!(new, old);
    assert_eq!(a.files("lab"), [shared("f", 2, &["carol"])]);
}

#[test]
fn ending_a_share_twice_counts_once() {
    let (mut a, mut b) = lab();
    a.share("bob", "lab", "f", 1);
    a.share("carol", "lab", "f", 1);
    heal(&mut a, &mut b);
    a.stop("bob", "lab", "f");
    b.stop("bob", "lab", "f");
    heal(&mut a, &mut b);
    assert_eq!(a.files("lab"), [shared("f", 1, &["carol"])]);
    assert_eq!(a.notices(a.of("bob")), NONE);
}
