//! The state of a user's share on this disk, and when to look at it again. Pure: the time is passed in.

use crate::client::storage::piece_source::BEHIND_A_LINK;
use crate::model::digest::InfoHash;
use crate::model::escape::ShownPath;
use crate::model::id::GroupRef;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The pause before the first look at a share that is not whole. The pause doubles with each look that finds nothing
/// new.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause between two looks.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The pause between two looks at a share that is whole.
const SERVED_PAUSE: Duration = Duration::from_secs(300);
/// The minimum time between a look and the next one after an alarm: any downloader can raise alarms. After a long look,
/// the time is `ALARM_REST` times as long as that look.
const ALARM_PAUSE: Duration = Duration::from_millis(200);
const ALARM_REST: u32 = 10;
/// The pause after a look is at least this many times as long as the look: a folder of a million files takes long.
const LOOK_REST: u32 = 100;
/// The pause after a reading is at least this many times as long as the reading.
const READ_REST: u32 = 10;

/// Content in a group.
pub(crate) type ShareKey = (GroupRef, InfoHash);

/// Why the client cannot give shared content to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Nothing is at its place.
    Gone,
    /// The system cannot read it, for this reason.
    Unreadable(String),
    /// Something else is at its place.
    Changed,
    /// A symbolic link is at its place or on the way there.
    Link,
}

impl Reason {
    /// Whether other content can be read there. Only the user can want to share that.
    pub(crate) fn is_other_content(&self) -> bool {
        matches!(self, Reason::Changed | Reason::Link)
    }
}

/// Why a share cannot be given whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lack {
    /// The first file with that reason.
    pub path: PathBuf,
    pub reason: Reason,
    /// The number of files that differ from when they were shared.
    pub files: usize,
    /// Whether the client gives the other pieces.
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

/// The state of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No look has ended yet.
    Unknown,
    /// The client gives all of it.
    Served,
    /// The thread reads some of it again.
    Reading,
    /// The client cannot give all of it.
    Lacking(Lack),
}

/// The result of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// As the last look, which found something missing or wrong.
    AsBefore,
    /// All pieces are right.
    Whole,
    /// Something is missing or wrong, and a reading would tell no more.
    Lacks(Lack),
}

/// News for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ShareNews {
    /// The client gives the share again.
    Back,
    /// The client cannot give the share whole.
    Lacks(Lack),
}

/// One share that is looked after.
#[derive(Debug)]
pub(crate) struct Watched {
    standing: Standing,
    /// When to look at the share next. `None` while it is read.
    due: Option<Instant>,
    /// No alarm causes a look before this time.
    calm: Option<Instant>,
    /// The number of looks that have found nothing new.
    looks: u32,
    /// The thread does not read the share before this time.
    rested: Option<Instant>,
    /// What is missing or wrong, as told to the user.
    told: Option<Lack>,
}

impl Watched {
    /// A share before its first look.
    pub(crate) fn new(now: Instant) -> Self {
        Self { standing: Standing::Unknown, due: Some(now), calm: None, looks: 0, rested: None, told: None }
    }

    /// The state of the share.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// When to look at the share.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Something may be wrong with the share. Makes a look due now, unless the share is being read or had a look a
    /// moment ago.
    pub(crate) fn alarm(&mut self, now: Instant) {
        if self.standing != Standing::Reading {
            let soon = self.calm.map_or(now, |calm| calm.max(now));
            self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
        }
    }

    /// The current reading tells nothing. Makes a look due now.
    pub(crate) fn look_again(&mut self, now: Instant) {
        (self.standing, self.due) = (Standing::Unknown, Some(now));
    }

    /// Whether to read the share now. If not, makes a look due for the time when that is allowed.
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

    /// Takes in the result of a look, after which no reading is needed.
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

    /// Takes in the result of a reading.
    pub(crate) fn read(&mut self, lack: Option<Lack>, now: Instant, took: Duration) -> Option<ShareNews> {
        self.rested = Some(now + (took * READ_REST).max(LOOK_PAUSE));
        match lack {
            None => self.whole(now, Duration::ZERO),
            Some(lack) => self.lacks(lack, now, Duration::ZERO),
        }
    }

    /// Notes that the client gives the whole share.
    pub(crate) fn whole(&mut self, now: Instant, took: Duration) -> Option<ShareNews> {
        let pause = SERVED_PAUSE.max(took * LOOK_REST);
        (self.standing, self.due, self.looks) = (Standing::Served, Some(now + pause), 0);
        self.forget_told()
    }

    /// Notes that nothing is missing or wrong any more. Returns the news for the user.
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

    /// Notes what is missing or wrong. Returns it if the user does not know.
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
    fn the_user_hears_once_that_a_share_lacks_a_file_and_that_it_returns() {
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
        assert_eq!(share.looked(Finding::Whole, now, Duration::ZERO), None, "the user was never told of a problem");
    }

    #[test]
    fn the_client_looks_for_a_missing_file_after_five_seconds_then_less_often() {
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
    fn the_message_on_a_lack_names_the_file_and_says_what_to_do() {
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
