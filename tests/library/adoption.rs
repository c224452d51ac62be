//! A journal adopts the base of another tracker. The disk fails at every call, and the power fails at every call.

use crate::faulty_disk::{Fault, MemDisk};
use crate::journal::{Said, fold, op_under, origin};
use groupshare::model::id::{CommandId, OpId, Origin, Seen};
use groupshare::model::op::floor::{FloorMark, FloorProposal};
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::commit::OpLog;
use groupshare::tracker::journal::base;
use groupshare::tracker::journal::checkpoint;
use groupshare::tracker::journal::disk::Disk;
use groupshare::tracker::journal::inspect;
use groupshare::tracker::journal::segment::{self, RECORDS_AT};
use groupshare::tracker::journal::{JournalSettings, OpenedJournal};
use groupshare::tracker::state::State;
use rayon::prelude::*;
use ring::digest::{SHA256, digest};
use rustix::io::Errno;
use std::sync::Arc;

const SETTINGS: JournalSettings =
    JournalSettings { checkpoint_ops: 12, segment_len_max: RECORDS_AT as u64 + 1200, chunk_len: 700 };
const INCOMING: &str = "base.incoming";
/// The floor of the other trackers' base.
const TAKEN: u64 = 40;
/// The floors that the journal itself had before the absence.
const OWN: [u64; 2] = [6, 14];

fn other() -> Origin {
    Origin { tracker: 2, incarnation: 5 }
}

/// The ops of this tracker, and when it issued them: up to 20 while it was connected, up to 26 alone.
fn own_ops() -> Vec<Op> {
    (1..=26).map(|seq| op_under(origin(), seq, 0)).collect()
}

/// The ops of another tracker.
fn other_ops() -> Vec<Op> {
    (1..=50).map(|seq| Op { lamport: seq + 2, ..op_under(other(), seq, 1) }).collect()
}

fn in_order(ops: &[&[Op]]) -> Vec<Op> {
    let mut all: Vec<Op> = ops.concat();
    all.sort_by_key(Op::order);
    all
}

/// The base up to a floor over these ops, with floors before it.
fn base_at(ops: &[Op], floors: &[u64]) -> State {
    let (mut state, mut from) = (State::new(), 0);
    for &floor in floors {
        let end = ops.partition_point(|op| op.lamport <= floor);
        ops[from..end].iter().for_each(|op| state.apply(op));
        state.prune(floor);
        from = end;
    }
    state
}

/// The base of the others. It has the ops that this tracker had issued while it was connected.
fn taken() -> State {
    base_at(&in_order(&[&own_ops()[..20], &other_ops()]), &[6, 14, TAKEN])
}

/// A base in the form in which another tracker sends it.
fn incoming(base: &State) -> Vec<u8> {
    let mut bytes = b"GSHBASE\n\x00\x03".to_vec();
    bytes.extend([0; 33]);
    let taken: Result<(), ()> = base.encode(|part| {
        bytes.extend_from_slice(part);
        Ok(())
    });
    taken.expect("memory");
    let checksum = digest(&SHA256, &bytes);
    bytes.extend_from_slice(checksum.as_ref());
    bytes
}

/// The ops of this tracker when it comes back: its own ones, and the first ten of the other.
fn held() -> Vec<Op> {
    let (own, others) = (own_ops(), other_ops());
    let mut all = in_order(&[&own[..20], &others[..10]]);
    all.extend_from_slice(&own[20..]);
    // Also two above the floor that it has missed.
    all.push(Op { lamport: TAKEN + 3, ..op_under(Origin { tracker: 3, incarnation: 9 }, 1, 2) });
    all.push(Op { lamport: TAKEN + 4, ..op_under(Origin { tracker: 3, incarnation: 9 }, 2, 2) });
    all
}

/// The journal of a tracker that was away. It may have floors of its own.
fn away(floors: &[u64]) -> MemDisk {
    let disk = MemDisk::default();
    let OpenedJournal { mut journal, bases, .. } = Said::default().open(&disk, SETTINGS).expect("an empty disk");
    let held = held();
    let mut floors_taken = 0;
    for count in 1..=held.len() {
        journal.append(&held[count - 1..count]).expect("kept");
        let passed = floors.iter().filter(|&&floor| held[count - 1].lamport >= floor + 3).count();
        if passed > floors_taken {
            floors_taken = passed;
            bases.keep(&base_at(&in_order(&[&held[..count]]), &floors[..passed])).expect("kept");
            bases.clear().expect("removed");
        }
        let mut state = base_at(&in_order(&[&held[..count]]), &floors[..floors_taken]);
        let above = in_order(&[&held[..count]]).into_iter().filter(|op| op.lamport > state.floor());
        above.collect::<Vec<_>>().iter().for_each(|op| state.apply(op));
        journal.kept(&state);
        journal.wait_for_checkpoint();
    }
    drop(journal);
    disk
}

/// The state of the tracker after the adoption.
fn expected() -> State {
    let mut state = taken();
    held()[held().len() - 2..].iter().for_each(|op| state.apply(op));
    state
}

/// Changes from the time alone. The base lacks them. The one above its floor lies behind them.
fn lost() -> Vec<Op> {
    own_ops()[20..].to_vec()
}

/// Starts until a start succeeds, and checks the result.
fn verify(disk: &MemDisk, what: &str) {
    let said = Said::default();
    let opened = said.open(disk, SETTINGS).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(opened.past.state().digest(), expected().digest(), "{what}");
    let mark = opened.past.floor().mark;
    assert_eq!((mark.lamport, mark.base), (TAKEN, taken().digest()), "{what}");
    let names = disk.names();
    assert!(!names.iter().any(|name| name == INCOMING), "{what}: {names:?}");
    assert_eq!(names.iter().filter_map(|name| base::lamport(name)).collect::<Vec<_>>(), [TAKEN], "{what}");
    // The journal must also accept another write.
    let OpenedJournal { mut journal, mut past, source, .. } = opened;
    let next = Op { lamport: past.state().lamport() + 1, ..op_under(Origin { tracker: 1, incarnation: 99 }, 1, 7) };
    journal.append(std::slice::from_ref(&next)).unwrap_or_else(|error| panic!("{what}: {error}"));
    past.apply(next);
    let mut given = Vec::new();
    let read = source.read_in_order(&mut |op| {
        given.push(op.lamport);
        true
    });
    read.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(given, [TAKEN + 3, TAKEN + 4, TAKEN + 5], "{what}");
    drop(journal);
    let checked = inspect::check(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(checked.sound, "{what}: {:?}", checked.lines);
    let again = Said::default().open(disk, SETTINGS).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    assert_eq!(again.past.state().digest(), past.state().digest(), "{what}, again");
    assert!(!again.adopted, "{what}");
}

#[test]
fn a_start_adopts_the_base_that_was_taken_and_lists_what_has_no_place() {
    for floors in [&[][..], &OWN[..1], &OWN] {
        let disk = away(floors);
        assert!(disk.names().iter().any(|name| checkpoint::seq(name).is_some()), "{:?}", disk.names());
        disk.put(INCOMING, incoming(&taken()));
        let checked = inspect::check(&disk).expect("readable");
        assert!(checked.sound, "{:?}", checked.lines);
        assert!(checked.lines.iter().any(|line| line.contains("base.incoming")), "{:?}", checked.lines);
        let said = Said::default();
        let opened = said.open(&disk, SETTINGS).expect("starts");
        assert!(opened.adopted);
        assert_eq!(said.unplaced(), lost(), "{floors:?}");
        assert_eq!(said.take(), [""; 0], "{floors:?}");
        drop(opened);
        verify(&disk, &format!("{floors:?}"));
    }
}

#[test]
fn an_empty_tracker_adopts_a_base_and_never_starts_without_it() {
    let disk = MemDisk::default();
    drop(Said::default().open(&disk, SETTINGS).expect("an empty disk"));
    disk.put(INCOMING, incoming(&taken()));
    let said = Said::default();
    let opened = said.open(&disk, SETTINGS).expect("starts");
    assert!(opened.adopted && said.unplaced().is_empty());
    assert_eq!(opened.past.state().digest(), taken().digest());
    drop(opened);
    disk.put(&base::name(TAKEN), b"damaged".to_vec());
    let error = said.open(&disk, SETTINGS).err().expect("it would be empty").to_string();
    assert!(error.contains("40.base is damaged"), "{error}");
}

#[test]
fn a_base_that_is_damaged_or_no_higher_is_not_adopted() {
    let before = fold(&in_order(&[&held()])).digest();
    let mut damaged = incoming(&taken());
    damaged[60] ^= 1;
    let birth = incoming(&State::new());
    for (bytes, words) in [(damaged, "base.incoming is damaged"), (birth, "")] {
        let disk = away(&[]);
        disk.put(INCOMING, bytes);
        let said = Said::default();
        let opened = said.open(&disk, SETTINGS).expect("starts");
        assert_eq!(opened.past.state().digest(), before);
        assert!(!opened.adopted && !disk.names().contains(&INCOMING.to_owned()));
        let told = said.take().join("\n");
        assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{told}");
    }
}

#[test]
fn a_former_base_that_holds_more_is_kept_aside() {
    // The others know nothing of the ops below this tracker's own floors.
    let theirs = base_at(&in_order(&[&other_ops()]), &[TAKEN]);
    let disk = away(&OWN);
    disk.put(INCOMING, incoming(&theirs));
    let said = Said::default();
    let opened = said.open(&disk, SETTINGS).expect("starts");
    let told = said.take().join("\n");
    assert!(told.contains("14.left") && told.contains("lacks changes that were below the floor"), "{told}");
    assert!(disk.read(&format!("{:020}.left", OWN[1])).is_ok());
    assert_eq!(said.unplaced().len(), own_ops().iter().filter(|op| op.lamport > OWN[1]).count());
    assert_eq!(opened.past.floor().mark.lamport, TAKEN);
    drop(opened);
    let checked = inspect::check(&disk).expect("readable");
    assert!(
        checked.sound && checked.lines.iter().any(|line| line.contains("14.left is a base")),
        "{:?}",
        checked.lines
    );
}

#[test]
fn a_base_that_is_kept_aside_replaces_none_that_was_kept_before() {
    for theirs in [base_at(&in_order(&[&other_ops()]), &[TAKEN]), other_at_own_floor()] {
        let disk = away(&OWN);
        disk.put(INCOMING, incoming(&theirs));
        let kept = |number: &str| format!("{:020}{number}.left", OWN[1]);
        disk.put(&kept(""), b"kept before".to_vec());
        disk.put(&kept("-2"), b"and before".to_vec());
        let said = Said::default();
        drop(said.open(&disk, SETTINGS).expect("starts"));
        let told = said.take().join("\n");
        assert!(told.contains("14-3.left"), "{told}");
        assert_eq!(disk.read(&kept("")).expect("kept"), b"kept before");
        assert_eq!(disk.read(&kept("-2")).expect("kept"), b"and before");
        let back = MemDisk::default();
        back.put(INCOMING, disk.read(&kept("-3")).expect("kept"));
        let opened = Said::default().open(&back, SETTINGS).expect("starts");
        assert_eq!(opened.past.floor().mark.lamport, OWN[1]);
    }
}

/// A base at a floor that this tracker has too, made of other changes, and with the higher mark.
fn other_at_own_floor() -> State {
    let own = base_at(&in_order(&[&held()]), &OWN).digest();
    let others = (1..12).map(|count| base_at(&other_ops()[..count], &OWN[1..]));
    others.into_iter().find(|base| base.digest() > own).expect("one of eleven")
}

#[test]
fn a_former_base_of_the_same_floor_is_kept_aside_though_any_call_fails() {
    let theirs = other_at_own_floor();
    let own = base_at(&in_order(&[&held()]), &OWN);
    let disk = away(&OWN);
    disk.put(INCOMING, incoming(&theirs));
    let clean = disk.after_kill();
    clean.fail_at(u64::MAX, Fault::Kill);
    let said = Said::default();
    let opened = said.open(&clean, SETTINGS).expect("starts");
    assert_eq!(opened.past.floor().mark, FloorMark { lamport: OWN[1], base: theirs.digest() });
    drop(opened);
    let told = said.take().join("\n");
    assert!(told.contains("14.left") && told.contains("another one at the same floor"), "{told}");
    let left = format!("{:020}.left", OWN[1]);
    for call in 1..=clean.calls() {
        let disk = disk.after_kill();
        disk.fail_at(call, Fault::Kill);
        drop(Said::default().open(&disk, SETTINGS));
        for disk in [disk.after_kill(), disk.after_power_loss(call)] {
            drop(Said::default().open(&disk, SETTINGS).expect("starts"));
            // The documented way back is to rename that file. Then the next start takes its base.
            let kept = disk.read(&left).expect("kept");
            let back = MemDisk::default();
            back.put(INCOMING, kept);
            let opened = Said::default().open(&back, SETTINGS).expect("starts");
            assert_eq!(opened.past.state().digest(), own.digest(), "call {call}");
        }
    }
}

/// A folder with a pending adoption.
struct Scene {
    what: String,
    disk: MemDisk,
    unplaced: Vec<Op>,
    verify: fn(&MemDisk, &str),
}

impl Scene {
    /// A base comes from another tracker. The journal has these floors of its own.
    fn taking(floors: &[u64]) -> Self {
        let disk = away(floors);
        disk.put(INCOMING, incoming(&taken()));
        Self { what: format!("floors {floors:?}"), disk, unplaced: lost(), verify }
    }

    /// Tracker 2 has promised a floor that leaves out some ops of the journal.
    fn yielding(floors: &[u64]) -> Self {
        let disk = away(floors);
        let OpenedJournal { mut journal, past, .. } = Said::default().open(&disk, SETTINGS).expect("sound");
        journal.append(&[promise(past.floor().mark)]).expect("kept");
        drop(journal);
        Self { what: format!("yielding, floors {floors:?}"), disk, unplaced: excluded(), verify: verify_yielded }
    }
}

/// Tracker 2 promises a floor at 22 on top of another one, where this tracker had issued 18 ops.
fn promise(after: FloorMark) -> Op {
    let seen = |origin, seq| Seen { origin, seq };
    let floor = FloorProposal {
        after,
        mark: FloorMark { lamport: 22, base: [4; 32] },
        vector: vec![seen(origin(), 18), seen(other(), 10)],
        participants: vec![1, 2],
    };
    let id = OpId { origin: other(), seq: 11 };
    let body = OpBody::PromiseFloor { proposal: OpId { origin: other(), seq: 9 }, floor: Arc::new(floor) };
    Op { id, lamport: TAKEN + 9, command: CommandId::NONE, body }
}

/// The ops that this floor excludes, and the later ops of the same origin.
fn excluded() -> Vec<Op> {
    own_ops()[18..].to_vec()
}

fn verify_yielded(disk: &MemDisk, what: &str) {
    let opened = Said::default().open(disk, SETTINGS).unwrap_or_else(|error| panic!("{what}: {error}"));
    let floors: Vec<u64> = OWN.into_iter().filter(|&floor| floor <= opened.past.state().floor()).collect();
    let all: Vec<Op> =
        held().into_iter().chain([promise(opened.past.floor().mark)]).filter(|op| !excluded().contains(op)).collect();
    let all = in_order(&[&all]);
    let mut expected = base_at(&all, &floors);
    all.iter().filter(|op| floors.last().is_none_or(|&floor| op.lamport > floor)).for_each(|op| expected.apply(op));
    assert_eq!(opened.past.state().digest(), expected.digest(), "{what}");
    drop(opened);
    let again = Said::default();
    let opened = again.open(disk, SETTINGS).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    assert_eq!(opened.past.state().digest(), expected.digest(), "{what}, again");
    assert!(again.unplaced().is_empty(), "{what}: it yields twice");
}

#[test]
fn a_start_yields_to_a_promise_that_excludes_what_it_holds() {
    for floors in [&[][..], &OWN] {
        let Scene { what, disk, unplaced, .. } = Scene::yielding(floors);
        let said = Said::default();
        let opened = said.open(&disk, SETTINGS).expect("starts");
        assert_eq!(said.unplaced(), unplaced, "{what}");
        assert_eq!(opened.past.state().floor(), floors.last().copied().unwrap_or(0));
        drop(opened);
        verify_yielded(&disk, &what);
        let checked = inspect::check(&disk).expect("readable");
        assert!(checked.sound, "{what}: {:?}", checked.lines);
    }
}

#[test]
fn whichever_call_of_an_adoption_fails_the_next_start_goes_on() {
    let scenes = [Scene::taking(&[]), Scene::taking(&OWN), Scene::yielding(&[]), Scene::yielding(&OWN)];
    for Scene { what, disk, unplaced, verify } in scenes {
        let calls = {
            let disk = disk.after_kill();
            disk.fail_at(u64::MAX, Fault::Kill);
            drop(Said::default().open(&disk, SETTINGS).expect("starts"));
            disk.calls()
        };
        assert!(calls > 20, "{calls}");
        (1..=calls).into_par_iter().for_each(|call| {
            for fault in [Fault::Error(Errno::IO), Fault::Error(Errno::NOSPC), Fault::Kill] {
                let disk = disk.after_kill();
                disk.fail_at(call, fault);
                let said = Said::default();
                drop(said.open(&disk, SETTINGS));
                let what = format!("{what}, call {call}, {fault:?}");
                let is_there = disk.names().contains(&base::name(TAKEN));
                assert!(!is_there || said.unplaced() == unplaced, "{what}: ops without a place are not listed first");
                verify(&disk.after_kill(), &what);
                if let Ok(checked) = inspect::check(&disk.after_kill()) {
                    let faults = checked.lines.iter().filter(|line| line.contains("a start works; but"));
                    assert_eq!(faults.count(), 0, "{what}: {:?}", checked.lines);
                }
                for again in (1..=calls).step_by(9).filter(|_| fault == Fault::Kill) {
                    let disk = disk.after_power_loss(call);
                    disk.fail_at(again, Fault::Kill);
                    drop(Said::default().open(&disk, SETTINGS));
                    verify(&disk.after_power_loss(again), &format!("{what}, then call {again}"));
                }
                for seed in 0..2 {
                    let disk = disk.after_power_loss(call * 100 + seed);
                    verify(&disk, &format!("{what}, then power lost, seed {seed}"));
                }
            }
        });
    }
}

#[test]
fn a_floor_is_taken_though_any_call_fails() {
    const FLOORS: [u64; 3] = [4, 12, 20];
    let all = in_order(&[&own_ops()]);
    // With this there are checkpoints of each floor when the next floor comes.
    let settings = JournalSettings { checkpoint_ops: 3, ..SETTINGS };
    let fold_at = |count: usize, floors: &[u64]| {
        let mut state = base_at(&all[..count], floors);
        let floor = state.floor();
        all[..count].iter().filter(|op| op.lamport > floor).for_each(|op| state.apply(op));
        state
    };
    let run = |disk: &MemDisk| {
        let Ok(OpenedJournal { mut journal, bases, .. }) = Said::default().open(disk, settings) else { return 0 };
        let (mut kept, mut passed) = (0, 0);
        for count in 1..=all.len() {
            if journal.append(&all[count - 1..count]).is_err() {
                break;
            }
            kept = count;
            journal.kept(&fold_at(count, &FLOORS[..passed]));
            journal.wait_for_checkpoint();
            if let Some(next) = [9, 17, 25].iter().position(|&at| at == count) {
                // The next floor repeats writes and removals that failed.
                if bases.keep(&base_at(&all[..count], &FLOORS[..=next])).is_ok() {
                    passed = next + 1;
                    let _ = bases.clear();
                }
            }
        }
        kept
    };
    let clean = MemDisk::default();
    clean.fail_at(u64::MAX, Fault::Kill);
    assert_eq!(run(&clean), all.len());
    let segments: Vec<String> = clean.names().into_iter().filter(|name| segment::first_seq(name).is_some()).collect();
    assert!(!segments.contains(&segment::name(1)) && segments.len() > 1, "{:?}", clean.names());
    let floors_of = |state: &State| FLOORS.into_iter().filter(|&floor| floor <= state.floor()).collect::<Vec<_>>();
    (1..=clean.calls()).into_par_iter().for_each(|call| {
        for fault in [Fault::Error(Errno::IO), Fault::Error(Errno::NOSPC), Fault::Short, Fault::Kill] {
            let disk = MemDisk::default();
            disk.fail_at(call, fault);
            let kept = run(&disk);
            let disks = [disk.after_kill(), disk.after_power_loss(call), disk.after_power_loss(call + 1000)];
            for (way, disk) in disks.iter().enumerate() {
                let what = format!("call {call}, {fault:?}, way {way}");
                let checked = inspect::check(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                let report = checked.lines.join("\n");
                // A crash may leave half of the last batch, or half of its mark.
                let torn = ["a start cuts off", "one of the two marks"].iter().any(|words| report.contains(words));
                assert!(checked.sound || torn, "{what}: {report}");
                assert!(!["passed over", "a start works; but"].iter().any(|words| report.contains(words)), "{what}");
                let said = Said::default();
                let opened = said.open(disk, settings).unwrap_or_else(|error| panic!("{what}: {error}"));
                let state = opened.past.state();
                let count = state.op_count() as usize;
                assert!(count >= kept && count <= kept + 1, "{what}: {count} of {kept}");
                assert_eq!(state.digest(), fold_at(count, &floors_of(state)).digest(), "{what}");
                let told = said.take().join("\n");
                assert!(!told.contains("passed over") && !told.contains("go back"), "{what}: {told}");
            }
        }
    });
}

#[test]
fn a_base_is_taken_whole_or_not_at_all_though_any_call_fails() {
    let (disk, base) = (away(&OWN), incoming(&taken()));
    let before = Said::default().open(&disk.after_kill(), SETTINGS).expect("starts").past.state().digest();
    let floor = FloorMark { lamport: TAKEN, base: taken().digest() };
    let state = &base[43..base.len() - 32];
    let run = |disk: &MemDisk| {
        let opened = Said::default().open(disk, SETTINGS).ok()?;
        for (i, part) in state.chunks(state.len() / 3 + 1).enumerate() {
            opened.bases.take_part(floor, (i * (state.len() / 3 + 1)) as u64, part).ok()?;
        }
        opened.bases.taken(floor).ok().filter(|&taken| taken)
    };
    let clean = disk.after_kill();
    clean.fail_at(u64::MAX, Fault::Kill);
    assert_eq!(run(&clean), Some(true));
    (1..=clean.calls()).into_par_iter().for_each(|call| {
        for fault in [Fault::Error(Errno::IO), Fault::Error(Errno::NOSPC), Fault::Short, Fault::Kill] {
            let disk = disk.after_kill();
            disk.fail_at(call, fault);
            let taken = run(&disk).is_some();
            let disks = [disk.after_kill(), disk.after_power_loss(call), disk.after_power_loss(call + 1000)];
            for (way, disk) in disks.iter().enumerate() {
                let what = format!("call {call}, {fault:?}, way {way}");
                let checked = inspect::check(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(checked.sound, "{what}: {:?}", checked.lines);
                let said = Said::default();
                let opened = said.open(disk, SETTINGS).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(said.take(), [""; 0], "{what}");
                assert!(opened.adopted || !taken, "{what}: a base that was taken is not adopted");
                let expected = if opened.adopted { expected().digest() } else { before };
                assert_eq!(opened.past.state().digest(), expected, "{what}");
            }
        }
    });
}
