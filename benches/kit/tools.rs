//! The compared tools. Each moves one file into a folder, from givers that already run.

use super::house::{FILE, House, Member, free_address};
use super::libtorrent::Libtorrent;
use super::limit::Limit;
use super::program::{self, Usage};
use super::tool::{Taken, Tool, giver_folder};
use super::torrent::{start_tracker, write_torrent};
use crate::common::program::Program;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The file to move.
pub(crate) struct Source<'a> {
    /// The path of the file. Its name is `FILE`.
    pub file: &'a Path,
    /// A folder for the files of tools, on the same file system.
    pub folder: &'a Path,
}

/// The names of all tools, in the order of their runs.
pub(crate) const NAMES: [&str; 6] = ["limit", "groupshare", "rsync", "rqbit", "libtorrent", "aria2"];

/// Why a tool cannot run here, and how to change that.
pub(crate) fn lacking(name: &str) -> Option<&'static str> {
    let runs = |program: &str, arg: &str| {
        let status = Command::new(program).arg(arg).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    match name {
        "rsync" if !runs("rsync", "--version") => Some("apt install rsync"),
        "rqbit" if !runs("rqbit", "--version") => Some("cargo install rqbit --locked"),
        "libtorrent" if !Libtorrent::is_here() => Some("apt install python3-libtorrent"),
        "aria2" if !runs("aria2c", "--version") => Some("apt install aria2"),
        _ => None,
    }
}

/// Starts the giving side of a tool. `None` if the tool cannot take from this many givers at once.
pub(crate) fn start(name: &str, source: &Source, givers: usize) -> Option<Box<dyn Tool>> {
    let own = source.folder.join(format!("{name}-{givers}"));
    fs::create_dir(&own).expect("a new folder");
    // Some tools open the file for writing and change its time. So each giver gets a copy of its own.
    let copy = || {
        let copy = own.join(FILE);
        fs::copy(source.file, &copy).expect("copied");
        copy
    };
    Some(match name {
        "limit" => Box::new(Limit::start(source.file, givers, &own)),
        "groupshare" => Box::new(Groupshare::start(source.file, givers, &own)),
        "rsync" if givers == 1 => Box::new(Rsync::start(&copy(), &own)),
        "rsync" => return None,
        "rqbit" => Box::new(Rqbit::start(&copy(), givers, &own)),
        "libtorrent" => Box::new(Libtorrent::start(&copy(), givers, &own)),
        "aria2" => Box::new(Aria2::start(&copy(), givers, &own)),
        _ => panic!("{name} is unknown, the tools are {}", NAMES.join(", ")),
    })
}

/// Runs a program that ends when it has the file.
fn take_to_end(command: &mut Command) -> Taken {
    let start = Instant::now();
    let (verified, usage) = program::start(command).wait();
    Taken { start, verified, named: None, usage }
}

/// Waits until a program listens there.
fn wait_for_listener(addr: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(addr).is_err() {
        assert!(Instant::now() < deadline, "nobody listens on {addr}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// This project's own programs.
struct Groupshare {
    house: House,
    sharers: Vec<Member>,
    runs: usize,
}

impl Groupshare {
    fn start(file: &Path, givers: usize, own: &Path) -> Self {
        let house = House::start(own);
        let mut sharers = house.sharers("sharer", givers, file);
        // The account of the reader. Each run uses a new client of it.
        house.member("reader", &[]).join("lab", &mut sharers[0]);
        Self { house, sharers, runs: 0 }
    }
}

impl Tool for Groupshare {
    fn givers(&self) -> Vec<&Program> {
        self.sharers.iter().map(|sharer| &sharer.program).collect()
    }

    fn take(&mut self, folder: &Path) -> Taken {
        self.runs += 1;
        let mut reader = self.house.client("reader", &format!("reader-{}", self.runs), &[]);
        reader.log_in();
        let before = reader.program.usage();
        let (start, verified, named) = reader.download("lab", folder);
        let usage = reader.program.usage();
        Taken { start, verified, named: Some(named), usage: Usage { cpu: usage.cpu - before.cpu, ..usage } }
    }
}

/// An rsync daemon. rsync checks the whole file with a digest of its own.
pub(crate) struct Rsync {
    daemon: Program,
    addr: SocketAddr,
}

impl Rsync {
    fn start(file: &Path, own: &Path) -> Self {
        Self::serve(&giver_folder(own, file, 0), own)
    }

    /// Serves a folder. The daemon's configuration lies in `own`.
    pub(crate) fn serve(folder: &Path, own: &Path) -> Self {
        let addr = free_address();
        let config = own.join("rsyncd.conf");
        let text = format!(
            "use chroot = no\naddress = {}\nport = {}\n[lab]\npath = {}\nread only = yes\n",
            addr.ip(),
            addr.port(),
            folder.display()
        );
        fs::write(&config, text).expect("written");
        let mut command = Command::new("rsync");
        command.args(["--daemon", "--no-detach"]).arg(format!("--config={}", config.display()));
        let daemon = program::start(&mut command);
        wait_for_listener(addr);
        Self { daemon, addr }
    }

    /// The address of the shared file.
    pub(crate) fn url(&self) -> String {
        format!("rsync://{}/lab/{FILE}", self.addr)
    }
}

impl Tool for Rsync {
    fn givers(&self) -> Vec<&Program> {
        vec![&self.daemon]
    }

    fn take(&mut self, folder: &Path) -> Taken {
        let mut command = Command::new("rsync");
        command.args(["--whole-file", "--inplace", "--preallocate"]);
        take_to_end(command.arg(self.url()).arg(folder))
    }
}

/// A BitTorrent client written in Rust.
struct Rqbit {
    givers: Vec<(Program, SocketAddr)>,
    torrent: PathBuf,
    home: PathBuf,
}

impl Rqbit {
    fn start(file: &Path, givers: usize, own: &Path) -> Self {
        let torrent = own.join("torrent");
        write_torrent(file, "http://127.0.0.1:9/", &torrent);
        let give = |number| {
            let addr = free_address();
            let mut command = Self::command(addr, own);
            command.args(["download", "--overwrite", "-o"]).arg(giver_folder(own, file, number)).arg(&torrent);
            let program = program::start(&mut command);
            wait_for_listener(addr);
            (program, addr)
        };
        Self { givers: (0..givers).map(give).collect(), torrent: torrent.clone(), home: own.to_path_buf() }
    }

    fn command(addr: SocketAddr, home: &Path) -> Command {
        let mut command = Command::new("rqbit");
        for name in ["HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
            command.env(name, home);
        }
        command.args(["--disable-dht", "--disable-trackers", "--disable-lsd", "--disable-upnp-port-forward"]);
        command.args(["--http-api-listen-addr", &free_address().to_string(), "--listen-ip", "127.0.0.1"]);
        command.args(["--listen-port", &addr.port().to_string()]).env("RQBIT_LOG", "warn");
        command
    }
}

impl Tool for Rqbit {
    fn givers(&self) -> Vec<&Program> {
        self.givers.iter().map(|(program, _)| program).collect()
    }

    fn take(&mut self, folder: &Path) -> Taken {
        let mut command = Self::command(free_address(), &self.home);
        let peers: Vec<String> = self.givers.iter().map(|(_, addr)| addr.to_string()).collect();
        command.args(["download", "--exit-on-finish", "--initial-peers", &peers.join(","), "-o"]);
        take_to_end(command.arg(folder).arg(&self.torrent))
    }
}

/// aria2 as a BitTorrent client.
struct Aria2 {
    givers: Vec<Program>,
    torrent: PathBuf,
}

impl Aria2 {
    fn start(file: &Path, givers: usize, own: &Path) -> Self {
        let addrs: Vec<SocketAddr> = (0..givers).map(|_| free_address()).collect();
        let ports: Vec<u16> = addrs.iter().map(SocketAddr::port).collect();
        let torrent = own.join("torrent");
        write_torrent(file, &format!("http://{}/announce", start_tracker(&ports)), &torrent);
        let give = |(number, addr): (usize, &SocketAddr)| {
            let mut command = Self::command(addr.port());
            command.args([
                "--bt-seed-unverified=true",
                "--check-integrity=false",
                "--seed-ratio=0.0",
                "--seed-time=600",
            ]);
            command.arg("-d").arg(giver_folder(own, file, number)).arg(&torrent);
            let program = program::start(&mut command);
            wait_for_listener(*addr);
            program
        };
        Self { givers: addrs.iter().enumerate().map(give).collect(), torrent: torrent.clone() }
    }

    fn command(port: u16) -> Command {
        let mut command = Command::new("aria2c");
        command.args(["--no-conf", "--interface=127.0.0.1", "--disable-ipv6=true", "--summary-interval=0"]);
        command.args([
            "--enable-dht=false",
            "--enable-dht6=false",
            "--enable-peer-exchange=false",
            "--bt-enable-lpd=false",
        ]);
        command.args(["--bt-max-peers=0", "--bt-request-peer-speed-limit=0", "--max-overall-upload-limit=0"]);
        command.args(["--disk-cache=64M", "--file-allocation=falloc", &format!("--listen-port={port}")]);
        command
    }
}

impl Tool for Aria2 {
    fn givers(&self) -> Vec<&Program> {
        self.givers.iter().collect()
    }

    fn take(&mut self, folder: &Path) -> Taken {
        let mut command = Self::command(free_address().port());
        let start = Instant::now();
        let mut program = program::start(command.arg("--seed-time=0").arg("-d").arg(folder).arg(&self.torrent));
        // aria2 ends two seconds later.
        let verified = program.expect("Seeding is over").at;
        let (_, usage) = program.wait();
        Taken { start, verified, named: None, usage }
    }
}
