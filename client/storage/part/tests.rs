//! Tests of the part: the files on the disk before, during and after a download.

use super::body::SMALL_LEN;
use super::reservation::Allocate;
use super::*;
use crate::client::download::error::DownloadError;
use crate::client::download::verify::{fill_from, finish, is_complete, verify_existing};
use crate::client::hash::piece_hash::sha1_of;
use crate::client::hash::piece_hash::tests::noise;
use crate::client::storage::file_stamp::Stamps;
use crate::client::storage::shared_files::SharedFiles;
use crate::model::digest::Sha1Digest;
use crate::model::manifest::{FileEntry, FileTime};
use crate::model::name::{FileName, GroupId};
use crate::model::path::RelPath;
use crate::model::piece::PIECE_LEN;
use rustix::io::Errno;
use std::fs::{self, Permissions};
use std::os::unix::fs::FileExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PIECE: usize = PIECE_LEN as usize;

/// A share in memory, and a folder for its download.
struct Bench {
    temp: TempDir,
    bytes: Vec<u8>,
    manifest: Arc<Manifest>,
    label: PartLabel,
}

impl Bench {
    fn new(files: &[(&str, usize)]) -> Self {
        Self::of(files, noise(files.iter().map(|(_, len)| len).sum()))
    }

    /// Random bytes, with zeros in these pieces.
    fn with_zeros(files: &[(&str, usize)], zeros: &[usize]) -> Self {
        let mut bytes = noise(files.iter().map(|(_, len)| len).sum());
        for piece in zeros {
            let end = bytes.len().min((piece + 1) * PIECE);
            bytes[piece * PIECE..end].fill(0);
        }
        Self::of(files, bytes)
    }

    fn of(files: &[(&str, usize)], bytes: Vec<u8>) -> Self {
        let entry =
            |(path, len): &(&str, usize)| FileEntry { path: RelPath::parse(path).expect("a path"), len: *len as u64 };
        let pieces = bytes.chunks(PIECE).map(sha1_of).collect();
        let files = files.iter().map(entry).collect();
        let manifest = Arc::new(Manifest::new(files, pieces).expect("in order"));
        Self { temp: tempfile::tempdir().expect("a temporary folder"), bytes, manifest, label: label(1) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn open_with(&self, allocate: Allocate) -> Result<OpenedPart, PartError> {
        self.open_on(RoomMaker { allocate, is_slow: |_| Ok(false) })
    }

    fn open_on(&self, maker: RoomMaker) -> Result<OpenedPart, PartError> {
        Part::open_with(&self.path("f"), self.manifest.clone(), &self.label, PartRecord::Absent.into(), maker)
    }

    /// Opens the part as a client with a record of it does.
    fn open_recorded(&self, record: PartRecord) -> Result<OpenedPart, PartError> {
        Part::open(&self.path("f"), self.manifest.clone(), &self.label, record)
    }

    fn discard(&self) -> Result<Option<LeftAlone>, PartError> {
        Part::discard(&self.path("f"), &self.label.info_hash, Some(&self.manifest))
    }

    fn open(&self) -> Part {
        match self.open_with(space::allocate_range) {
            Ok(OpenedPart::Part(part)) => part,
            other => panic!("no part: {other:?}"),
        }
    }

    fn refusal(&self) -> PartError {
        self.open_with(space::allocate_range).expect_err("it is refused")
    }

    /// The room on the disk of a part or of its complete files.
    fn room(&self, name: &str) -> u64 {
        let files = self.manifest.files().iter().map(|file| file.path.placed_in(&self.path(name)));
        files.map(|file| fs::metadata(file).expect("there").blocks() * 512).sum()
    }

    fn piece(&self, number: u32) -> (PieceIndex, &[u8]) {
        let layout = self.manifest.layout();
        let piece = layout.index(number).expect("there");
        let at = layout.offset(piece) as usize;
        (piece, &self.bytes[at..at + layout.len(piece) as usize])
    }

    fn write(&self, part: &Part, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            let (piece, data) = self.piece(number);
            part.write_piece(piece, data.into()).expect("written");
        }
    }

    fn write_all(&self, part: &Part) {
        self.write(part, (0..self.manifest.layout().count()).rev());
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.temp.path()).expect("there");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("read").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }
}

fn label(byte: u8) -> PartLabel {
    let (group, name) = (GroupId::parse("lab").expect("a name"), FileName::parse("f.bin").expect("a name"));
    PartLabel { group, name, info_hash: InfoHash([byte; 32]) }
}

fn verified(part: &Part) -> Vec<u32> {
    let layout = part.layout();
    let verified = verify_existing(part, &AtomicBool::new(false)).expect("nobody cancels");
    verified.have.iter(layout).map(PieceIndex::get).collect()
}

fn no_room(_: &File, _: Range<u64>) -> io::Result<()> {
    Err(Errno::NOSPC.into())
}

#[test]
fn pieces_written_by_many_threads_in_any_order_become_the_file_and_nothing_else_stays() {
    let bench = Bench::new(&[("f", 40 * PIECE + 17)]);
    let part = bench.open();
    assert!(part.is_fresh());
    assert_eq!(bench.names(), ["f.part", "f.part.meta"]);
    assert_eq!(fs::metadata(bench.path("f.part")).expect("there").len(), bench.bytes.len() as u64);
    std::thread::scope(|scope| {
        for first in 0..4 {
            let (bench, part) = (&bench, &part);
            scope.spawn(move || bench.write(part, (first..41).step_by(4).rev()));
        }
    });
    let (piece, data) = bench.piece(40);
    let mut served = vec![0; data.len()];
    part.read_piece(piece, &mut served).expect("served while it is downloaded");
    assert_eq!(served, data);
    part.finish().expect("the name is free");
    part.read_piece(piece, &mut served).expect("served afterwards too");
    drop(part);
    assert_eq!(bench.names(), ["f"]);
    assert!(fs::read(bench.path("f")).expect("there") == bench.bytes);
}

#[test]
fn only_what_is_right_on_the_disk_counts_when_a_download_is_resumed() {
    let bench = Bench::new(&[("f", 20 * PIECE + 1)]);
    let part = bench.open();
    bench.write(&part, [0, 3, 4, 11, 20]);
    drop(part);
    let file = fs::OpenOptions::new().write(true).open(bench.path("f.part")).expect("kept");
    file.write_all_at(b"damage", 4 * PIECE as u64 + 1000).expect("written");
    let part = bench.open();
    assert!(!part.is_fresh());
    assert_eq!(verified(&part), [0, 3, 11, 20]);
    assert!(verify_existing(&part, &AtomicBool::new(true)).is_none(), "cancelled");
    bench.write_all(&part);
    assert_eq!(verified(&part).len(), 21);
    part.finish().expect("the name is free");
}

#[test]
fn a_part_cut_short_is_resumed() {
    let bench = Bench::new(&[("f", 3 * PIECE)]);
    let part = bench.open();
    bench.write_all(&part);
    drop(part);
    let file = fs::OpenOptions::new().write(true).open(bench.path("f.part")).expect("kept");
    file.set_len(2 * PIECE as u64 + 5).expect("cut");
    let part = bench.open();
    assert_eq!(verified(&part), [0, 1]);
    assert_eq!(fs::metadata(bench.path("f.part")).expect("there").len(), 3 * PIECE as u64);
}

#[test]
fn a_symbolic_link_in_the_place_of_the_part_is_refused_and_its_target_untouched() {
    let bench = Bench::new(&[("f", 10)]);
    fs::write(bench.path("target"), "precious").expect("written");
    symlink("target", bench.path("f.part")).expect("made");
    assert!(matches!(bench.refusal(), PartError::Foreign(_, Foreign::Link)));
    // As before, with a sidecar that vouches for the part.
    let mut sidecar = Sidecar::lock(PartPaths::of(&bench.path("f")).expect("there"), false).expect("free");
    sidecar.write(&bench.label).expect("written");
    drop(sidecar);
    let error = bench.refusal();
    assert!(matches!(error, PartError::Foreign(_, Foreign::Link)), "{error}");
    assert_eq!(bench.discard().expect("looked at"), Some(LeftAlone::Other(bench.path("f.part"))));
    assert_eq!(fs::read(bench.path("target")).expect("there"), b"precious");
    assert!(bench.path("f.part").is_symlink());
}

#[test]
fn a_foreign_part_is_left_alone_and_no_trace_is_left_beside_it() {
    let bench = Bench::new(&[("f", 10)]);
    fs::write(bench.path("f.part"), "mine").expect("written");
    let error = bench.refusal();
    assert!(matches!(error, PartError::Foreign(_, Foreign::Unknown)), "{error}");
    assert_eq!(fs::read(bench.path("f.part")).expect("there"), b"mine");
    assert_eq!(bench.names(), ["f.part"]);
    assert_eq!(bench.discard().expect("looked at"), Some(LeftAlone::Other(bench.path("f.part"))));
    assert_eq!(bench.names(), ["f.part"]);
}

#[test]
fn a_part_that_was_swapped_between_two_runs_is_refused() {
    let bench = Bench::new(&[("f", 10)]);
    drop(bench.open());
    let part = bench.path("f.part");
    fs::hard_link(&part, bench.path("twin")).expect("linked");
    assert!(matches!(bench.refusal(), PartError::Foreign(_, Foreign::ManyNames)));
    fs::remove_file(bench.path("twin")).expect("removed");
    fs::write(&part, "longer than it should be").expect("written");
    assert!(matches!(bench.refusal(), PartError::Foreign(_, Foreign::TooLong)));
    fs::remove_file(&part).expect("removed");
    fs::create_dir(&part).expect("made");
    assert!(matches!(bench.refusal(), PartError::Foreign(_, Foreign::Kind)));
    fs::remove_dir(&part).expect("removed");
    assert!(bench.open().is_fresh(), "a sidecar alone is in nobody's way");
}

#[test]
fn two_clients_cannot_download_to_one_destination() {
    let bench = Bench::new(&[("f", 10)]);
    let first = bench.open();
    let error = bench.refusal();
    assert!(matches!(error, PartError::Busy(_)), "{error}");
    assert!(matches!(bench.discard(), Err(PartError::Busy(_))));
    bench.write_all(&first);
    first.finish().expect("unharmed");
}

#[test]
fn the_unfinished_download_of_something_else_is_named_and_kept() {
    let mut bench = Bench::new(&[("f", 10)]);
    drop(bench.open());
    bench.label = label(2);
    let error = bench.refusal();
    assert!(error.to_string().contains("is the unfinished download of f.bin from lab"), "{error}");
    assert_eq!(bench.discard().expect("nothing of ours to remove"), None);
    bench.label = label(1);
    assert!(!bench.open().is_fresh());
}

#[test]
fn a_file_that_took_the_destination_meanwhile_is_not_overwritten_and_the_part_is_kept() {
    let bench = Bench::new(&[("f", 10)]);
    let part = bench.open();
    bench.write_all(&part);
    fs::write(bench.path("f"), "mine").expect("written");
    let error = part.finish().expect_err("the name is taken");
    assert!(matches!(&error, PartError::Exists(path) if *path == bench.path("f")), "{error}");
    drop(part);
    assert_eq!(fs::read(bench.path("f")).expect("there"), b"mine");
    assert!(matches!(bench.refusal(), PartError::OtherContent(_)));
    fs::rename(bench.path("f"), bench.path("moved")).expect("moved");
    let part = bench.open();
    assert_eq!(verified(&part), [0]);
    part.finish().expect("the name is free again");
}

#[test]
fn a_part_removed_or_replaced_during_the_download_does_not_become_the_file() {
    let bench = Bench::new(&[("f", 10)]);
    let part = bench.open();
    bench.write_all(&part);
    fs::remove_file(bench.path("f.part")).expect("removed");
    assert!(matches!(part.finish(), Err(PartError::Foreign(_, Foreign::Replaced))));
    fs::write(bench.path("f.part"), "0123456789").expect("written");
    assert!(matches!(part.finish(), Err(PartError::Foreign(_, Foreign::Replaced))));
    assert_eq!(part.abandon().expect("given up"), Some(LeftAlone::Other(bench.path("f.part"))));
    assert_eq!(fs::read(bench.path("f.part")).expect("there"), b"0123456789");
}

#[test]
fn a_part_that_another_user_has_made_in_a_folder_for_everybody_is_left_alone() {
    for name in ["f.part", "f.part.meta"] {
        let bench = Bench::new(KINDS[0]);
        let part = bench.open();
        bench.write(&part, [1]);
        drop(part);
        fs::set_permissions(bench.temp.path(), Permissions::from_mode(0o1777)).expect("ours");
        // Only the system's administrator may give a file away.
        if std::os::unix::fs::chown(bench.path(name), Some(54321), None).is_err() {
            return;
        }
        let before = fs::read(bench.path("f.part")).expect("there");
        let error = bench.open_recorded(PartRecord::Begun).expect_err("it is somebody else's");
        assert!(matches!(error, PartError::Foreign(_, Foreign::Owner)), "{error}");
        assert!(fs::read(bench.path("f.part")).expect("there") == before && bench.path("f.part.meta").exists());
    }
}

#[test]
fn short_notes_in_the_place_of_a_file_of_a_folder_are_not_written_over() {
    let bench = Bench::new(KINDS[1]);
    let part = bench.open();
    bench.write(&part, [1]);
    drop(part);
    for entry in bench.manifest.files() {
        let own = entry.path.placed_in(&bench.path("f.part"));
        let kept = bench.path("kept");
        fs::rename(&own, &kept).expect("there");
        fs::write(&own, "my notes").expect("written");
        let error = bench.open_recorded(PartRecord::Begun).expect_err("it is somebody else's");
        assert!(matches!(&error, PartError::Foreign(path, Foreign::Unknown) if *path == own), "{error}");
        assert_eq!(fs::read(&own).expect("there"), b"my notes");
        fs::rename(&kept, &own).expect("there");
    }
    // A crash may leave a file shorter, but then nothing was written to it yet.
    let first = bench.manifest.files()[0].path.placed_in(&bench.path("f.part"));
    fs::write(&first, [0; 5]).expect("there");
    assert_eq!(verified(&bench.open()), [1]);
}

#[test]
fn bytes_that_others_added_to_the_part_never_become_a_part_of_the_file() {
    for files in KINDS {
        let bench = Bench::new(files);
        let part = bench.open();
        bench.write_all(&part);
        let last = bench.manifest.files().last().expect("one").path.placed_in(&bench.path("f.part"));
        let mut longer = fs::OpenOptions::new().append(true).open(&last).expect("there");
        io::Write::write_all(&mut longer, b"more").expect("room");
        let error = part.finish().expect_err("it is longer than what was verified");
        assert!(matches!(&error, PartError::Foreign(path, Foreign::TooLong) if *path == last), "{error}");
        assert!(!bench.path("f").exists() && fs::read(&last).expect("kept").ends_with(b"more"));
    }
}

#[test]
fn a_full_disk_is_told_before_the_first_byte_and_leaves_nothing() {
    for files in [&[("f", 10)][..], &[("d/a", 10), ("d/b", SMALL_LEN as usize + 1)]] {
        let bench = Bench::new(files);
        let error = bench.open_with(no_room).expect_err("no room");
        assert!(matches!(error, PartError::DiskFull(_, len) if len > 0), "{error}");
        assert!(bench.names().is_empty(), "{:?}", bench.names());
    }
}

#[test]
fn on_a_disk_in_memory_a_download_begins_at_once_and_ends_when_there_is_no_room() {
    let is_slow = |_: &File| Ok(true);
    for files in [&[("f", 3 * PIECE)][..], &[("d/a", 10), ("d/b", 3 * PIECE)]] {
        let bench = Bench::new(files);
        let part = match bench.open_on(RoomMaker { allocate: space::allocate_range, is_slow }) {
            Ok(OpenedPart::Part(part)) => part,
            other => panic!("no part: {other:?}"),
        };
        bench.write(&part, [0, 1, 2]);
        part.finish().expect("all is there");
        let bench = Bench::new(files);
        let part = match bench.open_on(RoomMaker { allocate: no_room, is_slow }) {
            Ok(OpenedPart::Part(part)) => part,
            other => panic!("no part: {other:?}"),
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        let (piece, data) = bench.piece(1);
        let error = loop {
            match part.write_piece(piece, data.into()) {
                Ok(()) => assert!(Instant::now() < deadline, "the full disk is never told"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, PartError::DiskFull(..)), "{error}");
    }
}

#[test]
fn a_full_disk_costs_no_byte_of_a_download_that_is_resumed() {
    let bench = Bench::new(&[("f", 3 * PIECE)]);
    let part = bench.open();
    bench.write(&part, [1]);
    drop(part);
    assert!(matches!(bench.open_with(no_room), Err(PartError::DiskFull(..))));
    assert_eq!(verified(&bench.open()), [1]);
}

#[test]
fn cancelling_removes_everything_and_frees_the_place_at_once() {
    for files in [&[("f", 10)][..], &[("d/sub/a", 10), ("d/sub/b", 0)]] {
        let bench = Bench::new(files);
        let part = bench.open();
        bench.write_all(&part);
        assert_eq!(part.abandon().expect("ours"), None);
        assert!(bench.names().is_empty());
        let next = bench.open();
        drop(part);
        assert_eq!(bench.names(), ["f.part", "f.part.meta"], "the one given up takes nothing with it");
        drop(next);
        assert_eq!(bench.discard().expect("ours"), None);
        assert_eq!(bench.discard().expect("done already"), None);
        let nowhere = Part::discard(&bench.path("none/f"), &bench.label.info_hash, None);
        assert_eq!(nowhere.expect("nothing there"), None);
        assert!(bench.names().is_empty());
    }
}

#[test]
fn a_folder_is_restored_with_its_empty_files_and_in_one_rename() {
    let files = [("d/a", 10), ("d/e", 0), ("d/s/b", 2 * PIECE), ("d/s/t/c", 3), ("d/z/1", 0), ("d/z/2", 0)];
    let bench = Bench::new(&files);
    let part = bench.open();
    bench.write(&part, [1]);
    drop(part);
    assert_eq!(bench.names(), ["f.part", "f.part.meta"]);
    let part = bench.open();
    assert_eq!(verified(&part), [1]);
    bench.write(&part, [2, 0]);
    part.finish().expect("the name is free");
    let (piece, data) = bench.piece(2);
    let mut served = vec![0; data.len()];
    part.read_piece(piece, &mut served).expect("served afterwards too");
    assert_eq!(served, data);
    drop(part);
    assert_eq!(bench.names(), ["f"]);
    let stream: Vec<u8> = files
        .iter()
        .flat_map(|(path, len)| {
            let content = fs::read(RelPath::parse(path).expect("a path").placed_in(&bench.path("f")));
            let content = content.expect("restored");
            assert_eq!(content.len(), *len);
            content
        })
        .collect();
    assert!(stream == bench.bytes);
}

#[test]
fn a_symbolic_link_inside_the_part_of_a_folder_leads_nowhere() {
    let bench = Bench::new(&[("d/s/a", 10)]);
    drop(bench.open());
    let outside = tempfile::tempdir().expect("a temporary folder");
    fs::write(outside.path().join("a"), "precious").expect("written");
    fs::remove_dir_all(bench.path("f.part/s")).expect("removed");
    symlink(outside.path(), bench.path("f.part/s")).expect("made");
    assert!(matches!(bench.refusal(), PartError::Foreign(..)));
    fs::remove_file(bench.path("f.part/s")).expect("removed");
    let part = bench.open();
    fs::rename(bench.path("f.part/s"), bench.path("f.part/t")).expect("renamed");
    symlink(outside.path(), bench.path("f.part/s")).expect("made");
    let (piece, data) = bench.piece(0);
    assert!(part.write_piece(piece, data.into()).is_err());
    assert_eq!(fs::read(outside.path().join("a")).expect("there"), b"precious");
    assert_eq!(part.abandon().expect("ours"), Some(LeftAlone::Within(bench.path("f.part"))));
    assert_eq!(fs::read(outside.path().join("a")).expect("there"), b"precious");
}

#[test]
fn an_empty_file_and_a_folder_of_empty_files_need_no_piece() {
    for files in [&[("f", 0)][..], &[("d/a", 0), ("d/b", 0)]] {
        let bench = Bench::new(files);
        let part = bench.open();
        assert!(verified(&part).is_empty());
        part.finish().expect("the name is free");
        drop(part);
        assert_eq!(bench.names(), ["f"]);
    }
}

/// What has the final name.
fn taken(bench: &Bench) -> Taken {
    match bench.open_with(space::allocate_range) {
        Ok(OpenedPart::Taken(taken)) => taken,
        other => panic!("nothing is taken: {other:?}"),
    }
}

fn complete(bench: &Bench, taken: &Taken) -> bool {
    let sha1 = sha1_of(&bench.bytes);
    is_complete(taken.source(), &bench.manifest, Some(&sha1), &AtomicBool::new(false)).expect("nobody cancels")
}

#[test]
fn a_download_that_ended_just_before_a_crash_is_known_to_be_complete_by_its_pieces() {
    for files in [&[("f", PIECE + 10)][..], &[("d/a", 10), ("d/b", PIECE)]] {
        let bench = Bench::new(files);
        let part = bench.open();
        bench.write_all(&part);
        drop(part);
        // This is the state after a crash between the rename and the removal of the sidecar.
        fs::rename(bench.path("f.part"), bench.path("f")).expect("renamed");
        let found = taken(&bench);
        assert!(found.destination() == bench.path("f") && complete(&bench, &found));
        assert_eq!(bench.names(), ["f", "f.part.meta"]);
        found.adopt().expect("removed");
        assert_eq!(bench.names(), ["f"]);
        assert!(complete(&bench, &taken(&bench)), "the file counts without a trace of a download too");
        assert_eq!(bench.names(), ["f"]);
    }
}

#[test]
fn a_half_done_part_under_the_final_name_is_not_complete_and_can_go_back_to_its_place() {
    for files in [&[("f", PIECE + 10)][..], &[("d/a", 10), ("d/b", PIECE)]] {
        let bench = Bench::new(files);
        let part = bench.open();
        bench.write(&part, [1]);
        drop(part);
        fs::rename(bench.path("f.part"), bench.path("f")).expect("renamed");
        let found = taken(&bench);
        assert!(!complete(&bench, &found));
        drop(found);
        assert_eq!(bench.names(), ["f", "f.part.meta"]);
        fs::rename(bench.path("f"), bench.path("f.part")).expect("renamed");
        assert_eq!(verified(&bench.open()), [1]);
    }
}

#[test]
fn a_complete_copy_beside_the_part_ends_the_part() {
    let bench = Bench::new(&[("d/a", 10), ("d/b", PIECE)]);
    drop(bench.open());
    fs::create_dir(bench.path("f")).expect("made");
    fs::write(bench.path("f/a"), &bench.bytes[..10]).expect("written");
    fs::write(bench.path("f/b"), &bench.bytes[10..]).expect("written");
    let found = taken(&bench);
    assert!(complete(&bench, &found));
    found.adopt().expect("removed");
    assert_eq!(bench.names(), ["f"]);
}

/// The two kinds of downloads, each of more than a piece.
const KINDS: [&[(&str, usize)]; 2] = [&[("f", PIECE + 10)], &[("d/a", 10), ("d/s/b", PIECE)]];

#[test]
fn giving_up_leaves_what_took_the_place_of_the_part_whether_it_was_open_or_not() {
    for files in KINDS {
        for open in [true, false] {
            for other in ["file", "folder", "link"] {
                let bench = Bench::new(files);
                let part = bench.open();
                bench.write_all(&part);
                fs::rename(bench.path("f.part"), bench.path("half")).expect("moved");
                match other {
                    "file" => fs::write(bench.path("f.part"), "my notes").expect("written"),
                    "folder" => fs::create_dir(bench.path("f.part")).expect("made"),
                    _ => symlink("half", bench.path("f.part")).expect("made"),
                }
                let left = if open {
                    part.abandon()
                } else {
                    drop(part);
                    bench.discard()
                };
                assert_eq!(left.expect("given up"), Some(LeftAlone::Other(bench.path("f.part"))), "{other}");
                assert_eq!(bench.names(), ["f.part", "half"], "{other}");
            }
        }
    }
}

#[test]
fn giving_up_a_folder_leaves_what_the_manifest_does_not_list_and_the_folders_that_hold_it() {
    for open in [true, false] {
        let bench = Bench::new(&[("d/a", 10), ("d/s/b", 10), ("d/t/c", 10), ("d/u/d", 10)]);
        let part = bench.open();
        bench.write_all(&part);
        fs::write(bench.path("f.part/s/notes"), "mine").expect("written");
        fs::write(bench.path("f.part/t/c"), "mine, and longer").expect("written");
        let left = if open {
            part.abandon()
        } else {
            drop(part);
            bench.discard()
        };
        assert_eq!(left.expect("given up"), Some(LeftAlone::Within(bench.path("f.part"))));
        assert_eq!(bench.names(), ["f.part"]);
        let mut names: Vec<_> =
            fs::read_dir(bench.path("f.part")).expect("there").map(|entry| entry.expect("read").file_name()).collect();
        names.sort();
        assert_eq!(names, ["s", "t"]);
        assert_eq!(fs::read(bench.path("f.part/s/notes")).expect("kept"), b"mine");
        assert!(!bench.path("f.part/s/b").exists());
        assert_eq!(fs::read(bench.path("f.part/t/c")).expect("kept"), b"mine, and longer");
    }
}

#[test]
fn a_part_that_got_the_final_name_by_hand_is_finished_there_and_kept_when_the_download_is_given_up() {
    for files in KINDS {
        let bench = Bench::new(files);
        let part = bench.open();
        bench.write(&part, [0]);
        fs::rename(bench.path("f.part"), bench.path("f")).expect("renamed");
        bench.write(&part, [1]);
        part.finish().expect("it has its name");
        drop(part);
        assert_eq!(bench.names(), ["f"]);
        assert!(complete(&bench, &taken(&bench)));

        let bench = Bench::new(files);
        let part = bench.open();
        fs::rename(bench.path("f.part"), bench.path("f")).expect("renamed");
        assert_eq!(part.abandon().expect("given up"), Some(LeftAlone::Named(bench.path("f"))));
        assert_eq!(bench.names(), ["f"]);
    }
}

#[test]
fn a_folder_that_is_renamed_or_moved_during_the_download_takes_the_download_along() {
    for files in KINDS {
        let bench = Bench::new(files);
        let (folder, moved) = (bench.path("to"), bench.path("else/where"));
        fs::create_dir_all(&folder).expect("made");
        fs::create_dir(bench.path("else")).expect("made");
        let opened = Part::open(&folder.join("f"), bench.manifest.clone(), &bench.label, PartRecord::Absent);
        let Ok(OpenedPart::Part(part)) = opened else { panic!("no part") };
        bench.write(&part, [0]);
        fs::rename(&folder, &moved).expect("moved");
        // Another one takes its place.
        fs::create_dir(&folder).expect("made");
        bench.write(&part, [1]);
        part.finish().expect("the name is free");
        assert_eq!(part.destination(), moved.canonicalize().expect("there").join("f"));
        drop(part);
        assert_eq!(fs::read_dir(&folder).expect("there").count(), 0);
        assert_eq!(fs::read_dir(&moved).expect("there").count(), 1);
    }
}

#[test]
fn a_folder_that_is_removed_during_the_download_is_named() {
    let bench = Bench::new(&[("f", 10)]);
    fs::create_dir(bench.path("to")).expect("made");
    let opened = Part::open(&bench.path("to/f"), bench.manifest.clone(), &bench.label, PartRecord::Absent);
    let Ok(OpenedPart::Part(part)) = opened else { panic!("no part") };
    bench.write_all(&part);
    fs::remove_dir_all(bench.path("to")).expect("removed");
    let error = part.finish().expect_err("there is no place");
    assert!(matches!(&error, PartError::FolderGone(folder) if *folder == bench.path("to")), "{error}");
}

#[test]
fn a_part_without_its_sidecar_goes_on_where_the_client_has_a_record_and_is_foreign_where_it_has_none() {
    for files in KINDS {
        for damage in
            [None, Some(""), Some("groupshare unf"), Some("groupshare unfinished download 2\ninfo"), Some("my notes")]
        {
            let bench = Bench::new(files);
            let part = bench.open();
            bench.write(&part, [1]);
            drop(part);
            match damage {
                None => fs::remove_file(bench.path("f.part.meta")),
                Some(text) => fs::write(bench.path("f.part.meta"), text),
            }
            .expect("there");
            assert!(matches!(bench.refusal(), PartError::Foreign(_, Foreign::Unknown)), "{damage:?}");
            let Ok(OpenedPart::Part(part)) = bench.open_recorded(PartRecord::Awaited) else { panic!("{damage:?}") };
            assert_eq!(verified(&part), [1]);
            drop(part);
            // The lost piece is written again.
            assert_eq!(verified(&bench.open()), [1]);
            assert_eq!(bench.discard().expect("ours"), None);
        }
    }
}

#[test]
fn a_foreign_file_in_the_place_of_the_part_stays_unwritten_despite_a_record() {
    for files in KINDS {
        for sidecar in [true, false] {
            let bench = Bench::new(files);
            let part = bench.open();
            bench.write(&part, [1]);
            drop(part);
            fs::rename(bench.path("f.part"), bench.path("half")).expect("moved");
            if !sidecar {
                fs::remove_file(bench.path("f.part.meta")).expect("there");
            }
            let own = match files.len() {
                1 => bench.path("f.part"),
                _ => {
                    fs::create_dir_all(bench.path("f.part/s")).expect("made");
                    bench.path("f.part/s/b")
                }
            };
            fs::write(&own, "my notes").expect("written");
            // The zeros are long enough to have a piece of their own.
            fs::OpenOptions::new()
                .write(true)
                .open(&own)
                .expect("there")
                .write_all_at(&[7; 2 * PIECE], 8)
                .expect("room");
            let before = fs::read(&own).expect("there");
            let error = bench.open_recorded(PartRecord::Begun).expect_err("it is somebody else's");
            assert!(matches!(error, PartError::Foreign(_, Foreign::Unknown)), "{error}");
            assert!(fs::read(&own).expect("there") == before);
        }
    }
}

#[test]
fn short_notes_in_the_place_of_the_part_are_not_written_over() {
    for files in KINDS {
        for (sidecar, record) in [(true, PartRecord::Absent), (true, PartRecord::Awaited), (false, PartRecord::Awaited)]
        {
            let bench = Bench::new(files);
            let part = bench.open();
            bench.write(&part, [1]);
            drop(part);
            fs::rename(bench.path("f.part"), bench.path("half")).expect("moved");
            if !sidecar {
                fs::remove_file(bench.path("f.part.meta")).expect("there");
            }
            let own = bench.manifest.files()[0].path.placed_in(&bench.path("f.part"));
            fs::create_dir_all(own.parent().expect("a folder")).expect("made");
            fs::write(&own, "my notes").expect("written");
            let error = bench.open_recorded(record).expect_err("it is somebody else's");
            assert!(matches!(error, PartError::Foreign(_, Foreign::Unknown)), "{error}");
            assert_eq!(fs::read(&own).expect("there"), b"my notes");
            assert_eq!(bench.discard().expect("looked"), Some(LeftAlone::Other(bench.path("f.part"))));
            assert_eq!(fs::read(&own).expect("there"), b"my notes");
        }
    }
}

#[test]
fn a_folder_of_ones_own_in_the_place_of_the_part_is_not_filled_and_a_part_that_was_being_made_is() {
    for (inside, own) in [("notes", true), ("s/notes", true), ("s", false), ("a", false)] {
        let bench = Bench::new(KINDS[1]);
        drop(bench.open());
        fs::remove_dir_all(bench.path("f.part")).expect("there");
        let path = bench.path("f.part").join(inside);
        match inside {
            "s" => fs::create_dir_all(&path).expect("made"),
            _ => {
                fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                fs::write(&path, "").expect("written");
            }
        }
        match bench.open_recorded(PartRecord::Begun) {
            Ok(OpenedPart::Part(_)) => assert!(!own, "{inside}"),
            Err(PartError::Foreign(_, Foreign::Unknown)) => {
                assert!(own, "{inside}");
                assert!(!bench.path("f.part/a").exists(), "nothing is put there");
            }
            other => panic!("{inside}: {other:?}"),
        }
    }
}

#[test]
fn a_foreign_file_in_the_place_of_the_sidecar_outlives_the_download() {
    for ends in ["finished", "given up"] {
        let bench = Bench::new(&[("f", 10)]);
        let part = bench.open();
        bench.write_all(&part);
        fs::remove_file(bench.path("f.part.meta")).expect("there");
        fs::write(bench.path("f.part.meta"), "my notes").expect("written");
        match ends {
            "finished" => part.finish().expect("the name is free"),
            _ => assert_eq!(part.abandon().expect("ours"), None),
        }
        drop(part);
        assert_eq!(fs::read(bench.path("f.part.meta")).expect("kept"), b"my notes", "{ends}");
    }
}

#[test]
fn a_part_copied_to_another_disk_goes_on_there() {
    let bench = Bench::new(&[("f", 2 * PIECE)]);
    let part = bench.open();
    bench.write(&part, [1]);
    drop(part);
    fs::copy(bench.path("f.part"), bench.path("copy")).expect("copied");
    fs::rename(bench.path("copy"), bench.path("f.part")).expect("moved");
    assert_eq!(verified(&bench.open()), [1]);
}

#[test]
fn a_part_takes_what_is_right_of_a_copy_and_nothing_else() {
    for files in KINDS {
        let bench = Bench::new(files);
        let copy = bench.path("copy");
        match files.len() {
            1 => fs::write(&copy, &bench.bytes).expect("written"),
            _ => {
                fs::create_dir_all(copy.join("s")).expect("made");
                fs::write(copy.join("a"), &bench.bytes[..10]).expect("written");
                fs::write(copy.join("s/b"), &bench.bytes[10..]).expect("written");
            }
        }
        let entries = bench.manifest.files();
        let source = || {
            SharedFiles::new(
                copy.clone(),
                entries,
                bench.manifest.layout(),
                Stamps::take(&copy, entries).expect("there"),
            )
        };
        let go = AtomicBool::new(false);
        for kernel in [true, false] {
            let part = bench.open();
            if kernel {
                part.copy_from(&copy, &go).expect("copied");
            }
            let mut found = verify_existing(&part, &go).expect("nobody cancels");
            fill_from(&part, &source(), &mut found, &go);
            assert!(found.have.is_complete());
            assert_eq!(part.abandon().expect("ours"), None);
        }
        let last = if files.len() == 1 { copy.clone() } else { copy.join("s/b") };
        let file = fs::OpenOptions::new().write(true).open(&last).expect("there");
        file.write_all_at(b"wrong", PIECE as u64 - 5).expect("written");
        let part = bench.open();
        part.copy_from(&copy, &go).expect("copied");
        let mut found = verify_existing(&part, &go).expect("nobody cancels");
        fill_from(&part, &source(), &mut found, &go);
        assert_eq!(found.have.iter(part.layout()).count(), 1);
        bench.write_all(&part);
        part.finish().expect("the name is free");
        drop(part);
        assert!(complete(&bench, &taken(&bench)));
    }
}

#[test]
fn nothing_behind_a_link_comes_into_a_part() {
    let bench = Bench::new(&[("f/a", PIECE), ("f/sub/b", PIECE)]);
    let (copy, private) = (bench.path("copy"), bench.path("private"));
    let content = [bench.bytes[..PIECE].to_vec(), b"secret".repeat(PIECE / 6 + 1)[..PIECE].to_vec()];
    fs::create_dir(&copy).and_then(|()| fs::create_dir(&private)).expect("made");
    fs::write(copy.join("a"), &content[0]).and_then(|()| fs::write(private.join("b"), &content[1])).expect("written");
    symlink(&private, copy.join("sub")).expect("made");
    let part = bench.open();
    part.copy_from(&copy, &AtomicBool::new(false)).expect("copied");
    let b = fs::read(bench.path("f.part/sub/b")).unwrap_or_default();
    assert!(!b.windows(6).any(|bytes| bytes == b"secret"));
    assert_eq!(fs::read(bench.path("f.part/a")).expect("there"), content[0]);
}

#[test]
fn a_download_that_waits_for_its_part_makes_nothing_in_its_place() {
    for files in KINDS {
        let bench = Bench::new(files);
        let part = bench.open();
        bench.write(&part, [1]);
        drop(part);
        for name in ["f.part", "f.part.meta"] {
            fs::create_dir_all(bench.path("disk")).expect("made");
            fs::rename(bench.path(name), bench.path("disk").join(name)).expect("moved");
        }
        let error = bench.open_recorded(PartRecord::Awaited).expect_err("the disk is away");
        assert!(matches!(&error, PartError::Missing(path) if *path == bench.path("f.part")), "{error}");
        assert_eq!(bench.names(), ["disk"]);
        let nowhere = Part::open(&bench.path("no/f"), bench.manifest.clone(), &bench.label, PartRecord::Awaited);
        assert!(matches!(nowhere, Err(PartError::Missing(_))));
        for name in ["f.part", "f.part.meta"] {
            fs::rename(bench.path("disk").join(name), bench.path(name)).expect("moved");
        }
        let Ok(OpenedPart::Part(part)) = bench.open_recorded(PartRecord::Awaited) else { panic!("it is back") };
        assert_eq!(verified(&part), [1]);
        drop(part);
        assert_eq!(bench.discard().expect("ours"), None);
        let Ok(OpenedPart::Part(part)) = bench.open_recorded(PartRecord::Begun) else { panic!("it begins anew") };
        assert!(part.is_fresh());
    }
}

#[test]
fn a_file_of_another_kind_or_size_than_the_download_is_told_at_once() {
    let other = |bench: &Bench| matches!(bench.refusal(), PartError::OtherContent(path) if path == bench.path("f"));
    let file = Bench::new(&[("f", 10)]);
    fs::write(file.path("f"), "longer than that").expect("written");
    assert!(other(&file));
    fs::remove_file(file.path("f")).expect("there");
    symlink("target", file.path("f")).expect("made");
    fs::write(file.path("target"), &file.bytes).expect("written");
    assert!(other(&file), "a link is not the download");
    let folder = Bench::new(&[("d/a", 10), ("d/b", 10)]);
    fs::write(folder.path("f"), &folder.bytes).expect("written");
    assert!(other(&folder));
    fs::remove_file(folder.path("f")).expect("there");
    fs::create_dir(folder.path("f")).expect("made");
    fs::write(folder.path("f/a"), &folder.bytes[..10]).expect("written");
    assert!(other(&folder), "a file is missing");
    assert_eq!(folder.names(), ["f"]);
}

#[test]
fn a_piece_beyond_4_gib_is_written_found_again_and_read() {
    let bench = Bench::new(&[("f", 10)]);
    let layout = Layout::new((5 << 30) + 3).expect("fits");
    let mut pieces = vec![Sha1Digest([0; 20]); layout.count() as usize];
    *pieces.last_mut().expect("many") = sha1_of(b"end");
    let file = FileEntry { path: RelPath::parse("f").expect("a path"), len: layout.size() };
    let bench = Bench { manifest: Arc::new(Manifest::new(vec![file], pieces).expect("fits")), ..bench };
    let last = layout.indexes().last().expect("many");
    // Sparse, so that the test takes no room.
    let open = || match bench.open_with(|file, range| file.set_len(range.end)) {
        Ok(OpenedPart::Part(part)) => part,
        other => panic!("no part: {other:?}"),
    };
    open().write_piece(last, b"end"[..].into()).expect("written");
    let part = open();
    assert_eq!(verified(&part), [last.get()]);
    let mut buffer = [0; 3];
    part.read_piece(last, &mut buffer).expect("read");
    assert_eq!(&buffer, b"end");
    part.finish().expect("the name is free");
    assert_eq!(fs::metadata(bench.path("f")).expect("there").len(), layout.size());
}

#[test]
fn a_name_without_room_for_a_suffix_is_downloaded_all_the_same() {
    let bench = Bench::new(&[("f", 10)]);
    let destination = bench.path(&"ü".repeat(127));
    let opened = Part::open(&destination, bench.manifest.clone(), &bench.label, PartRecord::Absent);
    let Ok(OpenedPart::Part(part)) = opened else {
        panic!("no part");
    };
    bench.write_all(&part);
    part.finish().expect("the name is free");
    drop(part);
    assert_eq!(fs::read(&destination).expect("there"), bench.bytes);
    assert_eq!(bench.names().len(), 1);
}

/// Files with zeros in the middle, at borders of files and at the short end.
fn sparse() -> [(Bench, Vec<u32>); 2] {
    let file = Bench::with_zeros(&[("f", 12 * PIECE + 17)], &[1, 2, 3, 4, 5, 6, 7, 9, 12]);
    let files = [("d/a", 3 * PIECE + 1), ("d/b", 0), ("d/c", 5 * PIECE), ("d/small", 100), ("d/z", 4 * PIECE)];
    let folder = Bench::with_zeros(&files, &[1, 2, 3, 4, 5, 10]);
    [(file, vec![1, 2, 3, 4, 5, 6, 7, 9, 12]), (folder, vec![1, 2, 3, 4, 5, 10])]
}

#[test]
fn pieces_of_zeros_are_there_from_the_start_and_stay_holes() {
    for (bench, zeros) in sparse() {
        let part = bench.open();
        // Up to three more blocks for each stretch, because a stretch may begin inside a block.
        let content = (bench.bytes.len() - (zeros.len() - 1) * PIECE) as u64;
        let room = bench.room("f.part");
        assert!((content - 2 * PIECE as u64..content + 16 * 8192).contains(&room), "room for what is no hole: {room}");
        assert_eq!(verified(&part), zeros);
        let (piece, data) = bench.piece(zeros[1]);
        let mut served = vec![1; data.len()];
        part.read_piece(piece, &mut served).expect("served like any other");
        assert!(served == data);
        let others = (0..part.layout().count()).filter(|piece| !zeros.contains(piece));
        assert!(part.has_holes(), "nothing else is there");
        bench.write(&part, others);
        assert!(!part.has_holes());
        let hash = verify_existing(&part, &AtomicBool::new(false)).expect("nobody cancels").hash;
        assert_eq!(hash.finish(&part).expect("readable"), sha1_of(&bench.bytes));
        part.finish().expect("the name is free");
        // A piece that begins inside a disk block takes part of two more.
        let most = (bench.bytes.len() - (zeros.len() - 1) * PIECE + 16 * 8192) as u64;
        assert!(bench.room("f") <= most, "{} > {most}", bench.room("f"));
        for (file, entry) in bench.manifest.files().iter().enumerate() {
            let start = FileMap::new(bench.manifest.files()).start(file) as usize;
            let content = fs::read(entry.path.placed_in(&bench.path("f"))).expect("there");
            assert!(content == bench.bytes[start..start + entry.len as usize], "{}", entry.path);
        }
    }
}

#[test]
fn a_download_that_is_stopped_is_not_kept_by_the_hash_of_many_zeros() {
    let zeros: Vec<_> = (1..201).collect();
    let bench = Bench::with_zeros(&[("f", 201 * PIECE)], &zeros);
    let part = bench.open();
    let hash = verify_existing(&part, &AtomicBool::new(false)).expect("nobody cancels").hash;
    bench.write(&part, [0]);
    hash.announce(bench.piece(0).0);
    let sha1 = sha1_of(&bench.bytes);
    assert!(matches!(finish(&part, &hash, Some(&sha1), || true), Err(DownloadError::Closing)));
    assert_eq!(bench.names(), ["f.part", "f.part.meta"]);
    finish(&part, &hash, Some(&sha1), || hash.is_nearly_done()).expect("what is left is short");
    drop(part);
    assert_eq!(bench.names(), ["f"]);
}

#[test]
fn a_hole_in_any_other_piece_is_found() {
    for (bench, zeros) in sparse() {
        let part = bench.open();
        verified(&part);
        let others = (0..part.layout().count()).filter(|piece| !zeros.contains(piece));
        bench.write(&part, others);
        // The first piece, next to one of zeros.
        space::punch_hole(&part.file(0).expect("open"), PIECE as u64 - 8192..PIECE as u64).expect("a hole");
        assert!(part.has_holes());
    }
}

#[test]
fn a_download_with_holes_goes_on_without_room_for_them_and_with_zeros_whatever_was_written_there() {
    for (bench, zeros) in sparse() {
        let part = bench.open();
        verified(&part);
        bench.write(&part, [0]);
        part.file(0).expect("open").write_all_at(b"garbage", PIECE as u64 + 5).expect("written");
        drop(part);
        // Room is reserved for pieces, but not for the holes.
        let part = match bench.open_with(|file, range| {
            assert!(range.end - range.start <= 3 * PIECE as u64, "{range:?}");
            space::allocate_range(file, range)
        }) {
            Ok(OpenedPart::Part(part)) => part,
            other => panic!("no part: {other:?}"),
        };
        let have = verified(&part);
        assert!(have.contains(&0) && zeros.iter().all(|piece| have.contains(piece)), "{have:?}");
        let mut served = vec![1; PIECE];
        part.read_piece(part.layout().index(1).expect("there"), &mut served).expect("readable");
        assert!(served.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn zeros_are_written_where_a_file_system_has_no_holes() {
    let file = tempfile::tempfile().expect("a temporary file");
    file.write_all_at(&noise(3 * body::ZEROS_LEN), 0).expect("written");
    overwrite_with_zeros(&file, 10..2 * body::ZEROS_LEN as u64 + 1, &AtomicBool::new(false)).expect("written");
    let mut bytes = vec![0; 3 * body::ZEROS_LEN];
    file.read_exact_at(&mut bytes, 0).expect("readable");
    let mut expected = noise(3 * body::ZEROS_LEN);
    expected[10..2 * body::ZEROS_LEN + 1].fill(0);
    assert!(bytes == expected);
    assert!(overwrite_with_zeros(&file, 0..1, &AtomicBool::new(true)).is_err(), "cancelled");
}

#[test]
fn programs_can_be_started_and_times_are_those_of_the_sharer_once_a_download_is_complete() {
    for files in [&[("f", 10)][..], &[("d/run.sh", 10), ("d/z", PIECE)]] {
        let bench = Bench::new(files);
        let time = FileTime::new(1_000_000_000, 123_456_000).expect("a time");
        let attributes = |at| FileAttributes { executable: at == 0, modified: time };
        let manifest = (*bench.manifest).clone();
        let manifest = manifest.with_attributes((0..files.len()).map(attributes).collect()).expect("one for each");
        let bench = Bench { manifest: Arc::new(manifest), ..bench };
        let part = bench.open();
        bench.write_all(&part);
        let paths = |name: &str| -> Vec<PathBuf> {
            bench.manifest.files().iter().map(|file| file.path.placed_in(&bench.path(name))).collect()
        };
        let mode = |path: &PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        assert!(paths("f.part").iter().all(|path| mode(path) & 0o111 == 0), "no file is executable before the end");
        part.finish().expect("the name is free");
        drop(part);
        let found = paths("f");
        let plain = 0o666 & !files::umask();
        assert_eq!(mode(&found[0]), plain | (plain & 0o444) >> 2 & !files::umask());
        assert!(found[1..].iter().all(|path| mode(path) == plain));
        for path in &found {
            let metadata = fs::metadata(path).expect("there");
            assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_000_000_000, 123_456_000));
        }
    }
}
