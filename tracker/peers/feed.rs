//! The latest durable ops, in the order in which they became so, for the links to follow.

use super::wakeup::Bell;
use crate::model::op::Op;
use crate::sync::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// Ops that are kept: a link that falls behind by more reads the log.
const KEPT_MAX: usize = 16_384;

/// The feed.
#[derive(Default)]
pub struct Feed {
    inner: Mutex<Inner>,
    bells: Mutex<Vec<Weak<Bell>>>,
}

#[derive(Default)]
struct Inner {
    /// The number of the first op that is kept.
    first: u64,
    ops: VecDeque<Op>,
}

impl Feed {
    /// Appends ops and wakes those who follow.
    pub fn append(&self, ops: &[Op]) {
        {
            let mut inner = self.inner.lock();
            let over = (inner.ops.len() + ops.len()).saturating_sub(KEPT_MAX);
            let (old, new) = (over.min(inner.ops.len()), over.saturating_sub(inner.ops.len()));
            inner.ops.drain(..old);
            inner.ops.extend(ops[new..].iter().cloned());
            inner.first += over as u64;
        }
        self.bells.lock().retain(|bell| bell.upgrade().map(|bell| bell.ring()).is_some());
    }

    /// Has this bell rung whenever there are new ops, for as long as it exists.
    pub fn follow(&self, bell: &Arc<Bell>) {
        self.bells.lock().push(Arc::downgrade(bell));
    }

    /// Where the next op will be.
    pub(crate) fn end(&self) -> u64 {
        let inner = self.inner.lock();
        inner.first + inner.ops.len() as u64
    }

    /// Where the ops begin that are kept.
    pub(crate) fn start(&self) -> u64 {
        self.inner.lock().first
    }

    /// At most `count` ops from a place on, as `pick` wants them; `None` if they are no longer all kept.
    pub fn read<T>(&self, from: u64, count: usize, pick: impl FnMut(&Op) -> T) -> Option<Vec<T>> {
        let inner = self.inner.lock();
        let skip = usize::try_from(from.checked_sub(inner.first)?).ok()?;
        Some(inner.ops.iter().skip(skip).take(count).map(pick).collect())
    }
}
