//! A tracker at a terminal: what its console shows, and that it ends with the terminal.

use crate::common::installation::Installation;
use crate::common::names::{password, user};
use crate::sitting::Sitting;
use groupshare::wire::client_tracker::{Reply, Request};
use rustix::process::Signal;

/// A person at the console of tracker 1.
fn at_console(installation: &Installation) -> Sitting {
    let program = env!("CARGO_BIN_EXE_tracker");
    let person = Sitting::start(program, &["tracker_info.txt", "1"], installation.folder.path(), 24, 200);
    person.shows("tracker 1 on ");
    person
}

#[test]
fn the_console_shows_no_password_that_is_typed_and_everything_else() {
    let installation = Installation::of(1);
    let mut person = at_console(&installation);
    person.enters("create_user ann");
    for question in ["New password for ann: ", "Once more: "] {
        person.ends_with(&[question]);
        assert!(!person.echoes());
        person.enters("wonderland");
    }
    person.shows("User ann created");
    assert!(!person.rows().iter().any(|row| row.contains("wonderland")), "{:?}", person.rows());
    assert!(person.echoes());
    person.enters("users");
    person.shows("ann  active  online 0  groups 0  owns 0  shares 0");
    person.ends_with(&["users", "ann  active  online 0  groups 0  owns 0  shares 0", ""]);
    let mut ann = installation.connect(1).expect("a channel");
    let login = Request::Login { client: ann.id, user: user("ann"), password: password("wonderland") };
    assert!(matches!(ann.ask(login), Reply::LoggedIn { .. }));
    person.enters("quit");
    assert_eq!(person.ends().code(), Some(0));
}

#[test]
fn a_tracker_that_is_stopped_at_a_question_leaves_the_terminal_as_it_was() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let installation = Installation::of(1);
        let mut person = at_console(&installation);
        person.enters("create_user ann");
        person.ends_with(&["New password for ann: "]);
        assert!(!person.echoes());
        person.signal(signal);
        assert_eq!(person.ends().code(), Some(0), "{signal:?}");
        assert!(person.echoes(), "{signal:?}");
    }
}

#[test]
fn ctl_that_is_stopped_at_a_question_leaves_the_terminal_as_it_was_and_changes_nothing() {
    let installation = Installation::of(1);
    let _tracker = installation.tracker(1);
    let (program, folder) = (env!("CARGO_BIN_EXE_tracker"), installation.folder.path());
    let create = ["ctl", "--data-dir", "tracker_info.txt.data/tracker-1", "create_user", "ann"];
    for signal in [Signal::TERM, Signal::INT] {
        let mut person = Sitting::start(program, &create, folder, 24, 200);
        person.ends_with(&["New password for ann: "]);
        assert!(!person.echoes());
        person.types("wonder");
        person.signal(signal);
        assert_eq!(person.ends().code(), Some(130), "{signal:?}");
        assert!(person.echoes(), "{signal:?}");
        person.shows("tracker: interrupted; nothing was changed");
    }
    // What is typed ahead answers both questions.
    let mut person = Sitting::start(program, &create, folder, 24, 200);
    person.ends_with(&["New password for ann: "]);
    person.types("wonderland\rwonderland\r");
    assert_eq!(person.ends().code(), Some(0));
    person.shows("User ann created");
}

#[test]
fn a_tracker_ends_with_its_terminal_and_reads_nothing_anew() {
    let installation = Installation::of(1);
    let mut person = at_console(&installation);
    person.signal(Signal::HUP);
    assert_eq!(person.ends().code(), Some(0));
    assert!(!person.rows().iter().any(|row| row.contains("Reloaded")), "{:?}", person.rows());
}
