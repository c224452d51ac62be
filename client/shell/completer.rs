//! The completer: it completes the word at the cursor at once or not at all. A thread of its own looks names up. A key
//! press waits for that thread only a moment.

use crate::client::command::completion::{Candidate, Name, Spot, Wanted};
use crate::sys::owned_thread::OwnedThread;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long a key press waits for names. Later ones are ready for the next press.
const PATIENCE: Duration = Duration::from_millis(400);
/// The maximum number of remembered answers.
const REMEMBERED_MAX: usize = 64;

/// A source of names.
pub trait NameSource: Send + Sync + 'static {
    /// Names for this place, including those that begin with the typed text. This may take long. `None` if they are
    /// unknown now.
    fn names(&self, wanted: &Wanted, typed: &str) -> Option<Vec<Name>>;

    /// The number of the login. Names from another login are not offered.
    fn login(&self) -> u64;
}

struct Lookup {
    spot: Spot,
    answer: Sender<Vec<Name>>,
}

/// The latest answers, during the login with that number.
#[derive(Default)]
struct Remembered {
    login: u64,
    names: HashMap<Wanted, Vec<Name>>,
}

impl Remembered {
    /// The answer from this login.
    fn get(&self, wanted: &Wanted, login: u64) -> Option<Vec<Name>> {
        self.names.get(wanted).filter(|_| self.login == login).cloned()
    }
}

/// The thread that looks names up. The thread ends after this is dropped and the last look-up is done.
pub struct Completer {
    lookups: Option<Sender<Lookup>>,
    source: Arc<dyn NameSource>,
    remembered: Arc<Mutex<Remembered>>,
    thread: OwnedThread,
}

impl Completer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no room for a thread.
    pub fn start(source: impl NameSource) -> io::Result<Self> {
        // A second look-up waits for the first. A third is answered from memory.
        let (lookups, asked) = bounded(1);
        let (source, remembered) = (Arc::new(source), Arc::new(Mutex::new(Remembered::default())));
        let thread = OwnedThread::start("completer", {
            let (source, remembered) = (source.clone(), remembered.clone());
            move || serve(&*source, &asked, &remembered)
        })?;
        Ok(Self { lookups: Some(lookups), source, remembered, thread })
    }

    /// The beginning of the last word of this text, and the names for its place.
    pub fn complete(&self, text: &str) -> Option<(usize, Vec<Candidate>)> {
        let spot = Spot::behind(text)?;
        let names = match &spot.wanted {
            Wanted::Words(words) => {
                // The value of such an option follows it directly.
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
        // The caller may have gone on without the answer.
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

    /// Knows one group, and answers each time it is allowed to.
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

    /// A completer, a channel that allows an answer, and the number of the login. The completer is dropped last,
    /// because its thread waits for that channel.
    fn slow() -> (Completer, Sender<Option<&'static str>>, Arc<AtomicU64>) {
        let ((lets_it, lets), login) = (unbounded(), Arc::new(AtomicU64::new(1)));
        (Completer::start(Slow { lets, login: login.clone() }).expect("a thread"), lets_it, login)
    }

    fn put(completer: &Completer) -> Vec<String> {
        completer.complete("list_files ").expect("a group").1.into_iter().map(|candidate| candidate.put).collect()
    }

    /// Presses the key until this is offered: on a busy machine, names may come later than a press waits.
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
            assert_eq!(put(&completer), ["lab "], "the names from before");
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "a key press does not wait for the look-up");
        (0..100).for_each(|_| lets.send(Some("attic")).expect("taken"));
        offers(&completer, "attic ");
    }

    #[test]
    fn the_completer_offers_no_name_found_during_another_login() {
        let (completer, lets, login) = slow();
        lets.send(Some("lab")).expect("taken");
        offers(&completer, "lab ");
        lets.send(None).expect("taken");
        assert_eq!(put(&completer), ["lab "], "the names from before");
        login.store(2, Ordering::Relaxed);
        lets.send(None).expect("taken");
        assert_eq!(put(&completer), [""; 0]);
    }

    #[test]
    fn the_completer_offers_no_name_of_another_login_while_it_still_looks() {
        let (completer, lets, login) = slow();
        lets.send(Some("lab")).expect("taken");
        offers(&completer, "lab ");
        assert_eq!(put(&completer), ["lab "], "the names from before");
        // The answer is of the earlier login, and its look-up goes on.
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
