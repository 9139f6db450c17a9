//! Everything remembered but messages: entities, credentials, audit, outbox.
//!
//! [`Db`] is SQLite (embedded, the default) or PostgreSQL; the SQL text is the same for both and lives beside the
//! functions that use it, one file per aggregate. `db.read()` hands out a connection for looking, `db.begin()` a
//! transaction for changing; both are a [`Tx`], so that a look-up is written once. Rows never leak: every function
//! takes and gives `model` types. A test prepares every statement on both engines and refuses full scans.

#[macro_use]
mod macros;
mod db;
mod error;
mod migrate;

mod api_keys;
mod applications;
mod audit;
mod certificates;
mod clients;
mod cursors;
mod groups;
mod invitations;
mod memberships;
mod mqtt_sessions;
mod notifications;
mod oauth;
mod oauth_device;
mod oauth_more;
mod outbox;
mod queues;
mod registrations;
mod revocations;
mod roles;
mod rules;
mod run;
mod second_factor;
mod settings;
mod signing_keys;
mod tenant_attributes;
mod tenants;
mod thing_credentials;
mod thing_points;
mod thing_reports;
mod thing_types;
mod things;
mod twins;
mod usage;
mod user_attributes;
mod users;

pub use db::{Db, Tx};
pub use error::Error;

pub use applications::{AllowedRecord, ApplicationRecord, ClientReach, CustomPermissionRecord, InstallationRecord};
pub use audit::AuditQuery;
pub use certificates::CertificateAndKey;
pub use clients::ClientRecord;
pub use groups::{GroupRecord, ProfileRecord};
pub use invitations::{InvitationRecord, InvitationStatus, RoleSet};
pub use mqtt_sessions::StoredMqttSession;
pub use oauth::{CodeRecord, LoginRecord, OAuthSession, RefreshRecord};
pub use oauth_device::DeviceRecord;
pub use oauth_more::{InitialTokenRecord, PushedRecord};
pub use outbox::{OutboxEntry, OutboxState};
pub use registrations::RegistrationRecord;
pub use roles::{Grants, RoleRecord};
pub use rules::{AlertSelection, RuleStateRecord, RuleVersion};
pub use second_factor::{HalfLoginRecord, SecondFactorRecord};
pub use signing_keys::SigningKeyRecord;
pub use tenant_attributes::TenantAttributes;
pub use thing_credentials::ThingCredential;
pub use thing_points::{NewPoint, PointFrame, StoredPoint};
pub use thing_reports::StoredState;
pub use thing_types::TypeHead;
pub use things::ThingSelection;
pub use twins::TwinHead;
pub use usage::UsageCount;
pub use user_attributes::{InteractionRecord, UserAttributes, UserRefreshRecord};
pub use users::UserRecord;

/// Every SQL statement of the program by name, for the test that prepares them all.
#[must_use]
pub fn statements() -> Vec<(&'static str, &'static str)> {
    [
        api_keys::sql::ALL,
        applications::sql::ALL,
        audit::sql::ALL,
        certificates::sql::ALL,
        clients::sql::ALL,
        cursors::sql::ALL,
        invitations::sql::ALL,
        groups::sql::ALL,
        memberships::sql::ALL,
        mqtt_sessions::sql::ALL,
        notifications::sql::ALL,
        oauth::sql::ALL,
        oauth_device::sql::ALL,
        oauth_more::sql::ALL,
        outbox::sql::ALL,
        queues::sql::ALL,
        registrations::sql::ALL,
        revocations::sql::ALL,
        roles::sql::ALL,
        second_factor::sql::ALL,
        rules::sql::ALL,
        settings::sql::ALL,
        signing_keys::sql::ALL,
        tenant_attributes::sql::ALL,
        tenants::sql::ALL,
        thing_credentials::sql::ALL,
        thing_points::sql::ALL,
        thing_reports::sql::ALL,
        thing_types::sql::ALL,
        twins::sql::ALL,
        things::sql::ALL,
        usage::sql::ALL,
        user_attributes::sql::ALL,
        users::sql::ALL,
    ]
    .concat()
}
