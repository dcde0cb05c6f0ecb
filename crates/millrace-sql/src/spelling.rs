//! Names that were probably meant.

/// The known name nearest to `name`, if it is near: one change in three letters at most.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = name.chars().count() / 3;
    known
        .map(|known| (distance(known, name), known))
        .filter(|(changes, _)| *changes <= far)
        .min()
        .map(|(_, known)| known)
}

/// The edit distance between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let known = ["UPPER", "COS", "COUNT"];
        assert_eq!(nearest("UPER", known.into_iter()), Some("UPPER"));
        assert_eq!(nearest("COUNTT", known.into_iter()), Some("COUNT"));
        assert_eq!(nearest("FOO", known.into_iter()), None);
    }
}
