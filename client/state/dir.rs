//! The state directory: what a client remembers from one run to the next.
//!
//! ```text
//! <state>/history                                             lines typed at a prompt
//! <state>/pins/<digest of the path of tracker_info.txt>       the trackers' key
//! <state>/<fingerprint of the trackers>/<user>/<slot>/lock    held by the client that uses the slot
//!                                                    /format  the number of the format of all this
//!                                                    /records shares and unfinished downloads, a log of changes
//!                                                    /folders folders that are shared as a whole
//!                                                    /manifests/<info hash>
//!                                                    /told    what the user was told last
//!                                                    /before-upgrade/  what was there before the last upgrade
//! ```
//!
//! Several clients of one user may run at a time. Each takes the first free slot. So a client that comes back finds its
//! records, under any address. It also takes over the records in slots that no client uses.

use super::file::{self, StateError};
use super::pins::Pins;
use super::slot::{Slot, lock_slot};
use super::takeover::take_over;
use crate::model::digest::Fingerprint;
use crate::model::name::UserId;
use std::path::{Path, PathBuf};

/// The maximum number of clients of one user on one machine.
pub const SLOTS_MAX: u32 = 1000;

/// The state directory of one OS user.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// The state directory at a path. If it is missing, it is made for its owner alone.
    ///
    /// # Errors
    /// `Io`.
    pub fn open(root: &Path) -> Result<Self, StateError> {
        let root = std::path::absolute(root).map_err(StateError::io(root, "find"))?;
        file::make_folder(&root)?;
        Ok(Self { root })
    }

    /// The path of the directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of the lines typed at a prompt.
    pub fn history(&self) -> PathBuf {
        self.root.join("history")
    }

    /// The trackers' keys.
    ///
    /// # Errors
    /// `Io`.
    pub fn pins(&self) -> Result<Pins, StateError> {
        Pins::open(self.root.join("pins"))
    }

    /// Takes the first free slot of a user of an installation. Records in other slots that no client uses come over to
    /// it. Also returns lines for the user: which records came and which could not, and every damage.
    ///
    /// # Errors
    /// `TooManyClients`, `Format`, `Newer`, `Io`.
    pub fn take_slot(&self, trackers: &Fingerprint, user: &UserId) -> Result<(Slot, Vec<String>), StateError> {
        let base = self.root.join(trackers.to_string()).join(user.as_str());
        for number in 0..SLOTS_MAX {
            let folder = base.join(number.to_string());
            file::make_folder(&folder)?;
            if let Some(lock) = lock_slot(&folder)? {
                let (slot, mut lines) = Slot::load(folder, number, lock)?;
                lines.extend(take_over(&slot, &base));
                return Ok((slot, lines));
            }
        }
        Err(StateError::TooManyClients(base))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::client::folder::following::Came;
    use crate::client::folder::node::FolderNode;
    use crate::client::state::folders::{Bond, FolderRecord};
    use crate::client::state::follow_log::{FollowLog, FollowedFiles};
    use crate::client::state::record::DownloadRecord;
    use crate::client::state::record::tests::{download, manifest, share};
    use crate::client::state::told::Told;
    use crate::model::digest::InfoHash;
    use crate::model::name::{FileName, GroupId};
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    pub(in crate::client::state) const TRACKERS: Fingerprint = Fingerprint([7; 32]);

    pub(in crate::client::state) fn state() -> (tempfile::TempDir, StateDir) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(&temp.path().join("a/b")).expect("made");
        (temp, state)
    }

    pub(in crate::client::state) fn user(name: &str) -> UserId {
        UserId::parse(name).expect("a name")
    }

    pub(in crate::client::state) fn slot(state: &StateDir, name: &str) -> Slot {
        let (slot, warnings) = state.take_slot(&TRACKERS, &user(name)).expect("free");
        assert_eq!(warnings, Vec::<String>::new());
        slot
    }

    #[test]
    fn three_clients_of_one_user_do_not_collide_and_one_that_comes_back_finds_its_own() {
        let (_temp, state) = state();
        let first = slot(&state, "alice");
        let second = slot(&state, "alice");
        let third = slot(&state, "alice");
        assert_eq!([first.number(), second.number(), third.number()], [0, 1, 2]);
        assert_eq!(slot(&state, "bob").number(), 0, "another user");
        first.put_share(share("lab", "f", 1), &manifest(1)).expect("saved");
        assert_eq!(second.shares(), []);
        drop(first);
        let back = slot(&state, "alice");
        assert_eq!(back.number(), 0);
        assert_eq!(back.shares(), [share("lab", "f", 1)]);
        let (elsewhere, _) = state.take_slot(&Fingerprint([8; 32]), &user("alice")).expect("free");
        assert_eq!(elsewhere.shares(), [], "another installation");
    }

    #[test]
    fn nobody_else_may_look_into_the_state() {
        let (temp, state) = state();
        let slot = slot(&state, "alice");
        slot.put_share(share("lab", "f", 1), &manifest(1)).expect("saved");
        let mut folders = vec![temp.path().join("a")];
        while let Some(path) = folders.pop() {
            let metadata = fs::metadata(&path).expect("there");
            assert_eq!(metadata.mode() & 0o077, 0, "{}", path.display());
            if metadata.is_dir() {
                folders.extend(fs::read_dir(path).expect("there").map(|entry| entry.expect("read").path()));
            }
        }
    }

    /// Where the state of a release is recorded. Nothing in there ever changes.
    fn recorded() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/1.0/client")
    }

    const LIST: &str = "/home/ann/tracker_info.txt";
    const FOLLOWING: &str = "/home/ann/films";

    fn file(name: &str) -> FileName {
        FileName::parse(name).expect("a name")
    }

    fn came() -> Came {
        Came { info_hash: InfoHash([5; 32]), size: 7, author: user("bob") }
    }

    fn folders() -> [FolderRecord; 2] {
        let folder = |path: &str, bond, born| FolderRecord {
            group: GroupId::parse("lab").expect("a name"),
            path: path.into(),
            node: FolderNode { device: 7, inode: u64::MAX, born },
            bond,
        };
        [
            folder("/home/ann/work", Bond::Shared, None),
            folder(FOLLOWING, Bond::Follows(1 << 30), Some(Duration::new(1_700_000_000, 5))),
        ]
    }

    fn told() -> Told {
        let told = serde_json::json!({ "event": "share_ended", "group_id": "lab", "file_name": "f" });
        told.as_object().expect("an object").clone()
    }

    fn downloads() -> [DownloadRecord; 3] {
        [download("lab", "part of 6", 6), download("lab", "part of 9", 9), download("lab", "whole", 4)]
    }

    fn record_state(root: &Path) {
        let state = StateDir::open(root).expect("made");
        state.pins().expect("made").accept(Path::new(LIST), TRACKERS).expect("pinned");
        let slot = slot(&state, "ann");
        for byte in [1, 2] {
            slot.put_share(share("lab", &format!("share {byte}"), byte), &manifest(byte)).expect("saved");
        }
        for (record, byte) in downloads().into_iter().zip([6, 9, 4]) {
            slot.put_download(record, &manifest(byte)).expect("saved");
        }
        slot.remove_share(&GroupId::parse("lab").expect("a name"), &file("share 1")).expect("saved");
        folders().into_iter().for_each(|folder| slot.folders().put(folder).expect("saved"));
        slot.told().keep(told());
        let log = slot.follow_log(Path::new(FOLLOWING));
        FollowLog::begin(&log, &BTreeMap::from([(file("old"), InfoHash([4; 32]))])).expect("written");
        let (mut log, _) = FollowLog::open(&log).expect("read").expect("there");
        log.begun(&file("next"), &came()).expect("written");
        log.came(&file("a/b"), &came()).expect("written");
    }

    /// It is written if it is missing, and is to be committed.
    #[test]
    fn the_state_that_this_program_keeps_is_recorded() {
        if !recorded().exists() {
            record_state(&recorded());
            panic!("written, and to be committed: {}", recorded().display());
        }
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("made");
        for entry in fs::read_dir(from).expect("there") {
            let (from, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).expect("read");
            if from.is_dir() {
                copy(&from, &to);
            } else {
                fs::copy(&from, &to).expect("copied");
            }
        }
    }

    #[test]
    fn the_state_that_a_release_has_kept_is_there_again_with_all_that_is_in_it() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        copy(&recorded(), temp.path());
        let state = StateDir::open(temp.path()).expect("there");
        assert_eq!(state.pins().expect("there").get(Path::new(LIST)).expect("read"), Some(TRACKERS));
        let slot = slot(&state, "ann");
        assert_eq!(slot.shares(), [share("lab", "share 2", 2)]);
        assert_eq!(slot.downloads(), downloads());
        for byte in [2, 6, 9, 4] {
            let info_hash = share("lab", "f", byte).content.info_hash;
            assert_eq!(slot.manifest(&info_hash).expect("read"), Some(manifest(byte)), "{byte}");
        }
        assert_eq!(slot.folders().list(), folders());
        assert_eq!(slot.told().all(), [told()]);
        let (_, followed) = FollowLog::open(&slot.follow_log(Path::new(FOLLOWING))).expect("read").expect("there");
        let expected = FollowedFiles {
            came: BTreeMap::from([(file("a/b"), came())]),
            begun: BTreeMap::from([(file("next"), came())]),
            passed: BTreeMap::from([(file("old"), InfoHash([4; 32]))]),
        };
        assert_eq!(followed, expected);
    }
}
