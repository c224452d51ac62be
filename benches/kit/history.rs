//! A history of mixed ops for the journal of a tracker.

use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::{CommandId, GroupRef, OpId, Origin, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::piece::Layout;
use groupshare::tracker::commit::OpLog;
use groupshare::tracker::journal::base::adoption::UnplacedSink;
use groupshare::tracker::journal::disk::RealDisk;
use groupshare::tracker::journal::{Journal, JournalOwner, JournalSettings, OpenedJournal};
use groupshare::tracker::state::State;
use groupshare::tracker::warn::Warn;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Ops of one origin, with counters from 1 on. A tenth of them makes users, a hundredth groups. The rest are requests,
/// acceptances and shares. Accounts come first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct History {
    /// The issuer of the ops.
    pub origin: Origin,
    /// The number of ops.
    pub total: u64,
}

/// SplitMix64 (Steele, Lea, Flood 2014): spreads consecutive numbers.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ n >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ n >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ n >> 31
}

impl History {
    /// The op with this sequence.
    pub(crate) fn op(&self, seq: u64) -> Op {
        let origin = self.origin;
        let id = |seq| OpId { origin, seq };
        // A different number for every op of every tracker.
        let salted = mix(seq | u64::from(origin.tracker) << 48);
        let (users, groups) = (self.total / 10, self.total / 100);
        let body = if seq <= users {
            let phc = format!("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg${seq:043}");
            OpBody::CreateUser {
                name: UserId::parse(&format!("user{salted:016x}")).expect("a name"),
                password: PasswordHash(phc.into()),
            }
        } else if seq <= users + groups {
            let founder = UserRef(id(seq - users));
            OpBody::CreateGroup { name: GroupId::parse(&format!("group{salted:016x}")).expect("a name"), founder }
        } else {
            let n = seq - users - groups;
            let of = n / 4;
            let (number, user) = (mix(of) % groups, UserRef(id(1 + mix(of + 7) % users)));
            let (group, founder) = (GroupRef(id(users + 1 + number)), UserRef(id(number + 1)));
            match n % 4 {
                0 => OpBody::RequestJoin { group, user },
                1 => OpBody::AcceptRequest { group, user, by: founder },
                2 => {
                    let mut info_hash = [0; 32];
                    info_hash[..8].copy_from_slice(&salted.to_be_bytes());
                    let content = Content {
                        layout: Layout::new(seq).expect("small"),
                        sha1: Sha1Digest([seq as u8; 20]),
                        info_hash: InfoHash(info_hash),
                        file_count: 1,
                    };
                    let name = FileName::parse(&format!("file {salted:016x}.bin")).expect("a name");
                    OpBody::CreateShare { group, user, name, content, replaces: None }
                }
                _ => OpBody::JoinShare { share: ShareRef(id(seq - 1)), user: founder },
            }
        };
        let command = CommandId((u128::from(salted) << 64 | u128::from(mix(!salted))).to_be_bytes());
        Op { id: id(seq), lamport: seq, command, body }
    }

    /// Writes all ops into the journal in a folder, without a checkpoint.
    pub(crate) fn write(&self, folder: &Path) {
        let settings = JournalSettings { checkpoint_ops: u64::MAX, ..JournalSettings::default() };
        let mut opened = open(folder, self.origin.tracker, settings);
        let mut seq = 0;
        while seq < self.total {
            let ops: Vec<Op> = (seq + 1..=self.total.min(seq + 1000)).map(|seq| self.op(seq)).collect();
            opened.journal.append(&ops).expect("kept");
            opened.journal.kept(opened.past.state());
            seq += 1000;
        }
    }
}

/// For journals that adopt no base.
struct NoList;

impl UnplacedSink for NoList {
    fn keep(&mut self, _: &[Op], _: &State) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Opens the journal of a tracker.
pub(crate) fn open(folder: &Path, tracker: u16, settings: JournalSettings) -> OpenedJournal {
    let disk = Arc::new(RealDisk::open(folder).expect("a folder"));
    let warn: Warn = Arc::new(|line| println!("warning: {line}"));
    let owner = JournalOwner { tracker, fresh_incarnation: 0x1234_5678_9abc_def0 };
    Journal::open(disk, owner, settings, warn, &mut NoList).expect("sound")
}
