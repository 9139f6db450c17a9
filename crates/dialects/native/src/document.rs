//! The OpenAPI document: collected from the routes, completed with what holds for all of them.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, KnownFormat, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, Required, ResponseBuilder,
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
    let schema =
        ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))).build();
    ParameterBuilder::new()
        .name("tenant")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("An operator looks at this tenant instead of its own; the header `Tenant` does the same."))
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
    ("tenants", "The units of isolation, their plans and use."),
    ("users", "People and their roles in the tenant."),
    ("clients", "OAuth clients and API keys."),
    ("gateway", "The gateway itself: audit, signing keys, outbox, provisioning, backup."),
];
