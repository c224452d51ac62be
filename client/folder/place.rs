//! Which files of a folder are shared, and under which names. Pure.

use crate::model::name::{FileName, NameError};

/// Suffixes of incomplete files, and of the files beside them.
const UNFINISHED: [&str; 2] = [".part", ".part.meta"];

/// Whether an entry with this name is silently left out: a hidden file, or an unfinished download.
pub(crate) fn is_left_out(name: &str) -> bool {
    name.starts_with('.') || UNFINISHED.iter().any(|suffix| name.ends_with(suffix))
}

/// The share name of a file at this path in a folder.
///
/// # Errors
/// If it is no name, or too long.
pub(crate) fn shared_name(relative: &str) -> Result<FileName, NameError> {
    let name = FileName::from_input(relative)?;
    if name.is_chosen() { Ok(name) } else { Err(NameError::Tilde) }
}

/// Whether the name of a share allows a place in the user's folder: no part of it is hidden or looks like an unfinished
/// download.
pub(crate) fn may_be_placed(name: &FileName) -> bool {
    !name.as_str().split('/').any(is_left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::tests::file;

    #[test]
    fn a_shared_folder_leaves_out_hidden_and_unfinished_files() {
        for name in [".git", ".profile", "film.mkv.part", "film.mkv.part.meta"] {
            assert!(is_left_out(name), "{name}");
        }
        for name in ["a.b", "part", "a.party"] {
            assert!(!is_left_out(name), "{name}");
        }
    }

    #[test]
    fn a_name_is_the_path_below_the_folder_in_one_form() {
        assert_eq!(shared_name("a/Mu\u{308}ll").expect("a name"), file("a/Müll"));
        for bad in ["a~", "a~2", "a/../b", " a", "a/b /c", "a\nb", &"x/".repeat(200)] {
            assert!(shared_name(bad).is_err(), "{bad:?}");
        }
    }
}
