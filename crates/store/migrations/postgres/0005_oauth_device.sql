-- Device authorization (RFC 8628): a device waits while its user says yes in a browser.
create table oauth_device (
    code_hash bytea primary key,    -- of the device code
    user_code text not null unique,
    client text not null references client (id) on delete cascade,
    realm text not null,
    scope text not null,
    decision text,                  -- what the user said, JSON; null: nothing yet
    polled bigint not null,            -- when the device last asked
    expires bigint not null
);
create index oauth_device_client on oauth_device (client);
create index oauth_device_expires on oauth_device (expires);
