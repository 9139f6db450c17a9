//! Debian's `libapache2-mod-auth-openidc` in an Apache of the test's own, as relying party of the plain face.

use std::os::unix::fs::chown;
use std::path::Path;
use std::time::Duration;

use testkit::Child;
use testkit::clients::{root, run};
use testkit::fleet::{ALICE, FLEET};

use super::chromium;
use super::keycloak::free_port;
use crate::{HELIOGRAPH, Place};

const APACHE: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";

fn configuration(folder: &str, port: u16, issuer: &str) -> String {
    let modules = ["mpm_event", "authn_core", "authz_core", "authz_user", "dir", "mime", "headers", "auth_openidc"];
    let load: String = modules.iter().map(|m| format!("LoadModule {m}_module {MODULES}/mod_{m}.so\n")).collect();
    format!(
        r#"{load}
ServerName 127.0.0.1
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
Listen 127.0.0.1:{port}
DocumentRoot {folder}/www
DirectoryIndex index.html
TypesConfig /dev/null
AddType text/html .html
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID apache
OIDCClientSecret s3cr3t-of-the-apache-server
OIDCRedirectURI http://127.0.0.1:{port}/cb
OIDCCryptoPassphrase a-passphrase-of-this-test-alone
OIDCScope "openid email profile"
OIDCPKCEMethod S256
OIDCAuthRequestParams acr_values=2
OIDCRemoteUserClaim email
<Location />
    AuthType openid-connect
    Require claim acr:2
    Header set Cache-Control no-store
    Header set X-User "expr=%{{REMOTE_USER}}"
    Header set X-Acr "expr=%{{reqenv:OIDC_CLAIM_acr}}"
    Header set X-Amr "expr=%{{reqenv:OIDC_CLAIM_amr}}"
</Location>
<Location /bye>
    AuthType None
    Require all granted
</Location>
"#
    )
}

/// Root's Apache would change its user; here it is nobody's servant from the start.
async fn servant(folder: &Path) -> Vec<String> {
    let number = async |of: &[&str]| run("id", of, 10).await.out.trim().parse::<u32>().ok();
    if number(&["-u"]).await != Some(0) {
        return vec![APACHE.to_owned()];
    }
    let (user, group) = (number(&["-u", "www-data"]).await, number(&["-g", "www-data"]).await);
    for path in [folder.to_path_buf(), folder.join("www"), folder.join("www/index.html"), folder.join("www/bye/index.html")] {
        chown(path, user, group).unwrap();
    }
    ["setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", "--", APACHE].map(str::to_owned).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_lets_in_who_signed_in_with_a_second_factor() {
    let Some(chromium) = chromium() else { return };
    if !Path::new(MODULES).join("mod_auth_openidc.so").exists() || !Path::new(APACHE).exists() {
        assert!(!testkit::required(), "Apache or mod_auth_openidc is not installed");
        eprintln!("skipped: no Apache with mod_auth_openidc");
        return;
    }
    let (place, port) = (Place::new(), free_port());
    let client = format!(
        r#"
[[client]]
tenant = "acme"
id = "apache"
secret = "s3cr3t-of-the-apache-server"
grants = ["authorization_code", "refresh_token"]
redirect_uris = ["http://127.0.0.1/cb", "http://127.0.0.1:{port}/bye"]
scopes = ["openid", "email", "profile"]
"#
    );
    let file = place.folder.path().join("apache.toml");
    std::fs::write(&file, format!("{FLEET}{client}")).unwrap();
    let gateway = Child::start(HELIOGRAPH, &place.data(), &["--provision", &file.display().to_string()]);
    // A folder of its own: Apache's user sees nothing of the gateway's.
    let served = tempfile::Builder::new().prefix("heliograph-apache").tempdir().unwrap();
    let folder = served.path();
    std::fs::create_dir_all(folder.join("www/bye")).unwrap();
    std::fs::write(folder.join("www/index.html"), "<!doctype html><title>in</title>Behind the door").unwrap();
    std::fs::write(folder.join("www/bye/index.html"), "<!doctype html><title>out</title>Outside").unwrap();
    let configured = folder.join("apache.conf");
    std::fs::write(&configured, configuration(&folder.display().to_string(), port, gateway.ready("public_url"))).unwrap();
    let command = servant(folder).await;
    chown(&configured, std::fs::metadata(folder).map(|m| std::os::unix::fs::MetadataExt::uid(&m)).ok(), None).unwrap();
    let (program, rest) = command.split_first().unwrap();
    let mut apache = tokio::process::Command::new(program)
        .args(rest)
        .args(["-f", &configured.display().to_string(), "-DFOREGROUND"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let log = || std::fs::read_to_string(folder.join("error.log")).unwrap_or_default();
    let mut up = false;
    for _ in 0..100 {
        up = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        if up || apache.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(up, "Apache did not start: {}", log());
    let script = root().join("tests/clients/openid/apache.mjs").display().to_string();
    let site = format!("http://127.0.0.1:{port}");
    let outcome = run("node", [script.as_str(), chromium, site.as_str(), ALICE.email, ALICE.password], 200).await;
    // Its children end with it only when it is asked to.
    if let Some(pid) = apache.id() {
        let _ = run("kill", ["-TERM", &pid.to_string()], 10).await;
        let _ = apache.wait().await;
    }
    assert!(outcome.code == Some(0) && outcome.out.contains("2 passed"), "{}\n{}\n{}", outcome.out, outcome.err, log());
}
