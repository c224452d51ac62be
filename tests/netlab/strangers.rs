//! Addresses that lead to a stranger's machine: no member tries them.

use crate::inside::inside;
use crate::kinds::{KINDS, Kind};
use crate::lab::{Lab, gather};
use crate::member::Member;
use crate::network::Site;
use serde_json::json;
use std::fs;
use std::time::Duration;

/// Longer than a member takes to try everything.
const ENOUGH: Duration = Duration::from_secs(30);
/// An attempt to connect, or a datagram.
const TRIES: &str = "meta l4proto { tcp, udp }";
/// An attempt to connect to the machine itself.
const OWN: &str = "oifname lo tcp flags & (syn|ack) == syn";

fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).expect(name)
}

/// A giver and a taker log in at these sites, and a file goes from one to the other.
fn exchange(lab: &Lab, giver: (&Site, &Kind, &[&str]), taker: (&Site, &Kind)) {
    let list = "tracker_info.txt";
    let args = [giver.2, &[giver.1.listen, list]].concat();
    let giver = lab.member("giver", giver.0, giver.1, &args);
    let taker = lab.member("taker", taker.0, taker.1, &[taker.1.listen, list]);
    let mut members = [giver, taker];
    gather(&mut members);
    let [giver, taker] = &mut members;
    fs::write(giver.folder.join("notes"), "for the taker").expect("room");
    giver.does("upload_file", &json!({ "group_id": "lab", "file_path": "notes" }));
    takes_notes(taker);
}

fn takes_notes(taker: &mut Member) {
    taker.does("download_file", &json!({ "group_id": "lab", "file_name": "notes", "destination_path": "." }));
    taker.event(ENOUGH, |event| event["event"] == "download_completed").expect("the file comes");
}

#[test]
fn nobody_tries_a_third_party_whose_address_a_member_announces() {
    inside("strangers::nobody_tries_a_third_party_whose_address_a_member_announces", || {
        let mut lab = Lab::new(1, &[]);
        let third_party = lab.network.site("thirdparty", true, false);
        third_party.watch("prerouting", TRIES);
        // The giver names the address in every possible way. It cannot be dialed, so the taker tries all its addresses.
        let [giver, _] = lab.sites(kind("drops"));
        giver.pretend(&third_party.ipv4());
        let [taker, _] = lab.sites(kind("open"));
        let announce = format!("{}:18000", third_party.ipv4());
        exchange(&lab, (&giver, kind("drops"), &["--announce", &announce]), (&taker, kind("open")));
        assert_eq!(third_party.watched(), 0);
    });
}

#[test]
fn a_private_address_is_not_tried_in_another_network() {
    inside("strangers::a_private_address_is_not_tried_in_another_network", || {
        let mut lab = Lab::new(1, &[]);
        // The taker's own network has a machine at the giver's private address.
        let [[_, giver], [taker, third_party]] = [lab.sites(kind("lan")), lab.sites_called("other", kind("lan"))];
        third_party.watch("prerouting", TRIES);
        exchange(&lab, (&giver, kind("lan"), &[]), (&taker, kind("lan")));
        assert_eq!(third_party.watched(), 0);
    });
}

#[test]
fn nobody_connects_to_itself_for_a_member_with_the_same_port() {
    inside("strangers::nobody_connects_to_itself_for_a_member_with_the_same_port", || {
        let mut lab = Lab::new(1, &[]);
        let [giver, _] = lab.sites(kind("loopback"));
        let [taker, _] = lab.sites(kind("open"));
        taker.watch("output", OWN);
        exchange(&lab, (&giver, kind("loopback"), &[]), (&taker, kind("open")));
        assert_eq!(taker.watched(), 0);
    });
}
