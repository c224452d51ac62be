//! A second implementation of docs/FOLD.md, over plain maps and without any code of the trackers' own fold. It computes
//! the required outcome of every op.

mod floor;
mod operators;
mod owners;
mod people;
mod shares;

use super::census::Outcomes;
use floor::Idle;
use groupshare::model::id::{CommandId, OpId, OpOrder, Origin, SessionId};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::notice::Notice;
use groupshare::model::op::group_access::GroupAccess;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::tracker::state::AccountStanding;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many of a user's last commands the model knows, besides the one that made the account.
const KNOWN_COMMANDS: usize = 1024;

/// Notices with their places, as a user sees them.
pub(crate) type Notices = Vec<(OpOrder, Notice)>;

/// The notices that trackers have shown before a user marked them as read: by origin and digest.
pub(crate) type Shown = BTreeMap<(Origin, [u8; 32]), Notices>;

pub(crate) struct User {
    pub name: UserId,
    pub password: PasswordHash,
    pub password_op: OpId,
    pub sessions_since: OpId,
    /// The sessions that the user logged out of last, oldest first, each with the time of its last token.
    pub ended: VecDeque<(SessionId, u64)>,
    /// Tokens made up to this time are void.
    pub void_through_s: u64,
    pub standing: AccountStanding,
    pub forbids_adding: bool,
    /// An operator has set the password.
    reset: bool,
    pub unread: Notices,
    made_by: (CommandId, OpId),
    /// The last commands, oldest first, with the ops that carried them out. `None` if the op's origin is gone.
    recent: VecDeque<(CommandId, Option<OpId>)>,
}

pub(crate) struct Group {
    pub name: GroupId,
    /// In the order in which they joined. A group without members is hidden.
    pub members: Vec<OpId>,
    /// In the order in which they became owners.
    pub owners: Vec<OpId>,
    pub founder: Option<OpId>,
    pub access: GroupAccess,
    pub waiting: BTreeSet<OpId>,
    pub chain: [u8; 32],
    /// How many groups were made before.
    number: usize,
    deleted: bool,
}

pub(crate) struct Share {
    pub group: OpId,
    pub name: FileName,
    pub content: Content,
    pub author: OpId,
    /// The author has shared a new version in its place.
    pub superseded: bool,
    /// A share without sharers is hidden.
    pub sharers: BTreeSet<OpId>,
}

/// The trackers' state according to docs/FOLD.md. All ids in it are canonical.
pub(crate) struct Model<'a> {
    pub users: BTreeMap<OpId, User>,
    pub groups: BTreeMap<OpId, Group>,
    pub shares: BTreeMap<OpId, Share>,
    /// The forgotten trackers.
    pub forgotten: BTreeSet<u16>,
    aliases: BTreeMap<OpId, OpId>,
    shown: &'a Shown,
    idle: Idle,
    /// Commands that were carried out.
    done: BTreeSet<CommandId>,
    groups_made: usize,
    /// Shares that were not made, because an operator had deleted their group before.
    unmade: BTreeSet<OpId>,
    pub outcomes: Outcomes,
    /// The notices that the last op caused.
    pub told: Vec<(OpId, Notice)>,
    /// The messages of the last op about a request to join: the owner, the group, and the asking user.
    pub asked: Vec<(OpId, OpId, OpId)>,
}

impl<'a> Model<'a> {
    pub(crate) fn new(shown: &'a Shown) -> Self {
        let (users, groups, shares, forgotten, aliases, idle, done, outcomes) = Default::default();
        let (groups_made, unmade, told, asked) = Default::default();
        Self {
            users,
            groups,
            shares,
            forgotten,
            aliases,
            shown,
            idle,
            done,
            groups_made,
            unmade,
            outcomes,
            told,
            asked,
        }
    }

    /// The canonical id of an id.
    pub(crate) fn canonical(&self, id: OpId) -> OpId {
        self.aliases.get(&id).map_or(id, |&other| self.canonical(other))
    }

    /// Whether something has this canonical id.
    pub(crate) fn knows(&self, id: OpId) -> bool {
        self.users.contains_key(&id) || self.groups.contains_key(&id) || self.shares.contains_key(&id)
    }

    /// Whether a command was carried out, and by which op as long as the model knows it.
    pub(crate) fn command(&self, command: CommandId) -> Option<Option<OpId>> {
        self.users.values().find_map(|user| user.knows(command))
    }

    /// Folds the next op. Returns false if its command was already carried out.
    pub(crate) fn apply(&mut self, op: &Op) -> bool {
        self.told.clear();
        self.asked.clear();
        self.hear(op);
        if op.body.is_of_tracker() && op.body.author().is_none() {
            self.body(op);
            self.keep_told(op);
            return true;
        }
        self.touch_named(&op.body);
        if let Some(first) = self.carried_out(op) {
            self.outcomes.repeated += 1;
            if let Some(first) = first {
                self.repeated(op, first);
                self.touch(op.id);
            }
            return false;
        }
        self.outcomes.forgotten += usize::from(!self.done.insert(op.command));
        self.body(op);
        self.keep_told(op);
        if let Some(author) = self.author(op) {
            self.user_mut(author).remember(op.command, op.id);
        }
        true
    }

    fn keep_told(&mut self, op: &Op) {
        for (user, notice) in &self.told {
            self.users.get_mut(user).expect("it exists").notice(op.order(), notice.clone());
        }
    }

    /// The earlier op with the same command; `None` inside if that op is no longer known.
    fn carried_out(&self, op: &Op) -> Option<Option<OpId>> {
        match op.body.author() {
            Some(_) => self.users[&self.author(op)?].knows(op.command),
            None => self.command(op.command),
        }
    }

    /// The author of an op, if the account exists.
    fn author(&self, op: &Op) -> Option<OpId> {
        let author = self.canonical(op.body.author()?.0);
        self.users.contains_key(&author).then_some(author)
    }

    fn repeated(&mut self, op: &Op, first: OpId) {
        let stands_for_share = self.shares.contains_key(&self.canonical(first));
        match &op.body {
            OpBody::CreateShare { group, user, name, content, .. } if !stands_for_share => {
                // The earlier op joined a share. A user that joined this op's share finds that share all the same.
                let group = self.canonical(group.0);
                if !self.is_there(group) {
                    self.unmade.insert(op.id);
                    return;
                }
                match self.twin(group, name, content) {
                    Some(twin) => self.merge(op.id, twin, content),
                    None => self.make_share(op.id, (group, self.user(user.0)), name, content),
                }
            }
            _ => drop(self.aliases.insert(op.id, self.canonical(first))),
        }
    }

    /// Whether the things that an op names exist. If not, its author gets a notice.
    fn has_ground(&mut self, op: &Op) -> bool {
        if op.body.author().is_none() {
            return true;
        }
        let author = self.author(op);
        if self.lacks_ground(&op.body) {
            self.ground_gone(op, author);
            return false;
        }
        // An owner's decision stands even if the account no longer exists.
        let stands = author.is_some() || is_decision(&op.body);
        self.outcomes.orphaned += usize::from(!stands);
        stands
    }

    fn body(&mut self, op: &Op) {
        if !self.has_ground(op) {
            return;
        }
        match &op.body {
            OpBody::CreateUser { name, password } => self.create_user(op, name, password),
            OpBody::ChangePassword { user, former, password } => {
                self.change_password(op, self.user(user.0), self.canonical(*former), password);
            }
            OpBody::CreateGroup { name, founder } => self.create_group(op, name, self.user(founder.0)),
            OpBody::RequestJoin { group, user } => self.request(self.group(group.0), self.user(user.0)),
            OpBody::AcceptRequest { group, user, by } => {
                self.accept(self.group(group.0), self.user(user.0), self.canonical(by.0));
            }
            OpBody::RejectRequest { group, user, by } => {
                self.reject(self.group(group.0), self.user(user.0), self.canonical(by.0));
            }
            OpBody::LeaveGroup { group, user } => self.leave(op, self.group(group.0), self.user(user.0)),
            OpBody::RemoveMember { group, user, by } => {
                self.remove(op, self.group(group.0), self.user(user.0), self.canonical(by.0));
            }
            OpBody::CreateShare { group, user, name, content, replaces } => {
                let replaces = replaces.map(|old| self.canonical(old.0)).filter(|old| self.shares.contains_key(old));
                self.create_share(op.id, (self.group(group.0), self.user(user.0)), (name, content), replaces);
            }
            OpBody::JoinShare { share, user } => self.join_share(self.share(share.0), self.user(user.0)),
            OpBody::LeaveShare { share, user } => {
                let (share, user) = (self.share(share.0), self.user(user.0));
                let ended = self.share_mut(share).sharers.remove(&user);
                self.count(ended);
            }
            OpBody::ReadNotices { user, through, shown } => {
                self.read(op, self.user(user.0), *through, *shown);
            }
            OpBody::EndSession { user, session, through_s } => {
                self.end_session(self.user(user.0), *session, *through_s);
            }
            OpBody::ForgetTracker { tracker } => {
                let news = self.forgotten.insert(*tracker);
                self.count(news);
            }
            OpBody::UnforgetTracker { tracker } => {
                let news = self.forgotten.remove(tracker);
                self.idle.take_back(*tracker);
                self.count(news);
            }
            OpBody::NoteUnplaced { user, change } => {
                self.outcomes.unplaced += 1;
                self.tell(self.user(user.0), Notice::Unplaced { change: change.clone() });
            }
            // Votes of trackers change nothing that users see.
            OpBody::ProposeFloor { .. } | OpBody::ReadyForFloor { .. } | OpBody::PromiseFloor { .. } => {}
            _ => self.manage(op),
        }
    }

    /// Decisions of owners, of added users, and of operators.
    fn manage(&mut self, op: &Op) {
        match &op.body {
            OpBody::MakeOwner { group, user, by } => {
                self.make_owner(self.group(group.0), self.user(user.0), self.user(by.0));
            }
            OpBody::DropOwner { group, user, by } => {
                self.drop_owner(self.group(group.0), self.user(user.0), self.user(by.0));
            }
            OpBody::AddMember { group, user, by } => {
                self.add_member(self.group(group.0), self.user(user.0), self.user(by.0));
            }
            OpBody::SetGroup { group, access, .. } => self.set_group(self.group(group.0), *access),
            OpBody::SetAdding { user, allowed } => {
                let user = self.user(user.0);
                if self.is_deleted(user) {
                    return self.outcomes.author_deleted += 1;
                }
                let row = self.user_mut(user);
                let news = std::mem::replace(&mut row.forbids_adding, !allowed) == *allowed;
                self.count(news);
            }
            _ => self.operate(op),
        }
    }

    /// The user that an op names. Every op comes after the ops that it names.
    fn user(&self, id: OpId) -> OpId {
        let user = self.canonical(id);
        assert!(self.users.contains_key(&user), "{id:?} is no user");
        user
    }

    fn group(&self, id: OpId) -> OpId {
        let group = self.canonical(id);
        assert!(self.groups.contains_key(&group), "{id:?} is no group");
        group
    }

    fn share(&self, id: OpId) -> OpId {
        let share = self.canonical(id);
        assert!(self.shares.contains_key(&share), "{id:?} is no share");
        share
    }

    fn ground_gone(&mut self, op: &Op, author: Option<OpId>) {
        let Some(author) = author else { return self.outcomes.orphaned += 1 };
        let kind = op.body.change_kind().expect("it was made by a user, and is about something");
        let file = match &op.body {
            OpBody::CreateShare { name, .. } => Some(name.clone()),
            _ => None,
        };
        let deleted = self.is_ground_deleted(&op.body);
        if deleted {
            self.unmade.insert(op.id);
        }
        if self.is_deleted(author) {
            return self.outcomes.author_deleted += 1;
        }
        *if deleted { &mut self.outcomes.ground_deleted } else { &mut self.outcomes.ground_gone } += 1;
        self.tell(author, Notice::GroundGone { kind, file });
    }

    fn user_mut(&mut self, user: OpId) -> &mut User {
        self.users.get_mut(&user).expect("it exists")
    }

    fn group_mut(&mut self, group: OpId) -> &mut Group {
        self.groups.get_mut(&group).expect("it exists")
    }

    fn share_mut(&mut self, share: OpId) -> &mut Share {
        self.shares.get_mut(&share).expect("it exists")
    }

    fn count(&mut self, effective: bool) {
        *if effective { &mut self.outcomes.effective } else { &mut self.outcomes.as_wanted } += 1;
    }

    fn tell(&mut self, to: OpId, notice: Notice) {
        if !self.is_deleted(to) {
            self.told.push((to, notice));
        }
    }

    fn is_deleted(&self, user: OpId) -> bool {
        self.users[&user].standing == AccountStanding::Deleted
    }

    fn renamed(&mut self, to: OpId, notice: Notice) {
        self.outcomes.renamed += 1;
        self.tell(to, notice);
    }

    fn overridden(&mut self, to: OpId, notice: Notice) {
        if !self.users.contains_key(&to) {
            return self.outcomes.orphaned += 1;
        }
        if self.is_deleted(to) {
            return self.outcomes.author_deleted += 1;
        }
        self.outcomes.overridden += 1;
        self.tell(to, notice);
    }
}

impl User {
    /// The op that carried out a command of this user.
    fn knows(&self, command: CommandId) -> Option<Option<OpId>> {
        let own = (self.made_by.0, Some(self.made_by.1));
        let mut known = self.recent.iter().chain([&own]);
        known.find(|(known, _)| *known == command).map(|&(_, op)| op)
    }

    fn notice(&mut self, at: OpOrder, notice: Notice) {
        self.unread.push((at, notice));
        if self.unread.len() > Notice::UNREAD_MAX {
            let count = self.unread.remove(0).1.count() + self.unread[0].1.count();
            self.unread[0].1 = Notice::Older { count };
        }
    }

    fn remember(&mut self, command: CommandId, op: OpId) {
        self.recent.push_back((command, Some(op)));
        if self.recent.len() > KNOWN_COMMANDS {
            self.recent.pop_front();
        }
    }
}

fn is_decision(body: &OpBody) -> bool {
    matches!(body, OpBody::AcceptRequest { .. } | OpBody::RejectRequest { .. } | OpBody::RemoveMember { .. })
}

/// The name if it is free, else the first free one of `name~2`, `name~3` and so on.
fn first_free<N: Clone>(name: &N, with_suffix: impl Fn(&N, u32) -> N, is_free: impl Fn(&N) -> bool) -> N {
    let all = std::iter::once(name.clone()).chain((2..).map(|n| with_suffix(name, n)));
    all.into_iter().find(is_free).expect("there is always one")
}
