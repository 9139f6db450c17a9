//! What the first start prints: where everything is, how to sign in, and a walk to paste into a shell.

use identity::{ExposeSecret as _, FirstStart};

use crate::House;
use crate::start::{Ready, reachable};

/// The text. It holds the operator's password, which is told this once; it goes to stdout, never into the log.
pub fn text(first: &FirstStart, ready: &Ready, house: &House) -> String {
    let url = match (ready.http, ready.https) {
        (Some(http), _) => format!("http://{}", reachable(http)),
        (None, Some(https)) => format!("https://{}", reachable(https)),
        (None, None) => ready.public_url.clone(),
    };
    let (email, password) = (&first.user.email, first.password.expose_secret());
    let mut text = format!(
        "\nHeliograph is ready. Data: {}\n\n  API         {url}/heliograph/v1, {url}/prd/v1 (FlashLex); pages: {url}/docs\n",
        house.layout.dir().display()
    );
    if let Some(mqtt) = ready.mqtt {
        text.push_str(&format!("  MQTT        {mqtt}\n"));
    }
    if let Some(mqtts) = ready.mqtts {
        text.push_str(&format!("  MQTT + TLS  {mqtts}, CA certificate: {}\n", ready.ca.display()));
    }
    text.push_str(&format!(
        "  Sign in     {email}  password: {password}\n              (told this once; `heliograph user password` sets another)\n"
    ));
    if let (Some(_), Some(mqtt)) = (ready.http, ready.mqtt) {
        text.push_str(&walk(&url, email, password, &reachable(mqtt).ip().to_string(), mqtt.port()));
    }
    text
}

fn walk(url: &str, email: &str, password: &str, host: &str, port: u16) -> String {
    format!(
        r##"
A first walk, to paste into a shell:

  URL={url}
  LOGIN='{email}:{password}'
  pick() {{ python3 -c 'import functools,json,sys; print(functools.reduce(lambda v,k: v[k], sys.argv[1:], json.load(sys.stdin)))' "$@"; }}

  # FlashLex: a token, a thing, a message to it, and the message read back
  TOKEN=$(curl -s -u "$LOGIN" "$URL/token" | pick accessToken)
  THING=$(curl -s -H "Authorization: Bearer $TOKEN" -d '{{"thingName":"lamp"}}' "$URL/prd/v1/things" | pick result flthingspk)
  curl -s -H "Authorization: Bearer $TOKEN" -d '{{"led":"on"}}' "$URL/prd/v1/things/$THING/publish"; echo
  curl -s -H "Authorization: Bearer $TOKEN" "$URL/prd/v1/things/$THING/messages"; echo

  # MQTT: the thing gets a secret, fetches that message, and says something that a back end hears
  API=$(curl -s -X POST -u "$LOGIN" "$URL/heliograph/v1/token" | pick access_token)
  SECRET=$(curl -s -X PUT -H "Authorization: Bearer $API" "$URL/heliograph/v1/things/$THING/secret" | pick secret)
  mosquitto_sub -h {host} -p {port} -u "$THING" -P "$SECRET" -q 1 -t "things/$THING/inbox" -C 1
  mosquitto_sub -h {host} -p {port} -u back-end -P "$API" -t 'things/#' -v -C 1 & sleep 1
  mosquitto_pub -h {host} -p {port} -u "$THING" -P "$SECRET" -q 1 -t "things/$THING/state" -m '{{"led":"on"}}'; wait
"##
    )
}
