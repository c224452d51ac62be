//! What the product does, and what it might do instead.

/// Rules that can be tried. The default is what the product does.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rules {
    /// A seeder without a limit leases pieces too, while its uplink has more to send than it takes.
    pub(crate) once: bool,
    /// Most pieces that leave a scarce uplink at a time. The others wait, and their takers know that.
    pub(crate) serial: Option<usize>,
    /// Whoever is refused a piece that is on its way asks again when it should be there, and not at the next tick.
    pub(crate) promise: bool,
    /// While a scarce seeder has others to serve, it gives nothing that somebody has from it, as long as there is
    /// something that nobody has.
    pub(crate) fresh: bool,
    /// A place is given to another member between two pieces only.
    pub(crate) whole: bool,
    /// On all connections together, no more is asked for than what comes in in a few seconds.
    pub(crate) bound: bool,
}

impl Rules {
    pub(crate) fn parse(words: &[String]) -> Self {
        let mut rules = Self::default();
        for word in words {
            match word.as_str() {
                "product" => {}
                "once" => rules.once = true,
                "promise" => rules.promise = true,
                "fresh" => rules.fresh = true,
                "whole" => rules.whole = true,
                "bound" => rules.bound = true,
                other => match other.strip_prefix("serial").and_then(|count| count.parse().ok()) {
                    Some(count) => rules.serial = Some(count),
                    None => panic!("{other} is no rule"),
                },
            }
        }
        rules
    }
}
