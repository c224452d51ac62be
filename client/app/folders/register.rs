//! What commands and the thread that looks after shared folders tell each other. The thread's own file is `keeper`.

use crate::client::command::failure::Failure;
use crate::client::output::report::FolderStatus;
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

/// Whoever waits for the folders looks so often whether the wait is cancelled.
const CANCEL_PAUSE: Duration = Duration::from_millis(100);

/// What the thread is told.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Shares that have ended.
    pub ended: Vec<(GroupId, FileName)>,
    /// Folders whose shares without a file are to end.
    pub agreed: Vec<PathBuf>,
    /// What the group may have in another version than the folder.
    pub doubted: BTreeSet<(GroupId, FileName)>,
    /// What became of the large file that was read beside the others.
    pub read: Option<Result<(), Failure>>,
}

/// About how many files of which folder the user is to be asked, and of which group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoneFiles {
    pub folder: PathBuf,
    pub group: GroupId,
    pub count: usize,
}

#[derive(Debug, Default)]
struct RegisterState {
    orders: Orders,
    /// How each folder stands.
    standings: Vec<FolderStatus>,
    questions: Vec<GoneFiles>,
    /// The thread has done all that it knew of when it looked last.
    settled: bool,
}

/// The register. Its lock is never held across a request or the disk.
#[derive(Debug)]
pub(crate) struct FolderRegister {
    state: Mutex<RegisterState>,
    changed: Condvar,
    waker: Waker,
    /// Set when a file that is being read is to be shared no longer.
    stopped: AtomicBool,
    /// The same for a large one that is read beside the others.
    large_stopped: Arc<AtomicBool>,
}

impl FolderRegister {
    pub(crate) fn new() -> io::Result<Self> {
        // Nothing is to be done before a folder is named.
        let state = RegisterState { settled: true, ..RegisterState::default() };
        Ok(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            waker: Waker::new()?,
            stopped: AtomicBool::new(false),
            large_stopped: Arc::default(),
        })
    }

    /// Something is different: the folders that are remembered, or whether the login goes on.
    pub(crate) fn wake(&self) {
        self.state.lock().settled = false;
        self.changed.notify_all();
        self.waker.wake();
    }

    /// A folder is not shared any more, or the login ends: what is being read is let go of.
    pub(crate) fn stop_reading(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.stop_large();
        self.wake();
    }

    /// The large file that is being read need not be read any more.
    pub(super) fn stop_large(&self) {
        self.large_stopped.store(true, Ordering::Relaxed);
    }

    /// The same as `begin_reading` for a large file.
    pub(super) fn begin_large(&self) -> Arc<AtomicBool> {
        self.large_stopped.store(false, Ordering::Relaxed);
        self.large_stopped.clone()
    }

    /// This became of the large file.
    pub(super) fn has_read(&self, what: Result<(), Failure>) {
        self.state.lock().orders.read = Some(what);
        self.wake();
    }

    /// A file is about to be read. Gives what is set when it need not be read any more; whether that is so already is to
    /// be asked behind this.
    pub(super) fn begin_reading(&self) -> &AtomicBool {
        self.stopped.store(false, Ordering::Relaxed);
        &self.stopped
    }

    /// Shares have ended.
    pub(crate) fn ended(&self, shares: &[ShareRecord]) {
        let mut state = self.state.lock();
        if !state.standings.is_empty() {
            state.orders.ended.extend(shares.iter().map(|share| (share.group.clone(), share.name.clone())));
            self.waker.wake();
        }
    }

    /// The shares of a folder without a file are to end.
    pub(crate) fn agree(&self, folder: PathBuf) {
        let mut state = self.state.lock();
        state.questions.retain(|question| question.folder != folder);
        state.orders.agreed.push(folder);
        drop(state);
        self.wake();
    }

    /// The group may have another version of a file than its folder.
    pub(crate) fn doubt(&self, group: GroupId, name: FileName) {
        self.state.lock().orders.doubted.insert((group, name));
        self.wake();
    }

    /// What the user is to be asked next.
    pub(crate) fn take_question(&self) -> Option<GoneFiles> {
        let mut state = self.state.lock();
        if state.questions.is_empty() { None } else { Some(state.questions.remove(0)) }
    }

    /// The user has not answered.
    pub(crate) fn ask_again(&self, question: GoneFiles) {
        self.ask(question);
    }

    /// The user is to be asked.
    pub(super) fn ask(&self, question: GoneFiles) {
        let mut state = self.state.lock();
        state.questions.retain(|other| other.folder != question.folder);
        state.questions.push(question);
    }

    /// How the folders stand.
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

    /// The orders since the last call.
    pub(super) fn take_orders(&self) -> Orders {
        std::mem::take(&mut self.state.lock().orders)
    }

    /// Waits for an order, for something to read, or for this time. True if there is an order.
    pub(super) fn wait(&self, others: &[BorrowedFd<'_>], until: Instant) -> bool {
        self.waker.wait_for_any(others, until)
    }

    /// How the folders stand now, and whether all is done.
    pub(super) fn tell(&self, standings: Vec<FolderStatus>, settled: bool) {
        let mut state = self.state.lock();
        state.settled = settled && state.orders.agreed.is_empty() && state.orders.doubted.is_empty();
        // Files that are back need no answer.
        let is_open = |question: &GoneFiles| standings.iter().any(|it| it.folder == question.folder && it.gone > 0);
        state.questions.retain(is_open);
        state.standings = standings;
        self.changed.notify_all();
    }
}
