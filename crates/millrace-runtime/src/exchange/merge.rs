//! The watermark of a task: the minimum over its inputs, idle ones left out.
//!
//! The rules are those of Flink's input gates:
//! - An input that falls idle holds nobody back. When the last one does, the furthest watermark of
//!   any input goes out first: nobody is left who could move event time on, and what had been held
//!   back would wait for nothing. If that last input was ahead of what went out (others still
//!   held it back when they fell idle), nothing more goes out.
//! - An input that wakes up behind what went out meanwhile does not hold the others back until it
//!   has caught up; its rows are late, row by row.
//! - One that has never said a watermark holds them back from the moment it speaks. Here this
//!   differs from Flink: such a one had nothing to read so far and is given something new, such as a
//!   partition that was added, whose rows must not be late for having been found later.
//! - While all inputs are idle, watermarks count for nothing, nor do those of an idle input.

use millrace_core::Timestamp;

/// What a change of one input does to the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Event time goes on to this watermark.
    Advanced(Timestamp),
    /// All inputs are idle now.
    BecameIdle,
    /// The first of all idle inputs speaks again.
    BecameActive,
}

/// Merges watermarks. It never goes back.
///
/// An input that ended keeps its last watermark: `Timestamp::MAX` if it was read to its end, an
/// earlier one if the job is being stopped, and then nothing may fire for it.
#[derive(Debug)]
pub(crate) struct WatermarkMerge {
    inputs: Vec<Input>,
    merged: Timestamp,
    idle: bool,
}

#[derive(Clone, Copy, Debug)]
struct Input {
    watermark: Timestamp,
    idle: bool,
    /// It is active and has kept up with what went out, or caught up with it.
    counts: bool,
}

impl WatermarkMerge {
    pub(crate) fn new(inputs: usize) -> Self {
        let input = Input { watermark: Timestamp::MIN, idle: false, counts: true };
        WatermarkMerge { inputs: vec![input; inputs], merged: Timestamp::MIN, idle: false }
    }

    /// The merged watermark.
    #[cfg(test)]
    pub(crate) fn merged(&self) -> Timestamp {
        self.merged
    }

    /// Whether all inputs are idle.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle
    }

    pub(crate) fn watermark(&mut self, input: usize, watermark: Timestamp) -> Option<Change> {
        let input = &mut self.inputs[input];
        if input.idle || watermark <= input.watermark {
            return None;
        }
        input.watermark = watermark;
        input.counts |= watermark >= self.merged;
        self.advance()
    }

    /// Sets an input's idleness. The changes are at most two, in order: an advance and becoming
    /// idle, or becoming active.
    pub(crate) fn idle(&mut self, input: usize, idle: bool) -> [Option<Change>; 2] {
        let input = &mut self.inputs[input];
        if input.idle == idle {
            return [None, None];
        }
        let kept_up = input.watermark >= self.merged || input.watermark == Timestamp::MIN;
        (input.idle, input.counts) = (idle, !idle && kept_up);
        let held = input.watermark == self.merged;
        if !idle {
            let woken = std::mem::take(&mut self.idle);
            return [woken.then_some(Change::BecameActive), None];
        }
        if self.inputs.iter().any(|input| !input.idle) {
            return [held.then(|| self.advance()).flatten(), None];
        }
        self.idle = true;
        let furthest = self.inputs.iter().map(|input| input.watermark).max();
        let flushed = furthest.filter(|furthest| held && *furthest > self.merged);
        self.merged = flushed.unwrap_or(self.merged);
        [flushed.map(Change::Advanced), Some(Change::BecameIdle)]
    }

    fn advance(&mut self) -> Option<Change> {
        let counted = self.inputs.iter().filter(|input| input.counts);
        let lowest = counted.map(|input| input.watermark).min()?;
        if lowest <= self.merged {
            return None;
        }
        self.merged = lowest;
        Some(Change::Advanced(lowest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Plays `w0:5` (input 0 reaches 5), `i0` (it falls idle), `a0` (it is active again); says of
    /// each step what went out: `W5`, `I`, `A`.
    fn play(steps: &str) -> String {
        let inputs = steps.split(' ').filter_map(|step| step[1..2].parse::<usize>().ok()).max();
        let mut merge = WatermarkMerge::new(inputs.unwrap() + 1);
        let told = steps.split(' ').map(|step| {
            let (input, time) = step[1..].split_once(':').unwrap_or((&step[1..], ""));
            let input = input.parse().unwrap();
            let changes = match &step[..1] {
                "w" => [merge.watermark(input, at(time.parse().unwrap())), None],
                turn => merge.idle(input, turn == "i"),
            };
            let changes = changes.into_iter().flatten().map(|change| match change {
                Change::Advanced(time) => format!("W{}", time.as_millis()),
                Change::BecameIdle => "I".to_owned(),
                Change::BecameActive => "A".to_owned(),
            });
            changes.collect::<Vec<_>>().join(" ")
        });
        told.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn the_slowest_input_decides() {
        assert_eq!(play("w0:5 w1:3 w1:9"), "|W3|W5");
    }

    #[test]
    fn an_idle_input_holds_nobody_back() {
        assert_eq!(play("w0:5 i1 i0 a1 w1:4"), "|W5|I|A|");
    }

    /// What the input gate of Flink 1.20.1 answers to the same.
    #[test]
    fn idle_inputs_are_treated_as_by_flink() {
        for (steps, told) in [
            // The last to fall silent held back what others had reached.
            ("w0:100 w1:50 i0 i1", "|W50||W100 I"),
            ("w0:100 w1:50 i1 i0", "|W50|W100|I"),
            ("w0:100 w1:50 w2:60 i0 w1:61 i2 i1", "||W50||W60|W61|W100 I"),
            // Who wakes up behind holds nobody back until it has caught up.
            ("w0:5 w1:1 i1 i0 a1 w1:4 a0 w0:10 w1:12 w0:20", "|W1|W5|I|A|||W10||W12"),
            ("w0:100 w1:50 i0 w1:70 i1 a1 w1:80", "|W50||W70|W100 I|A|"),
            // An idle input says nothing.
            ("w0:1 i1 w1:7 i0 w0:9 a1 w1:3 w1:8", "|W1||I||A|W3|W8"),
        ] {
            assert_eq!(play(steps), told, "{steps}");
        }
    }

    #[test]
    fn an_input_that_has_something_to_read_for_the_first_time_holds_the_others_back() {
        assert_eq!(play("i1 w0:5 a1 w0:9 w1:7 w1:8"), "|W5|||W7|W8");
    }

    proptest! {
        #[test]
        fn merged_never_goes_back_and_never_passes_an_active_input_that_did_not(
            steps in proptest::collection::vec((0usize..3, 0i64..50, any::<bool>(), any::<bool>()), 0..80)
        ) {
            let mut merge = WatermarkMerge::new(3);
            let mut before = Timestamp::MIN;
            for (input, time, sets_idle, idle) in steps {
                if sets_idle { merge.idle(input, idle); } else { merge.watermark(input, at(time)); }
                prop_assert!(merge.merged() >= before);
                if merge.merged() > before {
                    // But for those that woke up behind it and are late until they caught up.
                    let new = |input: &Input| input.watermark == Timestamp::MIN;
                    let kept_up =
                        |input: &&Input| !input.idle && (input.watermark >= before || new(input));
                    for input in merge.inputs.iter().filter(kept_up) {
                        prop_assert!(merge.merged() <= input.watermark);
                    }
                }
                before = merge.merged();
            }
        }
    }
}
