//! The register through which commands and the folder thread exchange orders and results. The thread itself is in
//! `keeper`.

use crate::client::command::failure::Failure;
use crate::client::output::report::FolderStatus;
use crate::client::state::folders::FolderRecord;
use crate::client::state::record::ShareRecord;
use crate::model::name::{FileName, GroupId};
use crate::sys::waker::Waker;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a waiter for the folders checks whether the wait is cancelled.
const CANCEL_PAUSE: Duration = Duration::from_millis(100);

/// The orders for the thread.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// The shares that have ended.
    pub ended: Vec<(GroupId, FileName)>,
    /// Folders whose shares without a file may end.
    pub agreed: Vec<PathBuf>,
    /// Files of which the group may have another version than the folder.
    pub doubted: BTreeSet<(GroupId, FileName)>,
    /// Files that may have changed.
    pub touched: Vec<(FolderRecord, FileName)>,
    /// Shares of a folder that is no longer shared. They are still to end.
    pub left: Vec<ShareRecord>,
    /// The result of the large file.
    pub read: Option<Result<(), Failure>>,
}

/// A question to the user: may this many shares end, whose files are missing in this folder?
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoneFiles {
    pub folder: PathBuf,
    pub group: GroupId,
    pub count: usize,
}

#[derive(Debug, Default)]
struct RegisterState {
    orders: Orders,
    /// The state of each folder.
    standings: Vec<FolderStatus>,
    questions: Vec<GoneFiles>,
    /// At its last look the thread had no work left.
    settled: bool,
}

/// The register. No thread holds its lock across a request or a disk access.
#[derive(Debug)]
pub(crate) struct FolderRegister {
    state: Mutex<RegisterState>,
    changed: Condvar,
    waker: Waker,
    /// Set when the file that is being read is no longer to be shared.
    stopped: AtomicBool,
    /// As `stopped`, for a large file that a helper thread reads.
    large_stopped: Arc<AtomicBool>,
}

impl FolderRegister {
    pub(crate) fn new() -> io::Result<Self> {
        // Without a folder there is no work.
        let state = RegisterState { settled: true, ..RegisterState::default() };
        Ok(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            waker: Waker::new()?,
            stopped: AtomicBool::new(false),
            large_stopped: Arc::default(),
        })
    }

    /// Tells of a change in the remembered folders or in the login.
    pub(crate) fn wake(&self) {
        self.state.lock().settled = false;
        self.changed.notify_all();
        self.waker.wake();
    }

    /// Stops the reading of files, because a folder is no longer shared or the login ends.
    pub(crate) fn stop_reading(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.stop_large();
        self.wake();
    }

    /// Stops the reading of the large file.
    pub(super) fn stop_large(&self) {
        self.large_stopped.store(true, Ordering::Relaxed);
    }

    /// As `begin_reading`, for a large file.
    pub(super) fn begin_large(&self) -> Arc<AtomicBool> {
        self.large_stopped.store(false, Ordering::Relaxed);
        self.large_stopped.clone()
    }

    /// Takes in the result of the large file.
    pub(super) fn has_read(&self, what: Result<(), Failure>) {
        self.state.lock().orders.read = Some(what);
        self.wake();
    }

    /// Begins the reading of a file. Returns the flag that stops it. The caller checks only after this call whether the
    /// file is still to be shared.
    pub(super) fn begin_reading(&self) -> &AtomicBool {
        self.stopped.store(false, Ordering::Relaxed);
        &self.stopped
    }

    /// Notes that shares have ended.
    pub(crate) fn ended(&self, shares: &[ShareRecord]) {
        let mut state = self.state.lock();
        if !state.standings.is_empty() {
            state.orders.ended.extend(shares.iter().map(|share| (share.group.clone(), share.name.clone())));
            self.waker.wake();
        }
    }

    /// Notes that the user agrees: the shares of a folder without a file may end.
    pub(crate) fn agree(&self, folder: PathBuf) {
        let mut state = self.state.lock();
        state.questions.retain(|question| question.folder != folder);
        state.orders.agreed.push(folder);
        drop(state);
        self.wake();
    }

    /// Notes that the group may have another version of a file than its folder.
    pub(crate) fn doubt(&self, group: GroupId, name: FileName) {
        self.state.lock().orders.doubted.insert((group, name));
        self.wake();
    }

    /// Notes that a file of a folder may have changed.
    pub(crate) fn touch(&self, folder: FolderRecord, name: FileName) {
        self.state.lock().orders.touched.push((folder, name));
        self.wake();
    }

    /// Leaves shares to the thread that are still to end.
    pub(crate) fn leave(&self, shares: Vec<ShareRecord>) {
        self.state.lock().orders.left.extend(shares);
        self.waker.wake();
    }

    /// Takes the next question to the user.
    pub(crate) fn take_question(&self) -> Option<GoneFiles> {
        let mut state = self.state.lock();
        if state.questions.is_empty() { None } else { Some(state.questions.remove(0)) }
    }

    /// Puts a question back that the user has not answered.
    pub(crate) fn ask_again(&self, question: GoneFiles) {
        self.ask(question);
    }

    /// Adds a question to the user.
    pub(super) fn ask(&self, question: GoneFiles) {
        let mut state = self.state.lock();
        state.questions.retain(|other| other.folder != question.folder);
        state.questions.push(question);
    }

    /// The state of the folders.
    pub(crate) fn standings(&self) -> Vec<FolderStatus> {
        self.state.lock().standings.clone()
    }

    /// Waits until every file at rest is shared.
    pub(crate) fn wait_settled(&self, is_cancelled: impl Fn() -> bool) {
        let mut state = self.state.lock();
        while !state.settled && !is_cancelled() {
            self.changed.wait_until(&mut state, Instant::now() + CANCEL_PAUSE);
        }
    }

    /// Takes the orders since the last call.
    pub(super) fn take_orders(&self) -> Orders {
        std::mem::take(&mut self.state.lock().orders)
    }

    /// Waits for an order, for a readable descriptor, or until this time. Returns true if there is an order.
    pub(super) fn wait(&self, others: &[BorrowedFd<'_>], until: Instant) -> bool {
        self.waker.wait_for_any(others, until)
    }

    /// Tells the state of the folders, and whether all work is done.
    pub(super) fn tell(&self, standings: Vec<FolderStatus>, settled: bool) {
        let mut state = self.state.lock();
        state.settled = settled && state.orders.agreed.is_empty() && state.orders.doubted.is_empty();
        // Once the files are back, the question needs no answer.
        let is_open = |question: &GoneFiles| standings.iter().any(|it| it.folder == question.folder && it.gone > 0);
        state.questions.retain(is_open);
        state.standings = standings;
        self.changed.notify_all();
    }
}
