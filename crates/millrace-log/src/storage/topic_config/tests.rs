use super::*;

fn parse(name: &str, value: &str) -> Result<TopicConfig> {
    TopicConfig::parse(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
}

#[test]
fn each_default_is_a_value_of_its_setting() {
    for known in KNOWN_CONFIGS {
        if !known.default.is_empty() {
            known.check(known.default).unwrap_or_else(|error| panic!("{}: {error}", known.name));
        }
    }
    assert!(KNOWN_CONFIGS.is_sorted_by_key(|known| known.name));
}

#[test]
fn values_out_of_range_of_another_type_or_of_no_meaning_are_refused() {
    for (name, value) in [
        ("segment.bytes", "100"),
        ("retention.ms", "-2"),
        ("retention.ms", "1.5"),
        ("max.message.bytes", "4000000000"),
        ("cleanup.policy", "compact,forget"),
        ("min.cleanable.dirty.ratio", "1.5"),
        ("min.cleanable.dirty.ratio", "NaN"),
        ("compression.type", "brotli"),
        ("compression.gzip.level", "0"),
        ("preallocate", "perhaps"),
        ("remote.storage.enable", "true"),
        ("leader.replication.throttled.replicas", "all"),
        ("leader.replication.throttled.replicas", "0:1,1"),
        ("retention", "1"),
    ] {
        let error = parse(name, value).expect_err(name).to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn what_is_set_replaces_the_default() {
    let config = parse("cleanup.policy", "compact, delete").unwrap();
    assert!(config.compact && config.delete);
    let config = parse("retention.ms", "-1").unwrap();
    assert_eq!(config.retention_ms, None);
    let config = parse("retention.bytes", "1000").unwrap();
    assert_eq!(config.retention_bytes, Some(1000));
    let config = parse("compression.type", "gzip").unwrap();
    assert_eq!((config.compression, config.compression_level), (Some(Codec::Gzip), None));
    assert!(parse("message.timestamp.type", "LogAppendTime").unwrap().log_append_time);
}

#[test]
fn a_policy_of_nothing_keeps_everything() {
    for policy in ["", " "] {
        let config = parse("cleanup.policy", policy).unwrap();
        assert!(!config.compact && !config.delete);
    }
    assert!(parse("compression.type", "").is_err());
}

#[test]
fn values_are_shown_as_kafka_shows_them() {
    for (name, value, shown) in [
        ("cleanup.policy", " delete , compact", "delete,compact"),
        ("cleanup.policy", "", ""),
        ("unclean.leader.election.enable", "TRUE", "true"),
        ("min.cleanable.dirty.ratio", "0", "0.0"),
        ("min.cleanable.dirty.ratio", "0.25", "0.25"),
        ("retention.ms", " 5", "5"),
        ("message.timestamp.type", "CreateTime", "CreateTime"),
        ("leader.replication.throttled.replicas", "0:1, 1:1", "0:1,1:1"),
        ("leader.replication.throttled.replicas", "*", "*"),
    ] {
        let known = known_config(name).unwrap();
        known.check(value).unwrap();
        assert_eq!(known.shown(value), shown);
    }
}

#[test]
fn the_internal_size_of_segments_goes_before_the_other_and_has_no_lower_bound() {
    let set = |pairs: &[(&str, &str)]| {
        let set = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        TopicConfig::parse(&set.collect()).map(|config| config.segment_bytes)
    };
    let other = ("segment.bytes", "2000000");
    assert_eq!(set(&[other, ("internal.segment.bytes", "100")]).unwrap(), 100);
    assert_eq!(set(&[("internal.segment.bytes", "-1")]).unwrap(), 0);
    assert_eq!(set(&[other]).unwrap(), 2_000_000);
    assert!(set(&[("internal.segment.bytes", "few")]).is_err());
}
