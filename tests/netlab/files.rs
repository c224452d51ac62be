//! Several files from one member, to which only one pair of ports leads.

use crate::common::deadline::LONG;
use crate::inside::inside;
use crate::kinds::KINDS;
use crate::lab::{Lab, gather};
use serde_json::json;
use std::fs;

/// Fewer than the calls that a tracker passes on in a minute, so none of them is delayed.
const FILES: u8 = 4;

#[test]
fn several_files_at_once_and_another_one_afterwards_come_from_a_member_behind_a_nat() {
    inside("files::several_files_at_once_and_another_one_afterwards_come_from_a_member_behind_a_nat", || {
        let kind = KINDS.iter().find(|kind| kind.name == "nat-ei").expect("it is there");
        let mut lab = Lab::new(1, &[]);
        let sites = lab.sites(kind);
        let member = |name, number: usize| lab.member(name, &sites[number], kind, &[kind.listen, "tracker_info.txt"]);
        let mut members = [member("giver", 0), member("taker", 1)];
        gather(&mut members);
        let [giver, taker] = &mut members;
        for number in 0..=FILES {
            fs::write(giver.folder.join(number.to_string()), vec![number + 1; 600_000]).expect("room");
            giver.does("upload_file", &json!({ "group_id": "lab", "file_path": number.to_string() }));
        }
        let file = |number: u8| json!({ "group_id": "lab", "file_name": number.to_string(), "destination_path": "." });
        (1..=FILES).for_each(|number| drop(taker.does("download_file", &file(number))));
        (1..=FILES)
            .for_each(|_| drop(taker.event(LONG, |event| event["event"] == "download_completed").expect("came")));
        taker.does("download_file", &file(0));
        taker.event(LONG, |event| event["event"] == "download_completed").expect("came");
    });
}
