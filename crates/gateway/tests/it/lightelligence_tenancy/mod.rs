//! Tenants, users, roles and applications of the Lightelligence API: two tenants and their applications through a whole story on both
//! engines, every answer held to the platform's OpenAPI file; what must not work; the platform's own SDK and python-keycloak.

mod clients;
mod rules;
mod schema;
mod story;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testkit::fleet::{FLEET, Person};
use testkit::{Builder, Exchange, Gateway, Http};

/// The gateway's own front end: good in every tenant of its user.
pub(crate) const PORTAL: &str = r#"
[[client]]
tenant = "acme"
id = "portal"
public = true
everywhere = true
grants = ["authorization_code", "refresh_token"]
redirect_uris = ["http://127.0.0.1:9999/cb"]
scopes = ["openid", "email", "profile"]
"#;
const REALM: &str = "/v1/id/auth/realms/olt/protocol/openid-connect";
const CALLBACK: &str = "http://127.0.0.1:9999/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) fn builder() -> Builder {
    Gateway::builder().provision(&format!("{FLEET}{PORTAL}"))
}

/// Requests as somebody; every answer is held to the OpenAPI file.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) http: Http,
    refresh: String,
}

impl Api {
    fn of(http: &Http, tokens: &Value) -> Self {
        let text = |name: &str| tokens[name].as_str().unwrap_or_default().to_owned();
        Self { http: http.bearer(text("access_token")), refresh: text("refresh_token") }
    }

    /// A person through the front end, in one of its tenants.
    pub(crate) async fn person(http: &Http, person: &Person, tenant: Option<&str>) -> Self {
        Self::of(http, &sign_in(http, person, "portal", tenant).await.expect(200).json())
    }

    /// The same person in another tenant, by refresh token and header.
    async fn switch(&self, header: &str, tenant: &str) -> Exchange {
        refresh(&self.http, "portal", &self.refresh, &[(header, tenant)]).await
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Exchange {
        let text = body.map(|body| body.to_string().into_bytes());
        let headers: &[(&str, &str)] = if text.is_some() { &[("content-type", "application/json")] } else { &[] };
        let answer = self.http.send(method.parse().unwrap(), &format!("/v1{path}"), headers, text).await;
        schema::check(&answer);
        answer
    }

    async fn get(&self, path: &str) -> Exchange {
        self.send("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Exchange {
        self.send("POST", path, Some(body)).await
    }

    async fn put(&self, path: &str, body: &Value) -> Exchange {
        self.send("PUT", path, Some(body)).await
    }

    async fn patch(&self, path: &str, body: &Value) -> Exchange {
        self.send("PATCH", path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Exchange {
        self.send("DELETE", path, None).await
    }
}

async fn form(http: &Http, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Exchange {
    let encode = |text: &str| {
        let one = |b: u8| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") };
        text.bytes().map(one).collect::<String>()
    };
    let body = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&");
    let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
    all.extend_from_slice(headers);
    http.send("POST".parse().unwrap(), path, &all, Some(body.into_bytes())).await
}

async fn refresh(http: &Http, client: &str, token: &str, headers: &[(&str, &str)]) -> Exchange {
    let fields = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
    form(&Http::new(http.base()), &format!("{REALM}/token"), headers, &fields).await
}

/// An application's own token, in a tenant or in none.
async fn application_token(http: &Http, id: &str, secret: &str, tenant: Option<&str>) -> Exchange {
    let fields = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
    let headers: Vec<(&str, &str)> = tenant.iter().map(|t| ("tenant", *t)).collect();
    form(&Http::new(http.base()), &format!("{REALM}/token"), &headers, &fields).await
}

/// Signs a person in at the browser's pages for a public client, consent included: where the browser is sent then.
async fn consent(http: &Http, person: &Person, client: &str, tenant: Option<&str>) -> Exchange {
    let http = Http::new(http.base());
    let login = form(&http, "/console/login", &[], &[("email", person.email), ("password", person.password), ("next", "/")]).await;
    let login = login.expect(303);
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let mut fields = vec![
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid email profile"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("consent", "allow"),
    ];
    fields.extend(tenant.map(|t| ("consent_tenant", t)));
    form(&http, &format!("{REALM}/auth"), &[("cookie", &cookie)], &fields).await
}

/// The same, and redeems the code.
async fn sign_in(http: &Http, person: &Person, client: &str, tenant: Option<&str>) -> Exchange {
    let answer = consent(http, person, client, tenant).await.expect(303);
    let location = answer.header("location").unwrap().to_owned();
    let code = location.split(['?', '&']).find_map(|p| p.strip_prefix("code=")).unwrap_or_else(|| panic!("{location}"));
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    form(&Http::new(http.base()), &format!("{REALM}/token"), &[], &fields).await
}

/// What a token says.
fn claims(tokens: &Value) -> Value {
    let token = tokens["access_token"].as_str().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("text in {value}")).to_owned()
}

/// The id of what was made.
fn id(answer: &Exchange) -> String {
    text(&answer.json()["data"]["id"])
}

/// A permission by its id.
async fn permission(api: &Api, alias: &str) -> Value {
    let all = api.get("/permissions").await.expect(200).json();
    let found = all["data"]["permissions"].as_array().unwrap().iter().find(|p| p["alias"] == alias).cloned();
    json!({ "id": found.unwrap_or_else(|| panic!("{alias}"))["id"] })
}

/// The id of a role by its name.
async fn role(api: &Api, name: &str) -> Value {
    let all = api.get("/roles?pageSize=100").await.expect(200).json();
    let found = all["data"].as_array().unwrap().iter().find(|r| r["name"] == name).cloned();
    json!({ "id": found.unwrap_or_else(|| panic!("{name}"))["id"] })
}

/// A tenant to be.
fn new_tenant(name: &str) -> Value {
    json!({
        "name": name,
        "billingContact": {
            "title": "Ms.", "firstname": "Alice", "lastname": "Anders", "email": "alice@example.com", "phone": "123", "phoneCountryPrefix": "+49",
        },
        "billingCompany": {
            "name1": "Anders Labs", "street": "Marcel-Breuer-Str.", "housenum": "6", "postcode": "80807", "city": "Munich", "countryCode": "DE",
        },
        "package": { "id": "OLT_FREE2019" },
        "payment": { "shopperReference": "0190a0b0-1234-7abc-8def-0123456789ab", "recurringDetailReference": "r" },
    })
}
