//! Whether the tracker at the other end of a link is there: it is asked when another program claims its number.

use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// What is to be asked and answered on a link. The thread that sends does both.
#[derive(Debug, Default)]
pub(crate) struct SignOfLife {
    signs: Mutex<Signs>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct Signs {
    due: DueSigns,
    /// How many answers have come.
    answers: u64,
    /// The link has ended.
    over: bool,
}

/// What is to be sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DueSigns {
    pub(crate) ask: bool,
    pub(crate) answer: bool,
}

impl SignOfLife {
    /// Has the other tracker asked, once `wake` has woken the thread that sends. True if it answers in this time.
    pub(crate) fn ask(&self, longest: Duration, wake: impl FnOnce()) -> bool {
        let until = Instant::now() + longest;
        let mut signs = self.signs.lock();
        signs.due.ask = true;
        let before = signs.answers;
        wake();
        while signs.answers == before && !signs.over {
            if self.told.wait_until(&mut signs, until).timed_out() {
                break;
            }
        }
        signs.answers != before
    }

    /// The other tracker asks.
    pub(crate) fn note_question(&self) {
        self.signs.lock().due.answer = true;
    }

    /// The other tracker has answered.
    pub(crate) fn note_answer(&self) {
        self.signs.lock().answers += 1;
        self.told.notify_all();
    }

    /// The link has ended: no answer comes any more.
    pub(crate) fn end(&self) {
        self.signs.lock().over = true;
        self.told.notify_all();
    }

    pub(crate) fn take_due(&self) -> DueSigns {
        std::mem::take(&mut self.signs.lock().due)
    }
}
