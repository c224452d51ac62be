//! A user that makes groups and leaves some of them again, as fast as a tracker answers. It remembers every answer.

use super::client::Client;
use super::installation::Installation;
use super::names::{command, group};
use groupshare::model::name::GroupId;
use groupshare::wire::client_tracker::{Reply, Request, TOKEN_LEN_MAX};
use groupshare::wire::codec::Blob;
use groupshare::wire::frame::UNASKED;
use groupshare::wire::refusal::Refusal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most groups that the user has, as far as it knows. A user may own more.
const OWNED_MAX: usize = 64;

/// What is known of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    There,
    Gone,
    /// The request was sent, and its answer is unknown.
    Asked,
}

pub(crate) struct GroupMaker {
    name: String,
    token: Blob<TOKEN_LEN_MAX>,
    groups: BTreeMap<String, Known>,
    made: u64,
    /// The request without an answer, to be sent again.
    open: Option<Request>,
    /// Whether a tracker may not yet know what another one has answered.
    roams: bool,
}

fn group_of(request: &Request) -> &GroupId {
    match request {
        Request::CreateGroup { group, .. } | Request::LeaveGroup { group, .. } => group,
        other => panic!("not one of ours: {other:?}"),
    }
}

impl GroupMaker {
    /// A new user, made on this connection.
    pub(crate) fn new(client: &mut Client, name: &str, roams: bool) -> Self {
        client.create_user(name);
        let token = client.log_in(name);
        Self { name: name.to_owned(), token, groups: BTreeMap::new(), made: 0, open: None, roams }
    }

    /// Resumes the session on another connection. False if the tracker is gone or does not know the session.
    pub(crate) fn resume(&self, client: &mut Client) -> bool {
        const ID: u32 = 1;
        let request = Request::Resume { client: client.id, token: self.token.clone() };
        if client.sender.send(ID, &request).is_err() {
            return false;
        }
        loop {
            match client.next() {
                Ok((UNASKED, _)) => {}
                Ok((ID, Reply::LoggedIn { .. })) => return true,
                Ok(_) | Err(_) => return false,
            }
        }
    }

    fn next_request(&mut self) -> Request {
        let there = self.groups.values().filter(|known| **known == Known::There).count();
        let leave = self.made % 3 == 2 || there >= OWNED_MAX;
        self.made += 1;
        if leave {
            let last = self.groups.iter().rev().find(|(_, known)| **known == Known::There);
            if let Some((name, _)) = last {
                return Request::LeaveGroup { command: command(), group: group(name) };
            }
        }
        Request::CreateGroup { command: command(), group: group(&format!("{}-{:06}", self.name, self.made)) }
    }

    /// Sends requests until the tracker is gone, or until `go_on` returns false after an answer.
    pub(crate) fn run(&mut self, client: &mut Client, mut go_on: impl FnMut() -> bool) {
        for number in 1000.. {
            let again = self.open.is_some();
            let request = self.open.take().unwrap_or_else(|| self.next_request());
            let name = group_of(&request).as_str().to_owned();
            self.open = Some(request.clone());
            if !again {
                self.groups.insert(name.clone(), Known::Asked);
            }
            if client.sender.send(number, &request).is_err() {
                return;
            }
            let known = loop {
                match client.next() {
                    Ok((UNASKED, _)) => {}
                    Ok((id, Reply::Done {})) if id == number => {
                        let creates = matches!(request, Request::CreateGroup { .. });
                        break if creates { Known::There } else { Known::Gone };
                    }
                    // The request is sent again elsewhere, or later.
                    Ok((_, Reply::Refused { code, about }))
                        if self.roams && Refusal::received(code, &about).code.is_passing() =>
                    {
                        return;
                    }
                    // The group may have been made at another tracker a moment ago, and be left there already.
                    Ok((_, Reply::Refused { .. })) if self.roams && matches!(request, Request::LeaveGroup { .. }) => {
                        break Known::Asked;
                    }
                    Ok((_, other)) => panic!("{request:?} was answered by {other:?}"),
                    Err(_) => return,
                }
            };
            self.open = None;
            self.groups.insert(name, known);
            if !go_on() {
                return;
            }
        }
    }

    /// Works at one tracker after the other until it is time to stop. It stays at each as long as `stay` says after an
    /// answer.
    pub(crate) fn roam(
        &mut self,
        installation: &Installation,
        first: usize,
        mut stay: impl FnMut() -> bool,
        stop: &AtomicBool,
    ) {
        let count = installation.addrs.len();
        for turn in first.. {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            // A stopped tracker refuses the connection. One that was away may not know the session yet.
            let Ok(mut client) = installation.connect(turn % count + 1) else { continue };
            if self.resume(&mut client) {
                self.run(&mut client, || stay() && !stop.load(Ordering::SeqCst));
            }
        }
    }

    /// Compares with the list of all groups: no acknowledged group is missing, and no group was made twice.
    pub(crate) fn verify(&self, there: &[String]) {
        for (name, known) in &self.groups {
            let found = there.binary_search(name).is_ok();
            match known {
                Known::There => assert!(found, "{name} was acknowledged and is missing"),
                Known::Gone => assert!(!found, "{name} was left and is there again"),
                Known::Asked => {}
            }
        }
        let unknown = there.iter().find(|name| name.starts_with(&self.name) && !self.groups.contains_key(*name));
        assert_eq!(unknown, None, "nobody made this");
    }
}

/// The names of all groups in a user's list.
pub(crate) fn all_groups(client: &mut Client) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let after = all.last().map(|name| group(name));
        match client.ask(Request::ListGroups { after }) {
            Reply::Groups { groups, more } => {
                all.extend(groups.iter().map(|line| line.name.as_str().to_owned()));
                if !more {
                    return all;
                }
            }
            other => panic!("no groups but {other:?}"),
        }
    }
}
