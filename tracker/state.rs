//! The trackers' state: the fold of all ops in their total order. Pure and deterministic: trackers that know the same
//! ops have the same state, byte for byte. docs/FOLD.md says what every op means when its precondition is gone.

mod account;
mod canonical;
mod command;
pub mod difference;
pub mod effect;
mod floor_table;
mod group;
mod key;
mod notice;
mod prune;
mod queries;
mod share;
mod sparse_array;
mod tables;
#[cfg(test)]
pub(crate) mod tests;

pub use command::CommandOwner;
pub use notice::NoticePlace;
pub use prune::{Dropped, Fate};
pub use queries::{Account, GroupInfo, MemberInfo, Membership, ShareInfo, SharedChange, SharedSet};
pub use tables::{AccountStanding, State};

use crate::model::id::OpId;
use crate::model::op::{Op, OpBody};
use tables::TrackerRow;

impl State {
    /// Folds one op. Ops must come in their total order, and those of one origin without a gap. An op that the state
    /// knows, or that comes after a gap, changes nothing. The fold accepts any op, and leaves out what is impossible,
    /// as docs/FOLD.md says.
    pub fn apply(&mut self, op: &Op) {
        self.caused.clear();
        let Some(key) = self.enter(op) else { return };
        let first = CommandOwner::of(&op.body).and_then(|owner| self.known(owner, op.command));
        if let Some(first) = first {
            return self.repeated(op, first);
        }
        match &op.body {
            OpBody::CreateUser { name, password } => self.create_user(op, name, password),
            OpBody::ChangePassword { user, former, password } => self.change_password(op, *user, *former, password),
            OpBody::CreateGroup { name, founder } => self.create_group(op, name, *founder),
            OpBody::RequestJoin { group, user } => self.request_join(op, *group, *user),
            OpBody::AcceptRequest { group, user, by } => self.accept_request(op, *group, *user, *by),
            OpBody::RejectRequest { group, user, by } => self.reject_request(op, *group, *user, *by),
            OpBody::LeaveGroup { group, user } => self.leave_group(op, *group, *user),
            OpBody::RemoveMember { group, user, by } => self.remove_member(op, *group, *user, *by),
            OpBody::CreateShare { group, user, name, content, replaces } => {
                self.create_share(op, (*group, *user), (name, content), *replaces);
            }
            OpBody::JoinShare { share, user } => self.join_share(op, *share, *user),
            OpBody::LeaveShare { share, user } => self.leave_share(op, *share, *user),
            OpBody::ReadNotices { user, through, shown } => self.read_notices(*user, *through, shown),
            OpBody::ProposeFloor { floor } => self.floors.propose(self.floor, op, floor),
            OpBody::ReadyForFloor { proposal } => self.floors.ready(op, *proposal),
            OpBody::PromiseFloor { proposal, floor } => self.floors.promise(self.floor, op, *proposal, floor),
            OpBody::ForgetTracker { tracker } => self.set_forgotten(*tracker, true),
            OpBody::UnforgetTracker { tracker } => self.set_forgotten(*tracker, false),
            OpBody::NoteUnplaced { user, change } => self.note_unplaced(op, *user, change),
            OpBody::MakeUser { name, password } => self.create_user(op, name, password),
            OpBody::ResetPassword { user, password } => self.reset_password(op, *user, password),
            OpBody::EndSessions { user } => self.end_sessions(op, *user),
            OpBody::DisableUser { user } => self.disable_user(op, *user),
            OpBody::EnableUser { user } => self.enable_user(op, *user),
            OpBody::DeleteUser { user } => self.delete_user(op, *user),
            OpBody::GiveGroup { group, user } => self.give_group(op, *group, *user),
            OpBody::DeleteGroup { group } => self.delete_group(op, *group),
            OpBody::MakeOwner { group, user, by } => self.make_owner(op, *group, *user, *by),
            OpBody::DropOwner { group, user, by } => self.drop_owner(op, *group, *user, *by),
            OpBody::AddMember { group, user, by } => self.add_member(op, *group, *user, *by),
            OpBody::SetGroup { group, access, by } => self.set_group(op, *group, *access, *by),
            OpBody::SetAdding { user, allowed } => self.set_adding(*user, *allowed),
            OpBody::EndSession { user, session, through_s } => self.end_session(*user, *session, *through_s),
        }
        self.remember(op, key);
    }

    /// The cluster forgets a tracker, or takes it back.
    fn set_forgotten(&mut self, tracker: u16, forgotten: bool) {
        if forgotten != self.is_forgotten(tracker) {
            let forgotten = forgotten.then_some(self.lamport);
            self.trackers.insert(tracker, TrackerRow { forgotten });
        }
    }

    /// The op `first` carried out the same command before. The op's id becomes an alias of `first`. It may be that
    /// `first` only joined a share that this op made at its own tracker. Then the id stands for a share of that
    /// content.
    fn repeated(&mut self, op: &Op, first: Option<OpId>) {
        self.touch_named(&op.body);
        let Some(first) = first else { return };
        match &op.body {
            OpBody::CreateShare { group, user, name, content, .. } if self.created(first).is_none() => {
                self.repeat_share(op, (*group, *user), name, content);
            }
            _ => {
                self.touch_made(first);
                self.alias(op.id, first);
            }
        }
    }
}
