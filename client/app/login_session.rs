//! One login on this client: its engine, what it remembers from run to run, and what its tracker has not heard yet.

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
use crate::model::id::{GroupRef, ShareRef};
use crate::model::name::{FileName, GroupId, UserId};
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

/// One login, from its begin to its end.
///
/// The event loop and helpers may hold it a little longer than it lasts. It remembers nothing more then.
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
    /// The tracker has not heard yet of something that is shared or downloaded here: it is told again.
    unheard: AtomicBool,
    over: AtomicBool,
    /// What was downloaded, and no tracker has heard so.
    untold: UntoldShares,
    // Locked; only `deciding` and `telling` are ever held across a request or the disk.
    /// Shares of which nothing is held any more, and no tracker has heard so.
    withdrawn: Mutex<BTreeSet<ShareRef>>,
    telling: Mutex<()>,
    deciding: Mutex<()>,
    /// Wakes those who wait for the end.
    ended: Condvar,
    ending: Mutex<()>,
    /// Not `OwnedThread`s: a helper may be the last to hold the session, and cannot join itself.
    helpers: Mutex<Vec<JoinHandle<()>>>,
}

impl LoginSession {
    /// The session of the login of this number, which the tracker has just accepted.
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

    /// Ends the session: helpers return and are waited for, downloads stop, nothing is served any more. What is
    /// remembered is left to the next login.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        // Whoever waits holds the lock from looking to waiting.
        drop(self.ending.lock());
        self.ended.notify_all();
        self.upkeep.wake();
        self.folders.stop_reading();
        self.follows.wake();
        let helpers = std::mem::take(&mut *self.helpers.lock());
        for helper in helpers {
            // A panic of the helper was printed when it happened.
            let _ = helper.join();
        }
        // Now that nobody begins anything any more.
        for download in self.downloads.running() {
            self.engine.remove(&download);
            if !download.is_finished() {
                // The next login finds its part free, whoever still holds this session.
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

    /// Waits so long. True at once when the session ends.
    pub(super) fn ends_within(&self, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        let mut ending = self.ending.lock();
        while !self.is_over() && !self.ended.wait_until(&mut ending, until).timed_out() {}
        self.is_over()
    }

    /// Set when the session ends; for work that looks at a flag.
    pub(super) fn over(&self) -> &AtomicBool {
        &self.over
    }

    /// Runs something for this session beside the prompt. The end of the session waits for it.
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

    /// The user's name as it is now.
    pub(super) fn user(&self) -> &UserId {
        &self.user
    }

    /// Counts the logins of this run.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What is remembered from run to run.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    pub fn downloads(&self) -> &Arc<DownloadList> {
        &self.downloads
    }

    /// The shares that are looked after.
    pub(super) fn upkeep(&self) -> &ShareRegister {
        &self.upkeep
    }

    /// The folders that are shared as a whole.
    pub(super) fn folders(&self) -> &FolderRegister {
        &self.folders
    }

    /// The groups that are followed.
    pub(super) fn follows(&self) -> &FollowRegister {
        &self.follows
    }

    /// Asks the tracker.
    pub(super) fn call(&self, request: &Request) -> Result<Reply, RpcError> {
        self.node.link.call(request)
    }

    /// Tells the tracker what is held of a share.
    pub(super) fn hold(&self, share: ShareRef, holding: Holding) -> Result<(), RpcError> {
        self.call(&Request::Hold { share, holding }).map(drop)
    }

    /// Tells the user what has happened.
    pub(super) fn event(&self, event: &Event) {
        if event.weight() != Weight::Progress {
            let mut told = json::event(event);
            told.insert("at".to_owned(), sys::unix_time_s().into());
            self.slot.told().keep(told);
        }
        self.node.reporter.event(event);
    }

    /// Tells that a download is complete. Of what comes by itself many are told together.
    pub(super) fn completed(&self, completed: &Event) {
        let by_itself = |group: &GroupId, file: &FileName, path: &Path| {
            self.follows.end(group, file) && self.slot.folders().follows_into(group, path)
        };
        if !matches!(completed, Event::DownloadCompleted { group, file, path, .. } if by_itself(group, file, path)) {
            self.event(completed);
        }
    }

    /// Warns of what could not be remembered. A session that has ended remembers nothing more, and has no need to say
    /// so: the next one finds out how things are.
    pub(super) fn remembered<T>(&self, kept: Result<T, StateError>, words: impl FnOnce(&StateError) -> String) {
        match kept {
            Ok(_) | Err(StateError::Closed) => {}
            Err(error) => self.event(&Event::Warning(words(&error))),
        }
    }

    /// Asks for the keys of all groups of the user. Drops the connections of groups whose key has changed, and calls
    /// groups by the names that they have now.
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

    /// Drops the connections made under a key of this group, in both directions.
    pub(super) fn drop_connections(&self, group: GroupRef) {
        self.node.seeder.drop_group(group);
        self.engine.drop_group(group);
    }

    /// What was downloaded, and no tracker has heard so.
    pub(super) fn untold(&self) -> &UntoldShares {
        &self.untold
    }

    /// Looks at what is held of a download and tells a tracker. One at a time does, so that what is told last is so.
    pub(super) fn tell_holding<T>(&self, tell: impl FnOnce() -> T) -> T {
        let _telling = self.telling.lock();
        tell()
    }

    /// Nothing of a share is held any more; a tracker has to hear so.
    pub(super) fn withdraw(&self, share: ShareRef) {
        self.withdrawn.lock().insert(share);
    }

    /// The shares of which a tracker has to hear that nothing is held.
    pub(super) fn withdrawn(&self) -> Vec<ShareRef> {
        self.withdrawn.lock().iter().copied().collect()
    }

    /// A tracker has heard that nothing of a share is held.
    pub(super) fn was_withdrawn(&self, share: ShareRef) {
        self.withdrawn.lock().remove(&share);
    }

    /// Brings back or stops a share, from what the tracker says to what is remembered of it. One at a time does.
    pub(super) fn decide<T>(&self, decision: impl FnOnce() -> T) -> T {
        let _deciding = self.deciding.lock();
        decision()
    }

    /// Takes note of a refusal to hold a share that this client knows from a tracker. One that says that there is no
    /// such share comes from a tracker that has not heard of it yet: true, and the tracker is told again.
    pub(super) fn note_refusal(&self, refusal: &Refusal) -> bool {
        let unheard = refusal.code == Code::NoSuchFile;
        self.unheard.fetch_or(unheard, Ordering::Relaxed);
        unheard
    }

    /// Has the tracker told again of what is shared and downloaded here.
    pub(super) fn announce_again(&self) {
        self.unheard.store(true, Ordering::Relaxed);
    }

    /// Whether the tracker is to be told again; asks once.
    pub(super) fn take_unheard(&self) -> bool {
        self.unheard.swap(false, Ordering::Relaxed)
    }
}

impl std::fmt::Debug for LoginSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginSession").field("user", &self.user).finish_non_exhaustive()
    }
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

    /// A session of alice at a client that reaches no tracker.
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

    /// The groups of those that are untold. Now a tracker has heard of them.
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
