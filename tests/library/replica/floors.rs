//! Trackers that lack the floor of the others. They take its base, restart on it, and go on from there.

use crate::common::client::Client;
use crate::common::kept_tracker::{KeptSetup, KeptTracker};
use crate::common::manifest::manifest;
use crate::common::names::{PASSWORD, command, group, password, user};
use crate::common::relay::Relay;
use crate::common::wait::wait_until;
use groupshare::model::notice::{ChangeKind, Notice, UnplacedChange};
use groupshare::model::op::floor::FloorMark;
use groupshare::tracker::backup::restore::restore;
use groupshare::tracker::backup::stream::BackupReader;
use groupshare::tracker::cluster::other_tracker::LinkStatus;
use groupshare::tracker::server::Server;
use groupshare::wire::client_tracker::{Reply, Request};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Puts a floor under all changes of a tracker, as the keeper does once all trackers have agreed.
pub(super) fn put_floor(tracker: &KeptTracker) -> FloorMark {
    tracker.look(|server| {
        let core = server.core();
        let pinned = core.committer.pin(core.state().lamport()).expect("its disk works").expect("all is durable");
        assert!(core.committer.establish(&pinned, &*core.bases).expect("its disk works"));
        core.cluster.wake();
        core.committer.standing().floor.mark
    })
}

pub(super) fn floor(tracker: &KeptTracker) -> FloorMark {
    tracker.look(|server| server.core().committer.standing().floor.mark)
}

pub(super) fn tracker(number: u16, others: &[(u16, SocketAddr)]) -> KeptTracker {
    KeptTracker::start(KeptSetup::new(number, others))
}

pub(super) fn client(tracker: &KeptTracker, name: &str) -> Client {
    let mut client = Client::connect(tracker.addr);
    client.create_user(name);
    client.log_in(name);
    client
}

fn knows(tracker: &KeptTracker, name: &str) -> bool {
    tracker.state().user_named(&user(name)).is_some()
}

pub(super) fn agree(trackers: &[&KeptTracker]) {
    wait_until("equal states on equal floors", || {
        let all: Vec<_> = trackers.iter().map(|tracker| (floor(tracker), tracker.state().digest())).collect();
        all.windows(2).all(|pair| pair[0] == pair[1])
    });
}

#[test]
fn an_empty_tracker_that_is_added_takes_the_base_and_what_lies_above_it() {
    let one = tracker(1, &[]);
    let mut alice = client(&one, "alice");
    alice.create_group("lab");
    let (bytes, content) = manifest("film.mkv", 40_000, 1);
    alice.put_manifest("lab", &bytes, &content);
    let share = alice.share("lab", "film.mkv", &content).share;
    put_floor(&one);
    alice.create_group("between");
    let below = put_floor(&one);
    alice.create_group("above");
    let two = tracker(2, &[(1, one.addr)]);
    agree(&[&one, &two]);
    assert_eq!((floor(&two), two.state().group_count()), (below, 3));
    assert!(two.has_told("the tracker starts anew: it takes over what tracker 1 has up to change"));

    // It sends manifests, takes changes, and passes them on.
    let mut bob = client(&two, "bob");
    bob.join("lab");
    wait_until("bob has asked", || {
        let state = one.state();
        state.group_named(&group("lab")).is_some_and(|lab| state.waiting(lab).count() == 1)
    });
    alice.accept("lab", "bob");
    wait_until("bob is a member", || {
        matches!(bob.ask(Request::ListMembers { group: group("lab"), after: None }), Reply::Members { .. })
    });
    wait_until("the list of pieces is here", || {
        let mut read = Vec::new();
        while let Reply::ManifestPart { part, .. } = bob.ask(Request::GetManifest { share, offset: read.len() as u32 })
        {
            read.extend_from_slice(part.as_bytes());
            if read.len() >= bytes.len() {
                break;
            }
        }
        read == bytes
    });
    let three = tracker(3, &[(1, one.addr), (2, two.addr)]);
    agree(&[&one, &two, &three]);
    wait_until("the digests were compared", || {
        let others = three.look(|server| server.status().others);
        others.iter().all(|other| matches!(other.status, LinkStatus::Connected { agrees: Some(true), .. }))
    });
    assert!([&one, &two, &three].iter().all(|tracker| !tracker.has_told("DIFFER")));
}

/// Tracker 2 from this backup or with an empty folder. Its way to tracker 1 is closed for now.
fn cut_off(one: &KeptTracker, backup: Option<&[u8]>) -> (KeptTracker, Relay) {
    let relay = Relay::to(one.addr, |_, _, _| {});
    relay.block();
    let setup = KeptSetup::new(2, &[(1, relay.addr)]);
    if let Some(bytes) = backup {
        let backup = BackupReader::open(bytes).expect("a backup");
        restore(backup, setup.folder.path(), 2, Arc::new(|line| panic!("{line}"))).expect("restored");
    }
    (KeptTracker::start(setup), relay)
}

/// The lines about changes without a place.
fn unplaced(tracker: &KeptTracker) -> Vec<String> {
    let files = fs::read_dir(tracker.folder()).expect("readable").map(|entry| entry.expect("readable").path());
    let named = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("unplaced-"));
    let texts = files.filter(|path| named(path)).map(|path| fs::read_to_string(path).expect("text"));
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// A user's notices at login.
fn notices(tracker: &KeptTracker, name: &str) -> Vec<Notice> {
    let mut client = Client::connect(tracker.addr);
    client.log_in(name);
    let told = client.all_pushed().into_iter();
    told.filter_map(|push| if let Reply::Noticed { notice, .. } = push { Some(notice) } else { None }).collect()
}

#[test]
fn a_wiped_tracker_lists_changes_it_took_alone_and_goes_on_with_the_others() {
    let one = tracker(1, &[]);
    let mut alice = client(&one, "alice");
    (0..20).for_each(|n| alice.create_group(&format!("group{n}")));
    put_floor(&one);
    // It has already taken changes of another life, and now of an unknown user.
    let (two, relay) = cut_off(&one, None);
    let mut carol = client(&two, "carol");
    carol.create_group("alone");
    relay.unblock();
    agree(&[&one, &two]);
    assert!(!knows(&two, "carol") && !knows(&one, "carol"));
    let lines = unplaced(&two);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("carol") && lines[1].contains("alone"), "{lines:?}");
    let status = two.look(|server| server.status().to_string());
    assert!(status.contains("changes that could not be placed: 2, listed in "), "{status}");
    assert!(two.has_told("changes that could not be placed: 2, listed in "));
    // Its changes from here on have their place.
    let mut carol = client(&two, "carol");
    carol.create_group("alone");
    wait_until("it is known everywhere", || knows(&one, "carol"));
    agree(&[&one, &two]);
}

#[test]
fn an_author_is_told_what_a_restored_tracker_took_alone() {
    let one = tracker(1, &[]);
    let mut alice = client(&one, "alice");
    alice.create_group("lab");
    let (two, relay) = cut_off(&one, None);
    relay.unblock();
    agree(&[&one, &two]);
    let mut backup = Vec::new();
    two.look(Server::backup_source).write(&mut backup).expect("a backup");
    drop((two, relay));
    (0..20).for_each(|n| alice.create_group(&format!("group{n}")));
    put_floor(&one);
    (0..20).for_each(|n| alice.leave(&format!("group{n}")));
    put_floor(&one);

    let (two, relay) = cut_off(&one, Some(&backup));
    let mut alone = Client::connect(two.addr);
    alone.log_in("alice");
    alone.create_group("lost");
    alone.done(Request::LeaveGroup { command: command(), group: group("lost") });
    let change = Request::ChangePassword { command: command(), old: password(PASSWORD), new: password("x") };
    assert!(matches!(alone.ask(change), Reply::LoggedIn { .. }));
    relay.unblock();
    agree(&[&one, &two]);
    let expected = |kind, group| Notice::Unplaced { change: UnplacedChange { kind, group, file: None } };
    let expected = [
        expected(ChangeKind::CreateGroup, Some(group("lost"))),
        expected(ChangeKind::LeaveGroup, Some(group("lost"))),
        expected(ChangeKind::ChangePassword, None),
    ];
    wait_until("alice is told at both", || [&one, &two].iter().all(|at| notices(at, "alice") == expected));
    assert_eq!(unplaced(&two).len(), 3);

    // Only once, however often it starts, and until the operator has moved the file away.
    let setup = two.stop();
    let folder = setup.folder.path().to_owned();
    let two = KeptTracker::start(setup);
    assert!(two.has_told("changes that could not be placed: 3, listed in "));
    agree(&[&one, &two]);
    assert_eq!(notices(&two, "alice"), expected);
    let files = fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable").path());
    let lists: Vec<_> = files.filter(|path| path.to_string_lossy().contains("unplaced-")).collect();
    assert_eq!(lists.len(), 1);
    fs::remove_file(&lists[0]).expect("there");
    wait_until("status says no more", || !two.look(|server| server.status().to_string()).contains("placed"));
}

#[test]
fn changes_above_the_floor_of_a_restored_tracker_keep_their_place() {
    let one = tracker(1, &[]);
    let (two, relay) = cut_off(&one, None);
    let mut alice = client(&two, "alice");
    alice.create_group("lab");
    let early = put_floor(&two);
    relay.unblock();
    agree(&[&one, &two]);
    relay.block();
    wait_until("the loss is told", || two.has_told("tracker 1 is not connected"));
    // Both go on, and only the other side gets a floor. The changes of this side lie above it.
    let mut at_one = Client::connect(one.addr);
    at_one.log_in("alice");
    at_one.create_group("there");
    let late = put_floor(&one);
    (0..5).for_each(|n| alice.create_group(&format!("here{n}")));
    assert!(floor(&two) == early && early < late);
    relay.unblock();
    agree(&[&one, &two]);
    let count = one.state().group_count();
    assert_eq!((count + unplaced(&two).len(), floor(&two)), (7, late), "{:?}", unplaced(&two));
}

#[test]
fn a_tracker_that_is_two_floors_behind_catches_up_in_one_step() {
    let one = tracker(1, &[]);
    let mut alice = client(&one, "alice");
    alice.create_group("lab");
    let (two, relay) = cut_off(&one, None);
    relay.unblock();
    agree(&[&one, &two]);
    relay.block();
    wait_until("the loss is told", || two.has_told("tracker 1 is not connected"));
    for n in 0..3 {
        alice.create_group(&format!("group{n}"));
        put_floor(&one);
    }
    relay.unblock();
    agree(&[&one, &two]);
    assert_eq!((two.state().group_count(), unplaced(&two)), (4, Vec::new()));
}

#[test]
fn of_two_sides_that_have_forgotten_each_other_the_lower_floor_gives_way() {
    let one = tracker(1, &[]);
    let (two, relay) = cut_off(&one, None);
    relay.unblock();
    let mut alice = client(&one, "alice");
    agree(&[&one, &two]);
    relay.block();
    wait_until("the loss is told", || two.has_told("tracker 1 is not connected"));
    one.look(|server| server.forget(2)).expect("its disk works");
    two.look(|server| server.forget(1)).expect("its disk works");
    (0..9).for_each(|n| alice.create_group(&format!("one{n}")));
    let high = put_floor(&one);
    let mut at_two = Client::connect(two.addr);
    at_two.log_in("alice");
    at_two.create_group("below");
    put_floor(&two);
    at_two.create_group("above");
    relay.unblock();
    one.look(|server| server.unforget(2)).expect("its disk works");
    two.look(|server| server.unforget(1)).expect("its disk works");
    agree(&[&one, &two]);
    assert_eq!(floor(&two), high);
    // Changes below its own floor are changes no more. The base remains as a file.
    assert!(two.has_told("lacks changes that were below the floor here; what there was is kept as"));
    let status = two.look(|server| server.status().to_string());
    assert!(
        status.contains("\nset aside   what was below the floor here is kept as ") && status.contains(".left"),
        "{status}"
    );
    let lost = UnplacedChange { kind: ChangeKind::CreateGroup, group: Some(group("above")), file: None };
    wait_until("alice is told", || notices(&one, "alice") == [Notice::Unplaced { change: lost.clone() }]);
}
