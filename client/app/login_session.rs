//! One login on this client: its engine, its records on disk, and what its tracker has not heard yet.

mod untold;

use super::download_list::DownloadList;
use super::folders::follow_register::FollowRegister;
use super::folders::register::FolderRegister;
use super::node::Node;
use super::upkeep::register::ShareRegister;
use crate::client::command::failure::Failure;
use crate::client::download::engine::Engine;
use crate::client::output::event::{Event, Weight};
use crate::client::output::json;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries;
use crate::client::state::file::StateError;
use crate::client::state::slot::Slot;
use crate::client::state::told::{AT, Told};
use crate::model::id::{GroupRef, OpOrder, ShareRef};
use crate::model::name::{FileName, GroupId, UserId};
use crate::model::notice::Notice;
use crate::sys;
use crate::wire::client_tracker::{Holding, Reply, Request};
use crate::wire::refusal::{Code, Refusal};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use untold::UntoldShares;

pub(crate) use untold::Untold;

/// One login, from its start to its end.
///
/// The event loop and helpers may hold it a little longer than the login lasts. A session writes no records after the
/// end.
pub struct LoginSession {
    // Immutable.
    node: Arc<Node>,
    user: UserId,
    number: u64,
    engine: Engine,
    slot: Slot,
    downloads: Arc<DownloadList>,
    upkeep: ShareRegister,
    folders: FolderRegister,
    follows: FollowRegister,
    // Set.
    /// The tracker has not heard yet of a share or a download here, so the client tells it again.
    unheard: AtomicBool,
    over: AtomicBool,
    /// Complete downloads that no tracker has heard of.
    untold: UntoldShares,
    // Locked. Only `deciding` and `telling` are ever held across a request or a disk access.
    /// Shares of which this client holds nothing any more. No tracker has heard this yet.
    withdrawn: Mutex<BTreeSet<ShareRef>>,
    telling: Mutex<()>,
    deciding: Mutex<()>,
    /// Wakes the threads that wait for the end.
    ended: Condvar,
    ending: Mutex<()>,
    /// Not `OwnedThread`s: a helper may be the last holder of the session, and a thread cannot join itself.
    helpers: Mutex<Vec<JoinHandle<()>>>,
}

impl LoginSession {
    /// Begins the session of the login with this number, which the tracker has just accepted.
    pub(super) fn begin(node: Arc<Node>, user: UserId, number: u64) -> Result<Arc<Self>, Failure> {
        let fingerprint = node.link.fingerprint()?;
        let (slot, warnings) = node.state.take_slot(&fingerprint, &user).map_err(|error| error.to_string())?;
        warnings.into_iter().for_each(|warning| node.reporter.event(&Event::Warning(warning)));
        let session = Self::new(node, user, number, slot);
        let session = session.map_err(|error| format!("the download engine does not start: {error}"))?;
        Ok(Arc::new(session))
    }

    /// Starts the engine.
    fn new(node: Arc<Node>, user: UserId, number: u64, slot: Slot) -> io::Result<Self> {
        let reach = (node.keyring.clone(), node.reacher.clone());
        let engine = Engine::start(node.engine_options.clone(), reach, node.engine_events.clone())?;
        Ok(Self {
            node,
            user,
            number,
            engine,
            slot,
            downloads: Arc::default(),
            upkeep: ShareRegister::default(),
            folders: FolderRegister::new()?,
            follows: FollowRegister::default(),
            unheard: AtomicBool::new(false),
            over: AtomicBool::new(false),
            untold: UntoldShares::default(),
            withdrawn: Mutex::default(),
            telling: Mutex::default(),
            deciding: Mutex::default(),
            ended: Condvar::new(),
            ending: Mutex::default(),
            helpers: Mutex::default(),
        })
    }

    /// Ends the session: joins the helpers, stops the downloads and serves nothing any more. The records stay for the
    /// next login.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        // A waiter holds the lock from its look at the flag until it waits.
        drop(self.ending.lock());
        self.ended.notify_all();
        self.upkeep.wake();
        self.folders.stop_reading();
        self.follows.wake();
        let helpers = std::mem::take(&mut *self.helpers.lock());
        for helper in helpers {
            // The panic of a helper has already been printed.
            let _ = helper.join();
        }
        // No thread begins anything any more.
        for download in self.downloads.running() {
            self.engine.remove(&download);
            if !download.is_finished() {
                // The next login finds the part free, even if a thread still holds this session.
                download.part().release();
            }
        }
        self.node.catalog.clear();
        self.node.keyring.clear();
        self.slot.close();
    }

    /// Whether the session has ended or is ending.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits for at most `longest`. Returns true as soon as the session ends.
    pub(super) fn ends_within(&self, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        let mut ending = self.ending.lock();
        while !self.is_over() && !self.ended.wait_until(&mut ending, until).timed_out() {}
        self.is_over()
    }

    /// Set when the session ends. Long work checks this flag.
    pub(super) fn over(&self) -> &AtomicBool {
        &self.over
    }

    /// Runs work for this session on a thread beside the prompt. The end of the session joins that thread.
    pub(super) fn help(self: &Arc<Self>, name: String, work: impl FnOnce(&Arc<LoginSession>) + Send + 'static) {
        let session = self.clone();
        let spawned = std::thread::Builder::new().name(name).spawn(move || work(&session));
        let mut helpers = self.helpers.lock();
        helpers.retain(|helper| !helper.is_finished());
        if let Ok(helper) = spawned {
            helpers.push(helper);
        }
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// The user's current name.
    pub(super) fn user(&self) -> &UserId {
        &self.user
    }

    /// The number of this login in this run.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The records on disk.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    pub fn downloads(&self) -> &Arc<DownloadList> {
        &self.downloads
    }

    /// The register of shares that a thread looks after.
    pub(super) fn upkeep(&self) -> &ShareRegister {
        &self.upkeep
    }

    /// The register of shared folders.
    pub(super) fn folders(&self) -> &FolderRegister {
        &self.folders
    }

    /// The register of followed groups.
    pub(super) fn follows(&self) -> &FollowRegister {
        &self.follows
    }

    /// Sends a request to the tracker.
    pub(super) fn call(&self, request: &Request) -> Result<Reply, RpcError> {
        self.node.link.call(request)
    }

    /// Tells the tracker which pieces of a share this client holds.
    pub(super) fn hold(&self, share: ShareRef, holding: Holding) -> Result<(), RpcError> {
        self.call(&Request::Hold { share, holding }).map(drop)
    }

    /// Tells the user of an event.
    pub(super) fn event(&self, event: &Event) {
        if event.weight() != Weight::Progress {
            self.slot.told().keep(told_now(event));
        }
        self.node.reporter.event(event);
    }

    /// Tells the user what a tracker has noticed about this op, unless the user was told before.
    pub(super) fn notice(&self, notice: Notice, order: OpOrder) {
        let event = Event::Notice(notice);
        if self.slot.told().keep_notice(told_now(&event), order) {
            self.node.reporter.event(&event);
        }
    }

    /// Tells that a download is complete. Many files of a followed group are told together.
    pub(super) fn completed(&self, completed: &Event) {
        let by_itself = |group: &GroupId, file: &FileName, path: &Path| {
            self.follows.end(group, file) && self.slot.folders().follows_into(group, path)
        };
        if !matches!(completed, Event::DownloadCompleted { group, file, path, .. } if by_itself(group, file, path)) {
            self.event(completed);
        }
    }

    /// Warns if a record could not be written. After the end of the session nothing is written, and no warning is
    /// needed: the next session checks the facts.
    pub(super) fn remembered<T>(&self, kept: Result<T, StateError>, words: impl FnOnce(&StateError) -> String) {
        match kept {
            Ok(_) | Err(StateError::Closed) => {}
            Err(error) => self.event(&Event::Warning(words(&error))),
        }
    }

    /// Fetches the keys of all groups of the user. Drops the connections of groups with a new key, and gives groups
    /// their current names.
    pub(super) fn refresh_keys(&self) -> Result<(), RpcError> {
        let keys = queries::keys(&self.node.link)?;
        if self.is_over() {
            return Ok(());
        }
        let changes = self.node.keyring.replace_all(keys);
        changes.rekeyed.into_iter().for_each(|group| self.drop_connections(group));
        if !changes.renamed.is_empty() {
            let renamed = self.rename_groups(&changes.renamed);
            self.remembered(renamed, |error| format!("The new name of a group will be forgotten: {error}"));
        }
        Ok(())
    }

    fn rename_groups(&self, renamed: &HashMap<GroupId, GroupId>) -> Result<bool, StateError> {
        self.downloads.rename_groups(renamed);
        self.untold.rename_groups(renamed);
        self.slot.rename_groups(renamed)
    }

    /// Drops the connections under a key of this group, in both directions.
    pub(super) fn drop_connections(&self, group: GroupRef) {
        self.node.seeder.drop_group(group);
        self.engine.drop_group(group);
    }

    /// Complete downloads that no tracker has heard of.
    pub(super) fn untold(&self) -> &UntoldShares {
        &self.untold
    }

    /// Runs `tell`, which looks at the held pieces and tells a tracker. Only one thread does so at a time, so the last
    /// message is the true one.
    pub(super) fn tell_holding<T>(&self, tell: impl FnOnce() -> T) -> T {
        let _telling = self.telling.lock();
        tell()
    }

    /// Notes that this client holds nothing of a share any more. A tracker still has to hear this.
    pub(super) fn withdraw(&self, share: ShareRef) {
        self.withdrawn.lock().insert(share);
    }

    /// The shares of which this client holds nothing any more, and of which no tracker has heard this yet.
    pub(super) fn withdrawn(&self) -> Vec<ShareRef> {
        self.withdrawn.lock().iter().copied().collect()
    }

    /// Notes that a tracker has heard that this client holds nothing of a share.
    pub(super) fn was_withdrawn(&self, share: ShareRef) {
        self.withdrawn.lock().remove(&share);
    }

    /// Runs `decision`, which brings back or stops a share, from the tracker's answer to the record. One thread does so
    /// at a time.
    pub(super) fn decide<T>(&self, decision: impl FnOnce() -> T) -> T {
        let _deciding = self.deciding.lock();
        decision()
    }

    /// Takes note of a refusal to hold a share that came from a tracker. If the refusal says that there is no such
    /// share, this tracker has not heard of it yet. Then the client tells it again, and the result is true.
    pub(super) fn note_refusal(&self, refusal: &Refusal) -> bool {
        let unheard = refusal.code == Code::NoSuchFile;
        self.unheard.fetch_or(unheard, Ordering::Relaxed);
        unheard
    }

    /// Lets the client tell the tracker again what it shares and downloads.
    pub(super) fn announce_again(&self) {
        self.unheard.store(true, Ordering::Relaxed);
    }

    /// Whether to tell the tracker again. Resets the mark.
    pub(super) fn take_unheard(&self) -> bool {
        self.unheard.swap(false, Ordering::Relaxed)
    }
}

impl std::fmt::Debug for LoginSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginSession").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What happens now, as it is kept.
fn told_now(event: &Event) -> Told {
    let mut told = json::event(event);
    told.insert(AT.to_owned(), sys::unix_time_s().into());
    told
}

#[cfg(test)]
mod tests {
    use super::untold::tests::untold_of;
    use super::*;
    use crate::client::app::node::NodeOptions;
    use crate::client::download::engine::options::EngineOptions;
    use crate::client::output::reporter::{Manner, Reporter};
    use crate::client::rate::downlink::Downlink;
    use crate::client::reach::interfaces::own_addresses;
    use crate::client::state::dir::StateDir;
    use crate::client::state::record::tests::{manifest, share};
    use crate::client::terminal::writer::TerminalWriter;
    use crate::model::digest::Fingerprint;
    use crate::model::name::FileName;
    use crate::rate::limit::Limit;
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::thread;

    fn state() -> (tempfile::TempDir, StateDir) {
        let temp = tempfile::tempdir().expect("a folder");
        let state = StateDir::open(temp.path()).expect("made");
        (temp, state)
    }

    fn alice() -> UserId {
        UserId::parse("alice").expect("a name")
    }

    fn slot(state: &StateDir) -> Slot {
        state.take_slot(&Fingerprint([7; 32]), &alice()).expect("free").0
    }

    /// A session of alice on a client without a tracker.
    fn session(state: &StateDir) -> Arc<LoginSession> {
        let options = NodeOptions {
            trackers: Vec::new(),
            listener: TcpListener::bind("127.0.0.1:0").expect("a free port"),
            announce: None,
            own_addresses: Box::new(own_addresses),
            state: state.clone(),
            check: Box::new(|_| Ok(())),
            upload_limit: Limit::NONE,
            engine_options: EngineOptions { workers: 1, patience: None, downlink: Downlink::new(Limit::NONE) },
            reporter: Reporter::new(TerminalWriter::new(Box::new(io::sink()), Box::new(io::sink())), Manner::default()),
        };
        let (node, _inbox) = Node::start(options).expect("started");
        Arc::new(LoginSession::new(node, alice(), 1, slot(state)).expect("a thread"))
    }

    fn group(name: &str) -> GroupId {
        GroupId::parse(name).expect("a name")
    }

    fn untold(in_group: &str, number: u8) -> Untold {
        untold_of(share(in_group, "f", number), number)
    }

    /// Takes all untold shares, and returns their groups.
    fn told(session: &LoginSession) -> Vec<GroupId> {
        let mut groups = Vec::new();
        session.untold().tell(|untold| {
            groups.push(untold.group.clone());
            true
        });
        groups
    }

    #[test]
    fn a_renamed_group_is_called_so_wherever_the_session_names_it() {
        let (_temp, state) = state();
        let session = session(&state);
        let (lab, class) = (group("lab"), group("class"));
        session.slot().put_share(share("lab", "f", 1), &manifest(1)).expect("saved");
        session.untold().add(untold("lab", 2));
        session.untold().add(untold("class", 3));
        let film = FileName::parse("film").expect("a name");
        session.downloads().begin((&lab, &film), PathBuf::from("/film"), Vec::new()).expect("the first");
        let renamed = HashMap::from([(lab.clone(), lab.with_suffix(2))]);
        assert!(session.rename_groups(&renamed).expect("saved"));
        assert_eq!(session.slot().shares()[0].group, lab.with_suffix(2));
        assert_eq!(session.downloads().list()[0].group, lab.with_suffix(2));
        assert_eq!(told(&session), [lab.with_suffix(2), class]);
        session.end();
    }

    #[test]
    fn only_a_tracker_that_does_not_know_a_share_is_told_again_and_once() {
        let (_temp, state) = state();
        let session = session(&state);
        assert!(!session.note_refusal(&Code::NotMember.into()));
        assert!(!session.take_unheard());
        assert!(session.note_refusal(&Code::NoSuchFile.into()));
        assert!(!session.note_refusal(&Code::NotMember.into()));
        assert!(session.take_unheard());
        assert!(!session.take_unheard());
        session.end();
    }

    #[test]
    fn the_end_waits_for_helpers_and_leaves_everything_to_the_next_login() {
        let (_temp, state) = state();
        let session = session(&state);
        session.slot().put_share(share("lab", "f", 1), &manifest(1)).expect("saved");
        session.help("waits".into(), |session| {
            while !session.is_over() {
                thread::sleep(Duration::from_millis(1));
            }
            session.untold().add(untold("lab", 2));
        });
        session.end();
        assert!(session.is_over());
        assert_eq!(told(&session).len(), 1, "the helper came to its end");
        let forgotten = session.slot().remove_share(&group("lab"), &FileName::parse("f").expect("a name"));
        assert!(matches!(forgotten, Err(StateError::Closed)));
        session.remembered(forgotten, |_| unreachable!("an ended session warns of nothing"));
        let next = slot(&state);
        assert_eq!((next.number(), next.shares().len()), (0, 1));
    }
}
