//! Notices in JSON: an object for each, and a text that stands for the notices shown.

use super::line_receiver::SHORT_LEN;
use crate::model::id::{OpOrder, Origin};
use crate::model::notice::Notice;
use crate::tracker::session::lists::ShownNotices;
use serde::Serialize;
use serde_json::Value;

/// The longest notice in JSON, in bytes: a group name and two file names fit in, with every byte escaped.
const NOTICE_LEN_MAX: usize = 2048;
/// How many notices still fit into a short answer.
pub(super) const FEW: usize = SHORT_LEN / NOTICE_LEN_MAX;
/// The most bytes for all notices of a user.
pub(super) const ALL_LEN: usize = Notice::UNREAD_MAX * NOTICE_LEN_MAX;

/// A notice.
#[derive(Debug, Serialize)]
pub(super) struct NoticeObject {
    notice: &'static str,
    #[serde(flatten)]
    members: Value,
}

/// The answer of `list_notices`: the notices, and the text that stands for them.
pub(super) fn listed((notices, shown): (Vec<Notice>, Option<ShownNotices>)) -> (Vec<NoticeObject>, Option<String>) {
    let object = |notice: &Notice| {
        let (notice, members) = notice.members();
        NoticeObject { notice, members }
    };
    (notices.iter().map(object).collect(), shown.as_ref().map(text))
}

/// The text that stands for these notices.
fn text(shown: &ShownNotices) -> String {
    let ShownNotices { through: OpOrder { lamport, origin }, digest } = shown;
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{lamport}.{}.{:x}.{digits}", origin.tracker, origin.incarnation)
}

/// The notices that a text stands for; `None` if the text has another form.
pub(super) fn shown(named: &str) -> Option<ShownNotices> {
    let mut parts = named.split('.');
    let (lamport, tracker, incarnation, digits) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let origin = Origin { tracker: tracker.parse().ok()?, incarnation: u64::from_str_radix(incarnation, 16).ok()? };
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    let shown = ShownNotices { through: OpOrder { lamport: lamport.parse().ok()?, origin }, digest };
    // Rejects other spellings: signs, leading zeros, capitals and further parts.
    (text(&shown) == named).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::{FileName, GroupId};

    #[test]
    fn no_notice_is_longer_than_is_counted_with() {
        let group = GroupId::parse(&"\"".repeat(64)).expect("a name");
        let file = || FileName::parse(&"\\".repeat(255)).expect("a name");
        let (notice, members) = Notice::ShareRenamed { group, from: file(), to: file() }.members();
        let longest = serde_json::to_string(&NoticeObject { notice, members }).expect("it has text keys");
        assert!(longest.len() > NOTICE_LEN_MAX / 2 && longest.len() < NOTICE_LEN_MAX, "{}", longest.len());
    }

    #[test]
    fn a_text_names_what_it_was_made_of_and_no_other_text_does() {
        let origin = Origin { tracker: 3, incarnation: 0xab };
        let named = ShownNotices { through: OpOrder { lamport: 17, origin }, digest: [0xc0; 32] };
        let told = format!("17.3.ab.{}", "c0".repeat(32));
        assert_eq!(text(&named), told);
        assert_eq!(shown(&told), Some(named));
        for bad in ["", "1.1", "17.3.AB", "+17.3.ab", "17.3.ab.", "017.3.ab", "65536.65536.1", "é.é.é.é"] {
            assert_eq!(shown(bad), None, "{bad}");
            assert_eq!(shown(&format!("{bad}.{}", "c0".repeat(32))), None, "{bad}");
        }
        assert_eq!(shown(&told.to_uppercase()), None);
        assert_eq!(shown(&told[..told.len() - 1]), None);
        assert_eq!(shown(&format!("{told}0")), None);
    }
}
