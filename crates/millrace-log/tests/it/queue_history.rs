//! What the workers of a queue saw while its log was killed again and again, and whether that may be.
//!
//! A delivery is named by the broker's life in which it was made and by its count: within a life
//! the count of a record grows with each delivery, so that this is their true order, whenever the
//! answers came. The rules:
//!
//! 1. What was handed out is what the log holds there.
//! 2. Within a life no record is handed out twice with the same count, over lives the count never
//!    goes down, and it never passes the limit.
//! 3. While a worker holds a record nobody else gets it: the lock's time is over, or the worker has
//!    released it, or its session has ended, or the broker has died since.
//! 4. A record whose acceptance or rejection was answered is never handed out again, and one that was
//!    released comes back with a larger count.
//! 5. What a worker says about records that it surely holds is not refused.
//! 6. Each dead letter says where it is from and why it is there; this is true; in one life there is
//!    one of a record.
//! 7. A dead letter is the end of its record, but for those that were being written when the broker
//!    died: the last ones of a partition in a life.
//! 8. Each record of the log comes to its end: accepted, or a dead letter.
//! 9. A worker that was told its place in the group keeps it through the broker's deaths.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::RecordId;

/// Microseconds since the run began.
pub type Micros = u64;

/// A record's place.
pub type Place = (i32, i64);

/// How much a clock that counts milliseconds may be off.
const SLOP_MICROS: Micros = 2_000;

/// A record was handed to a worker.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub place: Place,
    /// What it held; none if it came without the record.
    pub record: Option<RecordId>,
    pub life: u64,
    pub count: i16,
    /// Of its worker, in this life.
    pub session: u64,
    pub called: Micros,
    pub answered: Micros,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Accept,
    Release,
    Reject,
}

/// What a worker said about a record that it had got.
#[derive(Clone, Debug)]
pub struct Word {
    pub kind: Kind,
    pub place: Place,
    /// The last delivery of it that the worker saw, and in which session.
    pub delivery: (u64, i16),
    pub session: u64,
    /// In which life and session it was said.
    pub said_in: (u64, u64),
    /// Those with the same number were said together, and taken or refused together.
    pub together: u64,
    pub called: Micros,
    /// When the answer came, and its code; none if it never came.
    pub answer: Option<(Micros, i16)>,
}

impl Word {
    fn is_taken(&self) -> bool {
        matches!(self.answer, Some((_, 0)))
    }

    /// One that was not answered may have been heard.
    fn may_be_taken(&self) -> bool {
        self.answer.is_none_or(|(_, code)| code == 0)
    }

    /// Whether it is about the delivery that it names, and not about a later one that the worker
    /// does not know of.
    fn is_exact(&self) -> bool {
        self.session == self.said_in.1
    }
}

/// A record in the dead-letter topic.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub record: RecordId,
    /// The life in which it was written.
    pub life: u64,
    /// By the names behind `__dlq.errors.`.
    pub headers: BTreeMap<String, String>,
}

impl DeadLetter {
    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.headers.get(name)?.parse().ok()
    }

    fn place(&self) -> Option<Place> {
        Some((self.number("partition")?, self.number("offset")?))
    }
}

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub struct QueueHistory {
    pub topic: String,
    pub group: String,
    pub lock_micros: Micros,
    pub count_limit: i16,
    pub deliveries: Vec<Delivery>,
    pub words: Vec<Word>,
    /// When a worker began to end its session, or noticed that it had ended.
    pub ends: BTreeMap<u64, Micros>,
    /// In the order of the topic.
    pub dead_letters: Vec<DeadLetter>,
    pub log: BTreeMap<Place, RecordId>,
    /// Memberships that the broker did not know any more though nobody had ended them.
    pub forgotten: Vec<String>,
}

/// What is known of one record.
#[derive(Default)]
struct Known<'a> {
    /// In their order.
    deliveries: Vec<&'a Delivery>,
    words: Vec<&'a Word>,
    /// With their places in the topic.
    dead_letters: Vec<(usize, &'a DeadLetter)>,
}

impl Known<'_> {
    /// All that is known of it, a line each.
    fn story(&self) -> String {
        let deliveries = self.deliveries.iter().map(|one| (one.called, format!("{one:?}")));
        let words = self.words.iter().map(|word| (word.called, format!("{word:?}")));
        let mut lines: Vec<_> = deliveries.chain(words).collect();
        lines.sort();
        lines.iter().map(|(_, line)| format!("\n    {line}")).collect()
    }
}

impl QueueHistory {
    /// Everything that breaks a rule, in words.
    pub fn check(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let known = self.by_record(&mut broken);
        for (place, known) in &known {
            self.check_order(known, &mut broken);
            self.check_locks(known, &mut broken);
            check_words(known, &mut broken);
            self.check_dead_letters(*place, known, &mut broken);
            self.check_end(*place, known, &mut broken);
        }
        self.check_refusals(&known, &mut broken);
        self.check_interrupted(&known, &mut broken);
        broken.extend(self.forgotten.iter().map(|what| format!("rule 9: {what}")));
        broken
    }

    fn by_record(&self, broken: &mut Vec<String>) -> BTreeMap<Place, Known<'_>> {
        let mut known: BTreeMap<Place, Known<'_>> =
            self.log.keys().map(|place| (*place, Known::default())).collect();
        for delivery in &self.deliveries {
            let expected = self.log.get(&delivery.place);
            if expected.is_none() || delivery.record.as_ref() != expected {
                broken.push(format!("rule 1: {delivery:?}, and the log holds {expected:?}"));
            }
            known.entry(delivery.place).or_default().deliveries.push(delivery);
        }
        for word in &self.words {
            known.entry(word.place).or_default().words.push(word);
        }
        for (at, letter) in self.dead_letters.iter().enumerate() {
            match letter.place().filter(|place| self.log.get(place) == Some(&letter.record)) {
                Some(place) => known.entry(place).or_default().dead_letters.push((at, letter)),
                None => broken.push(format!("rule 6: no such record: {letter:?}")),
            }
        }
        for known in known.values_mut() {
            known.deliveries.sort_by_key(|delivery| (delivery.life, delivery.count));
        }
        known
    }

    fn check_order(&self, known: &Known<'_>, broken: &mut Vec<String>) {
        for delivery in &known.deliveries {
            if !(1..=self.count_limit).contains(&delivery.count) {
                broken.push(format!("rule 2: past the limit: {delivery:?}"));
            }
        }
        for pair in known.deliveries.windows(2) {
            let (first, second) = (pair[0], pair[1]);
            let grows = second.count > first.count;
            let stays = second.count == first.count && second.life > first.life;
            if !grows && !stays {
                broken.push(format!("rule 2: {second:?} after {first:?}"));
            }
        }
    }

    fn check_locks(&self, known: &Known<'_>, broken: &mut Vec<String>) {
        for pair in known.deliveries.windows(2) {
            let (first, second) = (pair[0], pair[1]);
            let over = first.called + self.lock_micros <= second.answered + SLOP_MICROS;
            let ended = self.ends.get(&first.session).is_some_and(|at| *at <= second.answered);
            let released = known.words.iter().any(|word| {
                word.kind == Kind::Release
                    && word.session == first.session
                    && word.delivery == (first.life, first.count)
                    && word.called <= second.answered
                    && word.may_be_taken()
            });
            if first.life == second.life && !over && !ended && !released {
                let story = known.story();
                broken.push(format!("rule 3: {second:?} while {first:?} was held:{story}"));
            }
        }
    }

    fn check_dead_letters(&self, place: Place, known: &Known<'_>, broken: &mut Vec<String>) {
        let mut lives = BTreeSet::new();
        for (_, letter) in &known.dead_letters {
            if !lives.insert(letter.life) {
                broken.push(format!("rule 6: twice in one life: {letter:?}"));
            }
            let count: i16 = letter.number("delivery.count").unwrap_or(0);
            let is_true = match letter.headers.get("message").map(String::as_str) {
                Some("it was rejected") => known.words.iter().any(|word| {
                    word.kind == Kind::Reject
                        && word.said_in.0 == letter.life
                        && (!word.is_exact() || word.delivery.1 == count)
                }),
                Some("it was handed out as often as is allowed") => count == self.count_limit,
                _ => false,
            };
            let names = ["topic", "group"].map(|name| letter.headers.get(name).map(String::as_str));
            if !is_true || names != [Some(&*self.topic), Some(&*self.group)] {
                broken.push(format!("rule 6: not true of {place:?}: {letter:?}"));
            }
            let after = known
                .deliveries
                .iter()
                .find(|delivery| delivery.life == letter.life && delivery.count > count);
            if let Some(after) = after {
                broken.push(format!("rule 7: {after:?} after {letter:?}"));
            }
        }
    }

    fn check_end(&self, place: Place, known: &Known<'_>, broken: &mut Vec<String>) {
        let accepted =
            known.words.iter().any(|word| word.kind == Kind::Accept && word.may_be_taken());
        if !accepted && known.dead_letters.is_empty() {
            broken.push(format!(
                "rule 8: {place:?} came to no end: {:?}, {:?}",
                known.deliveries, known.words
            ));
        }
    }

    /// What was said together is taken if all of it was surely held.
    fn check_refusals(&self, known: &BTreeMap<Place, Known<'_>>, broken: &mut Vec<String>) {
        let mut together: BTreeMap<u64, Vec<&Word>> = BTreeMap::new();
        for word in &self.words {
            together.entry(word.together).or_default().push(word);
        }
        for words in together.values() {
            let is_held = |word: &&Word| {
                let Some((answered, _)) = word.answer else { return false };
                let deliveries = &known[&word.place].deliveries;
                let held = deliveries.iter().find(|one| {
                    (one.life, one.count) == word.delivery && one.session == word.session
                });
                let again = self.words.iter().any(|other| {
                    other.place == word.place
                        && other.session == word.session
                        && other.delivery == word.delivery
                        && other.together != word.together
                });
                word.is_exact()
                    && !again
                    && held
                        .is_some_and(|held| answered + SLOP_MICROS < held.called + self.lock_micros)
            };
            // The search above is long, and few are refused.
            if words[0].answer.is_some_and(|(_, code)| code != 0) && words.iter().all(is_held) {
                let known = words.iter().map(|word| known[&word.place].story());
                let known: Vec<String> = known.collect();
                broken.push(format!("rule 5: refused though all were held:{}", known.join("")));
            }
        }
    }

    /// Dead letters whose records came again were the last of their partition when the broker died.
    fn check_interrupted(&self, known: &BTreeMap<Place, Known<'_>>, broken: &mut Vec<String>) {
        let mut interrupted: BTreeMap<(u64, i32), &DeadLetter> = BTreeMap::new();
        for (at, letter) in self.dead_letters.iter().enumerate() {
            let Some(place) = letter.place().filter(|place| known.contains_key(place)) else {
                continue;
            };
            let known = &known[&place];
            let comes_again = known.deliveries.iter().any(|one| one.life > letter.life)
                || known.dead_letters.iter().any(|(other, _)| *other > at);
            // It may have come in an answer that was lost.
            let may_come_again =
                known.words.iter().any(|word| word.said_in.0 > letter.life && word.may_be_taken());
            let key = (letter.life, place.0);
            if comes_again {
                interrupted.entry(key).or_insert(letter);
            } else if let Some(before) = interrupted.get(&key).filter(|_| !may_come_again) {
                broken.push(format!("rule 7: {before:?} came again, and {letter:?} did not"));
            }
        }
    }
}

fn check_words(known: &Known<'_>, broken: &mut Vec<String>) {
    for word in known.words.iter().filter(|word| word.is_taken()) {
        let Some((answered, _)) = word.answer else { continue };
        let after = known.deliveries.iter().find(|delivery| {
            let later_life = delivery.life > word.said_in.0;
            let later_count = delivery.life == word.said_in.0
                && word.is_exact()
                && delivery.count > word.delivery.1;
            let later_call = delivery.life == word.said_in.0 && delivery.called > answered;
            match word.kind {
                Kind::Release => later_life && word.is_exact() && delivery.count <= word.delivery.1,
                Kind::Accept | Kind::Reject => later_life || later_count || later_call,
            }
        });
        if let Some(after) = after {
            broken.push(format!("rule 4: {after:?} after {word:?}"));
        }
        if word.kind == Kind::Release {
            continue;
        }
        let letters = || known.dead_letters.iter().map(|(_, letter)| letter);
        if let Some(letter) = letters().find(|letter| letter.life > word.said_in.0) {
            broken.push(format!("rule 4: {letter:?} after {word:?}"));
        }
        let is_copied = letters().any(|letter| letter.life == word.said_in.0);
        if is_copied != (word.kind == Kind::Reject) {
            broken.push(format!("rule 6: {word:?} with {:?}", known.dead_letters));
        }
    }
}

#[cfg(test)]
mod tests;
