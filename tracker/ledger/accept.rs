//! Acceptance: decides whether a user may make a change, and makes the op for it. Only here names are resolved to ids.
//! Pure.

use crate::model::id::{GroupRef, OpId, OpOrder, SessionId, UserRef};
use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::notice::UnplacedChange;
use crate::model::op::group_access::GroupAccess;
use crate::model::op::{OpBody, PasswordHash};
use crate::tracker::state::{Account, AccountStanding, CommandOwner, Membership, ShareInfo, State};
use crate::wire::refusal::{Code, Refusal};

/// A change that a client asks for. `user` is the one who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Make an account. Refusals: `ReservedName`, `MisleadingName`, `UserExists`.
    CreateUser {
        /// The name asked for.
        name: UserId,
        password: PasswordHash,
    },
    /// Refusals: `SessionEnded` if the password has changed since the user proved it.
    ChangePassword {
        user: UserRef,
        /// The op that set the password which the user proved.
        former: OpId,
        password: PasswordHash,
    },
    /// Make a group. Refusals: `ReservedName`, `MisleadingName`, `GroupExists`.
    CreateGroup {
        user: UserRef,
        /// The name asked for.
        group: GroupId,
    },
    /// Ask to join. Refusals: `NoSuchGroup`, `AlreadyMember`, `RequestPending`, `GroupClosed`.
    JoinGroup { user: UserRef, group: GroupId },
    /// Leave a group, or withdraw the request to join. Refusals: `NoSuchGroup`, `NotMember`.
    LeaveGroup { user: UserRef, group: GroupId },
    /// Let a user in. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`, `NoSuchUser`, `AlreadyMember`,
    /// `NoSuchRequest`.
    AcceptRequest { user: UserRef, group: GroupId, target: UserId },
    /// Turn a request down. Refusals: as for `AcceptRequest`.
    RejectRequest { user: UserRef, group: GroupId, target: UserId },
    /// Remove a member. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`, `NoSuchUser`, `RemoveSelf`,
    /// `TargetNotMember`, `FounderStays`.
    RemoveMember { user: UserRef, group: GroupId, target: UserId },
    /// Make a member one more owner. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`, `NoSuchUser`,
    /// `TargetNotMember`, `AlreadyOwner`.
    MakeOwner { user: UserRef, group: GroupId, target: UserId },
    /// Make an owner a plain member. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`, `NoSuchUser`,
    /// `TargetNotOwner`, `FounderStays`, `LastOwner`.
    DropOwner { user: UserRef, group: GroupId, target: UserId },
    /// Make a user a member. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`, `NoSuchUser`, `AlreadyMember`,
    /// `AddingForbidden`.
    AddMember { user: UserRef, group: GroupId, target: UserId },
    /// Set who may join. Refusals: `NoSuchGroup`, `NotMember`, `NotOwner`.
    SetGroup { user: UserRef, group: GroupId, access: GroupAccess },
    /// Let owners add the user to groups, or not.
    SetAdding { user: UserRef, allowed: bool },
    /// Share content under a name. Refusals: `NoSuchGroup`, `NotMember`, `FileExists`, `ReservedName`.
    Share { user: UserRef, group: GroupId, name: FileName, content: Content },
    /// Stop sharing. Refusals: `NoSuchGroup`, `NotMember`, `NoSuchFile`, `NotSharing`.
    StopShare { user: UserRef, group: GroupId, name: FileName },
    /// Take note that the user has seen notices.
    ReadNotices {
        user: UserRef,
        /// The place of the last one.
        through: OpOrder,
        /// The digest of the notices as the user has seen them. An op that came late since may have changed them.
        shown: Option<[u8; 32]>,
    },
    /// Log out of a session: its tokens are void.
    EndSession {
        user: UserRef,
        session: SessionId,
        /// The time after which none of its tokens was made, in seconds since 1970.
        through_s: u64,
    },
    /// Tell a user of a change that could not be placed. This tracker makes it, with a command id that follows from
    /// the change.
    NoteUnplaced { user: UserRef, change: UnplacedChange },
}

/// The result of accepting a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// This op makes it.
    Op(OpBody),
    /// Everything is already as the user wants it.
    Already,
}

/// Decides on a change in this state. If the user may not log in here, refuses every change with `SessionEnded`.
pub fn accept(state: &State, change: &Change) -> Result<Acceptance, Refusal> {
    if let Some(user) = change.user() {
        let account = state.account(user).filter(|account| may_change(account, change));
        account.ok_or(Code::SessionEnded)?;
    }
    let body = match change {
        Change::CreateUser { name, password } => {
            let (name, password) = create_user(state, name, password)?;
            OpBody::CreateUser { name, password }
        }
        Change::ChangePassword { user, former, password } => {
            OpBody::ChangePassword { user: *user, former: *former, password: password.clone() }
        }
        Change::CreateGroup { user, group } => create_group(state, *user, group)?,
        Change::JoinGroup { user, group } => join_group(state, *user, group)?,
        Change::LeaveGroup { user, group } => leave_group(state, *user, group)?,
        Change::AcceptRequest { user, group, target } => {
            let (group, target) = decide(state, *user, group, target)?;
            OpBody::AcceptRequest { group, user: target, by: *user }
        }
        Change::RejectRequest { user, group, target } => {
            let (group, target) = decide(state, *user, group, target)?;
            OpBody::RejectRequest { group, user: target, by: *user }
        }
        Change::RemoveMember { user, group, target } => remove_member(state, *user, group, target)?,
        Change::MakeOwner { user, group, target } => make_owner(state, *user, group, target)?,
        Change::DropOwner { user, group, target } => drop_owner(state, *user, group, target)?,
        Change::AddMember { user, group, target } => add_member(state, *user, group, target)?,
        Change::SetGroup { user, group, access } => {
            let group = find_led_group(state, *user, group)?;
            if state.access(group) == Some(*access) {
                return Ok(Acceptance::Already);
            }
            OpBody::SetGroup { group, access: *access, by: *user }
        }
        Change::SetAdding { user, allowed } => match state.forbids_adding(*user) != *allowed {
            true => return Ok(Acceptance::Already),
            false => OpBody::SetAdding { user: *user, allowed: *allowed },
        },
        Change::Share { user, group, name, content } => match share(state, *user, group, name, content)? {
            Acceptance::Op(body) => body,
            Acceptance::Already => return Ok(Acceptance::Already),
        },
        Change::StopShare { user, group, name } => stop_share(state, *user, group, name)?,
        Change::ReadNotices { user, through, shown } => match (shown, state.notices_digest(*user, *through)) {
            (Some(shown), Some(_)) => OpBody::ReadNotices { user: *user, through: *through, shown: *shown },
            _ => return Ok(Acceptance::Already),
        },
        Change::EndSession { user, session, through_s } => match state.has_ended(*user, *session) {
            true => return Ok(Acceptance::Already),
            false => OpBody::EndSession { user: *user, session: *session, through_s: *through_s },
        },
        Change::NoteUnplaced { user, change } => OpBody::NoteUnplaced { user: *user, change: change.clone() },
    };
    must_have_number(state, &body)?;
    Ok(Acceptance::Op(body))
}

/// Whether the standing of an account allows this change. A tracker's report is always allowed: the deletion may lose
/// its place.
fn may_change(account: &Account, change: &Change) -> bool {
    match change {
        Change::NoteUnplaced { .. } => true,
        Change::ChangePassword { former, .. } if account.password_op != *former => false,
        _ => account.standing == AccountStanding::Active,
    }
}

/// Refuses to make an entity if no number is left for it.
pub(super) fn must_have_number(state: &State, body: &OpBody) -> Result<(), Refusal> {
    let makes = matches!(
        body,
        OpBody::CreateUser { .. } | OpBody::MakeUser { .. } | OpBody::CreateGroup { .. } | OpBody::CreateShare { .. }
    );
    if makes && !state.has_numbers() { Err(Code::UsedUp.into()) } else { Ok(()) }
}

impl Change {
    /// The owner of the command that makes it.
    pub fn owner(&self) -> CommandOwner<'_> {
        match self {
            Change::CreateUser { name, .. } => CommandOwner::NewUser(name),
            Change::ChangePassword { user, .. }
            | Change::CreateGroup { user, .. }
            | Change::JoinGroup { user, .. }
            | Change::LeaveGroup { user, .. }
            | Change::AcceptRequest { user, .. }
            | Change::RejectRequest { user, .. }
            | Change::RemoveMember { user, .. }
            | Change::MakeOwner { user, .. }
            | Change::DropOwner { user, .. }
            | Change::AddMember { user, .. }
            | Change::SetGroup { user, .. }
            | Change::SetAdding { user, .. }
            | Change::Share { user, .. }
            | Change::StopShare { user, .. }
            | Change::ReadNotices { user, .. }
            | Change::EndSession { user, .. }
            | Change::NoteUnplaced { user, .. } => CommandOwner::User(*user),
        }
    }

    /// The user who makes it. `None` where an account is made, since no user is logged in.
    pub fn user(&self) -> Option<UserRef> {
        match self.owner() {
            CommandOwner::User(user) => Some(user),
            CommandOwner::NewUser(_) => None,
        }
    }
}

/// The group of this name.
pub fn find_group(state: &State, name: &GroupId) -> Result<GroupRef, Refusal> {
    state.group_named(name).ok_or_else(|| Refusal::about(Code::NoSuchGroup, name))
}

/// The group of this name, for its members only.
pub fn find_own_group(state: &State, user: UserRef, name: &GroupId) -> Result<GroupRef, Refusal> {
    let group = find_group(state, name)?;
    if state.is_member(group, user) { Ok(group) } else { Err(Refusal::about(Code::NotMember, name)) }
}

/// The group of this name, for its owners only.
pub fn find_led_group(state: &State, user: UserRef, name: &GroupId) -> Result<GroupRef, Refusal> {
    let group = find_own_group(state, user, name)?;
    match state.membership(group, user) {
        Membership::Owner => Ok(group),
        _ => Err(Refusal::about(Code::NotOwner, name)),
    }
}

/// The share with this name, for members of the group only.
pub fn find_share(state: &State, user: UserRef, group: &GroupId, name: &FileName) -> Result<ShareInfo, Refusal> {
    let group = find_own_group(state, user, group)?;
    state.share_named(group, name).ok_or_else(|| Refusal::about(Code::NoSuchFile, name))
}

pub(super) fn find_user(state: &State, name: &UserId) -> Result<UserRef, Refusal> {
    state.user_named(name).ok_or_else(|| Refusal::about(Code::NoSuchUser, name))
}

/// The name and password of a new account.
pub(super) fn create_user(
    state: &State,
    name: &UserId,
    password: &PasswordHash,
) -> Result<(UserId, PasswordHash), Refusal> {
    ask_user_name(state, name)?;
    Ok((name.clone(), password.clone()))
}

/// Whether a new account may have this name.
///
/// # Errors
/// `ReservedName`, `MisleadingName`, `UserExists`.
pub fn ask_user_name(state: &State, name: &UserId) -> Result<(), Refusal> {
    if !name.is_chosen() {
        return Err(Refusal::about(Code::ReservedName, name));
    }
    if !name.is_plain() {
        return Err(Refusal::about(Code::MisleadingName, name));
    }
    if state.is_user_name_taken(name) {
        return Err(Refusal::about(Code::UserExists, name));
    }
    Ok(())
}

fn create_group(state: &State, user: UserRef, name: &GroupId) -> Result<OpBody, Refusal> {
    if !name.is_chosen() {
        return Err(Refusal::about(Code::ReservedName, name));
    }
    if !name.is_plain() {
        return Err(Refusal::about(Code::MisleadingName, name));
    }
    if state.group_named(name).is_some() {
        return Err(Refusal::about(Code::GroupExists, name));
    }
    Ok(OpBody::CreateGroup { name: name.clone(), founder: user })
}

fn join_group(state: &State, user: UserRef, name: &GroupId) -> Result<OpBody, Refusal> {
    let group = find_group(state, name)?;
    match state.membership(group, user) {
        Membership::Member | Membership::Owner => Err(Refusal::about(Code::AlreadyMember, name)),
        Membership::Waiting => Err(Refusal::about(Code::RequestPending, name)),
        Membership::Stranger if state.access(group) == Some(GroupAccess::Closed) => {
            Err(Refusal::about(Code::GroupClosed, name))
        }
        Membership::Stranger => Ok(OpBody::RequestJoin { group, user }),
    }
}

fn leave_group(state: &State, user: UserRef, name: &GroupId) -> Result<OpBody, Refusal> {
    let group = find_group(state, name)?;
    match state.membership(group, user) {
        Membership::Stranger => Err(Refusal::about(Code::NotMember, name)),
        Membership::Waiting | Membership::Member | Membership::Owner => Ok(OpBody::LeaveGroup { group, user }),
    }
}

/// The group and the user of the request to decide on.
fn decide(state: &State, user: UserRef, group: &GroupId, target: &UserId) -> Result<(GroupRef, UserRef), Refusal> {
    let group = find_led_group(state, user, group)?;
    let found = find_user(state, target)?;
    match state.membership(group, found) {
        Membership::Waiting => Ok((group, found)),
        Membership::Stranger => Err(Refusal::about(Code::NoSuchRequest, target)),
        Membership::Member | Membership::Owner => Err(Refusal::about(Code::AlreadyMember, target)),
    }
}

fn remove_member(state: &State, user: UserRef, group: &GroupId, target: &UserId) -> Result<OpBody, Refusal> {
    let group = find_led_group(state, user, group)?;
    let found = find_user(state, target)?;
    match state.membership(group, found) {
        _ if found == user => Err(Code::RemoveSelf.into()),
        Membership::Member | Membership::Owner if state.founder(group) == Some(found) => {
            Err(Refusal::about(Code::FounderStays, target))
        }
        Membership::Member | Membership::Owner => Ok(OpBody::RemoveMember { group, user: found, by: user }),
        Membership::Stranger | Membership::Waiting => Err(Refusal::about(Code::TargetNotMember, target)),
    }
}

fn make_owner(state: &State, user: UserRef, group: &GroupId, target: &UserId) -> Result<OpBody, Refusal> {
    let group = find_led_group(state, user, group)?;
    let found = find_user(state, target)?;
    match state.membership(group, found) {
        Membership::Owner => Err(Refusal::about(Code::AlreadyOwner, target)),
        Membership::Member => Ok(OpBody::MakeOwner { group, user: found, by: user }),
        Membership::Stranger | Membership::Waiting => Err(Refusal::about(Code::TargetNotMember, target)),
    }
}

fn drop_owner(state: &State, user: UserRef, group: &GroupId, target: &UserId) -> Result<OpBody, Refusal> {
    let group = find_led_group(state, user, group)?;
    let found = find_user(state, target)?;
    match state.membership(group, found) {
        Membership::Owner if state.owners(group).nth(1).is_none() => Err(Code::LastOwner.into()),
        Membership::Owner if found != user && state.founder(group) == Some(found) => {
            Err(Refusal::about(Code::FounderStays, target))
        }
        Membership::Owner => Ok(OpBody::DropOwner { group, user: found, by: user }),
        _ => Err(Refusal::about(Code::TargetNotOwner, target)),
    }
}

fn add_member(state: &State, user: UserRef, group: &GroupId, target: &UserId) -> Result<OpBody, Refusal> {
    let group = find_led_group(state, user, group)?;
    let found = find_user(state, target)?;
    match state.membership(group, found) {
        Membership::Member | Membership::Owner => Err(Refusal::about(Code::AlreadyMember, target)),
        _ if state.forbids_adding(found) => Err(Refusal::about(Code::AddingForbidden, target)),
        Membership::Stranger | Membership::Waiting => Ok(OpBody::AddMember { group, user: found, by: user }),
    }
}

fn share(
    state: &State,
    user: UserRef,
    group: &GroupId,
    name: &FileName,
    content: &Content,
) -> Result<Acceptance, Refusal> {
    let group = find_own_group(state, user, group)?;
    let create = |replaces| OpBody::CreateShare { group, user, name: name.clone(), content: *content, replaces };
    let body = match state.share_named(group, name) {
        // A name with a suffix belongs to a share that was renamed. Users can join and renew that share, but cannot
        // choose the name.
        None if !name.is_chosen() => return Err(Refusal::about(Code::ReservedName, name)),
        None => create(None),
        Some(present) => {
            let own = state.is_sharer(present.share, user);
            let tells_size = content.is_sized() && !present.content.is_sized();
            match (present.content.is_same(content), own) {
                // The fold joins it to the present share, which takes the size from it.
                (true, _) if tells_size => create(None),
                (true, true) => return Ok(Acceptance::Already),
                (true, false) => OpBody::JoinShare { share: present.share, user },
                (false, true) if present.sharer_count == 1 => create(Some(present.share)),
                (false, _) if state.author(present.share) == Some(user) => create(Some(present.share)),
                (false, _) => return Err(Refusal::about(Code::FileExists, name)),
            }
        }
    };
    Ok(Acceptance::Op(body))
}

fn stop_share(state: &State, user: UserRef, group: &GroupId, name: &FileName) -> Result<OpBody, Refusal> {
    let share = find_share(state, user, group, name)?.share;
    if !state.is_sharer(share, user) {
        return Err(Refusal::about(Code::NotSharing, name));
    }
    Ok(OpBody::LeaveShare { share, user })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, OpId, Origin, ShareRef};
    use crate::model::name::tests::{file, group, user};
    use crate::model::notice::{ChangeKind, Notice};
    use crate::model::op::Op;
    use crate::model::piece::{Layout, PIECE_LEN};
    use crate::tracker::state::tests::content;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const ORIGIN: Origin = Origin { tracker: 1, incarnation: 1 };

    fn password() -> PasswordHash {
        PasswordHash("p".into())
    }

    #[test]
    fn an_entity_without_a_number_left_is_refused_and_all_else_goes_on() {
        let mut state = State::new();
        let create = |name| Change::CreateUser { name: user(name), password: password() };
        run(&mut state, create("alice"));
        let alice = state.user_named(&user("alice")).expect("she was made");
        run(&mut state, Change::CreateGroup { user: alice, group: group("lab") });
        state.use_up_numbers();
        let share = Change::Share { user: alice, group: group("lab"), name: file("f"), content: content(1) };
        for change in [create("bob"), Change::CreateGroup { user: alice, group: group("hub") }, share] {
            assert_eq!(accept(&state, &change), Err(Code::UsedUp.into()), "{change:?}");
        }
        // An op that another tracker has accepted meanwhile does no harm.
        fold(&mut state, OpBody::CreateGroup { name: group("hub"), founder: alice });
        run(&mut state, Change::ChangePassword { user: alice, former: alice.0, password: password() });
        run(&mut state, Change::LeaveGroup { user: alice, group: group("lab") });
    }

    fn fold(state: &mut State, body: OpBody) -> Op {
        let id = OpId { origin: ORIGIN, seq: state.seen(ORIGIN) + 1 };
        let command = CommandId(u128::from(id.seq).to_be_bytes());
        let op = Op { id, lamport: state.lamport() + 1, command, body };
        state.apply(&op);
        op
    }

    fn run(state: &mut State, change: Change) -> Op {
        match accept(state, &change) {
            Ok(Acceptance::Op(body)) => fold(state, body),
            other => panic!("{change:?}: {other:?}"),
        }
    }

    /// Alice founded `lab`, bob is a member and shares `f`, carol waits, and dave has nothing to do with it. Bob and
    /// alice also shared different content under one name. Alice's became `f~2`, and she is its only sharer.
    fn lab() -> (State, impl Fn(&str) -> UserRef) {
        let mut state = State::new();
        let state_mut = &mut state;
        let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"]
            .map(|name| UserRef(run(state_mut, Change::CreateUser { name: user(name), password: password() }).id));
        let lab = GroupRef(run(state_mut, Change::CreateGroup { user: alice, group: group("lab") }).id);
        run(state_mut, Change::JoinGroup { user: bob, group: group("lab") });
        run(state_mut, Change::AcceptRequest { user: alice, group: group("lab"), target: user("bob") });
        run(state_mut, Change::JoinGroup { user: carol, group: group("lab") });
        run(state_mut, Change::Share { user: bob, group: group("lab"), name: file("f"), content: content(1) });
        let name = file("f");
        fold(state_mut, OpBody::CreateShare { group: lab, user: alice, name, content: content(2), replaces: None });
        (state, move |name: &str| match name {
            "alice" => alice,
            "bob" => bob,
            "carol" => carol,
            "dave" => dave,
            _ => panic!("nobody is called {name}"),
        })
    }

    /// A change, and the reason for its refusal.
    type Refused = (Change, Code, &'static str);

    fn refused_to_anyone(of: &impl Fn(&str) -> UserRef) -> Vec<Refused> {
        let create_user = |name| Change::CreateUser { name: user(name), password: password() };
        let create_group = |name, group_id| Change::CreateGroup { user: of(name), group: group(group_id) };
        let join = |name, group_id| Change::JoinGroup { user: of(name), group: group(group_id) };
        let leave = |name, group_id| Change::LeaveGroup { user: of(name), group: group(group_id) };
        let nobody = UserRef(OpId { origin: ORIGIN, seq: 999 });
        let change_password = |user: UserRef, former| Change::ChangePassword { user, former, password: password() };
        vec![
            (change_password(of("alice"), nobody.0), Code::SessionEnded, ""),
            (change_password(nobody, nobody.0), Code::SessionEnded, ""),
            (Change::CreateGroup { user: nobody, group: group("lab") }, Code::SessionEnded, ""),
            (create_user("alice"), Code::UserExists, "alice"),
            (create_user("new~2"), Code::ReservedName, "new~2"),
            (create_user("alice~2"), Code::ReservedName, "alice~2"),
            (create_user("al\u{456}ce"), Code::MisleadingName, "al\u{456}ce"),
            (create_group("dave", "lab"), Code::GroupExists, "lab"),
            (create_group("dave", "lab~2"), Code::ReservedName, "lab~2"),
            (create_group("dave", "lab\u{200b}"), Code::MisleadingName, "lab\u{200b}"),
            (join("dave", "x"), Code::NoSuchGroup, "x"),
            (join("bob", "lab"), Code::AlreadyMember, "lab"),
            (join("alice", "lab"), Code::AlreadyMember, "lab"),
            (join("carol", "lab"), Code::RequestPending, "lab"),
            (leave("dave", "x"), Code::NoSuchGroup, "x"),
            (leave("dave", "lab"), Code::NotMember, "lab"),
        ]
    }

    fn refused_to_owners(of: &impl Fn(&str) -> UserRef) -> Vec<Refused> {
        let admit = |name, group_id, target| {
            let (user, group, target) = (of(name), group(group_id), user(target));
            Change::AcceptRequest { user, group, target }
        };
        let reject = |name, group_id, target| {
            let (user, group, target) = (of(name), group(group_id), user(target));
            Change::RejectRequest { user, group, target }
        };
        let remove = |name, group_id, target| {
            let (user, group, target) = (of(name), group(group_id), user(target));
            Change::RemoveMember { user, group, target }
        };
        vec![
            (admit("dave", "x", "nobody"), Code::NoSuchGroup, "x"),
            (admit("dave", "lab", "nobody"), Code::NotMember, "lab"),
            (admit("carol", "lab", "carol"), Code::NotMember, "lab"),
            (admit("bob", "lab", "nobody"), Code::NotOwner, "lab"),
            (admit("alice", "lab", "nobody"), Code::NoSuchUser, "nobody"),
            (admit("alice", "lab", "dave"), Code::NoSuchRequest, "dave"),
            (admit("alice", "lab", "bob"), Code::AlreadyMember, "bob"),
            (reject("dave", "x", "carol"), Code::NoSuchGroup, "x"),
            (reject("dave", "lab", "carol"), Code::NotMember, "lab"),
            (reject("bob", "lab", "carol"), Code::NotOwner, "lab"),
            (reject("alice", "lab", "nobody"), Code::NoSuchUser, "nobody"),
            (reject("alice", "lab", "dave"), Code::NoSuchRequest, "dave"),
            (remove("dave", "x", "bob"), Code::NoSuchGroup, "x"),
            (remove("carol", "lab", "bob"), Code::NotMember, "lab"),
            (remove("bob", "lab", "alice"), Code::NotOwner, "lab"),
            (remove("alice", "lab", "nobody"), Code::NoSuchUser, "nobody"),
            (remove("alice", "lab", "alice"), Code::RemoveSelf, ""),
            (remove("alice", "lab", "carol"), Code::TargetNotMember, "carol"),
            (remove("alice", "lab", "dave"), Code::TargetNotMember, "dave"),
        ]
    }

    fn refused_to_sharers(of: &impl Fn(&str) -> UserRef) -> Vec<Refused> {
        let share = |name, group_id, of_name, n| {
            let (user, group, name) = (of(name), group(group_id), file(of_name));
            Change::Share { user, group, name, content: content(n) }
        };
        let stop = |name, group_id, of_name| {
            let (user, group, name) = (of(name), group(group_id), file(of_name));
            Change::StopShare { user, group, name }
        };
        vec![
            (share("dave", "x", "f", 1), Code::NoSuchGroup, "x"),
            (share("dave", "lab", "f", 1), Code::NotMember, "lab"),
            (share("carol", "lab", "new", 1), Code::NotMember, "lab"),
            (share("alice", "lab", "f", 9), Code::FileExists, "f"),
            (share("bob", "lab", "f~2", 9), Code::FileExists, "f~2"),
            (share("bob", "lab", "f~3", 9), Code::ReservedName, "f~3"),
            (stop("dave", "x", "f"), Code::NoSuchGroup, "x"),
            (stop("dave", "lab", "f"), Code::NotMember, "lab"),
            (stop("bob", "lab", "x"), Code::NoSuchFile, "x"),
            (stop("alice", "lab", "f"), Code::NotSharing, "f"),
        ]
    }

    #[test]
    fn every_refusal_names_its_reason_and_the_first_reason_counts() {
        let (state, of) = lab();
        let refused = [refused_to_anyone(&of), refused_to_owners(&of), refused_to_sharers(&of)];
        for (change, code, about) in refused.into_iter().flatten() {
            let refusal = accept(&state, &change).expect_err(&format!("{change:?}"));
            assert_eq!((refusal.code, refusal.about.as_str()), (code, about), "{change:?}");
        }
    }

    #[test]
    fn a_user_whom_the_operator_keeps_out_changes_nothing_but_is_told_of_lost_changes() {
        let (mut state, of) = lab();
        let [alice, bob] = ["alice", "bob"].map(&of);
        fold(&mut state, OpBody::DisableUser { user: alice });
        fold(&mut state, OpBody::DeleteUser { user: bob });
        let change = UnplacedChange { kind: ChangeKind::LeaveGroup, group: None, file: None };
        let note = |user| Change::NoteUnplaced { user, change: change.clone() };
        for user in [alice, bob] {
            let leave = Change::LeaveGroup { user, group: group("lab") };
            assert_eq!(accept(&state, &leave), Err(Code::SessionEnded.into()));
            assert!(matches!(accept(&state, &note(user)), Ok(Acceptance::Op(OpBody::NoteUnplaced { .. }))));
        }
        let taken = Change::CreateUser { name: user("bob"), password: password() };
        assert_eq!(accept(&state, &taken), Err(Refusal::about(Code::UserExists, "bob")), "the name stays taken");
        let remove = Change::RemoveMember { user: of("carol"), group: group("lab"), target: user("bob") };
        assert_eq!(accept(&state, &remove), Err(Refusal::about(Code::NotMember, "lab")));
    }

    #[test]
    fn sharing_what_one_shares_already_needs_no_op() {
        let (state, of) = lab();
        let again = Change::Share { user: of("bob"), group: group("lab"), name: file("f"), content: content(1) };
        assert_eq!(accept(&state, &again), Ok(Acceptance::Already));
    }

    #[test]
    fn the_same_content_under_the_taken_name_joins_the_share() {
        let (state, of) = lab();
        let lab = state.group_named(&group("lab")).expect("exists");
        for (name, who, n) in [("f", "alice", 1), ("f~2", "bob", 2)] {
            let share = state.share_named(lab, &file(name)).expect("exists").share;
            let user = of(who);
            let change = Change::Share { user, group: group("lab"), name: file(name), content: content(n) };
            assert_eq!(accept(&state, &change), Ok(Acceptance::Op(OpBody::JoinShare { share, user })));
        }
    }

    #[test]
    fn a_sharer_of_the_same_file_may_tell_its_size() {
        let (mut state, of) = lab();
        let lab = state.group_named(&group("lab")).expect("exists");
        let share = |who: &str, name: &str, content| Change::Share {
            user: of(who),
            group: group("lab"),
            name: file(name),
            content,
        };
        let unsized_one =
            |n| Content { layout: Layout::new(u64::from(PIECE_LEN)).expect("one"), file_count: 0, ..content(n) };
        let known = state.share_named(lab, &file("f")).expect("exists").share;
        let join = |who: &str| Acceptance::Op(OpBody::JoinShare { share: known, user: of(who) });
        assert_eq!(accept(&state, &share("alice", "f", unsized_one(1))), Ok(join("alice")));
        assert_eq!(accept(&state, &share("bob", "f", unsized_one(1))), Ok(Acceptance::Already));
        let refusal = accept(&state, &share("alice", "f", unsized_one(2))).expect_err("another file");
        assert_eq!(refusal.code, Code::FileExists);
        run(&mut state, share("bob", "g", unsized_one(5)));
        for who in ["bob", "alice"] {
            let Ok(Acceptance::Op(op)) = accept(&state, &share(who, "g", content(5))) else { panic!("taken") };
            assert!(matches!(op, OpBody::CreateShare { replaces: None, .. }));
        }
        run(&mut state, share("alice", "g", content(5)));
        let g = state.share_named(lab, &file("g")).expect("one share");
        assert_eq!((g.content, g.sharer_count), (content(5), 2));
    }

    #[test]
    fn the_only_sharer_may_bring_a_new_version_even_of_a_renamed_share() {
        let (mut state, of) = lab();
        let lab = state.group_named(&group("lab")).expect("exists");
        for (name, who) in [("f", "bob"), ("f~2", "alice")] {
            let old = state.share_named(lab, &file(name)).expect("exists").share;
            let change = Change::Share { user: of(who), group: group("lab"), name: file(name), content: content(9) };
            let new = ShareRef(run(&mut state, change).id);
            let present = state.share_named(lab, &file(name)).expect("exists");
            assert_eq!((present.share, present.content, present.sharer_count), (new, content(9), 1));
            assert_eq!(state.share(old).expect("is kept").sharer_count, 0);
        }
    }

    /// A random change that names existing entities.
    fn change(state: &State, (kind, a, b, c): (u8, u8, u8, u8)) -> Option<Change> {
        let names = ["u", "v", "w", "x"];
        let pick = |n: u8| names[usize::from(n) % names.len()];
        let (name, target) = (user(pick(a)), user(pick(c)));
        let (group, file) = (group(pick(b)), file(["f", "g", "f~2"][usize::from(c) % 3]));
        let user = state.user_named(&name);
        Some(match kind % 19 {
            0 | 1 => Change::CreateUser { name, password: password() },
            2 => {
                let former = state.account(user?)?.password_op;
                Change::ChangePassword { user: user?, former, password: PasswordHash(format!("p{c}").into()) }
            }
            3 => Change::CreateGroup { user: user?, group },
            4 | 5 => Change::JoinGroup { user: user?, group },
            6 | 7 => Change::AcceptRequest { user: user?, group, target },
            8 => Change::RejectRequest { user: user?, group, target },
            9 => Change::RemoveMember { user: user?, group, target },
            10 => Change::LeaveGroup { user: user?, group },
            14 => Change::MakeOwner { user: user?, group, target },
            15 => Change::DropOwner { user: user?, group, target },
            16 => Change::AddMember { user: user?, group, target },
            17 => Change::SetGroup { user: user?, group, access: GroupAccess::ALL[usize::from(c) % 3] },
            18 => Change::SetAdding { user: user?, allowed: c % 3 != 0 },
            11 | 12 => Change::Share { user: user?, group, name: file, content: content(c % 2) },
            _ if c % 8 == 7 => {
                Change::EndSession { user: user?, session: SessionId([b % 8; 16]), through_s: u64::from(b) }
            }
            _ if c % 2 == 0 => Change::StopShare { user: user?, group, name: file },
            _ => {
                let (through, _) = state.notices(user?, 9).pop()?;
                Change::ReadNotices { user: user?, through, shown: state.notices_digest(user?, through) }
            }
        })
    }

    /// Whether a change has exactly the effect that was asked for.
    fn has_effect(before: &State, after: &State, op: &Op, change: &Change) -> bool {
        let group = |name: &GroupId| after.group_named(name).or(before.group_named(name));
        let membership = |name: &GroupId, user| group(name).map(|group| after.membership(group, user));
        let target = |name: &UserId| after.user_named(name).expect("a target exists");
        match change {
            Change::CreateUser { name, .. } => after.user_named(name) == Some(UserRef(op.id)),
            Change::ChangePassword { user, password, .. } => {
                let set = |a: Account| a.password == *password && a.password_op == op.id && a.sessions_since == op.id;
                after.account(*user).is_some_and(set)
            }
            Change::CreateGroup { user, group } => {
                after.group_named(group) == Some(GroupRef(op.id)) && after.owner(GroupRef(op.id)) == Some(*user)
            }
            Change::JoinGroup { user, group: name } => {
                let open = group(name).and_then(|group| after.access(group)) == Some(GroupAccess::Open);
                membership(name, *user) == Some(if open { Membership::Member } else { Membership::Waiting })
            }
            Change::LeaveGroup { user, group } => membership(group, *user) == Some(Membership::Stranger),
            Change::AcceptRequest { group, target: name, .. } => {
                membership(group, target(name)) == Some(Membership::Member)
            }
            Change::RejectRequest { group, target: name, .. } | Change::RemoveMember { group, target: name, .. } => {
                membership(group, target(name)) == Some(Membership::Stranger)
            }
            Change::MakeOwner { group, target: name, .. } => membership(group, target(name)) == Some(Membership::Owner),
            Change::DropOwner { group, target: name, .. } | Change::AddMember { group, target: name, .. } => {
                membership(group, target(name)) == Some(Membership::Member)
            }
            Change::SetGroup { group: name, access, .. } => {
                group(name).and_then(|group| after.access(group)) == Some(*access)
            }
            Change::SetAdding { user, allowed } => after.forbids_adding(*user) != *allowed,
            Change::Share { user, group: name, name: of, content } => {
                let share = group(name).and_then(|group| after.share_named(group, of));
                share.is_some_and(|share| share.content == *content && after.is_sharer(share.share, *user))
            }
            Change::StopShare { user, group: name, name: of } => {
                let share = group(name).and_then(|group| before.share_named(group, of)).expect("was shared");
                !after.is_sharer(share.share, *user)
            }
            Change::ReadNotices { user, through, .. } => after.notices_digest(*user, *through).is_none(),
            Change::EndSession { user, session, .. } => after.has_ended(*user, *session),
            Change::NoteUnplaced { user, change } => {
                let told = Notice::Unplaced { change: change.clone() };
                after.notices(*user, usize::MAX).iter().any(|(_, notice)| *notice == told)
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// Acceptance and the fold agree. In the state in which it was accepted, an op has its plain effect. Its
        /// author is told of no override, and every invariant holds.
        #[test]
        fn an_accepted_change_has_its_plain_effect(dice in vec(any::<(u8, u8, u8, u8)>(), 0..150)) {
            let mut state = State::new();
            for dice in dice {
                let Some(change) = change(&state, dice) else { continue };
                let Ok(Acceptance::Op(body)) = accept(&state, &change) else { continue };
                let before = state.clone();
                let op = fold(&mut state, body);
                state.check();
                prop_assert!(has_effect(&before, &state, &op, &change), "{:?}", change);
                let author = change.user().unwrap_or(UserRef(op.id));
                let of_op = state.notices(author, usize::MAX).into_iter().filter(|(at, _)| *at == op.order());
                for (_, notice) in of_op {
                    let plain = matches!(notice, Notice::Rejected { .. } | Notice::Accepted { .. });
                    prop_assert!(plain, "{:?}: {:?}", change, notice);
                }
            }
        }
    }
}
