//! Accounts in the fold: their names and passwords, and which of them operators disabled or deleted.

use super::effect::Told;
use super::key::ByName;
use super::tables::{AccountStanding, Created, EndedSession, GroupNo, State, UserNo, UserRow, claim, first_free};
use crate::model::id::{OpId, SessionId, UserRef};
use crate::model::name::UserId;
use crate::model::notice::Notice;
use crate::model::op::{Op, PasswordHash};
use imbl::Vector;

/// How many ended sessions of a user are known. Few in tests, so that a short history forgets some.
pub(super) const ENDED_MAX: usize = if cfg!(test) { 4 } else { 1024 };

impl State {
    pub(super) fn create_user(&mut self, op: &Op, asked: &UserId, password: &PasswordHash) {
        let Some(user) = self.users.next().map(UserNo) else { return };
        let name = if self.take_user_name(user, asked) {
            asked.clone()
        } else {
            first_free(asked, UserId::with_suffix, |name| self.take_user_name(user, name))
        };
        let renamed = (name != *asked).then(|| Notice::UserRenamed { from: asked.clone(), to: name.clone() });
        self.users.push(UserRow {
            id: op.id,
            made_by: op.command,
            commands: Default::default(),
            name,
            password: password.clone(),
            password_op: op.id,
            sessions_since: op.id,
            ended: Default::default(),
            void_through_s: 0,
            standing: AccountStanding::Active,
            memberships: 0,
            owned: 0,
            requests: Default::default(),
            shares: Default::default(),
            unread: 0,
            forbids_adding: false,
        });
        self.note(op, Created::User(user));
        if let Some(notice) = renamed {
            self.tell(user, op.order(), notice);
        }
    }

    /// Gives a name to a user if it is free.
    fn take_user_name(&mut self, user: UserNo, name: &UserId) -> bool {
        claim(&mut self.user_names, ByName::new(name), user)
    }

    /// An op that changes a password counts only if the user still has the password that the op is made to replace.
    pub(super) fn change_password(&mut self, op: &Op, user: UserRef, former: OpId, password: &PasswordHash) {
        let Some(user) = self.kept_user(user) else { return };
        if self.user_row(user).password_op == self.canonical(former) {
            self.set_password(op, user, password);
        } else {
            self.tell(user, op.order(), Notice::PasswordOverridden {});
        }
    }

    fn set_password(&mut self, op: &Op, user: UserNo, password: &PasswordHash) {
        let row = self.user_row_mut(user);
        row.password = password.clone();
        row.password_op = op.id;
        self.expire_sessions(op, user);
    }

    /// Ends all sessions that began before this op. Resets the time up to which tokens are void, because a wrong clock
    /// may have set it.
    fn expire_sessions(&mut self, op: &Op, user: UserNo) {
        let row = self.user_row_mut(user);
        (row.sessions_since, row.void_through_s) = (op.id, 0);
        row.ended.iter_mut().for_each(|ended| ended.through_s = 0);
        self.cause(user, Told::SessionsEnded);
    }

    /// The user has logged out of a session. With too many of them the fold forgets the oldest. From then on every
    /// token as old as that session's last one is void.
    pub(super) fn end_session(&mut self, user: UserRef, session: SessionId, through_s: u64) {
        if self.has_ended(user, session) {
            return;
        }
        let Some(user) = self.kept_user(user) else { return };
        let row = self.user_row_mut(user);
        row.ended.push_back(EndedSession { session, through_s });
        if row.ended.len() > ENDED_MAX {
            let oldest = row.ended.pop_front();
            row.void_through_s = row.void_through_s.max(oldest.map_or(0, |oldest| oldest.through_s));
        }
        self.cause(user, Told::SessionsEnded);
    }

    /// Whether this session is among the latest ones that the user has logged out of.
    pub fn has_ended(&self, user: UserRef, session: SessionId) -> bool {
        let row = self.user_no(user).map(|user| self.user_row(user));
        // Leaf by leaf: there may be a thousand of them, and every request looks through them.
        row.is_some_and(|row| row.ended.leaves().flatten().any(|ended| ended.session == session))
    }

    /// Whether a token of a session, made at this time in seconds since 1970, is void because its user has logged out.
    pub fn is_token_void(&self, user: UserRef, session: SessionId, made_s: u64) -> bool {
        let row = self.user_no(user).map(|user| self.user_row(user));
        row.is_some_and(|row| made_s <= row.void_through_s) || self.has_ended(user, session)
    }

    /// The sessions that a user has logged out of, oldest first, and the time up to which all tokens are void.
    pub(super) fn logouts(&self, user: UserRef) -> Option<(Vector<EndedSession>, u64)> {
        let row = self.user_row(self.user_no(user)?);
        Some((row.ended.clone(), row.void_through_s))
    }

    /// Whether owners may make the user a member of their groups.
    pub(super) fn set_adding(&mut self, user: UserRef, allowed: bool) {
        if let Some(user) = self.kept_user(user) {
            self.user_row_mut(user).forbids_adding = !allowed;
        }
    }

    /// A user whose account was not deleted.
    pub(super) fn kept_user(&self, user: UserRef) -> Option<UserNo> {
        self.user_no(user).filter(|&user| !self.is_deleted(user))
    }

    pub(super) fn is_deleted(&self, user: UserNo) -> bool {
        self.user_row(user).standing == AccountStanding::Deleted
    }
}

/// What operators do to accounts.
impl State {
    pub(super) fn reset_password(&mut self, op: &Op, user: UserRef, password: &PasswordHash) {
        let Some(user) = self.kept_user(user) else { return };
        self.set_password(op, user, password);
        self.tell(user, op.order(), Notice::PasswordReset {});
    }

    pub(super) fn end_sessions(&mut self, op: &Op, user: UserRef) {
        let Some(user) = self.kept_user(user) else { return };
        self.expire_sessions(op, user);
        self.tell(user, op.order(), Notice::SessionsEnded {});
    }

    pub(super) fn disable_user(&mut self, op: &Op, user: UserRef) {
        let Some(user) = self.kept_user(user) else { return };
        let row = self.user_row_mut(user);
        if std::mem::replace(&mut row.standing, AccountStanding::Disabled) == AccountStanding::Active {
            self.expire_sessions(op, user);
            self.tell(user, op.order(), Notice::AccountDisabled {});
        }
    }

    pub(super) fn enable_user(&mut self, op: &Op, user: UserRef) {
        let Some(user) = self.kept_user(user) else { return };
        let row = self.user_row_mut(user);
        if std::mem::replace(&mut row.standing, AccountStanding::Active) == AccountStanding::Disabled {
            // This also ends sessions that began meanwhile at a tracker that had not heard of the disabling.
            self.expire_sessions(op, user);
            self.tell(user, op.order(), Notice::AccountEnabled {});
        }
    }

    /// The row and the name stay, since later ops name them. The fold drops all else that belongs to the user.
    pub(super) fn delete_user(&mut self, op: &Op, user: UserRef) {
        let Some(user) = self.kept_user(user) else { return };
        let mut groups: Vec<GroupNo> = self.groups_behind(user, None).collect();
        // Notices of one op are numbered in the order in which the op causes them.
        groups.sort_unstable();
        for group in groups {
            self.pass_on(op, group, user);
        }
        let requests: Vec<GroupNo> = self.user_row(user).requests.iter().copied().collect();
        for group in requests {
            self.withdraw_request(group, user);
        }
        self.drop_notices(user);
        let row = self.user_row_mut(user);
        row.standing = AccountStanding::Deleted;
        row.password = PasswordHash("".into());
        (row.ended, row.void_through_s) = Default::default();
        self.expire_sessions(op, user);
    }
}
