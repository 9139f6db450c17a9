//! The operations, one file per noun. Each is three steps: wire to input, one verb, output to wire.

mod clients;
mod gateway;
mod messages;
mod registrations;
mod rules;
mod second_factor;
mod stream;
mod tenants;
mod things;
mod tokens;
mod users;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::document::BASE;

/// Mounts every operation.
pub fn all(router: OpenApiRouter<App>) -> OpenApiRouter<App> {
    router
        .routes(routes!(tokens::issue_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(tokens::me))
        .routes(routes!(things::list_things, things::create_thing))
        .routes(routes!(things::get_thing, things::update_thing, things::delete_thing))
        .routes(routes!(things::get_thing_keys))
        .routes(routes!(things::list_certificates, things::register_certificate))
        .routes(routes!(things::revoke_certificate))
        .routes(routes!(things::set_thing_secret))
        .routes(routes!(messages::list_messages, messages::send_message, messages::delete_messages))
        .routes(routes!(messages::get_message))
        .routes(routes!(messages::list_inbox))
        .routes(routes!(messages::remove_from_inbox))
        .routes(routes!(messages::expire_message))
        .routes(routes!(messages::bury_message))
        .routes(routes!(messages::redeliver_message))
        .routes(routes!(messages::list_dead_letters))
        .routes(routes!(messages::delete_dead_letter))
        .routes(routes!(messages::get_durability, messages::set_durability))
        .routes(routes!(stream::stream_thing_messages))
        .routes(routes!(stream::stream_messages))
        .routes(routes!(tenants::list_tenants, tenants::create_tenant))
        .routes(routes!(tenants::get_tenant, tenants::update_tenant, tenants::delete_tenant))
        .routes(routes!(tenants::get_usage))
        .routes(routes!(users::list_users, users::create_user))
        .routes(routes!(users::get_user, users::update_user, users::delete_user))
        .routes(routes!(users::set_password))
        .routes(routes!(second_factor::get_second_factor, second_factor::require_second_factor, second_factor::reset_second_factor))
        .routes(routes!(second_factor::get_tenant_demand, second_factor::set_tenant_demand))
        .routes(routes!(users::list_members, users::add_member))
        .routes(routes!(users::change_role, users::remove_member))
        .routes(routes!(clients::list_clients, clients::create_client))
        .routes(routes!(clients::get_client, clients::delete_client))
        .routes(routes!(registrations::list_initial_tokens, registrations::create_initial_token))
        .routes(routes!(registrations::delete_initial_token))
        .routes(routes!(clients::list_api_keys, clients::create_api_key))
        .routes(routes!(clients::delete_api_key))
        .routes(routes!(rules::list_rules, rules::create_rule))
        .routes(routes!(rules::get_rule, rules::replace_rule, rules::delete_rule))
        .routes(routes!(rules::list_executions))
        .routes(routes!(rules::list_alerts))
        .routes(routes!(rules::get_alert))
        .routes(routes!(rules::acknowledge_alert))
        .routes(routes!(rules::clear_alert))
        .routes(routes!(rules::list_notifications, rules::create_notification))
        .routes(routes!(rules::get_notification, rules::replace_notification, rules::delete_notification))
        .routes(routes!(rules::list_told))
        .routes(routes!(rules::webhook_secret))
        .routes(routes!(rules::list_deliveries))
        .routes(routes!(rules::retry_delivery))
        .routes(routes!(gateway::info))
        .routes(routes!(gateway::list_audit))
        .routes(routes!(gateway::list_signing_keys, gateway::rotate_signing_key))
        .routes(routes!(gateway::list_outbox))
        .routes(routes!(gateway::retry_outbox))
        .routes(routes!(gateway::provision))
        .routes(routes!(gateway::back_up))
}

/// `201 Created` with where the new object lies.
pub struct Created<T> {
    at: String,
    body: T,
}

impl<T> Created<T> {
    /// The object at these path segments below the API's base.
    pub fn at<const N: usize>(segments: [&str; N], body: T) -> Self {
        let mut at = BASE.to_owned();
        for segment in segments {
            at.push('/');
            push_escaped(&mut at, segment);
        }
        Self { at, body }
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Json(self.body)).into_response();
        if let Ok(at) = HeaderValue::from_str(&self.at) {
            response.headers_mut().insert(LOCATION, at);
        }
        response
    }
}

/// Percent-encodes one path segment (RFC 3986 3.3): unreserved characters, `:` and `@` stay.
fn push_escaped(to: &mut String, segment: &str) {
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' => to.push(char::from(byte)),
            other => to.push_str(&format!("%{other:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_escaped() {
        let created = Created::at(["clients", "a b/é"], ()).into_response();
        assert_eq!(created.status(), StatusCode::CREATED);
        assert_eq!(created.headers()[LOCATION], "/heliograph/v1/clients/a%20b%2F%C3%A9");
    }
}
