//! A client's program ends while it reads a touched share again, in every possible way.

use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::common::wait::wait_until;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::process::Signal;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// The shares: a file and a folder that take long to read.
const SHARES: [(&str, &str); 2] = [("film", "film"), ("album", "album/1")];
const LEN: usize = 96 << 20;

/// Makes or touches the files, so that they have this time of last write.
fn touch(folder: &Path, seconds: u64) {
    for (_, file) in SHARES {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().expect("it has one")).expect("room");
        if !path.exists() {
            fs::write(&path, vec![1; LEN]).expect("room");
        }
        let file = fs::File::options().append(true).open(path).expect("there");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).expect("set");
    }
}

/// From now on reports when one of the files is read.
fn watch(folder: &Path) -> OwnedFd {
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("there is room");
    for (_, file) in SHARES {
        inotify::add_watch(&watch, folder.join(file), WatchFlags::ACCESS).expect("it is there");
    }
    watch
}

/// Whether one of the files was read.
fn is_read(watch: &OwnedFd) -> bool {
    inotify::Reader::new(watch, &mut [MaybeUninit::uninit(); 512]).next().is_ok()
}

#[test]
fn whichever_way_a_client_ends_while_it_reads_its_shares_again_they_stay_shared() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let mut alice = installation.person("alice", 1, &[]);
    let folder = installation.folder.path().join("alice").canonicalize().expect("made");
    alice.told("create_user alice pw", "User created");
    alice.told("login alice pw", "Login successful");
    alice.told("create_group lab", "Group created");
    touch(&folder, 1_000_000_000);
    for (name, _) in SHARES {
        alice.told(&format!("upload_file {name} lab"), "Uploaded");
    }
    alice.say("quit");
    alice.end();

    let quit: fn(&mut Program) = |client| client.say("quit");
    let logout: fn(&mut Program) = |client| {
        client.told("logout", "Logout successful");
        client.say("quit");
    };
    let ends: [fn(&mut Program); 5] = [
        quit,
        logout,
        |client| client.signal(Signal::TERM),
        |client| client.signal(Signal::HUP),
        |client| client.signal(Signal::KILL),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        touch(&folder, 1_000_000_001 + number as u64);
        let watch = watch(&folder);
        let mut alice = installation.person_again("alice", &[]);
        alice.told("login alice pw", "Login successful");
        wait_until("a share is read again", || is_read(&watch));
        end(&mut alice);
        alice.end();
    }

    let mut alice = installation.person_again("alice", &[]);
    alice.told("login alice pw", "Login successful");
    for (name, _) in SHARES {
        alice.until("list_files lab", &format!("{name}  100.7 MB"));
    }
    wait_until("both are given", || {
        let listed = alice.answers("list_files lab");
        listed.iter().filter(|line| line.text.contains("1 member online with it")).count() == SHARES.len()
    });
    assert!(!alice.heard().iter().any(|line| line.text.contains("not shared") || line.text.contains("not given")));
}
