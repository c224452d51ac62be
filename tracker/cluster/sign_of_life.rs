//! Signs of life on a link: when another program claims the same number, the tracker at the other end is asked whether
//! it is alive.

use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// The questions and answers that wait on a link. The sending thread sends both.
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
    /// Whether the link has ended.
    over: bool,
}

/// What the link has to send.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DueSigns {
    pub(crate) ask: bool,
    pub(crate) answer: bool,
}

impl SignOfLife {
    /// Asks the other tracker; `wake` wakes the sending thread. Returns true if the answer comes in this time.
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

    /// The other tracker has asked.
    pub(crate) fn note_question(&self) {
        self.signs.lock().due.answer = true;
    }

    /// The other tracker has answered.
    pub(crate) fn note_answer(&self) {
        self.signs.lock().answers += 1;
        self.told.notify_all();
    }

    /// The link has ended, so no answer comes.
    pub(crate) fn end(&self) {
        self.signs.lock().over = true;
        self.told.notify_all();
    }

    pub(crate) fn take_due(&self) -> DueSigns {
        std::mem::take(&mut self.signs.lock().due)
    }
}
