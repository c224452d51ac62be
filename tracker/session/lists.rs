//! Lists of groups, members, requests and notices on a connection, and searches.

use super::Session;
use super::page::{PAGE_AND_ONE, page};
use super::share::file_lines;
use crate::model::id::{CommandId, GroupRef, OpOrder, UserRef};
use crate::model::name::pattern::{Comparison, NamePattern};
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::notice::Notice;
use crate::tracker::commit::Pending;
use crate::tracker::ledger::accept::{Change, find_led_group, find_own_group};
use crate::tracker::state::{Membership, ShareInfo, State};
use crate::wire::client_tracker::{FoundFile, GroupLine, MemberLine, PAGE_MAX, Reply, Role, SearchPlace};
use crate::wire::codec::List;
use crate::wire::refusal::Refusal;
use std::collections::BTreeSet;

fn role(membership: Membership) -> Role {
    match membership {
        Membership::Stranger => Role::Stranger,
        Membership::Waiting => Role::Requested,
        Membership::Member => Role::Member,
        Membership::Owner => Role::Owner,
    }
}

/// The notices of a user up to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tracker) struct ShownNotices {
    /// The place of the last one.
    pub(in crate::tracker) through: OpOrder,
    /// The digest of these notices, as the user saw them.
    pub(in crate::tracker) digest: [u8; 32],
}

impl Session {
    pub(super) fn list_groups(&mut self, after: Option<&GroupId>) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let rows = self.core.state().groups_after(after, PAGE_AND_ONE, user).into_iter();
        let line = rows.map(|row| GroupLine {
            name: row.name,
            owner: row.owner,
            owner_count: row.owner_count,
            member_count: row.member_count,
            access: row.access,
            role: role(row.membership),
        });
        let (groups, more) = page(line.collect());
        Ok(Reply::Groups { groups, more })
    }

    pub(super) fn list_members(&mut self, group: &GroupId, after: Option<&UserId>) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let state = self.core.state();
        let rows = state.members_after(find_own_group(&state, user, group)?, after, PAGE_AND_ONE);
        let online = self.core.presence.client_counts(rows.iter().map(|row| row.user));
        let line =
            rows.into_iter().zip(online).map(|(row, online)| MemberLine { name: row.name, owner: row.owner, online });
        let (members, more) = page(line.collect());
        Ok(Reply::Members { members, more })
    }

    pub(super) fn list_requests(&mut self, group: &GroupId, after: Option<&UserId>) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let state = self.core.state();
        let rows = state.requests_after(find_led_group(&state, user, group)?, after, PAGE_AND_ONE);
        let (users, more) = page(rows.into_iter().map(|(_, name)| name).collect());
        Ok(Reply::Users { users, more })
    }

    pub(super) fn follow(&mut self, groups: &[GroupId]) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let state = self.core.state();
        let groups: BTreeSet<_> = groups.iter().filter_map(|name| find_own_group(&state, user, name).ok()).collect();
        if let Some(login) = &self.login {
            self.core.followers.follow(login.ticket, &self.push_channel, groups.into_iter().collect());
        }
        Ok(Reply::Done {})
    }

    pub(super) fn list_keys(&mut self, after: Option<&GroupId>) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let state = self.core.state();
        let groups = state.groups_of(user, after, PAGE_AND_ONE).into_iter();
        let (keys, more) = page(groups.filter_map(|(group, _)| self.core.group_key(&state, group)).collect());
        Ok(Reply::Keys { keys, more })
    }
}

/// The most characters to compare for one page of a search. A hostile pattern needs more pages, and its client waits
/// for a turn between them.
const SEARCH_STEPS_MAX: usize = 1 << 18;
/// The cost of each name and each group beyond that, in the same measure.
const LOOK_STEPS: usize = 16;

/// How many groups a search takes from the state at once.
const GROUPS_AT_ONCE: usize = 64;

/// An unfinished page of a search.
struct Search<'a> {
    state: &'a State,
    pattern: &'a NamePattern,
    found: Vec<(GroupId, ShareInfo)>,
    steps: usize,
}

impl Search<'_> {
    /// Looks at the shares of a group after a name. Returns the place where the page ends, if it ends in this group.
    fn look(&mut self, group: GroupRef, name: &GroupId, behind: Option<&FileName>) -> Option<SearchPlace> {
        let place = |last: Option<&FileName>| Some(SearchPlace { group: name.clone(), name: last.cloned() });
        if self.steps >= SEARCH_STEPS_MAX {
            return place(behind);
        }
        self.steps += LOOK_STEPS;
        for file in self.state.file_names_behind(group, behind) {
            let Comparison { matches, steps } = self.pattern.compare(file.as_str());
            self.steps += steps + LOOK_STEPS;
            if matches {
                self.found.extend(self.state.share_named(group, file).map(|share| (name.clone(), share)));
            }
            if self.found.len() == PAGE_MAX || self.steps >= SEARCH_STEPS_MAX {
                return place(Some(file));
            }
        }
        None
    }

    /// Looks at all groups of a user, from a place on.
    fn look_in_all(&mut self, user: UserRef, after: Option<SearchPlace>) -> Option<SearchPlace> {
        // The user may have left the group in which the last page ended.
        if let Some(SearchPlace { group: name, name: behind }) = &after
            && let Ok(group) = find_own_group(self.state, user, name)
            && let Some(next) = self.look(group, name, behind.as_ref())
        {
            return Some(next);
        }
        let mut last = after.map(|place| place.group);
        loop {
            let groups = self.state.groups_of(user, last.as_ref(), GROUPS_AT_ONCE);
            last = Some(groups.last()?.1.clone());
            let next = groups.iter().find_map(|(group, name)| self.look(*group, name, None));
            if next.is_some() {
                return next;
            }
        }
    }
}

/// Searches.
impl Session {
    pub(super) fn find_files(
        &mut self,
        group: Option<&GroupId>,
        pattern: &NamePattern,
        after: Option<SearchPlace>,
    ) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let state = self.core.state();
        let mut search = Search { state: &state, pattern, found: Vec::new(), steps: 0 };
        let next = match group {
            Some(name) => {
                let own = find_own_group(&state, user, name)?;
                search.look(own, name, after.and_then(|place| place.name).as_ref())
            }
            None => search.look_in_all(user, after),
        };
        let (groups, shares): (Vec<_>, Vec<_>) = search.found.into_iter().unzip();
        let lines = groups.into_iter().zip(file_lines(&self.core, &state, shares));
        let files = List::first_of(lines.map(|(group, file)| FoundFile { group, file }).collect());
        Ok(Reply::Found { files, next })
    }
}

/// Notices. The tracker pushes them to clients; programs ask for them.
impl Session {
    pub(super) fn read_notices(&mut self, command: CommandId, through: OpOrder) -> Result<Reply, Refusal> {
        // The client was told notices of the durable state. The leading state may hold more.
        let state = self.core.state();
        let shown = |user| state.notices_digest(user, through);
        self.change(command, |user| Change::ReadNotices { user, through, shown: shown(user) })
    }

    /// The user's unread notices, oldest first, and the digest of all of them if there are any. Above `few` notices,
    /// `reserve` grants or refuses the memory.
    pub(in crate::tracker) fn unread_notices(
        &mut self,
        few: usize,
        reserve: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<(Vec<Notice>, Option<ShownNotices>), Refusal> {
        let user = self.user()?;
        let state = self.core.state();
        if state.notices(user, few.saturating_add(1)).len() > few {
            reserve()?;
        }
        let unread = state.notices(user, usize::MAX);
        let shown = unread.last().and_then(|&(through, _)| {
            let digest = state.notices_digest(user, through)?;
            Some(ShownNotices { through, digest })
        });
        Ok((unread.into_iter().map(|(_, notice)| notice).collect(), shown))
    }

    /// Drops notices that the user has seen, and returns when that is durable. Does nothing if they are dropped
    /// already, or if a late change has added to them.
    pub(in crate::tracker) fn drop_notices(&mut self, command: CommandId, shown: ShownNotices) -> Result<(), Refusal> {
        let ShownNotices { through, digest } = shown;
        let user = self.user()?;
        // A program can say anything; a digest that matches nothing makes no change.
        if self.core.state().notices_digest(user, through) != Some(digest) {
            return Ok(());
        }
        self.change(command, |user| Change::ReadNotices { user, through, shown: Some(digest) })?;
        self.pending.take().map_or(Ok(()), Pending::wait)
    }
}
