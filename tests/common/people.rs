//! Users at programs of their own: they have accounts, log in, and join groups.

use super::installation::Installation;
use super::program::Program;

impl Installation {
    /// A new user, logged in at a client with these options.
    pub(crate) fn user(&self, name: &str, options: &[&str]) -> Program {
        let mut user = self.person(name, 1, options);
        user.told(&format!("create_user {name} pw"), "User created");
        user.told(&format!("login {name} pw"), "Login successful");
        user
    }

    /// The same user at a client that was started again.
    pub(crate) fn user_again(&self, name: &str) -> Program {
        let mut user = self.person_again(name, &[]);
        user.told(&format!("login {name} pw"), "Login successful");
        user
    }

    /// The owner of a new group, and its members.
    pub(crate) fn group<const N: usize>(
        &self,
        group: &str,
        owner: &str,
        members: [&str; N],
    ) -> (Program, [Program; N]) {
        let mut owner = self.user(owner, &[]);
        owner.told(&format!("create_group {group}"), "Group created");
        let members = members.map(|name| {
            let mut member = self.user(name, &[]);
            member.joins(name, group, &mut owner);
            member
        });
        (owner, members)
    }
}

impl Program {
    /// Joins a group with the consent of its owner.
    pub(crate) fn joins(&mut self, name: &str, group: &str, owner: &mut Program) {
        self.told(&format!("join_group {group}"), "Request sent");
        owner.expect(&format!("{name} asks to join {group}"));
        owner.told(&format!("accept_request {group} {name}"), "Request accepted");
        self.expect(&format!("You are a member of {group} now"));
    }
}
