use serde_json::{Value, json};

use crate::failure::Failure;
use crate::log::args::GroupsListArguments;
use crate::log::cluster::Cluster;
use crate::log::columns::{Align, columns};
use crate::stdout;

/// Prints a line for each group.
pub(super) fn list(arguments: &GroupsListArguments, cluster: &Cluster) -> Result<(), Failure> {
    let groups = super::all(cluster, &*cluster.consumer(&[])?)?;
    if arguments.json {
        let all = groups.iter().map(|group| {
            json!({
                "group": group.name,
                "state": group.state,
                "type": group.kind,
                "assignor": group.assignor,
                "members": group.members.len(),
            })
        });
        return stdout::print(&format!("{:#}\n", Value::Array(all.collect())));
    }
    let rows: Vec<_> = groups
        .into_iter()
        .map(|group| [group.name, group.state, group.kind, group.members.len().to_string()])
        .collect();
    stdout::print(&columns(
        [
            ("group", Align::Left),
            ("state", Align::Left),
            ("type", Align::Left),
            ("members", Align::Right),
        ],
        &rows,
    ))
}
