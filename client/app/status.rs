//! The downloads and uploads at one moment.

use super::download_list::{DownloadPhase, Tracked};
use super::login_session::LoginSession;
use super::upkeep::standing::{ShareKey, Standing};
use crate::client::download::obstacle::in_words;
use crate::client::output::status::{
    Delivered, DownloadState, DownloadStatus, IncompleteShare, Obstacle, UploadStatus,
};
use crate::model::digest::InfoHash;
use crate::model::name::{FileName, GroupId};
use std::time::{Duration, Instant};

/// The state of all downloads. Running ones come first, then those that began first.
pub(super) fn downloads(session: &LoginSession, now: Instant) -> Vec<DownloadStatus> {
    let mut all: Vec<_> = session.downloads().list().iter().map(|tracked| download(tracked, now)).collect();
    if session.node().link.tracker().is_none() {
        let down = Obstacle { user: None, why: "your own link is down: no tracker can be reached".to_owned() };
        all.iter_mut().for_each(|download| download.obstacles.insert(0, down.clone()));
    }
    all.sort_by_key(DownloadStatus::rank);
    all
}

/// The state of a download.
pub(super) fn download(tracked: &Tracked, now: Instant) -> DownloadStatus {
    let size = tracked.size.unwrap_or(0);
    let mut status = DownloadStatus {
        group: tracked.group.clone(),
        file: tracked.name.clone(),
        patterns: tracked.patterns.clone(),
        state: DownloadState::Running,
        done_bytes: None,
        total_bytes: size,
        speed: 0,
        peers: 0,
        left: None,
        members: Delivered::most_first(tracked.members.clone(), &tracked.ways),
        reused_bytes: tracked.reused,
        obstacles: Vec::new(),
    };
    match &tracked.phase {
        DownloadPhase::Starting => status.state = DownloadState::Checking,
        DownloadPhase::Running(download) => {
            let progress = download.progress(now);
            status.done_bytes = Some(progress.done);
            // A speed is not negative and far below 2^64.
            status.speed = progress.bytes_per_s as u64;
            status.peers = progress.peers;
            status.reused_bytes += progress.reused;
            let obstacle = |(user, why)| Obstacle { user: Some(user), why };
            status.obstacles = in_words(&download.obstacles()).into_iter().map(obstacle).collect();
            status.members = Delivered::most_first(tracked.with(download), &download.ways());
            let left = progress.total - progress.done - progress.arriving;
            status.left = (progress.bytes_per_s >= 1.0)
                .then(|| Duration::from_secs_f64((left as f64 / progress.bytes_per_s).min(1e9)));
        }
        DownloadPhase::Waiting { .. } => status.state = DownloadState::Waiting,
        DownloadPhase::Paused { done } => {
            status.state = DownloadState::Paused;
            status.done_bytes = *done;
        }
        DownloadPhase::Complete => {
            status.state = DownloadState::Completed;
            status.done_bytes = Some(size);
        }
        DownloadPhase::Failed(failure) => status.state = DownloadState::Failed(failure.clone()),
    }
    status
}

/// The current uploads to members: running ones first, then by group, file and member.
pub(super) fn uploads(session: &LoginSession) -> Vec<UploadStatus> {
    let node = session.node();
    let mut uploads = Vec::new();
    for served in node.catalog.list() {
        let taken = served.stats().list();
        let named = || {
            let group = node.keyring.name_of(served.group())?;
            Some((name_of(session, &group, served.info_hash())?, group))
        };
        // Most shares have no upload.
        let Some((file, group)) = (!taken.is_empty()).then(named).flatten() else {
            continue;
        };
        uploads.extend(taken.into_iter().map(|taken| UploadStatus {
            group: group.clone(),
            file: file.clone(),
            user: taken.user,
            way: taken.way,
            speed: taken.speed,
            given_bytes: taken.given,
        }));
    }
    let place =
        |upload: &UploadStatus| (upload.speed == 0, upload.group.clone(), upload.file.clone(), upload.user.clone());
    uploads.sort_by_cached_key(place);
    uploads
}

/// The shares here that are not whole, by group and file.
pub(super) fn incomplete_shares(session: &LoginSession) -> Vec<IncompleteShare> {
    let named = |((group, info_hash), standing): (ShareKey, Standing)| {
        let group = session.node().keyring.name_of(group)?;
        let file = name_of(session, &group, info_hash)?;
        let (partly, why) = match standing {
            Standing::Lacking(lack) => (lack.partly, lack.to_string()),
            Standing::Unknown | Standing::Served | Standing::Reading => (true, "is being read again".to_owned()),
        };
        Some(IncompleteShare { group, file, partly, why })
    };
    let mut shares: Vec<_> = session.upkeep().incomplete().into_iter().filter_map(named).collect();
    shares.sort_by(|a, b| (&a.group, &a.file).cmp(&(&b.group, &b.file)));
    shares
}

/// The name of some content in a group, from its share or its download.
fn name_of(session: &LoginSession, group: &GroupId, info_hash: InfoHash) -> Option<FileName> {
    let shares = session.slot().shares_of(info_hash).into_iter();
    let share = shares.filter(|share| share.group == *group).map(|share| share.name);
    let downloads = session.downloads().list().into_iter();
    let download = downloads.filter(|d| d.group == *group && d.info_hash == Some(info_hash)).map(|d| d.name);
    share.chain(download).next()
}
