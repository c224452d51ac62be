//! The identity of a folder, which survives a restart of the system and a reconnected disk. Pure.

use std::time::Duration;

/// The identity of a folder, under any name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FolderNode {
    /// The number of the device, which may change with the next start of the system.
    pub device: u64,
    pub inode: u64,
    /// The creation time since 1970, if the file system stores it.
    pub born: Option<Duration>,
}

impl FolderNode {
    /// Whether both are the same folder. If both creation times are known, they decide: no two folders with one number
    /// are made in the same nanosecond. A disk gets new device numbers from time to time, and another disk gets the old
    /// ones.
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
