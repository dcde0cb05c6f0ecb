//! Access control lists: who may do what with which topics, groups and transactional ids.
//!
//! An entry allows or denies one operation, or all, on the things of one kind whose name is given,
//! begins so, or is any. What is denied is denied, whatever else is allowed; what nobody allowed is
//! denied too. Numbers are those of the protocol.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The name of the only cluster, in entries about it.
pub(crate) const CLUSTER_NAME: &str = "kafka-cluster";

/// What stands for every name, host, or user.
const ANY_NAME: &str = "*";
const ANY_USER: &str = "User:*";

/// Makes an enum of what the protocol has numbers for.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(crate) enum $name { $($variant = $code,)* }

        impl $name {
            pub(crate) fn code(self) -> i8 {
                self as i8
            }

            pub(crate) fn of_code(code: i8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

numbered!(
    /// The kind of a thing.
    Kind { Topic = 2, Group = 3, Cluster = 4, TransactionalId = 5, DelegationToken = 6, User = 7, }
);

numbered!(
    /// What can be done with it.
    Operation {
        All = 2,
        Read = 3,
        Write = 4,
        Create = 5,
        Delete = 6,
        Alter = 7,
        Describe = 8,
        ClusterAction = 9,
        DescribeConfigs = 10,
        AlterConfigs = 11,
        IdempotentWrite = 12,
        CreateTokens = 13,
        DescribeTokens = 14,
        TwoPhaseCommit = 15,
    }
);

numbered!(
    /// How names are meant.
    Pattern { Literal = 3, Prefixed = 4, }
);

numbered!(
    /// Whether it may be done.
    Permission { Deny = 2, Allow = 3, }
);

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Acl {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) pattern: Pattern,
    pub(crate) principal: String,
    pub(crate) host: String,
    pub(crate) operation: Operation,
    pub(crate) permission: Permission,
}

/// Who wants to do something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) principal: &'a str,
    /// The address it comes from.
    pub(crate) host: &'a str,
}

impl Acl {
    fn is_about(&self, kind: Kind, name: &str) -> bool {
        self.kind == kind
            && match self.pattern {
                Pattern::Literal => self.name == name || self.name == ANY_NAME,
                Pattern::Prefixed => name.starts_with(&self.name),
            }
    }

    fn is_for(&self, subject: Subject<'_>) -> bool {
        (self.principal == subject.principal || self.principal == ANY_USER)
            && (self.host == subject.host || self.host == ANY_NAME)
    }

    /// Whether it says something about an operation. Who may change a thing may see it.
    fn covers(&self, operation: Operation) -> bool {
        use Operation::{All, Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
        self.operation == All
            || self.operation == operation
            || self.permission == Permission::Allow
                && match operation {
                    Describe => matches!(self.operation, Read | Write | Delete | Alter),
                    DescribeConfigs => self.operation == AlterConfigs,
                    _ => false,
                }
    }
}

/// Whether the entries let somebody do something.
pub(crate) fn is_allowed(
    acls: &BTreeSet<Acl>,
    subject: Subject<'_>,
    operation: Operation,
    kind: Kind,
    name: &str,
) -> bool {
    let mut allowed = false;
    for acl in acls {
        if acl.is_about(kind, name) && acl.is_for(subject) && acl.covers(operation) {
            if acl.permission == Permission::Deny {
                return false;
            }
            allowed = true;
        }
    }
    allowed
}

/// Whether there may be a thing of a kind with which somebody may do something: one that is allowed
/// and not denied by a pattern that is as wide.
pub(crate) fn is_allowed_somewhere(
    acls: &BTreeSet<Acl>,
    subject: Subject<'_>,
    operation: Operation,
    kind: Kind,
) -> bool {
    let relevant = |permission: Permission| {
        acls.iter().filter(move |acl| {
            acl.kind == kind
                && acl.permission == permission
                && acl.is_for(subject)
                && acl.covers(operation)
        })
    };
    let denied = |allowed: &Acl| {
        relevant(Permission::Deny).any(|deny| match deny.pattern {
            Pattern::Literal => {
                deny.name == ANY_NAME
                    || allowed.pattern == Pattern::Literal && deny.name == allowed.name
            }
            Pattern::Prefixed => {
                let names_all = allowed.pattern == Pattern::Literal && allowed.name == ANY_NAME;
                !names_all && allowed.name.starts_with(&deny.name)
            }
        })
    };
    relevant(Permission::Allow).any(|allowed| !denied(allowed))
}

/// Which entries are meant; none stands for any.
#[derive(Clone, Debug, Default)]
pub(crate) struct AclFilter {
    pub(crate) kind: Option<Kind>,
    pub(crate) name: Option<String>,
    pub(crate) pattern: PatternFilter,
    pub(crate) principal: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) operation: Option<Operation>,
    pub(crate) permission: Option<Permission>,
}

/// How the name of a filter is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PatternFilter {
    /// As the name of an entry, of any pattern.
    #[default]
    Any,
    /// As the name of a thing that the entry is about.
    Match,
    Is(Pattern),
}

impl AclFilter {
    pub(crate) fn passes(&self, acl: &Acl) -> bool {
        let name = |name: &String| match self.pattern {
            PatternFilter::Match => acl.is_about(acl.kind, name),
            PatternFilter::Any | PatternFilter::Is(_) => *name == acl.name,
        };
        let pattern = match self.pattern {
            PatternFilter::Is(pattern) => pattern == acl.pattern,
            PatternFilter::Any | PatternFilter::Match => true,
        };
        pattern
            && self.kind.is_none_or(|kind| kind == acl.kind)
            && self.name.as_ref().is_none_or(name)
            && self.principal.as_ref().is_none_or(|principal| *principal == acl.principal)
            && self.host.as_ref().is_none_or(|host| *host == acl.host)
            && self.operation.is_none_or(|operation| operation == acl.operation)
            && self.permission.is_none_or(|permission| permission == acl.permission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(text: &str) -> Acl {
        let words: Vec<&str> = text.split(' ').collect();
        let [permission, principal, operation, name] = words[..] else { panic!("{text}") };
        let pattern = if name.ends_with('-') { Pattern::Prefixed } else { Pattern::Literal };
        let parse = |word: &str| serde_json::from_str(&format!("\"{word}\"")).unwrap();
        Acl {
            kind: Kind::Topic,
            name: name.to_owned(),
            pattern,
            principal: format!("User:{principal}"),
            host: "*".to_owned(),
            operation: parse(operation),
            permission: serde_json::from_str(&format!("\"{permission}\"")).unwrap(),
        }
    }

    fn allowed(acls: &[&str], operation: Operation, name: &str) -> bool {
        let acls: BTreeSet<Acl> = acls.iter().map(|text| acl(text)).collect();
        let subject = Subject { principal: "User:ann", host: "10.0.0.1" };
        is_allowed(&acls, subject, operation, Kind::Topic, name)
    }

    #[test]
    fn what_nobody_allowed_is_denied() {
        assert!(!allowed(&[], Operation::Read, "t"));
        assert!(!allowed(&["allow bob read t"], Operation::Read, "t"));
        assert!(!allowed(&["allow ann read t"], Operation::Read, "u"));
        assert!(!allowed(&["allow ann read t"], Operation::Write, "t"));
        assert!(allowed(&["allow ann read t"], Operation::Read, "t"));
        assert!(allowed(&["allow * all *"], Operation::Write, "t"));
        assert!(allowed(&["allow ann read t-"], Operation::Read, "t-1"));
        assert!(!allowed(&["allow ann read t-"], Operation::Read, "t"));
    }

    #[test]
    fn a_denial_outdoes_what_allows() {
        assert!(!allowed(&["allow ann all t", "deny * read *"], Operation::Read, "t"));
        assert!(allowed(&["allow ann all t", "deny * read *"], Operation::Write, "t"));
        assert!(!allowed(&["allow ann all *", "deny ann all t-"], Operation::Describe, "t-x"));
    }

    #[test]
    fn who_may_change_a_thing_may_see_it_and_a_denial_implies_nothing() {
        for operation in ["read", "write", "delete", "alter"] {
            let entry = format!("allow ann {operation} t");
            assert!(allowed(&[&entry], Operation::Describe, "t"), "{entry}");
            let deny = entry.replace("allow", "deny");
            assert!(allowed(&["allow ann all t", &deny], Operation::Describe, "t"), "{deny}");
        }
        assert!(allowed(&["allow ann alter-configs t"], Operation::DescribeConfigs, "t"));
        assert!(!allowed(&["allow ann create t"], Operation::Describe, "t"));
    }

    #[test]
    fn an_entry_for_a_host_is_for_no_other() {
        let mut entry = acl("allow ann read t");
        entry.host = "10.0.0.2".to_owned();
        let acls = BTreeSet::from([entry]);
        let from = |host| {
            let subject = Subject { principal: "User:ann", host };
            is_allowed(&acls, subject, Operation::Read, Kind::Topic, "t")
        };
        assert!(from("10.0.0.2") && !from("10.0.0.1"));
    }

    #[test]
    fn something_is_allowed_somewhere_unless_all_of_it_is_denied() {
        let somewhere = |acls: &[&str]| {
            let acls: BTreeSet<Acl> = acls.iter().map(|text| acl(text)).collect();
            let subject = Subject { principal: "User:ann", host: "10.0.0.1" };
            is_allowed_somewhere(&acls, subject, Operation::Write, Kind::Topic)
        };
        assert!(!somewhere(&[]));
        assert!(somewhere(&["allow ann write t"]));
        assert!(!somewhere(&["allow ann write t", "deny ann write t"]));
        assert!(!somewhere(&["allow ann write t-1-", "deny ann all t-"]));
        assert!(somewhere(&["allow ann write t-", "deny ann all t-1-"]));
        assert!(somewhere(&["allow ann write *", "deny ann all t-"]));
        assert!(!somewhere(&["allow ann write t", "deny * all *"]));
    }

    #[test]
    fn filters_name_entries_or_what_entries_are_about() {
        let entry = acl("allow ann read t-");
        let by = |pattern, name: &str| {
            let filter = AclFilter { name: Some(name.to_owned()), pattern, ..AclFilter::default() };
            filter.passes(&entry)
        };
        assert!(AclFilter::default().passes(&entry));
        assert!(by(PatternFilter::Any, "t-") && !by(PatternFilter::Any, "t-1"));
        assert!(by(PatternFilter::Match, "t-1") && !by(PatternFilter::Match, "u"));
        assert!(by(PatternFilter::Is(Pattern::Prefixed), "t-"));
        assert!(!by(PatternFilter::Is(Pattern::Literal), "t-"));
        let filter = AclFilter { operation: Some(Operation::Write), ..AclFilter::default() };
        assert!(!filter.passes(&entry));
    }
}
