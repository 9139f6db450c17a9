//! Paths to operations, in any case, and the frame around every one of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use edge::Origin;
use http::{HeaderMap, Method, Uri, header};
use model::Result;

use crate::asking::{Asking, asking};
use crate::error::Problem;
use crate::reply::Reply;
use crate::{App, Shared, commands, devices, groups, lists, osmand, token, users, wire};

/// The largest body.
const BODY: usize = 1 << 20;

/// Every operation of the platform: method and path.
pub const OPERATIONS: &[(&str, &str)] = &[
    ("POST", "/api/Auth/Token"),
    ("GET", "/api/devices"),
    ("GET", "/api/devices/{deviceId}"),
    ("GET", "/api/devices/{deviceId}/lastLocation"),
    ("POST", "/api/devices/{deviceId}/locations"),
    ("POST", "/api/devices/{deviceId}/alerts"),
    ("POST", "/api/devices/{deviceId}/sendCommand"),
    ("GET", "/api/groups"),
    ("POST", "/api/groups"),
    ("GET", "/api/groups/{groupId}"),
    ("PUT", "/api/groups/{groupId}"),
    ("PATCH", "/api/groups/{groupId}"),
    ("DELETE", "/api/groups/{groupId}"),
    ("GET", "/api/users"),
    ("POST", "/api/users"),
    ("GET", "/api/users/{userId}"),
    ("PUT", "/api/users/{userId}"),
    ("PATCH", "/api/users/{userId}"),
    ("DELETE", "/api/users/{userId}"),
    ("GET", "/api/users/countries"),
    ("GET", "/api/users/timeZones"),
];

/// One of them, with the id in its path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    Token,
    Devices,
    Device(String),
    LastLocation(String),
    Locations(String),
    Alerts(String),
    SendCommand(String),
    Groups,
    GroupCreate,
    Group(String),
    GroupReplace(String),
    GroupChange(String),
    GroupRemove(String),
    Users,
    UserCreate,
    User(String),
    UserReplace(String),
    UserChange(String),
    UserRemove(String),
    Countries,
    TimeZones,
    OsmAnd,
}

/// What the texts of errors depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Token,
    Device,
    GroupList,
    Group,
    GroupWrite,
    User,
    UserDelete,
    OsmAnd,
}

impl Operation {
    /// The operation of a path below `/api`: static parts in any case, ids as they are.
    fn find(method: &Method, path: &str) -> std::result::Result<Self, Problem> {
        let mut segments = path.split('/').filter(|s| !s.is_empty()).map(wire::percent_decoded);
        let mut next = || match segments.next() {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => Err(Problem::NoRoute),
        };
        let _api = next()?;
        let (Some(first), second, third, fourth) = (next()?, next()?, next()?, next()?) else { return Err(Problem::NoRoute) };
        if fourth.is_some() {
            return Err(Problem::NoRoute);
        }
        let lower = |text: &Option<String>| text.as_deref().map(str::to_ascii_lowercase);
        let (second_lower, third_lower) = (lower(&second), lower(&third));
        let only =
            |wanted: Method, operation: Self, allowed| if *method == wanted { Ok(operation) } else { Err(Problem::NoMethod(allowed)) };
        let get = |operation| only(Method::GET, operation, "GET");
        let post = |operation| only(Method::POST, operation, "POST");
        match (first.to_ascii_lowercase().as_str(), second, third) {
            ("auth", Some(_), None) if second_lower.as_deref() == Some("token") => post(Self::Token),
            ("devices" | "device", None, None) => get(Self::Devices),
            ("devices" | "device", Some(id), None) => get(Self::Device(id)),
            ("devices" | "device", Some(id), Some(_)) => match third_lower.as_deref() {
                Some("lastlocation") => get(Self::LastLocation(id)),
                Some("locations") => post(Self::Locations(id)),
                Some("alerts") => post(Self::Alerts(id)),
                Some("sendcommand") => post(Self::SendCommand(id)),
                _ => Err(Problem::NoRoute),
            },
            ("groups", None, None) => match *method {
                Method::GET => Ok(Self::Groups),
                Method::POST => Ok(Self::GroupCreate),
                _ => Err(Problem::NoMethod("GET,POST")),
            },
            ("groups", Some(id), None) => match *method {
                Method::GET => Ok(Self::Group(id)),
                Method::PUT => Ok(Self::GroupReplace(id)),
                Method::PATCH => Ok(Self::GroupChange(id)),
                Method::DELETE => Ok(Self::GroupRemove(id)),
                _ => Err(Problem::NoMethod("GET,PUT,PATCH,DELETE")),
            },
            ("users", None, None) => match *method {
                Method::GET => Ok(Self::Users),
                Method::POST => Ok(Self::UserCreate),
                _ => Err(Problem::NoMethod("GET,POST")),
            },
            // Before ids, which these two are not.
            ("users", Some(_), None) if second_lower.as_deref() == Some("countries") => get(Self::Countries),
            ("users", Some(_), None) if second_lower.as_deref() == Some("timezones") => get(Self::TimeZones),
            ("users", Some(id), None) => match *method {
                Method::GET => Ok(Self::User(id)),
                Method::PUT => Ok(Self::UserReplace(id)),
                Method::PATCH => Ok(Self::UserChange(id)),
                Method::DELETE => Ok(Self::UserRemove(id)),
                _ => Err(Problem::NoMethod("GET,PUT,PATCH,DELETE")),
            },
            ("osmand", None, None) => match *method {
                Method::GET | Method::POST => Ok(Self::OsmAnd),
                _ => Err(Problem::NoMethod("GET,POST")),
            },
            _ => Err(Problem::NoRoute),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Token => Kind::Token,
            Self::Groups => Kind::GroupList,
            Self::GroupCreate | Self::GroupReplace(_) => Kind::GroupWrite,
            Self::Group(_) | Self::GroupChange(_) | Self::GroupRemove(_) => Kind::Group,
            Self::Users | Self::UserCreate | Self::User(_) | Self::UserReplace(_) | Self::UserChange(_) => Kind::User,
            Self::Countries | Self::TimeZones => Kind::User,
            Self::UserRemove(_) => Kind::UserDelete,
            Self::OsmAnd => Kind::OsmAnd,
            _ => Kind::Device,
        }
    }

    /// Does it read a JSON body?
    fn has_body(&self) -> bool {
        matches!(
            self,
            Self::Token
                | Self::Locations(_)
                | Self::Alerts(_)
                | Self::SendCommand(_)
                | Self::GroupCreate
                | Self::GroupReplace(_)
                | Self::GroupChange(_)
                | Self::UserCreate
                | Self::UserReplace(_)
                | Self::UserChange(_)
        )
    }
}

/// Everything below `/api`, the first part in its three usual spellings.
pub(crate) fn router(app: App) -> Router {
    let shared = Arc::new(Shared { identity: app.identity, things: app.things, people: tokio::sync::Mutex::default() });
    let mut router = Router::new();
    for root in ["/api", "/Api", "/API"] {
        router = router.route(&format!("{root}/{{*rest}}"), any(answer));
    }
    router.with_state(shared)
}

async fn answer(State(app): State<Arc<Shared>>, origin: Origin, request: Request) -> Response {
    let operation = match Operation::find(request.method(), request.uri().path()) {
        Ok(operation) => operation,
        Err(problem) => return problem.render(Kind::Device, None),
    };
    let kind = operation.kind();
    let (parts, body) = request.into_parts();
    match operation {
        Operation::Token => {
            let outcome = async { token::token(&app, &read(&parts.headers, body).await?, &origin).await }.await;
            outcome.map_or_else(|problem| problem.render(kind, None), |reply| reply.render(None))
        }
        Operation::OsmAnd => match report(&app, &parts.headers, &parts.uri, body, &origin).await {
            Ok(reply) => reply.render(None),
            Err(problem) => problem.render(kind, None),
        },
        operation => match asking(&app, &parts.headers, &origin).await {
            Err((problem, usage)) => problem.render(kind, usage),
            Ok(asking) => {
                let outcome = async {
                    let body = if operation.has_body() { read(&parts.headers, body).await? } else { bytes::Bytes::new() };
                    handle(&app, &asking, &operation, &body).await
                };
                match outcome.await {
                    Ok(reply) => reply.render(Some(asking.usage)),
                    Err(problem) => problem.render(kind, Some(asking.usage)),
                }
            }
        },
    }
}

async fn report(
    app: &Shared,
    headers: &HeaderMap,
    uri: &Uri,
    body: axum::body::Body,
    origin: &Origin,
) -> std::result::Result<Reply, Problem> {
    let body = edge::read(body, BODY).await?;
    osmand::report(app, headers, uri, &body, origin).await
}

/// A body that does not say it is something else than JSON.
async fn read(headers: &HeaderMap, body: axum::body::Body) -> std::result::Result<bytes::Bytes, Problem> {
    if let Some(value) = headers.get(header::CONTENT_TYPE) {
        let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !(media == "application/json" || media == "text/json" || (media.starts_with("application/") && media.ends_with("+json"))) {
            return Err(Problem::NotJson);
        }
    }
    Ok(edge::read(body, BODY).await?)
}

async fn handle(app: &Shared, asking: &Asking, operation: &Operation, body: &[u8]) -> std::result::Result<Reply, Problem> {
    let reply: Result<Reply> = match operation {
        Operation::Devices => devices::list(app, asking).await,
        Operation::Device(id) => devices::one(app, asking, id).await,
        Operation::LastLocation(id) => devices::last_location(app, asking, id).await,
        Operation::Locations(id) => devices::locations(app, asking, id, body).await,
        Operation::Alerts(id) => devices::alerts(app, asking, id, body).await,
        Operation::SendCommand(id) => return commands::send(app, asking, id, body).await,
        Operation::Groups => groups::list(app, asking).await,
        Operation::GroupCreate => groups::create(app, asking, body).await,
        Operation::Group(id) => groups::one(app, asking, id).await,
        Operation::GroupReplace(id) => groups::replace(app, asking, id, body).await,
        Operation::GroupChange(id) => return groups::change(app, asking, id, body).await,
        Operation::GroupRemove(id) => groups::remove(app, asking, id).await,
        Operation::Users => users::list(app, asking).await,
        Operation::UserCreate => users::create(app, asking, body).await,
        Operation::User(id) => users::one(app, asking, id).await,
        Operation::UserReplace(id) => users::replace(app, asking, id, body).await,
        Operation::UserChange(id) => return users::change(app, asking, id, body).await,
        Operation::UserRemove(id) => users::remove(app, asking, id).await,
        Operation::Countries => lists::countries(),
        Operation::TimeZones => Ok(lists::time_zones(app)),
        Operation::Token | Operation::OsmAnd => return Err(Problem::NoRoute),
    };
    Ok(reply?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn find(method: &str, path: &str) -> std::result::Result<Operation, Problem> {
        Operation::find(&method.parse().unwrap(), path)
    }

    #[test]
    fn every_operation_is_found_once_in_any_case() {
        let mut found = BTreeSet::new();
        for (method, path) in OPERATIONS {
            let ids = path.replace("{deviceId}", "x").replace("{groupId}", "x").replace("{userId}", "x");
            let operation = find(method, &ids).unwrap();
            for other in
                [ids.to_lowercase(), format!("{ids}/"), ids.replace("/devices", "/Device"), ids.replace("lastLocation", "LastLocation")]
            {
                assert_eq!(find(method, &other).as_ref(), Ok(&operation), "{method} {other}");
            }
            assert!(found.insert(format!("{operation:?}")), "{method} {path}");
        }
        assert_eq!(found.len(), 21);
    }

    #[test]
    fn ids_keep_their_case_and_countries_are_no_id() {
        assert_eq!(find("GET", "/api/devices/IMEI%3A7"), Ok(Operation::Device("IMEI:7".to_owned())));
        assert_eq!(find("GET", "/api/users/Countries"), Ok(Operation::Countries));
        assert_eq!(find("GET", "/api/users/timezones"), Ok(Operation::TimeZones));
        assert_eq!(find("GET", "/api/users/country"), Ok(Operation::User("country".to_owned())));
        assert_eq!(find("DELETE", "/api/users/countries"), Err(Problem::NoMethod("GET")));
    }

    #[test]
    fn what_is_not_there() {
        for path in [
            "/api",
            "/api/",
            "/api/auth",
            "/api/auth/token/x",
            "/api/devices/x/trips",
            "/api/devices/x/alerts/y",
            "/api/geofences",
            "/api/devices/%ff",
        ] {
            assert_eq!(find("GET", path), Err(Problem::NoRoute), "{path}");
        }
        assert_eq!(find("GET", "/api/Auth/Token"), Err(Problem::NoMethod("POST")));
        assert_eq!(find("DELETE", "/api/devices/x"), Err(Problem::NoMethod("GET")));
        assert_eq!(find("PUT", "/api/groups"), Err(Problem::NoMethod("GET,POST")));
    }
}
