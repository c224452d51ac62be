//! What has happened, counted: what never happens is not tested.

/// What became of ops.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcomes {
    pub effective: usize,
    pub repeated: usize,
    /// Carried out once more, since the command was not known any more.
    pub forgotten: usize,
    pub as_wanted: usize,
    pub overridden: usize,
    pub renamed: usize,
    pub merged: usize,
    /// An owner has left, and several members could be the next.
    pub succeeded: usize,
    pub read: usize,
    pub unread: usize,
}

/// How often things happened that are worth testing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Census {
    pub commands: usize,
    pub acknowledged: usize,
    /// Acknowledged, and gone with the only disk that had them.
    pub gone: usize,
    pub late: usize,
    pub restarts: usize,
    /// Disks lost with what was on them.
    pub wiped: usize,
    /// Disks replaced by an old copy that lacks something.
    pub restored: usize,
    /// Disks replaced by an old copy that has what was lost.
    pub brought_back: usize,
    /// Trackers put on the list in the middle.
    pub added: usize,
    /// Ops that came from a tracker with which this one never links.
    pub by_a_third: usize,
    /// Trackers that came to the others at the end, with changes of their own.
    pub alone: usize,
    pub failed_writes: usize,
    /// Everything was asked for again, since it could not be kept.
    pub asked_again: usize,
    /// Trackers that an operator had all forget, and had them take back.
    pub forgotten: usize,
    pub taken_back: usize,
    /// Connections that were ended or refused because a tracker is forgotten.
    pub let_go: usize,
    pub turned_away: usize,
    pub outcomes: Outcomes,
}

impl Census {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        let (a, b) = (self.outcomes, other.outcomes);
        let outcomes = Outcomes {
            effective: a.effective + b.effective,
            repeated: a.repeated + b.repeated,
            forgotten: a.forgotten + b.forgotten,
            as_wanted: a.as_wanted + b.as_wanted,
            overridden: a.overridden + b.overridden,
            renamed: a.renamed + b.renamed,
            merged: a.merged + b.merged,
            succeeded: a.succeeded + b.succeeded,
            read: a.read + b.read,
            unread: a.unread + b.unread,
        };
        Self {
            commands: self.commands + other.commands,
            acknowledged: self.acknowledged + other.acknowledged,
            gone: self.gone + other.gone,
            late: self.late + other.late,
            restarts: self.restarts + other.restarts,
            wiped: self.wiped + other.wiped,
            restored: self.restored + other.restored,
            brought_back: self.brought_back + other.brought_back,
            added: self.added + other.added,
            by_a_third: self.by_a_third + other.by_a_third,
            alone: self.alone + other.alone,
            failed_writes: self.failed_writes + other.failed_writes,
            asked_again: self.asked_again + other.asked_again,
            forgotten: self.forgotten + other.forgotten,
            taken_back: self.taken_back + other.taken_back,
            let_go: self.let_go + other.let_go,
            turned_away: self.turned_away + other.turned_away,
            outcomes,
        }
    }

    /// Asserts that of everything something has happened.
    pub(crate) fn check(&self) {
        let Outcomes { effective, repeated, forgotten, as_wanted, overridden, .. } = self.outcomes;
        let Outcomes { renamed, merged, succeeded, read, unread, .. } = self.outcomes;
        let outcomes =
            [effective, repeated, forgotten, as_wanted, overridden, renamed, merged, succeeded, read, unread];
        let disks = [self.gone, self.wiped, self.restored, self.brought_back, self.failed_writes];
        let meetings = [self.added, self.by_a_third, self.alone, self.late, self.asked_again];
        let operators = [self.forgotten, self.taken_back, self.let_go, self.turned_away];
        let rest = [disks.as_slice(), &meetings, &operators].concat();
        assert!(outcomes.iter().chain(&rest).all(|count| *count > 0), "{self:?}");
    }
}
