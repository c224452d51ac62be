//! Answers to clients that name something that the base state has forgotten.

use super::refused_code;
use crate::common::manifest::manifest;
use crate::common::membership::all_pieces;
use crate::common::names::{command, file, group, user};
use crate::common::tracker::{TestTracker, cluster};
use crate::common::wait::wait_until;
use groupshare::model::id::{CommandId, OpId, Origin, ShareRef, UserRef};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::sys::unix_time_s;
use groupshare::tracker::auth::session_token::TokenClaim;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::refusal::Code;

#[test]
fn a_share_that_the_base_has_forgotten_is_told_from_one_that_is_yet_to_be_heard_of() {
    let tracker = TestTracker::start();
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| tracker.user(name));
    alice.create_group("lab");
    bob.join("lab");
    alice.accept("lab", "bob");
    let (bytes, content) = manifest("film.mkv", 3, 1);
    alice.put_manifest("lab", &bytes, &content);
    let share = alice.share("lab", "film.mkv", &content).share;
    bob.announce(4000);
    bob.hold(share, all_pieces());
    alice.done(Request::StopShare { command: command(), group: group("lab"), name: file("film.mkv") });
    tracker.reach_floor();
    let about = |share| {
        [
            Request::FindPeers { share },
            Request::GetManifest { share, offset: 0 },
            Request::Hold { share, holding: all_pieces() },
        ]
    };
    for request in about(share) {
        assert!(!matches!(bob.ask(request), Reply::Refused { .. }), "members go on exchanging what they have");
    }
    alice.create_group("class");
    tracker.reach_floor();
    for request in about(share) {
        assert_eq!(refused_code(&bob.ask(request)), Some(Code::Forgotten));
    }
    let core = tracker.server.core();
    wait_until("nobody is listed as its holder", || core.presence.holder_counts(&[share], |_, _| false) == [0]);
    let unheard = ShareRef(OpId { seq: share.0.seq + 1_000_000, ..share.0 });
    for request in about(unheard) {
        assert_eq!(refused_code(&bob.ask(request)), Some(Code::NoSuchFile));
    }
}

#[test]
fn a_token_that_names_a_forgotten_alias_of_an_account_asks_for_the_login_again() {
    let tracker = TestTracker::start();
    // The same command at two trackers without contact: the account is one, under two ids.
    let create = |tracker: u16, command| {
        let id = OpId { origin: Origin { tracker, incarnation: 1 }, seq: 1 };
        let body = OpBody::CreateUser { name: user("ann"), password: PasswordHash("p".into()) };
        Op { id, lamport: 1, command, body }
    };
    let repeated = CommandId([7; 16]);
    let committer = &tracker.server.core().committer;
    let [first, second] = [2, 3].map(|number| create(number, repeated));
    committer.receive(vec![first.clone(), second.clone()]).expect("taken");
    let resume = |op: OpId| {
        let claim = TokenClaim::begin(UserRef(op), op, unix_time_s()).expect("random bytes");
        tracker.client().resume(&cluster().token(&claim))
    };
    assert!(matches!(resume(second.id), Reply::LoggedIn { .. }), "an alias is as good as the account");
    tracker.reach_floor();
    tracker.user("eve");
    tracker.reach_floor();
    assert_eq!(refused_code(&resume(second.id)), Some(Code::SessionEnded));
    assert!(matches!(resume(first.id), Reply::LoggedIn { .. }));
    let unheard = OpId { origin: Origin { tracker: 4, incarnation: 1 }, seq: 1 };
    assert_eq!(refused_code(&resume(unheard)), Some(Code::NotHeardYet));
}
