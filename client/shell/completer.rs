//! Completes what is being typed, at once or not at all: somebody else looks for names meanwhile, and is waited for a
//! moment only.

use crate::client::command::completion::{Candidate, Name, Spot, Wanted};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a press of the key waits for names; those that come later are there for the next one.
const PATIENCE: Duration = Duration::from_millis(400);
/// Answers that are remembered.
const REMEMBERED_MAX: usize = 64;

/// Who knows names.
pub trait Knowing: Send + Sync + 'static {
    /// Names that could stand there, those that begin with what was typed among them. It may take long. None where they
    /// cannot be told now.
    fn names(&self, wanted: &Wanted, typed: &str) -> Option<Vec<Name>>;

    /// The number of the login; what was found during another one is not offered.
    fn login(&self) -> u64;
}

struct Question {
    spot: Spot,
    answer: Sender<Vec<Name>>,
}

/// What was found last, during the login of that number.
#[derive(Default)]
struct Remembered {
    login: u64,
    names: HashMap<Wanted, Vec<Name>>,
}

impl Remembered {
    /// What was found during this login.
    fn get(&self, wanted: &Wanted, login: u64) -> Option<Vec<Name>> {
        self.names.get(wanted).filter(|_| self.login == login).cloned()
    }
}

/// The thread that looks for names. Ends when this is dropped, once it has no question left.
pub struct Guide {
    questions: Option<Sender<Question>>,
    knowing: Arc<dyn Knowing>,
    remembered: Arc<Mutex<Remembered>>,
    thread: Option<JoinHandle<()>>,
}

impl Guide {
    /// Starts it.
    ///
    /// # Errors
    /// There is no room for a thread.
    pub fn start(knowing: impl Knowing) -> io::Result<Self> {
        // A second question waits for the end of the first; a third is answered from what is remembered.
        let (questions, asked) = bounded(1);
        let (knowing, remembered) = (Arc::new(knowing), Arc::new(Mutex::new(Remembered::default())));
        let thread = std::thread::Builder::new().name("completion".to_owned()).spawn({
            let (knowing, remembered) = (knowing.clone(), remembered.clone());
            move || find(&*knowing, &asked, &remembered)
        })?;
        Ok(Self { questions: Some(questions), knowing, remembered, thread: Some(thread) })
    }

    /// Where the word behind this text begins, and what could stand there.
    pub fn complete(&self, text: &str) -> Option<(usize, Vec<Candidate>)> {
        let spot = Spot::behind(text)?;
        let names = match &spot.wanted {
            Wanted::Words(words) => words.iter().copied().map(Name::whole).collect(),
            _ => self.ask(&spot),
        };
        Some((spot.start, spot.candidates(names)))
    }

    fn ask(&self, spot: &Spot) -> Vec<Name> {
        let (answer, answered) = bounded(1);
        let asked = self.questions.as_ref().map(|to| to.try_send(Question { spot: spot.clone(), answer }));
        let found = asked.and_then(Result::ok).and_then(|()| answered.recv_timeout(PATIENCE).ok());
        let remembered = || self.remembered.lock().get(&spot.wanted, self.knowing.login());
        found.or_else(remembered).unwrap_or_default()
    }
}

fn find(knowing: &impl Knowing, asked: &Receiver<Question>, remembered: &Mutex<Remembered>) {
    for Question { spot, answer } in asked {
        let login = knowing.login();
        let mut kept = remembered.lock();
        if kept.login != login || kept.names.len() >= REMEMBERED_MAX {
            *kept = Remembered { login, names: HashMap::new() };
        }
        drop(kept);
        let found = knowing.names(&spot.wanted, &spot.typed);
        let mut kept = remembered.lock();
        if let (Some(names), true) = (&found, kept.login == knowing.login()) {
            kept.names.insert(spot.wanted.clone(), names.clone());
        }
        let names = found.or_else(|| kept.get(&spot.wanted, login));
        drop(kept);
        // Who asked may have gone on without the answer.
        let _ = answer.send(names.unwrap_or_default());
    }
}

impl Drop for Guide {
    fn drop(&mut self) {
        self.questions = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    /// Knows one group, each time that it is let.
    struct Slow {
        lets: Receiver<Option<&'static str>>,
        login: Arc<AtomicU64>,
    }

    impl Knowing for Slow {
        fn names(&self, _: &Wanted, _: &str) -> Option<Vec<Name>> {
            self.lets.recv().ok()?.map(|name| vec![Name::whole(name)])
        }
        fn login(&self) -> u64 {
            self.login.load(Ordering::Relaxed)
        }
    }

    /// A guide, who lets it know something, and the number of the login. The guide is dropped last, since its thread waits to
    /// be let.
    fn slow() -> (Guide, Sender<Option<&'static str>>, Arc<AtomicU64>) {
        let ((lets_it, lets), login) = (unbounded(), Arc::new(AtomicU64::new(1)));
        (Guide::start(Slow { lets, login: login.clone() }).expect("a thread"), lets_it, login)
    }

    fn put(guide: &Guide) -> Vec<String> {
        guide.complete("list_files ").expect("a group").1.into_iter().map(|candidate| candidate.put).collect()
    }

    /// Presses the key until this is offered: on a busy machine names come later than a press waits.
    fn offers(guide: &Guide, name: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while put(guide) != [name] {
            assert!(Instant::now() < deadline, "it was found meanwhile");
            std::thread::yield_now();
        }
    }

    #[test]
    fn nobody_waits_long_and_what_comes_late_is_there_next_time() {
        let (guide, lets, _login) = slow();
        lets.send(Some("lab")).expect("taken");
        offers(&guide, "lab ");
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(put(&guide), ["lab "], "what was known before");
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody waits for the one who looks");
        (0..100).for_each(|_| lets.send(Some("attic")).expect("taken"));
        offers(&guide, "attic ");
    }

    #[test]
    fn what_was_found_during_another_login_is_not_offered() {
        let (guide, lets, login) = slow();
        lets.send(Some("lab")).expect("taken");
        offers(&guide, "lab ");
        lets.send(None).expect("taken");
        assert_eq!(put(&guide), ["lab "], "what was known before");
        login.store(2, Ordering::Relaxed);
        lets.send(None).expect("taken");
        assert_eq!(put(&guide), [""; 0]);
    }

    #[test]
    fn what_was_found_during_another_login_is_not_offered_while_something_is_still_looked_for() {
        let (guide, lets, login) = slow();
        lets.send(Some("lab")).expect("taken");
        offers(&guide, "lab ");
        assert_eq!(put(&guide), ["lab "], "what was known before");
        // Of that login, and nobody ends the search.
        login.store(2, Ordering::Relaxed);
        assert_eq!(put(&guide), [""; 0]);
    }

    #[test]
    fn commands_need_nobody_who_knows() {
        let (guide, _lets, _login) = slow();
        assert_eq!(guide.complete("logo").expect("a command").1[0].put, "logout ");
        assert_eq!(guide.complete("create_group l"), None);
    }
}
