//! What one user does again and again: requests of a client, lines of a program, logins and connections.

use super::town::{Town, logged_in};
use super::{Input, Work, timed_in_all};
use crate::common::client::Client;
use crate::common::manifest::manifest;
use crate::common::names::{PASSWORD, command, group};
use crate::common::tracker::{TestTracker, loopback};
use groupshare::tracker::server::ListenSockets;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::codec::Blob;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

/// Requests on their way at once.
const AT_ONCE: usize = 16;
/// Length of a small part of a manifest, in bytes.
const PART_LEN: usize = 4096;

pub(super) const INPUTS: &[Input] = &[
    Input::new("groups that a user makes and leaves", (64, 1024), |count| {
        asked(
            |_| {},
            move |alice| {
                let name = |n: usize| group(&format!("group{n:06}"));
                all_done(alice, (0..count).map(|n| Request::CreateGroup { command: command(), group: name(n) }));
                all_done(alice, (0..count).map(|n| Request::LeaveGroup { command: command(), group: name(n) }));
            },
        )
    }),
    Input::new("groups that a user asks to join", (64, 1024), |count| {
        let name = |n: usize| group(&format!("g{n:06}"));
        let made = move |town: &mut Town| {
            let bob = town.user("bob");
            for n in 0..count {
                town.group(&format!("g{n:06}"), bob);
            }
        };
        asked(made, move |alice| {
            all_done(alice, (0..count).map(|n| Request::JoinGroup { command: command(), group: name(n) }));
            all_done(alice, (0..count).map(|n| Request::LeaveGroup { command: command(), group: name(n) }));
        })
    }),
    Input::new("parts of a manifest", (64, 512), |count| {
        let (bytes, content) = manifest("film.mkv", (count * PART_LEN / 20) as u32, 1);
        let made = |town: &mut Town| {
            let alice = town.state.user_named(&crate::common::names::user("alice")).expect("there");
            town.group("lab", alice);
        };
        asked(made, move |alice| {
            let part = |(n, part): (usize, &[u8])| Request::PutManifest {
                group: group("lab"),
                info_hash: content.info_hash,
                total: bytes.len() as u32,
                offset: (n * PART_LEN) as u32,
                part: Blob::new(part.to_vec()).expect("short"),
            };
            all_done(alice, bytes.chunks(PART_LEN).enumerate().map(part));
        })
    }),
    Input::new("logins", (8, 64), |count| {
        let tracker = with_alice(|_| {});
        let mut alice = tracker.client();
        Box::new(move || {
            timed_in_all(|| {
                for _ in 0..count {
                    alice.log_in("alice");
                    alice.done(Request::Logout {});
                }
                &tracker
            })
        })
    }),
    Input::new("connections", (32, 256), |count| {
        let tracker = with_alice(|_| {});
        Box::new(move || timed_in_all(|| (0..count).for_each(|_| tracker.client().done(Request::Heartbeat {}))))
    }),
    Input::new("lines of a program", (1 << 8, 1 << 12), |count| {
        said(format!("{}\n", line("heartbeat", "")).repeat(count))
    }),
    Input::new("empty lines of a program", (1 << 8, 1 << 12), |count| said("\n".repeat(count))),
    Input::new("digests in a line", (1 << 10, 1 << 15), |count| {
        let digests = vec![format!("\"{}\"", "7".repeat(40)); count].join(",");
        let sha = "7".repeat(40);
        let rest = format!(
            ",\"command_args\":{{\"group_id\":\"lab\",\"file_name\":\"f\"}},\"piecewise_sha\":[{digests}],\"fileSha\":\"{sha}\""
        );
        said(format!("{}\n", line("upload_file", &rest)))
    }),
    Input::new("depth of what a line has besides", (1 << 12, 1 << 18), |count| {
        said(format!("{}\n", line("heartbeat", &format!(",\"x\":{}{}", "[".repeat(count), "]".repeat(count)))))
    }),
    Input::new("members that a line has besides", (1 << 12, 1 << 18), |count| {
        let mut rest = String::new();
        (0..count).for_each(|n| write!(rest, ",\"x{n}\":0").expect("memory"));
        said(format!("{}\n", line("heartbeat", &rest)))
    }),
];

fn with_alice(more: impl FnOnce(&mut Town)) -> TestTracker {
    let mut town = Town::default();
    town.person("alice");
    more(&mut town);
    TestTracker::start_at(ListenSockets { clients: loopback(), programs: Some(loopback()) }, |settings| {
        settings.past = town.state.into();
    })
}

/// Alice's requests on a connection, in a town with others.
fn asked(more: impl FnOnce(&mut Town), does: impl Fn(&mut Client) + 'static) -> Work {
    let tracker = with_alice(more);
    let mut alice = logged_in(&tracker, "alice");
    Box::new(move || {
        timed_in_all(|| {
            does(&mut alice);
            alice.unasked.clear();
            &tracker
        })
    })
}

fn all_done(client: &mut Client, mut requests: impl Iterator<Item = Request>) {
    loop {
        let asked: Vec<u32> = requests.by_ref().take(AT_ONCE).map(|request| client.send(&request)).collect();
        if asked.is_empty() {
            return;
        }
        asked.into_iter().for_each(|id| assert_eq!(client.reply(id), Reply::Done {}));
    }
}

/// A request of a program, with more fields.
fn line(command: &str, more: &str) -> String {
    format!("{{\"command\":\"{command}\",\"sender_ip\":\"127.0.0.1\",\"sender_port\":0{more}}}")
}

/// Lines of Alice's program. The tracker answers each of them.
fn said(lines: String) -> Work {
    let tracker = with_alice(|_| {});
    let addr = tracker.server.json_addr().expect("programs are let in");
    let login = line("login", &format!(",\"command_args\":{{\"user_id\":\"alice\",\"passwd\":\"{PASSWORD}\"}}"));
    Box::new(move || {
        let mut program = Program::connect(addr);
        assert!(program.ask(&format!("{login}\n")).contains("success"));
        timed_in_all(|| {
            program.ask(&lines);
            &tracker
        })
    })
}

struct Program {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Program {
    fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("it listens");
        let answers = BufReader::new(stream.try_clone().expect("descriptors"));
        Self { stream, answers }
    }

    /// Sends lines, and returns the last answer.
    fn ask(&mut self, lines: &str) -> String {
        let mut answer = String::new();
        let count = lines.bytes().filter(|&byte| byte == b'\n').count();
        std::thread::scope(|scope| {
            scope.spawn(|| self.stream.write_all(lines.as_bytes()).expect("it is read"));
            for _ in 0..count {
                answer.clear();
                self.answers.read_line(&mut answer).expect("each is answered");
            }
        });
        answer
    }
}
