//! The one map from what can go wrong to status, text and each service's own code (contracts/lightelligence.md 1.1).
//!
//! A handler answers [`Answer`]: `?` on any verb's error is enough. The codes differ by service, so the refusal is written by
//! [`Service::over`], which lies over the routes of one service.

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use model::{Denial, Error};
use serde_json::json;

use crate::App;

/// What a handler answers.
pub(crate) type Answer<T = Response> = Result<T, Refusal>;

/// A verb's refusal, perhaps with a code of its own, on its way to [`Service::over`].
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    error: Error,
    /// Where in the body, when the error's field is not the whole story.
    at: Option<String>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, at: None }
    }
}

impl Refusal {
    /// A wrong body; `at` is the path of what is wrong.
    pub(crate) fn body(at: String, reason: impl Into<String>) -> Self {
        Self { error: Error::invalid("body", reason), at: Some(at) }
    }
}

/// Carries the refusal to the layer; what stands here is seen only if a route lies under no service.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = edge::status(&self.error).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The platform's services: each has codes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Users, tenants, roles, permissions, invitations.
    Identity,
    /// Applications, their installation, their developers.
    Applications,
    /// The audit trail.
    Audit,
    /// Devices, types, events.
    Devices,
    /// Switching online monitoring, which tells nobody whether the device is missing or forbidden.
    Monitoring,
    /// Reported state.
    State,
    /// Certificates.
    Certificates,
    /// Diagnostics.
    Diagnostics,
    /// A device's series: last points, deletion.
    Series,
    /// A device's series, aggregated.
    Aggregated,
    /// `/data-ingest`, which refuses in a shape of its own.
    Ingest,
    /// Notifications.
    Notifications,
    /// Streaming connections.
    Streaming,
}

/// A service's codes.
struct Codes {
    invalid: &'static str,
    unauthorized: &'static str,
    forbidden: &'static str,
    not_found: &'static str,
    conflict: &'static str,
    internal: &'static str,
}

macro_rules! codes {
    ($prefix:literal, $invalid:literal, $unauthorized:literal, $forbidden:literal, $not_found:literal) => {
        Codes {
            invalid: $invalid,
            unauthorized: $unauthorized,
            forbidden: $forbidden,
            not_found: $not_found,
            conflict: concat!($prefix, "_CONFLICT"),
            internal: concat!($prefix, "_INTERNAL_ERROR"),
        }
    };
}

impl Service {
    #[rustfmt::skip]
    fn codes(self) -> Codes {
        match self {
            Self::Identity => codes!("ID", "ID_VALIDATION", "ID_UNAUTHORIZED", "ID_FORBIDDEN", "ID_RESOURCE_NOT_FOUND"),
            Self::Applications => codes!("APP", "APP_VALIDATION", "APP_UNAUTHORIZED", "APP_FORBIDDEN", "APP_RESOURCE_NOT_FOUND"),
            Self::Audit => Codes {
                conflict: "CONFLICT",
                internal: "INTERNAL_ERROR",
                ..codes!("", "VALIDATION", "UNAUTHORIZED", "FORBIDDEN", "RESOURCE_NOT_FOUND")
            },
            Self::Devices => codes!("DEVICE", "DEVICE_VALIDATION", "ID_UNAUTHORIZED", "DEVICE_FORBIDDEN", "DEVICE_RESOURCE_NOT_FOUND"),
            Self::Monitoring => codes!(
                "DEVICE", "DEVICE_VALIDATION", "ID_UNAUTHORIZED", "DEVICE_FORBIDDEN_OR_NOT_FOUND", "DEVICE_RESOURCE_NOT_FOUND"
            ),
            Self::State => codes!(
                "DEVICESTATE", "DEVICESTATE_VALIDATION", "ID_UNAUTHORIZED", "DEVICESTATE_FORBIDDEN", "DEVICESTATE_RESOURCE_NOT_FOUND"
            ),
            Self::Certificates => Codes {
                conflict: "DEVICECERT_CERT_DUPLICATE",
                ..codes!(
                    "DEVICECERT", "DEVICECERT_VALIDATION", "ID_UNAUTHORIZED", "DEVICECERT_FORBIDDEN", "DEVICECERT_RESOURCE_NOT_FOUND"
                )
            },
            Self::Diagnostics => codes!(
                "DEVICEDIAGNOSTICS", "DEVICEDIAGNOSTICS_VALIDATION", "ID_UNAUTHORIZED", "DEVICEDIAGNOSTICS_FORBIDDEN",
                "DEVICEDIAGNOSTICS_RESOURCE_NOT_FOUND"
            ),
            Self::Series => codes!(
                "TIMESERIES", "TIMESERIES_BADREQUEST", "TIMESERIES_UNAUTHORIZED", "TIMESERIES_NO_ACCESS_TO_RESOURCE", "TIMESERIES_DEVICE"
            ),
            Self::Aggregated => codes!(
                "AGGREGATEDTIMESERIES", "AGGREGATEDTIMESERIES_BAD_REQUEST", "AGGREGATEDTIMESERIES_UNAUTHORIZED",
                "AGGREGATEDTIMESERIES_NO_ACCESS_TO_RESOURCE", "AGGREGATEDTIMESERIES_DEVICEID"
            ),
            Self::Ingest => codes!("DEVICE", "DEVICE_VALIDATION", "ID_UNAUTHORIZED", "DEVICE_FORBIDDEN", "DEVICE_RESOURCE_NOT_FOUND"),
            Self::Notifications => codes!(
                "NOTIFICATION", "NOTIFICATION_BAD_REQUEST", "NOTIFICATION_UNAUTHORIZED", "NOTIFICATION_FORBIDDEN",
                "NOTIFICATION_RESOURCE_NOT_FOUND"
            ),
            Self::Streaming => codes!(
                "STREAMING", "STREAMING_VALIDATION", "OLT_UNAUTHORIZED", "STREAMING_INVALID_TOKEN", "STREAMING_RESOURCE_NOT_FOUND"
            ),
        }
    }

    /// Writes the refusals of these routes with the service's codes.
    pub(crate) fn over(self, routes: Router<App>) -> Router<App> {
        routes.route_layer(axum::middleware::map_response(move |mut response: Response| async move {
            match response.extensions_mut().remove::<Refusal>() {
                Some(refusal) => self.refuse(&refusal),
                None if response.status() == StatusCode::METHOD_NOT_ALLOWED => {
                    let body = json!({ "errorMessage": "There is no such operation at this path.", "errorCode": self.codes().not_found });
                    let (mut parts, _) = response.into_parts();
                    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                    parts.headers.remove(http::header::CONTENT_LENGTH);
                    Response::from_parts(parts, Body::from(body.to_string()))
                }
                None => response,
            }
        }))
    }

    fn refuse(self, Refusal { error, at }: &Refusal) -> Response {
        if let Error::Internal { detail } = error {
            tracing::error!(%detail, "internal error");
        }
        // Monitoring does not tell missing from forbidden.
        let hidden = self == Self::Monitoring && matches!(error, Error::NotFound { .. });
        let status = if hidden { StatusCode::FORBIDDEN } else { edge::status(error) };
        let message = self.text(error, at.as_deref());
        // `/data-ingest` alone documents a flat `{statusCode,message,error}`.
        let body = if self == Self::Ingest {
            json!({ "statusCode": status.as_u16(), "message": message, "error": status.canonical_reason().unwrap_or("Error") })
        } else {
            json!({ "errorMessage": message, "errorCode": self.code(error) })
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        match error {
            Error::Unauthenticated { .. } => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Error::TooMany { retry_after } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
            }
            Error::Unavailable { .. } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(1));
            }
            _ => {}
        }
        response
    }

    fn code(self, error: &Error) -> &'static str {
        let codes = self.codes();
        match error {
            Error::Unauthenticated { .. } => codes.unauthorized,
            Error::Forbidden(_) => codes.forbidden,
            Error::NotFound { .. } if self == Self::Monitoring => codes.forbidden,
            Error::NotFound { .. } => codes.not_found,
            Error::Conflict { what: "connected_by", .. } => "DEVICE_CONNECTEDBY_CONFLICT",
            Error::Conflict { what: "thing_type", .. } if self == Self::Devices => "DEVICE_DEVICETYPE_IN_USE",
            Error::Conflict { .. } => codes.conflict,
            Error::Invalid { .. } | Error::TooLarge { .. } => codes.invalid,
            Error::TooMany { .. } => "TOO_MANY_REQUESTS",
            Error::Unavailable { .. } if self == Self::Identity => "ID_MAINTENANCE",
            Error::Unavailable { .. } | Error::Internal { .. } => codes.internal,
        }
    }

    /// The core's name of a field as this platform's clients know it.
    fn field(self, name: &str) -> String {
        match (self, name) {
            (Self::Notifications, "recipients") => "notificationRecipient".to_owned(),
            (Self::Notifications, "topic") => "notificationTopic".to_owned(),
            (Self::Notifications, "payload") => "notificationPayload".to_owned(),
            (Self::Notifications, "debounce") => "debounceDuration".to_owned(),
            (Self::Notifications, "events") => "deviceEvent".to_owned(),
            (Self::Notifications, "rule") => "ruleId".to_owned(),
            (_, "selector") => "deviceFilter".to_owned(),
            (_, "thing") => "deviceId".to_owned(),
            (_, "thing_type") => "deviceTypeId".to_owned(),
            (_, "title") => "name".to_owned(),
            (_, name) => camel(name),
        }
    }

    fn text(self, error: &Error, at: Option<&str>) -> String {
        match error {
            Error::Unauthenticated { .. } => match self {
                Self::Identity | Self::Applications => "Authorization missing in the header, or not valid",
                Self::Notifications | Self::Streaming => "Unauthorized",
                _ => "Authorization is missing or invalid.",
            }
            .to_owned(),
            Error::Forbidden(Denial::Permission(permission)) => {
                format!("Access to resource is forbidden: {} is required", permission.name())
            }
            Error::NotFound { .. } => match self {
                Self::Identity | Self::Applications => "Resource could not be found or access to resource is not allowed",
                Self::Monitoring => "User not allowed to access or resource not found.",
                Self::Series | Self::Aggregated => "device does not exist or does not belong to the authenticated tenant",
                _ => "Resource not found.",
            }
            .to_owned(),
            Error::Invalid { field, reason } => {
                let name = at.map_or_else(|| self.field(field), str::to_owned);
                match self {
                    Self::Devices | Self::Monitoring | Self::State | Self::Certificates | Self::Diagnostics => {
                        format!("Validation of '{name}' failed: {reason}.")
                    }
                    _ => format!("{name}: {reason}"),
                }
            }
            Error::Internal { .. } => "Internal Server Error".to_owned(),
            other => other.to_string(),
        }
    }
}

/// `snake_case` as `camelCase`.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut up = false;
    for c in name.chars() {
        match c {
            '_' => up = true,
            c if up => {
                out.extend(c.to_uppercase());
                up = false;
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::to_bytes;
    use serde_json::Value;

    use super::*;

    async fn seen(service: Service, error: Error) -> (u16, Value) {
        let response = service.refuse(&error.into());
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&to_bytes(response.into_body(), 10_000).await.unwrap()).unwrap())
    }

    #[tokio::test]
    async fn every_service_has_its_own_codes() {
        use Service as S;
        for (service, error, status, code) in [
            (S::Identity, Error::invalid("name", "is empty"), 400, "ID_VALIDATION"),
            (S::Identity, Error::unavailable("full"), 503, "ID_MAINTENANCE"),
            (S::Applications, Error::conflict("name", "taken"), 409, "APP_CONFLICT"),
            (S::Audit, Error::Forbidden(Denial::Rule("no")), 403, "FORBIDDEN"),
            (S::Devices, Error::Unauthenticated { reason: "no" }, 401, "ID_UNAUTHORIZED"),
            (S::Devices, Error::not_found("thing"), 404, "DEVICE_RESOURCE_NOT_FOUND"),
            (S::Devices, Error::conflict("thing_type", "is used"), 409, "DEVICE_DEVICETYPE_IN_USE"),
            (S::Devices, Error::conflict("connected_by", "is unknown"), 409, "DEVICE_CONNECTEDBY_CONFLICT"),
            (S::Monitoring, Error::not_found("thing"), 403, "DEVICE_FORBIDDEN_OR_NOT_FOUND"),
            (S::State, Error::not_found("thing"), 404, "DEVICESTATE_RESOURCE_NOT_FOUND"),
            (S::Certificates, Error::conflict("certificate", "is used"), 409, "DEVICECERT_CERT_DUPLICATE"),
            (S::Series, Error::invalid("path", "is missing"), 400, "TIMESERIES_BADREQUEST"),
            (S::Aggregated, Error::not_found("thing"), 404, "AGGREGATEDTIMESERIES_DEVICEID"),
            (S::Notifications, Error::Unauthenticated { reason: "no" }, 401, "NOTIFICATION_UNAUTHORIZED"),
            (S::Streaming, Error::Unauthenticated { reason: "no" }, 401, "OLT_UNAUTHORIZED"),
            (S::Devices, Error::TooLarge { limit: 7 }, 413, "DEVICE_VALIDATION"),
            (S::Devices, Error::TooMany { retry_after: Duration::from_secs(3) }, 429, "TOO_MANY_REQUESTS"),
            (S::Devices, Error::internal("a secret detail"), 500, "DEVICE_INTERNAL_ERROR"),
        ] {
            let (got, body) = seen(service, error).await;
            assert_eq!((got, body["errorCode"].as_str()), (status, Some(code)), "{service:?}");
            assert!(body["errorMessage"].as_str().is_some_and(|text| !text.is_empty() && !text.contains("secret")));
        }
    }

    #[tokio::test]
    async fn fields_bear_the_platforms_names() {
        let (_, body) = seen(Service::Devices, Error::invalid("communication_interval", "is too long")).await;
        assert_eq!(body["errorMessage"], "Validation of 'communicationInterval' failed: is too long.");
        let (_, body) = seen(Service::Notifications, Error::invalid("recipients", "are too many")).await;
        assert_eq!(body["errorMessage"], "notificationRecipient: are too many");
        let response = Service::Devices.refuse(&Refusal::body("info.name".to_owned(), "is missing"));
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains("'info.name'"));
    }

    #[tokio::test]
    async fn a_refused_ingest_is_flat() {
        let (status, body) = seen(Service::Ingest, Error::invalid("body", "has to be an Object")).await;
        assert_eq!(status, 400);
        assert_eq!(body, json!({ "statusCode": 400, "message": "body: has to be an Object", "error": "Bad Request" }));
    }
}
