//! A state of any size: accounts, groups, members, requests and shares, and a tracker that begins with it.

use crate::common::client::Client;
use crate::common::names::{file, group, user};
use crate::common::tracker::TestTracker;
use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::{CommandId, GroupRef, OpId, Origin, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::piece::{Layout, PIECE_LEN};
use groupshare::tracker::state::State;
use std::sync::LazyLock;

/// A tracker that does not run. All ops are of it.
pub(crate) const ORIGIN: Origin = Origin { tracker: 9, incarnation: 1 };

/// The ops so far, and their fold.
#[derive(Default)]
pub(crate) struct Town {
    pub(crate) state: State,
    seq: u64,
}

impl Town {
    /// The next op, not yet folded.
    pub(crate) fn op(&mut self, body: OpBody) -> Op {
        self.seq += 1;
        let command = CommandId((1 << 100 | u128::from(self.seq)).to_be_bytes());
        Op { id: OpId { origin: ORIGIN, seq: self.seq }, lamport: self.seq, command, body }
    }

    pub(crate) fn add(&mut self, body: OpBody) -> OpId {
        let op = self.op(body);
        self.state.apply(&op);
        op.id
    }

    /// A user who cannot log in.
    pub(crate) fn user(&mut self, name: &str) -> UserRef {
        self.user_with(name, PasswordHash("none".into()))
    }

    /// A user with the usual password.
    pub(crate) fn person(&mut self, name: &str) -> UserRef {
        static PERSON: LazyLock<PasswordHash> = LazyLock::new(|| {
            let tracker = TestTracker::start_with(|_| {});
            tracker.client().create_user("ann");
            let state = tracker.server.core().state();
            state.account_named(&user("ann")).expect("just made").password
        });
        self.user_with(name, PERSON.clone())
    }

    fn user_with(&mut self, name: &str, password: PasswordHash) -> UserRef {
        UserRef(self.add(OpBody::CreateUser { name: user(name), password }))
    }

    pub(crate) fn users(&mut self, count: usize) -> Vec<UserRef> {
        (0..count).map(|n| self.user(&format!("user{n:06}"))).collect()
    }

    pub(crate) fn group(&mut self, name: &str, founder: UserRef) -> GroupRef {
        GroupRef(self.add(OpBody::CreateGroup { name: group(name), founder }))
    }

    pub(crate) fn ask(&mut self, group: GroupRef, user: UserRef) {
        self.add(OpBody::RequestJoin { group, user });
    }

    pub(crate) fn let_in(&mut self, group: GroupRef, user: UserRef, by: UserRef) {
        self.ask(group, user);
        self.add(OpBody::AcceptRequest { group, user, by });
    }

    pub(crate) fn share(&mut self, group: GroupRef, user: UserRef, n: usize, pieces: u32) -> ShareRef {
        let (name, content) = (file(&format!("file{n:06}")), content(n, pieces));
        ShareRef(self.add(OpBody::CreateShare { group, user, name, content, replaces: None }))
    }

    /// A tracker that begins with this state.
    pub(crate) fn tracker(&self) -> TestTracker {
        TestTracker::start_with(|settings| settings.past = self.state.clone().into())
    }
}

pub(crate) fn content(n: usize, pieces: u32) -> Content {
    let mut info_hash = [0; 32];
    info_hash[..8].copy_from_slice(&(n as u64).to_be_bytes());
    let layout = Layout::new(u64::from(pieces) * u64::from(PIECE_LEN)).expect("small enough");
    Content { layout, sha1: Sha1Digest([1; 20]), info_hash: InfoHash(info_hash), file_count: 1 }
}

/// A client of a user of the town.
pub(crate) fn logged_in(tracker: &TestTracker, name: &str) -> Client {
    let mut client = tracker.client();
    client.log_in(name);
    client
}
