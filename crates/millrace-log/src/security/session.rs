//! How far a connection has come in proving whose it is.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;

use super::exchange::{Exchange, Step};
use super::mechanism::SaslMechanism;
use crate::broker::Broker;
use crate::error::{LogError, Result};

/// Who nobody has proved to be.
const ANONYMOUS: &str = "User:ANONYMOUS";

/// How long a client that failed waits for its answer, so that guessing takes time.
const FAILURE_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// What is known of who is at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Session {
    state: Mutex<State>,
    principal: OnceLock<Arc<str>>,
}

enum State {
    /// Nothing must be proved.
    Open,
    /// Nothing was proved yet.
    Unproved,
    /// What the client says next may prove it. `bare`: it says so without the headers of requests.
    Exchanging {
        exchange: Option<Exchange>,
        mechanism: SaslMechanism,
        bare: bool,
    },
    Proved,
    /// The connection ends with the answer that says so.
    Failed,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Open => "open",
            State::Unproved => "unproved",
            State::Exchanging { .. } => "exchanging",
            State::Proved => "proved",
            State::Failed => "failed",
        })
    }
}

impl Session {
    /// A new connection's, which must prove whose it is if the broker wants it.
    pub(crate) fn new(mechanisms: &[SaslMechanism]) -> Session {
        let state = if mechanisms.is_empty() { State::Open } else { State::Unproved };
        Session { state: Mutex::new(state), principal: OnceLock::new() }
    }

    /// Who it is, as access is given to it: `User:NAME`.
    pub(crate) fn principal(&self) -> &str {
        self.principal.get().map_or(ANONYMOUS, |principal| principal)
    }

    /// Whether a request may be served.
    pub(crate) fn allows(&self, key: ApiKey) -> bool {
        self.is_settled()
            || matches!(key, ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate)
    }

    /// Whether nothing more must be proved.
    pub(crate) fn is_settled(&self) -> bool {
        self.with(|state| matches!(state, State::Open | State::Proved))
    }

    /// Whether the client was refused.
    pub(crate) fn has_failed(&self) -> bool {
        self.with(|state| matches!(state, State::Failed))
    }

    /// Whether the next frame is no request, but what an old client says to prove who it is.
    pub(crate) fn is_bare(&self) -> bool {
        self.with(|state| matches!(state, State::Exchanging { bare: true, .. }))
    }

    /// The client chooses a mechanism.
    ///
    /// # Errors
    /// It must not now, or there is no such mechanism.
    pub(crate) fn choose(
        &self,
        name: &str,
        mechanisms: &[SaslMechanism],
        bare: bool,
    ) -> Result<(), ResponseError> {
        self.with(|state| {
            if !matches!(state, State::Unproved) {
                return Err(ResponseError::IllegalSaslState);
            }
            let Some(mechanism) = mechanisms.iter().find(|m| m.name() == name).copied() else {
                *state = State::Failed;
                return Err(ResponseError::UnsupportedSaslMechanism);
            };
            let exchange = Some(Exchange::Begun(mechanism));
            *state = State::Exchanging { exchange, mechanism, bare };
            Ok(())
        })
    }

    /// The client says something that may prove who it is; gives the answer.
    ///
    /// # Errors
    /// With what the client may know of the reason.
    pub(crate) async fn prove(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        token: &[u8],
    ) -> Result<Vec<u8>> {
        let taken = self.with(|state| match state {
            State::Exchanging { exchange, mechanism, bare } => {
                exchange.take().map(|exchange| (exchange, *mechanism, *bare))
            }
            _ => None,
        });
        let Some((exchange, mechanism, bare)) = taken else {
            // Who has chosen no mechanism yet gets no second try.
            self.with(|state| {
                if matches!(state, State::Unproved) {
                    *state = State::Failed;
                }
            });
            let reason = "SaslAuthenticate request received after successful authentication";
            return Err(LogError::rejected(ResponseError::IllegalSaslState, reason));
        };
        let token = token.to_vec();
        // Hashing passwords takes so long that other connections should not wait for it.
        let step =
            broker.blocking(move |broker| Ok(exchange.step(&token, broker.security()))).await?;
        match step {
            Ok(Step::Continue(exchange, answer)) => {
                let exchange = Some(exchange);
                self.with(|state| *state = State::Exchanging { exchange, mechanism, bare });
                Ok(answer)
            }
            Ok(Step::Proved(user, answer)) => {
                let _ = self.principal.set(format!("User:{user}").into());
                self.with(|state| *state = State::Proved);
                Ok(answer)
            }
            Err(reason) => {
                tracing::warn!(%mechanism, reason, "a client did not prove who it is");
                broker.seams().clock.sleep(FAILURE_PAUSE).await;
                self.with(|state| *state = State::Failed);
                // In Kafka's words, which clients show and some look for.
                let told = match mechanism {
                    SaslMechanism::Plain => {
                        "Authentication failed: Invalid username or password".to_owned()
                    }
                    SaslMechanism::Scram(_) => format!(
                        "Authentication failed during authentication due to invalid credentials \
                         with SASL mechanism {mechanism}"
                    ),
                };
                Err(LogError::rejected(ResponseError::SaslAuthenticationFailed, told))
            }
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
