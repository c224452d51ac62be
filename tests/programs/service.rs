//! The service as it is shipped: its own command lines, without a terminal and without standard input.

mod booted;

use crate::common::client::Client;
use crate::common::deadline::LONG;
use crate::common::installation::Installation;
use crate::common::names::{password, user};
use crate::common::program::Program;
use crate::ctl::Ended;
use groupshare::model::digest::Fingerprint;
use groupshare::wire::client_tracker::{Reply, Request};
use rustix::process::Signal;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A machine with the service installed. Its /etc and its /var lie in a folder.
struct Machine {
    root: tempfile::TempDir,
    addr: SocketAddr,
    /// The socket of the service manager.
    manager: UnixDatagram,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["etc/groupshare", "var/lib/groupshare"] {
            fs::create_dir_all(root.path().join(folder)).expect("made");
        }
        let addr = Installation::of(1).addrs[0];
        fs::write(root.path().join("etc/groupshare/tracker_info.txt"), format!("{addr}\n")).expect("written");
        fs::copy(unit_folder().join("tracker.conf"), root.path().join("etc/groupshare/tracker.conf")).expect("copied");
        let manager = UnixDatagram::bind(root.path().join("notify")).expect("bound");
        manager.set_read_timeout(Some(LONG)).expect("set");
        Self { root, addr, manager }
    }

    /// The unit's command behind this name, for tracker 1 of this machine.
    fn command(&self, name: &str) -> Command {
        let unit = fs::read_to_string(unit_folder().join("groupshare-tracker@.service")).expect("readable");
        let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).expect(name);
        let root = self.root.path().to_str().expect("text");
        let line = line.replace("%i", "1").replace(" /etc/", &format!(" {root}/etc/"));
        let line = line.replace(" /var/", &format!(" {root}/var/"));
        let (program, words) = line.split_once(' ').expect("arguments");
        assert_eq!(program, "/usr/local/bin/groupshare-tracker");
        // Without a terminal, as systemd starts it. It stays the same process.
        let mut command = Command::new("setsid");
        command.arg(env!("CARGO_BIN_EXE_tracker")).args(words.split(' ')).current_dir("/");
        command
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("var/lib/groupshare/tracker-1")
    }

    /// Starts the service and waits until it reports that it serves.
    fn start(&self) -> Program {
        let mut command = self.command("ExecStart");
        command.env("NOTIFY_SOCKET", self.root.path().join("notify"));
        let mut service = Program::start(&mut command);
        service.close_input();
        assert_eq!(self.told(), format!("READY=1\nSTATUS=tracker 1 on {}", self.addr));
        service
    }

    fn told(&self) -> String {
        let mut message = [0; 4096];
        let len = self.manager.recv(&mut message).expect("told in time");
        String::from_utf8_lossy(&message[..len]).into_owned()
    }

    fn ctl(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        Ended::of(command.args(["ctl", "--data-dir"]).arg(self.data()).args(words))
    }

    fn key(&self) -> PathBuf {
        self.root.path().join("var/lib/groupshare/tracker.key")
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.addr).expect("it serves");
        let key = fs::read(self.key()).expect("made").try_into().expect("32 bytes");
        Client::over_to(stream, fingerprint(&key)).expect("a channel")
    }

    fn logs_in(&self, name: &str, with: &str) -> bool {
        let mut client = self.connect();
        let login = Request::Login { client: client.id, user: user(name), password: password(with) };
        matches!(client.ask(login), Reply::LoggedIn { .. })
    }

    fn stop(&self, mut service: Program) {
        service.signal(Signal::TERM);
        assert_eq!(self.told(), "STOPPING=1");
        assert_eq!(service.end().0.code(), Some(0));
    }
}

fn fingerprint(key: &[u8; 32]) -> Fingerprint {
    groupshare::tracker::auth::cluster_key::ClusterKey::new(key).fingerprint()
}

fn unit_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging")
}

#[test]
fn an_operator_looks_after_the_service_by_ctl_alone_and_moves_it_to_another_machine() {
    let machine = Machine::new();
    let mut service = machine.start();
    assert!(machine.ctl(&["status"]).out.starts_with(&format!("tracker 1 on {}, up ", machine.addr)));
    machine.connect().create_user("ann");
    let reset = machine.ctl(&["reset_password", "ann", "--make"]);
    let made = reset.out.lines().last().and_then(|line| line.strip_prefix("Password: ")).expect("shown").to_owned();
    assert!(machine.logs_in("ann", &made));
    let reload = Ended::of(&mut machine.command("ExecReload"));
    assert_eq!((reload.code, reload.out.as_str()), (Some(0), "Reloaded, nothing has changed\n"));
    service.signal(Signal::HUP);
    service.expect("Reloaded, nothing has changed");
    let other = Machine::new();
    fs::copy(machine.key(), other.key()).expect("copied");
    let backup = machine.root.path().join("backup");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
    command.args(["ctl", "--data-dir"]).arg(machine.data()).arg("backup").stdin(Stdio::null());
    assert!(command.stdout(File::create(&backup).expect("made")).status().expect("started").success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
    command.args(["ctl", "--data-dir"]).arg(other.data()).arg("restore");
    let restored = Ended::of_input(&mut command, File::open(&backup).expect("made"));
    assert!(restored.out.starts_with("Restored tracker 1 of "), "{restored:?}");
    let moved = other.start();
    assert!(other.logs_in("ann", &made));
    other.stop(moved);
    machine.stop(service);
}
