//! Who asks, and how often today: once for every operation but the token's.

use edge::Origin;
use http::HeaderMap;
use model::{Caller, Error};
use things::ApiUsage;

use crate::error::Problem;
use crate::{Shared, TOKENS, people};

const INVALID: Error = Error::Unauthenticated { reason: "Authentication failed. Invalid token." };

/// A recognised caller whose call was counted.
pub(crate) struct Asking {
    pub(crate) caller: Caller,
    pub(crate) usage: ApiUsage,
}

/// Verifies the token and counts the call. A refusal for the day's limit carries the counts.
pub(crate) async fn asking(app: &Shared, headers: &HeaderMap, origin: &Origin) -> Result<Asking, (Problem, Option<ApiUsage>)> {
    let plain = |error: Error| (Problem::from(error), None);
    let token = edge::bearer(headers).ok_or_else(|| plain(INVALID))?;
    let caller = app.identity.verify(token, &TOKENS).await.map_err(|error| match error {
        Error::Unauthenticated { .. } => plain(INVALID),
        other => plain(other),
    })?;
    let caller = Caller { request: origin.request, address: origin.address, ..caller };
    if !people::may_now(app, &caller).await.map_err(plain)? {
        return Err(plain(INVALID));
    }
    let counted = app.things.count_call(&caller).await.map_err(plain)?;
    if !counted.allowed {
        let problem = Problem::DayUsedUp { limit: counted.usage.limit.unwrap_or(0), seconds: counted.resets_in };
        return Err((problem, Some(counted.usage)));
    }
    Ok(Asking { caller, usage: counted.usage })
}
