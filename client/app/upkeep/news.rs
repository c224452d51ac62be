//! News for the user about shares that go away and come back. Thousands of them take only a few lines.

use super::standing::{Reason, ShareNews};
use crate::client::app::login_session::LoginSession;
use crate::client::output::event::Event;
use crate::client::state::record::ShareRecord;
use std::time::{Duration, Instant};

/// This many shares have a line of their own each time. A program hears of all.
const LINES_MAX: usize = 5;

/// The time in which news is collected into one message.
const PAUSE: Duration = Duration::from_millis(500);

/// News that waits for more.
#[derive(Debug, Default)]
pub(super) struct News {
    /// When to tell them.
    due: Option<Instant>,
    lacking: Vec<Event>,
    back: Vec<Event>,
}

impl News {
    /// When there is news to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Adds news about a share.
    pub(super) fn add(&mut self, record: &ShareRecord, news: Option<ShareNews>) {
        let (group, file) = (record.group.clone(), record.name.clone());
        let Some(news) = news else { return };
        self.due.get_or_insert_with(|| Instant::now() + PAUSE);
        match news {
            ShareNews::Back => self.back.push(Event::ShareBack { group, file }),
            ShareNews::Lacks(lack) => {
                let (partly, why) = (lack.partly, lack.to_string());
                self.lacking.push(match lack.reason {
                    Reason::Changed | Reason::Link => Event::ShareChanged { group, file, partly, why },
                    Reason::Gone | Reason::Unreadable(_) => Event::ShareMissing { group, file, partly, why },
                });
            }
        }
    }

    /// Tells all news.
    pub(super) fn tell(&mut self, session: &LoginSession) {
        self.due = None;
        let most = if session.node().reporter.is_json() { usize::MAX } else { LINES_MAX };
        let lines = shortened(std::mem::take(&mut self.lacking), most, |more| {
            format!("{more} more of your shares cannot be given to others; show_uploads names them")
        });
        let back = shortened(std::mem::take(&mut self.back), most, |more| {
            format!("{more} more of your shares are given to others again")
        });
        lines.iter().chain(&back).for_each(|event| session.event(event));
    }
}

/// The first `most` events, and one line for the others.
fn shortened(mut events: Vec<Event>, most: usize, words: impl FnOnce(usize) -> String) -> Vec<Event> {
    if events.len() > most {
        let more = events.split_off(most).len();
        events.push(Event::Warning(words(more)));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::super::standing::Lack;
    use super::*;
    use crate::client::state::record::tests::share;

    #[test]
    fn thousands_of_shares_of_a_disk_that_is_away_take_a_few_lines() {
        let mut news = News::default();
        let lack = Lack { path: "/usb/f".into(), reason: Reason::Gone, files: 1, partly: false };
        for _ in 0..5000 {
            news.add(&share("lab", "f", 1), Some(ShareNews::Lacks(lack.clone())));
        }
        let lines = shortened(news.lacking, LINES_MAX, |more| format!("{more} more"));
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines.last().and_then(Event::line), Some("4995 more".to_owned()));
        let few = shortened(lines[..2].to_vec(), LINES_MAX, |_| unreachable!("there are few"));
        assert_eq!(few.len(), 2);
    }
}
