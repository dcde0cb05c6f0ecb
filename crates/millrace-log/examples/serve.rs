//! Serves a data directory until it is interrupted: `serve [--listen ADDR] [--data DIR] [--sasl
//! MECHANISM] [--user NAME:PASSWORD] [--super-user NAME]
//! [--tls-certificate FILE --tls-key FILE]`. Prints the address on standard output once clients may come.

use std::error::Error;

use millrace_core::seam::Seams;
use millrace_log::{Broker, BrokerConfig, Server, TlsFiles, Users};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut listen = "127.0.0.1:9092".to_owned();
    let mut data = "data".to_owned();
    let (mut certificate, mut key) = (None, None);
    let mut super_users = Vec::new();
    let (mut mechanisms, mut users) = (Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("`{argument}` needs a value"))?;
        match argument.as_str() {
            "--listen" => listen = value,
            "--data" => data = value,
            "--sasl" => mechanisms.push(value.parse()?),
            "--tls-certificate" => certificate = Some(value),
            "--tls-key" => key = Some(value),
            "--super-user" => super_users.push(value),
            "--user" => users.push(value),
            _ => return Err(format!("unknown option `{argument}`").into()),
        }
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    for user in &users {
        let (name, password) = user.split_once(':').ok_or("a user is NAME:PASSWORD")?;
        Users::open(data.as_ref())?.set_password(name, password)?;
    }
    let mut config = BrokerConfig::new(data);
    config.sasl_mechanisms = mechanisms;
    config.tls = certificate
        .zip(key)
        .map(|(certificate, key)| TlsFiles { certificate: certificate.into(), key: key.into() });
    config.acls = !super_users.is_empty();
    config.super_users = super_users;
    config.listen = listen;
    let server = Server::start(Broker::open(config, Seams::system())?).await?;
    println!("{}", server.address());
    tokio::signal::ctrl_c().await?;
    server.shutdown().await?;
    Ok(())
}
