//! Users behind one address who use the trackers as people do, only faster. None of them ever meets a limit.

use super::people::rest;
use crate::common::client::Client;
use crate::common::installation::Installation;
use crate::common::manifest::manifest;
use crate::common::names::{PASSWORD, command, file, group, password, user};
use groupshare::client::picker::split_mix::SplitMix;
use groupshare::model::op::group_access::GroupAccess;
use groupshare::wire::client_tracker::{Reply, Request, TOKEN_LEN_MAX};
use groupshare::wire::codec::Blob;
use groupshare::wire::frame::UNASKED;
use groupshare::wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The number of these users.
pub(crate) const COUNT: usize = 100;
/// The longest pause between two actions of a user.
const PAUSE_MAX: Duration = Duration::from_millis(1_500);
/// Groups of each user, and files that the user shares in each.
const OWN: (usize, usize) = (3, 8);

/// How many of the others each user knows.
const NEIGHBOURS: usize = 10;

/// One of these users.
pub(crate) struct Honest<'a> {
    installation: &'a Installation,
    number: usize,
    token: Option<Blob<TOKEN_LEN_MAX>>,
    /// The tracker to try next, from 0 on.
    turn: usize,
    made: usize,
    dice: SplitMix,
    /// How many requests were answered.
    pub answered: u64,
    /// Actions, and how often each was done.
    pub done: BTreeMap<&'static str, u64>,
}

/// The connection was lost.
struct Gone;

/// Whether a limit is the reason for a refusal.
fn is_by_limit(refusal: &Refusal) -> bool {
    match refusal.code {
        Code::QuotaReached | Code::InstallationFull | Code::AccountsClosed => true,
        Code::SlowDown => refusal.about.contains(" an hour"),
        _ => false,
    }
}

impl<'a> Honest<'a> {
    /// A new user.
    pub(crate) fn arrive(installation: &'a Installation, number: usize, dice: SplitMix) -> Self {
        let mut client = installation.connect(number % installation.addrs.len() + 1).expect("it listens");
        client.create_user(&name(number));
        Self { installation, number, token: None, turn: number, made: 0, dice, answered: 0, done: BTreeMap::new() }
    }

    /// Acts at one tracker after the other until it is time to stop.
    pub(crate) fn work(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            if let Ok(mut client) = self.installation.connect(self.turn % self.installation.addrs.len() + 1) {
                // This fails if the tracker is gone.
                let _ = self.stay(&mut client, stop);
            }
            self.turn += 1;
            rest(&mut self.dice, PAUSE_MAX / 4, stop);
        }
    }

    fn stay(&mut self, client: &mut Client, stop: &AtomicBool) -> Result<(), Gone> {
        if !self.come(client)? {
            return Ok(());
        }
        while !stop.load(Ordering::SeqCst) {
            self.do_something(client)?;
            rest(&mut self.dice, PAUSE_MAX, stop);
        }
        Ok(())
    }

    /// Logs in, with the earlier session if there is one. False if the tracker does not know that session yet.
    fn come(&mut self, client: &mut Client) -> Result<bool, Gone> {
        let name = user(&name(self.number));
        let request = match &self.token {
            Some(token) => Request::Resume { client: client.id, token: token.clone() },
            None => Request::Login { client: client.id, user: name, password: password(PASSWORD) },
        };
        match self.ask(client, &request)? {
            Reply::LoggedIn { token, .. } => {
                self.token = Some(token);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn do_something(&mut self, client: &mut Client) -> Result<(), Gone> {
        let own = format!("{}g{}", name(self.number), self.dice.below(OWN.0));
        let other = format!("{}g{}", name(self.dice.below(COUNT)), self.dice.below(OWN.0));
        let film = format!("film{}", self.dice.below(OWN.1));
        match self.dice.below(13) {
            0 | 1 => self.ask(client, &Request::CreateGroup { command: command(), group: group(&own) })?,
            2 | 3 => self.ask(client, &Request::JoinGroup { command: command(), group: group(&other) })?,
            4 | 5 => return self.let_in(client, &own),
            6 | 7 => return self.share(client, &own, &film),
            8..=10 => return self.lead(client, &own),
            11 => {
                let stop = Request::StopShare { command: command(), group: group(&own), name: file(&film) };
                self.ask(client, &stop)?
            }
            _ => {
                if self.dice.below(4) == 0 {
                    // The next login uses the password.
                    self.token = None;
                    self.ask(client, &Request::Logout {})?;
                    self.come(client)?;
                    return Ok(());
                }
                self.ask(client, &Request::LeaveGroup { command: command(), group: group(&other) })?
            }
        };
        Ok(())
    }

    /// Acts as an owner. It concerns only a few close neighbours, so that no user is added by all.
    fn lead(&mut self, client: &mut Client, own: &str) -> Result<(), Gone> {
        let neighbour = name((self.number + 1 + self.dice.below(NEIGHBOURS)) % COUNT);
        let (command, group, user) = (command(), group(own), user(&neighbour));
        let access = [GroupAccess::Ask, GroupAccess::Open, GroupAccess::Closed][self.dice.below(3)];
        let request = match self.dice.below(7) {
            0 | 1 => Request::AddMember { command, group, user },
            2 | 3 => Request::MakeOwner { command, group, user },
            4 => Request::DropOwner { command, group, user },
            5 => Request::SetGroup { command, group, access },
            _ => Request::SetAdding { command, allowed: self.dice.below(4) > 0 },
        };
        self.ask(client, &request)?;
        Ok(())
    }

    /// Accepts every request to join.
    fn let_in(&mut self, client: &mut Client, own: &str) -> Result<(), Gone> {
        let asking = self.ask(client, &Request::ListRequests { group: group(own), after: None })?;
        if let Reply::Users { users, .. } = asking {
            for who in users.into_vec() {
                let accept = Request::AcceptRequest { command: command(), group: group(own), user: who };
                self.ask(client, &accept)?;
            }
        }
        Ok(())
    }

    /// Shares a version of a file.
    fn share(&mut self, client: &mut Client, own: &str, film: &str) -> Result<(), Gone> {
        self.made += 1;
        let (bytes, content) = manifest(film, 1 + self.number as u32, self.made as u8);
        let (info_hash, total) = (content.info_hash, bytes.len() as u32);
        let part = Blob::new(bytes).expect("short");
        self.ask(client, &Request::PutManifest { group: group(own), info_hash, total, offset: 0, part })?;
        self.ask(client, &Request::ShareFile { command: command(), group: group(own), name: file(film), content })?;
        Ok(())
    }

    /// Accepts every answer except a refusal by a limit.
    fn ask(&mut self, client: &mut Client, request: &Request) -> Result<Reply, Gone> {
        const ID: u32 = 1;
        client.sender.send(ID, request).map_err(|_| Gone)?;
        loop {
            match client.next() {
                Ok((UNASKED, _)) => {}
                Ok((_, Reply::Refused { code, about })) => {
                    let refusal = Refusal::received(code, &about);
                    assert!(!is_by_limit(&refusal), "{} was refused: {refusal}", name(self.number));
                    self.answered += 1;
                    return Ok(Reply::Refused { code, about });
                }
                Ok((_, reply)) => {
                    self.answered += 1;
                    if let Some(what) = what(request) {
                        *self.done.entry(what).or_default() += 1;
                    }
                    return Ok(reply);
                }
                Err(_) => return Err(Gone),
            }
        }
    }
}

/// The limited action of a request, if it has one.
fn what(request: &Request) -> Option<&'static str> {
    match request {
        Request::CreateGroup { .. } => Some("groups made"),
        Request::JoinGroup { .. } => Some("asked for"),
        Request::AcceptRequest { .. } => Some("members let in"),
        Request::AddMember { .. } => Some("members added"),
        Request::MakeOwner { .. } => Some("owners made"),
        Request::DropOwner { .. } => Some("owners dropped"),
        Request::ShareFile { .. } => Some("files shared"),
        Request::Login { .. } => Some("logins"),
        _ => None,
    }
}

fn name(number: usize) -> String {
    format!("honest{number}")
}
