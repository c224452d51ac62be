//! A tracker's metrics over HTTP, as a monitoring system reads them.

use crate::common::deadline::LONG;
use crate::common::installation::{Installation, linked};
use crate::common::names::{command, group, password, user};
use crate::common::program::Program;
use crate::common::wait::wait_until;
use groupshare::wire::client_tracker::{Reply, Request};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// An installation with a tracker that serves its metrics at an address outside the list.
struct Watched {
    installation: Installation,
    tracker: Program,
    door: SocketAddr,
}

impl Watched {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        let installation = Installation::of(2);
        let (own, door) = (installation.addrs[0], installation.addrs[1]);
        installation.list(&format!("{own}\n"));
        let door_option = ["--metrics", &door.to_string()];
        let (mut tracker, _) = installation.start(&[&door_option[..], options].concat());
        assert_eq!(tracker.expect("metrics").text, format!("metrics on {door}"));
        Self { installation, tracker, door }
    }

    fn scrape(&self) -> String {
        let (status, body) = get(self.door, "/metrics");
        assert_eq!(status, "HTTP/1.1 200 OK");
        body
    }

    /// The value of a sample, named with its labels.
    fn value(&self, sample: &str) -> Option<f64> {
        let body = self.scrape();
        let line = body.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map(|value| value.parse().expect("a number"))
    }
}

/// The status line and the body of a page.
fn get(door: SocketAddr, path: &str) -> (String, String) {
    let answer = exchange(door, format!("GET {path} HTTP/1.1\r\nHost: tracker\r\n\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.lines().next().expect("a status").to_owned(), body.to_owned())
}

fn exchange(door: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(door).expect("the door is open");
    stream.set_read_timeout(Some(LONG)).expect("set");
    stream.write_all(request).expect("taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

/// The complaints of a maintained parser of the format; `None` if none is installed.
fn complaints(text: &str) -> Option<String> {
    const PARSER: &str = "import sys; from prometheus_client.parser import text_string_to_metric_families as parse\n\
                          families = list(parse(sys.stdin.read())); assert len(families) > 30, families";
    let has_parser = ["-c", "import prometheus_client.parser"];
    let runs = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let mut command = if runs("promtool", &["--version"]) {
        let mut command = Command::new("promtool");
        command.args(["check", "metrics"]);
        command
    } else if runs("/usr/bin/python3", &has_parser) {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", PARSER]);
        command
    } else {
        return None;
    };
    let mut parser =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    parser.stdin.take().expect("piped").write_all(text.as_bytes()).expect("taken");
    let output = parser.wait_with_output().expect("ended");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success() || !said.is_empty(), "{:?}", output.status);
    Some(said)
}

#[test]
fn a_parser_of_prometheus_reads_all_of_it() {
    let mut watched = Watched::new();
    let mut client = watched.installation.connect(1).expect("a channel");
    client.create_user("ann");
    client.log_in("ann");
    client.create_group("lab");
    let text = watched.scrape();
    match complaints(&text) {
        Some(said) => assert_eq!(said, "", "{text}"),
        None => eprintln!("left out: no promtool and no python3 prometheus_client to read the metrics"),
    }
    for line in text.lines() {
        assert!(line.starts_with("# HELP ") || line.starts_with("# TYPE ") || is_sample(line), "{line}");
    }
    watched.tracker.say("quit");
    assert_eq!(watched.tracker.end().0.code(), Some(0));
}

/// A name, labels, and a number.
fn is_sample(line: &str) -> bool {
    let Some((series, value)) = line.rsplit_once(' ') else { return false };
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    let labels = labels.strip_suffix('}');
    let is_label = |label: &str| {
        label.split_once('=').is_some_and(|(name, value)| {
            is_name(name) && value.len() >= 2 && value.starts_with('"') && value.ends_with('"')
        })
    };
    let of_labels = |labels: &str| labels.is_empty() || labels.split(',').all(is_label);
    is_name(name) && labels.is_some_and(of_labels) && value.parse::<f64>().is_ok()
}

#[test]
fn the_alerts_that_are_proposed_are_about_numbers_that_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus/alerts.yml");
    let alerts = fs::read_to_string(&path).expect("readable");
    let installation = Installation::of(3);
    let door = installation.addrs[2];
    let (tracker, _) = installation.start(&["--metrics", &door.to_string()]);
    let scraped = Watched { installation, tracker, door }.scrape();
    let told: BTreeSet<&str> = scraped.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let expressions = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let words = expressions.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    let names = words.filter(|word| ["groupshare_", "process_"].iter().any(|prefix| word.starts_with(prefix)));
    let names: BTreeSet<&str> = names.collect();
    assert!(names.len() > 5, "{names:?}");
    assert_eq!(names.difference(&told).collect::<Vec<_>>(), [&""; 0]);
    for (label, values) in alerts.split('{').filter_map(|part| part.split_once('}')?.0.split_once("=~\"")) {
        for value in values.split('"').next().expect("a value").split('|') {
            assert!(scraped.contains(&format!("{label}=\"{value}\"")), "no {label} is {value}");
        }
    }
    // While a client is slowed down, the tracker checks none of its passwords.
    let passwords = alerts.split("- alert: ").find(|alert| alert.starts_with("GroupshareLoginsFail")).expect("there");
    assert!(passwords.contains("groupshare_commands_total{kind=~\"Login|ChangePassword\",result=\"refused\"}"));
    if let Ok(output) = Command::new("promtool").args(["check", "rules"]).arg(&path).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn it_counts_what_clients_do() {
    let watched = Watched::new();
    let mut client = watched.installation.connect(1).expect("a channel");
    client.create_user("ann");
    let wrong = Request::Login { client: client.id, user: user("ann"), password: password("wrong") };
    assert!(matches!(client.ask(wrong), Reply::Refused { .. }));
    client.log_in("ann");
    client.create_group("lab");
    for (sample, value) in [
        (concat!("groupshare_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
        ("groupshare_up", 1.0),
        ("groupshare_ready", 1.0),
        ("groupshare_floor_held_back_seconds", 0.0),
        ("groupshare_clients", 1.0),
        ("groupshare_sessions", 1.0),
        (r#"groupshare_connections{kind="all"}"#, 1.0),
        (r#"groupshare_presence_clients{at="here"}"#, 1.0),
        ("groupshare_users", 1.0),
        ("groupshare_groups", 1.0),
        ("groupshare_shares", 0.0),
        ("groupshare_commit_ops_total", 2.0),
        ("groupshare_commits_total", 2.0),
        ("groupshare_commit_sync_seconds_count", 2.0),
        ("groupshare_commit_underway_seconds", 0.0),
        ("groupshare_ops_above_floor", 2.0),
        (r#"groupshare_refusals_total{reason="BadLogin"}"#, 1.0),
        (r#"groupshare_refusals_total{reason="NoSuchGroup"}"#, 0.0),
        (r#"groupshare_command_seconds_count{kind="CreateGroup"}"#, 1.0),
        (r#"groupshare_command_seconds_bucket{kind="Login",le="+Inf"}"#, 2.0),
        (r#"groupshare_limit_used{name="users"}"#, 1.0),
        (r#"groupshare_limit_max{name="users"}"#, 200_000.0),
        ("groupshare_manifests_bytes", 0.0),
        ("groupshare_audit_lost_lines_total", 0.0),
        ("groupshare_read_only", 0.0),
        ("groupshare_disk_trouble", 0.0),
    ] {
        assert_eq!(watched.value(sample), Some(value), "{sample}: {}", watched.scrape());
    }
    assert!(watched.value("process_resident_memory_bytes") > Some(1e6));
    assert!(watched.value("process_open_fds") > Some(3.0));
}

#[test]
fn a_command_is_counted_once_its_change_is_durable_and_programs_are_counted_like_clients() {
    let programs = Installation::of(1).addrs[0];
    let watched = Watched::with(&["--json", &programs.to_string()]);
    let counts = |kind: &str| {
        let count =
            |result| watched.value(&format!("groupshare_commands_total{{kind=\"{kind}\",result=\"{result}\"}}"));
        [count("ok"), count("refused")].map(|count| count.expect("told") as u64)
    };
    let mut client = watched.installation.connect(1).expect("a channel");
    client.create_user("ann");
    client.log_in("ann");
    client.create_group("lab");
    assert_eq!(counts("CreateGroup"), [1, 0]);
    let again = Request::CreateGroup { command: command(), group: group("lab") };
    assert!(matches!(client.ask(again), Reply::Refused { .. }));
    assert_eq!(counts("CreateGroup"), [1, 1]);
    let mut program = BufReader::new(TcpStream::connect(programs).expect("it speaks JSON"));
    let ip = programs.ip();
    for line in [
        format!(r#"{{"command":"list_groups","command_args":{{}},"sender_ip":"{ip}","sender_port":"0"}}"#),
        "no JSON".to_owned(),
    ] {
        program.get_mut().write_all(format!("{line}\n").as_bytes()).expect("taken");
        program.read_line(&mut String::new()).expect("an answer");
    }
    assert_eq!((counts("ListGroups"), counts("Malformed")), ([0, 1], [0, 1]));
}

#[test]
fn no_label_is_what_a_client_chooses() {
    let watched = Watched::new();
    let labels = || -> BTreeSet<String> {
        let body = watched.scrape();
        let samples = body.lines().filter(|line| !line.starts_with('#'));
        samples.filter_map(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0.to_owned())).collect()
    };
    let before = labels();
    let mut client = watched.installation.connect(1).expect("a channel");
    for name in ["a\"} 1", "b\\", "{c=\"d\"}"] {
        client.create_user(name);
    }
    client.log_in("b\\");
    client.create_group("e\"} 1");
    let strange = Request::Login { client: client.id, user: user("\"} 2"), password: password("x") };
    client.ask(strange);
    assert_eq!(labels(), before);
    assert_eq!(get(watched.door, "/\"}").0, "HTTP/1.1 404 Not Found");
}

#[test]
fn links_to_other_trackers_are_told_by_their_numbers() {
    let installation = Installation::of(3);
    let door = installation.addrs[2].to_string();
    installation.list(&format!("{}\n{}\n", installation.addrs[0], installation.addrs[1]));
    let (tracker, _) = installation.start(&["tracker_info.txt", "1", "--metrics", &door]);
    let watched = Watched { door: installation.addrs[2], installation, tracker };
    assert_eq!(watched.value(r#"groupshare_link_up{tracker="2"}"#), Some(0.0));
    let (mut second, _) = watched.installation.start(&["tracker_info.txt", "2"]);
    linked(&mut second, 1);
    wait_until("it is up", || watched.value(r#"groupshare_link_up{tracker="2"}"#) == Some(1.0));
    wait_until("nothing is lacking", || watched.value(r#"groupshare_link_lag_ops{tracker="2"}"#) == Some(0.0));
    second.kill();
    wait_until("it is down", || watched.value(r#"groupshare_link_up{tracker="2"}"#) == Some(0.0));
    assert_eq!(watched.value(r#"groupshare_link_lag_ops{tracker="2"}"#), None);
}

#[test]
fn it_is_ready_unless_the_disk_is_full_and_read_only_is_ready() {
    let mut watched = Watched::new();
    let ok = ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned());
    assert_eq!(get(watched.door, "/healthz"), ok);
    assert_eq!(get(watched.door, "/readyz"), ok);
    watched.tracker.told("read_only on", "This tracker takes no changes of clients now");
    assert_eq!((get(watched.door, "/readyz"), watched.value("groupshare_read_only")), (ok.clone(), Some(1.0)));
    watched.tracker.told("read_only off", "again");
    let mut client = watched.installation.connect(1).expect("a channel");
    client.create_user("ann");
    client.log_in("ann");
    let (pid, all) = (Some(watched.tracker.pid()), getrlimit(Resource::Fsize));
    prlimit(pid, Resource::Fsize, Rlimit { current: Some(0), ..all }).expect("allowed");
    let create = |name: &str| Request::CreateGroup { command: command(), group: group(name) };
    assert!(matches!(client.ask(create("one")), Reply::Refused { .. }));
    let (status, why) = get(watched.door, "/readyz");
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(why, "cannot save changes: File too large; changes are taken again once there is room\n");
    assert_eq!(watched.value("groupshare_disk_trouble"), Some(1.0));
    assert_eq!(watched.value("groupshare_ready"), Some(0.0));
    assert_eq!(watched.value("groupshare_commits_failed_total"), Some(1.0));
    assert_eq!(get(watched.door, "/healthz"), ok, "it works and says what is wrong");
    prlimit(pid, Resource::Fsize, all).expect("allowed");
    client.done(create("two"));
    assert_eq!(get(watched.door, "/readyz"), ok);
}

#[test]
fn a_look_at_a_disk_that_hangs_keeps_no_tracker_from_ending() {
    let mut watched = Watched::with(&["--data-dir", "data"]);
    let data = watched.installation.folder.path().join("data");
    fs::rename(&data, data.with_extension("away")).expect("moved");
    // A reader that opens the pipe waits for a writer.
    mknodat(CWD, &data, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
    let mut asking = TcpStream::connect(watched.door).expect("the door is open");
    asking.set_read_timeout(Some(LONG)).expect("set");
    asking.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").expect("taken");
    let opening = Path::new("/proc").join(watched.tracker.pid().as_raw_nonzero().to_string()).join("task");
    wait_until("it waits for the disk", || {
        let tasks = fs::read_dir(&opening).expect("it runs").filter_map(Result::ok);
        tasks.filter_map(|task| fs::read_to_string(task.path().join("wchan")).ok()).any(|at| at.contains("partner"))
    });
    watched.tracker.signal(Signal::TERM);
    assert_eq!(watched.tracker.end().0.code(), Some(0));
    assert!(matches!(asking.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn sixteen_may_ask_at_once_and_of_more_the_oldest_that_has_not_asked_gives_way() {
    let watched = Watched::new();
    let connect = || {
        let stream = TcpStream::connect(watched.door).expect("the system takes it");
        stream.set_read_timeout(Some(LONG)).expect("set");
        stream
    };
    let ask = |stream: &mut TcpStream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").expect("taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    };
    let mut inside: Vec<TcpStream> = (0..16).map(|_| connect()).collect();
    ask(&mut connect());
    let ended = match inside[0].read(&mut [0; 1]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    assert!(ended, "the oldest had its time");
    inside.extend((0..32).map(|_| connect()));
    ask(&mut connect());
}

#[test]
fn a_request_that_drips_is_cut_off_after_five_seconds() {
    let watched = Watched::new();
    let begun = Instant::now();
    let mut stream = TcpStream::connect(watched.door).expect("the door is open");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("set");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ").expect("taken");
    loop {
        match stream.read(&mut [0; 1]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                // This fails once the connection is cut off.
                let _ = stream.write_all(b"x");
            }
            _ => break,
        }
        assert!(begun.elapsed() < LONG);
    }
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_request_of_too_many_bytes_is_refused_and_its_answer_arrives() {
    let watched = Watched::new();
    for len in [4097, 50_000] {
        let request = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(len));
        let answer = exchange(watched.door, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
    }
}

#[test]
fn a_place_that_is_taken_is_told_in_one_line() {
    let watched = Watched::new();
    let own = watched.installation.addrs[0];
    let other = Installation::of(1);
    let (code, said) = other.fail(&["--metrics", &own.to_string()]);
    assert_eq!(code, 3);
    assert!(said.starts_with(&format!("tracker: --metrics: cannot listen on {own}: ")), "{said}");
}
