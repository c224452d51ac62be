//! Acts of operators for the audit and the log, and the audit as operators see it.

use crate::model::units::utc;
use crate::sys;
use crate::tracker::audit::line::AuditLine;
use crate::tracker::log::{Level, LogKind, LogPair};
use crate::tracker::operator::answer::{CommandRefusal, Outcome, Row};
use crate::tracker::operator::command::{AuditFilter, OperatorCommand};
use crate::tracker::operator::dialogue::{Dialogue, OperatorCaller};
use crate::tracker::oversight::Oversight;
use std::ops::ControlFlow;

/// The most lines to show.
const SHOWN_MAX: usize = 10_000;

/// Notes that a command was carried out, and by which change. Skips commands that only look.
pub(super) fn note(
    oversight: &Oversight,
    number: u16,
    caller: OperatorCaller,
    command: &OperatorCommand,
    op: Option<&str>,
) {
    let Some(line) = line_of(number, command) else { return };
    let line = AuditLine { op: op.map(str::to_owned), through: Some(caller.to_string()), ..line };
    let through = caller.to_string();
    let mut pairs: Vec<LogPair<'_>> = vec![("what", &line.what), ("through", &through)];
    let values = [("user", &line.user), ("group", &line.group), ("value", &line.value)];
    for (name, value) in values {
        pairs.extend(value.iter().map(|value| -> LogPair<'_> { (name, value) }));
    }
    oversight.log.event(Level::Info, LogKind::Operator, "an operator's command was carried out", &pairs);
    oversight.audit.act(line);
}

/// Notes that another user of this machine gave a command.
pub(super) fn note_stranger(oversight: &Oversight, number: u16, user: u32) {
    let words =
        format!("a command of user {user} was refused: only root and the user of the tracker may give commands");
    oversight.log.event(Level::Warn, LogKind::CtlRefused, &words, &[]);
    let through = Some(OperatorCaller::Ctl { user }.to_string());
    oversight.audit.act(AuditLine { through, ..AuditLine::of_tracker(number, "ctl_refused") });
}

fn line_of(number: u16, command: &OperatorCommand) -> Option<AuditLine> {
    let line = |what| AuditLine::of_operator(number, what);
    let user = |what, user: &dyn ToString| AuditLine { user: Some(user.to_string()), ..line(what) };
    let tracker = |what, number| AuditLine { tracker: Some(number), ..line(what) };
    Some(match command {
        OperatorCommand::CreateUser(new) => user("create_user", &new.user),
        OperatorCommand::ResetPassword(new) => user("reset_password", &new.user),
        OperatorCommand::DisableUser(name) => user("disable_user", name),
        OperatorCommand::EnableUser(name) => user("enable_user", name),
        OperatorCommand::DeleteUser(name) => user("delete_user", name),
        OperatorCommand::Kick(name) => user("kick", name),
        OperatorCommand::GiveGroup { group, user: name } => {
            AuditLine { group: Some(group.to_string()), ..user("give_group", name) }
        }
        OperatorCommand::DeleteGroup(group) => AuditLine { group: Some(group.to_string()), ..line("delete_group") },
        OperatorCommand::ReadOnly(Some(on)) => {
            let value = if *on { "on" } else { "off" };
            AuditLine { value: Some(value.to_owned()), ..line("read_only") }
        }
        OperatorCommand::Forget(other) => tracker("forget", *other),
        OperatorCommand::Unforget(other) => tracker("unforget", *other),
        OperatorCommand::Reload => line("reload"),
        OperatorCommand::Backup => line("backup"),
        OperatorCommand::Quit => line("quit"),
        OperatorCommand::ReadOnly(None)
        | OperatorCommand::Status
        | OperatorCommand::Users(_)
        | OperatorCommand::User(_)
        | OperatorCommand::Online
        | OperatorCommand::Groups(_)
        | OperatorCommand::Group(_)
        | OperatorCommand::Files(_)
        | OperatorCommand::Trackers
        | OperatorCommand::Limits
        | OperatorCommand::Audit(_)
        | OperatorCommand::Restore
        | OperatorCommand::Help(_) => return None,
    })
}

/// Shows the last wanted lines.
pub(super) fn show(oversight: &Oversight, filter: &AuditFilter, to: &mut dyn Dialogue) -> Outcome {
    let since = filter.since.map(|since| utc(since.seconds(sys::unix_time_s())));
    let is = |wanted: &Option<String>, found: &[Option<&String>]| {
        wanted.as_ref().is_none_or(|wanted| found.contains(&Some(wanted)))
    };
    // The texts of times in UTC sort like the times.
    let wanted = |line: &AuditLine| {
        is(&filter.user, &[Some(&line.by), line.user.as_ref()])
            && is(&filter.group, &[line.group.as_ref()])
            && since.as_ref().is_none_or(|since| line.time >= *since)
    };
    let mut count = 0_usize;
    let counted = oversight.audit.read(&mut |line| {
        count += usize::from(wanted(line));
        ControlFlow::Continue(())
    });
    let left_out = count.saturating_sub(SHOWN_MAX);
    let (mut passed, mut gone) = (0, false);
    let shown = counted.and_then(|()| {
        oversight.audit.read(&mut |line| {
            if !wanted(line) {
                return ControlFlow::Continue(());
            }
            passed += 1;
            let json = serde_json::to_value(line).unwrap_or_default();
            gone = passed > left_out && to.row(&Row::new(line.words(), json)).is_err();
            if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    match shown {
        _ if gone => Outcome::Gone,
        Err(error) => Outcome::Refused(CommandRefusal {
            code: "Unavailable".to_owned(),
            words: format!("the audit cannot be read: {}", sys::reason(&error)),
        }),
        Ok(()) if left_out > 0 => {
            let words = format!("{left_out} earlier lines are left out: ask for less with --since, --user or --group");
            to.complain(&words).map_or(Outcome::Gone, |_| Outcome::Done)
        }
        Ok(()) => Outcome::Done,
    }
}
