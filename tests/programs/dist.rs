//! The results of `make dist` for a commit, with a cargo that builds in no time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Replaces cargo: `build` copies the file named by BUILT to the place of the programs.
const CARGO: &str = r#"#!/bin/sh
[ "$1" = build ] || exit 0
while [ $# -gt 0 ]; do
    case $1 in
        --target) target=$2 ;;
        --target-dir) folder=$2 ;;
    esac
    shift
done
mkdir -p "$folder/$target/release"
install -m 755 "$BUILT" "$folder/$target/release/tracker"
install -m 755 "$BUILT" "$folder/$target/release/client"
"#;

/// A clone with everything that a release needs, and a cargo that builds a given file.
struct Clone {
    folder: tempfile::TempDir,
}

impl Clone {
    /// The clone of one commit, always the same one. `None` without git: unpacked sources need no git.
    fn new() -> Option<Self> {
        if Command::new("git").arg("--version").output().is_err() {
            eprintln!("left out: no git to make a release of");
            return None;
        }
        let clone = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::create_dir(clone.checkout()).expect("a new folder");
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut copy = Command::new("cp");
        copy.arg("-r").current_dir(project);
        copy.args(["Makefile", "Cargo.toml", "packaging", "docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]);
        copy.args(["LICENSE-MIT", "LICENSE-APACHE", "tracker_info.txt"]).arg(clone.checkout());
        succeeded(copy.output().expect("cp runs"));
        for folder in ["tracker", "client"] {
            fs::create_dir(clone.checkout().join(folder)).expect("a new folder");
            fs::write(clone.checkout().join(folder).join("start.rs"), "").expect("written");
        }
        fs::write(clone.checkout().join(".gitignore"), "*.deb\n").expect("written");
        clone.git(&["init", "--quiet"]);
        clone.git(&["add", "--all"]);
        clone.git(&["-c", "user.name=ann", "-c", "user.email=ann@localhost", "commit", "--quiet", "--message=all"]);
        clone.tool("cargo", CARGO);
        fs::write(clone.place("built"), "#!/bin/sh\n").expect("written");
        Some(clone)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tool(&self, name: &str, script: &str) {
        fs::write(self.place(name), script).expect("written");
        fs::set_permissions(self.place(name), fs::Permissions::from_mode(0o755)).expect("changed");
    }

    fn checkout(&self) -> PathBuf {
        self.place("check out")
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(self.checkout());
        git.env("GIT_AUTHOR_DATE", "1700000000 +0100").env("GIT_COMMITTER_DATE", "1700000000 +0100");
        succeeded(git.output().expect("git runs"));
    }

    fn release(&self) -> Output {
        self.release_with(&[])
    }

    /// The same in an environment that has these variables as well.
    fn release_with(&self, env: &[(&str, &Path)]) -> Output {
        let mut dist = Command::new(self.checkout().join("packaging/dist.sh"));
        dist.arg(self.place("dist")).args(["source", "programs", "sums"]).current_dir("/");
        dist.env("CARGO", self.place("cargo")).env("BUILT", self.place("built")).envs(env.iter().copied());
        dist.output().expect("it runs")
    }

    /// The made files: names and bytes.
    fn made(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.place("dist")).expect("there").map(|entry| entry.expect("readable").path());
        let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
        files.sort();
        let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
        files.iter().map(|path| (name(path), fs::read(path).expect("readable"))).collect()
    }
}

fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn one_commit_is_the_same_release_in_every_folder_whatever_else_lies_there() {
    let Some((one, other)) = Clone::new().zip(Clone::new()) else { return };
    let said = succeeded(one.release());
    assert!(!said.contains("Not in the release"), "{said}");
    fs::write(other.checkout().join("README.md"), "changed").expect("written");
    // The settings of somebody, and a folder whose new folders get its group.
    let attributes = other.place("attributes");
    fs::write(&attributes, "docs export-ignore\n*.sh text eol=crlf\n").expect("written");
    other.git(&["config", "core.attributesFile", &attributes.display().to_string()]);
    other.git(&["config", "log.showSignature", "true"]);
    fs::create_dir(other.place("dist")).expect("a new folder");
    fs::set_permissions(other.place("dist"), fs::Permissions::from_mode(0o2755)).expect("changed");
    fs::write(other.place("dist/groupshare.txt"), "mine").expect("written");
    let said = succeeded(other.release());
    assert!(said.starts_with("Not in the release: 1 uncommitted change"), "{said}");
    assert_eq!(fs::read(other.place("dist/groupshare.txt")).expect("it stays"), b"mine");
    fs::remove_file(other.place("dist/groupshare.txt")).expect("it is there");
    assert!(one.made() == other.made(), "{said}");

    let names: Vec<String> = one.made().into_iter().map(|(name, _)| name).collect();
    let version = env!("CARGO_PKG_VERSION");
    let [sums, programs, sources] = names.as_slice() else { panic!("{names:?}") };
    assert_eq!((sums.as_str(), sources), ("SHA256SUMS", &format!("groupshare-{version}.tar.gz")));
    let programs_are = format!("groupshare-{version}-{}-linux-", std::env::consts::ARCH);
    assert!(
        [format!("{programs_are}static.tar.gz"), format!("{programs_are}glibc.tar.gz")].contains(programs),
        "{names:?}"
    );
    assert_eq!(said.contains("The programs are not static"), programs.ends_with("glibc.tar.gz"), "{said}");
    let check = Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(one.place("dist")).output();
    assert_eq!(succeeded(check.expect("it runs")).lines().count(), 2);

    let listed = |archive: &str| {
        let tar = Command::new("tar").arg("-tvzf").arg(one.place("dist").join(archive)).env("TZ", "UTC").output();
        succeeded(tar.expect("tar runs"))
    };
    let has = |list: &str, file: &str| list.lines().any(|line| line.ends_with(&format!("/{file}")));
    let list = listed(programs);
    assert!(list.contains("-rwxr-xr-x 0/0"), "programs can be started: {list}");
    for file in ["bin/groupshare-tracker", "bin/groupshare-client", "share/man/man1/groupshare-client.1"] {
        assert!(has(&list, file), "{file}: {list}");
    }
    assert!(has(&list, "share/doc/groupshare/third-party"), "the licences of libraries: {list}");
    let list = listed(sources);
    assert!(has(&list, "packaging/dist.sh") && !list.contains("/.git/"), "{list}");
    assert!(list.lines().all(|line| line.contains(" 2023-11-14 22:13 ")), "the time of the commit: {list}");
}

#[test]
fn a_program_that_names_a_folder_of_this_machine_is_no_release() {
    let Some(clone) = Clone::new() else { return };
    let leak = clone.checkout().canonicalize().expect("there").join("client/start.rs");
    fs::write(clone.place("built"), format!("panicked at {}\0", leak.display())).expect("written");
    let output = clone.release();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("The program tracker names ") && said.contains("a folder of this machine"), "{said}");
    assert_eq!(clone.made().len(), 1, "the sources alone");
}

#[test]
fn a_program_may_name_a_folder_that_every_machine_has() {
    let Some(clone) = Clone::new() else { return };
    clone.tool("rustc", "#!/bin/sh\ncase \"$*\" in '--print sysroot') echo /usr ;; *) exec rustc \"$@\" ;; esac\n");
    fs::write(clone.place("built"), "#!/bin/sh\n/usr/lib/debug/.build-id/\n").expect("written");
    succeeded(clone.release_with(&[("RUSTC", &clone.place("rustc"))]));
}

#[test]
fn without_a_commit_there_is_no_release() {
    let Some(clone) = Clone::new() else { return };
    fs::remove_dir_all(clone.checkout().join(".git")).expect("it was there");
    let output = clone.release();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("A release is made of a commit, run make dist in a clone; git says: fatal: "), "{said}");

    // A source archive in the clone of something else.
    succeeded(Command::new("git").args(["init", "--quiet"]).arg(clone.folder.path()).output().expect("git runs"));
    let output = clone.release();
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = "A release is made of a commit, but this folder is no git checkout: run make dist in a clone\n";
    assert_eq!((output.status.code(), &*said), (Some(1), expected));
}
