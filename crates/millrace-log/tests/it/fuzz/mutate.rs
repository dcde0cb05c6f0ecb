//! Spoils bytes, at random but by a seed.

use bytes::{BufMut, BytesMut};

/// Numbers that follow from their seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound as u64).expect("less than a usize")
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.roll().is_multiple_of(chances)
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Lengths and numbers at which decoders stumble.
const NUMBERS: [i64; 16] = [
    -1,
    -2,
    0,
    1,
    2,
    127,
    128,
    255,
    32_767,
    65_536,
    1_000_000,
    i32::MAX as i64 - 1,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
];

/// Changes bytes behind the first `kept` in one of the ways that there are.
pub fn spoil(bytes: &mut BytesMut, kept: usize, other: &[u8], dice: &mut Dice) {
    // Something must be there to be spoilt.
    while bytes.len() <= kept {
        bytes.put_u8(dice.roll() as u8);
    }
    let place = kept + dice.below(bytes.len() - kept);
    match dice.below(8) {
        0 => {
            for _ in 0..=dice.below(8) {
                let place = kept + dice.below(bytes.len() - kept);
                bytes[place] ^= 1 << dice.below(8);
            }
        }
        1 => bytes[place] = *dice.pick(&[0, 1, 2, 0x7f, 0x80, 0x81, 0xfe, 0xff]),
        2 => bytes.truncate(place),
        3 => {
            let number = *dice.pick(&NUMBERS);
            let width = *dice.pick(&[1, 2, 4, 8]);
            overwrite(bytes, place, &number.to_be_bytes()[8 - width..]);
        }
        4 => overwrite(bytes, place, &[0xff, 0xff, 0xff, 0xff, 0x0f][dice.below(5)..]),
        5 => {
            bytes.truncate(place);
            let from = dice.below(other.len());
            bytes.extend_from_slice(&other[from..]);
        }
        6 => {
            let rest = bytes.split_off(place);
            for _ in 0..=dice.below(20) {
                bytes.put_u8(dice.roll() as u8);
            }
            bytes.extend_from_slice(&rest);
        }
        _ => {
            let end = (place + 1 + dice.below(20)).min(bytes.len());
            let rest = bytes.split_off(end);
            bytes.truncate(place);
            bytes.extend_from_slice(&rest);
        }
    }
}

fn overwrite(bytes: &mut BytesMut, place: usize, with: &[u8]) {
    let end = (place + with.len()).min(bytes.len());
    bytes[place..end].copy_from_slice(&with[..end - place]);
}
