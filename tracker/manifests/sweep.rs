//! Removes the files of manifests that no longer belong to a share, a few at a time.
//!
//! The file of a share that is on its way must stay. A manifest comes before its share: a member brings it and then
//! asks for the share, and a link gives it before the op. The file may also be left from a share that has ended, and
//! then nobody writes it again. So a use of the manifest is noted before it is shared. This happens under the same
//! lock as the sweep's removal. Either the use came first, and the file stays for an hour. Or the file is gone
//! already: the member or link is told so and brings it again. A share becomes durable long before the hour is over,
//! and the sweep takes the state after it has chosen its files.
//!
//! A member pays for each use with the bytes that the member may bring in an hour. Reading a manifest is no use. So no
//! member can keep more here without a share than the member may bring.

use super::folder::{AWAITED_SUFFIX, info_hash_of};
use super::missing::MissingManifests;
use crate::model::digest::InfoHash;
use crate::wire::refusal::Refusal;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, DirEntry, File, ReadDir};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a file stays after its last use.
const UNUSED_MIN: Duration = Duration::from_secs(3600);
/// How long after a paid use further uses are free: a share becomes durable in the rest of the hour.
const PAID: Duration = Duration::from_secs(3000);
/// How many names one step looks at.
const NAMES_MAX: usize = 256;
/// The pause between two passes over the folder.
const PASS_PAUSE: Duration = Duration::from_secs(600);

/// The latest use of each manifest in the last hour of this run. Only files that exist are noted.
#[derive(Debug, Default)]
pub(super) struct LastUses(Mutex<HashMap<InfoHash, Instant>>);

impl LastUses {
    /// Notes the use of a file if `look` finds it.
    pub(super) fn note_if<T>(
        &self,
        info_hash: InfoHash,
        look: impl FnOnce() -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        let mut uses = self.0.lock();
        let found = look()?;
        if found.is_some() {
            uses.insert(info_hash, Instant::now());
        }
        Ok(found)
    }

    /// Notes the use of a file if `look` finds it and `pay` accepts its length. After a recent use there is nothing to
    /// pay or note. Returns false if the file is not there.
    pub(super) fn note_paid(
        &self,
        info_hash: InfoHash,
        look: impl FnOnce() -> Result<Option<u64>, Refusal>,
        pay: impl FnOnce(u64) -> Result<(), Refusal>,
    ) -> Result<bool, Refusal> {
        let mut uses = self.0.lock();
        let Some(len) = look()? else { return Ok(false) };
        if uses.get(&info_hash).is_none_or(|used| used.elapsed() >= PAID) {
            pay(len)?;
            uses.insert(info_hash, Instant::now());
        }
        Ok(true)
    }

    /// Notes the use of files that are about to appear.
    pub(super) fn note_all(&self, info_hashes: impl Iterator<Item = InfoHash>) {
        let now = Instant::now();
        self.0.lock().extend(info_hashes.map(|info_hash| (info_hash, now)));
    }

    /// Removes a file unless it is in use. Calls `gone` under the lock if the file is gone.
    fn remove_unused(&self, info_hash: InfoHash, path: &Path, gone: impl Fn(InfoHash)) {
        // The system frees the space of an open file only when it is closed: this happens outside the lock.
        let _open = File::open(path);
        let uses = self.0.lock();
        // If this fails, the next pass tries again.
        if !uses.contains_key(&info_hash) && fs::remove_file(path).is_ok() {
            gone(info_hash);
        }
    }

    fn let_go_before(&self, now: Instant) {
        self.0.lock().retain(|_, used| now.saturating_duration_since(*used) < UNUSED_MIN);
    }
}

/// The progress of the sweep.
#[derive(Debug)]
pub(crate) struct ManifestSweep {
    /// The rest of the folder.
    names: Option<ReadDir>,
    /// When the next pass begins.
    due: Instant,
}

impl ManifestSweep {
    /// The first pass begins at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self { names: None, due: now }
    }
}

/// Manifests without a use in the last hour.
#[derive(Debug, Default)]
pub(crate) struct Unused {
    /// The names of each manifest's files.
    files: BTreeMap<InfoHash, Vec<OsString>>,
    /// Missing manifests, each with the number of its last wish.
    missing: BTreeMap<InfoHash, u64>,
}

impl ManifestSweep {
    /// Whether the next step begins a pass.
    pub(super) fn begins(&self, now: Instant) -> bool {
        self.names.is_none() && self.due <= now
    }

    /// The next step: looks at a few files of a folder, and chooses those without a use in the last hour. The caller
    /// takes the state afterwards, for [`Unused::remove`].
    pub(super) fn choose(
        &mut self,
        folder: &Path,
        uses: &LastUses,
        missing: &MissingManifests,
        now: Instant,
    ) -> Unused {
        let mut unused = Unused::default();
        if self.begins(now) {
            uses.let_go_before(now);
            unused.missing = missing.all();
            self.names = fs::read_dir(folder).ok();
        }
        let Some(names) = &mut self.names else { return unused };
        let mut looked_at = 0;
        for entry in names.by_ref().take(NAMES_MAX) {
            looked_at += 1;
            let Ok(entry) = entry else { continue };
            if let Some(info_hash) = unused_manifest(&entry) {
                unused.files.entry(info_hash).or_default().push(entry.file_name());
            }
        }
        if looked_at < NAMES_MAX {
            (self.names, self.due) = (None, now + PASS_PAUSE);
        }
        unused
    }
}

impl Unused {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.missing.is_empty()
    }

    /// Removes the manifests that are not among the `known` contents of shares, and tells which are gone. For missing
    /// manifests among these, drops the wishes.
    pub(super) fn remove(
        mut self,
        known: impl Iterator<Item = InfoHash>,
        folder: &Path,
        (uses, missing): (&LastUses, &MissingManifests),
        gone: impl Fn(InfoHash),
    ) {
        for info_hash in known {
            self.files.remove(&info_hash);
            self.missing.remove(&info_hash);
        }
        for (info_hash, names) in &self.files {
            names.iter().for_each(|name| uses.remove_unused(*info_hash, &folder.join(name), &gone));
        }
        missing.let_go(&self.missing);
    }
}

/// The manifest that this file or mark belongs to, if the file is older than an hour.
fn unused_manifest(entry: &DirEntry) -> Option<InfoHash> {
    let name = entry.file_name();
    let name = name.to_str()?;
    let info_hash = info_hash_of(name.strip_suffix(AWAITED_SUFFIX).unwrap_or(name))?;
    let modified = entry.metadata().ok()?.modified().ok()?;
    // After a clock was set back, a file may come from the future.
    modified.elapsed().is_ok_and(|age| age >= UNUSED_MIN).then_some(info_hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::{FileEntry, Manifest};
    use crate::model::path::RelPath;
    use crate::sys::files::{Open, open_file, set_modified};
    use crate::tracker::manifests::{ManifestPart, Manifests, MissingCounts, Requester, room_of};
    use crate::wire::manifest::encode;
    use crate::wire::refusal::Code;
    use std::iter;

    /// A manifest and its bytes.
    fn manifest(n: u32) -> (InfoHash, Vec<u8>) {
        let file = FileEntry { path: RelPath::parse(&format!("file{n}")).expect("a path"), len: 0 };
        let (bytes, info_hash) = encode(&Manifest::new(vec![file], Vec::new()).expect("valid")).expect("short");
        (info_hash, bytes)
    }

    /// Puts a file there that is older than an hour.
    fn put_old(folder: &Path, name: &str, bytes: &[u8]) {
        fs::write(folder.join(name), bytes).expect("written");
        let file = open_file(&folder.join(name), Open::Write).expect("there");
        set_modified(&file, 1_000_000_000, 0).expect("set");
    }

    fn open() -> (tempfile::TempDir, Manifests, ManifestSweep) {
        let temp = tempfile::tempdir().expect("a folder");
        let manifests = Manifests::open(temp.path(), iter::empty(), false).expect("opened");
        (temp, manifests, ManifestSweep::new(Instant::now()))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("readable");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_manifest_without_a_share_is_removed_after_an_hour_without_use() {
        let (temp, _, mut sweep) = open();
        let [(shared, bytes), (ended, _), (never_came, _), (young, _)] = [1, 2, 3, 4].map(manifest);
        for name in [shared.to_string(), ended.to_string(), format!("{never_came}.awaited"), "notes".to_owned()] {
            put_old(temp.path(), &name, &bytes);
        }
        fs::write(temp.path().join(young.to_string()), &bytes).expect("written");
        let manifests = Manifests::open(temp.path(), iter::empty(), false).expect("opened");
        assert_eq!(manifests.lens().total(), 3 * u64::from(room_of(1)));
        let unused = manifests.choose_unused(&mut sweep, Instant::now());
        manifests.remove_unknown(unused, [shared].into_iter());
        assert_eq!(manifests.lens().total(), 2 * u64::from(room_of(1)));
        let mut left = [shared.to_string(), young.to_string(), "notes".to_owned()];
        left.sort();
        assert_eq!(names(temp.path()), left);
    }

    #[test]
    fn the_manifest_of_a_share_that_is_on_its_way_stays() {
        type Use = fn(&Manifests, InfoHash, &[u8]);
        let uses: [Use; 3] = [
            |manifests, info_hash, bytes| {
                let part = ManifestPart { info_hash, total: bytes.len() as u32, offset: 0, bytes };
                assert!(
                    manifests.take(&mut None, part, Requester::Operator).expect("taken").is_none(),
                    "the file is there already"
                );
            },
            |manifests, info_hash, _| assert!(manifests.keep_for_share(info_hash, |_| Ok(())).expect("paid")),
            |manifests, info_hash, _| assert!(manifests.mark_absent(iter::once(info_hash)).is_empty()),
        ];
        for note_use in uses {
            let (temp, manifests, mut sweep) = open();
            let (info_hash, bytes) = manifest(1);
            put_old(temp.path(), &info_hash.to_string(), &bytes);
            let start = Instant::now();
            // The use is noted when the sweep has already chosen the file.
            let unused = manifests.choose_unused(&mut sweep, start);
            note_use(&manifests, info_hash, &bytes);
            manifests.remove_unknown(unused, iter::empty());
            assert!(manifests.has(info_hash).expect("readable"));
            let before_an_hour = start + UNUSED_MIN - Duration::from_secs(1);
            let unused = manifests.choose_unused(&mut sweep, before_an_hour);
            manifests.remove_unknown(unused, iter::empty());
            assert!(manifests.has(info_hash).expect("readable"));
            let later = before_an_hour + PASS_PAUSE;
            let unused = manifests.choose_unused(&mut sweep, later);
            manifests.remove_unknown(unused, iter::empty());
            assert!(!manifests.has(info_hash).expect("readable"), "no share has come");
            assert_eq!(manifests.mark_absent(iter::once(info_hash)), [info_hash], "who looks then brings it again");
        }
    }

    #[test]
    fn nobody_keeps_a_manifest_here_without_paying_for_it() {
        type Look = fn(&Manifests, InfoHash, &[u8]);
        let looks: [Look; 4] = [
            |manifests, info_hash, _| {
                assert!(manifests.facts(info_hash, Requester::Operator).expect("readable").is_some())
            },
            |manifests, info_hash, _| {
                assert!(manifests.read(info_hash, 0, Requester::Operator).expect("readable").is_some())
            },
            |manifests, info_hash, bytes| {
                let part = ManifestPart { info_hash, total: bytes.len() as u32, offset: 5, bytes };
                assert!(manifests.take(&mut None, part, Requester::Operator).expect("thrown away").is_none());
            },
            |manifests, info_hash, bytes| {
                let pay = |len| {
                    if len == u64::from(room_of(bytes.len() as u32)) { Err(Code::SlowDown.into()) } else { Ok(()) }
                };
                let kept = manifests.keep_for_share(info_hash, pay).map_err(|refusal| refusal.code);
                assert_eq!(kept, Err(Code::SlowDown));
            },
        ];
        for look in looks {
            let (temp, _, mut sweep) = open();
            let (info_hash, bytes) = manifest(1);
            put_old(temp.path(), &info_hash.to_string(), &bytes);
            let manifests = Manifests::open(temp.path(), iter::empty(), false).expect("opened");
            let unused = manifests.choose_unused(&mut sweep, Instant::now());
            look(&manifests, info_hash, &bytes);
            manifests.remove_unknown(unused, iter::empty());
            assert!(!manifests.has(info_hash).expect("readable"));
            assert_eq!(manifests.keep_for_share(info_hash, |_| Ok(())), Ok(false), "it has to be brought again");
        }
    }

    #[test]
    fn a_manifest_that_came_in_stays_whatever_the_clock_of_the_machine_does() {
        let (temp, manifests, mut sweep) = open();
        let (info_hash, bytes) = manifest(1);
        let part = ManifestPart { info_hash, total: bytes.len() as u32, offset: 0, bytes: &bytes };
        manifests.put(&mut None, part, Requester::Operator, |_| Ok(())).expect("kept");
        let file = open_file(&temp.path().join(info_hash.to_string()), Open::Write).expect("there");
        set_modified(&file, 1_000_000_000, 0).expect("set");
        let unused = manifests.choose_unused(&mut sweep, Instant::now());
        manifests.remove_unknown(unused, iter::empty());
        assert!(manifests.has(info_hash).expect("readable"));
    }

    #[test]
    fn a_step_looks_at_few_files_and_a_pass_at_all() {
        let (temp, manifests, mut sweep) = open();
        let count = 2 * NAMES_MAX + 5;
        for n in 0..count {
            let mut name = [0; 32];
            name[..8].copy_from_slice(&(n as u64).to_be_bytes());
            put_old(temp.path(), &InfoHash(name).to_string(), b"");
        }
        let start = Instant::now();
        let mut left = count;
        for _ in 0..3 {
            let unused = manifests.choose_unused(&mut sweep, start);
            manifests.remove_unknown(unused, iter::empty());
            let now_left = names(temp.path()).len();
            assert!(now_left < left && left - now_left <= NAMES_MAX, "{left} {now_left}");
            left = now_left;
        }
        assert_eq!(left, 0);
        let (info_hash, bytes) = manifest(1);
        put_old(temp.path(), &info_hash.to_string(), &bytes);
        assert!(manifests.choose_unused(&mut sweep, start + PASS_PAUSE / 2).is_empty(), "the pass is over");
        assert!(!manifests.choose_unused(&mut sweep, start + PASS_PAUSE).is_empty());
    }

    #[test]
    fn a_missing_manifest_is_asked_for_until_its_share_is_gone() {
        let temp = tempfile::tempdir().expect("a folder");
        let [(ended, _), (shared, _), (shared_again, _)] = [1, 2, 3].map(manifest);
        let manifests = Manifests::open(temp.path(), [ended, shared, shared_again].into_iter(), false).expect("opened");
        let mut sweep = ManifestSweep::new(Instant::now());
        let unused = manifests.choose_unused(&mut sweep, Instant::now());
        // A share of that content becomes durable at this moment: the state that the sweep took does not have it.
        manifests.expect(&[shared_again]);
        manifests.remove_unknown(unused, [shared].into_iter());
        let mut wished = manifests.wished_since(0, usize::MAX).0;
        wished.sort();
        let mut expected = [shared, shared_again];
        expected.sort();
        assert_eq!(wished, expected);
        assert_eq!(manifests.missing_counts(|| [shared, shared_again].into_iter()).lost, 2);
    }

    #[test]
    fn manifests_of_an_adopted_base_are_awaited_until_they_are_here() {
        let temp = tempfile::tempdir().expect("a folder");
        let [(here, bytes), (awaited, _), (lost, _)] = [1, 2, 3].map(manifest);
        fs::write(temp.path().join(here.to_string()), &bytes).expect("written");
        let open = |listed: &[InfoHash], adopted| {
            Manifests::open(temp.path(), listed.iter().copied(), adopted).expect("opened")
        };
        let counts = |manifests: &Manifests, listed: &[InfoHash]| manifests.missing_counts(|| listed.iter().copied());
        let expect = |lost, awaited| MissingCounts { lost, awaited };
        let listed = [here, awaited];
        assert_eq!(counts(&open(&listed, true), &listed), expect(0, 1));
        // The next start still knows it.
        let later = [here, awaited, lost];
        assert_eq!(counts(&open(&later, false), &later), expect(1, 1));
        let manifests = open(&listed, false);
        let (_, bytes) = manifest(2);
        let part = ManifestPart { info_hash: awaited, total: bytes.len() as u32, offset: 0, bytes: &bytes };
        manifests.put(&mut None, part, Requester::Operator, |_| Ok(())).expect("kept");
        manifests.choose_unused(&mut ManifestSweep::new(Instant::now()), Instant::now());
        fs::remove_file(temp.path().join(awaited.to_string())).expect("there");
        assert_eq!(counts(&open(&listed, false), &listed), expect(1, 0));
    }
}
