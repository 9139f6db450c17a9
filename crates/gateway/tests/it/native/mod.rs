//! The gateway's own API as its users meet it.

mod gateway;
mod messages;
mod people;
mod stream;
mod things;
mod wire;

use testkit::fleet::{FLEET, Person};
use testkit::{Gateway, Http};

/// The path of an operation.
fn v1(path: &str) -> String {
    format!("/heliograph/v1{path}")
}

/// Runs the gateway, and belongs to `acme` besides.
const ROOT: Person = Person { email: "root@example.com", password: "root runs this place", id: "ecd13b14-6d91-4e8e-9156-60e451a3c975" };

/// A gateway with an operator in its fleet, and requests as that operator.
async fn with_operator() -> (Gateway, Http) {
    let file = format!(
        "{FLEET}\n[[user]]\nemail = \"{}\"\npassword = \"{}\"\nid = \"{}\"\nverified = true\noperator = true\n\
         memberships = [{{ tenant = \"acme\", role = \"admin\" }}]\n",
        ROOT.email, ROOT.password, ROOT.id
    );
    let gateway = Gateway::builder().provision(&file).start().await;
    let root = ROOT.native(&gateway.http()).await;
    (gateway, root)
}
