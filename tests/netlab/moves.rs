//! A member moves to another network during a download.

use crate::common::deadline::LONG;
use crate::inside::inside;
use crate::kinds::KINDS;
use crate::lab::{Lab, gather};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// 32 pieces.
const SIZE: usize = 32 * 512 * 1024;
/// The download goes on within this time. A silent connection counts as lost only much later.
const GOES_ON: Duration = Duration::from_secs(10);

/// How much of the download has come in, according to an event.
fn done(event: &Value) -> Option<u64> {
    (event["event"] == "download_progress").then(|| event["done"].as_u64()).flatten()
}

#[test]
fn a_download_goes_on_soon_when_the_machine_has_another_address() {
    inside("moves::a_download_goes_on_soon_when_the_machine_has_another_address", || {
        let mut lab = Lab::new(1, &[]);
        let kind = &KINDS[0];
        let [near, far] = lab.sites(kind);
        let giver = lab.member("giver", &near, kind, &["--upload-limit", "500K", kind.listen, "tracker_info.txt"]);
        let taker = lab.member("taker", &far, kind, &[kind.listen, "tracker_info.txt"]);
        let mut members = [giver, taker];
        gather(&mut members);
        let [giver, taker] = &mut members;
        fs::write(giver.folder.join("film"), vec![7; SIZE]).expect("room");
        giver.does("upload_file", &json!({ "group_id": "lab", "file_path": "film" }));
        let args = json!({ "group_id": "lab", "file_name": "film", "destination_path": "." });
        taker.does("download_file", &args);
        let more_than = |least: u64| move |event: &Value| done(event).is_some_and(|done| done > least);
        taker.event(LONG, more_than(0)).expect("it begins");
        let moved = Instant::now();
        lab.network.moves(&far);
        let (at, event) = taker.event(GOES_ON, |event| event["event"] == "tracker_reached").expect("the link is back");
        let before = done(&taker.event(LONG, more_than(0)).expect("it is told").1).expect("a number");
        let on = taker.event(GOES_ON.saturating_sub(moved.elapsed()), more_than(before));
        let (on, _) =
            on.unwrap_or_else(|| panic!("it stands still; the link was back after {:?}: {event}", at - moved));
        eprintln!("the link is back after {:?}, the download goes on after {:?}", at - moved, on - moved);
    });
}
