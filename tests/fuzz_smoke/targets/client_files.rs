//! Files on a client's disk: its records, the pin of the trackers' key, the sidecar of a download. Whatever their
//! bytes, the client reads these files, puts them aside or leaves them alone.

use super::{Folder, is_one_line};
use groupshare::client::folder::following::Came;
use groupshare::client::hash::piece_hash::sha1_of;
use groupshare::client::state::dir::StateDir;
use groupshare::client::state::file::StateError;
use groupshare::client::state::follow_log::FollowLog;
use groupshare::client::state::pins::Pins;
use groupshare::client::state::slot::Slot;
use groupshare::client::storage::part::{OpenedPart, Part, PartError, PartLabel, PartRecord};
use groupshare::model::digest::{Fingerprint, InfoHash};
use groupshare::model::manifest::{FileEntry, Manifest};
use groupshare::model::name::{FileName, GroupId, UserId};
use groupshare::model::path::RelPath;
use groupshare::wire::manifest;
use parking_lot::Mutex;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

const FINGERPRINT: Fingerprint = Fingerprint([0xf1; 32]);

/// The log of records, as it is and with correct checksums.
pub(super) fn records(data: &[u8]) {
    read_slot("records", data);
    let lines = data.split(|&byte| byte == b'\n').map(|line| match line.get(9..) {
        Some(fields) if line[8] == b'\t' => [format!("{:08x}\t", crc32fast::hash(fields)).as_bytes(), fields].concat(),
        _ => line.to_vec(),
    });
    read_slot("records", &lines.collect::<Vec<_>>().join(&b'\n'));
}

/// The list of shared folders and followed groups.
pub(super) fn folders(data: &[u8]) {
    read_slot("folders", data);
}

/// Removes everything that was read before, except empty folders.
fn clear(slot: &Path) {
    for entry in fs::read_dir(slot).expect("a folder") {
        let path = entry.expect("readable").path();
        if !path.is_dir() {
            fs::remove_file(path).expect("it is there");
        } else if !path.ends_with("manifests") {
            fs::remove_dir_all(path).expect("it is there");
        }
    }
}

/// Reads a slot in which one file has these bytes, twice.
fn read_slot(file: &str, data: &[u8]) {
    // Making and removing folders takes longer than reading their files.
    static FOLDER: LazyLock<Mutex<Folder>> = LazyLock::new(|| Mutex::new(Folder::new()));
    let folder = FOLDER.lock();
    let user = UserId::parse("alice").expect("a name");
    let slot = folder.path().join(FINGERPRINT.to_string()).join("alice").join("0");
    fs::create_dir_all(&slot).expect("a folder");
    clear(&slot);
    fs::write(slot.join(file), data).expect("room");
    let state = StateDir::open(folder.path()).expect("a folder");
    let known = |slot: &Slot| (slot.shares(), slot.downloads());
    let (first, warned) = match state.take_slot(&FINGERPRINT, &user) {
        Ok((slot, warnings)) => {
            assert_eq!(slot.number(), 0);
            assert!(warnings.iter().all(is_one_line), "{warnings:?}");
            (known(&slot), !warnings.is_empty())
        }
        Err(error) => {
            assert!(matches!(error, StateError::Newer(_)) && is_one_line(&error), "{error}");
            return assert_eq!(fs::read(slot.join(file)).expect("it is left alone"), data);
        }
    };
    let kept = ["damaged", "older"].into_iter().find_map(|word| fs::read(slot.join(format!("{file}.{word}-1"))).ok());
    assert_eq!(kept.as_deref(), warned.then_some(data), "an unreadable file is kept");
    let written = fs::read(slot.join(file)).expect("there");
    assert!(warned || file != "folders" || written == data, "what was read in full stays");
    let (again, warnings) = state.take_slot(&FINGERPRINT, &user).expect("it was put right");
    assert_eq!((known(&again), warnings), (first, Vec::new()));
    assert!(file != "folders" || fs::read(slot.join(file)).expect("there") == written);
}

/// The log of a followed group. Reading it again gives the same entries, with the ones that were added.
pub(super) fn follow_log(data: &[u8]) {
    let folder = Folder::new();
    let path = folder.path().join("log");
    fs::write(&path, data).expect("room");
    let open = || FollowLog::open(&path).expect("readable").expect("it is there");
    let (_, mut files) = open();
    let written = fs::read(&path).expect("there");
    let (mut log, again) = open();
    assert_eq!(again, files);
    assert_eq!(fs::read(&path).expect("there"), written, "it is put right once");
    let (name, hash) = (FileName::parse("new").expect("a name"), InfoHash([7; 32]));
    let came = Came { info_hash: hash, size: 7, author: UserId::parse("ann").expect("a name") };
    log.came(&name, &came).and_then(|()| log.passed(&name, &hash)).expect("room");
    files.begun.retain(|begun, it| *begun != name || *it != came);
    files.came.insert(name.clone(), came);
    files.passed.insert(name, hash);
    assert_eq!(open().1, files);
    // The same as a whole.
    let (mut log, _) = open();
    log.rewrite(&files).expect("room");
    assert_eq!(open().1, files);
}

/// The pin of a tracker_info.txt.
pub(super) fn pin(data: &[u8]) {
    let folder = Folder::new();
    let tracker_info = Path::new("/home/alice/tracker_info.txt");
    let file = folder.path().join(sha1_of(tracker_info.as_os_str().as_bytes()).to_string());
    fs::write(&file, data).expect("room");
    let pins = Pins::open(folder.path().to_path_buf()).expect("a folder");
    match pins.get(tracker_info) {
        Ok(None) => panic!("whatever the file holds, it is no first contact"),
        Ok(Some(pin)) => {
            assert!(String::from_utf8_lossy(data).to_lowercase().contains(&pin.to_string()));
        }
        Err(error) => {
            assert!(matches!(error, StateError::DamagedPin(_) | StateError::Newer(_)), "{error}");
            assert!(is_one_line(&error), "{error}");
            assert!(pins.check(tracker_info, FINGERPRINT).is_err(), "no key is trusted later either");
        }
    }
}

/// The sidecar of a download that begins, goes on, or is given up.
pub(super) fn sidecar(data: &[u8]) {
    let folder = Folder::new();
    let destination = folder.path().canonicalize().expect("there").join("film.mkv");
    let beside = folder.path().join("film.mkv.part.meta");
    let file = FileEntry { path: RelPath::parse("film.mkv").expect("a path"), len: 0 };
    let manifest = Manifest::new(vec![file], Vec::new()).expect("an empty file");
    let (_, info_hash) = manifest::encode(&manifest).expect("short");
    let label = PartLabel {
        group: GroupId::parse("lab").expect("a name"),
        name: FileName::parse("film.mkv").expect("a name"),
        info_hash,
    };
    let text = String::from_utf8_lossy(data);
    let foreign = |error: &PartError| {
        assert!(matches!(error, PartError::Foreign(..)) && is_one_line(error), "{error}");
        assert_eq!(fs::read(&beside).expect("it is left alone"), data);
    };
    fs::write(&beside, data).expect("room");
    match Part::discard(&destination, &info_hash, Some(&manifest)) {
        Ok(None) if beside.exists() => assert!(!text.contains(&format!("{info_hash}\n")) && !data.is_empty()),
        Ok(None) => assert!(data.is_empty() || text.to_lowercase().contains(&info_hash.to_string())),
        Ok(Some(left)) => panic!("there is no part: {left}"),
        Err(error) => foreign(&error),
    }
    fs::write(&beside, data).expect("room");
    let manifest = Arc::new(manifest);
    match Part::open(&destination, manifest.clone(), &label, PartRecord::Absent) {
        Ok(OpenedPart::Part(part)) => assert_eq!(part.abandon().expect("it goes"), None),
        Ok(OpenedPart::Taken(_)) => panic!("nothing is there"),
        Err(error) => foreign(&error),
    }
    // If the client has a record, nothing may block the download. A file that is no sidecar goes aside.
    fs::write(&beside, data).expect("room");
    match Part::open(&destination, manifest, &label, PartRecord::Begun) {
        Ok(OpenedPart::Part(part)) => assert_eq!(part.abandon().expect("it goes"), None),
        other => panic!("in the way: {other:?}"),
    }
    let own = data.starts_with(b"groupshare unfinished download ") || data.iter().all(|byte| *byte == 0);
    let aside = folder.path().join("film.mkv.part.meta.damaged-1");
    assert_eq!(fs::read(aside).ok(), (!own).then(|| data.to_vec()), "it is kept");
    assert!(!destination.exists());
}
