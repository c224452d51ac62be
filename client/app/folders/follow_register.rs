//! What the event loop, commands and the thread that follows groups tell each other. The thread's own file is
//! `follow_keeper`.

use crate::client::output::report::FolderStatus;
use crate::model::name::{FileName, GroupId};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Whoever waits for the follower looks so often whether the wait is cancelled.
const CANCEL_PAUSE: Duration = Duration::from_millis(100);
/// Names that wait to be asked for. Instead of more, all of the group is.
pub(super) const NAMES_MAX: usize = 4096;

/// What is new in a group.
#[derive(Debug, Default)]
pub(super) struct FollowNews {
    pub names: BTreeSet<FileName>,
    /// All of the group is to be looked through.
    pub all: bool,
}

/// What the thread is told.
#[derive(Debug, Default)]
pub(super) struct FollowOrders {
    pub news: BTreeMap<GroupId, FollowNews>,
    /// A tracker was reached, which knows nothing of what is followed here.
    pub reached: bool,
}

#[derive(Debug, Default)]
struct Fields {
    orders: FollowOrders,
    /// Something is to be looked at.
    awake: bool,
    standings: Vec<FolderStatus>,
    /// The thread waits for nothing that it knows of.
    busy: bool,
    /// What the thread has begun to download.
    begun: BTreeSet<(GroupId, FileName)>,
}

/// The register. Its lock is never held across a request or the disk.
#[derive(Debug, Default)]
pub(crate) struct FollowRegister {
    fields: Mutex<Fields>,
    changed: Condvar,
}

impl FollowRegister {
    /// Something is different: the folders that are remembered, a download, or whether the login goes on.
    pub(crate) fn wake(&self) {
        let mut fields = self.fields.lock();
        fields.awake = true;
        self.changed.notify_all();
    }

    /// The same; whoever waits for all that is to come waits from now on.
    pub(crate) fn wake_for(&self) {
        self.fields.lock().busy = true;
        self.wake();
    }

    /// A tracker was reached.
    pub(crate) fn reached(&self) {
        self.fields.lock().orders.reached = true;
        self.wake();
    }

    /// Something is shared in a group, under these names; with `more` under others too.
    pub(crate) fn changed(&self, group: GroupId, names: Vec<FileName>, more: bool) {
        let mut fields = self.fields.lock();
        let news = fields.orders.news.entry(group).or_default();
        news.names.extend(names);
        if more || news.names.len() > NAMES_MAX {
            *news = FollowNews { names: BTreeSet::new(), all: true };
        }
        drop(fields);
        self.wake();
    }

    /// How the folders stand.
    pub(crate) fn standings(&self) -> Vec<FolderStatus> {
        self.fields.lock().standings.clone()
    }

    /// Waits until everything that can come has come.
    pub(crate) fn wait_settled(&self, is_cancelled: impl Fn() -> bool) {
        let mut fields = self.fields.lock();
        while fields.busy && !is_cancelled() {
            self.changed.wait_until(&mut fields, Instant::now() + CANCEL_PAUSE);
        }
    }

    /// The thread begins to download this.
    pub(super) fn begin(&self, group: &GroupId, name: &FileName) {
        self.fields.lock().begun.insert((group.clone(), name.clone()));
    }

    /// A download ends. True if the thread has begun it.
    pub(crate) fn end(&self, group: &GroupId, name: &FileName) -> bool {
        self.fields.lock().begun.remove(&(group.clone(), name.clone()))
    }

    /// What was told since the last call.
    pub(super) fn take(&self) -> FollowOrders {
        let mut fields = self.fields.lock();
        fields.awake = false;
        std::mem::take(&mut fields.orders)
    }

    /// How the folders stand now, and whether something is yet to come. Waits then for something to do, or for this time.
    pub(super) fn tell_and_wait(&self, standings: Vec<FolderStatus>, busy: bool, until: Instant) {
        let mut fields = self.fields.lock();
        fields.standings = standings;
        if !fields.awake {
            fields.busy = busy;
            self.changed.notify_all();
        }
        while !fields.awake && !self.changed.wait_until(&mut fields, until).timed_out() {}
    }
}
