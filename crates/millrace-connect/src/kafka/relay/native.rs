//! Puts the relay under a client of librdkafka.
//!
//! librdkafka asks two functions of its configuration for sockets: `socket_cb` makes one, `connect_cb`
//! connects it. rust-rdkafka makes a client of settings that are text, which functions are not. But it
//! gives access to the live client, and that to the configuration it works with (`rd_kafka_conf`). So
//! the client is made without any broker; the functions are set; then it is told its brokers
//! (`rd_kafka_brokers_add`).
//!
//! # Why that is right
//!
//! This rests on librdkafka 2.12.1, to which `rdkafka-sys` is pinned (`Cargo.toml`); look at it again
//! when that changes.
//!
//! - `rd_kafka_conf` gives the address of the client's own configuration. It is declared `const`; the
//!   object is not, and it lives as long as the client.
//! - The two fields are read in `rd_kafka_transport_connect` and nowhere else. That runs on the thread
//!   of a broker with an address. Before `rd_kafka_brokers_add` no broker has one: there are the
//!   internal broker, which never connects, and those that stand for a coordinator, which get their
//!   address out of the answer of another broker.
//! - The threads that read the fields are therefore started by `rd_kafka_brokers_add`, or learn an
//!   address under a lock after it: what was written before is seen by them.
//! - Nothing else needs `bootstrap.servers`: `metadata.recovery.strategy` = `rebootstrap` goes through
//!   the lists given to `rd_kafka_brokers_add` too.
//! - The `opaque` pointer that both functions get is the client's context, as rust-rdkafka sets it
//!   (`Client::new_context_arc`). A client drops librdkafka's part first, which waits for all of its
//!   threads, and the context after it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::PoisonError;

use rdkafka::admin::AdminClient;
use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, ThreadedProducer};

use super::Relay;

/// A context of clients whose connections may have to be encrypted or logged in.
pub trait Relayed: ClientContext {
    /// What does that; none for plain connections.
    fn relay(&self) -> Option<&Relay>;
}

/// A kind of client.
pub trait NativeClient<C: ClientContext>: FromClientConfigAndContext<C> {
    /// librdkafka's part of it.
    fn native_client(&self) -> &Client<C>;
}

impl<C: ConsumerContext> NativeClient<C> for BaseConsumer<C> {
    fn native_client(&self) -> &Client<C> {
        self.client()
    }
}

impl<C: ProducerContext> NativeClient<C> for BaseProducer<C> {
    fn native_client(&self) -> &Client<C> {
        self.client()
    }
}

impl<C: ProducerContext + 'static> NativeClient<C> for ThreadedProducer<C> {
    fn native_client(&self) -> &Client<C> {
        self.client()
    }
}

impl<C: ClientContext> NativeClient<C> for AdminClient<C> {
    fn native_client(&self) -> &Client<C> {
        self.inner()
    }
}

/// Makes a client whose connections go through the context's relay, if it has one. `config` has no
/// settings of encryption and login then; [`Relay::of_properties`] takes them.
///
/// # Errors
/// Those of librdkafka: a setting that it refuses, threads that it does not get.
pub fn create<C: Relayed, T: NativeClient<C>>(config: &ClientConfig, context: C) -> KafkaResult<T> {
    if context.relay().is_none() {
        return config.create_with_context(context);
    }
    let servers = config.get("bootstrap.servers").or_else(|| config.get("metadata.broker.list"));
    let servers = bare(servers.unwrap_or_default());
    let servers = CString::new(servers).map_err(|cause| {
        KafkaError::ClientCreation(format!("`bootstrap.servers` cannot be so: {cause}"))
    })?;
    let mut config = config.clone();
    config.remove("bootstrap.servers").remove("metadata.broker.list");
    // A socket pair has none of this, and librdkafka would log that; the relay does it.
    config.set("socket.nagle.disable", "false");
    let client: T = config.create_with_context(context)?;
    let handle = client.native_client().native_ptr();
    // SAFETY: the client lives, and nobody reads these fields yet: see the head of this file.
    let added = unsafe {
        let conf = native::rd_kafka_conf(handle).cast_mut();
        native::rd_kafka_conf_set_socket_cb(conf, Some(open_socket::<C>));
        native::rd_kafka_conf_set_connect_cb(conf, Some(connect_socket::<C>));
        native::rd_kafka_brokers_add(handle, servers.as_ptr())
    };
    match added {
        0 => Err(KafkaError::ClientCreation("`bootstrap.servers` names no broker".into())),
        _ => Ok(client),
    }
}

/// The addresses without the names of protocols, which may stand before them (`SASL_SSL://…`):
/// librdkafka would take them at their word.
fn bare(servers: &str) -> String {
    let addresses = servers.split(',').map(str::trim);
    let bare =
        addresses.map(|address| address.rsplit_once("://").map_or(address, |(_, bare)| bare));
    bare.collect::<Vec<_>>().join(",")
}

/// librdkafka's `socket_cb`: gives one end of a socket pair, or -1 with the reason in `errno`.
///
/// # Safety
/// `opaque` is a context of the type `C` that outlives the call.
unsafe extern "C" fn open_socket<C: Relayed>(
    _domain: c_int,
    _kind: c_int,
    _protocol: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    let context = unsafe { &*opaque.cast::<C>() };
    let (Some(relay), Ok((theirs, ours))) = (context.relay(), UnixStream::pair()) else {
        return -1;
    };
    let theirs = theirs.into_raw_fd();
    let mut waiting = relay.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    // One that was closed without having been connected had this number before; then it is dropped.
    waiting.insert(theirs, ours);
    theirs
}

/// librdkafka's `connect_cb`: lets the relay connect the other end to the broker, in the background.
/// Gives 0, or an `errno`.
///
/// # Safety
/// `opaque` is a context of the type `C` that outlives the call, `address` holds `length` bytes, and
/// `name` is text that ends with a zero.
unsafe extern "C" fn connect_socket<C: Relayed>(
    socket: c_int,
    address: *const libc::sockaddr,
    length: c_int,
    name: *const c_char,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    let (context, address, name) =
        unsafe { (&*opaque.cast::<C>(), socket_address(address, length), CStr::from_ptr(name)) };
    let Some(relay) = context.relay() else { return libc::EINVAL };
    let Some(address) = address else { return libc::EAFNOSUPPORT };
    let name = name.to_string_lossy().into_owned();
    let ours = relay.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&socket);
    let Some(ours) = ours else { return libc::ENOTSOCK };
    let connected = ours.set_nonblocking(true).and_then(|()| relay.connect(ours, address, name));
    match connected {
        Ok(()) => 0,
        Err(cause) => cause.raw_os_error().unwrap_or(libc::EIO),
    }
}

/// An internet address in the system's form.
///
/// # Safety
/// `length` bytes can be read at `address`.
unsafe fn socket_address(address: *const libc::sockaddr, length: c_int) -> Option<SocketAddr> {
    let length = usize::try_from(length).ok()?;
    let holds = |size: usize| length >= size;
    if address.is_null() || !holds(size_of::<libc::sa_family_t>()) {
        return None;
    }
    // SAFETY: as much was found to be there before it is read, and may be unaligned.
    unsafe {
        match c_int::from((*address).sa_family) {
            libc::AF_INET if holds(size_of::<libc::sockaddr_in>()) => {
                let found = address.cast::<libc::sockaddr_in>().read_unaligned();
                let ip = u32::from_be(found.sin_addr.s_addr).into();
                Some(SocketAddrV4::new(ip, u16::from_be(found.sin_port)).into())
            }
            libc::AF_INET6 if holds(size_of::<libc::sockaddr_in6>()) => {
                let found = address.cast::<libc::sockaddr_in6>().read_unaligned();
                let (ip, port) = (found.sin6_addr.s6_addr.into(), u16::from_be(found.sin6_port));
                let scope = found.sin6_scope_id;
                Some(SocketAddrV6::new(ip, port, found.sin6_flowinfo, scope).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_system_writes_them() {
        // SAFETY: all zeros is an address.
        let mut four: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        four.sin_family = libc::AF_INET as libc::sa_family_t;
        four.sin_port = 9093_u16.to_be();
        four.sin_addr.s_addr = u32::from_be_bytes([10, 0, 0, 7]).to_be();
        let read = |length: usize| {
            let address = (&raw const four).cast();
            // SAFETY: no length below is more than there is.
            unsafe { socket_address(address, c_int::try_from(length).unwrap()) }
        };
        assert_eq!(read(size_of_val(&four)), Some("10.0.0.7:9093".parse().unwrap()));
        assert_eq!(read(8), None);
        assert_eq!(read(0), None);
        // SAFETY: as above.
        let mut six: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
        six.sin6_family = libc::AF_INET6 as libc::sa_family_t;
        six.sin6_port = 1_u16.to_be();
        six.sin6_addr.s6_addr[15] = 1;
        // SAFETY: the whole of it is there.
        let read = unsafe { socket_address((&raw const six).cast(), size_of_val(&six) as c_int) };
        assert_eq!(read, Some("[::1]:1".parse().unwrap()));
    }

    #[test]
    fn protocols_before_addresses_are_left_out() {
        assert_eq!(bare("SASL_SSL://a:1, b:2,[::1]:3"), "a:1,b:2,[::1]:3");
    }
}
