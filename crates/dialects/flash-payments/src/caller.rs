//! Who asks: resolved once a request, from its bearer token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_graphql::Context;
use edge::Origin;
use model::{Caller, Error};

use crate::error::refuse;
use crate::{Shared, TOKENS};

/// What a request brings along.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) shared: Shared,
    pub(crate) origin: Origin,
    pub(crate) token: Option<Arc<str>>,
    /// Seconds after which to try again, when the whole answer has to be 429; 0 when not.
    pub(crate) retry: Arc<AtomicU64>,
}

impl Asking {
    pub(crate) async fn caller(&self) -> model::Result<Caller> {
        let token = self.token.as_deref().ok_or(Error::Unauthenticated { reason: "log in and send the token as authorization: Bearer" })?;
        let caller = self.shared.app.identity.verify(token, &TOKENS).await?;
        Ok(Caller { request: self.origin.request, address: self.origin.address, ..caller })
    }

    pub(crate) fn too_many(&self, seconds: u64) {
        self.retry.fetch_max(seconds.max(1), Ordering::AcqRel);
    }
}

/// The request's company.
pub(crate) fn asking<'a>(ctx: &Context<'a>) -> async_graphql::Result<&'a Asking> {
    ctx.data::<Asking>()
}

/// The caller, or the error that says to log in.
pub(crate) async fn caller(ctx: &Context<'_>) -> async_graphql::Result<Caller> {
    asking(ctx)?.caller().await.map_err(refuse)
}
