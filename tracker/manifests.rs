//! The manifests that this tracker has, as files named by their info hash. A manifest appears only when it is whole,
//! checked and durable. A look-up notices what the disk has lost or damaged since. The tracker then asks the others
//! for it.

mod brought;
mod facts;
mod folder;
pub(crate) mod inspection;
mod lens;
mod missing;
mod readers;
pub(crate) mod sweep;
mod turns;
mod upload;

pub(crate) use brought::BroughtManifests;
pub(crate) use facts::ManifestFacts;
pub(crate) use folder::ManifestsError;
pub(crate) use lens::{ManifestLens, room_of};
pub(crate) use missing::MissingCounts;
pub(crate) use turns::Requester;
pub(crate) use upload::{CheckedManifest, ManifestPart, ManifestUpload};

use crate::model::digest::InfoHash;
use crate::sys;
use crate::sys::durable;
use crate::sys::files::{self, Open};
use crate::wire::client_tracker::MANIFEST_PART_MAX;
use crate::wire::manifest::MANIFEST_LEN_MAX;
use crate::wire::refusal::{Code, Refusal};
use facts::{FileIdentity, bad, begins_as_older, read_facts, unavailable};
use folder::{ADOPTED, AWAITED_SUFFIX, FolderContents, TEMP_SUFFIX};
use missing::{Absence, MissingManifests};
use parking_lot::Mutex;
use readers::Readers;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use sweep::{LastUses, ManifestSweep, Unused};
use turns::CheckTurns;
use upload::UploadPlace;

/// The name of the manifests' folder in the data folder.
pub(crate) const FOLDER: &str = "manifests";
/// From this many manifests on, one sync of the whole file system replaces one sync for each.
const MANY: usize = 32;
/// The length of a manifest. Stored ones have at most 128 MiB.
fn len(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The manifests that this tracker has.
#[derive(Debug)]
pub struct Manifests {
    folder: PathBuf,
    handle: File,
    /// Numbers the files of uploads.
    uploads: AtomicU64,
    missing: MissingManifests,
    uses: LastUses,
    lens: Arc<ManifestLens>,
    turns: CheckTurns,
    readers: Readers,
    /// Files of manifests that came in although they were here already. They stay until the next step of the sweep.
    /// Freeing their bytes takes long, and that time would tell an uploader that the manifest was here.
    passed_over: Mutex<Vec<UploadPlace>>,
}

impl Manifests {
    /// Opens the manifests in a folder. Removes unfinished uploads of an earlier run. A `listed` manifest without a
    /// file is missing. It counts as awaited if an earlier run never got it, or if the shares were just `adopted` with
    /// the base of another tracker. Otherwise it counts as lost.
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
            // One file for all: a mark for each would take longer than the manifests themselves.
            let path = folder.join(ADOPTED);
            durable::replace(&path, awaited.as_bytes()).map_err(ManifestsError::of(&path, "write"))?;
        }
        let len =
            |info_hash: InfoHash| fs::metadata(folder.join(info_hash.to_string())).map_or(0, |file| len(file.len()));
        let lens = ManifestLens::of_files(found.there.iter().map(|info_hash| (*info_hash, len(*info_hash))));
        Ok(Self {
            folder: folder.to_path_buf(),
            handle: files::open_folder(folder).map_err(ManifestsError::of(folder, "open the folder"))?,
            uploads: AtomicU64::new(0),
            missing,
            uses: LastUses::default(),
            lens: Arc::new(lens),
            turns: CheckTurns::default(),
            readers: Readers::default(),
            passed_over: Mutex::default(),
        })
    }

    /// The lengths of the manifests here.
    pub fn lens(&self) -> &Arc<ManifestLens> {
        &self.lens
    }

    fn path(&self, info_hash: InfoHash) -> PathBuf {
        self.folder.join(info_hash.to_string())
    }

    fn awaited_path(&self, info_hash: InfoHash) -> PathBuf {
        self.folder.join(format!("{info_hash}{AWAITED_SUFFIX}"))
    }

    /// Takes the next part of a manifest that a user brings. After the last part, makes the manifest durable and
    /// returns true. Does the same for a manifest that is here already: only a user who has brought all of it may learn
    /// that.
    ///
    /// # Errors
    /// Those of [`Manifests::take`] and [`Manifests::keep`]. The refusal of `ask`, if all manifests and this one
    /// together would take too much.
    pub fn put(
        &self,
        upload: &mut Option<ManifestUpload>,
        part: ManifestPart<'_>,
        requester: Requester,
        ask: impl Fn(u64) -> Result<(), Refusal>,
    ) -> Result<bool, Refusal> {
        let Some(checked) = self.take_part(upload, part, requester, ask)? else { return Ok(false) };
        self.keep(vec![checked])?;
        Ok(true)
    }

    /// Takes the next part of a manifest from another tracker or a backup. Drops parts of a manifest that is here
    /// already. After the last part returns the manifest, for [`Manifests::keep`].
    ///
    /// # Errors
    /// `BadManifest` if a part does not follow the one before, or cannot belong to this manifest; `SlowDown`;
    /// `Unavailable` if the disk does not take it. After any of them but `SlowDown` the upload has to begin anew.
    pub fn take(
        &self,
        upload: &mut Option<ManifestUpload>,
        part: ManifestPart<'_>,
        requester: Requester,
    ) -> Result<Option<CheckedManifest>, Refusal> {
        // Only a first part counts as a use.
        let is_here = if part.offset == 0 { self.is_in_use(part.info_hash) } else { self.has(part.info_hash) };
        if is_here.map_err(|error| unavailable(&error))? {
            *upload = None;
            self.arrived(part.info_hash);
            return Ok(None);
        }
        self.take_part(upload, part, requester, |_| Ok(()))
    }

    /// Parts come in order; a first part begins the upload anew. Each is checked in a turn, and then written.
    fn take_part(
        &self,
        upload: &mut Option<ManifestUpload>,
        part: ManifestPart<'_>,
        requester: Requester,
        ask: impl Fn(u64) -> Result<(), Refusal>,
    ) -> Result<Option<CheckedManifest>, Refusal> {
        if part.total as usize > MANIFEST_LEN_MAX {
            return Err(bad("it is too large"));
        }
        let mut current = match upload.take() {
            Some(current) if part.offset > 0 || current.awaits(&part) => current,
            _ if part.offset == 0 => {
                // An upload that cannot find room in the end need not begin.
                ask(self.lens.total() + u64::from(room_of(part.total)))?;
                self.begin((part.info_hash, part.total)).map_err(|error| unavailable(&error))?
            }
            _ => return Err(bad("its first part is missing")),
        };
        // No overflow: a part has at most 64 KiB, and `written` is at most the total.
        let end = current.written + part.bytes.len().min(MANIFEST_PART_MAX) as u32;
        if current.is_behind(&part) {
            *upload = Some(current);
            return Err(Code::SlowDown.into());
        }
        let follows = (current.info_hash, current.total, current.written) == (part.info_hash, part.total, part.offset);
        if !follows || part.bytes.is_empty() || end > current.total {
            return Err(bad("its parts do not follow each other"));
        }
        current.room.grow(end, ask)?;
        let turn = match self.turns.wait(requester) {
            Ok(turn) => turn,
            Err(refusal) => {
                // The upload has taken nothing of the part, so the part may come again.
                (current.refused, current.heard) = (true, Instant::now());
                *upload = Some(current);
                return Err(refusal);
            }
        };
        current.refused = false;
        current.check.feed(part.bytes).map_err(bad)?;
        drop(turn);
        current.file.write_all(part.bytes).map_err(|error| unavailable(&error))?;
        (current.written, current.heard) = (end, Instant::now());
        if current.written == current.total {
            let facts = current.check.finish().map_err(bad)?;
            sys::start_write_back(&current.file);
            let identity = FileIdentity::of(&current.file).map_err(|error| unavailable(&error))?;
            let ManifestUpload { info_hash, place, room, .. } = current;
            return Ok(Some(CheckedManifest { info_hash, place, identity, facts, room }));
        }
        *upload = Some(current);
        Ok(None)
    }

    fn begin(&self, (info_hash, total): (InfoHash, u32)) -> io::Result<ManifestUpload> {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{info_hash}.{number}{TEMP_SUFFIX}"));
        ManifestUpload::begin((info_hash, total), path, self.lens.reserve())
    }

    /// Makes manifests durable and gives them their names. Does not use `durable::replace`: the manifests came in
    /// parts, and all share one sync of the folder. Of two manifests with one info hash the first one stays.
    ///
    /// # Errors
    /// `Unavailable` if the disk does not take one of them. Any of them may be here even so.
    pub fn keep(&self, lot: Vec<CheckedManifest>) -> Result<(), Refusal> {
        let info_hashes: Vec<InfoHash> = lot.iter().map(CheckedManifest::info_hash).collect();
        let keep = || {
            self.sync(&lot)?;
            // This comes before the look-up: from now on the sweep removes none of these manifests.
            self.uses.note_all(info_hashes.iter().copied());
            for checked in lot {
                let CheckedManifest { info_hash, place, identity, facts, room } = checked;
                if self.has(info_hash)? {
                    self.passed_over.lock().push(place);
                    continue;
                }
                fs::rename(&place.0, self.path(info_hash))?;
                room.fill(info_hash, len(identity.len), (identity, facts));
            }
            files::sync_folder(&self.handle)
        };
        keep().map_err(|error| unavailable(&error))?;
        info_hashes.iter().for_each(|info_hash| self.arrived(*info_hash));
        Ok(())
    }

    /// Makes the bytes of these manifests durable. A sync of the whole file system may wait for files of other
    /// programs. For many files, one sync each takes longer still.
    fn sync(&self, lot: &[CheckedManifest]) -> io::Result<()> {
        if lot.len() >= MANY {
            return files::sync_file_system(&self.handle);
        }
        lot.iter().try_for_each(|checked| files::open_file(&checked.place.0, Open::Write)?.sync_all())
    }

    fn arrived(&self, info_hash: InfoHash) {
        // Fails if the manifest was not awaited. A mark that stays has no effect while the manifest is here.
        let _ = fs::remove_file(self.awaited_path(info_hash));
        self.missing.arrived(info_hash);
    }

    /// Whether a manifest is here.
    ///
    /// # Errors
    /// The disk does not answer.
    pub fn has(&self, info_hash: InfoHash) -> io::Result<bool> {
        self.path(info_hash).try_exists()
    }

    /// Whether a manifest is here. This counts as its use: its share may be on its way.
    fn is_in_use(&self, info_hash: InfoHash) -> io::Result<bool> {
        let found = self.uses.note_if(info_hash, || Ok(self.has(info_hash)?.then_some(())))?;
        Ok(found.is_some())
    }

    /// Keeps a manifest that is here for a share that is on its way. Returns false if it is not here. Without a recent
    /// payment, `pay` counts its length.
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

    /// The facts of a manifest; `None` if it is not here. Removes a damaged one, so that it can come in again.
    ///
    /// # Errors
    /// `Unavailable`, `SlowDown`.
    pub fn facts(&self, info_hash: InfoHash, requester: Requester) -> Result<Option<ManifestFacts>, Refusal> {
        Ok(self.sound(info_hash, requester)?.map(|(_, facts)| facts))
    }

    /// The file of an undamaged manifest, and its facts.
    fn sound(&self, info_hash: InfoHash, requester: Requester) -> Result<Option<(File, ManifestFacts)>, Refusal> {
        let open = || match File::open(self.path(info_hash)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let Some(file) = open().map_err(|error| unavailable(&error))? else { return Ok(None) };
        let identity = FileIdentity::of(&file).map_err(|error| unavailable(&error))?;
        if let Some(facts) = self.lens.facts(info_hash, identity) {
            return Ok(Some((file, facts)));
        }
        match read_facts(&file, info_hash, || self.turns.wait(requester)) {
            Ok(facts) => {
                self.lens.note_facts(info_hash, identity, facts);
                Ok(Some((file, facts)))
            }
            // No version of the program has a use for it.
            Err(refusal) if refusal.code == Code::BadManifest && !begins_as_older(&file) => {
                fs::remove_file(self.path(info_hash)).map_err(|error| unavailable(&error))?;
                self.lens.remove(info_hash);
                self.missing.note(info_hash, Absence::Lost);
                Ok(None)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// The length of a manifest, and a part of it that fits into one message; empty at the end. `None` if it is not
    /// here or was damaged.
    ///
    /// # Errors
    /// `Unavailable`, `SlowDown`.
    pub fn read(
        &self,
        info_hash: InfoHash,
        offset: u32,
        requester: Requester,
    ) -> Result<Option<(u32, Vec<u8>)>, Refusal> {
        let Some((file, _)) = self.sound(info_hash, requester)? else { return Ok(None) };
        // Stored manifests have at most 128 MiB.
        let len = file.metadata().and_then(|found| u32::try_from(found.len()).map_err(io::Error::other));
        let total = len.map_err(|error| unavailable(&error))?;
        let len = (total.saturating_sub(offset) as usize).min(MANIFEST_PART_MAX);
        self.readers.take(requester, len as u64, Instant::now())?;
        // Users read within the turns of their requests.
        let _turn = (requester == Requester::Trackers).then(|| self.turns.wait(requester)).transpose()?;
        let mut part = vec![0; len];
        file.read_exact_at(&mut part, u64::from(offset)).map_err(|error| unavailable(&error))?;
        Ok(Some((total, part)))
    }

    /// Returns the manifests that are not here, among those of shares that are about to become durable. Marks in the
    /// folder that they never were. If the disk does not take a mark, a later start only calls the manifest lost.
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

    /// The next step of a sweep: finds manifests without a use in the last hour, among a few files. The caller takes
    /// the state afterwards, for [`Manifests::remove_unknown`].
    pub(crate) fn choose_unused(&self, sweep: &mut ManifestSweep, now: Instant) -> Unused {
        let passed_over = std::mem::take(&mut *self.passed_over.lock());
        // Outside the lock: this frees the bytes of the files.
        drop(passed_over);
        if sweep.begins(now) && self.missing.is_empty() {
            // Fails if the file is not there.
            let _ = fs::remove_file(self.folder.join(ADOPTED));
        }
        sweep.choose(&self.folder, &self.uses, &self.missing, now)
    }

    /// Removes manifests that are not among the `known` contents of shares, unless they were used meanwhile.
    pub(crate) fn remove_unknown(&self, unused: Unused, known: impl Iterator<Item = InfoHash>) {
        unused.remove(known, &self.folder, (&self.uses, &self.missing), |info_hash| self.lens.remove(info_hash));
    }

    /// A client wants a manifest that is not here: the links ask the other trackers for it, again if need be.
    pub fn wish(&self, info_hash: InfoHash) {
        // The start has noted the missing manifests of an adopted base.
        let is_awaited = self.awaited_path(info_hash).exists();
        self.missing.wish(info_hash, if is_awaited { Absence::Awaited } else { Absence::Lost });
    }

    /// The missing manifests with a wish after number `wish`, and the number of the last wish.
    pub fn wished_since(&self, wish: u64, most: usize) -> (Vec<InfoHash>, u64) {
        self.missing.since(wish, most)
    }

    /// How many of the `listed` manifests are known to be missing.
    pub fn missing_counts<I: Iterator<Item = InfoHash>>(&self, listed: impl FnOnce() -> I) -> MissingCounts {
        self.missing.counts(listed)
    }

    /// A number that changes with the set of missing manifests.
    pub fn missing_revision(&self) -> u64 {
        self.missing.revision()
    }

    /// Waits until a requested manifest is here, at most for `longest`.
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
        manifests.put(upload, part, Requester::Operator, |_| Ok(())).map(drop).map_err(|refusal| refusal.code)
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
        assert_eq!(manifests.facts(content.info_hash, Requester::Operator), Ok(None));
        for start in (0..bytes.len()).step_by(MANIFEST_PART_MAX) {
            assert!(!manifests.has(content.info_hash).expect("readable"), "not before it is whole");
            let range = start..bytes.len().min(start + MANIFEST_PART_MAX);
            assert_eq!(put(&manifests, &mut upload, part(&content, &bytes, range)), Ok(()));
        }
        let mut read = Vec::new();
        loop {
            let (total, part) = manifests
                .read(content.info_hash, read.len() as u32, Requester::Operator)
                .expect("readable")
                .expect("here");
            assert_eq!(total as usize, bytes.len());
            if part.is_empty() {
                break;
            }
            read.extend_from_slice(&part);
        }
        assert!(read == bytes);
        assert!(
            manifests
                .read(content.info_hash, u32::MAX, Requester::Operator)
                .expect("readable")
                .expect("here")
                .1
                .is_empty()
        );
        assert_eq!(file_count(&temp), 1);
        let reopened = Manifests::open(temp.path(), iter::empty(), false).expect("opened");
        let facts = reopened.facts(content.info_hash, Requester::Operator).expect("readable").expect("here");
        assert!(facts.agree_with(&FileName::parse("big.bin").expect("a name"), &content));
    }

    #[test]
    fn a_share_must_agree_with_its_manifest() {
        let (_temp, manifests) = open();
        let (bytes, content) = manifest("Müller.txt", 2);
        put(&manifests, &mut None, part(&content, &bytes, 0..bytes.len())).expect("valid");
        let facts = manifests.facts(content.info_hash, Requester::Operator).expect("readable").expect("here");
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
        put(&manifests, &mut None, part(&content, &bytes, 0..len)).expect("valid");
        assert_eq!(put(&manifests, &mut upload, part(&content, &wrong, 0..len)), bad, "the right one is here");
        fs::remove_file(temp.path().join(content.info_hash.to_string())).expect("the file exists");
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
        assert_eq!(manifests.facts(content.info_hash, Requester::Operator), Ok(None));
        assert!(!manifests.has(content.info_hash).expect("readable"));
    }

    #[test]
    fn a_manifest_of_an_older_version_is_refused_in_clear_words_and_kept() {
        let (temp, manifests) = open();
        let (_, content) = manifest("a", 1);
        let older = b"GSMANIF\x01 and so on";
        fs::write(temp.path().join(content.info_hash.to_string()), older).expect("writable");
        for _ in 0..2 {
            let refusal = manifests.read(content.info_hash, 0, Requester::Operator).expect_err("no manifest");
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
        assert_eq!(manifests.read(info_hash, 0, Requester::Operator), Ok(Some((told.len() as u32, told))));
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
        put(&manifests, &mut upload, part(&content, &bytes, 10..bytes.len())).expect("taken all the same");
        assert!(upload.is_none());
        manifests.choose_unused(&mut ManifestSweep::new(Instant::now()), Instant::now());
        assert_eq!(file_count(&temp), 1);
    }

    #[test]
    fn a_part_that_got_no_turn_comes_again_and_those_sent_behind_it_end_nothing() {
        let (_temp, manifests) = open();
        let (bytes, content) = manifest("a", 100);
        let (len, slow) = (bytes.len(), Err(Code::SlowDown));
        for refused in [0, 10] {
            let mut upload = None;
            if refused > 0 {
                put(&manifests, &mut upload, part(&content, &bytes, 0..refused)).expect("a turn");
            }
            let next = part(&content, &bytes, refused..20);
            manifests.turns.crowded(Requester::Operator, || {
                assert_eq!(put(&manifests, &mut upload, next.clone()), slow);
                assert_eq!(put(&manifests, &mut upload, part(&content, &bytes, 20..30)), slow);
            });
            assert_eq!(put(&manifests, &mut upload, next), Ok(()));
            assert_eq!(put(&manifests, &mut upload, part(&content, &bytes, 20..len)), Ok(()));
            assert!(upload.is_none() && manifests.has(content.info_hash).expect("readable"));
        }
    }

    #[test]
    fn parts_are_read_for_other_trackers_in_their_turns_and_for_users_meanwhile() {
        let (_temp, manifests) = open();
        let (bytes, content) = manifest("a", 100);
        put(&manifests, &mut None, part(&content, &bytes, 0..bytes.len())).expect("valid");
        let read = |requester| manifests.read(content.info_hash, 0, requester).map_err(|refusal| refusal.code);
        let whole = Ok(Some((bytes.len() as u32, bytes.clone())));
        manifests.turns.crowded(Requester::Trackers, || {
            assert_eq!(read(Requester::Trackers), Err(Code::SlowDown));
            assert_eq!(read(Requester::Operator), whole);
        });
        assert_eq!(read(Requester::Trackers), whole);
    }

    #[test]
    fn many_manifests_are_kept_together() {
        let (temp, manifests) = open();
        let all: Vec<_> = (0..MANY).map(|n| manifest(&format!("file{n}"), 1)).collect();
        let check = |(bytes, content): &(Vec<u8>, Content)| {
            let (info_hash, total) = (content.info_hash, bytes.len() as u32);
            let part = ManifestPart { info_hash, total, offset: 0, bytes };
            manifests.take(&mut None, part, Requester::Operator).expect("valid").expect("whole")
        };
        let lot: Vec<CheckedManifest> = all.iter().map(check).collect();
        manifests.keep(lot).expect("kept");
        assert_eq!(file_count(&temp), MANY);
        for (bytes, content) in all {
            assert_eq!(
                manifests.read(content.info_hash, 0, Requester::Operator),
                Ok(Some((bytes.len() as u32, bytes)))
            );
        }
    }

    #[test]
    fn the_facts_of_a_manifest_stay_known_however_many_there_are() {
        let (temp, manifests) = open();
        let all: Vec<_> = (0..1500).map(|n| manifest(&format!("file{n}"), 1)).collect();
        let lot = all.iter().map(|(bytes, content)| {
            let (info_hash, total) = (content.info_hash, bytes.len() as u32);
            let part = ManifestPart { info_hash, total, offset: 0, bytes };
            manifests.take(&mut None, part, Requester::Operator).expect("valid").expect("whole")
        });
        manifests.keep(lot.collect()).expect("kept");
        let path = |content: &Content| temp.path().join(content.info_hash.to_string());
        // Other bytes in the same file at the same time: a reader would find the manifest damaged.
        for (bytes, content) in &all {
            let modified = fs::metadata(path(content)).expect("there").modified().expect("a time");
            let file = files::open_file(&path(content), Open::Write).expect("there");
            file.write_all_at(&vec![0; bytes.len()], 0).expect("written");
            file.set_modified(modified).expect("set");
        }
        let known =
            |content: &Content| manifests.facts(content.info_hash, Requester::Operator).expect("readable").is_some();
        assert!(all.iter().all(|(_, content)| known(content)));
        fs::write(path(&all[0].1), "and shorter").expect("written");
        assert!(!known(&all[0].1), "another file is read again");
    }
}
