//! Where a start begins to read: the journal's bases, checkpoints and segments, and which are missing.

use super::base::{self, BaseMark};
use super::checkpoint;
use super::disk::Disk;
use super::error::{JournalError, io_error};
use super::segment;
use super::segment::{RECORDS_AT, SegmentPlace};
use super::walk::{Verdict, WalkStart, judge, walk};
use crate::sys;
use crate::tracker::state::State;
use std::fmt;
use std::io;

/// The files of a journal.
pub(super) struct JournalFiles {
    /// The first record of each segment, in order.
    pub(super) segments: Vec<u64>,
    /// The last record before each checkpoint, the latest first.
    pub(super) checkpoints: Vec<u64>,
    /// The floor of each base, the newest first.
    pub(super) bases: Vec<u64>,
}

/// A fold of ops, and the place where the ops after it begin.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) place: SegmentPlace,
    pub(super) state: State,
    /// The base that it contains, and the digest of that base.
    pub(super) base: BaseMark,
    pub(super) digest: [u8; 32],
    /// The last record before the checkpoint that it comes from.
    pub(super) checkpoint: Option<u64>,
}

/// Where a start begins.
pub(super) struct StartPoint {
    pub(super) ground: Ground,
    /// The base under `ground`, without a checkpoint.
    pub(super) base: Ground,
    /// The index of the segment to read first. An error if that segment is missing: its first record.
    pub(super) first: Result<usize, u64>,
    /// The bases and checkpoints that the start does not use, and why.
    pub(super) passed_over: Vec<String>,
    /// Those of them that no start can use.
    pub(super) useless: Vec<String>,
    /// The latest sound base or checkpoint that no segment follows.
    pub(super) cut_off: Option<Ground>,
}

/// A file that a start does not need is missing or damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacking {
    /// Other trackers may need it.
    ForOthers(String),
    /// A start needs it if the newest base is damaged.
    ForOlderBase(String),
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lacking::ForOthers(what) => write!(
                f,
                "{what}; this tracker knows what those changes have led to, but can neither give them to other trackers \
                 nor take changes that belong before them; put the file back, or restore a backup"
            ),
            Lacking::ForOlderBase(what) => write!(
                f,
                "{what}; the newest base does not need it, but no start can go back to an older one; put the file back, \
                 or drop what is older with tracker --repair"
            ),
        }
    }
}

impl StartPoint {
    /// A start that uses the newest files.
    pub(super) fn at(ground: Ground, base: Ground, first: Result<usize, u64>) -> Self {
        Self { ground, base, first, passed_over: Vec::new(), useless: Vec::new(), cut_off: None }
    }
}

impl Ground {
    /// Before the first op.
    pub(super) fn birth() -> Self {
        let base = BaseMark::BIRTH;
        Self { place: base.place, state: State::new(), base, digest: [0; 32], checkpoint: None }
    }

    /// The file that it comes from.
    pub(super) fn file(&self) -> String {
        self.checkpoint.map_or_else(|| base::name(self.base.lamport), checkpoint::name)
    }
}

impl JournalFiles {
    pub(super) fn list(disk: &dyn Disk) -> Result<Self, JournalError> {
        let names = disk.list().map_err(io_error(disk, "", "read the folder"))?;
        let mut segments: Vec<u64> = names.iter().filter_map(|name| segment::first_seq(name)).collect();
        segments.sort_unstable();
        let checkpoints = checkpoint::all(disk).map_err(io_error(disk, "", "read the folder"))?;
        let bases = base::all(disk).map_err(io_error(disk, "", "read the folder"))?;
        Ok(Self { segments, checkpoints, bases })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.checkpoints.is_empty() && self.bases.is_empty()
    }

    /// The segment that begins with a record.
    pub(super) fn segment(&self, first_seq: u64) -> Result<usize, u64> {
        self.segments.binary_search(&first_seq).map_err(|_| first_seq)
    }

    /// Begins with the newest base that is sound and has a segment after it, or else at birth. With `checkpoints`,
    /// prefers a checkpoint on top of that base.
    ///
    /// # Errors
    /// A base is of another version.
    pub(super) fn latest(&self, disk: &dyn Disk, checkpoints: bool) -> Result<StartPoint, JournalError> {
        let mut search =
            Search { files: self, disk, checkpoints, passed_over: Vec::new(), useless: Vec::new(), cut_off: None };
        let mut found = None;
        for &lamport in &self.bases {
            if found.is_none() {
                let sound = search.read_base(lamport)?;
                found = sound.and_then(|base| search.on(base));
            }
        }
        let birth = Ground::birth();
        if found.is_none() && search.is_whole() {
            found = search.on(birth.clone());
        }
        let Search { mut passed_over, useless, cut_off, .. } = search;
        if found.is_none() && self.bases.is_empty() && cut_off.is_none() {
            passed_over.insert(0, "no base takes its place".to_owned());
        }
        let missing = cut_off.as_ref().map_or(1, |ground| ground.place.first_seq);
        let (ground, base, first) = match found {
            Some((ground, base, first)) => (ground, base, Ok(first)),
            None => (birth.clone(), birth, Err(missing)),
        };
        Ok(StartPoint { ground, base, first, passed_over, useless, cut_off })
    }

    /// The sound base before one, or birth. `None` if there is no older place to go back to.
    ///
    /// # Errors
    /// A base is of another version.
    pub(super) fn before(&self, disk: &dyn Disk, base: BaseMark) -> Result<Option<StartPoint>, JournalError> {
        let mut search = Search {
            files: self,
            disk,
            checkpoints: false,
            passed_over: Vec::new(),
            useless: Vec::new(),
            cut_off: None,
        };
        if base.place.is_beginning {
            return Ok(None);
        }
        let older = self.bases.iter().find(|&&lamport| lamport < base.lamport);
        let ground = match older {
            Some(&older) => search.read_base(older)?,
            None => Some(Ground::birth()).filter(|_| base != BaseMark::BIRTH && search.is_whole()),
        };
        let found = ground.and_then(|ground| search.on(ground));
        Ok(found.map(|(ground, base, first)| StartPoint::at(ground, base, Ok(first))))
    }

    /// The first record that the journal must have below a base, so that a start can go back to the previous base.
    fn first_record(&self, disk: &dyn Disk, base: BaseMark) -> u64 {
        let older = self.bases.iter().find(|&&lamport| lamport < base.lamport);
        match older {
            // There is no older place to go back to.
            _ if base.place.is_beginning => base.place.first_seq,
            // A base without a sound head is not used.
            Some(&older) => base::place(disk, older).map_or(base.place.first_seq, |place| place.first_seq),
            None if self.segments.first() == Some(&1) => 1,
            // A repair has removed the records below.
            None => base.place.first_seq,
        }
    }

    /// What is missing before the segment with which a start begins. Reads only the front pages of sound segments.
    pub(super) fn lacking(&self, disk: &dyn Disk, start: &StartPoint, first: usize) -> Vec<Lacking> {
        let base = start.ground.base;
        let needed = base.place.first_seq;
        let first_record = self.first_record(disk, base).min(needed);
        let behind = self.segments.get(first).copied().unwrap_or(needed);
        let mut out = Vec::new();
        out.extend(self.gap_between(disk, needed, behind).map(Lacking::ForOthers));
        out.extend(self.gap_between(disk, first_record, needed).map(Lacking::ForOlderBase));
        out
    }

    /// What is wrong with the segments from one place up to another.
    fn gap_between(&self, disk: &dyn Disk, from: u64, to: u64) -> Option<String> {
        if from == to {
            return None;
        }
        let Ok(first) = self.segment(from) else { return Some(missing(disk, from)) };
        let end = self.segment(to).unwrap_or(self.segments.len() - 1);
        self.segments[first..=end].windows(2).find_map(|pair| {
            gap(disk, pair[0], pair[1]).unwrap_or_else(|error| {
                let path = disk.path(&segment::name(pair[0]));
                Some(format!("{} cannot be read: {}", path.display(), sys::reason(&error)))
            })
        })
    }
}

/// The search for the place where a start begins.
struct Search<'a> {
    files: &'a JournalFiles,
    disk: &'a dyn Disk,
    checkpoints: bool,
    passed_over: Vec<String>,
    useless: Vec<String>,
    cut_off: Option<Ground>,
}

impl Search<'_> {
    /// Reads a base. `None` if it is damaged.
    fn read_base(&mut self, lamport: u64) -> Result<Option<Ground>, JournalError> {
        let path = self.disk.path(&base::name(lamport));
        match base::read(self.disk, lamport) {
            Ok((place, state)) => {
                let (base, digest) = (BaseMark::of(&state, place), base::mark(&state).base);
                Ok(Some(Ground { place, state, base, digest, checkpoint: None }))
            }
            Err(why) if why.is_foreign() => Err(JournalError::Foreign { path, why }),
            Err(why) => {
                self.passed_over.push(format!("the base {} {why}; it is passed over", path.display()));
                self.useless.extend(why.is_damage().then(|| base::name(lamport)));
                Ok(None)
            }
        }
    }

    /// Whether a journal that has lost its bases still has every op. A journal that began with the base of another
    /// tracker numbers its batches from 2.
    fn is_whole(&self) -> bool {
        let front = || self.disk.read_part(&segment::name(1), 0..RECORDS_AT as u64).ok();
        self.files.bases.is_empty()
            || front().is_some_and(|front| segment::header(&front).is_ok_and(|header| header.first_batch == 1))
    }

    /// Begins with a checkpoint on top of a base, or with the base.
    fn on(&mut self, base: Ground) -> Option<(Ground, Ground, usize)> {
        let files = self.files;
        let checkpoints = if self.checkpoints { &*files.checkpoints } else { &[] };
        for &seq in checkpoints.iter().filter(|&&seq| seq > base.base.needed()) {
            let path = self.disk.path(&checkpoint::name(seq));
            let path = path.display();
            match checkpoint::read(self.disk, seq) {
                Ok((position, state)) if state.floor() == base.base.lamport => {
                    let place = SegmentPlace::behind(position);
                    let ground = Ground { place, state, checkpoint: Some(seq), ..base.clone() };
                    match files.segment(place.first_seq) {
                        Ok(first) => return Some((ground, base, first)),
                        Err(behind) => self.pass_over("checkpoint", ground, behind),
                    }
                }
                // A crash left it behind when the floor rose. The next floor removes it.
                Ok((_, state)) if state.floor() < base.base.lamport => {}
                // It belongs to a base that the start does not use.
                Ok((_, state)) if files.bases.contains(&state.floor()) => self.useless.push(checkpoint::name(seq)),
                Ok((_, state)) => {
                    self.useless.push(checkpoint::name(seq));
                    let missing = self.disk.path(&base::name(state.floor()));
                    let missing = missing.display();
                    self.note(format!("the checkpoint {path} is passed over because its base {missing} is missing"));
                }
                Err(why) => {
                    self.useless.extend(why.is_damage().then(|| checkpoint::name(seq)));
                    self.note(format!("the checkpoint {path} {why}; it is passed over"));
                }
            }
        }
        match files.segment(base.place.first_seq) {
            Ok(first) => Some((base.clone(), base, first)),
            Err(behind) if base.base != BaseMark::BIRTH => {
                self.pass_over("base", base, behind);
                None
            }
            Err(_) => None,
        }
    }

    fn pass_over(&mut self, kind: &str, ground: Ground, behind: u64) {
        let (path, missing) = (self.disk.path(&ground.file()), missing(self.disk, behind));
        self.note(format!(
            "the {kind} {} is passed over because {missing}; changes that were acknowledged may be gone",
            path.display()
        ));
        self.cut_off.get_or_insert(ground);
    }

    fn note(&mut self, line: String) {
        if !self.passed_over.contains(&line) {
            self.passed_over.push(line);
        }
    }
}

/// Says that a segment is missing.
pub(super) fn missing(disk: &dyn Disk, first_seq: u64) -> String {
    format!("{} is missing", disk.path(&segment::name(first_seq)).display())
}

/// What is wrong between the beginning of a segment and that of the next one.
fn gap(disk: &dyn Disk, this: u64, next: u64) -> io::Result<Option<String>> {
    let name = segment::name(this);
    let front_of = |name: &str| disk.read_part(name, 0..RECORDS_AT as u64);
    let front = front_of(&name)?;
    // An unreadable segment is reported when its turn comes.
    let next_header = front_of(&segment::name(next)).map(|front| segment::header(&front));
    let path = disk.path(&name);
    let Ok(header) = segment::header(&front) else {
        return Ok(Some(format!("{} has no sound header", path.display())));
    };
    let marked = segment::marks(&front).latest.map(|mark| mark.batch + 1);
    if matches!(next_header, Ok(Ok(next)) if Some(next.first_batch) == marked) {
        return Ok(None);
    }
    // A repair or a damaged mark may cause this. The records decide.
    let bytes = disk.read(&name)?;
    let walk = walk(&bytes, WalkStart::of(&header, None), Some(next), |_| true);
    let reached = walk.last.seq + 1;
    Ok(match judge(&bytes, &walk, segment::marks(&bytes).latest) {
        _ if reached == next => None,
        Verdict::End => Some(missing(disk, reached)),
        Verdict::Torn(_) | Verdict::Damage(_) => Some(format!("{} is damaged at byte {}", path.display(), walk.end)),
    })
}
