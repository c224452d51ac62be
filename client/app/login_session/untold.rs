//! Shares that no tracker has heard of yet: a download is complete before the client tells a tracker.

use crate::client::storage::file_stamp::Stamps;
use crate::model::id::ShareRef;
use crate::model::manifest::{Content, Manifest};
use crate::model::name::{FileName, GroupId};
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A file that the client should share, and that no tracker has heard of yet.
#[derive(Debug, Clone)]
pub(crate) struct Untold {
    /// The downloaded share. The file may have another share by the time the client tells a tracker.
    pub share: ShareRef,
    pub group: GroupId,
    pub name: FileName,
    pub path: PathBuf,
    pub content: Content,
    pub manifest: Arc<Manifest>,
    /// The stamps of its files when they were found right.
    pub stamps: Stamps,
    /// Whether the user knows of a new version.
    pub is_outdated: bool,
}

#[derive(Debug, Default)]
struct Fields {
    shares: Vec<Untold>,
    /// Whether the client has not tried yet to tell a tracker of one of the shares.
    untried: bool,
    /// The number of threads that tell a tracker right now.
    telling: usize,
    /// The paths of the shares that these threads tell.
    being_told: HashSet<PathBuf>,
}

/// All untold shares. No thread holds the lock across a request.
#[derive(Debug, Default)]
pub(crate) struct UntoldShares {
    fields: Mutex<Fields>,
    tried: Condvar,
}

impl UntoldShares {
    /// Adds a share. A thread has to call `tell` soon.
    pub(crate) fn add(&self, untold: Untold) {
        let mut fields = self.fields.lock();
        fields.shares.push(untold);
        fields.untried = true;
    }

    /// Whether an untold share lies at this path.
    pub(crate) fn has(&self, path: &Path) -> bool {
        let fields = self.fields.lock();
        fields.being_told.contains(path) || fields.shares.iter().any(|untold| untold.path == path)
    }

    /// Whether there are untold shares.
    pub(crate) fn are_there(&self) -> bool {
        let fields = self.fields.lock();
        fields.telling > 0 || !fields.shares.is_empty()
    }

    /// Takes the shares out and tells a tracker of each. A share for which `tell` returns false comes back.
    pub(crate) fn tell(&self, mut tell: impl FnMut(&Untold) -> bool) {
        let shares = {
            let mut fields = self.fields.lock();
            fields.untried = false;
            if fields.shares.is_empty() {
                return;
            }
            fields.telling += 1;
            let shares = std::mem::take(&mut fields.shares);
            fields.being_told.extend(shares.iter().map(|untold| untold.path.clone()));
            shares
        };
        let paths: Vec<PathBuf> = shares.iter().map(|untold| untold.path.clone()).collect();
        let left: Vec<_> = shares.into_iter().filter(|untold| !tell(untold)).collect();
        let mut fields = self.fields.lock();
        fields.being_told.retain(|path| !paths.contains(path));
        fields.shares.extend(left);
        fields.telling -= 1;
        drop(fields);
        self.tried.notify_all();
    }

    /// Waits until a thread has tried to tell a tracker of each share. Ends after `longest`, or once `over` returns
    /// true; the waiter calls it every 200 ms.
    pub(crate) fn wait_tried(&self, longest: Duration, over: impl Fn() -> bool) {
        let until = Instant::now() + longest;
        let mut fields = self.fields.lock();
        while (fields.untried || fields.telling > 0) && Instant::now() < until && !over() {
            self.tried.wait_until(&mut fields, until.min(Instant::now() + Duration::from_millis(200)));
        }
    }

    /// Gives groups their new names.
    pub(crate) fn rename_groups(&self, renamed: &HashMap<GroupId, GroupId>) {
        for untold in &mut self.fields.lock().shares {
            if let Some(name) = renamed.get(&untold.group) {
                untold.group = name.clone();
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::client::state::record::ShareRecord;
    use crate::client::state::record::tests::{manifest, share, share_ref};
    use crossbeam_channel as channel;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);

    /// The untold share of a record.
    pub(in super::super) fn untold_of(record: ShareRecord, number: u8) -> Untold {
        let ShareRecord { group, name, path, content, .. } = record;
        let (share, manifest, stamps) = (share_ref(number), Arc::new(manifest(number)), Stamps([].into()));
        Untold { group, name, share, path, content, manifest, stamps, is_outdated: false }
    }

    fn untold(number: u8) -> Untold {
        untold_of(share("lab", "f", number), number)
    }

    #[test]
    fn a_share_is_told_again_until_a_tracker_heard_it_and_then_no_more() {
        let shares = UntoldShares::default();
        (1..=3).for_each(|number| shares.add(untold(number)));
        let contents = |tells: bool| {
            let mut seen = Vec::new();
            shares.tell(|untold| {
                seen.push(untold.content);
                tells || seen.len() != 2
            });
            seen
        };
        let all = contents(false);
        assert_eq!((all.len(), shares.are_there()), (3, true));
        assert_eq!(contents(true), all[1..2]);
        assert!(!shares.are_there() && contents(true).is_empty());
    }

    #[test]
    fn a_waiter_goes_on_once_the_client_has_tried_to_tell_a_tracker() {
        let shares = UntoldShares::default();
        shares.wait_tried(LONG, || unreachable!("there is no share to tell"));
        for tells in [true, false] {
            shares.add(untold(1));
            let (looked, looks) = channel::unbounded();
            thread::scope(|scope| {
                let waits = scope.spawn(|| {
                    shares.wait_tried(LONG, || looked.send(()).is_err());
                    shares.are_there()
                });
                looks.recv().expect("it waits");
                shares.tell(|_| {
                    assert!(shares.are_there(), "the shares count while a tracker is being told");
                    tells
                });
                assert_eq!(waits.join().expect("no panic"), !tells);
            });
        }
        shares.add(untold(2));
        shares.wait_tried(LONG, || true);
        shares.wait_tried(Duration::ZERO, || false);
    }
}
