//! One member's download beside a crowd of one other user. The crowd has 150 connections to the seeder, or 400 clients
//! that claim to have the file.
//! `cargo bench -- crowd size=256 rounds=3 where=/dev/shm only=idle,unread,drip,full,silent,refusing,closing,slow`.

use crate::common::client::Client;
use crate::common::names::{command, file, group};
use crate::common::wait::wait_until;
use crate::kit::content::{folder_in, sha1_of_file, write_noise};
use crate::kit::house::{FILE, House, Member};
use crate::kit::options::Options;
use crate::kit::table::{Table, median_s};
use groupshare::client::reach::interfaces::machine;
use groupshare::model::digest::{Fingerprint, InfoHash, KeyId};
use groupshare::model::id::{PeerKey, ShareRef};
use groupshare::wire::client_tracker::{Holding, Peer, Reply, Request, TOKEN_LEN_MAX};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::connection::{self, FrameSender, TimedStream};
use groupshare::wire::contact::Interface;
use groupshare::wire::deadlines::HANDSHAKE_DEADLINE;
use groupshare::wire::frame::FRAME_LEN_MAX;
use groupshare::wire::handshake::peer::{PeerIdentity, peer_to_peer};
use groupshare::wire::handshake::{Secret, is_timeout, public_key};
use groupshare::wire::peer::{PeerReply, PeerRequest, REQUESTS_MAX};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Connections to the seeder, all of one user.
const CONNECTIONS: usize = 150;
/// Clients of one user that claim to have the file. A tracker accepts more than that from one address.
const CLIENTS: u16 = 400;
/// A client that has lost a connection makes another one after this time.
const AGAIN: Duration = Duration::from_secs(2);
/// How often the crowd checks whether the run is over.
const LOOK: Duration = Duration::from_millis(200);
/// How long a dripping client takes for one byte, or for a kilobyte.
const DRIP: Duration = Duration::from_millis(50);
/// How many bytes a client reads before it asks for one more piece.
const PIECE_LEN: usize = 512 * 1024;
/// The size of the file, in MiB and in pieces.
const SIZE_MIB: u32 = 256;
const PIECES: u32 = 2 * SIZE_MIB;
/// Requests on their way on one connection that takes as much as it can.
const ON_THE_WAY: u32 = REQUESTS_MAX as u32;

/// How a crowd behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// Asks for pieces and reads none.
    Unread,
    /// Asks for pieces and reads a kilobyte now and then.
    Drip,
    /// Takes pieces as fast as they come.
    Full,
    /// Accepts and says nothing.
    Silent,
    /// Listens at no port.
    Refusing,
    /// Accepts and hangs up.
    Closing,
    /// Answers a byte now and then.
    Slow,
}

const DOINGS: [(&str, Doing); 8] = [
    ("idle", Doing::Nothing),
    ("unread", Doing::Unread),
    ("drip", Doing::Drip),
    ("full", Doing::Full),
    ("silent", Doing::Silent),
    ("refusing", Doing::Refusing),
    ("closing", Doing::Closing),
    ("slow", Doing::Slow),
];

impl Doing {
    fn named(name: &str) -> Self {
        let known = DOINGS.iter().find(|(other, _)| *other == name);
        known.unwrap_or_else(|| panic!("{name} is unknown, the kinds are {:?}", DOINGS.map(|(name, _)| name))).1
    }

    fn is_of_leechers(self) -> bool {
        matches!(self, Doing::Nothing | Doing::Unread | Doing::Drip | Doing::Full)
    }
}

/// The user of the crowd, a member who knows the seeder.
struct Villain {
    _client: Client,
    token: Blob<TOKEN_LEN_MAX>,
    tracker: SocketAddr,
    fingerprint: Fingerprint,
    share: ShareRef,
    info_hash: InfoHash,
    group_key: (KeyId, Secret),
    me: PeerIdentity,
    seeder: Peer,
}

/// The private key of all clients of the crowd.
fn secret() -> Secret {
    Secret([0xc0; 32])
}

/// A client of this machine that listens at a port of a loopback address.
fn announcement(ip: Ipv4Addr, port: u16) -> Request {
    Request::Announce {
        key: PeerKey(public_key(&secret())),
        port,
        interfaces: List::first_of(vec![Interface { ip: ip.into(), prefix: 8 }]),
        announced: None,
        machine: machine(),
        round_trip_ms: 0,
    }
}

impl Villain {
    fn join(house: &House, owner: &mut Member) -> Self {
        let (tracker, fingerprint) = (house.tracker_addr(), house.fingerprint());
        let mut client =
            Client::over_to(TcpStream::connect(tracker).expect("it listens"), fingerprint).expect("let in");
        client.create_user("crowd");
        let token = client.log_in("crowd");
        client.done(Request::JoinGroup { command: command(), group: group("lab") });
        owner.ask("accept_request lab crowd", "Request accepted");
        let keys = match client.ask(Request::ListKeys { after: None }) {
            Reply::Keys { keys, .. } => keys,
            other => panic!("{other:?}"),
        };
        let certificate = match client.ask(announcement(Ipv4Addr::LOCALHOST, 9)) {
            Reply::Announced { certificate, .. } => certificate,
            other => panic!("{other:?}"),
        };
        let (share, info_hash) = match client.ask(Request::FindShare { group: group("lab"), name: file(FILE) }) {
            Reply::Share { share, content, .. } => (share, content.info_hash),
            other => panic!("{other:?}"),
        };
        let seeder = match client.ask(Request::FindPeers { share }) {
            Reply::Peers { peers, .. } => peers[0].clone(),
            other => panic!("{other:?}"),
        };
        let me = PeerIdentity { secret: secret(), certificate };
        let group_key = (keys[0].id, keys[0].key.clone());
        Self { _client: client, token, tracker, fingerprint, share, info_hash, group_key, me, seeder }
    }

    /// Makes a connection to the seeder. Returns its socket, and the sender once the content is open. `None` if the
    /// seeder refuses.
    fn open(&self) -> Option<(TcpStream, Arc<FrameSender>)> {
        let stream = TcpStream::connect(self.seeder.addrs[0]).ok()?;
        let (id, key) = &self.group_key;
        let by = &mut TimedStream::new(&stream, HANDSHAKE_DEADLINE);
        let keys = peer_to_peer(by, &self.me, self.seeder.key, (*id, key)).ok()?;
        let raw = stream.try_clone().expect("a descriptor");
        let (mut receiver, sender) = connection::split(stream, keys, FRAME_LEN_MAX, true).expect("a socket");
        sender.send(1, &PeerRequest::Open { info_hash: self.info_hash }).ok()?;
        let opened = matches!(receiver.recv(HANDSHAKE_DEADLINE).ok()?.message(), Ok(PeerReply::Opened { .. }));
        opened.then_some((raw, sender))
    }
}

/// What the threads of a crowd share.
#[derive(Default)]
struct Going {
    over: AtomicBool,
    /// Connections that the crowd has made or tried.
    tried: AtomicUsize,
}

impl Going {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// A crowd that acts until this is dropped.
struct Crowd {
    going: Arc<Going>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.going.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("no panic"));
    }
}

/// Starts the connections to the seeder. A connection that is lost is made again.
fn leechers(villain: &Arc<Villain>, doing: Doing) -> Crowd {
    let going = Arc::new(Going::default());
    let threads = (0..CONNECTIONS).map(|_| {
        let (villain, going) = (villain.clone(), going.clone());
        thread::spawn(move || {
            while !going.is_over() {
                let opened = villain.open();
                going.tried.fetch_add(1, Ordering::Relaxed);
                if let Some((stream, sender)) = opened {
                    leech(&stream, &sender, doing, &going);
                    sender.end();
                }
                thread::park_timeout(AGAIN);
            }
        })
    });
    let threads = threads.collect();
    let crowd = Crowd { going, threads };
    wait_until("the crowd is there", || crowd.going.tried.load(Ordering::Relaxed) >= CONNECTIONS);
    crowd
}

/// Acts like this on a connection to the seeder until the connection or the run ends.
fn leech(mut stream: &TcpStream, sender: &FrameSender, doing: Doing, going: &Going) {
    stream.set_read_timeout(Some(LOOK)).expect("an option");
    let mut request = 1;
    let mut ask = || {
        request += 1;
        sender.send(request, &PeerRequest::GetPiece { piece: request % PIECES }).is_ok()
    };
    if doing != Doing::Nothing && !(0..ON_THE_WAY).all(|_| ask()) {
        return;
    }
    let (mut read, mut buffer) = (0, vec![0; if doing == Doing::Drip { 1024 } else { 128 * 1024 }]);
    while !going.is_over() {
        match doing {
            Doing::Nothing | Doing::Unread => thread::park_timeout(LOOK),
            _ => match stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(len) => read += len,
                Err(error) if is_timeout(&error) => {}
                Err(_) => return,
            },
        }
        if doing == Doing::Drip {
            thread::park_timeout(DRIP);
        }
        while read >= PIECE_LEN {
            read -= PIECE_LEN;
            if !ask() {
                return;
            }
        }
    }
}

/// The clients that claim to have the file, each at a loopback address of its own. All listen at one port.
struct Claimants {
    port: u16,
    clients: Vec<Client>,
}

impl Claimants {
    /// Logs the clients in. After a hundred logins of a user, a tracker accepts two a second, and so it does with
    /// announcements after 600. So this takes minutes, and the clients and their addresses stay for all runs.
    fn log_in(villain: &Villain) -> Self {
        let port = TcpListener::bind("0.0.0.0:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let log_in = |number: u16| {
            let stream = TcpStream::connect(villain.tracker).expect("it listens");
            let mut client = Client::over_to(stream, villain.fingerprint).expect("let in");
            let reply = client.resume(&villain.token);
            assert!(matches!(reply, Reply::LoggedIn { .. }), "{reply:?}");
            let [high, low] = number.to_be_bytes();
            let reply = client.ask(announcement(Ipv4Addr::new(127, 78, 1 + high, low), port));
            assert!(matches!(reply, Reply::Announced { .. }), "{reply:?}");
            client
        };
        Self { port, clients: (0..CLIENTS).map(log_in).collect() }
    }

    /// Has the clients say which pieces they hold.
    fn hold(&mut self, villain: &Villain, holding: &Holding) {
        for client in &mut self.clients {
            client.done(Request::Hold { share: villain.share, holding: holding.clone() });
        }
    }
}

/// Has the clients claim the file.
fn seeders(villain: &Villain, claimants: &mut Claimants, doing: Doing) -> Crowd {
    let going = Arc::new(Going::default());
    let mut threads = Vec::new();
    if doing != Doing::Refusing {
        // Every address of 127.0.0.0/8 leads to this machine.
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, claimants.port)).expect("the port is free");
        listener.set_nonblocking(true).expect("an option");
        let going = going.clone();
        threads.push(thread::spawn(move || accept(&listener, doing, &going)));
    }
    claimants.hold(villain, &Holding::All {});
    Crowd { going, threads }
}

/// Accepts connections, and treats them as the crowd does.
fn accept(listener: &TcpListener, doing: Doing, going: &Going) {
    let mut held: Vec<TcpStream> = Vec::new();
    while !going.is_over() {
        while let Ok((stream, _)) = listener.accept() {
            going.tried.fetch_add(1, Ordering::Relaxed);
            if doing != Doing::Closing {
                held.push(stream);
            }
        }
        if doing == Doing::Slow {
            held.retain_mut(|stream| stream.write_all(&[0]).is_ok());
        }
        thread::park_timeout(DRIP);
    }
}

/// The results beside one crowd.
struct Entry {
    name: String,
    doing: Option<Doing>,
    times: Vec<Duration>,
    /// Connections of the crowd in the last run.
    tried: usize,
}

pub(crate) fn bench(options: &Options) {
    groupshare::sys::raise_descriptor_limit().expect("allowed");
    let (size, rounds) = (options.mib("size", u64::from(SIZE_MIB)), options.number("rounds", 3));
    let place = options.words("where", "/dev/shm").remove(0);
    let all = DOINGS.map(|(name, _)| name).join(",");
    let mut entries = vec![Entry { name: "alone".to_owned(), doing: None, times: Vec::new(), tried: 0 }];
    entries.extend(options.words("only", &all).into_iter().map(|name| {
        let doing = Some(Doing::named(&name));
        Entry { name, doing, times: Vec::new(), tried: 0 }
    }));
    let folder = folder_in(Path::new(&place));
    let file = folder.path().join(FILE);
    let sha1 = write_noise(&file, size);
    let house = House::start(folder.path());
    let mut seeder = house.member("seeder", &[]);
    seeder.found("lab");
    seeder.share("lab", &file);
    house.member("taker", &[]).join("lab", &mut seeder);
    let villain = Arc::new(Villain::join(&house, &mut seeder));
    let claims = |doing: Option<Doing>| doing.is_some_and(|doing| !doing.is_of_leechers());
    let is_claimed = entries.iter().any(|entry| claims(entry.doing));
    let mut claimants = is_claimed.then(|| Claimants::log_in(&villain));
    for round in 0..=rounds {
        for (number, entry) in entries.iter_mut().enumerate() {
            let crowd = entry.doing.map(|doing| match claimants.as_mut().filter(|_| !doing.is_of_leechers()) {
                Some(claimants) => seeders(&villain, claimants, doing),
                None => leechers(&villain, doing),
            });
            let out = folder.path().join("out");
            fs::create_dir(&out).expect("a new folder");
            let mut taker = house.client("taker", &format!("taker-{round}-{number}"), &[]);
            taker.log_in();
            let (begun, verified, _) = taker.download("lab", &out);
            assert!(sha1_of_file(&out.join(FILE)) == sha1, "another file beside {}", entry.name);
            drop(taker);
            fs::remove_dir_all(&out).expect("removed");
            entry.tried = crowd.map_or(0, |crowd| crowd.going.tried.load(Ordering::Relaxed));
            if let Some(claimants) = claimants.as_mut().filter(|_| claims(entry.doing)) {
                claimants.hold(&villain, &Holding::Nothing {});
            }
            // The first round only warms up.
            if round > 0 {
                entry.times.push(verified - begun);
            }
        }
    }
    println!("\n{} MiB in {place}, medians of {rounds} interleaved rounds", size >> 20);
    print(&entries);
}

fn print(entries: &[Entry]) {
    let mut table = Table::new(&["beside", "verified s", "x alone", "range", "connections of the crowd"]);
    let alone = median_s(entries[0].times.iter().copied());
    for entry in entries {
        let (median, all) = (median_s(entry.times.iter().copied()), || entry.times.iter().map(Duration::as_secs_f64));
        table.line(vec![
            entry.name.clone(),
            format!("{median:.2}"),
            format!("{:.2}", median / alone),
            format!("{:.2}-{:.2}", all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max)),
            entry.tried.to_string(),
        ]);
    }
    table.print();
}
