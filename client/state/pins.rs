//! Pins: the first key of the trackers that a client saw, per tracker_info.txt, as ssh keeps the keys of hosts.
//!
//! A pin is a file of its own, made in one step. If several clients start at the same time, the first pin counts, so no
//! lock is needed. To accept another key, the user starts the client with `--accept-fingerprint`. A damaged pin needs
//! the same: it stays in its place and matches no key.

use super::file;
use super::file::StateError;
use crate::client::hash::piece_hash::sha1_of;
use crate::model::digest::Fingerprint;
use crate::model::escape::ShownPath;
use crate::sys::durable;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const KIND: &str = "groupshare pin";
const VERSION: u32 = 1;

/// The folder of pins.
#[derive(Debug, Clone)]
pub struct Pins {
    folder: PathBuf,
}

/// The result of comparing a key with the pin.
#[derive(Debug, PartialEq, Eq)]
pub enum Pinned {
    /// The key is the pinned one.
    Known,
    /// The key is the first one, and is now pinned.
    New,
    /// Another key is pinned.
    Differs(PinMismatch),
}

/// A key that is not the pinned one.
#[derive(Debug, PartialEq, Eq)]
pub struct PinMismatch {
    /// The tracker_info.txt of the pin.
    pub tracker_info: PathBuf,
    /// The first key.
    pub pinned: Fingerprint,
    /// The key of now.
    pub offered: Fingerprint,
}

impl fmt::Display for PinMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the trackers of {} now have the key {}, before it was {}: either they were set up anew, or somebody \
             poses as them; ask their operator; if you know that the trackers' key was changed, start the client with \
             --accept-fingerprint {}",
            ShownPath(&self.tracker_info),
            self.offered,
            self.pinned,
            self.offered
        )
    }
}

impl std::error::Error for PinMismatch {}

impl Pins {
    /// The pins in a folder. A missing folder is made.
    ///
    /// # Errors
    /// `Io`.
    pub fn open(folder: PathBuf) -> Result<Self, StateError> {
        file::make_folder(&folder)?;
        Ok(Self { folder })
    }

    /// The pinned key for a tracker_info.txt, given by its canonical path.
    ///
    /// # Errors
    /// `DamagedPin`, each time; `Newer`, `Io`.
    pub fn get(&self, tracker_info: &Path) -> Result<Option<Fingerprint>, StateError> {
        let file = self.file(tracker_info);
        let Some(lines) = file::read(&file, KIND, VERSION)? else { return Ok(None) };
        let fingerprint = match &lines.records[..] {
            [record] if !lines.damaged => match &record[..] {
                [path, hex] if path == tracker_info.as_os_str().as_bytes() => {
                    std::str::from_utf8(hex).ok().and_then(Fingerprint::from_hex)
                }
                _ => None,
            },
            _ => None,
        };
        fingerprint.map(Some).ok_or(StateError::DamagedPin(file))
    }

    /// Compares a tracker's key with the pinned one. Pins the key if there is no pin.
    ///
    /// # Errors
    /// `DamagedPin`, for any key, until the user accepts one; `Newer`, `Io`.
    pub fn check(&self, tracker_info: &Path, offered: Fingerprint) -> Result<Pinned, StateError> {
        let file = self.file(tracker_info);
        loop {
            if let Some(pinned) = self.get(tracker_info)? {
                let tracker_info = tracker_info.to_path_buf();
                return Ok(match pinned == offered {
                    true => Pinned::Known,
                    false => Pinned::Differs(PinMismatch { tracker_info, pinned, offered }),
                });
            }
            if self.add(&file, tracker_info, offered)? {
                return Ok(Pinned::New);
            }
            // Another client was faster. The loop reads its pin.
        }
    }

    /// Pins a key in place of any earlier one, because the user has confirmed it.
    ///
    /// # Errors
    /// `Io`.
    pub fn accept(&self, tracker_info: &Path, accepted: Fingerprint) -> Result<(), StateError> {
        let hex = accepted.to_string();
        let record = vec![tracker_info.as_os_str().as_bytes(), hex.as_bytes()];
        file::write(&self.file(tracker_info), KIND, VERSION, &[record])
    }

    /// Makes the pin unless there is one. Returns whether it did.
    fn add(&self, file: &Path, tracker_info: &Path, fingerprint: Fingerprint) -> Result<bool, StateError> {
        let hex = fingerprint.to_string();
        let record = vec![tracker_info.as_os_str().as_bytes(), hex.as_bytes()];
        let text = file::to_text(KIND, VERSION, &[record]);
        durable::create(file, text.as_bytes()).map_err(StateError::io(file, "write"))
    }

    fn file(&self, tracker_info: &Path) -> PathBuf {
        self.folder.join(sha1_of(tracker_info.as_os_str().as_bytes()).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ONE: Fingerprint = Fingerprint([1; 32]);
    const TWO: Fingerprint = Fingerprint([2; 32]);

    fn pins() -> (tempfile::TempDir, Pins) {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let pins = Pins::open(temp.path().join("state/pins")).expect("made");
        (temp, pins)
    }

    #[test]
    fn the_first_key_is_pinned_and_another_is_refused_with_the_way_to_accept_it() {
        let (_temp, pins) = pins();
        let (info, other) = (Path::new("/a/tracker_info.txt"), Path::new("/b/tracker_info.txt"));
        assert_eq!(pins.get(info).expect("read"), None);
        assert_eq!(pins.check(info, ONE).expect("pinned"), Pinned::New);
        assert_eq!(pins.check(info, ONE).expect("read"), Pinned::Known);
        let Pinned::Differs(mismatch) = pins.check(info, TWO).expect("read") else { panic!("the key differs") };
        let line = mismatch.to_string();
        assert!(line.ends_with(&format!("--accept-fingerprint {TWO}")));
        assert_eq!(pins.check(other, TWO).expect("pinned"), Pinned::New, "another installation");
        pins.accept(&mismatch.tracker_info, TWO).expect("accepted");
        assert_eq!(pins.check(info, TWO).expect("read"), Pinned::Known);
    }

    #[test]
    fn of_clients_that_start_at_the_same_time_exactly_one_pins() {
        let (temp, pins) = pins();
        let info = Path::new("/a");
        let new = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| pins.check(info, ONE).expect("works"))).collect();
            clients.into_iter().filter_map(|c| (c.join().expect("no panic") == Pinned::New).then_some(())).count()
        });
        assert_eq!(new, 1);
        assert_eq!(fs::read_dir(temp.path().join("state/pins")).expect("there").count(), 1);
    }

    #[test]
    fn a_damaged_pin_means_no_trust_in_any_key_until_the_user_accepts_one() {
        let (_temp, pins) = pins();
        let info = Path::new("/a");
        pins.check(info, ONE).expect("pinned");
        let whole = fs::read(pins.file(info)).expect("there");
        let cuts = (0..whole.len()).map(|len| whole[..len].to_vec());
        let turned = (0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        });
        for damaged in cuts.chain(turned).chain([b"garbage".to_vec(), b"groupshare pin 1\n\\end 0\n".to_vec()]) {
            fs::write(pins.file(info), &damaged).expect("damaged");
            for offered in [ONE, TWO, TWO] {
                match pins.check(info, offered) {
                    // A digit of the key was damaged.
                    Ok(Pinned::Differs(mismatch)) => assert_ne!(mismatch.pinned, ONE),
                    Ok(trusted) => panic!("{trusted:?} {offered}: {}", String::from_utf8_lossy(&damaged)),
                    Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
                }
            }
            assert_eq!(fs::read(pins.file(info)).expect("it stays there"), damaged);
        }
        let error = pins.check(info, ONE).expect_err("told").to_string();
        assert!(error.contains("is damaged") && error.contains("--accept-fingerprint"), "{error}");
        pins.accept(info, TWO).expect("the user's word");
        assert_eq!(pins.check(info, TWO).expect("read"), Pinned::Known);
    }
}
