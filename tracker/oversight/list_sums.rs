//! The bytes of the lists of pieces of each user's shares, cached between checks. A user may have thousands of shares,
//! and every other change waits during a check.

use crate::model::digest::InfoHash;
use crate::model::id::UserRef;
use crate::tracker::ledger::quota::LenOf;
use crate::tracker::state::{SharedChange, SharedSet, State};
use parking_lot::Mutex;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// A sum is computed again after this time: a list that was lost here may have come meanwhile.
const SUM_AGE_MAX: Duration = Duration::from_secs(60);
/// A sum that causes a refusal is computed again after this time.
const REFUSING_AGE_MAX: Duration = Duration::from_secs(10);
/// For how many users sums are cached.
const USERS_MAX: usize = 4096;

/// The sums of the users who were checked lately.
#[derive(Debug, Default)]
pub(super) struct ListSums(Mutex<HashMap<UserRef, ListSum>>);

#[derive(Debug)]
struct ListSum {
    /// What the user shared at the last check. It shares memory with the state.
    shared: SharedSet,
    sum: u64,
    /// How many of the shares have an info hash with these first bytes.
    beginnings: HashMap<u32, u32>,
    /// How many of the shares have a list of this length.
    lens: BTreeMap<u64, u32>,
    /// A list had another length when it was counted, so the longest one has to be searched again.
    is_off: bool,
    /// When the sum was computed from all shares.
    made: Instant,
}

fn beginning(InfoHash([a, b, c, d, ..]): InfoHash) -> u32 {
    u32::from_be_bytes([a, b, c, d])
}

impl ListSum {
    fn make(state: &State, user: UserRef, len_of: LenOf<'_>, now: Instant) -> Self {
        let (shared, beginnings, lens) = (SharedSet::default(), HashMap::new(), BTreeMap::new());
        let mut sum = Self { shared, sum: 0, beginnings, lens, is_off: false, made: now };
        sum.follow(state, user, len_of);
        sum
    }

    /// Counts what has come and gone since the last check.
    fn follow(&mut self, state: &State, user: UserRef, len_of: LenOf<'_>) {
        let Self { sum, beginnings, lens, is_off, .. } = self;
        let shared = state.shared_since(user, &self.shared, &mut |change| match change {
            SharedChange::Begun(info_hash) => {
                let len = len_of(info_hash);
                *sum += len;
                *beginnings.entry(beginning(info_hash)).or_default() += 1;
                *lens.entry(len).or_default() += 1;
            }
            SharedChange::Ended(info_hash) => {
                let len = len_of(info_hash);
                *sum = sum.saturating_sub(len);
                if let Entry::Occupied(mut count) = beginnings.entry(beginning(info_hash)) {
                    *count.get_mut() -= 1;
                    if *count.get() == 0 {
                        count.remove();
                    }
                }
                match lens.get_mut(&len) {
                    Some(1) => drop(lens.remove(&len)),
                    Some(count) => *count -= 1,
                    None => *is_off = true,
                }
            }
        });
        self.shared = shared;
    }

    /// The length of the longest list.
    fn longest(&self) -> u64 {
        self.lens.last_key_value().map_or(0, |(&len, _)| len)
    }
}

impl ListSums {
    /// The bytes of a user's lists in this state.
    pub(super) fn taken(&self, state: &State, user: UserRef, len_of: LenOf<'_>, now: Instant) -> u64 {
        self.look((state, user), len_of, (now, false), |sum| sum.sum)
    }

    /// The length of a user's longest list in this state.
    pub(super) fn longest(&self, state: &State, user: UserRef, len_of: LenOf<'_>, now: Instant) -> u64 {
        self.look((state, user), len_of, (now, true), |sum| sum.longest())
    }

    /// Whether the user may share something with this info hash. False is certain, true is not.
    pub(super) fn may_share(
        &self,
        state: &State,
        user: UserRef,
        len_of: LenOf<'_>,
        (info_hash, now): (InfoHash, Instant),
    ) -> bool {
        let begins_so = |sum: &ListSum| sum.beginnings.contains_key(&beginning(info_hash));
        self.look((state, user), len_of, (now, false), begins_so)
    }

    fn look<T>(
        &self,
        (state, user): (&State, UserRef),
        len_of: LenOf<'_>,
        (now, longest): (Instant, bool),
        tell: impl FnOnce(&ListSum) -> T,
    ) -> T {
        let mut sums = self.0.lock();
        if let Some(sum) = sums.get_mut(&user).filter(|sum| now.saturating_duration_since(sum.made) < SUM_AGE_MAX) {
            sum.follow(state, user, len_of);
            if longest && sum.is_off {
                *sum = ListSum::make(state, user, len_of, now);
            }
            return tell(sum);
        }
        if sums.len() >= USERS_MAX {
            sums.retain(|_, sum| now.saturating_duration_since(sum.made) < SUM_AGE_MAX);
        }
        let sum = ListSum::make(state, user, len_of, now);
        let told = tell(&sum);
        if sums.len() < USERS_MAX {
            sums.insert(user, sum);
        }
        told
    }

    /// Drops a sum that is too old to refuse anything. Returns true if the user has to be checked again.
    pub(super) fn let_go(&self, user: UserRef, now: Instant) -> bool {
        let mut sums = self.0.lock();
        let is_old = |sum: &ListSum| now.saturating_duration_since(sum.made) >= REFUSING_AGE_MAX;
        sums.get(&user).is_some_and(is_old) && sums.remove(&user).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Sha1Digest;
    use crate::model::id::{CommandId, GroupRef, OpId, Origin, ShareRef};
    use crate::model::manifest::Content;
    use crate::model::name::{FileName, GroupId, UserId};
    use crate::model::op::{Op, OpBody, PasswordHash};
    use crate::model::piece::Layout;
    use std::cell::Cell;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A user who shares, and the state.
    struct Sharer {
        state: State,
        count: u64,
        user: UserRef,
        group: GroupRef,
    }

    impl Sharer {
        fn new() -> Self {
            let nobody = OpId { origin: Origin { tracker: 1, incarnation: 1 }, seq: 0 };
            let (user, group) = (UserRef(nobody), GroupRef(nobody));
            let mut this = Self { state: State::new(), count: 0, user, group };
            let name = UserId::parse("ann").expect("a name");
            this.user = UserRef(this.fold(OpBody::CreateUser { name, password: PasswordHash("x".into()) }));
            let name = GroupId::parse("lab").expect("a name");
            this.group = GroupRef(this.fold(OpBody::CreateGroup { founder: this.user, name }));
            this
        }

        fn fold(&mut self, body: OpBody) -> OpId {
            self.count += 1;
            let origin = Origin { tracker: 1, incarnation: 1 };
            let id = OpId { origin, seq: self.count };
            let command = CommandId(u128::from(self.count).to_be_bytes());
            self.state.apply(&Op { id, lamport: self.count, command, body });
            id
        }

        fn share(&mut self, number: u32) -> ShareRef {
            let name = FileName::parse(&format!("f{number}")).expect("a name");
            let layout = Layout::new(1).expect("one byte");
            let content = Content { info_hash: hash(number), layout, file_count: 1, sha1: Sha1Digest([0; 20]) };
            let (user, group) = (self.user, self.group);
            ShareRef(self.fold(OpBody::CreateShare { group, user, name, content, replaces: None }))
        }

        fn stop(&mut self, share: ShareRef) {
            let user = self.user;
            self.fold(OpBody::LeaveShare { share, user });
        }
    }

    fn hash(number: u32) -> InfoHash {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        InfoHash(bytes)
    }

    #[test]
    fn a_look_at_a_user_with_thousands_of_shares_costs_only_the_changes() {
        let (mut ann, sums, start) = (Sharer::new(), ListSums::default(), Instant::now());
        let shares: Vec<ShareRef> = (0..5000).map(|number| ann.share(number)).collect();
        let looked = Cell::new(0_u64);
        let len_of = |_| {
            looked.set(looked.get() + 1);
            100
        };
        let taken = |ann: &Sharer, at| sums.taken(&ann.state, ann.user, &len_of, at);
        assert_eq!(taken(&ann, start), 500_000);
        let shares_it = |number| sums.may_share(&ann.state, ann.user, &len_of, (hash(number), start));
        assert!((0..5000).all(shares_it), "they are found");
        looked.set(0);
        assert!(!(5000..10_000).any(shares_it));
        assert_eq!(looked.get(), 0, "what is not shared is no reason to look at what is");
        for (round, share) in shares.iter().take(1000).enumerate() {
            ann.stop(*share);
            assert_eq!(taken(&ann, start), 499_900);
            ann.share(10_000 + round as u32);
            assert_eq!(taken(&ann, start), 500_000);
            assert!(!sums.may_share(&ann.state, ann.user, &len_of, (hash(round as u32), start)), "it is stopped");
        }
        assert!(looked.get() <= 3000, "{} looks at lists for 2,000 changes", looked.get());
    }

    #[test]
    fn the_longest_list_is_one_that_the_user_shares() {
        let (mut ann, sums, start) = (Sharer::new(), ListSums::default(), Instant::now());
        let shares: Vec<ShareRef> = (1..4).map(|number| ann.share(number)).collect();
        let longest = |ann: &Sharer| {
            let len_of = |of: InfoHash| u64::from(of.0[3]);
            sums.longest(&ann.state, ann.user, &len_of, start)
        };
        assert_eq!(longest(&ann), 3);
        ann.stop(shares[2]);
        ann.stop(shares[0]);
        assert_eq!(longest(&ann), 2);
    }

    #[test]
    fn a_longest_list_that_comes_and_goes_costs_only_the_changes() {
        let (mut ann, sums, start) = (Sharer::new(), ListSums::default(), Instant::now());
        (0..2000).for_each(|number| {
            ann.share(number);
        });
        let looked = Cell::new(0_u64);
        let longest = |ann: &Sharer| {
            let len_of = |of: InfoHash| {
                looked.set(looked.get() + 1);
                u64::from(u32::from_be_bytes([of.0[0], of.0[1], of.0[2], of.0[3]]))
            };
            sums.longest(&ann.state, ann.user, &len_of, start)
        };
        assert_eq!(longest(&ann), 1999);
        looked.set(0);
        for number in 5000..5500 {
            let share = ann.share(number);
            assert_eq!(longest(&ann), u64::from(number));
            ann.stop(share);
            assert_eq!(longest(&ann), 1999);
        }
        assert!(looked.get() <= 1500, "{} looks at lists for 1,000 changes", looked.get());
    }

    #[test]
    fn a_list_that_comes_late_counts_within_a_minute_and_before_a_refusal() {
        let (mut ann, sums, start) = (Sharer::new(), ListSums::default(), Instant::now());
        ann.share(1);
        let sum = |len: u64, at| sums.taken(&ann.state, ann.user, &move |_| len, at);
        assert_eq!((sum(0, start), sum(7, start + MINUTE / 2), sum(7, start + MINUTE)), (0, 0, 7));
        assert!(!sums.let_go(ann.user, start + MINUTE + Duration::from_secs(9)));
        assert!(sums.let_go(ann.user, start + MINUTE + Duration::from_secs(10)));
        assert!(!sums.let_go(ann.user, start + MINUTE + Duration::from_secs(10)), "it is gone already");
        assert_eq!(sum(8, start + MINUTE), 8);
    }

    #[test]
    fn no_more_sums_are_kept_than_there_may_be() {
        let (ann, sums, start) = (Sharer::new(), ListSums::default(), Instant::now());
        let other = |seq| UserRef(OpId { origin: Origin { tracker: 2, incarnation: 1 }, seq });
        let look = |count, at| {
            (0..count).for_each(|seq| assert_eq!(sums.taken(&ann.state, other(seq), &|_| 0, at), 0));
            sums.0.lock().len()
        };
        assert_eq!(look(USERS_MAX as u64 + 9, start), USERS_MAX);
        assert_eq!(look(9, start + MINUTE), 9, "the old ones went");
    }
}
