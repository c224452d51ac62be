//! Colours, if the screen has them and the user wants them.

use std::ffi::OsString;

/// The meaning of a line for its reader, as far as a colour shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As any other line.
    Plain,
    /// A success.
    Good,
    /// A failure.
    Bad,
    /// Something under way.
    Faint,
}

impl Tone {
    /// The line in its colour.
    pub(crate) fn paint(self, line: &str) -> String {
        let code = match self {
            Tone::Plain => return line.to_owned(),
            Tone::Good => 32,
            Tone::Bad => 31,
            Tone::Faint => 2,
        };
        format!("\x1b[{code}m{line}\x1b[0m")
    }
}

/// Whether the environment allows colours: `NO_COLOR` (<https://no-color.org>) is unset or empty, and `TERM` names a
/// terminal with colours.
pub(crate) fn are_wanted(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let unset = |name: &str| variable(name).is_none_or(|value| value.is_empty());
    unset("NO_COLOR") && !unset("TERM") && variable("TERM").is_some_and(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_colours_who_does_not_want_them_or_cannot_see_them() {
        for (no_color, term, wanted) in [
            (None, Some("xterm"), true),
            (Some(""), Some("xterm"), true),
            (Some("1"), Some("xterm"), false),
            (Some("0"), Some("xterm"), false),
            (None, Some("dumb"), false),
            (None, Some(""), false),
            (None, None, false),
        ] {
            let variable = |name: &str| if name == "TERM" { term } else { no_color }.map(OsString::from);
            assert_eq!(are_wanted(variable), wanted, "{no_color:?} {term:?}");
        }
    }

    #[test]
    fn a_colour_ends_with_its_line() {
        assert_eq!(Tone::Bad.paint("no"), "\x1b[31mno\x1b[0m");
        assert_eq!(Tone::Plain.paint("yes"), "yes");
    }
}
