//! One download, with connections that deliver, lie, stall and end.

use super::schedules::explore;
use crate::common::subject::{all, bytes, subject_of, user};
use groupshare::client::download::transfer::{PieceError, Subject, Transfer, TransferSetup};
use groupshare::client::download::verify::verify_existing;
use groupshare::client::reach::calls::Attempt;
use groupshare::client::reach::way::Way;
use groupshare::client::storage::part::{OpenedPart, Part, PartLabel, PartRecord};
use groupshare::client::upload::catalog::Catalog;
use groupshare::model::id::{ClientId, PeerId};
use groupshare::model::name::GroupId;
use groupshare::model::piece::{PIECE_LEN, PieceIndex};
use groupshare::sync::atomic::{AtomicUsize, Ordering};
use groupshare::sync::thread;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

static DATA: LazyLock<Vec<u8>> = LazyLock::new(|| bytes(4 * PIECE_LEN as usize + 77));
static SUBJECT: LazyLock<Subject> = LazyLock::new(|| subject_of(&DATA));

fn bytes_of(piece: PieceIndex) -> &'static [u8] {
    DATA.chunks(PIECE_LEN as usize).nth(piece.as_usize()).expect("a piece of it")
}

/// A download into a folder of its own.
struct House {
    catalog: Catalog,
    download: Transfer,
    _folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        // The folder is in memory if possible, since the end of a download waits for the disk.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        let Subject { group, name, content, manifest, .. } = SUBJECT.clone();
        let label = PartLabel { info_hash: content.info_hash, group: GroupId::parse("lab").expect("a name"), name };
        let destination = folder.path().canonicalize().expect("there").join("f.bin");
        let OpenedPart::Part(part) = Part::open(&destination, manifest, &label, PartRecord::Absent).expect("room")
        else {
            panic!("it is not finished")
        };
        let part = Arc::new(part);
        let verified = verify_existing(&part, &AtomicBool::new(false)).expect("not cancelled");
        let catalog = Catalog::start().expect("a thread");
        let served = catalog.add(group, content.info_hash, part.clone(), verified.have.clone());
        let (served, client) = (served.expect("open"), ClientId([9; 16]));
        let setup = TransferSetup {
            id: 1,
            subject: SUBJECT.clone(),
            part,
            verified,
            difference: None,
            served,
            client,
            seed: 1,
        };
        let download = Transfer::new(setup, Instant::now());
        Self { catalog, download, _folder: folder }
    }
}

/// What a connection does with its first piece.
#[derive(Clone, Copy)]
enum First {
    Deliver,
    Lie,
    /// The connection is lost, and made again.
    Go,
    /// The piece comes after the patience has ended.
    Late,
    /// The piece is on its way to another member.
    PutOff,
}

/// A connection of this client until the download is complete. Returns whether it brought the last piece.
fn connection(download: &Transfer, number: u8, first: First) -> bool {
    let id = PeerId { user: user(number), client: ClientId([number; 16]) };
    let open = || download.peer_opened(&id, Way::Direct, &all(&SUBJECT));
    let (mut lane, mut first) = (open(), Some(first));
    let mut was_last = false;
    while !download.is_complete() {
        let Some(piece) = download.pick(lane, None, Instant::now()) else {
            // All missing pieces are on their way elsewhere.
            download.recall();
            thread::yield_now();
            continue;
        };
        let good = || download.take_piece((&id, lane), piece, bytes_of(piece).into()).expect("room");
        match first.take().unwrap_or(First::Deliver) {
            First::Deliver => was_last |= good(),
            First::Lie => {
                let mut wrong = bytes_of(piece).to_vec();
                wrong[0] ^= 1;
                let taken = download.take_piece((&id, lane), piece, wrong[..].into());
                assert!(matches!(taken, Err(PieceError::Bad)), "{taken:?}");
            }
            First::Go => {
                download.peer_closed(&id, lane);
                lane = open();
            }
            First::Late => {
                download.snub(lane);
                thread::yield_now();
                was_last |= good();
            }
            First::PutOff => download.put_off(lane, piece),
        }
    }
    download.peer_closed(&id, lane);
    was_last
}

/// Connections of these clients bring all pieces.
fn fetch(connections: [(u8, First); 3]) {
    let House { catalog, download, _folder } = House::new();
    let ends = AtomicUsize::new(0);
    thread::scope(|scope| {
        for (number, first) in connections {
            let (download, ends) = (&download, &ends);
            scope.spawn(move || ends.fetch_add(usize::from(connection(download, number, first)), Ordering::SeqCst));
        }
        scope.spawn(|| download.follow_up(|| false));
    });
    assert_eq!(ends.into_inner(), 1, "one connection brought the last piece");
    let total = DATA.len() as u64;
    assert_eq!(download.progress(Instant::now()).done, total);
    assert_eq!(download.delivered().values().sum::<u64>(), total, "each piece counts once");
    let mut fresh = download.take_fresh();
    fresh.sort_unstable();
    assert!(fresh.into_iter().eq(SUBJECT.manifest.layout().indexes().map(PieceIndex::get)), "told of once each");
    let path = download.finish().expect("the whole has its SHA-1");
    assert!(std::fs::read(path).expect("there") == *DATA, "the file is identical");
    catalog.close();
}

#[test]
fn every_piece_is_received_once_though_connections_lie_and_stall() {
    explore(|| {
        fetch([(1, First::Lie), (2, First::Late), (3, First::Deliver)]);
    });
}

#[test]
fn no_piece_is_lost_when_connections_go_and_put_off() {
    explore(|| {
        fetch([(1, First::Go), (1, First::Late), (2, First::PutOff)]);
    });
}

#[test]
fn a_piece_asked_of_a_lost_connection_comes_on_another_to_the_same_member() {
    explore(|| {
        fetch([(1, First::Go), (1, First::Deliver), (1, First::PutOff)]);
    });
}

#[test]
fn a_connection_that_is_being_made_when_the_download_stops_is_ended() {
    explore(|| {
        let House { catalog, download, _folder } = House::new();
        let attempt = Attempt::new().expect("a descriptor");
        thread::scope(|scope| {
            let dialing = scope.spawn(|| download.dialing(&attempt));
            let stopping = scope.spawn(|| download.stop());
            let dialing = dialing.join().expect("no panic");
            stopping.join().expect("no panic");
            assert!(dialing.is_none() || attempt.is_stopped(), "nobody waits for it");
        });
        catalog.close();
    });
}
