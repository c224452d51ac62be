//! The service under systemd, as the first process of its namespaces. The test needs root, systemd and cgroup2.

use super::unit_folder;
use crate::common::client::Client;
use crate::common::deadline::LONG;
use crate::common::installation::Installation;
use crate::common::names::{password, user};
use crate::ctl::Ended;
use groupshare::tracker::auth::cluster_key::ClusterKey;
use groupshare::wire::client_tracker::{Reply, Request};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SERVICE: &str = "groupshare-tracker@1";
const KEY: &str = "/var/lib/groupshare/tracker.key";

static MACHINES: AtomicU32 = AtomicU32::new(1);

/// A machine that has booted. Dropping it ends all its processes.
struct BootedMachine {
    boot: Child,
    /// The process id of systemd, as seen from outside.
    first: String,
    cgroup: PathBuf,
    addr: SocketAddr,
    folder: tempfile::TempDir,
}

impl BootedMachine {
    /// `None` if systemd cannot be the first process, with the reason on standard error.
    fn boot() -> Option<Self> {
        let left_out = |why: &str| eprintln!("left out: systemd does not boot in namespaces here: {why}");
        let Some(hierarchy) = cgroup2() else {
            left_out("there is no cgroup2");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let addr = Installation::of(1).addrs[0];
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("work")).expect("made");
        fs::write(at("list"), format!("{addr}\n")).expect("written");
        let number = MACHINES.fetch_add(1, Ordering::Relaxed);
        let cgroup = hierarchy.join(format!("groupshare-test-{}-{number}", std::process::id()));
        if let Err(error) = fs::create_dir(&cgroup) {
            left_out(&error.to_string());
            return None;
        }
        // The shell joins the group before it makes the namespace. So that group is the root of the namespace.
        let enter = "echo $$ >\"$0/cgroup.procs\" && exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", enter]).arg(&cgroup).arg("sh").arg(unit_folder().join("../tests/programs/service/boot.sh"));
        command.arg(at("work")).arg(unit_folder().join("groupshare-tracker@.service"));
        command.arg(unit_folder().join("tracker.conf")).arg(at("list")).arg(env!("CARGO_BIN_EXE_tracker"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(at("said")).expect("made"));
        let boot = command.spawn().expect("there is a shell");
        let deadline = Instant::now() + LONG;
        let mut machine = Self { first: String::new(), cgroup, addr, folder, boot };
        loop {
            machine.first = children(machine.boot.id());
            if !machine.first.is_empty() && machine.run(&["systemctl", "is-system-running"]).out == "running\n" {
                return Some(machine);
            }
            if machine.boot.try_wait().expect("not waited for").is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(machine.folder.path().join("said")).unwrap_or_default();
                left_out(said.lines().last().unwrap_or("it ended"));
                return None;
            }
            thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// A command that runs on this machine as root.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--root"]);
        command.args(["env", "-C", "/", "-i", "SYSTEMD_UNIT_PATH=/run/units"]);
        command.arg("PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").args(words).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Ended {
        Ended::of(&mut self.command(words))
    }

    /// The output of a command that must succeed.
    fn says(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert_eq!((ended.code, ended.complaint.as_str()), (Some(0), ""), "{words:?}: {}", ended.out);
        ended.out
    }

    fn property(&self, name: &str) -> String {
        self.says(&["systemctl", "show", "--value", "--property", name, SERVICE]).trim_end().to_owned()
    }

    fn connect(&self) -> Client {
        let key = self.command(&["cat", KEY]).output().expect("started").stdout;
        let key = ClusterKey::new(&key.try_into().expect("32 bytes"));
        Client::over_to(TcpStream::connect(self.addr).expect("it serves"), key.fingerprint()).expect("a channel")
    }

    fn logs_in(&self, name: &str, with: &str) -> bool {
        let mut client = self.connect();
        let login = Request::Login { client: client.id, user: user(name), password: password(with) };
        matches!(client.ask(login), Reply::LoggedIn { .. })
    }

    /// Puts a file into the folder from which `follow` runs.
    fn bring(&self, name: &str, from: &Path) {
        let mut command = self.command(&["cp", "/dev/stdin", &format!("/run/{name}")]);
        assert!(command.stdin(File::open(from).expect("there")).status().expect("started").success(), "{name}");
    }

    /// Follows the manual as root. Returns the output.
    fn follow(&self, commands: &str) -> String {
        self.says(&["env", "-C", "/run", "sh", "-ec", commands])
    }
}

/// The commands of the manual that restore the service.
fn documented_restore() -> String {
    let manual = fs::read_to_string(unit_folder().join("../docs/OPERATIONS.md")).expect("readable");
    let restores = |block: &&str| block.contains("    runuser ") && block.contains(" restore < ");
    manual.split("\n\n").find(restores).expect("it is told").to_owned()
}

impl Drop for BootedMachine {
    fn drop(&mut self) {
        // The first process ends with it, and all others with that. This fails if it has ended already.
        let _ = self.boot.kill();
        let _ = self.boot.wait();
        let deadline = Instant::now() + LONG;
        while !emptied(&self.cgroup) && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(20));
        }
    }
}

/// Removes a control group with everything in it. False while a process is in one of them.
fn emptied(cgroup: &Path) -> bool {
    let inside = fs::read_dir(cgroup).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders: Vec<PathBuf> = inside.filter(|path| path.is_dir()).collect();
    folders.iter().all(|path| emptied(path)) && fs::remove_dir(cgroup).is_ok()
}

/// The path of cgroup2.
fn cgroup2() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    mount.split(' ').nth(1).map(PathBuf::from)
}

fn children(process: u32) -> String {
    let told = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    told.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn systemd_starts_reloads_and_stops_the_service_that_an_operator_moves_to_another_machine() {
    let Some(machine) = BootedMachine::boot() else { return };
    assert_eq!(machine.says(&["systemctl", "start", SERVICE]), "");
    assert_eq!(machine.property("StatusText"), format!("tracker 1 on {}", machine.addr));
    let limits = machine.says(&["cat", &format!("/proc/{}/limits", machine.property("MainPID"))]);
    let core: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max core")).expect("told").split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{core:?}");
    // No number is needed: this is the only service here.
    let ctl = |machine: &BootedMachine, words: &[&str]| machine.says(&[&["groupshare-tracker", "ctl"], words].concat());
    assert!(ctl(&machine, &["status"]).starts_with(&format!("tracker 1 on {}, up ", machine.addr)));
    let stranger = ["runuser", "-u", "nobody", "--", "groupshare-tracker", "ctl", "--data-dir"];
    let stranger = machine.run(&[&stranger[..], &["/var/lib/groupshare/tracker-1", "status"]].concat());
    assert_eq!((stranger.code == Some(0), stranger.out.as_str()), (false, ""));
    machine.connect().create_user("ann");
    let reset = ctl(&machine, &["reset_password", "ann", "--make"]);
    let made = reset.lines().last().and_then(|line| line.strip_prefix("Password: ")).expect("shown").to_owned();
    assert!(machine.logs_in("ann", &made));
    assert_eq!(machine.says(&["systemctl", "reload", SERVICE]), "");
    machine.says(&["sh", "-c", "echo frob >>/etc/groupshare/tracker.conf"]);
    assert_ne!(machine.run(&["systemctl", "reload", SERVICE]).code, Some(0), "the file is wrong");
    assert!(machine.logs_in("ann", &made), "it runs on");

    let backup = machine.folder.path().join("backup");
    let mut command = machine.command(&["groupshare-tracker", "ctl", "backup"]);
    assert!(command.stdout(File::create(&backup).expect("made")).status().expect("started").success());
    let key = machine.folder.path().join("key");
    fs::write(&key, machine.command(&["cat", KEY]).output().expect("started").stdout).expect("written");
    let other = BootedMachine::boot().expect("as the first one");
    for (name, from) in [("tracker.key", &key), ("tracker-1.backup", &backup)] {
        other.bring(name, from);
    }
    let said = other.follow(&documented_restore());
    assert!(said.starts_with("Restored tracker 1 of "), "{said}");
    assert!(other.logs_in("ann", &made));
    for machine in [machine, other] {
        assert_eq!(machine.says(&["systemctl", "stop", SERVICE]), "");
        assert_eq!([machine.property("Result"), machine.property("ExecMainStatus")], ["success", "0"]);
    }
}
