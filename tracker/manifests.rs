//! The manifests that this tracker has, as files named by their info hash. A manifest is there only if it is whole,
//! checked and durable. A look-up notices what the disk has lost or damaged since; the tracker asks the others for it.

mod facts;
mod folder;
pub(crate) mod inspection;
mod lens;
mod missing;
pub(crate) mod sweep;

pub(crate) use facts::ManifestFacts;
pub(crate) use folder::ManifestsError;
pub(crate) use lens::ManifestLens;
pub(crate) use missing::MissingCounts;

use crate::model::digest::InfoHash;
use crate::sys;
use crate::sys::durable;
use crate::sys::files::{self, Open};
use crate::wire::client_tracker::MANIFEST_PART_MAX;
use crate::wire::manifest::MANIFEST_LEN_MAX;
use crate::wire::refusal::{Code, Refusal};
use crossbeam_channel::{Receiver, Sender, bounded};
use facts::{bad, begins_as_older, read_facts, unavailable};
use folder::{ADOPTED, AWAITED_SUFFIX, FolderContents, TEMP_SUFFIX};
use lens::ReservedRoom;
use missing::{Absence, MissingManifests};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use sweep::{LastUses, ManifestSweep, Unused};

/// The folder in a data folder.
pub(crate) const FOLDER: &str = "manifests";
/// Facts that are remembered: a share that follows its manifest needs no second look at the file.
const FACTS_MAX: usize = 1024;
/// From so many manifests on, one sync of the whole file system takes the place of one for each.
const MANY: usize = 32;
/// How long an upload waits for its turn to be checked.
const CHECK_WAIT: Duration = Duration::from_secs(30);
/// How long an upload waits for its next part.
const PART_WAIT: Duration = Duration::from_secs(60);
/// How long an upload may take.
const UPLOAD_MAX: Duration = Duration::from_secs(3600);

/// The length of a manifest. Only those of at most 128 MiB are stored.
fn len(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The manifests that this tracker has.
#[derive(Debug)]
pub struct Manifests {
    folder: PathBuf,
    handle: File,
    /// Counts uploads, whose files are numbered.
    uploads: AtomicU64,
    facts: Mutex<HashMap<InfoHash, (FileIdentity, ManifestFacts)>>,
    missing: MissingManifests,
    uses: LastUses,
    lens: Arc<ManifestLens>,
    /// Holds one token. Whoever takes it may read a whole manifest into memory, which can take twice 128 MiB.
    turn: (Sender<()>, Receiver<()>),
}

/// Tells whether a file is still the one that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

impl FileIdentity {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { inode: found.ino(), len: found.len(), modified: (found.mtime(), found.mtime_nsec()) })
    }
}

/// A manifest on its way in. Dropping it removes its file.
#[derive(Debug)]
pub struct ManifestUpload {
    info_hash: InfoHash,
    total: u32,
    written: u32,
    file: File,
    place: UploadPlace,
    room: ReservedRoom,
    begun: Instant,
    /// When its last part came.
    heard: Instant,
}

impl ManifestUpload {
    /// Whether it takes too long: it holds room that others may need.
    pub fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) >= PART_WAIT
            || now.saturating_duration_since(self.begun) >= UPLOAD_MAX
    }
}

/// The file of an upload. Dropping it removes the file, unless it has got its final name.
#[derive(Debug)]
struct UploadPlace(PathBuf);

impl Drop for UploadPlace {
    fn drop(&mut self) {
        // Fails if the file has got its final name.
        let _ = fs::remove_file(&self.0);
    }
}

/// A manifest that is whole and valid, but not durable yet. Dropping it removes its file unless it was kept. Many wait
/// together, so none has its file open.
#[derive(Debug)]
pub struct CheckedManifest {
    info_hash: InfoHash,
    place: UploadPlace,
    identity: FileIdentity,
    facts: ManifestFacts,
    room: ReservedRoom,
}

impl CheckedManifest {
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }
}

/// One part of a manifest, as a client sends it.
#[derive(Debug, Clone, Copy)]
pub struct ManifestPart<'a> {
    pub info_hash: InfoHash,
    /// Length of the whole in bytes.
    pub total: u32,
    pub offset: u32,
    pub bytes: &'a [u8],
}

impl Manifests {
    /// Opens the manifests in a folder. Removes the uploads that did not become whole in an earlier run. Those that are
    /// `listed` and not there are missing: awaited if an earlier run never got them, or if the shares have just been
    /// `adopted` with the base of another tracker; lost otherwise.
    ///
    /// # Errors
    /// The folder cannot be read or changed.
    pub fn open(folder: &Path, listed: impl Iterator<Item = InfoHash>, adopted: bool) -> Result<Self, ManifestsError> {
        let found = FolderContents::of(folder)?;
        for path in &found.unfinished {
            fs::remove_file(path).map_err(ManifestsError::of(path, "remove"))?;
        }
        let missing = MissingManifests::default();
        let mut awaited = String::new();
        for info_hash in listed.filter(|info_hash| !found.has(*info_hash)) {
            let is_awaited = adopted || found.awaits(info_hash);
            missing.note(info_hash, if is_awaited { Absence::Awaited } else { Absence::Lost });
            if is_awaited {
                awaited.push_str(&format!("{info_hash}\n"));
            }
        }
        if adopted {
            // One file: a mark for each would take longer than the manifests themselves.
            let path = folder.join(ADOPTED);
            durable::replace(&path, awaited.as_bytes()).map_err(ManifestsError::of(&path, "write"))?;
        }
        let len =
            |info_hash: InfoHash| fs::metadata(folder.join(info_hash.to_string())).map_or(0, |file| len(file.len()));
        let lens = ManifestLens::of_files(found.there.iter().map(|info_hash| (*info_hash, len(*info_hash))));
        let turn = bounded(1);
        // There is room for it.
        let _ = turn.0.send(());
        Ok(Self {
            folder: folder.to_path_buf(),
            handle: files::open_folder(folder).map_err(ManifestsError::of(folder, "open the folder"))?,
            uploads: AtomicU64::new(0),
            facts: Mutex::default(),
            missing,
            uses: LastUses::default(),
            lens: Arc::new(lens),
            turn,
        })
    }

    /// How long the manifests are that are here.
    pub fn lens(&self) -> &Arc<ManifestLens> {
        &self.lens
    }

    fn path(&self, info_hash: InfoHash) -> PathBuf {
        self.folder.join(info_hash.to_string())
    }

    fn awaited_path(&self, info_hash: InfoHash) -> PathBuf {
        self.folder.join(format!("{info_hash}{AWAITED_SUFFIX}"))
    }

    /// Takes the next part of a manifest, and makes the manifest durable after the last one. The first part reserves
    /// room for the whole, if `ask` allows what all manifests take then.
    ///
    /// # Errors
    /// Those of [`Manifests::take`] and [`Manifests::keep`], and those of `ask`.
    pub fn put(
        &self,
        upload: &mut Option<ManifestUpload>,
        part: ManifestPart<'_>,
        ask: impl Fn(u64) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.take_within(upload, part, ask)?.map_or(Ok(()), |checked| self.keep(&[checked]))
    }

    /// Takes the next part of a manifest. Parts come in order; the first one begins the upload anew. Throws away parts
    /// of a manifest that is here already. Checks the manifest after the last part and returns it, for
    /// [`Manifests::keep`].
    ///
    /// # Errors
    /// `BadManifest` if a part does not follow the one before or the whole is not valid, `SlowDown`,
    /// `Unavailable` if the disk does not take it. After any of them the upload has to begin anew.
    pub fn take(
        &self,
        upload: &mut Option<ManifestUpload>,
        part: ManifestPart<'_>,
    ) -> Result<Option<CheckedManifest>, Refusal> {
        self.take_within(upload, part, |_| Ok(()))
    }

    fn take_within(
        &self,
        upload: &mut Option<ManifestUpload>,
        part: ManifestPart<'_>,
        ask: impl Fn(u64) -> Result<(), Refusal>,
    ) -> Result<Option<CheckedManifest>, Refusal> {
        if part.total as usize > MANIFEST_LEN_MAX {
            return Err(bad("it is too large"));
        }
        // Only a first part is paid for, and counts as a use.
        let is_here = if part.offset == 0 { self.is_in_use(part.info_hash) } else { self.has(part.info_hash) };
        if is_here.map_err(|error| unavailable(&error))? {
            *upload = None;
            self.arrived(part.info_hash);
            return Ok(None);
        }
        let mut current = match upload.take() {
            Some(current) if part.offset > 0 => current,
            _ if part.offset == 0 => {
                let room = self.lens.reserve(part.total, ask)?;
                self.begin((part.info_hash, part.total), room).map_err(|error| unavailable(&error))?
            }
            _ => return Err(bad("its first part is missing")),
        };
        // No overflow: a part has at most 512 KiB, and what was written is at most the total.
        let end = current.written + part.bytes.len().min(MANIFEST_PART_MAX) as u32;
        let follows = (current.info_hash, current.total, current.written) == (part.info_hash, part.total, part.offset);
        if !follows || part.bytes.is_empty() || end > current.total {
            return Err(bad("its parts do not follow each other"));
        }
        current.file.write_all(part.bytes).map_err(|error| unavailable(&error))?;
        (current.written, current.heard) = (end, Instant::now());
        if current.written == current.total {
            let facts = self.examine(&current.file, current.info_hash)?;
            sys::start_write_back(&current.file);
            let identity = FileIdentity::of(&current.file).map_err(|error| unavailable(&error))?;
            let ManifestUpload { info_hash, place, room, .. } = current;
            return Ok(Some(CheckedManifest { info_hash, place, identity, facts, room }));
        }
        *upload = Some(current);
        Ok(None)
    }

    fn begin(&self, (info_hash, total): (InfoHash, u32), room: ReservedRoom) -> io::Result<ManifestUpload> {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{info_hash}.{number}{TEMP_SUFFIX}"));
        let file = files::open_file(&path, Open::New(0o600))?;
        let (place, now) = (UploadPlace(path), Instant::now());
        Ok(ManifestUpload { info_hash, total, written: 0, file, place, room, begun: now, heard: now })
    }

    /// Makes manifests durable and gives them their names. Not `durable::replace`: they came in parts, and all share
    /// one sync of the folder.
    ///
    /// # Errors
    /// `Unavailable` if the disk does not take one of them. Any of them may be here all the same.
    pub fn keep(&self, lot: &[CheckedManifest]) -> Result<(), Refusal> {
        let keep = || {
            self.sync(lot)?;
            self.uses.note_all(lot.iter().map(|checked| checked.info_hash));
            for CheckedManifest { info_hash, place, identity, facts, room } in lot {
                fs::rename(&place.0, self.path(*info_hash))?;
                self.remember(*info_hash, *identity, facts.clone());
                room.fill(*info_hash, len(identity.len));
            }
            files::sync_folder(&self.handle)
        };
        keep().map_err(|error| unavailable(&error))?;
        lot.iter().for_each(|checked| self.arrived(checked.info_hash));
        Ok(())
    }

    /// Makes the bytes of these manifests durable. A sync of the whole file system may wait for files of other programs,
    /// and many files wait longer for one sync each.
    fn sync(&self, lot: &[CheckedManifest]) -> io::Result<()> {
        if lot.len() >= MANY {
            return files::sync_file_system(&self.handle);
        }
        lot.iter().try_for_each(|checked| files::open_file(&checked.place.0, Open::Write)?.sync_all())
    }

    fn arrived(&self, info_hash: InfoHash) {
        // Fails if the manifest was not awaited. A file that stays is passed over while the manifest is there.
        let _ = fs::remove_file(self.awaited_path(info_hash));
        self.missing.arrived(info_hash);
    }

    /// Reads and checks a whole manifest, one at a time.
    fn examine(&self, file: &File, info_hash: InfoHash) -> Result<ManifestFacts, Refusal> {
        let (give, take) = &self.turn;
        take.recv_timeout(CHECK_WAIT).map_err(|_| Code::SlowDown)?;
        let facts = read_facts(file, info_hash);
        give.send(()).map_err(|_| Code::Unavailable)?;
        facts
    }

    fn remember(&self, info_hash: InfoHash, identity: FileIdentity, facts: ManifestFacts) {
        let mut known = self.facts.lock();
        if known.len() >= FACTS_MAX {
            // They can all be read again.
            known.clear();
        }
        known.insert(info_hash, (identity, facts));
    }

    /// Whether a manifest is here.
    ///
    /// # Errors
    /// The disk does not answer.
    pub fn has(&self, info_hash: InfoHash) -> io::Result<bool> {
        self.path(info_hash).try_exists()
    }

    /// Whether a manifest is here, which counts as its use: its share may be on its way.
    fn is_in_use(&self, info_hash: InfoHash) -> io::Result<bool> {
        let found = self.uses.note_if(info_hash, || Ok(self.has(info_hash)?.then_some(())))?;
        Ok(found.is_some())
    }

    /// Keeps a manifest that is here for a share that is on its way. False if it is not here. If nobody has paid for it
    /// of late, `pay` counts its length.
    ///
    /// # Errors
    /// `Unavailable`, and those of `pay`.
    pub fn keep_for_share(
        &self,
        info_hash: InfoHash,
        pay: impl FnOnce(u64) -> Result<(), Refusal>,
    ) -> Result<bool, Refusal> {
        let look = || {
            let is_here = self.has(info_hash).map_err(|error| unavailable(&error))?;
            Ok(is_here.then(|| self.lens.look(|len_of| len_of(info_hash))))
        };
        self.uses.note_paid(info_hash, look, pay)
    }

    /// What a manifest says; `None` if it is not here. Removes a damaged one, so that it can come in again.
    ///
    /// # Errors
    /// `Unavailable`, `SlowDown`.
    pub fn facts(&self, info_hash: InfoHash) -> Result<Option<ManifestFacts>, Refusal> {
        Ok(self.sound(info_hash)?.map(|(_, facts)| facts))
    }

    /// A manifest that is as it should be, and what it says.
    fn sound(&self, info_hash: InfoHash) -> Result<Option<(File, ManifestFacts)>, Refusal> {
        let open = || match File::open(self.path(info_hash)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let Some(file) = open().map_err(|error| unavailable(&error))? else { return Ok(None) };
        let identity = FileIdentity::of(&file).map_err(|error| unavailable(&error))?;
        let known = self.facts.lock().get(&info_hash).filter(|(known, _)| *known == identity).cloned();
        if let Some((_, facts)) = known {
            return Ok(Some((file, facts)));
        }
        match self.examine(&file, info_hash) {
            Ok(facts) => {
                self.remember(info_hash, identity, facts.clone());
                Ok(Some((file, facts)))
            }
            // Another version of the program has no use for it either.
            Err(refusal) if refusal.code == Code::BadManifest && !begins_as_older(&file) => {
                fs::remove_file(self.path(info_hash)).map_err(|error| unavailable(&error))?;
                self.lens.remove(info_hash);
                self.missing.note(info_hash, Absence::Lost);
                Ok(None)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// The length of a manifest and a part of it, as long as one message carries; empty at the end. `None` if it is not
    /// here or was damaged.
    ///
    /// # Errors
    /// `Unavailable`, `SlowDown`.
    pub fn read(&self, info_hash: InfoHash, offset: u32) -> Result<Option<(u32, Vec<u8>)>, Refusal> {
        let Some((file, _)) = self.sound(info_hash)? else { return Ok(None) };
        let read = || {
            // Only manifests of at most 128 MiB have been stored.
            let total = u32::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
            let mut part = vec![0; (total.saturating_sub(offset) as usize).min(MANIFEST_PART_MAX)];
            file.read_exact_at(&mut part, u64::from(offset))?;
            Ok((total, part))
        };
        read().map(Some).map_err(|error: io::Error| unavailable(&error))
    }

    /// Returns those manifests of shares that are about to become durable which are not here. The folder keeps that they
    /// never were: a mark that the disk does not take only means that a later start calls the manifest lost.
    pub fn mark_absent(&self, info_hashes: impl Iterator<Item = InfoHash>) -> Vec<InfoHash> {
        let absent: Vec<InfoHash> =
            info_hashes.filter(|info_hash| matches!(self.is_in_use(*info_hash), Ok(false))).collect();
        if !absent.is_empty() {
            for info_hash in &absent {
                let _ = files::open_file(&self.awaited_path(*info_hash), Open::WriteOrNew(0o600));
            }
            let _ = files::sync_folder(&self.handle);
        }
        absent
    }

    /// Shares came without these manifests: the links ask the other trackers for them.
    pub fn expect(&self, absent: &[InfoHash]) {
        absent.iter().for_each(|info_hash| self.missing.wish(*info_hash, Absence::Awaited));
    }

    /// The next step of a sweep: what nobody has used for an hour among a few files. The caller takes the state
    /// afterwards, for [`Manifests::remove_unknown`].
    pub(crate) fn choose_unused(&self, sweep: &mut ManifestSweep, now: Instant) -> Unused {
        if sweep.begins(now) && self.missing.is_empty() {
            // Fails if it is not there.
            let _ = fs::remove_file(self.folder.join(ADOPTED));
        }
        sweep.choose(&self.folder, &self.uses, &self.missing, now)
    }

    /// Removes what is not among the `known` contents of shares, unless it was used meanwhile.
    pub(crate) fn remove_unknown(&self, unused: Unused, known: impl Iterator<Item = InfoHash>) {
        unused.remove(known, &self.folder, (&self.uses, &self.missing), |info_hash| self.lens.remove(info_hash));
    }

    /// Somebody wants a manifest that is not here: the links ask the other trackers for it, again if need be.
    pub fn wish(&self, info_hash: InfoHash) {
        // A manifest of the base that was adopted was noted at the start.
        let is_awaited = self.awaited_path(info_hash).exists();
        self.missing.wish(info_hash, if is_awaited { Absence::Awaited } else { Absence::Lost });
    }

    /// The missing manifests that were wished for after wish number `wish`, and the number of the last wish.
    pub fn wished_since(&self, wish: u64, most: usize) -> (Vec<InfoHash>, u64) {
        self.missing.since(wish, most)
    }

    /// How many of those that are `listed` are known to be missing.
    pub fn missing_counts<I: Iterator<Item = InfoHash>>(&self, listed: impl FnOnce() -> I) -> MissingCounts {
        self.missing.counts(listed)
    }

    /// Another number whenever other manifests are missing.
    pub fn missing_revision(&self) -> u64 {
        self.missing.revision()
    }

    /// Waits until a manifest that was wished for is here, but not longer than `longest`.
    pub fn wait_for(&self, info_hash: InfoHash, longest: Duration) {
        self.missing.wait(info_hash, longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Sha1Digest;
    use crate::model::manifest::{Content, FileAttributes, FileEntry, FileTime, Manifest};
    use crate::model::name::FileName;
    use crate::model::path::RelPath;
    use crate::model::piece::{Layout, PIECE_LEN};
    use crate::wire::manifest::{decode, encode};
    use std::iter;

    fn manifest(name: &str, pieces: u64) -> (Vec<u8>, Content) {
        let file = FileEntry { path: RelPath::parse(name).expect(name), len: pieces * u64::from(PIECE_LEN) };
        let digests = (0..pieces).map(|piece| Sha1Digest([piece as u8; 20])).collect();
        let manifest = Manifest::new(vec![file], digests).expect("valid");
        let (bytes, info_hash) = encode(&manifest).expect("short");
        let sha1 = Sha1Digest([9; 20]);
        (bytes, Content { layout: manifest.layout(), sha1, info_hash, file_count: 1 })
    }

    fn part(content: &Content, bytes: &[u8], range: std::ops::Range<usize>) -> (InfoHash, u32, u32, Vec<u8>) {
        (content.info_hash, bytes.len() as u32, range.start as u32, bytes[range].to_vec())
    }

    fn put(
        manifests: &Manifests,
        upload: &mut Option<ManifestUpload>,
        (info_hash, total, offset, bytes): (InfoHash, u32, u32, Vec<u8>),
    ) -> Result<(), Code> {
        let part = ManifestPart { info_hash, total, offset, bytes: &bytes };
        manifests.put(upload, part, |_| Ok(())).map_err(|refusal| refusal.code)
    }

    fn open() -> (tempfile::TempDir, Manifests) {
        let temp = tempfile::tempdir().expect("a folder");
        let manifests = Manifests::open(temp.path(), iter::empty(), false).expect("opened");
        (temp, manifests)
    }

    fn file_count(temp: &tempfile::TempDir) -> usize {
        fs::read_dir(temp.path()).expect("readable").count()
    }

    #[test]
    fn a_manifest_that_came_in_parts_can_be_read_in_parts() {
        let (temp, manifests) = open();
        let (bytes, content) = manifest("big.bin", 60_000);
        let mut upload = None;
        assert_eq!(manifests.facts(content.info_hash), Ok(None));
        for start in (0..bytes.len()).step_by(MANIFEST_PART_MAX) {
            assert!(!manifests.has(content.info_hash).expect("readable"), "not before it is whole");
            let range = start..bytes.len().min(start + MANIFEST_PART_MAX);
            assert_eq!(put(&manifests, &mut upload, part(&content, &bytes, range)), Ok(()));
        }
        let mut read = Vec::new();
        loop {
            let (total, part) = manifests.read(content.info_hash, read.len() as u32).expect("readable").expect("here");
            assert_eq!(total as usize, bytes.len());
            if part.is_empty() {
                break;
            }
            read.extend_from_slice(&part);
        }
        assert!(read == bytes);
        assert!(manifests.read(content.info_hash, u32::MAX).expect("readable").expect("here").1.is_empty());
        assert_eq!(file_count(&temp), 1);
        let reopened = Manifests::open(temp.path(), iter::empty(), false).expect("opened");
        let facts = reopened.facts(content.info_hash).expect("readable").expect("here");
        assert!(facts.agree_with(&FileName::parse("big.bin").expect("a name"), &content));
    }

    #[test]
    fn a_share_must_agree_with_its_manifest() {
        let (_temp, manifests) = open();
        let (bytes, content) = manifest("Müller.txt", 2);
        put(&manifests, &mut None, part(&content, &bytes, 0..bytes.len())).expect("valid");
        let facts = manifests.facts(content.info_hash).expect("readable").expect("here");
        let name = |text: &str| FileName::parse(text).expect(text);
        assert!(facts.agree_with(&name("Müller.txt"), &content));
        assert!(facts.agree_with(&name("Müller.txt~2"), &content), "a share that was renamed");
        assert!(!facts.agree_with(&name("other.txt"), &content));
        let layout = Layout::new(7).expect("small");
        assert!(!facts.agree_with(&name("Müller.txt"), &Content { layout, ..content }));
        assert!(!facts.agree_with(&name("Müller.txt"), &Content { file_count: 2, ..content }));
    }

    #[test]
    fn parts_out_of_order_and_wrong_bytes_are_refused_and_leave_nothing_behind() {
        let (temp, manifests) = open();
        let (bytes, content) = manifest("a", 100);
        let (_, other) = manifest("b", 100);
        let (len, mut upload) = (bytes.len(), None);
        let bad = Err(Code::BadManifest);
        assert_eq!(put(&manifests, &mut upload, part(&content, &bytes, 10..20)), bad, "no first part");
        for second in [
            part(&content, &bytes, 11..20),
            part(&content, &bytes, 9..20),
            part(&content, &bytes, 10..10),
            part(&other, &bytes, 10..20),
            (content.info_hash, 20, 10, bytes[10..20].to_vec()),
            (content.info_hash, len as u32, 10, [&bytes[10..], &[0]].concat()),
        ] {
            assert_eq!(put(&manifests, &mut upload, part(&content, &bytes, 0..10)), Ok(()));
            assert_eq!(put(&manifests, &mut upload, second), bad);
            assert!(upload.is_none());
        }
        let mut wrong = bytes.clone();
        wrong[50] ^= 1;
        assert_eq!(put(&manifests, &mut upload, part(&content, &wrong, 0..len)), bad, "another hash");
        assert_eq!(put(&manifests, &mut upload, (content.info_hash, 0, 0, vec![])), bad, "empty");
        assert_eq!(put(&manifests, &mut upload, (content.info_hash, u32::MAX, 0, vec![1])), bad);
        assert_eq!(file_count(&temp), 0);
    }

    #[test]
    fn a_damaged_file_is_removed_so_that_it_can_come_in_again() {
        let (temp, manifests) = open();
        let (bytes, content) = manifest("a", 100);
        put(&manifests, &mut None, part(&content, &bytes, 0..bytes.len())).expect("valid");
        fs::write(temp.path().join(content.info_hash.to_string()), &bytes[1..]).expect("writable");
        let manifests = Manifests::open(temp.path(), iter::empty(), false).expect("opened");
        assert_eq!(manifests.facts(content.info_hash), Ok(None));
        assert!(!manifests.has(content.info_hash).expect("readable"));
    }

    #[test]
    fn a_manifest_of_an_older_version_is_refused_in_clear_words_and_kept() {
        let (temp, manifests) = open();
        let (_, content) = manifest("a", 1);
        let older = b"GSMANIF\x01 and so on";
        fs::write(temp.path().join(content.info_hash.to_string()), older).expect("writable");
        for _ in 0..2 {
            let refusal = manifests.read(content.info_hash, 0).expect_err("no manifest");
            assert_eq!(refusal.code, Code::BadManifest);
            assert!(refusal.to_string().contains("older version of groupshare; share the file again"), "{refusal}");
        }
        assert!(manifests.has(content.info_hash).expect("readable") && manifests.missing_revision() == 0);
    }

    #[test]
    fn the_first_of_two_manifests_of_one_content_is_kept_with_its_attributes() {
        let (_temp, manifests) = open();
        let (plain, content) = manifest("a", 1);
        let attributes = FileAttributes { executable: true, modified: FileTime::new(7, 0).expect("a time") };
        let told =
            decode(&plain, content.info_hash).expect("valid").with_attributes(vec![attributes]).expect("one file");
        let (told, info_hash) = encode(&told).expect("short");
        assert_eq!(info_hash, content.info_hash);
        put(&manifests, &mut None, part(&content, &told, 0..told.len())).expect("valid");
        put(&manifests, &mut None, part(&content, &plain, 0..plain.len())).expect("here already");
        assert_eq!(manifests.read(info_hash, 0), Ok(Some((told.len() as u32, told))));
    }

    #[test]
    fn an_upload_that_ends_early_or_begins_anew_leaves_nothing_behind() {
        let (temp, manifests) = open();
        let (bytes, content) = manifest("a", 100);
        let mut upload = None;
        put(&manifests, &mut upload, part(&content, &bytes, 0..10)).expect("valid");
        put(&manifests, &mut upload, part(&content, &bytes, 0..20)).expect("valid");
        assert_eq!(file_count(&temp), 1);
        drop(upload);
        assert_eq!(file_count(&temp), 0);
        fs::write(temp.path().join("0123.4.tmp"), "left by a crash").expect("writable");
        let manifests = Manifests::open(temp.path(), iter::empty(), false).expect("opened");
        assert_eq!(file_count(&temp), 0);
        let mut upload = None;
        put(&manifests, &mut upload, part(&content, &bytes, 0..10)).expect("valid");
        put(&manifests, &mut None, part(&content, &bytes, 0..bytes.len())).expect("another client was faster");
        put(&manifests, &mut upload, part(&content, &bytes, 10..20)).expect("thrown away");
        assert!(upload.is_none());
        assert_eq!(file_count(&temp), 1);
    }

    #[test]
    fn an_upload_keeps_its_room_while_its_parts_come() {
        let (_temp, manifests) = open();
        let (bytes, content) = manifest("a", 100);
        let mut upload = None;
        put(&manifests, &mut upload, part(&content, &bytes, 0..10)).expect("valid");
        assert_eq!(manifests.lens().total(), bytes.len() as u64);
        let begun = upload.as_ref().expect("under way").begun;
        let second = Duration::from_secs(1);
        let is_stale = |upload: &Option<ManifestUpload>, now| upload.as_ref().is_some_and(|it| it.is_stale(now));
        assert!(!is_stale(&upload, begun + PART_WAIT - second));
        upload.iter_mut().for_each(|it| it.heard = begun + UPLOAD_MAX - second);
        assert!(!is_stale(&upload, begun + UPLOAD_MAX - second) && is_stale(&upload, begun + UPLOAD_MAX));
        put(&manifests, &mut upload, part(&content, &bytes, 10..20)).expect("valid");
        let heard = upload.as_ref().expect("under way").heard;
        assert!(is_stale(&upload, heard + PART_WAIT));
        upload = None;
        assert_eq!((manifests.lens().total(), upload.is_none()), (0, true));
    }

    #[test]
    fn many_manifests_are_kept_together() {
        let (temp, manifests) = open();
        let all: Vec<_> = (0..MANY).map(|n| manifest(&format!("file{n}"), 1)).collect();
        let check = |(bytes, content): &(Vec<u8>, Content)| {
            let (info_hash, total) = (content.info_hash, bytes.len() as u32);
            let part = ManifestPart { info_hash, total, offset: 0, bytes };
            manifests.take(&mut None, part).expect("valid").expect("whole")
        };
        let lot: Vec<CheckedManifest> = all.iter().map(check).collect();
        manifests.keep(&lot).expect("kept");
        drop(lot);
        assert_eq!(file_count(&temp), MANY);
        for (bytes, content) in all {
            assert_eq!(manifests.read(content.info_hash, 0), Ok(Some((bytes.len() as u32, bytes))));
        }
    }
}
