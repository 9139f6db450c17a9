//! The archive of a thing's messages: one JSON file each.

use jiff::Timestamp;
use model::{Error, Message, Result, Thing};

use crate::wire::MessageWire;
use crate::zipped::Zip;

/// A zip with `{flmessagespk}.json` for every message.
pub(crate) fn archive(thing: &Thing, messages: &[Message]) -> Result<Vec<u8>> {
    let mut zip = Zip::new();
    for message in messages {
        let json = serde_json::to_vec(&MessageWire::new(thing, message)).map_err(Error::internal)?;
        zip.file(&format!("{}.json", message.id), &json, message.at, false)?;
    }
    zip.finish()
}

/// `{flthingspk}_messages_{YYYY-MM-DD}.zip`.
pub(crate) fn file_name(thing: &Thing, now: Timestamp) -> String {
    format!("{}_messages_{}.zip", thing.key, now.strftime("%Y-%m-%d"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Cursor, Read as _};

    use model::{Direction, MessageId, MessageStatus, TenantId, ThingId, ThingStatus};
    use uuid::{Uuid, uuid};
    use zip::ZipArchive;

    use super::*;

    #[test]
    fn an_archive_has_one_file_a_message() {
        let at: Timestamp = "2019-07-20T01:45:44Z".parse().unwrap();
        let thing = Thing {
            id: ThingId(Uuid::nil()),
            tenant: TenantId(Uuid::nil()),
            key: "349c5942-77d6-4f36-880b-1762a3b07f06".into(),
            name: "n".into(),
            kind: String::new(),
            distribution: String::new(),
            tags: vec![],
            attributes: BTreeMap::new(),
            status: ThingStatus::Created,
            owner: None,
            created: at,
            updated: at,
        };
        let message = Message {
            id: MessageId(uuid!("1bdae18a-d97f-48ac-8256-f753de1c032f")),
            tenant: thing.tenant,
            thing: thing.id,
            direction: Direction::Inbound,
            at,
            topic: String::new(),
            payload: br#"{"foo":"bar"}"#.to_vec(),
            expires: None,
            status: MessageStatus::Stored,
        };
        let mut zip = ZipArchive::new(Cursor::new(archive(&thing, &[message]).unwrap())).unwrap();
        assert_eq!(zip.len(), 1);
        let mut text = String::new();
        zip.by_name("1bdae18a-d97f-48ac-8256-f753de1c032f.json").unwrap().read_to_string(&mut text).unwrap();
        assert!(
            text.starts_with(r#"{"payload":{"foo":"bar"},"flthingspk":"349c5942-77d6-4f36-880b-1762a3b07f06","messagetype":"egress""#),
            "{text}"
        );
        assert_eq!(file_name(&thing, at), "349c5942-77d6-4f36-880b-1762a3b07f06_messages_2019-07-20.zip");
        assert_eq!(ZipArchive::new(Cursor::new(archive(&thing, &[]).unwrap())).unwrap().len(), 0, "an empty archive is a zip too");
    }
}
