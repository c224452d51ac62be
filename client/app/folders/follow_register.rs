//! The register through which the event loop, the commands and the follow thread exchange orders and results. The
//! thread itself is in `follow_keeper`.

use crate::client::output::report::FolderStatus;
use crate::model::name::{FileName, GroupId};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often a waiter for the follow thread checks whether the wait is cancelled.
const CANCEL_PAUSE: Duration = Duration::from_millis(100);
/// The maximum number of names that wait for a request. Beyond this limit the thread lists the whole group.
pub(super) const NAMES_MAX: usize = 4096;

/// New shares of a group.
#[derive(Debug, Default)]
pub(super) struct FollowNews {
    pub names: BTreeSet<FileName>,
    /// The thread has to list the whole group.
    pub all: bool,
}

/// The orders for the thread.
#[derive(Debug, Default)]
pub(super) struct FollowOrders {
    pub news: BTreeMap<GroupId, FollowNews>,
    /// A new tracker was reached, which does not know the followed groups yet.
    pub reached: bool,
}

#[derive(Debug, Default)]
struct Fields {
    orders: FollowOrders,
    /// The thread has something to look at.
    awake: bool,
    standings: Vec<FolderStatus>,
    /// The thread still expects something.
    busy: bool,
    /// The downloads that the thread has begun.
    begun: BTreeSet<(GroupId, FileName)>,
}

/// The register. No thread holds its lock across a request or a disk access.
#[derive(Debug, Default)]
pub(crate) struct FollowRegister {
    fields: Mutex<Fields>,
    changed: Condvar,
}

impl FollowRegister {
    /// Tells of a change: in the remembered folders, in a download, or in the login.
    pub(crate) fn wake(&self) {
        let mut fields = self.fields.lock();
        fields.awake = true;
        self.changed.notify_all();
    }

    /// As `wake`. In addition, a waiter for all expected files now waits until the thread has looked again.
    pub(crate) fn wake_for(&self) {
        self.fields.lock().busy = true;
        self.wake();
    }

    /// Notes that a new tracker was reached.
    pub(crate) fn reached(&self) {
        self.fields.lock().orders.reached = true;
        self.wake();
    }

    /// Notes that a group has shares under these new names. With `more`, it has shares under further new names too.
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

    /// The state of the folders.
    pub(crate) fn standings(&self) -> Vec<FolderStatus> {
        self.fields.lock().standings.clone()
    }

    /// Waits until every expected file has arrived.
    pub(crate) fn wait_settled(&self, is_cancelled: impl Fn() -> bool) {
        let mut fields = self.fields.lock();
        while fields.busy && !is_cancelled() {
            self.changed.wait_until(&mut fields, Instant::now() + CANCEL_PAUSE);
        }
    }

    /// Notes that the thread begins this download.
    pub(super) fn begin(&self, group: &GroupId, name: &FileName) {
        self.fields.lock().begun.insert((group.clone(), name.clone()));
    }

    /// Notes the end of a download. Returns true if the thread had begun it.
    pub(crate) fn end(&self, group: &GroupId, name: &FileName) -> bool {
        self.fields.lock().begun.remove(&(group.clone(), name.clone()))
    }

    /// Takes the orders since the last call.
    pub(super) fn take(&self) -> FollowOrders {
        let mut fields = self.fields.lock();
        fields.awake = false;
        std::mem::take(&mut fields.orders)
    }

    /// Tells the state of the folders, and whether the thread still expects something. Then waits for orders or until
    /// this time.
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
