//! Fills a part from a copy of the content elsewhere on this machine.

use super::Part;
use crate::client::storage::local_name::locate;
use crate::sys::files::open_unlinked;
use crate::sys::{copying, space};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The number of bytes to copy between two looks at the flag.
const STEP_LEN: u64 = 64 << 20;

impl Part {
    /// Copies the content of a file or folder elsewhere, as far as the kernel can copy. Follows no symbolic link.
    /// Nothing of the copy counts before it is verified. Stops early if `cancel` is set.
    ///
    /// # Errors
    /// Those of the disk. The bytes copied before stay.
    pub fn copy_from(&self, root: &Path, cancel: &AtomicBool) -> io::Result<()> {
        self.fresh.store(false, Ordering::Relaxed);
        for (number, entry) in self.manifest().files().iter().enumerate() {
            let Ok(from) = open_unlinked(&locate(root, &entry.path)) else { continue };
            let (found, to) = (from.metadata()?, self.file(number)?);
            // A file of another length has another content.
            if found.is_file() && found.len() == entry.len && !copying::clone_blocks(&from, &to) {
                copy_data(&from, &to, entry.len, cancel)?;
            }
            if cancel.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Copies the data, without the holes.
fn copy_data(from: &File, to: &File, len: u64, cancel: &AtomicBool) -> io::Result<()> {
    for range in space::data_ranges(from, len) {
        let mut range = range?;
        while range.start < range.end && !cancel.load(Ordering::Relaxed) {
            let step = range.start..range.end.min(range.start + STEP_LEN);
            match copying::copy_range(from, to, step)? {
                0 => return Ok(()),
                copied => range.start += copied,
            }
        }
    }
    Ok(())
}
