//! A file with options of the command line, one a line. A running tracker can read it again.

use crate::model::escape::excerpt;
use crate::sys;
use getopts::{Matches, Options};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The longest file, in bytes.
const LEN_MAX: u64 = 64 * 1024;
/// The most characters of a wrong line that an error repeats.
const SHOWN_MAX: usize = 80;
/// Options for the command line only: those that tell trackers apart, and those that do not apply to a running one.
const ELSEWHERE: [&str; 9] = ["check", "config", "data-dir", "h", "help", "key", "repair", "V", "version"];

/// A file that the command line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// Whether the file does not exist. A missing file counts as empty.
    pub is_missing: bool,
}

/// Why the options in a file are refused. Each error is one line.
#[derive(Debug)]
pub enum ConfigError {
    Read(PathBuf, io::Error),
    /// The line with this number, from 1.
    Line(PathBuf, usize, String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Read(path, error) => {
                write!(f, "cannot read the options in {}: {}", path.display(), sys::reason(error))
            }
            ConfigError::Line(path, number, what) => write!(f, "{}: line {number}: {what}", path.display()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The options of a command line, and after them those of its file.
pub(super) struct GivenOptions {
    line: Matches,
    file: Option<(ConfigFile, Matches)>,
}

impl GivenOptions {
    /// Reads the file, if the command line names one.
    pub(super) fn new(options: &Options, line: Matches) -> Result<Self, ConfigError> {
        let file = line.opt_str("config").map(|path| read(options, Path::new(&path))).transpose()?;
        Ok(Self { line, file })
    }

    pub(super) fn config(&self) -> Option<ConfigFile> {
        self.file.as_ref().map(|(file, _)| file.clone())
    }

    /// The value of an option. The command line comes first.
    pub(super) fn opt_str(&self, name: &str) -> Option<String> {
        self.line.opt_str(name).or_else(|| self.file.as_ref()?.1.opt_str(name))
    }

    /// All values of a repeatable option. Those of the command line are last.
    pub(super) fn opt_strs(&self, name: &str) -> Vec<String> {
        let file = self.file.iter().flat_map(|(_, file)| file.opt_strs(name));
        file.chain(self.line.opt_strs(name)).collect()
    }

    pub(super) fn opt_present(&self, name: &str) -> bool {
        self.line.opt_present(name) || self.file.as_ref().is_some_and(|(_, file)| file.opt_present(name))
    }
}

fn read(options: &Options, path: &Path) -> Result<(ConfigFile, Matches), ConfigError> {
    let failed = |error| ConfigError::Read(path.to_path_buf(), error);
    let (text, is_missing) = match File::open(path).and_then(text) {
        Ok(text) => (text, false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), true),
        Err(error) => return Err(failed(error)),
    };
    let mut words = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: String| ConfigError::Line(path.to_path_buf(), number, what);
        let name = line.split(['=', ' ', '\t']).next().unwrap_or_default();
        if ELSEWHERE.contains(&name) {
            return Err(wrong(format!("{name} belongs on the command line, not in this file")));
        }
        let value = line[name.len()..].trim_start();
        words.push(if value.is_empty() {
            format!("--{name}")
        } else {
            format!("--{name}={}", value.trim_start_matches('='))
        });
        // Two lines may be right alone and wrong together.
        options.parse(&words).map_err(|fail| wrong(excerpt(&fail.to_string(), SHOWN_MAX)))?;
    }
    let matches = options.parse(&words).map_err(|fail| failed(io::Error::other(fail.to_string())))?;
    Ok((ConfigFile { path: path.to_path_buf(), is_missing }, matches))
}

fn text(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(LEN_MAX + 1).read_to_string(&mut text)?;
    let is_short = text.len() as u64 <= LEN_MAX;
    is_short.then_some(text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is longer than 64 KiB"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn options() -> Options {
        let mut options = Options::new();
        options.optopt("", "config", "", "");
        options.optopt("", "relay", "", "");
        options.optopt("", "metrics", "", "");
        options.optmulti("", "limit", "", "");
        options.optflag("", "json-in-the-clear", "");
        options.optopt("", "key", "", "");
        options
    }

    fn given(text: &str, line: &[&str]) -> Result<GivenOptions, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conf");
        fs::write(&path, text).expect("written");
        let config = format!("--config={}", path.display());
        let line = options().parse(line.iter().copied().chain([config.as_str()])).expect("right");
        let given = GivenOptions::new(&options(), line);
        given.map_err(|error| error.to_string().replace(&path.display().to_string(), "CONF"))
    }

    #[test]
    fn lines_are_options_and_the_command_line_comes_first() {
        let text = "# a comment\n\n relay  20M\nmetrics=9464\n\tjson-in-the-clear \n";
        let read = given(text, &["--relay", "1M"]).expect("right");
        assert_eq!(read.opt_str("relay").as_deref(), Some("1M"));
        assert_eq!(read.opt_str("metrics").as_deref(), Some("9464"));
        assert!(read.opt_present("json-in-the-clear"));
        assert!(read.config().is_some_and(|file| !file.is_missing));
        let limits = given("limit shares=1\nlimit=users=2\n", &["--limit", "shares=3"]).expect("right");
        assert_eq!(limits.opt_strs("limit"), ["shares=1", "users=2", "shares=3"]);
        let none = given("", &[]).expect("right");
        assert!(!none.opt_present("json-in-the-clear") && none.opt_str("relay").is_none());
    }

    #[test]
    fn a_wrong_line_is_told_with_its_number() {
        for (text, said) in [
            ("relay 1M\nfrob 1\n", "CONF: line 2: Unrecognized option: 'frob'"),
            ("relay\n", "CONF: line 1: Argument to option 'relay' missing"),
            ("relay 1M\n#\nrelay 2M\n", "CONF: line 3: Option 'relay' given more than once"),
            ("json-in-the-clear yes\n", "CONF: line 1: Option 'json-in-the-clear' does not take an argument"),
            ("key /k\n", "CONF: line 1: key belongs on the command line, not in this file"),
            ("config=x\n", "CONF: line 1: config belongs on the command line, not in this file"),
        ] {
            assert_eq!(given(text, &[]).err().as_deref(), Some(said), "{text}");
        }
        let long = given(&"#".repeat(LEN_MAX as usize + 1), &[]).err();
        assert_eq!(long.as_deref(), Some("cannot read the options in CONF: it is longer than 64 KiB"));
        assert!(given(&"#".repeat(LEN_MAX as usize), &[]).is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_counts_as_empty() {
        let line = options().parse(["--config=/nowhere/at/all"]).expect("right");
        let given = GivenOptions::new(&options(), line).expect("empty");
        assert!(given.config().is_some_and(|file| file.is_missing));
        let line = options().parse(["--config=/"]).expect("right");
        assert!(GivenOptions::new(&options(), line).is_err(), "a folder is no file");
    }
}
