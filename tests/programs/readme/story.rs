//! README's story, played: Alice shares a film, Bob joins her group and downloads it, each at a terminal.

use super::transcript::{Step, shapes, steps};
use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::common::wait::wait_until;
use crate::sitting::Sitting;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The size of both terminals. It has room for every line of the story.
const ROWS: u16 = 60;
const COLUMNS: u16 = 108;
/// Bob's password, which he types at the question.
const PASSWORD: &str = "builder";
/// Every byte of the film. A download has zeros in the places that have not come in.
const FILM_BYTE: u8 = 7;
/// In how many places the test samples a download.
const PLACES: u64 = 32;

/// What remains after the story: the tracker, which still runs.
pub(crate) struct Story {
    pub tracker: Program,
    /// The tracker's first output.
    pub banner: String,
    _installation: Installation,
}

impl Story {
    /// Plays the story with a film of this length, and with these options for Bob's client. The screens must show
    /// everything that README shows, and nothing else.
    pub(crate) fn play(film_len: u64, bobs_options: &[&str]) -> Self {
        // As many trackers as the sample list has.
        let installation = Installation::of(3);
        let (tracker, banner) = installation.start(&[]);
        let alice = Person::sits_down(&installation, "alice", &[]);
        let mut film = File::create_new(alice.folder.join("film.mkv")).expect("a new file");
        io::copy(&mut io::repeat(FILM_BYTE).take(film_len), &mut film).expect("room");
        let mut bob = Person::sits_down(&installation, "bob", bobs_options);
        bob.sitting.ends_with(&["> "]);
        std::thread::scope(|both| {
            both.spawn(|| alice.plays(&steps("Listening for other members on")));
            alice.sitting.shows("Uploaded");
            bob.plays(&steps("> create_user bob"));
        });
        assert!(bob.sitting.ends().success());
        Self { tracker, banner, _installation: installation }
    }
}

/// A person at a terminal, with a folder of the same name at home.
struct Person {
    sitting: Sitting,
    folder: PathBuf,
}

impl Person {
    fn sits_down(installation: &Installation, name: &str, options: &[&str]) -> Self {
        let home = installation.folder.path().join(format!("home-of-{name}"));
        let folder = home.join(name);
        fs::create_dir_all(&folder).expect("a new folder");
        let info = installation.info();
        let args = [&["127.0.0.1:0", info.to_str().expect("text"), "--state-dir", "state"], options].concat();
        Self { sitting: Sitting::start(env!("CARGO_BIN_EXE_client"), &args, &home, ROWS, COLUMNS), folder }
    }

    /// Types the steps at the prompt.
    fn plays(&self, steps: &[Step]) {
        for (typed, shown) in steps {
            if typed == "show_downloads" {
                wait_until("a third of the film", || a_third_is_there(&self.folder.join("film.mkv")));
            }
            if !typed.is_empty() {
                self.sitting.enters(typed);
            }
            if typed == "quit" {
                return;
            }
            for question in shown.iter().filter(|line| line.ends_with(':')) {
                self.sitting.sees(question, |rows, _| rows.last() == Some(question));
                self.sitting.enters(PASSWORD);
            }
            let expected = shapes(shown);
            self.sitting.sees(&format!("{shown:#?} after '{typed}'"), |rows, _| {
                answer(rows, typed).is_some_and(|answer| shapes(answer) == expected)
            });
        }
    }
}

/// The lines between the last typed line and the new prompt; `None` while there is no prompt.
fn answer<'a>(rows: &'a [String], typed: &str) -> Option<&'a [String]> {
    let (_, rows) = rows.split_last().filter(|(prompt, _)| *prompt == ">")?;
    let begin = match typed {
        "" => 0,
        _ => 1 + rows.iter().rposition(|row| row.strip_prefix("> ") == Some(typed))?,
    };
    Some(&rows[begin..])
}

/// Whether about a third of this download has come in, or all of it.
fn a_third_is_there(film: &Path) -> bool {
    let Ok(part) = File::open(film.with_extension("mkv.part")) else {
        return film.exists();
    };
    let len = part.metadata().expect("open").len();
    let is_there = |place: &u64| {
        let mut byte = [0];
        part.read_exact_at(&mut byte, len / PLACES * place).is_ok() && byte == [FILM_BYTE]
    };
    (0..PLACES).filter(is_there).count() as u64 >= PLACES / 3
}
