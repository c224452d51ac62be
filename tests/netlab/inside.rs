//! Runs a test again in namespaces of its own. Everything that it starts or sets up there ends with it.

use crate::common::namespaces::{again, is_inside, unshare};
use parking_lot::Mutex;
use std::io::{self, BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::Once;

/// What the lab needs from the system. It is tried once.
const TRIAL: &str = "
rules() { nft flush ruleset && printf 'table inet t {\\n chain c {\\n type %s\\n %s\\n }\\n}\\n' \"$1\" \"$2\" | nft -f -; }
forward() { echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; }
try 'make virtual cables' ip link add name wan netns trial type veth peer name site
try 'make a bridge' ip link add name lan type bridge
try 'filter connections' rules 'filter hook input priority 0' 'ct state established accept'
try 'reject connections' rules 'filter hook input priority 0' 'meta l4proto tcp counter reject with tcp reset'
try 'translate addresses' rules 'nat hook postrouting priority 100' 'masquerade fully-random'
try 'forward packets' forward
";

/// One line is enough for all tests.
static SKIPPED: Once = Once::new();

/// Simultaneous tests would slow each other down.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs the test of this name, which is the caller, in namespaces of its own. Without namespaces the test passes, with
/// a line on standard error.
pub(crate) fn inside(test: &str, run: impl FnOnce()) {
    if is_inside() {
        return run();
    }
    match unshare(TRIAL, &[("nft", "nftables")]) {
        Err(missing) => {
            // cargo would hide the output of `eprintln!` while the test passes.
            SKIPPED.call_once(|| drop(writeln!(io::stderr(), "Not tested over networks: {missing}")));
        }
        Ok(unshare) => {
            let _alone = ONE_AT_A_TIME.lock();
            let mut command = again(unshare);
            command.args(["--exact", test, "--nocapture"]).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("it has started before");
            for line in BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok) {
                println!("{line}");
            }
            assert!(child.wait().expect("started").success(), "it has failed in its namespaces, as told above");
        }
    }
}
