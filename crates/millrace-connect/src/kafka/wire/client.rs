//! Finds the brokers to ask, and asks again what is worth it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    DescribeConfigsRequest, FindCoordinatorRequest, MetadataRequest, MetadataResponse,
    SaslHandshakeRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use millrace_core::seam::Clock;
use millrace_core::{Error, ErrorKind, Result};

use super::connection::Connection;
use super::fault::Fault;
use super::security::Security;

/// How long a passing fault may last before it is reported: a broker that restarts takes seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// `FindCoordinator` for transactions.
const KEY_TYPE_TRANSACTION: i8 = 1;
/// `DescribeConfigs` of a broker.
const RESOURCE_BROKER: i8 = 4;
const TRANSACTION_MAX_TIMEOUT: &str = "transaction.max.timeout.ms";

/// Asks a cluster. Connections are opened as needed and kept.
pub(crate) struct WireClient {
    bootstrap: Vec<String>,
    security: Security,
    pub(super) clock: Arc<dyn Clock>,
    connections: BTreeMap<String, Connection>,
    /// Brokers let in this client's user before: if one refuses now, that may pass.
    was_let_in: bool,
}

/// Runs `$attempt` until it succeeds, fails for good, or [`PATIENCE`] ends.
macro_rules! patiently {
    ($client:ident, $attempt:expr) => {{
        let clock = std::sync::Arc::clone(&$client.clock);
        let mut patience = $crate::kafka::wire::fault::Patience::new(
            &*clock,
            $crate::kafka::wire::client::PATIENCE,
        );
        loop {
            match $attempt.await {
                Ok(answer) => break Ok(answer),
                Err($crate::kafka::wire::fault::Fault::Lasting(error)) => break Err(error),
                Err($crate::kafka::wire::fault::Fault::Passing(error)) => {
                    if let Err(error) = patience.wait(error).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}
pub(super) use patiently;

impl WireClient {
    /// A client of the cluster that `bootstrap` (a list as in `bootstrap.servers`) belongs to.
    /// Connects at the first question.
    pub fn new(bootstrap: &str, security: Security, clock: Arc<dyn Clock>) -> Self {
        let addresses = bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty());
        // A listener's name may stand before the address, as librdkafka allows.
        let bare = |address: &str| match address.split_once("://") {
            Some((_, address)) => address.to_owned(),
            None => address.to_owned(),
        };
        let bootstrap = addresses.map(bare).collect();
        WireClient { bootstrap, security, clock, connections: BTreeMap::new(), was_let_in: false }
    }

    /// Says whether brokers have let in such a client before: then one that turns it away is asked
    /// again, as one that does not answer.
    #[must_use]
    pub fn was_let_in(mut self, was_let_in: bool) -> Self {
        self.was_let_in = was_let_in;
        self
    }

    /// Sees whether the cluster lets this client in. Asks once.
    ///
    /// # Errors
    /// Why not, as far as it can be found out.
    pub async fn try_out(&mut self) -> Result<(), Fault> {
        let fault = match self.metadata(None).await {
            Ok(_) => return Ok(()),
            Err(fault) => fault,
        };
        // Brokers that want a login close the connection at the first request that is none.
        if fault.is_closed() && self.security.login.is_none() {
            for address in self.bootstrap.clone() {
                if let Some(mechanisms) = self.logins_of(&address).await {
                    let error = Error::fix_input(format!("the broker `{address}` wants a login"));
                    return Err(Fault::Lasting(error.hint(format!(
                        "use `security.protocol` = `SASL_SSL` or `SASL_PLAINTEXT`, with \
                         `sasl.mechanism` = {mechanisms}",
                    ))));
                }
            }
        }
        Err(fault)
    }

    /// The mechanisms by which the broker at `address` takes logins, if it takes any.
    async fn logins_of(&mut self, address: &str) -> Option<String> {
        // A mechanism that nobody has: the broker names its own.
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::default());
        let answer = self.call(address, &request, 1).await.ok()?;
        self.connections.remove(address);
        let code = ResponseError::try_from_code(answer.error_code)?;
        let named: Vec<String> = answer.mechanisms.iter().map(|name| format!("`{name}`")).collect();
        (code == ResponseError::UnsupportedSaslMechanism).then(|| named.join(" or "))
    }

    /// The addresses of all brokers.
    ///
    /// # Errors
    /// When none of the named ones answers.
    pub async fn brokers(&mut self) -> Result<Vec<String>> {
        let metadata = patiently!(self, self.metadata(None))?;
        Ok(metadata.brokers.iter().map(|broker| address(&broker.host, broker.port)).collect())
    }

    /// The broker's `transaction.max.timeout.ms`, or `None` when it doesn't tell (it may lack the
    /// setting, or forbid to ask).
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn transaction_max_timeout_ms(&mut self) -> Result<Option<i64>> {
        patiently!(self, self.ask_max_timeout())
    }

    async fn ask_max_timeout(&mut self) -> Result<Option<i64>, Fault> {
        let metadata = self.metadata(None).await?;
        let Some(broker) = metadata.brokers.first() else { return Ok(None) };
        let resource = DescribeConfigsResource::default()
            .with_resource_type(RESOURCE_BROKER)
            .with_resource_name(StrBytes::from_string(broker.node_id.0.to_string()))
            .with_configuration_keys(Some(vec![StrBytes::from_static_str(
                TRANSACTION_MAX_TIMEOUT,
            )]));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let answer = self.call(&address(&broker.host, broker.port), &request, 4).await?;
        let configs = answer.results.iter().filter(|result| result.error_code == 0);
        let value = configs
            .flat_map(|result| &result.configs)
            .find(|config| &*config.name == TRANSACTION_MAX_TIMEOUT)
            .and_then(|config| config.value.as_deref()?.parse().ok());
        Ok(value)
    }

    /// Asks any broker about the cluster, and about `topic` if one is given.
    pub(super) async fn metadata(
        &mut self,
        topic: Option<&str>,
    ) -> Result<MetadataResponse, Fault> {
        let topics = topic.map(|topic| {
            let name = TopicName(StrBytes::from_string(topic.to_owned()));
            MetadataRequestTopic::default().with_name(Some(name))
        });
        let request = MetadataRequest::default()
            .with_topics(Some(topics.into_iter().collect()))
            .with_allow_auto_topic_creation(false);
        self.call_any(&request, 9).await
    }

    /// The address of the broker that coordinates `transactional_id`.
    pub(super) async fn coordinator(&mut self, transactional_id: &str) -> Result<String, Fault> {
        let key = StrBytes::from_string(transactional_id.to_owned());
        let request =
            FindCoordinatorRequest::default().with_key(key).with_key_type(KEY_TYPE_TRANSACTION);
        // From version 4 on, coordinators are asked for in bulk.
        let answer = self.call_any(&request, 3).await?;
        match ResponseError::try_from_code(answer.error_code) {
            None => Ok(address(&answer.host, answer.port)),
            Some(code) => Err(Fault::of(
                code,
                &format!("find the coordinator of the transactional id `{transactional_id}`"),
            )),
        }
    }

    pub(super) async fn call_any<R: Request>(
        &mut self,
        request: &R,
        highest: i16,
    ) -> Result<R::Response, Fault> {
        let mut last = Error::fix_input("`bootstrap.servers` names no broker");
        let mut passing = false;
        for address in self.bootstrap.clone() {
            match self.call(&address, request, highest).await {
                Err(Fault::Passing(error)) => (last, passing) = (error, true),
                answered => return answered,
            }
        }
        Err(if passing { Fault::Passing(last) } else { Fault::Lasting(last) })
    }

    /// Asks the broker at `address`.
    pub(super) async fn call<R: Request>(
        &mut self,
        address: &str,
        request: &R,
        highest: i16,
    ) -> Result<R::Response, Fault> {
        // Taken out while in use: one that failed or was given up midway is not used again.
        let mut connection = match self.connections.remove(address) {
            Some(connection) => connection,
            None => {
                let opened = Connection::open(address, &self.security, Arc::clone(&self.clock));
                opened.await.map_err(|fault| match fault {
                    Fault::Lasting(error) if self.was_let_in => {
                        Fault::Passing(error.with_kind(ErrorKind::Retry))
                    }
                    fault => fault,
                })?
            }
        };
        let answer = connection.call(request, highest).await?;
        self.connections.insert(address.to_owned(), connection);
        Ok(answer)
    }
}

pub(super) fn address(host: &str, port: i32) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
