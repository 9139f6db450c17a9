//! Certificates. The core knows one by its fingerprint; its UUID here is made of the fingerprint's first half.

use axum::extract::{Path, State};
use edge::Payload;
use http::StatusCode;
use model::{Certificate, CertificateStatus, Error, Result, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::{Builder, Uuid};

use super::Place;
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::query::Query;
use crate::reply::{Paging, data, list as paged, nothing};
use crate::wire::{body, id};

const MISSING: Error = Error::NotFound { what: "certificate" };

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    #[default]
    Valid,
    /// Kept as inactive: a certificate expires by itself.
    Expired,
    Revoked,
    Inactive,
}

impl From<Status> for CertificateStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Valid => Self::Active,
            Status::Expired | Status::Inactive => Self::Inactive,
            Status::Revoked => Self::Revoked,
        }
    }
}

#[derive(Debug, Deserialize)]
struct New {
    cert: String,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Deserialize)]
struct Change {
    status: Option<Status>,
}

/// A UUID (RFC 9562 5.8) of the fingerprint: 122 of its bits.
fn uuid_of(certificate: &Certificate) -> Option<Uuid> {
    let text = certificate.fingerprint.to_string();
    let number = u128::from_str_radix(text.get(..32)?, 16).ok()?;
    Some(Builder::from_custom_bytes(number.to_be_bytes()).into_uuid())
}

fn wire(certificate: &Certificate, now: Timestamp) -> Value {
    let status = match certificate.status {
        CertificateStatus::Revoked => "revoked",
        _ if certificate.not_after < now => "expired",
        CertificateStatus::Inactive => "inactive",
        CertificateStatus::Active => "valid",
    };
    json!({ "id": uuid_of(certificate), "cert": certificate.pem, "status": status })
}

/// The device's certificate that the path names.
async fn named(app: &App, asking: &Asking, place: &Place) -> Result<(String, Certificate)> {
    let device = place.device()?;
    let wanted: Uuid = id("certId", place.certificate.as_deref().unwrap_or_default())?;
    let found = app.things.certificates(asking, &device).await?;
    let found = found.into_iter().find(|one| uuid_of(one) == Some(wanted)).ok_or(MISSING)?;
    Ok((device, found))
}

pub(super) async fn create(State(app): State<App>, asking: Asking, Path(place): Path<Place>, payload: Payload) -> Answer {
    let (device, new) = (place.device()?, body::<New>(payload)?);
    let made = app.things.add_certificate(&asking, &device, &new.cert, new.status.into()).await?;
    Ok(data(StatusCode::CREATED, wire(&made, app.identity.clock().now())))
}

pub(super) async fn list(State(app): State<App>, asking: Asking, Path(place): Path<Place>, query: Query) -> Answer {
    let paging = Paging::open(&query)?;
    let mut found = app.things.certificates(&asking, &place.device()?).await?;
    found.reverse();
    let now = app.identity.clock().now();
    let (total, rows) = paging.cut(found);
    Ok(paged(paging, total, rows.iter().map(|one| wire(one, now)).collect::<Vec<_>>()))
}

pub(super) async fn one(State(app): State<App>, asking: Asking, Path(place): Path<Place>) -> Answer {
    let (_, found) = named(&app, &asking, &place).await?;
    Ok(data(StatusCode::OK, wire(&found, app.identity.clock().now())))
}

pub(super) async fn change(State(app): State<App>, asking: Asking, Path(place): Path<Place>, payload: Payload) -> Answer {
    let wanted: Change = body(payload)?;
    let (device, mut found) = named(&app, &asking, &place).await?;
    if let Some(status) = wanted.status {
        found = app.things.set_certificate_status(&asking, &device, &found.fingerprint, status.into()).await?;
    }
    Ok(data(StatusCode::OK, wire(&found, app.identity.clock().now())))
}

pub(super) async fn remove(State(app): State<App>, asking: Asking, Path(place): Path<Place>) -> Answer {
    let (device, found) = named(&app, &asking, &place).await?;
    app.things.delete_certificate(&asking, &device, &found.fingerprint).await?;
    Ok(nothing())
}
