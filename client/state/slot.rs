//! A slot of the state directory: the shares and unfinished downloads of one client of a user.

use super::file::{self, StateError};
use super::record::{DownloadRecord, ShareRecord, SlotRecord};
use crate::model::digest::InfoHash;
use crate::model::escape::ShownPath;
use crate::model::manifest::Manifest;
use crate::model::name::{FileName, GroupId};
use crate::sys::durable;
use crate::wire;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const KIND: &str = "groupshare client records";
const VERSION: u32 = 1;

/// What one client of a user remembers. Every change is on the disk when the call returns, and not made if it fails.
///
/// Invariants: a group and a name have at most one share and at most one download; for each record its manifest is
/// kept.
#[derive(Debug)]
pub struct Slot {
    // Immutable.
    folder: PathBuf,
    number: u32,
    /// Held by the one change that is being written, so that none overtakes another; whoever only reads never waits
    /// for it. In it the locked file, until the slot is closed.
    writing: Mutex<Option<File>>,
    // Locked, never during I/O.
    records: Mutex<Arc<[SlotRecord]>>,
}

impl Slot {
    pub(super) fn load(folder: PathBuf, number: u32, lock: File) -> Result<(Self, Vec<String>), StateError> {
        let path = folder.join("records");
        let lines = file::read(&path, KIND, VERSION)?;
        let records: Arc<[SlotRecord]> = lines.records.iter().filter_map(SlotRecord::from_fields).collect();
        let mut warnings = Vec::new();
        let damaged = lines.damaged || records.len() < lines.records.len();
        let slot = Self { folder, number, writing: Mutex::new(Some(lock)), records: Mutex::new(records.clone()) };
        if damaged {
            let aside = file::set_aside(&path)?;
            slot.save(&records)?;
            warnings.push(format!(
                "what this client shares and downloads could not be read back in full ({} records could) and is kept in \
                 {}; see list_files and show_downloads for what is missing",
                records.len(),
                ShownPath(&aside)
            ));
        }
        file::make_folder(&slot.folder.join("manifests"))?;
        slot.remove_unused_manifests(&records)?;
        Ok((slot, warnings))
    }

    /// Leaves the slot to the next login, even while threads still hold this value: nothing is changed in it any more.
    pub fn close(&self) {
        self.writing.lock().take();
    }

    /// Which slot of the user it is, from 0.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What is shared.
    pub fn shares(&self) -> Vec<ShareRecord> {
        let shares = |record: &SlotRecord| match record {
            SlotRecord::Share(share) => Some(share.clone()),
            SlotRecord::Download(_) => None,
        };
        self.records().iter().filter_map(shares).collect()
    }

    /// What is shared under this name.
    pub fn share(&self, group: &GroupId, name: &FileName) -> Option<ShareRecord> {
        self.records().iter().find_map(|record| match record {
            SlotRecord::Share(share) if record.is(group, name) => Some(share.clone()),
            _ => None,
        })
    }

    /// What is not finished downloading.
    pub fn downloads(&self) -> Vec<DownloadRecord> {
        let downloads = |record: &SlotRecord| match record {
            SlotRecord::Download(download) => Some(download.clone()),
            SlotRecord::Share(_) => None,
        };
        self.records().iter().filter_map(downloads).collect()
    }

    /// Remembers a share instead of one of the same group and name. If that was a download until now, it is not any
    /// more, in the same step.
    ///
    /// # Errors
    /// `Io`.
    pub fn put_share(&self, share: ShareRecord, manifest: &Manifest) -> Result<(), StateError> {
        self.put(SlotRecord::Share(share), manifest, |old, new| {
            matches!(old, SlotRecord::Share(_)) || old.content().info_hash == new.content().info_hash
        })
    }

    /// Remembers a share under another group and name; false if another one is remembered there.
    ///
    /// # Errors
    /// `Io`.
    pub fn move_share(&self, share: &ShareRecord, group: &GroupId, name: &FileName) -> Result<bool, StateError> {
        self.change(|records| {
            let taken = |record: &SlotRecord| matches!(record, SlotRecord::Share(_)) && record.is(group, name);
            if records.iter().any(taken) {
                return None;
            }
            let moved = |record: &SlotRecord| match record {
                SlotRecord::Share(found) if found == share => {
                    SlotRecord::Share(ShareRecord { group: group.clone(), name: name.clone(), ..share.clone() })
                }
                other => other.clone(),
            };
            Some(records.iter().map(moved).collect())
        })
    }

    /// Forgets a share; false if there is none.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_share(&self, group: &GroupId, name: &FileName) -> Result<bool, StateError> {
        self.remove(|record| record.is(group, name) && matches!(record, SlotRecord::Share(_)))
    }

    /// Remembers a download instead of one of the same group and name.
    ///
    /// # Errors
    /// `Io`.
    pub fn put_download(&self, download: DownloadRecord, manifest: &Manifest) -> Result<(), StateError> {
        self.put(SlotRecord::Download(download), manifest, |old, _| matches!(old, SlotRecord::Download(_)))
    }

    /// Remembers whether the user has paused a download; false if there is none.
    ///
    /// # Errors
    /// `Io`.
    pub fn set_paused(&self, group: &GroupId, name: &FileName, paused: bool) -> Result<bool, StateError> {
        self.change(|records| {
            let mut changed = records.to_vec();
            let download = changed.iter_mut().find_map(|record| match record {
                SlotRecord::Download(found) if found.group == *group && found.name == *name => Some(found),
                _ => None,
            })?;
            download.paused = paused;
            Some(changed.into())
        })
    }

    /// Forgets a download; false if there is none.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_download(&self, group: &GroupId, name: &FileName) -> Result<bool, StateError> {
        self.remove(|record| record.is(group, name) && matches!(record, SlotRecord::Download(_)))
    }

    /// Calls groups by other names, all at once; false if nothing is remembered of them.
    ///
    /// # Errors
    /// `Io`.
    pub fn rename_groups(&self, renamed: &HashMap<GroupId, GroupId>) -> Result<bool, StateError> {
        self.change(|records| {
            if !records.iter().any(|record| renamed.contains_key(record.group())) {
                return None;
            }
            let rename =
                |record: &SlotRecord| record.clone().in_group(renamed.get(record.group()).unwrap_or(record.group()));
            Some(records.iter().map(rename).collect())
        })
    }

    /// The manifest that was kept with a record, so that nothing has to be hashed or asked for again.
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

    fn records(&self) -> Arc<[SlotRecord]> {
        self.records.lock().clone()
    }

    fn manifest_path(&self, info_hash: &InfoHash) -> PathBuf {
        self.folder.join("manifests").join(info_hash.to_string())
    }

    /// Keeps the manifest, then the record, which takes the place of those of the same group and name that `replaces`
    /// says.
    fn put(
        &self,
        new: SlotRecord,
        manifest: &Manifest,
        replaces: impl Fn(&SlotRecord, &SlotRecord) -> bool,
    ) -> Result<(), StateError> {
        self.keep_manifest(&new.content().info_hash, manifest)?;
        self.change(|records| {
            if records.contains(&new) {
                return None;
            }
            let stays = |old: &&SlotRecord| !(old.is(new.group(), new.name()) && replaces(old, &new));
            Some(records.iter().filter(stays).chain([&new]).cloned().collect())
        })
        .map(drop)
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
        // One whose encoding is too long could not have been shared.
        let Some((encoded, found)) = wire::manifest::encode(manifest) else {
            return Ok(());
        };
        debug_assert_eq!(found, *info_hash, "a record comes with its own manifest");
        durable::replace(&path, &encoded).map_err(StateError::io(&path, "write"))
    }

    fn remove(&self, gone: impl Fn(&SlotRecord) -> bool) -> Result<bool, StateError> {
        self.change(|records| {
            let left: Arc<[SlotRecord]> = records.iter().filter(|record| !gone(record)).cloned().collect();
            (left.len() < records.len()).then_some(left)
        })
    }

    /// Puts what `change` makes of the records in their place, on the disk first; false if it makes nothing.
    fn change(&self, change: impl FnOnce(&[SlotRecord]) -> Option<Arc<[SlotRecord]>>) -> Result<bool, StateError> {
        let writing = self.writing.lock();
        if writing.is_none() {
            return Err(StateError::Closed);
        }
        let Some(changed) = change(&self.records()) else {
            return Ok(false);
        };
        self.save(&changed)?;
        *self.records.lock() = changed;
        Ok(true)
    }

    fn save(&self, records: &[SlotRecord]) -> Result<(), StateError> {
        let fields: Vec<_> = records.iter().map(SlotRecord::to_fields).collect();
        let fields: Vec<Vec<&[u8]>> = fields.iter().map(|fields| fields.iter().map(Vec::as_slice).collect()).collect();
        file::write(&self.folder.join("records"), KIND, VERSION, &fields)
    }

    fn remove_unused_manifests(&self, records: &[SlotRecord]) -> Result<(), StateError> {
        let folder = self.folder.join("manifests");
        let used: HashSet<OsString> =
            records.iter().map(|record| record.content().info_hash.to_string().into()).collect();
        for entry in fs::read_dir(&folder).map_err(StateError::io(&folder, "read"))? {
            let name = entry.map_err(StateError::io(&folder, "read"))?.file_name();
            // Only what this program has written whole: what was set aside stays.
            let manifest = name.to_str().and_then(InfoHash::from_hex).is_some();
            if manifest && !used.contains(&name) {
                let path = folder.join(name);
                fs::remove_file(&path).map_err(StateError::io(&path, "remove"))?;
            }
        }
        Ok(())
    }
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
        let text = format!("{KIND} {}\nwhatever\n", VERSION + 1);
        fs::write(&path, &text).expect("written");
        assert!(matches!(state.take_slot(&TRACKERS, &user("alice")), Err(StateError::Newer(_))));
        assert_eq!(fs::read_to_string(&path).expect("kept"), text);
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
        assert_eq!(slot(&state, "alice").manifest(&info_hash).expect("no error"), None, "nobody needs it");
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
