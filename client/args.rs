//! The client's command line.

use crate::client::download::engine::options::{PATIENCE, WORKERS_MAX};
use crate::client::output::reporter::Manner;
use crate::model::address::{TrackerAddr, is_of_one_machine, parse_address, parse_tracker_address};
use crate::model::digest::Fingerprint;
use crate::model::escape::excerpt;
use crate::model::exit;
use crate::rate::limit::Limit;
use core::net::{Ipv4Addr, SocketAddr};
use getopts::{Matches, Options};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The maximum number of characters of a wrong argument that an error repeats.
const SHOWN_MAX: usize = 80;
const ARGUMENTS: &str = "[IP:PORT] [tracker_info.txt | TRACKER:PORT] [options]";

/// The request of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// Run.
    Run(Box<Args>),
    /// Print this on standard output and end with success: the help, or the version.
    Tell(String),
}

/// The options of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// The address to listen at for other members; port 0 takes a free one. `None` means all addresses and a free port.
    pub listen: Option<SocketAddr>,
    /// The list of trackers.
    pub tracker_info: PathBuf,
    /// The only tracker, instead of the list.
    pub tracker: Option<TrackerAddr>,
    /// A further address for other members.
    pub announce: Option<SocketAddr>,
    /// The folder of shares, pins and unfinished downloads.
    pub state_dir: Option<PathBuf>,
    /// The rate limit of pieces from other members.
    pub download_limit: Limit,
    /// The rate limit of pieces to other members.
    pub upload_limit: Limit,
    /// The number of download workers. `None` means the number of cores, within bounds.
    pub workers: Option<usize>,
    /// How long a download of a script waits for a member or a tracker. `None` means for ever.
    pub patience: Option<Duration>,
    /// The trackers' key to trust from now on, instead of the pinned one.
    pub accept_fingerprint: Option<Fingerprint>,
    /// The commands to carry out. If there are none, the client reads standard input.
    pub exec: Vec<String>,
    /// The form of the output.
    pub manner: Manner,
}

/// Why a command line is wrong, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgsError {
    what: BadArgument,
    /// The name of the program.
    program: String,
}

/// The fault of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BadArgument(String);

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what: BadArgument(what), program } = self;
        write!(f, "{what}. Usage: {program} {ARGUMENTS}, or {program} --help")
    }
}

impl std::error::Error for ArgsError {}

/// The default of `--state-dir`: `groupshare` in the XDG state folder. `None` if the environment names neither that
/// folder nor a home.
pub fn default_state_dir(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The XDG base directory specification says to ignore relative paths.
    let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("groupshare"))
}

/// Parses the command line after the program's name. `program` is the name under which it was started.
pub fn parse<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Result<Invocation, ArgsError> {
    read(program, args).map_err(|what| ArgsError { what, program: program.to_owned() })
}

fn read<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Result<Invocation, BadArgument> {
    let options = options();
    let matches = options.parse(args).map_err(|fail| BadArgument(excerpt(&fail.to_string(), SHOWN_MAX)))?;
    if matches.opt_present("help") {
        let brief = format!(
            "Usage: {program} {ARGUMENTS}\n\nShares files in groups and downloads them from the members. Type help at the prompt.\n\n  \
             IP:PORT           listen there for other members (default: a free port of all addresses)\n  \
             tracker_info.txt  the list of trackers (default: ./tracker_info.txt)\n  \
             TRACKER:PORT      the address or name of the only tracker, in place of a list"
        );
        return Ok(Invocation::Tell(exit::help(&options.usage(&brief), exit::OF_CLIENT)));
    }
    if matches.opt_present("version") {
        return Ok(Invocation::Tell(format!("{program} (groupshare) {}", env!("CARGO_PKG_VERSION"))));
    }
    let (listen, tracker_info) = places(&matches.free)?;
    let tracker = lone_tracker(&matches.free)?;
    Ok(Invocation::Run(Box::new(Args {
        listen,
        tracker_info,
        tracker,
        announce: announce(&matches)?,
        state_dir: state_dir(&matches)?,
        download_limit: limit(&matches, "download-limit")?,
        upload_limit: limit(&matches, "upload-limit")?,
        workers: workers(&matches)?,
        patience: patience(&matches)?,
        accept_fingerprint: accept_fingerprint(&matches)?,
        exec: matches.opt_strs("exec"),
        manner: Manner { quiet: matches.opt_present("quiet"), json: matches.opt_present("json") },
    })))
}

fn options() -> Options {
    let mut options = Options::new();
    options.optmulti(
        "",
        "exec",
        "carry out this command instead of those on standard input; may be given several times. The client then \
         waits for downloads and ends. Other users can read the command line: leave passwords out",
        "COMMAND",
    );
    options.optflag("", "json", "speak JSON, for programs (docs/JSON.md)");
    options.optflag("", "quiet", "show only results and failures");
    options.optopt(
        "",
        "announce",
        "tell other members this address too, such as that of a router that forwards a port",
        "IP:PORT",
    );
    options.optopt(
        "",
        "state-dir",
        "keep shares and unfinished downloads here (default: groupshare in the XDG state folder)",
        "DIR",
    );
    options.optopt(
        "",
        "upload-limit",
        "give other members at most RATE bytes per second, such as 500K or 20M (default: no limit)",
        "RATE",
    );
    options.optopt(
        "",
        "download-limit",
        "take at most RATE bytes per second from other members (default: no limit)",
        "RATE",
    );
    options.optopt(
        "",
        "workers",
        &format!("threads that download, 1 to {WORKERS_MAX} (default: one per core, 2 to 8)"),
        "N",
    );
    options.optopt(
        "",
        "patience",
        "how long a download of a script waits for a member with the missing pieces, or for a tracker that knows \
         the file, such as 90s, 10m or 2h; 0: do not wait; forever: no time limit (default: 60s)",
        "TIME",
    );
    options.optopt(
        "",
        "accept-fingerprint",
        "trust the trackers with this key from now on, even if another one was known",
        "HEX",
    );
    options.optflag("h", "help", "print this and end");
    options.optflag("V", "version", "print the version and end");
    options
}

fn workers(matches: &Matches) -> Result<Option<usize>, BadArgument> {
    let Some(text) = matches.opt_str("workers") else { return Ok(None) };
    match text.parse() {
        Ok(workers @ 1..=WORKERS_MAX) => Ok(Some(workers)),
        _ => Err(BadArgument(format!(
            "--workers: '{}' is not a number from 1 to {WORKERS_MAX}",
            excerpt(&text, SHOWN_MAX)
        ))),
    }
}

fn patience(matches: &Matches) -> Result<Option<Duration>, BadArgument> {
    let Some(text) = matches.opt_str("patience") else { return Ok(Some(PATIENCE)) };
    if text == "forever" {
        return Ok(None);
    }
    let digits = text.trim_end_matches(['s', 'm', 'h']);
    let unit_s = match &text[digits.len()..] {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let number = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    // A u32 of seconds is long enough, and a longer deadline might not be representable.
    let seconds = number.and_then(|digits| digits.parse::<u32>().ok()).zip(unit_s);
    let seconds = seconds.and_then(|(number, unit_s): (u32, u32)| number.checked_mul(unit_s));
    let wrong =
        || format!("--patience: '{}' is not a time such as 90s, 10m or 2h, 0, or forever", excerpt(&text, SHOWN_MAX));
    seconds.map(|seconds| Some(Duration::from_secs(seconds.into()))).ok_or_else(|| BadArgument(wrong()))
}

/// `IP:PORT` and the list of trackers. Either may be left out.
fn places(free: &[String]) -> Result<(Option<SocketAddr>, PathBuf), BadArgument> {
    let (listen, tracker_info) = match free {
        [] => (None, None),
        // A single argument is the address unless it can only be a file.
        [one] if looks_like_address(one) => (Some(one), None),
        [one] => (None, Some(one)),
        [listen, tracker_info] => (Some(listen), Some(tracker_info)),
        [_, _, more, ..] => {
            return Err(BadArgument(format!("'{}' is one argument too many", excerpt(more, SHOWN_MAX))));
        }
    };
    let listen = listen.map(|text| parse_address(text)).transpose().map_err(|error| BadArgument(error.to_string()))?;
    let tracker_info = tracker_info.map_or("tracker_info.txt", String::as_str);
    if tracker_info.is_empty() {
        return Err(BadArgument("The name of the list of trackers is empty".to_owned()));
    }
    Ok((listen, PathBuf::from(tracker_info)))
}

/// The tracker instead of the list. An argument with a `/` is a file.
fn lone_tracker(free: &[String]) -> Result<Option<TrackerAddr>, BadArgument> {
    let Some(text) = free.get(1).filter(|text| !text.contains('/')) else { return Ok(None) };
    let Some((_, port)) = text.rsplit_once(':') else { return Ok(None) };
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let tracker = parse_tracker_address(text).map_err(|error| BadArgument(error.to_string()))?;
    if tracker.port() == 0 {
        return Err(BadArgument(format!("nobody can reach {tracker}, name a real port")));
    }
    Ok(Some(tracker))
}

fn looks_like_address(text: &str) -> bool {
    !text.contains('/') && (text.contains(':') || text.parse::<Ipv4Addr>().is_ok())
}

fn announce(matches: &Matches) -> Result<Option<SocketAddr>, BadArgument> {
    let Some(text) = matches.opt_str("announce") else { return Ok(None) };
    let address = parse_address(&text).map_err(|error| BadArgument(format!("--announce: {error}")))?;
    if address.port() == 0 || address.ip().is_unspecified() {
        return Err(BadArgument(format!("--announce: nobody can reach {address}, name a real address and port")));
    }
    if !is_of_one_machine(address.ip()) {
        return Err(BadArgument(format!(
            "--announce: {address} cannot be announced: multicast, link-local and reserved addresses lead to no member"
        )));
    }
    Ok(Some(address))
}

fn state_dir(matches: &Matches) -> Result<Option<PathBuf>, BadArgument> {
    match matches.opt_str("state-dir") {
        Some(dir) if dir.is_empty() => Err(BadArgument("--state-dir: the name of the folder is empty".to_owned())),
        dir => Ok(dir.map(PathBuf::from)),
    }
}

fn limit(matches: &Matches, option: &str) -> Result<Limit, BadArgument> {
    let Some(text) = matches.opt_str(option) else { return Ok(Limit::NONE) };
    Limit::parse(&text).map_err(|error| BadArgument(format!("--{option}: {error}")))
}

fn accept_fingerprint(matches: &Matches) -> Result<Option<Fingerprint>, BadArgument> {
    let Some(text) = matches.opt_str("accept-fingerprint") else { return Ok(None) };
    match Fingerprint::from_hex(&text) {
        Some(fingerprint) => Ok(Some(fingerprint)),
        None => Err(BadArgument("--accept-fingerprint: expected the 64 hexadecimal digits that were shown".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    fn args(words: &[&str]) -> Args {
        match parse("client", words) {
            Ok(Invocation::Run(args)) => *args,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    fn error(words: &[&str]) -> String {
        parse("client", words).expect_err("a wrong command line").to_string()
    }

    #[test]
    fn without_arguments_a_free_port_of_all_addresses_and_the_list_in_this_folder_are_used() {
        let args = args(&[]);
        assert_eq!(args.listen, None);
        assert_eq!(args.tracker_info, PathBuf::from("tracker_info.txt"));
        assert_eq!((args.announce, args.state_dir, args.accept_fingerprint), (None, None, None));
        assert_eq!((args.upload_limit, args.download_limit), (Limit::NONE, Limit::NONE));
        assert_eq!(args.patience, Some(Duration::from_secs(60)));
        assert_eq!((args.exec, args.manner), (vec![], Manner::default()));
    }

    #[test]
    fn commands_are_taken_in_the_order_in_which_they_are_given() {
        let args = args(&["--exec", "login bob", "127.0.0.1:1", "--quiet", "--exec=list_groups", "--exec", ""]);
        assert_eq!(args.exec, ["login bob", "list_groups", ""]);
        assert_eq!(args.manner, Manner { quiet: true, json: false });
    }

    #[test]
    fn address_and_list_are_taken_in_the_documented_form_and_each_alone() {
        for (words, listen, list) in [
            (&["127.0.0.1:18000", "t.txt"][..], Some("127.0.0.1:18000"), "t.txt"),
            (&["0.0.0.0:18000"], Some("0.0.0.0:18000"), "tracker_info.txt"),
            (&["[::1]:0"], Some("[::1]:0"), "tracker_info.txt"),
            (&["../tracker_info.txt"], None, "../tracker_info.txt"),
            (&["list"], None, "list"),
            (&["a:b/list"], None, "a:b/list"),
            (&["--", "127.0.0.1:1", "-odd"], Some("127.0.0.1:1"), "-odd"),
        ] {
            let args = args(words);
            let listens = args.listen.map(|addr| addr.to_string());
            assert_eq!((listens.as_deref(), args.tracker_info), (listen, PathBuf::from(list)));
        }
    }

    #[test]
    fn a_tracker_may_stand_in_place_of_the_list_and_a_file_of_such_a_name_is_written_with_its_folder() {
        for (text, tracker) in [
            ("192.0.2.7:5000", Some("192.0.2.7:5000")),
            ("[fe80::1%eth0]:5000", Some("[fe80::1%eth0]:5000")),
            ("Tracker.example:5000", Some("tracker.example:5000")),
            ("./tracker.example:5000", None),
            ("tracker.example", None),
            ("list:new", None),
        ] {
            let args = args(&["0.0.0.0:18000", text]);
            assert_eq!(args.tracker.map(|tracker| tracker.to_string()).as_deref(), tracker, "{text}");
        }
    }

    #[test]
    fn options_stand_before_and_behind_the_rest() {
        let hex = "ab".repeat(32);
        let words = [
            "--announce",
            "10.0.0.1:9",
            "127.0.0.1:1",
            "t",
            "--state-dir=/s",
            "--accept-fingerprint",
            &hex,
            "--upload-limit",
            "20M",
            "--workers=3",
        ];
        let args = args(&words);
        assert_eq!(args.upload_limit, Limit::of(20_000_000));
        assert_eq!(args.workers, Some(3));
        assert_eq!(args.announce, "10.0.0.1:9".parse().ok());
        assert_eq!(args.state_dir, Some(PathBuf::from("/s")));
        assert_eq!(args.accept_fingerprint, Fingerprint::from_hex(&hex));
    }

    #[test]
    fn patience_is_a_time_none_at_all_or_without_end() {
        let of = |text| args(&["--patience", text]).patience.map(|patience| patience.as_secs());
        for (text, seconds) in [("0", 0), ("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200)] {
            assert_eq!(of(text), Some(seconds), "{text}");
        }
        assert_eq!(of("forever"), None);
        for wrong in ["", "s", "-1", "+1", "1.5m", "1d", "1ms", "1 m", "Forever", "4294967296", "4294967295h"] {
            let said = format!("--patience: '{wrong}' is not a time such as 90s, 10m or 2h, 0, or forever. Usage: ");
            assert!(error(&["--patience", wrong]).starts_with(&said), "{wrong}");
        }
    }

    #[test]
    fn every_wrong_argument_is_told_in_one_line_with_the_usage() {
        for (words, what) in [
            (&["127.0.0.1:99999", "t"][..], "'99999' is not a port, which is a number up to 65535"),
            (&["localhost:1"], "'localhost' is not an IP address such as 127.0.0.1 or [::1]"),
            (&["127.0.0.1"], "'127.0.0.1' has no port, write it like 127.0.0.1:5000 or [::1]:5000"),
            (&["t", "127.0.0.1:1"], "'t' is not an IP address such as 127.0.0.1 or [::1]"),
            (&["127.0.0.1:1", "t", "x"], "'x' is one argument too many"),
            (&["127.0.0.1:1", "tracker:0"], "nobody can reach tracker:0, name a real port"),
            (&["127.0.0.1:1", "192.0.2.7:70000"], "'70000' is not a port, which is a number up to 65535"),
            (&["127.0.0.1:1", ""], "The name of the list of trackers is empty"),
            (&["--announce", "0.0.0.0:5"], "--announce: nobody can reach 0.0.0.0:5, name a real address and port"),
            (&["--announce", "1.2.3.4:0"], "--announce: nobody can reach 1.2.3.4:0, name a real address and port"),
            (
                &["--announce", "224.0.0.1:5000"],
                "--announce: 224.0.0.1:5000 cannot be announced: multicast, link-local and reserved addresses lead to \
                 no member",
            ),
            (
                &["--announce", "169.254.169.254:80"],
                "--announce: 169.254.169.254:80 cannot be announced: multicast, link-local and reserved addresses \
                 lead to no member",
            ),
            (&["--announce", "x"], "--announce: 'x' is not an IP address such as 127.0.0.1 or [::1]"),
            (&["--state-dir", ""], "--state-dir: the name of the folder is empty"),
            (
                &["--accept-fingerprint", "ab"],
                "--accept-fingerprint: expected the 64 hexadecimal digits that were shown",
            ),
            (
                &["--upload-limit", "fast"],
                "--upload-limit: 'fast' is not a number of bytes per second such as 500K or 20M, or none",
            ),
            (&["--workers", "0"], "--workers: '0' is not a number from 1 to 64"),
            (&["--workers", "65"], "--workers: '65' is not a number from 1 to 64"),
            (&["--frobnicate"], "Unrecognized option: 'frobnicate'"),
            (&["--state-dir"], "Argument to option 'state-dir' missing"),
            (&["--announce", "1.1.1.1:1", "--announce", "1.1.1.1:1"], "Option 'announce' given more than once"),
        ] {
            assert_eq!(
                error(words),
                format!(
                    "{what}. Usage: client [IP:PORT] [tracker_info.txt | TRACKER:PORT] [options], or client --help"
                )
            );
        }
        assert!(parse("client", [OsStr::from_bytes(b"\xff")]).is_err());
    }

    #[test]
    fn help_and_version_are_told_whatever_else_is_there() {
        let Ok(Invocation::Tell(help)) = parse("client", ["x", "y", "z", "--help"]) else { panic!("help") };
        for word in [
            "Usage: client",
            "--exec COMMAND",
            "--json",
            "--quiet",
            "--announce IP:PORT",
            "--state-dir DIR",
            "--upload-limit RATE",
            "--workers N",
            "--patience TIME",
            "--accept-fingerprint HEX",
            "--version",
        ] {
            assert!(help.contains(word), "{help}");
        }
        assert!(help.lines().all(|line| line == line.trim_end()), "{help:?}");
        assert!(help.contains("\n\nExit codes:\n    0   all went well") && help.ends_with("signal"), "{help}");
        assert_eq!(
            parse("client", ["-V"]),
            Ok(Invocation::Tell(format!("client (groupshare) {}", env!("CARGO_PKG_VERSION"))))
        );
    }

    #[test]
    fn state_is_kept_under_the_xdg_state_folder_or_home() {
        let of = |set: &[(&str, &str)]| {
            let set: Vec<(String, OsString)> = set.iter().map(|(name, value)| ((*name).into(), value.into())).collect();
            default_state_dir(|name| set.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
        };
        let at = |path: &str| Some(PathBuf::from(path));
        assert_eq!(of(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), at("/s/groupshare"));
        assert_eq!(of(&[("HOME", "/h")]), at("/h/.local/state/groupshare"));
        assert_eq!(of(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]), at("/h/.local/state/groupshare"));
        assert_eq!(of(&[("XDG_STATE_HOME", "")]), None);
    }
}
