//! Tables of topics whose brokers want encryption, logins, or both.

mod broker;
mod faults;
mod front;
mod refusals;
mod tables;
