//! Who is logged in on this client: the engine of the downloads, and what is remembered of shares and downloads from run
//! to run.

use super::download_list::Downloads;
use crate::client::download::engine::Engine;
use crate::client::state::file::StateError;
use crate::client::state::slot::Slot;
use crate::model::manifest::{Content, Manifest};
use crate::model::name::{FileName, GroupId, UserId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A file that is here and should be shared, of which no tracker could be told yet.
#[derive(Debug, Clone)]
pub struct Untold {
    /// In which group.
    pub group: GroupId,
    /// Under which name.
    pub name: FileName,
    /// Where it lies.
    pub path: PathBuf,
    /// What it is.
    pub content: Content,
    /// Its files and pieces.
    pub manifest: Arc<Manifest>,
}

/// The account.
pub struct Account {
    /// The user's name as it is now.
    pub user: UserId,
    /// The number of the login.
    pub login: u64,
    /// The engine.
    pub engine: Engine,
    /// What is remembered.
    pub slot: Slot,
    /// The downloads of this login.
    pub downloads: Arc<Downloads>,
    /// Shares that the tracker could not be told of yet.
    pub untold: Mutex<Vec<Untold>>,
    /// Held while a share is brought back or stopped, from what the tracker says to what is remembered of it.
    pub deciding: Mutex<()>,
    /// Set when the tracker has not heard yet of something that is shared or downloaded here: it is told again.
    pub unheard: AtomicBool,
    /// Set when the login ends: threads that work for it return.
    pub over: AtomicBool,
    helpers: Mutex<Vec<JoinHandle<()>>>,
}

impl Account {
    /// Calls groups by the names that they have now, instead of those they had.
    ///
    /// # Errors
    /// Those of keeping that on the disk.
    pub fn rename_groups(&self, renamed: &HashMap<GroupId, GroupId>) -> Result<bool, StateError> {
        self.downloads.rename_groups(renamed);
        for untold in &mut *self.untold.lock() {
            if let Some(name) = renamed.get(&untold.group) {
                untold.group = name.clone();
            }
        }
        self.slot.rename_groups(renamed)
    }

    /// The account of a login that has just been made.
    pub fn new(user: UserId, login: u64, engine: Engine, slot: Slot) -> Arc<Self> {
        Arc::new(Self {
            user,
            login,
            engine,
            slot,
            downloads: Arc::default(),
            untold: Mutex::default(),
            deciding: Mutex::default(),
            unheard: AtomicBool::new(false),
            over: AtomicBool::new(false),
            helpers: Mutex::default(),
        })
    }

    /// The login is ending: threads that work for it return, and are waited for.
    pub fn finish(&self) {
        self.over.store(true, Ordering::Relaxed);
        let helpers = std::mem::take(&mut *self.helpers.lock());
        for helper in helpers {
            // A panic of the helper was printed when it happened.
            let _ = helper.join();
        }
    }

    /// Runs something for this account beside the prompt; it is waited for when the login ends.
    pub fn help(self: &Arc<Self>, name: String, work: impl FnOnce(&Arc<Account>) + Send + 'static) {
        let account = self.clone();
        let spawned = std::thread::Builder::new().name(name).spawn(move || work(&account));
        let mut helpers = self.helpers.lock();
        helpers.retain(|helper| !helper.is_finished());
        if let Ok(helper) = spawned {
            helpers.push(helper);
        }
    }

    /// Whether the login is ending.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}
