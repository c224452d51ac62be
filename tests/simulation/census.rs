//! Counts of the events: an event that never comes is not tested.

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

            /// The names of the events that never came.
            fn never(&self) -> Vec<&'static str> {
                [$((stringify!($count), self.$count),)*].iter().filter(|(_, n)| *n == 0).map(|(name, _)| *name).collect()
            }
        }
    };
}

counts! {
    /// The outcomes of ops.
    Outcomes {
        effective,
        repeated,
        /// Carried out a second time, since the trackers no longer knew the command.
        forgotten,
        as_wanted,
        overridden,
        renamed,
        merged,
        /// A user heard of a new version.
        superseded,
        /// An owner has left, and several members could be the next.
        succeeded,
        owners_made,
        owners_dropped,
        /// A user was added without having asked.
        added,
        /// A user asked to join a closed group.
        closed,
        read,
        unread,
        /// A user logged out of a session that had not ended.
        logged_out,
        /// The author's account was lost with a disk.
        orphaned,
        /// Its group or share was gone, and its author heard of that.
        ground_gone,
        /// Notices of changes without a place.
        unplaced,
        /// Actions of operators that changed something.
        reset,
        kicked,
        disabled,
        enabled,
        deleted,
        given,
        group_deleted,
        /// A user's new password lost against an operator's.
        reset_vs_change,
        /// An operator gave a group without members to a user.
        revived_by_give,
        /// An operator had deleted its group or share, and its author heard of that.
        ground_deleted,
        /// An operator had deleted its author, so nobody misses it.
        author_deleted,
        /// Dropped by floors.
        groups_dropped,
        shares_dropped,
        aliases_dropped,
        origins_dropped,
    }
}

counts! {
    /// Events that are worth testing, and how often they came.
    Events {
        commands,
        acknowledged,
        /// Acknowledged, and lost with the only disk that had it.
        gone,
        late,
        restarts,
        /// Disks lost with their contents.
        wiped,
        /// Disks replaced by an old copy that lacks something.
        restored,
        /// Disks replaced by an old copy that has something lost.
        brought_back,
        /// Trackers added to the list during the run.
        added,
        /// Ops from a tracker with which this one never links.
        by_a_third,
        /// Trackers that met the others only at the end, with changes of their own.
        alone,
        failed_writes,
        /// A request to send everything again, since it could not be kept.
        asked_again,
        /// Trackers that an operator made all others forget, and take back.
        forgotten,
        taken_back,
        /// Connections that ended or were refused because of a forgotten tracker.
        let_go,
        turned_away,
        /// Floors. The second count has those that a tracker established alone, without a vote.
        floors,
        alone_floors,
        /// Floors that a tracker established on the word of another one.
        by_word,
        /// Bases that a tracker took over.
        transfers,
        /// Trackers that dropped ops which a promise excludes.
        yields,
        /// Ops between different floors.
        passed_over,
        /// Changes that a tracker listed in a file because they have no place.
        listed,
        /// Changes refused by a tracker that takes over a base.
        joining,
        proposals,
        /// Proposals that replace earlier ones of the same tracker.
        replaced,
        /// Proposers that ended after their promise, before they had the floor.
        died_promised,
        /// Crashes between the steps of a floor: after the votes, the base, and the change in memory.
        crashed_voted,
        crashed_based,
        crashed_swapped,
        /// Crashes between the steps of taking over a base or yielding: after the file, the copies, and the base.
        crashed_listed,
        crashed_copied,
        crashed_adopted,
        /// Two disks lost between the proposal of a floor and the end of its round.
        wiped_in_round,
        /// Floors that exclude each other, since disks were lost or trackers forgotten.
        forks,
        /// The same where only disks were lost.
        forks_by_loss,
        /// Bases taken over that exclude the tracker's own base, which was dropped.
        set_aside,
        /// Two trackers have promised floors that exclude each other, so no floor can be agreed on.
        excluded,
    }
}

/// The events, and the outcomes of ops.
#[derive(Debug, Default, Clone)]
pub(crate) struct Census {
    pub events: Events,
    pub outcomes: Outcomes,
}

impl Census {
    /// The sum of both.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.events.add(&other.events);
        self.outcomes.add(&other.outcomes);
        self
    }

    /// Asserts that every event has come.
    pub(crate) fn check(&self) {
        let never = [self.events.never(), self.outcomes.never()].concat();
        assert!(never.is_empty(), "these never happened: {never:?}");
    }
}
