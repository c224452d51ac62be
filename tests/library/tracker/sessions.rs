//! Logins: from several clients, repeated, with another password, guessed ones; and the ends of sessions.

use super::{pushed, refused_code};
use crate::common::client::Client;
use crate::common::membership::{all_pieces, announcement};
use crate::common::names::{PASSWORD, command, group, password, user};
use crate::common::tracker::{TestTracker, cheap_passwords};
use crate::common::wait::wait_until;
use groupshare::model::id::{ClientId, CommandId, OpId, Origin, SessionId};
use groupshare::model::op::{Op, OpBody, PasswordHash};
use groupshare::rate::buckets::Pace;
use groupshare::sys::unix_time_s;
use groupshare::tracker::auth::passwords::{Asker, Params, Passwords};
use groupshare::tracker::auth::session_token::TokenClaim;
use groupshare::tracker::ledger::accept::Change;
use groupshare::tracker::presence::TTL;
use groupshare::tracker::state::State;
use groupshare::wire::client_tracker::{Reply, Request, TOKEN_LEN_MAX};
use groupshare::wire::codec::Blob;
use groupshare::wire::frame::UNASKED;
use groupshare::wire::refusal::Code;
use std::time::{Duration, Instant};

#[test]
fn a_user_may_be_logged_in_from_several_clients() {
    let tracker = TestTracker::start();
    let mut clients: Vec<Client> = vec![tracker.user("ann")];
    for _ in 0..3 {
        let mut client = tracker.client();
        client.log_in("ann");
        clients.push(client);
    }
    clients[0].create_group("lab");
    for client in &mut clients {
        pushed(client, |push| matches!(push, Reply::NewKey { .. }).then_some(()));
    }
    let online = |client: &mut Client| match client.ask(Request::ListMembers { group: group("lab"), after: None }) {
        Reply::Members { members, .. } => members[0].online,
        other => panic!("{other:?}"),
    };
    assert_eq!(online(&mut clients[0]), 4);
    clients[3].done(Request::Logout {});
    assert_eq!(online(&mut clients[0]), 3);
}

#[test]
fn login_under_a_name_that_two_took_finds_the_account_that_the_password_opens() {
    let passwords = Passwords::start(cheap_passwords(), 1).expect("started");
    let mut state = State::new();
    for (tracker, text) in [(1, "first"), (2, "second")] {
        let origin = Origin { tracker, incarnation: 1 };
        let hash = passwords.hash(Asker::operator(), password(text)).expect("hashed");
        let body = OpBody::CreateUser { name: user("ann"), password: hash };
        state.apply(&Op { id: OpId { origin, seq: 1 }, lamport: 1, command: command(), body });
    }
    let tracker = TestTracker::start_with(|settings| settings.past = state.into());
    let mut client = tracker.client();
    for (text, name) in [("first", "ann"), ("second", "ann~2")] {
        let login = Request::Login { client: client.id, user: user("ann"), password: password(text) };
        assert!(matches!(client.ask(login), Reply::LoggedIn { user: told, .. } if told == user(name)));
        client.done(Request::Logout {});
    }
    let login = Request::Login { client: client.id, user: user("ann"), password: password("third") };
    assert_eq!(client.refused(login), Code::BadLogin);
    let login = Request::Login { client: client.id, user: user("ann~2"), password: password("second") };
    assert!(matches!(client.ask(login), Reply::LoggedIn { .. }));
}

#[test]
fn an_account_that_comes_from_its_tracker_while_its_password_is_checked_is_found() {
    let slow = Params::new(64 * 1024, 2, 1, None).expect("valid");
    let tracker = TestTracker::start_with(|settings| settings.password_params = slow);
    let hash = Passwords::start(cheap_passwords(), 1)
        .expect("started")
        .hash(Asker::operator(), password(PASSWORD))
        .expect("hashed");
    let id = OpId { origin: Origin { tracker: 2, incarnation: 9 }, seq: 1 };
    let body = OpBody::CreateUser { name: user("ann"), password: hash };
    let mut client = tracker.client();
    let login = begin_to_log_in(&mut client, "ann");
    tracker.server.core().committer.receive(vec![Op { id, lamport: 1, command: command(), body }]).expect("taken");
    assert!(matches!(client.reply(login), Reply::LoggedIn { .. }));
}

/// Sends a login with a slow password check, and returns during the check.
fn begin_to_log_in(client: &mut Client, name: &str) -> u32 {
    begin(client, &client.login_request(name))
}

/// Sends a request with a slow password check, and returns during the check.
pub(super) fn begin(client: &mut Client, request: &Request) -> u32 {
    let core_time = || rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let before = Duration::try_from(core_time()).expect("positive");
    let sent = client.send(request);
    wait_until("the check has begun", || {
        Duration::try_from(core_time()).expect("positive") > before + Duration::from_millis(30)
    });
    sent
}

#[test]
fn a_password_that_is_changed_while_it_is_checked_logs_nobody_in() {
    let slow = Params::new(64 * 1024, 2, 1, None).expect("valid");
    let tracker = TestTracker::start_with(|settings| settings.password_params = slow);
    let mut client = tracker.client();
    client.create_user("ann");
    let login = begin_to_log_in(&mut client, "ann");
    let core = tracker.server.core();
    let ann = core.state().user_named(&user("ann")).expect("there");
    let (former, password) = (ann.0, PasswordHash("another".into()));
    let change = Change::ChangePassword { user: ann, former, password };
    core.committer.submit(command(), &change).expect("changed");
    assert_eq!(refused_code(&client.reply(login)), Some(Code::SessionEnded));
    assert!(core.logins.channels(ann).is_empty());
    assert_eq!(core.presence.local_client_count(), 0);
}

#[test]
fn guessing_passwords_is_slowed_down_and_the_right_one_is_not() {
    let pace = |burst| Pace { burst, interval: Duration::from_secs(3600) };
    let tracker = TestTracker::start_with(|settings| {
        settings.paces.user_at_place = pace(3);
        settings.paces.address = pace(5);
    });
    let mut client = tracker.client();
    ["ann", "bob", "cat"].iter().for_each(|name| client.create_user(name));
    for _ in 0..10 {
        client.log_in("ann");
        client.done(Request::Logout {});
    }
    let guess = |client: &mut Client, name| {
        client.refused(Request::Login { client: ClientId([1; 16]), user: user(name), password: password("guess") })
    };
    for _ in 0..3 {
        assert_eq!(guess(&mut client, "ann"), Code::BadLogin);
    }
    assert_eq!(guess(&mut client, "ann"), Code::SlowDown);
    assert_eq!(client.refused(client.login_request("ann")), Code::SlowDown);
    client.log_in("bob");
    client.done(Request::Logout {});
    assert_eq!(guess(&mut client, "nobody"), Code::BadLogin);
    assert_eq!(guess(&mut client, "nobody"), Code::BadLogin);
    assert_eq!(guess(&mut client, "nobody"), Code::SlowDown, "the address has had its five");
    assert_eq!(client.refused(client.login_request("cat")), Code::SlowDown);
    client.log_in("bob");
}

#[test]
fn a_client_told_to_slow_down_again_and_again_is_heard_later() {
    let tracker = TestTracker::start_with(|settings| {
        settings.paces.user_at_place = Pace { burst: 0, interval: Duration::from_secs(3600) };
    });
    let mut client = tracker.client();
    let begun = Instant::now();
    for _ in 0..36 {
        assert_eq!(client.refused(client.login_request("ann")), Code::SlowDown);
    }
    // Thirty-two are free, and the others wait for one another. Nobody waits after the last one yet.
    assert!(begun.elapsed() >= 3 * Duration::from_millis(250));
    client.done(Request::Heartbeat {});
}

#[test]
fn a_logged_in_user_changes_the_password_however_often_strangers_guess() {
    let never = Pace { burst: 3, interval: Duration::from_secs(3600) };
    let tracker = TestTracker::start_with(|settings| {
        settings.paces.user = never;
        settings.paces.user_at_place = never;
        settings.paces.address = never;
    });
    let (mut ann, mut stranger) = (tracker.user("ann"), tracker.client());
    for name in ["ann", "ann", "ann", "bob"] {
        let guess = Request::Login { client: stranger.id, user: user(name), password: password("guess") };
        stranger.refused(guess);
    }
    assert_eq!(stranger.refused(stranger.login_request("ann")), Code::SlowDown);
    let change =
        |old: &str| Request::ChangePassword { command: command(), old: password(old), new: password(PASSWORD) };
    for guess in ["a", "b"] {
        assert_eq!(ann.refused(change(guess)), Code::BadLogin);
    }
    assert!(matches!(ann.ask(change(PASSWORD)), Reply::LoggedIn { .. }));
    // Her session has a separate number of tries, too.
    for guess in ["a", "b", "c"] {
        assert_eq!(ann.refused(change(guess)), Code::BadLogin);
    }
    assert_eq!(ann.refused(change(PASSWORD)), Code::SlowDown);
}

#[test]
fn a_password_that_is_changed_ends_all_other_sessions() {
    let tracker = TestTracker::start();
    let (mut here, mut there) = (tracker.user("ann"), tracker.client());
    let token = there.log_in("ann");
    let change = Request::ChangePassword { command: command(), old: password(PASSWORD), new: password("new") };
    let Reply::LoggedIn { user: name, token: new_token } = here.ask(change) else { panic!("changed") };
    assert_eq!(name, user("ann"));
    assert_eq!(there.pushed(), Reply::SessionOver {});
    assert!(matches!(there.refused(Request::ListGroups { after: None }), Code::SessionEnded | Code::NotLoggedIn));
    assert_eq!(there.refused(Request::ListGroups { after: None }), Code::NotLoggedIn);
    here.create_group("still_here");
    assert_eq!(refused_code(&there.resume(&token)), Some(Code::SessionEnded));
    assert_eq!(there.refused(there.login_request("ann")), Code::BadLogin);
    assert!(matches!(there.resume(&new_token), Reply::LoggedIn { .. }));
    assert!(here.all_pushed().iter().all(|push| *push != Reply::SessionOver {}));
}

#[test]
fn a_client_that_comes_back_takes_the_place_of_its_old_connection() {
    let tracker = TestTracker::start();
    let mut old = tracker.user("ann");
    old.create_group("lab");
    let share = old.offer("lab", "a.bin", 3, 1).share;
    old.announce(7);
    old.hold(share, all_pieces());
    let token =
        match old.ask(Request::ChangePassword { command: command(), old: password(PASSWORD), new: password(PASSWORD) })
        {
            Reply::LoggedIn { token, .. } => token,
            other => panic!("{other:?}"),
        };
    let mut new = tracker.client();
    new.id = old.id;
    assert!(matches!(new.resume(&token), Reply::LoggedIn { user: name, .. } if name == user("ann")));
    old.until_end();
    // The old connection has ended, whatever its thread still does. The new one stays.
    new.done(Request::Heartbeat {});
    let mut other = tracker.client();
    other.log_in("ann");
    assert_eq!(other.peers(share).len(), 1);
    assert_eq!(tracker.server.core().presence.local_client_count(), 2);
}

#[test]
fn a_client_that_was_given_up_is_cut_off_and_comes_back_anew() {
    let tracker = TestTracker::start();
    let (mut ann, mut bob) = (tracker.user("ann"), tracker.user("bob"));
    ann.create_group("lab");
    ann.done(Request::Logout {});
    let token = ann.log_in("ann");
    let core = tracker.server.core();
    assert_eq!(core.presence.sweep(Instant::now() + TTL).len(), 2);
    for client in [&mut ann, &mut bob] {
        client.send(&Request::Heartbeat {});
        assert!(client.until_end().iter().all(|(id, _)| *id == UNASKED), "no answer");
    }
    let mut again = tracker.client();
    again.id = ann.id;
    assert!(matches!(again.resume(&token), Reply::LoggedIn { .. }));
    again.done(Request::Heartbeat {});
    assert_eq!(core.presence.local_client_count(), 1);
}

/// The token beside a certificate.
fn announced_token(client: &mut Client) -> Blob<TOKEN_LEN_MAX> {
    match client.ask(announcement(18_000)) {
        Reply::Announced { token, .. } => token,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_token_of_a_session_lets_anybody_in_after_the_logout() {
    let tracker = TestTracker::start();
    let (mut ann, mut thief) = (tracker.user("ann"), tracker.client());
    ann.done(Request::Logout {});
    let first = ann.log_in("ann");
    let mut other = tracker.client();
    let of_other = other.log_in("ann");
    let announced = announced_token(&mut ann);
    assert!(matches!(thief.resume(&first), Reply::LoggedIn { .. }), "whoever has a token is in");
    ann.done(Request::Logout {});
    assert_eq!(thief.pushed(), Reply::SessionOver {});
    for token in [&first, &announced] {
        assert_eq!(refused_code(&tracker.client().resume(token)), Some(Code::SessionEnded));
    }
    assert!(matches!(tracker.client().resume(&of_other), Reply::LoggedIn { .. }), "other sessions go on");
    other.create_group("hers");
}

/// The token names the session. Its holder makes changes under any command id.
#[test]
fn a_thief_of_the_token_cannot_make_the_logout_a_change_already_made() {
    let tracker = TestTracker::start();
    let (mut bob, mut ann, mut thief) = (tracker.user("bob"), tracker.user("ann"), tracker.client());
    bob.create_group("den");
    ann.done(Request::Logout {});
    let token = ann.log_in("ann");
    assert!(matches!(thief.resume(&token), Reply::LoggedIn { .. }));
    let claim = tracker.server.core().cluster_key.open_token(token.as_bytes()).expect("made here");
    thief.done(Request::JoinGroup { command: CommandId(claim.session.0), group: group("den") });
    ann.done(Request::Logout {});
    assert_eq!(thief.pushed(), Reply::SessionOver {});
    assert_eq!(refused_code(&tracker.client().resume(&token)), Some(Code::SessionEnded));
}

#[test]
fn a_token_is_good_for_a_day_after_it_was_made() {
    let tracker = TestTracker::start();
    tracker.client().create_user("ann");
    let core = tracker.server.core();
    let ann = core.state().user_named(&user("ann")).expect("there");
    let (now_s, day) = (unix_time_s(), 24 * 3600);
    let resumed = |made_s| {
        let claim = TokenClaim { user: ann, sessions_since: ann.0, session: SessionId([3; 16]), made_s };
        tracker.client().resume(&core.cluster_key.token(&claim))
    };
    assert!(matches!(resumed(now_s - day + 600), Reply::LoggedIn { .. }));
    assert_eq!(refused_code(&resumed(now_s - day - 1)), Some(Code::SessionEnded));
    assert_eq!(refused_code(&resumed(now_s + day + 600)), Some(Code::SessionEnded));
}

#[test]
fn an_announcement_gives_a_new_token_of_the_same_session() {
    let tracker = TestTracker::start();
    tracker.client().create_user("ann");
    let core = tracker.server.core();
    let ann = core.state().user_named(&user("ann")).expect("there");
    let made_s = unix_time_s() - 12 * 3600;
    let claim = TokenClaim { user: ann, sessions_since: ann.0, session: SessionId([3; 16]), made_s };
    let mut client = tracker.client();
    assert!(matches!(client.resume(&core.cluster_key.token(&claim)), Reply::LoggedIn { .. }));
    let token = announced_token(&mut client);
    let renewed = core.cluster_key.open_token(token.as_bytes()).expect("made here");
    assert!(renewed.session == claim.session && renewed.made_s >= made_s + 12 * 3600);
    assert!(matches!(tracker.client().resume(&token), Reply::LoggedIn { .. }));
}
