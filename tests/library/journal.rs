//! The journal against damage of every kind. The disk fails at every call, and the power fails at every call.

use crate::faulty_disk::{Fault, MemDisk};
use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::{CommandId, GroupRef, OpId, Origin, ShareRef, UserRef};
use groupshare::model::manifest::Content;
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::model::piece::Layout;
use groupshare::tracker::commit::{AppendError, OpLog};
use groupshare::tracker::journal::base::adoption::UnplacedSink;
use groupshare::tracker::journal::checkpoint;
use groupshare::tracker::journal::disk::{Disk, RealDisk};
use groupshare::tracker::journal::inspect;
use groupshare::tracker::journal::reader::RecoveryOptions;
use groupshare::tracker::journal::record;
use groupshare::tracker::journal::recovery::{Recovery, read};
use groupshare::tracker::journal::segment;
use groupshare::tracker::journal::segment::{Mark, PAGE_LEN, RECORDS_AT, SegmentHeader};
use groupshare::tracker::journal::{Journal, JournalError, JournalOwner, JournalSettings, OpenedJournal};
use groupshare::tracker::state::State;
use parking_lot::Mutex;
use rayon::prelude::*;
use rustix::io::Errno;
use std::io;
use std::sync::Arc;

pub(crate) const OWNER: JournalOwner = JournalOwner { tracker: 1, fresh_incarnation: 77 };
/// No checkpoint, one segment.
const PLAIN: JournalSettings = JournalSettings { checkpoint_ops: u64::MAX, segment_len_max: u64::MAX, chunk_len: 600 };

pub(crate) fn origin() -> Origin {
    Origin { tracker: 1, incarnation: 77 }
}

fn id(seq: u64) -> OpId {
    OpId { origin: origin(), seq }
}

/// The op with this sequence. Users make groups, join, share files, and get notices. `variant` tells apart ops that
/// could have had the same place.
pub(crate) fn op_under(origin: Origin, seq: u64, variant: u64) -> Op {
    let user = |n: u64| UserRef(id(n - n % 8 + 1));
    let group = GroupRef(id(seq - seq % 8 + 3));
    let body = match seq % 8 {
        1 | 2 => OpBody::CreateUser {
            name: UserId::parse(&format!("user-{seq}-{variant}")).expect("a name"),
            password: PasswordHash("$argon2id$".into()),
        },
        3 => OpBody::CreateGroup {
            name: GroupId::parse(&format!("group-{}", seq % 40)).expect("a name"),
            founder: user(seq),
        },
        4 => OpBody::RequestJoin { group, user: UserRef(id(seq - 2)) },
        5 => OpBody::AcceptRequest { group, user: UserRef(id(seq - 3)), by: user(seq) },
        6 => OpBody::CreateShare {
            group,
            user: user(seq),
            name: FileName::parse("film.mkv").expect("a name"),
            content: Content {
                layout: Layout::new(seq).expect("small"),
                sha1: Sha1Digest([seq as u8; 20]),
                info_hash: InfoHash([seq as u8; 32]),
                file_count: 1,
            },
            replaces: None,
        },
        7 => OpBody::JoinShare { share: ShareRef(id(seq - 1)), user: UserRef(id(seq - 5)) },
        _ => OpBody::LeaveGroup { group: GroupRef(id((seq - 5).max(1))), user: user(seq - 8) },
    };
    let command = CommandId((u128::from(seq) << 64 | u128::from(variant)).to_be_bytes());
    Op { id: OpId { origin, seq }, lamport: seq, command, body }
}

fn op(seq: u64) -> Op {
    op_under(origin(), seq, 0)
}

pub(crate) fn fold<'a>(ops: impl IntoIterator<Item = &'a Op>) -> State {
    let mut state = State::new();
    ops.into_iter().for_each(|op| state.apply(op));
    state
}

/// The warnings, and the ops without a place.
#[derive(Clone, Default)]
pub(crate) struct Said(Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<Op>>>);

impl UnplacedSink for Said {
    fn keep(&mut self, ops: &[Op], _: &State) -> io::Result<()> {
        *self.1.lock() = ops.to_vec();
        Ok(())
    }
}

impl Said {
    pub(crate) fn open(&self, disk: &MemDisk, settings: JournalSettings) -> Result<OpenedJournal, JournalError> {
        let said = self.0.clone();
        let warn = Arc::new(move |line: &str| said.lock().push(line.to_owned()));
        Journal::open(Arc::new(disk.clone()), OWNER, settings, warn, &mut self.clone())
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }

    /// The ops that the last adoption listed.
    pub(crate) fn unplaced(&self) -> Vec<Op> {
        self.1.lock().clone()
    }
}

fn open(disk: &MemDisk, settings: JournalSettings) -> OpenedJournal {
    let said = Said::default();
    let opened = said.open(disk, settings).expect("sound");
    assert_eq!(said.take(), [""; 0]);
    opened
}

/// The sizes of batches.
fn batches() -> impl Iterator<Item = u64> {
    [1, 3, 2, 7, 1, 1, 12, 4].into_iter().cycle()
}

/// Where every record ends, and the number of its batch.
struct Map {
    name: String,
    bytes: Vec<u8>,
    ends: Vec<(usize, usize)>,
    ops: Vec<Op>,
    digests: Vec<[u8; 32]>,
}

/// A journal with at least `count` records in one segment.
fn journal_of(count: u64) -> Map {
    let disk = MemDisk::default();
    let mut journal = open(&disk, PLAIN).journal;
    let name = segment::name(1);
    let digests = vec![State::new().digest()];
    let mut map = Map { name: name.clone(), bytes: Vec::new(), ends: Vec::new(), ops: Vec::new(), digests };
    let (mut state, mut seq, mut end) = (State::new(), 0, RECORDS_AT);
    for (batch, len) in batches().enumerate() {
        let ops: Vec<Op> = (seq + 1..=seq + len).map(op).collect();
        journal.append(&ops).expect("kept");
        for op in &ops {
            let mut bytes = Vec::new();
            groupshare::wire::codec::Wire::put(op, &mut bytes);
            end += record::HEAD_LEN + bytes.len();
            map.ends.push((end, batch));
            state.apply(op);
            map.digests.push(state.digest());
        }
        map.ops.extend(ops);
        seq += len;
        if seq >= count {
            break;
        }
    }
    map.bytes = disk.read(&name).expect("there");
    map
}

impl Map {
    fn last_batch_at(&self) -> usize {
        let last = self.ends.last().expect("not empty").1;
        self.ends.iter().filter(|&&(_, batch)| batch < last).map(|&(end, _)| end).max().expect("many batches")
    }

    fn count_before(&self, n: usize) -> usize {
        self.ends.iter().filter(|&&(end, _)| end <= n).count()
    }

    /// Reads these bytes instead. Returns the number of ops in them, which must be the first ones.
    fn read(&self, bytes: Vec<u8>) -> Result<(usize, Recovery), JournalError> {
        let disk = MemDisk::default();
        disk.put(&self.name, bytes);
        let mut count = 0;
        let options = RecoveryOptions { tracker: Some(1), checkpoints: true, force: false };
        let (recovery, _) = read(&disk, options, |_, op| {
            assert_eq!(op, self.ops[count], "an op that never was");
            count += 1;
            true
        })?;
        assert_eq!(recovery.position.seq, count as u64);
        Ok((count, recovery))
    }

    /// Either everything is there, or a prefix that lacks only records of the last batch, with a warning. Otherwise the
    /// journal is refused with a reason.
    fn check_damaged(&self, what: &str, bytes: Vec<u8>) {
        match self.read(bytes) {
            Ok((count, recovery)) => {
                assert!(count >= self.count_before(self.last_batch_at()), "{what}: {count} records only");
                let said = recovery.torn.is_some() || !recovery.warnings.is_empty();
                assert!(said, "{what}: no warning");
            }
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("/data/journal/0") && error.contains("; "), "{what}: {error}");
            }
        }
    }
}

#[test]
fn a_journal_cut_at_any_byte_yields_exactly_the_records_before() {
    let map = journal_of(200);
    let end = map.ends.last().expect("not empty").0;
    (0..=map.bytes.len()).into_par_iter().for_each(|n| {
        let read = map.read(map.bytes[..n].to_vec());
        let (count, recovery) = read.unwrap_or_else(|error| panic!("cut at {n}: {error}"));
        assert_eq!(count, map.count_before(n), "cut at {n}");
        assert_eq!(recovery.torn.is_some(), n < end, "cut at {n}");
        if let Some(torn) = recovery.torn {
            assert!(torn.contains(&map.name) && torn.contains(" at byte "), "{torn}");
        }
    });
}

#[test]
fn any_byte_flipped_yields_a_prefix_with_a_warning_or_a_refusal() {
    let map = journal_of(200);
    (0..map.bytes.len()).into_par_iter().for_each(|n| {
        let mut bytes = map.bytes.clone();
        bytes[n] ^= [0xff, 0x01, 0x80][n % 3];
        map.check_damaged(&format!("byte {n} flipped"), bytes);
    });
}

#[test]
fn any_tail_zeroed_yields_a_prefix_with_a_warning_or_a_refusal() {
    let map = journal_of(200);
    let end = map.ends.last().expect("not empty").0;
    (0..end).into_par_iter().for_each(|n| {
        let mut bytes = map.bytes.clone();
        bytes[n..].fill(0);
        if bytes == map.bytes {
            return;
        }
        map.check_damaged(&format!("zeros from {n}"), bytes);
    });
}

#[test]
fn damage_in_the_last_batch_is_cut_off_with_a_warning_and_the_journal_goes_on_under_another_incarnation() {
    let map = journal_of(30);
    let disk = MemDisk::default();
    let mut bytes = map.bytes.clone();
    bytes[map.last_batch_at()] ^= 1;
    disk.put(&map.name, bytes);
    let said = Said::default();
    let fresh = JournalOwner { tracker: 1, fresh_incarnation: 78 };
    let warn = {
        let said = said.clone();
        Arc::new(move |line: &str| said.0.lock().push(line.to_owned()))
    };
    let mut opened = Journal::open(Arc::new(disk.clone()), fresh, PLAIN, warn, &mut said.clone()).expect("starts");
    let told = said.take();
    assert_eq!(told.len(), 1);
    let place = format!("/data/journal/{} is damaged at byte {}: ", map.name, map.last_batch_at());
    assert!(told[0].starts_with(&place) && told[0].contains("acknowledged may be gone"), "{told:?}");
    assert_eq!(opened.origin.incarnation, 78);
    let next = Op { lamport: opened.past.state().lamport() + 1, ..op_under(opened.origin, 1, 1) };
    opened.journal.append(std::slice::from_ref(&next)).expect("kept");
    opened.past.apply(next);
    drop(opened.journal);
    let again = open(&disk, PLAIN);
    assert_eq!(again.past.state().digest(), opened.past.state().digest());
}

#[test]
fn damage_that_a_later_batch_follows_is_refused_and_repaired_only_when_asked() {
    let map = journal_of(50);
    let temp = tempfile::tempdir().expect("a folder");
    let folder = temp.path().join("journal");
    std::fs::create_dir(&folder).expect("made");
    let file = folder.join(&map.name);
    let mut bytes = map.bytes.clone();
    let (damaged, _) = map.ends[20];
    bytes[damaged + 30] ^= 4;
    std::fs::write(&file, &bytes).expect("written");
    let disk = || Arc::new(RealDisk::open(&folder).expect("there"));
    let quiet: groupshare::tracker::warn::Warn = Arc::new(|_: &str| {});
    let start = || Journal::open(disk(), OWNER, PLAIN, quiet.clone(), &mut Said::default());
    let error = start().err().expect("refused").to_string();
    assert!(error.contains(&format!("is damaged at byte {damaged}: a later batch follows at byte ")), "{error}");
    assert!(error.contains(&format!("tracker --repair {}", temp.path().display())), "{error}");
    assert_eq!(std::fs::read(&file).expect("there"), bytes, "nothing was changed");
    assert!(inspect::check(&*disk()).is_err());
    assert_eq!(std::fs::read(&file).expect("there"), bytes, "nothing was changed");

    let copy = temp.path().join("copy");
    let (told, _) = Journal::repair(disk(), (&folder, &copy), 99, quiet.clone()).expect("repaired");
    assert!(told.iter().any(|line| line.contains(&format!("at byte {damaged}"))), "{told:?}");
    let count = map.ops.len();
    let gone = format!("records 22 to {count} are dropped: {} are whole, 1 cannot be read", count - 22);
    assert!(told.iter().any(|line| line.contains(&gone)), "{told:?}");
    assert_eq!(std::fs::read(copy.join(&map.name)).expect("there"), bytes);
    let opened = start().expect("starts");
    assert_eq!(opened.past.state().digest(), map.digests[21]);
    assert!(inspect::check(&*disk()).expect("readable").sound);
}

#[test]
fn every_refusal_can_be_repaired() {
    let map = journal_of(40);
    (0..map.bytes.len()).into_par_iter().step_by(23).for_each(|n| {
        let disk = MemDisk::default();
        let mut bytes = map.bytes.clone();
        bytes[n] ^= 0x10;
        disk.put(&map.name, bytes);
        if Said::default().open(&disk, PLAIN).is_ok() {
            return;
        }
        let temp = tempfile::tempdir().expect("a folder");
        let (from, copy) = (temp.path().join("from"), temp.path().join("copy"));
        std::fs::create_dir(&from).expect("made");
        let repaired = Journal::repair(Arc::new(disk.clone()), (&from, &copy), 99, Arc::new(|_: &str| {}));
        if let Err(JournalError::OtherVersion { .. }) = repaired {
            return;
        }
        repaired.unwrap_or_else(|error| panic!("byte {n}: {error}"));
        let opened = open(&disk, PLAIN);
        let count = opened.past.state().op_count() as usize;
        assert_eq!(opened.past.state().digest(), map.digests[count]);
        assert!(count >= map.count_before(n).min(map.ends.len()), "byte {n}: {count}");
    });
}

#[test]
fn an_empty_folder_is_a_fresh_start_and_a_newer_or_foreign_journal_is_refused() {
    let disk = MemDisk::default();
    let opened = open(&disk, PLAIN);
    assert_eq!((opened.past.state().op_count(), opened.origin), (0, origin()));
    drop(opened);
    // Nothing shows that a folder comes from a backup. So no start issues ids that an earlier one may have issued.
    let next = JournalOwner { fresh_incarnation: 79, ..OWNER };
    let opened = Journal::open(Arc::new(disk.clone()), next, PLAIN, Arc::new(|_: &str| {}), &mut Said::default())
        .expect("sound");
    assert_eq!(opened.origin.incarnation, 79);
    drop(opened);
    let other = JournalOwner { tracker: 2, ..OWNER };
    let error = Journal::open(Arc::new(disk.clone()), other, PLAIN, Arc::new(|_: &str| {}), &mut Said::default())
        .err()
        .expect("refused");
    assert!(error.to_string().contains("belongs to tracker 1"), "{error}");
    let mut bytes = disk.read(&segment::name(1)).expect("there");
    bytes[9] = 4;
    disk.put(&segment::name(1), bytes);
    let error = Said::default().open(&disk, PLAIN).err().expect("refused").to_string();
    assert!(error.contains("has format 4 and was written by a newer version"), "{error}");
}

/// So small that a run of some dozens of ops reaches everything.
const BUSY: JournalSettings =
    JournalSettings { checkpoint_ops: 10, segment_len_max: RECORDS_AT as u64 + 1500, chunk_len: 700 };

/// The results of a run.
struct Run {
    /// The acknowledged ops.
    kept: Vec<Op>,
    /// The last batch, if it was not acknowledged.
    unkept: Vec<Op>,
    opened: bool,
    failed: Option<String>,
}

/// Changes on a disk that may fail: some batches, and a checkpoint now and then. After a batch without room another one
/// follows.
fn run(disk: &MemDisk, batch_count: usize) -> Run {
    let mut run = Run { kept: Vec::new(), unkept: Vec::new(), opened: false, failed: None };
    let Ok(OpenedJournal { mut journal, mut past, origin, .. }) = Said::default().open(disk, BUSY) else { return run };
    run.opened = true;
    for (variant, len) in batches().take(batch_count).enumerate() {
        let seq = past.state().seen(origin);
        let ops: Vec<Op> = (seq + 1..=seq + len).map(|seq| op_under(origin, seq, variant as u64)).collect();
        match journal.append(&ops) {
            Ok(()) => {
                ops.iter().for_each(|op| past.apply(op.clone()));
                run.kept.extend(ops);
                run.unkept.clear();
                journal.kept(past.state());
                journal.wait_for_checkpoint();
            }
            Err(AppendError::Full(_)) => run.unkept = ops,
            Err(AppendError::Failed(reason)) => {
                // A batch that fails because of an earlier failure was never written.
                if run.failed.is_none() {
                    run.unkept = ops;
                }
                run.failed = Some(reason);
            }
        }
    }
    run
}

/// The disk must hold all kept ops, and at most whole ops of the last tried batch.
fn verify(disk: &MemDisk, run: &Run, what: &str) {
    let said = Said::default();
    let opened = said.open(disk, BUSY).unwrap_or_else(|error| panic!("{what}: {error}"));
    let told = said.take();
    // A crash removes the end of the last segment, and nothing else.
    assert!(
        !told.iter().any(|line| line.contains("neither give them") || line.contains("passed over")),
        "{what}: {told:?}"
    );
    let count = opened.past.state().op_count() as usize;
    assert!(count >= run.kept.len(), "{what}: {count} of {} ops", run.kept.len());
    let all: Vec<&Op> = run.kept.iter().chain(&run.unkept).collect();
    assert!(count <= all.len(), "{what}: {count} ops");
    assert_eq!(opened.past.state().digest(), fold(all[..count].iter().copied()).digest(), "{what}");
    // The journal must also accept another write.
    let OpenedJournal { mut journal, mut past, origin, .. } = opened;
    let mut next = op_under(origin, past.state().seen(origin) + 1, 1000);
    next.lamport = past.state().lamport() + 1;
    journal.append(std::slice::from_ref(&next)).unwrap_or_else(|error| panic!("{what}: {error}"));
    past.apply(next);
    drop(journal);
    let again = Said::default().open(disk, BUSY).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    assert_eq!(again.past.state().digest(), past.state().digest(), "{what}, again");
}

const RUN_LEN: usize = 16;

fn calls_of_a_run() -> u64 {
    let disk = MemDisk::default();
    disk.fail_at(u64::MAX, Fault::Kill);
    let run = run(&disk, RUN_LEN);
    assert!(run.unkept.is_empty() && run.failed.is_none());
    assert!(disk.names().iter().filter(|name| checkpoint::seq(name).is_some()).count() == 2, "{:?}", disk.names());
    assert!(disk.names().iter().filter(|name| segment::first_seq(name).is_some()).count() > 3, "{:?}", disk.names());
    verify(&disk, &run, "no fault");
    disk.calls()
}

#[test]
fn no_acknowledged_op_is_lost_and_none_is_half_there_whichever_call_fails() {
    let faults = [
        Fault::Error(Errno::IO),
        Fault::Error(Errno::NOSPC),
        Fault::Short,
        Fault::ShortThen(Errno::NOSPC),
        Fault::ShortThen(Errno::IO),
        Fault::Kill,
    ];
    let calls = calls_of_a_run();
    assert!(calls > 100, "{calls}");
    (1..=calls).into_par_iter().for_each(|call| {
        for fault in faults {
            let disk = MemDisk::default();
            disk.fail_at(call, fault);
            let run = run(&disk, RUN_LEN);
            verify(&disk.after_kill(), &run, &format!("call {call}, {fault:?}"));
            for seed in 0..3 {
                let what = format!("call {call}, {fault:?}, then power lost, seed {seed}");
                verify(&disk.after_power_loss(call * 100 + seed), &run, &what);
            }
        }
    });
}

#[test]
fn power_can_go_twice() {
    let calls = calls_of_a_run();
    (1..=calls).into_par_iter().for_each(|call| {
        let disk = MemDisk::default();
        disk.fail_at(call, Fault::Kill);
        let run = run(&disk, RUN_LEN);
        for (seed, again) in (0..2).flat_map(|seed| (1..14).map(move |again| (seed, again))) {
            let disk = disk.after_power_loss(call * 50 + seed);
            disk.fail_at(again, Fault::Kill);
            drop(Said::default().open(&disk, BUSY));
            let what = format!("call {call}, seed {seed}, then call {again}");
            verify(&disk.after_power_loss(call + again * 1000), &run, &what);
        }
    });
}

#[test]
fn a_full_disk_refuses_changes_and_takes_them_again_once_there_is_room() {
    let disk = MemDisk::default();
    let OpenedJournal { mut journal, origin, .. } = open(&disk, PLAIN);
    disk.set_room(Some(0));
    let mut kept = 0;
    let append = |journal: &mut Journal, kept: &mut u64| {
        let done = journal.append(&[op_under(origin, *kept + 1, 0)]);
        *kept += u64::from(done.is_ok());
        done
    };
    let error = loop {
        if let Err(error) = append(&mut journal, &mut kept) {
            break error;
        }
    };
    assert!(kept > 0);
    let text = error.to_string();
    assert!(matches!(error, AppendError::Full(_)) && text.contains("No space left"), "{text}");
    assert!(append(&mut journal, &mut kept).is_err());
    disk.set_room(None);
    append(&mut journal, &mut kept).expect("there is room");
    drop(journal);
    assert_eq!(open(&disk, PLAIN).past.state().op_count(), kept);
}

#[test]
fn a_failed_fsync_is_final_until_the_restart_and_says_so() {
    let disk = MemDisk::default();
    let OpenedJournal { mut journal, origin, .. } = open(&disk, PLAIN);
    journal.append(&[op_under(origin, 1, 0)]).expect("kept");
    // Records, mark, sync.
    disk.fail_at(3, Fault::Error(Errno::IO));
    let error = journal.append(&[op_under(origin, 2, 0)]).expect_err("not durable");
    let text = error.to_string();
    assert!(
        text.contains("cannot fsync: Input/output error") && text.contains("until the tracker is restarted"),
        "{text}"
    );
    let calls = disk.calls();
    assert_eq!(journal.append(&[op_under(origin, 2, 1)]), Err(error));
    assert_eq!(disk.calls(), calls, "nothing more is written");
    drop(journal);
    // Readable records become durable before anything builds on them.
    let opened = open(&disk, PLAIN);
    assert_eq!(opened.past.state().op_count(), 2);
    let disk = disk.after_power_loss(5);
    assert_eq!(open(&disk, PLAIN).past.state().op_count(), 2);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before_and_then_for_the_whole_journal() {
    let disk = MemDisk::default();
    let made = run(&disk, RUN_LEN);
    let digest = fold(&made.kept).digest();
    let checkpoints = checkpoint::all(&disk).expect("readable");
    let mut replayed = open(&disk, BUSY).replayed;
    assert!(replayed < 10);
    for &seq in &checkpoints {
        let name = checkpoint::name(seq);
        let mut bytes = disk.read(&name).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        disk.put(&name, bytes);
        let said = Said::default();
        let opened = said.open(&disk, BUSY).expect("starts");
        assert_eq!(opened.past.state().digest(), digest);
        assert!(opened.replayed > replayed, "more is replayed each time");
        replayed = opened.replayed;
        let said = said.take();
        assert_eq!(said.len(), 2);
        assert!(said[0].contains("is damaged: its checksum is wrong; it is passed over"), "{said:?}");
        assert!(said[1].starts_with("removed, because") && said[1].contains(&name), "{said:?}");
    }
    assert_eq!(replayed, made.kept.len() as u64);
}

#[test]
fn numbers_behind_which_no_further_one_comes_are_damage_though_their_checksums_are_right() {
    let map = journal_of(20);
    let latest = Mark { batch: u64::MAX, start: RECORDS_AT as u64, end: RECORDS_AT as u64 };
    let disk = MemDisk::default();
    let mut bytes = map.bytes.clone();
    bytes[2 * PAGE_LEN..3 * PAGE_LEN].copy_from_slice(&segment::mark_page(&latest));
    disk.put(&map.name, bytes);
    let said = Said::default();
    let opened = said.open(&disk, PLAIN).expect("the other mark is sound");
    assert_eq!(opened.past.state().op_count(), map.ops.len() as u64);
    assert_eq!(said.take().len(), 1);

    let mut bytes = map.bytes.clone();
    let header = SegmentHeader { origin: origin(), first_seq: 1, first_batch: u64::MAX };
    bytes[..PAGE_LEN].copy_from_slice(&segment::header_page(&header));
    assert!(matches!(map.read(bytes), Err(JournalError::Damaged { .. })));

    let disk = MemDisk::default();
    let position = record::JournalPosition { seq: u64::MAX, batch: u64::MAX };
    checkpoint::write(&disk, position, &State::new()).expect("there is room");
    assert!(checkpoint::read(&disk, u64::MAX).is_err());
}

#[test]
fn ops_that_came_late_are_folded_in_their_order() {
    let disk = MemDisk::default();
    let OpenedJournal { mut journal, origin, .. } = open(&disk, PLAIN);
    let other = Origin { tracker: 2, incarnation: 5 };
    let own: Vec<Op> = (1..=20).map(|seq| op_under(origin, seq, 0)).collect();
    let late: Vec<Op> = (1..=9).map(|seq| op_under(other, seq, 1)).collect();
    journal.append(&own).expect("kept");
    journal.append(&late).expect("kept");
    drop(journal);
    let mut all: Vec<Op> = own.into_iter().chain(late).collect();
    all.sort_by_key(Op::order);
    assert_eq!(open(&disk, PLAIN).past.state().digest(), fold(&all).digest());
}

#[test]
fn the_document_draws_the_format_as_it_is() {
    let header = SegmentHeader { origin: Origin { tracker: 1, incarnation: 2 }, first_seq: 3, first_batch: 4 };
    let page = segment::header_page(&header);
    let mut expected = b"GSHJRNL\n\x00\x03".to_vec();
    expected.extend_from_slice(&[0, 1]);
    for number in [2u64, 3, 4] {
        expected.extend_from_slice(&number.to_be_bytes());
    }
    assert_eq!(page[..expected.len()], expected);
    assert!(page[expected.len()..PAGE_LEN - 4].iter().all(|&byte| byte == 0));
    assert_eq!(page[PAGE_LEN - 4..], crc32fast::hash(&page[..PAGE_LEN - 4]).to_be_bytes());
    let mut record = Vec::new();
    assert!(record::put(record::RecordPosition { seq: 5, batch: 6, left: 7 }, &op(1), &mut record));
    let op_len = record.len() - 28;
    assert_eq!(record[..4], (op_len as u32).to_be_bytes());
    assert_eq!(record[4..12], 5u64.to_be_bytes());
    assert_eq!(record[12..20], 6u64.to_be_bytes());
    assert_eq!(record[20..24], 7u32.to_be_bytes());
    let summed = [&record[..24], &record[28..]].concat();
    assert_eq!(record[24..28], crc32fast::hash(&summed).to_be_bytes());
}
