//! The OpenAPI document: collected from the routes, completed with what holds for all of them.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, Components, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required, ResponseBuilder, Schema,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use crate::error::{Problem, ProblemQuota};
use crate::{App, routes};

/// Where the API lies.
pub const BASE: &str = "/heliograph/v1";

/// The OpenAPI document of this API.
#[must_use]
pub fn openapi() -> OpenApi {
    complete(api().into_openapi())
}

/// The routes with what they say about themselves.
pub fn api() -> OpenApiRouter<App> {
    routes::all(OpenApiRouter::with_openapi(OpenApi::default()))
}

/// Adds title, tags, security, and each operation's common parameters and refusals.
pub fn complete(mut collected: OpenApi) -> OpenApi {
    let mut components = ComponentsBuilder::new()
        .security_scheme(
            "bearer",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(BEARER)).build()),
        )
        .security_scheme("basic", SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Basic).description(Some(BASIC)).build()))
        .schema(Problem::name(), Problem::schema())
        .schema(ProblemQuota::name(), ProblemQuota::schema())
        .build();
    if let Some(found) = collected.components.take() {
        components.schemas.extend(found.schemas);
    }
    refer_from_pages(&mut components);
    let paths = std::mem::take(&mut collected.paths.paths);
    for (path, mut item) in paths {
        let in_path = path.contains('{');
        for operation in operations(&mut item) {
            finish(operation, in_path);
        }
        collected.paths.paths.insert(format!("{BASE}{path}"), item);
    }
    let info = InfoBuilder::new()
        .title("Heliograph")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let tags = TAGS.iter().map(|(name, about)| TagBuilder::new().name(*name).description(Some(*about)).build());
    OpenApiBuilder::new().info(info).paths(collected.paths).components(Some(components)).tags(Some(tags)).build()
}

/// A page's rows are written out in full where they are collected; a reference says the same once.
fn refer_from_pages(components: &mut Components) {
    let row = |name: &String| {
        let row = name.strip_prefix("Page_").or_else(|| name.strip_prefix("Part_"))?;
        Some((name.clone(), row.to_owned()))
    };
    let pages: Vec<_> = components.schemas.keys().filter_map(row).collect();
    for (name, row) in pages {
        let page = components.schemas.get_mut(&name);
        if let Some(RefOr::T(Schema::Object(page))) = page
            && let Some(items) = page.properties.get_mut("items")
        {
            *items = ArrayBuilder::new().items(Ref::from_schema_name(&row)).description(Some("The rows.")).build().into();
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// What holds for every operation.
fn finish(operation: &mut Operation, in_path: bool) {
    let open = operation.security.as_ref().is_some_and(|s| s.is_empty() || s.contains(&SecurityRequirement::default()));
    let mut refusals = vec![("400", "The input is wrong; `field` names what")];
    if !open {
        operation.security.get_or_insert_with(|| vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
        refusals.push(("401", "No valid credential"));
        refusals.push(("403", "A permission is missing"));
        operation.parameters.get_or_insert_default().push(tenant().into());
    }
    if in_path {
        refusals.push(("404", "There is none, or it is another tenant's"));
    }
    refusals.push(("default", "Any other refusal"));
    for (status, about) in refusals {
        if !operation.responses.responses.contains_key(status) {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
            let response = ResponseBuilder::new().description(about).content("application/problem+json", content).build();
            operation.responses.responses.insert(status.to_owned(), response.into());
        }
    }
}

fn tenant() -> utoipa::openapi::path::Parameter {
    let schema = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build();
    ParameterBuilder::new()
        .name("tenant")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("An operator looks at this tenant (id or name) instead of its own; the header `Tenant` does the same."))
        .schema(Some(schema))
        .build()
}

const ABOUT: &str = "Everything the command line can do, over HTTP.\n\n\
    Get a token at `POST /heliograph/v1/token` and send it as `Authorization: Bearer`; an API key may stand in its place. \
    Times are RFC 3339 in UTC. Lists come in pages: hand `next` back as `cursor`. Unknown members and parameters are refused. \
    Refusals are problem details (RFC 9457). Another tenant's object looks exactly like one that does not exist.";
const BEARER: &str = "A token of `POST /heliograph/v1/token`, or an API key.";
const BASIC: &str = "E-mail address or user name, and password. Only for getting a token.";

/// The tags, in the order of the pages.
pub const TAGS: &[(&str, &str)] = &[
    ("tokens", "Sign in and out."),
    ("things", "Devices, their keys and certificates."),
    ("messages", "History, sending, inboxes, live streams."),
    ("rules", "Rules, alerts, notifications, deliveries."),
    ("tenants", "The units of isolation, their plans and use."),
    ("users", "People and their roles in the tenant."),
    ("clients", "OAuth clients and API keys."),
    ("gateway", "The gateway itself: audit, signing keys, outbox, provisioning, backup."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::to_value(openapi()).unwrap()
    }

    /// Method, path and operation of everything in the document.
    fn each(document: &Value) -> Vec<(String, String, Value)> {
        let mut all = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                all.push((method.to_uppercase(), path.clone(), operation.clone()));
            }
        }
        all
    }

    #[test]
    fn the_operations() {
        let document = document();
        let list: Vec<_> = each(&document).into_iter().map(|(m, p, o)| format!("{m} {p} {}", o["operationId"].as_str().unwrap())).collect();
        insta::assert_snapshot!(list.join("\n"));
    }

    #[test]
    fn every_handler_is_mounted() {
        let sources = [
            include_str!("routes/clients.rs"),
            include_str!("routes/gateway.rs"),
            include_str!("routes/messages.rs"),
            include_str!("routes/registrations.rs"),
            include_str!("routes/second_factor.rs"),
            include_str!("routes/rules.rs"),
            include_str!("routes/stream.rs"),
            include_str!("routes/tenants.rs"),
            include_str!("routes/things.rs"),
            include_str!("routes/tokens.rs"),
            include_str!("routes/users.rs"),
        ];
        let handlers: usize = sources.iter().map(|source| source.matches("#[utoipa::path(").count()).sum();
        assert_eq!(each(&document()).len(), handlers);
    }

    #[test]
    fn every_operation_says_what_it_does() {
        let document = document();
        let mut ids = BTreeSet::new();
        let tags: BTreeSet<_> = TAGS.iter().map(|(name, _)| *name).collect();
        for (method, path, operation) in each(&document) {
            let what = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{what}: its id is taken");
            assert!(operation["summary"].as_str().is_some_and(|s| s.len() > 4 && !s.ends_with('.')), "{what}: no summary");
            assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{what}: unknown tag");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().any(|status| status.starts_with('2')) && answers.contains_key("default"), "{what}: answers");
            assert!(operation["security"].is_array(), "{what}: nothing is said about credentials");
            let in_path: BTreeSet<_> = path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).map(str::to_owned).collect();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let told: BTreeSet<_> =
                parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap().to_owned()).collect();
            assert_eq!(told, in_path, "{what}: parameters of the path");
            assert!(
                parameters.iter().all(|p| p["description"].as_str().is_some_and(|d| !d.is_empty())),
                "{what}: a parameter is not explained"
            );
        }
    }

    #[test]
    fn only_the_token_is_to_be_had_without_one() {
        let document = document();
        let open = |o: &Value| o["security"].as_array().unwrap().iter().any(|need| need.as_object().unwrap().is_empty());
        let list: Vec<_> = each(&document).into_iter().filter(|(_, _, o)| open(o)).map(|(_, path, _)| path).collect();
        assert_eq!(list, ["/heliograph/v1/token"]);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(node: &Value, visit: &mut impl FnMut(&str)) {
            match node {
                Value::Object(members) => {
                    if let Some(Value::String(to)) = members.get("$ref") {
                        visit(to);
                    }
                    members.values().for_each(|v| walk(v, visit));
                }
                Value::Array(items) => items.iter().for_each(|v| walk(v, visit)),
                _ => {}
            }
        }
        let document = document();
        let mut seen = BTreeSet::new();
        walk(&document, &mut |to| {
            let target = document.pointer(to.trim_start_matches('#'));
            assert!(target.is_some_and(|t| !t.is_null()), "{to} leads nowhere");
            seen.insert(to.to_owned());
        });
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let unused: Vec<_> = schemas.keys().filter(|name| !seen.contains(&format!("#/components/schemas/{name}"))).collect();
        assert!(unused.is_empty(), "nobody uses {unused:?}");
    }

    #[test]
    fn words_come_from_the_core() {
        let document = document();
        let words = |name: &str| document["components"]["schemas"][name]["enum"].clone();
        assert_eq!(words("Role"), serde_json::json!(["owner", "admin", "writer", "reader", "user", "guest"]));
        assert_eq!(words("Plan"), serde_json::json!(["AMBER", "SAPPHIRE", "AMETHYST", "UNLIMITED"]));
        assert_eq!(words("Direction"), serde_json::json!(["inbound", "outbound"]));
        assert_eq!(words("MessageStatus"), serde_json::json!(["stored", "queued", "delivered", "expired", "dead"]));
    }
}
