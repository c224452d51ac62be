//! A shared folder of many files: how soon a written file is shared, and the cost of the watch. Beside it stand a
//! client that shares as many files one by one, a client without shares, and a program that only watches.
//! `cargo bench -- watching files=10000 rounds=5 idle=20`.

use crate::common::client::Client;
use crate::common::installation::Installation;
use crate::common::names::{command, file, group};
use crate::common::program::Program;
use crate::kit::options::Options;
use crate::kit::program::usage_of;
use crate::kit::table::{Table, median_s};
use groupshare::sys::folder_events::FolderEvents;
use groupshare::wire::client_tracker::{Reply, Request};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Files in each folder inside the folder.
const FILES_IN_FOLDER: usize = 100;
/// The pause between two checks of whether a file is shared.
const LOOK: Duration = Duration::from_millis(5);
/// How long the bench writes to a file, and the pause between two writes.
const WRITES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(1));
const WATCH: &str = "watching-alone";

/// Runs the program that only watches if this process was started as it. Otherwise returns false.
pub(crate) fn is_side(args: &[String]) -> bool {
    match args {
        [word, folders @ ..] if word == WATCH => watch(folders),
        _ => return false,
    }
    true
}

/// Watches folders, and reads their events.
fn watch(folders: &[String]) {
    let events = FolderEvents::new().expect("a descriptor");
    for folder in folders {
        events.watch(Path::new(folder)).expect("a folder");
    }
    println!("ready");
    loop {
        let mut fds = [PollFd::from_borrowed_fd(events.as_fd(), PollFlags::IN)];
        poll(&mut fds, None).expect("a descriptor");
        events.take().expect("readable");
    }
}

/// The folder of this name, with `count` files below it. Returns the files and the folders with files.
fn fill(root: &Path, count: usize) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut folders, mut files) = (vec![root.to_path_buf()], Vec::new());
    fs::create_dir(root).expect("a new folder");
    for number in 0..count {
        if number % FILES_IN_FOLDER == 0 {
            folders.push(root.join(format!("{:04}", number / FILES_IN_FOLDER)));
            fs::create_dir(folders.last().expect("just made")).expect("a new folder");
        }
        files.push(folders.last().expect("made").join(format!("{number:06}")));
        fs::write(&files[number], number.to_string()).expect("room");
    }
    (folders, files)
}

/// A user with an account, logged in.
fn person(installation: &Installation, name: &str) -> Program {
    let mut person = installation.person(name, 1, &[]);
    person.told(&format!("create_user {name} pw"), "User created");
    person.told(&format!("login {name} pw"), "Login successful");
    person
}

/// A user's client, started again. Its memory holds nothing from the time in which it shared.
fn again(installation: &Installation, name: &str) -> Program {
    let mut person = installation.person_again(name, &[]);
    person.told(&format!("login {name} pw"), "Login successful");
    person
}

fn leave(mut person: Program) {
    person.say("quit");
    person.end();
}

/// Waits until a file is shared with this many bytes. Returns when that was.
fn shared(member: &mut Client, name: &str, len: u64) -> Instant {
    loop {
        match member.ask(Request::FindShare { group: group("lab"), name: file(name) }) {
            Reply::Share { content, .. } if content.layout.size() == len => return Instant::now(),
            _ => thread::sleep(LOOK),
        }
    }
}

pub(crate) fn bench(options: &Options) {
    let (count, rounds) = (options.number("files", 10_000), options.number("rounds", 5));
    let idle = Duration::from_secs(options.number("idle", 20) as u64);
    let installation = Installation::of(1);
    let limits = ["--limit", "shares=100000", "--limit", "changes=1000000"];
    let _tracker = installation.tracker_with(installation.folder.path(), 1, &limits);
    let mut alice = person(&installation, "alice");
    let mut bob = person(&installation, "bob");
    let carol = person(&installation, "carol");
    alice.told("create_group lab", "Group created");
    bob.told("create_group den", "Group created");
    let (folders, files) = fill(&installation.folder.path().join("alice/pool"), count);
    let begun = Instant::now();
    alice.told("share_folder pool lab", "Sharing the folder");
    alice.answers("wait");
    alice.told("show_folders", &format!("shared in lab: {count} files"));
    println!("{count} files are shared {:.1} s after the command.", begun.elapsed().as_secs_f64());
    leave(alice);
    files.iter().for_each(|file| bob.say(&format!("upload_file {} den", file.display())));
    files.iter().for_each(|_| drop(bob.expect("Uploaded")));
    leave(bob);

    let (mut alice, bob) = (again(&installation, "alice"), again(&installation, "bob"));
    alice.until("show_folders", &format!("shared in lab: {count} files"));
    let mut member = installation.connect(1).expect("it listens");
    member.create_user("dave");
    member.log_in("dave");
    member.done(Request::JoinGroup { command: command(), group: group("lab") });
    alice.told("accept_request lab dave", "Request accepted");
    let pool = installation.folder.path().join("alice/pool");
    let took = (1..=rounds as u64).map(|round| {
        fs::write(pool.join("new"), vec![7; round as usize]).expect("room");
        let written = Instant::now();
        shared(&mut member, "new", round) - written
    });
    let took: Vec<_> = took.collect();
    let most = took.iter().max().expect("one round at least").as_secs_f64();
    println!("A file is shared {:.2} s after it was written, {most:.2} s at most.", median_s(took.iter().copied()));

    let mut watcher = Command::new(std::env::current_exe().expect("Linux tells"));
    let mut watcher = Program::start(watcher.arg(WATCH).args(&folders));
    watcher.expect("ready");
    let programs = [
        (format!("client, {count} files in a shared folder"), &alice),
        (format!("client, {count} files shared one by one"), &bob),
        ("client, no file".to_owned(), &carol),
        ("nothing but a watch of the folder".to_owned(), &watcher),
    ];
    tell(&programs, idle, &files[0]);
}

/// Prints what the programs use while nothing happens, and while a file is written.
fn tell(programs: &[(String, &Program); 4], idle: Duration, written_to: &Path) {
    let cpu = || programs.each_ref().map(|(_, program)| usage_of(program.pid()).cpu);
    let begun = cpu();
    thread::sleep(idle);
    let rested = cpu();
    append(written_to);
    let written = cpu();
    let mut table =
        Table::new(&["", "MiB", &format!("CPU ms of {} s idle", idle.as_secs()), "CPU ms of 5 s of writes"]);
    for (at, (name, program)) in programs.iter().enumerate() {
        table.line(vec![
            name.clone(),
            format!("{:.1}", program.resident() as f64 / f64::from(1 << 20)),
            (rested[at] - begun[at]).as_millis().to_string(),
            (written[at] - rested[at]).as_millis().to_string(),
        ]);
    }
    table.print();
}

/// Appends to a file again and again, like a log.
fn append(path: &Path) {
    let mut file = OpenOptions::new().append(true).open(path).expect("there");
    let (time, pause) = WRITES;
    let end = Instant::now() + time;
    while Instant::now() < end {
        file.write_all(b"one more line\n").expect("room");
        thread::sleep(pause);
    }
}
