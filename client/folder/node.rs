//! What tells a folder from every other one, also after the system was started anew or a disk was plugged in again. Pure.

use std::time::Duration;

/// Which folder it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FolderNode {
    /// Number of the device. It can be another one after the next start of the system.
    pub device: u64,
    pub inode: u64,
    /// When it was made, since 1970, where the file system keeps that.
    pub born: Option<Duration>,
}

impl FolderNode {
    /// Whether the other one is the same folder. Where it is known when both were made, that decides: no two folders of one
    /// number are made in the same nanosecond. A disk has other numbers of devices from time to time, and another disk
    /// gets those.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let devices = || self.device == other.device;
        self.inode == other.inode && self.born.zip(other.born).map_or_else(devices, |(one, other)| one == other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_known_again_on_a_device_of_another_number_and_another_folder_is_not_taken_for_it() {
        let node = |device, inode, born: u64| FolderNode { device, inode, born: Some(Duration::from_nanos(born)) };
        let unborn = |device, inode| FolderNode { device, inode, born: None };
        assert!(node(1, 2, 3).is_same(&node(1, 2, 3)) && node(1, 2, 3).is_same(&node(9, 2, 3)));
        assert!(!node(1, 2, 3).is_same(&node(1, 2, 4)), "another disk has its number");
        assert!(!node(1, 2, 3).is_same(&node(1, 5, 3)));
        for other in [unborn(1, 2), node(1, 2, 3)] {
            assert!(unborn(1, 2).is_same(&other) && !unborn(9, 2).is_same(&other), "the device is all there is");
        }
    }
}
