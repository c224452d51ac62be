//! `ctl` as a program: it finds the data folder of the tracker that is meant, and asks that tracker.

use crate::model::exit::Exit;
use crate::sys;
use crate::tracker::data_dir;
use crate::tracker::operator::command::{OperatorCommand, UsageError};
use crate::tracker::operator::ctl;
use crate::tracker::operator::ctl_args::{CtlArgs, CtlPlace};
use crate::tracker::operator::door::AskedCommand;
use crate::tracker::operator::table::{self, Runs, Verb};
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The list that is taken where none is named, if it is there.
const LIST: &str = "tracker_info.txt";
/// Where trackers that run as services have their data folders.
const SERVICES: &str = "/var/lib/groupshare";

/// Why no data folder is meant. Each is one line.
#[derive(Debug)]
pub enum PlaceError {
    List(PathBuf, io::Error),
    Nowhere,
    /// These are there.
    Several(Vec<PathBuf>),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlaceError::List(path, error) => {
                write!(f, "cannot find the list of trackers {}: {}", path.display(), sys::reason(error))
            }
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

/// Carries out one command. `name` stands before what it complains of.
pub fn run(args: &CtlArgs, name: &str) -> Exit {
    let complain = |line: &str| {
        // Whoever closed standard error does not want to read it.
        let _ = writeln!(io::stderr(), "{name}: {line}");
    };
    match checked(&args.words) {
        Ok(OperatorCommand::Help(about)) => return say(&table::help(about), complain),
        Ok(_) => {}
        Err(error) => {
            complain(&error.to_string());
            return Exit::Usage;
        }
    }
    let data_dir = match place(&args.place, Path::new(LIST), Path::new(SERVICES)) {
        Ok(data_dir) => data_dir,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Usage;
        }
    };
    let asked = AskedCommand { words: args.words.clone(), json: args.json };
    ctl::ask(&data_dir, &asked, &mut io::stdout(), complain).unwrap_or_else(|error| {
        complain(&error.to_string());
        error.exit()
    })
}

/// The command, if ctl may give it.
fn checked(words: &[String]) -> Result<OperatorCommand, UsageError> {
    match words.first().and_then(|name| Verb::find(name)) {
        Some(verb) if verb.usage().runs == Runs::ConsoleOnly => Err(UsageError::ConsoleOnly(verb)),
        _ => OperatorCommand::parse(words),
    }
}

fn say(lines: &[String], complain: impl Fn(&str)) -> Exit {
    match writeln!(io::stdout(), "{}", lines.join("\n")) {
        Ok(()) => Exit::Success,
        Err(error) => {
            complain(&ctl::CtlError::OutputLost(error).to_string());
            Exit::OutputLost
        }
    }
}

/// The data folder of the tracker that is meant.
fn place(place: &CtlPlace, list: &Path, services: &Path) -> Result<PathBuf, PlaceError> {
    let beside = |list: &Path, number| {
        data_dir::default_path(list, number).map_err(|error| PlaceError::List(list.to_path_buf(), error))
    };
    match place {
        CtlPlace::DataDir(folder) => Ok(folder.clone()),
        CtlPlace::List(list, number) => beside(list, *number),
        CtlPlace::Usual(number) if list.exists() => beside(list, number.unwrap_or(1)),
        CtlPlace::Usual(Some(number)) => Ok(services.join(format!("tracker-{number}"))),
        CtlPlace::Usual(None) => {
            let mut found: Vec<PathBuf> = fs::read_dir(services)
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"tracker-")))
                .collect();
            found.sort();
            match found.len() {
                0 => Err(PlaceError::Nowhere),
                1 => Ok(found.remove(0)),
                _ => Err(PlaceError::Several(found)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_service_is_meant_and_of_several_one_has_to_be_named() {
        let services = tempfile::tempdir().expect("a folder");
        let list = services.path().join("list");
        let usual = |number| place(&CtlPlace::Usual(number), &list, services.path()).map_err(|error| error.to_string());
        assert!(usual(None).expect_err("nothing is there").starts_with("no tracker is found"));
        let [one, two] = ["tracker-1", "tracker-2"].map(|name| services.path().join(name));
        fs::create_dir(&one).expect("made");
        fs::create_dir(services.path().join("other")).expect("made");
        assert_eq!(usual(None), Ok(one));
        fs::create_dir(&two).expect("made");
        assert!(usual(None).expect_err("two are there").starts_with("say with --data-dir which tracker is meant: "));
        assert_eq!(usual(Some(2)), Ok(two));
        fs::write(&list, "").expect("written");
        assert!(usual(None).expect("the list is nearer").ends_with("list.data/tracker-1"));
        assert!(usual(Some(3)).expect("the list is nearer").ends_with("list.data/tracker-3"));
    }
}
