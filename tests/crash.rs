//! The tracker's program killed under load, again and again: nothing that it acknowledged is missing afterwards. And
//! what it says when its journal is damaged.
//!
//! `ROUNDS=1000 cargo test --release --test crash` is the longer run.

mod common;

use common::*;
use crossbeam_channel::{Sender, unbounded};
use groupshare::model::digest::Fingerprint;
use groupshare::model::name::GroupId;
use groupshare::tracker::identity::Identity;
use groupshare::wire::client_tracker::{Reply, Request, TOKEN_LEN_MAX};
use groupshare::wire::codec::Blob;
use groupshare::wire::frame::UNASKED;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

const ROUNDS: u64 = 30;
const CLIENTS: usize = 4;

static INSTALLATIONS: AtomicU8 = AtomicU8::new(100);

/// An installation with one tracker on a loopback address of its own.
struct Installation {
    folder: tempfile::TempDir,
    addr: SocketAddr,
}

impl Installation {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [.., high, low] = std::process::id().to_be_bytes();
        let number = INSTALLATIONS.fetch_add(1, Ordering::Relaxed);
        let ip = Ipv4Addr::new(127, high.max(1), low, number);
        let addr = TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr()).expect("a free port");
        fs::write(folder.path().join("tracker_info.txt"), format!("{addr}\n")).expect("writable");
        Self { folder, addr }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Starts the tracker and waits until it says that it runs.
    fn start(&self) -> Running {
        let mut child = self.command().stdout(Stdio::piped()).spawn().expect("started");
        let mut banner = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut banner).expect("a banner");
        assert!(banner.starts_with("tracker 1 on "), "it does not start: {banner}");
        Running(child)
    }

    fn connect(&self) -> Client {
        let key = fs::read(self.folder.path().join("tracker_info.txt.key")).expect("made");
        let own: Fingerprint = Identity::new(key.as_slice().try_into().expect("32 bytes")).fingerprint();
        Client::over_to(TcpStream::connect(self.addr).expect("it listens"), own).expect("a channel")
    }
}

/// A tracker that runs, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("killed");
    }
}

impl Installation {
    fn resume(&self, member: &Member) -> Client {
        let mut client = self.connect();
        assert!(matches!(client.resume(&member.token), Reply::LoggedIn { .. }), "the session has not survived");
        client
    }
}

/// What a group of a user is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    There,
    Gone,
    /// The tracker was killed before it answered.
    Asked,
}

/// A user who makes groups and leaves some of them again.
struct Member {
    name: String,
    token: Blob<TOKEN_LEN_MAX>,
    groups: BTreeMap<String, Known>,
    made: u64,
    /// What was not answered, to be asked again.
    open: Option<Request>,
}

fn group_of(request: &Request) -> &GroupId {
    match request {
        Request::CreateGroup { group, .. } | Request::LeaveGroup { group, .. } => group,
        other => panic!("not one of ours: {other:?}"),
    }
}

impl Member {
    fn next_request(&mut self) -> Request {
        let leave = self.made % 3 == 2;
        self.made += 1;
        if leave {
            let last = self.groups.iter().rev().find(|(_, known)| **known == Known::There);
            if let Some((name, _)) = last {
                return Request::LeaveGroup { command: command(), group: group(name) };
            }
        }
        Request::CreateGroup { command: command(), group: group(&format!("{}-{:06}", self.name, self.made)) }
    }

    /// Asks until the tracker is gone; tells every answer.
    fn run(&mut self, mut client: Client, answered: &Sender<()>) {
        for number in 1000.. {
            let again = self.open.is_some();
            let request = self.open.take().unwrap_or_else(|| self.next_request());
            let name = group_of(&request).as_str().to_owned();
            let creates = matches!(request, Request::CreateGroup { .. });
            self.open = Some(request.clone());
            if !again {
                self.groups.insert(name.clone(), Known::Asked);
            }
            if client.sender.send(number, &request).is_err() {
                return;
            }
            loop {
                match client.next() {
                    Ok((UNASKED, _)) => {}
                    Ok((id, Reply::Done {})) if id == number => break,
                    Ok((_, other)) => panic!("{request:?} was answered by {other:?}"),
                    Err(_) => return,
                }
            }
            self.open = None;
            self.groups.insert(name, if creates { Known::There } else { Known::Gone });
            // The other side is gone once it has heard enough.
            let _ = answered.send(());
        }
    }

    fn verify(&self, there: &[String]) {
        for (name, known) in &self.groups {
            let found = there.binary_search(name).is_ok();
            match known {
                Known::There => assert!(found, "{name} was acknowledged and is missing"),
                Known::Gone => assert!(!found, "{name} was left and is there again"),
                Known::Asked => {}
            }
        }
        let unknown = there.iter().find(|name| name.starts_with(&self.name) && !self.groups.contains_key(*name));
        assert_eq!(unknown, None, "nobody made this");
    }
}

fn all_groups(client: &mut Client) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let after = all.last().map(|name| group(name));
        match client.ask(Request::ListGroups { after }) {
            Reply::Groups { groups, more } => {
                all.extend(groups.iter().map(|line| line.name.as_str().to_owned()));
                if !more {
                    return all;
                }
            }
            other => panic!("no groups but {other:?}"),
        }
    }
}

/// Lets everybody work until so many changes were answered, then kills the tracker. Gives how many were answered.
fn round(installation: &Installation, members: &mut [Member], enough: u64) -> u64 {
    let tracker = installation.start();
    let (answered, answers) = unbounded();
    let clients: Vec<Client> = members.iter().map(|member| installation.resume(member)).collect();
    thread::scope(|scope| {
        for (member, client) in members.iter_mut().zip(clients) {
            let answered = answered.clone();
            scope.spawn(move || member.run(client, &answered));
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
    let installation = Installation::new();
    let tracker = installation.start();
    let mut members: Vec<Member> = (0..CLIENTS)
        .map(|n| {
            let (mut client, name) = (installation.connect(), format!("user{n}"));
            client.create_user(&name);
            Member { token: client.log_in(&name), name, groups: BTreeMap::new(), made: 0, open: None }
        })
        .collect();
    drop(tracker);

    let mut answered = 0;
    for number in 0..rounds {
        // From hardly begun to some hundred changes.
        answered += round(&installation, &mut members, 1 + number * 37 % 250);
        let tracker = installation.start();
        let mut client = installation.resume(&members[0]);
        let there = all_groups(&mut client);
        members.iter().for_each(|member| member.verify(&there));
        // Killed again, this time without anything to do.
        drop(tracker);
    }
    assert!(answered > rounds);
    let data = installation.folder.path().join("tracker_info.txt.data/tracker-1");
    let output = installation.command().arg("--check").arg(&data).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{answered} changes answered in {rounds} rounds\n{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_damaged_journal_is_refused_checked_and_repaired_by_the_program() {
    let installation = Installation::new();
    let tracker = installation.start();
    let mut client = installation.connect();
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

    let output = installation.command().output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    for words in ["00000000000000000001.journal is damaged at byte ", "a later batch follows", "--check", "--repair"] {
        assert!(said.contains(words), "{said}");
    }
    let run = |option| {
        let output = installation.command().arg(option).arg(&data).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = run("--check");
    assert!(code == Some(1) && said.contains("is damaged at byte "), "{said}");
    assert_eq!(fs::read(&file).expect("there"), bytes, "checking changes nothing");
    let (code, said) = run("--repair");
    assert!(code == Some(0) && said.contains("a copy of what was there is in "), "{said}");
    let copy = data.join("journal-before-repair-1/00000000000000000001.journal");
    assert_eq!(fs::read(copy).expect("there"), bytes);
    let (code, said) = run("--check");
    assert_eq!(code, Some(0), "{said}");

    let _tracker = installation.start();
    let mut client = installation.connect();
    assert!(matches!(client.resume(&token), Reply::LoggedIn { .. }));
    assert_eq!(all_groups(&mut client), ["one", "two"]);
    let (code, said) = run("--check");
    assert!(code == Some(1) && said.contains("another tracker is using "), "{said}");
}
