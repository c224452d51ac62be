//! Two trackers in sync, a client driven like by its user, and a second user at either tracker. The input decides their
//! actions, when the trackers lose each other, and when connections break. In the end all of them agree.

use super::common::client::Client;
use super::common::manifest::manifest;
use super::common::membership::all_pieces;
use super::common::memory_log::MemoryLog;
use super::common::names::{command, file, group, user};
use super::common::person::Person;
use super::common::relay::Relay;
use super::common::tracker::{TestTracker, loopback};
use super::common::wait::wait_until;
use super::script::Script;
use super::{Folder, is_one_line};
use groupshare::model::id::{Origin, UserRef};
use groupshare::model::name::is_unsafe_char;
use groupshare::model::op::Op;
use groupshare::tracker::commit::OpSource;
use groupshare::tracker::data_dir::DataDir;
use groupshare::tracker::state::State;
use groupshare::wire::client_tracker::{Reply, Request};
use groupshare::wire::codec::{Blob, List};
use groupshare::wire::refusal::Refusal;
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::fs;
use std::sync::Arc;

/// Most steps of one run.
const STEPS_MAX: usize = 24;
/// After this many runs two new trackers begin. Otherwise their state would grow without an end.
const RUNS_MAX: u32 = 50;
/// Groups that the person makes, and groups that the other user makes.
const GROUPS: u8 = 3;
/// The other user.
const OTHER: &str = "bob";
/// Files that both of them share.
const FILES: u8 = 3;

/// Holds back the messages between the trackers.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut closed = self.closed.lock();
        self.opened.wait_while(&mut closed, |closed| *closed);
    }

    fn set_closed(&self, closed: bool) {
        *self.closed.lock() = closed;
        self.opened.notify_all();
    }
}

/// Two trackers. The second one calls the first, over a relay.
struct Cluster {
    trackers: [TestTracker; 2],
    logs: [MemoryLog; 2],
    between: Relay,
    gate: Arc<Gate>,
    /// Whether the trackers are cut off from each other in this run.
    is_cut: Cell<bool>,
    runs: u32,
    /// The folders are removed after the trackers.
    _folders: [Folder; 2],
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.gate.set_closed(false);
    }
}

impl Cluster {
    fn start() -> Self {
        let logs = [MemoryLog::default(), MemoryLog::default()];
        let folders = [Folder::new(), Folder::new()];
        let start = |number: u16, other: Option<&Relay>| {
            let place = usize::from(number) - 1;
            let (log, folder) = (&logs[place], folders[place].path());
            TestTracker::start_at(loopback().into(), |settings| {
                settings.origin = Origin { tracker: number, incarnation: u64::from(number) };
                settings.others = other.iter().map(|relay| (1, relay.addr.into())).collect();
                (settings.log, settings.source) = (Box::new(log.clone()), Arc::new(log.clone()));
                settings.data_dir = DataDir::open(folder).expect("a data folder");
                settings.warn = Arc::new(|_| {});
            })
        };
        let one = start(1, None);
        let gate = Arc::new(Gate::default());
        let passing = gate.clone();
        let between = Relay::to(one.addr, move |_, _, _| passing.pass());
        let two = start(2, Some(&between));
        Self { trackers: [one, two], logs, between, gate, is_cut: Cell::default(), runs: 0, _folders: folders }
    }

    fn states(&self) -> [Arc<State>; 2] {
        [0, 1].map(|tracker| self.trackers[tracker].server.core().state())
    }

    /// Waits until the trackers have the same ops. Then compares their state with the fold of each log.
    fn agree(&self) -> Arc<State> {
        self.gate.set_closed(false);
        if self.is_cut.take() {
            self.dial_again();
        }
        wait_until("the trackers know the same", || {
            let [one, two] = self.states();
            one.version().eq(two.version())
        });
        let [one, two] = self.states();
        if one.version().eq(two.version()) {
            assert_eq!(one.digest(), two.digest(), "equal ops, different states");
        }
        one
    }

    /// Makes the second tracker call the first at once. By itself it waits up to two seconds.
    fn dial_again(&self) {
        self.between.unblock();
        let second = &self.trackers[1].server;
        for others in [vec![], vec![(1, self.between.addr.into())]] {
            drop(second.set_others(&others).expect("a thread"));
        }
    }

    /// The published state of each tracker is the fold of its log.
    fn check_logs(&self) {
        for (state, log) in self.states().iter().zip(&self.logs) {
            let mut ops: Vec<Op> = Vec::new();
            let read = log.read(&mut |op| {
                ops.push(op);
                true
            });
            read.expect("it is in memory");
            ops.sort_by_key(Op::order);
            let mut folded = State::new();
            ops.iter().for_each(|op| folded.apply(op));
            // Votes about a floor may have come since.
            if folded.op_count() == state.op_count() {
                assert_eq!(folded.digest(), state.digest());
            }
        }
    }
}

/// What is known of the person's groups.
#[derive(Default)]
struct Made {
    certain: usize,
    /// Requests without a certain answer, such as those on a connection that broke.
    uncertain: usize,
    /// Departures. The same one counts twice if the trackers did not hear of each other.
    left: usize,
}

/// The trackers, and the other user, who is always logged in at both.
struct Stage {
    others: [Client; 2],
    cluster: Cluster,
}

impl Stage {
    fn set() -> Self {
        let cluster = Cluster::start();
        let mut others = cluster.trackers.each_ref().map(TestTracker::client);
        others[0].create_user(OTHER);
        others[0].log_in(OTHER);
        wait_until("the account is known", || cluster.states()[1].user_named(&user(OTHER)).is_some());
        others[1].log_in(OTHER);
        Self { others, cluster }
    }
}

struct Scene<'a> {
    cluster: &'a Cluster,
    /// The beginning of all names in this run.
    prefix: String,
    /// `None` in the end.
    person: Option<Person>,
    /// The other user's clients, one at each tracker.
    others: &'a mut [Client; 2],
    made: Made,
    /// The folder is removed after the client that uses it.
    folder: Folder,
}

impl<'a> Scene<'a> {
    fn begin(cluster: &'a Cluster, others: &'a mut [Client; 2], first: u8) -> Self {
        let folder = Folder::new();
        let prefix = format!("r{}", cluster.runs);
        let mut addrs = cluster.trackers.each_ref().map(|tracker| tracker.addr);
        addrs.rotate_left(usize::from(first % 2));
        let mut person = Person::sit_down_among(addrs.into(), folder.path());
        let said = person.types(&format!("create_user {prefix}-ann pw"));
        assert_eq!(said.as_deref(), Ok("User created\n"));
        assert_eq!(person.types(&format!("login {prefix}-ann pw")).as_deref(), Ok("Login successful\n"));
        Self { cluster, prefix, person: Some(person), others, made: Made::default(), folder }
    }

    fn own_group(&self, number: u8) -> String {
        format!("{}-a{}", self.prefix, number % GROUPS)
    }

    fn other_group(&self, number: u8) -> String {
        format!("{}-b{}", self.prefix, number % GROUPS)
    }

    fn any_group(&self, number: u8) -> String {
        if number.is_multiple_of(2) { self.own_group(number >> 1) } else { self.other_group(number >> 1) }
    }

    /// The person types a line. Returns whether it was done. A refusal is one line.
    fn types(&mut self, line: &str) -> bool {
        match self.person.as_mut().expect("not the end").types(line) {
            Ok(said) => {
                assert!(said.lines().all(|line| !line.chars().any(is_unsafe_char)), "{line}: {said}");
                true
            }
            Err(why) => {
                assert!(is_one_line(&why), "{line}: {why}");
                false
            }
        }
    }

    /// The other user sends a request to a tracker.
    fn asks(&mut self, tracker: u8, request: Request) {
        let client = &mut self.others[usize::from(tracker % 2)];
        if let Reply::Refused { code, about } = client.ask(request) {
            assert!(is_one_line(&Refusal::received(code, &about)));
        }
        client.unasked.clear();
    }

    fn step(&mut self, what: u8, a: u8) {
        let named = file_name(a);
        match what % 24 {
            0 | 1 => {
                let line = format!("create_group {}", self.own_group(a));
                if self.types(&line) {
                    self.made.certain += 1;
                } else {
                    self.made.uncertain += 1;
                }
            }
            2 => {
                let line = format!("leave_group {}", self.own_group(a));
                self.types(&line);
                self.made.left += 1;
            }
            3 | 4 => drop(self.types(&format!("join_group {}", self.other_group(a)))),
            5 => drop(self.types(&format!("leave_group {}", self.other_group(a)))),
            6 => drop(self.types(&format!("accept_request {} {OTHER}", self.own_group(a)))),
            7 => drop(self.types(&format!("remove_member {} {OTHER}", self.own_group(a)))),
            8 | 9 => {
                let bytes = vec![a; usize::from(a) << 4];
                fs::write(self.folder.path().join(&named), bytes).expect("room");
                let line = format!("upload_file {named} {}", self.any_group(a >> 2));
                self.types(&line);
            }
            10 => drop(self.types(&format!("stop_share {} {named}", self.any_group(a >> 2)))),
            11 => drop(self.types(&format!("download_file {} {named} got{a}", self.any_group(a >> 2)))),
            12 => self.lists(a),
            13 => {
                self.types("logout");
                self.types(&format!("login {}-ann pw", self.prefix));
            }
            14 => drop(self.types("change_password pw pw")),
            15 if a % 8 < 2 => {
                self.cluster.is_cut.set(true);
                if a.is_multiple_of(8) { self.cluster.between.block() } else { self.cluster.between.cut() }
            }
            15 | 16 => self.cluster.gate.set_closed(true),
            17 => self.cluster.gate.set_closed(false),
            _ => self.other_does(what, a),
        }
    }

    fn lists(&mut self, a: u8) {
        let group = self.any_group(a >> 3);
        match a % 8 {
            0 => drop(self.types("list_groups")),
            1 => drop(self.types(&format!("list_files {group}"))),
            2 => drop(self.types(&format!("list_members {group}"))),
            3 => drop(self.types(&format!("list_requests {group}"))),
            4 => drop(self.types("show_downloads")),
            5 => drop(self.types("show_uploads")),
            _ => drop(self.types("limit")),
        }
    }

    fn other_does(&mut self, what: u8, a: u8) {
        let (own, any) = (group(&self.other_group(a >> 1)), group(&self.any_group(a >> 1)));
        let ann = user(&format!("{}-ann", self.prefix));
        let request = match what % 24 {
            18 => Request::CreateGroup { command: command(), group: own },
            19 => Request::JoinGroup { command: command(), group: any },
            20 => Request::AcceptRequest { command: command(), group: own, user: ann },
            21 => Request::LeaveGroup { command: command(), group: any },
            22 => return self.other_shares(a),
            _ => Request::ListFiles { group: any, after: None },
        };
        self.asks(a, request);
    }

    /// The other user sends a manifest, shares it, claims to hold all of it, and asks for other holders.
    fn other_shares(&mut self, a: u8) {
        let named = file_name(a);
        let (bytes, content) = manifest(&named, u32::from(a % 4), a >> 4);
        let any = group(&self.any_group(a >> 2));
        let part = Blob::new(bytes.clone()).expect("short");
        let (info_hash, total) = (content.info_hash, bytes.len() as u32);
        self.asks(a, Request::PutManifest { group: any.clone(), info_hash, total, offset: 0, part });
        let client = &mut self.others[usize::from(a % 2)];
        let share = client.ask(Request::ShareFile { command: command(), group: any, name: file(&named), content });
        if let Reply::Share { share, .. } = share {
            self.asks(a, Request::Hold { share, holding: all_pieces() });
            self.asks(a, Request::FindPeers { share });
        }
    }

    /// Both trackers show the same, and the person's groups are those that were made.
    fn end(mut self) {
        // From here on nothing happens by itself.
        let person = self.person.take().expect("not the end");
        let told = person.events.clone();
        drop(person);
        assert!(told.take().lines().all(|line| !line.chars().any(is_unsafe_char)));
        let state = self.cluster.agree();
        let ann = state.user_named(&user(&format!("{}-ann", self.prefix))).expect("the account is known");
        let owned = owned(&state, ann, &format!("{}-a", self.prefix));
        let Made { certain, uncertain, left } = self.made;
        assert!(owned + left >= certain, "{owned} groups, {certain} made, {left} left: one is lost");
        assert!(owned <= certain + uncertain, "{owned} groups, {certain} made: one was made twice");
        let seen = [0, 1].map(|tracker| self.seen_at(tracker));
        assert_eq!(seen[0], seen[1], "both trackers tell the same");
    }

    /// What the other user sees at a tracker.
    fn seen_at(&mut self, tracker: usize) -> Vec<Reply> {
        let groups = (0..2 * GROUPS).map(|number| group(&self.any_group(number)));
        let asked: Vec<Request> = groups
            .flat_map(|group| {
                let requests = Request::ListRequests { group: group.clone(), after: None };
                [Request::ListFiles { group, after: None }, requests]
            })
            .collect();
        let client = &mut self.others[tracker];
        let ids: Vec<u32> = asked.iter().map(|request| client.send(request)).collect();
        // Holders are soft state, and may still be on their way.
        ids.into_iter().map(|id| without_holders(client.reply(id))).collect()
    }
}

fn without_holders(reply: Reply) -> Reply {
    let Reply::Files { files, more } = reply else { return reply };
    let mut files = files.into_vec();
    files.iter_mut().for_each(|line| line.online = 0);
    Reply::Files { files: List::first_of(files), more }
}

fn owned(state: &State, user: UserRef, prefix: &str) -> usize {
    let groups = state.groups_of(user, None, usize::MAX);
    let own = |name: &str| name.starts_with(prefix);
    groups.iter().filter(|(group, name)| own(name.as_str()) && state.owner(*group) == Some(user)).count()
}

fn file_name(number: u8) -> String {
    format!("f{}", number % FILES)
}

/// The first byte says which tracker the client prefers. Two bytes for each step follow: the action, and its object.
pub(super) fn cluster(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(first) = script.byte() else { return };
    static STAGE: Mutex<Option<Stage>> = Mutex::new(None);
    let mut place = STAGE.lock();
    let Stage { cluster, others } = place.get_or_insert_with(Stage::set);
    cluster.runs += 1;
    let mut scene = Scene::begin(cluster, others, first);
    for _ in 0..STEPS_MAX {
        let (Some(what), Some(a)) = (script.byte(), script.byte()) else { break };
        scene.step(what, a);
    }
    scene.end();
    if cluster.runs == RUNS_MAX {
        cluster.check_logs();
        *place = None;
    }
}
