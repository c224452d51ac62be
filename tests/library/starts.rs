//! What a start, `--check` and `--repair` do with a journal that lacks files or has damaged ones. One table holds for
//! all three, and docs/JOURNAL.md shows it.

use crate::faulty_disk::{Fault, MemDisk};
use crate::journal::{Said, op_under, origin};
use groupshare::model::id::Origin;
use groupshare::model::op::Op;
use groupshare::tracker::commit::OpLog;
use groupshare::tracker::journal::base;
use groupshare::tracker::journal::checkpoint;
use groupshare::tracker::journal::disk::Disk;
use groupshare::tracker::journal::inspect::{self, Inspection};
use groupshare::tracker::journal::record::JournalPosition;
use groupshare::tracker::journal::segment;
use groupshare::tracker::journal::segment::{PAGE_LEN, RECORDS_AT};
use groupshare::tracker::journal::{Journal, JournalSettings, OpenedJournal};
use groupshare::tracker::state::State;
use rayon::prelude::*;
use ring::digest::{SHA256, digest};
use std::sync::Arc;

/// A checkpoint every twenty ops, a segment every ten or so.
pub(crate) const SETTINGS: JournalSettings =
    JournalSettings { checkpoint_ops: 20, segment_len_max: RECORDS_AT as u64 + 1000, chunk_len: 700 };
const COUNT: u64 = 55;
/// The last record before each of the two checkpoints.
const OLDER: u64 = 20;
const NEWER: u64 = 40;
/// The first record of each segment.
const SEGMENTS: [u64; 8] = [1, 10, 19, 21, 30, 39, 41, 50];

fn whole(ops: &[Op]) -> MemDisk {
    let disk = MemDisk::default();
    let opened = Said::default().open(&disk, SETTINGS).expect("an empty disk");
    let OpenedJournal { mut journal, mut past, .. } = opened;
    for op in ops {
        journal.append(std::slice::from_ref(op)).expect("kept");
        past.apply(op.clone());
        journal.kept(past.state());
        journal.wait_for_checkpoint();
    }
    drop(journal);
    let mut names: Vec<String> = SEGMENTS.map(segment::name).into();
    names.extend([OLDER, NEWER].map(checkpoint::name));
    names.sort();
    assert_eq!(disk.names(), names);
    disk
}

/// The floors of the two bases in a journal with bases, and how many ops it has.
pub(crate) const FLOORS: [u64; 2] = [15, 35];
pub(crate) const FLOORED_COUNT: u64 = 65;
/// The first record of each segment of such a journal, and the last record before its checkpoint.
const FLOORED_SEGMENTS: [u64; 9] = [10, 19, 21, 30, 39, 41, 50, 59, 61];
const ON_BASE: u64 = 60;

/// The fold of these ops, with floors on the way.
pub(crate) fn fold_with(ops: &[Op], floors: &[u64]) -> State {
    let mut ops = ops.to_vec();
    ops.sort_by_key(Op::order);
    let (mut state, mut from) = (State::new(), 0);
    for &floor in floors {
        let end = ops.partition_point(|op| op.lamport <= floor);
        ops[from..end].iter().for_each(|op| state.apply(op));
        state.prune(floor);
        from = end;
    }
    ops[from..].iter().for_each(|op| state.apply(op));
    state
}

/// A journal with two bases, each kept ten ops after its floor, and a checkpoint on top of the newer one.
pub(crate) fn floored(ops: &[Op]) -> MemDisk {
    let disk = MemDisk::default();
    let opened = Said::default().open(&disk, SETTINGS).expect("an empty disk");
    let OpenedJournal { mut journal, bases, .. } = opened;
    for count in 1..=ops.len() {
        journal.append(&ops[count - 1..count]).expect("kept");
        let passed = FLOORS.iter().filter(|&&floor| floor + 10 <= count as u64).count();
        let taken = FLOORS.iter().any(|&floor| floor + 10 == count as u64);
        if taken {
            let floor = FLOORS[passed - 1];
            let below: Vec<Op> = ops[..count].iter().filter(|op| op.lamport <= floor).cloned().collect();
            bases.keep(&fold_with(&below, &FLOORS[..passed])).expect("kept");
            bases.clear().expect("removed");
        }
        journal.kept(&fold_with(&ops[..count], &FLOORS[..passed]));
        journal.wait_for_checkpoint();
    }
    drop(journal);
    let mut names: Vec<String> = FLOORED_SEGMENTS.map(segment::name).into();
    names.extend(FLOORS.map(base::name));
    names.push(checkpoint::name(ON_BASE));
    names.sort();
    assert_eq!(disk.names(), names);
    disk
}

/// What happens to the files.
#[derive(Debug, Clone, Copy)]
enum Loss {
    /// The segment with this first record is gone.
    Segment(u64),
    /// All segments from this one on are gone.
    SegmentsFrom(u64),
    /// The header of this segment is damaged.
    Header(u64),
    /// A record in the middle of this segment is damaged.
    Record(u64),
    /// The disk cannot read this segment.
    Unreadable(u64),
    /// This checkpoint is damaged.
    Checkpoint(u64),
    /// This checkpoint is gone.
    NoCheckpoint(u64),
    /// The base with this floor is damaged.
    Base(u64),
    /// The base with this floor is gone.
    NoBase(u64),
    /// Another version wrote the base with this floor.
    OtherBase(u64, u16),
    /// Another version wrote this segment.
    OtherSegment(u64, u16),
    /// There is another tracker's op with a place before the checkpoints.
    LateOp,
    /// After a crash behind the newer base, a checkpoint of this floor remains at this record.
    Left(u64, u64),
    /// The beginning of this segment's records is zeros, with their lengths.
    Zeros(u64),
    /// The last record in this segment is damaged.
    LastRecord(u64),
}
use Loss::{
    Base, Checkpoint, Header, LastRecord, LateOp, Left, NoBase, NoCheckpoint, OtherBase, OtherSegment, Record, Segment,
    SegmentsFrom, Unreadable, Zeros,
};

impl Loss {
    fn inflict(self, disk: &MemDisk) {
        let flip = |name: String, at: usize| {
            let mut bytes = disk.read(&name).expect("there");
            bytes[at] ^= 1;
            disk.put(&name, bytes);
        };
        match self {
            Segment(first) => disk.remove(&segment::name(first)).expect("there"),
            SegmentsFrom(first) => {
                let segments: Vec<u64> = disk.names().iter().filter_map(|name| segment::first_seq(name)).collect();
                segments.into_iter().filter(|&seq| seq >= first).for_each(|seq| Segment(seq).inflict(disk));
            }
            Header(first) => flip(segment::name(first), 20),
            Record(first) => flip(segment::name(first), RECORDS_AT + 300),
            Unreadable(first) => disk.spoil(&segment::name(first)),
            Checkpoint(seq) => flip(checkpoint::name(seq), 100),
            NoCheckpoint(seq) => disk.remove(&checkpoint::name(seq)).expect("there"),
            Base(floor) => flip(base::name(floor), 100),
            NoBase(floor) => disk.remove(&base::name(floor)).expect("there"),
            OtherBase(floor, version) => {
                let mut bytes = disk.read(&base::name(floor)).expect("there");
                bytes[8..10].copy_from_slice(&version.to_be_bytes());
                let content = bytes.len() - 32;
                let checksum = digest(&SHA256, &bytes[..content]);
                bytes[content..].copy_from_slice(checksum.as_ref());
                disk.put(&base::name(floor), bytes);
            }
            OtherSegment(first, version) => {
                let mut bytes = disk.read(&segment::name(first)).expect("there");
                bytes[8..10].copy_from_slice(&version.to_be_bytes());
                let checksum = crc32fast::hash(&bytes[..PAGE_LEN - 4]);
                bytes[PAGE_LEN - 4..PAGE_LEN].copy_from_slice(&checksum.to_be_bytes());
                disk.put(&segment::name(first), bytes);
            }
            LateOp => {}
            Left(floor, seq) => {
                let floors: Vec<u64> = FLOORS.into_iter().filter(|&other| other <= floor).collect();
                let state = fold_with(&ops(seq, None), &floors);
                checkpoint::write(disk, JournalPosition { seq, batch: seq }, &state).expect("there is room");
            }
            Zeros(first) => {
                let mut bytes = disk.read(&segment::name(first)).expect("there");
                bytes[RECORDS_AT + 20..RECORDS_AT + 250].fill(0);
                disk.put(&segment::name(first), bytes);
            }
            LastRecord(first) => {
                let bytes = disk.read(&segment::name(first)).expect("there");
                let last = bytes.iter().rposition(|&byte| byte != 0).expect("records");
                flip(segment::name(first), last);
            }
        }
    }
}

/// The outcome of a start.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// It has this many ops and prints no warning. That is right: the folder is sound.
    Sound(u64),
    /// It has this many ops and prints no warning. The check still finds damage that the start need not read.
    Silent(u64, &'static str),
    /// It has this many ops and warns.
    Warns(u64, &'static [&'static str]),
    /// It is refused.
    Refused(&'static [&'static str]),
}
use Start::{Refused, Silent, Sound, Warns};

/// The warning about missing ops that a start does not need.
const LACKING: &str = "neither give them to other trackers";
const GONE: &str = "acknowledged may be gone";

/// Each loss, the outcome of a start, and the outcome of a start after a repair.
const TABLE: &[(&[Loss], Start, Start)] = &[
    (&[], Sound(55), Sound(55)),
    (&[NoCheckpoint(NEWER)], Sound(55), Sound(55)),
    (&[NoCheckpoint(OLDER), NoCheckpoint(NEWER)], Sound(55), Sound(55)),
    // Checkpoints.
    (&[Checkpoint(OLDER)], Silent(55, "20.checkpoint is damaged"), Sound(55)),
    (&[Checkpoint(NEWER)], Warns(55, &["40.checkpoint is damaged"]), Sound(55)),
    (&[Checkpoint(OLDER), Checkpoint(NEWER)], Warns(55, &["40.checkpoint is", "20.checkpoint is"]), Sound(55)),
    // Losses before the checkpoint from which a start goes on.
    (&[Segment(1)], Warns(55, &["01.journal is missing", LACKING]), Warns(55, &["01.journal is missing", LACKING])),
    (&[Segment(10)], Warns(55, &["10.journal is missing", LACKING]), Warns(55, &["10.journal is missing", LACKING])),
    (&[Segment(21)], Warns(55, &["21.journal is missing", LACKING]), Warns(55, &["21.journal is missing", LACKING])),
    (&[Segment(39)], Warns(55, &["39.journal is missing", LACKING]), Warns(55, &["39.journal is missing", LACKING])),
    (&[Header(10)], Warns(55, &["10.journal", "header", LACKING]), Warns(55, &["10.journal", "header", LACKING])),
    (
        &[Unreadable(10)],
        Warns(55, &["10.journal cannot be read", LACKING]),
        Warns(55, &["10.journal cannot be read", LACKING]),
    ),
    (&[Record(10)], Silent(55, "10.journal is damaged at byte"), Silent(55, "10.journal is damaged at byte")),
    (
        &[Segment(1), Checkpoint(NEWER)],
        Warns(55, &["40.checkpoint is damaged", "01.journal is missing", LACKING]),
        Warns(55, &["01.journal is missing", LACKING]),
    ),
    // Losses behind it.
    (&[Segment(41)], Refused(&["41.journal is missing"]), Sound(40)),
    (&[Header(41)], Refused(&["41.journal is damaged at byte 0"]), Sound(55)),
    (&[Record(41)], Refused(&["41.journal is damaged at byte"]), Sound(43)),
    (
        &[SegmentsFrom(41)],
        Warns(40, &["40.checkpoint is passed over because", "41.journal is missing", GONE]),
        Sound(40),
    ),
    (
        &[SegmentsFrom(39)],
        Refused(&["40.checkpoint goes up to record 40", "end with record 38"]),
        Warns(40, &["39.journal is missing", LACKING]),
    ),
    (
        &[SegmentsFrom(39), Checkpoint(NEWER)],
        Refused(&["40.checkpoint goes up to record 40", "end with record 38"]),
        Sound(38),
    ),
    (
        &[SegmentsFrom(1)],
        Refused(&["41.journal is missing", "40.checkpoint is passed over"]),
        Warns(40, &["01.journal is missing", LACKING]),
    ),
    (
        &[Segment(1), SegmentsFrom(41)],
        Warns(40, &["40.checkpoint is passed over", "01.journal is missing", LACKING]),
        Warns(40, &["01.journal is missing", LACKING]),
    ),
    // Losses that leave no checkpoint usable with what lies behind it.
    (&[Checkpoint(NEWER), Segment(21)], Refused(&["21.journal is missing"]), Sound(20)),
    (
        &[Checkpoint(OLDER), Checkpoint(NEWER), Segment(1)],
        Refused(&["01.journal is missing", "40.checkpoint is damaged"]),
        Sound(0),
    ),
    (&[Checkpoint(OLDER), Checkpoint(NEWER), Segment(10)], Refused(&["10.journal is missing"]), Sound(9)),
    (&[NoCheckpoint(OLDER), NoCheckpoint(NEWER), Segment(1)], Refused(&["01.journal is missing"]), Sound(0)),
    (&[LateOp], Sound(56), Sound(56)),
    (&[LateOp, Segment(1)], Refused(&["01.journal is missing"]), Sound(0)),
    (&[LateOp, Segment(21)], Refused(&["21.journal is missing"]), Sound(20)),
];

const BEFORE: &str = "no start can go back to an older one";

/// The outcome of a start, and the floor of the state then.
type FlooredStart = (Start, u64);

/// The same for a journal with two bases.
const FLOORED: &[(&[Loss], FlooredStart, FlooredStart)] = &[
    (&[], (Sound(65), 35), (Sound(65), 35)),
    (&[NoCheckpoint(60)], (Sound(65), 35), (Sound(65), 35)),
    (&[LateOp], (Sound(66), 35), (Sound(66), 35)),
    // A crash before the files that the newer base replaces were removed.
    (&[Left(15, 40)], (Sound(65), 35), (Sound(65), 35)),
    (&[Left(0, 40), NoCheckpoint(60)], (Sound(65), 35), (Sound(65), 35)),
    // Bases and checkpoints.
    (&[Checkpoint(60)], (Warns(65, &["60.checkpoint is damaged"]), 35), (Sound(65), 35)),
    (&[Base(15)], (Silent(65, "15.base is damaged"), 35), (Sound(65), 35)),
    (&[NoBase(15)], (Sound(65), 35), (Sound(65), 35)),
    (&[Base(35)], (Warns(65, &["35.base is damaged", "passed over"]), 15), (Sound(65), 15)),
    (&[Base(35), Checkpoint(60)], (Warns(65, &["35.base is damaged", "60.checkpoint is"]), 15), (Sound(65), 15)),
    (&[NoBase(35)], (Warns(65, &["60.checkpoint is passed over", "35.base is missing"]), 15), (Sound(65), 15)),
    (
        &[Base(15), Base(35)],
        (Refused(&["01.journal is missing", "35.base is damaged", "15.base is damaged"]), 0),
        (Sound(0), 0),
    ),
    (&[NoBase(15), NoBase(35)], (Refused(&["01.journal is missing", "no base takes its place"]), 0), (Sound(0), 0)),
    (&[OtherBase(35, 9)], (Refused(&["35.base has format 9", "a newer version"]), 35), (Refused(&[]), 35)),
    (&[OtherBase(35, 0)], (Refused(&["35.base has format 0", "an older version"]), 35), (Refused(&[]), 35)),
    (&[OtherSegment(61, 1)], (Refused(&["61.journal has format 1", "an older version"]), 35), (Refused(&[]), 35)),
    // Losses below the newer base.
    (&[Segment(10)], (Warns(65, &["10.journal is missing", BEFORE]), 35), (Sound(65), 35)),
    (&[Segment(21)], (Warns(65, &["21.journal is missing", BEFORE]), 35), (Sound(65), 35)),
    (&[Header(19)], (Warns(65, &["19.journal", "header", BEFORE]), 35), (Sound(65), 35)),
    (&[Record(21)], (Silent(65, BEFORE), 35), (Sound(65), 35)),
    // Losses below it in the segment where a start begins.
    (&[Record(30)], (Silent(65, "30.journal is damaged at byte"), 35), (Sound(65), 35)),
    (&[Zeros(30)], (Silent(65, BEFORE), 35), (Sound(65), 35)),
    (&[Zeros(30), NoBase(15)], (Sound(65), 35), (Sound(65), 35)),
    (&[Zeros(30), NoCheckpoint(60)], (Silent(65, BEFORE), 35), (Sound(65), 35)),
    (&[Zeros(30), Base(35)], (Refused(&["30.journal is damaged at byte", "35.base is damaged"]), 35), (Sound(29), 15)),
    (&[LateOp, Zeros(30)], (Silent(66, BEFORE), 35), (Sound(66), 35)),
    // Losses above it in that segment.
    (&[LastRecord(30), NoCheckpoint(60)], (Refused(&["30.journal is damaged at byte"]), 35), (Sound(37), 35)),
    (&[Zeros(30), LastRecord(30), NoCheckpoint(60)], (Refused(&["30.journal is damaged"]), 35), (Sound(37), 35)),
    (&[Segment(10), Base(35)], (Refused(&["10.journal is missing", "35.base is damaged"]), 15), (Sound(15), 15)),
    (&[Segment(21), Base(35)], (Refused(&["21.journal is missing"]), 15), (Sound(20), 15)),
    // Losses between the newer base and its checkpoint.
    (&[Segment(30)], (Warns(65, &["30.journal is missing", LACKING]), 35), (Warns(65, &["30.journal", LACKING]), 35)),
    (&[Segment(41)], (Warns(65, &["41.journal is missing", LACKING]), 35), (Warns(65, &["41.journal", LACKING]), 35)),
    (&[Segment(41), Checkpoint(60)], (Refused(&["41.journal is missing"]), 35), (Sound(40), 35)),
    (
        &[Segment(30), Checkpoint(60)],
        (Refused(&["30.journal is missing", "35.base is passed over"]), 35),
        (Sound(35), 35),
    ),
    (&[LateOp, Segment(41)], (Refused(&["41.journal is missing"]), 35), (Sound(40), 35)),
    (
        &[Base(35), SegmentsFrom(30), NoCheckpoint(60)],
        (Refused(&["35.base is damaged", "floor 35"]), 15),
        (Sound(29), 15),
    ),
    // Losses behind the checkpoint.
    (
        &[Segment(61)],
        (Warns(60, &["60.checkpoint is passed over", "61.journal is missing", GONE]), 35),
        (Sound(60), 35),
    ),
    (
        &[SegmentsFrom(41)],
        (Refused(&["60.checkpoint goes up to record 60", "end with record 40"]), 35),
        (Warns(60, &["41.journal is missing", LACKING]), 35),
    ),
    (
        &[SegmentsFrom(30), NoCheckpoint(60)],
        (Refused(&["30.journal is missing", "35.base is passed over"]), 35),
        (Sound(35), 35),
    ),
    (&[SegmentsFrom(1), NoCheckpoint(60)], (Refused(&["30.journal is missing"]), 35), (Sound(35), 35)),
];

/// The ops of the journal. The late op has a place that an op of this tracker could have had.
fn ops(count: u64, late: Option<u64>) -> Vec<Op> {
    let other = Origin { tracker: 2, incarnation: 5 };
    let late = late.map(|lamport| Op { lamport, ..op_under(other, 1, 1) });
    (1..=count).map(|seq| op_under(origin(), seq, 0)).chain(late).collect()
}

/// Starts, and checks that the outcome is as expected. The check before must have said the same.
fn judge(what: &str, disk: &MemDisk, ops: &[Op], (expected, floor): (Start, u64)) {
    let names = disk.names();
    let checked = inspect::check(disk);
    assert_eq!(disk.names(), names, "{what}: checking changes nothing");
    let said = Said::default();
    let opened = said.open(&disk.after_kill(), SETTINGS);
    let told = said.take().join("\n");
    let has =
        |text: &str, words: &[&str]| words.iter().for_each(|words| assert!(text.contains(words), "{what}: {text}"));
    let (count, sound) = match (&opened, expected) {
        (Err(error), Refused(words)) => {
            let error = error.to_string();
            has(&error, words);
            assert!(error.contains("tracker --repair /data") || error.contains("use that"), "{what}: {error}");
            return assert_eq!(checked.err().map(|error| error.to_string()), Some(error), "{what}");
        }
        (Err(error), _) => panic!("{what}: {error}"),
        (Ok(_), Refused(_)) => panic!("{what}: it starts, and says {told:?}"),
        (Ok(_), Sound(count)) => (count, true),
        (Ok(_), Silent(count, _) | Warns(count, _)) => (count, false),
    };
    let opened = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    let Inspection { lines, sound: found, state } = checked.unwrap_or_else(|error| panic!("{what}: {error}"));
    let report = lines.join("\n");
    assert_eq!(found, sound, "{what}: {report}");
    match expected {
        Warns(_, words) => [&told, &report].iter().for_each(|text| has(text, words)),
        Silent(_, words) => has(&report, &[words]),
        Sound(_) | Refused(_) => {}
    }
    assert_eq!(told.is_empty(), !matches!(expected, Warns(..)), "{what}: {told}");
    let kept = &ops[..count as usize];
    let floors: Vec<u64> = FLOORS.into_iter().filter(|&other| other <= floor).collect();
    assert_eq!(opened.past.state().floor(), floor, "{what}");
    assert_eq!(opened.past.state().digest(), fold_with(kept, &floors).digest(), "{what}");
    assert_eq!(state.digest(), opened.past.state().digest(), "{what}");
    let mut given = 0;
    let read = opened.source.read(&mut |_| {
        given += 1;
        true
    });
    let above = kept.iter().filter(|op| op.lamport > floor).count();
    assert!(!sound || (read.is_ok() && given == above), "{what}: {given} ops can be given to others");
    let base = opened.source.base().unwrap_or_else(|error| panic!("{what}: {error}"));
    let below: Vec<Op> = kept.iter().filter(|op| op.lamport <= floor).cloned().collect();
    assert_eq!(base.digest(), fold_with(&below, &floors).digest(), "{what}");
}

/// Inflicts the losses, then starts, checks, repairs and starts again.
fn lose(disk: &MemDisk, ops: &[Op], losses: &[Loss], start: (Start, u64), repaired: (Start, u64)) {
    let disk = disk.after_kill();
    losses.iter().for_each(|loss| loss.inflict(&disk));
    judge(&format!("{losses:?}"), &disk, ops, start);
    let temp = tempfile::tempdir().expect("a folder");
    let (from, copy) = (temp.path().join("from"), temp.path().join("copy"));
    std::fs::create_dir(&from).expect("made");
    let told = Journal::repair(Arc::new(disk.clone()), (&from, &copy), 99, Arc::new(|_: &str| {}));
    let told = match (told, repaired.0) {
        (Ok((told, _)), _) => told,
        (Err(_), Refused([])) => return,
        (Err(error), _) => panic!("{losses:?}: {error}"),
    };
    judge(&format!("{losses:?}, repaired: {told:?}"), &disk, ops, repaired);
}

fn is_late(losses: &[Loss]) -> bool {
    losses.iter().any(|loss| matches!(loss, LateOp))
}

#[test]
fn a_start_a_check_and_a_repair_agree_whatever_is_lacking() {
    let scenes = [None, Some(1)].map(|late| ops(COUNT, late)).map(|ops| (whole(&ops), ops));
    for (losses, start, repaired) in TABLE {
        let (disk, ops) = &scenes[usize::from(is_late(losses))];
        lose(disk, ops, losses, (*start, 0), (*repaired, 0));
    }
}

#[test]
fn they_agree_too_where_there_are_bases() {
    let scenes = [None, Some(50)].map(|late| ops(FLOORED_COUNT, late)).map(|ops| (floored(&ops), ops));
    for (losses, start, repaired) in FLOORED {
        let (disk, ops) = &scenes[usize::from(is_late(losses))];
        lose(disk, ops, losses, *start, *repaired);
    }
}

#[test]
fn a_start_removes_what_no_start_can_use_and_the_check_behind_it_is_content() {
    let ops = ops(FLOORED_COUNT, None);
    let whole = floored(&ops);
    let cases: [(&[Loss], &[&str]); 4] = [
        (&[Base(35)], &["35.base", "60.checkpoint"]),
        (&[NoBase(35)], &["60.checkpoint"]),
        (&[Checkpoint(60)], &["60.checkpoint"]),
        (&[Base(35), Checkpoint(60)], &["35.base", "60.checkpoint"]),
    ];
    for (losses, gone) in cases {
        let disk = whole.after_kill();
        losses.iter().for_each(|loss| loss.inflict(&disk));
        let said = Said::default();
        drop(said.open(&disk, SETTINGS).expect("starts"));
        let told = said.take().join("\n");
        let removed = told.lines().find(|line| line.starts_with("removed, because")).unwrap_or_default();
        gone.iter().for_each(|name| assert!(removed.contains(name), "{losses:?}: {told}"));
        assert!(!disk.names().iter().any(|name| gone.iter().any(|gone| name.ends_with(gone))), "{:?}", disk.names());
        let checked = inspect::check(&disk).expect("readable");
        assert!(checked.sound && checked.state.op_count() == FLOORED_COUNT, "{losses:?}: {:?}", checked.lines);
        drop(said.open(&disk, SETTINGS).expect("starts"));
        assert_eq!(said.take(), [""; 0], "{losses:?}");
    }
}

#[test]
fn damage_below_the_first_base_keeps_no_tracker_from_its_start_and_a_repair_makes_it_sound() {
    let ops = ops(30, None);
    let disk = MemDisk::default();
    let settings = JournalSettings { checkpoint_ops: u64::MAX, segment_len_max: u64::MAX, ..SETTINGS };
    let OpenedJournal { mut journal, bases, .. } = Said::default().open(&disk, settings).expect("an empty disk");
    // Batches of three, so the floor lies in the middle of one.
    ops.chunks(3).for_each(|batch| journal.append(batch).expect("kept"));
    bases.keep(&fold_with(&ops[..15 + 2], &[17])).expect("kept");
    drop(journal);
    Zeros(1).inflict(&disk);
    let start = || {
        let said = Said::default();
        let opened = said.open(&disk, settings).expect("starts");
        assert_eq!(said.take(), [""; 0]);
        assert_eq!(opened.past.state().digest(), fold_with(&ops, &[17]).digest());
    };
    start();
    let checked = inspect::check(&disk).expect("readable");
    let report = checked.lines.join("\n");
    assert!(!checked.sound && report.contains("01.journal is damaged at byte") && report.contains(BEFORE), "{report}");
    let temp = tempfile::tempdir().expect("a folder");
    let (from, copy) = (temp.path().join("from"), temp.path().join("copy"));
    std::fs::create_dir(&from).expect("made");
    let told = Journal::repair(Arc::new(disk.clone()), (&from, &copy), 99, Arc::new(|_: &str| {}));
    let (told, _) = told.expect("repaired");
    assert!(told.iter().any(|line| line.contains("no damage that keeps the tracker from starting")), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("what is older than")), "{told:?}");
    start();
    let checked = inspect::check(&disk).expect("readable");
    assert!(checked.sound, "{:?}", checked.lines);
}

fn repair(disk: &MemDisk) -> Result<(), String> {
    let temp = tempfile::tempdir().expect("a folder");
    let (from, copy) = (temp.path().join("from"), temp.path().join("copy"));
    std::fs::create_dir(&from).expect("made");
    let done = Journal::repair(Arc::new(disk.clone()), (&from, &copy), 99, Arc::new(|_: &str| {}));
    done.map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn a_start_or_a_repair_that_is_killed_at_any_call_can_be_done_again() {
    let ops = ops(FLOORED_COUNT, None);
    let whole = floored(&ops);
    let cases: [(&[Loss], bool, u64, u64); 5] = [
        (&[Base(35)], false, 65, 15),
        (&[Base(35)], true, 65, 15),
        (&[Zeros(30)], true, 65, 35),
        (&[SegmentsFrom(30), NoCheckpoint(60)], true, 35, 35),
        (&[Zeros(30), LastRecord(30), NoCheckpoint(60)], true, 37, 35),
    ];
    for (losses, repaired, count, floor) in cases {
        let disk = whole.after_kill();
        losses.iter().for_each(|loss| loss.inflict(&disk));
        disk.sync_folder().expect("it is in memory");
        let run = |disk: &MemDisk| match repaired {
            true => repair(disk),
            false => Said::default().open(disk, SETTINGS).map(|_| ()).map_err(|error| error.to_string()),
        };
        let clean = disk.after_kill();
        clean.fail_at(u64::MAX, Fault::Kill);
        run(&clean).expect("done");
        (1..=clean.calls()).into_par_iter().for_each(|call| {
            let disk = disk.after_kill();
            disk.fail_at(call, Fault::Kill);
            let _ = run(&disk);
            for (way, disk) in [disk.after_kill(), disk.after_power_loss(call)].iter().enumerate() {
                let what = format!("{losses:?}, repaired: {repaired}, call {call}, way {way}");
                run(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                judge(&what, disk, &ops, (Sound(count), floor));
            }
        });
    }
}

#[test]
fn a_floor_passes_over_damage_that_lies_below_it() {
    let ops = ops(FLOORED_COUNT, None);
    let whole = floored(&ops);
    // The start with the floor begins at the checkpoint, and does not see these losses.
    for loss in [Zeros(41), LastRecord(41), Record(30), Header(41), Segment(41), Unreadable(41)] {
        let disk = whole.after_kill();
        loss.inflict(&disk);
        let OpenedJournal { journal, bases, .. } = Said::default().open(&disk, SETTINGS).expect("starts");
        bases.keep(&fold_with(&ops[..52], &[15, 35, 52])).unwrap_or_else(|error| panic!("{loss:?}: {error}"));
        bases.clear().expect("removed");
        drop(journal);
        let said = Said::default();
        let opened = said.open(&disk, SETTINGS).unwrap_or_else(|error| panic!("{loss:?}: {error}"));
        assert_eq!(opened.past.state().digest(), fold_with(&ops, &[15, 35, 52]).digest(), "{loss:?}");
        assert!(!said.take().join("\n").contains("passed over"), "{loss:?}");
    }
    // Behind the last own op below the floor, nothing shows a loss.
    let disk = whole.after_kill();
    LastRecord(50).inflict(&disk);
    let OpenedJournal { journal, bases, .. } = Said::default().open(&disk, SETTINGS).expect("starts");
    bases.keep(&fold_with(&ops[..58], &[15, 35, 58])).expect("kept");
    drop(journal);
    let error = Said::default().open(&disk, SETTINGS).err().expect("it may be above the floor").to_string();
    assert!(error.contains("50.journal is damaged at byte"), "{error}");
}
