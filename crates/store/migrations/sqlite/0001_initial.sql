-- Entities. Times are microseconds since the epoch; lists and maps are JSON text.
create table tenant (
    id blob primary key,
    name text not null unique,
    affiliation text,
    plan text not null,
    plan_since integer not null,
    created integer not null
) strict;

create table user_account (
    id blob primary key,
    email text not null unique,
    username text unique,
    given_name text,
    family_name text,
    verified integer not null,
    disabled integer not null,
    operator integer not null,
    password text,              -- PHC string, argon2id
    tokens_from integer not null, -- tokens issued before are refused (password change)
    created integer not null,
    updated integer not null
) strict;

create table membership (
    tenant blob not null references tenant (id) on delete cascade,
    user_id blob not null references user_account (id) on delete cascade,
    role text not null,
    created integer not null,
    primary key (tenant, user_id)
) strict;
create index membership_user on membership (user_id, created);

create table client (
    id text primary key,
    tenant blob not null references tenant (id) on delete cascade,
    name text not null,
    is_public integer not null,
    secret_hash blob,
    grants text not null,
    redirect_uris text not null,
    scopes text not null,
    created integer not null
) strict;
create index client_tenant on client (tenant, id);

create table api_key (
    id blob primary key,
    tenant blob not null references tenant (id) on delete cascade,
    user_id blob not null references user_account (id) on delete cascade,
    label text not null,
    hint text not null,
    secret_hash blob not null unique,
    created integer not null,
    expires integer
) strict;
create index api_key_tenant on api_key (tenant, id);
create index api_key_user on api_key (user_id);

create table signing_key (
    kid text primary key,
    algorithm text not null,
    private_key blob not null, -- sealed under the master key
    public_key blob not null,  -- SPKI DER; empty for HMAC
    created integer not null,
    signs_from integer not null,
    signs_until integer,            -- null: the current key
    profile text,                   -- null: every token profile of the algorithm
    longest integer not null         -- longest lifetime of a token it signed
) strict;

create table revoked_token (
    id blob primary key,
    expires integer not null
) strict;
create index revoked_token_expires on revoked_token (expires);

create table audit (
    id blob primary key,
    tenant blob,                -- no reference: the trail outlives its tenant
    at integer not null,
    actor text not null,
    action text not null,
    target text,
    allowed integer not null,
    detail text,
    address text
) strict;
create index audit_tenant on audit (tenant, id);

create table registration (
    email text primary key,
    code_hash blob not null,
    password text not null,     -- PHC string
    tries integer not null,
    sent integer not null,       -- the last code
    started integer not null,    -- the first code of the day
    sends integer not null,      -- codes since then
    expires integer not null
) strict;
create index registration_expires on registration (expires);

create table setting (
    name text primary key,
    value blob not null
) strict;

create table thing (
    id blob primary key,
    tenant blob not null references tenant (id) on delete cascade,
    thing_key text not null,
    name text not null,
    kind text not null,
    distribution text not null,
    tags text not null,
    attributes text not null,
    status text not null,
    owner blob,
    secret_hash blob,
    created integer not null,
    updated integer not null,
    unique (tenant, thing_key),
    unique (tenant, name)
) strict;
create index thing_page on thing (tenant, id);
create index thing_handle on thing (thing_key);

-- Things that are gone, alone or with their tenant, and whose messages the journal must still forget.
create table forgetting (
    thing blob primary key,
    tenant blob not null
) strict;
create trigger thing_gone after delete on thing begin
    insert into forgetting (thing, tenant) values (old.id, old.tenant);
end;

create table certificate (
    fingerprint text primary key,
    tenant blob not null references tenant (id) on delete cascade,
    thing blob not null references thing (id) on delete cascade,
    pem text not null,
    public_key text not null,
    private_key blob,          -- sealed under the master key; only for keys made here
    status text not null,
    issued_here integer not null,
    not_before integer not null,
    not_after integer not null,
    created integer not null
) strict;
create index certificate_tenant on certificate (tenant);
create index certificate_thing on certificate (thing, created, fingerprint);

create table usage (
    tenant blob not null references tenant (id) on delete cascade,
    period integer not null,        -- where the period begins
    collected integer not null,
    published integer not null,
    primary key (tenant, period)
) strict;

create table cursor_position (
    name text primary key,
    position integer not null
) strict;

create table mqtt_session (
    tenant blob not null,
    client_id text not null,
    state blob not null,
    expires integer,
    primary key (tenant, client_id)
) strict;

create table outbox (
    id blob primary key,
    tenant blob,
    channel text not null,
    body text not null,
    state text not null,        -- queued, sent, dead
    attempts integer not null,
    next_at integer not null,
    last_error text,
    created integer not null
) strict;
create index outbox_due on outbox (state, next_at, id);
create index outbox_state on outbox (state, id);
create index outbox_tenant on outbox (tenant, state, id);
