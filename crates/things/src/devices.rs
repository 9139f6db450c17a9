//! Devices: things with what belongs to their type — title, aliases, gateway, the configuration they should have.

use jiff::Timestamp;
use model::{Caller, Coordinates, Error, Listed, Object, Result, Selector, Slice, Thing, ThingId, ThingTypeId, Twin};

use crate::Things;

/// A thing and what it has beyond.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// The thing.
    pub thing: Thing,
    /// The rest; the default when there is nothing more.
    pub twin: Twin,
}

impl Device {
    /// What people call it: its title, else its name.
    #[must_use]
    pub fn title(&self) -> &str {
        if self.twin.title.is_empty() { &self.thing.name } else { &self.twin.title }
    }
}

/// A device to be; it is recognised by certificates registered later.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    /// What people call it: 1 to 255 characters, not unique.
    pub title: String,
    /// Its type.
    pub thing_type: Option<ThingTypeId>,
    /// At most 512 characters.
    pub description: Option<String>,
    /// At most 255 characters.
    pub location: Option<String>,
    /// Where on some plan.
    pub coordinates: Option<Coordinates>,
    /// When it was installed.
    pub installed: Option<Timestamp>,
    /// Letters, digits, `_` and `-`, at most 64 of at most 256; kept in lower case, each once.
    pub tags: Vec<String>,
    /// The gateway it is behind.
    pub connected_by: Option<ThingId>,
    /// At most 64 of 1 to 255 characters, unique in the tenant.
    pub aliases: Vec<String>,
    /// 0 to 172,800 seconds; absent: the type's.
    pub communication_interval: Option<u32>,
    /// The configuration it should have; at most 64 KiB as JSON.
    pub configuration: Object,
    /// At most 64 KiB as JSON.
    pub custom: Object,
}

/// What to change of a device; absent fields stay, and `Some(None)` takes away what may be absent.
#[derive(Clone, Debug, Default)]
pub struct DeviceChange {
    /// Another title.
    pub title: Option<String>,
    /// Another type.
    pub thing_type: Option<ThingTypeId>,
    /// Another description.
    pub description: Option<Option<String>>,
    /// Another location.
    pub location: Option<Option<String>>,
    /// Another place on the plan.
    pub coordinates: Option<Option<Coordinates>>,
    /// When it was installed.
    pub installed: Option<Option<Timestamp>>,
    /// All its tags.
    pub tags: Option<Vec<String>>,
    /// Another gateway.
    pub connected_by: Option<Option<ThingId>>,
    /// All its aliases.
    pub aliases: Option<Vec<String>>,
    /// Another interval.
    pub communication_interval: Option<Option<u32>>,
    /// Merged into the configuration it should have (RFC 7396: null removes); what changed is sent to it.
    pub configuration: Option<Object>,
    /// Merged into what is kept beside it (RFC 7396).
    pub custom: Option<Object>,
}

impl Things {
    /// Makes a device. With a configuration, that is sent to it (to its gateway, if it has one).
    ///
    /// Errors: Forbidden(quota), Invalid (`thing_type` too when there is none such), Conflict(`connected_by`) when there is no such
    /// gateway, Conflict(aliases). Permission: `thing:write`.
    pub async fn create_device(&self, caller: &Caller, new: NewDevice) -> Result<Device> {
        let _ = (caller, new);
        Err(Error::unavailable("begun"))
    }

    /// A device by its id or key. Permission: `thing:read`; a thing sees itself without.
    pub async fn device(&self, caller: &Caller, handle: &str) -> Result<Device> {
        let _ = (caller, handle);
        Err(Error::unavailable("begun"))
    }

    /// The device of this alias. Permission: `thing:read`.
    pub async fn device_by_alias(&self, caller: &Caller, alias: &str) -> Result<Device> {
        let _ = (caller, alias);
        Err(Error::unavailable("begun"))
    }

    /// The tenant's devices that the selector chooses, newest first. Permission: `thing:read`.
    pub async fn devices(&self, caller: &Caller, selector: &Selector, slice: Slice) -> Result<Listed<Device>> {
        let _ = (caller, selector, slice);
        Err(Error::unavailable("begun"))
    }

    /// Changes a device. A configuration that changed is sent to it. Errors: as for making one. Permission: `thing:write`.
    pub async fn update_device(&self, caller: &Caller, handle: &str, change: DeviceChange) -> Result<Device> {
        let _ = (caller, handle, change);
        Err(Error::unavailable("begun"))
    }

    /// The tags of the tenant's things, in alphabetical order. Permission: `thing:read`.
    pub async fn device_tags(&self, caller: &Caller) -> Result<Vec<String>> {
        let _ = caller;
        Err(Error::unavailable("begun"))
    }
}
