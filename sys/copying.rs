//! Copying between files inside the kernel: as shared blocks if the file system can, else as bytes.

use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::ops::Range;

/// Makes a file share all blocks of another one. False if the file systems cannot.
pub fn clone_blocks(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

/// Copies a range of a file to the same place in another one. Returns how many bytes it copied: fewer than asked for if
/// the file ends, or if the kernel cannot copy between these two.
///
/// # Errors
/// Those of copy_file_range(2), except the ones that say that the kernel cannot copy here.
pub fn copy_range(from: &File, to: &File, range: Range<u64>) -> io::Result<u64> {
    let (mut read_at, mut write_at) = (range.start, range.start);
    while read_at < range.end {
        // Both values fit: the kernel copies less than 2^31 bytes in one call.
        let len = (range.end - read_at).min(1 << 30) as usize;
        match retry_on_intr(|| rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), len)) {
            Ok(0) | Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => break,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(read_at - range.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_stretch_lands_in_the_same_place_and_the_rest_stays() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let (one, two) = (temp.path().join("one"), temp.path().join("two"));
        fs::write(&one, "0123456789").expect("written");
        fs::write(&two, "abcdefghij").expect("written");
        let from = File::open(&one).expect("there");
        let to = fs::OpenOptions::new().write(true).open(&two).expect("there");
        let copied = copy_range(&from, &to, 3..6).expect("no error");
        match copied {
            0 => assert_eq!(fs::read(&two).expect("there"), b"abcdefghij", "the kernel cannot"),
            _ => assert_eq!((copied, fs::read(&two).expect("there")), (3, b"abc345ghij".to_vec())),
        }
        if clone_blocks(&from, &to) {
            assert_eq!(fs::read(&two).expect("there"), b"0123456789");
        }
    }
}
