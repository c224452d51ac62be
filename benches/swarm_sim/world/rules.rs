//! What the product does, and what it might do instead.

/// Rules that can be tried. The default is what the product does.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rules {
    /// Whoever is refused a piece that is on its way asks again when it should be there, and not at the next tick.
    pub(crate) promise: bool,
}

impl Rules {
    pub(crate) fn parse(words: &[String]) -> Self {
        let mut rules = Self::default();
        for word in words {
            match word.as_str() {
                "product" => {}
                "promise" => rules.promise = true,
                other => panic!("{other} is no rule"),
            }
        }
        rules
    }
}
