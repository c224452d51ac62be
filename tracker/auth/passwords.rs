//! Hashes passwords and checks them with Argon2id, on a few threads of their own: as many at once as there are
//! cores, each with a stack that is deep enough.

use crate::model::op::PasswordHash;
use crate::sys::owned_thread::OwnedThread;
use crate::wire::client_tracker::Password;
use crate::wire::refusal::{Code, Refusal};
use argon2::password_hash::phc;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use std::io;
use std::time::Duration;

/// Argon2's parameters; its default is what OWASP recommends (19 MiB, 2 passes, 1 lane; Password Storage Cheat Sheet).
pub use argon2::Params;

/// Passwords that may wait for a thread. One takes some 20 ms, so the last in the queue waits a second or two.
const WAITING_MAX: usize = 128;
/// Nobody waits longer than this.
const DEADLINE: Duration = Duration::from_secs(30);
/// Argon2 keeps several blocks of 1 KiB on the stack; unoptimized builds need more.
const STACK_LEN: usize = 512 * 1024;

/// The threads, and the queue to them.
#[derive(Debug)]
pub struct Passwords {
    jobs: Option<Sender<Job>>,
    threads: Vec<OwnedThread>,
    /// Checked where there is no account, so that a check takes as long as with one.
    nobody: PasswordHash,
}

#[derive(Debug)]
enum Job {
    Hash { password: Password, answer: Sender<Option<PasswordHash>> },
    Check { password: Password, hashes: Vec<PasswordHash>, answer: Sender<Option<usize>> },
}

fn argon2(params: &Params) -> Argon2<'static> {
    Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params.clone())
}

/// Hashes under a fresh salt; `None` if there is no memory or no randomness for it.
fn hash(params: &Params, password: &[u8]) -> Option<PasswordHash> {
    let hash: phc::PasswordHash = argon2(params).hash_password(password).ok()?;
    Some(PasswordHash(hash.to_string().into()))
}

/// Checks with the parameters that the hash itself names, so that old hashes stay valid when the default changes.
fn matches(params: &Params, password: &[u8], hash: &PasswordHash) -> bool {
    phc::PasswordHash::new(&hash.0).is_ok_and(|hash| argon2(params).verify_password(password, &hash).is_ok())
}

fn work(params: &Params, jobs: &Receiver<Job>) {
    for job in jobs {
        // The caller may be gone.
        let _ = match job {
            Job::Hash { password, answer } => answer.send(hash(params, password.reveal().as_bytes())).is_ok(),
            Job::Check { password, hashes, answer } => {
                let password = password.reveal().as_bytes();
                answer.send(hashes.iter().position(|hash| matches(params, password, hash))).is_ok()
            }
        };
    }
}

fn no_memory() -> Refusal {
    Refusal::about(Code::Unavailable, "no memory for a password")
}

impl Passwords {
    /// Starts this many threads, which hash with these parameters.
    pub fn start(params: Params, thread_count: usize) -> io::Result<Self> {
        // A hash under a random salt: nobody needs its password.
        let nobody = hash(&params, &[0; 32]).ok_or_else(|| io::Error::other("Argon2 cannot get its memory"))?;
        let (send, jobs) = bounded(WAITING_MAX);
        let mut this = Self { jobs: Some(send), threads: Vec::new(), nobody };
        for number in 1..=thread_count.max(1) {
            let (params, jobs) = (params.clone(), jobs.clone());
            let run = move || work(&params, &jobs);
            this.threads.push(OwnedThread::with_stack(format!("password-{number}"), STACK_LEN, run)?);
        }
        Ok(this)
    }

    /// The hash of a password.
    ///
    /// # Errors
    /// `SlowDown` if too many wait, `Unavailable` if there is no memory.
    pub fn hash(&self, password: Password) -> Result<PasswordHash, Refusal> {
        let hash = self.ask(Duration::ZERO, |answer| Job::Hash { password, answer })?;
        hash.ok_or_else(no_memory)
    }

    /// The same for an operator, who waits for a place behind those who are let wait.
    ///
    /// # Errors
    /// As for [`Passwords::hash`].
    pub fn hash_for_operator(&self, password: Password) -> Result<PasswordHash, Refusal> {
        let hash = self.ask(DEADLINE, |answer| Job::Hash { password, answer })?;
        hash.ok_or_else(no_memory)
    }

    /// Which of these hashes a password matches, if any. Takes as long for none as for one.
    ///
    /// # Errors
    /// As for [`Passwords::hash`].
    pub fn check(&self, password: Password, hashes: Vec<PasswordHash>) -> Result<Option<usize>, Refusal> {
        let known = !hashes.is_empty();
        let hashes = if known { hashes } else { vec![self.nobody.clone()] };
        let found = self.ask(Duration::ZERO, |answer| Job::Check { password, hashes, answer })?;
        Ok(found.filter(|_| known))
    }

    /// How many passwords wait for a thread.
    pub fn waiting(&self) -> usize {
        self.jobs.as_ref().map_or(0, Sender::len)
    }

    /// `patience`: how long to wait for a place among those who wait.
    fn ask<T>(&self, patience: Duration, job: impl FnOnce(Sender<T>) -> Job) -> Result<T, Refusal> {
        let (send, answer) = bounded(1);
        match self.jobs.as_ref().map(|jobs| jobs.send_timeout(job(send), patience)) {
            Some(Ok(())) => {}
            Some(Err(SendTimeoutError::Timeout(_))) => return Err(Code::SlowDown.into()),
            Some(Err(SendTimeoutError::Disconnected(_))) | None => return Err(Code::Unavailable.into()),
        }
        answer.recv_timeout(DEADLINE).map_err(|_| Code::SlowDown.into())
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.jobs = None;
        // Joins them.
        self.threads.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> Params {
        Params::new(8, 1, 1, None).expect("the least that Argon2 allows")
    }

    fn password(text: &str) -> Password {
        Password::new(text).expect(text)
    }

    #[test]
    fn a_password_matches_its_own_hash_alone() {
        let passwords = Passwords::start(cheap(), 1).expect("started");
        let (a, b) =
            (passwords.hash(password("alpha")).expect("hash"), passwords.hash(password("beta")).expect("hash"));
        assert!(a.0.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{}", a.0);
        assert!(a.0.len() <= PasswordHash::LEN_MAX);
        assert_ne!(a, passwords.hash(password("alpha")).expect("hash"), "the salt is fresh");
        let check = |text: &str| passwords.check(password(text), vec![a.clone(), b.clone()]).expect("checked");
        assert_eq!((check("alpha"), check("beta"), check("gamma")), (Some(0), Some(1), None));
        assert_eq!(passwords.check(password("alpha"), Vec::new()), Ok(None));
    }

    #[test]
    fn the_default_is_what_owasp_recommends_and_older_hashes_stay_valid() {
        let default = Params::default();
        assert_eq!((default.m_cost(), default.t_cost(), default.p_cost()), (19 * 1024, 2, 1));
        let old = Passwords::start(cheap(), 1).expect("started").hash(password("alpha")).expect("hash");
        let new = Passwords::start(Params::new(16, 2, 1, None).expect("valid"), 1).expect("started");
        assert_eq!(new.check(password("alpha"), vec![old]), Ok(Some(0)));
    }

    #[test]
    fn a_hash_that_is_none_matches_nothing() {
        let passwords = Passwords::start(cheap(), 1).expect("started");
        let bad = |text: &str| PasswordHash(text.into());
        let hashes = vec![bad(""), bad("$argon2id$"), bad("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ")];
        assert_eq!(passwords.check(password("alpha"), hashes), Ok(None));
    }

    #[test]
    fn when_too_many_wait_the_next_is_told_to_slow_down() {
        let passwords = Passwords::start(cheap(), 1).expect("started");
        let jobs = passwords.jobs.as_ref().expect("running");
        // The only thread is held up by an answer that nobody takes, and as many jobs as may wait stand behind it: the
        // last of these sends returns only after the thread has taken the first job.
        let (answer, held_up) = bounded(0);
        for _ in 0..=WAITING_MAX {
            jobs.send(Job::Hash { password: password("alpha"), answer: answer.clone() }).expect("running");
        }
        drop(answer);
        assert_eq!(passwords.hash(password("beta")), Err(Code::SlowDown.into()));
        assert_eq!(passwords.check(password("beta"), Vec::new()), Err(Code::SlowDown.into()));
        assert_eq!(held_up.iter().flatten().count(), WAITING_MAX + 1);
        assert!(passwords.hash(password("beta")).is_ok());
    }
}
