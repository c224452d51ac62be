//! The shared files, and what the sharer heard about each.

use crate::common::client::Client;
use crate::common::names::{file, group};
use groupshare::client::picker::split_mix::SplitMix;
use groupshare::wire::client_tracker::{Reply, Request};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The group of the files.
pub(crate) const GROUP: &str = "films";

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is shared.
    Shared,
    /// It is not shared any more.
    Gone,
    /// One of the two: the request was sent, and its answer is unknown.
    Asked,
}

/// All files that are shared, or were shared recently.
#[derive(Default)]
pub(crate) struct Films(Mutex<BTreeMap<String, Known>>);

impl Films {
    /// Notes what is known of a file.
    pub(crate) fn note(&self, name: &str, known: Known) {
        self.0.lock().insert(name.to_owned(), known);
    }

    /// Some file that is shared and `wanted`.
    pub(crate) fn pick(&self, dice: &mut SplitMix, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let films = self.0.lock();
        let there: Vec<_> = films
            .iter()
            .filter(|(name, known)| **known == Known::Shared && wanted(name))
            .map(|(name, _)| name)
            .collect();
        (!there.is_empty()).then(|| there[dice.below(there.len())].clone())
    }

    /// Compares what is known with what a tracker tells the sharer. Returns how many files it compared.
    pub(crate) fn verify(&self, sharer: &mut Client) -> usize {
        let films = self.0.lock();
        for (name, known) in films.iter() {
            let request = Request::FindShare { group: group(GROUP), name: file(name) };
            let shared = matches!(sharer.ask(request), Reply::Share { shared_by_you: true, .. });
            match known {
                Known::Shared => assert!(shared, "{name} was acknowledged as shared and is missing"),
                Known::Gone => assert!(!shared, "{name} was acknowledged as not shared any more and is"),
                Known::Asked => {}
            }
        }
        films.len()
    }

    /// Forgets the files that are gone. No client begins to download the others any more.
    pub(crate) fn withdraw(&self) {
        let mut films = self.0.lock();
        films.retain(|_, known| *known != Known::Gone);
        films.values_mut().for_each(|known| *known = Known::Asked);
    }

    /// The files that are known to be shared.
    pub(crate) fn shared(&self) -> Vec<String> {
        let films = self.0.lock();
        films.iter().filter(|(_, known)| **known == Known::Shared).map(|(name, _)| name.clone()).collect()
    }

    /// The files of which it is unknown whether their present version is shared.
    pub(crate) fn asked(&self) -> Vec<String> {
        let films = self.0.lock();
        films.iter().filter(|(_, known)| **known == Known::Asked).map(|(name, _)| name.clone()).collect()
    }

    /// All of the files.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }

    /// Takes a file off the list.
    pub(crate) fn forget(&self, name: &str) {
        self.0.lock().remove(name);
    }
}
