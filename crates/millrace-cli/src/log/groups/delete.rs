use super::{committed, named, spokesman};
use crate::failure::Failure;
use crate::log::args::GroupsDeleteArguments;
use crate::log::client::{failed, refused};
use crate::log::cluster::{Cluster, admin_options};
use crate::log::confirm::confirm;
use crate::numbers::counted;
use crate::stderr::say;

/// Deletes groups, after it was said what they have committed.
pub(super) async fn delete(
    arguments: &GroupsDeleteArguments,
    cluster: &Cluster,
) -> Result<(), Failure> {
    let mut lost = Vec::new();
    for group in named(cluster, &arguments.groups)? {
        let consumer = spokesman(cluster, &group.name)?;
        let offsets = committed(cluster, &consumer, &group.name)?.len() as u64;
        lost.push(format!("group `{}` with {}", group.name, counted(offsets, "committed offset")));
    }
    let lost = lost.join(", ");
    confirm("deletes", &lost, arguments.yes)?;
    let names: Vec<&str> = arguments.groups.iter().map(String::as_str).collect();
    let results = cluster
        .admin()?
        .delete_groups(&names, &admin_options())
        .await
        .map_err(|error| failed(format!("cannot delete {lost}"), &error))?;
    for result in results {
        match result {
            Ok(name) => say!("deleted group `{name}`"),
            Err((name, code)) => {
                return Err(refused(format!("cannot delete group `{name}`"), code));
            }
        }
    }
    Ok(())
}
