//! The command line's way into a running gateway: a random bearer in a file that only the owner of the data can read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use edge::Vouched;
use identity::{ExposeSecret as _, SecretString, hash_secret, random_secret, same_hash};

use crate::data::Layout;
use crate::{House, Problem};

/// What the tokens begin with, so that no JWT or API key is ever compared with one.
const PREFIX: &str = "operator-";

/// Recognises the bearer in `operator.token`; a new one at every start.
#[derive(Clone)]
pub struct Operators {
    house: House,
    hash: Arc<[u8; 32]>,
}

impl Operators {
    /// Makes a token and writes it where the command line looks for it.
    pub fn open(house: House) -> Result<Self, Problem> {
        let token: SecretString = random_secret(PREFIX);
        let layout: &Layout = &house.layout;
        layout.write(&layout.operator_token(), token.expose_secret().as_bytes(), true)?;
        let hash = Arc::new(hash_secret(token.expose_secret()));
        Ok(Self { house, hash })
    }

    /// The token is worth nothing any more; its file goes.
    pub fn close(&self) {
        let _ = std::fs::remove_file(self.house.layout.operator_token());
    }
}

/// Lets the operator in: vouches for whoever shows the token.
pub async fn admit(State(operators): State<Operators>, mut request: Request, next: Next) -> Response {
    let shown = edge::bearer(request.headers()).filter(|bearer| bearer.starts_with(PREFIX));
    if shown.is_some_and(|bearer| same_hash(&hash_secret(bearer), operators.hash.as_slice())) {
        let caller = operators.house.operator().await;
        request.extensions_mut().insert(Vouched(caller));
    }
    next.run(request).await
}
