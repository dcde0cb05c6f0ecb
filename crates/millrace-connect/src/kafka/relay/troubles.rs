//! What is wrong with brokers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millrace_core::{Error, ErrorKind};

/// A client that was let in may be turned away for so long before it gives up: a broker that starts
/// may be told about users only after it has begun to listen.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// The failures of brokers, until they answer.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Whether any broker has ever answered.
    answered: bool,
    /// By the broker's name.
    current: BTreeMap<String, Trouble>,
    failures: u64,
}

/// Why connections to a broker fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    kind: ErrorKind,
    message: String,
    cause: Option<String>,
    hint: Option<String>,
    /// When it first failed with this kind of error, and when it last did.
    since: Duration,
    until: Duration,
    /// The number of the failure, among all.
    number: u64,
}

impl Trouble {
    fn to_error(&self) -> Error {
        let mut error = Error::new(self.kind, self.message.clone());
        if let Some(cause) = &self.cause {
            error = error.caused_by(cause.clone());
        }
        match &self.hint {
            None => error,
            Some(hint) => error.hint(hint.clone()),
        }
    }
}

/// In one line.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        match (&self.hint, self.kind) {
            (_, ErrorKind::Retry) => f.write_str("; trying on"),
            (Some(hint), _) => write!(f, " (hint: {hint})"),
            (None, _) => Ok(()),
        }
    }
}

impl Troubles {
    /// Nothing has been heard of any broker.
    pub fn is_unknown(&self) -> bool {
        !self.answered && self.current.is_empty()
    }

    /// A broker has let this client in, some time.
    pub fn has_answered(&self) -> bool {
        self.answered
    }

    pub fn answered(&mut self, name: &str) {
        self.answered = true;
        self.current.remove(name);
    }

    /// Notes a failure. Gives it back if it is another than the last one of this broker.
    pub fn failed(&mut self, name: &str, error: Error, now: Duration) -> Option<Trouble> {
        self.failures += 1;
        let before = self.current.get(name);
        let since = before.filter(|one| one.kind == error.kind()).map_or(now, |one| one.since);
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let trouble = Trouble {
            kind: error.kind(),
            message: error.message().to_owned(),
            cause,
            hint: error.hint_text().map(str::to_owned),
            since,
            until: now,
            number: self.failures,
        };
        let told = before.is_some_and(|before| {
            (&before.message, &before.cause) == (&trouble.message, &trouble.cause)
        });
        self.current.insert(name.to_owned(), trouble.clone());
        (!told).then_some(trouble)
    }

    /// The last failure of a broker that has not answered since.
    pub fn last(&self) -> Option<Error> {
        let trouble = self.current.values().max_by_key(|trouble| trouble.number)?;
        Some(self.error_of(trouble))
    }

    /// Why brokers turn this client away, if waiting for them has no use.
    pub fn refusal(&self) -> Option<Error> {
        let refusals = self.current.values().filter(|trouble| {
            trouble.kind == ErrorKind::FixInput
                && (!self.answered || trouble.until.saturating_sub(trouble.since) >= REFUSED_FOR)
        });
        Some(self.error_of(refusals.max_by_key(|trouble| trouble.number)?))
    }

    /// A client that was let in before is to try again later: a broker that is slow to start may
    /// refuse it for longer than anyone would wait at one place, and no job that has run ends by it.
    fn error_of(&self, trouble: &Trouble) -> Error {
        let error = trouble.to_error();
        if self.answered { error.with_kind(ErrorKind::Retry) } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused() -> Error {
        Error::fix_input("refused").caused_by("wrong password").hint("use another")
    }

    #[test]
    fn who_was_never_let_in_is_turned_away_at_once_and_others_after_a_while() {
        let mut troubles = Troubles::default();
        assert!(troubles.is_unknown() && troubles.last().is_none());
        troubles.failed("a:1", Error::retry("not there"), SECOND);
        assert!(!troubles.is_unknown() && troubles.refusal().is_none());
        troubles.failed("b:1", refused(), SECOND);
        let error = troubles.refusal().unwrap();
        assert_eq!(error.kind(), ErrorKind::FixInput);
        assert_eq!(error.full_report(), "refused\n  cause: wrong password\n  hint: use another");

        troubles.answered("a:1");
        assert!(troubles.refusal().is_none(), "one broker has let it in");
        troubles.failed("b:1", refused(), 10 * SECOND);
        assert!(troubles.refusal().is_none());
        troubles.failed("b:1", refused(), 11 * SECOND);
        assert_eq!(troubles.refusal().unwrap().kind(), ErrorKind::Retry);
        // What comes between begins anew.
        troubles.failed("b:1", Error::retry("not there"), 12 * SECOND);
        troubles.failed("b:1", refused(), 13 * SECOND);
        assert!(troubles.refusal().is_none());
        troubles.answered("b:1");
        assert!(troubles.last().is_none());
    }

    #[test]
    fn only_news_are_told() {
        let mut troubles = Troubles::default();
        let told = troubles.failed("a:1", refused(), SECOND).unwrap();
        assert_eq!(told.to_string(), "refused: wrong password (hint: use another)");
        assert!(troubles.failed("a:1", refused(), SECOND).is_none());
        assert!(troubles.failed("b:1", refused(), SECOND).is_some());
        assert!(troubles.failed("a:1", Error::retry("not there"), SECOND).is_some());
        assert_eq!(troubles.last().unwrap().message(), "not there");
    }
}
