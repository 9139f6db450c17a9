-- Device authorization (RFC 8628): a device waits while its user says yes in a browser.
create table oauth_device (
    code_hash blob primary key,    -- of the device code
    user_code text not null unique,
    client text not null references client (id) on delete cascade,
    realm text not null,
    scope text not null,
    decision text,                  -- what the user said, JSON; null: nothing yet
    polled integer not null,            -- when the device last asked
    expires integer not null
) strict;
create index oauth_device_client on oauth_device (client);
create index oauth_device_expires on oauth_device (expires);
