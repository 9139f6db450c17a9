//! Query strings: which messages (`startts`, `endts`, `messagetype`) and which part of a list (`limit`, `cursor`).

use jiff::Timestamp;
use model::{Direction, Error, PageRequest, Result};

/// What a client asks of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// `startts`: from this second on.
    pub from: Option<Timestamp>,
    /// `endts`: up to the end of this second.
    pub to: Option<Timestamp>,
    /// `messagetype`.
    pub direction: Option<Direction>,
    /// `limit`; absent means everything up to the list's bound.
    pub limit: Option<u32>,
    /// `cursor`, as handed out in `X-Next-Cursor`.
    pub cursor: Option<String>,
    /// `raw=1`: a zip as bytes, not base64.
    pub raw: bool,
}

impl Filter {
    /// Reads a query string. Unknown names are left alone, empty values count as absent, of a repeated name the last one counts.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self> {
        let mut filter = Self::default();
        let (mut start, mut end) = (None, None);
        for (name, value) in serde_urlencoded::from_str::<Vec<(String, String)>>(query.unwrap_or_default()).unwrap_or_default() {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            match name.as_str() {
                "startts" => start = Some(seconds("startts", value)?),
                "endts" => end = Some(seconds("endts", value)?),
                "messagetype" => filter.direction = Some(direction(value)?),
                "limit" => filter.limit = Some(limit(value)?),
                "cursor" => filter.cursor = Some(value.to_owned()),
                "raw" => filter.raw = matches!(value, "1" | "true"),
                _ => {}
            }
        }
        if let (Some(start), Some(end)) = (start, end)
            && end < start
        {
            return Err(Error::invalid("endts", format!("{end} lies before startts {start}")));
        }
        filter.from = start.map(|s| instant("startts", s, 0)).transpose()?;
        filter.to = end.map(|s| instant("endts", s, 999_999)).transpose()?;
        Ok(filter)
    }
}

/// `ingress` is what goes to a thing, `egress` what comes from it: the platform looks from the thing, the gateway from itself.
fn direction(text: &str) -> Result<Direction> {
    match text {
        "ingress" => Ok(Direction::Outbound),
        "egress" => Ok(Direction::Inbound),
        other => Err(Error::invalid("messagetype", format!("'{}' is neither ingress nor egress", short(other)))),
    }
}

fn seconds(field: &'static str, text: &str) -> Result<i64> {
    match text.parse::<i64>() {
        Ok(seconds) if seconds >= 0 => Ok(seconds),
        Ok(_) => Err(Error::invalid(field, "lies before 1970")),
        Err(_) => Err(Error::invalid(field, format!("'{}' is not a whole number of UTC epoch seconds", short(text)))),
    }
}

fn instant(field: &'static str, seconds: i64, micros: i64) -> Result<Timestamp> {
    seconds
        .checked_mul(1_000_000)
        .and_then(|m| m.checked_add(micros))
        .and_then(|m| Timestamp::from_microsecond(m).ok())
        .ok_or_else(|| Error::invalid(field, "is too far off; the unit is seconds, not milliseconds"))
}

fn limit(text: &str) -> Result<u32> {
    let number = text.parse().map_err(|_| Error::invalid("limit", format!("'{}' is not a number", short(text))))?;
    PageRequest::new(Some(number), None).map(|page| page.limit)
}

/// At most 40 characters of what a client wrote, for an error message.
fn short(text: &str) -> &str {
    text.char_indices().nth(40).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Filter> {
        Filter::parse(Some(query))
    }

    #[test]
    fn bounds_take_in_the_whole_second() {
        let it = parse("startts=1563587144&endts=1563587144").unwrap();
        assert_eq!(it.from.unwrap().as_microsecond(), 1_563_587_144_000_000);
        assert_eq!(it.to.unwrap().as_microsecond(), 1_563_587_144_999_999);
    }

    #[test]
    fn the_platform_looks_from_the_thing() {
        assert_eq!(parse("messagetype=ingress").unwrap().direction, Some(Direction::Outbound));
        assert_eq!(parse("messagetype=egress").unwrap().direction, Some(Direction::Inbound));
    }

    #[test]
    fn absent_and_empty_are_the_same() {
        assert_eq!(Filter::parse(None).unwrap(), Filter::default());
        assert_eq!(parse("startts=&endts=&messagetype=&limit=&cursor=&colour=blue").unwrap(), Filter::default());
    }

    #[test]
    fn ours_come_along() {
        let it = parse("limit=7&cursor=a%2Bb&raw=1").unwrap();
        assert_eq!((it.limit, it.cursor.as_deref(), it.raw), (Some(7), Some("a+b"), true));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_name() {
        for (query, name) in [
            ("startts=-1", "startts"),
            ("endts=-1", "endts"),
            ("startts=20&endts=10", "endts"),
            ("startts=NaN", "startts"),
            ("startts=1.5", "startts"),
            ("endts=1e9", "endts"),
            ("startts=0x10", "startts"),
            ("endts=99999999999999999999", "endts"),
            ("endts=1563587144000", "endts"),
            ("startts=yesterday", "startts"),
            ("messagetype=inbound", "messagetype"),
            ("messagetype=INGRESS", "messagetype"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=-1", "limit"),
            ("limit=ten", "limit"),
        ] {
            match parse(query) {
                Err(Error::Invalid { field, .. }) => assert_eq!(field, name, "{query}"),
                other => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_long_value_is_not_echoed_whole() {
        let Err(Error::Invalid { reason, .. }) = parse(&format!("startts={}", "é".repeat(5_000))) else { panic!("must be refused") };
        assert!(reason.len() < 200);
    }

    proptest::proptest! {
        #[test]
        fn no_query_makes_it_panic(query in "\\PC{0,80}") {
            let _ = parse(&query);
        }
    }
}
