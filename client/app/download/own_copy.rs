//! Copies of a download that the user already shares from another place on this machine.

use crate::client::app::login_session::LoginSession;
use crate::client::download::transfer::Subject;
use crate::client::download::verify::{Verified, fill_from, fill_part_from, verify_existing};
use crate::client::storage::part::Part;
use crate::client::storage::shared_files::SharedFiles;
use crate::client::storage::sighting::Sighting;
use std::path::PathBuf;
use std::sync::Arc;

/// A copy of the content. The client verifies the content only after it has copied it.
pub(super) struct OwnCopy {
    path: PathBuf,
    source: SharedFiles,
}

/// Finds the existing copies, in any group. For a selection of files, copies of the whole folder count.
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

/// Verifies the rest of an earlier run, and takes the right pieces from the copies. Returns `None` if the session ends
/// meanwhile.
pub(super) fn verify_and_fill(
    session: &LoginSession,
    subject: &Subject,
    part: &Part,
    copies: &[OwnCopy],
) -> Option<Verified> {
    if let Some(copy) = copies.first().filter(|_| part.is_fresh() && subject.selection.is_none()) {
        // The loop below reads what the kernel does not copy, piece by piece.
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
