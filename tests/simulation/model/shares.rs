//! Shares in the model.

use super::{Model, Share, first_free};
use groupshare::model::id::OpId;
use groupshare::model::manifest::Content;
use groupshare::model::name::FileName;
use groupshare::model::notice::Notice;
use std::collections::BTreeSet;

impl Model<'_> {
    /// The share under a name in a group. A share without sharers does not count.
    fn holder(&self, group: OpId, name: &FileName) -> Option<OpId> {
        let mut all = self.shares.iter();
        let holder = all.find(|(_, row)| row.group == group && row.name == *name && !row.sharers.is_empty());
        holder.map(|(&share, _)| share)
    }

    /// The share under a name in a group, if it has this content.
    pub(super) fn twin(&self, group: OpId, name: &FileName, content: &Content) -> Option<OpId> {
        self.holder(group, name).filter(|holder| self.shares[holder].content.is_same(content))
    }

    /// Makes an id an alias of a share with the same content. That share learns its size if it was unknown.
    pub(super) fn merge(&mut self, id: OpId, twin: OpId, content: &Content) {
        let row = self.share_mut(twin);
        if content.is_sized() {
            row.content = *content;
        }
        self.aliases.insert(id, twin);
        self.touch(twin);
        assert!(self.shares.remove(&id).is_none_or(|share| share.sharers.is_empty()), "a merged share has sharers");
    }

    /// Makes a share without sharers.
    pub(super) fn make_share(&mut self, id: OpId, (group, author): (OpId, OpId), name: &FileName, content: &Content) {
        let (name, content, superseded, sharers) = (name.clone(), *content, false, BTreeSet::new());
        self.shares.insert(id, Share { group, name, content, author, superseded, sharers });
        self.touch(id);
    }

    pub(super) fn create_share(
        &mut self,
        id: OpId,
        (group, user): (OpId, OpId),
        (name, content): (&FileName, &Content),
        replaces: Option<OpId>,
    ) {
        if !self.is_member(group, user) {
            self.make_share(id, (group, user), name, content);
            return self.share_overridden(group, user, name);
        }
        self.count(true);
        // The id may be an alias of a share in another group, if the command came before there.
        if let Some(old) = replaces.filter(|old| self.shares[old].group == group) {
            self.replace(old, user);
        }
        // Versions that the author's own tracker did not know of.
        let is_own = |row: &Share| row.author == user && !row.superseded && !row.content.is_same(content);
        if let Some(old) = self.holder(group, name).filter(|old| is_own(&self.shares[old])) {
            self.new_version(old, user);
            self.replace(old, user);
        }
        if let Some(twin) = self.twin(group, name, content) {
            self.outcomes.merged += 1;
            self.merge(id, twin, content);
            self.share_mut(twin).sharers.insert(user);
            return;
        }
        self.make_share(id, (group, user), name, content);
        self.begin(id, user);
    }

    /// A new version ends the old share for its user. The author's new version ends it for all.
    fn replace(&mut self, old: OpId, user: OpId) {
        let row = self.share_mut(old);
        row.sharers.remove(&user);
        if row.author == user && !row.superseded {
            row.superseded = true;
            for other in std::mem::take(&mut row.sharers) {
                self.outcomes.superseded += 1;
                self.new_version(old, other);
            }
        }
    }

    fn new_version(&mut self, old: OpId, user: OpId) {
        let Share { group, ref name, author, .. } = self.shares[&old];
        let (group, name, author) = (self.group_name(group), name.clone(), self.users[&author].name.clone());
        let notice = Notice::NewVersion { group, name, author };
        self.tell(user, notice);
    }

    pub(super) fn join_share(&mut self, share: OpId, user: OpId) {
        let Share { group, ref name, content, ref sharers, .. } = self.shares[&share];
        let (name, hidden, news) = (name.clone(), sharers.is_empty(), !sharers.contains(&user));
        if !self.is_member(group, user) {
            return self.share_overridden(group, user, &name);
        }
        let twin = self.twin(group, &name, &content).filter(|_| hidden);
        self.count(news);
        match twin {
            Some(twin) => {
                self.outcomes.merged += 1;
                self.merge(share, twin, &content);
                self.share_mut(twin).sharers.insert(user);
            }
            None if self.shares[&share].superseded => {
                self.outcomes.superseded += 1;
                self.new_version(share, user);
            }
            None if hidden && self.is_made_anew(share) => {
                self.share_mut(share).superseded = true;
                self.outcomes.superseded += 1;
                self.new_version(share, user);
            }
            None => self.begin(share, user),
        }
    }

    /// Whether the author of a share now has other content under its name.
    fn is_made_anew(&self, share: OpId) -> bool {
        let Share { group, ref name, author, .. } = self.shares[&share];
        self.holder(group, name).is_some_and(|holder| self.shares[&holder].author == author)
    }

    /// A member begins to share. The first sharer makes the share visible.
    fn begin(&mut self, share: OpId, user: OpId) {
        let Share { group, ref name, ref sharers, .. } = self.shares[&share];
        let (from, hidden) = (name.clone(), sharers.is_empty());
        let is_free = |name: &FileName| self.holder(group, name).is_none();
        let to = if hidden { first_free(&from, FileName::with_suffix, is_free) } else { from.clone() };
        let row = self.share_mut(share);
        row.name = to.clone();
        row.sharers.insert(user);
        if from != to {
            self.renamed(user, Notice::ShareRenamed { group: self.group_name(group), from, to });
        }
    }

    fn share_overridden(&mut self, group: OpId, user: OpId, name: &FileName) {
        let (group, name) = (self.group_name(group), name.clone());
        self.overridden(user, Notice::ShareOverridden { group, name });
    }
}
