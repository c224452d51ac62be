//! Accounts and logins on a connection.

use super::{ActiveLogin, Session};
use crate::model::id::{ClientId, CommandId, UserRef};
use crate::model::name::UserId;
use crate::sys::random::random_bytes;
use crate::sys::unix_time_s;
use crate::tracker::auth::login_throttle::LoginAttempt;
use crate::tracker::auth::passwords::Asker;
use crate::tracker::auth::session_token::TokenClaim;
use crate::tracker::ledger::accept::{Change, ask_user_name};
use crate::tracker::manifests::BroughtManifests;
use crate::tracker::oversight::limits::Accounts;
use crate::tracker::presence::ClientKey;
use crate::tracker::push::untold_notices::UntoldNotices;
use crate::tracker::state::{Account, AccountStanding, CommandOwner, Fate, State};
use crate::wire::client_tracker::{Password, Reply, TOKEN_LEN_MAX};
use crate::wire::codec::Blob;
use crate::wire::refusal::{Code, Refusal};
use std::time::Instant;

/// Why no user was proved.
enum Unproved {
    /// No password was checked.
    Unchecked(Refusal),
    Checked(Refusal),
}

impl Unproved {
    /// The refusal. Calls `give_back` if no password was checked.
    fn refusal(self, give_back: impl FnOnce()) -> Refusal {
        match self {
            Unproved::Unchecked(refusal) => {
                give_back();
                refusal
            }
            Unproved::Checked(refusal) => refusal,
        }
    }
}

impl Session {
    fn must_be_logged_out(&self) -> Result<(), Refusal> {
        if self.login.is_some() { Err(Code::AlreadyLoggedIn.into()) } else { Ok(()) }
    }

    pub(super) fn create_user(
        &mut self,
        command: CommandId,
        name: UserId,
        password: Password,
    ) -> Result<Reply, Refusal> {
        self.must_be_logged_out()?;
        let state = self.core.state();
        // A quick answer before the slow hash of the password. The committer decides afterwards.
        if state.knows_command(CommandOwner::NewUser(&name), command) {
            return Ok(Reply::Done {});
        }
        self.core.committer.must_take_changes()?;
        let limits = &self.core.oversight.limits;
        if limits.accounts() == Accounts::Closed {
            return Err(Code::AccountsClosed.into());
        }
        ask_user_name(&state, &name)?;
        limits.ask_account(&state)?;
        limits.take_account(self.ip())?;
        let hashed = self.core.passwords.hash(Asker::at(self.ip(), &name, self.answer_by), password);
        let password = hashed.inspect_err(|_| limits.give_back_account(self.ip()))?;
        self.core.committer.submit(command, &Change::CreateUser { name, password })?;
        Ok(Reply::Done {})
    }

    pub(super) fn log_in_by_password(
        &mut self,
        client: ClientId,
        name: &UserId,
        password: Password,
    ) -> Result<Reply, Refusal> {
        self.must_be_logged_out()?;
        let (limits, ip) = (&self.core.oversight.limits, self.ip());
        limits.take_check(ip)?;
        let attempt =
            self.core.throttle.attempt(name, ip, self.answer_by).ok_or(Unproved::Unchecked(Code::SlowDown.into()));
        let proved = attempt.and_then(|attempt| self.prove(attempt, name, password, |state| state.accounts_born(name)));
        let account = proved.map_err(|unproved| unproved.refusal(|| limits.give_back_check(ip)))?;
        if account.standing == AccountStanding::Disabled {
            return Err(Code::AccountDisabled.into());
        }
        let token = TokenClaim::begin(account.user, account.sessions_since, unix_time_s());
        let token = token.map_err(|error| Refusal::about(Code::Unavailable, error))?;
        self.log_in(client, account, token)
    }

    /// Finds the account among these that the password belongs to.
    fn prove(
        &self,
        attempt: LoginAttempt<'_>,
        name: &UserId,
        password: Password,
        among: impl Fn(&State) -> Vec<Account>,
    ) -> Result<Account, Unproved> {
        let mut known = among(&self.core.state());
        for round in 0..2 {
            let hashes = known.iter().map(|account| account.password.clone()).collect();
            match self.core.passwords.check(Asker::at(self.ip(), name, self.answer_by), password.clone(), hashes) {
                Ok(Some(opened)) => {
                    attempt.succeeded();
                    return Ok(known.swap_remove(opened));
                }
                Ok(None) => {}
                Err(refusal) if round == 0 => {
                    attempt.unchecked();
                    return Err(Unproved::Unchecked(refusal));
                }
                Err(refusal) => return Err(Unproved::Checked(refusal)),
            }
            // Meanwhile another tracker may have sent the account or its password.
            let now = among(&self.core.state());
            if now == known {
                break;
            }
            known = now;
        }
        Err(Unproved::Checked(Code::BadLogin.into()))
    }

    pub(super) fn log_in_by_token(&mut self, client: ClientId, token: &[u8]) -> Result<Reply, Refusal> {
        self.must_be_logged_out()?;
        let claim = self.core.cluster_key.open_token(token).ok_or(Code::SessionEnded)?;
        let TokenClaim { user, sessions_since, session, made_s } = claim;
        let (state, now_s) = (self.core.state(), unix_time_s());
        if !claim.is_fresh(now_s) || state.is_token_void(user, session, made_s) {
            return Err(Code::SessionEnded.into());
        }
        if let Some(account) = state.account(user).filter(|_| state.session_holds(user, sessions_since)) {
            if !self.core.throttle.log_in(&account.name, self.ip(), self.answer_by) {
                return Err(Code::SlowDown.into());
            }
            return self.log_in(client, account, claim.renewed(now_s));
        }
        // The token may name an op that is still on its way here from another tracker.
        let heard = [user.0, sessions_since].iter().all(|op| state.fate(*op) != Fate::Unheard);
        Err(if heard { Code::SessionEnded } else { Code::NotHeardYet }.into())
    }

    fn log_in(&mut self, client: ClientId, account: Account, token: TokenClaim) -> Result<Reply, Refusal> {
        let Account { user, name, sessions_since, .. } = account;
        // The ids in the token may have become aliases of these.
        let login_token = TokenClaim { user, sessions_since, ..token };
        let ticket = self.core.presence.enter(ClientKey { user, client }, Instant::now());
        let (state, bound_to) = (|| self.core.state(), (sessions_since, token.session));
        let (state, before) = self.core.logins.enter(ticket, self.push_channel.clone(), bound_to, state);
        if let Some(before) = before {
            // The client has returned on a new connection.
            before.end();
        }
        self.slot.set_logged_in(true);
        let login = ActiveLogin { ticket, user, token: login_token };
        let holds = login.holds(&state);
        self.login = Some(login);
        self.note_member("a member has come", user, client);
        if !holds || state.canonical(user.0) != user.0 {
            // The sessions may have ended during the check of the password, and the notifier may have told so already.
            self.log_out();
            return Err(Code::SessionEnded.into());
        }
        self.untold = UntoldNotices::of(&state, user);
        Ok(Reply::LoggedIn { user: name, token: self.core.cluster_key.token(&login_token) })
    }

    /// Ends the login at the client's wish, and its session: its tokens become void.
    pub(super) fn end_session(&mut self) -> Result<Reply, Refusal> {
        self.user()?;
        let ended = self.login.as_ref().map(|login| login.token.renewed(unix_time_s()));
        self.log_out();
        if let Some(TokenClaim { user, session, made_s, .. }) = ended.filter(|_| self.gives_tokens) {
            let change = Change::EndSession { user, session, through_s: made_s };
            // A fresh command, because a known one is not carried out again.
            let command = random_bytes().map_err(|error| Refusal::about(Code::Unavailable, error))?;
            (_, self.pending) = self.core.committer.begin(CommandId(command), &change)?;
        }
        Ok(Reply::Done {})
    }

    /// Ends the login, if there is one. The connection stays open.
    pub(in crate::tracker) fn log_out(&mut self) {
        if let Some(login) = self.login.take() {
            self.core.logins.leave(&login.ticket);
            self.core.followers.leave(&login.ticket);
            self.core.presence.leave(&login.ticket);
            self.slot.set_logged_in(false);
            self.note_member("a member has left", login.user, login.ticket.key.client);
        }
        self.brought = BroughtManifests::default();
        self.untold = None;
    }

    /// After a login: the user's next unread notice that this login has not told.
    pub(super) fn next_untold(&mut self) -> Option<Reply> {
        let next = self.untold.as_mut()?.next(&self.core.state());
        if next.is_none() {
            self.untold = None;
        }
        next
    }

    pub(super) fn change_password(
        &mut self,
        command: CommandId,
        old: Password,
        new: Password,
    ) -> Result<Reply, Refusal> {
        let user = self.user()?;
        let account = self.core.state().account(user).ok_or(Code::SessionEnded)?;
        let name = account.name.clone();
        if self.has_made(command) {
            // The old password is no longer valid.
            return self.logged_in_as(name);
        }
        // Before the slow work on two passwords. The committer decides afterwards.
        self.core.oversight.limits.ask_change(user)?;
        let account = self.prove_own(user, &name, old)?;
        let password = self.core.passwords.hash(Asker::at(self.ip(), &name, self.answer_by), new)?;
        // The notifier ends all other logins of the user.
        self.login.iter().for_each(|login| self.core.logins.begin_change(&login.ticket));
        // The notifier may have ended this login too during the check of the password.
        self.user()?;
        let change = Change::ChangePassword { user, former: account.password_op, password };
        let made = self.core.committer.submit(command, &change);
        let set_by = made.as_ref().ok().and_then(|committed| committed.op);
        if let Some(login) = &mut self.login {
            self.core.logins.end_change(&login.ticket, set_by);
            if made.is_ok() {
                login.token.sessions_since = set_by.unwrap_or(account.sessions_since);
            }
        }
        // The notifier has kept this login. It may have ended meanwhile.
        self.user()?;
        if made.as_ref().is_err_and(|refusal| refusal.code == Code::SessionEnded) {
            // Another password was set a moment before. The client is told that, and has no login.
            self.log_out();
        }
        made?;
        self.logged_in_as(name)
    }

    /// Makes a logged-in user prove the password once more.
    fn prove_own(&self, user: UserRef, name: &UserId, password: Password) -> Result<Account, Refusal> {
        let (limits, ip) = (&self.core.oversight.limits, self.ip());
        limits.take_check(ip)?;
        let attempt = self.core.throttle.attempt_own(user, name, ip, self.answer_by);
        let proved = attempt
            .ok_or(Unproved::Unchecked(Code::SlowDown.into()))
            .and_then(|attempt| self.prove(attempt, name, password, |state| state.account(user).into_iter().collect()));
        proved.map_err(|unproved| unproved.refusal(|| limits.give_back_check(ip)))
    }

    /// The reply to a logged-in user, with a new token.
    fn logged_in_as(&mut self, user: UserId) -> Result<Reply, Refusal> {
        Ok(Reply::LoggedIn { user, token: self.new_token()? })
    }

    /// A new token of the session.
    pub(super) fn new_token(&mut self) -> Result<Blob<TOKEN_LEN_MAX>, Refusal> {
        let login = self.login.as_mut().ok_or(Code::NotLoggedIn)?;
        login.token = login.token.renewed(unix_time_s());
        Ok(self.core.cluster_key.token(&login.token))
    }
}
