//! Where the fields of a JSON object stand, for messages about one of them.

/// The byte range of the value of the top-level field `name` in `line`, which is a valid object.
/// Of several fields of that name it is the last, which is the one that counts.
pub(crate) fn field_value(line: &[u8], name: &str) -> Option<std::ops::Range<usize>> {
    let mut found = None;
    let mut at = skip_blanks(line, 0);
    if line.get(at) != Some(&b'{') {
        return None;
    }
    at = skip_blanks(line, at + 1);
    while line.get(at) == Some(&b'"') {
        let key_end = skip_string(line, at)?;
        let key: Option<String> = serde_json::from_slice(&line[at..key_end]).ok();
        at = skip_blanks(line, key_end);
        if line.get(at) != Some(&b':') {
            return None;
        }
        at = skip_blanks(line, at + 1);
        let end = skip_value(line, at)?;
        if key.as_deref() == Some(name) {
            found = Some(at..end);
        }
        at = skip_blanks(line, end);
        match line.get(at) {
            Some(b',') => at = skip_blanks(line, at + 1),
            _ => break,
        }
    }
    found
}

fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while matches!(line.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

fn skip_string(line: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match line.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn skip_value(line: &[u8], start: usize) -> Option<usize> {
    match line.get(start)? {
        b'"' => skip_string(line, start),
        b'{' | b'[' => {
            let (mut at, mut depth) = (start, 0usize);
            loop {
                match line.get(at)? {
                    b'"' => {
                        at = skip_string(line, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let ends =
                |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
            let length = line[start..].iter().position(ends).unwrap_or(line.len() - start);
            Some(start + length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_past_strings_and_nested_objects() {
        let line = br#" {"a" : {"b":"}\""}, "b":[1,{"c":2}] ,"c":-1.5e3,"d":null}"#;
        let value = |name| field_value(line, name).map(|range| &line[range]);
        assert_eq!(value("b"), Some(&br#"[1,{"c":2}]"#[..]));
        assert_eq!(value("c"), Some(&b"-1.5e3"[..]));
        assert_eq!(value("d"), Some(&b"null"[..]));
        assert_eq!(value("e"), None);
    }
}
