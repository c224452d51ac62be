//! A shared folder and two followers of its group, through an hour of changes, kills and partitions in less than a
//! minute. There are two trackers, which lose and find each other.

use crate::common::installation::{Installation, linked};
use crate::common::program::Program;
use crate::common::random::Random;
use crate::common::relay::Relay;
use crate::common::wait::wait_until;
use crate::follows::{files, member, owner, place, write};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const SEED: u64 = 26;
const STEPS: usize = 70;
const NAMES: [&str; 7] = ["a", "b", "c", "d/a", "d/b", "d/e/c", "f/a"];
const FOLLOWERS: [&str; 2] = ["bob", "carol"];

fn below(random: &mut Random, most: usize) -> usize {
    (random.next() % most as u64) as usize
}

/// Two trackers, and alice. She reaches one of them at a time.
struct Sides {
    installation: Installation,
    trackers: Vec<Program>,
    /// The folder of the second tracker.
    far: PathBuf,
    /// The only way from the second tracker to the first.
    link: Relay,
    /// Alice's ways to each of them.
    ways: [Relay; 2],
}

impl Sides {
    fn begin() -> Self {
        let installation = Installation::of(2);
        let one = installation.tracker(1);
        let way = |number: usize| Relay::to(installation.addrs[number], |_, _, _| {});
        let (link, ways) = (way(0), [way(0), way(1)]);
        let far = installation.machine("far", &[link.addr, installation.addrs[1]]);
        let mut two = installation.tracker_on(&far, 2);
        linked(&mut two, 1);
        Self { installation, trackers: vec![one, two], far, link, ways }
    }

    /// Makes a user know only these trackers. The user logs in again.
    fn knows(&self, name: &str, program: Program, addrs: &[SocketAddr]) -> Program {
        program.kill();
        let list: String = addrs.iter().map(|addr| format!("{addr}\n")).collect();
        write(&self.installation, &format!("{name}/tracker_info.txt"), list);
        login(&self.installation, name)
    }

    /// Alice goes to this tracker.
    fn go_to(&self, place: usize) {
        self.ways[place].unblock();
        self.ways[1 - place].block();
    }

    fn restart(&mut self, place: usize) {
        self.trackers.remove(place).kill();
        let folder = if place == 0 { self.installation.folder.path() } else { &self.far };
        let tracker = self.installation.tracker_on(folder, place + 1);
        self.trackers.insert(place, tracker);
    }

    fn pool(&self) -> PathBuf {
        place(&self.installation, "alice/pool")
    }
}

struct Hour {
    sides: Sides,
    alice: Option<Program>,
    followers: Vec<Program>,
    /// Bob's only way to a tracker.
    relay: Relay,
    random: Random,
    /// All contents that alice's files have had.
    versions: BTreeSet<Vec<u8>>,
    /// The files that each follower has put into the followed folder.
    own: [BTreeMap<&'static str, Vec<u8>>; 2],
}

/// Replaces a file in one step, as editors do.
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
        let sides = Sides::begin();
        let installation = &sides.installation;
        let relay = Relay::to(installation.addrs[1], |_, _, _| {});
        let mut alice = owner(installation);
        let mut followers = Vec::new();
        for name in FOLLOWERS {
            let mut follower = member(installation, &mut alice, name, &[]);
            write(installation, &format!("{name}/in/own"), name);
            follower.told("follow_group lab in --all", "Following the group");
            followers.push(follower);
        }
        fs::create_dir(sides.pool()).expect("made");
        alice.told("share_folder pool lab", "Sharing the folder");
        let alice = sides.knows("alice", alice, &[0, 1].map(|at: usize| sides.ways[at].addr));
        let bob = followers.remove(0);
        followers.insert(0, sides.knows("bob", bob, &[relay.addr]));
        let own = FOLLOWERS.map(|name| BTreeMap::from([("own", name.as_bytes().to_vec())]));
        let (random, versions) = (Random(SEED), BTreeSet::new());
        Self { sides, alice: Some(alice), followers, relay, random, versions, own }
    }

    fn pick(&mut self) -> &'static str {
        NAMES[below(&mut self.random, NAMES.len())]
    }

    /// Changes something in alice's folder.
    fn change(&mut self, number: usize) {
        let pool = self.sides.pool();
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

    /// A follower puts a file into the followed folder, or edits one that came.
    fn put_own(&mut self, number: usize) {
        let (who, name) = (below(&mut self.random, FOLLOWERS.len()), self.pick());
        let content = format!("{}'s {number}", FOLLOWERS[who]).into_bytes();
        save(&place(&self.sides.installation, &format!("{}/in", FOLLOWERS[who])), name, &content);
        self.own[who].insert(name, content);
    }

    /// Disturbs the programs.
    fn disturb(&mut self, number: usize) {
        match below(&mut self.random, 18) {
            0 => {
                let who = below(&mut self.random, FOLLOWERS.len());
                self.followers.remove(who).kill();
                // A login needs a reachable tracker.
                self.relay.unblock();
                self.followers.insert(who, login(&self.sides.installation, FOLLOWERS[who]));
            }
            1 => {
                self.alice.take().expect("she is there").kill();
                self.alice = Some(login(&self.sides.installation, "alice"));
            }
            2 => {
                let which = below(&mut self.random, 2);
                self.sides.restart(which);
            }
            3 => self.relay.block(),
            4 | 5 => self.relay.unblock(),
            6 | 7 => {
                // Settled files reach the tracker, and more or less of them reach the followers.
                self.alice.as_mut().expect("she is there").answers("wait");
            }
            8 if self.own.iter().map(BTreeMap::len).sum::<usize>() < 6 => self.put_own(number),
            9 | 10 => self.sides.link.block(),
            11 => self.sides.link.unblock(),
            12 | 13 => {
                let which = below(&mut self.random, 2);
                self.sides.go_to(which);
            }
            _ => {}
        }
    }

    /// All can reach each other again. The followers get alice's files, except where they have files of their own.
    fn settle(&mut self) {
        self.relay.unblock();
        self.sides.link.unblock();
        self.sides.ways.iter().for_each(Relay::unblock);
        let pool = files(&self.sides.pool());
        for (who, name) in FOLLOWERS.iter().enumerate() {
            let folder = place(&self.sides.installation, &format!("{name}/in"));
            let (own, alice) = (&self.own[who], self.alice.as_mut().expect("she is there"));
            wait_until(&format!("{name} has what alice has, seed {SEED}"), || {
                // Files that disappeared at once stay shared until she shares the folder again.
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
                assert!(!file.contains('~'), "{file} of {name} is a name that nobody has chosen");
            }
        }
        assert_eq!(files(&self.sides.pool()), pool, "nobody writes into the folder that is shared");
    }
}

#[test]
fn after_an_hour_of_changes_kills_and_partitions_all_folders_are_equal_and_nothing_of_anybodys_own_is_lost() {
    eprintln!("seed {SEED}");
    let mut hour = Hour::begin();
    for number in 0..STEPS {
        hour.change(number);
        hour.disturb(number);
    }
    hour.settle();
}

/// Alice shares files at one tracker and again at the other, which has not heard of the first shares. With
/// `first_is_busy` the first has more changes behind it by then, and takes the older version for the newer one.
fn shared_on_both_sides(first_is_busy: bool) {
    let mut sides = Sides::begin();
    let mut alice = owner(&sides.installation);
    let mut bob = member(&sides.installation, &mut alice, "bob", &[]);
    bob.told("follow_group lab in", "Following the group");
    save(&sides.pool(), "a", b"the first");
    alice.told("share_folder pool lab", "Sharing the folder");
    let mut alice = sides.knows("alice", alice, &[0, 1].map(|at: usize| sides.ways[at].addr));
    let in_folder = place(&sides.installation, "bob/in");
    let has = |name: &str, content: &[u8]| {
        wait_until(name, || fs::read(in_folder.join(name)).is_ok_and(|found| found == content));
    };
    has("a", b"the first");
    sides.go_to(0);
    sides.link.block();
    sides.trackers[0].expect("tracker 2 is not connected");
    for (name, content) in [("a", "the second"), ("new", "new"), ("short", "comes and goes on two sides")] {
        save(&sides.pool(), name, content.as_bytes());
    }
    alice.answers("wait");
    has("short", b"comes and goes on two sides");
    for _ in 0..if first_is_busy { 20 } else { 0 } {
        bob.told("set_adding forbid", "Owners cannot add you to groups");
        bob.told("set_adding allow", "Owners can add you to groups");
    }
    sides.go_to(1);
    alice.until("list_files lab", "a  9 B");
    save(&sides.pool(), "a", b"the third, which counts");
    save(&sides.pool(), "new", b"another new one");
    fs::remove_file(sides.pool().join("short")).expect("there");
    alice.answers("wait");
    sides.link.unblock();
    has("a", b"the third, which counts");
    has("new", b"another new one");
    alice.until("list_files lab", "a  23 B, 2 members online with it");
    alice.until("list_files lab", "new  15 B, 2 members online with it");
    // Bob still has it.
    alice.until("list_files lab", "short  27 B, 1 member online with it");
    wait_until("nothing has a name that nobody has chosen", || {
        !alice.answers("list_files lab").iter().any(|line| line.text.contains('~'))
    });
    assert!(!files(&in_folder).keys().any(|name| name.contains('~')));
}

#[test]
fn a_folder_that_is_shared_on_both_sides_of_a_partition_has_its_names_and_its_last_versions() {
    shared_on_both_sides(false);
}

#[test]
fn the_last_version_comes_also_where_the_other_side_has_more_changes_behind_it() {
    shared_on_both_sides(true);
}
