//! People with the client's program: one who shares files, and those who download them and whose program is killed meanwhile.

use super::films::{Films, GROUP, Known};
use crate::common::deadline::LONG;
use crate::common::installation::Installation;
use crate::common::names::PASSWORD;
use crate::common::program::Program;
use crate::kit::content::sha1_of_file;
use groupshare::client::picker::split_mix::SplitMix;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Whoever shares.
pub(crate) const SHARER: &str = "alice";
/// How fast the sharer gives, so that a download takes long enough to be disturbed.
const LIMIT: &str = "4M";
/// Longest file, in words of 8 bytes.
const WORDS_MAX: usize = 768 * 1024;
/// How often a program may be killed: one of so many times after a command.
const KILL_ONE_OF: usize = 4;

/// Sleeps for less than `max`, but not when it is time to stop.
pub(crate) fn rest(dice: &mut SplitMix, max: Duration, stop: &AtomicBool) {
    let until = Instant::now() + Duration::from_millis(dice.below(max.as_millis() as usize) as u64);
    while !stop.load(Ordering::SeqCst) && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
}

fn login(name: &str) -> String {
    format!("login {name} '{PASSWORD}'")
}

/// Starts the program of somebody new, who tries the trackers from this number on.
fn arrive(installation: &Installation, name: &str, first: usize, args: &[&str]) -> Program {
    let mut program = installation.person(name, first, args);
    program.told(&format!("create_user {name} '{PASSWORD}'"), "User created");
    program.told(&login(name), "Login successful");
    program
}

/// Somebody who shares new files, and stops sharing those of before.
pub(crate) struct Sharer {
    folder: PathBuf,
    program: Program,
    dice: SplitMix,
    made: u64,
    /// Answers that said that something was done.
    pub acknowledged: u64,
}

impl Sharer {
    /// Makes the group and lets the takers in.
    pub(crate) fn arrive(installation: &Installation, takers: &mut [Taker<'_>], dice: SplitMix) -> Self {
        let mut program = arrive(installation, SHARER, 1, &["--upload-limit", LIMIT]);
        program.told(&format!("create_group {GROUP}"), "Group created");
        for taker in takers {
            taker.program.until(&format!("join_group {GROUP}"), "Request sent");
            program.expect(&format!("{} asks to join {GROUP}", taker.name));
            program.told(&format!("accept_request {GROUP} {}", taker.name), "Request accepted");
            taker.program.expect(&format!("You are a member of {GROUP} now"));
        }
        Self { folder: installation.folder.path().join(SHARER), program, dice, made: 0, acknowledged: 0 }
    }

    /// The program that runs.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// The SHA-1 of a file of this one.
    pub(crate) fn sha1(&self, film: &str) -> [u8; 20] {
        sha1_of_file(&self.folder.join(film))
    }

    /// Shares until it is time to stop.
    pub(crate) fn work(&mut self, films: &Films, stop: &AtomicBool) {
        for film in films.names() {
            match self.is_done(&format!("stop_share {GROUP} {film}"), "Stopped sharing") {
                true => films.note(&film, Known::Gone),
                false => films.forget(&film),
            }
            fs::remove_file(self.folder.join(film)).expect("it is there");
        }
        while !stop.load(Ordering::SeqCst) {
            self.made += 1;
            let film = format!("film-{:05}.bin", self.made);
            self.write(&film);
            let uploaded = self.is_done(&format!("upload_file {film} {GROUP}"), "Uploaded");
            films.note(&film, if uploaded { Known::Shared } else { Known::Asked });
            rest(&mut self.dice, Duration::from_secs(8), stop);
        }
    }

    fn is_done(&mut self, line: &str, done: &str) -> bool {
        let is_done = self.program.answers(line).iter().any(|answer| answer.text == done);
        self.acknowledged += u64::from(is_done);
        is_done
    }

    fn write(&mut self, film: &str) {
        let words = self.dice.below(WORDS_MAX);
        let bytes: Vec<u8> = (0..words).flat_map(|_| self.dice.below(usize::MAX).to_le_bytes()).collect();
        fs::write(self.folder.join(film), bytes).expect("room");
    }
}

/// Somebody who downloads.
pub(crate) struct Taker<'a> {
    /// Of the user, and of the folder.
    pub name: String,
    installation: &'a Installation,
    program: Program,
    dice: SplitMix,
    /// Whether the program may be killed.
    pub mortal: bool,
    /// Downloads that the program has said it is doing.
    begun: BTreeSet<String>,
    /// How often the program was killed.
    pub kills: u64,
    /// Bytes of all files that were downloaded and are the same.
    pub bytes: u64,
    /// The number of these files.
    pub files: u64,
}

impl<'a> Taker<'a> {
    /// Somebody new, who tries the trackers from this number on.
    pub(crate) fn arrive(
        installation: &'a Installation,
        name: &str,
        first: usize,
        mortal: bool,
        dice: SplitMix,
    ) -> Self {
        let program = arrive(installation, name, first, &[]);
        let (name, begun) = (name.to_owned(), BTreeSet::new());
        Self { name, installation, program, dice, mortal, begun, kills: 0, bytes: 0, files: 0 }
    }

    /// The program that runs.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    fn path(&self, film: &str) -> PathBuf {
        self.installation.folder.path().join(&self.name).join(film)
    }

    /// Downloads until it is time to stop.
    pub(crate) fn work(&mut self, films: &Films, stop: &AtomicBool) {
        for film in std::mem::take(&mut self.begun) {
            self.program.answers(&format!("stop_share {GROUP} {film}"));
            fs::remove_file(self.path(&film)).expect("it is there");
        }
        while !stop.load(Ordering::SeqCst) {
            if let Some(film) = films.pick(&mut self.dice, |film| !self.begun.contains(film)) {
                // A tracker that has not heard of the file yet refuses.
                let answers = self.program.answers(&format!("download_file {GROUP} {film} ."));
                if answers.iter().any(|answer| answer.text == "Downloading...") {
                    self.begun.insert(film);
                }
            }
            rest(&mut self.dice, Duration::from_secs(2), stop);
            if self.mortal && self.dice.below(KILL_ONE_OF) == 0 {
                self.program.signal(Signal::KILL);
                self.program.end();
                self.kills += 1;
                self.program = self.installation.person_again(&self.name, &[]);
                self.program.until(&login(&self.name), "Login successful");
            }
        }
    }

    /// Waits until all that was begun is here, and compares it.
    pub(crate) fn verify(&mut self, sharer: &Sharer) {
        let deadline = Instant::now() + LONG;
        for film in self.begun.clone() {
            let path = self.path(&film);
            while !path.exists() {
                if Instant::now() > deadline {
                    let lines = self.program.answers("show_downloads").to_vec();
                    panic!("{film} is not downloaded by {}: {lines:#?}\n{:#?}", self.name, self.program.heard());
                }
                thread::sleep(Duration::from_millis(20));
            }
            assert!(sha1_of_file(&path) == sharer.sha1(&film), "{film} at {} is not what was shared", self.name);
            self.bytes += path.metadata().expect("it is there").len();
            self.files += 1;
        }
    }
}
