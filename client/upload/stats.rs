//! How much of one content each member has received, and how fast.

use crate::client::rate::speed::Speed;
use crate::client::reach::way::Way;
use crate::model::name::UserId;
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// The maximum number of members to remember. This is more than can have a place at once.
const MEMBERS_MAX: usize = 1024;

/// The members that have, or had, a connection with the content open.
#[derive(Debug, Default)]
pub struct UploadStats {
    // Locked, but never while sending.
    members: Mutex<BTreeMap<UserId, Arc<MemberStats>>>,
}

#[derive(Debug)]
struct MemberStats {
    /// Connections of each way, in the order of [`Way::ALL`].
    connections: [AtomicUsize; Way::ALL.len()],
    given: AtomicU64,
    speed: Mutex<Speed>,
}

/// The upload to one member so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberUpload {
    pub user: UserId,
    /// The best way of its connections.
    pub way: Way,
    /// Bytes given so far.
    pub given: u64,
    /// The recent speed in bytes per second.
    pub speed: u64,
}

impl MemberStats {
    /// The best way of the current connections.
    fn way(&self) -> Option<Way> {
        Way::ALL.into_iter().find(|way| self.connections[*way as usize].load(Ordering::Relaxed) > 0)
    }
}

/// Forgets the member that has received least, among those without a connection.
fn forget_least(members: &mut BTreeMap<UserId, Arc<MemberStats>>) {
    let gone = members.iter().filter(|(_, member)| member.way().is_none());
    let least = gone.min_by_key(|(_, member)| member.given.load(Ordering::Relaxed)).map(|(user, _)| user.clone());
    least.map(|user| members.remove(&user));
}

impl UploadStats {
    /// Adds a connection of this member, made on this way.
    pub fn join(&self, user: &UserId, way: Way, now: Instant) -> UploadMeter {
        let new = || {
            let (connections, given) = (Default::default(), AtomicU64::new(0));
            Arc::new(MemberStats { connections, given, speed: Mutex::new(Speed::new(0, now)) })
        };
        let mut members = self.members.lock();
        if members.len() >= MEMBERS_MAX && !members.contains_key(user) {
            forget_least(&mut members);
        }
        let member = members.entry(user.clone()).or_insert_with(new).clone();
        drop(members);
        member.connections[way as usize].fetch_add(1, Ordering::Relaxed);
        UploadMeter { member, way }
    }

    /// Measures the speeds. The caller does so now and then.
    pub fn tick(&self, now: Instant) {
        for member in self.members.lock().values() {
            member.speed.lock().look(member.given.load(Ordering::Relaxed), now);
        }
    }

    /// The members that have a connection, by name.
    pub fn list(&self) -> Vec<MemberUpload> {
        let members = self.members.lock();
        let here = members.iter().filter_map(|(user, member)| Some((user, member, member.way()?)));
        let upload = |(user, member, way): (&UserId, &Arc<MemberStats>, Way)| MemberUpload {
            user: user.clone(),
            way,
            given: member.given.load(Ordering::Relaxed),
            // A speed is not negative and far below 2^64.
            speed: member.speed.lock().bytes_per_s() as u64,
        };
        here.map(upload).collect()
    }
}

/// Counts what one connection gives. The connection ends when this is dropped.
#[derive(Debug)]
pub struct UploadMeter {
    member: Arc<MemberStats>,
    way: Way,
}

impl UploadMeter {
    pub fn give(&self, len: usize) {
        self.member.given.fetch_add(len as u64, Ordering::Relaxed);
    }
}

impl Drop for UploadMeter {
    fn drop(&mut self) {
        self.member.connections[self.way as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_bytes_given_to_a_member_count_over_its_connections_while_one_is_open() {
        let user = |name| UserId::parse(name).expect("a name");
        let (stats, now) = (UploadStats::default(), Instant::now());
        let bob = [stats.join(&user("bob"), Way::Relayed, now), stats.join(&user("bob"), Way::Called, now)];
        let ann = stats.join(&user("ann"), Way::Direct, now);
        bob[0].give(1_000_000);
        bob[1].give(500_000);
        stats.tick(now + Duration::from_secs(1));
        let ann_has = MemberUpload { user: user("ann"), way: Way::Direct, given: 0, speed: 0 };
        let bob_has = |way| MemberUpload { user: user("bob"), way, given: 1_500_000, speed: 1_500_000 };
        assert_eq!(stats.list(), [ann_has.clone(), bob_has(Way::Called)], "the better way is told");
        drop(bob);
        assert_eq!(stats.list(), [ann_has]);
        drop(ann);
        let _again = stats.join(&user("bob"), Way::Relayed, now);
        assert_eq!(stats.list(), [bob_has(Way::Relayed)], "bytes given before still count");
    }

    #[test]
    fn the_statistics_remember_a_bounded_number_of_members_that_come_and_go() {
        let user = |number: usize| UserId::parse(&format!("user {number}")).expect("a name");
        let (stats, now) = (UploadStats::default(), Instant::now());
        stats.join(&user(0), Way::Direct, now).give(1);
        let here = stats.join(&user(1), Way::Direct, now);
        (2..3 * MEMBERS_MAX).for_each(|number| drop(stats.join(&user(number), Way::Direct, now)));
        let members = stats.members.lock();
        assert!(members.len() == MEMBERS_MAX && members.contains_key(&user(0)) && members.contains_key(&user(1)));
        drop((members, here));
    }
}
