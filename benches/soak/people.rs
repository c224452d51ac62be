//! Users with the client's program. One of them shares files, albums, new versions of both, and a folder that always
//! changes. Others download them, and their programs are killed meanwhile.

use super::films::{Films, GROUP, Known};
use crate::common::deadline::LONG;
use crate::common::installation::Installation;
use crate::common::names::PASSWORD;
use crate::common::program::Program;
use crate::common::wait::wait_until;
use crate::kit::content::sha1_of_file;
use groupshare::client::picker::split_mix::SplitMix;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The shared folder, how many files it has, and its longest file in words of 8 bytes.
const POOL: &str = "pool";
const NOTES: usize = 8;
const NOTE_WORDS_MAX: usize = 4 * 1024;
/// The files of an album.
const TRACKS: [&str; 3] = ["a.bin", "b.bin", "c.bin"];

/// The user that shares.
pub(crate) const SHARER: &str = "alice";
/// The upload limit of the sharer. It makes downloads long enough to disturb them.
const LIMIT: &str = "4M";
/// Longest file, in words of 8 bytes.
const WORDS_MAX: usize = 768 * 1024;
/// A program may be killed after one of so many commands.
pub(crate) const KILL_ONE_OF: usize = 4;

/// Sleeps for less than `max`, or until it is time to stop.
pub(crate) fn rest(dice: &mut SplitMix, max: Duration, stop: &AtomicBool) {
    let until = Instant::now() + Duration::from_millis(dice.below(max.as_millis() as usize) as u64);
    while !stop.load(Ordering::SeqCst) && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn login(name: &str) -> String {
    format!("login {name} '{PASSWORD}'")
}

/// Removes an existing file or folder.
fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.expect("it is there");
}

/// Starts the program of a new user. It tries the trackers from this number on.
pub(crate) fn arrive(installation: &Installation, name: &str, first: usize, args: &[&str]) -> Program {
    let mut program = installation.person(name, first, args);
    program.told(&format!("create_user {name} '{PASSWORD}'"), "User created");
    program.told(&login(name), "Login successful");
    program
}

/// Adds a user to the group. That user hears of it.
fn add(owner: &mut Program, name: &str, program: &mut Program) {
    // The tracker may not yet know the account.
    owner.until(&format!("add_member {GROUP} {name}"), "Member added");
    program.expect(&format!("{SHARER} has made you a member of {GROUP}"));
}

/// A user that shares new files, and stops sharing earlier ones.
pub(crate) struct Sharer {
    folder: PathBuf,
    program: Program,
    dice: SplitMix,
    made: u64,
    /// How many answers said that a change was made.
    pub acknowledged: u64,
}

impl Sharer {
    /// Makes the group, shares a folder in it, and adds the takers.
    pub(crate) fn arrive(installation: &Installation, takers: &mut [Taker<'_>], dice: SplitMix) -> Self {
        let mut program = arrive(installation, SHARER, 1, &["--upload-limit", LIMIT]);
        program.told(&format!("create_group {GROUP}"), "Group created");
        for taker in takers {
            add(&mut program, &taker.name, &mut taker.program);
        }
        let folder = installation.folder.path().join(SHARER);
        fs::create_dir(folder.join(POOL)).expect("room");
        program.told(&format!("share_folder {POOL} {GROUP}"), "Sharing the folder");
        Self { folder, program, dice, made: 0, acknowledged: 0 }
    }

    /// The running program.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// Adds a user to the group.
    pub(crate) fn add(&mut self, name: &str, program: &mut Program) {
        add(&mut self.program, name, program);
    }

    /// The SHA-1 of one of the sharer's files.
    pub(crate) fn sha1(&self, film: &str) -> [u8; 20] {
        sha1_of_file(&self.folder.join(film))
    }

    /// Waits until the contents of the shared folder are in a folder that follows the group.
    pub(crate) fn verify_followed(&self, inbox: &Path) {
        for entry in fs::read_dir(self.folder.join(POOL)).expect("it is there") {
            let note = entry.expect("it is read");
            let (name, ours) = (note.file_name(), fs::read(note.path()).expect("it is there"));
            let same = || fs::read(inbox.join(&name)).is_ok_and(|theirs| theirs == ours);
            wait_until(&format!("{} has come", name.display()), same);
        }
    }

    /// Shares until it is time to stop.
    pub(crate) fn work(&mut self, films: &Films, stop: &AtomicBool) {
        for film in films.names() {
            match self.is_done(&format!("stop_share {GROUP} {film}"), "Stopped sharing") {
                true => films.note(&film, Known::Gone),
                false => films.forget(&film),
            }
            remove(&self.folder.join(film));
        }
        while !stop.load(Ordering::SeqCst) {
            let note = self.dice.below(NOTES);
            self.write(&format!("{POOL}/note-{note}.bin"), NOTE_WORDS_MAX);
            let old = if self.dice.below(3) == 0 { films.pick(&mut self.dice, |_| true) } else { None };
            let film = old.unwrap_or_else(|| {
                self.made += 1;
                let album = self.dice.below(4) == 0;
                if album { format!("album-{:05}", self.made) } else { format!("film-{:05}.bin", self.made) }
            });
            if film.starts_with("album") {
                fs::create_dir_all(self.folder.join(&film)).expect("room");
                TRACKS.iter().for_each(|track| self.write(&format!("{film}/{track}"), WORDS_MAX / TRACKS.len()));
            } else {
                self.write(&film, WORDS_MAX);
            }
            let uploaded = self.is_done(&format!("upload_file {film} {GROUP}"), "Uploaded");
            films.note(&film, if uploaded { Known::Shared } else { Known::Asked });
            rest(&mut self.dice, Duration::from_secs(8), stop);
        }
    }

    /// Shares the files whose upload was not acknowledged. On the disk they may have another version.
    pub(crate) fn settle(&mut self, films: &Films) {
        for film in films.asked() {
            self.program.until(&format!("upload_file {film} {GROUP}"), "Uploaded");
            self.acknowledged += 1;
            films.note(&film, Known::Shared);
        }
    }

    fn is_done(&mut self, line: &str, done: &str) -> bool {
        let is_done = self.program.said(line).iter().any(|answer| answer == done);
        self.acknowledged += u64::from(is_done);
        is_done
    }

    /// Makes a file, or changes the beginning of an existing one.
    fn write(&mut self, film: &str, words_max: usize) {
        let words = self.dice.below(words_max);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| self.dice.below(usize::MAX).to_le_bytes()).collect();
        let path = self.folder.join(film);
        let old = fs::read(&path).unwrap_or_default();
        bytes.extend(old.iter().skip(bytes.len()));
        // A shared file is replaced as a whole.
        let new = self.folder.join(".new");
        fs::write(&new, bytes).expect("room");
        fs::rename(new, path).expect("room");
    }
}

/// The share that this download belongs to.
fn share_of(film: &str) -> &str {
    film.split('/').next().unwrap_or(film)
}

/// A download that finds no tracker or no member for a minute would otherwise end.
const PATIENT: [&str; 2] = ["--patience", "forever"];

/// The folder for new versions of parts.
const ANEW: &str = "anew";

/// A user that downloads.
pub(crate) struct Taker<'a> {
    /// The name of the user, and of the user's folder.
    pub name: String,
    installation: &'a Installation,
    program: Program,
    dice: SplitMix,
    /// Whether the program may be killed.
    pub mortal: bool,
    /// Downloads that the program has confirmed: films, and one track of each album.
    begun: BTreeSet<String>,
    /// How often the program was killed.
    pub kills: u64,
    /// Bytes of all downloaded files that were equal to the shared ones.
    pub bytes: u64,
    /// How many files these were.
    pub files: u64,
}

impl<'a> Taker<'a> {
    /// A new user. The program tries the trackers from this number on.
    pub(crate) fn arrive(
        installation: &'a Installation,
        name: &str,
        first: usize,
        mortal: bool,
        dice: SplitMix,
    ) -> Self {
        let program = arrive(installation, name, first, &PATIENT);
        let (name, begun) = (name.to_owned(), BTreeSet::new());
        Self { name, installation, program, dice, mortal, begun, kills: 0, bytes: 0, files: 0 }
    }

    /// The running program.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    fn path(&self, film: &str) -> PathBuf {
        self.installation.folder.path().join(&self.name).join(film)
    }

    /// Downloads until it is time to stop.
    pub(crate) fn work(&mut self, films: &Films, stop: &AtomicBool) {
        for film in std::mem::take(&mut self.begun) {
            let film = share_of(&film);
            self.program.answers(&format!("stop_share {GROUP} {film}"));
            remove(&self.path(film));
        }
        if self.path(ANEW).exists() {
            remove(&self.path(ANEW));
        }
        while !stop.load(Ordering::SeqCst) {
            let is_begun = |film: &str| self.begun.iter().any(|begun| share_of(begun) == film);
            if let Some(mut film) = films.pick(&mut self.dice, |film| !is_begun(film)) {
                if film.starts_with("album") {
                    film = format!("{film}/{}", TRACKS[self.dice.below(TRACKS.len())]);
                }
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
                self.program = self.installation.person_again(&self.name, &PATIENT);
                self.program.until(&login(&self.name), "Login successful");
            }
        }
    }

    /// Finds all shares, waits until every download has its last version, and compares the files.
    pub(crate) fn verify(&mut self, sharer: &Sharer, films: &Films) {
        let found = self.program.said("find '*-*'");
        for film in films.shared() {
            let line = format!("[{GROUP}] {film}  ");
            assert!(
                found.iter().any(|found| found.starts_with(&line)),
                "{film} is not found by {}: {found:#?}",
                self.name
            );
        }
        let deadline = Instant::now() + LONG;
        for film in self.begun.clone() {
            let (mut path, wanted) = (self.path(&film), sharer.sha1(&film));
            while !(path.exists() && sha1_of_file(&path) == wanted) {
                if Instant::now() > deadline {
                    let lines = self.program.said("show_downloads");
                    panic!("{film} is not what {} has: {lines:#?}\n{:#?}", self.name, self.program.heard());
                }
                // By now there may be a newer version than the download began with.
                let answers = self.program.answers(&format!("update_file {GROUP} {}", share_of(&film)));
                // Of a part it comes to another place.
                if answers.iter().any(|answer| answer.text.starts_with("You have only some files of"))
                    && path == self.path(&film)
                {
                    fs::create_dir_all(self.path(ANEW)).expect("room");
                    let answers = self.program.answers(&format!("download_file {GROUP} {film} {ANEW}"));
                    if answers.iter().any(|answer| answer.text == "Downloading...") {
                        path = self.path(&format!("{ANEW}/{film}"));
                    }
                }
                thread::sleep(Duration::from_millis(200));
            }
            self.bytes += path.metadata().expect("it is there").len();
            self.files += 1;
        }
    }
}
