//! Trackers on the internet, and a group with members in many places.

use crate::common::deadline::LONG;
use crate::common::wait::wait_until;
use crate::kinds::{Kind, Wall};
use crate::member::Member;
use crate::network::{Network, Site};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// The port of every tracker.
const PORT: u16 = 5000;
const PASSWORD: &str = "correct horse battery staple";

pub(crate) struct Lab {
    pub network: Network,
    folder: tempfile::TempDir,
    /// The sites of the trackers.
    trackers: Vec<Site>,
    running: Vec<Child>,
}

impl Lab {
    /// A lab with this many trackers. All of them have these arguments and listen on IPv4 and IPv6.
    pub(crate) fn new(count: usize, args: &[&str]) -> Self {
        let mut network = Network::new();
        let trackers: Vec<Site> = (1..=count).map(|n| network.site(&format!("tracker{n}"), true, true)).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let mut lab = Self { network, folder, trackers, running: Vec::new() };
        for number in 1..=count {
            lab.start_tracker(number, args);
        }
        lab
    }

    fn start_tracker(&mut self, number: usize, args: &[&str]) {
        let site = &self.trackers[number - 1];
        let folder = self.place(&site.name);
        let mut list = self.list(true, 1);
        list[number - 1] = format!("[::]:{PORT}");
        fs::write(folder.join("tracker_info.txt"), list.join("\n")).expect("room");
        let key = |folder: &Path| folder.join("tracker_info.txt.key");
        if number > 1 {
            fs::copy(key(&self.place("tracker1")), key(&folder)).expect("the first has made one");
        }
        let mut command = site.command(env!("CARGO_BIN_EXE_tracker"));
        command.args(["tracker_info.txt", &number.to_string()]).args(args).current_dir(&folder);
        // Its console ends with its input, and the tracker goes on.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut tracker = command.spawn().expect("the tracker starts");
        let mut line = String::new();
        BufReader::new(tracker.stdout.take().expect("piped")).read_line(&mut line).expect("text");
        self.running.push(tracker);
        assert!(line.starts_with(&format!("tracker {number} on ")), "{line}");
    }

    /// The list of trackers with addresses of one family. It begins with this number.
    fn list(&self, ipv4: bool, first: usize) -> Vec<String> {
        let addr = |site: &Site| {
            if ipv4 { format!("{}:{PORT}", site.ipv4()) } else { format!("[{}]:{PORT}", site.ipv6()) }
        };
        let mut list: Vec<String> = self.trackers.iter().map(addr).collect();
        list.rotate_left(first - 1);
        list
    }

    /// A folder. It is made if necessary.
    fn place(&self, name: &str) -> PathBuf {
        let place = self.folder.path().join(name);
        fs::create_dir_all(&place).expect("a folder");
        place
    }

    /// Two sites of a kind with its firewalls and NATs. For two members on one machine they are the same site.
    pub(crate) fn sites(&mut self, kind: &Kind) -> [Site; 2] {
        self.sites_called(kind.name, kind)
    }

    pub(crate) fn sites_called(&mut self, name: &str, kind: &Kind) -> [Site; 2] {
        let mut place = |number: usize| {
            let site = self.network.site(&format!("{name}{number}"), kind.ipv4, kind.ipv6);
            set_up(&site, kind.wall);
            site
        };
        match (kind.wall.is_nat(), kind.together) {
            (false, true) => {
                let one = place(1);
                [one.clone(), one]
            }
            (false, false) => [place(1), place(2)],
            (true, true) => {
                let nat = place(1);
                [2, 3].map(|machine| self.network.behind(&nat, machine))
            }
            (true, false) => {
                let nats = [place(1), place(2)];
                nats.map(|nat| self.network.behind(&nat, 2))
            }
        }
    }

    /// A member with an account of its own, logged in.
    pub(crate) fn member(&self, name: &str, site: &Site, kind: &Kind, args: &[&str]) -> Member {
        let folder = self.place(name);
        fs::write(folder.join("tracker_info.txt"), self.list(kind.ipv4, kind.tracker).join("\n")).expect("room");
        let mut member = Member::start(name, site, folder, args);
        let account = json!({ "user_id": name, "passwd": PASSWORD });
        member.does("create_user", &account);
        member.does("login", &account);
        member
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for tracker in &mut self.running {
            // This fails if the tracker has ended already.
            let _ = tracker.kill();
            let _ = tracker.wait();
        }
    }
}

fn set_up(site: &Site, wall: Wall) {
    let chains = wall.rules();
    let chain = |(number, rules): (usize, &[&str; 4])| format!("chain c{number} {{\n{}\n}}\n", rules.join("\n"));
    let chains: String = chains.iter().enumerate().map(chain).collect();
    site.rules(&format!("table inet wall {{\n{chains}}}\n"));
}

/// The group of all members.
pub(crate) fn group() -> Value {
    json!({ "group_id": "lab" })
}

/// The first member makes a group and accepts all others.
pub(crate) fn gather(members: &mut [Member]) {
    let (owner, others) = members.split_first_mut().expect("somebody");
    owner.does("create_group", &group());
    for other in &mut *others {
        // Another tracker hears of the group a little later.
        wait_until("the group", || other.ask("join_group", &group())["status"] == "success");
        let asks = |event: &Value| event["event"] == "join_requested" && event["user_id"] == *other.name;
        owner.event(LONG, asks).expect("it asks");
        owner.does("accept_request", &json!({ "group_id": "lab", "user_id": other.name }));
        other.event(LONG, |event| event["event"] == "request_accepted").expect("it is let in");
    }
}
