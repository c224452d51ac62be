//! A shared folder and two who follow its group, through an hour of changes, kills and partitions in less than a minute.

use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::common::random::Random;
use crate::common::relay::Relay;
use crate::common::wait::wait_until;
use crate::follows::{files, member, owner, place, write};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const SEED: u64 = 26;
const STEPS: usize = 70;
const NAMES: [&str; 7] = ["a", "b", "c", "d/a", "d/b", "d/e/c", "f/a"];
const FOLLOWERS: [&str; 2] = ["bob", "carol"];

fn below(random: &mut Random, most: usize) -> usize {
    (random.next() % most as u64) as usize
}

struct Hour {
    installation: Installation,
    tracker: Option<Program>,
    alice: Option<Program>,
    followers: Vec<Program>,
    /// The only way of bob to the tracker.
    relay: Relay,
    random: Random,
    /// Whatever alice had in a file.
    versions: BTreeSet<Vec<u8>>,
    /// What each follower has put into the followed folder.
    own: [BTreeMap<&'static str, Vec<u8>>; 2],
}

/// Puts a file in its place in one step, as editors do.
fn save(root: &Path, name: &str, content: &[u8]) {
    let place = root.join(name);
    fs::create_dir_all(place.parent().expect("it has one")).expect("made");
    fs::write(root.join(".saved"), content).expect("room");
    fs::rename(root.join(".saved"), place).expect("renamed");
}

fn login(installation: &Installation, name: &str) -> Program {
    let mut program = installation.person_again(name, &[]);
    program.told(&format!("login {name} pw"), "Login successful");
    program
}

impl Hour {
    fn begin() -> Self {
        let installation = Installation::of(1);
        let tracker = installation.tracker(1);
        let relay = Relay::to(installation.addrs[0], |_, _, _| {});
        let mut alice = owner(&installation);
        let mut followers = Vec::new();
        for name in FOLLOWERS {
            let mut follower = member(&installation, &mut alice, name, &[]);
            write(&installation, &format!("{name}/in/own"), name);
            follower.told("follow_group lab in --all", "Following the group");
            followers.push(follower);
        }
        fs::create_dir(place(&installation, "alice/pool")).expect("made");
        alice.told("share_folder pool lab", "Sharing the folder");
        let own = FOLLOWERS.map(|name| BTreeMap::from([("own", name.as_bytes().to_vec())]));
        let (random, versions) = (Random(SEED), BTreeSet::new());
        let (tracker, alice) = (Some(tracker), Some(alice));
        Self { installation, tracker, alice, followers, relay, random, versions, own }
    }

    fn pick(&mut self) -> &'static str {
        NAMES[below(&mut self.random, NAMES.len())]
    }

    /// Something happens in the folder of alice.
    fn change(&mut self, number: usize) {
        let pool = place(&self.installation, "alice/pool");
        let (from, to) = (self.pick(), self.pick());
        match below(&mut self.random, 10) {
            0..6 => {
                let content = format!("{number} {}", "x".repeat(below(&mut self.random, 2000))).into_bytes();
                save(&pool, to, &content);
                self.versions.insert(content);
            }
            6 => drop(fs::remove_file(pool.join(to))),
            _ => {
                fs::create_dir_all(pool.join(to).parent().expect("it has one")).expect("made");
                drop(fs::rename(pool.join(from), pool.join(to)));
            }
        }
    }

    /// A follower puts a file of its own into the followed folder, or edits one that came.
    fn put_own(&mut self, number: usize) {
        let (who, name) = (below(&mut self.random, FOLLOWERS.len()), self.pick());
        let content = format!("{}'s {number}", FOLLOWERS[who]).into_bytes();
        save(&place(&self.installation, &format!("{}/in", FOLLOWERS[who])), name, &content);
        self.own[who].insert(name, content);
    }

    /// What happens to the programs.
    fn disturb(&mut self, number: usize) {
        match below(&mut self.random, 14) {
            0 => {
                let who = below(&mut self.random, FOLLOWERS.len());
                self.followers.remove(who).kill();
                // Nobody logs in where no tracker is reached.
                self.relay.unblock();
                self.followers.insert(who, login(&self.installation, FOLLOWERS[who]));
            }
            1 => {
                self.alice.take().expect("she is there").kill();
                self.alice = Some(login(&self.installation, "alice"));
            }
            2 => {
                self.tracker.take().expect("it is there").kill();
                self.tracker = Some(self.installation.tracker(1));
            }
            3 => self.relay.block(),
            4 | 5 => self.relay.unblock(),
            6 | 7 => {
                // What is at rest comes to the tracker, and more or less of it to the followers.
                self.alice.as_mut().expect("she is there").answers("wait");
            }
            8 if self.own.iter().map(BTreeMap::len).sum::<usize>() < 6 => self.put_own(number),
            _ => {}
        }
    }

    /// Everybody can reach the tracker again, and what alice has comes to all but where they have files of their own.
    fn settle(&mut self) {
        self.relay.unblock();
        let pool = files(&place(&self.installation, "alice/pool"));
        for (who, name) in FOLLOWERS.iter().enumerate() {
            let folder = place(&self.installation, &format!("{name}/in"));
            let (own, alice) = (&self.own[who], self.alice.as_mut().expect("she is there"));
            wait_until(&format!("{name} has what alice has, seed {SEED}"), || {
                // Files that were gone at once stay shared until she says so.
                alice.answers("share_folder pool lab");
                let there = files(&folder);
                let is_there = |(file, content): (&String, &Vec<u8>)| there.get(file) == Some(content);
                pool.iter().filter(|(file, _)| !own.contains_key(file.as_str())).all(is_there)
            });
            let there = files(&folder);
            for (file, content) in own {
                assert_eq!(there.get(*file), Some(content), "{file} is {name}'s own");
            }
            for (file, content) in there.iter().filter(|(file, _)| !own.contains_key(file.as_str())) {
                assert!(self.versions.contains(content), "{file} of {name} is no whole version of anything");
            }
        }
        assert_eq!(
            files(&place(&self.installation, "alice/pool")),
            pool,
            "nobody writes into the folder that is shared"
        );
    }
}

#[test]
fn after_an_hour_of_changes_kills_and_partitions_all_folders_are_equal_and_nothing_of_anybodys_own_is_lost() {
    eprintln!("seed {SEED}");
    let mut hour = Hour::begin();
    // Bob reaches the tracker through the relay from here on.
    hour.followers.remove(0).kill();
    write(&hour.installation, "bob/tracker_info.txt", format!("{}\n", hour.relay.addr));
    hour.followers.insert(0, login(&hour.installation, "bob"));
    for number in 0..STEPS {
        hour.change(number);
        hour.disturb(number);
    }
    hour.settle();
}
