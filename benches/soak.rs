//! Endurance: trackers and clients under random commands, kills, restarts, full disks and partitions. An oracle keeps
//! every acknowledged change. `make soak TIME=600`, or `cargo bench -- soak time=600 seed=7`.
//!
//! Three trackers are linked through relays. Some users roam from tracker to tracker, and make and leave groups. One
//! user shares files, albums, new versions and a folder. Others download them, whole or in part, and one follows the
//! group. All of them run the real programs. A hundred others act as people do, and never meet a limit.
//!
//! Every second or so a trouble begins. Every half minute all troubles are healed, and every client rests. Then all
//! trackers must have one state, and every acknowledged command its effect at each of them. Every share must be found,
//! and every download must end with the last version. The follower's folder must have what the shared folder has.
//!
//! There are enough changes for floors to come all the time, between troubles and in the middle of them. A long run
//! first brings the trackers to where they drop old ops, so that their memory must be flat from then on. The seed
//! decides the actions, the troubles and their order. The machine decides the exact times.

mod films;
mod follower;
mod hasty;
mod honest;
mod memory;
mod people;
mod trackers;

use crate::common::group_maker::{GroupMaker, all_groups};
use crate::common::installation::Installation;
use crate::kit::options::Options;
use films::Films;
use follower::Follower;
use groupshare::client::picker::split_mix::SplitMix;
use groupshare::wire::client_tracker::{Reply, TOKEN_LEN_MAX};
use groupshare::wire::codec::Blob;
use hasty::Hasty;
use honest::Honest;
use memory::Memory;
use people::{SHARER, Sharer, Taker, rest};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use trackers::{COUNT, SPARED, Trackers};

/// Users who make and leave groups.
const MEMBERS: usize = 4;
/// How long troubles go on before all are healed.
const ROUND: Duration = Duration::from_secs(25);
/// The longest time from one trouble to the next.
const CALM_MAX: Duration = Duration::from_millis(1_600);
/// The first value: one of this many answered commands is followed by a pause. The second value is its longest time.
const PAUSE: (usize, Duration) = (10, Duration::from_millis(800));
/// After one of so many answered commands the user moves to another tracker.
const MOVE_ONE_OF: usize = 60;

/// A run of at least this length is also judged by its memory.
const LONG_RUN: Duration = Duration::from_secs(300);
/// After this many changes a tracker keeps as much beside its state as it ever does. The second value is the number of
/// clients that make them.
const FILL: (usize, usize) = (64_000, 16);

/// Tells the seed of a failed run.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("FAILED, seed {}", self.0);
        }
    }
}

/// Stops all threads, also when a check fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// All parts of a run.
struct Soak<'a> {
    installation: &'a Installation,
    trackers: Trackers<'a>,
    members: Vec<(GroupMaker, SplitMix)>,
    hasty: Vec<Hasty<'a>>,
    honest: Vec<Honest<'a>>,
    sharer: Sharer,
    /// The token with which the bench acts for the sharer at each tracker.
    token: Blob<TOKEN_LEN_MAX>,
    takers: Vec<Taker<'a>>,
    follower: Follower<'a>,
    films: Films,
    memory: Memory,
    dice: SplitMix,
    answered: AtomicU64,
    checks: usize,
    compared: usize,
    /// The floor at the last rest, and how many floors there had been by then.
    floor: u64,
    floors: usize,
}

impl<'a> Soak<'a> {
    fn begin(installation: &'a Installation, seed: u64) -> Self {
        // Each actor has its own random numbers, so that none of them depend on the speed of others.
        let mut seeds = SplitMix(seed);
        let mut dice = || SplitMix(seeds.below(usize::MAX) as u64);
        let trackers = Trackers::start(installation);
        let members = (0..MEMBERS).map(|n| {
            let mut client = installation.connect(n % COUNT + 1).expect("it listens");
            (GroupMaker::new(&mut client, &format!("user{n}"), true), dice())
        });
        let members = members.collect();
        let honest = (0..honest::COUNT).map(|n| Honest::arrive(installation, n, dice())).collect();
        let hasty = (0..COUNT).map(|turn| Hasty::arrive(installation, turn)).collect();
        let mut takers = vec![
            Taker::arrive(installation, "bob", 2, true, dice()),
            Taker::arrive(installation, "carol", 3, true, dice()),
            Taker::arrive(installation, "dave", 1, false, dice()),
        ];
        let mut sharer = Sharer::arrive(installation, &mut takers, dice());
        let follower = Follower::arrive(installation, &mut sharer, dice());
        let token = installation.connect(1).expect("it listens").log_in(SHARER);
        let (films, memory, dice) = (Films::default(), Memory::default(), dice());
        let answered = AtomicU64::new(0);
        let (checks, compared, floor, floors) = (0, 0, 0, 0);
        Self {
            installation,
            trackers,
            members,
            hasty,
            honest,
            sharer,
            token,
            takers,
            follower,
            films,
            memory,
            dice,
            answered,
            checks,
            compared,
            floor,
            floors,
        }
    }

    /// Makes so many changes that trackers drop old ones.
    fn fill(&mut self) {
        let mut first = self.installation.connect(1).expect("it listens");
        first.create_user("filler");
        let token = &first.log_in("filler");
        let (changes, at_once) = FILL;
        thread::scope(|scope| {
            for n in 0..at_once {
                let mut client = self.installation.connect(1).expect("it listens");
                scope.spawn(move || {
                    assert!(matches!(client.resume(token), Reply::LoggedIn { .. }));
                    for group in 0..changes / at_once / 2 {
                        let name = format!("full{n}x{group}");
                        client.create_group(&name);
                        client.leave(&name);
                    }
                });
            }
        });
        self.trackers.agree();
    }

    /// Lets all actors work while troubles go on, then heals everything.
    fn round(&mut self, end: Instant) {
        let Self { installation, trackers, members, hasty, honest, sharer, takers, films, dice, answered, .. } = self;
        let follower = &mut self.follower;
        let (installation, films, answered, stop) = (*installation, &*films, &*answered, &AtomicBool::new(false));
        films.withdraw();
        thread::scope(|scope| {
            let stopping = Stop(stop);
            for (first, (member, dice)) in members.iter_mut().enumerate() {
                let stay = move || {
                    answered.fetch_add(1, Ordering::Relaxed);
                    if dice.below(PAUSE.0) == 0 {
                        rest(dice, PAUSE.1, stop);
                    }
                    dice.below(MOVE_ONE_OF) != 0
                };
                scope.spawn(move || member.roam(installation, first, stay, stop));
            }
            hasty.iter_mut().for_each(|hasty| drop(scope.spawn(|| hasty.work(stop))));
            honest.iter_mut().for_each(|honest| drop(scope.spawn(|| honest.work(stop))));
            scope.spawn(|| sharer.work(films, stop));
            takers.iter_mut().for_each(|taker| drop(scope.spawn(|| taker.work(films, stop))));
            scope.spawn(|| follower.work(stop));
            while Instant::now() < end {
                rest(dice, CALM_MAX, stop);
                trackers.go_on(dice);
            }
            trackers.heal();
            drop(stopping);
        });
        self.sharer.settle(&self.films);
        self.trackers.agree();
    }

    /// Compares every acknowledged change with each tracker's state, and every download with what was shared.
    fn judge(&mut self) {
        for number in 1..=COUNT {
            let mut client = self.installation.connect(number).expect("it listens");
            assert!(self.members[0].0.resume(&mut client), "the session is not known at tracker {number}");
            let there = all_groups(&mut client);
            self.members.iter().for_each(|(member, _)| member.verify(&there));
            let mut client = self.installation.connect(number).expect("it listens");
            assert!(matches!(client.resume(&self.token), Reply::LoggedIn { .. }));
            self.compared += there.len() + self.films.verify(&mut client);
        }
        self.takers.iter_mut().for_each(|taker| taker.verify(&self.sharer, &self.films));
        self.follower.verify(&self.sharer);
        self.checks += 1;
        let floor = self.trackers.floor();
        assert!(floor >= self.floor, "a floor is lower than before");
        self.floors += usize::from(floor > self.floor);
        self.floor = floor;
        let changes = self.acknowledged();
        for (number, program) in (1..).zip(self.trackers.programs()) {
            self.memory.note(&format!("tracker {number}"), program, number == SPARED + 1, changes);
        }
        let takers = self.takers.iter().map(|taker| (&taker.name[..], taker.program(), !taker.mortal));
        for (name, program, lasts) in takers.chain([(SHARER, self.sharer.program(), true)]) {
            self.memory.note(&format!("client {name}"), program, lasts, changes);
        }
    }

    fn acknowledged(&self) -> u64 {
        let hasty: u64 = self.hasty.iter().map(|hasty| hasty.answered).sum();
        self.answered.load(Ordering::Relaxed) + self.sharer.acknowledged + hasty
    }

    /// Ends everything and prints the results. False if memory has grown.
    fn finish(self) -> bool {
        println!("commands   {} acknowledged, none of them lost", self.acknowledged());
        let (honest, most) =
            self.honest.iter().fold((0, 0), |(sum, most), one| (sum + one.answered, one.answered.max(most)));
        println!("honest     {} users got {honest} answers, one of them {most}; no limit refused any", honest::COUNT);
        let mut done: BTreeMap<&str, u64> = BTreeMap::new();
        let all = self.honest.iter().flat_map(|one| &one.done);
        all.for_each(|(what, count)| *done.entry(what).or_default() += count);
        println!(
            "           {}",
            done.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
        );
        let kills = self.takers.iter().map(|taker| taker.kills).sum::<u64>() + self.follower.kills;
        let troubles: Vec<_> = self.trackers.census().iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("events     {}, client killed {kills}", troubles.join(", "));
        let (files, bytes) = self.takers.iter().fold((0, 0), |sum, one| (sum.0 + one.files, sum.1 + one.bytes));
        println!(
            "checks     {} times healed; {} groups and files compared; {files} downloads, {} MB, all identical",
            self.checks,
            self.compared,
            bytes / 1_000_000
        );
        println!("floors     {} times another one, with {} changes below it", self.floors, self.floor);
        self.trackers.finish();
        println!("journals   all sound");
        self.memory.judge()
    }
}

pub(crate) fn bench(options: &Options) {
    groupshare::sys::raise_descriptor_limit().expect("allowed");
    let time = Duration::from_secs(options.number("time", 20) as u64);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = options.number("seed", now.subsec_nanos() as usize) as u64;
    println!("seed       {seed}, for {} s", time.as_secs());
    let _told = Seed(seed);
    let installation = Installation::of(COUNT);
    let mut soak = Soak::begin(&installation, seed);
    if time >= LONG_RUN {
        soak.fill();
        let programs = soak.trackers.programs().iter();
        let kib: Vec<_> = programs.map(|program| program.resident() / 1024).collect();
        println!("filled     {} changes before it begins, after which the trackers have {kib:?} KiB", FILL.0);
    }
    let end = Instant::now() + time;
    while Instant::now() < end {
        soak.round(end.min(Instant::now() + ROUND));
        soak.judge();
    }
    let floors = soak.floors;
    let flat = soak.finish();
    assert!(floors > 0 || time < LONG_RUN, "no floor came");
    assert!(flat || time < LONG_RUN, "memory has grown by more than the kept changes explain");
    println!("passed     seed {seed}");
}
