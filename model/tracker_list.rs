//! The text of tracker_info.txt: where the trackers of one installation are, in the order in which clients try them.
//!
//! An entry is `IP` and `PORT` on lines of their own, `IP PORT`, or `IP:PORT`. A host name may stand in place of the IP
//! address, and IPv6 may have a `%zone`. `#` begins a comment, and blank lines do not count. One line
//! `fingerprint <64 hexadecimal digits>` may name the trackers' key.

use super::address::{AddressError, Host, TrackerAddr, parse_host, parse_port, parse_tracker_address};
use super::digest::Fingerprint;
use super::escape::excerpt;
use std::fmt;
use std::io::{self, Read};

/// Longest tracker_info.txt that is read, in bytes: 1 MiB.
pub const TEXT_LEN_MAX: u64 = 1 << 20;
/// Most trackers one list names.
pub const TRACKERS_MAX: usize = 256;
/// Most characters of a wrong line that an error repeats.
const SHOWN_MAX: usize = 80;

/// The trackers of one installation. The list is never empty, and has no address twice and no port 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackerList {
    addrs: Vec<TrackerAddr>,
    fingerprint: Option<Fingerprint>,
}

/// What is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackerListError {
    Line {
        /// Its number, from 1.
        number: usize,
        /// The text of the line, cut and escaped.
        text: String,
        problem: LineProblem,
    },
    /// No line names a tracker.
    Empty,
    /// The list has no tracker with the number asked for.
    NoSuchNumber {
        /// The number asked for.
        asked: u64,
        count: usize,
    },
}

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineProblem {
    /// An address that does not parse.
    Address(AddressError),
    /// Port 0, at which no tracker is reachable.
    PortZero,
    /// A port, or some other text, where an IP address is due.
    NotAnEntry,
    /// A lone IP address or name has no port on the next line, or is the last line.
    PortMissing,
    /// More than an IP address and a port on one line.
    TooMuch,
    /// The address stands on an earlier line too.
    Duplicate,
    /// `fingerprint` is not followed by exactly 64 hexadecimal digits.
    BadFingerprint,
    /// A second `fingerprint` line.
    SecondFingerprint,
    /// More than 256 trackers.
    TooMany,
}

impl From<AddressError> for LineProblem {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::PortZero => write!(f, "port 0 cannot be reached, use 1 to 65535"),
            Self::NotAnEntry => write!(f, "expected IP:PORT, IP PORT, or an IP with its port on the next line"),
            Self::PortMissing => write!(f, "this address has no port; write the port behind it or on the next line"),
            Self::TooMuch => write!(f, "expected one IP and one port, nothing more"),
            Self::Duplicate => write!(f, "this tracker is listed twice, remove one of the two"),
            Self::BadFingerprint => write!(f, "expected 'fingerprint' and 64 hexadecimal digits"),
            Self::SecondFingerprint => write!(f, "there can be only one fingerprint"),
            Self::TooMany => write!(f, "a list has at most {TRACKERS_MAX} trackers"),
        }
    }
}

impl fmt::Display for TrackerListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { number, text, problem } => write!(f, "line {number} '{text}': {problem}"),
            Self::Empty => write!(f, "no tracker is listed, add a line such as 127.0.0.1:5000"),
            Self::NoSuchNumber { asked, count: 1 } => {
                write!(f, "there is no tracker {asked}, only tracker 1 is listed")
            }
            Self::NoSuchNumber { asked, count } => {
                write!(f, "there is no tracker {asked}, trackers 1 to {count} are listed")
            }
        }
    }
}

impl std::error::Error for TrackerListError {}

impl TrackerList {
    /// Reads the text of a tracker_info.txt for `parse`. Bytes that are not UTF-8 become U+FFFD, so `parse` can name
    /// their line. Reads at most `TEXT_LEN_MAX` and one byte, since a device has no length.
    ///
    /// # Errors
    /// Those of reading; `InvalidData` for a longer text.
    pub fn text(from: impl Read) -> io::Result<String> {
        let mut bytes = Vec::new();
        from.take(TEXT_LEN_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > TEXT_LEN_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than 1 MiB"));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads the text of a tracker_info.txt.
    pub fn parse(text: &str) -> Result<Self, TrackerListError> {
        let mut parser = ListParser::default();
        for (index, line) in text.strip_prefix('\u{FEFF}').unwrap_or(text).lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
            if line.is_empty() {
                continue;
            }
            parser.line(index + 1, line)?;
        }
        if let Some(lone) = parser.lone {
            return Err(line_error(lone.number, &lone.text, LineProblem::PortMissing));
        }
        if parser.addrs.is_empty() {
            return Err(TrackerListError::Empty);
        }
        Ok(Self { addrs: parser.addrs, fingerprint: parser.fingerprint })
    }

    /// Where tracker `number` listens. Numbers follow the order of the list, from 1.
    pub fn tracker(&self, number: u64) -> Result<TrackerAddr, TrackerListError> {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        index
            .and_then(|index| self.addrs.get(index).cloned())
            .ok_or(TrackerListError::NoSuchNumber { asked: number, count: self.addrs.len() })
    }

    /// Every tracker, number 1 first.
    pub fn trackers(&self) -> &[TrackerAddr] {
        &self.addrs
    }

    /// The key that the trackers must show, if the list names one.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }
}

fn line_error(number: usize, text: &str, problem: LineProblem) -> TrackerListError {
    TrackerListError::Line { number, text: excerpt(text, SHOWN_MAX), problem }
}

/// An IP address or name on a line of its own, before its port.
struct Lone {
    host: Host,
    number: usize,
    text: String,
}

#[derive(Default)]
struct ListParser {
    addrs: Vec<TrackerAddr>,
    fingerprint: Option<Fingerprint>,
    lone: Option<Lone>,
}

impl ListParser {
    /// Takes one line that is not blank, without its comment.
    fn line(&mut self, number: usize, line: &str) -> Result<(), TrackerListError> {
        let taken = match self.lone.take() {
            None => self.entry_or_fingerprint(number, line),
            Some(lone) if line.bytes().all(|byte| byte.is_ascii_digit()) => {
                parse_port(line).map_err(LineProblem::from).and_then(|port| self.entry(lone.host.at(port)))
            }
            // If this line is no port, the entry before lacks its port.
            Some(lone) => return Err(line_error(lone.number, &lone.text, LineProblem::PortMissing)),
        };
        taken.map_err(|problem| line_error(number, line, problem))
    }

    fn entry_or_fingerprint(&mut self, number: usize, line: &str) -> Result<(), LineProblem> {
        let mut words = line.split_whitespace();
        let (first, second, more) = (words.next().unwrap_or_default(), words.next(), words.next().is_some());
        if first.eq_ignore_ascii_case("fingerprint") {
            return self.fingerprint(second.filter(|_| !more));
        }
        match second {
            Some(_) if more => Err(LineProblem::TooMuch),
            Some(port) => self.entry(parse_host(first)?.at(parse_port(port)?)),
            None => match parse_host(first) {
                Ok(host) => {
                    self.lone = Some(Lone { host, number, text: line.to_owned() });
                    Ok(())
                }
                Err(_) if first.contains(':') => self.entry(parse_tracker_address(first)?),
                Err(_) if first.bytes().all(|byte| byte.is_ascii_digit()) => Err(LineProblem::NotAnEntry),
                Err(error) => Err(error.into()),
            },
        }
    }

    fn entry(&mut self, addr: TrackerAddr) -> Result<(), LineProblem> {
        if addr.port() == 0 {
            return Err(LineProblem::PortZero);
        }
        if self.addrs.iter().any(|other| other.is_same(&addr)) {
            return Err(LineProblem::Duplicate);
        }
        if self.addrs.len() == TRACKERS_MAX {
            return Err(LineProblem::TooMany);
        }
        self.addrs.push(addr);
        Ok(())
    }

    fn fingerprint(&mut self, digits: Option<&str>) -> Result<(), LineProblem> {
        if self.fingerprint.is_some() {
            return Err(LineProblem::SecondFingerprint);
        }
        let fingerprint = digits.and_then(Fingerprint::from_hex).ok_or(LineProblem::BadFingerprint)?;
        self.fingerprint = Some(fingerprint);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(text: &str) -> Vec<String> {
        TrackerList::parse(text).expect(text).trackers().iter().map(ToString::to_string).collect()
    }

    fn error(text: &str) -> String {
        TrackerList::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn every_documented_form_of_an_entry_is_read() {
        for text in [
            "127.0.0.1:5000\n127.0.0.1:5001\n",
            "127.0.0.1 5000\n127.0.0.1 5001",
            "127.0.0.1\n5000\n127.0.0.1\n5001\n",
            "127.0.0.1\n5000\n127.0.0.1:5001\n",
            "\u{FEFF}# trackers\r\n\r\n  127.0.0.1:5000  # first\r\n127.0.0.1\t5001#second\r\n\r\n",
            "127.0.0.1 # first\n\n# its port\n5000\n127.0.0.1 5001\n",
        ] {
            assert_eq!(addrs(text), ["127.0.0.1:5000", "127.0.0.1:5001"], "{text:?}");
        }
    }

    #[test]
    fn ipv6_is_read_in_every_form() {
        for text in ["[::1]:5000", "::1 5000", "[::1] 5000", "::1\n5000", "[::1]\n5000\n"] {
            assert_eq!(addrs(text), ["[::1]:5000"], "{text:?}");
        }
    }

    #[test]
    fn a_host_name_and_an_address_with_a_zone_stand_wherever_an_address_may() {
        for text in ["Tracker.lan:5000", "tracker.lan 5000", "tracker.lan\n5000"] {
            assert_eq!(addrs(text), ["tracker.lan:5000"], "{text:?}");
        }
        for text in ["[fe80::1%eth0]:5000", "fe80::1%eth0 5000", "[fe80::1%eth0] 5000", "fe80::1%eth0\n5000"] {
            assert_eq!(addrs(text), ["[fe80::1%eth0]:5000"], "{text:?}");
        }
        assert_eq!(addrs("fe80::1%2 5000\nfe80::1%3 5000"), ["[fe80::1%2]:5000", "[fe80::1%3]:5000"]);
        for text in ["a.lan:5\nA.LAN 5", "[fe80::1%2]:5\nfe80::1%2 5", "fe80::1%eth0 5\n[fe80::1%eth0]:5"] {
            assert!(error(text).ends_with("listed twice, remove one of the two"), "{text}");
        }
    }

    #[test]
    fn trackers_are_numbered_from_one_in_the_order_of_the_list() {
        let list = TrackerList::parse("10.0.0.2:1\n10.0.0.1:1").expect("fine");
        assert_eq!(list.tracker(1).expect("first").to_string(), "10.0.0.2:1");
        assert_eq!(list.tracker(2).expect("second").to_string(), "10.0.0.1:1");
        for asked in [0, 3, u64::MAX] {
            let said = list.tracker(asked).expect_err("out of range").to_string();
            assert_eq!(said, format!("there is no tracker {asked}, trackers 1 to 2 are listed"));
        }
        let one = TrackerList::parse("10.0.0.2:1").expect("fine");
        assert_eq!(
            one.tracker(2).expect_err("out of range").to_string(),
            "there is no tracker 2, only tracker 1 is listed"
        );
    }

    #[test]
    fn a_fingerprint_line_names_the_key_and_is_no_tracker() {
        let hex = "0123456789abcdef".repeat(4);
        let list =
            TrackerList::parse(&format!("127.0.0.1:1\nFingerprint  {}  # ours", hex.to_uppercase())).expect("fine");
        assert_eq!(list.fingerprint(), Fingerprint::from_hex(&hex));
        assert_eq!(list.trackers().len(), 1);
        assert_eq!(TrackerList::parse("127.0.0.1:1").expect("fine").fingerprint(), None);
        assert_eq!(
            error(&format!("fingerprint {hex}0")),
            format!("line 1 'fingerprint {hex}0': expected 'fingerprint' and 64 hexadecimal digits")
        );
        assert_eq!(error("fingerprint"), "line 1 'fingerprint': expected 'fingerprint' and 64 hexadecimal digits");
        assert!(error(&format!("fingerprint {hex} x")).ends_with("expected 'fingerprint' and 64 hexadecimal digits"));
        let twice = format!("fingerprint {hex}\nfingerprint {hex}");
        assert!(error(&twice).starts_with("line 2 "), "{}", error(&twice));
        assert_eq!(error(&format!("fingerprint {hex}")), "no tracker is listed, add a line such as 127.0.0.1:5000");
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number_and_its_text() {
        for (text, said) in [
            ("", "no tracker is listed, add a line such as 127.0.0.1:5000"),
            ("# only\n\n", "no tracker is listed, add a line such as 127.0.0.1:5000"),
            (
                "\nlocal/host:5000",
                "line 2 'local/host:5000': 'local/host' is neither an IP address such as 127.0.0.1 or [::1] nor the \
                 name of a machine",
            ),
            ("tracker", "line 1 'tracker': this address has no port; write the port behind it or on the next line"),
            ("127.0.0.1:99999", "line 1 '127.0.0.1:99999': '99999' is not a port, which is a number up to 65535"),
            ("127.0.0.1 x", "line 1 '127.0.0.1 x': 'x' is not a port, which is a number up to 65535"),
            ("127.0.0.1:0", "line 1 '127.0.0.1:0': port 0 cannot be reached, use 1 to 65535"),
            ("5000", "line 1 '5000': expected IP:PORT, IP PORT, or an IP with its port on the next line"),
            ("127.0.0.1 5000 1", "line 1 '127.0.0.1 5000 1': expected one IP and one port, nothing more"),
            (
                "\n127.0.0.1 # no port\n",
                "line 2 '127.0.0.1': this address has no port; write the port behind it or on the next line",
            ),
            (
                "127.0.0.1\n127.0.0.2:5\n",
                "line 1 '127.0.0.1': this address has no port; write the port behind it or on the next line",
            ),
            ("127.0.0.1\n70000", "line 2 '70000': '70000' is not a port, which is a number up to 65535"),
        ] {
            assert_eq!(error(text), said);
        }
    }

    #[test]
    fn an_address_listed_twice_is_refused_in_whatever_form() {
        for text in ["10.0.0.1:5\n10.0.0.1 5", "10.0.0.1:5\n[::ffff:10.0.0.1]:5", "::1 5\n[0::1]:5"] {
            let said = error(text);
            assert!(said.starts_with("line 2 ") && said.ends_with("listed twice, remove one of the two"), "{said}");
        }
        assert_eq!(addrs("10.0.0.1:5\n10.0.0.1:6\n10.0.0.2:5").len(), 3);
    }

    #[test]
    fn the_length_of_a_list_has_a_limit() {
        let text: String = (1..=TRACKERS_MAX).map(|port| format!("10.0.0.1:{port}\n")).collect();
        assert_eq!(addrs(&text).len(), TRACKERS_MAX);
        assert!(error(&format!("{text}10.0.0.2:1")).ends_with("a list has at most 256 trackers"));
    }

    #[test]
    fn no_more_is_read_than_a_list_may_be_long_however_much_there_is() {
        let longest = usize::try_from(TEXT_LEN_MAX).expect("it fits");
        assert_eq!(TrackerList::text(io::repeat(b'#').take(TEXT_LEN_MAX)).expect("at the limit").len(), longest);
        let mut endless = io::repeat(b'#').take(u64::MAX);
        let refused = TrackerList::text(&mut endless).expect_err("over the limit");
        assert_eq!(refused.to_string(), "it is longer than 1 MiB");
        assert_eq!(u64::MAX - endless.limit(), TEXT_LEN_MAX + 1);
        let text = TrackerList::text(&b"\xff"[..]).expect("short");
        assert!(error(&text).starts_with("line 1 '\u{fffd}': "), "{text}");
    }

    #[test]
    fn binary_junk_is_an_error_that_is_safe_to_show() {
        let said = error("\u{1b}]0;owned\u{7}\0");
        assert!(!said.contains('\u{1b}') && said.starts_with(r"line 1 '\u{1b}]0;owned\u{7}\u{0}'"), "{said}");
        assert!(error(&"x".repeat(100_000)).len() < 300);
    }
}
