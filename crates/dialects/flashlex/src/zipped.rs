//! Zip files made in memory, and how they go out: as base64 text, the way the platform did, or as bytes for those who ask.

use std::io::{Cursor, Write as _};

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{Error, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// A zip being written.
pub(crate) struct Zip(pub ZipWriter<Cursor<Vec<u8>>>);

impl Zip {
    pub(crate) fn new() -> Self {
        Self(ZipWriter::new(Cursor::new(Vec::new())))
    }

    /// Adds a file; `secret` ones only their owner may read once unpacked.
    pub(crate) fn file(&mut self, name: &str, content: &[u8], at: Timestamp, secret: bool) -> Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(dos_time(at))
            .unix_permissions(if secret { 0o600 } else { 0o644 });
        self.0.start_file(name, options).map_err(Error::internal)?;
        self.0.write_all(content).map_err(Error::internal)
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        self.0.finish().map(Cursor::into_inner).map_err(Error::internal)
    }
}

/// A moment as zips keep it: even seconds between 1980 and 2107.
fn dos_time(at: Timestamp) -> DateTime {
    let civil = at.to_zoned(TimeZone::UTC).datetime();
    let small = |n: i8| u8::try_from(n).unwrap_or(0);
    DateTime::from_date_and_time(
        u16::try_from(civil.year()).unwrap_or(0),
        small(civil.month()),
        small(civil.day()),
        small(civil.hour()),
        small(civil.minute()),
        small(civil.second()),
    )
    .unwrap_or_default()
}

/// Does the client want the zip itself? `?raw=1`, or `Accept: application/octet-stream`; generated clients ask for `application/zip`
/// and mean base64.
pub(crate) fn wants_raw(raw: bool, headers: &HeaderMap) -> bool {
    raw || headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/octet-stream")))
}

/// The response with a zip: base64 text under `application/zip`, or the bytes with a file name.
pub(crate) fn respond(zip: &[u8], file_name: &str, raw: bool) -> Response {
    let mut response = if raw { zip.to_vec().into_response() } else { STANDARD.encode(zip).into_response() };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    if raw && let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{file_name}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_rule_and_bytes_the_exception() {
        let headers = |accept: &str| HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
        assert!(!wants_raw(false, &HeaderMap::new()));
        assert!(!wants_raw(false, &headers("*/*")));
        assert!(!wants_raw(false, &headers("application/zip")));
        assert!(wants_raw(false, &headers("application/json, Application/Octet-Stream;q=0.9")));
        assert!(wants_raw(true, &HeaderMap::new()));
    }

    #[test]
    fn times_outside_a_zips_reach_fall_back() {
        assert_eq!(dos_time(Timestamp::UNIX_EPOCH), DateTime::default());
        let it = dos_time("2019-07-20T01:45:44Z".parse().unwrap());
        assert_eq!((it.year(), it.month(), it.day(), it.hour(), it.minute(), it.second()), (2019, 7, 20, 1, 45, 44));
    }
}
