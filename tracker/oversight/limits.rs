//! The present limits of a tracker: quotas, the hourly counts of users and addresses, and who may make accounts.

use super::list_sums::ListSums;
use crate::model::address::{SITE_SHARE, network_of, site_of};
use crate::model::digest::InfoHash;
use crate::model::id::{GroupRef, UserRef};
use crate::model::op::OpBody;
use crate::model::units;
use crate::rate::buckets::{Buckets, Pace};
use crate::tracker::ledger::quota::{self, LenOf, ListLooks, OverQuota, QUOTA_COUNT, QUOTAS, Quota, Quotas};
use crate::tracker::state::State;
use crate::wire::refusal::{Code, Refusal};
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);
/// How often a user may ask to join one group: each time its owner gets a message.
const REPEAT_PACE: Pace = Pace { burst: 5, interval: Duration::from_secs(60) };

/// How many checks for room a change of a user may cause.
const LOOKS_PER_CHANGE: u64 = 2;

/// Who may make accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accounts {
    /// Anyone.
    #[default]
    Open,
    /// Only the operator.
    Closed,
}

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
        })
    }
}

/// What an operator has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    pub quotas: Quotas,
    pub accounts: Accounts,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self { quotas: Quotas::default(), accounts: Accounts::Open }
    }
}

/// The limits of this tracker, and how often each has refused. Outlives a restart of the tracker within the program.
#[derive(Debug)]
pub struct Limits {
    settings: RwLock<LimitSettings>,
    hours: Mutex<Hours>,
    lists: ListSums,
    /// How often each quota caused a refusal.
    refused: [AtomicU64; QUOTA_COUNT],
}

/// The counts of the last hour.
#[derive(Debug)]
struct Hours {
    changes: Buckets<UserRef>,
    /// The checks for room of shares, including checks that led to no share.
    looks: Buckets<UserRef>,
    asked: Buckets<UserRef>,
    /// Users added to groups, by the owner.
    added: Buckets<UserRef>,
    /// Requests to join, by group and user.
    repeated: Buckets<(GroupRef, UserRef)>,
    /// Bytes of lists of pieces, by the user who brought them.
    brought: Buckets<UserRef>,
    accounts: Buckets<IpAddr>,
    checks: Buckets<IpAddr>,
    /// The same for whole sites.
    site_accounts: Buckets<IpAddr>,
    site_checks: Buckets<IpAddr>,
}

impl Hours {
    fn new(quotas: &Quotas) -> Self {
        let pace = |quota| hourly(quotas.of(quota));
        Self {
            changes: Buckets::new(pace(Quota::Changes)),
            looks: Buckets::new(hourly(of_looks(quotas.of(Quota::Changes)))),
            asked: Buckets::new(pace(Quota::Asked)),
            added: Buckets::new(pace(Quota::Added)),
            repeated: Buckets::new(REPEAT_PACE),
            brought: Buckets::new(pace(Quota::Brought)),
            accounts: Buckets::new(pace(Quota::Accounts)),
            checks: Buckets::new(pace(Quota::Checks)),
            site_accounts: Buckets::new(hourly(of_site(quotas.of(Quota::Accounts)))),
            site_checks: Buckets::new(hourly(of_site(quotas.of(Quota::Checks)))),
        }
    }

    fn set_paces(&mut self, quotas: &Quotas, now: Instant) {
        let pace = |quota| hourly(quotas.of(quota));
        self.changes.set_pace(pace(Quota::Changes), now);
        self.looks.set_pace(hourly(of_looks(quotas.of(Quota::Changes))), now);
        self.asked.set_pace(pace(Quota::Asked), now);
        self.added.set_pace(pace(Quota::Added), now);
        self.brought.set_pace(pace(Quota::Brought), now);
        self.accounts.set_pace(pace(Quota::Accounts), now);
        self.checks.set_pace(pace(Quota::Checks), now);
        self.site_accounts.set_pace(hourly(of_site(quotas.of(Quota::Accounts))), now);
        self.site_checks.set_pace(hourly(of_site(quotas.of(Quota::Checks))), now);
    }
}

impl Default for Limits {
    /// Limits nothing.
    fn default() -> Self {
        Self::new(LimitSettings { quotas: Quotas::NONE, accounts: Accounts::Open })
    }
}

/// How many checks for room a user with this many changes may cause: before bringing a list of pieces, and after.
fn of_looks(changes: u64) -> u64 {
    changes.saturating_mul(LOOKS_PER_CHANGE)
}

/// The limit of a site, from the limit of one network.
fn of_site(max: u64) -> u64 {
    max.saturating_mul(SITE_SHARE)
}

/// This many at once, and as many in every further hour.
fn hourly(max: u64) -> Pace {
    let nanos = HOUR.as_nanos() as u64;
    // A limit of 0 takes no pace: it is refused before. More than one in a nanosecond is no limit.
    let burst = max.clamp(1, nanos);
    Pace { burst, interval: Duration::from_nanos(nanos / burst) }
}

impl Limits {
    pub fn new(settings: LimitSettings) -> Self {
        let hours = Hours::new(&settings.quotas);
        let (settings, hours) = (RwLock::new(settings), Mutex::new(hours));
        Self { settings, hours, lists: ListSums::default(), refused: Default::default() }
    }

    /// Applies these settings from now on. Returns what has changed, in words.
    pub fn change(&self, new: &LimitSettings) -> Vec<String> {
        let old = std::mem::replace(&mut *self.settings.write(), *new);
        self.hours.lock().set_paces(&new.quotas, Instant::now());
        let changed = QUOTAS.iter().filter(|(quota, _)| old.quotas.of(*quota) != new.quotas.of(*quota));
        let told = changed.map(|(quota, info)| {
            let max = quota.amount(new.quotas.of(*quota));
            format!("limit {} is {max}", info.name)
        });
        let accounts = (old.accounts != new.accounts).then(|| format!("accounts are {}", new.accounts));
        told.chain(accounts).collect()
    }

    pub fn quotas(&self) -> Quotas {
        self.settings.read().quotas
    }

    pub fn accounts(&self) -> Accounts {
        self.settings.read().accounts
    }

    /// How often a quota has caused a refusal since the program started.
    pub fn refused(&self, quota: Quota) -> u64 {
        self.refused[quota as usize].load(Ordering::Relaxed)
    }

    /// Checks the room for an op of a client, which is then made. An op refused for lack of room counts as a change
    /// too, because the check may take long.
    ///
    /// # Errors
    /// `QuotaReached`, `InstallationFull`, `SlowDown` after too many changes.
    pub fn take(&self, state: &State, body: &OpBody, len_of: LenOf<'_>) -> Result<(), Refusal> {
        let author = match body {
            OpBody::ReadNotices { .. } | OpBody::NoteUnplaced { .. } | OpBody::EndSession { .. } => None,
            body => body.author(),
        };
        if let Some(user) = author {
            self.take_of_hour(Quota::Changes, 1, user, |hours| &mut hours.changes)?;
        }
        self.look_for_room(state, body, len_of)?;
        match body {
            OpBody::RequestJoin { group, user } => self.take_request(*group, *user),
            OpBody::AddMember { by, .. } => self.take_of_hour(Quota::Added, 1, *by, |hours| &mut hours.added),
            _ => Ok(()),
        }
    }

    /// Counts a request to join a group.
    fn take_request(&self, group: GroupRef, user: UserRef) -> Result<(), Refusal> {
        if self.quotas().of(Quota::Asked) == Quotas::UNLIMITED {
            return Ok(());
        }
        let (key, now) = ((group, user), Instant::now());
        let wait = self.hours.lock().repeated.wait(&key, 1, now);
        if !wait.is_zero() {
            self.refused[Quota::Asked as usize].fetch_add(1, Ordering::Relaxed);
            let wait = units::duration(wait);
            return Err(Refusal::about(Code::SlowDown, format!("you may ask this group again in {wait}")));
        }
        self.take_of_hour(Quota::Asked, 1, user, |hours| &mut hours.asked)?;
        self.hours.lock().repeated.take(&key, now);
        Ok(())
    }

    /// Whether there is room for an op of this user, before it is made. Each such check counts. A list that is
    /// `secret` takes no room.
    ///
    /// # Errors
    /// `QuotaReached`, `InstallationFull`, `SlowDown` after too many checks.
    pub fn ask(
        &self,
        state: &State,
        (user, body): (UserRef, &OpBody),
        len_of: LenOf<'_>,
        secret: Option<InfoHash>,
    ) -> Result<(), Refusal> {
        self.take_of_hour(Quota::Changes, 1, user, |hours| &mut hours.looks)?;
        let told = |of| if secret == Some(of) { 0 } else { len_of(of) };
        // The cached sums always use the real lengths.
        self.by_lists(state, len_of, body.author(), &|lists| {
            quota::ask(state, body, &self.quotas(), ListLooks { len_of: &told, ..lists })
        })
    }

    /// Whether a user shares something with this info hash.
    pub fn shares(&self, state: &State, user: UserRef, len_of: LenOf<'_>, info_hash: InfoHash) -> bool {
        self.lists.may_share(state, user, len_of, (info_hash, Instant::now()))
            && state.shares_of(user).any(|share| share.content.info_hash == info_hash)
    }

    fn look_for_room(&self, state: &State, body: &OpBody, len_of: LenOf<'_>) -> Result<(), Refusal> {
        self.by_lists(state, len_of, body.author(), &|lists| quota::ask(state, body, &self.quotas(), lists))
    }

    /// Asks with the cached sums of lists, and before a refusal with fresh ones.
    fn by_lists(
        &self,
        state: &State,
        len_of: LenOf<'_>,
        user: Option<UserRef>,
        ask: &dyn Fn(ListLooks<'_>) -> Result<(), OverQuota>,
    ) -> Result<(), Refusal> {
        let now = Instant::now();
        let lists = ListLooks {
            len_of,
            taken_by: &|user| self.lists.taken(state, user, len_of, now),
            longest_of: &|user| self.lists.longest(state, user, len_of, now),
        };
        self.counted(ask(lists).or_else(|over| {
            let by_old_sum =
                over.quota == Quota::ManifestBytes && user.is_some_and(|user| self.lists.let_go(user, now));
            if by_old_sum { ask(lists) } else { Err(over) }
        }))
    }

    /// Whether a user may make another change in this hour. Asked before the work on the change. Counts nothing.
    ///
    /// # Errors
    /// `SlowDown`.
    pub fn ask_change(&self, user: UserRef) -> Result<(), Refusal> {
        self.of_hour(Quota::Changes, |hours, now| hours.changes.wait(&user, 1, now))
    }

    /// Whether there is room for another account, before its password is hashed.
    ///
    /// # Errors
    /// `InstallationFull`.
    pub fn ask_account(&self, state: &State) -> Result<(), Refusal> {
        self.counted(quota::ask_account(state, &self.quotas()))
    }

    /// Whether a user may bring a list of pieces of this length.
    ///
    /// # Errors
    /// `QuotaReached`.
    pub fn ask_upload(&self, state: &State, user: UserRef, len: u64, len_of: LenOf<'_>) -> Result<(), Refusal> {
        let ask = |lists: ListLooks<'_>| quota::ask_upload(state, user, len, &self.quotas(), lists);
        self.by_lists(state, len_of, Some(user), &ask)
    }

    /// Whether all lists of pieces together may take this many bytes.
    ///
    /// # Errors
    /// `InstallationFull`.
    pub fn ask_bytes(&self, used: u64) -> Result<(), Refusal> {
        let (quota, max) = (Quota::AllBytes, self.quotas().of(Quota::AllBytes));
        let over = OverQuota { quota, other: None, used, max, wait: Duration::ZERO };
        self.counted(if used <= max { Ok(()) } else { Err(over) })
    }

    /// Counts bytes of lists of pieces that a user brings.
    ///
    /// # Errors
    /// `SlowDown`.
    pub fn take_bytes(&self, user: UserRef, bytes: u64) -> Result<(), Refusal> {
        self.take_of_hour(Quota::Brought, bytes, user, |hours| &mut hours.brought)
    }

    /// Counts an account that an address makes.
    ///
    /// # Errors
    /// `SlowDown`.
    pub fn take_account(&self, ip: IpAddr) -> Result<(), Refusal> {
        self.take_of_hour(Quota::Accounts, 1, network_of(ip), |hours| &mut hours.accounts)?;
        // A refused network takes nothing from its site.
        site_of(ip).map_or(Ok(()), |site| self.take_of_hour(Quota::Accounts, 1, site, |hours| &mut hours.site_accounts))
    }

    /// An account was not made after all.
    pub fn give_back_account(&self, ip: IpAddr) {
        let mut hours = self.hours.lock();
        hours.accounts.give_back(&network_of(ip));
        if let Some(site) = site_of(ip) {
            hours.site_accounts.give_back(&site);
        }
    }

    /// Counts a password check for an address.
    ///
    /// # Errors
    /// `SlowDown`.
    pub fn take_check(&self, ip: IpAddr) -> Result<(), Refusal> {
        self.take_of_hour(Quota::Checks, 1, network_of(ip), |hours| &mut hours.checks)?;
        // A refused network takes nothing from its site.
        site_of(ip).map_or(Ok(()), |site| self.take_of_hour(Quota::Checks, 1, site, |hours| &mut hours.site_checks))
    }

    /// A password was not checked after all.
    pub fn give_back_check(&self, ip: IpAddr) {
        let mut hours = self.hours.lock();
        hours.checks.give_back(&network_of(ip));
        if let Some(site) = site_of(ip) {
            hours.site_checks.give_back(&site);
        }
    }

    /// How many bytes of lists of pieces a user has brought in this hour.
    pub fn brought_by(&self, user: UserRef) -> u64 {
        self.hours.lock().brought.taken(&user, Instant::now())
    }

    /// How many changes of a user count in this hour.
    pub fn changes_of(&self, user: UserRef) -> u64 {
        self.hours.lock().changes.taken(&user, Instant::now())
    }

    /// How many requests of a user to join groups count in this hour.
    pub fn asked_by(&self, user: UserRef) -> u64 {
        self.hours.lock().asked.taken(&user, Instant::now())
    }

    /// How many users an owner has added to groups in this hour.
    pub fn added_by(&self, user: UserRef) -> u64 {
        self.hours.lock().added.taken(&user, Instant::now())
    }

    /// The address that made most accounts in this hour, and how many.
    pub fn most_accounts(&self) -> Option<(IpAddr, u64)> {
        self.hours.lock().accounts.most_taken(Instant::now())
    }

    /// The address with most password checks in this hour, and how many.
    pub fn most_checks(&self) -> Option<(IpAddr, u64)> {
        self.hours.lock().checks.most_taken(Instant::now())
    }

    /// The present amount and the limit of what all users have together.
    pub fn all(&self, state: &State, bytes: u64) -> [(Quota, u64, u64); 4] {
        let quotas = self.quotas();
        let used = [
            (Quota::Users, state.user_count() as u64),
            (Quota::Groups, state.group_count() as u64),
            (Quota::AllShares, state.share_count() as u64),
            (Quota::AllBytes, bytes),
        ];
        used.map(|(quota, used)| (quota, used, quotas.of(quota)))
    }

    fn take_of_hour<K: Hash + Eq + Clone>(
        &self,
        quota: Quota,
        count: u64,
        key: K,
        bucket: impl FnOnce(&mut Hours) -> &mut Buckets<K>,
    ) -> Result<(), Refusal> {
        self.of_hour(quota, |hours, now| {
            let bucket = bucket(hours);
            let wait = bucket.wait(&key, count, now);
            if wait.is_zero() {
                bucket.take_many(&key, count, now);
            }
            wait
        })
    }

    /// Refuses what must wait until more is allowed.
    fn of_hour(&self, quota: Quota, wait: impl FnOnce(&mut Hours, Instant) -> Duration) -> Result<(), Refusal> {
        let max = self.quotas().of(quota);
        let wait = match max {
            Quotas::UNLIMITED => return Ok(()),
            0 => HOUR,
            _ => wait(&mut self.hours.lock(), Instant::now()),
        };
        self.counted(if wait.is_zero() { Ok(()) } else { Err(OverQuota::until(quota, max, wait)) })
    }

    fn counted(&self, asked: Result<(), OverQuota>) -> Result<(), Refusal> {
        asked.map_err(|over| {
            self.refused[over.quota as usize].fetch_add(1, Ordering::Relaxed);
            Refusal::from(&over)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_of_many_networks_makes_ten_times_as_many_accounts_as_one_of_them() {
        let mut quotas = Quotas::NONE;
        [Quota::Accounts, Quota::Checks].iter().for_each(|quota| quotas.set(*quota, 3));
        let limits = Limits::new(LimitSettings { quotas, accounts: Accounts::Open });
        let at = |site: u16, network: u16| IpAddr::from([0x2001, 0xdb8, site, network, 0, 0, 0, 1]);
        let count = |take: &dyn Fn(IpAddr) -> Result<(), Refusal>, site| {
            (0..400).filter(|network| take(at(site, *network)).is_ok()).count()
        };
        for take in [&|ip| limits.take_account(ip) as Result<(), Refusal>, &|ip| limits.take_check(ip)]
            as [&dyn Fn(IpAddr) -> Result<(), Refusal>; 2]
        {
            assert_eq!((count(take, 1), count(take, 2)), (30, 30));
            let v4 = |last| IpAddr::from([192, 0, 2, last]);
            assert!((0..200).all(|last| take(v4(last)).is_ok()), "IPv4 has no sites");
        }
        limits.give_back_account(at(1, 399));
        assert!(limits.take_account(at(1, 399)).is_ok() && limits.take_account(at(1, 399)).is_err());
        limits.give_back_check(at(1, 399));
        assert!(limits.take_check(at(1, 399)).is_ok());
    }
}
