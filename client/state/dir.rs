//! The state directory: what a client remembers from one run to the next.
//!
//! ```text
//! <state>/history                                             lines typed at a prompt
//! <state>/pins/<digest of the path of tracker_info.txt>       the trackers' key
//! <state>/<fingerprint of the trackers>/<user>/<slot>/lock    held by the client that uses the slot
//!                                                    /records shares and unfinished downloads, a log of changes
//!                                                    /folders folders that are shared as a whole
//!                                                    /manifests/<info hash>
//!                                                    /told    what the user was told last
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
    /// `TooManyClients`, `Newer`, `Io`.
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
    use crate::client::state::record::tests::{manifest, share};
    use std::fs;
    use std::os::unix::fs::MetadataExt;

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
}
