//! The audit of each of two trackers: which user or operator changed what.

use crate::common::installation::{Installation, linked, same_digests};
use crate::common::names::PASSWORD;
use crate::common::program::Program;
use crate::common::wait::wait_until;
use crate::ctl::{DATA, ended, lab};
use serde_json::{Value, json};
use std::fs;

impl Installation {
    /// The lines of an audit, without times and ids of changes.
    fn audited(&self, words: &[&str]) -> Vec<Value> {
        let mut rows = self.rows(&[&["audit"], words].concat());
        for row in &mut rows {
            let row = row.as_object_mut().expect("an object");
            let time = row.remove("time").expect("a time");
            assert!(time.as_str().is_some_and(|time| time.len() == 20 && time.ends_with('Z')), "{time}");
            row.remove("op");
        }
        rows
    }

    /// The same for the second tracker.
    fn audited_at_2(&self, words: &[&str]) -> Vec<Value> {
        let place = ["--json", "--list", "tracker_info.txt", "--tracker", "2", "audit"];
        let out = self.ctl(&[&place, words].concat()).out;
        let mut rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        for row in rows.iter_mut().filter_map(Value::as_object_mut) {
            row.remove("time");
            row.remove("op");
        }
        rows
    }
}

#[test]
fn an_operator_sees_who_changed_what() {
    let installation = Installation::of(1);
    let mut tracker = installation.tracker(1);
    assert!(installation.audited(&[]).is_empty());
    let online = lab(&installation);
    let of_lab = [
        json!({"by": "ann", "what": "create_group", "group": "lab"}),
        json!({"by": "bob", "what": "join_group", "group": "lab"}),
        json!({"by": "ann", "what": "accept_request", "user": "bob", "group": "lab"}),
        json!({"by": "carl", "what": "join_group", "group": "lab"}),
        json!({"by": "ann", "what": "upload_file", "group": "lab", "file": "film.mkv"}),
    ];
    assert_eq!(installation.audited(&["--group", "lab"]), of_lab);
    assert_eq!(
        installation.audited(&["--user", "bob"]),
        [json!({"by": "bob", "what": "create_user"}), of_lab[1].clone(), of_lab[2].clone()]
    );
    let through = format!("ctl uid {}", rustix::process::geteuid().as_raw());
    let kicked = installation.rows(&["kick", "carl"]);
    let op = kicked[0]["op"].as_str().expect("a change");
    // As the change and as the act, in either order.
    let of_operator = || installation.rows(&["audit", "--user", "operator/1"]);
    wait_until("both are noted", || of_operator().len() == 2);
    assert!(of_operator().iter().all(|row| row["op"] == op));
    let mut acts = vec![
        json!({"by": "operator/1", "what": "kick", "user": "carl"}),
        json!({"by": "operator/1", "through": through, "what": "kick", "user": "carl"}),
    ];
    let mut noted = installation.audited(&["--user", "operator/1"]);
    noted.sort_by_key(|row| row["through"].is_string());
    assert_eq!(noted, acts);
    installation.rows(&["read_only", "on"]);
    tracker.told("read_only off", "takes changes of clients again");
    installation.rows(&["read_only"]);
    acts.push(json!({"by": "operator/1", "through": through, "what": "read_only", "value": "on"}));
    acts.push(json!({"by": "operator/1", "through": "console", "what": "read_only", "value": "off"}));
    assert_eq!(installation.audited(&["--user", "operator/1"])[2..], acts[2..]);
    assert!(installation.audited(&["--since", "2100-01-01"]).is_empty());
    let (all, hour) = (installation.audited(&[]), installation.audited(&["--since", "1h"]));
    assert_eq!(hour, all);
    let line = installation.ctl(&["audit", "--user", "carl"]).out;
    assert!(line.contains("Z operator/1 kick user=carl op="), "{line}");
    assert!(line.contains(&format!("Z operator/1 through {through} kick user=carl op={op}\n")), "{line}");
    drop(online);
    tracker.kill();
    // The lines from before a kill are still there.
    let _tracker = installation.tracker(1);
    assert_eq!(installation.audited(&[]), all);
}

#[test]
fn every_tracker_notes_what_was_done_at_any_and_nothing_secret() {
    let installation = Installation::of(2);
    let mut trackers: Vec<Program> = (1..=2).map(|number| installation.tracker(number)).collect();
    linked(&mut trackers[0], 2);
    linked(&mut trackers[1], 1);
    let _online = lab(&installation);
    let made = installation.rows(&["create_user", "zoe", "--make"]);
    let secret = made[0]["passwd"].as_str().expect("shown").to_owned();
    assert_eq!(installation.ctl_with(&["reset_password", "bob"], "another-pw").code, Some(0));
    same_digests(&mut trackers);
    let changes = |rows: Vec<Value>| -> Vec<String> {
        let mut changes: Vec<_> = rows.iter().filter(|row| row["through"].is_null()).map(Value::to_string).collect();
        changes.sort();
        changes
    };
    let first = changes(installation.audited(&[]));
    assert_eq!(first.len(), 11, "{first:#?}");
    wait_until("the second has noted all", || changes(installation.audited_at_2(&[])) == first);
    let acts = installation.audited_at_2(&["--user", "operator/1"]);
    assert_eq!(
        acts,
        [
            json!({"by": "operator/1", "what": "create_user", "user": "zoe"}),
            json!({"by": "operator/1", "what": "reset_password", "user": "bob"}),
        ]
    );
    let file = installation.folder.path().join(DATA).join("audit/operators-00000001.jsonl");
    let text = fs::read_to_string(file).expect("the audit");
    for secret in [&secret, "another-pw", PASSWORD, "argon2", "127."] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[test]
fn a_time_or_a_name_that_is_none_is_a_usage_error() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let usage = "tracker: Usage: audit [--user <user_id>] [--group <group_id>] [--since <time>]\n";
    assert_eq!(installation.ctl(&["audit", "--since", "yesterday"]), ended(2, "", usage));
    assert_eq!(installation.ctl(&["audit", "bob"]), ended(2, "", usage));
}
