//! Registration: a code by mail, five tries, and the same answer for everybody.

use std::sync::Arc;

use model::PlanName;
use parking_lot::Mutex;
use serde_json::json;
use testkit::fleet::ALICE;
use testkit::{Gateway, eventually};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

/// A mail server that takes everything and keeps it.
pub(crate) struct Mailbox {
    pub(crate) mails: Arc<Mutex<Vec<String>>>,
    pub(crate) url: String,
}

impl Mailbox {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = mails.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move {
                    let mut socket = BufReader::new(socket);
                    let _ = socket.write_all(b"220 test\r\n").await;
                    let mut line = String::new();
                    while let Ok(1..) = socket.read_line(&mut line).await {
                        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
                        let answer: &[u8] = match verb.as_str() {
                            "EHLO" => b"250 test\r\n",
                            "DATA" => {
                                let _ = socket.write_all(b"354 go on\r\n").await;
                                let mut mail = String::new();
                                while let Ok(1..) = socket.read_line(&mut mail).await {
                                    if mail.ends_with("\r\n.\r\n") {
                                        break;
                                    }
                                }
                                kept.lock().push(mail);
                                b"250 kept\r\n"
                            }
                            "QUIT" => b"221 bye\r\n",
                            _ => b"250 ok\r\n",
                        };
                        let _ = socket.write_all(answer).await;
                        line.clear();
                    }
                });
            }
        });
        Self { mails, url }
    }

    /// The newest mail once there are `count`.
    pub(crate) async fn mail(&self, count: usize) -> String {
        eventually("a mail", 20, async || self.mails.lock().len() >= count).await;
        self.mails.lock()[count - 1].clone()
    }
}

fn code(mail: &str) -> String {
    let digits = |word: &str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
    mail.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| digits(word)).unwrap_or_else(|| panic!("no code in {mail}")).to_owned()
}

async fn gateway(mailbox: &Mailbox) -> Gateway {
    let url = mailbox.url.clone();
    Gateway::builder()
        .config(move |config| {
            config.registration = Some(PlanName::Amber);
            config.smtp = Some(gateway::config::Smtp { url: url.into(), from: "gateway@example.com".to_owned() });
        })
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_a_password_and_a_code_make_an_account() {
    let mailbox = Mailbox::open().await;
    let gateway = gateway(&mailbox).await;
    let http = gateway.http();
    let login = http.basic("new@example.com", "a long enough password");
    let fresh = http.post("/register", &json!({ "email": "New@Example.com", "password": "a long enough password" })).await;
    insta::assert_snapshot!(fresh, @r#"
    POST /register
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "A code was sent by e-mail. Verify it to finish the registration."
        }
      ],
      "result": {
        "message": "A code was sent by e-mail. Verify it to finish the registration.",
        "username": "new@example.com"
      },
      "status": "OK"
    }
    "#);
    let _ = login.get("/token").await.expect(401);
    let code = code(&mailbox.mail(1).await);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let _ = http.form("/prd/v1/register/verify", &[("Email", "new@example.com"), ("Code", wrong)]).await.expect(401);
    let verified = http.form("/prd/v1/register/verify", &[("Email", "new@example.com"), ("Code", &code)]).await;
    insta::assert_snapshot!(verified, @r#"
    POST /prd/v1/register/verify
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "Registration verified."
        }
      ],
      "result": {
        "datecreated": "[time]",
        "emailverified": true,
        "fltimestamp": [epoch],
        "fluserspk": "[id 1]",
        "username": "new@example.com"
      },
      "status": "OK"
    }
    "#);
    let token = login.get("/token").await.expect(200).json()["accessToken"].as_str().unwrap().to_owned();
    let things = http.bearer(token).get("/prd/v1/things").await.expect(200).json();
    assert_eq!(things["result"], json!([]), "a tenant of its own");
    let _ = http.form("/register/verify", &[("email", "new@example.com"), ("code", &code)]).await.expect(401);

    // A known address: the same answer, another mail, nothing changed.
    let known = http.form("/register", &[("email", ALICE.email), ("password", "somebody else's password")]).await.expect(200);
    assert_eq!(known.text().replace(ALICE.email, "new@example.com"), fresh.text());
    assert!(mailbox.mail(2).await.contains("already"));
    let _ = http.basic(ALICE.email, "somebody else's password").get("/token").await.expect(401);
    let _ = http.basic(ALICE.email, ALICE.password).get("/token").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_codes_end_a_registration() {
    let mailbox = Mailbox::open().await;
    let gateway = gateway(&mailbox).await;
    let http = gateway.http();
    let _ = http.form("/register", &[("email", "new@example.com"), ("password", "a long enough password")]).await.expect(200);
    let code = code(&mailbox.mail(1).await);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        let _ = http.form("/register/verify", &[("email", "new@example.com"), ("code", wrong)]).await;
    }
    let late = http.form("/register/verify", &[("email", "new@example.com"), ("code", &code)]).await;
    assert!(matches!(late.status, 401 | 429), "{late}");
    let _ = http.basic("new@example.com", "a long enough password").get("/token").await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused() {
    let mailbox = Mailbox::open().await;
    let gateway = gateway(&mailbox).await;
    let http = gateway.http();
    for body in [
        json!({}),
        json!([]),
        json!({ "email": "new@example.com" }),
        json!({ "password": "a long enough password" }),
        json!({ "email": "nonsense", "password": "a long enough password" }),
        json!({ "email": "a@b.c\r\nBcc: x@y.z", "password": "a long enough password" }),
        json!({ "email": ["new@example.com"], "password": "a long enough password" }),
        json!({ "email": "new@example.com", "password": "short" }),
        json!({ "email": "new@example.com", "password": "a long enough password", "passwordRepeat": "another" }),
    ] {
        let _ = http.post("/register", &body).await.expect(400);
    }
    for body in [json!({}), json!({ "email": "new@example.com" }), json!({ "code": "123456" })] {
        let _ = http.post("/register/verify", &body).await.expect(400);
    }
    let _ = http.post("/register/verify", &json!({ "email": "new@example.com", "code": "123456" })).await.expect(401);
    assert!(mailbox.mails.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_may_be_closed() {
    let gateway = Gateway::start().await;
    insta::assert_snapshot!(gateway.http().post("/register", &json!({ "email": "new@example.com", "password": "a long enough password" })).await, @r#"
    POST /register
    403
    content-type: application/json
    cache-control: no-store

    {
      "code": 403,
      "messages": [
        {
          "key": "message",
          "value": "registration is closed on this gateway"
        }
      ],
      "result": {},
      "status": "Forbidden"
    }
    "#);
    let _ = gateway.http().post("/register/verify", &json!({ "email": "new@example.com", "code": "123456" })).await.expect(403);
}

/// The same against a mail server somebody else wrote: aiosmtpd, which keeps its mail in a folder.
#[tokio::test(flavor = "multi_thread")]
async fn the_code_comes_through_a_real_mail_server() {
    let Some(python) = testkit::environment("HELIOGRAPH_TEST_PYTHON_OPENID") else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let (listen, mails) = (format!("127.0.0.1:{port}"), folder.path().join("mails").display().to_string());
    let arguments = ["-m", "aiosmtpd", "-n", "-l", listen.as_str(), "-c", "aiosmtpd.handlers.Mailbox", mails.as_str()];
    let server = testkit::clients::Talking::start(&python, arguments);
    eventually("a mail server", 20, async || tokio::net::TcpStream::connect(&listen).await.is_ok()).await;
    let mailbox = Mailbox { mails: Arc::default(), url: format!("smtp://{listen}") };
    let gateway = gateway(&mailbox).await;
    let http = gateway.http();
    let account = json!({ "email": "real@example.com", "password": "a long enough password" });
    let _ = http.post("/register", &account).await.expect(200);
    let arrived = || std::fs::read_dir(folder.path().join("mails/new")).ok()?.next()?.ok().map(|entry| entry.path());
    eventually("a mail", 20, async || arrived().is_some()).await;
    let mail = std::fs::read_to_string(arrived().unwrap()).unwrap();
    assert!(mail.contains("To: real@example.com") && mail.contains("From: gateway@example.com"), "{mail}");
    let body = mail.split_once("\n\n").unwrap().1;
    let _ = http.post("/register/verify", &json!({ "email": "real@example.com", "code": code(body) })).await.expect(200);
    let _ = http.basic("real@example.com", "a long enough password").get("/token").await.expect(200);
    server.kill().await;
}
