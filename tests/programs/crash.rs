//! The tracker's program is killed under load, again and again. Afterwards no acknowledged change is missing. Also its
//! messages about a damaged journal.
//!
//! `ROUNDS=1000 cargo test --release --test programs crash` is the longer run.

use crate::common::client::Client;
use crate::common::deadline::LONG;
use crate::common::group_maker::{GroupMaker, all_groups};
use crate::common::installation::Installation;
use crate::common::manifest::manifest;
use crossbeam_channel::unbounded;
use groupshare::wire::client_tracker::Reply;
use std::fs;
use std::path::PathBuf;
use std::thread;

const ROUNDS: u64 = 30;
const CLIENTS: usize = 4;

fn resume(installation: &Installation, member: &GroupMaker) -> Client {
    let mut client = installation.connect(1).expect("it listens");
    assert!(member.resume(&mut client), "the session has not survived");
    client
}

/// Lets all users work until this many changes were answered, then kills the tracker. Returns how many were answered.
fn round(installation: &Installation, members: &mut [GroupMaker], enough: u64) -> u64 {
    let tracker = installation.tracker(1);
    let (answered, answers) = unbounded();
    let clients: Vec<Client> = members.iter().map(|member| resume(installation, member)).collect();
    thread::scope(|scope| {
        for (member, mut client) in members.iter_mut().zip(clients) {
            let answered = answered.clone();
            // The other side is gone once it has read enough.
            scope.spawn(move || {
                member.run(&mut client, || {
                    let _ = answered.send(());
                    true
                })
            });
        }
        drop(answered);
        for _ in 0..enough {
            answers.recv_timeout(LONG).expect("changes are answered");
        }
        drop(tracker);
    });
    enough + answers.len() as u64
}

#[test]
fn nothing_acknowledged_is_missing_after_a_kill_under_load() {
    let rounds = std::env::var("ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let mut members: Vec<GroupMaker> = (0..CLIENTS)
        .map(|n| {
            let mut client = installation.connect(1).expect("it listens");
            GroupMaker::new(&mut client, &format!("user{n}"), false)
        })
        .collect();
    drop(tracker);

    let mut answered = 0;
    for number in 0..rounds {
        // From a few changes to some hundred.
        answered += round(&installation, &mut members, 1 + number * 37 % 250);
        let tracker = installation.tracker(1);
        let mut client = resume(&installation, &members[0]);
        let there = all_groups(&mut client);
        members.iter().for_each(|member| member.verify(&there));
        // Killed again, this time without any work.
        drop(tracker);
    }
    assert!(answered > rounds);
    let data = installation.folder.path().join("tracker_info.txt.data/tracker-1");
    let output = installation.command(&[]).arg("--check").arg(&data).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{answered} changes answered in {rounds} rounds\n{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes the program check or repair the data folder of the tracker. Returns its exit code and its output.
fn look_after(installation: &Installation, option: &str) -> (Option<i32>, String) {
    let data = installation.folder.path().join("tracker_info.txt.data/tracker-1");
    let output = installation.command(&[]).arg(option).arg(data).output().expect("runs");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn a_damaged_journal_is_refused_checked_and_repaired_by_the_program() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let mut client = installation.connect(1).expect("it listens");
    client.create_user("ann");
    let token = client.log_in("ann");
    ["one", "two", "three", "four"].iter().for_each(|name| client.create_group(name));
    drop(tracker);
    let data = installation.folder.path().join("tracker_info.txt.data/tracker-1");
    let file = data.join("journal/00000000000000000001.journal");
    let mut bytes = fs::read(&file).expect("there");
    let at = bytes.windows(5).position(|name| name == b"three").expect("its name is in it");
    bytes[at] = b'T';
    fs::write(&file, &bytes).expect("writable");

    let output = installation.command(&[]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(3), 1), "{said}");
    for words in ["00000000000000000001.journal is damaged at byte ", "a later batch follows", "--check", "--repair"] {
        assert!(said.contains(words), "{said}");
    }
    let run = |option| look_after(&installation, option);
    let (code, said) = run("--check");
    assert!(code == Some(1) && said.contains("is damaged at byte "), "{said}");
    assert_eq!(fs::read(&file).expect("there"), bytes, "checking changes nothing");
    let (code, said) = run("--repair");
    assert!(code == Some(0) && said.contains("a copy of what was there is in "), "{said}");
    let copy = data.join("journal-before-repair-1/00000000000000000001.journal");
    assert_eq!(fs::read(copy).expect("there"), bytes);
    let (code, said) = run("--check");
    assert_eq!(code, Some(0), "{said}");

    let _tracker = installation.tracker(1);
    let mut client = installation.connect(1).expect("it listens");
    assert!(matches!(client.resume(&token), Reply::LoggedIn { .. }));
    assert_eq!(all_groups(&mut client), ["one", "two"]);
    let (code, said) = run("--check");
    assert!(code == Some(1) && said.contains("another tracker is using "), "{said}");
}

/// The data folder of a stopped tracker, and the manifests of its two shares.
fn two_shares(installation: &Installation) -> (PathBuf, [PathBuf; 2]) {
    let tracker = installation.tracker(1);
    let mut client = installation.connect(1).expect("it listens");
    client.create_user("ann");
    client.log_in("ann");
    client.create_group("lab");
    let contents = [("one.mkv", 1), ("two.mkv", 2)].map(|(name, seed)| {
        let (bytes, content) = manifest(name, 3, seed);
        client.put_manifest("lab", &bytes, &content);
        client.share("lab", name, &content);
        content
    });
    drop(tracker);
    let data = installation.folder.path().join("tracker_info.txt.data/tracker-1");
    let files = contents.map(|content| data.join("manifests").join(content.info_hash.to_string()));
    (data, files)
}

#[test]
fn a_check_tells_of_what_does_no_harm() {
    let installation = Installation::of(1);
    let (data, _) = two_shares(&installation);
    let run = |option| look_after(&installation, option);

    // The tracker reports what it removes, and takes no harm from it.
    let [unfinished, stray] = ["0.tmp", &"ab".repeat(32)].map(|name| data.join("manifests").join(name));
    fs::write(&unfinished, "half").expect("writable");
    fs::write(&stray, "nobody's").expect("writable");
    let (code, said) = run("--check");
    assert!(code == Some(0) && said.contains(&format!("{} is of no use", unfinished.display())), "{said}");
    assert!(said.contains("manifests of no share: 1; the tracker removes them while it runs"), "{said}");
    assert!(unfinished.exists() && stray.exists(), "checking changes nothing");

    // Every start reports changes without a place until the operator moves their list away.
    let unplaced = data.join("unplaced-1.jsonl");
    fs::write(&unplaced, "{}\n{}\n").expect("writable");
    let listed = format!("changes that could not be placed: 2, listed in {}", unplaced.display());
    for option in ["--check", "--repair"] {
        let (code, said) = run(option);
        assert!(code == Some(0) && said.contains(&listed), "{said}");
    }
}

#[test]
fn a_check_looks_at_the_manifests_and_a_repair_sets_damaged_ones_aside() {
    let installation = Installation::of(1);
    let (data, [one, two]) = two_shares(&installation);
    let run = |option| look_after(&installation, option);
    let (code, said) = run("--check");
    assert!(code == Some(0) && said.contains("manifests of live shares that are sound: 2"), "{said}");

    let mut bytes = fs::read(&one).expect("there");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&one, &bytes).expect("writable");
    fs::remove_file(&two).expect("there");
    let damaged = format!("{} is damaged: ", one.display());
    let missing = format!("{} is missing; a start asks the other trackers for it", two.display());
    let (code, said) = run("--check");
    assert!(code == Some(1) && said.contains(&damaged) && said.contains(&missing), "{said}");
    let (code, said) = run("--repair");
    let aside = data.join("manifests-before-repair-1");
    assert!(code == Some(0) && said.contains(&aside.display().to_string()), "{said}");
    assert_eq!(fs::read(aside.join(one.file_name().expect("a name"))).expect("kept"), bytes);
    let mut tracker = installation.tracker(1);
    tracker.say("status");
    tracker.expect("lost or damaged: 2");
    drop(tracker);

    // A manifest that never came is not damage.
    fs::write(one.with_extension("awaited"), "").expect("writable");
    let (_, said) = run("--check");
    assert!(said.contains("manifests not here yet: 1;") && !said.contains(&one.display().to_string()), "{said}");

    // A folder in the place of a file cannot be removed.
    let in_the_way = data.join("manifests/0.tmp");
    fs::create_dir(&in_the_way).expect("made");
    let output = installation.command(&[]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert!(said.starts_with(&format!("tracker: cannot remove {}: ", in_the_way.display())), "{said}");
    fs::remove_dir(&in_the_way).expect("empty");

    // Only a folder of before 1.0 has a list of retired trackers. A start does not upgrade it, and a check does not
    // read it.
    fs::remove_file(data.join("format")).expect("it has a number");
    fs::write(data.join("retired"), "2\n").expect("writable");
    let output = installation.command(&[]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("tracker: cannot upgrade ") && said.contains("say 'forget N'"), "{said}");
    let (code, said) = run("--check");
    assert!(code == Some(1) && said.contains(" has format 0, and this is version "), "{said}");
}
