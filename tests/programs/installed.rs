//! What `make install` puts on a system, and what `make uninstall` leaves.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder like the project with its programs built, and a place for an installation.
struct Sources {
    folder: tempfile::TempDir,
}

impl Sources {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let texts =
            ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE-MIT", "LICENSE-APACHE", "tracker_info.txt"];
        for name in ["Makefile", "Cargo.toml", "packaging", "docs"].iter().chain(&texts) {
            symlink(project.join(name), folder.path().join(name)).expect("a link");
        }
        for (name, program) in [("tracker", env!("CARGO_BIN_EXE_tracker")), ("client", env!("CARGO_BIN_EXE_client"))] {
            fs::create_dir(folder.path().join(name)).expect("a new folder");
            symlink(program, folder.path().join(name).join(name)).expect("a link");
        }
        Self { folder }
    }

    fn prefix(&self) -> PathBuf {
        self.folder.path().join("system/opt/share it")
    }

    fn make(&self, target: &str) {
        let mut make = Command::new("make");
        make.arg("--no-print-directory")
            .arg(target)
            .arg(format!("DESTDIR={}", self.folder.path().join("system").display()));
        let output = make.arg("PREFIX=/opt/share it").current_dir(self.folder.path()).env_remove("MAKEFLAGS").output();
        let output = output.expect("make runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The targets of the links in a text. Links to the network and into the same text are left out.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

#[test]
fn installed_programs_are_stripped_and_go_by_their_new_names_and_the_documentation_holds_together() {
    let sources = Sources::new();
    sources.make("install");
    for (program, built) in [("tracker", env!("CARGO_BIN_EXE_tracker")), ("client", env!("CARGO_BIN_EXE_client"))] {
        let installed = sources.prefix().join("bin").join(format!("groupshare-{program}"));
        let len = |path: &Path| fs::metadata(path).expect("there").len();
        assert!(len(&installed) * 2 < len(Path::new(built)), "{program} still has what only a debugger reads");
        let version = Command::new(&installed).arg("--version").output().expect("it runs");
        let said = String::from_utf8_lossy(&version.stdout).into_owned();
        assert!(said.starts_with(&format!("groupshare-{program} (groupshare) ")), "{said}");
        let wrong = Command::new(&installed).arg("--frobnicate").output().expect("it runs");
        let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(said.contains(&format!("Usage: groupshare-{program} [")), "{said}");
        assert!(said.ends_with(&format!(", or groupshare-{program} --help\n")), "{said}");
    }
    let doc = sources.prefix().join("share/doc/groupshare");
    let pages = fs::read_dir(doc.join("docs")).expect("installed").map(|entry| entry.expect("readable").path());
    let pages: Vec<PathBuf> = pages.filter(|page| page.extension().is_some_and(|end| end == "md")).collect();
    assert!(pages.len() > 5);
    let others = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|name| doc.join(name));
    for page in pages.iter().chain(&others) {
        for target in links(&fs::read_to_string(page).expect("text")) {
            let there = page.parent().expect("a folder").join(target).exists();
            assert!(there, "{} leads to {target}, which is not installed", page.display());
        }
    }
}

#[test]
fn uninstalling_takes_its_own_folders_and_leaves_those_of_others() {
    let sources = Sources::new();
    let system = sources.folder.path().join("system");
    fs::create_dir_all(sources.prefix().join("share/man")).expect("a folder that was there");
    sources.make("install");
    sources.make("install");
    let own = sources.prefix().join("share/fish/vendor_completions.d/own.fish");
    fs::write(&own, "").expect("written");
    sources.make("uninstall");
    let found = Command::new("find").arg(&system).output().expect("find runs");
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let mut left: Vec<&str> = found.lines().filter_map(|line| line.strip_prefix(sources.prefix().to_str()?)).collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [
            "",
            "/share",
            "/share/fish",
            "/share/fish/vendor_completions.d",
            "/share/fish/vendor_completions.d/own.fish",
            "/share/man"
        ]
    );
    fs::remove_file(own).expect("there");
    fs::remove_dir_all(system).expect("there");
    sources.make("install");
    sources.make("uninstall");
    assert!(!sources.prefix().exists(), "every folder was made for it");
}

#[test]
fn a_program_calls_itself_by_the_name_under_which_it_was_started() {
    for (program, name) in
        [(env!("CARGO_BIN_EXE_tracker"), "/opt/bin/lab-tracker"), (env!("CARGO_BIN_EXE_client"), "lab-client")]
    {
        let short = name.rsplit('/').next().expect("a name");
        let help = Command::new(program).arg0(name).arg("--help").output().expect("it runs");
        let said = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(said.starts_with(&format!("Usage: {short} [")), "{said}");
    }
    let mut tracker = Command::new(env!("CARGO_BIN_EXE_tracker"));
    let output = tracker.arg0("lab-tracker").arg("/nowhere").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("lab-tracker: cannot read the list of trackers /nowhere: "), "{said}");
}
