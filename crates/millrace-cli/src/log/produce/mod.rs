//! `millrace log produce`: a record for each line.

mod delivery;
mod lines;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use millrace_connect::kafka::create;
use millrace_core::Error;
use millrace_core::seam::Seams;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode;

use super::args::{Acks, Compression, InputFormat, ProduceArguments};
use super::attend::{Stop, attend};
use super::client::{code_text, failed, refused};
use super::cluster::Cluster;
use super::record::NewRecord;
use crate::failure::Failure;
use crate::numbers::{bytes, counted, lasting, rate};
use crate::progress::{TICK, progress_line};
use crate::stderr::say;

use delivery::{Counts, Delivery};
use lines::{Chunk, Lines};

/// How long the records that are still under way at the end may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// Checks what the grammar can't say, and opens the lines.
pub(super) fn check(arguments: &ProduceArguments) -> Result<Box<dyn Read + Send>, Failure> {
    if arguments.key_separator.is_some() && arguments.format == InputFormat::Json {
        return Err(Failure::misuse(
            "--key-separator is for raw lines\n  hint: with --format json, `key` has the key",
        ));
    }
    if arguments.transaction && arguments.acks != Acks::All {
        return Err(Failure::misuse("--transaction needs --acks all"));
    }
    if arguments.file == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = std::fs::File::open(&arguments.file).map_err(|cause| {
        Failure::before_running(
            &Error::fix_input(format!("cannot read `{}`", arguments.file.display()))
                .caused_by(cause),
        )
    })?;
    Ok(Box::new(file))
}

/// Writes the lines of `input`, until they end or a signal comes.
pub(super) async fn produce(
    arguments: ProduceArguments,
    input: Box<dyn Read + Send>,
    cluster: &Cluster,
    seams: &Seams,
) -> Result<(), Failure> {
    let producer = Arc::new(producer(cluster, &arguments)?);
    let lines = Lines::of(input, seams);
    let line = progress_line(arguments.quiet);
    let (quiet, clock) = (arguments.quiet, Arc::clone(&seams.clock));
    let began = clock.elapsed();
    let shown = line.clone();
    let ended = attend(seams, std::future::pending(), move |stop| {
        Work { arguments, producer, lines, shown }.run(&stop, &|| clock.elapsed())
    })
    .await;
    line.finish_and_clear();
    let (counts, stopped) = ended?;
    if !quiet {
        let took = seams.clock.elapsed().saturating_sub(began);
        say!(
            "{}wrote {}, {}, in {} ({})",
            if stopped { "stopped: " } else { "" },
            counted(counts.records, "record"),
            bytes(counts.bytes),
            lasting(took),
            rate(counts.records, took).replace("rows", "records")
        );
    }
    Ok(())
}

fn producer(
    cluster: &Cluster,
    arguments: &ProduceArguments,
) -> Result<BaseProducer<Delivery>, Failure> {
    let compression = match arguments.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    let acks = match arguments.acks {
        Acks::All => "all",
        Acks::Leader => "1",
        Acks::None => "0",
    };
    let mut config = cluster.config(&[
        ("compression.type", compression),
        ("acks", acks),
        // A retry neither doubles a record nor changes the order; it needs all acknowledgements.
        ("enable.idempotence", if arguments.acks == Acks::All { "true" } else { "false" }),
        // Where a key goes is where Java's clients send it.
        ("partitioner", "murmur2_random"),
        ("linger.ms", "5"),
    ]);
    if arguments.transaction {
        if config.get("transactional.id").is_none() {
            // Nobody will take it up again: what it leaves behind ends with its time-out.
            config.set("transactional.id", format!("millrace-produce-{}", std::process::id()));
        }
        if config.get("transaction.timeout.ms").is_none() {
            config.set("transaction.timeout.ms", "900000");
        }
    }
    create(&config, Delivery::new(cluster.context()))
        .map_err(|error| failed("cannot make a producer", &error))
}

/// The part that may block.
struct Work {
    arguments: ProduceArguments,
    producer: Arc<BaseProducer<Delivery>>,
    lines: Lines,
    shown: ProgressBar,
}

impl Work {
    /// Writes until the lines end or `stop` is set. Gives what was written, and whether it was
    /// stopped.
    fn run(mut self, stop: &Stop, now: &dyn Fn() -> Duration) -> Result<(Counts, bool), Failure> {
        if self.arguments.transaction {
            self.begin()?;
        }
        let written = self.write(stop, now).and_then(|stopped| {
            self.flush()?;
            Ok(stopped)
        });
        match written {
            Ok(true) if self.arguments.transaction => {
                let stopped = Failure::operation(&Error::fix_input("stopped before the last line"));
                Err(self.give_up(stopped))
            }
            Ok(stopped) => {
                if self.arguments.transaction {
                    self.producer.commit_transaction(FLUSH_TIMEOUT).map_err(|error| {
                        failed(
                            "cannot commit the transaction; nothing of it may be visible",
                            &error,
                        )
                    })?;
                }
                Ok((self.counts(), stopped))
            }
            Err(failure) => Err(self.give_up(failure)),
        }
    }

    fn begin(&self) -> Result<(), Failure> {
        self.producer
            .init_transactions(FLUSH_TIMEOUT)
            .and_then(|()| self.producer.begin_transaction())
            .map_err(|error| failed("cannot begin a transaction", &error))
    }

    /// Sends line by line; true if it was stopped.
    fn write(&mut self, stop: &Stop, now: &dyn Fn() -> Duration) -> Result<bool, Failure> {
        let (mut number, mut told) = (0_u64, now());
        loop {
            if stop.is_set() {
                return Ok(true);
            }
            self.producer.poll(Duration::ZERO);
            if let Some(failure) = self.first_failure() {
                return Err(failure);
            }
            if now().saturating_sub(told) >= TICK {
                told = now();
                let counts = self.counts();
                self.shown.set_message(format!(
                    "{} · {}",
                    counted(counts.records, "record"),
                    bytes(counts.bytes)
                ));
            }
            match self.lines.next(TICK / 4) {
                Chunk::None => {}
                Chunk::End => return Ok(false),
                Chunk::Failed(error) => {
                    return Err(Failure::operation(
                        &Error::fix_input(format!("cannot read {}", self.input())).caused_by(error),
                    ));
                }
                Chunk::Lines(lines) => {
                    for line in lines.split() {
                        number += 1;
                        self.send(number, line, stop)?;
                    }
                }
            }
        }
    }

    fn send(&self, number: u64, line: &[u8], stop: &Stop) -> Result<(), Failure> {
        let record = self.record(line).map_err(|reason| self.bad_line(number, &reason))?;
        let mut headers: Option<OwnedHeaders> = None;
        let common =
            self.arguments.headers.iter().map(|(name, value)| (name, Some(value.as_bytes())));
        let own = record.headers.iter().map(|(name, value)| (name, value.as_deref()));
        for (key, value) in common.chain(own) {
            let before = headers.unwrap_or_default();
            headers = Some(before.insert(Header { key, value }));
        }
        // A line beyond 2^64 on a 64-bit machine is not reached.
        let mut message: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&self.arguments.topic, number as usize);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.headers = headers;
        message.partition = record.partition.or(self.arguments.partition);
        message.timestamp = record.timestamp_ms;
        loop {
            let Err((error, returned)) = self.producer.send(message) else { return Ok(()) };
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) if !stop.is_set() => {
                    message = returned;
                    self.producer.poll(TICK / 4);
                    if let Some(failure) = self.first_failure() {
                        return Err(failure);
                    }
                }
                error => return Err(failed(self.not_written(number), &error)),
            }
        }
    }

    fn record(&self, line: &[u8]) -> Result<NewRecord, String> {
        let mut record = match self.arguments.format {
            InputFormat::Json => {
                let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
                NewRecord::from_json(text)?
            }
            InputFormat::Raw => raw(line, self.arguments.key_separator.as_deref())?,
        };
        let marker = self.arguments.null_marker.as_deref().map(str::as_bytes);
        if marker.is_some() && record.value.as_deref() == marker {
            record.value = None;
        }
        Ok(record)
    }

    /// Waits until all that was sent is written, or has failed.
    fn flush(&self) -> Result<(), Failure> {
        let flushed = self.producer.flush(FLUSH_TIMEOUT);
        if let Some(failure) = self.first_failure() {
            return Err(failure);
        }
        flushed.map_err(|error| failed("cannot wait for the last acknowledgements", &error))
    }

    /// The report, with what became of the lines before the one that failed.
    fn give_up(&self, failure: Failure) -> Failure {
        if self.arguments.transaction {
            self.producer.purge(PurgeConfig::default().queue().inflight());
            return match self.producer.abort_transaction(FLUSH_TIMEOUT) {
                Ok(()) => failure.with_hint("the transaction was aborted: nothing was written"),
                Err(error) => failure.with_hint(&format!(
                    "the transaction could not be aborted ({}); the log does so after its time-out",
                    super::client::text_of(&error)
                )),
            };
        }
        // What went wrong is known already; the rest is told by the counts.
        let _ = self.producer.flush(FLUSH_TIMEOUT);
        match self.counts().records {
            0 => failure.with_hint("nothing was written"),
            records => failure
                .with_hint(&format!("written nonetheless: {}", counted(records, "other line"))),
        }
    }

    fn first_failure(&self) -> Option<Failure> {
        let (number, code) = self.producer.context().first_failure()?;
        if code == RDKafkaErrorCode::UnknownPartition {
            let doing = self.not_written(number as u64);
            return Some(Failure::operation(
                &Error::fix_input(doing)
                    .caused_by(code_text(code))
                    .hint("`millrace log topic describe` shows the partitions of a topic"),
            ));
        }
        // What made the client give up all that was waiting says more than that it did.
        if let Some((_, reason)) = self.producer.client().fatal_error() {
            let doing = self.not_written(number as u64);
            return Some(Failure::operation(&Error::retry(doing).caused_by(reason)));
        }
        Some(refused(self.not_written(number as u64), code))
    }

    fn counts(&self) -> Counts {
        self.producer.context().counts()
    }

    fn not_written(&self, number: u64) -> String {
        format!("line {number} of {} was not written to `{}`", self.input(), self.arguments.topic)
    }

    fn bad_line(&self, number: u64, reason: &str) -> Failure {
        Failure::operation(&Error::fix_input(self.not_written(number)).caused_by(reason.to_owned()))
    }

    fn input(&self) -> String {
        match self.arguments.file.as_path() {
            path if path == Path::new("-") => "standard input".to_owned(),
            path => format!("`{}`", path.display()),
        }
    }
}

/// The line, with its key cut off if there is to be one.
fn raw(line: &[u8], separator: Option<&str>) -> Result<NewRecord, String> {
    let Some(separator) = separator else {
        return Ok(NewRecord { value: Some(line.to_vec()), ..NewRecord::default() });
    };
    let found = line.windows(separator.len()).position(|part| part == separator.as_bytes());
    let Some(at) = found else {
        return Err(format!("it has no key: `{}` is not in it", separator.escape_debug()));
    };
    Ok(NewRecord {
        key: Some(line[..at].to_vec()),
        value: Some(line[at + separator.len()..].to_vec()),
        ..NewRecord::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_cut_off_at_the_first_separator() {
        let record = raw(b"k::v::w", Some("::")).unwrap();
        assert_eq!((record.key.unwrap(), record.value.unwrap()), (b"k".to_vec(), b"v::w".to_vec()));
        let record = raw(b":", Some(":")).unwrap();
        assert_eq!((record.key.unwrap(), record.value.unwrap()), (vec![], vec![]));
        assert_eq!(raw(b"k:v", None).unwrap().value.unwrap(), b"k:v");
        assert!(raw(b"kv", Some("\t")).unwrap_err().contains("`\\t`"));
    }
}
