//! What encryption and logins cost a client of Kafka, in its own processor time:
//!
//!     cargo run --release -p millrace-connect --features kafka --example relay_cost [RECORDS]
//!
//! An embedded log in a process of its own takes RECORDS (500,000) records of 1 KiB and gives them
//! back, over connections of four kinds. What is said of each is the time that passed and the
//! processor time of the writing and of the reading process alone.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use millrace_connect::kafka::{NativeClient, Relay, Relayed, create};
use millrace_core::seam::Seams;
use millrace_log::{Broker, BrokerConfig, SaslMechanism, Server, TlsFiles, Users};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

const RECORD_BYTES: usize = 1_024;
const PATIENCE: Duration = Duration::from_secs(120);
const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(&arguments[1], &arguments[2]),
        Some(records) => measure(records.parse()?),
        None => measure(500_000),
    }
}

/// The broker, as a process: prints its address and lives as long as its standard input.
fn serve(directory: &str, protocol: &str) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let server = runtime.block_on(async {
        let mut config = BrokerConfig::new(directory);
        if protocol.starts_with("SASL") {
            Users::open(directory.as_ref())?.set_password("ann", "secret")?;
            config.sasl_mechanisms = SaslMechanism::ALL.to_vec();
        }
        if protocol.ends_with("SSL") {
            let file = |name: &str| format!("{TLS}/{name}").into();
            config.tls =
                Some(TlsFiles { certificate: file("server.pem"), key: file("server-key.pem") });
        }
        let server = Server::start(Broker::open(config, Seams::system())?).await?;
        Ok::<_, Box<dyn Error>>(server)
    })?;
    println!("{}", server.address());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    runtime.block_on(server.shutdown())?;
    Ok(())
}

fn measure(records: usize) -> Result<()> {
    for protocol in ["PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL"] {
        let directory = std::env::temp_dir().join(format!("relay-cost-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let mut broker = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(&directory)
            .arg(protocol)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        let out = broker.stdout.take().ok_or("it has no output")?;
        BufReader::new(out).read_line(&mut address)?;
        let client = Client::new(address.trim(), protocol)?;
        let written = timed(|| client.write(records))?;
        let read = timed(|| client.read(records))?;
        println!("{protocol:14}  written {written}  read {read}");
        drop(broker.stdin.take());
        broker.wait()?;
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn timed(work: impl FnOnce() -> Result<()>) -> Result<String> {
    let (began, used) = (Instant::now(), processor_s());
    work()?;
    let (took, used) = (began.elapsed().as_secs_f64(), processor_s() - used);
    Ok(format!("in {took:5.2} s, {used:5.2} s of processor time"))
}

/// What this process has used so far.
fn processor_s() -> f64 {
    // SAFETY: all zeros is a value of it, and it is written before it is read.
    let used = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut used);
        used
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(used.ru_utime) + seconds(used.ru_stime)
}

struct Client {
    config: ClientConfig,
    relay: Option<Relay>,
}

struct Context(Option<Relay>);

impl ClientContext for Context {}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, _)) = result {
            eprintln!("a record was not delivered: {error}");
        }
    }
}

impl Relayed for Context {
    fn relay(&self) -> Option<&Relay> {
        self.0.as_ref()
    }
}

impl Client {
    fn new(address: &str, protocol: &str) -> Result<Client> {
        let mut properties = vec![("security.protocol", protocol.to_owned())];
        if protocol.ends_with("SSL") {
            properties.push(("ssl.ca.location", format!("{TLS}/ca.pem")));
        }
        if protocol.starts_with("SASL") {
            properties.push(("sasl.mechanism", "SCRAM-SHA-256".to_owned()));
            properties.push(("sasl.username", "ann".to_owned()));
            properties.push(("sasl.password", "secret".to_owned()));
        }
        let named = properties.into_iter().map(|(name, value)| (name.to_owned(), value));
        let (relay, others) = Relay::of_properties(named)?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", address).extend(others);
        Ok(Client { config, relay })
    }

    fn make<T: NativeClient<Context>>(&self, more: &[(&str, &str)]) -> Result<T> {
        let mut config = self.config.clone();
        for (name, value) in more {
            config.set(*name, *value);
        }
        Ok(create(&config, Context(self.relay.clone()))?)
    }

    fn write(&self, records: usize) -> Result<()> {
        let producer: ThreadedProducer<Context> =
            self.make(&[("enable.idempotence", "true"), ("linger.ms", "5")])?;
        let value = vec![b'x'; RECORD_BYTES];
        for _ in 0..records {
            let mut record = BaseRecord::<(), [u8]>::to("t").payload(&value);
            while let Err((error, returned)) = producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                record = returned;
                producer.poll(Duration::from_millis(1));
            }
        }
        Ok(producer.flush(PATIENCE)?)
    }

    fn read(&self, records: usize) -> Result<()> {
        let consumer: BaseConsumer<Context> =
            self.make(&[("group.id", "none"), ("enable.auto.commit", "false")])?;
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset("t", 0, Offset::Beginning)?;
        consumer.assign(&assigned)?;
        let mut read = 0;
        while read < records {
            match consumer.poll(Duration::from_secs(1)) {
                Some(record) => {
                    record?;
                    read += 1;
                }
                None => eprintln!("nothing came for a second"),
            }
        }
        Ok(())
    }
}
