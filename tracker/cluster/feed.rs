//! The latest durable ops, in the order in which they became durable. The links follow it.

use super::wakeup::Wakeup;
use crate::model::op::Op;
use crate::sync::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// How many ops the feed keeps. A link that falls further behind reads the log.
const KEPT_MAX: usize = 16_384;

#[derive(Default)]
pub struct Feed {
    kept: Mutex<FeedOps>,
    followers: Mutex<Vec<Weak<Wakeup>>>,
}

#[derive(Default)]
struct FeedOps {
    /// The number of the first op in `ops`.
    first: u64,
    ops: VecDeque<Op>,
}

impl Feed {
    /// Appends ops and wakes the links.
    pub fn append(&self, ops: &[Op]) {
        {
            let mut kept = self.kept.lock();
            let over = (kept.ops.len() + ops.len()).saturating_sub(KEPT_MAX);
            let (old, new) = (over.min(kept.ops.len()), over.saturating_sub(kept.ops.len()));
            kept.ops.drain(..old);
            kept.ops.extend(ops[new..].iter().cloned());
            kept.first += over as u64;
        }
        self.followers.lock().retain(|wakeup| wakeup.upgrade().map(|wakeup| wakeup.wake()).is_some());
    }

    /// Wakes this thread when new ops come, for as long as its `Wakeup` exists.
    pub fn follow(&self, wakeup: &Arc<Wakeup>) {
        self.followers.lock().push(Arc::downgrade(wakeup));
    }

    /// The number of the next op.
    pub(crate) fn end(&self) -> u64 {
        let kept = self.kept.lock();
        kept.first + kept.ops.len() as u64
    }

    /// The number of the first op that is kept.
    pub(crate) fn start(&self) -> u64 {
        self.kept.lock().first
    }

    /// At most `count` ops from number `from` on, each through `pick`. `None` if the feed no longer has the first of
    /// them.
    pub fn read<T>(&self, from: u64, count: usize, pick: impl FnMut(&Op) -> T) -> Option<Vec<T>> {
        let kept = self.kept.lock();
        let skip = usize::try_from(from.checked_sub(kept.first)?).ok()?;
        Some(kept.ops.iter().skip(skip).take(count).map(pick).collect())
    }
}
