//! The downloads of a login, as `show_downloads` and `wait` see them.

use crate::client::download::transfer::Transfer;
use crate::client::output::download_failure::DownloadFailure;
use crate::client::reach::way::Way;
use crate::model::digest::InfoHash;
use crate::model::manifest::Content;
use crate::model::name::{FileName, GroupId, UserId};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The phase of a download.
#[derive(Debug, Clone)]
pub enum DownloadPhase {
    /// The client verifies the pieces on the disk.
    Starting,
    /// The engine fetches pieces.
    Running(Arc<Transfer>),
    /// The download goes on once a tracker that knows the share is reached.
    Waiting {
        /// When the client told the user.
        since: Option<Instant>,
    },
    /// The download goes on at the user's command.
    Paused {
        /// Bytes verified. `None` for a download of an earlier login: nobody has looked at its file yet.
        done: Option<u64>,
    },
    /// The complete file has its final name.
    Complete,
    /// The download ended without its file.
    Failed(DownloadFailure),
}

impl DownloadPhase {
    /// Whether the download ends by itself.
    pub fn is_busy(&self) -> bool {
        matches!(self, DownloadPhase::Starting | DownloadPhase::Running(_) | DownloadPhase::Waiting { .. })
    }

    pub fn is_waiting(&self) -> bool {
        matches!(self, DownloadPhase::Waiting { .. })
    }

    pub fn has_ended(&self) -> bool {
        matches!(self, DownloadPhase::Complete | DownloadPhase::Failed(_))
    }
}

/// One download.
#[derive(Debug, Clone)]
pub struct Tracked {
    pub id: u64,
    pub group: GroupId,
    pub name: FileName,
    pub destination: PathBuf,
    /// The patterns of the wanted files of a folder; empty for all files.
    pub patterns: Vec<String>,
    /// In bytes; `None` until the tracker has told it.
    pub size: Option<u64>,
    /// `None` until the tracker has told it.
    pub info_hash: Option<InfoHash>,
    pub phase: DownloadPhase,
    /// Bytes that members had delivered in earlier transfers.
    pub members: BTreeMap<UserId, u64>,
    /// Bytes taken from an old version in earlier transfers.
    pub reused: u64,
    /// The last way to each member.
    pub ways: BTreeMap<UserId, Way>,
}

impl Tracked {
    /// Bytes delivered by each member, including the running transfer.
    pub fn with(&self, transfer: &Transfer) -> BTreeMap<UserId, u64> {
        let mut members = self.members.clone();
        transfer.delivered().into_iter().for_each(|(user, bytes)| *members.entry(user).or_default() += bytes);
        members
    }
}

#[derive(Debug, Default)]
struct Entries {
    list: Vec<Tracked>,
    last_id: u64,
    failures: usize,
    /// Whether the login has ended without the user's doing.
    lost: bool,
    /// The downloads whose end a thread is telling the user right now.
    telling: Vec<u64>,
}

impl Entries {
    fn busy(&self) -> usize {
        self.list.iter().filter(|tracked| tracked.phase.is_busy()).count()
    }

    fn advance(&mut self, id: u64, phase: DownloadPhase) -> bool {
        let failed = matches!(phase, DownloadPhase::Failed(_));
        let Some(tracked) = self.list.iter_mut().find(|tracked| tracked.id == id && !tracked.phase.has_ended()) else {
            return false;
        };
        if let DownloadPhase::Running(download) = std::mem::replace(&mut tracked.phase, phase) {
            tracked.members = tracked.with(&download);
            tracked.ways.extend(download.last_ways());
            tracked.reused += download.progress(Instant::now()).reused;
        }
        self.failures += usize::from(failed);
        true
    }
}

/// A download of the same file has not ended, so another one cannot begin.
#[derive(Debug)]
pub struct BegunAlready {
    name: FileName,
    destination: PathBuf,
}

impl fmt::Display for BegunAlready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is being downloaded already, to {}", self.name, self.destination.display())
    }
}

/// The list of downloads. No thread holds its lock across a request or a disk access. Every end of a download wakes the
/// waiters.
#[derive(Debug, Default)]
pub struct DownloadList {
    state: Mutex<Entries>,
    changed: Condvar,
}

impl DownloadList {
    /// Shifts the waiting times of downloads by a time in which the program stood still, as after a stop signal.
    pub fn forgive(&self, stood_still: Duration) {
        for tracked in &mut self.state.lock().list {
            if let DownloadPhase::Waiting { since: Some(since) } = &mut tracked.phase {
                *since += stood_still;
            }
        }
    }

    /// Adds a new download and returns its number.
    ///
    /// # Errors
    /// Another download of the same file has not ended.
    pub fn begin(
        &self,
        (group, name): (&GroupId, &FileName),
        destination: PathBuf,
        patterns: Vec<String>,
    ) -> Result<u64, BegunAlready> {
        let mut state = self.state.lock();
        let same = |tracked: &Tracked| tracked.group == *group && tracked.name == *name;
        if let Some(other) = state.list.iter().find(|tracked| same(tracked) && !tracked.phase.has_ended()) {
            return Err(BegunAlready { name: name.clone(), destination: other.destination.clone() });
        }
        state.list.retain(|tracked| !same(tracked) || tracked.destination != destination);
        state.last_id += 1;
        let id = state.last_id;
        let (group, name, members, ways) = (group.clone(), name.clone(), BTreeMap::new(), BTreeMap::new());
        let (size, info_hash, phase) = (None, None, DownloadPhase::Starting);
        let tracked =
            Tracked { id, group, name, destination, patterns, size, info_hash, phase, members, reused: 0, ways };
        state.list.push(tracked);
        Ok(id)
    }

    /// Moves a paused, waiting or failed download back to `Starting`, and returns its former phase. Returns `None` in
    /// any other phase, or if another download of the file has not ended.
    pub fn restart(&self, id: u64) -> Option<DownloadPhase> {
        let mut state = self.state.lock();
        let startable = |phase: &DownloadPhase| {
            matches!(phase, DownloadPhase::Waiting { .. } | DownloadPhase::Paused { .. } | DownloadPhase::Failed(_))
        };
        let at = state.list.iter().position(|tracked| tracked.id == id && startable(&tracked.phase))?;
        let (group, name) = (&state.list[at].group, &state.list[at].name);
        let lives = |other: &Tracked| other.id != id && other.group == *group && other.name == *name;
        if state.list.iter().any(|other| lives(other) && !other.phase.has_ended()) {
            return None;
        }
        Some(std::mem::replace(&mut state.list[at].phase, DownloadPhase::Starting))
    }

    /// Puts a download back into a phase after its restart has failed.
    pub fn put_back(&self, id: u64, phase: DownloadPhase) {
        if let Some(tracked) = self.state.lock().list.iter_mut().find(|tracked| tracked.id == id) {
            tracked.phase = phase;
        }
        self.changed.notify_all();
    }

    pub fn remove(&self, id: u64) {
        self.state.lock().list.retain(|tracked| tracked.id != id);
        self.changed.notify_all();
    }

    /// Notes the destination, the content and the size in bytes of a download.
    pub fn settle(&self, id: u64, destination: PathBuf, (content, len): (&Content, u64)) {
        if let Some(tracked) = self.state.lock().list.iter_mut().find(|tracked| tracked.id == id) {
            tracked.destination = destination;
            tracked.size = Some(len);
            tracked.info_hash = Some(content.info_hash);
        }
    }

    /// Moves a download on to another phase. Returns false if the download is gone or has ended.
    pub fn advance(&self, id: u64, phase: DownloadPhase) -> bool {
        let advanced = self.state.lock().advance(id, phase);
        self.changed.notify_all();
        advanced
    }

    /// Ends a download in this phase, and calls `tell`. Readers see the new phase at once; waiters wake after `tell`.
    /// Does nothing if the download is gone or has ended.
    pub fn end(&self, id: u64, phase: DownloadPhase, tell: impl FnOnce()) {
        {
            let mut state = self.state.lock();
            if !state.advance(id, phase) {
                return;
            }
            state.telling.push(id);
        }
        tell();
        self.state.lock().telling.retain(|telling| *telling != id);
        self.changed.notify_all();
    }

    /// The latest download of a file.
    pub fn find(&self, group: &GroupId, name: &FileName) -> Option<Tracked> {
        let state = self.state.lock();
        state.list.iter().rev().find(|tracked| tracked.group == *group && tracked.name == *name).cloned()
    }

    pub fn get(&self, id: u64) -> Option<Tracked> {
        self.state.lock().list.iter().find(|tracked| tracked.id == id).cloned()
    }

    /// Adds patterns to the wanted files of a folder.
    pub fn widen(&self, id: u64, patterns: &[String]) {
        if let Some(tracked) = self.state.lock().list.iter_mut().find(|tracked| tracked.id == id) {
            tracked.patterns = patterns.to_vec();
        }
    }

    /// Gives a download another group and name.
    pub fn rename(&self, id: u64, group: &GroupId, name: &FileName) {
        if let Some(tracked) = self.state.lock().list.iter_mut().find(|tracked| tracked.id == id) {
            (tracked.group, tracked.name) = (group.clone(), name.clone());
        }
    }

    /// Gives groups their new names.
    pub fn rename_groups(&self, renamed: &HashMap<GroupId, GroupId>) {
        for tracked in &mut self.state.lock().list {
            if let Some(name) = renamed.get(&tracked.group) {
                tracked.group = name.clone();
            }
        }
    }

    /// All downloads, in the order in which they began.
    pub fn list(&self) -> Vec<Tracked> {
        self.state.lock().list.clone()
    }

    pub fn running(&self) -> Vec<Arc<Transfer>> {
        let state = self.state.lock();
        let running = state.list.iter().filter_map(|tracked| match &tracked.phase {
            DownloadPhase::Running(download) => Some(download.clone()),
            _ => None,
        });
        running.collect()
    }

    /// The number of downloads that end by themselves.
    pub fn busy(&self) -> usize {
        let state = self.state.lock();
        if state.lost { 0 } else { state.busy() }
    }

    /// Whether a download is in this list and runs.
    pub fn owns(&self, download: &Arc<Transfer>) -> bool {
        self.running().iter().any(|running| Arc::ptr_eq(running, download))
    }

    /// The number of downloads that have failed so far, or were under way when the login was lost.
    pub fn failures(&self) -> usize {
        let state = self.state.lock();
        let left = if state.lost { state.busy() } else { 0 };
        state.failures + left
    }

    /// Waits until none of the chosen downloads ends by itself any more. A paused download never does, nor does any
    /// download after the login was lost. `over` ends the wait too; the waiter calls it every 200 ms and at
    /// [`DownloadList::look_again`].
    pub fn wait(&self, chosen: impl Fn(&Tracked) -> bool, over: impl Fn() -> bool) {
        let busy = |state: &Entries| {
            let untold = |tracked: &Tracked| tracked.phase.is_busy() || state.telling.contains(&tracked.id);
            state.list.iter().any(|tracked| chosen(tracked) && untold(tracked))
        };
        let mut state = self.state.lock();
        while !over() && !state.lost && busy(&state) {
            self.changed.wait_until(&mut state, Instant::now() + Duration::from_millis(200));
        }
    }

    /// Marks the login as lost, although the user has not ended it. From then on no download ends by itself.
    pub fn lose(&self) {
        self.state.lock().lost = true;
        self.changed.notify_all();
    }

    /// Lets waiters call `over` at once.
    pub fn look_again(&self) {
        // A waiter holds the lock from its call of `over` until it waits.
        let _state = self.state.lock();
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::output::download_failure::FailureCode;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    fn failed() -> DownloadPhase {
        DownloadPhase::Failed(DownloadFailure { code: FailureCode::DiskFull, why: "the disk is full".to_owned() })
    }

    #[test]
    fn a_download_ends_before_its_end_is_told_and_its_waiters_go_on_after() {
        let downloads = DownloadList::default();
        let (lab, film) = (GroupId::parse("lab").expect("valid"), FileName::parse("film").expect("valid"));
        let id = downloads.begin((&lab, &film), PathBuf::from("/film"), Vec::new()).expect("the first");
        let told = AtomicBool::new(false);
        thread::scope(|scope| {
            let waits = scope.spawn(|| {
                downloads.wait(|_| true, || false);
                told.load(Ordering::SeqCst)
            });
            downloads.end(id, DownloadPhase::Complete, || {
                assert!(matches!(downloads.find(&lab, &film).expect("there").phase, DownloadPhase::Complete));
                assert_eq!(downloads.busy(), 0);
                // Each waiter has looked at the list at least once more.
                downloads.changed.notify_all();
                thread::yield_now();
                told.store(true, Ordering::SeqCst);
            });
            assert!(waits.join().expect("it waits"));
        });
        downloads.end(id, failed(), || unreachable!("it has ended"));
        assert_eq!(downloads.failures(), 0);
    }

    #[test]
    fn a_download_that_is_held_waits_or_has_failed_is_begun_again_once() {
        let downloads = DownloadList::default();
        let (lab, film) = (GroupId::parse("lab").expect("valid"), FileName::parse("film").expect("valid"));
        let id = downloads.begin((&lab, &film), PathBuf::from("/film"), Vec::new()).expect("the first");
        assert!(downloads.restart(id).is_none(), "it is starting");
        for phase in
            [DownloadPhase::Waiting { since: Some(Instant::now()) }, DownloadPhase::Paused { done: Some(3) }, failed()]
        {
            downloads.put_back(id, phase.clone());
            let before = downloads.restart(id).expect("it is begun again");
            assert_eq!(format!("{before:?}"), format!("{phase:?}"));
            assert!(downloads.restart(id).is_none(), "it was begun again already");
        }
        assert_eq!(downloads.failures(), 0, "only what fails anew counts");
        // By now another download of the same file runs, to another place.
        downloads.put_back(id, failed());
        downloads.begin((&lab, &film), PathBuf::from("/other"), Vec::new()).expect("nothing runs");
        assert!(downloads.restart(id).is_none());
    }
}
