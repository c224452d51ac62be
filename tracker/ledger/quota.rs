//! Quotas: how much one user, one address and all together may have. A tracker checks them when it accepts a change of
//! a client, and never for ops that another tracker has accepted. Pure.

use crate::model::digest::InfoHash;
use crate::model::id::{GroupRef, UserRef};
use crate::model::manifest::Content;
use crate::model::op::OpBody;
use crate::model::units;
use crate::tracker::state::{ShareInfo, State};
use crate::wire::manifest::MANIFEST_LEN_MAX;
use crate::wire::refusal::{Code, Refusal};
use std::fmt;
use std::time::Duration;

/// What a quota applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// What one user has.
    User,
    /// What one group has.
    Group,
    /// What one user does in an hour.
    UserInAnHour,
    /// What one address does in an hour.
    AddressInAnHour,
    /// What all users have together.
    All,
}

/// One line of the table of quotas.
#[derive(Debug)]
pub struct QuotaInfo {
    /// Its name for `--limit` and `limits`.
    pub name: &'static str,
    pub whose: Whose,
    /// The limit unless an operator sets another.
    pub default: u64,
    /// What is counted.
    pub what: &'static str,
}

macro_rules! quotas {
    ($($quota:ident $name:literal $whose:ident $default:expr, $what:literal)*) => {
        /// A quota.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Quota {
            $(#[doc = $what] $quota,)*
        }

        /// Every quota with its line, in the order in which `limits` lists them.
        pub const QUOTAS: &[(Quota, QuotaInfo)] = &[
            $((
                Quota::$quota,
                QuotaInfo { name: $name, whose: Whose::$whose, default: $default, what: $what },
            ),)*
        ];
    };
}

quotas! {
    GroupsOwned "groups_owned" User 256, "groups that a user owns"
    Memberships "memberships" User 1024, "groups that a user is a member of by the user's own choice"
    AddedTo "added_to" User 256, "groups that owners have added a user to, and the user has shared nothing in"
    AddedByOne "added_by_one" User 32, "groups that one owner has added a user to, and the user has shared nothing in"
    Requests "requests" User 256, "groups that a user waits to be let into"
    Waiting "waiting" Group 10_000, "users who wait to be let into a group"
    Owners "owners" Group 100, "owners of a group"
    Added "added" UserInAnHour 512, "users that an owner adds to groups in an hour"
    Asked "asked" UserInAnHour 512, "requests to be let into groups that a user makes in an hour"
    Shares "shares" User 10_000, "files and folders that a user shares"
    ManifestBytes "manifest_bytes" User 1 << 30, "bytes of the lists of pieces of what a user shares"
    Brought "brought" UserInAnHour 2 << 30, "bytes of lists of pieces that a user brings in an hour"
    Changes "changes" UserInAnHour 20_000, "changes that a user makes in an hour"
    Accounts "accounts" AddressInAnHour 1000, "accounts made from an address in an hour"
    Checks "checks" AddressInAnHour 10_000, "passwords checked for an address in an hour"
    Users "users" All 200_000, "accounts"
    Groups "groups" All 100_000, "groups"
    AllShares "all_shares" All 2_000_000, "files and folders that are shared"
    AllBytes "all_bytes" All 32 << 30, "bytes of all lists of pieces"
}

/// How many quotas there are.
pub const QUOTA_COUNT: usize = QUOTAS.len();

impl Quota {
    /// The line of the table.
    pub fn info(self) -> &'static QuotaInfo {
        &QUOTAS[self as usize].1
    }

    /// The quota of this name.
    pub fn find(name: &str) -> Option<Self> {
        QUOTAS.iter().find(|(_, info)| info.name == name).map(|(quota, _)| *quota)
    }

    /// An amount of what is counted, in words.
    pub fn amount(self, amount: u64) -> String {
        match (amount, self) {
            (Quotas::UNLIMITED, _) => "none".to_owned(),
            (_, Quota::ManifestBytes | Quota::Brought | Quota::AllBytes) => units::size(amount),
            _ => amount.to_string(),
        }
    }
}

/// The limit of each quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas([u64; QUOTA_COUNT]);

impl Default for Quotas {
    fn default() -> Self {
        let mut quotas = Self::NONE;
        QUOTAS.iter().for_each(|(quota, info)| quotas.set(*quota, info.default));
        quotas
    }
}

/// Why a text sets no quota. The words have no capital and no full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaError {
    /// There is no `=` in it.
    NoValue,
    NoSuchQuota,
    /// The text after the `=` is no amount.
    NoAmount,
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValue => f.write_str("is not NAME=VALUE, such as shares=20000"),
            Self::NoSuchQuota => {
                let names: Vec<&str> = QUOTAS.iter().map(|(_, info)| info.name).collect();
                write!(f, "names no limit; there are {}", names.join(", "))
            }
            Self::NoAmount => f.write_str("has no number such as 500, 20K or 2G behind the =, or none"),
        }
    }
}

impl std::error::Error for QuotaError {}

impl Quotas {
    /// The amount that means no limit.
    pub const UNLIMITED: u64 = u64::MAX;
    /// No limit at all.
    pub const NONE: Self = Self([Self::UNLIMITED; QUOTA_COUNT]);

    /// The limit of a quota.
    pub fn of(&self, quota: Quota) -> u64 {
        self.0[quota as usize]
    }

    pub fn set(&mut self, quota: Quota, max: u64) {
        self.0[quota as usize] = max;
    }

    /// Sets a quota from a text such as `shares=20000`. Units are powers of 1000, and `none` lifts a limit.
    ///
    /// # Errors
    /// The text sets no quota.
    pub fn set_from(&mut self, text: &str) -> Result<(), QuotaError> {
        let (name, value) = text.split_once('=').ok_or(QuotaError::NoValue)?;
        let quota = Quota::find(name).ok_or(QuotaError::NoSuchQuota)?;
        self.set(quota, amount(value).ok_or(QuotaError::NoAmount)?);
        Ok(())
    }
}

fn amount(text: &str) -> Option<u64> {
    if text == "none" {
        return Some(Quotas::UNLIMITED);
    }
    let units = [('K', 1000), ('M', 1_000_000), ('G', 1_000_000_000), ('T', 1_000_000_000_000)];
    let unit = units.into_iter().find(|(sign, _)| text.to_ascii_uppercase().ends_with(*sign));
    let (number, unit) = unit.map_or((text, 1), |(_, unit)| (&text[..text.len() - 1], unit));
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse::<u64>().ok()?.checked_mul(unit)).flatten()
}

/// A refusal by a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverQuota {
    pub quota: Quota,
    /// The user whose quota it is. `None` if that is the user who asks.
    pub other: Option<String>,
    /// The present amount. For bytes: the amount that the change would lead to.
    pub used: u64,
    pub max: u64,
    /// For an hourly quota: the time until one more is possible.
    pub wait: Duration,
}

impl OverQuota {
    /// The refusal of an hourly quota, which allows more after this time.
    pub fn until(quota: Quota, max: u64, wait: Duration) -> Self {
        Self { quota, other: None, used: max, max, wait }
    }

    fn code(&self) -> Code {
        match self.quota.info().whose {
            // The time passes, and clients try again.
            _ if !self.wait.is_zero() => Code::SlowDown,
            Whose::All => Code::InstallationFull,
            _ => Code::QuotaReached,
        }
    }
}

/// Says which limit it is, and how to get below it.
impl fmt::Display for OverQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (used, max) = (self.quota.amount(self.used), self.quota.amount(self.max));
        if !self.wait.is_zero() {
            let what = match self.quota {
                Quota::Accounts => "accounts an hour from this address",
                Quota::Checks => "passwords an hour from this address",
                Quota::Brought => "of lists of pieces an hour",
                Quota::Asked => "requests to join an hour",
                Quota::Added => "users added to groups an hour",
                _ => "changes an hour",
            };
            return write!(f, "{max} {what}; the next one in {}", units::duration(self.wait));
        }
        match (self.quota, self.other.as_deref()) {
            (Quota::GroupsOwned, _) => write!(f, "you own {used} groups of {max}; leave one"),
            (Quota::Memberships, None) => write!(f, "you are in {used} groups of {max}; leave one"),
            (Quota::Memberships, Some(name)) => {
                write!(f, "{name} is in {used} groups of {max}; ask {name} to leave one")
            }
            (Quota::AddedTo, Some(name)) => {
                write!(
                    f,
                    "{name} was added to {used} groups of {max} and shares in none; {name} can ask with join_group"
                )
            }
            (Quota::AddedByOne, Some(name)) => {
                write!(
                    f,
                    "you added {name} to {used} groups of {max}, and {name} shares in none; {name} can ask with \
                     join_group"
                )
            }
            (Quota::Requests, _) => write!(f, "you wait for {used} groups of {max}; withdraw one with leave_group"),
            (Quota::Owners, _) => write!(f, "this group has {used} owners of {max}; drop one with drop_owner"),
            (Quota::Waiting, _) => write!(f, "{used} users of {max} wait for this group; ask its owner to decide"),
            (Quota::Shares, _) => write!(f, "you share {used} files of {max}; stop sharing some"),
            (Quota::ManifestBytes, _) => {
                write!(f, "the lists of pieces of your shares would take {used} of {max}; stop sharing some")
            }
            (Quota::AllShares, _) => write!(f, "{used} files of {max} are shared"),
            (Quota::AllBytes, _) => write!(f, "all lists of pieces would take {used} of {max}"),
            (quota, _) => write!(f, "{used} {} of {max}", quota.info().name),
        }?;
        f.write_str(match self.quota.info().whose {
            Whose::All => "; ask the operator",
            _ => ", or ask the operator",
        })
    }
}

impl From<&OverQuota> for Refusal {
    fn from(over: &OverQuota) -> Self {
        Refusal::about(over.code(), over)
    }
}

/// Returns the length of the list of pieces with this info hash; 0 if it is not here.
pub type LenOf<'a> = &'a dyn Fn(InfoHash) -> u64;

/// How quotas look up lengths of lists of pieces.
#[derive(Clone, Copy)]
pub struct ListLooks<'a> {
    pub len_of: LenOf<'a>,
    /// How long the lists of a user's shares are together.
    pub taken_by: &'a dyn Fn(UserRef) -> u64,
    /// How long the longest of these lists is.
    pub longest_of: &'a dyn Fn(UserRef) -> u64,
}

/// Checks whether there is room for what an op of a client makes. The hourly quotas are counted elsewhere.
///
/// # Errors
/// The op would exceed this quota.
pub fn ask(state: &State, body: &OpBody, quotas: &Quotas, lists: ListLooks<'_>) -> Result<(), OverQuota> {
    let asked = Asked { state, quotas, lists };
    match body {
        OpBody::CreateUser { .. } => ask_account(state, quotas),
        OpBody::CreateGroup { founder, .. } => {
            asked.room(Quota::Groups, || state.group_count())?;
            asked.chosen(*founder)?;
            asked.room(Quota::GroupsOwned, || state.chosen_owned_count(*founder))
        }
        OpBody::RequestJoin { group, user } => {
            asked.chosen(*user)?;
            asked.room(Quota::Waiting, || state.waiting_count(*group))?;
            asked.requests(*user)
        }
        OpBody::MakeOwner { group, .. } => asked.room(Quota::Owners, || state.owners(*group).count()),
        OpBody::AddMember { group, user, by } if !state.is_waiting(*group, *user) => asked.of_other(*user, || {
            asked.room(Quota::AddedTo, || state.added_count(*user))?;
            asked.room(Quota::AddedByOne, || state.added_by_count(*user, *by))
        }),
        OpBody::AcceptRequest { user, .. } | OpBody::AddMember { user, .. } => {
            asked.of_other(*user, || asked.chosen(*user))
        }
        OpBody::CreateShare { group, user, name, content, .. } => {
            asked.stay(*group, *user)?;
            let present = state.share_named(*group, name);
            if present.is_none() {
                asked.room(Quota::AllShares, || state.share_count())?;
            }
            asked.share(*user, content, present)
        }
        OpBody::JoinShare { share, user } => match state.share(*share) {
            Some(present) => {
                asked.stay(present.group, *user)?;
                asked.share(*user, &present.content.clone(), Some(present))
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Checks whether there is room for another account.
///
/// # Errors
/// It would exceed `users`.
pub fn ask_account(state: &State, quotas: &Quotas) -> Result<(), OverQuota> {
    let lists = ListLooks { len_of: &|_| 0, taken_by: &|_| 0, longest_of: &|_| 0 };
    Asked { state, quotas, lists }.room(Quota::Users, || state.user_count())
}

/// Checks whether a user may bring a list of pieces of this length, for a share that may replace another one.
///
/// # Errors
/// It would exceed `manifest_bytes` whichever share it replaces.
pub fn ask_upload(
    state: &State,
    user: UserRef,
    len: u64,
    quotas: &Quotas,
    lists: ListLooks<'_>,
) -> Result<(), OverQuota> {
    Asked { state, quotas, lists }.bytes(user, len, || (lists.longest_of)(user))
}

/// How many bytes the lists of pieces of a user's shares take.
pub fn manifest_bytes(state: &State, user: UserRef, len_of: LenOf<'_>) -> u64 {
    state.shares_of(user).map(|share| len_of(share.content.info_hash)).sum()
}

struct Asked<'a> {
    state: &'a State,
    quotas: &'a Quotas,
    lists: ListLooks<'a>,
}

impl Asked<'_> {
    /// Whether one more has room.
    fn room(&self, quota: Quota, used: impl FnOnce() -> usize) -> Result<(), OverQuota> {
        let max = self.quotas.of(quota);
        if max == Quotas::UNLIMITED {
            return Ok(());
        }
        let used = used() as u64;
        let over = OverQuota { quota, other: None, used, max, wait: Duration::ZERO };
        if used < max { Ok(()) } else { Err(over) }
    }

    /// Whether there is room for another group of the user's own choice.
    fn chosen(&self, user: UserRef) -> Result<(), OverQuota> {
        self.room(Quota::Memberships, || self.state.chosen_count(user))
    }

    /// Whether the user may share in a group. Sharing makes it a group of the user's own choice.
    fn stay(&self, group: GroupRef, user: UserRef) -> Result<(), OverQuota> {
        if self.state.is_added(group, user) { self.chosen(user) } else { Ok(()) }
    }

    /// If another user's quota is exceeded, the refusal has that user's name.
    fn of_other(&self, user: UserRef, ask: impl FnOnce() -> Result<(), OverQuota>) -> Result<(), OverQuota> {
        ask().map_err(|over| {
            let other = self.state.account(user).map(|account| account.name.to_string());
            OverQuota { other, ..over }
        })
    }

    /// Walks the requests only if the user has many. Requests to groups without members do not count: the user cannot
    /// withdraw them.
    fn requests(&self, user: UserRef) -> Result<(), OverQuota> {
        let may_reach = self.state.request_count(user) as u64 >= self.quotas.of(Quota::Requests);
        if may_reach { self.room(Quota::Requests, || self.state.requests_of(user).len()) } else { Ok(()) }
    }

    /// Whether a user may share this content in place of the share that has the name now.
    fn share(&self, user: UserRef, content: &Content, present: Option<ShareInfo>) -> Result<(), OverQuota> {
        let own = present.filter(|present| self.state.is_sharer(present.share, user));
        if own.is_none() {
            self.room(Quota::Shares, || self.state.user_share_count(user))?;
        }
        let freed = own.map_or(0, |own| (self.lists.len_of)(own.content.info_hash));
        self.bytes(user, (self.lists.len_of)(content.info_hash), || freed)
    }

    /// Looks at the lists only if the user has many shares. A list always has room if it replaces a list that is at
    /// least as long: the limit may have been higher before.
    fn bytes(&self, user: UserRef, more: u64, freed: impl FnOnce() -> u64) -> Result<(), OverQuota> {
        let (quota, max) = (Quota::ManifestBytes, self.quotas.of(Quota::ManifestBytes));
        let most = (self.state.user_share_count(user) as u64 + 1).saturating_mul(MANIFEST_LEN_MAX as u64);
        if most <= max {
            return Ok(());
        }
        let freed = freed();
        let used = ((self.lists.taken_by)(user) + more).saturating_sub(freed);
        let over = OverQuota { quota, other: None, used, max, wait: Duration::ZERO };
        if used <= max || (more > 0 && more <= freed) { Ok(()) } else { Err(over) }
    }
}
