-- People who register themselves and tenants that invite: what a user says of itself, mails that prove an address, invitations,
-- what a tenant says of itself, and refresh tokens that belong to a person rather than to an OAuth client.
create table user_attributes (
    user_id blob primary key references user_account (id) on delete cascade,
    attributes text not null,   -- JSON object
    terms integer not null,     -- terms and conditions accepted?
    waiting text,               -- PHC string of the password chosen at registration, until the address is proved
    waits_until integer         -- a user who has not proved its address by then, and belongs nowhere, goes
) strict;
create index user_attributes_waits on user_attributes (waits_until);

create table mail_allowance (
    email text primary key,
    since integer not null,
    sent integer not null
) strict;
create index mail_allowance_since on mail_allowance (since);

create table interaction_token (
    secret_hash blob primary key,
    user_id blob not null references user_account (id) on delete cascade,
    purpose text not null,      -- activate, reset
    email text not null,        -- the address it proves
    expires integer not null
) strict;
create index interaction_token_user on interaction_token (user_id, purpose);
create index interaction_token_expires on interaction_token (expires);

create table user_refresh (
    secret_hash blob primary key,
    user_id blob not null references user_account (id) on delete cascade,
    family blob not null,       -- all that were exchanged for one another
    created integer not null,
    expires integer not null,
    spent integer               -- when it was exchanged
) strict;
create index user_refresh_user on user_refresh (user_id, created);
create index user_refresh_family on user_refresh (family);
create index user_refresh_expires on user_refresh (expires);

create table invitation (
    id blob primary key,
    tenant blob not null references tenant (id) on delete cascade,
    email text not null,
    created integer not null,
    unique (tenant, email)
) strict;
create index invitation_email on invitation (email, created);

create table tenant_attributes (
    tenant blob primary key references tenant (id) on delete cascade,
    attributes text not null,   -- JSON object
    settings text not null,     -- JSON object: what else a face keeps of its accounts
    code blob,                  -- activation code, sealed under the master key
    code_expires integer,
    updated integer not null
) strict;
