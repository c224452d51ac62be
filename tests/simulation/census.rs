//! What has happened, counted: what never happens is not tested.

use super::oracle::Outcomes;

/// How often things happened that are worth testing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Census {
    pub commands: usize,
    pub acknowledged: usize,
    /// Acknowledged, and gone with the only disk that had them.
    pub gone: usize,
    pub late: usize,
    pub restarts: usize,
    pub older_disks: usize,
    pub empty_disks: usize,
    pub failed_writes: usize,
    /// Everything was asked for again, since it could not be kept.
    pub asked_again: usize,
    pub outcomes: Outcomes,
}

impl Census {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        let (a, b) = (self.outcomes, other.outcomes);
        let outcomes = Outcomes {
            effective: a.effective + b.effective,
            repeated: a.repeated + b.repeated,
            as_wanted: a.as_wanted + b.as_wanted,
            overridden: a.overridden + b.overridden,
            renamed: a.renamed + b.renamed,
            merged: a.merged + b.merged,
            read: a.read + b.read,
            unread: a.unread + b.unread,
        };
        Self {
            commands: self.commands + other.commands,
            acknowledged: self.acknowledged + other.acknowledged,
            gone: self.gone + other.gone,
            late: self.late + other.late,
            restarts: self.restarts + other.restarts,
            older_disks: self.older_disks + other.older_disks,
            empty_disks: self.empty_disks + other.empty_disks,
            failed_writes: self.failed_writes + other.failed_writes,
            asked_again: self.asked_again + other.asked_again,
            outcomes,
        }
    }

    /// Asserts that of everything something has happened.
    pub(crate) fn check(&self) {
        let Outcomes { effective, repeated, as_wanted, overridden, renamed, merged, read, unread } = self.outcomes;
        let outcomes = [effective, repeated, as_wanted, overridden, renamed, merged, read, unread];
        let rest = [self.gone, self.late, self.older_disks, self.empty_disks, self.failed_writes, self.asked_again];
        assert!(outcomes.iter().chain(&rest).all(|count| *count > 0), "{self:?}");
    }
}
