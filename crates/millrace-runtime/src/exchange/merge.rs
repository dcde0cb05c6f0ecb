//! The watermark of a task: the minimum over its inputs, idle ones left out.

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

/// Merges watermarks. It never goes back: an input that wakes up behind the others is simply
/// late, row by row.
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
}

impl WatermarkMerge {
    pub(crate) fn new(inputs: usize) -> Self {
        let input = Input { watermark: Timestamp::MIN, idle: false };
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
        input.watermark = input.watermark.max(watermark);
        self.advance()
    }

    /// Sets an input's idleness. The changes are at most two: becoming active, and an advance
    /// because an input no longer holds the others back.
    pub(crate) fn idle(&mut self, input: usize, idle: bool) -> [Option<Change>; 2] {
        self.inputs[input].idle = idle;
        let all_idle = !self.inputs.is_empty() && self.inputs.iter().all(|input| input.idle);
        let turned = match (self.idle, all_idle) {
            (false, true) => Some(Change::BecameIdle),
            (true, false) => Some(Change::BecameActive),
            _ => None,
        };
        self.idle = all_idle;
        // The last active input to fall silent leaves what the others had reached meanwhile
        // pending; nobody may be held back by it.
        [turned, self.advance()]
    }

    fn advance(&mut self) -> Option<Change> {
        let active = self.inputs.iter().filter(|input| !input.idle);
        let lowest = active.map(|input| input.watermark).min()?;
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

    #[test]
    fn the_slowest_input_decides() {
        let mut merge = WatermarkMerge::new(2);
        assert_eq!(merge.watermark(0, at(5)), None);
        assert_eq!(merge.watermark(1, at(3)), Some(Change::Advanced(at(3))));
        assert_eq!(merge.watermark(1, at(9)), Some(Change::Advanced(at(5))));
    }

    #[test]
    fn an_idle_input_holds_nobody_back() {
        let mut merge = WatermarkMerge::new(2);
        merge.watermark(0, at(5));
        assert_eq!(merge.idle(1, true), [None, Some(Change::Advanced(at(5)))]);
        assert_eq!(merge.idle(0, true), [Some(Change::BecameIdle), None]);
        assert_eq!(merge.idle(1, false), [Some(Change::BecameActive), None]);
        assert_eq!(merge.watermark(1, at(4)), None, "the merged watermark does not go back");
        assert_eq!(merge.merged(), at(5));
    }

    proptest! {
        #[test]
        fn merged_never_goes_back_and_never_passes_an_active_input_that_did_not(
            steps in proptest::collection::vec((0usize..3, 0i64..50, any::<bool>(), any::<bool>()), 0..80)
        ) {
            let mut merge = WatermarkMerge::new(3);
            let mut before = Timestamp::MIN;
            for (input, time, sets_idle, idle) in steps {
                let held: Vec<_> = merge.inputs.iter().map(|input| input.watermark).collect();
                if sets_idle { merge.idle(input, idle); } else { merge.watermark(input, at(time)); }
                prop_assert!(merge.merged() >= before);
                if merge.merged() > before {
                    for (input, held) in merge.inputs.iter().zip(held) {
                        prop_assert!(input.idle || merge.merged() <= input.watermark.max(held));
                    }
                }
                before = merge.merged();
            }
        }
    }
}
