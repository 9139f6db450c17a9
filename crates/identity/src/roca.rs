//! RSA keys whose private half can be computed from the public one: ROCA (CVE-2017-15361), made by many smart cards and TPMs.

/// Modulo each of these, a modulus of that library is a power of 65537; few others are for all of them.
const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/// Was this modulus (big-endian) made by that library? A good one looks like it about once in 2^27 times.
pub(crate) fn weak(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|&prime| {
        let residue = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        // The powers of 65537 repeat after less than `prime` of them.
        (0..prime)
            .scan(1, |power, _| {
                *power = *power * (65_537 % prime) % prime;
                Some(*power)
            })
            .any(|power| power == residue)
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair, RsaPublicKeyComponents};

    #[test]
    fn fresh_keys_are_not_weak() {
        for _ in 0..3 {
            let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
            assert!(!super::weak(&RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key()).n));
        }
        assert!(!super::weak(&[]) && super::weak(&[1]), "one is a power of everything");
    }
}
