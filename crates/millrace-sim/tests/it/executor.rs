//! The simulated world: order, time, panics, aborts, crashes.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::mpsc;
use millrace_core::seam::{JoinError, Seams, yield_now};
use millrace_sim::{Simulation, run};

/// Three tasks that sleep, draw and talk to each other; returns what was said in which order.
async fn chatter(seams: Seams) -> Vec<(usize, u64)> {
    let (sender, receiver) = mpsc::channel(2);
    for task in 0..3 {
        let (own, mut sender) = (seams.clone(), sender.clone());
        let work = async move {
            for _ in 0..10 {
                let random = own.random.next_u64();
                match random % 3 {
                    0 => own.clock.sleep(Duration::from_millis(random % 50)).await,
                    1 => yield_now().await,
                    _ => {}
                }
                futures::SinkExt::send(&mut sender, (task, random)).await.unwrap();
            }
        };
        seams.spawner.spawn(&format!("talker {task}"), Box::pin(work));
    }
    drop(sender);
    receiver.collect().await
}

#[test]
fn one_seed_gives_one_world_and_another_seed_another() {
    let mut worlds = Vec::new();
    for seed in 0..20 {
        let (first, trace) = run(seed, chatter);
        let (second, again) = run(seed, chatter);
        assert_eq!(trace.difference(&again), None, "seed {seed}");
        assert_eq!((first, trace.hash()), (second, again.hash()));
        assert!(!worlds.contains(&trace.hash()), "seed {seed} repeats the world of another");
        worlds.push(trace.hash());
    }
}

#[test]
fn a_difference_between_traces_is_named() {
    let talk = |tasks: usize| {
        run(1, move |seams| async move {
            for task in 0..tasks {
                seams.spawner.spawn(&format!("task {task}"), Box::pin(yield_now())).await.unwrap();
            }
        })
        .1
    };
    let difference = talk(1).difference(&talk(2)).unwrap();
    assert!(difference.contains("the end"), "{difference}");
}

#[test]
fn time_stands_still_while_anything_can_run() {
    let (times, _) = run(3, |seams| async move {
        let clock = seams.clock.clone();
        let work = async move {
            for _ in 0..1_000 {
                yield_now().await;
            }
            clock.elapsed()
        };
        let (sender, receiver) = futures::channel::oneshot::channel();
        let busy = Box::pin(async move { sender.send(work.await).unwrap() });
        seams.spawner.spawn("busy", busy);
        seams.clock.sleep(Duration::from_secs(1)).await;
        (receiver.await.unwrap(), seams.clock.elapsed())
    });
    assert_eq!(times, (Duration::ZERO, Duration::from_secs(1)));
}

#[test]
fn a_timer_that_nobody_waits_for_any_more_does_not_move_time() {
    let (elapsed, _) = run(4, |seams| async move {
        let hour = seams.clock.sleep(Duration::from_secs(3_600));
        let second = seams.clock.sleep(Duration::from_secs(1));
        futures::future::select(hour, second).await;
        seams.clock.sleep(Duration::from_secs(1)).await;
        seams.clock.elapsed()
    });
    assert_eq!(elapsed, Duration::from_secs(2));
}

#[test]
fn a_panic_ends_its_task_alone_and_an_abort_ends_it_as_aborted() {
    let (ends, _) = run(5, |seams| async move {
        let panics = seams.spawner.spawn("panics", Box::pin(async { panic!("on purpose") }));
        let waits = seams.spawner.spawn("waits", Box::pin(futures::future::pending()));
        yield_now().await;
        waits.abort();
        let blocking = seams.spawner.spawn_blocking(Box::new(|| panic!("in blocking work")));
        (panics.await, waits.await, blocking.await)
    });
    assert!(matches!(&ends.0, Err(JoinError::Panicked(why)) if why == "on purpose"));
    assert!(matches!(ends.1, Err(JoinError::Aborted)));
    assert!(matches!(&ends.2, Err(JoinError::Panicked(why)) if why == "in blocking work"));
}

#[test]
fn a_crash_drops_every_task_where_it_is() {
    struct CountsDrops(Arc<AtomicUsize>);
    impl Drop for CountsDrops {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let (drops, progress) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(0)));
    let simulated = Simulation::new(6).crash_after(100).run(|seams| {
        let (drops, progress) = (drops.clone(), progress.clone());
        async move {
            for _ in 0..3 {
                let (held, progress) = (CountsDrops(drops.clone()), progress.clone());
                let work = async move {
                    let _held = held;
                    loop {
                        *progress.lock().unwrap() += 1;
                        yield_now().await;
                    }
                };
                seams.spawner.spawn("endless", Box::pin(work));
            }
            futures::future::pending::<()>().await;
        }
    });
    assert!(simulated.output.is_none());
    assert_eq!(simulated.trace.steps.len(), 100);
    assert_eq!((drops.load(SeqCst), *progress.lock().unwrap()), (3, 99));
}

#[test]
#[should_panic(expected = "waiting: `main`, `stuck`")]
fn a_standstill_is_reported_with_the_tasks_that_wait() {
    run(7, |seams| async move {
        seams.spawner.spawn("stuck", Box::pin(futures::future::pending())).await.unwrap();
    });
}
