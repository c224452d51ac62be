//! What the model drops at a floor. It keeps lists, where the trackers compare places in the order.

use super::Model;
use groupshare::model::id::{OpId, OpOrder, Origin};
use groupshare::model::op::{Op, OpBody};
use std::collections::{BTreeMap, BTreeSet};

/// What a floor needs to know about the one before.
#[derive(Default)]
pub(super) struct Idle {
    /// The groups and shares that were hidden there.
    hidden: BTreeSet<OpId>,
    /// The ones that an op has named or changed since.
    named: BTreeSet<OpId>,
    /// The aliases that existed there.
    aliases: BTreeSet<OpId>,
    /// The trackers that were forgotten there and not taken back since.
    forgotten: BTreeSet<u16>,
    /// The origins with a folded op since.
    heard: BTreeSet<Origin>,
    /// Every remaining origin, with the place of its last op.
    origins: BTreeMap<Origin, OpOrder>,
}

impl Idle {
    pub(super) fn take_back(&mut self, tracker: u16) {
        self.forgotten.remove(&tracker);
    }
}

impl Model<'_> {
    /// A floor. It drops everything that was hidden at the floor before and that no op has named since, and the aliases
    /// of that floor.
    pub(crate) fn floor(&mut self) {
        let idle = std::mem::take(&mut self.idle);
        let gone = |id: &OpId| idle.hidden.contains(id) && !idle.named.contains(id);
        let before = [self.groups.len(), self.shares.len(), self.aliases.len()];
        self.groups.retain(|id, row| !row.members.is_empty() || !gone(id));
        self.shares.retain(|id, row| !row.sharers.is_empty() || !gone(id));
        self.aliases.retain(|id, _| !idle.aliases.contains(id));
        assert!(self.shares.values().all(|row| self.groups.contains_key(&row.group)), "a share has lost its group");
        self.outcomes.groups_dropped += before[0] - self.groups.len();
        self.outcomes.shares_dropped += before[1] - self.shares.len();
        self.outcomes.aliases_dropped += before[2] - self.aliases.len();
        self.drop_origins(&idle);
        let groups = self.groups.iter().filter(|(_, row)| row.members.is_empty()).map(|(&id, _)| id);
        let shares = self.shares.iter().filter(|(_, row)| row.sharers.is_empty()).map(|(&id, _)| id);
        self.idle.hidden = groups.chain(shares).collect();
        self.idle.aliases = self.aliases.keys().copied().collect();
        self.idle.forgotten = self.forgotten.clone();
    }

    /// Drops the origins that were silent since the floor before. The last origin of a tracker stays, unless the
    /// tracker was forgotten. From then on nobody knows which of the dropped ops have carried out commands.
    fn drop_origins(&mut self, idle: &Idle) {
        let is_last = |origin: &Origin, at: &OpOrder| {
            idle.origins.iter().all(|(other, last)| other.tracker != origin.tracker || last <= at)
        };
        let stays = |origin: &Origin, at: &OpOrder| {
            idle.heard.contains(origin) || is_last(origin, at) && !idle.forgotten.contains(&origin.tracker)
        };
        let (stay, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            idle.origins.iter().map(|(&origin, &at)| (origin, at)).partition(|(origin, at)| stays(origin, at));
        self.idle.origins = stay;
        self.outcomes.origins_dropped += gone.len();
        for user in self.users.values_mut() {
            for (_, op) in &mut user.recent {
                *op = op.filter(|op| !gone.contains_key(&op.origin));
            }
        }
    }

    /// Notes an op, whatever its subject.
    pub(super) fn hear(&mut self, op: &Op) {
        self.idle.heard.insert(op.id.origin);
        self.idle.origins.insert(op.id.origin, op.order());
    }

    /// Notes that an op names or changes this. A share counts with its group.
    pub(super) fn touch(&mut self, id: OpId) {
        let id = self.canonical(id);
        let group = self.shares.get(&id).map(|row| row.group);
        // Nothing brings back a group that an operator has deleted.
        if self.is_group_deleted(group.unwrap_or(id)) {
            return;
        }
        self.idle.named.insert(id);
        self.idle.named.extend(group);
    }

    /// Notes the groups and shares that an op names, whatever its outcome.
    pub(super) fn touch_named(&mut self, body: &OpBody) {
        named(body).into_iter().for_each(|id| self.touch(id));
        if let OpBody::CreateShare { replaces: Some(old), .. } = body {
            self.touch(old.0);
        }
    }

    /// Whether a group or share has this id, and no operator has deleted it.
    pub(super) fn is_there(&self, id: OpId) -> bool {
        let group = self.shares.get(&id).map_or(id, |row| row.group);
        self.groups.contains_key(&group) && !self.is_group_deleted(group)
    }

    fn is_group_deleted(&self, group: OpId) -> bool {
        self.groups.get(&group).is_some_and(|row| row.deleted)
    }

    /// Whether an operator has deleted the group or share that an op names.
    pub(super) fn is_ground_deleted(&self, body: &OpBody) -> bool {
        let is_deleted = |id: OpId| self.unmade.contains(&id) || (self.knows(id) && !self.is_there(id));
        named(body).into_iter().any(|id| is_deleted(self.canonical(id)))
    }

    /// Whether an op names a group, a share or a user that does not exist.
    pub(super) fn lacks_ground(&self, body: &OpBody) -> bool {
        let target = match body {
            OpBody::AcceptRequest { user, .. }
            | OpBody::RejectRequest { user, .. }
            | OpBody::RemoveMember { user, .. }
            | OpBody::MakeOwner { user, .. }
            | OpBody::DropOwner { user, .. }
            | OpBody::AddMember { user, .. } => Some(self.canonical(user.0)),
            _ => None,
        };
        !named(body).iter().all(|&id| self.is_there(self.canonical(id)))
            || target.is_some_and(|user| !self.users.contains_key(&user))
    }
}

/// The groups and shares without which an op has no meaning.
fn named(body: &OpBody) -> Vec<OpId> {
    match body {
        OpBody::RequestJoin { group, .. }
        | OpBody::AcceptRequest { group, .. }
        | OpBody::RejectRequest { group, .. }
        | OpBody::LeaveGroup { group, .. }
        | OpBody::RemoveMember { group, .. }
        | OpBody::MakeOwner { group, .. }
        | OpBody::DropOwner { group, .. }
        | OpBody::AddMember { group, .. }
        | OpBody::SetGroup { group, .. }
        | OpBody::CreateShare { group, .. } => vec![group.0],
        OpBody::JoinShare { share, .. } | OpBody::LeaveShare { share, .. } => vec![share.0],
        _ => Vec::new(),
    }
}
