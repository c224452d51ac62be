//! The fuzz targets: each is a function that takes any bytes and panics if something is wrong. libFuzzer calls them
//! through `fuzz/` with its own inputs. `tests/fuzz_smoke/main.rs` calls them with the corpora in `fuzz/corpus` and
//! mutations of these.

#[path = "../../common"]
mod common {
    pub(crate) mod client;
    pub(crate) mod deadline;
    pub(crate) mod manifest;
    pub(crate) mod membership;
    pub(crate) mod memory_log;
    pub(crate) mod names;
    pub(crate) mod person;
    pub(crate) mod relay;
    pub(crate) mod tracker;
    pub(crate) mod wait;
}

mod aside;
mod client_files;
mod cluster;
mod connection;
mod ctl;
mod fold;
mod handshake;
mod history;
mod journal;
mod messages;
mod records;
mod script;
mod seeding_session;
mod text;
mod tracker_session;

use groupshare::model::name::is_unsafe_char;
use std::fmt::Display;
use std::path::Path;

/// Takes any bytes.
pub(crate) type Target = fn(&[u8]);

/// The targets by name. Each has a file in `fuzz/fuzz_targets`, an entry in `fuzz/Cargo.toml` and a folder in
/// `fuzz/corpus`.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("accept", handshake::accept),
    ("aside", aside::aside),
    ("backup", ctl::backup),
    ("brought", handshake::brought),
    ("checkpoint", journal::checkpoint),
    ("client_folders", client_files::folders),
    ("client_records", client_files::records),
    ("cluster", cluster::cluster),
    ("command", text::command),
    ("connect", handshake::connect),
    ("ctl_frames", ctl::frames),
    ("follow_log", client_files::follow_log),
    ("frame", messages::frame),
    ("journal", journal::journal),
    ("json_command", text::json_command),
    ("ledger", fold::ledger),
    ("link_message", messages::link_message),
    ("manifest", messages::manifest),
    ("op", messages::op),
    ("peer_reply", messages::peer_reply),
    ("peer_request", messages::peer_request),
    ("pin", client_files::pin),
    ("records", records::records),
    ("reply", messages::reply),
    ("request", messages::request),
    ("seeding_session", seeding_session::seeding_session),
    ("sidecar", client_files::sidecar),
    ("state", fold::state),
    ("tracker_json", tracker_session::tracker_json),
    ("tracker_link", tracker_session::tracker_link),
    ("tracker_list", text::tracker_list),
    ("tracker_session", tracker_session::tracker_session),
];

/// The target of this name.
pub(crate) fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(other, _)| *other == name);
    found.unwrap_or_else(|| panic!("no target is called {name}")).1
}

/// Whether a message to a person is one line, without a character that could change how it is shown.
fn is_one_line(words: &(impl Display + ?Sized)) -> bool {
    let words = words.to_string();
    !words.is_empty() && !words.chars().any(is_unsafe_char)
}

/// A temporary folder, in memory if possible.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self(folder.expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}
