//! The two sides of each row: what each does and sees, how they meet again, and what their users hear.

use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::{CommandId, GroupRef, OpId, OpOrder, Origin, SessionId, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::notice::{ChangeKind, Notice};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::piece::{Layout, PIECE_LEN};
use groupshare::tracker::ledger::accept::{Acceptance, Change, accept};
use groupshare::tracker::ledger::operator::{OperatorChange, accept_operator};
use groupshare::tracker::state::State;
use groupshare::wire::refusal::Code;
use std::collections::BTreeMap;

/// A tracker that knows these ops.
pub(super) struct Side {
    pub origin: Origin,
    pub ops: BTreeMap<OpOrder, Op>,
    pub state: State,
    /// Makes unique command ids.
    pub commands: u64,
}

pub(super) fn user(name: &str) -> UserId {
    UserId::parse(name).expect(name)
}

pub(super) fn session_id(number: u16) -> SessionId {
    SessionId(u128::from(number).to_be_bytes())
}

pub(super) fn group(name: &str) -> GroupId {
    GroupId::parse(name).expect(name)
}

pub(super) fn file(name: &str) -> FileName {
    FileName::parse(name).expect(name)
}

pub(super) fn content(n: u8) -> Content {
    Content {
        layout: Layout::new(u64::from(n)).expect("small"),
        sha1: Sha1Digest([n; 20]),
        info_hash: InfoHash([n; 32]),
        file_count: 1,
    }
}

/// The same file without its size.
pub(super) fn unmeasured(n: u8) -> Content {
    let layout = Layout::new(u64::from(PIECE_LEN)).expect("one piece");
    Content { layout, info_hash: InfoHash([100 + n; 32]), file_count: 0, ..content(n) }
}

pub(super) fn password(text: &str) -> PasswordHash {
    PasswordHash(text.into())
}

pub(super) fn nothing() -> OpId {
    OpId { origin: Origin { tracker: 99, incarnation: 99 }, seq: 99 }
}

impl Side {
    pub(super) fn new(tracker: u16) -> Self {
        let origin = Origin { tracker, incarnation: 7 };
        Self { origin, ops: BTreeMap::new(), state: State::new(), commands: 0 }
    }

    pub(super) fn add(&mut self, command: CommandId, body: OpBody) -> Op {
        let id = OpId { origin: self.origin, seq: self.state.seen(self.origin) + 1 };
        let op = Op { id, lamport: self.state.lamport() + 1, command, body };
        self.state.apply(&op);
        self.ops.insert(op.order(), op.clone());
        op
    }

    pub(super) fn forget(&mut self, tracker: u16) -> Op {
        self.add(CommandId::NONE, OpBody::ForgetTracker { tracker })
    }

    pub(super) fn unforget(&mut self, tracker: u16) -> Op {
        self.add(CommandId::NONE, OpBody::UnforgetTracker { tracker })
    }

    pub(super) fn command(&mut self) -> CommandId {
        self.commands += 1;
        CommandId((u128::from(self.origin.tracker) << 64 | u128::from(self.commands)).to_be_bytes())
    }

    pub(super) fn try_run(&mut self, change: Change) -> Result<Option<Op>, Code> {
        let command = self.command();
        match accept(&self.state, &change).map_err(|refusal| refusal.code)? {
            Acceptance::Op(body) => Ok(Some(self.add(command, body))),
            Acceptance::Already => Ok(None),
        }
    }

    pub(super) fn run(&mut self, change: Change) -> Op {
        self.try_run(change).expect("is accepted").expect("needs an op")
    }

    /// The operator of this side changes an account or a group.
    pub(super) fn operate(&mut self, change: OperatorChange) -> Op {
        let command = self.command();
        match accept_operator(&self.state, &change).expect("is accepted") {
            Acceptance::Op(body) => self.add(command, body),
            Acceptance::Already => panic!("{change:?} needs no op"),
        }
    }

    pub(super) fn reset(&mut self, name: &str, to: &str) -> OpId {
        self.operate(OperatorChange::ResetPassword { user: user(name), password: password(to) }).id
    }

    pub(super) fn disable(&mut self, name: &str) -> OpId {
        self.operate(OperatorChange::DisableUser { user: user(name) }).id
    }

    pub(super) fn enable(&mut self, name: &str) -> OpId {
        self.operate(OperatorChange::EnableUser { user: user(name) }).id
    }

    pub(super) fn delete(&mut self, name: &str) -> OpId {
        self.operate(OperatorChange::DeleteUser { user: user(name) }).id
    }

    pub(super) fn give(&mut self, lab: &str, name: &str) {
        self.operate(OperatorChange::GiveGroup { group: group(lab), user: user(name) });
    }

    pub(super) fn delete_group(&mut self, lab: &str) {
        self.operate(OperatorChange::DeleteGroup { group: group(lab) });
    }

    /// Lets time pass. Then the next op of this side comes later in the order than the present op of the other.
    pub(super) fn pause(&mut self) {
        for _ in 0..10 {
            let command = self.command();
            self.add(command, OpBody::LeaveShare { share: ShareRef(nothing()), user: UserRef(nothing()) });
        }
    }

    pub(super) fn of(&self, name: &str) -> UserRef {
        self.state.user_named(&user(name)).expect(name)
    }

    pub(super) fn group(&self, name: &str) -> GroupRef {
        self.state.group_named(&group(name)).expect(name)
    }

    pub(super) fn create_user(&mut self, name: &str) -> UserRef {
        UserRef(self.run(Change::CreateUser { name: user(name), password: password(name) }).id)
    }

    pub(super) fn change_password(&mut self, name: &str, to: &str) -> OpId {
        let user = self.of(name);
        let former = self.state.account(user).expect("exists").password_op;
        self.run(Change::ChangePassword { user, former, password: password(to) }).id
    }

    pub(super) fn log_out(&mut self, name: &str, session: u16, through_s: u64) -> OpId {
        let (user, session) = (self.of(name), session_id(session));
        self.run(Change::EndSession { user, session, through_s }).id
    }

    pub(super) fn create_group(&mut self, name: &str, lab: &str) -> GroupRef {
        GroupRef(self.run(Change::CreateGroup { user: self.of(name), group: group(lab) }).id)
    }

    pub(super) fn ask(&mut self, name: &str, lab: &str) {
        self.run(Change::JoinGroup { user: self.of(name), group: group(lab) });
    }

    pub(super) fn admit(&mut self, by: &str, lab: &str, name: &str) {
        self.run(Change::AcceptRequest { user: self.of(by), group: group(lab), target: user(name) });
    }

    pub(super) fn reject(&mut self, by: &str, lab: &str, name: &str) {
        self.run(Change::RejectRequest { user: self.of(by), group: group(lab), target: user(name) });
    }

    pub(super) fn leave(&mut self, name: &str, lab: &str) {
        self.run(Change::LeaveGroup { user: self.of(name), group: group(lab) });
    }

    pub(super) fn remove(&mut self, by: &str, lab: &str, name: &str) {
        self.run(Change::RemoveMember { user: self.of(by), group: group(lab), target: user(name) });
    }

    pub(super) fn share(&mut self, name: &str, lab: &str, of: &str, n: u8) -> ShareRef {
        self.share_content(name, lab, of, content(n))
    }

    pub(super) fn share_content(&mut self, name: &str, lab: &str, of: &str, content: Content) -> ShareRef {
        let change = Change::Share { user: self.of(name), group: group(lab), name: file(of), content };
        ShareRef(self.run(change).id)
    }

    pub(super) fn stop(&mut self, name: &str, lab: &str, of: &str) {
        self.run(Change::StopShare { user: self.of(name), group: group(lab), name: file(of) });
    }

    pub(super) fn members(&self, lab: &str) -> Vec<String> {
        let rows = self.state.members_after(self.group(lab), None, 99);
        rows.into_iter().map(|row| row.name.to_string()).collect()
    }

    pub(super) fn owner(&self, lab: &str) -> String {
        let owner = self.state.owner(self.group(lab)).expect("a visible group has an owner");
        self.state.account(owner).expect("exists").name.to_string()
    }

    pub(super) fn waiting(&self, lab: &str) -> Vec<String> {
        let rows = self.state.requests_after(self.group(lab), None, 99);
        rows.into_iter().map(|(_, name)| name.to_string()).collect()
    }

    /// The shares of a group: name, content and sharers.
    pub(super) fn files(&self, lab: &str) -> Vec<(String, u8, Vec<String>)> {
        let name = |user| self.state.account(user).expect("exists").name.to_string();
        let rows = self.state.files_after(self.group(lab), None, 99).into_iter();
        rows.map(|row| {
            let sharers = self.state.sharers(row.share).map(name).collect();
            (row.name.to_string(), row.content.info_hash.0[0], sharers)
        })
        .collect()
    }

    /// Notes that a user has seen the notices up to a place.
    pub(super) fn read(&mut self, name: &str, through: OpOrder) -> Option<Op> {
        let user = self.of(name);
        let shown = self.state.notices_digest(user, through);
        self.try_run(Change::ReadNotices { user, through, shown }).expect("is accepted")
    }

    pub(super) fn notices(&self, user: UserRef) -> Vec<Notice> {
        self.state.notices(user, 99).into_iter().map(|(_, notice)| notice).collect()
    }

    pub(super) fn chain(&self, group: GroupRef) -> [u8; 32] {
        self.state.chain(group).expect("exists")
    }

    /// Makes the state of this side the base of a floor, twice. So everything hidden is dropped.
    pub(super) fn drop_hidden(&mut self) {
        let lamport = self.state.lamport();
        self.state.prune(lamport);
        self.state.prune(lamport);
    }

    /// Everybody leaves the group `lab`.
    pub(super) fn empty_lab(&mut self) {
        for name in ["bob", "carol", "alice"] {
            self.leave(name, "lab");
        }
    }
}

/// Each side learns the ops of the other.
pub(super) fn heal(a: &mut Side, b: &mut Side) {
    let mut all = a.ops.clone();
    all.extend(b.ops.clone());
    for side in [a, b] {
        side.ops = all.clone();
        side.state = State::new();
        all.values().for_each(|op| side.state.apply(op));
    }
}

/// Two sides that know alice, bob, carol and dave, and the group `lab`, which alice founded and bob and carol joined.
pub(super) fn lab() -> (Side, Side) {
    let (mut a, mut b) = (Side::new(1), Side::new(2));
    for name in ["alice", "bob", "carol", "dave"] {
        a.create_user(name);
    }
    a.create_group("alice", "lab");
    for name in ["bob", "carol"] {
        a.ask(name, "lab");
        a.admit("alice", "lab", name);
        let (through, _) = a.state.notices(a.of(name), 9)[0];
        a.read(name, through).expect("there is one");
    }
    heal(&mut a, &mut b);
    (a, b)
}

/// The same, and dave has asked to join.
pub(super) fn lab_with_request() -> (Side, Side) {
    let (mut a, mut b) = lab();
    a.ask("dave", "lab");
    heal(&mut a, &mut b);
    (a, b)
}

pub(super) fn shared(name: &str, n: u8, sharers: &[&str]) -> (String, u8, Vec<String>) {
    (name.to_owned(), n, sharers.iter().map(|&name| name.to_owned()).collect())
}

pub(super) fn accepted(name: &str) -> Notice {
    Notice::Accepted { group: group(name) }
}

pub(super) fn rejected(name: &str) -> Notice {
    Notice::Rejected { group: group(name) }
}

pub(super) fn removed(name: &str) -> Notice {
    Notice::Removed { group: group(name) }
}

pub(super) fn overridden(name: &str) -> Notice {
    Notice::DecisionOverridden { group: group("lab"), user: user(name) }
}

pub(super) fn renamed_group(from: &str, to: &str) -> Notice {
    Notice::GroupRenamed { from: group(from), to: group(to) }
}

pub(super) fn renamed_share(from: &str, to: &str) -> Notice {
    Notice::ShareRenamed { group: group("lab"), from: file(from), to: file(to) }
}

/// The notice about the file `f`.
pub(super) fn new_version(author: &str) -> Notice {
    Notice::NewVersion { group: group("lab"), name: file("f"), author: user(author) }
}

pub(super) fn overridden_share(name: &str) -> Notice {
    Notice::ShareOverridden { group: group("lab"), name: file(name) }
}

pub(super) fn given(name: &str) -> Notice {
    Notice::GroupGiven { group: group(name) }
}

pub(super) fn taken(name: &str, to: &str) -> Notice {
    Notice::GroupTaken { group: group(name), to: user(to) }
}

pub(super) fn deleted(name: &str) -> Notice {
    Notice::GroupDeleted { group: group(name) }
}

/// The notice about a change of nothing, or of the file `f`.
pub(super) fn ground_gone(kind: ChangeKind) -> Notice {
    Notice::GroundGone { kind, file: (kind == ChangeKind::CreateShare).then(|| file("f")) }
}

pub(super) const NONE: [Notice; 0] = [];
pub(super) const NOBODY: [&str; 0] = [];
