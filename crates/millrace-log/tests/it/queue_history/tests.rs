use super::*;

fn id(number: u32) -> RecordId {
    RecordId { producer: 1, number }
}

/// Of the record whose number is the offset.
fn delivery(offset: u32, life: u64, count: i16, session: u64, called: Micros) -> Delivery {
    let (place, record) = ((0, i64::from(offset)), Some(id(offset)));
    Delivery { place, record, life, count, session, called, answered: called + 1_000 }
}

/// About a delivery, in its session, and taken.
fn word(kind: Kind, about: &Delivery, together: u64, called: Micros) -> Word {
    Word {
        kind,
        place: about.place,
        delivery: (about.life, about.count),
        session: about.session,
        said_in: (about.life, about.session),
        together,
        called,
        answer: Some((called + 1_000, 0)),
    }
}

fn letter(offset: u32, life: u64, count: i16, message: &str) -> DeadLetter {
    let headers = [
        ("topic", "events".to_owned()),
        ("partition", "0".to_owned()),
        ("offset", offset.to_string()),
        ("group", "workers".to_owned()),
        ("delivery.count", count.to_string()),
        ("message", message.to_owned()),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value));
    DeadLetter { record: id(offset), life, headers: BTreeMap::from(headers) }
}

const REJECTED: &str = "it was rejected";
const EXHAUSTED: &str = "it was handed out as often as is allowed";

/// The first record is released and then accepted, the second rejected, the third tried twice.
fn good() -> QueueHistory {
    let deliveries = vec![
        delivery(0, 0, 1, 10, 1_000),
        delivery(0, 0, 2, 20, 5_000),
        delivery(1, 0, 1, 20, 5_000),
        delivery(2, 0, 1, 20, 5_000),
        delivery(2, 1, 1, 30, 200_000),
        delivery(2, 1, 2, 30, 400_000),
    ];
    let words = vec![
        word(Kind::Release, &deliveries[0], 1, 3_000),
        word(Kind::Accept, &deliveries[1], 2, 8_000),
        word(Kind::Reject, &deliveries[2], 3, 11_000),
    ];
    QueueHistory {
        topic: "events".to_owned(),
        group: "workers".to_owned(),
        lock_micros: 100_000,
        count_limit: 2,
        deliveries,
        words,
        dead_letters: vec![letter(1, 0, 1, REJECTED), letter(2, 1, 2, EXHAUSTED)],
        log: (0..3).map(|number| ((0, i64::from(number)), id(number))).collect(),
        ..QueueHistory::default()
    }
}

fn rules(change: impl FnOnce(&mut QueueHistory)) -> Vec<String> {
    let mut history = good();
    change(&mut history);
    let mut rules: Vec<String> =
        history.check().iter().map(|message| message[..6].to_owned()).collect();
    rules.sort();
    rules.dedup();
    rules
}

#[test]
fn a_sound_history_breaks_no_rule() {
    assert_eq!(good().check(), Vec::<String>::new());
}

#[test]
fn records_are_handed_out_as_they_are_in_the_log_and_in_the_order_of_their_counts() {
    assert_eq!(rules(|h| h.deliveries[1].record = Some(id(2))), ["rule 1"]);
    assert_eq!(rules(|h| h.deliveries[1].record = None), ["rule 1"]);
    assert_eq!(rules(|h| h.deliveries.push(delivery(2, 1, 2, 40, 900_000))), ["rule 2"]);
    assert_eq!(rules(|h| h.deliveries[3].count = 2), ["rule 2"], "it went down");
    assert!(rules(|h| h.deliveries[5].count = 3).contains(&"rule 2".to_owned()), "the limit");
}

#[test]
fn a_record_has_one_holder_at_a_time() {
    assert_eq!(rules(|h| h.words[0].kind = Kind::Accept), ["rule 3", "rule 4"]);
    let unheard = |history: &mut QueueHistory| {
        history.words.remove(0);
    };
    assert_eq!(rules(unheard), ["rule 3"]);
    let ended = |history: &mut QueueHistory| {
        history.words.remove(0);
        history.ends.insert(10, 2_000);
    };
    assert!(rules(ended).is_empty());
    let refused = |history: &mut QueueHistory| history.words[0].answer = Some((4_000, 121));
    assert_eq!(rules(refused), ["rule 3", "rule 5"]);
    let early = |history: &mut QueueHistory| {
        history.deliveries[5] = delivery(2, 1, 2, 30, 280_000);
    };
    assert_eq!(rules(early), ["rule 3"], "its lock was not over");
}

#[test]
fn what_was_acknowledged_does_not_come_again() {
    let later = |life, count| {
        move |history: &mut QueueHistory| {
            history.count_limit = 3;
            history.dead_letters.pop();
            history.words.push(word(Kind::Accept, &delivery(2, 1, 2, 30, 400_000), 9, 401_500));
            history.deliveries.push(delivery(0, life, count, 40, 500_000));
        }
    };
    assert_eq!(rules(later(0, 3)), ["rule 4"]);
    assert_eq!(rules(later(1, 2)), ["rule 4"], "after a restart");
    let rejected = |history: &mut QueueHistory| {
        history.deliveries.push(delivery(1, 1, 1, 40, 500_000));
    };
    assert_eq!(rules(rejected), ["rule 4"]);
    let released = |history: &mut QueueHistory| {
        let about = history.deliveries[3].clone();
        history.words.push(word(Kind::Release, &about, 9, 7_000));
    };
    assert_eq!(rules(released), ["rule 4"], "it came back with the same count");
    let forgot_the_state = |history: &mut QueueHistory| {
        history.dead_letters.push(letter(0, 1, 2, EXHAUSTED));
    };
    assert_eq!(rules(forgot_the_state), ["rule 4"]);
}

#[test]
fn what_is_held_may_be_acknowledged() {
    let refused = |answered| {
        move |history: &mut QueueHistory| history.words[1].answer = Some((answered, 121))
    };
    assert_eq!(rules(refused(9_000)), ["rule 5", "rule 8"]);
    assert_eq!(rules(refused(104_000)), ["rule 8"], "its lock may have been over");
    let twice = |history: &mut QueueHistory| {
        let again = word(Kind::Accept, &history.deliveries[1].clone(), 9, 10_000);
        history.words.push(Word { answer: Some((11_000, 121)), ..again });
    };
    assert!(rules(twice).is_empty());
}

#[test]
fn dead_letters_are_true_and_the_end_of_their_records() {
    assert!(rules(|h| h.dead_letters[0].record = id(9)).contains(&"rule 6".to_owned()));
    assert_eq!(rules(|h| h.dead_letters[1] = letter(2, 1, 1, EXHAUSTED)), ["rule 6", "rule 7"]);
    assert_eq!(rules(|h| h.dead_letters[1] = letter(2, 1, 2, REJECTED)), ["rule 6"]);
    let twice = |history: &mut QueueHistory| history.dead_letters.push(letter(2, 1, 2, EXHAUSTED));
    assert_eq!(rules(twice), ["rule 6", "rule 7"]);
    assert_eq!(rules(|h| h.dead_letters.push(letter(0, 0, 2, EXHAUSTED))), ["rule 6"]);
    assert_eq!(
        rules(|h| {
            h.dead_letters.remove(0);
        }),
        ["rule 6", "rule 8"]
    );
    let other_topic = |history: &mut QueueHistory| {
        history.dead_letters[1].headers.insert("topic".to_owned(), "others".to_owned());
    };
    assert_eq!(rules(other_topic), ["rule 6"]);
    // Its copy was not the last before the death of the broker.
    let came_again = |history: &mut QueueHistory| {
        history.dead_letters.insert(0, letter(2, 0, 2, EXHAUSTED));
    };
    assert_eq!(rules(came_again), ["rule 7"]);
}

#[test]
fn each_record_ends_and_members_stay() {
    let lost = |history: &mut QueueHistory| {
        history.log.insert((0, 3), id(3));
    };
    assert_eq!(rules(lost), ["rule 8"]);
    assert_eq!(rules(|h| h.forgotten.push("a member".to_owned())), ["rule 9"]);
}
