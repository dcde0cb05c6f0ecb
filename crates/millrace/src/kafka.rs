//! Topics of Kafka, or of a log that speaks like it (feature `kafka`).
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use millrace::StreamExecutionEnvironment;
//! use millrace::kafka::{DeliveryGuarantee, KafkaSink};
//!
//! #[derive(Clone)]
//! struct Order {
//!     customer: String,
//!     cents: i64,
//! }
//!
//! # fn main() -> millrace::Result<()> {
//! let sink = KafkaSink::<Order>::builder("localhost:9092", "orders")
//!     .key(|order| Some(order.customer.clone().into_bytes()))
//!     .value(|order| Some(order.cents.to_string().into_bytes()))
//!     .delivery_guarantee(DeliveryGuarantee::ExactlyOnce)
//!     .transactional_id_prefix("orders-job")
//!     .build()?;
//! let env = StreamExecutionEnvironment::new();
//! let orders = vec![Order { customer: "ann".into(), cents: 990 }];
//! env.from_collection(orders).sink_to("orders", Arc::new(sink));
//! env.execute("orders")?;
//! # Ok(())
//! # }
//! ```

pub use millrace_connect::kafka::{
    DeliveryGuarantee, KafkaRecord, KafkaSink, KafkaSinkBuilder, KafkaSource, KafkaSourceBuilder,
    Offsets,
};
