//! README.md and docs/GUIDE.md show what the programs print. The test plays their transcripts, and runs the demo to its
//! end.

mod story;
mod transcript;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use story::Story;
use transcript::{shape, transcript};

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_transcripts_are_what_the_programs_say() {
    // The download is long enough to be seen on a busy machine.
    let mut story = Story::play(18_000_000, &["--download-limit", "1500K"]);

    let console = transcript("docs/GUIDE.md", "tracker 1 on");
    assert_eq!(shape(&story.banner), shape(&console[0]));
    assert_eq!((console[1].as_str(), console.last().map(String::as_str)), ("status", Some("quit")));
    story.tracker.say("status");
    for line in &console[2..console.len() - 1] {
        assert_eq!(shape(&story.tracker.line()), shape(line));
    }
    story.tracker.say("quit");
    assert!(story.tracker.end().0.success());
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
    assert!(makefile.contains(" all\n\t@./demo.sh\n"), "make demo builds and runs it");
}
