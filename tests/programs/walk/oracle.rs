//! What people have commanded and put on their disks, and what must hold because of that.

use super::content::{Tree, place, read, remove};
use super::machine::Machine;
use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::common::wait::wait_until;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The share under a name.
pub(super) struct Share {
    pub content: Tree,
    /// The users who share it.
    pub sharers: BTreeSet<&'static str>,
}

/// How much of a share a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Had {
    All,
    Some,
    None,
}

pub(super) struct World {
    pub installation: Installation,
    pub tracker: Option<Program>,
    /// Two machines of alice, and one of bob.
    pub machines: Vec<Machine>,
    /// Downloads every file, to check what the others give.
    carol: Machine,
    pub shares: BTreeMap<&'static str, Share>,
    /// For each machine, where it has its user's shares.
    pub records: Vec<BTreeMap<&'static str, PathBuf>>,
    /// The content at each path, as people and finished downloads left it.
    pub disk: BTreeMap<PathBuf, Tree>,
    checks: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let installation = Installation::of(1);
        let tracker = Some(installation.tracker(1));
        let mut machines: Vec<Machine> = [("desk", "alice"), ("laptop", "alice"), ("home", "bob"), ("check", "carol")]
            .map(|(name, user)| Machine::new(&installation, name, user))
            .into();
        for at in [0, 2, 3] {
            let account = json!({ "user_id": machines[at].user, "passwd": "pw" });
            machines[at].succeeds("create_user", account);
        }
        machines.iter_mut().for_each(Machine::log_in);
        machines[0].succeeds("create_group", json!({ "group_id": "lab" }));
        for at in [2, 3] {
            machines[at].succeeds("join_group", json!({ "group_id": "lab" }));
            let user = machines[at].user;
            machines[0].succeeds("accept_request", json!({ "group_id": "lab", "user_id": user }));
            wait_until("the new member is one", || {
                machines[at].ask("list_files", json!({ "group_id": "lab" }))["status"] == "success"
            });
        }
        let carol = machines.pop().expect("the last");
        let records = machines.iter().map(|_| BTreeMap::new()).collect();
        let (shares, disk) = (BTreeMap::new(), BTreeMap::new());
        Self { installation, tracker, machines, carol, shares, records, disk, checks: 0 }
    }

    /// How much of a share a machine still has, by its disk.
    fn had(&self, machine: usize, name: &str) -> Had {
        let (Some(path), Some(share)) = (self.records[machine].get(name), self.shares.get(name)) else {
            return Had::None;
        };
        let there = self.disk.get(path);
        let same = |(below, bytes): (&PathBuf, &Vec<u8>)| there.and_then(|tree| tree.get(below)) == Some(bytes);
        match share.content.iter().filter(|file| same(*file)).count() {
            0 => Had::None,
            count if count == share.content.len() => Had::All,
            _ => Had::Some,
        }
    }

    /// Whether a running machine has all of it.
    pub(super) fn has_all(&self, machine: usize, name: &str) -> bool {
        self.machines[machine].is_on() && self.had(machine, name) == Had::All
    }

    fn count(&self, name: &str, which: impl Fn(usize, Had) -> bool) -> u64 {
        let on = (0..self.machines.len()).filter(|&machine| self.machines[machine].is_on());
        on.filter(|&machine| which(machine, self.had(machine, name))).count() as u64
    }

    /// Only the owner of a file deletes it: everything that people and downloads have put somewhere is still as they
    /// left it.
    pub(super) fn check_disk(&self) {
        for (path, tree) in &self.disk {
            let there = read(path);
            assert!(there.as_ref() == Some(tree), "{} is not what was left there", path.display());
        }
    }

    /// Only a user's command withdraws a share, and identity is content: the list has exactly what users share.
    fn check_list(&mut self) {
        let files = self.carol.files();
        let listed: BTreeMap<&str, u64> = files.iter().map(|(name, sharers, _)| (name.as_str(), *sharers)).collect();
        let said = self.shares.iter().map(|(name, share)| (*name, share.sharers.len() as u64));
        assert_eq!(listed, said.collect(), "shares and their numbers of sharers");
    }

    /// Checks everything that must hold now or a little later. The machines in `looked` have checked the files of their
    /// shares.
    pub(super) fn check(&mut self, looked: &[usize]) {
        self.check_disk();
        self.check_list();
        for name in self.shares.keys().copied().collect::<Vec<_>>() {
            self.check_given(name, looked);
        }
        self.check_disk();
    }

    /// Complete means verified content, and an announced piece exists: a new member downloads a file.
    fn check_given(&mut self, name: &'static str, looked: &[usize]) {
        self.checks += 1;
        let to = self.carol.folder.join(format!("got-{}", self.checks));
        let all = self.count(name, |_, had| had == Had::All);
        // A machine that has lost a file of a share learns that from a request for it.
        let unseen = |machine: usize| self.records[machine].contains_key(name) && !looked.contains(&machine);
        let (at_least, at_most) = (all, self.count(name, |machine, had| had != Had::None || unseen(machine)));
        println!("  carol takes {name}, which {at_least} to {at_most} clients have");
        self.carol.forget_ends(name);
        let args = json!({ "group_id": "lab", "file_name": name, "destination_path": to });
        self.carol.succeeds("download_file", args);
        let args = json!({ "group_id": "lab", "file_name": name });
        let mut taken = 0;
        if all > 0 {
            let end = self.carol.ended(name);
            assert_eq!(end["event"], "download_completed", "{name}: {end}");
            assert!(read(&to).as_ref() == Some(&self.shares[name].content), "{name} came as another content");
            taken = 1;
        }
        let carol = &mut self.carol;
        let mut seen = Vec::new();
        wait_until(&format!("{name} is with {at_least} to {at_most} clients"), || {
            seen = carol.files();
            let online = seen.iter().find(|(file, ..)| file == name).map(|(.., online)| *online);
            online.is_some_and(|online| (at_least + taken..=at_most + taken).contains(&online))
        });
        if taken == 1 {
            carol.succeeds("stop_share", args);
        } else {
            // It may have come in parts from several members.
            let shown = carol.download(name).expect("begun");
            if shown["state"] == "completed" {
                assert!(read(&to).as_ref() == Some(&self.shares[name].content), "{name} came as another content");
                carol.succeeds("stop_share", args);
            } else {
                // During its disk check the client asks for patience.
                wait_until("it is cancelled", || carol.ask("cancel_download", args.clone())["status"] == "success");
                assert!(read(&to).is_none(), "files of a cancelled download are left");
            }
        }
        remove(&to);
    }

    /// A user stops sharing something, on all machines.
    pub(super) fn stopped(&mut self, user: &str, name: &'static str) {
        for (machine, records) in self.machines.iter().zip(&mut self.records) {
            if machine.user == user {
                records.remove(name);
            }
        }
        let share = self.shares.get_mut(name).expect("shared");
        share.sharers.retain(|sharer| *sharer != user);
        if share.sharers.is_empty() {
            self.shares.remove(name);
        }
    }

    /// A machine shares a content at a path.
    pub(super) fn shares(&mut self, machine: usize, name: &'static str, path: &Path) {
        let user = self.machines[machine].user;
        self.shares.get_mut(name).expect("shared").sharers.insert(user);
        self.records[machine].insert(name, path.to_path_buf());
    }

    /// An entry has moved to another path.
    pub(super) fn moved(&mut self, from: &Path, to: &Path) {
        std::fs::rename(from, to).expect("moved");
        let inside: Vec<PathBuf> = self.disk.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in inside {
            let tree = self.disk.remove(&path).expect("there");
            self.disk.insert(place(to, path.strip_prefix(from).expect("inside")), tree);
        }
    }
}
