//! A rate limit: a number of bytes per second, or no limit.

use crate::model::escape::excerpt;
use crate::model::units;
use std::fmt;
use std::num::NonZeroU64;

/// Most characters of a wrong limit that an error repeats.
const SHOWN_MAX: usize = 40;

/// How fast something may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit(Option<NonZeroU64>);

impl Limit {
    /// As fast as it can.
    pub const NONE: Self = Self(None);

    /// This many bytes per second. 0 is no limit.
    pub fn of(bytes_per_second: u64) -> Self {
        Self(NonZeroU64::new(bytes_per_second))
    }

    /// Reads `20M`, `500K` or `1G`, a plain number of bytes per second, or `none`. Units are powers of 1000.
    ///
    /// # Errors
    /// The text has none of these forms.
    pub fn parse(text: &str) -> Result<Self, LimitError> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self::NONE);
        }
        let (number, unit) = match text.char_indices().last() {
            Some((at, 'k' | 'K')) => (&text[..at], 1000),
            Some((at, 'm' | 'M')) => (&text[..at], 1_000_000),
            Some((at, 'g' | 'G')) => (&text[..at], 1_000_000_000),
            _ => (text, 1),
        };
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let bytes = digits.then(|| number.parse::<u64>().ok()?.checked_mul(unit)).flatten();
        bytes.map(Self::of).ok_or_else(|| LimitError { text: excerpt(text, SHOWN_MAX) })
    }

    /// Bytes per second; `None` without a limit.
    pub fn bytes_per_second(self) -> Option<NonZeroU64> {
        self.0
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => f.write_str(&units::rate(bytes.get())),
            None => f.write_str("no limit"),
        }
    }
}

/// A text that is not a limit. Its message has no capital and no full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitError {
    /// The beginning of the text, fit to be shown.
    text: String,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a number of bytes per second such as 500K or 20M, or none", self.text)
    }
}

impl std::error::Error for LimitError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_a_thousand_in_either_case() {
        for (text, bytes) in
            [("1", 1), ("500K", 500_000), ("500k", 500_000), ("20M", 20_000_000), ("3g", 3_000_000_000)]
        {
            assert_eq!(Limit::parse(text), Ok(Limit::of(bytes)), "{text}");
        }
        for text in ["0", "0M", "none", "None"] {
            assert_eq!(Limit::parse(text), Ok(Limit::NONE), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_limit_is_refused_in_words() {
        for text in
            ["", "M", "-1", "+1", "1.5M", "20 M", "20MB", "99999999999999999999", "18446744073709551615K", "fast"]
        {
            let error = Limit::parse(text).expect_err(text).to_string();
            assert_eq!(error, format!("'{text}' is not a number of bytes per second such as 500K or 20M, or none"));
        }
    }

    #[test]
    fn a_limit_is_shown_as_a_speed() {
        assert_eq!(Limit::of(20_000_000).to_string(), "20.0 MB/s");
        assert_eq!(Limit::NONE.to_string(), "no limit");
    }
}
