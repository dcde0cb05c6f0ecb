use rdkafka::groups::{GroupInfo, GroupMemberInfo};

/// A group, as the log describes it.
#[derive(Clone, Debug)]
pub(in crate::log) struct Group {
    pub(in crate::log) name: String,
    pub(in crate::log) state: String,
    /// `consumer` for groups of consumers.
    pub(in crate::log) kind: String,
    /// How partitions are assigned, such as `range`.
    pub(in crate::log) assignor: String,
    pub(in crate::log) members: Vec<Member>,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub(in crate::log) struct Member {
    pub(in crate::log) id: String,
    pub(in crate::log) client: String,
    pub(in crate::log) host: String,
    /// The partitions that it reads.
    pub(in crate::log) assigned: Vec<(String, i32)>,
}

impl Group {
    pub(in crate::log) fn of(group: &GroupInfo) -> Self {
        Group {
            name: group.name().to_owned(),
            state: group.state().to_owned(),
            kind: group.protocol_type().to_owned(),
            assignor: group.protocol().to_owned(),
            members: group.members().iter().map(Member::of).collect(),
        }
    }

    /// The member that reads a partition.
    pub(in crate::log) fn reader_of(&self, topic: &str, partition: i32) -> Option<&Member> {
        self.members.iter().find(|member| {
            member.assigned.iter().any(|(name, number)| name == topic && *number == partition)
        })
    }
}

impl Member {
    fn of(member: &GroupMemberInfo) -> Self {
        Member {
            id: member.id().to_owned(),
            client: member.client_id().to_owned(),
            host: member.client_host().trim_start_matches('/').to_owned(),
            assigned: member.assignment().and_then(assigned).unwrap_or_default(),
        }
    }
}

/// The partitions in an assignment of Kafka's consumer protocol; other kinds of groups put
/// something else there, which has none.
fn assigned(bytes: &[u8]) -> Option<Vec<(String, i32)>> {
    let mut rest = bytes;
    let _version = take(&mut rest, 2)?;
    let mut assigned = Vec::new();
    for _ in 0..length(&mut rest)? {
        let name_bytes = i16::from_be_bytes(take(&mut rest, 2)?.try_into().ok()?);
        let name = take(&mut rest, usize::try_from(name_bytes).ok()?)?;
        let name = std::str::from_utf8(name).ok()?.to_owned();
        for _ in 0..length(&mut rest)? {
            assigned.push((name.clone(), i32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?)));
        }
    }
    Some(assigned)
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(i32::from_be_bytes(take(rest, 4)?.try_into().ok()?)).ok()
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(bytes)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSIGNMENT: &[u8] =
        b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x05\xff\xff\xff\xff";

    #[test]
    fn an_assignment_names_its_partitions() {
        assert_eq!(assigned(ASSIGNMENT), Some(vec![("t".to_owned(), 0), ("t".to_owned(), 5)]));
    }

    #[test]
    fn what_is_no_assignment_has_no_partitions_and_does_no_harm() {
        for cut in 0..ASSIGNMENT.len() - 4 {
            assert_eq!(assigned(&ASSIGNMENT[..cut]), None, "cut at {cut}");
        }
        assert_eq!(assigned(b"\0\0\x7f\xff\xff\xff\0\x01"), None);
        assert_eq!(assigned(b"\0\0\xff\xff\xff\xff"), None);
    }
}
