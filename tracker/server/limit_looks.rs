//! How near users are to their limits, for the operator.

use crate::model::id::UserRef;
use crate::model::name::GroupId;
use crate::tracker::core::Core;
use crate::tracker::ledger::quota::{QUOTAS, Quota, QuotaInfo, Quotas, Whose, manifest_bytes};
use crate::tracker::oversight::limits::Accounts;
use crate::tracker::state::{Account, GroupInfo, State};
use serde_json::{Map, Value, json};
use std::fmt;

/// How many users are looked at together.
const PAGE: usize = 1000;

/// What all users have together, for `status`.
#[derive(Debug, Clone)]
pub struct LimitStatus {
    /// The used amount and the limit of each.
    all: [(Quota, u64, u64); 4],
    /// How often a limit refused something.
    refused: u64,
    pub(super) accounts: Accounts,
}

impl LimitStatus {
    pub(super) fn of(core: &Core, state: &State) -> Self {
        let limits = &core.oversight.limits;
        Self {
            all: limits.all(state, core.manifests.lens().total()),
            refused: QUOTAS.iter().map(|(quota, _)| limits.refused(*quota)).sum(),
            accounts: limits.accounts(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let all = self.all.iter().map(|(quota, used, max)| (quota.info().name.to_owned(), used_json(*used, *max)));
        let mut json: Map<String, Value> = all.collect();
        json.insert("refused".to_owned(), self.refused.into());
        json.into()
    }
}

impl fmt::Display for LimitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.all.iter().map(|(quota, used, max)| {
            let what = match quota {
                Quota::AllShares => "files",
                Quota::AllBytes => "lists of pieces",
                quota => quota.info().name,
            };
            format!("{what} {} of {}", quota.amount(*used), quota.amount(*max))
        });
        write!(f, "{}; {} refusals", told.collect::<Vec<_>>().join(", "), self.refused)
    }
}

/// No limit is `null`.
fn used_json(used: u64, max: u64) -> Value {
    json!({"used": used, "max": max_json(max)})
}

fn max_json(max: u64) -> Option<u64> {
    (max != Quotas::UNLIMITED).then_some(max)
}

/// How much a user has of each quota that applies to a user.
pub(super) fn used_by(core: &Core, state: &State, user: UserRef) -> Vec<(Quota, u64)> {
    // One user at a time, so that a client that brings a list of pieces does not wait for all users.
    let bytes = core.manifests.lens().look(|len_of| manifest_bytes(state, user, len_of));
    vec![
        (Quota::GroupsOwned, state.chosen_owned_count(user) as u64),
        (Quota::Memberships, state.chosen_count(user) as u64),
        (Quota::AddedTo, state.added_count(user) as u64),
        (Quota::AddedByOne, state.most_added_by_one(user) as u64),
        (Quota::Requests, state.requests_of(user).len() as u64),
        (Quota::Added, core.oversight.limits.added_by(user)),
        (Quota::Asked, core.oversight.limits.asked_by(user)),
        (Quota::Shares, state.user_share_count(user) as u64),
        (Quota::ManifestBytes, bytes),
        (Quota::Brought, core.oversight.limits.brought_by(user)),
        (Quota::Changes, core.oversight.limits.changes_of(user)),
    ]
}

/// As JSON, with the user's limits.
pub(super) fn used_by_json(core: &Core, used: &[(Quota, u64)]) -> Value {
    let quotas = core.oversight.limits.quotas();
    let member = |(quota, used): &(Quota, u64)| (quota.info().name.to_owned(), used_json(*used, quotas.of(*quota)));
    used.iter().map(member).collect::<Map<String, Value>>().into()
}

/// Every limit: its meaning, the largest use by one user, and how often it refused. Looks at all users.
pub(super) fn rows(core: &Core, state: &State) -> Vec<(Vec<String>, Value)> {
    let (limits, most) = (&core.oversight.limits, most_used(core, state));
    let quotas = limits.quotas();
    let row = |(quota, info): &(Quota, QuotaInfo)| {
        let quota = *quota;
        let (max, refused) = (quotas.of(quota), limits.refused(quota));
        let (used, who) =
            most.iter().find(|(of, ..)| *of == quota).map_or((0, None), |(_, used, who)| (*used, who.clone()));
        let (of, whose) = match info.whose {
            Whose::User => ("user", "a user"),
            Whose::Group => ("group", "a group"),
            Whose::UserInAnHour => ("user", "a user in an hour"),
            Whose::AddressInAnHour => ("address", "an address in an hour"),
            Whose::All => ("all", "in all"),
        };
        let told = match &who {
            Some(who) => format!("most used {} ({who})", quota.amount(used)),
            None => format!("used {}", quota.amount(used)),
        };
        let fields =
            vec![info.name.to_owned(), format!("{} {whose}", quota.amount(max)), told, format!("refused {refused}")];
        let json = json!({
            "name": info.name,
            "of": of,
            "hourly": matches!(info.whose, Whose::UserInAnHour | Whose::AddressInAnHour),
            "max": max_json(max),
            "used": used,
            "used_by": who,
            "refused": refused,
        });
        (fields, json)
    };
    QUOTAS.iter().map(row).collect()
}

/// The use of each quota: in all, or the largest by one user or group.
fn most_used(core: &Core, state: &State) -> Vec<(Quota, u64, Option<String>)> {
    let mut most: Vec<(Quota, u64, Option<String>)> = Vec::new();
    let mut after = None;
    loop {
        let page = state.users_after(after.as_ref(), PAGE);
        for Account { user, name, .. } in &page {
            for (quota, used) in used_by(core, state, *user) {
                match most.iter_mut().find(|(of, ..)| *of == quota) {
                    Some(one) if one.1 >= used => {}
                    Some(one) => *one = (quota, used, Some(name.to_string())),
                    None => most.push((quota, used, (used > 0).then(|| name.to_string()))),
                }
            }
        }
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
    }
    most.extend(most_waiting(state));
    let limits = &core.oversight.limits;
    let addresses = [(Quota::Accounts, limits.most_accounts()), (Quota::Checks, limits.most_checks())];
    most.extend(
        addresses.into_iter().filter_map(|(quota, most)| most.map(|(ip, used)| (quota, used, Some(ip.to_string())))),
    );
    most.extend(limits.all(state, core.manifests.lens().total()).map(|(quota, used, _)| (quota, used, None)));
    most
}

/// The largest number of requests to one group.
fn most_waiting(state: &State) -> Option<(Quota, u64, Option<String>)> {
    let (mut most, mut after): (Option<(u64, GroupId)>, Option<GroupId>) = (None, None);
    loop {
        let page = state.groups_all_after(after.as_ref(), PAGE);
        for GroupInfo { group, name, .. } in &page {
            let waiting = state.waiting_count(*group) as u64;
            if waiting > most.as_ref().map_or(0, |(count, _)| *count) {
                most = Some((waiting, name.clone()));
            }
        }
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
    }
    most.map(|(count, name)| (Quota::Waiting, count, Some(name.to_string())))
}
