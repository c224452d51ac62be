//! Random actions of people: on their files, on their clients, and during a download.

use super::content::{Tree, content, read, remove, write};
use super::machine::{ENDS, End};
use super::oracle::{Share, World};
use crate::common::random::Random;
use crate::common::wait::wait_until;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const NAMES: [&str; 3] = ["film", "notes", "pictures"];

pub(super) struct Walk {
    world: World,
    random: Random,
    /// Numbers new names of folders and new contents.
    count: u64,
    /// The place of something that was moved away, and its proper place.
    away: Vec<(PathBuf, PathBuf)>,
}

/// A disturbance of a running download.
#[derive(Debug, Clone, Copy)]
enum Disturbance {
    None,
    Paused,
    Ended(End),
    FolderRenamed,
    OwnFileInTheWay,
    PartNamedAsIfWhole,
    SidecarLost,
    Cancelled,
    PartReplaced,
    DiskAway,
}

impl Walk {
    pub(super) fn begin(seed: u64) -> Self {
        Self { world: World::new(), random: Random(seed), count: 0, away: Vec::new() }
    }

    fn chance(&mut self, of: usize) -> usize {
        (self.random.next() % of as u64) as usize
    }

    fn fresh(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Does one action, and checks that everything is as it must be.
    pub(super) fn step(&mut self) {
        let (machine, name) = (self.chance(3), NAMES[self.chance(3)]);
        if !self.world.machines[machine].is_on() {
            println!("  {} is started", self.world.machines[machine].name);
            self.world.machines[machine].begin(&self.world.installation);
        }
        let held = self.world.records[machine].get(name).cloned();
        match (self.chance(12), held) {
            (0, _) => self.end(machine),
            (1, _) => self.tracker_dies(),
            (2, _) => self.back(),
            (3, Some(_)) => self.stop(machine, name),
            (_, Some(path)) => self.change_disk(&path),
            (_, None) if self.world.shares.contains_key(name) => self.download(machine, name),
            (_, None) => self.upload(machine, name),
        }
        self.world.check_disk();
    }

    pub(super) fn check(&mut self) {
        println!("  all is looked at");
        let mut looked = Vec::new();
        for machine in 0..3 {
            if self.world.machines[machine].is_on() && self.chance(2) == 0 {
                println!("  {} logs in again", self.world.machines[machine].name);
                self.world.machines[machine].succeeds("logout", json!({}));
                self.world.machines[machine].log_in();
                looked.push(machine);
            }
        }
        self.world.check(&looked);
    }

    fn end(&mut self, machine: usize) {
        let how = ENDS[self.chance(ENDS.len())];
        println!("  {} ends: {how:?}", self.world.machines[machine].name);
        self.world.machines[machine].end(how);
    }

    fn tracker_dies(&mut self) {
        println!("  the tracker is killed and started again");
        self.world.tracker.take().expect("it runs").kill();
        self.world.tracker = Some(self.world.installation.tracker(1));
        for machine in self.world.machines.iter_mut().filter(|machine| machine.is_on()) {
            wait_until("the tracker is reached again", || {
                machine.ask("list_files", json!({ "group_id": "lab" }))["status"] == "success"
            });
        }
    }

    fn upload(&mut self, machine: usize, name: &'static str) {
        let number = self.fresh();
        let content = content(number, name == "pictures");
        let folder = self.world.machines[machine].folder.join(format!("own-{number}"));
        fs::create_dir(&folder).expect("made");
        let path = folder.join(name);
        println!("  {} shares {}", self.world.machines[machine].name, path.display());
        write(&path, &content);
        self.world.machines[machine].succeeds("upload_file", json!({ "file_path": path, "group_id": "lab" }));
        self.world.shares.insert(name, Share { content: content.clone(), sharers: BTreeSet::new() });
        self.world.shares(machine, name, &path);
        self.world.disk.insert(path, content);
    }

    fn stop(&mut self, machine: usize, name: &'static str) {
        println!("  {} stops sharing {name}", self.world.machines[machine].name);
        let machine = &mut self.world.machines[machine];
        machine.succeeds("stop_share", json!({ "group_id": "lab", "file_name": name }));
        let user = machine.user;
        self.world.stopped(user, name);
    }

    /// Moves back what was moved away.
    fn back(&mut self) {
        if let Some((away, home)) = self.away.pop() {
            println!("  {} is back", home.display());
            self.world.moved(&away, &home);
        }
    }

    /// Does something to the share's files on the disk.
    fn change_disk(&mut self, path: &Path) {
        let Some(there) = self.world.disk.get(path).cloned() else { return };
        let chosen = self.chance(5);
        println!(
            "  {} {}",
            path.display(),
            ["is touched", "is moved away", "is deleted", "changes", "is written again"][chosen]
        );
        match chosen {
            0 => touch(path, &there, self.fresh()),
            1 => {
                let away = path.with_file_name(format!("away-{}", self.fresh()));
                self.world.moved(path, &away);
                self.away.push((away, path.to_path_buf()));
            }
            2 => {
                remove(path);
                self.world.disk.remove(path);
            }
            3 => {
                let mut other = there;
                // One file of a folder, or all of a single file.
                let file = other.values_mut().next().expect("it has files");
                file.iter_mut().for_each(|byte| *byte ^= 0x55);
                write(path, &other);
                self.world.disk.insert(path.to_path_buf(), other);
            }
            _ => write(path, &there),
        }
    }

    fn download(&mut self, machine: usize, name: &'static str) {
        let others = (0..3).filter(|&other| other != machine);
        if !others.into_iter().any(|other| self.world.has_all(other, name)) {
            return;
        }
        let number = self.fresh();
        let folder = self.world.machines[machine].folder.join(format!("got-{number}"));
        fs::create_dir(&folder).expect("made");
        let path = folder.join(["other", name][self.chance(2)]);
        let disturbance = self.disturbance();
        println!("  {} takes {name} to {}: {disturbance:?}", self.world.machines[machine].name, path.display());
        let taker = &mut self.world.machines[machine];
        taker.forget_ends(name);
        taker.succeeds("limit", json!({ "download": 1_000_000 }));
        taker.succeeds("download_file", json!({ "group_id": "lab", "file_name": name, "destination_path": path }));
        wait_until("a part of it is there", || {
            let shown = taker.download(name).expect("begun");
            shown["done"].as_u64().is_some_and(|done| done > 0)
        });
        match self.disturb(machine, name, &path, disturbance) {
            Some(path) => self.complete(machine, name, &path),
            None => {
                let listed = self.world.machines[machine].download(name);
                // This may be about an earlier download of the name.
                let gone = listed.as_ref().is_none_or(|listed| listed["state"] == "completed");
                assert!(gone, "a cancelled download is listed: {listed:?}");
            }
        }
    }

    fn disturbance(&mut self) -> Disturbance {
        let end = ENDS[self.chance(ENDS.len())];
        let all = [
            Disturbance::None,
            Disturbance::Paused,
            Disturbance::Ended(end),
            Disturbance::FolderRenamed,
            Disturbance::OwnFileInTheWay,
            Disturbance::PartNamedAsIfWhole,
            Disturbance::SidecarLost,
            Disturbance::Cancelled,
            Disturbance::PartReplaced,
            Disturbance::DiskAway,
        ];
        all[self.chance(all.len())]
    }

    /// Waits until the download is complete, and notes its files.
    fn complete(&mut self, machine: usize, name: &'static str, path: &Path) {
        let taker = &mut self.world.machines[machine];
        taker.succeeds("limit", json!({ "download": 0 }));
        let end = taker.ended(name);
        assert_eq!(end["event"], "download_completed", "{end}");
        assert_eq!(end["file_path"], path.to_str().expect("text"), "{end}");
        let there = read(path).expect("complete means that it is there");
        assert!(there == self.world.shares[name].content, "complete means verified content");
        self.world.disk.insert(path.to_path_buf(), there);
        self.world.shares(machine, name, path);
    }

    /// Disturbs a download. Returns the place of the finished file, or `None` if the download was given up.
    fn disturb(&mut self, machine: usize, name: &str, path: &Path, how: Disturbance) -> Option<PathBuf> {
        let file = json!({ "group_id": "lab", "file_name": name });
        let folder = path.parent().expect("it has one").to_path_buf();
        let part = beside(path, ".part");
        match how {
            Disturbance::None => {}
            Disturbance::Paused => {
                let taker = &mut self.world.machines[machine];
                if taker.ask("pause_download", file.clone())["status"] == "success" {
                    taker.succeeds("resume_download", file);
                }
            }
            Disturbance::Ended(how) => self.end_and_begin(machine, how, || {}),
            Disturbance::FolderRenamed => {
                let moved = folder.with_file_name(format!("moved-{}", self.fresh()));
                fs::rename(&folder, &moved).expect("moved");
                let home = moved.join(path.file_name().expect("a name"));
                // If it was complete before, it is shared at its old place.
                return Some(home);
            }
            Disturbance::SidecarLost => {
                let sidecar = beside(path, ".part.meta");
                self.end_and_begin(machine, End::Quit, || drop(fs::remove_file(sidecar)));
            }
            Disturbance::DiskAway => {
                let away = folder.with_file_name(format!("away-{}", self.fresh()));
                let empty = || fs::rename(&folder, &away).and_then(|()| fs::create_dir(&folder)).expect("moved");
                self.end_and_begin(machine, End::Quit, empty);
                let taker = &mut self.world.machines[machine];
                let end = taker.ended(name);
                assert_eq!(end["event"], "download_lost", "it waits for its disk: {end}");
                assert!(read(&folder).is_none(), "nothing is begun where the disk is not");
                remove(&folder);
                fs::rename(&away, &folder).expect("moved");
                self.world.machines[machine].succeeds("resume_download", file);
            }
            Disturbance::Cancelled => {
                self.cancel(machine, name);
                assert!(read(&folder).is_none(), "pieces of a cancelled download are left");
                return None;
            }
            Disturbance::OwnFileInTheWay => return self.own_file(machine, name, path, path),
            Disturbance::PartReplaced => {
                fs::rename(&part, beside(path, ".was")).expect("moved");
                return self.own_file(machine, name, path, &part);
            }
            Disturbance::PartNamedAsIfWhole => {
                self.world.machines[machine].succeeds("pause_download", file.clone());
                fs::rename(&part, path).expect("moved");
                let left = read(path).expect("it is there");
                self.world.disk.insert(path.to_path_buf(), left);
                let taker = &mut self.world.machines[machine];
                if taker.ask("resume_download", file)["status"] == "success" {
                    let end = taker.ended(name);
                    assert_eq!(end["event"], "download_failed", "half a file is not complete: {end}");
                }
                self.cancel(machine, name);
                return None;
            }
        }
        Some(path.to_path_buf())
    }

    /// The user puts a file of their own into the place of a download, and cancels the download.
    fn own_file(&mut self, machine: usize, name: &str, path: &Path, place: &Path) -> Option<PathBuf> {
        let own = content(self.fresh(), false);
        write(place, &own);
        self.world.disk.insert(place.to_path_buf(), own);
        let taker = &mut self.world.machines[machine];
        taker.succeeds("limit", json!({ "download": 0 }));
        let end = taker.ended(name);
        assert_eq!(end["event"], "download_failed", "{} is in the way of {}: {end}", place.display(), path.display());
        self.cancel(machine, name);
        None
    }

    fn cancel(&mut self, machine: usize, name: &str) {
        let taker = &mut self.world.machines[machine];
        taker.succeeds("limit", json!({ "download": 0 }));
        let answer = taker.ask("cancel_download", json!({ "group_id": "lab", "file_name": name }));
        println!("  {answer}");
    }

    fn end_and_begin(&mut self, machine: usize, how: End, meanwhile: impl FnOnce()) {
        let World { machines, installation, .. } = &mut self.world;
        machines[machine].end(how);
        meanwhile();
        machines[machine].begin(installation);
    }
}

/// A name that begins like this one.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().expect("a name").to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Gives all files of a content another time of last write.
fn touch(path: &Path, tree: &Tree, number: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + number);
    for below in tree.keys() {
        File::open(super::content::place(path, below)).and_then(|file| file.set_modified(time)).expect("set");
    }
}
