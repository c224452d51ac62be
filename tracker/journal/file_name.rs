//! The names of the journal's files: a number of twenty digits and a suffix, so that they sort by their numbers.

pub(super) fn numbered(number: u64, suffix: &str) -> String {
    format!("{number:020}{suffix}")
}

/// The number in a name; `None` if this is no such name.
pub(super) fn number_in(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}
