//! The current state of a share's files: which pieces are right, and which ones must be read to tell.

use super::register::Checked;
use super::standing::{Lack, Reason};
use crate::client::hash::piece_hash::hash_in_order;
use crate::client::storage::piece_source::SourceError;
use crate::client::storage::shared_files::SharedFiles;
use crate::client::storage::sighting::{Sight, Sighting};
use crate::model::bitfield::Bitfield;
use crate::model::digest::Sha1Digest;
use crate::model::manifest::Manifest;
use crate::model::piece::PieceIndex;
use crate::sys;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The number of pieces to read before the thread looks for other work.
const STEP: usize = 32;

/// The files of a share, as one look has found them.
pub(super) struct Inspection {
    pub source: Arc<SharedFiles>,
    manifest: Arc<Manifest>,
    sighting: Sighting,
    /// A digest of everything that the look has seen.
    pub seen: Sha1Digest,
    /// The pieces to give to others: those that are right as far as is known.
    pub right: Bitfield,
    /// The pieces to read, in falling order.
    to_read: Vec<PieceIndex>,
    /// The pieces in holes of the files. Found only when pieces are read.
    holes: Option<Bitfield>,
    /// Whether every existing piece is read.
    thorough: bool,
    /// The files at the time when pieces were last found right.
    before: Option<Arc<SharedFiles>>,
    /// Pieces that the system could not read, with the reason.
    unreadable: BTreeMap<PieceIndex, String>,
}

impl Inspection {
    /// Looks at the files of a share that lies at `root`.
    pub(super) fn begin(root: &Path, manifest: Arc<Manifest>) -> Self {
        let layout = manifest.layout();
        let sighting = Sighting::take(root, manifest.files());
        let source = Arc::new(SharedFiles::seen(root.to_path_buf(), manifest.files(), layout, &sighting));
        let seen = sighting.digest();
        Self {
            source,
            manifest,
            sighting,
            seen,
            right: Bitfield::none(layout),
            to_read: Vec::new(),
            holes: None,
            thorough: false,
            unreadable: BTreeMap::new(),
            before: None,
        }
    }

    /// What this look has seen of the files.
    pub(super) fn sighting(&self) -> &Sighting {
        &self.sighting
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Takes all pieces as right, because the files look as they did when they were hashed.
    pub(super) fn trust(&mut self) {
        self.right = Bitfield::all(self.manifest.layout());
    }

    /// Compares the files with the earlier look. Pieces of files that have not changed since are right, unless
    /// `doubted`. All other existing pieces must be read.
    pub(super) fn compare(&mut self, before: Option<&Checked>, doubted: bool) {
        for piece in self.manifest.layout().indexes() {
            if self.source.files_of(piece).any(|file| self.source.stamp(file).is_none()) {
                continue;
            }
            let same = |before: &&Checked| {
                let unchanged = |file| before.source.stamp(file) == self.source.stamp(file);
                before.have.has(piece) && self.source.files_of(piece).all(unchanged)
            };
            let right = before.filter(same).is_some();
            if right {
                self.right.insert(piece);
            }
            if doubted || !right {
                self.to_read.push(piece);
            }
        }
        self.to_read.reverse();
        (self.thorough, self.before) = (doubted, before.map(|before| before.source.clone()));
    }

    /// Whether every existing piece is read, even those that were right before.
    pub(super) fn is_thorough(&self) -> bool {
        self.thorough
    }

    /// Whether some pieces have to be read.
    pub(super) fn must_read(&self) -> bool {
        !self.to_read.is_empty()
    }

    /// Reads some of the pieces. Returns false once all are read, or if `cancel` is set.
    pub(super) fn step(&mut self, cancel: &AtomicBool) -> bool {
        let pieces = self.to_read.split_off(self.to_read.len().saturating_sub(STEP));
        let (source, manifest, unreadable) = (&self.source, &self.manifest, &mut self.unreadable);
        let holes = &*self.holes.get_or_insert_with(|| source.holes());
        let read = |piece, buffer: &mut [u8]| source.read_unless_hole(holes, piece, buffer);
        let mut right = Vec::new();
        let flow = hash_in_order(
            manifest.layout(),
            pieces.into_iter().rev(),
            read,
            || false,
            |piece, outcome| {
                if let Err(SourceError::Io(_, error)) = &outcome {
                    unreadable.insert(piece, sys::reason(error));
                }
                right.push((piece, outcome.is_ok_and(|read| read.sha1 == manifest.pieces()[piece.as_usize()])));
                if cancel.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        for (piece, right) in right {
            match right {
                true => self.right.insert(piece),
                false => self.right.remove(piece),
            };
        }
        flow.is_continue() && self.must_read()
    }

    /// The pieces that are known to be right by now.
    pub(super) fn checked(&self) -> Checked {
        Checked { source: self.source.clone(), have: self.right.clone() }
    }

    /// Whether all files are there and all pieces are right.
    pub(super) fn is_whole(&self) -> bool {
        self.right.is_complete() && self.sighting.stamps().is_some()
    }

    /// What is missing or wrong, if anything.
    pub(super) fn lack(&self) -> Option<Lack> {
        let away = self.sighting.0.iter().enumerate().filter_map(|(file, seen)| Some((file, reason(seen)?)));
        let mut lacking: BTreeMap<usize, Reason> = away.collect();
        let wrong = self.manifest.layout().indexes().filter(|&piece| !self.right.has(piece));
        // A piece within one file tells which file has changed, so these pieces come first.
        let (inside, across): (Vec<_>, Vec<_>) = wrong.partition(|&piece| self.source.files_of(piece).count() == 1);
        for piece in inside.into_iter().chain(across) {
            if self.source.files_of(piece).all(|file| !lacking.contains_key(&file)) {
                let unreadable = self.unreadable.get(&piece).cloned().map(Reason::Unreadable);
                let reason = unreadable.unwrap_or(Reason::Changed);
                lacking.extend(self.changed_file_of(piece).map(|file| (file, reason)));
            }
        }
        let files = lacking.len();
        let (file, reason) = lacking.pop_first()?;
        Some(Lack { path: self.source.path(file), reason, files, partly: !self.right.is_empty() })
    }

    /// The changed file of a wrong piece: one that looks different from before, or else the one written last.
    fn changed_file_of(&self, piece: PieceIndex) -> Option<usize> {
        self.source.files_of(piece).max_by_key(|&file| {
            let now = self.source.stamp(file);
            let changed = self.before.as_ref().is_some_and(|before| before.stamp(file) != now);
            (changed, now.map(|stamp| stamp.modified))
        })
    }
}

/// Why the client cannot give a file to others that was seen in this state.
pub(super) fn reason(seen: &Sight) -> Option<Reason> {
    match seen {
        Sight::File(..) => None,
        Sight::Other(..) => Some(Reason::Changed),
        Sight::Link => Some(Reason::Link),
        Sight::Gone => Some(Reason::Gone),
        Sight::Unreadable(why) => Some(Reason::Unreadable(why.clone())),
    }
}
