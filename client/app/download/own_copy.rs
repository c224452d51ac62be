//! Copies of a download that lie on this machine already, since the user shares them from elsewhere.

use crate::client::app::login_session::LoginSession;
use crate::client::download::transfer::Subject;
use crate::client::download::verify::{Verified, fill_from, fill_part_from, verify_existing};
use crate::client::storage::part::Part;
use crate::client::storage::shared_files::SharedFiles;
use crate::client::storage::sighting::Sighting;
use std::path::PathBuf;
use std::sync::Arc;

/// A copy of the content. Whether it is right shows when it is copied.
pub(super) struct OwnCopy {
    path: PathBuf,
    source: SharedFiles,
}

/// The copies of which something is there, in any group. Of a part of a folder those of all of it.
pub(super) fn find(session: &LoginSession, subject: &Subject) -> Vec<OwnCopy> {
    let whole = match &subject.selection {
        None => subject.manifest.clone(),
        Some(_) => match session.slot().manifest(&subject.content.info_hash) {
            Ok(Some(whole)) => Arc::new(whole),
            _ => return Vec::new(),
        },
    };
    let (files, layout) = (whole.files(), subject.content.layout);
    let shares = session.slot().shares_of(subject.content.info_hash).into_iter();
    let copies = shares.filter_map(|share| {
        let sighting = Sighting::take(&share.path, files);
        let source = SharedFiles::seen(share.path.clone(), files, layout, &sighting);
        (0..files.len()).any(|file| source.stamp(file).is_some()).then_some(OwnCopy { path: share.path, source })
    });
    copies.collect()
}

/// Verifies what an earlier run has left, and takes what is right of the copies. `None` if the session ends meanwhile.
pub(super) fn verify_and_fill(
    session: &LoginSession,
    subject: &Subject,
    part: &Part,
    copies: &[OwnCopy],
) -> Option<Verified> {
    if let Some(copy) = copies.first().filter(|_| part.is_fresh() && subject.selection.is_none()) {
        // What the kernel does not copy is read piece by piece below.
        let _ = part.copy_from(&copy.path, session.over());
    }
    let mut verified = verify_existing(part, session.over())?;
    for copy in copies {
        match &subject.selection {
            None => fill_from(part, &copy.source, &mut verified, session.over()),
            Some(meant) => {
                let source = (&copy.source, |piece| meant.outer(piece));
                fill_part_from(part, source, &mut verified, session.over());
            }
        }
    }
    (!session.is_over()).then_some(verified)
}
