//! One-time passwords by time (RFC 6238 over RFC 4226): SHA-1, six digits, thirty seconds, as every app knows them.

use aws_lc_rs::hmac;
use jiff::Timestamp;
use secrecy::SecretString;
use subtle::ConstantTimeEq as _;

use crate::secret;

/// Bytes of a secret: as many as SHA-1 has (RFC 4226 4).
pub(crate) const SECRET_LEN: usize = 20;
const DIGITS: usize = 6;
const STEP: i64 = 30;
/// Steps a clock may be off, either way.
const SLACK: i64 = 1;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The time step of a moment.
pub(crate) fn step_at(now: Timestamp) -> i64 {
    now.as_second().div_euclid(STEP)
}

/// The code of a time step (RFC 4226 5.3).
pub(crate) fn code(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let offset = tag.as_ref().last().map_or(0, |last| usize::from(last & 0x0f));
    let word = tag.as_ref().iter().skip(offset).take(4).fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// The step after `last` whose code this is, if it is one of now's. Looks at every step, whichever fits.
pub(crate) fn fits(secret: &[u8], typed: &str, now: Timestamp, last: i64) -> Option<i64> {
    let now = step_at(now);
    let mut found = None;
    for step in now - SLACK..=now + SLACK {
        let same: bool = code(secret, step).as_bytes().ct_eq(typed.as_bytes()).into();
        if same && step > last {
            found = Some(step);
        }
    }
    found
}

/// Six digits?
pub(crate) fn looks_like_a_code(typed: &str) -> bool {
    typed.len() == DIGITS && typed.bytes().all(|b| b.is_ascii_digit())
}

/// A fresh secret.
pub(crate) fn new_secret() -> zeroize::Zeroizing<[u8; SECRET_LEN]> {
    zeroize::Zeroizing::new(secret::random())
}

/// As people type it into an app: RFC 4648 6, without padding.
pub(crate) fn base32(bytes: &[u8]) -> SecretString {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0u32, 0u32);
    let mut put = |index: u32| text.push(BASE32.get(usize::try_from(index & 31).unwrap_or(0)).map_or('A', |b| char::from(*b)));
    for byte in bytes {
        held = ((held << 8) | u32::from(*byte)) & 0xffff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            put(held >> bits);
        }
    }
    if bits > 0 {
        put(held << (5 - bits));
    }
    SecretString::from(text)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn codes_are_those_of_the_rfcs() {
        let secret = b"12345678901234567890";
        // RFC 4226 appendix D.
        let counted = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (step, expected) in (0i64..).zip(counted) {
            assert_eq!(code(secret, step), expected);
        }
        // RFC 6238 appendix B, its last six digits.
        for (second, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(secret, step_at(Timestamp::from_second(second).unwrap())), expected, "{second}");
        }
    }

    #[test]
    fn a_code_fits_one_step_either_way_and_never_twice() {
        let secret = b"12345678901234567890";
        let at = |step: i64| Timestamp::from_second(step * STEP + 7).unwrap();
        let typed = code(secret, 100);
        for now in 99..=101 {
            assert_eq!(fits(secret, &typed, at(now), 0), Some(100), "{now}");
        }
        for now in [97, 98, 102, 103] {
            assert_eq!(fits(secret, &typed, at(now), 0), None, "{now}");
        }
        assert_eq!(fits(secret, &typed, at(100), 100), None, "used");
        assert_eq!(fits(secret, &typed, at(100), 101), None, "a later one was used");
        assert_eq!(fits(secret, "", at(100), 0), None);
        assert_eq!(fits(b"another secret, truly", &typed, at(100), 0), None);
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        // RFC 4648 10, without the padding.
        for (plain, text) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(plain.as_bytes()).expose_secret(), text);
        }
    }
}
