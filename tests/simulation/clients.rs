//! Random commands. Most of them are possible where they are issued. They use few names, which both sides of a
//! partition give away.

use super::told::Made;
use groupshare::client::picker::split_mix::SplitMix;
use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::{CommandId, GroupRef, OpId, SessionId, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::op::PasswordHash;
use groupshare::model::op::group_access::GroupAccess;
use groupshare::model::piece::{Layout, PIECE_LEN};
use groupshare::tracker::ledger::accept::Change;
use groupshare::tracker::state::{AccountStanding, Membership, ShareInfo, State};

pub(crate) const USERS: [&str; 4] = ["ann", "ben", "cat", "dan"];
const GROUPS: [&str; 2] = ["lab", "hub"];
const FILES: [&str; 2] = ["f", "g"];

/// A command of a client.
pub(crate) struct Command {
    pub id: CommandId,
    pub change: Change,
    /// The ops that a tracker has named to a client as the result of this command.
    pub acknowledged: Vec<OpId>,
}

/// The random numbers of a run.
pub(crate) struct Dice(pub SplitMix);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, among: &[T]) -> Option<T> {
        (!among.is_empty()).then(|| among[self.below(among.len())].clone())
    }

    pub(crate) fn word(&mut self, among: &[&'static str]) -> &'static str {
        among[self.below(among.len())]
    }
}

/// One of these files, or one that may not exist.
fn file_name(dice: &mut Dice, files: &[ShareInfo]) -> FileName {
    let known = dice.pick(files).filter(|_| dice.percent(60)).map(|file| file.name);
    known.unwrap_or_else(|| FileName::parse(dice.word(&FILES)).expect("a name"))
}

/// Mostly that joining needs an owner's consent.
fn access(dice: &mut Dice) -> GroupAccess {
    let [open, ask, closed] = GroupAccess::ALL;
    dice.pick(&[open, ask, ask, ask, closed]).expect("there are some")
}

/// A change for a user who sees this state. `n` is its number.
pub(crate) fn change(dice: &mut Dice, state: &State, made: &Made, n: usize) -> Change {
    let password = PasswordHash(format!("password {n}").into());
    let active = |user: &UserRef| state.account(*user).is_some_and(|row| row.standing == AccountStanding::Active);
    let users: Vec<UserRef> = made.users.iter().copied().filter(active).collect();
    let few = users.len() < 4 || made.groups.is_empty();
    let kind = match dice.below(100) {
        0..30 if few => dice.below(4),
        0..15 => dice.below(37),
        _ => 4 + dice.below(33),
    };
    let (Some(user), 2..) = (dice.pick(&users), kind) else {
        return Change::CreateUser { name: UserId::parse(dice.word(&USERS)).expect("a name"), password };
    };
    let groups: Vec<GroupRef> = made.groups.iter().copied().filter(|&group| state.owner(group).is_some()).collect();
    // Most decisions are about users with a request.
    let asked: Vec<GroupRef> = groups.iter().copied().filter(|&group| state.waiting(group).next().is_some()).collect();
    let asked = dice.pick(&asked).filter(|_| (8..15).contains(&kind));
    let (Some(group), 2 | 4..) = (asked.or_else(|| dice.pick(&groups)), kind) else {
        return Change::CreateGroup { user, group: GroupId::parse(dice.word(&GROUPS)).expect("a name") };
    };
    let name = state.group_name(group).expect("it exists");
    let among = |dice: &mut Dice, some: Vec<UserRef>| dice.pick(&some).filter(|_| dice.percent(95)).unwrap_or(user);
    let mut named = |some: Vec<UserRef>| {
        let user = among(dice, some);
        state.account(user).expect("it exists").name
    };
    let waiting = named(state.waiting(group).collect());
    let waiting_user = state.user_named(&waiting).expect("it has this name");
    let target = named(state.members(group).collect());
    let (other_owner, outer) = (named(state.owners(group).collect()), named(users.clone()));
    let owner = among(dice, state.owners(group).collect());
    let member = among(dice, state.members(group).collect());
    let outside = |user: &UserRef| state.membership(group, *user) == Membership::Stranger;
    let outsider = among(dice, users.iter().copied().filter(outside).collect());
    let leaver = state.owner(group).filter(|_| state.member_count(group) > 2).unwrap_or(member);
    let file = file_name(dice, &state.files_after(group, None, usize::MAX));
    let sharers = state.share_named(group, &file).map(|info| state.sharers(info.share).collect());
    let sharer = among(dice, sharers.unwrap_or_default());
    let author = state.share_named(group, &file).and_then(|info| state.author(info.share));
    let giver = author.filter(|&author| dice.percent(20) && active(&author)).unwrap_or(member);
    match kind {
        // The tracker names the password that the user has proved.
        2 => Change::ChangePassword { user, former: user.0, password },
        4..8 => Change::JoinGroup { user: outsider, group: name },
        8..13 => Change::AcceptRequest { user: owner, group: name, target: waiting },
        13..15 => Change::RejectRequest { user: owner, group: name, target: waiting },
        15 => Change::LeaveGroup { user: waiting_user, group: name },
        16..18 => Change::LeaveGroup { user: leaver, group: name },
        18..20 => Change::RemoveMember { user: owner, group: name, target },
        20..25 => Change::Share { user: giver, group: name, name: file, content: content(dice.below(3)) },
        25..28 => Change::StopShare { user: sharer, group: name, name: file },
        31 => Change::MakeOwner { user: owner, group: name, target },
        32 => Change::DropOwner { user: owner, group: name, target: other_owner },
        33 | 34 => Change::AddMember { user: owner, group: name, target: outer },
        35 => Change::SetGroup { user: owner, group: name, access: access(dice) },
        36 => Change::SetAdding { user, allowed: dice.percent(70) },
        // From a few, so that both sides may end the same one.
        30 => Change::EndSession { user, session: SessionId([dice.below(20) as u8; 16]), through_s: n as u64 },
        _ => match state.notices(user, usize::MAX).last() {
            Some(&(through, _)) => Change::ReadNotices { user, through, shown: None },
            None => Change::LeaveGroup { user, group: name },
        },
    }
}

/// One of two contents; the third is the second one without its size.
fn content(n: usize) -> Content {
    let (size, kind, file_count) = [(0, 0, 1), (1, 1, 1), (u64::from(PIECE_LEN), 1, 0)][n];
    let (sha1, info_hash) = (Sha1Digest([kind; 20]), InfoHash([n as u8; 32]));
    Content { layout: Layout::new(size).expect("small"), sha1, info_hash, file_count }
}
