use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::client::REQUEST_TIMEOUT;

/// Bears the troubles that the client mends by itself: for ever when it follows a log, and else
/// until nothing else has come for a while.
#[derive(Debug)]
pub(super) struct Patience {
    forever: bool,
    trouble: Option<(Duration, KafkaError)>,
}

impl Patience {
    pub(super) fn new(forever: bool) -> Self {
        Patience { forever, trouble: None }
    }

    /// Something came: whatever the trouble was, it is over.
    pub(super) fn relieve(&mut self) {
        self.trouble = None;
    }

    /// Bears an error, if it may pass.
    ///
    /// # Errors
    /// The error, if it does not.
    pub(super) fn bear(&mut self, error: KafkaError, now: Duration) -> Result<(), KafkaError> {
        if !may_pass(&error) {
            return Err(error);
        }
        if self.trouble.is_none() {
            if self.forever {
                tracing::warn!("trying on: {}", super::client::text_of(&error));
            }
            self.trouble = Some((now, error));
        }
        Ok(())
    }

    /// # Errors
    /// The first trouble, if it has lasted too long.
    pub(super) fn check(&self, now: Duration) -> Result<(), KafkaError> {
        match &self.trouble {
            Some((since, error))
                if !self.forever && now.saturating_sub(*since) > REQUEST_TIMEOUT =>
            {
                Err(error.clone())
            }
            _ => Ok(()),
        }
    }
}

fn may_pass(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MessageConsumption(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::RebalanceInProgress
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_when_trouble_lasts() {
        let down = || KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown);
        let seconds = Duration::from_secs;
        let mut patience = Patience::new(false);
        patience.bear(down(), seconds(1)).unwrap();
        patience.bear(down(), seconds(10)).unwrap();
        assert_eq!(patience.check(seconds(15)), Ok(()));
        assert_eq!(patience.check(seconds(17)), Err(down()));
        patience.relieve();
        assert_eq!(patience.check(seconds(17)), Ok(()));

        let mut forever = Patience::new(true);
        forever.bear(down(), seconds(1)).unwrap();
        assert_eq!(forever.check(seconds(1_000)), Ok(()));
        let gone = KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition);
        assert_eq!(forever.bear(gone.clone(), seconds(1)), Err(gone));
    }
}
