//! What others can put on a user's screen: an owner gets requests of many accounts, again and again.

use super::gang::Link;
use super::town::{Town, account};
use crate::common::names::{command, group};
use crate::scale;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::Code;
use std::net::Ipv4Addr;
use std::time::Instant;

/// How often each account asks, if the tracker lets it.
const ROUNDS: usize = 30;
/// How often an account may ask one group without a pause. The later number depends on the time of the test.
const AT_ONCE: usize = 5;
/// How many users have asked before.
const BEFORE: usize = 4;

/// Asks to join a group and withdraws that, again and again. Returns how many requests the tracker accepted.
fn asks_again_and_again(link: &mut Link) -> usize {
    let mut asked = 0;
    for _ in 0..ROUNDS {
        match link.ask(&Request::JoinGroup { command: command(), group: group("lab") }) {
            Some(Reply::Done {}) => asked += 1,
            Some(Reply::Refused { code, .. }) => assert_eq!(code, Code::SlowDown as u16),
            other => panic!("{other:?}"),
        }
        // Refused if there is no request.
        link.ask(&Request::LeaveGroup { command: command(), group: group("lab") });
    }
    asked
}

#[test]
fn an_owner_sees_a_few_lines_of_thousands_of_requests_and_is_answered_all_the_while() {
    let (begun, mut town) = (Instant::now(), Town::new());
    let accounts = scale::of(4, 100);
    let mut asked = 0;
    for number in 0..accounts {
        let mut eve = account(&town.target, &format!("eve{number}"), Ipv4Addr::new(127, 1, 3, 1));
        asked += asks_again_and_again(&mut eve);
        town.alice.say("list_members lab");
        town.alice.hears(&["alice  online"]);
    }
    assert!((AT_ONCE * accounts..=(AT_ONCE + 2) * accounts).contains(&asked), "{asked}");
    let mut dora = account(&town.target, "dora", Ipv4Addr::new(127, 1, 3, 2));
    let join = Request::JoinGroup { command: command(), group: group("lab") };
    assert_eq!(dora.ask(&join), Some(Reply::Done {}));
    town.accept("dora");
    town.alice.say("quit");
    town.alice.hears(&["more ask to join lab"]);
    let lines: Vec<&String> = town.alice.heard.iter().filter(|line| line.contains(" join lab")).collect();
    // Five, one in 30 s, and the last.
    assert!(lines.len() as u64 <= 7 + begun.elapsed().as_secs() / 30, "{lines:#?}");
    let count = |line: &String| line.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(1);
    assert_eq!(lines.into_iter().map(count).sum::<usize>(), BEFORE + asked + 1);
}
