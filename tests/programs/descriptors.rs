//! A client that may have only a few descriptors. Its takers do not use them up.

use crate::common::installation::Installation;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use std::fs;

/// How many folders alice shares, and how many files lie in each.
const FOLDERS: usize = 16;
const FILES: usize = 40;
/// The limit on her descriptors. She has more files than that.
const DESCRIPTORS: u64 = 256;

#[test]
fn a_member_that_takes_from_many_folders_leaves_the_sharer_most_descriptors() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| installation.person(name, 1, &[]));
    let few = Rlimit { current: Some(DESCRIPTORS), ..getrlimit(Resource::Nofile) };
    prlimit(Some(alice.pid()), Resource::Nofile, few).expect("allowed");
    let place = installation.folder.path();
    fs::create_dir(place.join("bob/got")).expect("room");
    ["create_user alice pw", "login alice pw", "create_group lab"].iter().for_each(|line| alice.say(line));
    alice.expect("Group created");
    for folder in 0..FOLDERS {
        let path = place.join(format!("alice/album{folder}"));
        fs::create_dir(&path).expect("room");
        (0..FILES).for_each(|file| fs::write(path.join(file.to_string()), format!("{folder} {file}")).expect("room"));
        alice.told(&format!("upload_file album{folder} lab"), "Uploaded");
    }
    ["create_user bob pw", "login bob pw", "join_group lab"].iter().for_each(|line| bob.say(line));
    bob.expect("Request sent");
    alice.told("accept_request lab bob", "Request accepted");
    bob.expect("You are a member of lab now");
    for folder in 0..FOLDERS {
        bob.told(&format!("download_file lab album{folder} got"), &format!("[lab] album{folder}  "));
    }
    let open = fs::read_dir(format!("/proc/{}/fd", alice.pid().as_raw_nonzero())).expect("it runs").count();
    assert!(open < DESCRIPTORS as usize * 3 / 4, "{open}");
    let told = alice.heard().iter().find(|line| line.text.contains("Too many open files"));
    assert!(told.is_none(), "{told:?}");
}
