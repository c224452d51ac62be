//! Which clients follow which groups, and the news of these groups. Each group has a rate limit: names that come during
//! a pause go out together. Time is passed in.

use super::push_channel::PushChannel;
use crate::model::id::{GroupRef, OpId, UserRef};
use crate::model::name::FileName;
use crate::tracker::presence::Ticket;
use crate::wire::client_tracker::CHANGED_MAX;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The least time between two messages about a group, and what each follower adds to it.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_PER_FOLLOWER: Duration = Duration::from_millis(1);

/// What is new in a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GroupNews {
    pub(crate) names: BTreeSet<FileName>,
    /// Whether there is more than these names.
    pub(crate) more: bool,
}

/// A group whose followers are told now.
#[derive(Debug)]
pub(crate) struct ToldGroup {
    pub(crate) group: GroupRef,
    pub(crate) news: GroupNews,
    /// The user of each connection. The user may have left the group by now.
    pub(crate) followers: Vec<(UserRef, Arc<dyn PushChannel>)>,
}

#[derive(Debug, Default)]
struct FollowedGroup {
    followers: BTreeMap<Ticket, Arc<dyn PushChannel>>,
    news: GroupNews,
    /// No news goes out before this time.
    rests: Option<Instant>,
}

#[derive(Debug, Default)]
struct Fields {
    /// Each group has a follower.
    groups: HashMap<GroupRef, FollowedGroup>,
    /// The groups with news.
    untold: BTreeSet<GroupRef>,
    followed: HashMap<Ticket, Vec<GroupRef>>,
}

/// The clients that follow groups. The lock is never held during sending.
#[derive(Debug, Default)]
pub struct Followers {
    fields: Mutex<Fields>,
}

impl Followers {
    /// From now on a login follows exactly these groups. After this the client asks for their present shares.
    pub(crate) fn follow(&self, ticket: Ticket, channel: &Arc<dyn PushChannel>, groups: Vec<GroupRef>) {
        let mut fields = self.fields.lock();
        fields.leave(&ticket);
        for &group in &groups {
            fields.groups.entry(group).or_default().followers.insert(ticket, channel.clone());
        }
        if !groups.is_empty() {
            fields.followed.insert(ticket, groups);
        }
    }

    /// A login has ended.
    pub(crate) fn leave(&self, ticket: &Ticket) {
        self.fields.lock().leave(ticket);
    }

    /// A group has a new share with this name; `None` stands for unknown names.
    pub(crate) fn note(&self, group: GroupRef, name: Option<FileName>) {
        let mut fields = self.fields.lock();
        if let Some(followed) = fields.groups.get_mut(&group) {
            let room = followed.news.names.len() < CHANGED_MAX;
            match name {
                Some(name) if room || followed.news.names.contains(&name) => drop(followed.news.names.insert(name)),
                _ => followed.news.more = true,
            }
            fields.untold.insert(group);
        }
    }

    /// Groups have other ids. After two groups became one, it is unclear which names a follower knows. So all followers
    /// hear that there is more.
    pub(crate) fn rekey(&self, canonical: impl Fn(OpId) -> OpId) {
        let mut fields = self.fields.lock();
        let renamed = |group: GroupRef| GroupRef(canonical(group.0));
        if fields.groups.keys().all(|&group| renamed(group) == group) {
            return;
        }
        let old = std::mem::take(&mut fields.groups);
        for (group, followed) in old {
            let new = fields.groups.entry(renamed(group)).or_default();
            new.followers.extend(followed.followers);
            new.news.more = true;
        }
        fields.untold = fields.groups.keys().copied().collect();
        fields.followed.values_mut().flatten().for_each(|group| *group = renamed(*group));
    }

    /// How long until the next news may go out; `None` if there is none.
    pub(crate) fn rest(&self, now: Instant) -> Option<Duration> {
        let fields = self.fields.lock();
        let untold = fields.untold.iter().filter_map(|group| fields.groups.get(group));
        let rest =
            |group: &FollowedGroup| group.rests.map_or(Duration::ZERO, |rests| rests.saturating_duration_since(now));
        untold.map(rest).min()
    }

    /// The news that may go out now, with the followers.
    pub(crate) fn take(&self, now: Instant) -> Vec<ToldGroup> {
        let Fields { groups, untold, .. } = &mut *self.fields.lock();
        let mut told = Vec::new();
        untold.retain(|id| {
            let Some(group) = groups.get_mut(id) else { return false };
            if group.rests.is_some_and(|rests| rests > now) {
                return true;
            }
            // At most the number of logins.
            let count = u32::try_from(group.followers.len()).unwrap_or(u32::MAX);
            group.rests = Some(now + PAUSE + PAUSE_PER_FOLLOWER.saturating_mul(count));
            let followers = group.followers.iter().map(|(ticket, channel)| (ticket.key.user, channel.clone()));
            told.push(ToldGroup { group: *id, news: std::mem::take(&mut group.news), followers: followers.collect() });
            false
        });
        told
    }
}

impl Fields {
    fn leave(&mut self, ticket: &Ticket) {
        for group in self.followed.remove(ticket).unwrap_or_default() {
            if let Some(followed) = self.groups.get_mut(&group) {
                followed.followers.remove(ticket);
                if followed.followers.is_empty() {
                    self.groups.remove(&group);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{ClientId, Origin};
    use crate::model::name::tests::file;
    use crate::tracker::presence::{ClientKey, Presence};
    use crate::wire::client_tracker::Reply;

    #[derive(Debug)]
    struct Nowhere;

    impl PushChannel for Nowhere {
        fn queue(&self, _: &Reply) {}
        fn flush(&self) -> bool {
            false
        }
        fn end(&self) {}
    }

    fn id(seq: u64) -> OpId {
        OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq }
    }

    fn ticket(presence: &Presence, user: u64, now: Instant) -> Ticket {
        presence.enter(ClientKey { user: UserRef(id(user)), client: ClientId([0; 16]) }, now)
    }

    fn channel() -> Arc<dyn PushChannel> {
        Arc::new(Nowhere)
    }

    /// The names that go out now, whether there are more, and the number of followers.
    fn told(followers: &Followers, now: Instant) -> Vec<(Vec<FileName>, bool, usize)> {
        let told = followers.take(now).into_iter();
        told.map(|it| (it.news.names.into_iter().collect(), it.news.more, it.followers.len())).collect()
    }

    #[test]
    fn news_within_a_moment_is_told_together_and_the_first_at_once() {
        let (followers, presence, now) = (Followers::default(), Presence::new(), Instant::now());
        let (group, other) = (GroupRef(id(1)), GroupRef(id(2)));
        followers.note(group, Some(file("before")));
        assert_eq!(followers.rest(now), None, "nobody follows it");
        for user in [7, 8] {
            followers.follow(ticket(&presence, user, now), &channel(), vec![group]);
        }
        followers.note(other, Some(file("elsewhere")));
        followers.note(group, Some(file("a")));
        assert_eq!(
            (followers.rest(now), told(&followers, now)),
            (Some(Duration::ZERO), vec![(vec![file("a")], false, 2)])
        );
        for name in ["b", "c", "b"] {
            followers.note(group, Some(file(name)));
        }
        let pause = PAUSE + 2 * PAUSE_PER_FOLLOWER;
        assert_eq!((followers.rest(now), told(&followers, now)), (Some(pause), vec![]));
        assert_eq!(told(&followers, now + pause), [(vec![file("b"), file("c")], false, 2)]);
        assert_eq!(followers.rest(now + pause), None);
    }

    #[test]
    fn of_many_names_so_many_are_told_and_that_there_are_more() {
        let (followers, presence, now) = (Followers::default(), Presence::new(), Instant::now());
        let group = GroupRef(id(1));
        followers.follow(ticket(&presence, 7, now), &channel(), vec![group]);
        (0..=CHANGED_MAX).for_each(|n| followers.note(group, Some(file(&n.to_string()))));
        let all = told(&followers, now);
        assert_eq!((all[0].0.len(), all[0].1), (CHANGED_MAX, true));
        followers.note(group, None);
        assert_eq!(told(&followers, now + PAUSE * 2), [(vec![], true, 1)]);
    }

    #[test]
    fn a_client_that_follows_others_or_has_left_is_told_no_more_and_nothing_is_kept() {
        let (followers, presence, now) = (Followers::default(), Presence::new(), Instant::now());
        let (group, other) = (GroupRef(id(1)), GroupRef(id(2)));
        let (ann, bob) = (ticket(&presence, 7, now), ticket(&presence, 8, now));
        followers.follow(ann, &channel(), vec![group]);
        followers.follow(bob, &channel(), vec![group]);
        followers.follow(ann, &channel(), vec![other]);
        followers.note(group, Some(file("a")));
        assert_eq!(told(&followers, now), [(vec![file("a")], false, 1)]);
        followers.rekey(|_| other.0);
        assert_eq!(told(&followers, now + PAUSE * 2), [(vec![], true, 2)]);
        followers.leave(&ann);
        followers.leave(&bob);
        let fields = followers.fields.lock();
        assert!(fields.groups.is_empty() && fields.followed.is_empty());
    }
}
