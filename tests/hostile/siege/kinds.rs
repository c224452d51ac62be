//! The attacks, with one function for each resource.

use super::gang::{Attacker, Link, connect_from};
use super::town::random;
use crate::common::manifest::manifest;
use crate::common::membership::announcement;
use crate::common::names::{PASSWORD, command, file, group, password, user};
use crate::scale;
use groupshare::model::digest::{InfoHash, Sha1Digest};
use groupshare::model::id::ShareRef;
use groupshare::model::manifest::Content;
use groupshare::model::name::pattern::NamePattern;
use groupshare::model::piece::Layout;
use groupshare::wire::client_tracker::{CallWay, Holding, MANIFEST_PART_MAX, Reply, Request};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::frame::{self, FRAME_LEN_MAX};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

/// How long an attacker waits after it has taken everything that it gets.
const MOMENT: Duration = Duration::from_millis(10);

fn bring(link: &mut Link, name: &str, bytes: &[u8], info_hash: InfoHash) -> Option<Reply> {
    let mut last = None;
    for (at, part) in bytes.chunks(MANIFEST_PART_MAX).enumerate() {
        let (total, offset) = (bytes.len() as u32, (at * MANIFEST_PART_MAX) as u32);
        let part = Blob::new(part.to_vec())?;
        last = link.ask(&Request::PutManifest { group: group(name), info_hash, total, offset, part });
        if matches!(last, None | Some(Reply::Refused { .. })) {
            break;
        }
    }
    last
}

fn share(link: &mut Link, group_name: &str, name: &str, content: Content) -> Option<ShareRef> {
    match link.ask(&Request::ShareFile { command: command(), group: group(group_name), name: file(name), content })? {
        Reply::Share { share, .. } => Some(share),
        _ => None,
    }
}

/// Shares `count` files of `pieces` pieces.
fn offers(link: &mut Link, den: &str, pieces: u32, count: usize) -> Vec<ShareRef> {
    let mut offer = |at: usize| {
        let name = format!("o{at}");
        let (bytes, content) = manifest(&name, pieces, 9);
        bring(link, den, &bytes, content.info_hash)?;
        let offered = share(link, den, &name, content);
        assert!(offered.is_some() || link.sender.is_over() || at > 0, "an attacker shares something");
        offered
    };
    (0..count).filter_map(&mut offer).collect()
}

/// Makes a group of the attacker's own. Returns its name.
fn own_group(attacker: &Attacker, link: &mut Link) -> String {
    let name = format!("{}-den", attacker.name);
    // The group may exist already.
    let _ = link.ask(&Request::CreateGroup { command: command(), group: group(&name) });
    name
}

/// Claims on many connections to hold scattered pieces of many shares, different ones each time.
pub(super) fn holds(attacker: &Attacker) {
    let pieces = scale::of(4096, 1 << 17) as u32;
    let Some((mut link, token)) = attacker.link_and_token() else { return };
    let den = own_group(attacker, &mut link);
    let shares = offers(&mut link, &den, pieces, scale::of(4, (40 / attacker.of).max(4)));
    let mut links = vec![link];
    links.extend((1..scale::of(2, (100 / attacker.of).max(4))).map_while(|_| attacker.again(&token)));
    links.iter_mut().for_each(|link| drop(link.ask(&announcement(9))));
    let (mut state, mut done) = (attacker.name.len() as u64 | 1 << 33, 0);
    while attacker.going.goes_on(done) {
        for share in &shares {
            for link in &mut links {
                let some = (0..64).map(|_| random(&mut state) as u32 % pieces).collect();
                let more = Holding::More { pieces: List::new(some).expect("few") };
                let ragged = (0..pieces / 64).flat_map(|_| random(&mut state).to_le_bytes()).collect();
                let exactly = Holding::Exactly { bits: Blob::new(ragged).expect("in bounds") };
                for holding in [more, exactly] {
                    let Some(_) = link.ask(&Request::Hold { share: *share, holding }) else { return };
                }
            }
            if attacker.going.is_over() {
                return;
            }
        }
        done += 1;
    }
}

/// Claims on many connections to hold a few pieces of each of very many shares, never the same ones.
pub(super) fn many_holdings(attacker: &Attacker) {
    let Some((mut link, token)) = attacker.link_and_token() else { return };
    let den = own_group(attacker, &mut link);
    let shares = offers(&mut link, &den, 256, scale::of(50, (1_000 / attacker.of).max(100)));
    let mut links = vec![link];
    links.extend((1..scale::of(10, (200 / attacker.of).max(4))).map_while(|_| attacker.again(&token)));
    let (mut number, mut done) = (attacker.name.len() as u32, 0);
    while attacker.going.goes_on(done) {
        for link in &mut links {
            for lot in shares.chunks(64) {
                let mut last = None;
                for share in lot {
                    number = (number + 1) % 128;
                    let edges = List::new(vec![number, number + 1, number + 2 + number % 90, 256]).expect("few");
                    last = link.tell(&Request::Hold { share: *share, holding: Holding::Runs { edges } });
                }
                let Some(_) = last.and_then(|last| link.reply(last)) else { return };
                if attacker.going.is_over() {
                    return;
                }
            }
        }
        done += 1;
    }
}

/// A manifest that is ready except for the name of its last file. So attackers spend no time on the rest.
struct FileList {
    /// The hash of everything before that name.
    context: ring::digest::Context,
    hashed: Vec<u8>,
    files: u32,
}

/// Length of the last name.
const LAST_LEN: usize = 24;

impl FileList {
    /// A list with these files. All but the first are empty.
    fn with(path: impl Fn(usize) -> String, files: usize) -> Self {
        let mut hashed = (files as u32).to_be_bytes().to_vec();
        for at in 0..files {
            let path = if at + 1 < files { path(at) } else { String::new() };
            let len = if path.is_empty() { LAST_LEN } else { path.len() };
            hashed.extend_from_slice(&(len as u16).to_be_bytes());
            if !path.is_empty() {
                hashed.extend_from_slice(path.as_bytes());
                hashed.extend_from_slice(&u64::from(at == 0).to_be_bytes());
            }
        }
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(&hashed);
        Self { context, hashed, files: files as u32 }
    }

    /// The bytes of the manifest with this last name, and its content.
    fn ending_in(&self, name: &str) -> (Vec<u8>, Content) {
        // This sorts behind all other names.
        let name = format!("d/~{name:>width$}", width = LAST_LEN - 3).replace(' ', "-");
        let rest = [name.as_bytes(), &0_u64.to_be_bytes(), &1_u32.to_be_bytes(), &[7; 20]].concat();
        let mut context = self.context.clone();
        context.update(&rest);
        let info_hash = InfoHash(context.finish().as_ref().try_into().expect("32 bytes"));
        let len = (self.hashed.len() + rest.len()) as u32;
        let bytes = [&b"GSMANIF\x02"[..], &len.to_be_bytes(), &self.hashed, &rest, &[0]].concat();
        let layout = Layout::new(1).expect("one piece");
        (bytes, Content { layout, sha1: Sha1Digest([7; 20]), info_hash, file_count: self.files })
    }
}

/// Sends manifests that differ in one name, and asks the tracker to check and share each of them.
fn brings(attacker: &Attacker, files: &FileList) {
    let Some(mut link) = attacker.link() else { return };
    let den = own_group(attacker, &mut link);
    let mut done = 0;
    while attacker.going.goes_on(done) {
        let (bytes, content) = files.ending_in(&format!("{}-{done}", attacker.name));
        for _ in 0..2 {
            bring(&mut link, &den, &bytes, content.info_hash);
            share(&mut link, &den, "d", content);
        }
        done += 1;
        if link.sender.is_over() {
            let Some(again) = attacker.link() else { return };
            link = again;
        }
    }
}

/// Paths with as many components as fit.
pub(super) fn deep_manifests(attacker: &Attacker) {
    static FILES: LazyLock<FileList> =
        LazyLock::new(|| FileList::with(|at| format!("d/{at:08}/{}f", "a/".repeat(1500)), scale::of(50, 4_000)));
    brings(attacker, &FILES);
}

/// Very many files.
pub(super) fn wide_manifests(attacker: &Attacker) {
    static FILES: LazyLock<FileList> =
        LazyLock::new(|| FileList::with(|at| format!("d/{at:08}"), scale::of(1_000, 300_000)));
    brings(attacker, &FILES);
}

/// Logs in and out again on many connections.
pub(super) fn logins(attacker: &Attacker) {
    thread::scope(|scope| {
        for _ in 0..scale::of(2, (150 / attacker.of).max(2)) {
            scope.spawn(|| {
                let (mut done, mut link) = (0, attacker.stranger());
                while attacker.going.goes_on(done) {
                    let Some(open) = &mut link else { return };
                    let answered = open.log_in(&attacker.name).is_some() && open.ask(&Request::Logout {}).is_some();
                    if !answered {
                        link = attacker.stranger();
                    }
                    done += 1;
                }
            });
        }
    });
}

/// Logs in with wrong passwords.
pub(super) fn guesses(attacker: &Attacker) {
    let mut done = 0;
    let mut link = attacker.stranger();
    while attacker.going.goes_on(done) {
        let Some(open) = &mut link else { return };
        let name = format!("nobody{}", done % 1000);
        let guess = Request::Login { client: open.client, user: user(&name), password: password("wrong") };
        if open.ask(&guess).is_none() {
            link = attacker.stranger();
        }
        done += 1;
    }
}

/// Changes the password to the same one, again and again.
pub(super) fn password_changes(attacker: &Attacker) {
    let same = || password(PASSWORD);
    repeats(attacker, |link, _, _| link.ask(&Request::ChangePassword { command: command(), old: same(), new: same() }));
}

/// Asks to join an honest group and withdraws that.
pub(super) fn join_requests(attacker: &Attacker) {
    repeats(attacker, |link, _, _| {
        link.ask(&Request::JoinGroup { command: command(), group: group("lab") })?;
        link.ask(&Request::LeaveGroup { command: command(), group: group("lab") })
    });
}

/// Repeats an action on a connection of its own. The action gets the connection, the attacker's group and the round.
fn repeats(attacker: &Attacker, mut does: impl FnMut(&mut Link, &str, usize) -> Option<Reply>) {
    let Some(mut link) = attacker.link() else { return };
    let den = own_group(attacker, &mut link);
    let mut done = 0;
    while attacker.going.goes_on(done) {
        if does(&mut link, &den, done).is_none() {
            let Some(again) = attacker.link() else { return };
            link = again;
        }
        done += 1;
    }
}

/// Shares small files and stops sharing them.
pub(super) fn uploads(attacker: &Attacker) {
    repeats(attacker, |link, den, done| {
        let name = format!("s{}", done % 100);
        let (bytes, content) = manifest(&name, 1 + (done / 200) as u32, done as u8);
        bring(link, den, &bytes, content.info_hash)?;
        share(link, den, &name, content);
        link.ask(&Request::StopShare { command: command(), group: group(den), name: file(&name) })
    });
}

/// Makes as many groups as it may, and requests lists of them, many at a time.
pub(super) fn lists(attacker: &Attacker) {
    let groups = scale::of(8, 250);
    let mut made = 0;
    repeats(attacker, |link, den, _| {
        if made < groups {
            made += 1;
            return link.ask(&Request::CreateGroup { command: command(), group: group(&format!("{den}{made}")) });
        }
        let hostile = format!("*{}b", "a".repeat(127));
        let pattern = NamePattern::new(&hostile).expect("a pattern");
        let requests: [Request; 5] = [
            Request::FindFiles { group: None, pattern, after: None },
            Request::ListKeys { after: None },
            Request::ListKeys { after: Some(group("zzz")) },
            Request::ListGroups { after: None },
            Request::ListFiles { group: group(den), after: None },
        ];
        let mut last = None;
        for request in requests.iter().cycle().take(64) {
            last = link.tell(request);
        }
        link.reply(last?)
    });
}

/// Requests long lists on many connections and reads none.
pub(super) fn unread(attacker: &Attacker) {
    let Some((mut first, token)) = attacker.link_and_token() else { return };
    own_group(attacker, &mut first);
    let mut done = 0;
    let mut links = Vec::new();
    while attacker.going.goes_on(done) {
        if links.len() < scale::of(2, (200 / attacker.of).max(2)) {
            links.extend(attacker.again(&token));
        } else {
            thread::park_timeout(MOMENT);
        }
        links.retain_mut(|link: &mut Link| {
            let sent = (0..4).all(|_| link.tell(&Request::ListGroups { after: None }).is_some());
            sent && !link.sender.is_over()
        });
        done += 1;
    }
}

/// Requests manifests on many connections that take next to nothing.
pub(super) fn unread_lists(attacker: &Attacker) {
    let Some((mut first, token)) = attacker.link_and_token() else { return };
    let den = own_group(attacker, &mut first);
    let (bytes, content) = manifest("l", 30_000, 4);
    bring(&mut first, &den, &bytes, content.info_hash);
    let Some(share) = share(&mut first, &den, "l", content) else { return };
    let most = scale::of(4, (500 / attacker.of).max(4));
    let mut links: Vec<Link> = Vec::new();
    let mut done = 0;
    while attacker.going.goes_on(done) {
        if links.len() >= most {
            thread::park_timeout(MOMENT * 20);
            links.drain(..most / 20);
        }
        if let Some(mut link) = attacker.again(&token) {
            link.narrow();
            link.tell(&Request::GetManifest { share, offset: 0 });
            links.push(link);
        }
        done += 1;
    }
}

/// Shares one content with and without its size, in turns. So two shares again and again turn out to be one.
pub(super) fn twins(attacker: &Attacker) {
    repeats(attacker, |link, den, done| {
        let name = format!("t{done}");
        let (bytes, content) = manifest(&name, 100 + done as u32 % 50, 5);
        bring(link, den, &bytes, content.info_hash)?;
        for file_count in [0, 1, 0, 1] {
            share(link, den, &name, Content { file_count, ..content });
        }
        link.ask(&Request::StopShare { command: command(), group: group(den), name: file(&name) })
    });
}

/// Clients that hold many shares move, and hold everything and nothing in turns.
pub(super) fn moves(attacker: &Attacker) {
    let Some((mut first, token)) = attacker.link_and_token() else { return };
    let den = own_group(attacker, &mut first);
    let shares = offers(&mut first, &den, 3, scale::of(4, (1_000 / attacker.of).max(20)));
    let mut links = vec![first];
    links.extend((1..scale::of(2, (60 / attacker.of).max(2))).map_while(|_| attacker.again(&token)));
    let mut done = 0;
    while attacker.going.goes_on(done) {
        for link in &mut links {
            let mut last = link.tell(&announcement(1024 + (done % 60_000) as u16));
            for share in shares.iter().skip(done % 10).step_by(10) {
                let holding = if done % 2 == 0 { Holding::All {} } else { Holding::More { pieces: List::EMPTY } };
                for holding in [holding, Holding::Nothing {}, Holding::All {}] {
                    last = link.tell(&Request::Hold { share: *share, holding });
                }
            }
            let Some(_) = last.and_then(|last| link.reply(last)) else { return };
        }
        done += 1;
    }
}

/// Calls its own clients, looks for them, and announces them.
pub(super) fn calls(attacker: &Attacker) {
    let Some((mut called, token)) = attacker.link_and_token() else { return };
    let den = own_group(attacker, &mut called);
    let (bytes, content) = manifest("c", 3, 1);
    bring(&mut called, &den, &bytes, content.info_hash);
    let Some(share) = share(&mut called, &den, "c", content) else { return };
    let Some(mut caller) = attacker.again(&token) else { return };
    let ways = [CallWay::Back, CallWay::Punch, CallWay::Relay];
    let mut done = 0;
    while attacker.going.goes_on(done) {
        let call =
            Request::Call { share, user: user(&attacker.name), client: called.client, way: ways[done % 3], from: None };
        let by_called = [
            announcement(1024 + (done % 60_000) as u16),
            Request::Hold { share, holding: Holding::All {} },
            Request::CheckReach {},
        ];
        let by_caller = [announcement(9), Request::FindPeers { share }, call];
        let all = by_called.iter().all(|request| called.ask(request).is_some());
        if !all || !by_caller.iter().all(|request| caller.ask(request).is_some()) {
            return;
        }
        done += 1;
    }
}

/// Holds as many connections as there are places, and replaces those that are closed.
pub(super) fn connections(attacker: &Attacker) {
    let most = scale::of(20, (2_000 / attacker.of).max(20));
    let beginning = [&b"GRPSHARE\x00\x04\x01"[..], &[0, 48], &[1; 20]].concat();
    let mut held: Vec<TcpStream> = Vec::new();
    let mut done = 0;
    while attacker.going.goes_on(done) {
        if let Some(mut stream) = connect_from(attacker.ip, attacker.target.addr) {
            let _ = stream.write_all(&beginning[..[0, 1, beginning.len()][done % 3]]);
            held.push(stream);
        } else {
            thread::park_timeout(MOMENT);
        }
        if held.len() > most {
            held.drain(..most / 2);
        }
        done += 1;
    }
}

/// Begins the longest frames on many connections, and sends no more.
pub(super) fn unfinished_frames(attacker: &Attacker) {
    let Some((_first, token)) = attacker.link_and_token() else { return };
    let mut begun = frame::of(7, &Request::Heartbeat {});
    begun[..4].copy_from_slice(&(FRAME_LEN_MAX as u32 - 100).to_be_bytes());
    begun.resize(64 * 1024, 0);
    let most = scale::of(4, (400 / attacker.of).max(4));
    let mut links: Vec<Link> = Vec::new();
    let mut done = 0;
    while attacker.going.goes_on(done) {
        if links.len() >= most {
            thread::park_timeout(Duration::from_millis(200));
            let mut at = 0;
            // Replaces the connections that the tracker has ended.
            links.retain(|link| {
                at += 1;
                !link.sender.is_over() && at > most / 20
            });
        }
        if let Some(link) = attacker.again(&token) {
            let _ = link.sender.send_frame(&begun);
            links.push(link);
        }
        done += 1;
    }
}

/// Goes to the relay with invented tickets.
pub(super) fn relay(attacker: &Attacker) {
    let most = (6_000 / attacker.of).min(300);
    let mut held: Vec<TcpStream> = Vec::new();
    let mut done = 0;
    while attacker.going.goes_on(done) {
        if let Some(mut stream) = connect_from(attacker.ip, attacker.target.addr) {
            let _ = stream.write_all(&[&b"GRPSHARE\x00\x04\x06"[..], &(done as u128).to_be_bytes()].concat());
            held.push(stream);
        } else {
            thread::park_timeout(MOMENT);
        }
        if held.len() > most {
            held.clear();
        }
        done += 1;
    }
}

/// Sends JSON: endless long lines, and short ones without a pause.
pub(super) fn json(attacker: &Attacker) {
    let ip = attacker.ip;
    let log_in = format!(
        "{{\"command\":\"login\",\"command_args\":{{\"user_id\":\"{}\",\"passwd\":\"{PASSWORD}\"}},\"sender_ip\":\"{ip}\",\"sender_port\":0}}\n",
        attacker.name
    );
    let list =
        format!("{{\"command\":\"list_groups\",\"command_args\":{{}},\"sender_ip\":\"{ip}\",\"sender_port\":0}}\n");
    let long = [b"{\"command\":\"list_groups\",\"x\":\"".as_slice(), &vec![b'y'; scale::of(1 << 17, 7 << 20)]].concat();
    let mut held: Vec<TcpStream> = Vec::new();
    let mut done = 0;
    while attacker.going.goes_on(done) {
        if let Some(mut stream) = connect_from(ip, attacker.target.json) {
            let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.write_all(log_in.as_bytes());
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&list.repeat(200).into_bytes());
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&long);
            held.push(stream);
        }
        if held.len() > (60 / attacker.of).max(2) {
            held.remove(0);
        }
        done += 1;
    }
}

/// Sends what no dialect knows.
pub(super) fn noise(attacker: &Attacker) {
    repeats(attacker, |link, _, _| {
        let mut frame = frame::of(3, &Request::Heartbeat {});
        frame[4] = 200;
        link.sender.send_frame(&frame).ok()?;
        link.ask(&Request::Heartbeat {})
    });
}
