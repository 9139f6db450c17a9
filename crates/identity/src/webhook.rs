//! Keys of web hooks: made from the master key and what the hook belongs to, so that none is stored.

use aws_lc_rs::hmac;
use uuid::Uuid;

use crate::Identity;

impl Identity {
    /// The secret of what has this id: 64 hexadecimal digits, the same as long as the master key is.
    #[must_use]
    pub fn webhook_secret(&self, id: Uuid) -> String {
        hex::encode(hmac::sign(&self.inner.webhooks, id.as_bytes()))
    }

    /// Signs a web hook's body: HMAC-SHA256 (RFC 2104) over `<seconds>.<body>` under the secret's text, in hexadecimal digits.
    #[must_use]
    pub fn sign_webhook(&self, id: Uuid, seconds: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.webhook_secret(id).as_bytes());
        let mut signing = hmac::Context::with_key(&key);
        signing.update(format!("{seconds}.").as_bytes());
        signing.update(body);
        hex::encode(signing.sign())
    }
}
