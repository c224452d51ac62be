//! What a start, `--check` and `--repair` make of a journal that lacks files or has damaged ones. One table holds for all
//! three, and docs/JOURNAL.md has it.

use crate::faulty_disk::MemDisk;
use crate::journal::{Said, fold, op_under, origin};
use groupshare::model::id::Origin;
use groupshare::model::op::Op;
use groupshare::tracker::commit::OpLog;
use groupshare::tracker::journal::checkpoint;
use groupshare::tracker::journal::disk::Disk;
use groupshare::tracker::journal::inspect::{self, Inspection};
use groupshare::tracker::journal::segment;
use groupshare::tracker::journal::segment::RECORDS_AT;
use groupshare::tracker::journal::{Journal, JournalSettings, OpenedJournal};
use std::sync::Arc;

/// A checkpoint every twenty ops, a segment every ten or so.
const SETTINGS: JournalSettings =
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
    /// The disk does not give this segment.
    Unreadable(u64),
    /// This checkpoint is damaged.
    Checkpoint(u64),
    /// This checkpoint is gone.
    NoCheckpoint(u64),
    /// There is another tracker's op, which belongs before the checkpoints.
    LateOp,
}
use Loss::{Checkpoint, Header, LateOp, NoCheckpoint, Record, Segment, SegmentsFrom, Unreadable};

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
                SEGMENTS.iter().filter(|&&seq| seq >= first).for_each(|&seq| Segment(seq).inflict(disk))
            }
            Header(first) => flip(segment::name(first), 20),
            Record(first) => flip(segment::name(first), RECORDS_AT + 300),
            Unreadable(first) => disk.spoil(&segment::name(first)),
            Checkpoint(seq) => flip(checkpoint::name(seq), 100),
            NoCheckpoint(seq) => disk.remove(&checkpoint::name(seq)).expect("there"),
            LateOp => {}
        }
    }
}

/// What a start does.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// It has so many ops, says nothing and is right to do so: the folder is sound.
    Sound(u64),
    /// It has so many ops and says nothing, but the check finds what the start need not read.
    Silent(u64, &'static str),
    /// It has so many ops and warns.
    Warns(u64, &'static [&'static str]),
    /// It is refused.
    Refused(&'static [&'static str]),
}
use Start::{Refused, Silent, Sound, Warns};

/// What is said where ops are lacking that a start does not need.
const LACKING: &str = "neither give them to other trackers";
const GONE: &str = "acknowledged may be gone";

/// Each loss, what a start makes of it, and what a start makes of it after a repair.
const TABLE: &[(&[Loss], Start, Start)] = &[
    (&[], Sound(55), Sound(55)),
    (&[NoCheckpoint(NEWER)], Sound(55), Sound(55)),
    (&[NoCheckpoint(OLDER), NoCheckpoint(NEWER)], Sound(55), Sound(55)),
    // Checkpoints.
    (&[Checkpoint(OLDER)], Silent(55, "20.checkpoint is damaged"), Sound(55)),
    (&[Checkpoint(NEWER)], Warns(55, &["40.checkpoint is damaged"]), Sound(55)),
    (&[Checkpoint(OLDER), Checkpoint(NEWER)], Warns(55, &["40.checkpoint is", "20.checkpoint is"]), Sound(55)),
    // What lies before the checkpoint from which a start goes on.
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
    // What lies behind it.
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
    // Where no checkpoint can be used with what lies behind it.
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

/// The ops of the journal. The late one has a place that an op of this tracker could have had.
fn ops(late: bool) -> Vec<Op> {
    let other = op_under(Origin { tracker: 2, incarnation: 5 }, 1, 1);
    let own = (1..=COUNT).map(|seq| op_under(origin(), seq, 0));
    own.chain(late.then_some(other)).collect()
}

/// Starts, and looks whether the outcome is as expected and whether the check has said the same before.
fn judge(what: &str, disk: &MemDisk, ops: &[Op], expected: Start) {
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
            has(&error, &["tracker --repair /data"]);
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
    let mut kept = ops[..count as usize].to_vec();
    kept.sort_by_key(Op::order);
    assert_eq!(opened.past.state().digest(), fold(&kept).digest(), "{what}");
    assert_eq!(state.digest(), opened.past.state().digest(), "{what}");
    let mut given = 0;
    let read = opened.source.read(&mut |_| {
        given += 1;
        true
    });
    assert!(!sound || (read.is_ok() && given == count), "{what}: {given} ops can be given to others");
}

#[test]
fn a_start_a_check_and_a_repair_agree_whatever_is_lacking() {
    let scenes = [false, true].map(|late| (ops(late), whole(&ops(late))));
    for (losses, start, repaired) in TABLE {
        let late = losses.iter().any(|loss| matches!(loss, LateOp));
        let (ops, disk) = &scenes[usize::from(late)];
        let disk = disk.after_kill();
        losses.iter().for_each(|loss| loss.inflict(&disk));
        judge(&format!("{losses:?}"), &disk, ops, *start);
        let temp = tempfile::tempdir().expect("a folder");
        let (from, copy) = (temp.path().join("from"), temp.path().join("copy"));
        std::fs::create_dir(&from).expect("made");
        let told = Journal::repair(Arc::new(disk.clone()), (&from, &copy), 99, Arc::new(|_: &str| {}));
        let (told, _) = told.unwrap_or_else(|error| panic!("{losses:?}: {error}"));
        judge(&format!("{losses:?}, repaired: {told:?}"), &disk, ops, *repaired);
    }
}
