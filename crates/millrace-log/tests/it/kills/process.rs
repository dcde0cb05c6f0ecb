//! A broker in a process that can be killed: the embedded log, or a real Kafka.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::rpc::pause;

pub struct BrokerProcess {
    dir: TempDir,
    address: SocketAddr,
    /// The script that starts real Kafka.
    kafka: Option<String>,
    child: Option<Child>,
}

impl BrokerProcess {
    pub async fn start() -> Self {
        let kafka = std::env::var("MILLRACE_KAFKA_BROKER").ok();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let dir = TempDir::new().unwrap();
        let mut process = BrokerProcess { dir, address, kafka, child: None };
        process.restart().await;
        process
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it is killed in one run.
    pub fn kills(&self) -> u64 {
        if self.kafka.is_some() { 2 } else { 6 }
    }

    /// About how long it lives between two kills.
    pub fn life_ms(&self) -> u64 {
        if self.kafka.is_some() { 3_000 } else { 400 }
    }

    pub fn kill(&mut self) {
        match (&self.kafka, self.child.take()) {
            (Some(script), _) => script_output(script, &["kill"], &self.dir),
            (None, Some(mut child)) => {
                child.kill().unwrap();
                child.wait().unwrap();
                String::new()
            }
            (None, None) => String::new(),
        };
    }

    pub async fn restart(&mut self) {
        if let Some(script) = &self.kafka {
            self.address = script_output(script, &["start"], &self.dir).trim().parse().unwrap();
            return;
        }
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::serves_to_be_killed", "--ignored", "--nocapture"])
            .env("MILLRACE_LOG_SERVE", self.dir.path())
            .env("MILLRACE_LOG_LISTEN", self.address.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..500 {
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            if let Some(ended) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("the log did not start again: {ended}");
            }
            pause(10).await;
        }
        panic!("the log did not start within 5 s");
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn script_output(script: &str, arguments: &[&str], dir: &TempDir) -> String {
    let output = Command::new(script)
        .args(arguments)
        .arg(dir.path().join("kafka"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{script} {arguments:?} failed");
    String::from_utf8(output.stdout).unwrap()
}
