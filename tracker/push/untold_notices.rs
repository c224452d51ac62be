//! The notices that a client has to be told after its login.

use crate::model::id::UserRef;
use crate::tracker::state::{NoticePlace, State};
use crate::wire::client_tracker::Reply;

/// What is left to tell. Only places: they take the same memory however many notices there are and however slow the
/// client is. An old state would keep everything that has changed since.
#[derive(Debug, Clone, Copy)]
pub(in crate::tracker) struct UntoldNotices {
    user: UserRef,
    /// The notice that was told last.
    after: Option<NoticePlace>,
    /// The latest notice at the login. Later notices are pushed.
    through: NoticePlace,
}

impl UntoldNotices {
    /// What a login has to tell its client: the notices of this state. `None` if there are none.
    pub(in crate::tracker) fn of(state: &State, user: UserRef) -> Option<Self> {
        state.last_notice(user).map(|through| Self { user, after: None, through })
    }

    /// The next notice, from the present state. Skips a notice that was read meanwhile. A notice that an op of another
    /// tracker inserted meanwhile is also pushed, and so may be told twice.
    pub(in crate::tracker) fn next(&mut self, state: &State) -> Option<Reply> {
        let (place, notice) = state.next_notice(self.user, self.after, self.through)?;
        self.after = Some(place);
        Some(Reply::Noticed { order: place.0, notice: notice.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, OpId, Origin};
    use crate::model::name::{GroupId, UserId};
    use crate::model::notice::{ChangeKind, Notice, UnplacedChange};
    use crate::model::op::{Op, OpBody, PasswordHash};

    const ORIGIN: Origin = Origin { tracker: 1, incarnation: 1 };

    fn fold(state: &mut State, body: OpBody) -> OpId {
        let seq = state.op_count() + 1;
        let id = OpId { origin: ORIGIN, seq };
        state.apply(&Op { id, lamport: seq, command: CommandId(u128::from(seq).to_be_bytes()), body });
        id
    }

    fn user(state: &mut State, name: &str) -> UserRef {
        let (name, password) = (UserId::parse(name).expect("a name"), PasswordHash("hash".into()));
        UserRef(fold(state, OpBody::CreateUser { name, password }))
    }

    fn tell(state: &mut State, user: UserRef, group: usize) {
        let group = Some(GroupId::parse(&group.to_string()).expect("a name"));
        let change = UnplacedChange { kind: ChangeKind::LeaveGroup, group, file: None };
        fold(state, OpBody::NoteUnplaced { user, change });
    }

    /// The next notice, in short.
    fn next(untold: &mut UntoldNotices, state: &State) -> Option<String> {
        match untold.next(state)? {
            Reply::Noticed { notice: Notice::Unplaced { change }, .. } => {
                Some(change.group.expect("it has one").to_string())
            }
            Reply::Noticed { notice: Notice::Older { count }, .. } => Some(format!("{count} older")),
            other => panic!("{other:?}"),
        }
    }

    /// Ann, Bob and Eve have as many notices as may wait.
    fn waiting() -> (State, UserRef, UntoldNotices) {
        let mut state = State::new();
        let users = ["ann", "bob", "eve"].map(|name| user(&mut state, name));
        assert!(UntoldNotices::of(&state, users[1]).is_none());
        (0..Notice::UNREAD_MAX).for_each(|n| users.iter().for_each(|&user| tell(&mut state, user, n)));
        let untold = UntoldNotices::of(&state, users[1]).expect("there are some");
        (state, users[1], untold)
    }

    #[test]
    fn notices_are_told_one_by_one_and_no_more_is_held_than_a_place() {
        let (state, _, mut untold) = waiting();
        assert!(size_of::<UntoldNotices>() <= 128);
        let told: Vec<_> = std::iter::from_fn(|| next(&mut untold, &state)).collect();
        assert_eq!(told, (0..Notice::UNREAD_MAX).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(next(&mut untold, &state), None, "once");
    }

    #[test]
    fn notices_read_or_added_during_the_telling_are_left_out() {
        let (mut state, bob, mut untold) = waiting();
        assert_eq!(next(&mut untold, &state).as_deref(), Some("0"));
        // Another client of Bob reads two.
        let (through, _) = state.notices(bob, 2)[1];
        let shown = state.notices_digest(bob, through).expect("there are some");
        fold(&mut state, OpBody::ReadNotices { user: bob, through, shown });
        tell(&mut state, bob, 7);
        assert_eq!(next(&mut untold, &state).as_deref(), Some("2"));
        assert_eq!(next(&mut untold, &state), None, "the latest one is pushed");
    }

    #[test]
    fn notices_that_only_count_by_now_are_told_as_a_count() {
        let (mut state, bob, mut untold) = waiting();
        tell(&mut state, bob, 7);
        let told: Vec<_> = std::iter::from_fn(|| next(&mut untold, &state)).collect();
        assert_eq!(told, ["2 older", "2"]);
    }
}
