//! The tracker's command line.

mod config_file;

use crate::model::address::{parse_address, parse_port};
use crate::model::escape::excerpt;
use crate::model::exit;
use crate::model::units;
use crate::rate::limit::Limit;
use crate::tracker::log::{Level, NoSuchLevel};
use crate::tracker::operator::ctl_args::{self, CtlArgs};
use crate::tracker::operator::table;
use crate::tracker::oversight::limits::{Accounts, LimitSettings};
use config_file::GivenOptions;
pub use config_file::{ConfigError, ConfigFile};
use getopts::{Matches, Options};
use std::ffi::OsStr;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;

/// The most characters of a wrong argument that an error repeats.
const SHOWN_MAX: usize = 80;
/// The least cap of a relay, in bytes per second: a piece takes half a minute at it.
const RELAY_RATE_MIN: u64 = 16_000;
const ARGUMENTS: &str = "[tracker_info.txt] [tracker_no] [options]";

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    Run(Box<Args>),
    /// Check this data folder and change nothing.
    Check(PathBuf),
    /// Cut off the journal in this data folder at the first damage, set damaged manifests aside, and keep a copy.
    Repair(PathBuf),
    /// Print this on standard output and end with success: help, or the version.
    Tell(String),
    /// Give a command to a running tracker.
    Ctl(CtlArgs),
}

/// Settings of the tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    pub tracker_info: PathBuf,
    /// The number of this tracker in the list, from 1. Not yet checked against the list.
    pub number: u64,
    /// Where the tracker keeps its data.
    pub data_dir: Option<PathBuf>,
    /// The file with the trackers' key.
    pub key_file: Option<PathBuf>,
    /// The file with further options.
    pub config: Option<ConfigFile>,
    /// The address for programs that speak JSON.
    pub json: Option<SocketAddr>,
    /// The address for a monitoring system.
    pub metrics: Option<SocketAddr>,
    /// The cap of the relay, if this tracker has one.
    pub relay: Option<Limit>,
    /// The lowest level that the log writes.
    pub log: Level,
    /// Quotas of users, and who makes accounts.
    pub limits: LimitSettings,
}

/// Why a command line is refused; one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgsError {
    what: BadArgument,
    /// The name of the program.
    program: String,
    /// The usage, after the program's name.
    usage: &'static str,
    /// The words that print help.
    help: &'static str,
}

/// What is wrong with an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BadArgument(String);

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what: BadArgument(what), program, usage, help } = self;
        write!(f, "{what}. Usage: {program} {usage}, or {program} {help}")
    }
}

impl std::error::Error for ArgsError {}

impl ArgsError {
    /// What is wrong, without the usage.
    pub fn what(&self) -> &str {
        &self.what.0
    }
}

/// Parses the arguments after the program's name. `program` is the name under which it was started.
pub fn parse<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Result<Invocation, ArgsError> {
    let args: Vec<A> = args.into_iter().collect();
    let (read, usage, help) = match args.split_first() {
        Some((first, rest)) if first.as_ref() == "ctl" => (read_ctl(program, rest), ctl_args::USAGE, "ctl --help"),
        _ => (read(program, &args), ARGUMENTS, "--help"),
    };
    read.map_err(|what| ArgsError { what, program: program.to_owned(), usage, help })
}

/// Parses the arguments after `ctl`.
fn read_ctl<A: AsRef<OsStr>>(program: &str, args: &[A]) -> Result<Invocation, BadArgument> {
    match ctl_args::parse(args) {
        Ok(Some(args)) => Ok(Invocation::Ctl(args)),
        Ok(None) => {
            let usage = format!(
                "Usage: {program} {}\n\nGives a command to a tracker that runs on this machine. Run ctl as the user of \
                 the tracker or as\nroot. Without an option ctl asks the only tracker beside ./tracker_info.txt, or \
                 tracker 1 of several.\nWithout that list ctl asks the only tracker in /var/lib/groupshare.\n\n\
                 Commands:\n    {}",
                ctl_args::USAGE,
                table::help(None).join("\n    ")
            );
            Ok(Invocation::Tell(exit::help(&usage, exit::OF_TRACKER)))
        }
        Err(error) => Err(BadArgument(error.to_string())),
    }
}

fn read<A: AsRef<OsStr>>(program: &str, args: &[A]) -> Result<Invocation, BadArgument> {
    let options = options();
    let matches = options.parse(args).map_err(|fail| BadArgument(excerpt(&fail.to_string(), SHOWN_MAX)))?;
    if matches.opt_present("help") {
        let brief = format!(
            "Usage: {program} {ARGUMENTS}\n\nKeeps accounts and groups, and knows who shares what. Type help on its \
             console.\n\n  \
             tracker_info.txt  the list of trackers (default: ./tracker_info.txt)\n  \
             tracker_no        the place of this tracker in the list, from 1 (default: 1)\n\n\
             {program} ctl gives commands to a running tracker: see {program} ctl --help"
        );
        return Ok(Invocation::Tell(exit::help(&options.usage(&brief), exit::OF_TRACKER)));
    }
    if matches.opt_present("version") {
        return Ok(Invocation::Tell(format!("{program} (groupshare) {}", env!("CARGO_PKG_VERSION"))));
    }
    for (name, invocation) in [("check", Invocation::Check as fn(PathBuf) -> _), ("repair", Invocation::Repair)] {
        match matches.opt_str(name) {
            Some(dir) if dir.is_empty() => {
                return Err(BadArgument(format!("--{name}: the name of the folder is empty")));
            }
            Some(_) if !matches.free.is_empty() => {
                return Err(BadArgument(format!("--{name} takes nothing but a folder")));
            }
            Some(dir) => return Ok(invocation(PathBuf::from(dir))),
            None => {}
        }
    }
    let (tracker_info, number) = match matches.free.as_slice() {
        [] => (None, None),
        // A lone number is the tracker's. A list with such a name can be written ./1.
        [one] if is_number(one) => (None, Some(one)),
        [one] => (Some(one), None),
        [tracker_info, number] => (Some(tracker_info), Some(number)),
        [_, _, more, ..] => {
            return Err(BadArgument(format!("'{}' is one argument too many", excerpt(more, SHOWN_MAX))));
        }
    };
    let tracker_info = tracker_info.map_or("tracker_info.txt", String::as_str);
    if tracker_info.is_empty() {
        return Err(BadArgument("The name of the list of trackers is empty".to_owned()));
    }
    let named = |name| named(&matches, name);
    let (data_dir, key_file, _) = (named("data-dir")?, named("key")?, named("config")?);
    let tracker_info = PathBuf::from(tracker_info);
    let number = number.map_or(Ok(1), |text| tracker_number(text))?;
    let given = GivenOptions::new(&options, matches).map_err(|error| BadArgument(error.to_string()))?;
    Ok(Invocation::Run(Box::new(Args {
        tracker_info,
        number,
        data_dir: data_dir.map(PathBuf::from),
        key_file: key_file.map(PathBuf::from),
        config: given.config(),
        json: json_addr(given.opt_str("json"), given.opt_present("json-in-the-clear"))?,
        metrics: given.opt_str("metrics").as_deref().map(metrics_addr).transpose()?,
        relay: given.opt_str("relay").as_deref().map(relay_limit).transpose()?,
        log: given.opt_str("log").as_deref().map_or_else(|| Ok(Level::usual()), log_level)?,
        limits: limits(&given.opt_strs("limit"), given.opt_str("accounts").as_deref())?,
    })))
}

/// The file or folder that an option names, if the option is given.
fn named(matches: &Matches, name: &str) -> Result<Option<String>, BadArgument> {
    match matches.opt_str(name) {
        Some(path) if path.is_empty() => {
            let what = if name == "data-dir" { "folder" } else { "file" };
            Err(BadArgument(format!("--{name}: the name of the {what} is empty")))
        }
        path => Ok(path),
    }
}

/// The address for JSON. Only this machine can reach it, unless the option `in_the_clear` allows others.
fn json_addr(text: Option<String>, in_the_clear: bool) -> Result<Option<SocketAddr>, BadArgument> {
    let Some(text) = text else {
        return if in_the_clear {
            Err(BadArgument("--json-in-the-clear goes with --json".to_owned()))
        } else {
            Ok(None)
        };
    };
    let addr = parse_address(&text).map_err(|error| BadArgument(format!("--json: {error}")))?;
    if addr.ip().to_canonical().is_loopback() || in_the_clear {
        return Ok(Some(addr));
    }
    Err(BadArgument(format!(
        "--json: other machines can reach {addr}, and passwords would travel in the clear; take 127.0.0.1, or add \
         --json-in-the-clear if that is wanted"
    )))
}

/// The address for metrics: on this machine alone, unless the text names another.
fn metrics_addr(text: &str) -> Result<SocketAddr, BadArgument> {
    match parse_port(text) {
        Ok(port) if port != 0 => Ok((Ipv4Addr::LOCALHOST, port).into()),
        _ => parse_address(text).map_err(|error| BadArgument(format!("--metrics: {error}"))),
    }
}

fn log_level(text: &str) -> Result<Level, BadArgument> {
    let wrong = |NoSuchLevel| format!("--log: '{}' is not error, warn or info", excerpt(text, SHOWN_MAX));
    text.parse().map_err(|error| BadArgument(wrong(error)))
}

/// The options for quotas and accounts.
fn limits(quotas: &[String], accounts: Option<&str>) -> Result<LimitSettings, BadArgument> {
    let mut settings = LimitSettings::default();
    for text in quotas {
        let wrong = |error| BadArgument(format!("--limit: '{}' {error}", excerpt(text, SHOWN_MAX)));
        settings.quotas.set_from(text).map_err(wrong)?;
    }
    settings.accounts = match accounts {
        None | Some("open") => Accounts::Open,
        Some("closed") => Accounts::Closed,
        Some(text) => {
            return Err(BadArgument(format!("--accounts: '{}' is not open or closed", excerpt(text, SHOWN_MAX))));
        }
    };
    Ok(settings)
}

/// The cap of the relay: a limit is required, and it must not be too low for relaying.
fn relay_limit(text: &str) -> Result<Limit, BadArgument> {
    let bytes = Limit::parse(text).ok().and_then(Limit::bytes_per_second);
    let text = || excerpt(text, SHOWN_MAX);
    match bytes.map(NonZeroU64::get) {
        Some(bytes @ RELAY_RATE_MIN..) => Ok(Limit::of(bytes)),
        Some(bytes) => {
            let means = units::rate(bytes);
            Err(BadArgument(format!("--relay: '{}' means {means}, which is too slow; take 16K or more", text())))
        }
        None => {
            let what = "is not a number of bytes per second such as 500K or 20M";
            Err(BadArgument(format!("--relay: '{}' {what}", text())))
        }
    }
}

fn options() -> Options {
    let mut options = Options::new();
    options.optopt(
        "",
        "data-dir",
        "keep accounts, groups and file lists here (default: beside tracker_info.txt)",
        "DIR",
    );
    options.optopt(
        "",
        "key",
        "take the trackers' key from this file, or create it (default: tracker_info.txt.key beside tracker_info.txt)",
        "FILE",
    );
    options.optopt(
        "",
        "config",
        "take more options from this file, one a line without hyphens, such as relay 20M; if both have an option, the \
         command line wins",
        "FILE",
    );
    options.optopt("", "json", "serve programs that speak JSON at this address (docs/JSON.md)", "IP:PORT");
    options.optflag("", "json-in-the-clear", "allow an address for --json that other machines can reach, unencrypted");
    options.optopt(
        "",
        "metrics",
        "serve metrics for Prometheus at this port of 127.0.0.1 or at this address: /metrics, /healthz, /readyz",
        "[IP:]PORT",
    );
    options.optopt(
        "",
        "relay",
        "relay encrypted bytes between members who have no other way, at most RATE bytes per second in all, such as \
         500K or 20M, at least 16K (default: relay nothing)",
        "RATE",
    );
    limit_options(&mut options);
    options.optopt("", "check", "check this data folder for damage, change nothing, and end", "DIR");
    options.optopt(
        "",
        "repair",
        "repair this data folder and end: keep a copy of it, cut off the journal where it is damaged, and set damaged \
         lists of pieces aside; a folder made from a backup needs no repair",
        "DIR",
    );
    options.optflag("h", "help", "print this and end");
    options.optflag("V", "version", "print the version and end");
    options
}

fn limit_options(options: &mut Options) {
    options.optmulti(
        "",
        "limit",
        "set a limit, such as shares=20K; the value none lifts the limit. The command 'limits' lists all limits \
         (docs/OPERATIONS.md)",
        "NAME=VALUE",
    );
    options.optopt(
        "",
        "accounts",
        "who makes accounts: everybody, or only the operator with create_user (default: open)",
        "open|closed",
    );
    options.optopt(
        "",
        "log",
        "write lines of this level and above: error, warn or info (default: info, at a terminal warn)",
        "LEVEL",
    );
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn tracker_number(text: &str) -> Result<u64, BadArgument> {
    match text.parse() {
        Ok(number) if number > 0 && is_number(text) => Ok(number),
        _ => {
            let shown = excerpt(text, SHOWN_MAX);
            Err(BadArgument(format!("'{shown}' is not a tracker number; the first tracker of the list is 1")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::ledger::quota::{Quota, Quotas};
    use crate::tracker::operator::ctl_args::CtlPlace;

    fn run(tracker_info: &str, number: u64, data_dir: Option<&str>) -> Result<Invocation, ArgsError> {
        let data_dir = data_dir.map(PathBuf::from);
        Ok(Invocation::Run(Box::new(Args {
            tracker_info: tracker_info.into(),
            number,
            data_dir,
            key_file: None,
            config: None,
            json: None,
            metrics: None,
            relay: None,
            log: Level::usual(),
            limits: LimitSettings::default(),
        })))
    }

    #[test]
    fn without_arguments_it_is_tracker_1_of_the_list_in_this_folder() {
        assert_eq!(parse("tracker", [""; 0]), run("tracker_info.txt", 1, None));
    }

    #[test]
    fn list_and_number_are_taken_in_the_documented_form_and_each_alone() {
        assert_eq!(parse("tracker", ["../t.txt", "2"]), run("../t.txt", 2, None));
        assert_eq!(parse("tracker", ["t.txt"]), run("t.txt", 1, None));
        assert_eq!(parse("tracker", ["3"]), run("tracker_info.txt", 3, None));
        assert_eq!(parse("tracker", ["./3"]), run("./3", 1, None));
        assert_eq!(parse("tracker", ["t.txt", "--data-dir", "/d", "02"]), run("t.txt", 2, Some("/d")));
    }

    #[test]
    fn the_key_can_lie_apart_from_the_list() {
        let Ok(Invocation::Run(args)) = parse("tracker", ["--key", "/k", "t.txt"]) else {
            panic!("a right command line")
        };
        assert_eq!(args.key_file, Some("/k".into()));
    }

    #[test]
    fn json_is_spoken_on_this_machine_alone_unless_the_operator_says_so_in_words() {
        let json = |words: &[&str]| match parse("tracker", words) {
            Ok(Invocation::Run(args)) => Ok(args.json.map(|addr| addr.to_string())),
            other => Err(other.expect_err("no other invocation").to_string()),
        };
        for addr in ["127.0.0.1:7000", "127.3.2.1:7000", "[::1]:7000", "[::ffff:127.0.0.1]:7000"] {
            assert_eq!(json(&["--json", addr]), Ok(Some(addr.to_owned())));
        }
        for addr in ["0.0.0.0:7000", "192.0.2.1:7000", "[::]:7000", "[::ffff:192.0.2.1]:7000"] {
            let refusal = json(&["--json", addr]).expect_err(addr);
            let said = format!(
                "--json: other machines can reach {addr}, and passwords would travel in the clear; take 127.0.0.1, or \
                 add --json-in-the-clear if that is wanted. Usage: "
            );
            assert!(refusal.starts_with(&said), "{refusal}");
            assert_eq!(json(&["--json", addr, "--json-in-the-clear"]), Ok(Some(addr.to_owned())));
        }
        assert_eq!(json(&["t.txt"]), Ok(None));
        let refusal = json(&["--json-in-the-clear"]).expect_err("alone");
        assert!(refusal.starts_with("--json-in-the-clear goes with --json. "), "{refusal}");
        let refusal = json(&["--json", "here:1"]).expect_err("no address");
        assert!(refusal.starts_with("--json: 'here' is not an IP address"), "{refusal}");
    }

    #[test]
    fn the_log_goes_down_to_a_level_that_there_is() {
        let log = |level: &str| match parse("tracker", ["--log", level]) {
            Ok(Invocation::Run(args)) => Ok(args.log),
            other => Err(other.expect_err("no tracker").to_string()),
        };
        assert_eq!(log("warn"), Ok(Level::Warn));
        assert_eq!(log("error"), Ok(Level::Error));
        let refusal = log("loud").expect_err("no such level");
        assert!(refusal.starts_with("--log: 'loud' is not error, warn or info. Usage: "), "{refusal}");
    }

    #[test]
    fn metrics_are_told_on_this_machine_unless_an_address_is_given() {
        let metrics = |text: &str| match parse("tracker", ["--metrics", text]) {
            Ok(Invocation::Run(args)) => Ok(args.metrics.map(|addr| addr.to_string())),
            other => Err(other.expect_err("no other invocation").to_string()),
        };
        for (text, addr) in [
            ("9464", "127.0.0.1:9464"),
            ("192.0.2.1:9464", "192.0.2.1:9464"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:9464", "[::1]:9464"),
        ] {
            assert_eq!(metrics(text), Ok(Some(addr.to_owned())));
        }
        for text in ["", "0", "65536", "here:1", "127.0.0.1"] {
            let refusal = metrics(text).expect_err(text);
            assert!(refusal.starts_with("--metrics: "), "{refusal}");
        }
    }

    #[test]
    fn a_relay_has_a_cap_or_is_not_there() {
        let relay = |words: &[&str]| match parse("tracker", words) {
            Ok(Invocation::Run(args)) => Ok(args.relay),
            other => Err(other.expect_err("no other invocation").to_string()),
        };
        assert_eq!(relay(&["t.txt"]), Ok(None));
        assert_eq!(relay(&["--relay", "20M"]), Ok(Some(Limit::of(20_000_000))));
        for text in ["none", "0", "fast", ""] {
            let refusal = relay(&["--relay", text]).expect_err(text);
            let said = format!("--relay: '{text}' is not a number of bytes per second such as 500K or 20M. Usage: ");
            assert!(refusal.starts_with(&said), "{refusal}");
        }
    }

    #[test]
    fn limits_are_set_by_name_and_the_last_one_holds() {
        let limits = |words: &[&str]| match parse("tracker", words) {
            Ok(Invocation::Run(args)) => Ok(args.limits),
            other => Err(other.expect_err("no other invocation").to_string()),
        };
        assert_eq!(limits(&[]), Ok(LimitSettings::default()));
        let words = ["--limit", "shares=5", "--limit=shares=20K", "--limit", "all_bytes=none", "--accounts", "closed"];
        let mut wanted = LimitSettings { accounts: Accounts::Closed, ..LimitSettings::default() };
        wanted.quotas.set(Quota::Shares, 20_000);
        wanted.quotas.set(Quota::AllBytes, Quotas::UNLIMITED);
        assert_eq!(limits(&words), Ok(wanted));
        for (text, what) in [
            ("shares", "'shares' is not NAME=VALUE, such as shares=20000"),
            (
                "files=5",
                "'files=5' names no limit; there are groups_owned, memberships, added_to, added_by_one, requests, waiting, owners, added, asked, shares, manifest_bytes, brought, changes, accounts, checks, users, groups, all_shares, all_bytes",
            ),
            ("shares=-1", "'shares=-1' has no number such as 500, 20K or 2G behind the =, or none"),
            ("shares=", "'shares=' has no number such as 500, 20K or 2G behind the =, or none"),
            ("shares=99999999999T", "'shares=99999999999T' has no number such as 500, 20K or 2G behind the =, or none"),
        ] {
            let refusal = limits(&["--limit", text]).expect_err(text);
            assert!(refusal.starts_with(&format!("--limit: {what}. Usage: ")), "{refusal}");
        }
        let refusal = limits(&["--accounts", "shut"]).expect_err("no such word");
        assert!(refusal.starts_with("--accounts: 'shut' is not open or closed. Usage: "), "{refusal}");
    }

    #[test]
    fn a_relay_too_slow_to_be_of_use_is_refused_with_the_rate_that_was_read() {
        for (text, means) in [("20", "20 B/s"), ("15K", "15.0 kB/s")] {
            let refusal = parse("tracker", ["--relay", text]).expect_err(text).to_string();
            let said = format!("--relay: '{text}' means {means}, which is too slow; take 16K or more. Usage: ");
            assert!(refusal.starts_with(&said), "{refusal}");
        }
        assert!(parse("tracker", ["--relay", "16K"]).is_ok());
    }

    #[test]
    fn every_wrong_argument_is_told_in_one_line_with_the_usage() {
        for (words, what) in [
            (&["t", "0"][..], "'0' is not a tracker number; the first tracker of the list is 1"),
            (&["t", "x"], "'x' is not a tracker number; the first tracker of the list is 1"),
            (&["t", "+1"], "'+1' is not a tracker number; the first tracker of the list is 1"),
            (
                &["99999999999999999999"],
                "'99999999999999999999' is not a tracker number; the first tracker of the list is 1",
            ),
            (&["t", "1", "x"], "'x' is one argument too many"),
            (&["", "1"], "The name of the list of trackers is empty"),
            (&["--data-dir", ""], "--data-dir: the name of the folder is empty"),
            (&["--key", ""], "--key: the name of the file is empty"),
            (&["--frobnicate"], "Unrecognized option: 'frobnicate'"),
        ] {
            let said = parse("tracker", words).expect_err("a wrong command line").to_string();
            assert_eq!(
                said,
                format!("{what}. Usage: tracker [tracker_info.txt] [tracker_no] [options], or tracker --help")
            );
        }
    }

    #[test]
    fn a_data_folder_can_be_checked_and_repaired() {
        assert_eq!(parse("tracker", ["--check", "/d"]), Ok(Invocation::Check("/d".into())));
        assert_eq!(parse("tracker", ["--repair", "/d"]), Ok(Invocation::Repair("/d".into())));
        assert!(parse("tracker", ["--repair", "/d", "t.txt"]).is_err());
        assert!(parse("tracker", ["--check", ""]).is_err());
    }

    #[test]
    fn ctl_has_a_command_line_of_its_own() {
        let Ok(Invocation::Ctl(args)) = parse("tracker", ["ctl", "--data-dir", "/d", "user", "ann"]) else {
            panic!("a right command line")
        };
        assert_eq!((args.place, args.words.len()), (CtlPlace::DataDir("/d".into()), 2));
        let said = parse("tracker", ["ctl"]).expect_err("no command").to_string();
        let usage = "[--data-dir DIR | --list FILE] [--tracker N] [--json] COMMAND [ARGUMENT ...]";
        assert_eq!(said, format!("a command is missing. Usage: tracker ctl {usage}, or tracker ctl --help"));
        let Ok(Invocation::Tell(help)) = parse("tracker", ["ctl", "--help"]) else { panic!("help") };
        assert!(help.contains("\n    status ") && help.contains("\n    4   no tracker runs"), "{help}");
        assert_eq!(parse("tracker", ["./ctl"]), run("./ctl", 1, None));
    }

    #[test]
    fn help_and_version_are_told_whatever_else_is_there() {
        let Ok(Invocation::Tell(help)) = parse("tracker", ["t", "x", "-h"]) else { panic!("help") };
        for word in ["Usage: tracker", "--data-dir DIR", "--version"] {
            assert!(help.contains(word), "{help}");
        }
        assert!(help.lines().all(|line| line == line.trim_end()), "{help:?}");
        let version = format!("tracker (groupshare) {}", env!("CARGO_PKG_VERSION"));
        assert_eq!(parse("tracker", ["--version"]), Ok(Invocation::Tell(version)));
    }
}
