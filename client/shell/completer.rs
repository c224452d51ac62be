//! The completer: completes what is being typed, at once or not at all. A thread of its own looks names up, and a press
//! of the key waits for it for a moment only.

use crate::client::command::completion::{Candidate, Name, Spot, Wanted};
use crate::sys::owned_thread::OwnedThread;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long a press of the key waits for names; those that come later are there for the next one.
const PATIENCE: Duration = Duration::from_millis(400);
/// Answers that are remembered.
const REMEMBERED_MAX: usize = 64;

/// Where names come from.
pub trait NameSource: Send + Sync + 'static {
    /// Names that could stand there, those that begin with what was typed among them. It may take long. None where they
    /// cannot be told now.
    fn names(&self, wanted: &Wanted, typed: &str) -> Option<Vec<Name>>;

    /// The number of the login; what was found during another one is not offered.
    fn login(&self) -> u64;
}

struct Lookup {
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

/// The thread that looks for names. Ends when this is dropped, once it has no lookup left.
pub struct Completer {
    lookups: Option<Sender<Lookup>>,
    source: Arc<dyn NameSource>,
    remembered: Arc<Mutex<Remembered>>,
    thread: OwnedThread,
}

impl Completer {
    /// Starts it.
    ///
    /// # Errors
    /// There is no room for a thread.
    pub fn start(source: impl NameSource) -> io::Result<Self> {
        // A second lookup waits for the end of the first; a third is answered from what is remembered.
        let (lookups, asked) = bounded(1);
        let (source, remembered) = (Arc::new(source), Arc::new(Mutex::new(Remembered::default())));
        let thread = OwnedThread::start("completer", {
            let (source, remembered) = (source.clone(), remembered.clone());
            move || serve(&*source, &asked, &remembered)
        })?;
        Ok(Self { lookups: Some(lookups), source, remembered, thread })
    }

    /// Where the word behind this text begins, and what could stand there.
    pub fn complete(&self, text: &str) -> Option<(usize, Vec<Candidate>)> {
        let spot = Spot::behind(text)?;
        let names = match &spot.wanted {
            Wanted::Words(words) => {
                // The value of such an option stands behind it.
                let name = |word: &&str| Name { text: (*word).to_owned(), goes_on: word.ends_with('=') };
                words.iter().map(name).collect()
            }
            _ => self.ask(&spot),
        };
        Some((spot.start, spot.candidates(names)))
    }

    fn ask(&self, spot: &Spot) -> Vec<Name> {
        let (answer, answered) = bounded(1);
        let asked = self.lookups.as_ref().map(|to| to.try_send(Lookup { spot: spot.clone(), answer }));
        let found = asked.and_then(Result::ok).and_then(|()| answered.recv_timeout(PATIENCE).ok());
        let remembered = || self.remembered.lock().get(&spot.wanted, self.source.login());
        found.or_else(remembered).unwrap_or_default()
    }
}

fn serve(source: &impl NameSource, asked: &Receiver<Lookup>, remembered: &Mutex<Remembered>) {
    for Lookup { spot, answer } in asked {
        let login = source.login();
        let mut kept = remembered.lock();
        if kept.login != login || kept.names.len() >= REMEMBERED_MAX {
            *kept = Remembered { login, names: HashMap::new() };
        }
        drop(kept);
        let found = source.names(&spot.wanted, &spot.typed);
        let mut kept = remembered.lock();
        if let (Some(names), true) = (&found, kept.login == source.login()) {
            kept.names.insert(spot.wanted.clone(), names.clone());
        }
        let names = found.or_else(|| kept.get(&spot.wanted, login));
        drop(kept);
        // Who asked may have gone on without the answer.
        let _ = answer.send(names.unwrap_or_default());
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        self.lookups = None;
        self.thread.join();
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

    impl NameSource for Slow {
        fn names(&self, _: &Wanted, _: &str) -> Option<Vec<Name>> {
            self.lets.recv().ok()?.map(|name| vec![Name::whole(name)])
        }
        fn login(&self) -> u64 {
            self.login.load(Ordering::Relaxed)
        }
    }

    /// A completer, what lets it know something, and the number of the login. The completer is dropped last, since its
    /// thread waits to be let.
    fn slow() -> (Completer, Sender<Option<&'static str>>, Arc<AtomicU64>) {
        let ((lets_it, lets), login) = (unbounded(), Arc::new(AtomicU64::new(1)));
        (Completer::start(Slow { lets, login: login.clone() }).expect("a thread"), lets_it, login)
    }

    fn put(completer: &Completer) -> Vec<String> {
        completer.complete("list_files ").expect("a group").1.into_iter().map(|candidate| candidate.put).collect()
    }

    /// Presses the key until this is offered: on a busy machine names come later than a press waits.
    fn offers(completer: &Completer, name: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while put(completer) != [name] {
            assert!(Instant::now() < deadline, "it was found meanwhile");
            std::thread::yield_now();
        }
    }

    #[test]
    fn nobody_waits_long_and_what_comes_late_is_there_next_time() {
        let (completer, lets, _login) = slow();
        lets.send(Some("lab")).expect("taken");
        offers(&completer, "lab ");
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(put(&completer), ["lab "], "what was known before");
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody waits for the one who looks");
        (0..100).for_each(|_| lets.send(Some("attic")).expect("taken"));
        offers(&completer, "attic ");
    }

    #[test]
    fn what_was_found_during_another_login_is_not_offered() {
        let (completer, lets, login) = slow();
        lets.send(Some("lab")).expect("taken");
        offers(&completer, "lab ");
        lets.send(None).expect("taken");
        assert_eq!(put(&completer), ["lab "], "what was known before");
        login.store(2, Ordering::Relaxed);
        lets.send(None).expect("taken");
        assert_eq!(put(&completer), [""; 0]);
    }

    #[test]
    fn what_was_found_during_another_login_is_not_offered_while_something_is_still_looked_for() {
        let (completer, lets, login) = slow();
        lets.send(Some("lab")).expect("taken");
        offers(&completer, "lab ");
        assert_eq!(put(&completer), ["lab "], "what was known before");
        // Of that login, and nobody ends the search.
        login.store(2, Ordering::Relaxed);
        assert_eq!(put(&completer), [""; 0]);
    }

    #[test]
    fn commands_need_nobody_who_knows() {
        let (completer, _lets, _login) = slow();
        assert_eq!(completer.complete("logo").expect("a command").1[0].put, "logout ");
        assert_eq!(completer.complete("create_group l"), None);
    }
}
