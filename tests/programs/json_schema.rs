//! docs/client.schema.json against docs/JSON.md, and against a client's answers to every command.

use crate::common::installation::Installation;
use crate::common::schema::Schema;
use crate::json_client::Driver;
use groupshare::client::command::table::COMMANDS;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rows of a table of docs/JSON.md: the quoted text in the first cell, and in the second.
fn rows(heading: &str) -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/JSON.md")).expect("the page");
    let section = page.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('#'));
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').collect();
        (quoted(cells[1]).pop_first().expect("a name"), quoted(cells[2]))
    };
    section.filter(|line| line.starts_with("| `")).map(row).collect()
}

/// The definitions whose names begin with `begins`, by the rest of their names.
fn defs<'a>(schema: &'a Schema, begins: &'a str) -> BTreeMap<&'a str, &'a Value> {
    schema.defs().iter().filter_map(|(name, def)| Some((name.strip_prefix(begins)?, def))).collect()
}

/// The definitions that a definition with several alternatives names.
fn named(schema: &Schema, def: &str, keyword: &str) -> BTreeSet<String> {
    let refs = schema.defs()[def][keyword].as_array().expect("a list").iter();
    refs.map(|of| of["$ref"].as_str().expect("a reference").replace("#/$defs/", "")).collect()
}

#[test]
fn the_schema_has_the_events_of_the_page_with_their_members() {
    let schema = Schema::of_client();
    let events = defs(&schema, "event_");
    let names: BTreeSet<String> = events.keys().map(|name| format!("event_{name}")).collect();
    assert_eq!(named(&schema, "event", "oneOf"), names);
    let members = |def: &Value| {
        let names = def["properties"].as_object().expect("members").keys();
        let own = |name: &&String| !["event", "message"].contains(&name.as_str());
        names.filter(own).cloned().collect::<BTreeSet<_>>()
    };
    let mut told: BTreeMap<String, BTreeSet<String>> =
        events.into_iter().map(|(name, def)| (name.to_owned(), members(def))).collect();
    // Only a failed download, or a part of a folder, has these.
    for member in ["reason", "code", "patterns"] {
        told.get_mut("download_progress").expect("there").remove(member);
    }
    assert_eq!(told, rows("### Events of the client"));
}

#[test]
fn the_schema_has_an_answer_to_every_command() {
    let schema = Schema::of_client();
    let answers = defs(&schema, "answer_");
    let commands: BTreeSet<&str> = COMMANDS.iter().map(|usage| usage.name()).collect();
    assert_eq!(answers.keys().copied().collect::<BTreeSet<_>>(), commands);
    let names: BTreeSet<String> = answers.keys().map(|name| format!("answer_{name}")).collect();
    assert_eq!(named(&schema, "success", "anyOf"), names);
    let command = &schema.defs()["command"]["properties"];
    let known = command["command"]["enum"].as_array().expect("a list").iter();
    assert_eq!(known.map(|name| name.as_str().expect("a name")).collect::<BTreeSet<_>>(), commands);
    let taken: BTreeSet<String> = rows("### Commands of the client").into_values().flatten().collect();
    let arguments = command["command_args"]["properties"].as_object().expect("arguments");
    // Some of these are values.
    let words = ["name", "size", "members", "open", "ask", "closed", "true", "false"].map(str::to_owned);
    let taken: BTreeSet<String> = taken.into_iter().filter(|name| !words.contains(name)).collect();
    assert_eq!(arguments.keys().cloned().collect::<BTreeSet<_>>(), taken);
}

#[test]
fn an_object_that_is_wrong_in_one_member_fails_the_schema() {
    let schema = Schema::of_client();
    let listening = json!({ "event": "listening", "ip": "::1", "port": 1, "message": "m" });
    assert_eq!(schema.check(&listening), Ok(()));
    for (member, value) in [
        ("port", json!(-1)),
        ("port", json!("1")),
        ("port", json!(1.5)),
        ("event", json!("sleeping")),
        ("more", json!(1)),
        ("message", Value::Null),
        ("status", json!("success")),
    ] {
        let mut wrong = listening.clone();
        wrong[member] = value;
        assert!(schema.check(&wrong).is_err(), "{wrong}");
    }
    assert!(schema.check(&json!([])).is_err() && schema.check(&json!({ "status": "success" })).is_err());
}

fn share_folder(alice: &mut Driver) {
    fs::create_dir(alice.folder.join("papers")).expect("made");
    let papers = || alice.folder.join("papers").to_str().expect("text").to_owned();
    let (shared, path) = (json!({ "folder_path": papers(), "group_id": "lab" }), json!({ "folder_path": papers() }));
    alice.succeeds("share_folder", shared);
    assert_eq!(alice.succeeds("show_folders", json!({}))["folders"][0]["group_id"], "lab");
    alice.succeeds("unshare_folder", path);
    let inbox = alice.folder.join("inbox").to_str().expect("text").to_owned();
    let follow = json!({ "folder_path": inbox, "group_id": "lab", "all": false, "max_size": 1_000_000 });
    alice.succeeds("follow_group", follow);
    assert_eq!(alice.succeeds("show_folders", json!({}))["folders"][0]["follows"], true);
    alice.succeeds("unfollow_group", json!({ "group_id": "lab" }));
}

#[test]
fn every_command_is_answered_as_the_schema_says() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = Driver::logged_in(&installation, "alice");
    let mut bob = Driver::logged_in(&installation, "bob");
    let lab = || json!({ "group_id": "lab" });
    alice.succeeds("create_group", lab());
    for decision in ["reject_request", "accept_request"] {
        bob.succeeds("join_group", lab());
        alice.event("join_requested");
        alice.succeeds("list_requests", lab());
        alice.succeeds(decision, json!({ "group_id": "lab", "user_id": "bob" }));
    }
    bob.event("request_accepted");
    fs::write(alice.folder.join("film.mkv"), vec![7; 3_000_000]).expect("room");
    alice.succeeds("limit", json!({ "upload": 100_000 }));
    alice.succeeds("upload_file", json!({ "file_path": "film.mkv", "group_id": "lab" }));
    let film = || json!({ "group_id": "lab", "file_name": "film.mkv" });
    let to = json!({ "group_id": "lab", "file_name": "film.mkv", "destination_path": "." });
    bob.succeeds("download_file", to.clone());
    bob.next(|object| object["event"] == "download_progress" && object["members"] == 1);
    bob.succeeds("pause_download", film());
    bob.succeeds("resume_download", film());
    bob.next(|object| object["event"] == "download_progress" && object["members"] == 1);
    for command in ["show_downloads", "watch"] {
        let shown = bob.succeeds(command, json!({}));
        assert_eq!(shown["downloads"][0]["delivered"][0]["way"], "direct", "{shown}");
        assert!(shown["total"]["left"].as_u64().is_some_and(|left| left > 0), "{shown}");
    }
    assert_eq!(alice.succeeds("show_uploads", json!({}))["uploads"][0]["way"], "direct");
    bob.succeeds("cancel_download", film());
    alice.succeeds("limit", json!({ "upload": 0 }));
    bob.succeeds("download_file", to);
    bob.succeeds("wait", film());
    bob.succeeds("update_file", film());
    assert_eq!(bob.succeeds("find", json!({ "pattern": "film" }))["files"][0]["group_id"], "lab");
    bob.succeeds("list_files", json!({ "group_id": "lab", "pattern": "*.mkv", "sort": "size" }));
    bob.succeeds("list_members", lab());
    bob.succeeds("list_groups", json!({}));
    bob.succeeds("set_adding", json!({ "allowed": true }));
    alice.succeeds("set_group", json!({ "group_id": "lab", "access": "ask" }));
    for command in ["make_owner", "drop_owner"] {
        alice.succeeds(command, json!({ "group_id": "lab", "user_id": "bob" }));
    }
    bob.succeeds("stop_share", film());
    bob.succeeds("leave_group", lab());
    alice.succeeds("add_member", json!({ "group_id": "lab", "user_id": "bob" }));
    alice.succeeds("remove_member", json!({ "group_id": "lab", "user_id": "bob" }));
    bob.event("member_removed");
    let told = bob.succeeds("notices", json!({}));
    assert_eq!((&told["notices"][0]["event"], &told["most"]), (&json!("member_removed"), &json!(500)), "{told}");
    share_folder(&mut alice);
    bob.succeeds("help", json!({}));
    bob.succeeds("change_password", json!({ "old_passwd": "pw", "new_passwd": "other" }));
    bob.succeeds("logout", json!({}));
    alice.succeeds("quit", json!({}));
    let known: BTreeSet<String> = COMMANDS.iter().map(|usage| usage.name().to_owned()).collect();
    assert_eq!(alice.done.union(&bob.done).cloned().collect::<BTreeSet<_>>(), known, "each has an example here");
}
