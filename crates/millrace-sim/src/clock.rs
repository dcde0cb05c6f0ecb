//! Virtual time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use millrace_core::Timestamp;
use millrace_core::seam::Clock;

/// When simulations begin: 2024-01-01 00:00:00 UTC.
const EPOCH: Timestamp = Timestamp::from_millis(1_704_067_200_000);

/// A clock that stands still until the executor has nothing else to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimClock(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    elapsed: Duration,
    /// By when they are due, then by when they were set.
    timers: BTreeMap<(Duration, u64), Waker>,
    set: u64,
}

impl SimClock {
    /// Goes on to the next timer and wakes all that wait for this moment; false if nobody waits.
    pub(crate) fn advance(&self) -> bool {
        let due: Vec<Waker> = {
            let mut state = self.state();
            let Some((&(moment, _), _)) = state.timers.first_key_value() else { return false };
            state.elapsed = state.elapsed.max(moment);
            let later = state.timers.split_off(&(moment, u64::MAX));
            std::mem::replace(&mut state.timers, later).into_values().collect()
        };
        due.into_iter().for_each(Waker::wake);
        true
    }

    /// Without timers, and without the wakers that they hold.
    pub(crate) fn clear(&self) {
        let timers = std::mem::take(&mut self.state().timers);
        drop(timers);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        EPOCH.plus(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let until = self.elapsed().saturating_add(duration);
        Box::pin(Sleep { clock: self.clone(), until, timer: None })
    }
}

/// A timer that is taken back when nobody waits for it any more, lest time runs on to it.
struct Sleep {
    clock: SimClock,
    until: Duration,
    timer: Option<(Duration, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        let mut state = self.clock.state();
        if state.elapsed >= until {
            return Poll::Ready(());
        }
        state.set += 1;
        let timer = (until, state.set);
        state.timers.insert(timer, context.waker().clone());
        drop(state);
        let former = self.timer.replace(timer);
        self.take_back(former);
        Poll::Pending
    }
}

impl Sleep {
    fn take_back(&self, timer: Option<(Duration, u64)>) {
        // Dropped outside the lock, in case it is the last of its task.
        let waker = timer.and_then(|timer| self.clock.state().timers.remove(&timer));
        drop(waker);
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.take_back(self.timer);
    }
}
