//! The cost of the tracker's state: time to fold a million mixed ops, memory per user, group and file, and floors.

use crate::kit::options::Options;
use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::{CommandId, GroupRef, OpId, Origin, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::piece::Layout;
use groupshare::sys::thread_time;
use groupshare::tracker::state::State;
use std::time::Duration;

const ORIGIN: Origin = Origin { tracker: 1, incarnation: 0x1234_5678_9abc_def0 };
const USERS: u64 = 100_000;
const GROUPS: u64 = 10_000;
const FILES: u64 = 100_000;
const OPS: u64 = 1_000_000;

/// Issues ops with random command ids.
#[derive(Default)]
struct Source {
    seq: u64,
}

impl Source {
    fn op(&mut self, body: OpBody) -> Op {
        self.seq += 1;
        let random = u128::from(mix(self.seq)) << 64 | u128::from(mix(!self.seq));
        Op { id: self.last(), lamport: self.seq, command: CommandId(random.to_be_bytes()), body }
    }

    /// The id of the last op.
    fn last(&self) -> OpId {
        OpId { origin: ORIGIN, seq: self.seq }
    }

    fn create_user(&mut self, n: u64) -> Op {
        let name = UserId::parse(&format!("user{:016x}", mix(n))).expect("a name");
        // As long as a hash of Argon2id.
        let phc = format!("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg${n:043}");
        self.op(OpBody::CreateUser { name, password: PasswordHash(phc.into()) })
    }

    fn create_group(&mut self, n: u64, founder: UserRef) -> Op {
        let name = GroupId::parse(&format!("group{:016x}", mix(n))).expect("a name");
        self.op(OpBody::CreateGroup { name, founder })
    }

    fn create_share(&mut self, n: u64, group: GroupRef, user: UserRef) -> Op {
        let name = FileName::parse(&format!("file {:016x}.bin", mix(n))).expect("a name");
        self.op(OpBody::CreateShare { group, user, name, content: content(n), replaces: None })
    }
}

fn content(n: u64) -> Content {
    let mut info_hash = [0; 32];
    info_hash[..8].copy_from_slice(&mix(n).to_be_bytes());
    let layout = Layout::new(n % (1 << 30)).expect("small enough");
    Content { layout, sha1: Sha1Digest([n as u8; 20]), info_hash: InfoHash(info_hash), file_count: 1 }
}

/// SplitMix64 (Steele, Lea, Flood 2014): spreads consecutive numbers.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ n >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ n >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ n >> 31
}

fn pick<T: Copy>(from: &[T], n: u64) -> T {
    from[(mix(n) % from.len() as u64) as usize]
}

/// Mixed ops. Accounts and groups come first. Then members come and go and share, everywhere at random.
#[derive(Default)]
struct Mixed {
    source: Source,
    user_count: u64,
    group_count: u64,
    round: u64,
    /// An owner's decision about a request, to be issued next.
    decision: Option<OpBody>,
    users: Vec<UserRef>,
    groups: Vec<(GroupRef, UserRef)>,
    members: Vec<Vec<UserRef>>,
    shares: Vec<(ShareRef, usize)>,
    sharers: Vec<(ShareRef, UserRef)>,
}

impl Mixed {
    fn new(user_count: u64, group_count: u64) -> Self {
        Self { user_count, group_count, ..Self::default() }
    }

    fn next_op(&mut self) -> Op {
        let created = (self.users.len() + self.groups.len()) as u64;
        if created < self.user_count {
            let op = self.source.create_user(created);
            self.users.push(UserRef(op.id));
            return op;
        }
        if created < self.user_count + self.group_count {
            let founder = pick(&self.users, created);
            let op = self.source.create_group(created, founder);
            self.groups.push((GroupRef(op.id), founder));
            self.members.push(vec![founder]);
            return op;
        }
        if let Some(decision) = self.decision.take() {
            return self.source.op(decision);
        }
        self.round += 1;
        self.next_change(self.round)
    }

    fn next_change(&mut self, n: u64) -> Op {
        let index = (mix(n) % self.group_count) as usize;
        let (group, by) = self.groups[index];
        let member = pick(&self.members[index], n);
        match n % 16 {
            0..=4 => {
                let user = pick(&self.users, n + 1);
                self.decision = Some(OpBody::AcceptRequest { group, user, by });
                self.members[index].push(user);
                self.source.op(OpBody::RequestJoin { group, user })
            }
            5..=8 => {
                let op = self.source.create_share(n, group, member);
                self.shares.push((ShareRef(op.id), index));
                op
            }
            9..=12 => {
                let (share, index) = pick(&self.shares, n);
                let user = pick(&self.members[index], n);
                self.sharers.push((share, user));
                self.source.op(OpBody::JoinShare { share, user })
            }
            13 => {
                let (share, user) = pick(&self.sharers, n);
                self.source.op(OpBody::LeaveShare { share, user })
            }
            14 => self.source.op(OpBody::LeaveGroup { group, user: member }),
            _ => {
                let (user, password) = (pick(&self.users, n), PasswordHash("$argon2id$c2FsdA$aGFzaA".into()));
                self.source.op(OpBody::ResetPassword { user, password })
            }
        }
    }

    fn batch(&mut self, len: u64) -> Vec<Op> {
        (0..len).map(|_| self.next_op()).collect()
    }
}

/// Folds ops in batches, with a snapshot of the state before each if asked. Returns the core time. Making the ops does
/// not count.
fn fold(state: &mut State, ops: &mut Mixed, count: u64, batch_len: u64, snapshots: bool) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..count / batch_len {
        let batch = ops.batch(batch_len);
        let start = thread_time();
        let before = snapshots.then(|| state.clone());
        batch.iter().for_each(|op| state.apply(op));
        drop(before);
        spent += thread_time() - start;
    }
    spent
}

/// Resident memory in bytes, as the kernel counts it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("is told");
    let kib = line.split_ascii_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).expect("a number");
    kib * 1024
}

/// Folds `count` ops and prints the cost of each.
fn memory(what: &str, state: &mut State, count: u64, mut op: impl FnMut(u64) -> Op) {
    let before = resident();
    (0..count).for_each(|n| state.apply(&op(n)));
    let bytes = resident().saturating_sub(before);
    println!("memory: {:>4} bytes per {what} ({count} of them, {:.1} MB)", bytes / count, bytes as f64 / 1e6);
}

/// Groups come and go beside state that stays. Prints the cost of a floor every 8,192 ops.
fn floors(ops: u64) {
    const BETWEEN: u64 = 8192;
    let (mut state, mut source) = (State::new(), Source::default());
    (0..1000).for_each(|n| state.apply(&source.create_user(n)));
    let user = |n: u64| UserRef(OpId { origin: ORIGIN, seq: 1 + n % 1000 });
    let first = source.create_group(0, user(0));
    state.apply(&first);
    (0..20_000).for_each(|n| state.apply(&source.create_share(n, GroupRef(first.id), user(0))));
    let before = resident();
    let (mut pruning, mut longest, mut dropped) = (Duration::ZERO, Duration::ZERO, 0);
    for n in 1..=ops / 2 {
        let made = source.create_group(n, user(n));
        state.apply(&made);
        state.apply(&source.op(OpBody::LeaveGroup { group: GroupRef(made.id), user: user(n) }));
        if n % (BETWEEN / 2) == 0 {
            let start = thread_time();
            dropped += state.prune(state.lamport()).groups;
            let took = thread_time() - start;
            (pruning, longest) = (pruning + took, longest.max(took));
        }
    }
    let more = resident().saturating_sub(before) as f64 / 1e6;
    let floors = (ops / BETWEEN) as u32;
    println!("{ops} changes that leave nothing, a floor every {BETWEEN}, beside 20,000 files:");
    println!(
        "  {:.2?} for each floor, longest {longest:.2?}; {dropped} groups dropped; {more:.1} MB more",
        pruning / floors
    );
    let start = thread_time();
    state.digest();
    println!("  digest: {:.2?}", thread_time() - start);
}

pub(crate) fn bench(_: &Options) {
    // Memory comes first, while no freed memory can be reused.
    let mut state = State::new();
    let mut source = Source::default();
    memory("user", &mut state, USERS, |n| source.create_user(n));
    let user = |n: u64| UserRef(OpId { origin: ORIGIN, seq: 1 + mix(n) % USERS });
    memory("group", &mut state, GROUPS, |n| source.create_group(n, user(n)));
    // The founder of a group shares there.
    let group = |n: u64| (GroupRef(OpId { origin: ORIGIN, seq: USERS + 1 + n % GROUPS }), user(n % GROUPS));
    memory("file", &mut state, FILES, |n| source.create_share(n, group(n).0, group(n).1));
    assert_eq!((state.user_count(), state.group_count(), state.share_count()), (100_000, 10_000, 100_000));
    drop(state);
    floors(1 << 20);

    for (user_count, group_count) in [(1000, 100), (USERS, GROUPS)] {
        println!("{user_count} users, {group_count} groups, {OPS} mixed ops, core time:");
        let mut times = Vec::new();
        for _ in 0..3 {
            let (mut state, mut ops) = (State::new(), Mixed::new(user_count, group_count));
            times.push(fold(&mut state, &mut ops, OPS, 1000, false));
            assert_eq!(state.op_count(), OPS);
        }
        times.sort_unstable();
        println!("  all ops: {:.2?}", times[1]);

        let (mut state, mut ops) = (State::new(), Mixed::new(user_count, group_count));
        fold(&mut state, &mut ops, OPS, 1000, false);
        let start = thread_time();
        state.digest();
        println!("  digest: {:.2?}, {} shares", thread_time() - start, state.share_count());
        for batch_len in [1, 64] {
            let count = 64_000;
            let each = fold(&mut state, &mut ops, count, batch_len, true) / count as u32;
            println!("  each op more, with a snapshot before every {batch_len}: {each:.2?}");
        }
    }
}
