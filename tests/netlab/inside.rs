//! Runs a test once more in namespaces of its own: whatever it starts or sets up there ends with it.

use parking_lot::Mutex;
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::thread;

/// Set where a test runs in its namespaces.
const INSIDE: &str = "GROUPSHARE_NETLAB_INSIDE";
/// New namespaces; everything in them is killed when `unshare` ends.
const NAMESPACES: [&str; 7] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];
/// What the lab needs of the system, tried once. Each line says what it is when it fails.
const TRIAL: &str = "
try() { what=$1; shift; \"$@\" >/dev/null 2>&1 || { echo \"$what\"; exit 0; }; }
rules() { nft flush ruleset && printf 'table inet t {\\n chain c {\\n type %s\\n %s\\n }\\n}\\n' \"$1\" \"$2\" | nft -f -; }
forward() { echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; }
try 'mount a folder' mount -t tmpfs tmpfs /run
try 'name a network namespace' ip netns add trial
try 'make virtual cables' ip link add name wan netns trial type veth peer name site
try 'make a bridge' ip link add name lan type bridge
try 'filter connections' rules 'filter hook input priority 0' 'ct state established accept'
try 'reject connections' rules 'filter hook input priority 0' 'meta l4proto tcp counter reject with tcp reset'
try 'translate addresses' rules 'nat hook postrouting priority 100' 'masquerade fully-random'
try 'forward packets' forward
";

/// One line is enough for all tests.
static SKIPPED: Once = Once::new();

/// Tests that run at once would slow each other down.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs the test of this name, which is the caller, in namespaces of its own. Passes with a line on standard error where
/// there are none to be had.
pub(crate) fn inside(test: &str, run: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        thread::spawn(end_with_parent);
        return run();
    }
    match namespaces() {
        Err(missing) => {
            // `eprintln!` would keep it to itself while the test passes.
            SKIPPED.call_once(|| drop(writeln!(io::stderr(), "Not tested over networks: {missing}")));
        }
        Ok(unshare) => {
            let _alone = ONE_AT_A_TIME.lock();
            let program = env::current_exe().expect("it runs");
            let mut command = in_namespaces(unshare);
            command.arg(program).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("it has started before");
            for line in BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok) {
                println!("{line}");
            }
            assert!(child.wait().expect("started").success(), "it has failed in its namespaces, as told above");
        }
    }
}

/// Ends this process when the one outside has ended, and with it all others in its namespace.
fn end_with_parent() {
    // Nothing is ever written there.
    let _ = io::stdin().read(&mut [0]);
    std::process::exit(1);
}

/// The arguments with which `unshare` makes namespaces here, or what is missing.
fn namespaces() -> Result<&'static [&'static str], String> {
    for (tool, package) in
        [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2"), ("nft", "nftables")]
    {
        if !folders().iter().any(|folder| folder.join(tool).exists()) {
            return Err(format!("there is no {tool}, which the package {package} has"));
        }
    }
    let mut missing = String::new();
    for unshare in [&[][..], &["--user", "--map-root-user"]] {
        let tried = in_namespaces(unshare).args(["sh", "-c", TRIAL]).stdin(Stdio::null()).output();
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

fn in_namespaces(unshare: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(unshare).args(NAMESPACES).env("PATH", env::join_paths(folders()).expect("they came from there"));
    command
}

/// Where programs lie: also those of the system, which a user's PATH may leave out.
fn folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).to_path_buf())).collect()
}
