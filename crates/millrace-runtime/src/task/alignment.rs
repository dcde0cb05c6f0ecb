//! Sources that wait for each other: watermark alignment.
//!
//! Sources of one group tell each other how far the one furthest behind has come. A split whose
//! watermark is further ahead of that than the group's drift is not read until the others have
//! caught up, so that what runs ahead waits where it is stored and not in the state of windows.
//!
//! All subtasks of a run are in one process: the group is shared memory, and a change is seen at
//! once. What is finished or idle holds nobody back; a split that has not been read yet does, as it
//! holds back the watermark. A split is stopped when it is read to behind the limit, so it may be
//! ahead by a batch more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use millrace_core::Timestamp;
use tokio::sync::Notify;

use crate::graph::WatermarkAlignment;

/// The groups of one run, by name.
#[derive(Default)]
pub(crate) struct AlignmentGroups {
    groups: Mutex<HashMap<String, Arc<Group>>>,
}

struct Group {
    standing: Mutex<Standing>,
    /// Wakes those that wait, in the order in which they came: a run in simulation stays the same.
    moved: Notify,
}

struct Standing {
    /// How far each member has come; `None` holds nobody back.
    members: Vec<Option<Timestamp>>,
    /// The member furthest behind; `Timestamp::MAX` when nobody holds anybody back.
    behind: Timestamp,
}

impl Group {
    fn report(&self, member: usize, reached: Option<Timestamp>) {
        let mut standing = self.standing.lock().expect("no holder panics");
        standing.members[member] = reached;
        let behind = standing.members.iter().flatten().min().copied().unwrap_or(Timestamp::MAX);
        if std::mem::replace(&mut standing.behind, behind) != behind {
            self.moved.notify_waiters();
        }
    }

    fn behind(&self) -> Timestamp {
        self.standing.lock().expect("no holder panics").behind
    }
}

impl AlignmentGroups {
    /// Makes a subtask a member. It holds the others back until it first reports.
    pub(crate) fn join(&self, alignment: &WatermarkAlignment) -> Aligned {
        let mut groups = self.groups.lock().expect("no holder panics");
        let group = groups.entry(alignment.group.clone()).or_insert_with(|| {
            let standing = Standing { members: Vec::new(), behind: Timestamp::MAX };
            Arc::new(Group { standing: Mutex::new(standing), moved: Notify::new() })
        });
        let member = {
            let mut standing = group.standing.lock().expect("no holder panics");
            standing.members.push(None);
            standing.members.len() - 1
        };
        group.report(member, Some(Timestamp::MIN));
        Aligned {
            group: Arc::clone(group),
            member,
            reported: Some(Timestamp::MIN),
            seen: Timestamp::MIN,
            alignment: alignment.clone(),
        }
    }
}

/// A subtask's membership of a group; it ends when this is dropped.
pub(crate) struct Aligned {
    group: Arc<Group>,
    member: usize,
    reported: Option<Timestamp>,
    /// Who was furthest behind when the limit was last asked for.
    seen: Timestamp,
    alignment: WatermarkAlignment,
}

impl Aligned {
    /// Tells the group how far this subtask has come; `None` when it holds nobody back.
    pub(crate) fn report(&mut self, reached: Option<Timestamp>) {
        if self.reported != reached {
            self.reported = reached;
            self.group.report(self.member, reached);
        }
    }

    /// A split whose watermark is later than this has to wait.
    pub(crate) fn limit(&mut self) -> Timestamp {
        self.seen = self.group.behind();
        match self.seen {
            // Nobody has had a record yet, or nobody is left.
            Timestamp::MAX => Timestamp::MAX,
            behind => behind.plus(self.alignment.max_drift),
        }
    }

    /// Waits until the limit may have changed since it was last asked for.
    pub(crate) async fn changed(&self) {
        let mut moved = std::pin::pin!(self.group.moved.notified());
        // From here on no move is missed; one before shows in the standing.
        moved.as_mut().enable();
        if self.group.behind() == self.seen {
            moved.await;
        }
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        self.report(None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_member_furthest_behind_sets_the_limit_until_it_leaves() {
        let groups = AlignmentGroups::default();
        let of = |group: &str| WatermarkAlignment {
            group: group.to_owned(),
            max_drift: Duration::from_millis(10),
        };
        let (mut one, mut two) = (groups.join(&of("a")), groups.join(&of("a")));
        let mut other = groups.join(&of("b"));
        other.report(Some(at(1)));
        one.report(Some(at(1_000)));
        assert_eq!(one.limit(), Timestamp::MIN.plus(Duration::from_millis(10)));
        two.report(Some(at(500)));
        assert_eq!((one.limit(), two.limit(), other.limit()), (at(510), at(510), at(11)));
        two.report(None);
        assert_eq!(one.limit(), at(1_010));
        two.report(Some(at(600)));
        assert_eq!(one.limit(), at(610));
        drop(two);
        assert_eq!(one.limit(), at(1_010));
        one.report(None);
        assert_eq!(one.limit(), Timestamp::MAX);
    }
}
