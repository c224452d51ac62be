//! What an operator can look at: one durable state, and who is online. Lists come in pages.

use super::{Server, limit_looks};
use crate::model::name::pattern::NamePattern;
use crate::model::name::{GroupId, UserId};
use crate::model::units;
use crate::tracker::core::Core;
use crate::tracker::ledger::quota::Quota;
use crate::tracker::operator::answer::{CommandRefusal, Outcome, Row};
use crate::tracker::operator::command::OperatorCommand;
use crate::tracker::operator::dialogue::{Dialogue, Gone};
use crate::tracker::presence::OnlineClient;
use crate::tracker::state::{Account, AccountStanding, GroupInfo, MemberInfo, Membership, State};
use crate::wire::refusal::{Code, Refusal};
use serde_json::{Value, json};
use std::sync::Arc;

/// The most rows made at a time.
const PAGE: usize = 1000;

/// The parts of a running tracker that an operator looks at. A slow reader keeps only this snapshot of the state.
pub struct Looks {
    core: Arc<Core>,
    state: Arc<State>,
    /// The number of this tracker.
    number: u16,
}

/// Why an operator cannot see something.
enum LookError {
    Gone,
    Refused(Refusal),
}

impl From<Gone> for LookError {
    fn from(Gone: Gone) -> Self {
        LookError::Gone
    }
}

impl From<Refusal> for LookError {
    fn from(refusal: Refusal) -> Self {
        LookError::Refused(refusal)
    }
}

/// The words and the code of a refusal.
pub(super) fn refusal_of(refusal: &Refusal) -> CommandRefusal {
    CommandRefusal { code: format!("{:?}", refusal.code), words: refusal.to_string() }
}

impl Server {
    /// The present snapshot to look at.
    pub fn looks(&self) -> Looks {
        Looks { core: self.core.clone(), state: self.core.state(), number: self.number }
    }
}

impl Looks {
    /// Shows what a command asks for. Does nothing for a command that does not look.
    pub fn show(&self, command: &OperatorCommand, to: &mut dyn Dialogue) -> Outcome {
        let shown = match command {
            OperatorCommand::Users(pattern) => self.users(pattern, to),
            OperatorCommand::User(user) => self.user(user, to),
            OperatorCommand::Online => self.online(to),
            OperatorCommand::Groups(pattern) => self.groups(pattern, to),
            OperatorCommand::Group(group) => self.group(group, to),
            OperatorCommand::Files(group) => self.files(group, to),
            OperatorCommand::Limits => {
                tell(Row::table(limit_looks::rows(&self.core, &self.state)), to).map_err(From::from)
            }
            _ => Ok(()),
        };
        match shown {
            Ok(()) => Outcome::Done,
            Err(LookError::Gone) => Outcome::Gone,
            Err(LookError::Refused(refusal)) => Outcome::Refused(refusal_of(&refusal)),
        }
    }

    fn users(&self, pattern: &NamePattern, to: &mut dyn Dialogue) -> Result<(), LookError> {
        let mut after: Option<UserId> = None;
        loop {
            let page = self.state.users_after(after.as_ref(), PAGE);
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.name.clone());
            let meant: Vec<&Account> = page.iter().filter(|user| pattern.matches(user.name.as_str())).collect();
            let online = self.core.presence.client_counts(meant.iter().map(|account| account.user));
            let rows = meant.iter().zip(online).map(|(account, online)| self.user_row(account, online));
            tell(Row::table(rows.collect()), to)?;
        }
    }

    fn user_row(&self, account: &Account, online: u32) -> (Vec<String>, Value) {
        let groups = self.state.groups_of(account.user, None, usize::MAX).len();
        let (owned, shares) = (self.state.owned_count(account.user), self.state.shares_of(account.user).count());
        let name = account.name.as_str();
        let fields = vec![
            name.to_owned(),
            standing(account.standing).to_owned(),
            format!("online {online}"),
            format!("groups {groups}"),
            format!("owns {owned}"),
            format!("shares {shares}"),
        ];
        let json = json!({
            "user_id": name,
            "standing": standing(account.standing),
            "online": online,
            "groups": groups,
            "owned": owned,
            "shares": shares,
        });
        (fields, json)
    }

    /// The groups of a user by name, with whether the user owns each.
    fn groups_of(&self, account: &Account) -> Vec<(GroupId, bool)> {
        let groups = self.state.groups_of(account.user, None, usize::MAX).into_iter();
        let owns = |group| self.state.membership(group, account.user) == Membership::Owner;
        groups.map(|(group, name)| (name, owns(group))).collect()
    }

    fn user(&self, name: &UserId, to: &mut dyn Dialogue) -> Result<(), LookError> {
        let account = self.state.account_named(name);
        let account = account.ok_or_else(|| Refusal::about(Code::NoSuchUser, name.as_str()))?;
        let groups = self.groups_of(&account);
        let used = limit_looks::used_by(&self.core, &self.state, account.user);
        let used_of = |quota| used.iter().find(|(of, _)| *of == quota).map_or(0, |(_, used)| *used);
        let (shares, bytes) = (used_of(Quota::Shares), used_of(Quota::ManifestBytes));
        let quotas = self.core.oversight.limits.quotas();
        let of_hour = |quota: Quota| (quota.amount(used_of(quota)), quota.amount(quotas.of(quota)));
        let ((changes, most_changes), (brought, most)) = (of_hour(Quota::Changes), of_hour(Quota::Brought));
        let clients = self.core.presence.online_of(account.user);
        let mut lines = vec![format!("user        {}, {}", account.name, standing(account.standing))];
        if !groups.is_empty() {
            let told = groups.iter().map(|(name, owner)| format!("{name}{}", if *owner { " (owner)" } else { "" }));
            lines.push(format!("groups      {}", told.collect::<Vec<_>>().join(", ")));
        }
        let requests = self.state.requests_of(account.user);
        let requests: Vec<&str> = requests.iter().map(|(_, name)| name.as_str()).collect();
        if !requests.is_empty() {
            lines.push(format!("waits for   {}", requests.join(", ")));
        }
        let bytes = units::size(bytes);
        lines
            .push(format!("shares      {shares}, lists of pieces {bytes}, brought {brought} of the {most} of an hour"));
        lines.push(format!("changes     {changes} of the {most_changes} of an hour are taken"));
        lines.extend(clients.iter().map(|client| format!("online      {}", self.client(client).join(", "))));
        let role = |owner| if owner { "owner" } else { "member" };
        let told = groups.iter().map(|(name, owner)| json!({"group_id": name.as_str(), "role": role(*owner)}));
        let json = json!({
            "user_id": account.name.as_str(),
            "standing": standing(account.standing),
            "groups": told.collect::<Vec<_>>(),
            "requests": requests,
            "shares": shares,
            "limits": limit_looks::used_by_json(&self.core, &used),
            "online": clients.iter().map(|client| self.client_json(client)).collect::<Vec<_>>(),
        });
        Ok(to.row(&Row::new(lines.join("\n"), json))?)
    }

    fn online(&self, to: &mut dyn Dialogue) -> Result<(), LookError> {
        let mut after = None;
        loop {
            let page = self.core.presence.online_after(after, PAGE);
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key);
            let row = |client: &OnlineClient| {
                // Presence can be ahead of the state.
                let name = self.state.account(client.key.user)?.name;
                let fields = [vec![name.to_string()], self.client(client)].concat();
                let mut json = self.client_json(client);
                json["user_id"] = name.as_str().into();
                Some((fields, json))
            };
            tell(Row::table(page.iter().filter_map(row).collect()), to)?;
        }
    }

    /// A client's name, address and tracker.
    fn client(&self, client: &OnlineClient) -> Vec<String> {
        let addr = client.contact.as_ref().map_or("unknown".to_owned(), |contact| contact.seen.to_string());
        let tracker = client.tracker.unwrap_or(self.number);
        vec![format!("client {:?}", client.key.client), addr, format!("tracker {tracker}")]
    }

    fn client_json(&self, client: &OnlineClient) -> Value {
        json!({
            "client": format!("{:?}", client.key.client),
            "addr": client.contact.as_ref().map(|contact| contact.seen.to_string()),
            "tracker": client.tracker.unwrap_or(self.number),
        })
    }

    fn groups(&self, pattern: &NamePattern, to: &mut dyn Dialogue) -> Result<(), LookError> {
        let mut after: Option<GroupId> = None;
        loop {
            let page = self.state.groups_all_after(after.as_ref(), PAGE);
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.name.clone());
            let meant = page.iter().filter(|group| pattern.matches(group.name.as_str()));
            tell(Row::table(meant.map(|group| self.group_row(group)).collect()), to)?;
        }
    }

    fn group_row(&self, group: &GroupInfo) -> (Vec<String>, Value) {
        let requests = self.state.waiting(group.group).count();
        let files = self.state.file_count(group.group);
        let (name, owner, members) = (group.name.as_str(), group.owner.as_str(), group.member_count);
        let (owners, access) = (group.owner_count, group.access.as_str());
        let fields = vec![
            name.to_owned(),
            format!("members {members}"),
            format!("owner {owner}"),
            format!("owners {owners}"),
            access.to_owned(),
            format!("requests {requests}"),
            format!("files {files}"),
        ];
        let json = json!({
            "group_id": name,
            "owner": owner,
            "owners": owners,
            "access": access,
            "members": members,
            "requests": requests,
            "files": files,
        });
        (fields, json)
    }

    fn group(&self, name: &GroupId, to: &mut dyn Dialogue) -> Result<(), LookError> {
        let group = self.state.group_named(name).ok_or_else(|| Refusal::about(Code::NoSuchGroup, name.as_str()))?;
        let files = self.state.file_count(group);
        let members = self.state.members_after(group, None, usize::MAX);
        let online = self.core.presence.client_counts(members.iter().map(|member| member.user));
        let requests = self.state.requests_after(group, None, usize::MAX);
        let owners = self.state.owners(group).filter_map(|owner| Some(self.state.account(owner)?.name.to_string()));
        let owners: Vec<String> = owners.collect();
        let access = self.state.access(group).unwrap_or_default();
        let mut told = Vec::new();
        for (member, online) in members.iter().zip(&online) {
            let marks = [(member.owner, "owner"), (*online > 0, "online")];
            let marks: Vec<&str> = marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect();
            let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
            told.push(format!("{}{marks}", member.name));
        }
        let waiting: Vec<&str> = requests.iter().map(|(_, name)| name.as_str()).collect();
        let mut lines = vec![format!("group       {name}"), format!("members     {}", told.join(", "))];
        if !waiting.is_empty() {
            lines.push(format!("requests    {}", waiting.join(", ")));
        }
        lines.push(format!("access      {access}"));
        lines.push(format!("files       {files}"));
        let member = |(member, online): (&MemberInfo, &u32)| json!({"user_id": member.name.as_str(), "online": online});
        let json = json!({
            "group_id": name.as_str(),
            "owner": owners.first(),
            "owners": owners,
            "access": access.as_str(),
            "members": members.iter().zip(&online).map(member).collect::<Vec<_>>(),
            "requests": waiting,
            "files": files,
        });
        Ok(to.row(&Row::new(lines.join("\n"), json))?)
    }

    fn files(&self, name: &GroupId, to: &mut dyn Dialogue) -> Result<(), LookError> {
        let group = self.state.group_named(name).ok_or_else(|| Refusal::about(Code::NoSuchGroup, name.as_str()))?;
        let mut after = None;
        loop {
            let page = self.state.files_after(group, after.as_ref(), PAGE);
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.name.clone());
            let shares: Vec<_> = page.iter().map(|file| file.share).collect();
            let online = self.core.presence.holder_counts(&shares, |share, user| self.state.is_sharer(share, user));
            let rows = page.iter().zip(online).map(|(file, online)| {
                let size = file.content.is_sized().then(|| file.content.layout.size());
                let shown = size.map_or("size unknown".to_owned(), units::size);
                let (name, sha1, sharers) = (file.name.as_str(), file.content.sha1.to_string(), file.sharer_count);
                let fields = vec![
                    name.to_owned(),
                    shown,
                    format!("sha1 {sha1}"),
                    format!("sharers {sharers}"),
                    format!("online {online}"),
                ];
                let json = json!({
                    "file_name": name,
                    "size": size,
                    "fileSha": sha1,
                    "files": file.content.file_count.max(1),
                    "sharers": sharers,
                    "online": online,
                });
                (fields, json)
            });
            tell(Row::table(rows.collect()), to)?;
        }
    }
}

fn standing(standing: AccountStanding) -> &'static str {
    match standing {
        AccountStanding::Active => "active",
        AccountStanding::Disabled => "disabled",
        AccountStanding::Deleted => "deleted",
    }
}

fn tell(rows: Vec<Row>, to: &mut dyn Dialogue) -> Result<(), Gone> {
    rows.iter().try_for_each(|row| to.row(row))
}
