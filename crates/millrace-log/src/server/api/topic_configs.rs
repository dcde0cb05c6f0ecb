//! The settings of topics as clients are shown them.

use std::collections::BTreeMap;

use crate::storage::{KNOWN_CONFIGS, KnownConfig};

/// Where a value comes from.
pub(super) const SET_FOR_TOPIC: i8 = 1;
pub(super) const SET_AT_START: i8 = 4;
pub(super) const DEFAULT: i8 = 5;

/// A setting of a topic with the value that holds.
pub(super) struct Shown {
    pub(super) known: &'static KnownConfig,
    pub(super) value: String,
    pub(super) source: i8,
}

/// All settings of a topic for which `set` was set.
pub(super) fn all(set: &BTreeMap<String, String>) -> impl Iterator<Item = Shown> {
    KNOWN_CONFIGS.iter().filter_map(|known| match set.get(known.name) {
        Some(value) => Some(Shown { known, value: known.shown(value), source: SET_FOR_TOPIC }),
        None if known.is_internal() => None,
        None => Some(Shown { known, value: known.default.to_owned(), source: DEFAULT }),
    })
}
