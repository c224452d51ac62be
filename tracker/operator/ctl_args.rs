//! The command line of ctl.

use super::table::Verb;
use crate::model::escape::excerpt;
use getopts::{Options, ParsingStyle};
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

/// The usage of ctl, after the name of the program.
pub const USAGE: &str = "ctl [--data-dir DIR | --list FILE] [--tracker N] [--json] COMMAND [ARGUMENT ...]";
/// The most characters of a wrong argument that an error repeats.
const SHOWN_MAX: usize = 80;

/// What ctl has to ask, and which tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CtlArgs {
    pub place: CtlPlace,
    /// The tracker number on the command line.
    pub tracker: Option<u16>,
    /// Whether to show rows as JSON.
    pub json: bool,
    /// The command.
    pub words: Vec<String>,
}

/// How to find the tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CtlPlace {
    /// The tracker on this data folder.
    DataDir(PathBuf),
    /// A tracker next to this list.
    List(PathBuf),
    /// A tracker at one of the usual places.
    Usual,
}

/// What is wrong with a command line of ctl, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CtlArgsError(String);

impl fmt::Display for CtlArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CtlArgsError {}

fn wrong(what: impl Into<String>) -> CtlArgsError {
    CtlArgsError(what.into())
}

/// Parses the arguments after `ctl`. `None` if help is wanted.
///
/// # Errors
/// Options or words are wrong.
pub fn parse<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Result<Option<CtlArgs>, CtlArgsError> {
    let mut options = Options::new();
    // Words after the command belong to it.
    options.parsing_style(ParsingStyle::StopAtFirstFree);
    options.optopt("", "data-dir", "", "DIR");
    options.optopt("", "list", "", "FILE");
    options.optopt("", "tracker", "", "N");
    options.optflag("", "json", "");
    options.optflag("h", "help", "");
    let matches = options.parse(args).map_err(|fail| wrong(excerpt(&fail.to_string(), SHOWN_MAX)))?;
    if matches.opt_present("help") {
        return Ok(None);
    }
    let number = matches.opt_str("tracker").map(|text| match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err(wrong(format!("--tracker: '{}' is not a tracker number", excerpt(&text, SHOWN_MAX)))),
    });
    let tracker: Option<u16> = number.transpose()?;
    // An existing data folder knows its number, and a new one needs it.
    let needs_number = matches.free.first().is_some_and(|word| Verb::find(word) == Some(Verb::Restore));
    let place = match (matches.opt_str("data-dir"), matches.opt_str("list")) {
        (Some(dir), _) if dir.is_empty() => return Err(wrong("--data-dir: the name of the folder is empty")),
        (_, Some(list)) if list.is_empty() => return Err(wrong("--list: the name of the file is empty")),
        (Some(_), Some(_)) => return Err(wrong("--data-dir and --list exclude each other")),
        (Some(_), None) if tracker.is_some() && !needs_number => {
            return Err(wrong("--data-dir and --tracker exclude each other"));
        }
        (Some(dir), None) => CtlPlace::DataDir(dir.into()),
        (None, Some(list)) => CtlPlace::List(list.into()),
        (None, None) => CtlPlace::Usual,
    };
    if matches.free.is_empty() {
        return Err(wrong("a command is missing"));
    }
    Ok(Some(CtlArgs { place, tracker, json: matches.opt_present("json"), words: matches.free }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ctl(place: CtlPlace, tracker: Option<u16>, json: bool, words: &[&str]) -> Result<Option<CtlArgs>, CtlArgsError> {
        Ok(Some(CtlArgs { place, tracker, json, words: words.iter().map(|word| (*word).to_owned()).collect() }))
    }

    #[test]
    fn options_stand_before_the_command() {
        assert_eq!(parse(["status"]), ctl(CtlPlace::Usual, None, false, &["status"]));
        assert_eq!(parse(["--tracker", "2", "status"]), ctl(CtlPlace::Usual, Some(2), false, &["status"]));
        assert_eq!(
            parse(["--json", "--data-dir", "/d", "users", "--json"]),
            ctl(CtlPlace::DataDir("/d".into()), None, true, &["users", "--json"])
        );
        assert_eq!(parse(["--list=l", "user", "bob"]), ctl(CtlPlace::List("l".into()), None, false, &["user", "bob"]));
        assert_eq!(
            parse(["--data-dir", "d", "--tracker", "2", "restore"]),
            ctl(CtlPlace::DataDir("d".into()), Some(2), false, &["restore"])
        );
        assert_eq!(parse(["--help"]), Ok(None));
    }

    #[test]
    fn a_wrong_option_or_missing_command_of_ctl_is_told() {
        for (args, said) in [
            (&[][..], "a command is missing"),
            (&["--tracker", "0", "status"], "--tracker: '0' is not a tracker number"),
            (&["--tracker", "65536", "status"], "--tracker: '65536' is not a tracker number"),
            (&["--data-dir", "", "status"], "--data-dir: the name of the folder is empty"),
            (&["--list", "", "status"], "--list: the name of the file is empty"),
            (&["--list", "l", "--data-dir", "d", "status"], "--data-dir and --list exclude each other"),
            (&["--tracker", "2", "--data-dir", "d", "status"], "--data-dir and --tracker exclude each other"),
            (&["--frob", "status"], "Unrecognized option: 'frob'"),
        ] {
            assert_eq!(parse(args), Err(wrong(said)), "{args:?}");
        }
    }
}
