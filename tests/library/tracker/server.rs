//! The server as a whole: how many clients it accepts, how many it serves at once, and its end.

use super::refused_code;
use crate::common::client::Client;
use crate::common::manifest::manifest;
use crate::common::tracker::TestTracker;
use crate::common::vacant::Vacant;
use crate::common::wait::wait_until;
use groupshare::model::digest::InfoHash;
use groupshare::tracker::admission::Caps;
use groupshare::tracker::data_dir::DataDir;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::frame::UNASKED;
use groupshare::wire::handshake::HandshakeError;
use groupshare::wire::refusal::Code;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

#[test]
fn connections_over_a_cap_are_told_so() {
    let tracker = TestTracker::start_with(|settings| {
        settings.caps = Caps { total: 3, early: 2, per_address: 3, ..Caps::default() }
    });
    let mut ann = tracker.user("ann");
    let (_one, two) = (tracker.client(), tracker.client());
    let busy =
        |result: Result<Client, HandshakeError>| matches!(result, Err(HandshakeError::Refused(Some(Code::Busy))));
    assert!(busy(Client::try_connect(tracker.addr)), "two have not logged in");
    drop(two);
    ann.done(Request::Heartbeat {});
    wait_until("the connection has ended", || tracker.server.status().connections.total == 2);
    let mut three = tracker.client();
    three.log_in("ann");
    assert!(busy(Client::try_connect(tracker.addr)), "three in all");
    assert_eq!(tracker.server.status().connections.refused, 2);
    ann.done(Request::Heartbeat {});
}

#[test]
fn two_hundred_clients_at_once_are_served() {
    let tracker = TestTracker::start();
    // One after the other: fewer password checks than that may wait.
    let mut clients: Vec<Client> = (0..200).map(|i| tracker.user(&format!("user {i}"))).collect();
    let barrier = Barrier::new(clients.len());
    thread::scope(|scope| {
        for (i, client) in clients.iter_mut().enumerate() {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                client.create_group(&format!("group {i}"));
                let Reply::Groups { groups, .. } = client.ask(Request::ListGroups { after: None }) else {
                    panic!("groups")
                };
                assert!(!groups.is_empty());
            });
        }
    });
    clients.iter_mut().for_each(|client| client.done(Request::Heartbeat {}));
    assert_eq!(tracker.server.core().state().group_count(), clients.len());
    drop(clients);
    wait_until("all connections have ended", || tracker.server.status().connections.total == 0);
    assert_eq!(tracker.server.core().presence.local_client_count(), 0);
}

#[test]
fn a_tracker_that_stops_tells_its_clients_and_leaves_no_connection() {
    let place = Vacant::at_loopback();
    let listener = TcpListener::bind(place.addr).expect("nobody else has it");
    let tracker = TestTracker::start_at(listener.into(), |_| {});
    let mut ann = tracker.user("ann");
    let mut idle = tracker.client();
    let began = Instant::now();
    let mut half_open = TcpStream::connect(tracker.addr).expect("connected");
    let mut half_said = TcpStream::connect(tracker.addr).expect("connected");
    half_said.write_all(b"GRPSH").expect("sent");
    ann.create_group("lab");
    // A client in the middle of its handshake gets no message.
    idle.done(Request::Heartbeat {});
    let TestTracker { server, addr, _folder: folder } = tracker;
    server.stop();
    assert!(began.elapsed() < HANDSHAKE_DEADLINE, "nobody waits for a handshake that does not come");
    for client in [&mut ann, &mut idle] {
        let said = client.until_end();
        assert_eq!(
            said.last().and_then(|(id, reply)| refused_code(reply).map(|code| (*id, code))),
            Some((UNASKED, Code::Closing))
        );
    }
    for stream in [&mut half_open, &mut half_said] {
        let _ = stream.read(&mut [0; 8]);
    }
    assert!(TcpStream::connect(addr).is_err());
    drop(TcpListener::bind(addr).expect("the port is free again at once"));
    drop(folder);
}

#[test]
fn files_of_no_share_are_removed_while_the_tracker_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = folder.path().join("manifests");
    std::fs::create_dir(&manifests).expect("made");
    // These manifests remain from a share that ended two hours ago and just now.
    let [old, young] = [1, 2].map(|n| manifests.join(InfoHash([n; 32]).to_string()));
    let two_hours_ago = SystemTime::now() - Duration::from_secs(7200);
    std::fs::write(&young, "young").expect("written");
    std::fs::File::create(&old).and_then(|file| file.set_modified(two_hours_ago)).expect("written");
    let tracker =
        TestTracker::start_with(|settings| settings.data_dir = DataDir::open(folder.path()).expect("a folder"));
    let mut alice = tracker.user("alice");
    alice.create_group("lab");
    let (bytes, content) = manifest("film.mkv", 3, 1);
    // A client sent it before its share, and long ago by the clock of a machine that was just set.
    alice.put_manifest("lab", &bytes, &content);
    let film = manifests.join(content.info_hash.to_string());
    std::fs::File::options().write(true).open(&film).and_then(|file| file.set_modified(two_hours_ago)).expect("there");
    wait_until("the file of no share is gone", || !old.exists());
    alice.share("lab", "film.mkv", &content);
    assert!(young.exists() && film.exists());
}
