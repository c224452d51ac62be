//! The hidden line: a password typed while the line editor reads.
//!
//! The editor reads ahead, so text typed before the question is in its buffer, and only the editor can return it. The
//! editor's own line stays empty meanwhile. So neither the screen, nor the history, nor a later ctrl-Y gets any of the
//! password.

use parking_lot::Mutex;
use rustyline::{Cmd, ConditionalEventHandler, Event, EventContext, KeyCode, KeyEvent, Modifiers, RepeatCount};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The line takes at most this many bytes. The longest password has fewer, so the user is told of a password that is
/// too long.
const LEN_MAX: usize = 4096;

/// Takes the keys away from the editor between `begin` and `end`. All clones share one line.
#[derive(Clone, Default)]
pub(super) struct HiddenLine(Arc<Mutex<Option<Zeroizing<String>>>>);

impl HiddenLine {
    /// From now on the keys come here.
    pub(super) fn begin(&self) {
        // With all room from the start: a growing buffer would leave copies of its beginning behind.
        *self.0.lock() = Some(Zeroizing::new(String::with_capacity(LEN_MAX + 4)));
    }

    /// Ends that. Returns the typed text.
    pub(super) fn end(&self) -> Zeroizing<String> {
        self.0.lock().take().unwrap_or_default()
    }

    /// The editor's command for a key. `None` leaves the key to the editor.
    fn press(&self, key: &KeyEvent) -> Option<Cmd> {
        let mut line = self.0.lock();
        let line = line.as_mut()?;
        match (key.0, key.1) {
            (KeyCode::Enter, _) | (KeyCode::Char('J' | 'M'), Modifiers::CTRL) => return Some(Cmd::AcceptLine),
            (KeyCode::Char('C'), Modifiers::CTRL) => return Some(Cmd::Interrupt),
            (KeyCode::Char('D'), Modifiers::CTRL) if line.is_empty() => return Some(Cmd::EndOfFile),
            (KeyCode::Backspace, _) | (KeyCode::Char('H'), Modifiers::CTRL) => drop(line.pop()),
            (KeyCode::Char('U'), Modifiers::CTRL) => line.clear(),
            (KeyCode::Char('W'), Modifiers::CTRL) => {
                let word = line.trim_end().rfind(' ').map_or(0, |space| space + 1);
                line.truncate(word);
            }
            (KeyCode::Char(letter), Modifiers::NONE) if line.len() < LEN_MAX => line.push(letter),
            _ => {}
        }
        Some(Cmd::Noop)
    }
}

impl ConditionalEventHandler for HiddenLine {
    fn handle(&self, event: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        event.get(0).and_then(|key| self.press(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str) -> (HiddenLine, Vec<Cmd>) {
        let line = HiddenLine::default();
        line.begin();
        let commands = keys.chars().filter_map(|key| line.press(&KeyEvent::from(key)));
        let commands = commands.filter(|command| *command != Cmd::Noop).collect();
        (line, commands)
    }

    #[test]
    fn the_editor_gets_none_of_what_is_typed_and_hears_of_its_end() {
        let (line, commands) = typed("rabbit\u{e9}\r");
        assert_eq!((line.end().as_str(), commands), ("rabbit\u{e9}", vec![Cmd::AcceptLine]));
        let (line, commands) = typed("rabbit\n");
        assert_eq!((line.end().as_str(), commands), ("rabbit", vec![Cmd::AcceptLine]));
        assert_eq!(line.press(&KeyEvent::from('x')), None, "the next line is the editor's");
    }

    #[test]
    fn it_is_corrected_without_being_seen() {
        for (keys, text) in [
            ("rabbits\u{7f}", "rabbit"),
            ("rabbits\u{8}", "rabbit"),
            ("white rabbi\u{17}cat", "white cat"),
            ("rabbit\u{17}\u{17}cat", "cat"),
            ("rabbit\u{15}cat", "cat"),
            ("\u{7f}\u{10}\u{12}\tcat\u{19}", "cat"),
            ("cat\u{4}", "cat"),
        ] {
            let (line, commands) = typed(keys);
            assert_eq!((line.end().as_str(), commands), (text, vec![]));
        }
        for (key, command) in [("\u{3}", Cmd::Interrupt), ("\u{4}", Cmd::EndOfFile)] {
            assert_eq!(typed(key).1, [command]);
        }
    }

    #[test]
    fn a_flood_of_keys_has_a_limit() {
        let (line, _) = typed(&"x".repeat(10 * LEN_MAX));
        assert_eq!(line.end().len(), LEN_MAX);
    }
}
