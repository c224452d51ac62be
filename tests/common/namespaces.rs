//! Kernel namespaces. This program runs again in fresh ones, and everything that it starts or sets up ends with it.
//! Each machine is a network namespace.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// The variable that is set for a program in its namespaces.
const INSIDE: &str = "GROUPSHARE_INSIDE";
/// New namespaces. The kernel kills everything in them when `unshare` ends.
const NAMESPACES: [&str; 7] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];
/// The beginning of every trial. `try` runs a command, and prints it if it fails.
const TRIAL: &str = "
try() { what=$1; shift; \"$@\" >/dev/null 2>&1 || { echo \"$what\"; exit 0; }; }
try 'mount a folder' mount -t tmpfs tmpfs /run
try 'name a network namespace' ip netns add trial
";

/// Whether this program already runs in fresh namespaces. If so, it ends when its standard input does.
pub(crate) fn is_inside() -> bool {
    let inside = env::var_os(INSIDE).is_some();
    if inside {
        thread::spawn(end_with_parent);
    }
    inside
}

/// Ends this process when the process outside has ended. All others in its namespace end with it.
fn end_with_parent() {
    // Nothing is ever written there.
    let _ = io::stdin().read(&mut [0]);
    std::process::exit(1);
}

/// The arguments with which `unshare` makes namespaces here, or what is missing. Each line of the trial tries something
/// that the tests need. `tools` has further tools with their packages, besides those that every trial uses.
pub(crate) fn unshare(trial: &str, tools: &[(&str, &str)]) -> Result<&'static [&'static str], String> {
    let always = [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")];
    for (tool, package) in always.iter().chain(tools) {
        if !folders().iter().any(|folder| folder.join(tool).exists()) {
            return Err(format!("there is no {tool}, which the package {package} has"));
        }
    }
    let mut missing = String::new();
    for unshare in [&[][..], &["--user", "--map-root-user"]] {
        let mut command = in_namespaces(unshare);
        let tried = command.args(["sh", "-c", &format!("{TRIAL}{trial}")]).stdin(Stdio::null()).output();
        let tried = tried.map_err(|error| format!("unshare does not start ({error})"))?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\n', ", ");
        match (tried.status.success(), said(&tried.stdout)) {
            (true, what) if what.is_empty() => return Ok(unshare),
            (true, what) => missing = format!("cannot {what} in a namespace here"),
            (false, _) => missing = format!("neither root nor user namespaces ({})", said(&tried.stderr)),
        }
    }
    Err(missing)
}

/// Runs this program again in fresh namespaces. It ends when its input does.
pub(crate) fn again(unshare: &[&str]) -> Command {
    let mut command = in_namespaces(unshare);
    command.arg(env::current_exe().expect("it runs")).env(INSIDE, "1").stdin(Stdio::piped());
    command
}

fn in_namespaces(unshare: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(unshare).args(NAMESPACES).env("PATH", env::join_paths(folders()).expect("they came from there"));
    command
}

/// The folders of programs. They include those of the system, which a user's PATH may leave out.
fn folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).to_path_buf())).collect()
}

/// Prepares a place for the names of machines. The caller calls it once in fresh namespaces, before the first machine.
pub(crate) fn begin() {
    fed(Command::new("sh").args(["-es"]), "mount -t tmpfs tmpfs /run\n");
}

/// Makes a machine with this name and its loopback up. IPv6 addresses work at once, without duplicate address
/// detection.
pub(crate) fn machine(name: &str) {
    fed(Command::new("sh").args(["-es"]), &format!("ip netns add {name}\n"));
    assert!(Path::new("/run/netns").join(name).exists());
    let script = "ip link set lo up\n\
                  echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad\n\
                  echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad\n";
    fed(at(name, "sh").args(["-es"]), script);
}

/// A command that runs a program on the machine of this name.
pub(crate) fn at(machine: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{machine}")).arg("--").arg(program);
    command
}

/// Runs a program with this input. It must succeed.
pub(crate) fn fed(command: &mut Command, input: &str) {
    command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    // The text is shorter than a pipe's buffer.
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("started");
    assert!(output.status.success(), "{input}\n{}", String::from_utf8_lossy(&output.stderr));
}
