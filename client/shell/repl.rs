//! The loop of the client: it reads a line, parses it, carries the command out, and shows the result.

use super::input::{Consent, Input};
use super::prompt::Prompt;
use crate::client::command::failure::{Cause, Failure};
use crate::client::command::json;
use crate::client::command::parse::{Surroundings, may_be_kept, parse};
use crate::client::command::types::{Command, IncompleteCommand, ParsedLine};
use crate::client::output::report::Report;
use crate::client::output::reporter::Reporter;
use crate::client::terminal::interrupt::{Activity, Interrupt};
use crate::model::exit::Exit;
use crate::model::name::GroupId;
use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};

/// Carries commands out.
pub trait Execute {
    /// Carries one command out. Returns early if the command is cancelled.
    fn execute(&mut self, command: Command) -> Result<Report, Failure>;

    /// The result of the last command was shown. Work whose messages should come after that may begin.
    fn answered(&mut self);

    /// A question for yes or no that only a person can answer.
    fn question(&mut self) -> Option<String>;

    /// Carries out the subject of the last question, because the answer is yes.
    fn consent(&mut self) -> Result<Report, Failure>;

    /// Keeps the last question open: no one has answered it, or the work after the answer has failed.
    fn ask_again(&mut self);

    /// At the end of a script: waits until every running download has ended, or the program is to end.
    fn finish(&mut self);

    /// Whether a download of this run has failed.
    fn has_failed_downloads(&self) -> bool;

    /// Whether the user who is logged in is known to be in a group.
    fn is_member(&self, group: &GroupId) -> bool;

    /// The work that ends with the program, in a sentence; `None` without any.
    fn running(&self) -> Option<String>;
}

/// Reads and carries out commands until the input ends, `quit`, or a signal. At the end of a script, waits for the
/// running downloads. Otherwise the caller ends them when it closes the executor.
pub fn run(prompt: &mut Prompt, reporter: &Reporter, interrupt: &Interrupt, executor: &mut dyn Execute) -> Exit {
    let home = env::var_os("HOME").map(PathBuf::from);
    let mut repl = Repl { prompt, reporter, interrupt, executor, home, failed: None, given: 0 };
    let mut instead = None;
    loop {
        match instead.take().unwrap_or_else(|| repl.prompt.next_input()) {
            Input::Line(line) => match repl.line(&line) {
                Next::Line => instead = repl.ask().map(Input::Line),
                Next::Leave => break,
            },
            Input::Bad(why) => repl.refuse_line(why),
            Input::Broken(why) => {
                repl.refuse_line(why);
                break;
            }
            Input::End if repl.stays() => {}
            Input::End => {
                repl.finish();
                break;
            }
            Input::Stopped => break,
        }
        if interrupt.is_ending() {
            break;
        }
    }
    repl.exit()
}

/// The next action after a line.
enum Next {
    /// Another line.
    Line,
    /// Nothing.
    Leave,
}

struct Repl<'a> {
    prompt: &'a mut Prompt,
    reporter: &'a Reporter,
    interrupt: &'a Interrupt,
    executor: &'a mut dyn Execute,
    home: Option<PathBuf>,
    /// The cause of the first failed command.
    failed: Option<Cause>,
    /// The number of commands so far.
    given: u64,
}

impl Repl<'_> {
    /// Carries out one line and shows the result.
    fn line(&mut self, line: &str) -> Next {
        if may_be_kept(line) {
            self.prompt.keep(line.trim());
        }
        // Without a working folder, as after its removal, relative paths stay relative and lead nowhere.
        let folder = env::current_dir().unwrap_or_default();
        let executor = &*self.executor;
        let is_member = |group: &GroupId| executor.is_member(group);
        let home = self.home.as_deref();
        let around = Surroundings { home, folder: &folder, exists: &Path::exists, is_member: &is_member };
        let (id, typed) = if self.reporter.is_json() && line.trim_start().starts_with('{') {
            json::parse(line, &folder)
        } else {
            (None, parse(line, &around).map_err(|error| error.to_string().into()))
        };
        if typed == Ok(ParsedLine::Nothing) {
            return Next::Line;
        }
        let id = self.id(id);
        let command = match typed {
            Ok(ParsedLine::Nothing) => return Next::Line,
            Ok(ParsedLine::Quit) => {
                self.reporter.answer(id, &Report::Nothing);
                return Next::Leave;
            }
            Ok(ParsedLine::Help(about)) => {
                self.reporter.answer(id, &Report::Help(about));
                return Next::Line;
            }
            Ok(ParsedLine::Incomplete(incomplete)) => self.ask_passwords(incomplete),
            Ok(ParsedLine::Command(command)) => Ok(command),
            Err(failure) => Err(failure),
        };
        match command {
            Ok(command) => self.carry_out(id, command),
            Err(failure) => self.refuse(id, &failure),
        }
        Next::Line
    }

    /// The id of the next answer: the program's own, or else the number of the command.
    fn id(&mut self, own: Option<Value>) -> Option<Value> {
        self.given += 1;
        self.reporter.is_json().then(|| own.unwrap_or_else(|| self.given.into()))
    }

    /// Answers input that could not be a line.
    fn refuse_line(&mut self, why: String) {
        let id = self.id(None);
        self.refuse(id, &why.into());
    }

    /// Asks a person for a decision. Returns the line that was typed instead of an answer, if there is one.
    fn ask(&mut self) -> Option<String> {
        while self.prompt.can_ask()
            && !self.reporter.is_json()
            && !self.interrupt.is_ending()
            && let Some(question) = self.executor.question()
        {
            let line = match self.prompt.decide(&question) {
                Consent::Yes if self.work(None, |executor| executor.consent()) => continue,
                Consent::No => continue,
                Consent::Line(line) => Some(line),
                Consent::Yes | Consent::Unanswered => None,
            };
            // The question comes back only after the next command, so it does not come all the time.
            self.executor.ask_again();
            return line;
        }
        None
    }

    fn carry_out(&mut self, id: Option<Value>, command: Command) {
        self.work(id, |executor| executor.execute(command));
    }

    /// Does some work and shows the result. Returns false if it has failed.
    fn work(&mut self, id: Option<Value>, work: impl FnOnce(&mut dyn Execute) -> Result<Report, Failure>) -> bool {
        self.interrupt.enter(Activity::Command);
        let cancelled = self.interrupt.is_cancelled();
        let outcome = if cancelled { Err("Cancelled before it began".into()) } else { work(self.executor) };
        if self.interrupt.is_cancelled() && !self.prompt.is_script() && self.prompt.echoes() {
            // The terminal has written ^C where the next line would begin.
            self.reporter.terminal().end_line();
        }
        match &outcome {
            Ok(report) => self.reporter.answer(id, report),
            Err(failure) => self.refuse(id, failure),
        }
        self.executor.answered();
        self.interrupt.enter(Activity::Idle);
        outcome.is_ok()
    }

    fn refuse(&mut self, id: Option<Value>, failure: &Failure) {
        if self.prompt.is_script() && !self.reporter.is_json() {
            self.reporter.refuse(id, &failure.given_up());
        } else {
            self.reporter.refuse(id, failure);
        }
        self.failed = self.failed.or(Some(failure.cause));
    }

    /// Completes a command with its missing passwords.
    fn ask_passwords(&mut self, incomplete: IncompleteCommand) -> Result<Command, Failure> {
        let prompts = incomplete.prompts();
        let answers: Result<Vec<_>, _> = prompts.iter().map(|prompt| self.prompt.password(prompt)).collect();
        incomplete.complete(answers.map_err(|error| error.to_string())?).map_err(|error| error.to_string().into())
    }

    /// Whether a person wants to stay, after learning what still runs.
    fn stays(&mut self) -> bool {
        let running = self.executor.running().filter(|_| !self.prompt.is_script());
        running.is_some_and(|running| !self.prompt.confirm(&format!("{running} Leave? [y/N] ")))
    }

    fn finish(&mut self) {
        if self.prompt.is_script() {
            self.interrupt.enter(Activity::Command);
            self.executor.finish();
            self.interrupt.enter(Activity::Idle);
        }
    }

    /// A signal takes precedence, then the first failed command of a script, then its downloads.
    fn exit(&self) -> Exit {
        let failed = self.failed.filter(|_| self.prompt.is_script());
        let download_failed = self.prompt.is_script() && self.executor.has_failed_downloads();
        match failed {
            _ if self.interrupt.is_ending() => Exit::Interrupted,
            Some(Cause::NoTracker) => Exit::NoTracker,
            Some(Cause::Refused(_) | Cause::OtherVersion | Cause::Other) => Exit::Refused,
            None if download_failed => Exit::DownloadFailed,
            None if self.reporter.terminal().has_lost_results() => Exit::OutputLost,
            None => Exit::Success,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::output::reporter::Manner;
    use crate::client::rpc::error::RpcError;
    use crate::client::terminal::writer::TerminalWriter;
    use crate::client::terminal::writer::tests::{Sheet, sheets};
    use crate::signals::Signal;
    use crate::wire::refusal::{Code, Refusal};
    use std::io::{self, Read};

    /// Records its calls.
    struct Recorder {
        said: Vec<String>,
        downloads_fail: bool,
        questions: Vec<String>,
        asked: Option<String>,
        times_asked: usize,
        /// The number of times that consent fails.
        failures: u32,
        at_command: Box<dyn FnMut()>,
    }

    impl Default for Recorder {
        fn default() -> Self {
            let (said, questions) = (Vec::new(), Vec::new());
            Self {
                said,
                downloads_fail: false,
                questions,
                asked: None,
                times_asked: 0,
                failures: 0,
                at_command: Box::new(|| {}),
            }
        }
    }

    impl Execute for Recorder {
        fn execute(&mut self, command: Command) -> Result<Report, Failure> {
            (self.at_command)();
            self.said.push(format!("{command:?}"));
            match command {
                Command::ListGroups => Ok(Report::Done("lab")),
                Command::LeaveGroup { .. } => Err(RpcError::NoTracker("nobody listens there".into()).into()),
                Command::JoinGroup { group } => Err(Refusal::about(Code::NoSuchGroup, group).into()),
                _ => Ok(Report::Nothing),
            }
        }
        fn answered(&mut self) {}
        fn question(&mut self) -> Option<String> {
            self.asked = self.questions.pop();
            self.times_asked += usize::from(self.asked.is_some());
            self.asked.clone()
        }
        fn consent(&mut self) -> Result<Report, Failure> {
            self.said.push("consent".to_owned());
            match self.failures {
                0 => Ok(Report::Done("Shared")),
                _ => {
                    self.failures -= 1;
                    Err("film was changed while it was read".into())
                }
            }
        }
        fn ask_again(&mut self) {
            self.questions.extend(self.asked.take());
        }
        fn finish(&mut self) {
            self.said.push("finish".to_owned());
        }
        fn has_failed_downloads(&self) -> bool {
            self.downloads_fail
        }
        fn is_member(&self, _: &GroupId) -> bool {
            false
        }
        fn running(&self) -> Option<String> {
            Some("1 download runs.".to_owned())
        }
    }

    struct Ran {
        exit: Exit,
        said: Vec<String>,
        output: String,
        error: String,
    }

    fn run_with(from: impl Read + 'static, change: impl FnOnce(&mut Recorder, &Interrupt)) -> Ran {
        let (terminal, output, error) = sheets(false);
        let interrupt = Interrupt::new(false).expect("an eventfd");
        let mut executor = Recorder::default();
        change(&mut executor, &interrupt);
        let mut prompt = Prompt::script(from, &terminal, &interrupt);
        let exit = run(&mut prompt, &Reporter::new(terminal, Manner::default()), &interrupt, &mut executor);
        let text = |sheet: Sheet| sheet.text();
        Ran { exit, said: executor.said, output: text(output), error: text(error) }
    }

    fn script(text: &'static [u8]) -> Ran {
        run_with(text, |_, _| {})
    }

    #[test]
    fn a_script_runs_line_by_line_and_ends_with_its_downloads() {
        let ran = script(b"# a script\n\nlist_groups\nlogout");
        assert_eq!(ran.said, ["ListGroups", "Logout", "finish"]);
        assert_eq!((ran.output.as_str(), ran.error.as_str()), ("lab\n", ""));
        assert_eq!(ran.exit, Exit::Success);
    }

    #[test]
    fn a_refused_command_is_told_in_one_line_and_shows_in_the_exit_code() {
        let ran = script(b"join_group lab\nlist_groups\n");
        assert_eq!((ran.output.as_str(), ran.error.as_str()), ("lab\n", "Group does not exist: lab\n"));
        assert_eq!(ran.said.last().map(String::as_str), Some("finish"));
        assert_eq!(ran.exit, Exit::Refused);
    }

    #[test]
    fn the_shell_refuses_a_line_it_cannot_understand_and_reads_the_next_one() {
        for (line, error) in [
            (&b"create_group\n"[..], "Usage: create_group <group_id>\n"),
            (b"frobnicate\n", "Unknown command 'frobnicate', type help for the list of commands\n"),
            (b"\xff\xfe\n", "Line 1 of the input is not valid UTF-8\n"),
            (&[0; 5000], "The line holds a NUL character, which no command has\n"),
        ] {
            let ran = run_with(line.chain(&b"\nlist_groups\n"[..]), |_, _| {});
            assert_eq!((ran.output.as_str(), ran.error.as_str()), ("lab\n", error));
            assert_eq!(ran.exit, Exit::Refused);
        }
        let ran = run_with(io::repeat(b'x').take(10_000_000).chain(&b"\nlist_groups"[..]), |_, _| {});
        assert_eq!(ran.error, "Line 1 of the input is longer than 65536 bytes\n");
        assert_eq!(ran.output, "lab\n");
    }

    #[test]
    fn a_failed_download_shows_in_the_exit_code() {
        let ran = run_with(&b"list_groups\n"[..], |executor, _| executor.downloads_fail = true);
        assert_eq!(ran.exit, Exit::DownloadFailed);
    }

    #[test]
    fn quit_leaves_at_once_and_waits_for_no_download() {
        for line in [&b"quit\nlogout\n"[..], b"exit\nlogout\n"] {
            let ran = script(line);
            assert_eq!(ran.said, [""; 0]);
            assert_eq!(ran.exit, Exit::Success);
        }
    }

    #[test]
    fn in_a_script_the_line_after_a_command_without_its_password_is_the_password() {
        let ran = script(b"login bob\n  #it's a \"secret\" \r\nlist_groups\n");
        assert_eq!(ran.said, ["Login { user: \"bob\", password: Password(..) }", "ListGroups", "finish"]);
        assert_eq!(ran.error, "");
        let ran = script(b"change_password\nold\nnew\nlogout\n");
        assert_eq!(ran.said, ["ChangePassword { old: Password(..), new: Password(..) }", "Logout", "finish"]);
    }

    #[test]
    fn a_password_that_does_not_come_is_told() {
        for (text, error) in [
            (&b"login bob"[..], "The input ends where the password should follow\n"),
            (b"login bob\n\n", "A password has 1 to 1024 bytes\n"),
            (b"login bob\n\xff\n", "Line 2 of the input is not valid UTF-8\n"),
        ] {
            let ran = script(text);
            assert_eq!((ran.error.as_str(), ran.exit), (error, Exit::Refused));
            assert_eq!(ran.said, ["finish"]);
        }
    }

    /// The results when a person types this during a question, and how often the question was asked.
    fn asked(typed: &'static [u8], failures: u32) -> (Vec<String>, usize) {
        let (terminal, _output, _) = sheets(false);
        let interrupt = Interrupt::new(false).expect("an eventfd");
        let mut executor = Recorder { questions: vec!["Share it? [y/N] ".to_owned()], failures, ..Recorder::default() };
        let mut prompt = Prompt::person(LineByLine(typed), &terminal, &interrupt);
        run(&mut prompt, &Reporter::new(terminal, Manner::default()), &interrupt, &mut executor);
        (executor.said, executor.times_asked)
    }

    /// Returns one line per read, as a terminal does.
    struct LineByLine(&'static [u8]);

    impl Read for LineByLine {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = self.0.iter().position(|byte| *byte == b'\n').map_or(self.0.len(), |at| at + 1);
            let (line, rest) = self.0.split_at(len);
            buf[..len].copy_from_slice(line);
            self.0 = rest;
            Ok(len)
        }
    }

    #[test]
    fn a_person_is_asked_behind_a_command_and_only_a_yes_is_consent() {
        for (typed, said) in [
            (&b"list_groups\ny\nlogout\n"[..], &["ListGroups", "consent", "Logout"][..]),
            (b"list_groups\nYes\nlogout\n", &["ListGroups", "consent", "Logout"]),
            (b"list_groups\n\nlogout\n", &["ListGroups", "Logout"]),
            (b"list_groups\nn\nlogout\n", &["ListGroups", "Logout"]),
            (b"list_groups\nlogout\n", &["ListGroups", "Logout"]),
            (b"list_groups\n", &["ListGroups"]),
        ] {
            assert_eq!(asked(typed, 0).0, said, "{}", String::from_utf8_lossy(typed));
        }
    }

    #[test]
    fn a_question_that_nobody_answered_or_whose_yes_failed_comes_again_behind_the_next_command() {
        for (typed, failures, said, times) in [
            (
                &b"list_groups\nlogout\ny\nlist_groups\n"[..],
                0,
                &["ListGroups", "Logout", "consent", "ListGroups"][..],
                2,
            ),
            (
                b"list_groups\ny\nlogout\ny\nlist_groups\n",
                1,
                &["ListGroups", "consent", "Logout", "consent", "ListGroups"],
                2,
            ),
            (b"list_groups\nn\nlogout\n", 0, &["ListGroups", "Logout"], 1),
        ] {
            let (done, asked) = asked(typed, failures);
            assert_eq!(done, said);
            assert_eq!(asked, times);
        }
    }

    #[test]
    fn a_script_is_asked_nothing() {
        let ran = run_with(&b"list_groups\ny\n"[..], |executor, _| executor.questions.push("Share it?".to_owned()));
        assert_eq!(ran.said, ["ListGroups", "finish"]);
        assert!(!(ran.output + &ran.error).contains("Share it?"));
    }

    #[test]
    fn help_is_a_result() {
        let ran = script(b"help\nhelp login\n");
        assert!(ran.output.starts_with("create_user <user_id> [password]  "));
        assert!(ran.output.contains("\nUsage: login <user_id> [password]\n"));
        assert_eq!((ran.error.as_str(), ran.exit), ("", Exit::Success));
    }

    #[test]
    fn a_signal_during_a_command_ends_the_script_without_waiting_for_downloads() {
        let ran = run_with(&b"list_groups\nlogout\n"[..], |executor, interrupt| {
            let interrupt = interrupt.clone();
            executor.at_command = Box::new(move || interrupt.signal(Signal::Interrupt));
        });
        assert_eq!(ran.said, ["ListGroups"]);
        assert_eq!(ran.exit, Exit::Interrupted);
    }

    #[test]
    fn a_command_is_not_begun_whose_line_is_followed_by_ctrl_c_at_once() {
        struct Keys(Interrupt, Vec<&'static [u8]>);
        impl Read for Keys {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let Some(line) = self.1.pop() else { return Ok(0) };
                if line == b"list_groups\n" {
                    self.0.signal(Signal::Interrupt);
                }
                buf[..line.len()].copy_from_slice(line);
                Ok(line.len())
            }
        }
        let (terminal, _, error) = sheets(false);
        let interrupt = Interrupt::new(true).expect("an eventfd");
        let mut prompt =
            Prompt::script(Keys(interrupt.clone(), vec![b"logout\n", b"list_groups\n"]), &terminal, &interrupt);
        let mut executor = Recorder::default();
        run(&mut prompt, &Reporter::new(terminal, Manner::default()), &interrupt, &mut executor);
        assert_eq!(executor.said, ["Logout", "finish"]);
        assert_eq!(error.text(), "Cancelled before it began\n");
    }

    #[test]
    fn a_signal_while_the_next_line_is_awaited_ends_the_script() {
        struct Signalled(Interrupt);
        impl Read for Signalled {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                self.0.signal(Signal::Interrupt);
                Err(io::Error::other("a signal ended the wait"))
            }
        }
        let (terminal, _, error) = sheets(false);
        let interrupt = Interrupt::new(false).expect("an eventfd");
        let mut prompt = Prompt::script(Signalled(interrupt.clone()), &terminal, &interrupt);
        let mut executor = Recorder::default();
        assert_eq!(
            run(&mut prompt, &Reporter::new(terminal, Manner::default()), &interrupt, &mut executor),
            Exit::Interrupted
        );
        assert_eq!((executor.said.len(), error.text().as_str()), (0, ""));
    }

    #[test]
    fn an_input_that_cannot_be_read_ends_the_program_and_says_so() {
        struct Folder;
        impl Read for Folder {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::IsADirectory.into())
            }
        }
        let ran = run_with(Folder, |_, _| {});
        assert_eq!((ran.error.as_str(), ran.exit), ("Cannot read standard input: is a directory\n", Exit::Refused));
    }

    #[test]
    fn results_that_nobody_can_read_show_in_the_exit_code() {
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let terminal = TerminalWriter::new(Box::new(Closed), Box::new(Sheet::default()));
        let interrupt = Interrupt::new(false).expect("an eventfd");
        let mut prompt = Prompt::script(&b"help\n"[..], &terminal, &interrupt);
        let mut executor = Recorder::default();
        assert_eq!(
            run(&mut prompt, &Reporter::new(terminal, Manner::default()), &interrupt, &mut executor),
            Exit::OutputLost
        );
    }

    #[test]
    fn the_first_refusal_decides_the_exit_code() {
        for (script, exit) in [
            (&b"leave_group lab\njoin_group lab\n"[..], Exit::NoTracker),
            (b"join_group lab\nleave_group lab\n", Exit::Refused),
            (b"frobnicate\nleave_group lab\n", Exit::Refused),
        ] {
            assert_eq!(run_with(script, |executor, _| executor.downloads_fail = true).exit, exit);
        }
    }
}
