//! Notices in the fold: what users have to be told, kept until they have seen it.

use super::effect::Told;
use super::tables::{State, UserNo};
use crate::model::id::{OpOrder, Origin, UserRef};
use crate::model::notice::{Notice, UnplacedChange};
use crate::model::op::{Op, OpBody};
use crate::wire::codec::Wire;
use ring::digest::{SHA256, digest};
use std::ops::Bound;

impl State {
    /// Keeps a notice about the op at this place, unless the user's account is deleted.
    pub(super) fn tell(&mut self, user: UserNo, at: OpOrder, notice: Notice) {
        if self.is_deleted(user) {
            return;
        }
        self.cause(user, Told::Noticed { order: at, notice: notice.clone() });
        let is_new = self.notices.insert((user, at, self.told), notice).is_none();
        self.told = self.told.saturating_add(1);
        let row = self.user_row_mut(user);
        row.unread += u32::from(is_new);
        if row.unread as usize > Notice::UNREAD_MAX {
            self.count_oldest(user);
        }
    }

    /// Replaces a user's two oldest notices with a count.
    fn count_oldest(&mut self, user: UserNo) {
        let oldest: Vec<_> = self.notices_from(user).take(2).map(|(&key, notice)| (key, notice.count())).collect();
        let [(first, before), (second, count)] = oldest[..] else { return };
        self.notices.remove(&first);
        self.notices.insert(second, Notice::Older { count: before.saturating_add(count) });
        self.user_row_mut(user).unread -= 1;
    }

    /// Tells the author of an op that a group, a share or a user that it names is not there.
    pub(super) fn ground_gone(&mut self, op: &Op) {
        let author = op.body.author().and_then(|author| self.user_no(author));
        let (Some(author), Some(kind)) = (author, op.body.change_kind()) else { return };
        let file = match &op.body {
            OpBody::CreateShare { name, .. } => Some(name.clone()),
            _ => None,
        };
        self.tell(author, op.order(), Notice::GroundGone { kind, file });
    }

    /// Tells a user of a change that was lost.
    pub(super) fn note_unplaced(&mut self, op: &Op, user: UserRef, change: &UnplacedChange) {
        if let Some(user) = self.user_no(user) {
            self.tell(user, op.order(), Notice::Unplaced { change: change.clone() });
        }
    }

    /// Drops the notices up to a place if they are the ones that the user has seen. If a late op has changed them, all
    /// of them stay, and the user is told again.
    pub(super) fn read_notices(&mut self, user: UserRef, through: OpOrder, shown: &[u8; 32]) {
        if self.notices_digest(user, through) != Some(*shown) {
            return;
        }
        let Some(user) = self.user_no(user) else { return };
        let read: Vec<_> = self.notices_through(user, through).map(|(&key, _)| key).collect();
        for key in read {
            self.notices.remove(&key);
            self.user_row_mut(user).unread -= 1;
        }
    }

    /// Drops all notices of a user.
    pub(super) fn drop_notices(&mut self, user: UserNo) {
        let all: Vec<_> = self.notices_from(user).map(|(&key, _)| key).collect();
        for key in all {
            self.notices.remove(&key);
        }
        self.user_row_mut(user).unread = 0;
    }

    fn notices_from(&self, user: UserNo) -> impl Iterator<Item = (&(UserNo, OpOrder, u32), &Notice)> {
        self.notices.range((user, FIRST, 0)..).take_while(move |(key, _)| key.0 == user)
    }

    fn notices_through(
        &self,
        user: UserNo,
        through: OpOrder,
    ) -> impl Iterator<Item = (&(UserNo, OpOrder, u32), &Notice)> {
        self.notices.range((user, FIRST, 0)..=(user, through, u32::MAX))
    }

    /// Names the notices of a user up to a place in the order: SHA-256 over each one's place and content as the wire
    /// carries them. `None` if there are none.
    pub fn notices_digest(&self, user: UserRef, through: OpOrder) -> Option<[u8; 32]> {
        let mut bytes = Vec::new();
        for ((_, at, _), notice) in self.notices_through(self.user_no(user)?, through) {
            at.put(&mut bytes);
            notice.put(&mut bytes);
        }
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        (!bytes.is_empty()).then_some(out)
    }

    /// The notices that a user has not read, at most `count`, oldest first, each with its place in the order.
    pub fn notices(&self, user: UserRef, count: usize) -> Vec<(OpOrder, Notice)> {
        let Some(user) = self.user_no(user) else { return Vec::new() };
        self.notices_from(user).take(count).map(|((_, at, _), notice)| (*at, notice.clone())).collect()
    }

    /// The place of a user's latest unread notice.
    pub fn last_notice(&self, user: UserRef) -> Option<NoticePlace> {
        let user = self.user_no(user)?;
        self.notices_from(user).last().map(|(key, _)| place(key))
    }

    /// The user's first unread notice after one place and up to another.
    pub fn next_notice(
        &self,
        user: UserRef,
        after: Option<NoticePlace>,
        through: NoticePlace,
    ) -> Option<(NoticePlace, &Notice)> {
        let user = self.user_no(user)?;
        let from = after.map_or(Bound::Included((user, FIRST, 0)), |(at, nth)| Bound::Excluded((user, at, nth)));
        let next = self.notices.range((from, Bound::Unbounded)).next().filter(|(key, _)| key.0 == user);
        next.map(|(key, notice)| (place(key), notice)).filter(|(at, _)| *at <= through)
    }

    /// How many unread notices all users have, including those that are only counted.
    pub fn unread_count(&self) -> u64 {
        self.notices.values().map(Notice::count).sum()
    }
}

/// The place of a notice: that of the op that caused it, and its number among the notices of this op.
pub type NoticePlace = (OpOrder, u32);

fn place(&(_, at, nth): &(UserNo, OpOrder, u32)) -> NoticePlace {
    (at, nth)
}

/// Before or at every place in the order.
const FIRST: OpOrder = OpOrder { lamport: 0, origin: Origin { tracker: 0, incarnation: 0 } };
