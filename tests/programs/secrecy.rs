//! The memory of the programs, as a debugger reads it, has no used password and no key that was read. No core dump has
//! any of them.

use crate::common::installation::Installation;
use crate::common::program::Program;
use crate::common::wait::wait_until;
use rustix::process::{Pid, Resource, Rlimit, Signal, geteuid, prlimit};
use std::fs::{self, File};
use std::io::BufRead;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Long enough never to occur by chance.
const PASSWORD: &str = "Wh1te-Rabbit-with-pink-eyes";

/// Whether these bytes are anywhere in the writable memory of a program. `None` if this test may not read it.
fn holds(pid: Pid, bytes: &[u8]) -> Option<bool> {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    let maps = fs::read_to_string(format!("{process}/maps")).ok()?;
    let memory = File::open(format!("{process}/mem")).ok()?;
    let region = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-').filter(|_| rest.starts_with("rw"))?;
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).expect("hexadecimal"));
        let mut found = vec![0; usize::try_from(to - from).expect("64 bits")];
        // A thread may have ended meanwhile, with its stack.
        memory.read_exact_at(&mut found, from).ok().map(|()| found)
    };
    Some(maps.lines().filter_map(region).any(|region| is_in(&region, bytes)))
}

fn is_in(mut region: &[u8], bytes: &[u8]) -> bool {
    let (first, others) = bytes.split_first().expect("something to look for");
    while region.skip_until(*first).is_ok_and(|len| len > 0) {
        if region.starts_with(others) {
            return true;
        }
    }
    false
}

/// Waits until these bytes are nowhere in the memory of a program: a thread clears them when it is done.
fn comes_to_lack(name: &str, pid: Pid, bytes: &[u8]) {
    match holds(pid, bytes) {
        // Only root may read it.
        None => {
            assert!(!geteuid().is_root(), "the memory of {name} cannot be read");
            println!("The memory of {name} cannot be read here; not shown.");
        }
        Some(_) => wait_until(&format!("{name} has cleared it"), || holds(pid, bytes) == Some(false)),
    }
}

#[test]
fn no_password_and_no_cluster_key_stays_in_memory() {
    let installation = Installation::of(1);
    let tracker = installation.tracker(1);
    let mut alice = installation.person("alice", 1, &[]);
    alice.told(&format!("create_user alice {PASSWORD}"), "User created");
    alice.told(&format!("login alice {PASSWORD}"), "Login successful");
    alice.told("create_group lab", "Group created");
    comes_to_lack("the tracker", tracker.pid(), PASSWORD.as_bytes());
    let key = fs::read(installation.folder.path().join("tracker_info.txt.key")).expect("made");
    comes_to_lack("the tracker", tracker.pid(), &key);
}

/// Whether a program dumps core if it may.
fn dumps_core(mut program: Program) -> bool {
    let limit = Rlimit { current: None, maximum: None };
    prlimit(Some(program.pid()), Resource::Core, limit).expect("root may");
    program.signal(Signal::ABORT);
    program.end().0.core_dumped()
}

#[test]
fn neither_program_dumps_core() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = Program::start(Command::new("sleep").arg("1000").current_dir(folder.path()));
    let unlimited = prlimit(Some(other.pid()), Resource::Core, Rlimit { current: None, maximum: None });
    if unlimited.is_err() || !dumps_core(other) {
        println!("Nothing dumps core here; not shown.");
        return;
    }
    let installation = Installation::of(1);
    let (tracker, mut client) = (installation.tracker(1), installation.person("alice", 1, &[]));
    client.told("create_user alice pw", "User created");
    assert!(!dumps_core(client), "the client does");
    assert!(!dumps_core(tracker), "the tracker does");
}
