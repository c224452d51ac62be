//! The next step towards a floor, from the view of one tracker. docs/FOLD.md says why these steps lose nothing.

use crate::model::id::{OpId, Seen};
use crate::model::op::floor::{FloorMark, FloorProposal};
use crate::tracker::state::State;
use imbl::OrdSet;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The ops that a tracker holds, durable or not.
pub trait HeldOps {
    /// The last op of each origin at or below a Lamport counter, ascending by origin. `None` if it cannot be told now.
    fn version_at(&self, lamport: u64) -> Option<Vec<Seen>>;
}

/// Everything that the next step depends on.
pub struct FloorView<'a> {
    /// The number of this tracker.
    pub me: u16,
    /// The other trackers of its list.
    pub listed: &'a BTreeSet<u16>,
    /// The durable state.
    pub state: &'a State,
    /// The floor under it.
    pub floor: FloorMark,
    /// The highest floor of the linked trackers.
    pub highest: Option<FloorMark>,
    /// Where the next floor would lie, if enough ops lie above this one for it to be due.
    pub next: Option<u64>,
    /// The last proposal of this run of the tracker.
    pub proposed: Option<OpId>,
    /// Whether so many ops lie above that proposal that a new one is better.
    pub outdated: bool,
    pub held: &'a dyn HeldOps,
}

/// The next step of a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FloorStep {
    /// The tracker waits for others.
    Wait(Standstill),
    /// There is no other tracker to agree with: it establishes a floor at once.
    EstablishAlone,
    /// It proposes a floor to these trackers.
    Propose { participants: Vec<u16> },
    /// It says that it holds exactly the ops of a proposal.
    Ready { proposal: OpId, floor: Arc<FloorProposal> },
    /// It promises to take no other op up to that floor.
    Promise { proposal: OpId, floor: Arc<FloorProposal> },
    /// All have promised: it establishes the floor.
    Establish(Arc<FloorProposal>),
    /// It holds ops that a promise of others excludes. It restarts and gives them up.
    Yield(Arc<FloorProposal>),
}

/// What a tracker waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standstill {
    #[default]
    NotDue,
    /// A linked tracker has a higher floor, and this one has to take its base.
    TakesBase(FloorMark),
    /// A linked tracker has a higher floor. Which ops this tracker has below that floor is unknown for now.
    LooksBack(FloorMark),
    /// This tracker has to propose.
    Proposer(u16),
    /// The trackers here know these, and the proposer does not.
    NotOnTheirList { proposer: u16, trackers: BTreeSet<u16> },
    /// These trackers are not ready yet.
    Ready(BTreeSet<u16>),
    /// These trackers have not promised yet; `promised` have.
    Promises { promised: usize, of: BTreeSet<u16> },
    /// These two trackers have promised floors that exclude each other.
    Contradiction([u16; 2]),
}

impl FloorView<'_> {
    /// The next step.
    pub fn step(&self) -> FloorStep {
        if let Some(gate) = yields_to(self.state, self.me, self.held) {
            return FloorStep::Yield(gate);
        }
        if let Some(higher) = self.highest.filter(|highest| *highest > self.floor) {
            return self.follow(higher);
        }
        if let Some(step) = self.keep_promises() {
            return step;
        }
        self.first_promise().or_else(|| self.be_ready()).unwrap_or_else(|| self.propose())
    }

    /// The way to the floor of another tracker. All participants have promised it, so the word of one is enough.
    fn follow(&self, higher: FloorMark) -> FloorStep {
        let heard = by_word(self.state, self.floor, higher).filter(|floor| self.lacks_none(floor));
        let Some(floor) = heard else { return FloorStep::Wait(Standstill::TakesBase(higher)) };
        match self.held.version_at(floor.mark.lamport) {
            Some(held) if held == floor.vector => FloorStep::Establish(Arc::clone(floor)),
            Some(_) => FloorStep::Wait(Standstill::TakesBase(higher)),
            None => FloorStep::Wait(Standstill::LooksBack(higher)),
        }
    }

    /// The step that promised floors demand. While a promise binds, no other floor comes up.
    fn keep_promises(&self) -> Option<FloorStep> {
        let mut open: Vec<_> = self.state.promises().filter(|(_, floor, _)| floor.after == self.floor).collect();
        // If several floors are agreed on, all trackers take the highest.
        open.sort_by_key(|(id, floor, _)| std::cmp::Reverse((floor.mark, *id)));
        let agreed = open.iter().find(|(_, floor, by)| lacking(self.live(floor), by).is_empty() && self.holds(floor));
        if let Some((_, floor, _)) = agreed {
            return Some(FloorStep::Establish(Arc::clone(floor)));
        }
        let mine = |(_, floor, by): &&(OpId, &Arc<FloorProposal>, &OrdSet<u16>)| {
            self.concerns_me(floor) && !by.contains(&self.me) && self.holds(floor)
        };
        // A tracker that has lost its disk may have promised a floor whose ops it lacks. Until it has them it promises
        // nothing else.
        let mut promised = open.iter().filter(|(_, _, by)| by.contains(&self.me));
        let keeps_word = promised.all(|(_, floor, _)| self.holds(floor));
        if let Some((id, floor, _)) = open.iter().find(mine).filter(|_| keeps_word) {
            return Some(FloorStep::Promise { proposal: *id, floor: Arc::clone(floor) });
        }
        // A floor that only forgotten trackers have promised may be lost with them.
        let (_, floor, by) = open.iter().find(|(_, _, by)| binds(self.state, by))?;
        let of = lacking(self.live(floor), by);
        let standstill = match self.contradicts() {
            Some(other) => Standstill::Contradiction([self.me, other]),
            None => Standstill::Promises { promised: by.len(), of },
        };
        Some(FloorStep::Wait(standstill))
    }

    /// The proposer promises first, once all are ready. It promises only in the run that made the proposal, so it still
    /// holds the ops of the proposal.
    fn first_promise(&self) -> Option<FloorStep> {
        let (id, floor, ready) = self.own_proposal()?;
        let agreed = self.is_sound(floor) && lacking(self.live(floor), ready).is_empty() && self.holds(floor);
        agreed.then(|| FloorStep::Promise { proposal: id, floor: Arc::clone(floor) })
    }

    fn be_ready(&self) -> Option<FloorStep> {
        let mut proposals = self.state.proposals().filter(|(_, floor, ready)| {
            self.is_sound(floor) && self.concerns_me(floor) && !ready.contains(&self.me) && self.holds(floor)
        });
        proposals.next().map(|(id, floor, _)| FloorStep::Ready { proposal: id, floor: Arc::clone(floor) })
    }

    /// The tracker with the lowest number proposes. It proposes again if its proposal can no longer succeed.
    fn propose(&self) -> FloorStep {
        // A floor at or below the promises of this one would be useless.
        let lowest = self.state.promised_at().max(self.floor.lamport + 1);
        if self.next.is_none_or(|next| next < lowest) {
            return FloorStep::Wait(Standstill::NotDue);
        }
        let known = self.known();
        let Some(&proposer) = known.first().filter(|_| known.len() > 1) else { return FloorStep::EstablishAlone };
        if proposer != self.me {
            return FloorStep::Wait(self.waits_for(proposer, &known));
        }
        match self.own_proposal() {
            Some((_, floor, ready)) if !self.outdated && self.is_sound(floor) && self.holds(floor) => {
                FloorStep::Wait(Standstill::Ready(lacking(self.live(floor), ready)))
            }
            _ => FloorStep::Propose { participants: known.into_iter().collect() },
        }
    }

    fn waits_for(&self, proposer: u16, known: &BTreeSet<u16>) -> Standstill {
        let of_proposer = |(id, ..): &(OpId, &Arc<FloorProposal>, &OrdSet<u16>)| id.origin.tracker == proposer;
        let Some((_, floor, ready)) = self.state.proposals().find(of_proposer) else {
            return Standstill::Proposer(proposer);
        };
        let trackers: BTreeSet<u16> = known.iter().copied().filter(|&number| !floor.concerns(number)).collect();
        if !trackers.is_empty() {
            return Standstill::NotOnTheirList { proposer, trackers };
        }
        let lacking = lacking(self.live(floor), ready);
        if lacking.is_empty() { Standstill::Proposer(proposer) } else { Standstill::Ready(lacking) }
    }

    /// The trackers that have to agree, as far as this one knows: those of the list, and those that have issued an op.
    /// Forgotten ones are left out.
    fn known(&self) -> BTreeSet<u16> {
        let all = self.state.tracker_numbers().chain(self.listed.iter().copied());
        all.filter(|&number| !self.state.is_forgotten(number)).chain([self.me]).collect()
    }

    /// The participants of a floor that are not forgotten.
    fn live(&self, floor: &FloorProposal) -> BTreeSet<u16> {
        floor.participants.iter().copied().filter(|&number| !self.state.is_forgotten(number)).collect()
    }

    fn concerns_me(&self, floor: &FloorProposal) -> bool {
        floor.concerns(self.me) && !self.state.is_forgotten(self.me)
    }

    /// Whether a proposal can succeed, as far as this tracker knows.
    fn is_sound(&self, floor: &FloorProposal) -> bool {
        let all_agree = || self.known().into_iter().all(|number| floor.concerns(number));
        floor.after == self.floor && floor.mark.lamport >= self.state.promised_at() && all_agree()
    }

    fn own_proposal(&self) -> Option<(OpId, &Arc<FloorProposal>, &OrdSet<u16>)> {
        self.state.proposals().find(|(id, ..)| self.proposed == Some(*id))
    }

    /// Whether this tracker holds exactly the ops of a floor, up to its counter.
    fn holds(&self, floor: &FloorProposal) -> bool {
        // The quick check first. It usually decides while other trackers wait for ops.
        self.lacks_none(floor) && self.held.version_at(floor.mark.lamport).is_some_and(|held| held == floor.vector)
    }

    fn lacks_none(&self, floor: &FloorProposal) -> bool {
        floor.vector.iter().all(|seen| seen.seq <= self.state.seen(seen.origin))
    }

    /// A tracker with a promise that contradicts the promise of this one.
    fn contradicts(&self) -> Option<u16> {
        let open = self.state.promises().filter(|(_, floor, _)| floor.after == self.floor);
        let mut binding = open.filter(|(_, _, by)| binds(self.state, by));
        let excluding = binding.find(|(_, floor, _)| {
            let held = self.held.version_at(floor.mark.lamport);
            held.is_some_and(|held| excludes_held(floor, &held))
        });
        excluding.and_then(|(_, _, by)| by.iter().copied().find(|&number| !self.state.is_forgotten(number)))
    }
}

/// The floor that follows a tracker's own one and has this mark, if the tracker knows it as a proposal or a promise.
/// The tracker may establish it on the word of another one that has established it: by then all participants have
/// promised it.
pub fn by_word(state: &State, own: FloorMark, theirs: FloorMark) -> Option<&Arc<FloorProposal>> {
    let promised = state.promises().map(|(_, floor, _)| floor);
    let mut heard = promised.chain(state.proposals().map(|(_, floor, _)| floor));
    heard.find(|floor| floor.mark == theirs && floor.after == own)
}

/// The promise of others that excludes an op of the tracker `me`. It is the highest promise, to which all trackers
/// yield alike. `None` if it excludes ops that `me` has promised itself. Also `None` if the excluded ops are all in
/// the base, which a tracker cannot give up.
pub fn yields_to(state: &State, me: u16, held: &dyn HeldOps) -> Option<Arc<FloorProposal>> {
    let gate = state.gate()?;
    let based = held.version_at(state.floor())?;
    let mut held = held.version_at(gate.mark.lamport)?;
    let in_base =
        |seen: &Seen| based.binary_search_by_key(&seen.origin, |of| of.origin).is_ok_and(|at| based[at] == *seen);
    held.retain(|seen| !in_base(seen));
    // The part of these ops that the tracker has promised.
    let promised = |own: &FloorProposal| -> Vec<Seen> {
        let seq = |seen: &Seen| seen.seq.min(own.seen(seen.origin));
        held.iter().map(|seen| Seen { seq: seq(seen), ..*seen }).collect()
    };
    let mut own = state.promises().filter(|(_, _, by)| by.contains(&me)).map(|(_, floor, _)| floor);
    let yields = excludes_held(gate, &held) && !own.any(|own| excludes_held(gate, &promised(own)));
    yields.then(|| Arc::clone(gate))
}

/// Whether some tracker among these is not forgotten.
fn binds(state: &State, by: &OrdSet<u16>) -> bool {
    by.iter().any(|&number| !state.is_forgotten(number))
}

/// Whether a floor excludes some of these ops, which lie at or below it.
fn excludes_held(floor: &FloorProposal, held: &[Seen]) -> bool {
    held.iter().any(|seen| seen.seq > floor.seen(seen.origin))
}

fn lacking(of: BTreeSet<u16>, have: &OrdSet<u16>) -> BTreeSet<u16> {
    of.into_iter().filter(|number| !have.contains(number)).collect()
}

#[cfg(test)]
mod tests;
