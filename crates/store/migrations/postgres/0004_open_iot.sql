-- People who register themselves and tenants that invite: what a user says of itself, mails that prove an address, invitations,
-- what a tenant says of itself, and refresh tokens that belong to a person rather than to an OAuth client.
create table user_attributes (
    user_id uuid primary key references user_account (id) on delete cascade,
    attributes text not null,   -- JSON object
    terms boolean not null,     -- terms and conditions accepted?
    waiting text,               -- PHC string of the password chosen at registration, until the address is proved
    waits_until bigint         -- a user who has not proved its address by then, and belongs nowhere, goes
);
create index user_attributes_waits on user_attributes (waits_until);

create table mail_allowance (
    email text primary key,
    since bigint not null,
    sent bigint not null
);
create index mail_allowance_since on mail_allowance (since);

create table interaction_token (
    secret_hash bytea primary key,
    user_id uuid not null references user_account (id) on delete cascade,
    purpose text not null,      -- activate, reset
    email text not null,        -- the address it proves
    expires bigint not null
);
create index interaction_token_user on interaction_token (user_id, purpose);
create index interaction_token_expires on interaction_token (expires);

create table user_refresh (
    secret_hash bytea primary key,
    user_id uuid not null references user_account (id) on delete cascade,
    family uuid not null,       -- all that were exchanged for one another
    created bigint not null,
    expires bigint not null,
    spent bigint               -- when it was exchanged
);
create index user_refresh_user on user_refresh (user_id, created);
create index user_refresh_family on user_refresh (family);
create index user_refresh_expires on user_refresh (expires);

create table invitation (
    id uuid primary key,
    tenant uuid not null references tenant (id) on delete cascade,
    email text not null,
    created bigint not null,
    unique (tenant, email)
);
create index invitation_email on invitation (email, created);

create table tenant_attributes (
    tenant uuid primary key references tenant (id) on delete cascade,
    attributes text not null,   -- JSON object
    settings text not null,     -- JSON object: what else a face keeps of its accounts
    code bytea,                  -- activation code, sealed under the master key
    code_expires bigint,
    updated bigint not null
);
