//! What README.md shows is what the programs say: its transcripts are played, and the demo runs to its end.

mod common;

use common::LONG;
use common::installation::Installation;
use common::sitting::Sitting;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A film is this long, and comes in at this speed, so that its download can be looked at.
const FILM_LEN: usize = 12_000_000;
const FILM_LIMIT: &str = "1500K";
/// What Bob types where he is asked for a password.
const PASSWORD: &str = "builder";

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The lines of the transcript in README.md that begins so.
fn transcript(first: &str) -> Vec<String> {
    let readme = fs::read_to_string(project("README.md")).expect("README.md");
    let lines = readme.lines().map(|line| line.strip_prefix("    "));
    let mut lines = lines.skip_while(|line| !line.is_some_and(|line| line.starts_with(first)));
    let transcript: Vec<String> = lines.by_ref().map_while(|line| line.map(str::to_owned)).collect();
    assert!(!transcript.is_empty(), "README.md has no transcript that begins with {first}");
    transcript
}

/// What is typed at the prompt, and the lines that follow; first what stands before all prompts, with nothing typed.
fn steps(first: &str) -> Vec<(String, Vec<String>)> {
    let mut steps = vec![(String::new(), Vec::new())];
    for line in transcript(first) {
        match line.strip_prefix("> ") {
            Some(typed) => steps.push((typed.to_owned(), Vec::new())),
            None => steps.last_mut().expect("one at least").1.push(line),
        }
    }
    steps.retain(|(typed, shown)| !typed.is_empty() || !shown.is_empty());
    steps
}

/// A line with `#` for what differs from run to run: addresses, digests, and amounts with their units.
fn shape(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split([' ', ':', '(', ')', ',', ';']).filter(|word| !word.is_empty()) {
        let number = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let digest = word.len() >= 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let unit = ["B", "kB", "MB", "GB", "s", "min", "h", "d"].contains(&word.trim_end_matches("/s"));
        if !number && !digest && !unit {
            words.push(word);
        } else if words.last() != Some(&"#") {
            words.push("#");
        }
    }
    words.join(" ")
}

fn shapes(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| shape(line)).collect()
}

/// What stands between a line that was typed last and the prompt that came back; none while there is no prompt.
fn answer<'a>(rows: &'a [String], typed: &str) -> Option<&'a [String]> {
    let (_, rows) = rows.split_last().filter(|(prompt, _)| *prompt == ">")?;
    let begin = match typed {
        "" => 0,
        _ => 1 + rows.iter().rposition(|row| row.strip_prefix("> ") == Some(typed))?,
    };
    Some(&rows[begin..])
}

/// Types the steps at a prompt; each must show what the transcript says, and nothing else.
fn play(person: &Sitting, steps: &[(String, Vec<String>)]) {
    for (typed, shown) in steps {
        let expected = shapes(shown);
        let what = format!("{shown:#?} after '{typed}'");
        // How far a download is may be asked too early.
        let deadline = Instant::now() + LONG;
        loop {
            if !typed.is_empty() {
                person.enters(typed);
            }
            if typed == "quit" {
                return;
            }
            for question in shown.iter().filter(|line| line.ends_with(':')) {
                person.sees(question, |rows, _| rows.last() == Some(question));
                person.enters(PASSWORD);
            }
            if typed != "show_downloads" {
                break;
            }
            person.sees(&what, |rows, _| answer(rows, typed).is_some_and(|answer| !answer.is_empty()));
            let rows = person.rows();
            if answer(&rows, typed).and_then(|answer| answer.first()).map(|line| shape(line))
                == expected.first().cloned()
            {
                break;
            }
            assert!(Instant::now() < deadline, "{what} is not shown, but {rows:#?}");
        }
        person.sees(&what, |rows, _| answer(rows, typed).is_some_and(|answer| shapes(answer) == expected));
    }
}

/// Somebody at a terminal, at home in a folder with this in it.
fn sits_down(installation: &Installation, name: &str, options: &[&str]) -> Sitting {
    let home = installation.folder.path().join(format!("home-of-{name}"));
    fs::create_dir_all(home.join(name)).expect("a new folder");
    let info = installation.info();
    let args = [&["127.0.0.1:0", info.to_str().expect("text"), "--state-dir", "state"], options].concat();
    Sitting::start(env!("CARGO_BIN_EXE_client"), &args, &home, 60, 150)
}

#[test]
fn the_transcripts_are_what_the_programs_say() {
    let installation = Installation::of(1);
    let (mut tracker, banner) = installation.start(&[]);
    let alice = sits_down(&installation, "alice", &[]);
    fs::write(installation.folder.path().join("home-of-alice/alice/film.mkv"), vec![7; FILM_LEN]).expect("room");
    let mut bob = sits_down(&installation, "bob", &["--download-limit", FILM_LIMIT]);
    bob.ends_with(&["> "]);
    std::thread::scope(|both| {
        both.spawn(|| play(&alice, &steps("Listening for other members on")));
        alice.shows("Uploaded");
        play(&bob, &steps("> create_user bob"));
    });
    assert!(bob.ends().success());
    drop(alice);

    let console = transcript("tracker 1 on");
    assert_eq!(shape(&banner), shape(&console[0]));
    assert_eq!((console[1].as_str(), console.last().map(String::as_str)), ("status", Some("quit")));
    tracker.say("status");
    for line in &console[2..console.len() - 1] {
        assert_eq!(shape(&tracker.line()), shape(line));
    }
    tracker.say("quit");
    assert!(tracker.end().0.success());
}

#[test]
fn the_demo_runs_to_its_end() {
    let temp = tempfile::tempdir().expect("a folder");
    let programs = [("tracker", env!("CARGO_BIN_EXE_tracker")), ("client", env!("CARGO_BIN_EXE_client"))];
    for (name, program) in programs {
        fs::create_dir(temp.path().join(name)).expect("a new folder");
        symlink(program, temp.path().join(name).join(name)).expect("a link");
    }
    fs::create_dir(temp.path().join("tests")).expect("a new folder");
    for script in ["demo.sh", "tests/drive.sh"] {
        symlink(project(script), temp.path().join(script)).expect("a link");
    }
    let mut demo = Command::new("bash");
    demo.arg(temp.path().join("demo.sh")).env("GROUPSHARE_DEMO_MIB", "8").env("TMPDIR", temp.path());
    let output = demo.output().expect("bash runs");
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && error.is_empty(), "{said}\n{error}");
    for line in ["    Login successful", "    Uploaded", "    Downloading...", "=== All three files are the same."] {
        assert!(said.lines().any(|other| other == line), "the demo does not say {line}:\n{said}");
    }
    let completed =
        said.lines().filter(|line| line.starts_with("    Download completed: [family] holiday.mp4  8.4 MB"));
    assert_eq!(completed.count(), 2, "{said}");
    let makefile = fs::read_to_string(project("Makefile")).expect("a Makefile");
    assert!(makefile.contains("\ndemo: all\n\t@./demo.sh\n"), "make demo runs it");
}
