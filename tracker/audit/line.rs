//! A line of the audit. Pure.

use crate::model::escape::quoted;
use crate::model::id::{GroupRef, OpId, ShareRef, UserRef};
use crate::model::op::{Op, OpBody};
use crate::model::units::utc;
use crate::tracker::state::State;
use serde::{Deserialize, Serialize};

/// Who did what. Names are those of that time. No line has passwords or addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditLine {
    /// When this tracker made or received the change, in UTC.
    pub time: String,
    /// The id of the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// A user, `operator/N`, or `tracker/N`. User names have no slash.
    pub by: String,
    /// The way by which the operator gave the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// The name of the command.
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracker: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// Whether the audit notes a change. It notes those of users and operators, but not those that trackers make to agree
/// among themselves.
pub(super) fn is_noted(body: &OpBody) -> bool {
    !matches!(
        body,
        OpBody::ReadNotices { .. }
            | OpBody::EndSession { .. }
            | OpBody::ProposeFloor { .. }
            | OpBody::ReadyForFloor { .. }
            | OpBody::PromiseFloor { .. }
            | OpBody::NoteUnplaced { .. }
    )
}

/// Whether a change is about one shared file or folder.
pub(super) fn is_of_share(body: &OpBody) -> bool {
    matches!(body, OpBody::CreateShare { .. } | OpBody::JoinShare { .. } | OpBody::LeaveShare { .. })
}

/// The id of a change, as operators see it.
pub fn op_text(op: OpId) -> String {
    format!("{}.{:x}.{}", op.origin.tracker, op.origin.incarnation, op.seq)
}

impl AuditLine {
    /// A line for an act of a tracker's operator.
    pub fn of_operator(tracker: u16, what: &str) -> Self {
        Self { by: format!("operator/{tracker}"), what: what.to_owned(), ..Self::default() }
    }

    /// A line for an act of a tracker itself.
    pub fn of_tracker(tracker: u16, what: &str) -> Self {
        Self { by: format!("tracker/{tracker}"), what: what.to_owned(), ..Self::default() }
    }

    /// A line that says how many lines are missing here.
    pub(super) fn lost(count: u64) -> Self {
        Self { what: "lines_lost".to_owned(), count: Some(count), ..Self::default() }
    }

    /// Sets the time, in seconds since 1970.
    #[must_use]
    pub(super) fn at(self, seconds: u64) -> Self {
        Self { time: utc(seconds), ..self }
    }

    /// The line of a change, at this time in seconds since 1970, and with the names of a state. `None` for a change
    /// that is not noted.
    pub(super) fn of_op(op: &Op, state: &State, seconds: u64) -> Option<Self> {
        let names = Names { state };
        let line = names.line(op)?;
        Some(Self { op: Some(op_text(op.id)), ..line }.at(seconds))
    }

    /// Appends it as a line of JSON with this number.
    pub(super) fn write_to(&self, number: u64, bytes: &mut Vec<u8>) {
        let line = NumberedLine { number, line: self };
        serde_json::to_writer(&mut *bytes, &line).expect("text and numbers can be written");
        bytes.push(b'\n');
    }

    /// In words, for people.
    pub fn words(&self) -> String {
        let through = self.through.as_ref().map(|through| format!(" through {through}")).unwrap_or_default();
        let mut words = format!("{} {}{through} {}", self.time, quoted(&self.by), self.what);
        let (tracker, count) = (self.tracker.map(|n| n.to_string()), self.count.map(|n| n.to_string()));
        let pairs = [
            ("user", &self.user),
            ("group", &self.group),
            ("file", &self.file),
            ("tracker", &tracker),
            ("value", &self.value),
            ("count", &count),
            ("op", &self.op),
        ];
        for (name, value) in pairs {
            words.extend(value.iter().map(|value| format!(" {name}={}", quoted(value))));
        }
        words
    }
}

/// A line as it is in a file.
#[derive(Serialize)]
struct NumberedLine<'a> {
    number: u64,
    #[serde(flatten)]
    line: &'a AuditLine,
}

/// The first bytes of a line in a file.
const NUMBER: &[u8] = br#"{"number":"#;

/// The number of a line in a file; 0 if it has none.
pub(super) fn number(bytes: &[u8]) -> u64 {
    let digits = bytes.strip_prefix(NUMBER).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// Looks names up.
struct Names<'a> {
    state: &'a State,
}

impl Names<'_> {
    fn user(&self, user: UserRef) -> String {
        self.state.account(user).map_or_else(|| unknown(user.0), |account| account.name.to_string())
    }

    fn group(&self, group: GroupRef) -> Option<String> {
        Some(self.state.group_name(group).map_or_else(|| unknown(group.0), |name| name.to_string()))
    }

    /// The line without its time and id.
    fn line(&self, op: &Op) -> Option<AuditLine> {
        let by_user = |user: UserRef, what: &str| AuditLine {
            by: self.user(user),
            what: what.to_owned(),
            ..AuditLine::default()
        };
        let by_operator = |what: &str| AuditLine::of_operator(op.id.origin.tracker, what);
        let in_group = |line: AuditLine, group| AuditLine { group: self.group(group), ..line };
        let about = |line: AuditLine, user| AuditLine { user: Some(self.user(user)), ..line };
        let of_tracker = |line: AuditLine, tracker| AuditLine { tracker: Some(tracker), ..line };
        Some(match &op.body {
            // Until the account exists under another name, it has the name asked for.
            OpBody::CreateUser { name, .. } => match self.state.account(UserRef(op.id)) {
                Some(account) => by_user(account.user, "create_user"),
                None => AuditLine { by: name.to_string(), what: "create_user".to_owned(), ..AuditLine::default() },
            },
            OpBody::ChangePassword { user, .. } => by_user(*user, "change_password"),
            OpBody::CreateGroup { founder, .. } => in_group(by_user(*founder, "create_group"), GroupRef(op.id)),
            OpBody::RequestJoin { group, user } => in_group(by_user(*user, "join_group"), *group),
            OpBody::AcceptRequest { group, user, by } => in_group(about(by_user(*by, "accept_request"), *user), *group),
            OpBody::RejectRequest { group, user, by } => in_group(about(by_user(*by, "reject_request"), *user), *group),
            OpBody::LeaveGroup { group, user } => in_group(by_user(*user, "leave_group"), *group),
            OpBody::RemoveMember { group, user, by } => in_group(about(by_user(*by, "remove_member"), *user), *group),
            OpBody::MakeOwner { group, user, by } => in_group(about(by_user(*by, "make_owner"), *user), *group),
            OpBody::DropOwner { group, user, by } => in_group(about(by_user(*by, "drop_owner"), *user), *group),
            OpBody::AddMember { group, user, by } => in_group(about(by_user(*by, "add_member"), *user), *group),
            OpBody::SetGroup { group, by, .. } => in_group(by_user(*by, "set_group"), *group),
            OpBody::SetAdding { user, .. } => by_user(*user, "set_adding"),
            OpBody::CreateShare { user, .. } => self.of_share(by_user(*user, "upload_file"), ShareRef(op.id)),
            OpBody::JoinShare { share, user } => self.of_share(by_user(*user, "upload_file"), *share),
            OpBody::LeaveShare { share, user } => self.of_share(by_user(*user, "stop_share"), *share),
            OpBody::ForgetTracker { tracker } => of_tracker(by_operator("forget"), *tracker),
            OpBody::UnforgetTracker { tracker } => of_tracker(by_operator("unforget"), *tracker),
            OpBody::MakeUser { .. } => about(by_operator("create_user"), UserRef(op.id)),
            OpBody::ResetPassword { user, .. } => about(by_operator("reset_password"), *user),
            OpBody::EndSessions { user } => about(by_operator("kick"), *user),
            OpBody::DisableUser { user } => about(by_operator("disable_user"), *user),
            OpBody::EnableUser { user } => about(by_operator("enable_user"), *user),
            OpBody::DeleteUser { user } => about(by_operator("delete_user"), *user),
            OpBody::GiveGroup { group, user } => in_group(about(by_operator("give_group"), *user), *group),
            OpBody::DeleteGroup { group } => in_group(by_operator("delete_group"), *group),
            OpBody::ReadNotices { .. }
            | OpBody::EndSession { .. }
            | OpBody::ProposeFloor { .. }
            | OpBody::ReadyForFloor { .. }
            | OpBody::PromiseFloor { .. }
            | OpBody::NoteUnplaced { .. } => return None,
        })
    }

    fn of_share(&self, line: AuditLine, share: ShareRef) -> AuditLine {
        match self.state.share(share) {
            Some(share) => AuditLine { group: self.group(share.group), file: Some(share.name.to_string()), ..line },
            None => AuditLine { file: Some(unknown(share.0)), ..line },
        }
    }
}

/// The text for an id without a name: the entity was forgotten, or never existed.
fn unknown(id: OpId) -> String {
    format!("#{}", op_text(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CommandId, Origin};
    use crate::model::name::GroupId;
    use crate::model::name::tests::user;
    use crate::model::op::PasswordHash;
    use crate::tracker::state::tests::histories;
    use proptest::prelude::*;

    #[test]
    fn a_line_has_the_names_of_its_time_and_no_secret() {
        let mut state = State::new();
        let origin = Origin { tracker: 2, incarnation: 0xab };
        let mut line = |seq, body| {
            let op = Op { id: OpId { origin, seq }, lamport: seq, command: CommandId([seq as u8; 16]), body };
            state.apply(&op);
            let mut bytes = Vec::new();
            AuditLine::of_op(&op, &state, 1_795_908_601).expect("noted").write_to(7, &mut bytes);
            let text = String::from_utf8(bytes).expect("text");
            (UserRef(op.id), text.replacen(r#""number":7,"#, "", 1))
        };
        let hash = || PasswordHash("$secret".into());
        let (ann, made) = line(1, OpBody::CreateUser { name: user("ann"), password: hash() });
        let time = r#"{"time":"2026-11-28T23:30:01Z","op":"2.ab."#;
        assert_eq!(made, format!("{time}1\",\"by\":\"ann\",\"what\":\"create_user\"}}\n"));
        let (bob, made) = line(2, OpBody::MakeUser { name: user("ann"), password: hash() });
        let by = r#""by":"operator/2""#;
        assert_eq!(made, format!("{time}2\",{by},\"what\":\"create_user\",\"user\":\"ann~2\"}}\n"));
        let name = GroupId::parse("lab").expect("a name");
        let (UserRef(lab), made) = line(3, OpBody::CreateGroup { name, founder: ann });
        assert_eq!(made, format!("{time}3\",\"by\":\"ann\",\"what\":\"create_group\",\"group\":\"lab\"}}\n"));
        let (_, given) = line(4, OpBody::GiveGroup { group: GroupRef(lab), user: bob });
        let gives = r#""what":"give_group","user":"ann~2","group":"lab""#;
        assert_eq!(given, format!("{time}4\",{by},{gives}}}\n"));
        let (_, deleted) = line(5, OpBody::DeleteGroup { group: GroupRef(lab) });
        assert_eq!(deleted, format!("{time}5\",{by},\"what\":\"delete_group\",\"group\":\"lab\"}}\n"));
        let (_, reset) = line(6, OpBody::ResetPassword { user: bob, password: hash() });
        assert_eq!(reset, format!("{time}6\",{by},\"what\":\"reset_password\",\"user\":\"ann~2\"}}\n"));
        let line: AuditLine = serde_json::from_str(&given).expect("JSON");
        let words = "2026-11-28T23:30:01Z operator/2 give_group user=ann~2 group=lab op=2.ab.4";
        assert_eq!(line.words(), words);
    }

    proptest! {
        #[test]
        fn every_change_of_users_and_operators_has_a_line_that_is_read_back(ops in histories()) {
            let mut state = State::new();
            ops.iter().for_each(|op| state.apply(op));
            for op in &ops {
                let line = AuditLine::of_op(op, &state, 0);
                prop_assert_eq!(line.is_some(), is_noted(&op.body));
                if let Some(line) = line {
                    let mut bytes = Vec::new();
                    line.write_to(7, &mut bytes);
                    prop_assert_eq!(number(&bytes), 7);
                    prop_assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
                    prop_assert_eq!(serde_json::from_slice::<AuditLine>(&bytes).expect("JSON"), line);
                }
            }
        }
    }
}
