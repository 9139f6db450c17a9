//! Which devices are meant, in a query or in a body: one filter for lists, bulk actions, notifications.

use bytes::Bytes;
use edge::Payload;
use model::{Error, Result, Selector, ThingId, ThingTypeId};
use serde::Deserialize;

use crate::error::Answer;
use crate::query::Query;
use crate::wire::{Patch, body, id};

/// A filter as JSON. An unknown name is refused: read past it, the filter would mean more devices than its author did.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct DeviceFilter {
    device_id: Patch<Vec<ThingId>>,
    #[serde(alias = "connectedBy")]
    device_connected_by: Patch<Vec<ThingId>>,
    #[serde(alias = "tags", alias = "tag")]
    device_tag: Patch<Vec<String>>,
    #[serde(alias = "name")]
    device_name: Patch<Vec<String>>,
    device_type_name: Patch<Vec<String>>,
    device_type_category: Patch<Vec<String>>,
    device_type_id: Patch<Vec<ThingTypeId>>,
    device_alias: Patch<Vec<String>>,
}

/// Each condition with its names in a query, the older ones last.
const ID: &[&str] = &["deviceId"];
const CONNECTED_BY: &[&str] = &["deviceConnectedBy", "connectedBy"];
const TAG: &[&str] = &["deviceTag", "tags", "tag"];
const NAME: &[&str] = &["deviceName", "name"];
const TYPE_NAME: &[&str] = &["deviceTypeName"];
const CATEGORY: &[&str] = &["deviceTypeCategory"];
const TYPE_ID: &[&str] = &["deviceTypeId"];
const ALIAS: &[&str] = &["deviceAlias"];

impl DeviceFilter {
    /// The devices meant; at least one condition, none of them empty.
    pub(crate) fn selector(self) -> Result<Selector> {
        let selector = self.over(Selector::default())?;
        if selector.is_empty() { Err(Error::invalid("deviceFilter", "needs at least one condition")) } else { Ok(selector) }
    }

    /// Put over another: a condition that is given takes the other's place, null removes it.
    pub(crate) fn over(self, mut selector: Selector) -> Result<Selector> {
        fn put<T>(name: &'static str, at: &mut Vec<T>, patch: Patch<Vec<T>>) -> Result<()> {
            match patch {
                Patch::Keep => {}
                Patch::Remove => at.clear(),
                Patch::Set(list) if list.is_empty() => return Err(Error::invalid(name, "must hold at least one value")),
                Patch::Set(list) => *at = list,
            }
            Ok(())
        }
        put("deviceId", &mut selector.things, self.device_id)?;
        put("deviceConnectedBy", &mut selector.connected_by, self.device_connected_by)?;
        put("deviceTag", &mut selector.tags, self.device_tag)?;
        put("deviceName", &mut selector.names, self.device_name)?;
        put("deviceTypeName", &mut selector.type_names, self.device_type_name)?;
        put("deviceTypeCategory", &mut selector.categories, self.device_type_category)?;
        put("deviceTypeId", &mut selector.types, self.device_type_id)?;
        put("deviceAlias", &mut selector.aliases, self.device_alias)?;
        Ok(selector)
    }
}

/// The filter of a list: in the query or in the body of the GET, not in both; none chooses every device.
pub(crate) fn of_list(query: &Query, payload: Payload) -> Answer<Selector> {
    let in_query = [ID, CONNECTED_BY, TAG, NAME, TYPE_NAME, CATEGORY, TYPE_ID, ALIAS].iter().any(|names| query.has(names));
    if let Some(text) = given(payload)? {
        if in_query {
            return Err(Error::invalid("query", "holds a filter, and so does the body; use one of them").into());
        }
        return Ok(body::<DeviceFilter>(Payload(Ok(text)))?.over(Selector::default())?);
    }
    let texts = |names| Ok::<_, Error>(query.list(names)?.into_iter().map(str::to_owned).collect::<Vec<_>>());
    Ok(Selector {
        things: ids(query, ID)?,
        tags: texts(TAG)?,
        types: ids(query, TYPE_ID)?,
        type_names: texts(TYPE_NAME)?,
        categories: texts(CATEGORY)?,
        connected_by: ids(query, CONNECTED_BY)?,
        names: texts(NAME)?,
        aliases: texts(ALIAS)?,
    })
}

/// A list of ids in a query.
pub(crate) fn ids<T: std::str::FromStr>(query: &Query, names: &[&'static str]) -> Result<Vec<T>> {
    let name = names.first().copied().unwrap_or("id");
    query.list(names)?.into_iter().map(|text| id(name, text)).collect()
}

/// The body of a GET, if there is more to it than space.
pub(crate) fn given(payload: Payload) -> Result<Option<Bytes>> {
    Ok(Some(payload.0?).filter(|text| !text.iter().all(u8::is_ascii_whitespace)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "eba878ba-4a5d-4e67-b9d4-4dfd4e55f32f";

    fn read(query: &str, body: &'static str) -> Answer<Selector> {
        of_list(&Query::parse(query), Payload(Ok(body.into())))
    }

    #[test]
    fn query_and_body_say_the_same() {
        let one = ONE.parse().unwrap();
        let wanted =
            Selector { things: vec![one], tags: vec!["a".into(), "b*".into()], names: vec!["Living*".into()], ..Selector::default() };
        assert_eq!(read(&format!("deviceId={ONE}&deviceTag=a,b*&deviceName=Living*"), " ").unwrap(), wanted);
        assert_eq!(read(&format!("deviceId={ONE}&tags=a,b*&name=Living*"), "").unwrap(), wanted);
        let body = r#"{"deviceId":["eba878ba-4a5d-4e67-b9d4-4dfd4e55f32f"],"deviceTag":["a","b*"],"deviceName":["Living*"]}"#;
        assert_eq!(read("page=1", body).unwrap(), wanted);
        assert_eq!(read("", "").unwrap(), Selector::default());
        assert_eq!(read("", "{}").unwrap(), Selector::default());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (query, body) in [
            ("deviceTag=a", r#"{"deviceTag":["a"]}"#),
            ("deviceId=dev-1", ""),
            ("", r#"{"deviceTag":[]}"#),
            ("", r#"{"deviceTags":["a"]}"#),
            ("", r#"{"deviceTag":"a"}"#),
            ("", "[]"),
            ("", r#"{"deviceId":["dev-1"]}"#),
        ] {
            assert!(read(query, body).is_err(), "{query} {body}");
        }
        assert!(DeviceFilter::default().selector().is_err());
    }

    #[test]
    fn a_patch_leaves_the_other_conditions() {
        let old = Selector { tags: vec!["a".into()], names: vec!["b".into()], ..Selector::default() };
        let patch: DeviceFilter = serde_json::from_str(r#"{"deviceTag":null,"deviceAlias":["c"]}"#).unwrap();
        let new = patch.over(old).unwrap();
        assert_eq!(new, Selector { names: vec!["b".into()], aliases: vec!["c".into()], ..Selector::default() });
    }
}
