//! A tracker's data: a journal with any changes in it, and checkpoints of any bytes. The journal opens or is refused,
//! and after a successful start it opens again.

use super::fold::encoded;
use super::history::{self, Trackers};
use super::script::Script;
use super::{Folder, is_one_line};
use byteorder::{BigEndian, ByteOrder};
use groupshare::model::id::{CommandId, OpId};
use groupshare::model::op::{Op, OpBody};
use groupshare::tracker::commit::OpLog;
use groupshare::tracker::journal::base::adoption::UnplacedSink;
use groupshare::tracker::journal::checkpoint;
use groupshare::tracker::journal::disk::{Disk, RealDisk};
use groupshare::tracker::journal::inspect::{Inspection, check};
use groupshare::tracker::journal::reader::RecoveryOptions;
use groupshare::tracker::journal::record::JournalPosition;
use groupshare::tracker::journal::record::{HEAD_LEN, OP_LEN_MAX};
use groupshare::tracker::journal::recovery::recover;
use groupshare::tracker::journal::segment::{PAGE_LEN, RECORDS_AT};
use groupshare::tracker::journal::{Journal, JournalError, JournalOwner, JournalSettings, OpenedJournal};
use groupshare::tracker::state::State;
use parking_lot::Mutex;
use std::fs;
use std::io;
use std::sync::{Arc, OnceLock};

const OWNER: JournalOwner = JournalOwner { tracker: 1, fresh_incarnation: 77 };
const SMALL: JournalSettings =
    JournalSettings { checkpoint_ops: 10, segment_len_max: RECORDS_AT as u64 + 2000, chunk_len: 600 };
/// Most files that a script makes.
const FILES_MAX: usize = 8;
/// Longest file that a script makes.
const LEN_MAX: usize = 64 * 1024;
/// Where the checksum of a record stands.
const RECORD_CHECKSUM_AT: usize = HEAD_LEN - 4;

type Files = Vec<(String, Vec<u8>)>;

/// A journal of some segments and checkpoints.
fn sound() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let (_folder, disk) = disk();
        let OpenedJournal { mut journal, past, .. } = open(&disk, &Arc::default()).expect("an empty folder");
        let mut state = past.state().clone();
        // Every kind of op, from one tracker and in sequence.
        let bytes: Vec<u8> = (0..40u8).flat_map(|n| [0x38, n, n / 3 * 4, n, n.wrapping_mul(9)]).collect();
        let (mut script, mut trackers) = (Script::new(&bytes), Trackers::new());
        let mut size = 1;
        loop {
            let batch: Vec<Op> = std::iter::from_fn(|| trackers.op(&mut script)).take(size).collect();
            if batch.is_empty() {
                break;
            }
            journal.append(&batch).expect("there is room");
            batch.iter().for_each(|op| state.apply(op));
            journal.kept(&state);
            journal.wait_for_checkpoint();
            size = size % 4 + 1;
        }
        drop(journal);
        let mut names = disk.list().expect("it is there");
        names.sort();
        let read = |name: String| {
            let bytes = disk.read(&name).expect("it is there");
            (name, bytes)
        };
        let files: Files = names.into_iter().map(read).collect();
        assert!(files.len() > 3, "segments and checkpoints");
        files
    })
}

fn disk() -> (Folder, Arc<RealDisk>) {
    let folder = Folder::new();
    let disk = RealDisk::open(folder.path()).expect("a folder");
    (folder, Arc::new(disk))
}

/// For journals that adopt no base.
struct NoList;

impl UnplacedSink for NoList {
    fn keep(&mut self, _: &[Op], _: &State) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

type Said = Arc<Mutex<Vec<String>>>;

fn open(disk: &Arc<RealDisk>, said: &Said) -> Result<OpenedJournal, JournalError> {
    let said = said.clone();
    let warn = Arc::new(move |line: &str| said.lock().push(line.to_owned()));
    Journal::open(disk.clone(), OWNER, SMALL, warn, &mut NoList)
}

/// The first byte says which checksums are corrected at the end, so that the bytes behind them are read. The rest are
/// changes of a sound journal.
pub(super) fn journal(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(mend) = script.byte() else { return };
    let mut files = sound().clone();
    while change(&mut files, &mut script).is_some() {}
    let (folder, disk) = disk();
    for (name, mut bytes) in files {
        bytes.truncate(LEN_MAX);
        if mend & 1 != 0 {
            mend_pages(&mut bytes);
        }
        if mend & 2 != 0 {
            mend_records(&mut bytes);
        }
        if mend & 4 != 0 {
            mend_checkpoint(&mut bytes);
        }
        fs::write(folder.path().join(name), bytes).expect("room");
    }
    check_journal(&disk);
}

/// One change; `None` at the end of the script.
fn change(files: &mut Files, script: &mut Script<'_>) -> Option<()> {
    let (what, which, at) = (script.byte()?, script.byte()?, script.number()?);
    let count = files.len();
    let (_, bytes) = files.get_mut(usize::from(which) % count.max(1))?;
    // Most places are before the records or among them.
    let at = usize::from(at) % (bytes.len() + 1);
    match what % 9 {
        0..=2 => {
            let new = script.bytes(usize::from(what >> 4) + 1);
            let len = new.len().min(bytes.len() - at);
            bytes[at..at + len].copy_from_slice(&new[..len]);
        }
        3 => bytes.truncate(at),
        4 => {
            let new = script.bytes(usize::from(what));
            bytes.splice(at..at, new.iter().copied());
        }
        5 => bytes[at..].fill(0),
        6 => drop(files.remove(usize::from(which) % count)),
        7 => {
            let copy = bytes.clone();
            let name = files[at % count].0.clone();
            files.retain(|(other, _)| *other != name);
            files.push((name, copy));
        }
        _ => {
            let digits = if at % 5 == 0 { u64::MAX } else { at as u64 };
            let suffix = if what >> 4 == 0 { "checkpoint" } else { "journal" };
            let copy = bytes.clone();
            if count < FILES_MAX {
                files.push((format!("{digits:020}.{suffix}"), copy));
            }
        }
    }
    Some(())
}

/// Corrects the checksums of the three pages of a segment.
fn mend_pages(bytes: &mut [u8]) {
    if bytes.starts_with(b"GSHJ") && bytes.len() >= RECORDS_AT {
        for page in bytes[..RECORDS_AT].chunks_mut(PAGE_LEN) {
            let (content, checksum) = page.split_at_mut(PAGE_LEN - 4);
            BigEndian::write_u32(checksum, crc32fast::hash(content));
        }
    }
}

/// Corrects the checksums of a segment's records, as far as their lengths lead.
fn mend_records(bytes: &mut [u8]) {
    let mut at = RECORDS_AT;
    while bytes.starts_with(b"GSHJ") && bytes.len() >= at + HEAD_LEN {
        let op_len = BigEndian::read_u32(&bytes[at..at + 4]) as usize;
        let Some(record) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..HEAD_LEN + op_len)) else { return };
        if op_len == 0 || op_len > OP_LEN_MAX {
            return;
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&record[..RECORD_CHECKSUM_AT]);
        hasher.update(&record[HEAD_LEN..]);
        BigEndian::write_u32(&mut record[RECORD_CHECKSUM_AT..HEAD_LEN], hasher.finalize());
        at += HEAD_LEN + op_len;
    }
}

/// Corrects the digest of a checkpoint.
fn mend_checkpoint(bytes: &mut [u8]) {
    if bytes.starts_with(b"GSHC") && bytes.len() >= 32 {
        let (content, checksum) = bytes.split_at_mut(bytes.len() - 32);
        checksum.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, content).as_ref());
    }
}

fn check_journal(disk: &Arc<RealDisk>) {
    for force in [false, true] {
        if let Err(error) = recover(&**disk, RecoveryOptions { tracker: None, checkpoints: false, force }) {
            assert!(is_one_line(&error), "{error}");
        }
    }
    let checked = check(&**disk);
    if let Ok(Inspection { lines, .. }) = &checked {
        assert!(lines.iter().all(is_one_line), "{lines:?}");
    }
    let said = Said::default();
    let opened = match open(disk, &said) {
        Ok(opened) => opened,
        Err(error) => return assert!(is_one_line(&error), "{error}"),
    };
    let said = said.lock().join("\n");
    assert!(checked.is_ok(), "a start works, and the check fails: {:?}", checked.err());
    assert!(!matches!(checked, Ok(Inspection { sound: true, .. })) || said.is_empty(), "the check was content: {said}");
    let OpenedJournal { mut journal, past, origin, .. } = opened;
    let state = past.state();
    // The op that is appended now stays, behind the earlier ones.
    let last = state.lamport().checked_add(1);
    let op = last.map(|lamport| Op {
        id: OpId { origin, seq: 1 },
        lamport,
        command: CommandId([0xee; 16]),
        body: OpBody::CreateUser { name: history::user_name(0), password: history::password(0) },
    });
    let fresh = state.seen(origin) == 0;
    if let Some(op) = op.iter().find(|_| fresh) {
        journal.append(std::slice::from_ref(op)).expect("there is room");
    }
    drop(journal);
    let again = Said::default();
    let found = open(disk, &again).expect("it was opened before").past;
    // A useless checkpoint stays until there are better ones. Every start reports what is missing.
    let stays = |line: &String| ["passed over", "neither give them"].iter().any(|words| line.contains(words));
    assert!(again.lock().iter().all(stays), "{:?}", again.lock());
    let mut expected = state.clone();
    op.iter().filter(|_| fresh).for_each(|op| expected.apply(op));
    assert_eq!(found.state().digest(), expected.digest());
}

/// The bytes of a state, as in a checkpoint behind its head. If they decode, encoding and decoding the state again
/// gives an equal one.
pub(super) fn checkpoint(data: &[u8]) {
    let state = match State::decode(data) {
        Ok(state) => state,
        Err(error) => return assert!(is_one_line(&error), "{error}"),
    };
    let bytes = encoded(&state);
    assert_eq!(State::decode(&bytes).map(|again| encoded(&again)).as_ref(), Ok(&bytes));
    let (_folder, disk) = disk();
    let position = JournalPosition { seq: state.op_count(), batch: 3 };
    checkpoint::write(&*disk, position, &state).expect("there is room");
    let (found, read) = checkpoint::read(&*disk, position.seq).expect("it was just written");
    assert_eq!((found, encoded(&read)), (position, bytes));
}
