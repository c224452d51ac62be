//! `ctl` as a program: finds the data folder of the tracker, and asks that tracker.

use crate::model::exit::Exit;
use crate::model::units;
use crate::sys;
use crate::sys::local::socket;
use crate::tracker::backup::restore::{RestoreError, Restored, restore};
use crate::tracker::backup::stream::BackupReader;
use crate::tracker::data_dir;
use crate::tracker::log::{Level, Log};
use crate::tracker::operator::answer::Row;
use crate::tracker::operator::command::OperatorCommand;
use crate::tracker::operator::ctl;
use crate::tracker::operator::ctl_args::{CtlArgs, CtlPlace};
use crate::tracker::operator::door::AskedCommand;
use crate::tracker::operator::table;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, BufReader, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The default list, if it exists.
const LIST: &str = "tracker_info.txt";
/// The folder for the data folders of trackers that run as services.
const SERVICES: &str = "/var/lib/groupshare";

/// How many bytes of a backup are read at a time.
const INPUT_PART: usize = 256 * 1024;

/// Why no data folder is found. Each error is one line.
#[derive(Debug)]
pub enum PlaceError {
    List(PathBuf, io::Error),
    /// The list in the working folder belongs to another user, who could choose the tracker that way.
    Foreign(PathBuf),
    Nowhere,
    /// The folder of the services cannot be read.
    Services(io::Error),
    /// There are several.
    Several(Vec<PathBuf>),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlaceError::List(path, error) => {
                write!(f, "cannot find the list of trackers {}: {}", path.display(), sys::reason(error))
            }
            PlaceError::Foreign(list) => {
                write!(
                    f,
                    "{list} here belongs to another user; say --list {list} if it is meant",
                    list = list.display()
                )
            }
            PlaceError::Services(error) => write!(
                f,
                "cannot look into {SERVICES} ({}); use root or the account of the tracker, or --data-dir",
                sys::reason(error)
            ),
            PlaceError::Nowhere => {
                write!(f, "no tracker is found in this folder or in {SERVICES}; say which with --data-dir or --list")
            }
            PlaceError::Several(places) => {
                f.write_str("say with --data-dir which tracker is meant: ")?;
                let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
                f.write_str(&places.join(", "))
            }
        }
    }
}

impl std::error::Error for PlaceError {}

/// Carries out one command. Complaints begin with `name`.
pub fn run(args: &CtlArgs, name: &str) -> Exit {
    let complain = |line: &str| {
        // Without standard error there is no place for the line.
        let _ = writeln!(io::stderr(), "{name}: {line}");
    };
    let wrong = |error: &dyn fmt::Display| {
        complain(&error.to_string());
        Exit::Usage
    };
    match OperatorCommand::of_ctl(&args.words) {
        Ok(OperatorCommand::Help(about)) => return say(&table::help(about).join("\n"), complain),
        Ok(OperatorCommand::Restore) if io::stdin().is_terminal() => {
            return wrong(&"restore reads standard input: give it a backup, as in 'restore < FILE'");
        }
        Ok(OperatorCommand::Backup) if io::stdout().is_terminal() => {
            return wrong(&"backup writes standard output: redirect it, as in 'backup > FILE'");
        }
        Ok(OperatorCommand::Restore) => {
            return match restored(args, name) {
                Ok(row) => say(&if args.json { row.json.to_string() } else { row.words }, complain),
                Err(RestoreFailure::Place(error)) => wrong(&error),
                Err(RestoreFailure::Restore(error)) => {
                    complain(&error.to_string());
                    Exit::Refused
                }
            };
        }
        Ok(_) => {}
        Err(error) => return wrong(&error),
    }
    let data_dir = match place(&args.place, args.tracker) {
        Ok(data_dir) => data_dir,
        Err(error) => return wrong(&error),
    };
    let asked = AskedCommand { words: args.words.clone(), json: args.json };
    ctl::ask(&data_dir, &asked, &mut io::stdout(), complain).unwrap_or_else(|error| {
        complain(&error.to_string());
        error.exit()
    })
}

/// Why no data folder was made.
enum RestoreFailure {
    Place(PlaceError),
    Restore(RestoreError),
}

impl From<RestoreError> for RestoreFailure {
    fn from(error: RestoreError) -> Self {
        Self::Restore(error)
    }
}

/// Makes a data folder from standard input. The backup gives the number if the command line does not.
fn restored(args: &CtlArgs, name: &str) -> Result<Row, RestoreFailure> {
    let input = BufReader::with_capacity(INPUT_PART, io::stdin().lock());
    let backup = BackupReader::open(input).map_err(RestoreError::Stream)?;
    let head = backup.0;
    let tracker = args.tracker.unwrap_or(head.tracker);
    let folder = place(&args.place, Some(tracker)).map_err(RestoreFailure::Place)?;
    sys::survive_file_size_limit();
    let log = Log::to_stderr(Level::Warn, name).map_err(RestoreError::System)?.into();
    let Restored { users, groups, files, absent } = restore(backup, &folder, tracker, Log::warn_fn(&log))?;
    let time = units::utc(head.time);
    let mut words = format!("Restored tracker {tracker} of {time}: {users} users, {groups} groups, {files} files");
    if absent > 0 {
        words.push_str(&format!("; {absent} lists of pieces are missing"));
    }
    let mut row = Row::success(words);
    row.json["data_dir"] = folder.display().to_string().into();
    (row.json["tracker"], row.json["time"]) = (tracker.into(), time.into());
    (row.json["users"], row.json["groups"], row.json["files"]) = (users.into(), groups.into(), files.into());
    row.json["missing"] = absent.into();
    Ok(row)
}

fn say(words: &str, complain: impl Fn(&str)) -> Exit {
    match writeln!(io::stdout(), "{words}") {
        Ok(()) => Exit::Success,
        Err(error) => {
            complain(&ctl::CtlError::OutputLost(error).to_string());
            Exit::OutputLost
        }
    }
}

/// The data folder of the tracker to ask.
fn place(place: &CtlPlace, tracker: Option<u16>) -> Result<PathBuf, PlaceError> {
    place_among(place, tracker, Path::new(LIST), Path::new(SERVICES))
}

fn place_among(place: &CtlPlace, tracker: Option<u16>, list: &Path, services: &Path) -> Result<PathBuf, PlaceError> {
    match (place, tracker) {
        (CtlPlace::DataDir(folder), _) => Ok(folder.clone()),
        (CtlPlace::List(list), _) => beside(list, tracker),
        (CtlPlace::Usual, _) if list.exists() => {
            let owner = fs::metadata(list).map(|list| list.uid());
            match owner {
                Ok(owner) if owner != 0 && owner != socket::own_user() => Err(PlaceError::Foreign(list.to_path_buf())),
                _ => beside(list, tracker),
            }
        }
        (CtlPlace::Usual, Some(number)) => Ok(services.join(format!("tracker-{number}"))),
        (CtlPlace::Usual, None) => {
            let mut found = match folders_of_trackers(services) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(PlaceError::Services(error));
                }
                found => found.unwrap_or_default(),
            };
            match found.len() {
                0 => Err(PlaceError::Nowhere),
                1 => Ok(found.remove(0)),
                _ => Err(PlaceError::Several(found)),
            }
        }
    }
}

/// The data folder beside a list. Without a number, this is the only data folder there, or the folder of tracker 1.
fn beside(list: &Path, tracker: Option<u16>) -> Result<PathBuf, PlaceError> {
    let first = data_dir::default_path(list, tracker.unwrap_or(1))
        .map_err(|error| PlaceError::List(list.to_path_buf(), error))?;
    let found = first.parent().and_then(|folder| folders_of_trackers(folder).ok()).unwrap_or_default();
    Ok(match &found[..] {
        [only] if tracker.is_none() => only.clone(),
        _ => first,
    })
}

/// The data folders of trackers in a folder, sorted by their paths.
fn folders_of_trackers(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths.filter(|path| is_of_tracker(path)).collect();
    found.sort();
    Ok(found)
}

/// Whether this is the data folder of a tracker. A folder that is being restored does not count yet.
fn is_of_tracker(folder: &Path) -> bool {
    let name = folder.file_name().and_then(OsStr::to_str);
    let number = name.and_then(|name| name.strip_prefix("tracker-"));
    number.is_some_and(|number| number.parse().is_ok_and(|read: u16| read.to_string() == number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_service_is_meant_and_of_several_one_has_to_be_named() {
        let services = tempfile::tempdir().expect("a folder");
        let list = services.path().join("list");
        let usual =
            |number| place_among(&CtlPlace::Usual, number, &list, services.path()).map_err(|error| error.to_string());
        assert!(usual(None).expect_err("nothing is there").starts_with("no tracker is found"));
        let [one, two] = ["tracker-1", "tracker-2"].map(|name| services.path().join(name));
        fs::create_dir(&one).expect("made");
        for no_service in ["other", "tracker-", "tracker-1.restoring", "tracker-01", "tracker-1.old"] {
            fs::create_dir(services.path().join(no_service)).expect("made");
        }
        assert_eq!(usual(None), Ok(one));
        fs::create_dir(&two).expect("made");
        assert!(usual(None).expect_err("two are there").starts_with("say with --data-dir which tracker is meant: "));
        assert_eq!(usual(Some(2)), Ok(two));
        fs::write(&list, "").expect("written");
        assert!(usual(None).expect("the list is nearer").ends_with("list.data/tracker-1"));
        assert!(usual(Some(3)).expect("the list is nearer").ends_with("list.data/tracker-3"));
    }

    /// An operator of machine 2 said `ctl status` and was told that tracker 1 does not run.
    #[test]
    fn the_only_tracker_beside_a_list_is_meant_and_of_several_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("list");
        fs::write(&list, "").expect("written");
        let meant = |place: &CtlPlace, number| {
            let place = place_among(place, number, &list, Path::new("/nowhere")).expect("the list is there");
            place.file_name().and_then(OsStr::to_str).expect("a name").to_owned()
        };
        for place in [CtlPlace::Usual, CtlPlace::List(list.clone())] {
            let data = folder.path().join("list.data");
            assert_eq!(meant(&place, None), "tracker-1", "none is there");
            fs::create_dir_all(data.join("tracker-2")).expect("made");
            fs::create_dir_all(data.join("tracker-3.restoring")).expect("made");
            assert_eq!((meant(&place, None), meant(&place, Some(3))), ("tracker-2".into(), "tracker-3".into()));
            fs::create_dir_all(data.join("tracker-3")).expect("made");
            assert_eq!(meant(&place, None), "tracker-1", "as before, where several are there");
            fs::remove_dir_all(&data).expect("removed");
        }
    }
}
