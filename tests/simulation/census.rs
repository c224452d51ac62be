//! What has happened, counted: what never happens is not tested.

/// Counts with names.
macro_rules! counts {
    ($(#[$about:meta])* $counts:ident { $($(#[$what:meta])* $count:ident,)* }) => {
        $(#[$about])*
        #[derive(Debug, Default, Clone)]
        pub(crate) struct $counts {
            $($(#[$what])* pub $count: usize,)*
        }

        impl $counts {
            fn add(&mut self, other: &Self) {
                $(self.$count += other.$count;)*
            }

            /// The names of what never happened.
            fn never(&self) -> Vec<&'static str> {
                [$((stringify!($count), self.$count),)*].iter().filter(|(_, n)| *n == 0).map(|(name, _)| *name).collect()
            }
        }
    };
}

counts! {
    /// What became of ops.
    Outcomes {
        effective,
        repeated,
        /// Carried out once more, since the command was not known any more.
        forgotten,
        as_wanted,
        overridden,
        renamed,
        merged,
        /// Somebody was told of a new version.
        superseded,
        /// An owner has left, and several members could be the next.
        succeeded,
        owners_made,
        owners_dropped,
        /// Somebody was added who had not asked.
        added,
        /// Somebody has asked to be let into a closed group.
        closed,
        read,
        unread,
        /// A user has logged out of a session that had not ended yet.
        logged_out,
        /// The author's account went with a disk.
        orphaned,
        /// What it was about was not there any more, and its author was told.
        ground_gone,
        /// Notices of changes that have no place.
        unplaced,
        /// What operators did, as far as it changed something.
        reset,
        kicked,
        disabled,
        enabled,
        deleted,
        given,
        group_deleted,
        /// A user's new password was lost to the one that an operator set.
        reset_vs_change,
        /// A group without members was given to somebody.
        revived_by_give,
        /// An operator has deleted what it was about, and its author was told.
        ground_deleted,
        /// An operator has deleted its author, who misses nothing.
        author_deleted,
        /// What floors have dropped.
        groups_dropped,
        shares_dropped,
        aliases_dropped,
        origins_dropped,
    }
}

counts! {
    /// How often things happened that are worth testing.
    Events {
        commands,
        acknowledged,
        /// Acknowledged, and gone with the only disk that had them.
        gone,
        late,
        restarts,
        /// Disks lost with what was on them.
        wiped,
        /// Disks replaced by an old copy that lacks something.
        restored,
        /// Disks replaced by an old copy that has what was lost.
        brought_back,
        /// Trackers put on the list in the middle.
        added,
        /// Ops that came from a tracker with which this one never links.
        by_a_third,
        /// Trackers that came to the others at the end, with changes of their own.
        alone,
        failed_writes,
        /// Everything was asked for again, since it could not be kept.
        asked_again,
        /// Trackers that an operator had all forget, and had them take back.
        forgotten,
        taken_back,
        /// Connections that were ended or refused because a tracker is forgotten.
        let_go,
        turned_away,
        /// Floors, and those among them that a tracker established alone, without a vote.
        floors,
        alone_floors,
        /// A tracker has established a floor since another one said so.
        by_word,
        /// Bases that were taken over.
        transfers,
        /// Trackers that let go of ops which a promise excludes.
        yields,
        /// Ops between unequal floors.
        passed_over,
        /// Changes in files of those that have no place.
        listed,
        /// Changes that were refused by a tracker that takes over a base.
        joining,
        proposals,
        /// Proposals in the place of others by the same tracker.
        replaced,
        /// The proposer ended after its promise, before it had the floor.
        died_promised,
        /// Crashes between the steps of establishing: after the votes, the base, and the change in memory.
        crashed_voted,
        crashed_based,
        crashed_swapped,
        /// Crashes between the steps of taking over a base or yielding: after the file, the copies, and the base.
        crashed_listed,
        crashed_copied,
        crashed_adopted,
        /// Two disks lost between the proposal of a floor and the end of that round.
        wiped_in_round,
        /// Floors that exclude each other: disks were lost, or trackers forgotten.
        forks,
        /// The same where only disks were lost.
        forks_by_loss,
        /// Bases that were taken over and exclude the own one, which went.
        set_aside,
        /// No floor can be agreed on, since two trackers have promised what excludes each other.
        excluded,
    }
}

/// What happened, and what became of ops.
#[derive(Debug, Default, Clone)]
pub(crate) struct Census {
    pub events: Events,
    pub outcomes: Outcomes,
}

impl Census {
    /// Both together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.events.add(&other.events);
        self.outcomes.add(&other.outcomes);
        self
    }

    /// Asserts that everything has happened.
    pub(crate) fn check(&self) {
        let never = [self.events.never(), self.outcomes.never()].concat();
        assert!(never.is_empty(), "these never happened: {never:?}");
    }
}
