//! Serves a data directory until it is interrupted: `serve [--listen ADDR] [--data DIR] [--sasl] [--acls]
//! [--super-user NAME] [--tls-certificate FILE --tls-key FILE]`. Prints the address on standard output
//! once clients may come. `serve user add NAME [--data DIR]` gives a user the password that standard
//! input has. Both mean what they mean as options of `millrace log`.

use std::error::Error;
use std::path::PathBuf;

use millrace_core::seam::Seams;
use millrace_log::{Broker, BrokerConfig, SaslMechanism, Server, TlsFiles, Users};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq("user").is_some() {
        return add_user(arguments);
    }
    let mut config = BrokerConfig::new("data");
    config.listen = "127.0.0.1:9092".to_owned();
    let (mut certificate, mut key) = (None, None);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--listen" => config.listen = value()?,
            "--data" => config.data_dir = value()?.into(),
            "--sasl" => config.sasl_mechanisms = SaslMechanism::ALL.to_vec(),
            "--acls" => config.acls = true,
            "--super-user" => config.super_users.push(value()?),
            "--tls-certificate" => certificate = Some(PathBuf::from(value()?)),
            "--tls-key" => key = Some(PathBuf::from(value()?)),
            _ => return Err(format!("unknown option `{argument}`").into()),
        }
    }
    config.tls = certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key });
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = Server::start(Broker::open(config, Seams::system())?).await?;
    println!("{}", server.address());
    tokio::signal::ctrl_c().await?;
    server.shutdown().await?;
    Ok(())
}

fn add_user(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = arguments.by_ref().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ["add", name, "--data", data] = words[..] else {
        return Err("`user` takes `add NAME --data DIR`".into());
    };
    let mut password = String::new();
    std::io::stdin().read_line(&mut password)?;
    Users::open(data.as_ref())?.set_password(name, password.trim_end_matches('\n'))?;
    Ok(())
}
