//! The thread that follows groups: it subscribes to new shares at the tracker, then begins and watches the downloads.

use super::follow_register::{FollowNews, FollowOrders, NAMES_MAX};
use super::followed::{Coming, Followed};
use crate::client::app::download::hold_back::cancel;
use crate::client::app::download::{self, update::update};
use crate::client::app::download_list::{DownloadPhase, Tracked};
use crate::client::app::login_session::LoginSession;
use crate::client::command::failure::Cause;
use crate::client::folder::following::{Begin, Offer};
use crate::client::output::download_failure::FailureCode;
use crate::client::rpc::error::RpcError;
use crate::client::rpc::queries;
use crate::client::state::folders::Bond;
use crate::model::name::FileName;
use crate::sys::space::{DiskRoom, Supply, room_of};
use crate::wire::client_tracker::{FileLine, Reply, Request};
use crate::wire::codec::List;
use crate::wire::refusal::Code;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the thread waits if it expects nothing.
const LONG_WAIT: Duration = Duration::from_secs(3600);
/// The pause after a failure that may pass in a moment.
const PAUSE: Duration = Duration::from_secs(2);
/// The minimum pause between two lists of a whole group. After a long list, the pause is `LIST_REST` times as long as
/// that list took.
const LIST_PAUSE: Duration = Duration::from_secs(5);
const LIST_REST: u32 = 20;
/// The pause between two looks at the free room.
const ROOM_PAUSE: Duration = Duration::from_secs(10);
/// How often the client asks again whether the files of running downloads are still shared.
const CHECK_PAUSE: Duration = Duration::from_secs(10);
/// The number of names in one request.
const LOT: usize = 256;

/// The room of a disk that reports none.
const NO_ROOM: DiskRoom = DiskRoom { bytes: Supply { free: 0, total: u64::MAX }, files: None };

struct FollowKeeper<'a> {
    session: &'a Arc<LoginSession>,
    followed: Vec<Followed>,
    /// Whether the tracker knows the followed groups.
    subscribed: bool,
    /// The thread sends no request before this time.
    rests: Option<Instant>,
}

/// Follows groups until the session ends.
pub(crate) fn run(session: &Arc<LoginSession>) {
    let mut keeper = FollowKeeper { session, followed: Vec::new(), subscribed: false, rests: None };
    loop {
        // A session is marked as over before this thread wakes. So the thread takes the orders before it looks at the
        // mark.
        keeper.take_told();
        if session.is_over() {
            return;
        }
        keeper.follow_records();
        keeper.look_at_downloads();
        let now = Instant::now();
        keeper.rests = keeper.rests.filter(|rests| *rests > now);
        if keeper.rests.is_none() && session.node().link.tracker().is_some() && keeper.ask().is_err() {
            keeper.rests = Some(Instant::now() + PAUSE);
        }
        keeper.begin();
        keeper.followed.iter_mut().for_each(|followed| followed.tell(session));
        keeper.wait();
    }
}

impl FollowKeeper<'_> {
    fn take_told(&mut self) {
        let FollowOrders { news, reached } = self.session.follows().take();
        self.subscribed &= !reached;
        for (group, FollowNews { names, all }) in news {
            for followed in self.followed.iter_mut().filter(|followed| followed.record().group == group) {
                followed.names.extend(names.iter().cloned());
                followed.list |= all || followed.names.len() > NAMES_MAX;
            }
        }
    }

    /// Takes in the remembered groups, and drops the others.
    fn follow_records(&mut self) {
        let records = self.session.slot().folders().list();
        let before = self.followed.len();
        self.followed.retain(|followed| records.contains(followed.record()));
        self.subscribed &= self.followed.len() == before;
        for record in records {
            let Bond::Follows(max_size) = record.bond else { continue };
            if self.followed.iter().any(|followed| *followed.record() == record) {
                continue;
            }
            match Followed::open(self.session, record, max_size) {
                Ok(followed) => self.followed.push(followed),
                // The next order tries it again, unless the login ends.
                Err(error) => self.session.remembered(Err::<(), _>(error), ToString::to_string),
            }
            self.subscribed = false;
        }
    }

    /// Handles downloads that have ended or do not advance.
    fn look_at_downloads(&mut self) {
        let session = self.session;
        for followed in &mut self.followed {
            for (name, Coming { id, .. }) in followed.running.clone() {
                let again = match session.downloads().get(id) {
                    // The user has cancelled the download.
                    None => false,
                    Some(Tracked { phase: DownloadPhase::Complete, info_hash, size, .. }) => {
                        followed.arrived(session, &name, info_hash.zip(size));
                        continue;
                    }
                    Some(Tracked { phase: DownloadPhase::Failed(failure), .. }) => !matches!(
                        failure.code,
                        FailureCode::Obstructed
                            | FailureCode::WrongSha1
                            | FailureCode::OnlyLiars
                            | FailureCode::Forgotten
                    ),
                    Some(Tracked { phase: DownloadPhase::Running(transfer), .. }) => {
                        followed.moves(session, &name, &transfer.progress(Instant::now()));
                        continue;
                    }
                    Some(_) => continue,
                };
                followed.failed(session, &name, again);
                if again {
                    self.rests = Some(Instant::now() + PAUSE);
                }
            }
        }
    }

    /// Asks the tracker for new shares.
    fn ask(&mut self) -> Result<(), RpcError> {
        let session = self.session;
        if !self.subscribed && !self.followed.is_empty() {
            let groups = self.followed.iter().map(|followed| followed.record().group.clone()).collect();
            let groups = List::new(groups).ok_or(RpcError::Unexpected)?;
            session.call(&Request::Follow { groups })?;
            self.subscribed = true;
            // The tracker did not push what was shared before this.
            self.followed.iter_mut().for_each(|followed| followed.list = true);
        }
        // A refusal in one group does not hold up the others.
        let asked = self.followed.iter_mut().map(|followed| ask_about(session, followed));
        asked.fold(Ok(()), Result::and)
    }

    /// Begins the downloads that the disk has room for.
    fn begin(&mut self) {
        let session = self.session;
        if self.rests.is_some() {
            return;
        }
        for followed in &mut self.followed {
            followed.give_up_outdated(session);
            if !followed.following.waits() || !followed.is_there(session) {
                followed.lacks(session, None);
                continue;
            }
            if followed.waits_for_room() {
                followed.look_for_room();
            }
            let room = room_of(&followed.record().path).unwrap_or(NO_ROOM);
            let standing = followed.standing(Instant::now());
            let (begun, lacking) = followed.following.begin(&standing, room);
            followed.lacks(session, lacking);
            for begin in begun {
                followed.checks.get_or_insert_with(|| Instant::now() + CHECK_PAUSE);
                if !start(session, followed, &begin) {
                    self.rests = Some(Instant::now() + PAUSE);
                }
            }
        }
    }

    fn wait(&self) {
        let now = Instant::now();
        let lists = self.followed.iter().filter(|followed| followed.list).filter_map(|followed| followed.list_rests);
        let room = self.followed.iter().any(Followed::waits_for_room).then(|| now + ROOM_PAUSE);
        let away = self.followed.iter().any(|followed| followed.is_busy() && followed.running.is_empty());
        let retry = away.then(|| now + PAUSE);
        let checks = self.followed.iter().filter(|followed| !followed.running.is_empty());
        let checks = checks.filter_map(|followed| followed.checks);
        let news = self.followed.iter().filter_map(Followed::tells);
        let until =
            lists.chain(checks).chain(room).chain(news).chain(self.rests).chain(retry).min().unwrap_or(now + LONG_WAIT);
        let standings = self.followed.iter().map(Followed::status).collect();
        self.session.follows().tell_and_wait(standings, self.followed.iter().any(Followed::is_busy), until);
    }
}

/// Asks for new shares in one group, and whether the files of its running downloads are still shared.
fn ask_about(session: &LoginSession, followed: &mut Followed) -> Result<(), RpcError> {
    let now = Instant::now();
    if followed.list && followed.list_rests.is_none_or(|rests| rests <= now) {
        list(session, followed)?;
    }
    if !followed.running.is_empty() && followed.checks.is_none_or(|due| due <= now) {
        followed.names.extend(followed.running.keys().cloned());
        followed.checks = Some(now + CHECK_PAUSE);
    }
    while !followed.names.is_empty() && !session.is_over() {
        find(session, followed)?;
    }
    Ok(())
}

/// Lists a whole group.
fn list(session: &LoginSession, followed: &mut Followed) -> Result<(), RpcError> {
    let begun = Instant::now();
    let group = followed.record().group.clone();
    followed.pass_over_what_is_there(session)?;
    let mut shared = BTreeSet::new();
    queries::files(&session.node().link, &group, &mut |lines| {
        shared.extend(lines.iter().map(|line| line.name.clone()));
        offer_all(session, followed, lines);
        !session.is_over()
    })?;
    if !session.is_over() {
        followed.listed(session, &shared);
    }
    let took = begun.elapsed();
    followed.list_rests = Some(Instant::now() + LIST_PAUSE.max(took * LIST_REST));
    Ok(())
}

fn offer_all(session: &LoginSession, followed: &mut Followed, lines: Vec<FileLine>) {
    for line in lines {
        // A share without a size can be downloaded once it has one.
        if line.content.is_sized() {
            followed.offered(session, Offer::of(line.name, &line.content, line.author));
        }
    }
}

/// Asks for some of the new names.
fn find(session: &LoginSession, followed: &mut Followed) -> Result<(), RpcError> {
    let group = followed.record().group.clone();
    let names: Vec<FileName> = followed.names.iter().take(LOT).cloned().collect();
    let ask = |name: &FileName| Request::FindShare { group: group.clone(), name: name.clone() };
    let answers = session.node().link.call_all(&names.iter().map(ask).collect::<Vec<_>>())?;
    for (name, answer) in names.into_iter().zip(answers) {
        followed.names.remove(&name);
        match answer {
            Ok(Reply::Share { content, author, .. }) if content.is_sized() => {
                followed.offered(session, Offer::of(name, &content, author));
            }
            Err(refusal) if refusal.code == Code::NoSuchFile => followed.ended(session, &name),
            // Another tracker may not have heard of the membership yet.
            Err(refusal) => {
                followed.names.insert(name);
                return Err(refusal.into());
            }
            // The file comes once its size is known.
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Begins a download. Returns false if another try may succeed in a moment.
fn start(session: &Arc<LoginSession>, followed: &mut Followed, begin: &Begin) -> bool {
    let name = &begin.offer.name;
    let (group, place) = (followed.record().group.clone(), followed.place_of(name));
    // The file at this place becomes an old version only after the tracker has heard of it.
    if session.untold().has(&place) {
        followed.failed(session, name, true);
        return false;
    }
    if let Err(why) = followed.make_way(session, begin) {
        followed.event(session, format!("{name} is not downloaded: {why}"));
        followed.failed(session, name, false);
        return true;
    }
    if let Some(outdated) = followed.under_way(session, name)
        && outdated.info_hash.is_some_and(|info_hash| info_hash != begin.offer.info_hash)
        && cancel(session, &group, name).is_err()
    {
        followed.failed(session, name, true);
        return false;
    }
    followed.note_begun(session, &begin.offer);
    session.follows().begin(&group, name);
    let begun = match begin.replaces {
        true => update(session, &group, name, None),
        false => download::begin(session, (&group, name), &place, Vec::new()),
    };
    if let Err(failure) = begun
        && followed.under_way(session, name).is_none()
    {
        let again = match failure.cause {
            Cause::NoTracker => true,
            Cause::Refused(code) => code.is_passing(),
            Cause::OtherVersion | Cause::Other => false,
        };
        session.follows().end(&group, name);
        if !again {
            followed.event(session, format!("{name} is not downloaded: {}", failure.why));
        }
        followed.failed(session, name, again);
        return !again;
    }
    match session.downloads().find(&group, name).filter(|tracked| tracked.destination == place) {
        // A larger file than the offered one needs a new look at the free room first.
        Some(tracked) if tracked.size.is_none_or(|size| size <= begin.offer.size) => {
            followed.running.insert(name.clone(), Coming { id: tracked.id, stands: None });
            true
        }
        // The file has another version by now, or came in another way. The tracker can tell.
        other => {
            if other.is_some() {
                let _ = cancel(session, &group, name);
            }
            followed.failed(session, name, true);
            followed.names.insert(name.clone());
            false
        }
    }
}
