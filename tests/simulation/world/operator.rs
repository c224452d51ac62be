//! Actions of operators. They make all trackers forget one or take it back, and they make, reset and delete accounts
//! and groups.

use super::super::clients::USERS;
use super::{World, brief};
use groupshare::model::id::CommandId;
use groupshare::model::name::{GroupId, UserId};
use groupshare::model::op::{OpBody, PasswordHash};
use groupshare::tracker::ledger::operator::OperatorChange;
use groupshare::tracker::state::{AccountStanding, State};

impl World {
    /// An operator changes a user or a group, or a tracker's standing.
    pub(super) fn operate(&mut self) {
        let Some(t) = self.some_running() else { return };
        if self.dice.percent(70) { self.manage(t) } else { self.forget_some(t) }
    }

    /// An operator changes an account or a group that the tracker knows.
    fn manage(&mut self, t: usize) {
        if self.higher_floor(t).is_some() {
            return;
        }
        let state = self.trackers[t].run.as_ref().expect("it runs").ledger.state().clone();
        if let Some(change) = self.operator_change(&state) {
            self.administer(t, &change);
        }
    }

    /// If operators have disabled everybody, they enable everybody again. Otherwise no user makes changes.
    pub(super) fn let_users_in(&mut self) {
        let users = self.durable(0).users_after(None, 99);
        if users.iter().any(|account| account.standing == AccountStanding::Active) {
            return;
        }
        for account in users.into_iter().filter(|account| account.standing == AccountStanding::Disabled) {
            self.administer(0, &OperatorChange::EnableUser { user: account.name });
        }
        self.settle();
    }

    fn administer(&mut self, t: usize, change: &OperatorChange) {
        // No client's command has such an id.
        let command = CommandId((1 << 127 | self.managed).to_be_bytes());
        self.managed += 1;
        if let Some(op) = self.trackers[t].manage(command, change) {
            say!(self, "{}: operator: {change:?}, by {:?}", t + 1, op.id);
        }
    }

    fn operator_change(&mut self, state: &State) -> Option<OperatorChange> {
        let of = |standing| {
            let users = state.users_after(None, 99).into_iter().filter(move |account| account.standing == standing);
            users.map(|account| account.name).collect::<Vec<UserId>>()
        };
        let (active, disabled) = (of(AccountStanding::Active), of(AccountStanding::Disabled));
        let groups: Vec<GroupId> = state.groups_all_after(None, 99).into_iter().map(|info| info.name).collect();
        let user = self.dice.pick(&active)?;
        let password = PasswordHash(format!("operator's password {}", self.managed).into());
        Some(match self.dice.below(20) {
            0 => OperatorChange::MakeUser { name: UserId::parse(self.dice.word(&USERS)).expect("a name"), password },
            1..5 => OperatorChange::ResetPassword { user, password },
            5..7 => OperatorChange::EndSessions { user },
            7..9 => OperatorChange::DisableUser { user },
            9..12 => OperatorChange::EnableUser { user: self.dice.pick(&disabled)? },
            // Their names stay taken, and the remaining users must go on.
            12..14 if active.len() > 2 => OperatorChange::DeleteUser { user },
            14 | 15 => OperatorChange::DeleteGroup { group: self.dice.pick(&groups)? },
            _ => OperatorChange::GiveGroup { group: self.dice.pick(&groups)?, user },
        })
    }

    /// An operator makes all trackers forget one, or take it back. The numbers include one without a tracker.
    fn forget_some(&mut self, t: usize) {
        let gone: Vec<u16> = self.durable(t).forgotten().collect();
        let back = self.dice.pick(&gone).filter(|_| self.dice.percent(50));
        let forget = back.is_none();
        let number = back.unwrap_or_else(|| self.dice.below(self.trackers.len() + 1) as u16 + 1);
        if number == self.trackers[t].number {
            return;
        }
        self.say_of(t, number, forget);
    }

    /// The operator of a tracker makes all forget another one, or take it back. Returns whether that changes anything.
    pub(super) fn say_of(&mut self, t: usize, number: u16, forget: bool) -> bool {
        let body = if forget {
            OpBody::ForgetTracker { tracker: number }
        } else {
            OpBody::UnforgetTracker { tracker: number }
        };
        let changes = self.trackers[t].operate(body);
        if changes {
            say!(self, "{}: tracker {number} is {}", t + 1, if forget { "forgotten" } else { "taken back" });
            *(if forget { &mut self.census.forgotten } else { &mut self.census.taken_back }) += 1;
        }
        changes
    }

    /// Whether a tracker has forgotten another one.
    pub(super) fn has_forgotten(&self, here: usize, there: usize) -> bool {
        self.durable(here).is_forgotten(self.trackers[there].number)
    }

    /// A tracker ends its connections with forgotten ones.
    pub(super) fn let_go(&mut self, t: usize) {
        for (conn, side) in self.ends() {
            let [here, there] = [side, 1 - side].map(|side| self.of(conn)[side]);
            if here == t && self.has_forgotten(here, there) {
                say!(self, "{}: ends a connection with {}, which is forgotten", here + 1, there + 1);
                self.census.let_go += 1;
                self.close((conn, side));
            }
        }
    }

    /// Takes back every tracker that is still forgotten somewhere. Returns whether there was one.
    pub(super) fn take_back(&mut self) -> bool {
        let count = self.trackers.len() as u16;
        let mut found = false;
        for tracker in self.trackers.iter_mut() {
            let Some(run) = &tracker.run else { continue };
            let state = run.ledger.state().clone();
            for number in state.forgotten().filter(|number| *number <= count) {
                found |= tracker.operate(OpBody::UnforgetTracker { tracker: number });
            }
        }
        found
    }
}
