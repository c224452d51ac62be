//! Three trackers that reach each other through relays, and their troubles.

use crate::common::installation::{Installation, same_digests};
use crate::common::program::Program;
use crate::common::wiretap::Wiretap;
use groupshare::client::picker::split_mix::SplitMix;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How many trackers there are.
pub(crate) const COUNT: usize = 3;
/// The tracker, counted from 0, that is never killed. So its memory covers the whole run. It both calls and is called.
pub(crate) const SPARED: usize = 1;
/// How long a trouble lasts at least, and how much longer at most, in milliseconds.
const LASTS_MS: (u64, usize) = (500, 5_500);
/// A disk that becomes full has less room than this left, in bytes: enough for some changes and perhaps a part of one.
const LEFT_MAX: usize = 2_000;

/// Options of the trackers: some users are programs that make more changes than any person.
const MACHINES: &[&str] = &["--limit", "changes=none"];

/// A trouble of a tracker or a link, both counted from 0.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Killed(usize),
    Stopped(usize),
    Full(usize),
    Cut(usize),
    Silent(usize),
}

impl Trouble {
    fn any(dice: &mut SplitMix) -> Self {
        let which = dice.below(COUNT);
        match dice.below(5) {
            0 if which != SPARED => Trouble::Killed(which),
            0 | 1 => Trouble::Stopped(which),
            2 => Trouble::Full(which),
            3 => Trouble::Cut(which),
            _ => Trouble::Silent(which),
        }
    }

    /// Whether this is a trouble of a link, and the number of its link or tracker. Nothing has two troubles at once.
    fn subject(self) -> (bool, usize) {
        match self {
            Trouble::Killed(tracker) | Trouble::Stopped(tracker) | Trouble::Full(tracker) => (false, tracker),
            Trouble::Cut(link) | Trouble::Silent(link) => (true, link),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Trouble::Killed(_) => "tracker killed",
            Trouble::Stopped(_) => "tracker stopped for a while",
            Trouble::Full(_) => "disk full",
            Trouble::Cut(_) => "link cut",
            Trouble::Silent(_) => "link silent",
        }
    }
}

/// All trackers.
pub(crate) struct Trackers<'a> {
    installation: &'a Installation,
    /// The folder with the list and the data of each tracker.
    machines: [PathBuf; COUNT],
    programs: Vec<Program>,
    /// From the second to the first, from the third to the first, from the third to the second.
    links: [Wiretap; COUNT],
    troubles: Vec<(Trouble, Instant)>,
    census: BTreeMap<&'static str, u64>,
}

impl<'a> Trackers<'a> {
    /// Starts all trackers, and waits until they know each other.
    pub(crate) fn start(installation: &'a Installation) -> Self {
        let [first, second, third] = installation.addrs[..] else { panic!("three are listed") };
        let here = installation.folder.path().to_path_buf();
        // It makes the cluster key, and the other machines get copies.
        let one = installation.tracker_with(&here, 1, MACHINES);
        // Of two trackers the one with the higher number calls.
        let links = [first, first, second].map(Wiretap::to);
        let two = installation.machine("two", &[links[0].addr, second, third]);
        let three = installation.machine("three", &[links[1].addr, links[2].addr, third]);
        let mut programs =
            vec![one, installation.tracker_with(&two, 2, MACHINES), installation.tracker_with(&three, 3, MACHINES)];
        same_digests(&mut programs);
        let (machines, troubles, census) = ([here, two, three], Vec::new(), BTreeMap::new());
        Self { installation, machines, programs, links, troubles, census }
    }

    /// Ends troubles that have lasted long enough, and begins another one.
    pub(crate) fn go_on(&mut self, dice: &mut SplitMix) {
        let now = Instant::now();
        self.end_those(|until| until <= now);
        let trouble = Trouble::any(dice);
        let lasts = Duration::from_millis(LASTS_MS.0 + dice.below(LASTS_MS.1) as u64);
        if self.troubles.iter().all(|(other, _)| other.subject() != trouble.subject()) {
            *self.census.entry(trouble.name()).or_default() += 1;
            self.begin(trouble, dice);
            self.troubles.push((trouble, now + lasts));
        }
    }

    /// Ends all troubles.
    pub(crate) fn heal(&mut self) {
        self.end_those(|_| true);
    }

    /// Waits until all trackers have the same state. Meanwhile no client may change anything.
    pub(crate) fn agree(&mut self) {
        same_digests(&mut self.programs);
    }

    /// How many changes lie below the floor.
    pub(crate) fn floor(&mut self) -> u64 {
        const LINE: &str = "floor       ";
        self.programs[SPARED].say("status");
        self.programs[SPARED].expect("connections ");
        let line = self.programs[SPARED].expect(LINE).text;
        let count = line.strip_prefix(LINE).and_then(|rest| rest.split(' ').next());
        count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count of changes: {line}"))
    }

    /// The troubles so far, and how often each came.
    pub(crate) fn census(&self) -> &BTreeMap<&'static str, u64> {
        &self.census
    }

    /// The running programs.
    pub(crate) fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// Ends all trackers and checks their journals.
    pub(crate) fn finish(mut self) {
        for (t, program) in self.programs.iter_mut().enumerate() {
            program.say("quit");
            let (status, said) = program.end();
            assert!(status.success(), "tracker {}: {status}\n{said}", t + 1);
        }
        for t in 0..COUNT {
            let data = self.data(t);
            let output = self.installation.command(&[]).arg("--check").arg(&data).output().expect("runs");
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "the journal of tracker {}: {said}", t + 1);
        }
    }

    fn begin(&mut self, trouble: Trouble, dice: &mut SplitMix) {
        match trouble {
            Trouble::Killed(t) => self.programs[t].signal(Signal::KILL),
            Trouble::Stopped(t) => self.programs[t].signal(Signal::STOP),
            Trouble::Full(t) => self.limit(t, Some(self.journal_end(t) + dice.below(LEFT_MAX) as u64)),
            Trouble::Cut(link) => self.links[link].block(),
            Trouble::Silent(link) => self.links[link].hold(),
        }
    }

    fn end_those(&mut self, over: impl Fn(Instant) -> bool) {
        let (ended, last): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.troubles).into_iter().partition(|(_, until)| over(*until));
        self.troubles = last;
        for (trouble, _) in ended {
            match trouble {
                Trouble::Killed(t) => {
                    self.programs[t].end();
                    self.programs[t] = self.installation.tracker_with(&self.machines[t], t + 1, MACHINES);
                }
                Trouble::Stopped(t) => self.programs[t].signal(Signal::CONT),
                Trouble::Full(t) => self.limit(t, None),
                Trouble::Cut(link) => self.links[link].unblock(),
                Trouble::Silent(link) => self.links[link].release(),
            }
        }
    }

    /// Limits the length of the tracker's files from now on, in bytes. To the journal that is a full disk.
    fn limit(&self, t: usize, len_max: Option<u64>) {
        let all = getrlimit(Resource::Fsize);
        let limit = Rlimit { current: len_max.or(all.current), maximum: all.maximum };
        prlimit(Some(self.programs[t].pid()), Resource::Fsize, limit).expect("allowed");
    }

    fn data(&self, t: usize) -> PathBuf {
        self.machines[t].join(format!("tracker_info.txt.data/tracker-{}", t + 1))
    }

    /// Where the last record of the journal ends in its latest segment. Reserved room behind it is zeros.
    fn journal_end(&self, t: usize) -> u64 {
        let files = fs::read_dir(self.data(t).join("journal")).expect("it is there").flatten();
        let segments =
            files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "journal"));
        let bytes = fs::read(segments.max().expect("one at least")).expect("it is there");
        bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
    }
}
