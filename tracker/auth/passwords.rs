//! Hashes passwords and checks them with Argon2id, on threads of its own with enough stack. There are as many as
//! cores. Waiting requests take turns.

use crate::model::address::{network_of, place_of};
use crate::model::name::UserId;
use crate::model::op::PasswordHash;
use crate::rate::nested_turns::{NestedBounds, NestedTurns};
use crate::sys;
use crate::sys::owned_thread::OwnedThread;
use crate::wire::client_tracker::Password;
use crate::wire::deadlines::ANSWER_DEADLINE;
use crate::wire::refusal::{Code, Refusal};
use argon2::password_hash::phc;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use crossbeam_channel::{Sender, bounded};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Argon2's parameters. The default is the recommendation of OWASP (19 MiB, 2 passes, 1 lane; Password Storage Cheat
/// Sheet).
pub use argon2::Params;

/// How many passwords may wait for a thread. One takes some 20 ms, so the last in the queue waits a second or two.
const WAITING_MAX: usize = 128;
/// The nice value of the computing threads: a third of the weight of a thread with nice value 0 (sched(7)).
const PASSWORD_NICE: i32 = 5;
/// Argon2 keeps several blocks of 1 KiB on the stack; unoptimized builds need more.
const STACK_LEN: usize = 512 * 1024;

/// The source of a password, for turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    path: [TurnOf; 3],
    /// The deadline until which it waits for a thread.
    answer_by: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum TurnOf {
    Place(IpAddr),
    Name(UserId),
    Operator,
}

impl Asker {
    /// A client there that gives this name. Sites take turns, then the networks of a site, then the names in a
    /// network.
    pub fn at(ip: IpAddr, name: &UserId, answer_by: Instant) -> Self {
        let network = network_of(ip);
        let site = place_of(ip);
        Self { path: [TurnOf::Place(site), TurnOf::Place(network), TurnOf::Name(name.clone())], answer_by }
    }

    pub fn operator() -> Self {
        let path = [TurnOf::Operator, TurnOf::Operator, TurnOf::Operator];
        Self { path, answer_by: Instant::now() + ANSWER_DEADLINE }
    }
}

/// The threads, and the queue of their jobs.
#[derive(Debug)]
pub struct Passwords {
    desk: Arc<Desk>,
    threads: Vec<OwnedThread>,
    /// The hash to check if there is no account. So a check takes as long as for an existing account.
    nobody: PasswordHash,
}

/// The queue between sessions and threads.
#[derive(Debug)]
struct Desk {
    jobs: Mutex<Jobs>,
    /// Wakes a thread.
    came: Condvar,
}

#[derive(Debug)]
struct Jobs {
    turns: NestedTurns<TurnOf, Job, 3>,
    closed: bool,
}

#[derive(Debug)]
enum Job {
    Hash { password: Password, answer: Sender<Option<PasswordHash>> },
    Check { password: Password, hashes: Vec<PasswordHash>, answer: Sender<Option<usize>> },
}

impl Desk {
    fn new() -> Self {
        let turns = NestedTurns::new(NestedBounds { waiting: WAITING_MAX, age: ANSWER_DEADLINE });
        Self { jobs: Mutex::new(Jobs { turns, closed: false }), came: Condvar::new() }
    }

    /// A job that finds no room in the queue is dropped, which disconnects its answer.
    fn put(&self, asker: Asker, job: Job) {
        let dropped = self.jobs.lock().turns.put(asker.path, job, Instant::now());
        self.came.notify_one();
        drop(dropped);
    }

    /// Waits for a job. `None` once the desk is closed.
    fn take(&self) -> Option<([TurnOf; 3], Job)> {
        let mut jobs = self.jobs.lock();
        loop {
            if jobs.closed {
                return None;
            }
            if let Some(taken) = jobs.turns.take(Instant::now()) {
                return Some(taken);
            }
            self.came.wait(&mut jobs);
        }
    }

    fn done(&self, path: &[TurnOf; 3]) {
        self.jobs.lock().turns.done(path);
    }

    fn close(&self) {
        self.jobs.lock().closed = true;
        self.came.notify_all();
    }
}

fn argon2(params: &Params) -> Argon2<'static> {
    Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params.clone())
}

/// Hashes with a fresh salt. `None` without memory or random bytes.
fn hash(params: &Params, password: &[u8]) -> Option<PasswordHash> {
    let hash: phc::PasswordHash = argon2(params).hash_password(password).ok()?;
    Some(PasswordHash(hash.to_string().into()))
}

/// Checks with the parameters in the hash itself, so that old hashes stay valid when the default changes.
fn matches(params: &Params, password: &[u8], hash: &PasswordHash) -> bool {
    phc::PasswordHash::new(&hash.0).is_ok_and(|hash| argon2(params).verify_password(password, &hash).is_ok())
}

fn work(params: &Params, desk: &Desk) {
    // A password keeps a core busy for a while. A login can wait seconds, a command cannot.
    sys::give_way(PASSWORD_NICE);
    while let Some((path, job)) = desk.take() {
        // The caller may be gone.
        let _ = match job {
            Job::Hash { password, answer } => answer.send(hash(params, password.reveal().as_bytes())).is_ok(),
            Job::Check { password, hashes, answer } => {
                let password = password.reveal().as_bytes();
                answer.send(hashes.iter().position(|hash| matches(params, password, hash))).is_ok()
            }
        };
        desk.done(&path);
    }
}

fn no_memory() -> Refusal {
    Refusal::about(Code::Unavailable, "no memory for a password")
}

impl Passwords {
    /// Starts this many threads, which hash with these parameters.
    pub fn start(params: Params, thread_count: usize) -> io::Result<Self> {
        // A hash with a random salt: its password does not matter.
        let nobody = hash(&params, &[0; 32]).ok_or_else(|| io::Error::other("Argon2 cannot get its memory"))?;
        let mut this = Self { desk: Arc::new(Desk::new()), threads: Vec::new(), nobody };
        for number in 1..=thread_count.max(1) {
            let (params, desk) = (params.clone(), this.desk.clone());
            let run = move || work(&params, &desk);
            this.threads.push(OwnedThread::with_stack(format!("password-{number}"), STACK_LEN, run)?);
        }
        Ok(this)
    }

    /// The hash of a password.
    ///
    /// # Errors
    /// `SlowDown` if too many requests wait and no asker has more of them than this one, or if the turn does not come
    /// in time. `Unavailable` if there is no memory.
    pub fn hash(&self, asker: Asker, password: Password) -> Result<PasswordHash, Refusal> {
        let hash = self.ask(asker, |answer| Job::Hash { password, answer })?;
        hash.ok_or_else(no_memory)
    }

    /// Which of these hashes a password matches, if any. Without hashes, the check takes as long as for one hash.
    ///
    /// # Errors
    /// As for [`Passwords::hash`].
    pub fn check(&self, asker: Asker, password: Password, hashes: Vec<PasswordHash>) -> Result<Option<usize>, Refusal> {
        let known = !hashes.is_empty();
        let hashes = if known { hashes } else { vec![self.nobody.clone()] };
        let found = self.ask(asker, |answer| Job::Check { password, hashes, answer })?;
        Ok(found.filter(|_| known))
    }

    /// How many passwords wait for a thread.
    pub fn waiting(&self) -> usize {
        self.desk.jobs.lock().turns.waiting()
    }

    fn ask<T>(&self, asker: Asker, job: impl FnOnce(Sender<T>) -> Job) -> Result<T, Refusal> {
        let (send, answer) = bounded(1);
        let answer_by = asker.answer_by;
        self.desk.put(asker, job(send));
        answer.recv_deadline(answer_by).map_err(|_| Code::SlowDown.into())
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.desk.close();
        // Joins them.
        self.threads.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::user;
    use crossbeam_channel::Receiver;

    fn cheap() -> Params {
        Params::new(8, 1, 1, None).expect("the least that Argon2 allows")
    }

    fn password(text: &str) -> Password {
        Password::new(text).expect(text)
    }

    fn asker(last: u8, name: &str) -> Asker {
        Asker::at([192, 0, 2, last].into(), &user(name), Instant::now() + ANSWER_DEADLINE)
    }

    fn ann() -> Asker {
        asker(1, "ann")
    }

    #[test]
    fn a_password_matches_its_own_hash_alone() {
        let passwords = Passwords::start(cheap(), 1).expect("started");
        let (a, b) = (
            passwords.hash(ann(), password("alpha")).expect("hash"),
            passwords.hash(ann(), password("beta")).expect("hash"),
        );
        assert!(a.0.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{}", a.0);
        assert!(a.0.len() <= PasswordHash::LEN_MAX);
        assert_ne!(a, passwords.hash(ann(), password("alpha")).expect("hash"), "the salt is fresh");
        let check = |text: &str| passwords.check(ann(), password(text), vec![a.clone(), b.clone()]).expect("checked");
        assert_eq!((check("alpha"), check("beta"), check("gamma")), (Some(0), Some(1), None));
        assert_eq!(passwords.check(ann(), password("alpha"), Vec::new()), Ok(None));
    }

    #[test]
    fn the_default_is_what_owasp_recommends_and_older_hashes_stay_valid() {
        let default = Params::default();
        assert_eq!((default.m_cost(), default.t_cost(), default.p_cost()), (19 * 1024, 2, 1));
        let old = Passwords::start(cheap(), 1).expect("started").hash(ann(), password("alpha")).expect("hash");
        let new = Passwords::start(Params::new(16, 2, 1, None).expect("valid"), 1).expect("started");
        assert_eq!(new.check(ann(), password("alpha"), vec![old]), Ok(Some(0)));
    }

    #[test]
    fn a_hash_that_is_none_matches_nothing() {
        let passwords = Passwords::start(cheap(), 1).expect("started");
        let bad = |text: &str| PasswordHash(text.into());
        let hashes = vec![bad(""), bad("$argon2id$"), bad("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ")];
        assert_eq!(passwords.check(ann(), password("alpha"), hashes), Ok(None));
    }

    /// Passwords whose only thread is blocked by an answer that nobody takes, and that answer.
    fn held_up() -> (Passwords, Receiver<Option<PasswordHash>>) {
        let passwords = Passwords::start(cheap(), 1).expect("started");
        let (answer, held_up) = bounded(0);
        passwords.desk.put(asker(99, "slow"), Job::Hash { password: password("alpha"), answer });
        while passwords.waiting() > 0 {
            std::thread::yield_now();
        }
        (passwords, held_up)
    }

    #[test]
    fn when_too_many_wait_only_the_asker_with_most_is_told_to_slow_down() {
        let (passwords, held_up) = held_up();
        std::thread::scope(|scope| {
            let log_in = |asker: Asker| scope.spawn(|| passwords.check(asker, password("alpha"), Vec::new()));
            let wait_for = |count| {
                while passwords.waiting() < count {
                    std::thread::yield_now();
                }
            };
            let eve: Vec<_> = (0..WAITING_MAX)
                .map(|n| {
                    let login = log_in(asker(1, &format!("eve {}", n % 9)));
                    wait_for(n + 1);
                    login
                })
                .collect();
            let told = |count: usize| {
                while eve.iter().filter(|login| login.is_finished()).count() < count {
                    std::thread::yield_now();
                }
            };
            let mia = log_in(asker(1, "mia"));
            told(1);
            let ann = log_in(asker(2, "ann"));
            told(2);
            drop(held_up);
            assert_eq!([mia, ann].map(|login| login.join().expect("no panic")), [Ok(None), Ok(None)]);
            let refused = |login: &Result<_, Refusal>| *login == Err(Code::SlowDown.into());
            let told = eve.into_iter().map(|login| login.join().expect("no panic"));
            assert_eq!(told.filter(refused).count(), 2);
        });
        assert!(passwords.hash(ann(), password("beta")).is_ok());
    }

    #[test]
    fn an_operator_comes_next_however_many_wait() {
        let (passwords, held_up) = held_up();
        let (answer, answers) = bounded(WAITING_MAX + 1);
        for n in 0..WAITING_MAX {
            let job = Job::Hash { password: password("alpha"), answer: answer.clone() };
            passwords.desk.put(asker(1 + (n % 3) as u8, "eve"), job);
        }
        std::thread::scope(|scope| {
            let made = scope.spawn(|| passwords.hash(Asker::operator(), password("beta")));
            while answers.is_empty() && passwords.waiting() < WAITING_MAX {
                std::thread::yield_now();
            }
            drop(held_up);
            assert!(made.join().expect("no panic").is_ok());
        });
    }
}
