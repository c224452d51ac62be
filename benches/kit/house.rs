//! A tracker and members as their users run them. The bench uses the programs through their standard input.

use super::program;
use crate::common::deadline::LONG;
use crate::common::program::Program;
use groupshare::model::digest::Fingerprint;
use groupshare::tracker::auth::cluster_key::ClusterKey;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The name under which every file is shared.
pub(crate) const FILE: &str = "film.bin";

/// The programs.
pub(crate) const TRACKER: &str = env!("CARGO_BIN_EXE_tracker");
pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_client");

/// A tracker, and the folder with all its files and those of its members.
pub(crate) struct House {
    folder: PathBuf,
    info: PathBuf,
    _tracker: Program,
}

impl House {
    /// Starts a tracker on a free port.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_by(Command::new(TRACKER), free_address(), folder)
    }

    /// Starts a tracker at a given address, with a command that runs its program.
    pub(crate) fn start_by(mut command: Command, addr: SocketAddr, folder: &Path) -> Self {
        let info = folder.join("tracker_info.txt");
        fs::write(&info, format!("{addr}\n")).expect("written");
        let mut tracker = program::start(command.arg(&info).arg("1").current_dir(folder));
        tracker.expect("fingerprint");
        Self { folder: folder.to_path_buf(), info, _tracker: tracker }
    }

    /// Where the tracker listens.
    pub(crate) fn tracker_addr(&self) -> SocketAddr {
        fs::read_to_string(&self.info).expect("there").trim().parse().expect("an address")
    }

    /// The fingerprint of the tracker's key.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let key = fs::read(self.info.with_extension("txt.key")).expect("made");
        ClusterKey::new(key.as_slice().try_into().expect("32 bytes")).fingerprint()
    }

    /// A member with a new account.
    pub(crate) fn member(&self, name: &str, options: &[&str]) -> Member {
        self.member_at(free_address(), name, options)
    }

    /// A member with a new account that listens at a given address.
    pub(crate) fn member_at(&self, listen: SocketAddr, name: &str, options: &[&str]) -> Member {
        self.member_by(Command::new(CLIENT), listen, name, options)
    }

    /// A member with a new account, with a command that runs the client.
    pub(crate) fn member_by(&self, command: Command, listen: SocketAddr, name: &str, options: &[&str]) -> Member {
        let mut member = self.client_by(command, listen, (name, name), options);
        member.ask(&format!("create_user {name} secret"), "User created");
        member.log_in();
        member
    }

    /// `count` members who share a file in their group `lab`. Their names are `word` with a number.
    pub(crate) fn sharers(&self, word: &str, count: usize, file: &Path) -> Vec<Member> {
        let mut sharers: Vec<_> = (0..count).map(|number| self.member(&format!("{word}{number}"), &[])).collect();
        let (owner, others) = sharers.split_first_mut().expect("one at least");
        owner.found("lab");
        for other in others {
            other.join("lab", owner);
        }
        for sharer in &mut sharers {
            sharer.share("lab", file);
        }
        sharers
    }

    /// A client for the account `user` with a state folder `memory`. It is not logged in.
    pub(crate) fn client(&self, user: &str, memory: &str, options: &[&str]) -> Member {
        self.client_by(Command::new(CLIENT), free_address(), (user, memory), options)
    }

    fn client_by(
        &self,
        mut command: Command,
        listen: SocketAddr,
        (user, memory): (&str, &str),
        options: &[&str],
    ) -> Member {
        command.arg(listen.to_string()).arg(&self.info).args(options);
        command.arg("--state-dir").arg(self.folder.join("state").join(memory)).current_dir(&self.folder);
        Member { user: user.to_owned(), program: program::start(&mut command) }
    }
}

/// A client in use.
pub(crate) struct Member {
    user: String,
    /// The client's program.
    pub program: Program,
}

impl Member {
    /// Types a line and waits for a line that contains `answer`. Returns how long that took.
    pub(crate) fn ask(&mut self, line: &str, answer: &str) -> Duration {
        let start = Instant::now();
        self.program.say(line);
        self.program.expect(answer).at - start
    }

    /// Logs in with the password of all members.
    pub(crate) fn log_in(&mut self) {
        let line = format!("login {} secret", self.user);
        self.ask(&line, "Login successful");
    }

    /// Makes a group.
    pub(crate) fn found(&mut self, group: &str) {
        self.ask(&format!("create_group {group}"), "Group created");
    }

    /// Joins a group of another member.
    pub(crate) fn join(&mut self, group: &str, owner: &mut Member) {
        self.ask(&format!("join_group {group}"), "Request sent");
        owner.ask(&format!("accept_request {group} {}", self.user), "Request accepted");
        self.program.expect(&format!("You are a member of {group} now"));
    }

    /// Shares a file. Returns how long that took.
    pub(crate) fn share(&mut self, group: &str, file: &Path) -> Duration {
        self.ask(&format!("upload_file \"{}\" {group}", file.display()), "Uploaded")
    }

    /// Begins a download. Returns when.
    pub(crate) fn begin(&mut self, group: &str, folder: &Path) -> Instant {
        let start = Instant::now();
        self.program.say(&format!("download_file {group} {FILE} \"{}\"", folder.display()));
        start
    }

    /// Waits for the end of the download. Returns when the client reported it, or `None` if the download has failed.
    pub(crate) fn ended(&mut self) -> Option<Instant> {
        const GOOD: &str = "Download completed";
        let line = self.program.next(GOOD, |line| line.text.contains(GOOD) || line.text.contains("Download failed"));
        line.text.contains(GOOD).then_some(line.at)
    }

    /// Waits until the download is complete. Returns when the client reported it.
    pub(crate) fn complete(&mut self) -> Instant {
        self.program.expect("Download completed").at
    }

    /// Downloads to a folder. Returns three times: the command, the moment at which every byte was verified, and the
    /// moment at which the file durably had its final name. The second is when the program begins to wait for the disk.
    /// If that wait is too short to see, it equals the third.
    pub(crate) fn download(&mut self, group: &str, folder: &Path) -> (Instant, Instant, Instant) {
        let over = Arc::new(AtomicBool::new(false));
        let watcher = {
            let (pid, over) = (self.program.pid().as_raw_nonzero().get(), over.clone());
            thread::spawn(move || first_sync(pid, &over))
        };
        let start = self.begin(group, folder);
        let named = self.complete();
        over.store(true, Ordering::Relaxed);
        let verified = watcher.join().expect("it only looks").unwrap_or(named).min(named);
        (start, verified, named)
    }
}

/// When a thread of the process first shows up in `fsync` or in `syncfs`, at the end of a download.
fn first_sync(pid: i32, over: &AtomicBool) -> Option<Instant> {
    let tasks = format!("/proc/{pid}/task");
    let mut known: Vec<String> = Vec::new();
    let mut finisher = None;
    let deadline = Instant::now() + LONG;
    while !over.load(Ordering::Relaxed) && Instant::now() < deadline {
        let threads =
            fs::read_dir(&tasks).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        for thread in threads.filter(|_| finisher.is_none()).collect::<Vec<_>>() {
            if !known.contains(&thread) {
                let name = fs::read_to_string(format!("{tasks}/{thread}/comm")).unwrap_or_default();
                finisher = name.starts_with("finish-").then(|| thread.clone());
                known.push(thread);
            }
        }
        if let Some(thread) = &finisher {
            let call = fs::read_to_string(format!("{tasks}/{thread}/syscall")).unwrap_or_default();
            let syncs = [libc::SYS_fsync, libc::SYS_syncfs].map(|number| number.to_string());
            if syncs.iter().any(|number| call.split(' ').next() == Some(number)) {
                return Some(Instant::now());
            }
        }
        thread::sleep(Duration::from_millis(if finisher.is_some() { 1 } else { 5 }));
    }
    None
}

/// An address of this machine at which nobody listens.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}
