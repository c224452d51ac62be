//! Lists that a client requests page by page, up to the end.

use super::town::{Town, logged_in};
use super::{Input, Work, timed_in_all};
use crate::common::client::Client;
use crate::common::names::{file, group, user};
use groupshare::model::id::{GroupRef, UserRef};
use groupshare::model::name::pattern::NamePattern;
use groupshare::wire::client_tracker::{Reply, Request, SearchPlace};

/// More than one page holds, so each list has several pages.
const SIZES: (usize, usize) = (1 << 11, 1 << 15);

pub(super) const INPUTS: &[Input] = &[
    Input::new("groups in a list", SIZES, |count| {
        let mut town = Town::default();
        let bob = town.user("bob");
        town.person("alice");
        for n in 0..count {
            town.group(&format!("g{n:06}"), bob);
        }
        walk(&town, |client, after| {
            let after = after.map(|name| group(&name));
            match client.ask(Request::ListGroups { after }) {
                Reply::Groups { groups, more } => (groups.iter().last().map(|line| line.name.to_string()), more),
                other => panic!("{other:?}"),
            }
        })
    }),
    Input::new("keys of a user", SIZES, |count| {
        let mut town = Town::default();
        let alice = town.person("alice");
        for n in 0..count {
            town.group(&format!("g{n:06}"), alice);
        }
        walk(&town, |client, after| {
            let after = after.map(|name| group(&name));
            match client.ask(Request::ListKeys { after }) {
                Reply::Keys { keys, more } => (keys.iter().last().map(|key| key.name.to_string()), more),
                other => panic!("{other:?}"),
            }
        })
    }),
    Input::new("members in a list", SIZES, |count| {
        let (mut town, lab, alice) = of_alice();
        town.users(count).into_iter().for_each(|user| town.let_in(lab, user, alice));
        walk(&town, |client, after| {
            let after = after.map(|name| user(&name));
            match client.ask(Request::ListMembers { group: group("lab"), after }) {
                Reply::Members { members, more } => (members.iter().last().map(|line| line.name.to_string()), more),
                other => panic!("{other:?}"),
            }
        })
    }),
    Input::new("requests in a list", SIZES, |count| {
        let (mut town, lab, _) = of_alice();
        town.users(count).into_iter().for_each(|user| town.ask(lab, user));
        walk(&town, |client, after| {
            let after = after.map(|name| user(&name));
            match client.ask(Request::ListRequests { group: group("lab"), after }) {
                Reply::Users { users, more } => (users.iter().last().map(ToString::to_string), more),
                other => panic!("{other:?}"),
            }
        })
    }),
    Input::new("files in a list", SIZES, |count| {
        let (mut town, lab, alice) = of_alice();
        for n in 0..count {
            town.share(lab, alice, n, 1);
        }
        walk(&town, |client, after| {
            let after = after.map(|name| file(&name));
            match client.ask(Request::ListFiles { group: group("lab"), after }) {
                Reply::Files { files, more } => (files.iter().last().map(|line| line.name.to_string()), more),
                other => panic!("{other:?}"),
            }
        })
    }),
    Input::new("files in a search", SIZES, |count| {
        let (mut town, lab, alice) = of_alice();
        for n in 0..count {
            town.share(lab, alice, n, 1);
        }
        walk(&town, |client, after| {
            let after = after.and_then(|place| SearchPlace::parse(&place));
            let pattern = NamePattern::new("*77").expect("a pattern");
            match client.ask(Request::FindFiles { group: None, pattern, after }) {
                Reply::Found { next, .. } => (next.as_ref().map(SearchPlace::to_string), next.is_some()),
                other => panic!("{other:?}"),
            }
        })
    }),
];

/// A group of a user who can log in.
fn of_alice() -> (Town, GroupRef, UserRef) {
    let mut town = Town::default();
    let alice = town.person("alice");
    let lab = town.group("lab", alice);
    (town, lab, alice)
}

/// Requests every page. `page` returns the last name of a page, and whether another page follows.
fn walk(town: &Town, page: fn(&mut Client, Option<String>) -> (Option<String>, bool)) -> Work {
    let tracker = town.tracker();
    let mut client = logged_in(&tracker, "alice");
    Box::new(move || {
        timed_in_all(|| {
            let mut after = None;
            while let (last, true) = page(&mut client, after.take()) {
                after = last;
            }
            &tracker
        })
    })
}
