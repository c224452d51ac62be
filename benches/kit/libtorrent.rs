//! libtorrent, through its Python module.

use super::house::free_address;
use super::program::{self, Usage};
use super::tool::{Taken, Tool, giver_folder};
use super::torrent::write_torrent;
use crate::common::program::Program;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The system's Python, for which the module is packaged.
pub(crate) const PYTHON: &str = "/usr/bin/python3";
const SCRIPT: &str = include_str!("libtorrent.py");

/// Givers and takers, as processes of their own.
pub(crate) struct Libtorrent {
    givers: Vec<Program>,
    addrs: Vec<String>,
    torrent: PathBuf,
}

impl Libtorrent {
    /// Whether the module is installed.
    pub(crate) fn is_here() -> bool {
        let mut python = Command::new(PYTHON);
        let status = python.args(["-c", "import libtorrent"]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// Starts givers. `own` is a folder for their files.
    pub(crate) fn start(file: &Path, givers: usize, own: &Path) -> Self {
        let torrent = own.join("torrent");
        write_torrent(file, "http://127.0.0.1:9/", &torrent);
        let addrs: Vec<String> = (0..givers).map(|_| free_address().to_string()).collect();
        let give = |(number, addr): (usize, &String)| {
            let mut command = script();
            command.arg("give").arg(addr).arg(giver_folder(own, file, number)).arg(&torrent).arg("0");
            let mut program = program::start(&mut command);
            program.expect("ready");
            program
        };
        Self { givers: addrs.iter().enumerate().map(give).collect(), addrs: addrs.clone(), torrent: torrent.clone() }
    }

    /// One giver with an upload limit, and members that all download at once. Returns the time until the last one had
    /// everything, and how many bytes the giver sent.
    pub(crate) fn swarm(file: &Path, cap: u64, members: usize, own: &Path) -> (Duration, u64) {
        let torrent = own.join("torrent");
        write_torrent(file, "http://127.0.0.1:9/", &torrent);
        let mut command = script();
        command.arg("swarm").arg(giver_folder(own, file, 0)).arg(&torrent);
        let mut program = program::start(command.arg(cap.to_string()).arg(members.to_string()));
        let mut number = |word: &str| -> f64 {
            let line = program.expect(word).text;
            line.trim_start_matches(word).trim().parse().expect("a number")
        };
        let (took, sent) = (Duration::from_secs_f64(number("took ")), number("sent ") as u64);
        program.expect("written");
        (took, sent)
    }
}

fn script() -> Command {
    script_by(Command::new(PYTHON))
}

/// The script, with a command that runs Python.
pub(crate) fn script_by(mut command: Command) -> Command {
    command.args(["-c", SCRIPT]);
    command
}

impl Tool for Libtorrent {
    fn givers(&self) -> Vec<&Program> {
        self.givers.iter().collect()
    }

    fn take(&mut self, folder: &Path) -> Taken {
        let mut command = script();
        command.args(["take", "127.0.0.1:0"]).arg(folder).arg(&self.torrent).args(&self.addrs);
        let mut program = program::start(&mut command);
        program.expect("ready");
        let before = program.usage();
        let start = Instant::now();
        program.say("go");
        let verified = program.expect("done").at;
        program.expect("written");
        let usage = program.usage();
        Taken { start, verified, named: None, usage: Usage { cpu: usage.cpu - before.cpu, ..usage } }
    }
}
