//! Passwords of users, which the client has hashed already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::error::{LogError, Result};
use crate::security::{Credential, Credentials, MAX_ITERATIONS, MIN_ITERATIONS, ScramHash};
use crate::server::Peer;
use crate::server::access::Operation;

/// A salt beyond this would be sent to everybody who says the user's name.
const MAX_SALT_BYTES: usize = 1_024;

/// One change of a request.
enum Change {
    Delete(ScramCredentialDeletion),
    Set(ScramCredentialUpsertion),
}

impl Change {
    fn user(&self) -> &StrBytes {
        match self {
            Change::Delete(delete) => &delete.name,
            Change::Set(set) => &set.name,
        }
    }

    fn mechanism(&self) -> i8 {
        match self {
            Change::Delete(delete) => delete.mechanism,
            Change::Set(set) => set.mechanism,
        }
    }
}

/// Sets and deletes credentials: those of one user all or not at all.
pub(crate) async fn handle(
    broker: &Arc<Broker>,
    peer: &Peer,
    request: AlterUserScramCredentialsRequest,
    _version: i16,
) -> AlterUserScramCredentialsResponse {
    let deletions = request.deletions.into_iter().map(Change::Delete);
    let mut by_user: BTreeMap<StrBytes, Vec<Change>> = BTreeMap::new();
    for change in deletions.chain(request.upsertions.into_iter().map(Change::Set)) {
        by_user.entry(change.user().clone()).or_default().push(change);
    }
    let allowed = peer.check_cluster(broker, Operation::Alter);
    let outcomes = broker
        .blocking(move |broker| {
            let changed = by_user.iter().map(|(user, changes)| {
                let refused = allowed
                    .map_err(|code| LogError::rejected(code, "Cluster authorization failed."));
                let applied = apply(broker.security().credentials(user), changes);
                (user.clone(), refused.and(applied))
            });
            let mut changed: Vec<(StrBytes, Result<Credentials>)> = changed.collect();
            let good = changed.iter().filter_map(|(user, changed)| {
                Some((user.to_string(), changed.as_ref().ok()?.clone()))
            });
            let good: Vec<_> = good.collect();
            if !good.is_empty()
                && let Err(error) = broker.security().change_credentials(good)
            {
                tracing::error!(%error, "credentials were not changed");
                for (_, outcome) in changed.iter_mut().filter(|(_, changed)| changed.is_ok()) {
                    *outcome = Err(LogError::rejected(error.code(), error.to_string()));
                }
            }
            Ok(changed)
        })
        .await
        .unwrap_or_default();
    let results = outcomes.into_iter().map(|(user, outcome)| {
        let result = AlterUserScramCredentialsResult::default().with_user(user);
        match outcome {
            Ok(_) => result.with_error_message(None),
            Err(error) => result
                .with_error_code(error.code().code())
                .with_error_message(Some(StrBytes::from_string(error.to_string()))),
        }
    });
    AlterUserScramCredentialsResponse::default().with_results(results.collect())
}

/// What a user's credentials become.
fn apply(known: Option<Credentials>, changes: &[Change]) -> Result<Credentials> {
    let refuse = |code, reason: &str| Err(LogError::rejected(code, reason));
    let mut credentials = known.unwrap_or_default();
    let mut seen = BTreeSet::new();
    for change in changes {
        if change.user().is_empty() {
            let code = ResponseError::UnacceptableCredential;
            return refuse(code, "Username must not be empty");
        }
        let Some(hash) = ScramHash::of_code(change.mechanism()) else {
            let code = ResponseError::UnsupportedSaslMechanism;
            return refuse(code, "Unknown SCRAM mechanism");
        };
        if !seen.insert(hash) {
            let reason = "A user credential cannot be altered twice in the same request";
            return refuse(ResponseError::DuplicateResource, reason);
        }
        match change {
            Change::Delete(_) => {
                if credentials.remove(&hash).is_none() {
                    let reason = "Attempt to delete a user credential that does not exist";
                    return refuse(ResponseError::ResourceNotFound, reason);
                }
            }
            Change::Set(set) => {
                credentials.insert(hash, check(hash, set)?);
            }
        }
    }
    Ok(credentials)
}

fn check(hash: ScramHash, set: &ScramCredentialUpsertion) -> Result<Credential> {
    let refuse =
        |reason: &str| Err(LogError::rejected(ResponseError::UnacceptableCredential, reason));
    let iterations = u32::try_from(set.iterations).unwrap_or(0);
    if iterations < MIN_ITERATIONS {
        return refuse("Too few iterations");
    }
    if iterations > MAX_ITERATIONS {
        return refuse("Too many iterations");
    }
    if set.salt.is_empty() || set.salt.len() > MAX_SALT_BYTES {
        return refuse("The salt is empty or too long");
    }
    Ok(Credential::of_salted(hash, &set.salted_password, set.salt.to_vec(), iterations))
}
