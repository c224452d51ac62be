//! A base on its way from one journal to another. The disks fail at every call.

use crate::faulty_disk::{Fault, MemDisk};
use crate::journal::{Said, op_under, origin};
use groupshare::model::op::floor::FloorMark;
use groupshare::tracker::commit::{BaseError, BasePart, BaseStore, OpLog};
use groupshare::tracker::journal::disk::Disk;
use groupshare::tracker::journal::{JournalSettings, OpenedJournal};
use groupshare::tracker::state::State;
use rustix::io::Errno;
use std::sync::Arc;

const INCOMING: &str = "base.incoming";

/// The base over this many ops.
fn base(count: u64) -> State {
    let mut state = State::new();
    (1..=count).for_each(|seq| state.apply(&op_under(origin(), seq, 0)));
    state.prune(count);
    state
}

fn mark(base: &State) -> FloorMark {
    FloorMark { lamport: base.floor(), base: base.digest() }
}

fn open(disk: &MemDisk) -> OpenedJournal {
    Said::default().open(disk, JournalSettings::default()).expect("sound")
}

/// A tracker's store with the bases of its floors at these numbers of ops.
fn giver(counts: &[u64]) -> Arc<dyn BaseStore> {
    let OpenedJournal { mut journal, bases, .. } = open(&MemDisk::default());
    for &count in counts {
        journal.append(&(1..=count).map(|seq| op_under(origin(), seq, 0)).collect::<Vec<_>>()).expect("kept");
        bases.keep(&base(count)).expect("kept");
    }
    bases
}

/// All parts of a base, each with `len` bytes.
fn parts(of: &dyn BaseStore, floor: FloorMark, len: usize) -> Vec<Vec<u8>> {
    let (mut all, mut offset) = (Vec::new(), 0);
    loop {
        let BasePart { total, bytes } = of.part(floor, offset, len).expect("readable").expect("the newest");
        offset += bytes.len() as u64;
        all.push(bytes);
        if offset == total {
            return all;
        }
    }
}

/// Passes all parts on, then asks whether the base is complete.
fn give(to: &dyn BaseStore, floor: FloorMark, parts: &[Vec<u8>]) -> Result<bool, BaseError> {
    let mut offset = 0;
    for part in parts {
        to.take_part(floor, offset, part)?;
        offset += part.len() as u64;
    }
    to.taken(floor)
}

fn left(disk: &MemDisk) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.contains("incoming")).collect()
}

#[test]
fn the_newest_base_is_given_in_parts_and_taken_whole() {
    let from = giver(&[20, 40]);
    let floor = mark(&base(40));
    for len in [1000, 100_000] {
        let disk = MemDisk::default();
        assert_eq!(give(&*open(&disk).bases, floor, &parts(&*from, floor, len)), Ok(true));
        assert_eq!(left(&disk.after_power_loss(3)), [INCOMING]);
        // The bytes hold a head without a place, the state, and a checksum.
        let bytes = disk.read(INCOMING).expect("there");
        let state = State::decode(&bytes[43..bytes.len() - 32]).expect("a state");
        assert_eq!(mark(&state), floor);
    }
    for other in [mark(&base(20)), FloorMark::default(), FloorMark { lamport: 41, ..floor }] {
        assert_eq!(from.part(other, 0, 1000).expect("readable"), None);
    }
    let beyond = from.part(floor, u64::MAX, 1000).expect("readable").expect("the newest");
    assert!(beyond.bytes.is_empty() && beyond.total > 1000);
}

#[test]
fn bytes_that_are_not_the_base_of_their_floor_leave_nothing_behind() {
    let from = giver(&[40]);
    let floor = mark(&base(40));
    let whole = parts(&*from, floor, 1000);
    let disk = MemDisk::default();
    let to = open(&disk).bases;
    let mut changed = whole.clone();
    changed[0][7] ^= 1;
    assert_eq!(give(&*to, floor, &changed), Ok(false));
    assert_eq!(give(&*to, floor, &whole[1..]), Ok(false));
    assert_eq!(to.taken(floor), Ok(false), "nothing was taken");
    // The right name, but no state, or a state on another floor.
    let named = |bytes: &[u8]| {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        FloorMark { base: digest.as_ref().try_into().expect("32 bytes"), ..floor }
    };
    assert_eq!(give(&*to, named(b"no state"), &[b"no state".to_vec()]), Ok(false));
    assert_eq!(give(&*to, FloorMark { lamport: 39, ..floor }, &whole), Ok(false));
    assert_eq!(left(&disk), [""; 0]);
    // A gap, another floor in the middle, and an early end.
    to.take_part(floor, 0, &whole[0]).expect("kept");
    assert!(to.take_part(floor, 999, &whole[1]).is_err());
    to.take_part(floor, 0, &whole[0]).expect("kept");
    assert!(to.take_part(FloorMark { lamport: 39, ..floor }, 1000, &whole[1]).is_err());
    to.take_part(floor, 0, &whole[0]).expect("kept");
    to.give_up();
    assert_eq!(left(&disk), [""; 0]);
    assert_eq!(give(&*to, floor, &whole), Ok(true));
    to.give_up();
    assert_eq!(left(&disk), [INCOMING], "it was taken whole");
}

#[test]
fn a_disk_that_fails_at_any_call_keeps_nothing_or_all_and_the_journal_goes_on() {
    let from = giver(&[40]);
    let floor = mark(&base(40));
    let whole = parts(&*from, floor, 1000);
    for call in 1.. {
        let disk = MemDisk::default();
        let OpenedJournal { mut journal, bases, .. } = open(&disk);
        disk.fail_at(call, Fault::Error(Errno::NOSPC));
        let taken = give(&*bases, floor, &whole);
        let failed = disk.calls() >= call;
        disk.fail_at(u64::MAX, Fault::Error(Errno::NOSPC));
        match &taken {
            Ok(is_it) => assert!(is_it),
            Err(why) => assert!(matches!(why, BaseError::Unchanged(_)), "{why}"),
        }
        journal.append(&[op_under(origin(), 1, 0)]).expect("it was no file of its own");
        assert_eq!(give(&*bases, floor, &whole), Ok(true), "it can be given again after call {call}");
        if !failed {
            return;
        }
    }
}
