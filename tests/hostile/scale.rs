//! How much the attackers do: a little in `make check`, all they can in `make hostile`.

/// The number for this run.
pub(crate) fn of(small: usize, full: usize) -> usize {
    let is_full = std::env::var_os("HOSTILE").is_some_and(|value| value == "full");
    if is_full { full } else { small }
}
