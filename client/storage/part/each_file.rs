//! Works on several files of a folder at a time, because to make and open very many small files takes longer than to
//! write them.

use crate::model::manifest::{FileEntry, Manifest};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

/// The number of files that a thread takes at a time. Neighbours in the list are mostly in one folder.
const TAKEN: usize = 64;
/// The maximum number of threads.
const THREADS_MAX: usize = 8;

/// Calls `work` for every file, with its number. The calling thread alone handles few files.
///
/// # Errors
/// An error of `work`. Then some files were left out.
pub(super) fn for_each_file<E: Send>(
    manifest: &Manifest,
    work: impl Fn(usize, &FileEntry) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let files = manifest.files();
    let next = AtomicUsize::new(0);
    let take = || {
        loop {
            let first = next.fetch_add(TAKEN, Ordering::Relaxed).min(files.len());
            let taken = &files[first..files.len().min(first + TAKEN)];
            if taken.is_empty() {
                return Ok(());
            }
            for (number, file) in (first..).zip(taken) {
                work(number, file).inspect_err(|_| next.store(files.len(), Ordering::Relaxed))?;
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let helpers = cores.min(files.len().div_ceil(TAKEN)).saturating_sub(1);
    thread::scope(|scope| {
        // If the system refuses a thread, fewer threads do the work.
        let start = |_| Builder::new().name("files".to_owned()).spawn_scoped(scope, take).ok();
        let helpers: Vec<_> = (0..helpers).filter_map(start).collect();
        let ended = helpers.into_iter().map(|helper| helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.fold(take(), Result::and)
    })
}

/// Whether this holds for any file.
pub(super) fn any_file(manifest: &Manifest, holds: impl Fn(usize, &FileEntry) -> bool + Sync) -> bool {
    for_each_file(manifest, |number, file| if holds(number, file) { Err(()) } else { Ok(()) }).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::path::RelPath;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_file_is_done_once_and_an_error_ends_it() {
        for count in [0, 1, TAKEN, 10 * TAKEN + 1] {
            let entry = |number| FileEntry { path: RelPath::parse(&format!("d/{number:04}")).expect("a path"), len: 0 };
            let manifest = Manifest::new((0..count).map(entry).collect(), Vec::new());
            let Ok(manifest) = manifest else {
                assert_eq!(count, 0);
                continue;
            };
            let done: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
            let once = for_each_file(&manifest, |number, file| {
                assert!(file.path.as_str().ends_with(&format!("{number:04}")));
                done[number].fetch_add(1, Ordering::Relaxed);
                Ok::<_, usize>(())
            });
            assert!(once.is_ok() && done.iter().all(|done| done.load(Ordering::Relaxed) == 1));
            let fails = |number, _: &FileEntry| if number == count / 2 { Err(number) } else { Ok(()) };
            assert_eq!(for_each_file(&manifest, fails), Err(count / 2));
            assert!(any_file(&manifest, |number, _| number + 1 == count) && !any_file(&manifest, |_, _| false));
        }
    }
}
