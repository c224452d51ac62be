//! Shares in the fold: their names, contents and sharers.

use super::effect::Told;
use super::key::ByName;
use super::tables::{Created, GroupNo, ShareNo, ShareRow, State, UserNo, claim, first_free};
use crate::model::id::{GroupRef, OpId, ShareRef, UserRef};
use crate::model::manifest::Content;
use crate::model::name::FileName;
use crate::model::notice::Notice;
use crate::model::op::Op;

/// An old version of a share that a new one replaces.
struct Replaced {
    share: ShareNo,
    /// The user who shares the new version was a sharer of the old one.
    ended: bool,
    superseded: bool,
    /// The other users who were sharers of it until then.
    others: Vec<UserNo>,
}

impl State {
    /// Makes a share even if its author is no longer a member. The share is hidden then. A tracker that did not know
    /// of the departure may have let users join: they find it.
    pub(super) fn create_share(
        &mut self,
        op: &Op,
        (group, user): (GroupRef, UserRef),
        (name, content): (&FileName, &Content),
        replaces: Option<ShareRef>,
    ) {
        let (Some(group), Some(user)) = (self.named_group(group), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        let named = replaces.and_then(|old| self.named_share(old)).filter(|&old| self.share_row(old).group == group);
        let named = named.map(|old| self.end_version(old, user));
        // The op's own tracker did not know of this version.
        let unknown = self.own_version(group, user, (name, content)).map(|old| self.end_version(old, user));
        self.create_in_group(op, (group, user), (name, content));
        if let Some(old) = &unknown {
            self.tell_new_version(op, old.share, user);
        }
        for old in named.into_iter().chain(unknown) {
            self.replaced(op, old, user);
        }
    }

    /// The share that this name stands for, if the user made it, it has other content, and it has no newer version.
    fn own_version(&self, group: GroupNo, user: UserNo, (name, content): (&FileName, &Content)) -> Option<ShareNo> {
        let held = self.holder(group, name)?;
        (!self.share_row(held).content.is_same(content) && self.is_to_supersede(held, user)).then_some(held)
    }

    /// Ends an old version for the user who shares a new one. If the user is its author, ends it for all sharers.
    fn end_version(&mut self, old: ShareNo, user: UserNo) -> Replaced {
        let ended = self.end(old, user);
        let superseded = self.is_to_supersede(old, user);
        let others = if superseded { self.end_all(old) } else { Vec::new() };
        Replaced { share: old, ended, superseded, others }
    }

    /// The op's share has taken the place of an old version.
    fn replaced(&mut self, op: &Op, old: Replaced, user: UserNo) {
        let Replaced { share, ended, superseded, others } = old;
        if ended && !self.is_sharer_no(share, user) {
            self.cause_share_ended(share, user);
        }
        if superseded {
            self.supersede(op, share, others);
        }
    }

    /// Whether a new version by this user replaces a share for all its sharers. It does if the user is the share's
    /// author and the share has no newer version yet.
    fn is_to_supersede(&self, old: ShareNo, user: UserNo) -> bool {
        let ShareRow { author, successor, group, .. } = *self.share_row(old);
        author == user && successor.is_none() && self.is_member_no(group, user) && self.shares.next().is_some()
    }

    /// The op's share is the new version of this one. Tells the sharers of the old one.
    fn supersede(&mut self, op: &Op, old: ShareNo, others: Vec<UserNo>) {
        let new = self.canonical(op.id);
        self.share_row_mut(old).successor = Some(new);
        let (share, new) = (ShareRef(self.canonical(self.share_row(old).id)), ShareRef(new));
        for user in others {
            self.cause(user, Told::Superseded { old: share, new });
            self.tell_new_version(op, old, user);
        }
    }

    fn tell_new_version(&mut self, op: &Op, old: ShareNo, user: UserNo) {
        let row = self.share_row(old);
        let (group, name) = (self.group_row(row.group).name.clone(), row.name.clone());
        let author = self.user_row(row.author).name.clone();
        self.tell(user, op.order(), Notice::NewVersion { group, name, author });
    }

    fn create_in_group(&mut self, op: &Op, (group, user): (GroupNo, UserNo), (name, content): (&FileName, &Content)) {
        let member = self.is_member_no(group, user);
        if member && let Some(twin) = self.twin(group, name, content) {
            self.join_twin(op.id, twin, content);
            self.begin(op, twin, user);
            return;
        }
        let Some(share) = self.hidden(op, (group, user), name, content) else { return };
        if member {
            self.begin(op, share, user);
        } else {
            self.hide_share(share);
            self.override_share(op, group, user, name);
        }
    }

    /// Makes a share without sharers.
    fn hidden(
        &mut self,
        op: &Op,
        (group, author): (GroupNo, UserNo),
        name: &FileName,
        content: &Content,
    ) -> Option<ShareNo> {
        let share = self.shares.next().map(ShareNo)?;
        self.shares.push(ShareRow {
            id: op.id,
            group,
            name: name.clone(),
            content: *content,
            author,
            successor: None,
            sharer_count: 0,
            idle: 0,
        });
        self.note(op, Created::Share(share));
        Some(share)
    }

    /// A repeated command may have made a share that users joined. They find that share, or the one that stands for
    /// it.
    pub(super) fn repeat_share(
        &mut self,
        op: &Op,
        (group, user): (GroupRef, UserRef),
        name: &FileName,
        content: &Content,
    ) {
        let (Some(group), Some(user)) = (self.named_group(group), self.user_no(user)) else { return };
        match self.twin(group, name, content) {
            Some(twin) => self.join_twin(op.id, twin, content),
            None => {
                if let Some(share) = self.hidden(op, (group, user), name, content) {
                    self.hide_share(share);
                }
            }
        }
    }

    pub(super) fn join_share(&mut self, op: &Op, share: ShareRef, user: UserRef) {
        let (Some(share), Some(user)) = (self.named_share(share), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        let ShareRow { id, group, ref name, content, sharer_count, successor, .. } = *self.share_row(share);
        if !self.is_member_no(group, user) {
            let name = name.clone();
            self.override_share(op, group, user, &name);
            return;
        }
        // A hidden share lives on in a visible one of the same name and content.
        let twin = if sharer_count == 0 { self.twin(group, name, &content) } else { None };
        if let Some(twin) = twin {
            self.join_twin(id, twin, &content);
        } else if successor.is_some() {
            return self.tell_new_version(op, share, user);
        } else if let Some(newer) = self.version_behind(share) {
            self.share_row_mut(share).successor = Some(newer);
            return self.tell_new_version(op, share, user);
        }
        self.begin(op, twin.unwrap_or(share), user);
    }

    /// If a share has no sharers: what its author shares under its name now.
    fn version_behind(&self, share: ShareNo) -> Option<OpId> {
        let ShareRow { group, ref name, author, sharer_count, .. } = *self.share_row(share);
        let holder = self.share_row(self.holder(group, name).filter(|_| sharer_count == 0)?);
        (holder.author == author).then_some(holder.id)
    }

    /// The share that an op names. `None` if an operator has deleted the group.
    fn named_share(&mut self, share: ShareRef) -> Option<ShareNo> {
        let share = self.share_no(share)?;
        if self.group_row(self.share_row(share).group).deleted {
            return None;
        }
        self.touch_share(share);
        Some(share)
    }

    pub(super) fn leave_share(&mut self, op: &Op, share: ShareRef, user: UserRef) {
        let (Some(share), Some(user)) = (self.named_share(share), self.user_no(user)) else {
            return self.ground_gone(op);
        };
        if self.end(share, user) {
            self.cause_share_ended(share, user);
        }
    }

    fn cause_share_ended(&mut self, share: ShareNo, user: UserNo) {
        let share = ShareRef(self.canonical(self.share_row(share).id));
        self.cause(user, Told::ShareEnded { share });
    }

    /// Ends a share for all its sharers, and returns them by name.
    fn end_all(&mut self, share: ShareNo) -> Vec<UserNo> {
        let ShareRow { group, sharer_count, .. } = *self.share_row(share);
        let members = self.members_behind(group, None).map(|member| member.user);
        let sharers = members.filter(|&user| self.is_sharer_no(share, user)).take(sharer_count as usize);
        let sharers: Vec<UserNo> = sharers.collect();
        for &user in &sharers {
            self.end(share, user);
        }
        sharers
    }

    /// Ends every share of a user in a group.
    pub(super) fn withdraw_shares(&mut self, group: GroupNo, user: UserNo) {
        let all = (group, ShareNo(0))..=(group, ShareNo(u32::MAX));
        let shares: Vec<ShareNo> = self.user_row(user).shares.range(all).map(|&(_, share)| share).collect();
        for share in shares {
            self.end(share, user);
        }
    }

    fn override_share(&mut self, op: &Op, group: GroupNo, user: UserNo, name: &FileName) {
        let group = self.group_row(group).name.clone();
        self.tell(user, op.order(), Notice::ShareOverridden { group, name: name.clone() });
    }

    /// Makes `id` an alias of a share with the same content. That share takes its size from `content` if its own is
    /// unknown.
    fn join_twin(&mut self, id: OpId, twin: ShareNo, content: &Content) {
        let row = self.share_row_mut(twin);
        if content.is_sized() && !row.content.is_sized() {
            row.content = *content;
        }
        let twin = row.id;
        self.alias(id, twin);
    }

    /// The visible share with this name and this content.
    fn twin(&self, group: GroupNo, name: &FileName, content: &Content) -> Option<ShareNo> {
        self.holder(group, name).filter(|&share| self.share_row(share).content.is_same(content))
    }

    /// The visible share of this name.
    fn holder(&self, group: GroupNo, name: &FileName) -> Option<ShareNo> {
        self.group_row(group).files.get(&ByName::new(name)).copied()
    }

    /// Adds a member of the group to the sharers. The first sharer makes the share visible, under its last name or, if
    /// that is taken, under another.
    fn begin(&mut self, op: &Op, share: ShareNo, user: UserNo) {
        let group = self.share_row(share).group;
        if self.user_row_mut(user).shares.insert((group, share)).is_some() {
            return;
        }
        self.added.remove(&(user, group));
        let row = self.share_row_mut(share);
        row.sharer_count += 1;
        if row.sharer_count > 1 {
            return;
        }
        let known = row.name.clone();
        self.unhide_share(share);
        self.listed += 1;
        if self.take_share_name(group, share, &known) {
            return;
        }
        let own = first_free(&known, FileName::with_suffix, |name| self.take_share_name(group, share, name));
        self.share_row_mut(share).name = own.clone();
        let group = self.group_row(group).name.clone();
        self.tell(user, op.order(), Notice::ShareRenamed { group, from: known, to: own });
    }

    /// Gives a name to a share if it is free.
    fn take_share_name(&mut self, group: GroupNo, share: ShareNo, name: &FileName) -> bool {
        claim(&mut self.group_row_mut(group).files, ByName::new(name), share)
    }

    /// Removes a sharer. Returns false if the user is no sharer. Without sharers the share is hidden and its name
    /// free.
    fn end(&mut self, share: ShareNo, user: UserNo) -> bool {
        let group = self.share_row(share).group;
        if self.user_row_mut(user).shares.remove(&(group, share)).is_none() {
            return false;
        }
        let row = self.share_row_mut(share);
        row.sharer_count -= 1;
        if row.sharer_count == 0 {
            let key = ByName::new(&row.name);
            self.group_row_mut(group).files.remove(&key);
            self.listed -= 1;
            self.hide_share(share);
        }
        true
    }
}
