//! Answers, and their log lines: logins, failed logins, and requests that found no room.

use super::Session;
use crate::model::id::{ClientId, UserRef};
use crate::model::name::UserId;
use crate::tracker::log::{Level, LogKind, LogPair};
use crate::wire::client_tracker::{Reply, Request};
use crate::wire::refusal::{Code, Refusal};

/// What a request has to prove.
enum Proof {
    /// Nothing.
    Needless,
    /// That the client belongs to this user.
    Password(UserId),
    /// That the client was logged in.
    Token,
    /// That the client belongs to the user who is logged in.
    OwnPassword,
}

impl Proof {
    fn of(request: &Request) -> Self {
        match request {
            Request::Login { user, .. } => Proof::Password(user.clone()),
            Request::Resume { .. } => Proof::Token,
            Request::ChangePassword { .. } => Proof::OwnPassword,
            _ => Proof::Needless,
        }
    }
}

impl Session {
    /// Carries out a request. Its change may not be durable yet.
    pub(super) fn answer(&mut self, request: Request) -> Result<Reply, Refusal> {
        let proof = Proof::of(&request);
        let answer = self.carry_out(request);
        if let Err(refusal) = &answer {
            self.note_refusal(&proof, refusal);
        }
        answer
    }

    /// Logs why a request was refused, if operators want to know.
    fn note_refusal(&self, proof: &Proof, refusal: &Refusal) {
        use Code::{AccountDisabled, BadLogin, InstallationFull, QuotaReached, RelayFull, SessionEnded, SlowDown};
        let (kind, words) = match (proof, refusal.code) {
            (Proof::Password(_), BadLogin | AccountDisabled | SessionEnded | SlowDown)
            | (Proof::Token, SessionEnded)
            | (Proof::OwnPassword, BadLogin | SlowDown) => (LogKind::Login, "login failed"),
            (_, QuotaReached | InstallationFull) => (LogKind::Quota, refusal.code.words()),
            (_, SlowDown | RelayFull) => (LogKind::Full, refusal.code.words()),
            _ => return,
        };
        let user = match proof {
            Proof::Password(name) => Some(name.clone()),
            Proof::Needless | Proof::Token | Proof::OwnPassword => self.logged_in().and_then(|user| self.name_of(user)),
        };
        let (from, reason) = (self.ip(), format!("{:?}", refusal.code));
        let mut pairs: Vec<LogPair<'_>> = user.iter().map(|user| -> LogPair<'_> { ("user", user) }).collect();
        pairs.extend([("from", &from as &dyn std::fmt::Display), ("reason", &reason)]);
        if !refusal.about.is_empty() {
            pairs.push(("why", &refusal.about));
        }
        self.core.oversight.log.event(Level::Info, kind.at(self.ip()), words, &pairs);
    }

    /// Logs that a member has logged in or out.
    pub(super) fn note_member(&self, words: &str, user: UserRef, client: ClientId) {
        let log = &self.core.oversight.log;
        if !log.shows(Level::Info) {
            return;
        }
        // The name exists as long as the account, which stays.
        if let Some(name) = self.name_of(user) {
            let (client, from) = (format!("{client:?}"), self.ip());
            let pairs: [LogPair<'_>; 3] = [("user", &name), ("client", &client), ("from", &from)];
            log.event(Level::Info, LogKind::Member.at(self.ip()), words, &pairs);
        }
    }

    fn name_of(&self, user: UserRef) -> Option<UserId> {
        self.core.state().account(user).map(|account| account.name)
    }
}
