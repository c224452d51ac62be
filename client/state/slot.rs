//! A slot of the state directory: the shares and unfinished downloads of one client of a user.

use super::change::{Change, RecordKey, RecordKind};
use super::file::{self, StateError};
use super::folders::FolderRecords;
use super::record::{DownloadRecord, ShareRecord, SlotRecord};
use super::record_log::{LogState, RecordLog};
use super::record_table::RecordTable;
use super::told::ToldLog;
use crate::client::hash::piece_hash::sha1_of;
use crate::model::digest::InfoHash;
use crate::model::escape::ShownPath;
use crate::model::id::ShareRef;
use crate::model::manifest::Manifest;
use crate::model::name::{FileName, GroupId};
use crate::sys::durable;
use crate::sys::durable::numbered_folder::FolderKind;
use crate::sys::files::{self, Open};
use crate::wire;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The format of a slot. A new one gets a step that leads to it from the one before.
const KIND: FolderKind = FolderKind {
    name: "groupshare client slot",
    oldest: 0,
    // To 1: a slot of before 1.0 has the same files and no number.
    steps: &[|_| Ok(())],
    stays: |name| name == LOCK,
    shared: &["manifests"],
};
/// The file that is locked.
const LOCK: &str = "lock";

/// The state of one client of a user. Every change is on the disk when the call returns. A failed call changes nothing.
///
/// Invariants: A group and a name have at most one share and at most one download. The manifest of each record is
/// stored.
#[derive(Debug)]
pub struct Slot {
    // Immutable.
    folder: PathBuf,
    number: u32,
    /// The writer of a change holds this lock, so no change overtakes another. Readers never wait for it. `None` once
    /// the slot is closed.
    writing: Mutex<Option<SlotWriter>>,
    folders: FolderRecords,
    /// The messages that the user was shown.
    told: ToldLog,
    // Locked, but never during I/O.
    table: Mutex<RecordTable>,
}

/// The state that the writer needs.
#[derive(Debug)]
struct SlotWriter {
    /// Locked as long as the slot is in use.
    _lock: File,
    log: RecordLog,
}

impl Slot {
    pub(super) fn load(folder: PathBuf, number: u32, lock: File) -> Result<(Self, Vec<String>), StateError> {
        KIND.open(&folder).map_err(StateError::Format)?;
        let (mut log, read) = RecordLog::open(folder.join("records"))?;
        let mut table = RecordTable::default();
        read.changes.iter().for_each(|change| table.apply(change));
        let manifests = folder.join("manifests");
        let mut warnings = Vec::new();
        match read.state {
            LogState::Missing | LogState::Whole => {}
            LogState::Torn => log.rewrite(&table.changes())?,
            LogState::Damaged => {
                let aside = file::keep_aside(log.path())?;
                log.rewrite(&table.changes())?;
                warnings.push(format!(
                    "the records of shares and downloads could not be read in full ({} could) and are \
                     kept in {}; see list_files and show_downloads for what is missing",
                    table.len(),
                    ShownPath(&aside)
                ));
            }
        }
        file::make_folder(&manifests)?;
        let (folders, damage) = FolderRecords::open(folder.join("folders"))?;
        warnings.extend(damage);
        let writing = Mutex::new(Some(SlotWriter { _lock: lock, log }));
        let told = ToldLog::load(folder.join("told"));
        let slot = Self { folder, number, writing, folders, told, table: Mutex::new(table) };
        slot.remove_unused_manifests()?;
        Ok((slot, warnings))
    }

    /// Leaves the slot to the next login, even while threads still hold this value. This value changes nothing any
    /// more.
    pub fn close(&self) {
        self.folders.close();
        self.writing.lock().take();
        self.told.close();
    }

    /// The messages of all clients that have held this slot.
    pub fn told(&self) -> &ToldLog {
        &self.told
    }

    /// The path of the log for a folder that follows a group.
    pub(crate) fn follow_log(&self, folder: &Path) -> PathBuf {
        let digest = sha1_of(folder.as_os_str().as_bytes());
        self.folder.join(format!("follow-{digest}"))
    }

    /// The folders that share into a group or follow one.
    pub(crate) fn folders(&self) -> &FolderRecords {
        &self.folders
    }

    /// All records.
    pub(super) fn records(&self) -> Vec<SlotRecord> {
        self.table.lock().records().cloned().collect()
    }

    /// The record of this key.
    pub(super) fn record(&self, key: &RecordKey) -> Option<SlotRecord> {
        self.table.lock().get(key).cloned()
    }

    /// The number of the slot among those of the user, from 0.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// All shares.
    pub fn shares(&self) -> Vec<ShareRecord> {
        self.table.lock().records().filter_map(SlotRecord::as_share).cloned().collect()
    }

    /// The share of this name.
    pub fn share(&self, group: &GroupId, name: &FileName) -> Option<ShareRecord> {
        self.table.lock().get(&share_key(group, name)).and_then(SlotRecord::as_share).cloned()
    }

    /// The shares of this content, in any group.
    pub fn shares_of(&self, info_hash: InfoHash) -> Vec<ShareRecord> {
        self.table.lock().of_content(info_hash).filter_map(SlotRecord::as_share).cloned().collect()
    }

    /// The shares with this number.
    pub fn shares_numbered(&self, share: ShareRef) -> Vec<ShareRecord> {
        self.table.lock().of_share(share).filter_map(SlotRecord::as_share).cloned().collect()
    }

    /// The unfinished downloads.
    pub fn downloads(&self) -> Vec<DownloadRecord> {
        self.table.lock().records().filter_map(SlotRecord::as_download).cloned().collect()
    }

    /// The unfinished download of this name.
    pub fn download(&self, group: &GroupId, name: &FileName) -> Option<DownloadRecord> {
        self.table.lock().get(&download_key(group, name)).and_then(SlotRecord::as_download).cloned()
    }

    /// Stores a share in place of one of the same group and name. If it was a download before, that record goes in the
    /// same step.
    ///
    /// # Errors
    /// `Io`.
    pub fn put_share(&self, share: ShareRecord, manifest: &Manifest) -> Result<(), StateError> {
        self.put(SlotRecord::Share(share), manifest)
    }

    /// Gives a share another group and name. Returns false if that place is taken.
    ///
    /// # Errors
    /// `Io`.
    pub fn move_share(&self, share: &ShareRecord, group: &GroupId, name: &FileName) -> Result<bool, StateError> {
        let from = share_key(&share.group, &share.name);
        let is_free = {
            let table = self.table.lock();
            table.get(&share_key(group, name)).is_none()
                && table.get(&from).and_then(SlotRecord::as_share).is_none_or(|found| found == share)
        };
        if is_free {
            self.change([Change::Move { from, group: group.clone(), name: name.clone() }])?;
        }
        Ok(is_free)
    }

    /// Removes a share. Returns false if there is none.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_share(&self, group: &GroupId, name: &FileName) -> Result<bool, StateError> {
        self.change([Change::Remove(share_key(group, name))])
    }

    /// Removes shares, all in one step.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_shares(&self, shares: &[ShareRecord]) -> Result<bool, StateError> {
        self.change(shares.iter().map(|share| Change::Remove(share_key(&share.group, &share.name))))
    }

    /// Stores a download in place of one of the same group and name.
    ///
    /// # Errors
    /// `Io`.
    pub fn put_download(&self, download: DownloadRecord, manifest: &Manifest) -> Result<(), StateError> {
        self.put(SlotRecord::Download(download), manifest)
    }

    /// Stores whether the user has paused a download. Returns false if that makes no difference.
    ///
    /// # Errors
    /// `Io`.
    pub fn set_paused(&self, group: &GroupId, name: &FileName, paused: bool) -> Result<bool, StateError> {
        self.change([Change::Pause { group: group.clone(), name: name.clone(), paused }])
    }

    /// Removes a download. Returns false if there is none.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_download(&self, group: &GroupId, name: &FileName) -> Result<bool, StateError> {
        self.change([Change::Remove(download_key(group, name))])
    }

    /// Gives groups their new names, all at once. Returns false if there are no records of them.
    ///
    /// # Errors
    /// `Io`.
    pub fn rename_groups(&self, renamed: &HashMap<GroupId, GroupId>) -> Result<bool, StateError> {
        self.folders.rename_groups(renamed)?;
        let renamed = renamed.iter().map(|(old, new)| (old.clone(), new.clone())).collect();
        self.change([Change::RenameGroups(renamed)])
    }

    /// The stored manifest of a record, so that the client need not hash the files or ask for it again.
    ///
    /// # Errors
    /// `Damaged` once, after which there is none; `Io`.
    pub fn manifest(&self, info_hash: &InfoHash) -> Result<Option<Manifest>, StateError> {
        let path = self.manifest_path(info_hash);
        let encoded = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(StateError::io(&path, "read"))?,
        };
        match wire::manifest::decode(&encoded, *info_hash) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(_) => file::set_aside(&path).and_then(|aside| Err(StateError::Damaged(path, aside))),
        }
    }

    fn manifest_path(&self, info_hash: &InfoHash) -> PathBuf {
        self.folder.join("manifests").join(info_hash.to_string())
    }

    /// Stores the manifest, then the record.
    fn put(&self, new: SlotRecord, manifest: &Manifest) -> Result<(), StateError> {
        self.keep_manifest(&new.content().info_hash, manifest)?;
        self.change([Change::Put(new)]).map(drop)
    }

    fn keep_manifest(&self, info_hash: &InfoHash, manifest: &Manifest) -> Result<(), StateError> {
        let path = self.manifest_path(info_hash);
        let writing = self.writing.lock();
        if writing.is_none() {
            return Err(StateError::Closed);
        }
        if path.exists() {
            return Ok(());
        }
        // A manifest with a longer encoding could not have been shared.
        let Some((encoded, found)) = wire::manifest::encode(manifest) else {
            return Ok(());
        };
        debug_assert_eq!(found, *info_hash, "a record comes with its own manifest");
        durable::replace(&path, &encoded).map_err(StateError::io(&path, "write"))
    }

    /// Copies the logs of followed groups from another slot. A log that is missing there stays missing here.
    pub(super) fn take_follow_logs(&self, other: &Slot) -> Result<(), StateError> {
        let own = self.folders.list();
        let moved = other.folders.list().into_iter().filter(|folder| !own.iter().any(|own| own.overlaps(&folder.path)));
        for folder in moved {
            let (from, to) = (other.follow_log(&folder.path), self.follow_log(&folder.path));
            match fs::rename(&from, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StateError::io(&from, "move")(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes the manifests of records from the slot that has them. A manifest that is missing there stays missing here.
    pub(super) fn take_manifests(&self, other: &Slot, records: &[SlotRecord]) -> Result<(), StateError> {
        for record in records {
            let info_hash = &record.content().info_hash;
            let (from, to) = (other.manifest_path(info_hash), self.manifest_path(info_hash));
            match fs::hard_link(&from, &to) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
                // A disk that allows only one name per file.
                Err(_) => {
                    let encoded = fs::read(&from).map_err(StateError::io(&from, "read"))?;
                    durable::replace(&to, &encoded).map_err(StateError::io(&to, "write"))?;
                }
            }
        }
        let folder = self.folder.join("manifests");
        let synced = files::open_folder(&folder).and_then(|open| files::sync_folder(&open));
        synced.map_err(StateError::io(&folder, "write"))
    }

    /// Makes changes to different records, on the disk first. Returns false if they make no difference.
    pub(super) fn change(&self, changes: impl IntoIterator<Item = Change>) -> Result<bool, StateError> {
        let mut writing = self.writing.lock();
        let log = &mut writing.as_mut().ok_or(StateError::Closed)?.log;
        let changes: Vec<_> = {
            let table = self.table.lock();
            changes.into_iter().filter(|change| table.is_changed_by(change)).collect()
        };
        if changes.is_empty() {
            return Ok(false);
        }
        if !log.is_open() {
            let rows = self.table.lock().changes();
            log.rewrite(&rows)?;
        }
        log.append(&changes)?;
        let wasteful = {
            let mut table = self.table.lock();
            changes.iter().for_each(|change| table.apply(change));
            log.is_wasteful(table.len()).then(|| table.changes())
        };
        if let Some(rows) = wasteful {
            // After a failure the long log is just as good. A later change tries again.
            let _ = log.rewrite(&rows);
        }
        Ok(true)
    }

    fn remove_unused_manifests(&self) -> Result<(), StateError> {
        let folder = self.folder.join("manifests");
        let table = self.table.lock();
        for entry in fs::read_dir(&folder).map_err(StateError::io(&folder, "read"))? {
            let name = entry.map_err(StateError::io(&folder, "read"))?.file_name();
            // Removes only files that this program has written. Files that were set aside stay.
            let unused = |info_hash: InfoHash| table.of_content(info_hash).next().is_none();
            if name.to_str().and_then(InfoHash::from_hex).is_some_and(unused) {
                let path = folder.join(name);
                fs::remove_file(&path).map_err(StateError::io(&path, "remove"))?;
            }
        }
        Ok(())
    }
}

/// Locks the slot in a folder. Returns `None` if a client uses it.
///
/// # Errors
/// `Io`.
pub(super) fn lock_slot(folder: &Path) -> Result<Option<File>, StateError> {
    let path = folder.join(LOCK);
    let lock = files::open_file(&path, Open::WriteOrNew(0o600)).map_err(StateError::io(&path, "open"))?;
    let is_free = files::try_lock(&lock).map_err(StateError::io(&path, "lock"))?;
    Ok(is_free.then_some(lock))
}

fn share_key(group: &GroupId, name: &FileName) -> RecordKey {
    RecordKey { kind: RecordKind::Share, group: group.clone(), name: name.clone() }
}

fn download_key(group: &GroupId, name: &FileName) -> RecordKey {
    RecordKey { kind: RecordKind::Download, group: group.clone(), name: name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::state::dir::StateDir;
    use crate::client::state::dir::tests::{TRACKERS, slot, state, user};
    use crate::client::state::record::tests::{download, manifest, share};
    use crate::model::digest::Fingerprint;
    use crate::model::name::UserId;

    fn group(name: &str) -> GroupId {
        GroupId::parse(name).expect("a name")
    }

    fn file(name: &str) -> FileName {
        FileName::parse(name).expect("a name")
    }

    fn known(slot: &Slot) -> (Vec<ShareRecord>, Vec<DownloadRecord>) {
        (slot.shares(), slot.downloads())
    }

    #[test]
    fn shares_and_downloads_are_replaced_and_forgotten_one_by_one() {
        let (_temp, state) = state();
        let slot_0 = slot(&state, "alice");
        slot_0.put_share(share("lab", "f", 1), &manifest(1)).expect("saved");
        slot_0.put_share(share("lab", "g", 2), &manifest(2)).expect("saved");
        slot_0.put_share(share("lab", "f", 3), &manifest(3)).expect("saved");
        slot_0.put_share(share("class", "f", 4), &manifest(4)).expect("saved");
        slot_0.put_download(download("lab", "f", 5), &manifest(5)).expect("saved");
        slot_0.put_download(download("lab", "f", 6), &manifest(6)).expect("saved");
        slot_0.put_download(download("lab", "h", 7), &manifest(7)).expect("saved");
        assert!(slot_0.remove_share(&group("lab"), &file("g")).expect("saved"));
        assert!(!slot_0.remove_share(&group("lab"), &file("g")).expect("nothing to save"));
        assert!(slot_0.remove_download(&group("lab"), &file("h")).expect("saved"));
        drop(slot_0);

        let slot_0 = slot(&state, "alice");
        let shares = [share("lab", "f", 3), share("class", "f", 4)];
        assert_eq!(known(&slot_0), (shares.to_vec(), vec![download("lab", "f", 6)]));
        slot_0.put_download(download("class", "f", 7), &manifest(7)).expect("saved");
        assert!(slot_0.set_paused(&group("class"), &file("f"), false).expect("saved"));
        assert!(!slot_0.set_paused(&group("class"), &file("g"), true).expect("nothing to save"));
        slot_0.put_share(share("lab", "f", 6), &manifest(6)).expect("saved");
        drop(slot_0);

        let slot_0 = slot(&state, "alice");
        let other = DownloadRecord { paused: false, ..download("class", "f", 7) };
        assert_eq!(
            known(&slot_0),
            (vec![share("class", "f", 4), share("lab", "f", 6)], vec![other]),
            "done in one step"
        );
        assert!(slot_0.remove_share(&group("class"), &file("f")).expect("saved"));
        assert!(slot_0.remove_download(&group("class"), &file("f")).expect("saved"));
        assert_eq!(known(&slot_0), (vec![share("lab", "f", 6)], vec![]));
    }

    #[test]
    fn damaged_records_are_set_aside_with_one_line_and_the_others_stay() {
        let (_temp, state) = state();
        let first = slot(&state, "alice");
        first.put_share(share("lab", "f", 1), &manifest(1)).expect("saved");
        first.put_share(share("lab", "g", 2), &manifest(2)).expect("saved");
        let path = first.folder.join("records");
        drop(first);
        let text = fs::read_to_string(&path).expect("there").replacen("share\t", "shore\t", 1);
        fs::write(&path, &text).expect("damaged");

        let (again, warnings) = state.take_slot(&TRACKERS, &user("alice")).expect("no error");
        assert_eq!(known(&again).0, [share("lab", "g", 2)]);
        assert!(matches!(&warnings[..], [line] if line.contains("records.damaged-1") && !line.contains('\n')));
        assert_eq!(fs::read_to_string(path.with_extension("damaged-1")).expect("kept"), text);
        drop(again);
        assert_eq!(known(&slot(&state, "alice")).0, [share("lab", "g", 2)], "told once");
        fs::write(&path, vec![0; 4096]).expect("damaged");
        let (again, warnings) = state.take_slot(&TRACKERS, &user("alice")).expect("no error");
        assert_eq!((known(&again).0.len(), warnings.len()), (0, 1));
    }

    #[test]
    fn records_of_a_newer_version_are_refused_and_left() {
        let (_temp, state) = state();
        let first = slot(&state, "alice");
        let path = first.folder.join("records");
        drop(first);
        let text = "groupshare client records 3\nwhatever\n";
        fs::write(&path, text).expect("written");
        assert!(matches!(state.take_slot(&TRACKERS, &user("alice")), Err(StateError::Newer(_))));
        assert_eq!(fs::read_to_string(&path).expect("kept"), text);
    }

    #[test]
    fn a_slot_without_a_number_is_upgraded_with_all_that_is_in_it() {
        let (_temp, state) = state();
        let first = slot(&state, "alice");
        first.put_share(share("lab", "f", 1), &manifest(1)).expect("saved");
        let folder = first.folder.clone();
        drop(first);
        fs::remove_file(folder.join("format")).expect("there");
        let again = slot(&state, "alice");
        assert_eq!(again.shares(), [share("lab", "f", 1)]);
        assert_eq!(again.manifest(&share("lab", "f", 1).content.info_hash).expect("no error"), Some(manifest(1)));
        let text = fs::read_to_string(folder.join("format")).expect("there");
        assert_eq!(text.lines().next(), Some("groupshare client slot 1"));
        let kept = fs::read(folder.join("before-upgrade/records")).expect("kept");
        again.put_share(share("lab", "g", 2), &manifest(2)).expect("saved");
        assert_eq!(fs::read(folder.join("before-upgrade/records")).expect("kept"), kept);
    }

    #[test]
    fn a_slot_of_a_newer_version_is_refused_in_one_line_and_left() {
        let (_temp, state) = state();
        let folder = slot(&state, "alice").folder.clone();
        fs::write(folder.join("format"), "groupshare client slot 2\nwritten by 9.1.0\n").expect("written");
        let error = state.take_slot(&TRACKERS, &user("alice")).expect_err("it is newer").to_string();
        assert!(error.contains("has format 2 of version 9.1.0, and this is version "), "{error}");
        assert!(error.contains("knows formats up to 1") && !error.contains('\n'), "{error}");
        assert!(folder.join("records").exists() || !folder.join("before-upgrade").exists());
    }

    /// The length of the records in bytes.
    fn len(slot: &Slot) -> u64 {
        fs::metadata(slot.folder.join("records")).expect("there").len()
    }

    #[test]
    fn a_change_adds_its_own_line_and_one_that_makes_no_difference_writes_nothing() {
        let (_temp, state) = state();
        let first = slot(&state, "alice");
        for byte in 0..100 {
            first.put_share(share("lab", &format!("f{byte}"), byte), &manifest(byte)).expect("saved");
        }
        let before = len(&first);
        first.put_share(share("lab", "f100", 100), &manifest(100)).expect("saved");
        assert!(len(&first) - before < 500, "{} bytes for one share", len(&first) - before);
        let before = len(&first);
        first.put_share(share("lab", "f7", 7), &manifest(7)).expect("known");
        first.rename_groups(&HashMap::from([(group("class"), group("lab"))])).expect("nothing is shared there");
        first.remove_share(&group("lab"), &file("none")).expect("there is none");
        assert_eq!(len(&first), before);
        first.rename_groups(&HashMap::from([(group("lab"), group("class"))])).expect("saved");
        assert!(len(&first) - before < 100, "{} bytes for all shares of a group", len(&first) - before);
        drop(first);
        assert!(slot(&state, "alice").shares().iter().all(|share| share.group == group("class")));
    }

    #[test]
    fn records_that_change_for_ever_do_not_grow_for_ever() {
        let (_temp, state) = state();
        let first = slot(&state, "alice");
        first.put_download(download("lab", "f", 1), &manifest(1)).expect("saved");
        for turn in 0..3000 {
            first.set_paused(&group("lab"), &file("f"), turn % 2 == 1).expect("saved");
            assert!(len(&first) <= 65 * 1024, "{}", len(&first));
        }
        drop(first);
        assert_eq!(known(&slot(&state, "alice")), (vec![], vec![download("lab", "f", 1)]));
    }

    #[test]
    fn a_torn_last_line_is_cut_off_without_a_word() {
        let (_temp, state) = state();
        let first = slot(&state, "alice");
        first.put_share(share("lab", "f", 1), &manifest(1)).expect("saved");
        first.put_share(share("lab", "g", 2), &manifest(2)).expect("saved");
        let path = first.folder.join("records");
        drop(first);
        let whole = fs::read(&path).expect("there");
        fs::write(&path, &whole[..whole.len() - 20]).expect("cut");
        let again = slot(&state, "alice");
        assert_eq!(known(&again).0, [share("lab", "f", 1)]);
        again.put_share(share("lab", "h", 3), &manifest(3)).expect("saved");
        drop(again);
        assert_eq!(known(&slot(&state, "alice")).0, [share("lab", "f", 1), share("lab", "h", 3)]);
    }

    /// For a child process: the folder of a state on a full disk.
    const CHILD: &str = "GROUPSHARE_TEST_SLOT";

    #[test]
    fn a_change_too_large_for_the_disk_is_refused_and_the_earlier_ones_stay() {
        if let Some(folder) = std::env::var_os(CHILD) {
            crate::sys::survive_file_size_limit();
            let state = StateDir::open(folder.as_ref()).expect("there");
            let first = slot(&state, "alice");
            let put = |number| first.put_share(share("lab", &format!("f{number}"), 1), &manifest(1));
            let count = (0..10_000).take_while(|number| put(*number).is_ok()).count();
            assert_eq!(first.shares().len(), count);
            // A shorter line still finds room after the kept ones.
            assert!(first.remove_share(&group("lab"), &file("f0")).expect("short"));
            fs::write(Path::new(&folder).join("count"), count.to_string()).expect("short");
            return;
        }
        let (temp, _state) = state();
        let test = "client::state::slot::tests::a_change_too_large_for_the_disk_is_refused_and_the_earlier_ones_stay";
        let mut child = std::process::Command::new("sh");
        child.args(["-c", "ulimit -f 16; exec \"$@\"", "sh"]).arg(std::env::current_exe().expect("this program"));
        let output = child.args(["--exact", test]).env(CHILD, temp.path()).output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        let count: usize =
            fs::read_to_string(temp.path().join("count")).expect("it said so").parse().expect("a number");
        let again = slot(&StateDir::open(temp.path()).expect("there"), "alice");
        assert_eq!(again.shares().len(), count - 1);
    }

    #[test]
    fn manifests_are_kept_while_a_record_names_them_and_damage_is_noticed() {
        let (_temp, state) = state();
        let first = slot(&state, "alice");
        let record = share("lab", "f", 1);
        let info_hash = record.content.info_hash;
        assert_eq!(first.manifest(&info_hash).expect("no error"), None);
        first.put_share(record.clone(), &manifest(1)).expect("saved");
        assert_eq!(first.manifest(&info_hash).expect("no error"), Some(manifest(1)));
        drop(first);

        let first = slot(&state, "alice");
        assert_eq!(first.manifest(&info_hash).expect("no error"), Some(manifest(1)));
        fs::write(first.manifest_path(&info_hash), "garbage").expect("damaged");
        let error = first.manifest(&info_hash).expect_err("told").to_string();
        assert!(error.contains("damaged-1") && !error.contains('\n'), "{error}");
        assert_eq!(first.manifest(&info_hash).expect("told once"), None);
        first.put_share(record, &manifest(1)).expect("saved");
        assert_eq!(first.manifest(&info_hash).expect("kept again"), Some(manifest(1)));
        first.remove_share(&group("lab"), &file("f")).expect("saved");
        drop(first);
        assert_eq!(slot(&state, "alice").manifest(&info_hash).expect("no error"), None, "no record needs it");
    }

    #[test]
    fn changes_from_many_threads_are_all_kept() {
        let (_temp, state) = state();
        let first = slot(&state, "alice");
        std::thread::scope(|scope| {
            for byte in 0..8 {
                let first = &first;
                scope.spawn(move || {
                    first.put_share(share("lab", &format!("f{byte}"), byte), &manifest(byte)).expect("saved");
                    first.put_download(download("lab", "same", 9), &manifest(9)).expect("saved");
                });
            }
        });
        drop(first);
        let again = slot(&state, "alice");
        assert_eq!((again.shares().len(), again.downloads().len()), (8, 1));
    }

    #[test]
    fn a_closed_slot_is_free_for_the_next_login_and_is_not_changed_any_more() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(temp.path()).expect("made");
        let user = UserId::parse("alice").expect("a name");
        let (old, _) = state.take_slot(&Fingerprint([1; 32]), &user).expect("free");
        old.close();
        let (new, _) = state.take_slot(&Fingerprint([1; 32]), &user).expect("free");
        assert_eq!(new.number(), old.number());
        assert!(matches!(old.remove_share(&group("lab"), &file("f")), Err(StateError::Closed)));
    }
}
