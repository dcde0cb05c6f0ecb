//! A record as a line of JSON, in both directions.
//!
//! What `consume --output json` prints, `produce --format json` takes: key and value as strings, or
//! as `key_base64` and `value_base64` where they are not UTF-8.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use serde_json::{Map, Value, json};

use super::position::parse_time_ms;

/// A header: its name, and its value if it has one.
pub(super) type Header = (String, Option<Vec<u8>>);

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NewRecord {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<Header>,
    pub(super) partition: Option<i32>,
    pub(super) timestamp_ms: Option<i64>,
}

impl NewRecord {
    /// Reads a JSON object. `key` and `value` are strings, null, or any other JSON, which is then
    /// written as it stands there; `headers` an object, or pairs in an array.
    ///
    /// # Errors
    /// A sentence for people.
    pub(super) fn from_json(line: &str) -> Result<NewRecord, String> {
        let mut record = NewRecord::default();
        let mut seen: Vec<String> = Vec::new();
        for (name, text) in members(line)? {
            // `key` and `key_base64` are two ways to say the same.
            let field = name.strip_suffix("_base64").unwrap_or(&name).to_owned();
            if seen.contains(&field) {
                return Err(format!("`{field}` is given twice"));
            }
            match name.as_str() {
                "key" => record.key = bytes_of(text),
                "value" => record.value = bytes_of(text),
                "key_base64" => record.key = base64_of(&name, text)?,
                "value_base64" => record.value = base64_of(&name, text)?,
                "headers" => record.headers = headers_of(text)?,
                "partition" => record.partition = partition_of(text)?,
                "timestamp" => record.timestamp_ms = timestamp_of(text)?,
                // What `consume` prints, and the log itself decides anew.
                "topic" | "offset" | "timestamp_type" => {}
                _ => return Err(format!("`{name}` is not known in a record")),
            }
            seen.push(field);
        }
        Ok(record)
    }
}

/// The record as a line of JSON with all there is about it, without line end.
pub(super) fn to_json(record: &BorrowedMessage<'_>) -> String {
    let mut object = Map::new();
    object.insert("topic".to_owned(), json!(record.topic()));
    object.insert("partition".to_owned(), json!(record.partition()));
    object.insert("offset".to_owned(), json!(record.offset()));
    let timestamp = match record.timestamp() {
        Timestamp::NotAvailable => None,
        Timestamp::CreateTime(time_ms) => Some((time_ms, "create")),
        Timestamp::LogAppendTime(time_ms) => Some((time_ms, "append")),
    };
    if let Some((time_ms, kind)) = timestamp {
        object.insert("timestamp".to_owned(), json!(time_ms));
        object.insert("timestamp_type".to_owned(), json!(kind));
    }
    insert_bytes(&mut object, "key", record.key());
    insert_bytes(&mut object, "value", record.payload());
    let headers: Vec<Value> = record
        .headers()
        .map(|headers| headers.iter().map(|header| pair(header.key, header.value)).collect())
        .unwrap_or_default();
    if !headers.is_empty() {
        object.insert("headers".to_owned(), Value::Array(headers));
    }
    Value::Object(object).to_string()
}

fn insert_bytes(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    let (name, value) = match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => (name.to_owned(), Value::Null),
        Some((_, Ok(text))) => (name.to_owned(), json!(text)),
        Some((bytes, Err(_))) => (format!("{name}_base64"), json!(STANDARD.encode(bytes))),
    };
    object.insert(name, value);
}

fn pair(name: &str, value: Option<&[u8]>) -> Value {
    match value.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => json!([name, null]),
        Some((_, Ok(text))) => json!([name, text]),
        Some((bytes, Err(_))) => json!([name, { "base64": STANDARD.encode(bytes) }]),
    }
}

/// A string's characters, nothing for null, and the text itself of any other JSON.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Null) => None,
        Ok(Value::String(text)) => Some(text.into_bytes()),
        _ => Some(text.as_bytes().to_vec()),
    }
}

fn base64_of(name: &str, text: &str) -> Result<Option<Vec<u8>>, String> {
    match serde_json::from_str::<Option<String>>(text) {
        Ok(None) => Ok(None),
        Ok(Some(text)) => {
            STANDARD.decode(text).map(Some).map_err(|cause| format!("`{name}`: {cause}"))
        }
        Err(_) => Err(format!("`{name}` is not a string")),
    }
}

fn partition_of(text: &str) -> Result<Option<i32>, String> {
    match serde_json::from_str::<Option<i32>>(text) {
        Ok(Some(number)) if number < 0 => Err("`partition` is negative".to_owned()),
        Ok(partition) => Ok(partition),
        Err(_) => Err("`partition` is not a partition's number".to_owned()),
    }
}

fn timestamp_of(text: &str) -> Result<Option<i64>, String> {
    let wrong = || {
        "`timestamp` is neither milliseconds since 1970 nor a time such as `2026-11-21T05:00:00Z`"
            .to_owned()
    };
    match serde_json::from_str::<Value>(text).map_err(|_| wrong())? {
        Value::Null => Ok(None),
        Value::Number(number) => {
            number.as_i64().filter(|time_ms| *time_ms >= 0).map(Some).ok_or_else(wrong)
        }
        Value::String(text) => {
            parse_time_ms(&text).filter(|time_ms| *time_ms >= 0).map(Some).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

fn headers_of(text: &str) -> Result<Vec<Header>, String> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Null) => Ok(Vec::new()),
        // An object is read member by member: `Value` would sort names and keep one of equal ones.
        Ok(Value::Object(_)) => members(text)?
            .into_iter()
            .map(|(name, text)| {
                let value = serde_json::from_str(text).unwrap_or_default();
                Ok((name.clone(), header_value(&name, value)?))
            })
            .collect(),
        Ok(Value::Array(pairs)) => pairs
            .into_iter()
            .map(|pair| match <[Value; 2]>::try_from(as_array(pair)) {
                Ok([Value::String(name), value]) => {
                    let value = header_value(&name, value)?;
                    Ok((name, value))
                }
                _ => Err("`headers` has something else than pairs of name and value".to_owned()),
            })
            .collect(),
        _ => Err("`headers` is neither an object nor an array of pairs".to_owned()),
    }
}

fn as_array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        _ => Vec::new(),
    }
}

fn header_value(name: &str, value: Value) -> Result<Option<Vec<u8>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.into_bytes())),
        Value::Object(object) if object.len() == 1 => match object.get("base64") {
            Some(Value::String(text)) => STANDARD
                .decode(text)
                .map(Some)
                .map_err(|cause| format!("the header `{name}`: {cause}")),
            _ => Err(format!("the header `{name}` is not a string")),
        },
        _ => Err(format!("the header `{name}` is not a string")),
    }
}

/// The members of a JSON object, with the text of each value as it stands there: a parsed value
/// would lose the order of names and the digits of large numbers.
fn members(text: &str) -> Result<Vec<(String, &str)>, String> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(_)) => {}
        Ok(_) => return Err("it is not a JSON object".to_owned()),
        Err(cause) => return Err(format!("it is not JSON: {cause}")),
    }
    // From here on the text is known to be a well-formed object.
    let (mut members, mut rest) = (Vec::new(), text.trim_start().trim_start_matches('{'));
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if !rest.starts_with('"') {
            return Ok(members);
        }
        let (name, after) = rest.split_at(value_length(rest));
        let after = after.trim_start().trim_start_matches(':').trim_start();
        let (value, after) = after.split_at(value_length(after));
        let name = serde_json::from_str(name).map_err(|cause| cause.to_string())?;
        members.push((name, value.trim_end()));
        rest = after;
    }
}

/// The bytes of the JSON value that the text begins with.
fn value_length(text: &str) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' if depth == 0 => return at + 1,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' if depth == 1 => return at + 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> NewRecord {
        NewRecord::from_json(line).unwrap()
    }

    #[test]
    fn strings_are_written_without_quotes_and_other_json_as_it_stands() {
        let record =
            read(r#"{"key": "k\"ey", "value": {"b": 12345678901234567890123, "a": [1, "x"]} }"#);
        assert_eq!(record.key.unwrap(), br#"k"ey"#);
        assert_eq!(record.value.unwrap(), br#"{"b": 12345678901234567890123, "a": [1, "x"]}"#);
        assert_eq!(read(r#"{"value":17}"#).value.unwrap(), b"17");
        assert_eq!(read(r#"{"value":null}"#), NewRecord::default());
        assert_eq!(read("{}"), NewRecord::default());
    }

    #[test]
    fn headers_keep_their_order_and_may_share_a_name() {
        let expected = [("z", Some("1")), ("a", None), ("z", Some("2"))].map(
            |(name, value): (_, Option<&str>)| {
                (name.to_owned(), value.map(|value| value.as_bytes().to_vec()))
            },
        );
        assert_eq!(read(r#"{"headers":{"z":"1","a":null,"z":"2"}}"#).headers, expected);
        assert_eq!(read(r#"{"headers":[["z","1"],["a",null],["z","2"]]}"#).headers, expected);
        let binary = read(r#"{"headers":[["b",{"base64":"/w=="}]]}"#);
        assert_eq!(binary.headers, [("b".to_owned(), Some(vec![255]))]);
    }

    #[test]
    fn what_is_not_utf8_comes_in_base64() {
        let record = read(r#"{"key_base64":"/w==","value_base64":null,"partition":3}"#);
        assert_eq!((record.key, record.value, record.partition), (Some(vec![255]), None, Some(3)));
    }

    #[test]
    fn a_timestamp_is_a_number_or_a_time() {
        assert_eq!(read(r#"{"timestamp":5}"#).timestamp_ms, Some(5));
        assert_eq!(read(r#"{"timestamp":"1970-01-01T00:00:01Z"}"#).timestamp_ms, Some(1_000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, reason) in [
            ("", "it is not JSON"),
            ("[1]", "not a JSON object"),
            (r#"{"value":1"#, "it is not JSON"),
            (r#"{"valeu":"x"}"#, "`valeu` is not known"),
            (r#"{"value":"x","value_base64":"eA=="}"#, "`value` is given twice"),
            (r#"{"value":"x","value":"y"}"#, "`value` is given twice"),
            (r#"{"value_base64":"!"}"#, "`value_base64`"),
            (r#"{"value_base64":7}"#, "`value_base64` is not a string"),
            (r#"{"partition":-1}"#, "negative"),
            (r#"{"partition":4294967296}"#, "`partition`"),
            (r#"{"timestamp":-1}"#, "`timestamp`"),
            (r#"{"timestamp":"soon"}"#, "`timestamp`"),
            (r#"{"headers":"x"}"#, "`headers`"),
            (r#"{"headers":[["a"]]}"#, "pairs"),
            (r#"{"headers":{"a":1}}"#, "`a` is not a string"),
        ] {
            let told = NewRecord::from_json(line).unwrap_err();
            assert!(told.contains(reason), "{line}: {told}");
        }
    }

    #[test]
    fn members_are_cut_out_exactly_as_they_stand() {
        let text = " { \"a\" : \"},{\\\"\\\\\" , \"b\":[{\"c\":\"]\"},2] ,\"\\u0064\":-1e5}\n";
        let expected = [("a", r#""},{\"\\""#), ("b", r#"[{"c":"]"},2]"#), ("d", "-1e5")];
        let members = members(text).unwrap();
        let members: Vec<_> = members.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(members, expected);
    }
}
