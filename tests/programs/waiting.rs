//! What a client reports about a stalled download: member by member, and the true reason.

use crate::common::client::Client;
use crate::common::installation::Installation;
use crate::common::manifest::manifest;
use crate::common::membership::{all_pieces, announcement};
use crate::common::program::Program;
use crate::common::vacant::Vacant;
use groupshare::client::reach::interfaces::machine;
use groupshare::model::exit::Exit;
use groupshare::wire::client_tracker::{Reply, Request};

/// Alice's client. She shares a complete film in the lab, and nobody listens at her announced address.
struct Alice {
    client: Client,
    port: u16,
    _closed: Vacant,
}

fn alice(installation: &Installation) -> Alice {
    let mut alice = installation.connect(1).expect("a tracker");
    alice.create_user("alice");
    alice.log_in("alice");
    alice.create_group("lab");
    let (bytes, content) = manifest("film.mkv", 3, 1);
    alice.put_manifest("lab", &bytes, &content);
    let share = alice.share("lab", "film.mkv", &content).share;
    let closed = Vacant::at_loopback();
    let port = closed.addr.port();
    let Request::Announce { key, port, interfaces, announced, round_trip_ms, .. } = announcement(port) else {
        panic!("an announcement")
    };
    // On the same machine, so that bob gets the loopback address.
    let machine = machine();
    match alice.ask(Request::Announce { key, port, interfaces, announced, machine, round_trip_ms }) {
        Reply::Announced { .. } => {}
        other => panic!("not announced but {other:?}"),
    }
    alice.hold(share, all_pieces());
    Alice { client: alice, port, _closed: closed }
}

/// Bob's client program. Bob is in the lab.
fn bob(installation: &Installation, alice: &mut Client, args: &[&str]) -> Program {
    let mut bob = installation.person("bob", 1, args);
    bob.told("create_user bob pw", "User created");
    bob.told("login bob pw", "Login successful");
    bob.told("join_group lab", "Request sent");
    alice.accept("lab", "bob");
    bob
}

/// The lines below a download of the film, once one of them contains this.
fn below(bob: &mut Program, part: &str) -> Vec<String> {
    bob.until("show_downloads", part);
    let lines: Vec<String> = bob.answers("show_downloads").iter().map(|line| line.text.clone()).collect();
    let first = lines.iter().position(|line| line.starts_with("[D] [lab] film.mkv  ")).expect("a line of the download");
    lines[first + 1..].iter().take_while(|line| line.starts_with("      ")).cloned().collect()
}

#[test]
fn a_download_that_waits_says_by_which_ways_a_member_was_not_reached() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    let mut bob = bob(&installation, &mut alice.client, &[]);
    bob.told("download_file lab film.mkv .", "Downloading...");
    let lines = below(&mut bob, "does not call back");
    let expected = format!(
        "      alice: 127.0.0.1:{} refused the connection, does not call back, no way through both firewalls, no relay: \
         the operator can allow one with --relay",
        alice.port
    );
    assert_eq!(lines, [expected]);
}

#[test]
fn a_download_that_waits_says_that_the_own_link_is_down() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    let mut bob = bob(&installation, &mut alice.client, &[]);
    bob.told("download_file lab film.mkv .", "Downloading...");
    drop(tracker);
    assert_eq!(below(&mut bob, "your own link is down")[0], "      your own link is down: no tracker can be reached");
}

#[test]
fn a_download_that_gives_up_says_which_members_it_did_not_reach_and_why() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = alice(&installation);
    drop(bob(&installation, &mut alice.client, &[]));
    let commands = ["login bob pw", "download_file lab film.mkv ."].map(|command| ["--exec", command]);
    let mut script = installation.person_again("bob", &[&["--patience", "10s"][..], &commands.concat()].concat());
    script.input = None;
    let (status, error) = script.end();
    assert_eq!(status.code(), Some(Exit::DownloadFailed as i32));
    let why = "Download failed: [lab] film.mkv  no member with the missing pieces was reached: alice: 127.0.0.1:";
    assert!(error.contains(&format!("{why}{} refused the connection, does not call back", alice.port)), "{error}");
    assert!(!error.contains("no online member"), "{error}");
}
