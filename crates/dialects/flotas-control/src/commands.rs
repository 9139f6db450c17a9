//! `sendCommand`: into the device's inbox, then a wait until its live connection has acknowledged it (contracts/flotas-control.md 3.7).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use model::{Error, MessageStatus, Permission, Result};
use serde::Deserialize;
use things::Outgoing;
use tokio::time::Instant;

use crate::Shared;
use crate::asking::Asking;
use crate::error::Problem;
use crate::reply::Reply;
use crate::wire::named;

/// How long a command waits for its device, unless the request says otherwise.
const WAIT: u64 = 20;
/// The longest a request may wait.
const WAIT_MAX: u64 = 60;
const FIRST_LOOK: Duration = Duration::from_millis(20);
const SLOWEST_LOOK: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    command: Option<String>,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    sms: Option<bool>,
    /// Ours: seconds to wait for the device, 0 to 60.
    #[serde(default)]
    timeout: Option<u64>,
}

pub(crate) async fn send(app: &Shared, asking: &Asking, id: &str, body: &[u8]) -> std::result::Result<Reply, Problem> {
    let body: Body = edge::json(body)?;
    let command = body.command.filter(|text| !text.is_empty()).ok_or_else(|| Error::invalid("command", "is required"))?;
    let payload = decoded(&command, body.format.as_deref())?;
    let seconds = body.timeout.unwrap_or(WAIT);
    if seconds > WAIT_MAX {
        return Err(Error::invalid("timeout", format!("must be 0 to {WAIT_MAX} seconds")).into());
    }
    if body.sms == Some(true) {
        return Err(Error::invalid("sms", "this gateway sends no SMS; leave sms out to reach the device over its connection").into());
    }
    // What became of the command is part of the answer, so who may not see that is told before anything is sent.
    asking.caller.require(Permission::MessageRead)?;
    let outgoing = Outgoing { payload, ..Outgoing::default() };
    let message = app.things.send(&asking.caller, id, outgoing).await?.message;
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut pause = FIRST_LOOK;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        tokio::time::sleep(pause.min(left)).await;
        if app.things.message(&asking.caller, id, message.id).await?.status == MessageStatus::Delivered {
            return Ok(Reply::ok(&named("result", "Command executed successfully")));
        }
        if left.is_zero() {
            return Err(Problem::NotTaken { seconds });
        }
        pause = (pause * 2).min(SLOWEST_LOOK);
    }
}

const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// The bytes a command stands for.
fn decoded(command: &str, format: Option<&str>) -> Result<Bytes> {
    let format = format.map(str::trim).filter(|f| !f.is_empty()).unwrap_or("Text");
    let bytes = if format.eq_ignore_ascii_case("text") {
        command.as_bytes().to_vec()
    } else if format.eq_ignore_ascii_case("hex") {
        hex(command).ok_or_else(|| Error::invalid("command", "is not hexadecimal: pairs of digits, spaces and hyphens aside"))?
    } else if format.eq_ignore_ascii_case("base64") {
        LENIENT.decode(command.trim()).map_err(|_| Error::invalid("command", "is not Base64"))?
    } else {
        return Err(Error::invalid("format", "must be Text, Hex or Base64"));
    };
    if bytes.is_empty() {
        return Err(Error::invalid("command", "holds no bytes"));
    }
    Ok(Bytes::from(bytes))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().filter(|c| !matches!(c, ' ' | '-')).map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()));
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formats() {
        assert_eq!(decoded(" engine_stop", None).unwrap(), " engine_stop");
        assert_eq!(decoded("0A 1B-2c", Some("Hex")).unwrap(), &b"\x0a\x1b\x2c"[..]);
        assert_eq!(decoded("/wA=", Some("base64")).unwrap(), &b"\xff\x00"[..]);
        assert_eq!(decoded("/wA", Some("Base64")).unwrap(), &b"\xff\x00"[..]);
        for (command, format) in [("0A1", "Hex"), ("zz", "Hex"), (" - ", "Hex"), ("???", "Base64"), ("", "Base64"), ("x", "Binary")] {
            assert!(decoded(command, Some(format)).is_err(), "{command} {format}");
        }
    }

    proptest! {
        #[test]
        fn hexadecimal_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 1..40), between in "[ -]{0,2}") {
            let text: Vec<String> = bytes.iter().map(|b| format!("{b:02X}")).collect();
            prop_assert_eq!(hex(&text.join(&between)), Some(bytes));
        }
    }
}
