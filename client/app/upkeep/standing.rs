//! How a share of the user stands on this disk, and when it is looked at again. Pure: the time is passed in.

use crate::client::storage::piece_source::BEHIND_A_LINK;
use crate::model::digest::InfoHash;
use crate::model::escape::ShownPath;
use crate::model::id::GroupRef;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Pause before the first look at what is lacking. The pause doubles with each look that finds nothing new.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause between two looks.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks at what is given whole.
const SERVED_PAUSE: Duration = Duration::from_secs(300);
/// Least time from a look to one because of an alarm, and that in times of how long the look took: whoever downloads can
/// raise alarms.
const ALARM_PAUSE: Duration = Duration::from_millis(200);
const ALARM_REST: u32 = 10;
/// The pause after a look is at least so many times as long as the look: a folder of a million files takes long.
const LOOK_REST: u32 = 100;
/// The pause after a reading, in times of how long the reading took.
const READ_REST: u32 = 10;

/// A content in a group.
pub(crate) type ShareKey = (GroupRef, InfoHash);

/// Why content that is shared cannot be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Nothing is at its place.
    Gone,
    /// It cannot be read, in the words of the system.
    Unreadable(String),
    /// Something else is at its place.
    Changed,
    /// A symbolic link is at its place or on the way there.
    Link,
}

impl Reason {
    /// Whether something else can be read there, which only the user can want to share.
    pub(crate) fn is_other_content(&self) -> bool {
        matches!(self, Reason::Changed | Reason::Link)
    }
}

/// What keeps a share from being given whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lack {
    /// The first file of which that is so.
    pub path: PathBuf,
    pub reason: Reason,
    /// How many files are not as they were shared.
    pub files: usize,
    /// Whether other pieces are given.
    pub partly: bool,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = ShownPath(&self.path);
        match &self.reason {
            Reason::Gone => write!(f, "{path} is no longer there")?,
            Reason::Unreadable(why) => write!(f, "cannot read {path}: {why}")?,
            Reason::Changed => write!(f, "{path} has changed since it was shared")?,
            Reason::Link => write!(f, "{path} {BEHIND_A_LINK}")?,
        }
        if self.files > 1 {
            write!(f, ", the first of {} such files", self.files)?;
        }
        f.write_str(match &self.reason {
            Reason::Gone => "; once it is back, it is shared again by itself",
            Reason::Unreadable(_) => "; once it can be read, it is shared again by itself",
            Reason::Changed | Reason::Link => "; upload_file shares it anew",
        })
    }
}

/// How a share stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody has looked yet.
    Unknown,
    /// All of it is given.
    Served,
    /// Some of it is read again.
    Reading,
    /// Not all of it can be given.
    Lacking(Lack),
}

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The same as the look before, which found something lacking.
    AsBefore,
    /// All pieces are right.
    Whole,
    /// Something is lacking, and there is nothing to read.
    Lacks(Lack),
}

/// Something to tell the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ShareNews {
    /// It is given again.
    Back,
    /// It cannot be given whole.
    Lacks(Lack),
}

/// One share that is looked after.
#[derive(Debug)]
pub(crate) struct Watched {
    standing: Standing,
    /// When it is looked at next. None while it is read.
    due: Option<Instant>,
    /// No alarm has it looked at before this time.
    calm: Option<Instant>,
    /// How many looks have found nothing new.
    looks: u32,
    /// It is not read before this time.
    rested: Option<Instant>,
    /// What the user knows to be lacking.
    told: Option<Lack>,
}

impl Watched {
    /// A share that nobody has looked at yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self { standing: Standing::Unknown, due: Some(now), calm: None, looks: 0, rested: None, told: None }
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// When it is to be looked at.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Something may be wrong with it: it is looked at now, unless it is being read or was looked at a moment ago.
    pub(crate) fn alarm(&mut self, now: Instant) {
        if self.standing != Standing::Reading {
            let soon = self.calm.map_or(now, |calm| calm.max(now));
            self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
        }
    }

    /// What is being read tells nothing: it is looked at now.
    pub(crate) fn look_again(&mut self, now: Instant) {
        (self.standing, self.due) = (Standing::Unknown, Some(now));
    }

    /// Whether it may be read now. If not, it is looked at again when it may.
    pub(crate) fn may_read(&mut self, now: Instant) -> bool {
        match self.rested.filter(|rested| *rested > now) {
            Some(rested) => {
                self.due = Some(rested);
                false
            }
            None => {
                (self.standing, self.due) = (Standing::Reading, None);
                true
            }
        }
    }

    /// It was looked at and need not be read.
    pub(crate) fn looked(&mut self, finding: Finding, now: Instant, took: Duration) -> Option<ShareNews> {
        self.calm = Some(now + (took * ALARM_REST).max(ALARM_PAUSE));
        match finding {
            Finding::Whole => self.whole(now, took),
            Finding::Lacks(lack) => self.lacks(lack, now, took),
            Finding::AsBefore => {
                self.looks += 1;
                self.due = Some(now + self.pause(took));
                None
            }
        }
    }

    /// It was read.
    pub(crate) fn read(&mut self, lack: Option<Lack>, now: Instant, took: Duration) -> Option<ShareNews> {
        self.rested = Some(now + (took * READ_REST).max(LOOK_PAUSE));
        match lack {
            None => self.whole(now, Duration::ZERO),
            Some(lack) => self.lacks(lack, now, Duration::ZERO),
        }
    }

    /// All of it is given.
    pub(crate) fn whole(&mut self, now: Instant, took: Duration) -> Option<ShareNews> {
        let pause = SERVED_PAUSE.max(took * LOOK_REST);
        (self.standing, self.due, self.looks) = (Standing::Served, Some(now + pause), 0);
        self.forget_told()
    }

    /// Nothing is lacking any more. Gives what the user has to be told.
    pub(crate) fn forget_told(&mut self) -> Option<ShareNews> {
        self.told.take().map(|_| ShareNews::Back)
    }

    fn lacks(&mut self, lack: Lack, now: Instant, took: Duration) -> Option<ShareNews> {
        let new = self.standing != Standing::Lacking(lack.clone());
        self.looks = if new { 0 } else { self.looks + 1 };
        self.standing = Standing::Lacking(lack.clone());
        self.due = Some(now + self.pause(took));
        self.note(lack)
    }

    /// Notes what is lacking. Gives it if the user does not know.
    pub(crate) fn note(&mut self, lack: Lack) -> Option<ShareNews> {
        let untold = self.told.as_ref() != Some(&lack);
        untold.then(|| {
            self.told = Some(lack.clone());
            ShareNews::Lacks(lack)
        })
    }

    fn pause(&self, took: Duration) -> Duration {
        let doubled = LOOK_PAUSE * 2u32.pow(self.looks.min(10));
        doubled.min(LOOK_PAUSE_MAX).max(took * LOOK_REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lack(reason: Reason) -> Lack {
        Lack { path: "/usb/f".into(), reason, files: 1, partly: false }
    }

    fn gone() -> Finding {
        Finding::Lacks(lack(Reason::Gone))
    }

    #[test]
    fn what_is_lacking_is_told_once_and_that_it_is_back_as_well() {
        let now = Instant::now();
        let mut share = Watched::new(now);
        assert_eq!(share.due(), Some(now));
        assert_eq!(share.looked(gone(), now, Duration::ZERO), Some(ShareNews::Lacks(lack(Reason::Gone))));
        assert_eq!(share.looked(gone(), now, Duration::ZERO), None);
        assert_eq!(share.looked(Finding::AsBefore, now, Duration::ZERO), None);
        let changed = Finding::Lacks(lack(Reason::Changed));
        assert_eq!(share.looked(changed, now, Duration::ZERO), Some(ShareNews::Lacks(lack(Reason::Changed))));
        assert_eq!(share.looked(Finding::Whole, now, Duration::ZERO), Some(ShareNews::Back));
        assert_eq!((share.standing(), share.due()), (&Standing::Served, Some(now + SERVED_PAUSE)), "it may go away");
        share.alarm(now);
        assert_eq!(
            share.due(),
            Some(now + ALARM_PAUSE),
            "whoever raises alarms all the time has it looked at less often"
        );
        assert_eq!(share.looked(Finding::Whole, now, Duration::ZERO), None, "nobody heard that anything was wrong");
    }

    #[test]
    fn what_is_away_is_looked_for_after_five_seconds_and_then_less_often() {
        let mut now = Instant::now();
        let mut share = Watched::new(now);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            share.looked(gone(), now, Duration::ZERO);
            let due = share.due().expect("it is looked for");
            pauses.push(due.duration_since(now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60, 60]);
        share.looked(Finding::Lacks(lack(Reason::Changed)), now, Duration::ZERO);
        assert_eq!(share.due(), Some(now + LOOK_PAUSE), "something new is looked at soon");
    }

    #[test]
    fn a_look_that_takes_long_takes_one_part_in_a_hundred_of_the_time() {
        let now = Instant::now();
        let mut share = Watched::new(now);
        share.looked(gone(), now, 3 * SECOND);
        assert_eq!(share.due(), Some(now + 300 * SECOND));
    }

    #[test]
    fn a_share_is_read_at_once_and_then_not_again_before_it_has_rested() {
        let now = Instant::now();
        let mut share = Watched::new(now);
        share.whole(now, Duration::ZERO);
        share.alarm(now);
        assert!(share.may_read(now));
        assert_eq!((share.standing(), share.due()), (&Standing::Reading, None));
        share.alarm(now);
        assert_eq!(share.due(), None, "it is being read");
        assert_eq!(share.read(None, now, 7 * SECOND), None, "only touched, which nobody has to hear of");
        share.alarm(now + SECOND);
        assert_eq!(share.due(), Some(now + SECOND));
        assert!(!share.may_read(now + SECOND), "somebody writes to it all the time");
        assert_eq!(share.due(), Some(now + 70 * SECOND));
        assert!(share.may_read(now + 70 * SECOND));
    }

    #[test]
    fn what_is_said_names_the_file_and_what_to_do() {
        let words = |reason, files| Lack { files, ..lack(reason) }.to_string();
        assert_eq!(words(Reason::Gone, 1), "/usb/f is no longer there; once it is back, it is shared again by itself");
        assert_eq!(
            words(Reason::Unreadable("Permission denied".into()), 1),
            "cannot read /usb/f: Permission denied; once it can be read, it is shared again by itself"
        );
        assert_eq!(
            words(Reason::Changed, 3),
            "/usb/f has changed since it was shared, the first of 3 such files; upload_file shares it anew"
        );
    }
}
